//! The jobs of a size: what its template and limits mean to autoscaler, scheduler and admission.

use std::time::Duration;

use serde_json::Value;

use super::{Admission, Check, Findings, Severity, size::subject};
use crate::model::{
    autoscaler_deployment::AutoscalerDeployment,
    duration,
    instance_map::{InstanceMap, SizeProfile},
    node_group::{NodeGroup, Sighting},
    suggestion::listed,
};

/// Pods of a lower priority raise no group (`--expendable-pods-priority-cutoff`).
const CUTOFF: i64 = -10;
/// How long the autoscaler lets a pod end when it drains a node (`--max-graceful-termination-sec`).
const LONGEST_GRACE: u64 = 600;

pub(super) fn examine(map: &InstanceMap, size: &SizeProfile, findings: &mut Findings<'_>) {
    let subject = subject(&size.name);
    if !size.node_groups.is_empty() {
        priority(map, size, &subject, findings);
        grace(map, size, &subject, findings);
    }
    volumes(map, size, &subject, findings);
    match findings.survey.admissions.get(&size.name) {
        None | Some(Sighting::NotAsked | Sighting::Absent { .. }) => {}
        Some(Sighting::Unseen(why)) => findings.unknown(Check::AdmissionSize, &subject, why),
        Some(Sighting::Seen { value: Admission::Admitted, .. }) => findings.good(Check::AdmissionSize, &subject),
        Some(Sighting::Seen { value: Admission::Refused(words), .. }) => {
            findings
                .bad(Severity::Error, Check::AdmissionSize, &subject, format!("the cluster refuses its jobs: {words}"))
                .mended_by("sbrun setup policy --apply, if the map has changed since the policy was made");
        }
    }
}

/// Returns the pod of a size's template.
pub(crate) fn template_pod<'a>(map: &'a InstanceMap, size: &'a SizeProfile) -> Option<&'a Value> {
    let template = size.own.template.as_ref().or(map.defaults.template.as_ref())?;
    template.value.manifest.pointer("/spec/template/spec")
}

/// Returns the name of the PriorityClass of a size's template.
#[must_use]
pub fn priority_class<'a>(map: &'a InstanceMap, size: &'a SizeProfile) -> Option<&'a str> {
    template_pod(map, size)?["priorityClassName"].as_str()
}

/// Returns the names of the PersistentVolumeClaims of a size's template.
#[must_use]
pub fn claims<'a>(map: &'a InstanceMap, size: &'a SizeProfile) -> Vec<&'a str> {
    let volumes = template_pod(map, size).and_then(|pod| pod["volumes"].as_array());
    volumes.into_iter().flatten().filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str()).collect()
}

fn flag<'a>(findings: &Findings<'a>, name: &str) -> Option<&'a str> {
    findings.survey.autoscaler.value().and_then(|deployment: &AutoscalerDeployment| deployment.flag(name))
}

fn priority(map: &InstanceMap, size: &SizeProfile, subject: &str, findings: &mut Findings<'_>) {
    let class = priority_class(map, size);
    let priority = match class.map(|class| (class, findings.survey.priorities.get(class))) {
        None => template_pod(map, size).and_then(|pod| pod["priority"].as_i64()).unwrap_or(0),
        Some((_, Some(Sighting::Seen { value, .. }))) => i64::from(*value),
        Some((class, Some(Sighting::Absent { .. }))) => {
            let finding = findings.bad(Severity::Error, Check::JobPriority, subject, format!("there is no PriorityClass `{class}`"));
            finding.consequence = Some("no pod of it is created".to_owned());
            finding.mended_by("correct `priorityClassName` in the template: kubectl get priorityclasses");
            return;
        }
        Some((class, Some(Sighting::Unseen(why)))) => {
            return findings.unknown(Check::JobPriority, subject, format!("PriorityClass `{class}`: {why}"));
        }
        Some((_, None | Some(Sighting::NotAsked))) => return,
    };
    let cutoff = flag(findings, "expendable-pods-priority-cutoff").and_then(|text| text.parse().ok()).unwrap_or(CUTOFF);
    if priority >= cutoff {
        return findings.good(Check::JobPriority, subject);
    }
    let message = format!("its jobs have priority {priority}, the autoscaler looks at none below {cutoff}");
    findings
        .bad(Severity::Error, Check::JobPriority, subject, message)
        .mended_by(format!("take a PriorityClass of {cutoff} or more in its template, or none"));
}

fn grace(map: &InstanceMap, size: &SizeProfile, subject: &str, findings: &mut Findings<'_>) {
    let Some(grace) = size.own.grace.as_ref().or(map.defaults.grace.as_ref()) else { return findings.good(Check::JobGrace, subject) };
    let seconds = flag(findings, "max-graceful-termination-sec").and_then(|text| text.parse().ok()).unwrap_or(LONGEST_GRACE);
    if grace.value.as_secs() <= seconds {
        return findings.good(Check::JobGrace, subject);
    }
    let longest = duration::format(Duration::from_secs(seconds));
    let message = format!("its grace is {}, the autoscaler's longest is {longest}", duration::format(grace.value));
    findings
        .bad(Severity::Warning, Check::JobGrace, subject, message)
        .mended_by(format!("lower `grace` to {longest}, or raise the autoscaler's `--max-graceful-termination-sec`"));
}

/// A volume of one zone and a group of several: the autoscaler does not know in which zone the machine will come.
fn volumes(map: &InstanceMap, size: &SizeProfile, subject: &str, findings: &mut Findings<'_>) {
    let survey = findings.survey;
    for claim in claims(map, size) {
        let zones = match survey.claim_zones.get(claim) {
            None | Some(Sighting::NotAsked) => continue,
            Some(Sighting::Unseen(why)) => {
                findings.unknown(Check::JobVolume, subject, format!("claim `{claim}`: {why}"));
                continue;
            }
            Some(Sighting::Absent { .. }) => {
                let finding = findings.bad(Severity::Error, Check::JobVolume, subject, format!("there is no PersistentVolumeClaim `{claim}`"));
                finding.consequence = Some("its jobs wait for the claim".to_owned());
                finding.mended_by(format!("create it in namespace `{}`, or correct the template", survey.namespace));
                continue;
            }
            Some(Sighting::Seen { value, .. }) => value,
        };
        let groups = size.node_groups.iter().map(|group| NodeGroup::find(&group.value, false, &survey.scaling));
        let elsewhere = |group: &NodeGroup<'_>| {
            let others = group.account?.zones.iter().filter(|zone| !zones.contains(zone)).cloned();
            let others: Vec<String> = others.collect();
            (!zones.is_empty() && !others.is_empty()).then(|| (group.name.to_owned(), others))
        };
        let elsewhere: Vec<(String, Vec<String>)> = groups.filter_map(|group| elsewhere(&group)).collect();
        if elsewhere.is_empty() {
            findings.good(Check::JobVolume, subject);
        }
        for (group, others) in elsewhere {
            let here = listed(zones.iter().map(String::as_str));
            let message =
                format!("claim `{claim}` is in {here}, node group `{group}` also starts machines in {}", listed(others.iter().map(String::as_str)));
            findings
                .bad(Severity::Warning, Check::JobVolume, subject, message)
                .mended_by("make one node group for each zone, and let this size name those in the zone of the claim");
        }
    }
}
