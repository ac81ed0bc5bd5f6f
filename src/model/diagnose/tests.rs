//! Causes, verdicts and decisions from evidence written by hand; texts are those of Kubernetes 1.36 and containerd.

mod builders;
mod deciding;
mod endings;
mod flow_run;
mod messages;
mod phases;
mod random;
pub(crate) mod recordings;
mod rules;
mod scenarios;
mod stability;
mod waiting;
