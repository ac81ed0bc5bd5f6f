//! What users do, against a real Kubernetes.

mod behaviour;
mod kwok_clean;
mod kwok_endings;
mod kwok_submit;
mod kwok_waiting;
mod real_cluster;
mod real_images;
