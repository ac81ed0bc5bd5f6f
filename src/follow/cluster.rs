//! A job on the cluster, as the loop sees it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Detail, RunningJob, account::AccountWatch};
use crate::{
    environment::Environment,
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        jobs,
        logs::{self, LogOptions},
        observe,
        retry::Patience,
        watch::Wakeups,
    },
    model::{
        evidence::{AttemptRecord, Ending, Evidence, JobRecord},
        job_event::{LogEvent, LogState},
        story::Verdict,
    },
};

/// How long one look may take before the loop says that the server does not answer.
const LOOK: Patience = Patience(Duration::from_secs(10));
/// How long the cloud account may take to say why a machine is gone.
const LAST_WORD: Duration = Duration::from_secs(4);
/// How long leaving the verdict may take.
const KEEP: Duration = Duration::from_secs(5);
/// How long keeping the last output may take, on the way out.
const KEEP_TAIL: Duration = Duration::from_secs(1);
/// How many lines are read for the verdict of a job whose output nobody followed.
const TAIL_LINES: u64 = 40;

/// A Job on a cluster.
pub struct ClusterJob {
    cluster: Cluster,
    name: String,
    uid: String,
    wakeups: Option<Wakeups>,
    account: Option<AccountWatch>,
    since: Instant,
    age: Duration,
}

impl ClusterJob {
    /// Returns a handle on the Job that `record` describes; a Job of the same name that is created later is another one.
    ///
    /// `environment` leads to the cloud account, which is asked about the node groups of the Job's size.
    #[must_use]
    pub fn new(cluster: Cluster, record: &JobRecord, environment: &Environment) -> Self {
        let account = AccountWatch::of(record, environment);
        Self { cluster, name: record.name.clone(), uid: record.uid.clone(), wakeups: None, account, since: Instant::now(), age: Duration::ZERO }
    }

    /// Adds what the cloud account says of the Job's node groups, waiting for its answer as long as `patience`.
    pub async fn ask_account(&mut self, evidence: &mut Evidence, patience: Duration) {
        if let Some(account) = &mut self.account {
            account.ask();
            account.hear(evidence, patience).await;
        }
    }

    /// Returns the cluster that the Job is on.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Tells how long the Job's deadline may have run down by now, for the lease: clocks of two machines cannot.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    fn record<'evidence>(&self, evidence: &'evidence Evidence) -> Result<&'evidence JobRecord> {
        evidence.job.as_ref().ok_or_else(|| Error::failed(format!("Job `{}` has not been seen yet", self.name)))
    }

    /// Returns the last output of the last attempt, when its pod is still there.
    async fn read_tail(&self, evidence: &Evidence) -> Vec<u8> {
        let Some(attempt) = evidence.attempts.last().filter(|attempt| attempt.gone.is_none()) else { return Vec::new() };
        let options = LogOptions { tail: Some(TAIL_LINES), ..LogOptions::default() };
        let mut events = logs::read_log(&self.cluster, &attempt.pod, &attempt.container_name, options);
        let mut tail = Vec::new();
        while let Some(LogEvent::Bytes { bytes, .. }) = events.recv().await {
            tail.extend(bytes);
        }
        tail
    }
}

impl RunningJob for ClusterJob {
    fn now(&self) -> Timestamp {
        self.cluster.now()
    }

    async fn keep_tail(&mut self, evidence: &Evidence, log_tail: &[u8]) {
        let Some(record) = evidence.job.as_ref().filter(|_| evidence.job_gone.is_none()) else { return };
        let keep = async {
            let read = if log_tail.is_empty() { self.read_tail(evidence).await } else { Vec::new() };
            jobs::keep_tail(&self.cluster, record, if log_tail.is_empty() { &read } else { log_tail }).await
        };
        tokio::time::timeout(KEEP_TAIL, keep).await.unwrap_or_default();
    }

    async fn observe(&mut self, evidence: &mut Evidence, detail: Detail) -> Result<()> {
        let detail = match detail {
            Detail::Basic => observe::Detail::Basic,
            Detail::Waiting => observe::Detail::Waiting,
            Detail::Loss => observe::Detail::Full,
        };
        if let Some(wakeups) = &mut self.wakeups {
            observe::note_pods(evidence, wakeups.take_pods());
        }
        observe::observe(&self.cluster, evidence, detail, &self.name, Some(&self.uid), LOOK).await?;
        if let Some(account) = &mut self.account {
            if detail == observe::Detail::Full {
                account.ask_now();
            } else if detail >= observe::Detail::Waiting {
                account.ask();
            }
            account.hear(evidence, if detail == observe::Detail::Full { LAST_WORD } else { Duration::ZERO }).await;
        }
        Ok(())
    }

    async fn changed(&mut self, limit: Duration) {
        self.wakeups.get_or_insert_with(|| Wakeups::start(&self.cluster, &self.name, &self.uid)).changed(limit).await;
    }

    fn open_log(&mut self, attempt: &AttemptRecord, state: watch::Receiver<LogState>) -> mpsc::Receiver<LogEvent> {
        logs::follow_log(&self.cluster, &attempt.pod, &attempt.container_name, state, LogOptions::default())
    }

    async fn end(&mut self, evidence: &Evidence, ending: &Ending) -> Result<()> {
        jobs::end(&self.cluster, self.record(evidence)?, ending, Patience::CANCEL).await.map(drop)
    }

    async fn settle(&mut self, evidence: &Evidence, limit: Duration) -> Result<bool> {
        jobs::wait_until_no_pod(&self.cluster, self.record(evidence)?, limit).await
    }

    async fn renew_lease(&mut self, evidence: &Evidence) -> Result<()> {
        jobs::renew_lease(&self.cluster, self.record(evidence)?, self.age + self.since.elapsed(), LOOK).await.map(drop)
    }

    async fn drop_lease(&mut self, evidence: &Evidence) -> Result<()> {
        jobs::drop_lease(&self.cluster, self.record(evidence)?, Patience::CANCEL).await.map(drop)
    }

    async fn keep_verdict(&mut self, evidence: &Evidence, verdict: &Verdict, log_tail: &[u8]) {
        let Some(record) = evidence.job.as_ref().filter(|job| job.verdict.is_none() && evidence.job_gone.is_none()) else { return };
        let keep = async {
            let read = if log_tail.is_empty() { self.read_tail(evidence).await } else { Vec::new() };
            let tail = if log_tail.is_empty() { &read } else { log_tail };
            jobs::keep_verdict(&self.cluster, record, verdict, tail).await
        };
        // Without a kept verdict the Job's own conditions still tell the outcome.
        tokio::time::timeout(KEEP, keep).await.unwrap_or_default();
    }
}
