//! On the real API server, controllers and scheduler, with simulated nodes and pods.

mod clean;
mod cloud;
mod creation;
mod doctor;
mod endings;
mod init;
mod interruptions;
mod karpenter;
mod nodes;
mod prefect;
mod requests;
mod secrets;
mod setup;
mod submit;
mod terminal;
mod waiting;
