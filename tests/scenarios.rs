//! What users do, against a real Kubernetes.

mod behaviour;
mod kwok;
mod real;
