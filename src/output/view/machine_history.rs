//! How machines came and went: as charts, and as a document.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    model::{
        duration,
        machine_history::{Failure, MachineHistory},
        scale_state::GroupSurvey,
    },
    output::{
        chart,
        format::{SCHEMA, milliseconds},
        svg, wording,
    },
};

/// Width of a chart in a pipe.
const PIPE_WIDTH: usize = 80;
/// Lines of a chart.
const HEIGHT: usize = 8;
/// Decimals of machine hours, as a factor.
const TENTHS: f64 = 10.0;

/// The history of node groups as a document.
#[derive(Debug, Clone, Serialize)]
pub struct Histories {
    /// Version of this document.
    pub schema: u32,
    /// Beginning of what was asked for.
    pub from: Timestamp,
    /// End.
    pub until: Timestamp,
    /// One entry for each node group.
    pub node_groups: Vec<HistoryEntry>,
    /// What could not be seen.
    pub unknown: Vec<String>,
}

/// The history of one node group as a document.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEntry {
    /// Size profile; `null` for a group that the map does not name.
    pub size: Option<String>,
    /// Node groups: one, or several that cannot be told apart.
    pub node_groups: Vec<String>,
    /// Karpenter NodePool.
    pub node_pool: Option<String>,
    /// What it is made from: `scaling_activities`, or `cluster`, which shows the last hour.
    pub source: &'static str,
    /// Beginning of what is known.
    pub from: Timestamp,
    /// Number of machines, each from its time on.
    pub series: Vec<Point>,
    /// Machines that were started.
    pub launches: u32,
    /// Machines that went.
    pub terminations: u32,
    /// Of these, spot machines that AWS took back.
    pub interruptions: u32,
    /// Launches that failed; `null` where nothing would tell.
    pub failures: Option<Vec<FailureEntry>>,
    /// How long machines were there, all together.
    pub machine_seconds: u64,
    /// What they cost, when the map has a price.
    pub cost: Option<f64>,
    /// What could not be seen of it.
    pub unknown: Vec<String>,
    #[serde(skip)]
    history: MachineHistory,
}

/// A number of machines from a time on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    /// From when on.
    pub time: Timestamp,
    /// How many.
    pub machines: u32,
}

/// A launch that failed.
#[derive(Debug, Clone, Serialize)]
pub struct FailureEntry {
    /// When.
    pub time: Timestamp,
    /// What the cloud said.
    pub message: String,
}

impl HistoryEntry {
    /// Returns the entry of a group; `source` is what its history is made from.
    #[must_use]
    pub fn new(group: &GroupSurvey, history: MachineHistory, source: &'static str, price_per_hour: Option<f64>) -> Self {
        let failure = |failure: &Failure| FailureEntry { time: milliseconds(failure.at), message: failure.message.clone() };
        let hours = Duration::from_secs(history.machine_seconds).as_secs_f64() / 3600.0;
        Self {
            size: group.size.as_ref().map(|size| size.0.clone()),
            node_groups: group.node_groups.clone(),
            node_pool: group.node_pool.clone(),
            source,
            from: milliseconds(history.from),
            series: history.steps.iter().map(|step| Point { time: milliseconds(step.at), machines: step.machines }).collect(),
            launches: history.launches,
            terminations: history.terminations,
            interruptions: history.interruptions,
            failures: history.failures.as_ref().map(|failures| failures.iter().map(failure).collect()),
            machine_seconds: history.machine_seconds,
            cost: price_per_hour.map(|price| (price * hours * 10_000.0).round() / 10_000.0),
            unknown: history.unknown.clone(),
            history,
        }
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.node_groups.iter().chain(&self.node_pool).map(String::as_str).collect();
        match &self.size {
            Some(size) if !names.is_empty() => format!("{size} ({})", names.join(", ")),
            Some(size) => size.clone(),
            None => names.join(", "),
        }
    }

    /// Returns totals in words.
    fn totals(&self) -> String {
        let mut parts = Vec::new();
        if self.history.peak() == 0 {
            parts.push("no machine".to_owned());
        } else {
            parts.push(format!("up to {}", wording::count(usize::try_from(self.history.peak()).unwrap_or(usize::MAX), "machine")));
            parts.push(format!("{} started", self.launches));
            parts.push(format!("{} gone", self.terminations));
        }
        if self.interruptions > 0 {
            parts.push(format!("{} taken back by AWS", self.interruptions));
        }
        if let Some(failures) = self.failures.as_ref().filter(|failures| !failures.is_empty()) {
            parts.push(format!("{} failed to start", failures.len()));
        }
        if self.machine_seconds > 0 {
            let hours = Duration::from_secs(self.machine_seconds).as_secs_f64() / 3600.0;
            parts.push(format!("{:.1} machine hours", (hours * TENTHS).round() / TENTHS));
        }
        parts.extend(self.cost.filter(|cost| *cost > 0.0).map(|cost| format!("cost about {cost:.2}")));
        parts.join(" · ")
    }

    /// Returns title, totals and chart.
    fn block(&self, width: usize) -> String {
        let mut lines = vec![self.title()];
        lines.extend(wording::wrapped(&self.totals(), width.saturating_sub(2)).into_iter().map(|line| format!("  {line}")));
        if self.history.peak() > 0 {
            let columns = width.saturating_sub(chart::MARGIN).max(10);
            lines.extend(chart::columns(&self.history.parts(columns), HEIGHT));
            let span = self.history.until.duration_since(self.history.from);
            let ago = format!("{} ago", duration::format(span.unsigned_abs()));
            lines.extend(chart::axis(columns, &ago, "now"));
        }
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }
}

impl Histories {
    /// Returns the document of these entries.
    #[must_use]
    pub fn new(from: Timestamp, until: Timestamp, node_groups: Vec<HistoryEntry>, unknown: Vec<String>) -> Self {
        Self { schema: SCHEMA, from: milliseconds(from), until: milliseconds(until), node_groups, unknown }
    }

    /// Returns one chart for each group, for a terminal of this width.
    #[must_use]
    pub fn charts(&self, width: Option<usize>) -> String {
        let width = width.unwrap_or(PIPE_WIDTH);
        self.node_groups.iter().map(|entry| entry.block(width)).collect::<Vec<_>>().join("\n\n")
    }

    /// Returns what the charts do not say.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in &self.node_groups {
            let last = entry.failures.as_ref().and_then(|failures| failures.last());
            lines.extend(last.map(|failure| format!("{}: the last launch that failed: {}", entry.title(), failure.message)));
            lines.extend(entry.unknown.iter().map(|told| format!("{}: not known: {told}", entry.title())));
        }
        if self.node_groups.iter().any(|entry| entry.from > self.from) {
            lines.push("without scaling activities the cluster shows the last hour only".to_owned());
        }
        lines.extend(self.unknown.iter().map(|told| format!("not known: {told}")));
        lines
    }

    /// Returns the charts as SVG.
    pub fn svg(&self) -> crate::error::Result<String> {
        let charts: Vec<(String, &MachineHistory)> =
            self.node_groups.iter().map(|entry| (format!("{}: {}", entry.title(), entry.totals()), &entry.history)).collect();
        svg::machines(&charts)
    }
}

#[cfg(test)]
mod tests;
