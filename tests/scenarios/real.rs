//! On real kubelets with real containers.

mod cloud;
mod cluster;
mod endings;
mod images;
mod outages;
mod prefect;
mod starting;
