//! The Prefect flow run that a job is of, watched beside the cluster: its state is the verdict, and names its newest Job.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    environment::Environment,
    error::{Error, Result},
    kubernetes::labels,
    model::{
        evidence::{Ending, Evidence, JobRecord},
        node_group::Sighting,
        outcome::Outcome,
        prefect::flow_run::{FlowRun, FlowRunRecord, State, StateType, WorkPool},
        story::Verdict,
    },
    prefect::Server,
};

/// How long one look may take before the flow run counts as unseen.
const LOOK: Duration = Duration::from_secs(8);
/// How often to look for the pool's workers.
const POOL_INTERVAL: Duration = Duration::from_secs(6);
/// How often to look whether a run that is being cancelled has ended.
const CANCEL_INTERVAL: Duration = Duration::from_millis(500);

/// What became of ending a run in Prefect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It had ended before.
    AlreadyOver,
    /// Its flow was asked and has ended.
    EndedItself,
    /// Its state says so; its process, if it has one, does not know yet.
    Told,
    /// Its process has to end first.
    Cancelling,
}

/// A flow run and where to ask for it.
#[derive(Debug)]
pub(super) struct FlowRunWatch {
    id: String,
    /// The API, or why there is none to ask.
    server: Result<Server, String>,
    /// `flow/deployment`, where it is known.
    deployment: Option<String>,
    pool: Option<WorkPool>,
    pool_asked: Option<Instant>,
}

impl FlowRunWatch {
    /// Returns a watch on the run that a Job is of; nothing for a Job that is of none.
    pub(super) fn of(job: &JobRecord, environment: &Environment) -> Option<Self> {
        let id = job.flow_run.clone()?;
        let server = match Server::find(environment) {
            Ok(Some(server)) => Ok(server),
            Ok(None) => Err("the flow run: no Prefect API is known here (PREFECT_API_URL, or a profile)".to_owned()),
            Err(error) => Err(format!("the flow run: {}", error.message())),
        };
        let names = job.labels.get(labels::PREFECT_FLOW).zip(job.labels.get(labels::PREFECT_DEPLOYMENT));
        let deployment = names.map(|(flow, deployment)| format!("{flow}/{deployment}"));
        Some(Self { id, server, deployment, pool: None, pool_asked: None })
    }

    /// Returns a watch on a run that may have no Job yet.
    pub(super) fn new(server: Server, id: String, deployment: Option<String>) -> Self {
        Self { id, server: Ok(server), deployment, pool: None, pool_asked: None }
    }

    /// Adds what Prefect says of the run to `evidence`. What was seen of its end is never forgotten; else a state that cannot be seen
    /// now is not known.
    pub(super) async fn observe(&mut self, evidence: &mut Evidence, closely: bool, now: Timestamp) {
        let ended = evidence
            .flow_run
            .value()
            .is_some_and(|record| matches!(record.run.state.kind, StateType::Completed | StateType::Failed | StateType::Cancelled));
        if ended {
            return;
        }
        let server = match &self.server {
            Ok(server) => server.clone(),
            Err(why) => {
                evidence.flow_run = Sighting::Unseen(why.clone());
                return;
            }
        };
        evidence.flow_run = match tokio::time::timeout(LOOK, server.flow_run(&self.id)).await {
            Ok(Ok(Some(run))) => {
                self.ask_for_pool(&server, &run, closely).await;
                let page = server.settings().flow_run_page(&run.id);
                let record = FlowRunRecord { run, deployment: self.deployment.clone(), pool: self.pool.clone(), page };
                Sighting::Seen { value: record, at: now }
            }
            Ok(Ok(None)) => Sighting::Absent { at: now },
            Ok(Err(error)) => Sighting::Unseen(format!("the flow run: {}", error.message())),
            Err(_) => Sighting::Unseen(format!("the flow run: the Prefect API at `{}` does not answer", server.api_url())),
        };
    }

    /// Looks who would take the run up, while it waits for somebody to.
    async fn ask_for_pool(&mut self, server: &Server, run: &FlowRun, closely: bool) {
        let Some(name) = run.work_pool.as_ref().filter(|_| run.state.kind == StateType::Scheduled) else { return };
        let due = self.pool_asked.is_none_or(|asked| asked.elapsed() >= POOL_INTERVAL);
        if (closely || self.pool.is_none()) && due {
            self.pool_asked = Some(Instant::now());
            if let Ok(Ok(Some(pool))) = tokio::time::timeout(LOOK, server.work_pool_and_workers(name)).await {
                self.pool = Some(pool);
            }
        }
    }

    /// Ends the run in Prefect before anything is done to its Job: a deleted Job would be made again.
    ///
    /// Under a supervisor, as workers start one, a run whose flow runs is asked to cancel itself, and gets `patience` for it.
    pub(super) async fn stop(&self, ending: &Ending, is_supervised: bool, patience: Duration) -> Result<Stop> {
        let server = self.server.as_ref().map_err(|why| Error::failed(format!("cannot end the run in Prefect: {why}")))?;
        let run = server.flow_run(&self.id).await?.filter(|run| !run.state.kind.is_terminal());
        let Some(run) = run else { return Ok(Stop::AlreadyOver) };
        let message = words(ending);
        if is_supervised && matches!(run.state.kind, StateType::Running | StateType::Cancelling) {
            let begun = Instant::now();
            let mut state = server.set_state(&self.id, StateType::Cancelling, "Cancelling", &message).await?;
            while !state.kind.is_terminal() && begun.elapsed() < patience {
                tokio::time::sleep(CANCEL_INTERVAL).await;
                state = server.flow_run(&self.id).await?.map_or_else(State::default, |run| run.state);
            }
            if state.kind.is_terminal() {
                return Ok(Stop::EndedItself);
            }
        }
        if is_supervised || run.state.kind != StateType::Running {
            server.set_state(&self.id, StateType::Cancelled, "Cancelled", &message).await?;
            return Ok(Stop::Told);
        }
        // The engine calls what ends it a crash, whatever the state was: the last word comes after its own.
        server.set_state(&self.id, StateType::Cancelling, "Cancelling", &message).await?;
        Ok(Stop::Cancelling)
    }

    /// Says of a run whose process is over that it was cancelled.
    pub(super) async fn cancelled(&self, ending: &Ending) -> Result<()> {
        let Ok(server) = &self.server else { return Ok(()) };
        server.correct_state(&self.id, StateType::Cancelled, "Cancelled", &words(ending)).await.map(drop)
    }

    /// Closes a run that is over by the verdict and not by its state: its process died, and nobody else may ever tell Prefect.
    pub(super) async fn close(&self, evidence: &Evidence, verdict: &Verdict) {
        let Some(state) = evidence.flow_run.value().map(|record| record.run.state.kind) else { return };
        if let (Some(ending), Outcome::Cancelled) = (evidence.ending(), verdict.outcome) {
            if state != StateType::Cancelled {
                drop(self.cancelled(ending).await);
            }
            return;
        }
        let (Ok(server), true) = (&self.server, !state.is_terminal() && verdict.outcome != Outcome::Unknown) else { return };
        let (kind, name) = match verdict.outcome {
            Outcome::Cancelled => (StateType::Cancelled, "Cancelled"),
            Outcome::Succeeded => return, // its process tells that itself, or it is not true
            Outcome::Failed => (StateType::Failed, "Failed"),
            _ => (StateType::Crashed, "Crashed"),
        };
        let message = format!("{} ({})", verdict.cause.summary, verdict.cause.reason);
        // A run that Prefect closed meanwhile stays as it is.
        drop(server.set_state(&self.id, kind, name, &message).await);
    }
}

/// Returns who ended a run, for Prefect.
fn words(ending: &Ending) -> String {
    let said = ending.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{} by {} with sbrun{said}", if ending.outcome == Outcome::Cancelled { "cancelled" } else { "ended" }, ending.by)
}
