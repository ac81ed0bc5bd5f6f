//! A job of sbrun's own that is also a run in Prefect: what the Job needs to know of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether a Prefect flow is tracked by a run in Prefect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrackingMode {
    /// Where an API is known here and the instance map says how a pod reaches it.
    #[default]
    Auto,
    /// Never: the flow just runs.
    Off,
    /// Always: without an API nothing is launched.
    Required,
}

impl TrackingMode {
    /// Returns the word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Required => "required",
        }
    }
}

/// The flow run that a job of sbrun's own is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Its id.
    pub flow_run: String,
    /// Its name.
    pub name: String,
    /// `file.py:function`, below the flow's folder.
    pub entrypoint: String,
}

/// The module that runs a flow as the run that the environment names.
pub const ENGINE: &str = "prefect.engine";

impl Tracking {
    /// Returns the variables by which [`ENGINE`] knows run and flow. They are Prefect's own, between its workers and its engine (3.8).
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        [("PREFECT__FLOW_RUN_ID", &self.flow_run), ("PREFECT__FLOW_ENTRYPOINT", &self.entrypoint)]
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .into()
    }
}

/// How often a flow may be executed, when both Prefect and Kubernetes start it again.
#[must_use]
pub fn executions(retries: u32, infrastructure_retries: u32) -> u64 {
    (u64::from(retries) + 1) * (u64::from(infrastructure_retries) + 1)
}
