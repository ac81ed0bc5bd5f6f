//! What tests share.

pub(crate) mod cluster;
#[macro_use]
pub(crate) mod place;
pub(crate) mod sandbox;
