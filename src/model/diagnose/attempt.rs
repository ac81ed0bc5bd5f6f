//! How one attempt ended: container status first, then the pod's own words, then absence.

use jiff::Timestamp;

use super::{
    inquiry::{Inquiry, after},
    loss,
    wording::{inline, on_node},
};
use crate::model::{
    duration,
    evidence::{AttemptRecord, ContainerState, Termination},
    outcome::Outcome,
    package::bootstrap::FAILURE_PREFIX,
    reason::Reason,
    story::{Cause, Proof},
};

/// How long 137 and 143 are held: news of the node may explain them.
const HOLD_SECONDS: i64 = 45;
/// SIGKILL and SIGTERM: what a vanishing machine sends.
const SENT_BY_MACHINES: [i32; 2] = [137, 143];
/// Exit codes of shells and runtimes for a signal: 128 + 1 to 128 + 31.
const SIGNALS: std::ops::RangeInclusive<i32> = 129..=159;

/// What an attempt's evidence amounts to.
pub(super) enum Judgement {
    /// It goes on, or nothing is known of its end.
    Open,
    /// Killed without an explanation; one may come until then.
    Held(Timestamp),
    /// It was stopped from outside. Only the Job's conditions say by whom.
    Stopped,
    /// It ended.
    Ended(Box<End>),
}

/// How something ended, before it is a verdict about the job.
pub(super) struct End {
    pub(super) outcome: Outcome,
    pub(super) cause: Cause,
    pub(super) flow_exit_code: Option<i32>,
    pub(super) at: Option<Timestamp>,
    pub(super) warnings: Vec<String>,
}

impl End {
    pub(super) fn new(outcome: Outcome, cause: Cause, at: Option<Timestamp>) -> Self {
        Self { outcome, cause, flow_exit_code: None, at, warnings: Vec::new() }
    }

    pub(super) fn with_code(mut self, code: i32) -> Self {
        self.flow_exit_code = Some(code);
        self
    }

    fn judged(self) -> Judgement {
        Judgement::Ended(Box::new(self))
    }
}

/// Returns whether the runtime says that it could not start the container.
pub(super) fn is_start_error(reason: &str) -> bool {
    matches!(reason, "StartError" | "ContainerCannotRun" | "CreateContainerError" | "RunContainerError")
}

/// Returns how `attempt` ended.
pub(super) fn judge(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Judgement {
    if let Some(end) = attempt.termination().and_then(|termination| out_of_memory(inquiry, attempt, termination)) {
        return end.judged();
    }
    if let Some(end) = attempt.is_terminal().then(|| loss::by_pod_reason(inquiry, attempt)).flatten() {
        return end.judged();
    }
    match attempt.termination() {
        Some(termination) => judge_termination(inquiry, attempt, termination),
        None => judge_without_status(inquiry, attempt),
    }
}

fn judge_termination(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, termination: &Termination) -> Judgement {
    let code = termination.exit_code;
    if is_start_error(&termination.reason) || never_started(termination) {
        return start_error(inquiry, attempt, termination).judged();
    }
    if let (Some(end), true) = (loss::by_disruption(inquiry, attempt), code != 0) {
        return end.judged();
    }
    if was_stopped(attempt, termination) {
        return Judgement::Stopped;
    }
    if code == 0 {
        return succeeded(inquiry, attempt, Some(termination)).judged();
    }
    if SENT_BY_MACHINES.contains(&code)
        && let Some(finished) = termination.finished.filter(|_| attempt.node.is_some())
    {
        let until = after(finished, HOLD_SECONDS);
        return match loss::by_news_of_node(inquiry, attempt, finished, until) {
            Some(end) => end.judged(),
            None if inquiry.now < until => Judgement::Held(until),
            None => killed(inquiry, attempt, code).judged(),
        };
    }
    if SIGNALS.contains(&code) { killed(inquiry, attempt, code).judged() } else { failed(inquiry, attempt, code).judged() }
}

/// Judges a pod whose container has no status of its own: never started, or its kubelet is gone.
fn judge_without_status(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Judgement {
    if attempt.phase == "Succeeded" {
        return succeeded(inquiry, attempt, None).judged();
    }
    if attempt.phase != "Failed" && attempt.gone.is_none() && !matches!(attempt.container, ContainerState::Terminated(_)) {
        return Judgement::Open;
    }
    if let Some(end) = loss::by_disruption(inquiry, attempt).or_else(|| loss::by_event(inquiry, attempt)) {
        return end.judged();
    }
    if let Some(judgement) = failed_before_the_flow(inquiry, attempt) {
        return judgement;
    }
    if matches!(&attempt.container, ContainerState::Terminated(made_up) if was_stopped(attempt, made_up)) {
        return Judgement::Stopped;
    }
    loss::by_missing_status(inquiry, attempt).map_or(Judgement::Stopped, End::judged)
}

/// Returns whether the pod's deletion was asked for before its flow ended, and no disruption explains it.
fn was_stopped(attempt: &AttemptRecord, termination: &Termination) -> bool {
    let before = |deleted: Timestamp| termination.finished.is_none_or(|finished| deleted <= finished);
    attempt.disruption.is_none() && attempt.deleted.is_some_and(before)
}

/// Returns the flow's end at its memory limit; none when it ended with 0 all the same, or no memory was short.
fn out_of_memory(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, termination: &Termination) -> Option<End> {
    let code = termination.exit_code;
    let itself = termination.reason == "OOMKilled" || attempt.out_of_memory_kills > 0;
    let neighbour = attempt.others.iter().find(|(_, state)| matches!(state, ContainerState::Terminated(other) if other.reason == "OOMKilled"));
    // A killed sidecar says nothing about a flow that was not killed.
    if code == 0 || !itself && (neighbour.is_none() || code != 137) {
        return None;
    }
    let limit = memory_limit(inquiry, attempt);
    let (reason, summary) = if code == 137 && termination.reason == "OOMKilled" || !itself {
        (Reason::FlowOutOfMemory, format!("the flow was killed at {limit}"))
    } else if code == 137 {
        (Reason::FlowOutOfMemory, format!("the flow was killed after the memory ran out at {limit}"))
    } else {
        (Reason::FlowChildOutOfMemory, format!("a process of the flow was killed at {limit}, and the flow ended with code {code}"))
    };
    let cause = Cause::new(reason, summary).proven_by([exit_proof(attempt, termination)]).advising(larger_size(inquiry));
    let end = End::new(Outcome::OutOfMemory, cause, termination.finished);
    Some(if code == 137 { end } else { end.with_code(code) })
}

/// Returns `its memory limit of 2 GiB, peak 1.9 GiB`.
fn memory_limit(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> String {
    let limit = inquiry.footprint().memory;
    let peak = attempt.peak_memory.map(|peak| format!(", peak {}", crate::model::quantity::Memory(peak))).unwrap_or_default();
    if limit.0 > 0 { format!("its memory limit of {limit}{peak}") } else { "its memory limit".to_owned() }
}

/// Returns the end of a flow below a supervisor that ended with 0 although a process was killed at the memory limit: whether that was the
/// flow itself only the supervisor's word tells.
pub(super) fn supervised_out_of_memory(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, is_flow_itself: bool) -> Option<End> {
    let termination = attempt.termination().filter(|termination| termination.reason == "OOMKilled" || attempt.out_of_memory_kills > 0)?;
    let limit = memory_limit(inquiry, attempt);
    let (reason, summary) = if is_flow_itself {
        (Reason::FlowOutOfMemory, format!("the flow was killed at {limit}"))
    } else {
        (Reason::FlowChildOutOfMemory, format!("a process of the flow was killed at {limit}, and the flow failed"))
    };
    let cause = Cause::new(reason, summary).proven_by([exit_proof(attempt, termination)]).advising(larger_size(inquiry));
    Some(End::new(Outcome::OutOfMemory, cause, termination.finished))
}

fn larger_size(inquiry: &Inquiry<'_>) -> Vec<String> {
    let again = inquiry.rerun("--size LARGER").unwrap_or_else(|| "run it at a larger `--size`".to_owned());
    vec!["sbrun sizes".to_owned(), again]
}

/// Returns the end of a flow that ended with 0, with what else is worth knowing.
pub(super) fn succeeded(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, termination: Option<&Termination>) -> End {
    let proof = termination.map(|termination| exit_proof(attempt, termination));
    let cause = Cause::new(Reason::FlowSucceeded, "the flow ended with 0").proven_by(proof);
    let mut end = End::new(Outcome::Succeeded, cause, termination.and_then(|termination| termination.finished)).with_code(0);
    if termination.is_some_and(|termination| termination.reason == "OOMKilled") || attempt.out_of_memory_kills > 0 {
        let limit = inquiry.footprint().memory;
        end.warnings.push(format!("{}: a process of the flow was killed at its memory limit of {limit}", Reason::FlowChildOutOfMemory));
    }
    end
}

fn failed(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, code: i32) -> End {
    let reserved = crate::model::exit_code::ExitCode::RESERVED.iter().any(|reserved| i32::from(*reserved) == code);
    let because = if reserved { ", which means something else here: sbrun exits 1" } else { "" };
    let cause = Cause::new(Reason::FlowFailed, format!("the flow ended with code {code}{because}"));
    own_end(inquiry, attempt, Outcome::Failed, cause, code)
}

fn killed(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, code: i32) -> End {
    let signal = match code - 128 {
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    };
    let unexplained = if SENT_BY_MACHINES.contains(&code) { ", and nothing says who sent it" } else { "" };
    let cause = Cause::new(Reason::FlowKilled, format!("the flow was ended by {signal} (code {code}){unexplained}"));
    own_end(inquiry, attempt, Outcome::Killed, cause, code)
}

/// Returns an end that is the flow's own, with its last output as evidence.
fn own_end(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, outcome: Outcome, cause: Cause, code: i32) -> End {
    let termination = attempt.termination();
    let at = termination.and_then(|termination| termination.finished);
    let output = inquiry.last_output(attempt).map(|output| Proof::new("last lines of output", output, None));
    let cause = cause.proven_by(termination.map(|termination| exit_proof(attempt, termination))).proven_by(output);
    End::new(outcome, cause.advising(inquiry.sbrun("logs", "")), at).with_code(code)
}

/// Returns the end that the Job's own words give to a flow whose pod is gone.
pub(super) fn ended_with(inquiry: &Inquiry<'_>, attempt: Option<&AttemptRecord>, code: i32, proof: Proof) -> End {
    let nobody = AttemptRecord::default();
    let attempt = attempt.unwrap_or(&nobody);
    let at = proof.at;
    let mut end = match code {
        0 => succeeded(inquiry, attempt, None),
        code if SIGNALS.contains(&code) => killed(inquiry, attempt, code),
        code => failed(inquiry, attempt, code),
    };
    end.cause.evidence.insert(0, proof);
    end.at = end.at.or(at);
    end
}

fn start_error(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, termination: &Termination) -> End {
    let code = termination.exit_code;
    // Runtimes wrap the one telling part in the names of all their layers.
    let words = inline(&termination.message[termination.message.find("exec: ").unwrap_or(0)..]);
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let cause = Cause::new(Reason::FlowStartError, format!("the flow could not be started{} (code {code}){words}", on_node(attempt)))
        .proven_by([exit_proof(attempt, termination)])
        .advising(["see that the image has the interpreter and the flow's command, and that the file may be executed".to_owned()])
        .advising(inquiry.describe(attempt));
    End::new(Outcome::Rejected, cause, termination.finished)
}

/// Returns whether the container was started and the flow never was: the runtime writes `exec PATH: …` into the log when the kernel
/// refuses the program (runc then ends with 1, 126, 127 or 255), and so does sbrun's bootstrap in words of its own.
///
/// A shell script whose last command is not found also ends with 127, but that is the flow's own end.
fn never_started(termination: &Termination) -> bool {
    let output = termination.message.trim();
    let refused = output.strip_prefix("exec ").is_some_and(|rest| !output.contains('\n') && rest.starts_with('/') && rest.contains(": "));
    match termination.exit_code {
        126 | 127 => refused || output.starts_with(FAILURE_PREFIX),
        1 | 255 => refused,
        _ => false,
    }
}

/// Judges a pod in which another container failed before the flow's could start. One that ended because its pod was told to go says nothing.
fn failed_before_the_flow(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Judgement> {
    let failure = |state: &ContainerState| match state {
        ContainerState::Terminated(termination) if termination.exit_code != 0 => Some(termination.clone()),
        _ => None,
    };
    let unstarted = matches!(attempt.container, ContainerState::Unknown | ContainerState::Waiting { .. });
    let (name, termination) = attempt.others.iter().filter(|_| unstarted).find_map(|(name, state)| Some((name, failure(state)?)))?;
    if was_stopped(attempt, &termination) {
        return Some(Judgement::Stopped);
    }
    let code = termination.exit_code;
    let text = format!("{} (exit code {code}) {}", termination.reason, termination.message);
    let proof = Proof::new(format!("status of container {name} of {}", attempt.label()), text, termination.finished);
    let logs = inquiry.kubectl(&format!("logs {} -c {name}", attempt.pod));
    let cause = Cause::new(Reason::FlowStartError, format!("container `{name}` ended with code {code} before the flow could start"));
    Some(End::new(Outcome::Rejected, cause.proven_by([proof]).advising(logs), termination.finished).judged())
}

/// Returns the end of an attempt that ran longer than it may, or that never came to run on its node.
pub(super) fn run_timeout(inquiry: &Inquiry<'_>, attempt: &AttemptRecord, proof: Proof) -> End {
    let limit = inquiry.plan().map(|plan| format!(" of {}", duration::format(plan.limits.timeout))).unwrap_or_default();
    let at = attempt.termination().and_then(|termination| termination.finished).or(proof.at);
    if attempt.started().is_none() && attempt.termination().is_none() {
        let summary = format!("the job had a node, but the flow did not start within the time{limit}");
        let cause = Cause::new(Reason::TimeoutPending, summary).proven_by([proof]).advising(inquiry.describe(attempt));
        return End::new(Outcome::NoNode, cause, at);
    }
    let output = inquiry.last_output(attempt).map(|output| Proof::new("last lines of output", output, None));
    let cause = Cause::new(Reason::TimeoutRun, format!("the flow ran longer than its timeout{limit}"))
        .proven_by([proof])
        .proven_by(output)
        .advising(inquiry.sbrun("logs", ""))
        .advising(["submit it with a longer `--timeout`, or at a larger size".to_owned()]);
    End::new(Outcome::TimedOut, cause, at)
}

fn exit_proof(attempt: &AttemptRecord, termination: &Termination) -> Proof {
    let message = if is_start_error(&termination.reason) { format!(": {}", termination.message) } else { String::new() };
    let text = format!("{} (exit code {}){message}", termination.reason, termination.exit_code);
    Proof::new(format!("status of the flow's container in {}", attempt.label()), text, termination.finished)
}
