//! A story for people: the answer of `why`, and the verdict at the end.

use jiff::Timestamp;

use crate::{
    model::{
        evidence::Evidence,
        outcome::Outcome,
        prefect::flow_run::FlowRunRecord,
        quantity::Memory,
        story::{Cause, Phase, Story, Verdict},
    },
    output::{
        style::{Painter, Role},
        wording,
    },
};

/// Returns the mark of an outcome: its meaning stands beside it in words.
fn mark(outcome: Outcome) -> (&'static str, Role) {
    match outcome {
        Outcome::Succeeded => ("✓", Role::Good),
        Outcome::Detached | Outcome::Cancelled => ("•", Role::Caution),
        _ => ("✗", Role::Bad),
    }
}

/// Returns the verdict block: outcome, cause, times, memory, next step.
#[must_use]
pub fn verdict_block(evidence: &Evidence, verdict: &Verdict, painter: Painter) -> String {
    let (mark, role) = mark(verdict.outcome);
    let words = verdict.outcome.words();
    // "cancelled by ana" says the outcome itself.
    let summary = wording::flat(&verdict.cause.summary);
    let rest = summary.strip_prefix(&words).map_or_else(|| format!(": {summary}"), ToOwned::to_owned);
    let mut head = format!("{}{rest}", painter.paint(role, &format!("{mark} {words}")));
    if verdict.outcome != Outcome::Succeeded {
        head += &painter.paint(Role::Faint, &format!("  [{}]", verdict.cause.reason));
    }
    let mut lines = vec![head];
    let facts = facts(evidence, verdict);
    if !facts.is_empty() {
        lines.push(painter.paint(Role::Faint, &format!("  {}", facts.join(" · "))));
    }
    lines.extend(verdict.warnings.iter().map(|warning| format!("  {} {}", painter.paint(Role::Caution, "warning:"), wording::flat(warning))));
    lines.extend(next_lines(&verdict.cause, painter));
    lines.join("\n")
}

fn facts(evidence: &Evidence, verdict: &Verdict) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(seconds) = verdict.run_seconds {
        facts.push(format!("run {}", wording::span(seconds)));
    }
    match (verdict.waited_seconds, verdict.scale_up_seconds) {
        (Some(waited), Some(machine)) => facts.push(format!("waited {}, {} of it for the machine", wording::span(waited), wording::span(machine))),
        (Some(waited), None) => facts.push(format!("waited {}", wording::span(waited))),
        (None, _) => {}
    }
    let attempts = verdict.attempts + evidence.earlier_attempts();
    if attempts > 1 {
        facts.push(wording::count(attempts as usize, "attempt"));
    }
    let limit = evidence.job.as_ref().map(|job| job.footprint.memory).filter(|memory| memory.0 > 0);
    match (verdict.peak_memory, limit) {
        (Some(peak), Some(limit)) => facts.push(format!("peak {} of {limit}", Memory(peak))),
        (Some(peak), None) => facts.push(format!("peak {}", Memory(peak))),
        (None, Some(limit)) if verdict.outcome == Outcome::OutOfMemory => facts.push(format!("limit {limit}")),
        (None, _) => {}
    }
    if let Some(milliseconds) = verdict.cpu_milliseconds {
        facts.push(format!("CPU {}.{}s", milliseconds / 1000, milliseconds % 1000 / 100));
    }
    facts
}

fn next_lines(cause: &Cause, painter: Painter) -> Vec<String> {
    let heading = |index: usize| if index == 0 { "  next: " } else { "        " };
    cause.next.iter().enumerate().map(|(index, step)| format!("{}{}", heading(index), painter.paint(Role::Command, &wording::flat(step)))).collect()
}

/// Returns a whole story: what `why` prints.
#[must_use]
pub fn story_block(evidence: &Evidence, story: &Story, now: Timestamp, painter: Painter) -> String {
    let mut lines = Vec::new();
    let job = evidence.job.as_ref();
    if !evidence.name().is_empty() {
        let run = || evidence.flow_run.value()?.run.size().map(ToOwned::to_owned);
        let size = job.and_then(|job| job.size.clone()).or_else(run).map(|size| format!("  size {}", wording::flat(&size))).unwrap_or_default();
        let user = job.and_then(|job| job.user.as_ref()).map(|user| format!("  by {}", wording::flat(user))).unwrap_or_default();
        lines.push(format!("{}{size}{user}", painter.paint(Role::Strong, &wording::flat(evidence.name()))));
    }
    if let Some(FlowRunRecord { run, page, .. }) = evidence.flow_run.value() {
        lines.push(painter.paint(Role::Faint, &format!("  flow run {} is {}: {page}", wording::flat(&run.name), wording::flat(&run.state.name))));
    }
    lines.extend(timeline(story, now, painter));
    match &story.verdict {
        Some(verdict) => lines.push(verdict_block(evidence, verdict, painter)),
        None => lines.extend(story.cause.iter().flat_map(|cause| cause_lines(cause, painter)).chain(outlook(story))),
    }
    let proofs =
        story.verdict.as_ref().map(|verdict| &verdict.cause).or(story.cause.as_ref()).map(|cause| cause.evidence.as_slice()).unwrap_or_default();
    if !proofs.is_empty() {
        lines.push(painter.paint(Role::Faint, "  evidence:"));
    }
    for proof in proofs {
        let age = proof.at.map(|at| format!(", {} ago", wording::age(now.duration_since(at)))).unwrap_or_default();
        lines.push(format!("    {}{}", proof.text.trim().replace('\n', "\n    "), painter.paint(Role::Faint, &format!("  ({}{age})", proof.source))));
    }
    for cause in &story.details {
        lines.push(format!("  also: {}{}", wording::flat(&cause.summary), painter.paint(Role::Faint, &format!("  [{}]", cause.reason))));
    }
    lines.extend(story.unknown.iter().map(|unknown| format!("  not known: {}", wording::flat(unknown))));
    if story.verdict.is_none() {
        lines.extend(story.cause.iter().flat_map(|cause| next_lines(cause, painter)));
    }
    lines.join("\n")
}

/// Returns the place in the queue, or how long it usually takes, for a story that is not over.
fn outlook(story: &Story) -> Option<String> {
    match (story.place, story.usual_seconds) {
        (Some((place, of)), _) => Some(format!("  {} of {} that wait for this size", wording::ordinal(place), wording::count(of as usize, "job"))),
        (None, Some(seconds)) => Some(format!("  a machine of this size usually takes {}", wording::span(seconds))),
        (None, None) => None,
    }
}

fn cause_lines(cause: &Cause, painter: Painter) -> Vec<String> {
    vec![format!("  {}{}", wording::flat(&cause.summary), painter.paint(Role::Faint, &format!("  [{}]", cause.reason)))]
}

/// Returns the phases with their times of day, below the date where it changes.
fn timeline(story: &Story, now: Timestamp, painter: Painter) -> Vec<String> {
    let attempts = story.phases.iter().map(|start| start.attempt).max().unwrap_or(1);
    let ends = story.phases.iter().skip(1).map(|start| Some(start.since)).chain([None]);
    let mut lines = Vec::new();
    let mut date = String::new();
    for (start, end) in story.phases.iter().zip(ends) {
        let today = start.since.strftime("%Y-%m-%d").to_string();
        if today != date {
            lines.push(format!("  {}", painter.paint(Role::Faint, &today)));
            date = today;
        }
        let until = end.or_else(|| story.verdict.as_ref().and_then(|verdict| verdict.finished)).unwrap_or(now);
        let seconds = until.duration_since(start.since).as_secs();
        let lasted = if start.phase == Phase::Finished { String::new() } else { wording::span(seconds) };
        let attempt = if attempts > 1 { format!("  attempt {}", start.attempt) } else { String::new() };
        let clock = start.since.strftime("%H:%M:%SZ").to_string();
        let words = format!("{:<10} {lasted:>7}{attempt}", start.phase.as_str());
        lines.push(format!("  {}  {}", painter.paint(Role::Faint, &clock), words.trim_end()));
    }
    lines
}

/// Returns the one line that says where a job stands, without its name.
#[must_use]
pub fn status_line(story: &Story) -> String {
    let phase = story.phase.as_str().replace('_', " ");
    let words = match (story.place, story.usual_seconds) {
        (Some((place, of)), _) => format!("{phase} ({} of {of})", wording::ordinal(place)),
        (None, Some(seconds)) => format!("{phase} (usually {})", wording::span(seconds)),
        (None, None) => phase,
    };
    match &story.cause {
        Some(cause) => format!("{words}: {}", wording::flat(&cause.summary)),
        None => words,
    }
}
