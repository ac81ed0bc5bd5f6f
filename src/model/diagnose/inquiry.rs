//! One job under examination: its evidence, the time, and the questions that every examiner asks.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    autoscaler_tags,
    evidence::{AttemptRecord, ConditionRecord, ContainerState, Ending, EventRecord, Evidence, JobRecord, NodeRecord, Termination},
    footprint::Footprint,
    launch_plan::{LaunchPlan, Toleration},
    node_group::NodeGroup,
    prefect::flow_run::FlowRunRecord,
    story::Proof,
};

/// By how much the clock of whoever ended a job may run ahead of the server's, in seconds.
const CLOCK_DIFFERENCE_SECONDS: i64 = 300;

/// The evidence about one job at one time.
pub(super) struct Inquiry<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) now: Timestamp,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(evidence: &'a Evidence, now: Timestamp) -> Self {
        Self { evidence, now }
    }

    pub(super) fn job(&self) -> Option<&'a JobRecord> {
        self.evidence.job.as_ref()
    }

    pub(super) fn plan(&self) -> Option<&'a LaunchPlan> {
        self.job().and_then(|job| job.plan.as_deref())
    }

    /// Returns the Prefect flow run that the job is of, as last seen.
    pub(super) fn flow_run(&self) -> Option<&'a FlowRunRecord> {
        self.evidence.flow_run.value()
    }

    /// Returns the Job's name; empty when no Job was ever seen.
    pub(super) fn name(&self) -> &'a str {
        self.job().map_or("", |job| job.name.as_str())
    }

    /// Returns the attempt that counts now.
    pub(super) fn last_attempt(&self) -> Option<&'a AttemptRecord> {
        self.evidence.attempts.last()
    }

    /// Returns how many attempts there have been: those that were seen, or as many as the Job counts, whose first pods may be gone.
    pub(super) fn attempt_count(&self) -> u32 {
        self.seen_attempts().max(self.job().map_or(0, |job| job.counts.pods()))
    }

    /// Returns the attempts that were seen with their numbers, counted from 1.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (u32, &'a AttemptRecord)> {
        let gone = self.attempt_count() - self.seen_attempts();
        (1..).zip(&self.evidence.attempts).map(move |(number, attempt)| (gone.saturating_add(number), attempt))
    }

    fn seen_attempts(&self) -> u32 {
        u32::try_from(self.evidence.attempts.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether this is a process of this machine: it runs without ever having had a node.
    pub(super) fn is_local(&self) -> bool {
        self.last_attempt().is_some_and(|attempt| attempt.node.is_none() && attempt.started().is_some())
    }

    /// Returns what the pod asks of a node.
    pub(super) fn footprint(&self) -> Footprint {
        self.job().map(|job| job.footprint).unwrap_or_default()
    }

    /// Returns the labels that a node must have: the pod template's, else the plan's.
    pub(super) fn node_selector(&self) -> &'a BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let template = self.job().map(|job| &job.node_selector).filter(|selector| !selector.is_empty());
        template.or_else(|| self.plan().map(|plan| &plan.placement.node_selector)).unwrap_or(&NONE)
    }

    /// Returns the taints that the pod tolerates: the pod template's, else the plan's.
    pub(super) fn tolerations(&self) -> &'a [Toleration] {
        let template = self.job().map(|job| job.tolerations.as_slice()).filter(|tolerations| !tolerations.is_empty());
        template.or_else(|| self.plan().map(|plan| plan.placement.tolerations.as_slice())).unwrap_or_default()
    }

    /// Returns the node groups and the node pool of the job's size: those that the plan names, else those whose machines would have the
    /// labels that the pod asks for.
    pub(super) fn groups(&self) -> Vec<NodeGroup<'a>> {
        let scaling = &self.evidence.scaling;
        let named = self.plan().map(|plan| &plan.placement).filter(|placement| !placement.node_groups.is_empty() || placement.node_pool.is_some());
        if let Some(placement) = named {
            let groups = placement.node_groups.iter().map(|name| NodeGroup::find(name, false, scaling));
            return groups.chain(placement.node_pool.iter().map(|name| NodeGroup::find(name, true, scaling))).collect();
        }
        let selector = self.node_selector();
        if selector.is_empty() {
            return Vec::new();
        }
        let matches = |labels: &BTreeMap<String, String>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let accounts = scaling.account.value().into_iter().flatten().filter(|group| matches(&autoscaler_tags::labels(&group.tags)));
        let pools = scaling.pools.value().into_iter().flatten().filter(|pool| pool.missing_labels(selector).is_empty());
        let accounts = accounts.map(|group| NodeGroup::find(&group.name, false, scaling));
        accounts.chain(pools.map(|pool| NodeGroup::find(&pool.name, true, scaling))).collect()
    }

    /// Returns the place of the job's pod among those that wait for the same nodes, counted from 1, and how many wait.
    pub(super) fn place(&self) -> Option<(u32, u32)> {
        let queue = self.evidence.queue.as_ref()?;
        let attempt = self.last_attempt()?;
        let own = format!("{}/{}", self.job()?.namespace, attempt.pod);
        let place = queue.iter().position(|waiting| waiting.pod == own)?;
        Some((u32::try_from(place + 1).ok()?, u32::try_from(queue.len()).ok()?))
    }

    /// Returns how often a lost attempt is replaced; none when sbrun did not make the Job.
    pub(super) fn infrastructure_retries(&self) -> Option<u32> {
        self.plan().map(|plan| plan.infrastructure_retries)
    }

    /// Returns the Job's condition of this kind, when it is true.
    pub(super) fn job_condition(&self, kind: &str) -> Option<&'a ConditionRecord> {
        self.job()?.conditions.iter().find(|condition| condition.kind == kind && condition.is_true())
    }

    /// Returns the end that somebody decided, unless the Job had failed long before: then it changed nothing.
    pub(super) fn ending(&self) -> Option<&'a Ending> {
        let failed = self.job_condition("FailureTarget").or_else(|| self.job_condition("Failed")).and_then(|condition| condition.since);
        let in_time = |ending: &&Ending| failed.is_none_or(|failed| ending.at <= after(failed, CLOCK_DIFFERENCE_SECONDS));
        self.evidence.ending().filter(in_time)
    }

    /// Returns whether the Job object is gone or on its way out.
    pub(super) fn job_is_gone(&self) -> bool {
        self.evidence.job_gone.is_some() || self.job().is_some_and(|job| job.deleted.is_some())
    }

    /// Returns the node of this name, when nodes are known and it is among them.
    pub(super) fn node(&self, name: &str) -> Option<&'a NodeRecord> {
        self.evidence.nodes.as_ref()?.iter().find(|node| node.name == name)
    }

    /// Returns the events about an object, oldest first.
    pub(super) fn events(&self, kind: &'static str, name: &'a str) -> impl DoubleEndedIterator<Item = &'a EventRecord> + use<'a> {
        self.evidence.events.iter().filter(move |event| event.object_kind == kind && event.object == name)
    }

    /// Returns the newest event about a pod with one of these reasons.
    pub(super) fn pod_event(&self, attempt: &'a AttemptRecord, reasons: &[&str]) -> Option<&'a EventRecord> {
        let found = self.events("Pod", &attempt.pod).filter(|event| reasons.contains(&event.reason.as_str()));
        found.max_by_key(|event| event.seen())
    }
}

impl ConditionRecord {
    pub(super) fn is_true(&self) -> bool {
        // An empty status is a record of conditions that are all true.
        self.status.is_empty() || self.status == "True"
    }

    /// Returns this as evidence; a condition without a message says its reason.
    pub(super) fn proof(&self, of: &str) -> Proof {
        let said = if self.message.is_empty() { &self.reason } else { &self.message };
        Proof::new(format!("condition {} of {of}", self.kind), said, self.since)
    }
}

impl EventRecord {
    /// Returns when it was last seen.
    pub(super) fn seen(&self) -> Option<Timestamp> {
        self.last.or(self.first)
    }

    pub(super) fn proof(&self) -> Proof {
        let source = format!("event {} on {} {}", self.reason, self.object_kind.to_lowercase(), self.object);
        Proof::new(source, &self.message, self.seen())
    }
}

impl AttemptRecord {
    /// Returns how the flow's container ended, unless the status was made up after the container could not be found.
    pub(super) fn termination(&self) -> Option<&Termination> {
        match &self.container {
            ContainerState::Terminated(termination) if termination.reason != "ContainerStatusUnknown" => Some(termination),
            _ => None,
        }
    }

    /// Returns when the flow started to run, if it did; a runtime that could not start it reports no time, or 1970.
    pub(super) fn started(&self) -> Option<Timestamp> {
        match &self.container {
            ContainerState::Running { started } => started.or(self.accepted).or(self.created),
            ContainerState::Terminated(termination) if super::attempt::is_start_error(&termination.reason) => None,
            ContainerState::Terminated(termination) => termination.started.filter(|time| time.as_second() > 0),
            ContainerState::Unknown | ContainerState::Waiting { .. } => None,
        }
    }

    /// Returns whether a node has been found for it.
    pub(super) fn is_bound(&self) -> bool {
        self.node.is_some() || self.scheduled.as_ref().is_some_and(|condition| condition.status == "True")
    }

    /// Returns whether nothing of it can run any more.
    pub(super) fn is_terminal(&self) -> bool {
        self.gone.is_some() || matches!(self.phase.as_str(), "Succeeded" | "Failed") || matches!(self.container, ContainerState::Terminated(_))
    }

    /// Returns how to call it in a source of evidence.
    pub(super) fn label(&self) -> String {
        format!("pod {}", self.pod)
    }
}

/// Returns `time` after some seconds, within what a timestamp can hold.
pub(super) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
