//! Auto Scaling groups under the Cluster Autoscaler.

use jiff::{SignedDuration, Timestamp};

use super::Demand;
use crate::model::{
    autoscaler_status::{AutoscalerStatus, GroupStatus, STALE_SECONDS},
    autoscaler_tags,
    evidence::EventRecord,
    node_group::{AccountGroup, NodeGroup, Scaling, Sighting},
    reason::Reason,
    scaling_activity::{LaunchFailure, ScalingActivity},
    story::{Cause, Proof},
    suggestion::listed,
};

/// For how long the Cluster Autoscaler leaves a group alone after a first failure (`--initial-node-group-backoff-duration`).
const FIRST_BACKOFF_MINUTES: i64 = 5;
/// For how long at most, after repeated failures (`--max-node-group-backoff-duration`).
const LONGEST_BACKOFF_MINUTES: i64 = 30;
/// By how much an activity may seem to have begun before what it was begun for: the two clocks are not one.
const CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn hindrances(group: &NodeGroup<'_>, scaling: &Scaling, demand: &Demand, now: Timestamp) -> Vec<Cause> {
    let mut causes: Vec<Cause> = missing(group, scaling).into_iter().collect();
    if let Some(account) = group.account {
        causes.extend(leaving(account).or_else(|| launch_suspended(account)).or_else(|| launch_failed(account, demand)));
    }
    causes.extend(autoscaler_down(group, scaling, now));
    if causes.iter().all(|cause| cause.reason != Reason::ScaleUpAutoscalerDown) {
        causes.extend(not_discovered(group, scaling));
        let failed = group.status.filter(|status| has_failed(status, scaling, demand));
        causes.extend(failed.map(|status| backing_off(group, status, scaling)).or_else(|| given_up(group.account?, scaling, demand)));
    }
    causes.extend(at_maximum(group));
    causes
}

/// The instance map names a group that the account does not have.
fn missing(group: &NodeGroup<'_>, scaling: &Scaling) -> Option<Cause> {
    let Sighting::Seen { value: groups, at } = &scaling.account else { return None };
    if group.account.is_some() {
        return None;
    }
    let others: Vec<&str> = groups.iter().map(|other| other.name.as_str()).collect();
    let seen = if others.is_empty() { "no group of this name".to_owned() } else { format!("only {}", listed(others)) };
    let summary = format!("node group `{}` does not exist in this account and region", group.name);
    Some(Cause::new(Reason::SchedulingNoSuchGroup, summary).proven_by([Proof::new("Auto Scaling groups of the account", seen, Some(*at))]).advising(
        [
            "correct `node_group` in the instance map, or its `cluster.region`".to_owned(),
            "aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[].AutoScalingGroupName'".to_owned(),
        ],
    ))
}

fn leaving(account: &AccountGroup) -> Option<Cause> {
    let status = account.status.as_ref()?;
    let proof = Proof::new(format!("status of node group {}", account.name), status, None);
    Some(Cause::new(Reason::SchedulingNoSuchGroup, format!("node group `{}` is being deleted", account.name)).proven_by([proof]))
}

fn launch_suspended(account: &AccountGroup) -> Option<Cause> {
    let process = account.suspended.iter().find(|process| process.name == "Launch")?;
    let name = &account.name;
    let proof = Proof::new(format!("suspended processes of node group {name}"), format!("Launch: {}", process.reason), None);
    Some(
        Cause::new(Reason::CapacityLaunchSuspended, format!("node group `{name}` starts no machines: somebody suspended its process `Launch`"))
            .proven_by([proof])
            .advising([format!("aws autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes Launch")]),
    )
}

/// The newest launch since it was wanted failed, so that AWS has no machine to give.
fn launch_failed(account: &AccountGroup, demand: &Demand) -> Option<Cause> {
    let since = demand.since.checked_sub(CLOCK_DIFFERENCE).unwrap_or(demand.since);
    let in_time = |activity: &&ScalingActivity| activity.is_launch() && activity.started.is_some_and(|started| started >= since);
    let launches: Vec<&ScalingActivity> = account.activities.iter().flatten().filter(in_time).collect();
    let newest = launches.first()?;
    let failure = newest.failure()?;
    let failed: Vec<&&ScalingActivity> = launches.iter().take_while(|activity| activity.failure().is_some()).collect();
    let mut zones: Vec<&str> = failed.iter().filter_map(|activity| activity.zone.as_deref()).collect();
    zones.sort_unstable();
    zones.dedup();
    let tried = if zones.is_empty() { String::new() } else { format!(" in {}", listed(zones)) };
    let name = &account.name;
    let proofs =
        failed.iter().take(3).map(|activity| Proof::new(format!("scaling activity of node group {name}"), activity.failure_text(), activity.started));
    let cause = match failure {
        LaunchFailure::Capacity { spot: true } => {
            Cause::new(Reason::CapacitySpot, format!("the cloud has no spot machine for node group `{name}`{tried}"))
        }
        LaunchFailure::Capacity { spot: false } => {
            Cause::new(Reason::CapacityOnDemand, format!("the cloud has no machine for node group `{name}`{tried}"))
        }
        LaunchFailure::Quota => Cause::new(Reason::CapacityQuota, format!("a quota of the AWS account keeps node group `{name}` from growing"))
            .advising(["see the quotas of EC2: aws service-quotas list-service-quotas --service-code ec2".to_owned()]),
        LaunchFailure::Configuration => {
            Cause::new(Reason::CapacityLaunchConfiguration, format!("node group `{name}` cannot start a machine as it is configured"))
                .advising(["mend the launch template of the group; the activity says what is wrong with it".to_owned()])
        }
    };
    Some(cause.proven_by(proofs))
}

/// No Cluster Autoscaler writes its status, or it has stopped to.
fn autoscaler_down(group: &NodeGroup<'_>, scaling: &Scaling, now: Timestamp) -> Option<Cause> {
    let look = ["kubectl -n kube-system get pods,deployments | grep autoscaler".to_owned()];
    match &scaling.autoscaler {
        Sighting::Seen { value: status, .. } if status.is_stale(now) => {
            let minutes = STALE_SECONDS / 60;
            let proof = Proof::new("ConfigMap kube-system/cluster-autoscaler-status", "last updated", status.updated);
            let summary = format!("the Cluster Autoscaler does not run: it has not written its status for over {minutes} minutes");
            Some(Cause::new(Reason::ScaleUpAutoscalerDown, summary).proven_by([proof]).advising(look))
        }
        Sighting::Absent { at } => {
            let proof = Proof::new("ConfigMap kube-system/cluster-autoscaler-status", "does not exist", Some(*at));
            let summary = format!("no Cluster Autoscaler that could raise node group `{}` has written its status", group.name);
            Some(Cause::new(Reason::ScaleUpAutoscalerDown, summary).proven_by([proof]).advising(look))
        }
        Sighting::Seen { .. } | Sighting::NotAsked | Sighting::Unseen(_) => None,
    }
}

/// The autoscaler lists its groups, and this one is not among them.
fn not_discovered(group: &NodeGroup<'_>, scaling: &Scaling) -> Option<Cause> {
    let status = scaling.autoscaler.value().filter(|status| knows_its_groups(status) && group.status.is_none())?;
    // Without the account a name may be that of a managed node group, whose Auto Scaling group is called otherwise.
    let certain = group.account.is_some() || !status.groups.iter().any(|other| other.name.starts_with("eks-"));
    let name = group.account.map_or(group.name, |account| account.name.as_str());
    let names: Vec<&str> = status.groups.iter().map(|other| other.name.as_str()).collect();
    let knows = if names.is_empty() { "no groups".to_owned() } else { listed(names) };
    let proof = Proof::new("ConfigMap kube-system/cluster-autoscaler-status", format!("knows {knows}"), status.updated);
    let tags = group.account.map(|account| {
        let tags = account.tags.keys().filter(|key| key.starts_with(autoscaler_tags::OF_CLUSTER) && !key.contains("/node-template/"));
        let tags: Vec<&str> = tags.map(String::as_str).collect();
        let said = if tags.is_empty() { "no tag by which an autoscaler could discover it".to_owned() } else { listed(tags) };
        Proof::new(format!("tags of node group {name}"), said, None)
    });
    let cause = Cause::new(Reason::ScaleUpGroupNotDiscovered, format!("the Cluster Autoscaler does not know node group `{name}`"));
    certain.then(|| cause.proven_by([proof]).proven_by(tags).advising([autoscaler_tags::discovery_command(name, None)]))
}

fn knows_its_groups(status: &AutoscalerStatus) -> bool {
    status.is_complete && status.state.as_deref() != Some("Initializing")
}

/// Returns whether the autoscaler pauses a group: it says so, or its last attempt since the group was wanted has just failed.
fn has_failed(status: &GroupStatus, scaling: &Scaling, demand: &Demand) -> bool {
    let name = status.name.as_str();
    let seen = |event: &EventRecord| event.last.or(event.first);
    let failed = scaling.events.iter().filter(|event| is_failure_of(event, name)).filter_map(seen).max();
    let raised = scaling.events.iter().filter(|event| event.reason == "ScaledUpGroup" && names(event, name)).filter_map(seen).max();
    status.is_backing_off() || failed.is_some_and(|failed| failed >= demand.since && raised.is_none_or(|raised| raised <= failed))
}

fn backing_off(group: &NodeGroup<'_>, status: &GroupStatus, scaling: &Scaling) -> Cause {
    let name = &status.name;
    let failures: Vec<&EventRecord> = scaling.events.iter().filter(|event| is_failure_of(event, name)).collect();
    let since = failures.last().and_then(|event| event.last.or(event.first)).or(status.scale_up_since);
    let code = status.backoff.as_ref().map(|backoff| backoff.code.as_str());
    let never_joined = code == Some("timeout") || code.is_none() && failures.last().is_some_and(|event| event.reason == "ScaleUpTimedOut");
    // A time-out alone does not tell a machine that never came from one that came and did not register.
    let launched = group
        .account
        .and_then(|account| account.activities.as_ref())
        .is_none_or(|activities| activities.iter().any(|activity| activity.is_launch() && activity.failure().is_none()));
    let said = status.backoff.as_ref().map(|backoff| format!("Backoff: {}: {}", backoff.code, backoff.message));
    let stated = said.or_else(|| status.is_backing_off().then(|| "Backoff".to_owned()));
    let proof = stated.map(|said| Proof::new(format!("status of node group {name} by the Cluster Autoscaler"), said, since));
    let cause = if never_joined && launched {
        Cause::new(Reason::NodeNeverJoined, format!("a machine of node group `{name}` did not become a node in time; the autoscaler pauses"))
            .advising(never_joined_advice(name))
    } else {
        let why = status.backoff.as_ref().map(|backoff| format!(": {}", backoff.message.trim_end_matches('.'))).unwrap_or_default();
        Cause::new(Reason::ScaleUpBackoff, format!("the Cluster Autoscaler pauses node group `{name}` after a failure{why}"))
    };
    let next_try = since.map(|since| {
        let minutes = (FIRST_BACKOFF_MINUTES << failures.len().saturating_sub(1).min(4)).min(LONGEST_BACKOFF_MINUTES);
        let at = since.checked_add(SignedDuration::from_mins(minutes)).unwrap_or(since);
        format!("the autoscaler tries again at the earliest at {} UTC, with its default settings", at.strftime("%H:%M"))
    });
    cause.proven_by(proof).proven_by(failures.last().map(|event| proof_of(event))).advising(next_try)
}

/// A machine came and was given up before it was a node. Another one may be tried by now, and will hardly do better.
fn given_up(account: &AccountGroup, scaling: &Scaling, demand: &Demand) -> Option<Cause> {
    let launched: Vec<&str> =
        account.activities.iter().flatten().filter(|activity| activity.is_launch()).filter_map(ScalingActivity::instance).collect();
    let in_time = |event: &&EventRecord| event.reason == "DeleteUnregistered" && event.last.or(event.first).is_some_and(|at| at >= demand.since);
    let (event, instance) = scaling.events.iter().filter(in_time).rev().find_map(|event| {
        let instance = launched.iter().find(|instance| event.message.ends_with(&format!("/{instance}")))?;
        Some((event, instance))
    })?;
    let name = &account.name;
    Some(
        Cause::new(Reason::NodeNeverJoined, format!("machine `{instance}` of node group `{name}` did not become a node in time, and was given up"))
            .proven_by([proof_of(event)])
            .advising(never_joined_advice(name)),
    )
}

/// Returns what to look at when machines come and do not become nodes.
pub(crate) fn never_joined_advice(group: &str) -> [String; 2] {
    [
        "read the machine's boot log: aws ec2 get-console-output --latest --instance-id INSTANCE".to_owned(),
        format!("see whether the subnets of `{group}` reach the API server, and whether its role may join the cluster (access entry, aws-auth)"),
    ]
}

/// Returns whether an event tells of a failure to grow this group.
pub(crate) fn is_failure_of(event: &EventRecord, group: &str) -> bool {
    let failed = matches!(event.reason.as_str(), "ScaleUpFailed" | "ScaleUpTimedOut" | "FailedToScaleUpGroup");
    failed && names(event, group)
}

fn names(event: &EventRecord, group: &str) -> bool {
    event.message.split([' ', ':', ';']).any(|word| word == group)
}

fn proof_of(event: &EventRecord) -> Proof {
    Proof::new(format!("event {} on {} {}", event.reason, event.object_kind, event.object), &event.message, event.last.or(event.first))
}

fn at_maximum(group: &NodeGroup<'_>) -> Option<Cause> {
    let (desired, maximum) = group.desired_size().zip(group.max_size())?;
    if desired < maximum {
        return None;
    }
    let name = group.name;
    let source = if group.account.is_some() { "sizes of node group" } else { "status by the Cluster Autoscaler of node group" };
    let proof = Proof::new(format!("{source} {name}"), format!("desired {desired}, maximum {maximum}"), None);
    let summary = match maximum {
        0 => format!("node group `{name}` has a maximum of 0: it can have no machine at all"),
        1 => format!("node group `{name}` is at its maximum of 1 machine"),
        _ => format!("node group `{name}` is at its maximum of {maximum} machines"),
    };
    let raise = format!("or raise it: aws autoscaling update-auto-scaling-group --auto-scaling-group-name {name} --max-size {}", maximum + 1);
    Some(Cause::new(Reason::QueueAtMaximum, summary).proven_by([proof]).advising(["take another size: sbrun sizes".to_owned(), raise]))
}
