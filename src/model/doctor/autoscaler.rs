//! The Cluster Autoscaler itself: whether it runs, in which version, with which flags.

use std::time::Duration;

use super::{Check, Findings, Severity};
use crate::model::{
    autoscaler_deployment::{AutoscalerDeployment, Minor},
    duration,
    instance_map::InstanceMap,
    node_group::Sighting,
    setup::autoscaler::flags,
};

const SUBJECT: &str = "Cluster Autoscaler";
/// How long an idle machine may stay before somebody should know: three times the default.
const LONG: Duration = Duration::from_secs(30 * 60);
/// From this version on it chooses the group with the least waste by itself.
const LEAST_WASTE: Minor = Minor(1, 34);

/// Nothing of it matters to a map whose sizes are all on node pools.
pub(super) fn examine(map: &InstanceMap, findings: &mut Findings<'_>) {
    if map.sizes.iter().all(|size| size.node_groups.is_empty()) {
        return;
    }
    let survey = findings.survey;
    match &survey.autoscaler {
        Sighting::NotAsked => {}
        Sighting::Unseen(why) => findings.unknown(Check::AutoscalerFlags, SUBJECT, why),
        // Its status tells whether it runs; where it runs, is nobody's business.
        Sighting::Absent { .. } => findings.unknown(Check::AutoscalerFlags, SUBJECT, "its Deployment is not in the cluster, or not in kube-system"),
        Sighting::Seen { value: deployment, .. } => {
            runs(deployment, findings);
            version(deployment, findings);
            idle(deployment, findings);
            recommended(map, deployment, findings);
        }
    }
}

fn runs(deployment: &AutoscalerDeployment, findings: &mut Findings<'_>) {
    let AutoscalerDeployment { namespace, name, ready, wanted, .. } = deployment;
    if *ready > 0 {
        return findings.good(Check::AutoscalerRuns, SUBJECT);
    }
    let finding = findings.bad(Severity::Error, Check::AutoscalerRuns, SUBJECT, format!("none of its {wanted} pods is ready"));
    finding.mended_by(format!("kubectl -n {namespace} describe deployment {name}"));
    if *wanted == 0 {
        "its Deployment has 0 replicas".clone_into(&mut finding.message);
        finding.remedies = vec![format!("kubectl -n {namespace} scale deployment {name} --replicas=1")];
    }
}

fn version(deployment: &AutoscalerDeployment, findings: &mut Findings<'_>) {
    let Some(cluster) = findings.survey.version.value().and_then(|version| Minor::parse(version)) else { return };
    let Some(version) = deployment.version() else {
        let why = format!("the tag of its image `{}` is no version", deployment.image);
        return findings.unknown(Check::AutoscalerVersion, SUBJECT, why);
    };
    if version == cluster {
        return findings.good(Check::AutoscalerVersion, SUBJECT);
    }
    let message = format!("it is of version {version}, the cluster of {cluster}");
    findings.bad(Severity::Warning, Check::AutoscalerVersion, SUBJECT, message).mended_by(format!("deploy a version {cluster} of it"));
}

fn idle(deployment: &AutoscalerDeployment, findings: &mut Findings<'_>) {
    if deployment.flag("scale-down-enabled") == Some("false") {
        findings
            .bad(Severity::Error, Check::AutoscalerIdle, SUBJECT, "it runs with `--scale-down-enabled=false`")
            .mended_by("start it without this flag");
        return;
    }
    let unneeded = deployment.flag("scale-down-unneeded-time").and_then(|text| duration::parse(text).ok());
    match unneeded.filter(|unneeded| *unneeded > LONG) {
        Some(unneeded) => {
            let message = format!("it keeps idle machines for {}", duration::format(unneeded));
            let finding = findings.bad(Severity::Warning, Check::AutoscalerIdle, SUBJECT, message);
            finding.consequence = Some("every machine costs that much longer after its last job".to_owned());
            finding.mended_by("start it with `--scale-down-unneeded-time=10m`");
        }
        None => findings.good(Check::AutoscalerIdle, SUBJECT),
    }
}

/// Compares its flags with those that `setup` names; what discovers groups is looked at group by group.
fn recommended(map: &InstanceMap, deployment: &AutoscalerDeployment, findings: &mut Findings<'_>) {
    let before = findings.found.len();
    for flag in flags(map) {
        let now = deployment.flag(flag.flag);
        let is_fine = match flag.flag {
            "node-group-auto-discovery" | "scale-down-unneeded-time" | "max-node-provision-time" => true,
            "cloud-provider" => now.is_none_or(|now| now == flag.value),
            // Any but this one goes by something that the group has.
            "expander" => now.map_or_else(|| deployment.version().is_none_or(|version| version >= LEAST_WASTE), |now| now != "random"),
            _ if flag.is_default => now.is_none_or(|now| now == flag.value),
            _ => now == Some(flag.value.as_str()),
        };
        if !is_fine {
            let is = now.map_or_else(|| "it runs without".to_owned(), |now| format!("it runs with `--{}={now}` instead of", flag.flag));
            let message = format!("{is} `--{}={}`", flag.flag, flag.value);
            let finding = findings.bad(Severity::Warning, Check::AutoscalerFlags, SUBJECT, message);
            finding.consequence = Some(flag.why);
            finding.mended_by(format!("start it with `--{}={}`", flag.flag, flag.value));
        }
    }
    if findings.found.len() == before {
        findings.good(Check::AutoscalerFlags, SUBJECT);
    }
}
