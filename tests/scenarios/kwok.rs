//! On the real API server, controllers and scheduler, with simulated nodes and pods.

mod clean;
mod endings;
mod setup;
mod karpenter;
mod submit;
mod waiting;
