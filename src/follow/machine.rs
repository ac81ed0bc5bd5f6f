//! A job on this machine, as the loop sees it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{Detail, RunningJob};
use crate::{
    environment,
    error::Result,
    local::{Run, Signal},
    model::{
        evidence::{AttemptRecord, Ending, Evidence},
        job_event::{LogEvent, LogState},
        log_resume::Stamps,
        outcome::Outcome,
        story::Verdict,
    },
};

/// Which signal ends the flow: the one that came, so that Ctrl-C reaches the flow as Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Remembers whether the last signal was Ctrl-C.
    pub fn set(&self, interrupt: bool) {
        self.0.store(interrupt, Ordering::Relaxed);
    }

    fn get(&self) -> Signal {
        if self.0.load(Ordering::Relaxed) { Signal::Interrupt } else { Signal::Terminate }
    }
}

/// A process of this machine.
pub struct MachineJob {
    run: Run,
    output: Option<mpsc::Receiver<LogEvent>>,
    grace: Duration,
    stop_signal: StopSignal,
}

impl MachineJob {
    /// Returns a handle on a started run.
    #[must_use]
    pub fn new(run: Run, output: mpsc::Receiver<LogEvent>, grace: Duration) -> Self {
        Self { run, output: Some(output), grace, stop_signal: StopSignal::default() }
    }

    /// Returns where the signal that came is to be remembered.
    #[must_use]
    pub fn stop_signal(&self) -> StopSignal {
        self.stop_signal.clone()
    }
}

impl RunningJob for MachineJob {
    fn now(&self) -> Timestamp {
        environment::now()
    }

    async fn keep_tail(&mut self, _evidence: &Evidence, _log_tail: &[u8]) {}

    async fn observe(&mut self, evidence: &mut Evidence, _detail: Detail) -> Result<()> {
        self.run.observe(evidence);
        Ok(())
    }

    async fn changed(&mut self, limit: Duration) {
        self.run.changed(limit).await;
    }

    fn open_log(&mut self, _attempt: &AttemptRecord, _state: watch::Receiver<LogState>, _stamps: Stamps) -> mpsc::Receiver<LogEvent> {
        self.output.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    async fn end(&mut self, _evidence: &Evidence, ending: &Ending) -> Result<()> {
        let signal = if ending.outcome == Outcome::Cancelled { self.stop_signal.get() } else { Signal::Terminate };
        self.run.end(ending.clone(), signal, self.grace);
        Ok(())
    }

    async fn settle(&mut self, _evidence: &Evidence, _limit: Duration) -> Result<bool> {
        Ok(true) // the end of a run is the end of all its processes
    }

    async fn renew_lease(&mut self, _evidence: &Evidence) -> Result<()> {
        Ok(())
    }

    async fn drop_lease(&mut self, _evidence: &Evidence) -> Result<()> {
        Ok(())
    }

    async fn keep_verdict(&mut self, _evidence: &Evidence, _verdict: &Verdict, _log_tail: &[u8]) {}
}
