//! Flow runs of Prefect.

use super::{
    super::builders::*,
    Expected::{Over, Waits},
    Scenario, scenario,
};
use crate::model::{
    evidence::{Evidence, Maker},
    node_group::Sighting,
    outcome::Outcome::{Cancelled, Failed, Lost, Rejected, Succeeded, Unknown},
    prefect::flow_run::{FlowRun, FlowRunRecord, State, StateType, WorkPool, Worker},
    reason::Reason::*,
    story::Phase,
};

pub(in super::super) fn mk_record(kind: StateType, name: &str, message: &str, since: i64) -> FlowRunRecord {
    let message = Some(message.to_owned()).filter(|message| !message.is_empty());
    let state = State { kind, name: name.into(), message, since: Some(at(since)) };
    let run =
        FlowRun { id: "id".into(), name: "calm-crab".into(), state, work_pool: Some("flows".into()), created: Some(at(0)), ..FlowRun::default() };
    FlowRunRecord { run, page: "http://prefect/runs/flow-run/id".into(), ..FlowRunRecord::default() }
}

pub(in super::super) fn with_state(evidence: Evidence, kind: StateType, name: &str, message: &str, since: i64) -> Evidence {
    evidence.with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        (job.maker, job.plan) = (Maker::PrefectWorker, None);
        evidence.flow_run = Sighting::Seen { value: mk_record(kind, name, message, since), at: at(since) };
    })
}

/// Returns evidence of a Job that is `Complete`, as Prefect leaves it after every end.
pub(in super::super) fn mk_complete() -> Evidence {
    mk_evidence([mk_ended(0, "Completed").with(|attempt| attempt.phase = "Succeeded".into())]).with(|evidence| {
        let job = evidence.job.as_mut().expect("a job");
        job.conditions = vec![mk_condition("Complete", "", "", at(101))];
        job.finished = Some(at(101));
    })
}

/// Returns evidence of a run that no worker has taken up; the pool's worker is there, away, or was never there.
pub(in super::super) fn mk_waiting_for_worker(state: &str, is_paused: bool, is_online: Option<bool>) -> Evidence {
    let workers = is_online.map(|is_online| Worker { name: "w".into(), is_online, last_heartbeat: Some(at(1)) });
    let pool = WorkPool { name: "flows".into(), is_paused, workers: workers.into_iter().collect(), ..WorkPool::default() };
    let record = FlowRunRecord { pool: Some(pool), ..mk_record(StateType::Scheduled, state, "", 5) };
    Evidence { flow_run: Sighting::Seen { value: record, at: at(9) }, ..Evidence::default() }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let paused = Evidence { flow_run: Sighting::Seen { value: mk_record(StateType::Paused, "Suspended", "", 5), at: at(9) }, ..Evidence::default() };
    let state = |kind, name, message| with_state(mk_complete(), kind, name, message, 100);
    let stranded = state(StateType::Scheduled, "AwaitingRetry", "").with(|evidence| {
        let Sighting::Seen { value, .. } = &mut evidence.flow_run else { panic!("a flow run") };
        value.run.retry_type = Some("in_process".into());
    });
    let refused = with_state(mk_evidence([]), StateType::Crashed, "Crashed", "Failed to submit flow run to infrastructure: no", 100);
    let unseen = state(StateType::Running, "", "").with(|evidence| evidence.flow_run = Sighting::Unseen("the flow run: no answer".into()));
    vec![
        scenario("waits for the worker's next question", mk_waiting_for_worker("Late", false, Some(true)), Waits(PrefectScheduled, Phase::Pending)),
        scenario("its worker is away", mk_waiting_for_worker("Late", false, Some(false)), Waits(PrefectNoWorker, Phase::Pending)),
        scenario("its pool never had a worker", mk_waiting_for_worker("Scheduled", false, None), Waits(PrefectNoWorker, Phase::Pending)),
        scenario("its pool is paused", mk_waiting_for_worker("Late", true, Some(true)), Waits(PrefectPoolPaused, Phase::Pending)),
        scenario(
            "its pool is full",
            mk_waiting_for_worker("AwaitingConcurrencySlot", false, Some(true)),
            Waits(PrefectConcurrencyLimit, Phase::Pending),
        ),
        scenario("suspended in Prefect", paused, Waits(PrefectPaused, Phase::Pending)),
        scenario("starts again", state(StateType::Scheduled, "AwaitingRetry", ""), Waits(PrefectAwaitingRetry, Phase::Pending)),
        scenario("nobody starts it again", stranded, Over(Lost, LostStranded, 75, None)),
        scenario("completed", state(StateType::Completed, "Completed", "All states completed."), Over(Succeeded, FlowSucceeded, 0, Some(0))),
        scenario("failed, and its Job is Complete", state(StateType::Failed, "Failed", "boom"), Over(Failed, FlowFailed, 1, Some(1))),
        scenario("cancelled in Prefect", state(StateType::Cancelled, "Cancelled", ""), Over(Cancelled, CancelledByUser, 143, None)),
        scenario("crashed", state(StateType::Crashed, "Crashed", "aborted"), Over(Failed, FlowCrashed, 1, Some(1))),
        scenario("its process died unseen", state(StateType::Running, "Running", ""), Over(Failed, FlowCrashed, 1, Some(1))),
        scenario("its Job was refused", refused, Over(Rejected, RejectedAdmission, 78, None)),
        Scenario { now: 400, ..scenario("nobody can say how it ended", unseen, Over(Unknown, UnknownPrefect, 76, None)) },
    ]
}
