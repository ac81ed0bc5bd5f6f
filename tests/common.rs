//! What tests share.

pub(crate) mod cloud;
pub(crate) mod cluster;
pub(crate) mod karpenter;
#[macro_use]
pub(crate) mod place;
pub(crate) mod sandbox;
pub(crate) mod terminal;
