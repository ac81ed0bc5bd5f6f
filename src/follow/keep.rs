//! Keeping the output that is followed on this machine, one log for each attempt.

use std::io;

use crate::{
    model::{
        evidence::{AttemptRecord, Evidence, Maker},
        job_event::LogEvent,
    },
    store::kept_log::{KeptLogs, Origin, Recording},
};

/// Where output is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The folder.
    pub logs: KeptLogs,
    /// Address of the API server, for the record.
    pub server: String,
}

/// Returns what a job's output is kept under: the Job's UID; of a flow run that a worker makes Jobs for, its id.
#[must_use]
pub fn kept_under(evidence: &Evidence) -> Option<&str> {
    let by_sbrun = evidence.job.as_ref().filter(|job| job.maker == Maker::Sbrun).map(|job| job.uid.as_str());
    let flow_run = || evidence.job.as_ref().and_then(|job| job.flow_run.as_deref()).or_else(|| Some(evidence.flow_run.value()?.run.id.as_str()));
    by_sbrun.or_else(flow_run).or_else(|| Some(evidence.job.as_ref()?.uid.as_str()))
}

/// What is kept of the attempt whose log is open.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    keep: Option<Keep>,
    origin: Option<Origin>,
    recording: Option<Recording>,
}

impl Keeper {
    pub(super) fn new(keep: Option<Keep>) -> Self {
        Self { keep, origin: None, recording: None }
    }

    /// Returns whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.keep.is_some()
    }

    /// Turns to the next attempt.
    pub(super) fn turn_to(&mut self, evidence: &Evidence, attempt: &AttemptRecord) {
        self.recording = None;
        self.origin = self.keep.as_ref().zip(kept_under(evidence)).map(|(keep, uid)| Origin {
            schema: Origin::SCHEMA,
            server: keep.server.clone(),
            namespace: evidence.job.as_ref().map(|job| job.namespace.clone()).unwrap_or_default(),
            job: evidence.name().to_owned(),
            job_uid: uid.to_owned(),
            run_id: evidence.job.as_ref().and_then(|job| job.run_id.clone()),
            pod: attempt.pod.clone(),
            pod_uid: attempt.uid.clone(),
            node: attempt.node.clone(),
            created: attempt.created,
        });
    }

    /// Takes what has become known of the attempt.
    pub(super) fn update(&mut self, attempt: &AttemptRecord) {
        if let Some(origin) = self.origin.as_mut().filter(|origin| origin.pod_uid == attempt.uid && origin.node.is_none()) {
            origin.node.clone_from(&attempt.node);
        }
    }

    /// Keeps what a log delivered. Returns why nothing is kept any more.
    pub(super) fn record(&mut self, event: &LogEvent) -> Option<String> {
        let error = self.try_record(event).err()?;
        *self = Self::default();
        Some(format!("the output is not kept on this machine any more: {error}"))
    }

    fn try_record(&mut self, event: &LogEvent) -> io::Result<()> {
        // An attempt that never ran leaves no log.
        if let (None, Some(keep), Some(origin), false) = (&self.recording, &self.keep, &self.origin, matches!(event, LogEvent::Unavailable(_))) {
            self.recording = Some(keep.logs.record(origin.clone())?);
        }
        self.recording.as_mut().map_or(Ok(()), |recording| recording.record(event))
    }
}
