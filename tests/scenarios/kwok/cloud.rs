//! Node groups that grow and shrink, on the Auto Scaling API and the autoscaler's stand-in with simulated nodes.

mod api;
mod capacity;
mod growth;
mod nodes;
mod recorded;
mod waiting;
