//! What whoever asks may do and see, and whether the cluster keeps the rules for others.

use super::{Admission, Check, Findings, MissingRight, Severity};
use crate::model::{access::AUTOSCALER_NAMESPACE, instance_map::InstanceMap, node_group::Sighting};

/// API group of Karpenter's kinds.
const KARPENTER: &str = "karpenter.sh";

pub(super) fn examine(map: &InstanceMap, findings: &mut Findings<'_>) {
    let survey = findings.survey;
    if let Some(missing) = survey.missing_rights.value() {
        // What the map has no use for, nobody has to be allowed to see.
        let pools = map.sizes.iter().any(|size| size.node_pool.is_some());
        let groups = map.sizes.iter().any(|size| !size.node_groups.is_empty());
        let matters =
            |one: &&MissingRight| (pools || one.right.group != KARPENTER) && (groups || one.namespace.as_deref() != Some(AUTOSCALER_NAMESPACE));
        rights(&missing.iter().filter(matters).collect::<Vec<_>>(), findings);
    }
    if let Sighting::Seen { value, .. } = &survey.rule_breaker {
        rules(value, findings);
    }
}

fn rights(missing: &[&MissingRight], findings: &mut Findings<'_>) {
    for (check, needed) in [(Check::RightsJobs, true), (Check::RightsSight, false)] {
        if missing.iter().all(|one| one.needed != needed) {
            findings.good(check, "you");
        }
        for one in missing.iter().filter(|one| one.needed == needed) {
            let place = one.namespace.as_ref().map_or_else(|| "in the whole cluster".to_owned(), |namespace| format!("in namespace `{namespace}`"));
            let object = one.right.name.map(|name| format!(" {name}")).unwrap_or_default();
            let message = format!("you may not {} `{}{object}` {place}: {}", verbs(&one.verbs), one.right.resource, one.right.purpose);
            let severity = if needed { Severity::Error } else { Severity::Warning };
            let part = if one.namespace.as_ref() == Some(&findings.survey.namespace) { "access" } else { "nodes" };
            findings
                .bad(severity, check, "you", message)
                .mended_by(format!("have an administrator run: sbrun setup {part} --user-group GROUP --apply"));
        }
    }
}

fn rules(admission: &Admission, findings: &mut Findings<'_>) {
    let subject = "admission policy";
    match admission {
        Admission::Refused(_) => findings.good(Check::AdmissionRules, subject),
        Admission::Admitted => {
            findings
                .bad(Severity::Warning, Check::AdmissionRules, subject, "a Job that breaks the rules would be admitted")
                .mended_by("sbrun setup policy --apply");
        }
    }
}

fn verbs(verbs: &[&str]) -> String {
    match verbs {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
