//! What tests share.

pub(crate) mod cloud;
pub(crate) mod cluster;
pub(crate) mod crowd;
pub(crate) mod door;
pub(crate) mod fault_proxy;
pub(crate) mod http;
pub(crate) mod karpenter;
pub(crate) mod line;
#[macro_use]
pub(crate) mod place;
pub(crate) mod prefect;
pub(crate) mod sandbox;
pub(crate) mod terminal;
