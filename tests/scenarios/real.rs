//! On real kubelets with real containers.

mod cloud;
mod cluster;
mod endings;
mod images;
mod prefect;
mod starting;
