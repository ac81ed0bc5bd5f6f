//! A Karpenter NodePool: whether its machines are those that the size asks for.

use super::{
    Check, Findings, Severity,
    tags::{toleration_line, words},
};
use crate::model::{
    duration,
    instance_map::{InstanceMap, SizeProfile},
    launch_plan::{Taint, TimeLimits},
    node_group::{INSTANCE_TYPE, NodePool},
    suggestion::listed,
};

pub(super) fn examine(map: &InstanceMap, size: &SizeProfile, pool: &NodePool, findings: &mut Findings<'_>) {
    let subject = format!("node pool {}", pool.name);
    let placement = size.placement();
    findings.good(Check::PoolExists, &subject);
    let missing: Vec<String> = pool.missing_labels(&placement.node_selector).iter().map(|(key, value)| format!("{key}={value}")).collect();
    if missing.is_empty() {
        findings.good(Check::PlacementLabels, &subject);
    } else {
        let message =
            format!("none of its machines will have {}, which jobs of size `{}` ask for", listed(missing.iter().map(String::as_str)), size.name);
        findings
            .bad(Severity::Error, Check::PlacementLabels, &subject, message)
            .mended_by(format!("kubectl edit nodepool {}: add it under spec.template.metadata.labels", pool.name))
            .mended_by(format!("or correct `node_selector` under `sizes.{}`", size.name));
    }
    let refuses = |taint: &&Taint| taint.effect != "PreferNoSchedule" && !placement.tolerations.iter().any(|one| one.tolerates(taint));
    match pool.taints.iter().find(refuses) {
        None => findings.good(Check::PlacementTaints, &subject),
        Some(taint) => {
            let message = format!("its machines have the taint `{}`, which jobs of size `{}` do not tolerate", words(taint), size.name);
            findings.bad(Severity::Error, Check::PlacementTaints, &subject, message).mended_by(format!(
                "write under `sizes.{}`: {}",
                size.name,
                toleration_line(taint)
            ));
        }
    }
    grace(map, size, pool, &subject, findings);
    types(size, pool, &subject, findings);
    spot(size, pool, &subject, findings);
}

/// A machine that expires or drifts waits for a running flow, because of its annotation, but only as long as the pool lets it.
fn grace(map: &InstanceMap, size: &SizeProfile, pool: &NodePool, subject: &str, findings: &mut Findings<'_>) {
    let timeout = size.own.timeout.as_ref().or(map.defaults.timeout.as_ref()).map_or_else(|| TimeLimits::default().timeout, |timeout| timeout.value);
    let Some(grace) = pool.termination_grace_period.filter(|grace| *grace < timeout) else { return findings.good(Check::PoolGrace, subject) };
    let message = format!("its `terminationGracePeriod` is {}, a job may run for {}", duration::format(grace), duration::format(timeout));
    let patch = "[{\"op\":\"remove\",\"path\":\"/spec/template/spec/terminationGracePeriod\"}]";
    findings
        .bad(Severity::Warning, Check::PoolGrace, subject, message)
        .mended_by(format!("kubectl patch nodepool {} --type=json -p '{patch}'", pool.name));
}

fn types(size: &SizeProfile, pool: &NodePool, subject: &str, findings: &mut Findings<'_>) {
    if size.instance_types.is_empty() {
        return;
    }
    let never = |name: &&str| {
        let selector = [(INSTANCE_TYPE.to_owned(), (*name).to_owned())].into();
        !pool.missing_labels(&selector).is_empty()
    };
    let names: Vec<&str> = size.instance_types.iter().map(|name| name.value.as_str()).collect();
    let never: Vec<&str> = names.iter().copied().filter(never).collect();
    if never.is_empty() {
        return findings.good(Check::GroupTypes, subject);
    }
    let severity = if never.len() == names.len() { Severity::Error } else { Severity::Warning };
    findings
        .bad(severity, Check::GroupTypes, subject, format!("its requirements exclude {}, which size `{}` names", listed(never), size.name))
        .mended_by(format!("compare `instance_types` under `sizes.{}` with: kubectl get nodepool {} -o yaml", size.name, pool.name));
}

fn spot(size: &SizeProfile, pool: &NodePool, subject: &str, findings: &mut Findings<'_>) {
    match pool.is_spot().zip(size.spot) {
        None => {}
        Some((is, said)) if is == said => findings.good(Check::GroupSpot, subject),
        Some((is, _)) => {
            let message = format!("its machines are {}, and the map says otherwise", if is { "spot machines" } else { "on demand" });
            findings.bad(Severity::Warning, Check::GroupSpot, subject, message).mended_by(format!("write under `sizes.{}`: spot: {is}", size.name));
        }
    }
}
