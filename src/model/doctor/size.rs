//! One size: its groups or pool, its jobs, and what a size that the map does not have yet lacks.

use jiff::SignedDuration;

use super::{Check, Findings, RECENT, Severity, group, jobs, machine::Machines, pool, tags};
use crate::model::{
    autoscaler_tags::{self, tag_command},
    growth::{Demand, hindrances},
    identity::SizeName,
    instance_map::{InstanceMap, PLACEMENT_KEY, SizeProfile},
    node_group::{AccountGroup, NodeGroup},
    reason::Reason,
    story::Cause,
    suggestion::{self, listed},
};

pub(super) fn examine(map: &InstanceMap, size: &SizeProfile, findings: &mut Findings<'_>) {
    let subject = subject(&size.name);
    let scaling = &findings.survey.scaling;
    let named = size.node_groups.iter().map(|group| (group.value.as_str(), false));
    let named: Vec<(&str, bool)> = named.chain(size.node_pool.iter().map(|pool| (pool.value.as_str(), true))).collect();
    if named.is_empty() {
        findings
            .bad(Severity::Warning, Check::SizeGroup, &subject, "it names no node group")
            .mended_by(format!("write `node_group` or `node_pool` under `sizes.{}`", size.name));
    } else {
        findings.good(Check::SizeGroup, &subject);
    }
    for (name, is_pool) in named {
        let group = NodeGroup::find(name, is_pool, scaling);
        growth(map, size, &group, findings);
        let machines = Machines::of(map, size, &group, findings.survey);
        match (group.account, group.pool) {
            (Some(account), _) => {
                group::examine(size, account, findings);
                tags::examine(map, size, account, machines.nodes(), findings);
            }
            (None, Some(found)) => pool::examine(map, size, found, findings),
            (None, None) => {}
        }
        machines.examine(findings);
    }
    jobs::examine(map, size, findings);
}

/// Adds what keeps a group from growing now, as `why` would tell it of a job.
fn growth(map: &InstanceMap, size: &SizeProfile, group: &NodeGroup<'_>, findings: &mut Findings<'_>) {
    let survey = findings.survey;
    let subject = group_subject(group);
    if group.is_pool && survey.scaling.pools.value().is_some() && group.pool.is_none() || group.is_pool && survey.scaling.pools.is_absent() {
        let (message, remedy) = if survey.scaling.pools.is_absent() {
            ("this cluster has no Karpenter".to_owned(), "name a `node_group` instead, or install Karpenter".to_owned())
        } else {
            let known = survey.scaling.pools.value().into_iter().flatten().map(|pool| pool.name.as_str());
            let known: Vec<&str> = known.collect();
            let meant = suggestion::closest(group.name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
            let remedy = meant.unwrap_or_else(|| "kubectl get nodepools".to_owned());
            (format!("there is no such node pool; there are {}", listed(known)), remedy)
        };
        findings.bad(Severity::Error, Check::PoolExists, &subject, message).mended_by(remedy);
        return;
    }
    let known = group.account.is_some() || group.status.is_some() || group.pool.is_some();
    let since = SignedDuration::try_from(RECENT).ok().and_then(|recent| survey.now.checked_sub(recent).ok()).unwrap_or(survey.now);
    let demand = Demand { since, footprint: size.footprint(&map.defaults) };
    let causes = hindrances(group, &survey.scaling, &demand, survey.now);
    let is_missing = causes.iter().any(|cause| cause.reason == Reason::SchedulingNoSuchGroup);
    if causes.is_empty() && known {
        findings.good(Check::GroupGrowth, &subject);
    }
    for cause in causes {
        let Some(severity) = severity(&cause, group) else { continue };
        if is_missing && cause.reason == Reason::ScaleUpGroupNotDiscovered {
            continue; // tags do not mend a group that is not there
        }
        // The autoscaler is one, whatever the number of groups.
        let subject = match (cause.reason, group.is_pool) {
            (Reason::ScaleUpAutoscalerDown, true) => "Karpenter",
            (Reason::ScaleUpAutoscalerDown, false) => "Cluster Autoscaler",
            _ => &subject,
        };
        let code = cause.reason.code();
        if findings.found.iter().any(|known| known.code == code && known.subject == subject) {
            continue;
        }
        let remedies = match (cause.reason, group.account) {
            (Reason::ScaleUpGroupNotDiscovered, Some(account)) => tags::discovery_remedies(map, account, findings),
            _ => cause.next.iter().map(|step| if step.starts_with("aws ") { findings.aws(step) } else { step.clone() }).collect(),
        };
        let finding = findings.add(severity, code, subject, cause.summary);
        finding.consequence = Some(Check::GroupGrowth.consequence().to_owned());
        finding.remedies = remedies;
    }
}

/// Returns how much it matters to a set-up that a group does not grow; none for what is no fault of it: to be full is to be used.
fn severity(cause: &Cause, group: &NodeGroup<'_>) -> Option<Severity> {
    match cause.reason {
        Reason::QueueAtMaximum if group.max_size() == Some(0) => Some(Severity::Error),
        Reason::QueueAtMaximum => None,
        Reason::ScaleUpBackoff
        | Reason::CapacitySpot
        | Reason::CapacityOnDemand
        | Reason::CapacityQuota
        | Reason::CapacityLaunchConfiguration
        | Reason::NodeNeverJoined => Some(Severity::Warning),
        _ => Some(Severity::Error),
    }
}

/// Lists what a size lacks that the map does not have yet, as if it used the placement of a size that says none.
pub(super) fn examine_new(map: &InstanceMap, name: &SizeName, findings: &mut Findings<'_>) {
    let subject = subject(name);
    let survey = findings.survey;
    let meant = suggestion::closest(&name.0, map.sizes.iter().map(|size| size.name.0.as_str()));
    let label = format!("{}{PLACEMENT_KEY}", autoscaler_tags::LABEL);
    let last_word = |group: &str| group.rsplit(['-', '_', '.']).next() == Some(name.0.as_str());
    let is_its = |group: &&AccountGroup| group.tags.get(&label) == Some(&name.0) || group.name == name.0 || last_word(&group.name);
    let group = survey.scaling.account.value().into_iter().flatten().find(is_its);
    let pool = survey.scaling.pools.value().into_iter().flatten().find(|pool| pool.name == name.0 || pool.labels.get(PLACEMENT_KEY) == Some(&name.0));
    let entry = match (group, pool) {
        (None, Some(pool)) => format!("node_pool: {}", pool.name),
        (group, _) => format!("node_group: {}", group.map_or("GROUP", |group| group.name.as_str())),
    };
    let finding = findings.bad(Severity::Error, Check::SizeKnown, &subject, format!("the instance map `{}` has no such size", map.name));
    if let Some(meant) = meant {
        finding.mended_by(format!("did you mean `{meant}`?"));
    }
    finding.mended_by("sbrun init, which proposes a size for every node group");
    finding.mended_by(format!("or write under `sizes`: {name}: {{{entry}, instance_type: TYPE}}"));
    if pool.is_some() && group.is_none() {
        return;
    }
    let group_name = group.map_or("GROUP", |group| group.name.as_str());
    let wanted = [
        (Check::TagsDiscovery, autoscaler_tags::ENABLED.to_owned(), "true".to_owned()),
        (Check::TagsDiscovery, format!("{}{}", autoscaler_tags::OF_CLUSTER, tags::cluster_name(map, group)), "owned".to_owned()),
        (Check::TagsLabels, label, name.0.clone()),
        (Check::TagsTaints, format!("{}{PLACEMENT_KEY}", autoscaler_tags::TAINT), format!("{name}:NoSchedule")),
    ];
    for check in [Check::TagsDiscovery, Check::TagsLabels, Check::TagsTaints] {
        let lacks = |(of, key, _): &&(Check, String, String)| *of == check && group.is_none_or(|group| !group.tags.contains_key(key));
        let missing: Vec<(&str, &str)> = wanted.iter().filter(lacks).map(|(_, key, value)| (key.as_str(), value.as_str())).collect();
        if missing.is_empty() {
            findings.good(check, &format!("node group {group_name}"));
            continue;
        }
        let (command, message) = (findings.aws(&tag_command(group_name, missing.iter().copied())), tags::missing_words(&missing));
        findings.bad(Severity::Error, check, &format!("node group {group_name}"), message).mended_by(command);
    }
    findings
        .bad(Severity::Warning, Check::AdmissionSize, &subject, "the admission policy knows the sizes of the map only")
        .mended_by("sbrun setup map policy --apply, once the map has it");
}

pub(super) fn subject(size: &SizeName) -> String {
    format!("size {size}")
}

pub(super) fn group_subject(group: &NodeGroup<'_>) -> String {
    format!("{} {}", if group.is_pool { "node pool" } else { "node group" }, group.name)
}
