//! On real kubelets with real containers.

mod cluster;
mod images;
