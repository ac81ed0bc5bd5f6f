//! The command line without a cluster.

mod bad_input;
mod help;
mod local;
mod nodes;
mod prefect;
mod set_up;
