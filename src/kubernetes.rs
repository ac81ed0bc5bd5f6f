//! The cluster: sole owner of the Kubernetes client; plan → manifest, object → model.

pub mod apply;
pub mod checks;
pub mod cluster_autoscaler;
pub mod connect;
pub mod credential;
pub mod error;
pub mod inspection;
pub mod jobs;
pub mod karpenter;
pub mod labels;
pub mod logs;
pub mod manifest;
pub mod observe;
pub mod occupancy;
mod reading;
pub mod retry;
pub mod setup;
pub mod watch;
