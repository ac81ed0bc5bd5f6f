//! How causes speak: names, amounts of time, and commands to type.

use super::inquiry::Inquiry;
use crate::model::evidence::AttemptRecord;

/// How many items a sentence or a piece of evidence lists before it counts the rest.
const LISTED: usize = 5;
/// How many lines of the flow's output a cause quotes.
const QUOTED_LINES: usize = 5;
/// How much of one line of output a cause quotes, in characters.
const QUOTED_LINE: usize = 200;

impl Inquiry<'_> {
    /// Returns the size in words: ``size `xlarge` ``, else `this job`.
    pub(super) fn size(&self) -> String {
        let size = self.plan().and_then(|plan| plan.size.as_ref());
        size.map_or_else(|| "this job".to_owned(), |size| format!("size `{size}`"))
    }

    /// Returns `sbrun <verb> NAME <rest>`; nothing for a process of this machine, which no other command can name.
    pub(super) fn sbrun(&self, verb: &str, rest: &str) -> Option<String> {
        let reachable = !self.name().is_empty() && !self.is_local();
        reachable.then(|| format!("sbrun {verb} {} {rest}", self.name()).trim_end().to_owned())
    }

    /// Returns the command that launches the same code again; only Jobs that recorded their plan, and are still there, can be, and runs
    /// of a Prefect worker.
    pub(super) fn rerun(&self, rest: &str) -> Option<String> {
        if let (Some(record), None) = (self.flow_run().filter(|record| record.run.work_pool.is_some()), self.plan()) {
            return Some(["sbrun rerun", &record.run.id, rest].join(" ").trim_end().to_owned());
        }
        self.plan().filter(|_| !self.job_is_gone()).and_then(|_| self.sbrun("rerun", rest))
    }

    /// Returns `kubectl -n NAMESPACE <rest>`; nothing for a process of this machine.
    pub(super) fn kubectl(&self, rest: &str) -> Option<String> {
        let namespace = self.job().map(|job| job.namespace.as_str()).filter(|namespace| !namespace.is_empty())?;
        (!self.is_local()).then(|| format!("kubectl -n {namespace} {rest}"))
    }

    /// Returns the command that shows everything about a pod.
    pub(super) fn describe(&self, attempt: &AttemptRecord) -> Option<String> {
        self.kubectl(&format!("describe pod {}", attempt.pod))
    }

    /// Returns the last lines of the flow's output: as they were followed, else as the kubelet kept them.
    pub(super) fn last_output(&self, attempt: &AttemptRecord) -> Option<String> {
        let kept = attempt.termination().map(|termination| termination.message.as_str());
        let output = self.evidence.log_tail.as_deref().or(kept).map(str::trim).filter(|output| !output.is_empty())?;
        // A message in JSON is the footprint that a wrapper left, not output.
        if output.starts_with('{') {
            return None;
        }
        let lines: Vec<String> = output.lines().map(|line| line.chars().take(QUOTED_LINE).collect()).collect();
        Some(lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n"))
    }
}

/// Returns where a pod runs, for the middle of a sentence: `` on node `n` ``, else nothing.
pub(super) fn on_node(attempt: &AttemptRecord) -> String {
    attempt.node.as_ref().map_or_else(String::new, |node| format!(" on node `{node}`"))
}

/// Returns a noun with its number: `1 node`, `3 nodes`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns up to five items and how many more there are.
pub(super) fn shortened(items: &[String]) -> String {
    let shown = items[..items.len().min(LISTED)].join(", ");
    if items.len() > LISTED { format!("{shown} and {} more", items.len() - LISTED) } else { shown }
}

/// Returns the text as part of a sentence: first line, no full stop at its end.
pub(super) fn inline(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().trim_end_matches('.').to_owned()
}

/// Returns the text between two marks, for messages that have a fixed form.
pub(super) fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let rest = &text[text.find(start)? + start.len()..];
    rest.find(end).map(|length| &rest[..length])
}
