//! What tests share.

pub mod cluster;
#[macro_use]
pub mod place;
pub mod sandbox;
