//! What real autoscalers wrote, moment by moment, and what it means. `tests/recorded/README.md` says how it was recorded.

use std::{collections::BTreeMap, fs, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Node, Pod},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::builders::mk_plan;
use crate::{
    kubernetes::{
        karpenter,
        observe::{attempt_record, event_record, job_record, neighbour_record, node_record},
        occupancy,
    },
    model::{
        autoscaler_status::{AutoscalerStatus, KEY, LAST_UPDATED},
        diagnose::diagnose,
        evidence::{AttemptRecord, EventRecord, Evidence, Maker, NeighbourRecord, WaitingPod},
        launch_plan::Placement,
        node_group::{AccountGroup, Instance, NodeGroup, Scaling, Sighting},
        occupancy::Occupancy,
        reason::Reason,
        scaling_activity::ScalingActivity,
        story::{Phase, Story},
    },
};

/// One moment of a recording.
pub(crate) struct Moment {
    folder: PathBuf,
    pub(crate) now: Timestamp,
}

impl Moment {
    pub(crate) fn open(path: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(path);
        let mut moment = Self { folder, now: Timestamp::UNIX_EPOCH };
        let status = moment.status().and_then(|status| status.updated);
        let last_event = moment.events().iter().filter_map(|event| event.last).max();
        moment.now = status.max(last_event).expect("a time") + SignedDuration::from_secs(1);
        moment
    }

    fn json(&self, name: &str) -> Option<Value> {
        let text = fs::read_to_string(self.folder.join(format!("{name}.json"))).ok()?;
        Some(serde_json::from_str(&text).expect("a recording is JSON"))
    }

    fn list<K: DeserializeOwned>(&self, name: &str) -> Vec<K> {
        let list = self.json(name).expect("the recording has this list");
        serde_json::from_value(list["items"].clone()).expect("objects of Kubernetes")
    }

    fn events(&self) -> Vec<EventRecord> {
        let mut events: Vec<EventRecord> = self.list::<Event>("events").iter().map(event_record).collect();
        events.sort_by_key(|event| (event.last, event.first));
        events
    }

    fn status(&self) -> Option<AutoscalerStatus> {
        let config_map = self.json("cluster-autoscaler-status")?;
        let text = config_map["data"][KEY].as_str().expect("a status");
        Some(AutoscalerStatus::parse(text, config_map["metadata"]["annotations"][LAST_UPDATED].as_str()))
    }

    fn account(&self) -> Option<Vec<AccountGroup>> {
        let activities: Vec<(String, ScalingActivity)> = self.json("scaling-activities")?.as_array().expect("a list").iter().map(activity).collect();
        let groups = self.json("auto-scaling-groups").expect("groups");
        Some(groups["AutoScalingGroups"].as_array().expect("a list").iter().map(|group| account_group(group, &activities)).collect())
    }

    pub(crate) fn scaling(&self) -> Scaling {
        let seen = |at| move |value| Sighting::Seen { value, at };
        let events: Vec<EventRecord> =
            self.events().into_iter().filter(|event| matches!(event.object_kind.as_str(), "ConfigMap" | "NodeClaim")).collect();
        let karpenter = self.json("nodepools").zip(self.json("nodeclaims")).map(|(pools, claims)| karpenter::recorded(pools, claims));
        let (pools, claims) = karpenter.unzip();
        Scaling {
            account: self.account().map_or(Sighting::NotAsked, |value| Sighting::Seen { value, at: self.now }),
            autoscaler: self.status().map_or(Sighting::Absent { at: self.now }, seen(self.now)),
            pools: pools.map_or(Sighting::Absent { at: self.now }, |value| Sighting::Seen { value, at: self.now }),
            claims: claims.unwrap_or_default(),
            events,
        }
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        occupancy::of_lists(&self.json("nodes").expect("nodes"), &self.json("pods").expect("pods"), self.now)
    }

    /// Returns the evidence on a job, whose plan names the node group `group`, if any.
    fn evidence(&self, name: &str, group: Option<&str>) -> Evidence {
        let jobs: Vec<Job> = self.list("jobs");
        let job = jobs.iter().find(|job| job.metadata.name.as_deref() == Some(name)).expect("the job was recorded");
        let mut record = job_record(job);
        let is_pool = self.json("nodepools").is_some();
        let placement = Placement {
            node_groups: group.filter(|_| !is_pool).map(ToOwned::to_owned).into_iter().collect(),
            node_pool: group.filter(|_| is_pool).map(ToOwned::to_owned),
            node_selector: record.node_selector.clone(),
            tolerations: record.tolerations.clone(),
            ..Placement::default()
        };
        record.maker = Maker::Sbrun;
        record.plan = Some(Box::new(crate::model::launch_plan::LaunchPlan { placement, footprint: record.footprint, ..mk_plan() }));
        let pods: Vec<Pod> = self.list("pods");
        let nodes: Vec<Node> = self.list("nodes");
        let of_job = |pod: &&Pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == record.uid);
        let mut attempts: Vec<AttemptRecord> = pods.iter().filter(of_job).map(attempt_record).collect();
        for attempt in &mut attempts {
            let node = nodes.iter().map(node_record).find(|node| Some(&node.name) == attempt.node.as_ref());
            attempt.node_created = node.as_ref().and_then(|node| node.created);
            attempt.provider_id = node.and_then(|node| node.provider_id);
        }
        let waiting = pods.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none())).map(attempt_record);
        let mut queue: Vec<WaitingPod> = waiting.map(|pod| WaitingPod { pod: format!("default/{}", pod.pod), created: pod.created }).collect();
        queue.sort_by_key(|pod| pod.created);
        let neighbours: Vec<NeighbourRecord> = pods
            .iter()
            .filter(|pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running")))
            .filter_map(neighbour_record)
            .collect();
        Evidence {
            job: Some(record),
            job_seen: Some(self.now),
            attempts,
            events: self.events(),
            nodes: Some(nodes.iter().map(node_record).collect()),
            neighbours,
            scaling: self.scaling(),
            queue: Some(queue),
            ..Evidence::default()
        }
    }

    fn story(&self, name: &str, group: Option<&str>) -> Story {
        diagnose(&self.evidence(name, group), self.now)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn activity(value: &Value) -> (String, ScalingActivity) {
    let time = |name: &str| value[name].as_str().and_then(|time| time.parse().ok());
    let details: Value = serde_json::from_str(value["Details"].as_str().unwrap_or("{}")).expect("details are JSON");
    let activity = ScalingActivity {
        id: text(&value["ActivityId"]),
        started: time("StartTime"),
        ended: time("EndTime"),
        status: text(&value["StatusCode"]),
        description: text(&value["Description"]),
        cause: text(&value["Cause"]),
        message: value["StatusMessage"].as_str().map(ToOwned::to_owned),
        zone: details["Availability Zone"].as_str().map(ToOwned::to_owned),
    };
    (text(&value["AutoScalingGroupName"]), activity)
}

fn account_group(value: &Value, activities: &[(String, ScalingActivity)]) -> AccountGroup {
    let size = |name: &str| u32::try_from(value[name].as_u64().expect("a size")).expect("a small number");
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let name = text(&value["AutoScalingGroupName"]);
    let instance = |one: &Value| Instance {
        id: text(&one["InstanceId"]),
        instance_type: one["InstanceType"].as_str().map(ToOwned::to_owned),
        zone: text(&one["AvailabilityZone"]),
        lifecycle: text(&one["LifecycleState"]),
        healthy: one["HealthStatus"] == "Healthy",
    };
    let mut of_group: Vec<ScalingActivity> = activities.iter().filter(|(group, _)| *group == name).map(|(_, activity)| activity.clone()).collect();
    of_group.sort_by_key(|activity| std::cmp::Reverse(activity.started));
    AccountGroup {
        min_size: size("MinSize"),
        max_size: size("MaxSize"),
        desired_size: size("DesiredCapacity"),
        instances: list("Instances").iter().map(instance).collect(),
        zones: list("AvailabilityZones").iter().map(text).collect(),
        tags: list("Tags").iter().map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect::<BTreeMap<_, _>>(),
        activities: Some(of_group),
        name,
        ..AccountGroup::default()
    }
}

/// Folder, job, node group of its size, and what it comes to: the phase and the code.
const MEANINGS: &[(&str, &str, Option<&str>, Phase, Reason)] = &[
    ("cluster-autoscaler/from-zero/1-unschedulable", "etl", Some("flows-small"), Phase::Pending, Reason::SchedulingWaiting),
    ("cluster-autoscaler/from-zero/2-scale-up-triggered", "etl", Some("flows-small"), Phase::Booting, Reason::NodeBooting),
    ("cluster-autoscaler/from-zero/3-instance-booting", "etl", Some("flows-small"), Phase::Booting, Reason::NodeBooting),
    ("cluster-autoscaler/from-zero/4-node-ready", "etl", Some("flows-small"), Phase::Booting, Reason::NodeBooting),
    ("cluster-autoscaler/from-zero/5-running", "etl", Some("flows-small"), Phase::Running, Reason::FlowRunning),
    ("cluster-autoscaler/from-zero/5b-running-seen-by-autoscaler", "etl", Some("flows-small"), Phase::Running, Reason::FlowRunning),
    ("cluster-autoscaler/from-zero/6-complete", "etl", Some("flows-small"), Phase::Finished, Reason::FlowSucceeded),
    ("cluster-autoscaler/from-zero/7-deletion-candidate", "etl", Some("flows-small"), Phase::Finished, Reason::FlowSucceeded),
    ("cluster-autoscaler/from-zero/8-scaled-down", "etl", Some("flows-small"), Phase::Finished, Reason::FlowSucceeded),
    ("cluster-autoscaler/max-size/1-pending", "one", Some("flows-single"), Phase::Running, Reason::FlowRunning),
    ("cluster-autoscaler/max-size/1-pending", "two", Some("flows-single"), Phase::Queued, Reason::QueueAtMaximum),
    ("cluster-autoscaler/never-fits/1-pending", "huge", Some("flows-small"), Phase::Pending, Reason::SchedulingNeverFits),
    ("cluster-autoscaler/no-such-size/1-pending", "lost", Some("flows-small"), Phase::Pending, Reason::SchedulingNoSuchGroup),
    ("cluster-autoscaler/no-such-size/1-pending", "lost", None, Phase::Pending, Reason::SchedulingNoSuchGroup),
    ("cluster-autoscaler/untolerated-taint/1-pending", "untol", Some("flows-small"), Phase::Pending, Reason::SchedulingTaint),
    ("cluster-autoscaler/untolerated-taint/1-pending", "untol", None, Phase::Pending, Reason::SchedulingTaint),
    ("cluster-autoscaler/no-capacity/1-scale-up-failed", "starved", Some("flows-xlarge"), Phase::Pending, Reason::CapacitySpot),
    ("cluster-autoscaler/no-capacity/2-backoff", "starved", Some("flows-xlarge"), Phase::Pending, Reason::CapacitySpot),
    ("cluster-autoscaler/never-joins/1-launched", "alone", Some("flows-xlarge"), Phase::Booting, Reason::NodeBooting),
    ("cluster-autoscaler/never-joins/2-timed-out", "alone", Some("flows-xlarge"), Phase::Pending, Reason::NodeNeverJoined),
    ("cluster-autoscaler/never-joins/3-backoff", "alone", Some("flows-xlarge"), Phase::Pending, Reason::NodeNeverJoined),
    ("cluster-autoscaler/node-lost/1-running", "victim", Some("flows-small"), Phase::Running, Reason::FlowRunning),
    ("karpenter/from-zero/1-pending", "etl", Some("flows-small"), Phase::Pending, Reason::SchedulingWaiting),
    ("karpenter/from-zero/2-running", "etl", Some("flows-small"), Phase::Running, Reason::FlowRunning),
    ("karpenter/from-zero/3-complete", "etl", Some("flows-small"), Phase::Finished, Reason::FlowSucceeded),
    ("karpenter/from-zero/4-node-removed", "etl", Some("flows-small"), Phase::Finished, Reason::FlowSucceeded),
    ("karpenter/limit-reached/1-pending", "c", Some("flows-small"), Phase::Queued, Reason::QueueAtMaximum),
    ("karpenter/limit-reached/2-third-runs", "c", Some("flows-small"), Phase::Running, Reason::FlowRunning),
    ("karpenter/never-fits/1-pending", "huge", Some("flows-small"), Phase::Pending, Reason::SchedulingNeverFits),
    ("karpenter/never-fits/1-pending", "huge", None, Phase::Pending, Reason::SchedulingNeverFits),
    ("karpenter/no-such-size/1-pending", "lost", Some("flows-small"), Phase::Pending, Reason::SchedulingNoSuchGroup),
    ("karpenter/untolerated-taint/1-pending", "untol", Some("flows-small"), Phase::Pending, Reason::SchedulingTaint),
    ("karpenter/label-mismatch/1-pending", "lost", Some("flows-small"), Phase::Pending, Reason::SchedulingNoSuchGroup),
    ("karpenter/limit-beside-others/1-pending", "c", Some("flows-small"), Phase::Queued, Reason::QueueAtMaximum),
    ("karpenter/no-capacity/1-claim-failed", "dry", Some("flows-small"), Phase::ScalingUp, Reason::CapacitySpot),
    ("karpenter/no-capacity/2-passed-over", "dry", Some("flows-small"), Phase::Pending, Reason::CapacitySpot),
    ("karpenter/launch-refused/1-retrying", "refused", Some("flows-small"), Phase::ScalingUp, Reason::CapacityLaunchConfiguration),
    ("karpenter/launch-refused/2-another-pool-waits", "bystander", Some("others"), Phase::Pending, Reason::ScaleUpAutoscalerDown),
];

fn told(story: &Story) -> Reason {
    let verdict = story.verdict.as_ref().map(|verdict| verdict.cause.reason);
    verdict.or(story.cause.as_ref().map(|cause| cause.reason)).expect("a cause")
}

#[test]
fn every_recorded_moment_has_its_meaning() {
    let mut wrong = Vec::new();
    for (folder, job, group, phase, reason) in MEANINGS {
        let story = Moment::open(folder).story(job, *group);
        if (story.phase, told(&story)) != (*phase, *reason) {
            wrong.push(format!("{folder}, job {job}: {} {}, expected {phase} {reason}\n  {:?}", story.phase, told(&story), story.cause));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_access_to_the_account_the_cluster_still_says_most() {
    let mut wrong = Vec::new();
    for (folder, job, group, phase, reason) in [
        ("from-zero/2-scale-up-triggered", "etl", "flows-small", Phase::ScalingUp, Reason::ScaleUpTriggered),
        ("max-size/1-pending", "two", "flows-single", Phase::Queued, Reason::QueueAtMaximum),
        ("never-fits/1-pending", "huge", "flows-small", Phase::Pending, Reason::SchedulingNeverFits),
        ("untolerated-taint/1-pending", "untol", "flows-small", Phase::Pending, Reason::SchedulingTaint),
        ("no-capacity/2-backoff", "starved", "flows-xlarge", Phase::Pending, Reason::ScaleUpBackoff),
        ("never-joins/3-backoff", "alone", "flows-xlarge", Phase::Pending, Reason::NodeNeverJoined),
    ] {
        let moment = Moment::open(&format!("cluster-autoscaler/{folder}"));
        let mut evidence = moment.evidence(job, Some(group));
        evidence.scaling.account = Sighting::Unseen("the Auto Scaling groups: no credentials of AWS were found".into());
        let story = diagnose(&evidence, moment.now);
        if (story.phase, told(&story)) != (phase, reason) {
            wrong.push(format!("{folder}: {} {}\n  {:?}", story.phase, told(&story), story.cause));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_queue_has_places() {
    let story = Moment::open("cluster-autoscaler/max-size/1-pending").story("two", Some("flows-single"));
    assert_eq!(story.place, Some((1, 1)));
    let cause = story.cause.expect("a cause");
    assert_eq!(cause.summary, "node group `flows-single` is at its maximum of 1 machine");
    assert!(!cause.hopeless);
    assert!(story.details.iter().any(|detail| detail.reason == Reason::SchedulingInsufficient), "{:?}", story.details);
}

#[test]
fn what_can_never_fit_ends_the_job() {
    for folder in ["cluster-autoscaler/never-fits/1-pending", "karpenter/never-fits/1-pending"] {
        let cause = Moment::open(folder).story("huge", Some("flows-small")).cause.expect("a cause");
        assert!(cause.hopeless, "{folder}");
    }
}

#[test]
fn a_failed_launch_names_what_aws_said_and_what_the_autoscaler_does() {
    let story = Moment::open("cluster-autoscaler/no-capacity/2-backoff").story("starved", Some("flows-xlarge"));
    let cause = story.cause.expect("a cause");
    assert_eq!(cause.summary, "the cloud has no spot machine for node group `flows-xlarge` in `us-east-1a`");
    assert!(cause.evidence[0].text.contains("InsufficientInstanceCapacity"), "{:?}", cause.evidence);
    let backoff = story.details.iter().find(|detail| detail.reason == Reason::ScaleUpBackoff).expect("the back-off is told, too");
    assert_eq!(backoff.next[1], "the autoscaler tries again at the earliest at 21:59 UTC, with its default settings");
}

#[test]
fn boot_and_scale_up_have_their_times() {
    let moment = Moment::open("cluster-autoscaler/from-zero/8-scaled-down");
    let mut evidence = moment.evidence("etl", Some("flows-small"));
    let earlier = Moment::open("cluster-autoscaler/from-zero/5-running").evidence("etl", Some("flows-small"));
    evidence.attempts[0].node_created = earlier.attempts[0].node_created;
    evidence.attempts[0].provider_id.clone_from(&earlier.attempts[0].provider_id);
    let story = diagnose(&evidence, moment.now);
    let starts: Vec<(Phase, String)> = story.phases.iter().map(|start| (start.phase, start.since.strftime("%M:%S").to_string())).collect();
    let expected = [
        (Phase::Submitted, "04:05"),
        (Phase::Pending, "04:05"),
        (Phase::ScalingUp, "04:07"),
        (Phase::Booting, "04:07"),
        (Phase::Starting, "04:15"),
        (Phase::Running, "04:15"),
        (Phase::Finished, "05:36"),
    ];
    assert_eq!(starts, expected.map(|(phase, time)| (phase, time.to_owned())));
    assert_eq!(story.verdict.expect("it is over").scale_up_seconds, Some(10));
}

#[test]
fn a_group_that_the_autoscaler_does_not_list_lacks_its_tags() {
    let moment = Moment::open("cluster-autoscaler/from-zero/1-unschedulable");
    let mut evidence = moment.evidence("etl", Some("flows-small"));
    if let Sighting::Seen { value: status, .. } = &mut evidence.scaling.autoscaler {
        status.groups.retain(|group| group.name != "flows-small");
    }
    let cause = diagnose(&evidence, moment.now).cause.expect("a cause");
    assert_eq!(cause.reason, Reason::ScaleUpGroupNotDiscovered);
    assert!(cause.next[0].contains("Key=k8s.io/cluster-autoscaler/enabled,Value=true"), "{:?}", cause.next);
    assert_eq!(NodeGroup::find("flows-small", false, &evidence.scaling).status, None);
}
