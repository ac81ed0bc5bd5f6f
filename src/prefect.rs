//! The Prefect server: the sole owner of its REST API.
//!
//! [`settings`] finds the server as Prefect itself does, [`Server`] talks to it, and the other modules turn its documents into model
//! values and decisions into its states. Facts about the API are of Prefect 3.8.

mod client;
mod error;
pub mod flow_runs;
pub mod pools;
pub mod settings;

pub use client::Server;
