//! What tests share.

pub mod cluster;
pub mod sandbox;
