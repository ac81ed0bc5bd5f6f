//! Why no machine comes for a pod: what hinders the groups of its size, what autoscalers said of it, and how the two meet.

use std::collections::BTreeMap;

use super::{
    inquiry::Inquiry,
    machine,
    phases::autoscaler_word,
    room::Obstacle,
    scheduler_message::SchedulerMessage,
    scheduling::{Unplaced, group_words},
    wording::inline,
};
use crate::model::{
    autoscaler_tags,
    evidence::{EventRecord, NodeRecord},
    growth::{Demand, hindrances},
    launch_plan::Taint,
    node_group::{NodeGroup, NodePool},
    reason::Reason,
    story::{Cause, Proof},
    suggestion::listed,
};

/// What the scheduler's predicates say of a group's machines: waiting does not change it.
const PREDICATES: [&str; 3] = ["untolerated taint", "didn't match Pod's node affinity/selector", "Insufficient "];

/// What Karpenter says of a pool that has no machine large enough.
const TOO_LARGE: [&str; 2] = ["no instance type has enough resources", "no instance type satisfied resources"];

/// What is known of machines that could come for a pod.
pub(super) struct Growth {
    /// No group of the size gets a machine, whatever else happens: no capacity, no quota, none that joins.
    failing: Vec<Cause>,
    /// A machine is on its way.
    coming: Option<Cause>,
    /// Whether it is there already and boots, so that failures of others are not this pod's.
    is_there: bool,
    /// The autoscaler refuses for good: it never fits, or the map and the group disagree.
    refused: Option<Cause>,
    /// What keeps the groups from growing for now.
    hindered: Vec<Cause>,
}

impl Growth {
    /// Returns what is known for this pod; `nodes` are those of its size, with what keeps it from each.
    pub(super) fn of(pod: &Unplaced<'_>, nodes: &[(&NodeRecord, Obstacle<'_>)]) -> Self {
        let inquiry = pod.inquiry;
        let groups = inquiry.groups();
        let demand = Demand { since: pod.attempt.created.unwrap_or(inquiry.now), footprint: inquiry.footprint() };
        let told = |group| hindrances(group, &inquiry.evidence.scaling, &demand, inquiry.now).into_iter();
        let each: Vec<Vec<Cause>> = groups.iter().map(|group| told(group).map(|cause| with_other_sizes(inquiry, cause)).collect()).collect();
        // Where one group can still grow, what hinders another one is no reason to wait.
        let all_hindered = !each.is_empty() && each.iter().all(|causes| !causes.is_empty());
        let each_is_open = !each.is_empty() && each.iter().all(Vec::is_empty);
        let all_failing = !each.is_empty() && each.iter().all(|causes| causes.iter().any(is_failure));
        let (failures, mut hindered): (Vec<Cause>, Vec<Cause>) = each.into_iter().flatten().partition(is_failure);
        if !all_hindered {
            hindered.clear();
        }
        let failing = if all_failing { failures } else { Vec::new() };
        let refusal = Refusal::of(pod);
        let coming = machine::coming(inquiry, pod.attempt, nodes);
        let open = all_known(&groups) && each_is_open;
        // An autoscaler that does not know the group, or has stopped, has said nothing about it.
        let heard = hindered.iter().all(|cause| !matches!(cause.reason, Reason::ScaleUpGroupNotDiscovered | Reason::ScaleUpAutoscalerDown));
        let refused = refusal.as_ref().filter(|_| heard).and_then(|refusal| refusal.for_good(&groups, nodes, open));
        hindered.extend(refusal.as_ref().and_then(|refusal| refusal.for_now(&groups)));
        // Of machines that never become nodes one more is no better.
        let joins = failing.iter().all(|cause| cause.reason != Reason::NodeNeverJoined);
        let is_there = coming.is_some() && joins && machine::is_there(inquiry, pod.attempt, nodes);
        Self { failing, coming, is_there, refused, hindered }
    }

    /// Returns whether a machine is on its way.
    pub(super) fn is_coming(&self) -> bool {
        self.coming.is_some() && (self.is_there || self.failing.is_empty())
    }

    /// Returns whether it says why the pod waits.
    pub(super) fn explains(&self) -> bool {
        !self.failing.is_empty() || self.coming.is_some() || self.refused.is_some() || !self.hindered.is_empty()
    }

    /// Returns all causes, the most telling first, around what stands in the way of the nodes that are there.
    pub(super) fn around(self, volume: Option<Cause>, obstacles: Vec<Cause>) -> Vec<Cause> {
        let is_coming = self.is_coming();
        let Self { failing, coming, is_there, refused, hindered } = self;
        let for_good = |cause: &Cause| matches!(cause.reason, Reason::SchedulingTaint | Reason::SchedulingNeverFits);
        let (settled, passing): (Vec<Cause>, Vec<Cause>) = obstacles.into_iter().partition(for_good);
        let (first, last) = if passing.is_empty() && !is_coming { (settled, Vec::new()) } else { (Vec::new(), settled) };
        // Behind full nodes what keeps the group from growing is the news; a node that is not ready is nearer than another one.
        let busy = passing.is_empty() || passing.iter().any(|cause| cause.reason == Reason::SchedulingInsufficient);
        let (near, far) = if busy { (hindered, passing) } else { (passing, hindered) };
        let coming: Vec<Cause> = coming.into_iter().collect();
        let (news, more) = if is_there { (coming, failing) } else { (failing, coming) };
        let mut causes: Vec<Cause> = Vec::new();
        for cause in first.into_iter().chain(news).chain(more).chain(volume).chain(refused).chain(near).chain(far).chain(last) {
            if causes.iter().all(|known| (known.reason, &known.summary) != (cause.reason, &cause.summary)) {
                causes.push(cause);
            }
        }
        causes
    }
}

/// Returns whether the account or the autoscaler tells of every group how it is.
fn all_known(groups: &[NodeGroup<'_>]) -> bool {
    groups.iter().all(|group| group.account.is_some() || group.status.is_some())
}

/// Adds what else could take the job, where its own size has no machine to give.
fn with_other_sizes(inquiry: &Inquiry<'_>, mut cause: Cause) -> Cause {
    if cause.reason.is_no_capacity() {
        let fallback = inquiry.plan().and_then(|plan| plan.fallback.as_ref());
        let again = fallback.and_then(|size| inquiry.rerun(&format!("--size {size}")).map(|command| format!("{command}   (the size's fallback)")));
        cause.next.splice(0..0, again.into_iter().chain(["sbrun sizes   (what else there is, and what is warm)".to_owned()]));
    }
    cause
}

/// Returns whether a hindrance means that a group gets no machine at all, although somebody asked for one.
fn is_failure(cause: &Cause) -> bool {
    matches!(
        cause.reason,
        Reason::CapacitySpot
            | Reason::CapacityOnDemand
            | Reason::CapacityQuota
            | Reason::CapacityLaunchConfiguration
            | Reason::CapacityLaunchSuspended
            | Reason::NodeNeverJoined
            | Reason::SchedulingNeverFits
            | Reason::SchedulingNoSuchGroup
            | Reason::ScaleUpPoolNotReady
    )
}

/// What the newest word of an autoscaler says against a machine for the pod.
struct Refusal<'a> {
    pod: &'a Unplaced<'a>,
    event: &'a EventRecord,
    message: SchedulerMessage<'a>,
}

impl<'a> Refusal<'a> {
    fn of(pod: &'a Unplaced<'a>) -> Option<Self> {
        let event = autoscaler_word(pod.inquiry, pod.attempt)?;
        let refuses = matches!(event.reason.as_str(), "NotTriggerScaleUp" | "FailedScheduling");
        refuses.then(|| Self { pod, event, message: SchedulerMessage::parse(&event.message) })
    }

    fn is_of_karpenter(&self) -> bool {
        self.event.source == "karpenter"
    }

    /// Returns why no machine will ever come for the pod as it is asked for now.
    ///
    /// The Cluster Autoscaler says it for all groups of the cluster at once. What it says of one that it passes over for now may be about
    /// the size's own, unless `open` says that nothing hinders those.
    fn for_good(&self, groups: &[NodeGroup<'_>], nodes: &[(&NodeRecord, Obstacle<'_>)], open: bool) -> Option<Cause> {
        if self.is_of_karpenter() {
            return self.by_karpenter(groups);
        }
        if !nodes.is_empty() || !(open && self.message.mentions(&PREDICATES) || self.message.only_mentions(&PREDICATES)) {
            return None;
        }
        if self.message.mentions(&["Insufficient "]) {
            return Some(self.never_fits(groups));
        }
        Some(self.mismatch(groups).unwrap_or_else(|| self.nowhere()))
    }

    /// Returns what Karpenter's words mean for good. It looks at taints first and speaks of every pool, so labels and taints are compared
    /// here, and of its words only those count that are about the size's own pool.
    fn by_karpenter(&self, groups: &[NodeGroup<'_>]) -> Option<Cause> {
        let text = self.event.message.as_str();
        let pools: Vec<&NodePool> = groups.iter().filter_map(|group| group.pool).collect();
        if let Some(cause) = self.mismatch(groups) {
            return Some(cause);
        }
        let words = pools.iter().flat_map(|pool| pool.refusals(text)).collect::<Vec<_>>().join("; ");
        let words = if pools.is_empty() { text } else { words.as_str() };
        if TOO_LARGE.iter().any(|too_large| words.contains(too_large)) {
            return Some(self.never_fits(groups));
        }
        (pools.is_empty() && text.contains("did not tolerate taint")).then(|| self.nowhere())
    }

    /// Returns why the autoscaler raises no group for now, where the groups themselves do not show it.
    fn for_now(&self, groups: &[NodeGroup<'_>]) -> Option<Cause> {
        let text = self.event.message.as_str();
        let words = inline(text.rsplit_once("scale-up: ").map_or(text, |(_, words)| words));
        if text.contains("max total nodes") || self.message.mentions(&["exceeded quota", "max cluster"]) {
            return Some(
                Cause::new(Reason::ScaleUpTotalLimit, format!("the autoscaler may not add nodes to the cluster: {words}"))
                    .proven_by([self.event.proof()])
                    .advising(["raise its --max-nodes-total, --cores-total or --memory-total, or wait for other nodes to go".to_owned()]),
            );
        }
        // Other groups are in the list, too: it counts only where nothing better is known of the size's own.
        let known = groups.iter().any(|group| group.account.is_some() || group.status.is_some() || group.pool.is_some());
        if known {
            return None;
        }
        let called = groups.first().map_or_else(|| "the node group of this size".to_owned(), group_words);
        let cause = if self.message.mentions(&["max node group size reached"]) || text.contains("exceed limits for nodepool") {
            Cause::new(Reason::QueueAtMaximum, format!("{called} is at its maximum")).advising(["take another size: sbrun sizes".to_owned()])
        } else if self.message.mentions(&["in backoff", "not ready for scale-up"]) {
            Cause::new(Reason::ScaleUpBackoff, format!("the Cluster Autoscaler pauses {called} after a failure: {words}"))
        } else {
            return None;
        };
        Some(cause.proven_by([self.event.proof()]))
    }

    fn never_fits(&self, groups: &[NodeGroup<'_>]) -> Cause {
        let footprint = self.pod.inquiry.footprint();
        let called = groups.first().map_or_else(|| "any group".to_owned(), group_words);
        let summary = format!("the job can never fit: a new machine of {called} has less than {} CPUs, {}", footprint.cpu, footprint.memory);
        Cause::new(Reason::SchedulingNeverFits, summary)
            .proven_by([self.event.proof()])
            .advising(["sbrun sizes".to_owned(), "take a size that is large enough, or lower its `footprint`".to_owned()])
            .hopeless(!self.pod.inquiry.node_selector().is_empty())
    }

    /// Returns how the pod's labels or tolerations disagree with the machines that a group would start, where that is known.
    fn mismatch(&self, groups: &[NodeGroup<'_>]) -> Option<Cause> {
        let inquiry = self.pod.inquiry;
        let selector = inquiry.node_selector();
        for group in groups {
            let Some((labels, taints, proof)) = template(group) else { continue };
            let missing = |key: &&String| match group.pool {
                Some(pool) => pool.missing_labels(selector).iter().any(|(missing, _)| missing == key),
                None => labels.get(*key) != selector.get(*key),
            };
            if let Some(key) = selector.keys().find(missing) {
                return Some(self.other_label(group, key, labels.get(key).map(String::as_str)).proven_by([proof, self.event.proof()]));
            }
            let tolerated = |taint: &&Taint| taint.effect == "PreferNoSchedule" || inquiry.tolerations().iter().any(|one| one.tolerates(taint));
            if let Some(taint) = taints.iter().find(|taint| !tolerated(taint)) {
                return Some(self.pod.taint(taint, &format!("machines of {} have", group_words(group))).proven_by([proof, self.event.proof()]));
            }
        }
        None
    }

    /// Returns the cause when the machines of a group would not have a label that the pod asks for.
    fn other_label(&self, group: &NodeGroup<'_>, key: &str, value: Option<&str>) -> Cause {
        let inquiry = self.pod.inquiry;
        let called = group_words(group);
        let asked = inquiry.node_selector().get(key).map_or("", String::as_str);
        match (value, group.account) {
            (Some(value), _) => {
                let summary = format!("machines of {called} carry `{key}={value}`, the job asks for `{key}={asked}`");
                let line = format!("in the instance map, {}: node_selector: {{{key}: {value}}}", inquiry.size());
                Cause::new(Reason::SchedulingNoSuchGroup, summary).advising([line])
            }
            (None, Some(account)) => {
                let summary = format!("{called} rests at 0, and its tags do not say that its machines will carry `{key}={asked}`");
                let tag = format!("{}{key}", autoscaler_tags::LABEL);
                Cause::new(Reason::ScaleUpTagsMissing, summary).advising([autoscaler_tags::tag_command(&account.name, [(tag.as_str(), asked)])])
            }
            (None, None) => {
                let summary = format!("machines of {called} do not carry `{key}={asked}`");
                let line = format!("add it to the labels of {called}, or correct node_selector of {} in the instance map", inquiry.size());
                Cause::new(Reason::SchedulingNoSuchGroup, summary).advising([line])
            }
        }
    }

    /// Returns the cause when no group that the autoscaler knows would start a machine that takes the pod, and more is not known.
    fn nowhere(&self) -> Cause {
        let asked = self.pod.inquiry.node_selector().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        let taints = self.message.mentions(&["untolerated taint"]) || self.is_of_karpenter();
        let labels = self.message.mentions(&["affinity/selector"]);
        let why = match (labels, taints) {
            (true, true) => "labels or taints do not match",
            (true, false) => "none carries these labels",
            (false, _) => "a taint is not tolerated",
        };
        let reason = if labels || !taints { Reason::SchedulingNoSuchGroup } else { Reason::SchedulingTaint };
        let words = if asked.is_empty() { String::new() } else { format!(" `{asked}`") };
        Cause::new(reason, format!("no group that the autoscaler knows would take the job{words}: {why}"))
            .proven_by(self.pod.proofs())
            .advising(["sbrun doctor   (compares map and groups)".to_owned()])
    }
}

/// Returns the labels and taints that a group's next machine will have, as far as they are promised, and where that is written.
fn template(group: &NodeGroup<'_>) -> Option<(BTreeMap<String, String>, Vec<Taint>, Proof)> {
    if let Some(pool) = group.pool {
        let proof = promised(&format!("node pool {}", pool.name), &pool.labels, &pool.taints);
        return Some((pool.labels.clone(), pool.taints.clone(), proof));
    }
    let account = group.account?;
    // EKS tells the autoscaler the labels and taints of a managed group: its tags need not.
    if account.tags.contains_key(autoscaler_tags::EKS_NODE_GROUP) {
        return None;
    }
    let (labels, taints) = (autoscaler_tags::labels(&account.tags), autoscaler_tags::taints(&account.tags));
    let proof = promised(&format!("tags of node group {}", account.name), &labels, &taints);
    Some((labels, taints, proof))
}

fn promised(source: &str, labels: &BTreeMap<String, String>, taints: &[Taint]) -> Proof {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("label {key}={value}")).collect();
    let taints = taints.iter().map(|Taint { key, value, effect }| format!("taint {key}={value}:{effect}"));
    let all: Vec<String> = labels.into_iter().chain(taints).collect();
    let said = if all.is_empty() { "no labels and no taints of nodes".to_owned() } else { listed(all.iter().map(String::as_str)) };
    Proof::new(source, said, None)
}
