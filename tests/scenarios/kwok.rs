//! On the real API server, controllers and scheduler, with simulated nodes and pods.

mod clean;
mod cloud;
mod creation;
mod doctor;
mod endings;
mod faults;
mod init;
mod interruptions;
mod karpenter;
mod kept_logs;
mod larger;
mod nodes;
mod outages;
mod prefect;
mod requests;
mod secrets;
mod setup;
mod soak;
mod state_files;
mod submit;
mod terminal;
mod waiting;
