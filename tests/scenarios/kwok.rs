//! On the real API server, controllers and scheduler, with simulated nodes and pods.

mod clean;
mod cloud;
mod creation;
mod doctor;
mod endings;
mod init;
mod interruptions;
mod karpenter;
mod larger;
mod nodes;
mod prefect;
mod secrets;
mod setup;
mod submit;
mod terminal;
mod waiting;
