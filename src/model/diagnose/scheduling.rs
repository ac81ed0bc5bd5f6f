//! Why no node takes the pod.

use super::{
    growth::Growth,
    inquiry::{Inquiry, after},
    phases::autoscaler_word,
    room::{self, Obstacle},
    scheduler_message::SchedulerMessage,
    volume,
    wording::{counted, inline, shortened},
};
use crate::model::{
    evidence::{AttemptRecord, EventRecord, NodeRecord},
    footprint::Shortfall,
    launch_plan::Taint,
    node_group::NodeGroup,
    reason::Reason,
    story::{Cause, Proof},
    suggestion::{closest, listed},
};

/// How long after a pod was found to be unschedulable an autoscaler may take to say something about it, in seconds: the Cluster
/// Autoscaler looks every 10 s, ignores a pod for the first 2, and needs some loops right after its start.
const AUTOSCALER_SECONDS: i64 = 30;

/// A pod without a node, and what the scheduler says about it.
pub(super) struct Unplaced<'a> {
    pub(super) inquiry: &'a Inquiry<'a>,
    pub(super) attempt: &'a AttemptRecord,
    message: SchedulerMessage<'a>,
    proof: Proof,
}

/// Returns why no node takes the pod, the most telling cause first.
pub(super) fn causes(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Vec<Cause> {
    let Some(condition) = attempt.scheduled.as_ref().filter(|condition| condition.status != "True") else {
        return vec![Cause::new(Reason::SchedulingWaiting, "the scheduler has not looked at the pod yet")];
    };
    let proof = condition.proof(&attempt.label());
    if condition.reason == "SchedulingGated" {
        let cause = Cause::new(Reason::SchedulingGated, "a scheduling gate holds the pod").proven_by([proof]);
        return vec![cause.advising(inquiry.kubectl(&format!("get pod {} -o jsonpath='{{.spec.schedulingGates}}'", attempt.pod)))];
    }
    let message = SchedulerMessage::parse(&condition.message);
    let pod = Unplaced { inquiry, attempt, message, proof };
    let survey = room::survey(inquiry);
    let nodes = survey.as_deref().unwrap_or_default();
    let growth = Growth::of(&pod, nodes);
    // An autoscaler that raises a group has found that a new machine of it would do.
    let obstacles: Vec<Cause> =
        pod.by_nodes(nodes).into_iter().map(|cause| Cause { hopeless: cause.hopeless && !growth.is_coming(), ..cause }).collect();
    // The scheduler stops at a missing volume before it looks at any node.
    let volume = volume::missing(inquiry, &pod.message, &pod.proof);
    let is_known = volume.is_some() || growth.explains();
    let mut causes = growth.around(volume, obstacles);
    let seems_free = survey.as_ref().is_none_or(|nodes| nodes.first().is_some_and(|(_, obstacle)| *obstacle == Obstacle::Nothing));
    if !is_known && survey.as_ref().is_some_and(Vec::is_empty) {
        causes.insert(0, pod.no_node());
    } else if !is_known && seems_free {
        causes.insert(0, pod.by_message());
    }
    causes
}

impl Unplaced<'_> {
    /// Returns the scheduler's words and what autoscalers said about this pod.
    pub(super) fn proofs(&self) -> Vec<Proof> {
        let autoscaler = self.inquiry.pod_event(self.attempt, &["NotTriggerScaleUp"]);
        let mut events = self.inquiry.events("Pod", &self.attempt.pod);
        let karpenter = events.rfind(|event| event.reason == "FailedScheduling" && event.source == "karpenter");
        std::iter::once(self.proof.clone()).chain(autoscaler.into_iter().chain(karpenter).map(EventRecord::proof)).collect()
    }

    /// Returns the cause when no node carries the labels asked for, and nothing is known of a group that could grow.
    fn no_node(&self) -> Cause {
        let inquiry = self.inquiry;
        let selector: Vec<String> = inquiry.node_selector().iter().map(|(key, value)| format!("{key}={value}")).collect();
        if selector.is_empty() {
            return Cause::new(Reason::SchedulingOther, "the cluster has no node that sbrun can see").proven_by(self.proofs());
        }
        if let Some(group) = inquiry.groups().first() {
            return self.nobody_speaks(group);
        }
        Cause::new(Reason::SchedulingNoSuchGroup, format!("no node carries `{}`", selector.join(",")))
            .proven_by(self.proofs())
            .proven_by(self.known_labels())
            .advising(self.did_you_mean())
            .advising([format!("kubectl get nodes -L {}", inquiry.node_selector().keys().cloned().collect::<Vec<_>>().join(","))])
    }

    /// Returns the cause when the group of the size rests at 0 and no autoscaler has said anything about the pod.
    fn nobody_speaks(&self, group: &NodeGroup<'_>) -> Cause {
        let inquiry = self.inquiry;
        let called = group_words(group);
        if let Some(event) = autoscaler_word(inquiry, self.attempt) {
            let words = inline(event.message.rsplit_once("scale-up: ").map_or(event.message.as_str(), |(_, words)| words));
            return Cause::new(Reason::SchedulingOther, format!("{called} has no node, and does not grow: {words}")).proven_by(self.proofs());
        }
        let since = self.attempt.scheduled.as_ref().and_then(|condition| condition.since).or(self.attempt.created);
        if since.is_some_and(|since| inquiry.now < after(since, AUTOSCALER_SECONDS)) {
            let summary = format!("{called} has no node yet, and its autoscaler has not decided about the pod");
            return Cause::new(Reason::SchedulingWaiting, summary).proven_by(self.proofs());
        }
        let mut next = vec!["sbrun doctor   (checks map, tags, autoscaler and permissions)".to_owned()];
        next.extend(self.did_you_mean());
        next.push("kubectl -n kube-system get pods,deployments | grep -i -e autoscaler -e karpenter".to_owned());
        Cause::new(Reason::ScaleUpUnexplained, format!("{called} has no node, and no autoscaler has said anything about the pod"))
            .proven_by(self.proofs())
            .proven_by(self.known_labels())
            .advising(next)
    }

    /// Returns which values the labels asked for have on other nodes.
    fn known_labels(&self) -> Vec<Proof> {
        let known = &self.inquiry.evidence.known_labels;
        let line = |key: &String| Some(Proof::new(format!("label {key} of the cluster's nodes"), shortened(known.get(key)?), None));
        self.inquiry.node_selector().keys().filter_map(line).collect()
    }

    /// Returns the line of the instance map that may have been meant, for the first label that no node has.
    fn did_you_mean(&self) -> Option<String> {
        let known = &self.inquiry.evidence.known_labels;
        let line =
            |key: &str, value: &str| format!("did you mean `node_selector: {{{key}: {value}}}` in {} of the instance map?", self.inquiry.size());
        self.inquiry.node_selector().iter().find_map(|(key, value)| match known.get(key) {
            Some(values) => closest(value, values.iter().map(String::as_str)).filter(|found| found != value).map(|found| line(key, found)),
            None => closest(key, known.keys().map(String::as_str)).map(|found| line(found, value)),
        })
    }

    fn by_nodes(&self, nodes: &[(&NodeRecord, Obstacle<'_>)]) -> Vec<Cause> {
        let mut causes = Vec::new();
        for group in nodes.chunk_by(|(_, left), (_, right)| left.rank() == right.rank()) {
            let names: Vec<String> = group.iter().map(|(node, _)| node.name.clone()).collect();
            let (node, obstacle) = &group[0];
            causes.extend(self.by_obstacle(node, obstacle, &names, nodes.len() == group.len()));
        }
        causes
    }

    /// Returns the cause that some nodes have in common; `all` says that no other node is left.
    fn by_obstacle(&self, node: &NodeRecord, obstacle: &Obstacle<'_>, names: &[String], all: bool) -> Option<Cause> {
        let inquiry = self.inquiry;
        let nodes = format!("{} of {}", counted(names.len(), "node"), inquiry.size());
        let (is, has) = if names.len() == 1 { ("is", "has") } else { ("are", "have") };
        let describe = format!("kubectl describe node {}", node.name);
        let cause = match obstacle {
            Obstacle::Nothing => return None,
            Obstacle::TooSmall(shortfalls) => self.never_fits(node, shortfalls, all),
            Obstacle::Taint(taint) => self.taint(taint, &format!("{nodes} {has}")),
            Obstacle::Full(shortfalls) => Cause::new(Reason::SchedulingInsufficient, format!("{nodes} {is} full: {}", missing(shortfalls)))
                .proven_by(self.who_runs_there(names))
                .advising(["wait for a job there to end, or take another size: sbrun sizes".to_owned()]),
            Obstacle::Cordoned(why) => Cause::new(Reason::SchedulingCordoned, format!("{nodes} {is} cordoned: {why}"))
                .advising([format!("kubectl uncordon {}   (when its maintenance is over)", node.name)]),
            Obstacle::NotReady(why) => Cause::new(Reason::NodeNotReady, format!("{nodes} {is} not ready: {}", inline(why))).advising([describe]),
            Obstacle::StartupTaint(taint) => {
                Cause::new(Reason::NodeStartupTaint, format!("{nodes} {is} being set up: taint `{}`", taint.key)).advising([describe])
            }
        };
        let proof = Proof::new("nodes of the size", shortened(names), None);
        Some(cause.proven_by([proof]).proven_by(self.proofs()))
    }

    fn never_fits(&self, node: &NodeRecord, shortfalls: &[Shortfall], all: bool) -> Cause {
        let inquiry = self.inquiry;
        let pool = inquiry.plan().is_some_and(|plan| plan.placement.node_pool.is_some());
        // Where any machine may come, because nothing is asked of it or a pool picks it, a larger one may.
        let settled = all && !pool && !inquiry.node_selector().is_empty();
        let largest = shortfalls.iter().map(|short| format!("{} (asked {})", short.allocatable, short.requested)).collect::<Vec<_>>().join(", ");
        let words = |short: &Shortfall| format!("{} asked, a node of {} has {}", short.requested, inquiry.size(), short.allocatable);
        let summary = format!("the job can never fit: {}", shortfalls.iter().map(words).collect::<Vec<_>>().join("; "));
        Cause::new(Reason::SchedulingNeverFits, summary)
            .proven_by([Proof::new(format!("allocatable of node {}, less its daemon sets", node.name), largest, None)])
            .advising(["sbrun sizes".to_owned(), "take a size that is large enough, or lower its `footprint`".to_owned()])
            .hopeless(settled)
    }

    pub(super) fn taint(&self, taint: &Taint, nodes: &str) -> Cause {
        let Taint { key, value, effect } = taint;
        let written = if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") };
        let matching = if value.is_empty() { "operator: Exists".to_owned() } else { format!("operator: Equal, value: {value}") };
        let line = format!("tolerations: [{{key: {key}, {matching}, effect: {effect}}}]");
        Cause::new(Reason::SchedulingTaint, format!("{nodes} the taint `{written}`, which the job does not tolerate"))
            .advising([format!("in the instance map, {}: {line}", self.inquiry.size())])
    }

    fn who_runs_there(&self, names: &[String]) -> Option<Proof> {
        let there = self.inquiry.evidence.neighbours.iter().filter(|pod| !pod.daemon && names.contains(&pod.node));
        let pods: Vec<String> = there.map(room::neighbour_words).collect();
        (!pods.is_empty()).then(|| Proof::new("pods on these nodes", shortened(&pods), None))
    }

    /// Returns what the scheduler's words alone prove: where nodes are not known, or one of them seems free.
    fn by_message(&self) -> Cause {
        let inquiry = self.inquiry;
        let message = &self.message;
        if let Some(cause) = volume::zone(inquiry, message, &self.proof) {
            return cause;
        }
        let hurdles: Vec<&str> = message.hurdles.iter().map(|(_, hurdle)| *hurdle).collect();
        if message.mentions(&["Insufficient ", "Too many pods"]) {
            let short: Vec<&str> =
                hurdles.iter().copied().filter(|hurdle| hurdle.starts_with("Insufficient") || hurdle.starts_with("Too many")).collect();
            return Cause::new(Reason::SchedulingInsufficient, format!("the nodes are full: {}", listed(short)))
                .proven_by(self.proofs())
                .advising(["wait for a job there to end, or take another size: sbrun sizes".to_owned()]);
        }
        if message.only_mentions(&["were unschedulable", "node.kubernetes.io/unschedulable"]) {
            return Cause::new(Reason::SchedulingCordoned, "the nodes are cordoned").proven_by(self.proofs());
        }
        if message.only_mentions(&["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
            return Cause::new(Reason::NodeNotReady, "the nodes are not ready").proven_by(self.proofs());
        }
        let said = if self.proof.text.is_empty() { "nothing".to_owned() } else { hurdles.join(", ") };
        Cause::new(Reason::SchedulingOther, format!("the scheduler finds no node: {}", inline(&said)))
            .proven_by(self.proofs())
            .advising(inquiry.describe(self.attempt))
    }
}

/// Returns a group in words: ``node group `flows-xlarge` ``.
pub(super) fn group_words(group: &NodeGroup<'_>) -> String {
    let kind = if group.is_pool { "node pool" } else { "node group" };
    format!("{kind} `{}`", group.name)
}

/// Returns what a node that is in use lacks, with both numbers.
fn missing(shortfalls: &[Shortfall]) -> String {
    let words = |short: &Shortfall| format!("{} asked, {} free", short.requested, short.allocatable);
    shortfalls.iter().map(words).collect::<Vec<_>>().join("; ")
}
