//! A job on the cluster, as the loop sees it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{
    Detail, RunningJob,
    account::AccountWatch,
    flow_run::{FlowRunWatch, Stop},
};
use crate::{
    environment::{Environment, since_boot},
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        jobs::{self, Deletion, Ended},
        logs::{self, LogOptions},
        observe,
        retry::{Pace, Patience},
        watch::Wakeups,
    },
    model::{
        evidence::{AttemptRecord, ContainerState, Ending, Evidence, JobRecord, Maker},
        instance_map::InstanceMap,
        job_event::{LogEvent, LogState},
        log_resume::Stamps,
        prefect::flow_run::FlowRun,
        story::Verdict,
    },
    prefect::Server,
};

/// How long one look may take before the loop says that the server does not answer.
const LOOK: Patience = Patience(Duration::from_secs(10));
/// How long a close look goes on whatever changes meanwhile.
const UNDISTURBED: Duration = Duration::from_secs(1);
/// How long the cloud account may take to say why a machine is gone.
const LAST_WORD: Duration = Duration::from_secs(4);
/// How long leaving the verdict may take.
const KEEP: Duration = Duration::from_secs(5);
/// How long keeping the last output may take, on the way out.
const KEEP_TAIL: Duration = Duration::from_secs(1);
/// How many lines are read for the verdict of a job whose output nobody followed.
const TAIL_LINES: u64 = 40;

/// How long a flow that runs may take to cancel itself, once Prefect was told.
const CANCEL: Duration = Duration::from_secs(2);
/// How often to look for the first Job of a flow run.
const LOOK_FOR_JOB: Duration = Duration::from_secs(1);

/// A Job on a cluster, or a flow run of Prefect with the Jobs that a worker makes for it, one after the other.
pub struct ClusterJob {
    cluster: Cluster,
    environment: Environment,
    /// The Job that counts now; none while a flow run has none.
    current: Option<Current>,
    flow_run: Option<FlowRunWatch>,
    account: Option<AccountWatch>,
    /// The sizes, for Jobs that record nothing but the name of theirs.
    map: Option<InstanceMap>,
    since: Duration,
    age: Duration,
}

/// One Job.
struct Current {
    name: String,
    uid: String,
    wakeups: Option<Wakeups>,
}

impl Current {
    fn of(record: &JobRecord) -> Self {
        Self { name: record.name.clone(), uid: record.uid.clone(), wakeups: None }
    }
}

impl ClusterJob {
    /// Returns a handle on the Job that `record` describes; a Job of the same name that is created later is another one.
    ///
    /// `environment` leads to the cloud account, which is asked about the node groups of the Job's size.
    #[must_use]
    pub fn new(cluster: Cluster, record: &JobRecord, environment: &Environment) -> Self {
        Self {
            cluster,
            current: Some(Current::of(record)),
            flow_run: FlowRunWatch::of(record, environment),
            account: AccountWatch::of(record, None, environment),
            map: None,
            environment: environment.clone(),
            since: since_boot(),
            age: Duration::ZERO,
        }
    }

    /// Returns a handle on a flow run that may have no Job yet. `deployment` is `flow/deployment`, where it is known.
    #[must_use]
    pub fn of_flow_run(cluster: Cluster, server: Server, run: &FlowRun, deployment: Option<String>, environment: &Environment) -> Self {
        Self {
            cluster,
            current: None,
            flow_run: Some(FlowRunWatch::new(server, run.id.clone(), deployment)),
            account: None,
            map: None,
            environment: environment.clone(),
            since: since_boot(),
            age: Duration::ZERO,
        }
    }

    /// Lets the instance map say which node groups a Job of a Prefect worker may run on: it records its size alone. `record` is the Job,
    /// where there is one already.
    #[must_use]
    pub fn sized_by(self, map: Option<InstanceMap>, record: Option<&JobRecord>) -> Self {
        let found = record.filter(|_| self.account.is_none()).and_then(|record| AccountWatch::of(record, map.as_ref(), &self.environment));
        Self { account: self.account.or(found), map, ..self }
    }

    /// Adds what the cloud account says of the Job's node groups, waiting for its answer as long as `patience`.
    pub async fn ask_account(&mut self, evidence: &mut Evidence, patience: Duration) {
        if let Some(account) = &mut self.account {
            account.ask();
            account.hear(evidence, patience).await;
        }
    }

    /// Makes this the handle of a follower of this one job, see [`ClusterJob::paced`].
    #[must_use]
    pub fn followed(self) -> Self {
        self.paced(&Arc::new(Pace::of_jobs(1)))
    }

    /// Makes this the handle of a follower, who asks no more than `pace` lets through.
    #[must_use]
    pub fn paced(self, pace: &Arc<Pace>) -> Self {
        Self { cluster: self.cluster.paced(pace.clone()), ..self }
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
        let name = self.current.as_ref().map_or("", |current| current.name.as_str());
        evidence.job.as_ref().ok_or_else(|| Error::failed(format!("Job `{name}` has not been seen yet")))
    }

    /// Turns to the newest Job of the flow run, as its worker notes it: after a loss Prefect has another one made.
    async fn turn_to_newest(&mut self, evidence: &mut Evidence) -> Result<()> {
        // sbrun's own Job is the only one of its run.
        if evidence.job.as_ref().is_some_and(|job| job.maker == Maker::Sbrun) {
            return Ok(());
        }
        let Some(noted) = evidence.flow_run.value().and_then(|record| record.run.infrastructure.as_deref()) else { return Ok(()) };
        let (namespace, name) = noted.split_once(':').unwrap_or((self.cluster.namespace.as_str(), noted));
        if self.current.as_ref().is_some_and(|current| current.name == name) {
            return Ok(());
        }
        if namespace != self.cluster.namespace {
            let sentence = format!("the Job `{name}` of the flow run: it is in namespace `{namespace}`, `-n {namespace}` looks there");
            if !evidence.unknown.contains(&sentence) {
                evidence.unknown.push(sentence);
            }
            return Ok(());
        }
        // One that is gone by now was deleted, and Prefect notes its successor soon.
        if let Some(record) = jobs::read(&self.cluster, name).await? {
            self.current = Some(Current::of(&record));
            self.account = AccountWatch::of(&record, self.map.as_ref(), &self.environment);
            (evidence.job_gone, evidence.job) = (None, Some(record));
        }
        Ok(())
    }

    /// Ends the job: in Prefect first, which would start it again otherwise, then its Job. Returns whether there was something to end.
    ///
    /// `patience` is how long a flow that runs under a worker may take to cancel itself. A worker's Job that never ran goes at once.
    pub async fn stop(&mut self, evidence: &Evidence, ending: &Ending, patience: Duration) -> Result<bool> {
        let by_worker = evidence.job.as_ref().is_none_or(|job| job.maker == Maker::PrefectWorker);
        let mut has_last_word = false;
        if let Some(flow_run) = &self.flow_run {
            match flow_run.stop(ending, by_worker, patience).await {
                Ok(Stop::AlreadyOver) if by_worker => return Ok(false),
                Ok(Stop::EndedItself) => return Ok(true),
                Err(error) if by_worker => return Err(error.hinted("its Job was left alone: without the state in Prefect another one would be made")),
                // The Job of sbrun's own is ended all the same; a worker's observer closes the run that could not be told.
                Ok(Stop::AlreadyOver | Stop::Told) | Err(_) => {}
                Ok(Stop::Cancelling) => has_last_word = true,
            }
        }
        let Some(record) = &evidence.job else { return Ok(true) };
        let ran =
            evidence.attempts.last().is_some_and(|attempt| !matches!(attempt.container, ContainerState::Waiting { .. } | ContainerState::Unknown));
        if by_worker && !ran {
            return jobs::delete(&self.cluster, &record.into()).await.map(|deletion| deletion == Deletion::Deleted);
        }
        let ended = jobs::end(&self.cluster, record, ending, Patience(patience.max(Patience::CANCEL.0))).await?;
        if let Some(flow_run) = self.flow_run.as_ref().filter(|_| has_last_word)
            && jobs::wait_until_no_pod(&self.cluster, record, patience).await?
        {
            flow_run.cancelled(ending).await?; // else a follower does, once it sees the end
        }
        Ok(matches!(ended, Ended::Ending(_) | Ended::Deleted))
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
        if let Some(flow_run) = &mut self.flow_run {
            flow_run.observe(evidence, detail >= observe::Detail::Waiting, self.cluster.now()).await;
            self.turn_to_newest(evidence).await?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        if let Some(wakeups) = &mut current.wakeups {
            observe::note_pods(evidence, wakeups.take_pods());
        }
        observe::observe(&self.cluster, evidence, observe::Detail::Basic, &current.name, Some(&current.uid), LOOK).await?;
        if detail >= observe::Detail::Waiting {
            observe::look_at_nodes(&self.cluster, evidence, LOOK).await;
            let looking = observe::look_around(&self.cluster, evidence, detail, LOOK);
            // What explains a wait takes many requests, and so its time; that the wait is over may not have to wait for it.
            let overtaken = async {
                match &current.wakeups {
                    Some(wakeups) if detail == observe::Detail::Waiting => {
                        tokio::time::sleep(UNDISTURBED).await;
                        wakeups.has_changed().await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = looking => {}
                () = overtaken => {}
            }
        }
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
        let Some(Current { name, uid, wakeups }) = &mut self.current else { return tokio::time::sleep(limit.min(LOOK_FOR_JOB)).await };
        wakeups.get_or_insert_with(|| Wakeups::start(&self.cluster, name, uid)).changed(limit).await;
    }

    fn open_log(&mut self, attempt: &AttemptRecord, state: watch::Receiver<LogState>, stamps: Stamps) -> mpsc::Receiver<LogEvent> {
        logs::follow_log(&self.cluster, &attempt.pod, &attempt.container_name, state, LogOptions { stamps, ..LogOptions::default() })
    }

    async fn end(&mut self, evidence: &Evidence, ending: &Ending) -> Result<()> {
        self.stop(evidence, ending, CANCEL).await.map(drop)
    }

    async fn settle(&mut self, evidence: &Evidence, limit: Duration) -> Result<bool> {
        if self.current.is_none() {
            return Ok(true);
        }
        jobs::wait_until_no_pod(&self.cluster, self.record(evidence)?, limit).await
    }

    async fn renew_lease(&mut self, evidence: &Evidence) -> Result<()> {
        jobs::renew_lease(&self.cluster, self.record(evidence)?, self.age + since_boot().saturating_sub(self.since), LOOK).await.map(drop)
    }

    async fn drop_lease(&mut self, evidence: &Evidence) -> Result<()> {
        jobs::drop_lease(&self.cluster, self.record(evidence)?, Patience::CANCEL).await.map(drop)
    }

    async fn keep_verdict(&mut self, evidence: &Evidence, verdict: &Verdict, log_tail: &[u8]) {
        if let Some(flow_run) = &self.flow_run {
            tokio::time::timeout(KEEP, flow_run.close(evidence, verdict)).await.unwrap_or_default();
        }
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
