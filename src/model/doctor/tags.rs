//! The tags of an Auto Scaling group: how the Cluster Autoscaler finds it, and what it knows of its nodes while there are none.

use std::collections::BTreeMap;

use super::{Check, Findings, Severity, machine::lasting};
use crate::model::{
    autoscaler_tags::{self, EKS_CLUSTER, EKS_NODE_GROUP, ENABLED, LABEL, OF_CLUSTER, RESOURCE, TAINT, tag_command},
    evidence::NodeRecord,
    instance_map::{InstanceMap, SizeProfile},
    launch_plan::{Placement, Taint},
    node_group::AccountGroup,
    quantity::Memory,
    suggestion::listed,
};

/// Domains of labels that the autoscaler knows of every node, or that every node of AWS has.
const KNOWN_LABELS: [&str; 8] = [
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.ebs.csi.aws.com/zone",
];
/// Beginning of the labels that EKS gives the nodes of its managed groups, which the autoscaler adds by itself.
const EKS_LABELS: &str = "eks.amazonaws.com/";
/// Stands for the cluster's name where nothing tells it.
const CLUSTER: &str = "CLUSTER";

pub(super) fn examine(map: &InstanceMap, size: &SizeProfile, group: &AccountGroup, nodes: &[&NodeRecord], findings: &mut Findings<'_>) {
    let tags = Tags { size, group, nodes, placement: size.placement(), subject: format!("node group {}", group.name) };
    tags.discovery(map, findings);
    tags.labels(findings);
    tags.taints(findings);
    tags.resources(map, findings);
}

struct Tags<'a> {
    size: &'a SizeProfile,
    group: &'a AccountGroup,
    nodes: &'a [&'a NodeRecord],
    placement: Placement,
    subject: String,
}

impl Tags<'_> {
    /// A group that the autoscaler's status lists is found, whatever its tags; one that it does not list, is told of elsewhere.
    fn discovery(&self, map: &InstanceMap, findings: &mut Findings<'_>) {
        let survey = findings.survey;
        let deployment = survey.autoscaler.value();
        let status = survey.scaling.autoscaler.value();
        let is_listed = status.is_some_and(|status| status.groups.iter().any(|listed| listed.name == self.group.name));
        let is_told = deployment.is_some_and(|deployment| deployment.is_told_of(&self.group.name));
        let missing = missing_discovery_tags(map, self.group, findings);
        if is_told || missing.is_empty() {
            return findings.good(Check::TagsDiscovery, &self.subject);
        }
        // By the status it may have been found before somebody took a tag away; by default tags alone nothing is certain.
        let certain = !is_listed && deployment.is_some_and(|deployment| !deployment.discovery_tags().is_empty());
        let severity = if certain || !is_listed { Severity::Error } else { Severity::Warning };
        let command = tag_command(&self.group.name, missing.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let (command, missing) = (findings.aws(&command), missing.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>());
        findings.bad(severity, Check::TagsDiscovery, &self.subject, missing_words(&missing)).mended_by(command);
    }

    fn labels(&self, findings: &mut Findings<'_>) {
        let promised = autoscaler_tags::labels(&self.group.tags);
        let wanted = self.placement.node_selector.iter().filter(|(key, _)| !self.is_known(key));
        let (wrong, missing): (Vec<_>, Vec<_>) =
            wanted.filter(|(key, value)| promised.get(*key) != Some(value)).partition(|(key, _)| promised.contains_key(*key));
        if wrong.is_empty() && missing.is_empty() {
            return findings.good(Check::TagsLabels, &self.subject);
        }
        let tags: Vec<(String, &str)> = wrong.iter().chain(&missing).map(|(key, value)| (format!("{LABEL}{key}"), value.as_str())).collect();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let command = findings.aws(&tag_command(&self.group.name, tags.iter().copied()));
        for (key, value) in &wrong {
            let is = promised.get(*key).map_or("", String::as_str);
            let message =
                format!("its tag says that its nodes have the label `{key}={is}`, jobs of size `{}` ask for `{key}={value}`", self.size.name);
            let selector = format!("or correct `node_selector` under `sizes.{}`", self.size.name);
            findings.bad(Severity::Error, Check::TagsLabels, &self.subject, message).mended_by(command.clone()).mended_by(selector);
        }
        if missing.is_empty() {
            return;
        }
        let tags: Vec<(String, &str)> = missing.iter().map(|(key, value)| (format!("{LABEL}{key}"), value.as_str())).collect();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let finding = findings.bad(self.severity(), Check::TagsLabels, &self.subject, missing_words(&tags)).mended_by(command);
        if self.is_managed() {
            finding.consequence = Some(WITHOUT_TAGS_OF_EKS.to_owned());
        }
    }

    fn taints(&self, findings: &mut Findings<'_>) {
        let promised = autoscaler_tags::taints(&self.group.tags);
        let keys = self.group.tags.iter().filter_map(|(tag, value)| Some((tag.strip_prefix(TAINT)?, value)));
        let unreadable: Vec<String> = keys
            .filter(|(key, _)| promised.iter().all(|taint| taint.key != *key))
            .map(|(key, value)| format!("`{TAINT}{key}` is `{value}`"))
            .collect();
        let tolerates = |taint: &&Taint| self.placement.tolerations.iter().any(|toleration| toleration.tolerates(taint));
        let refused: Vec<&Taint> = promised.iter().filter(|taint| taint.effect != "PreferNoSchedule" && !tolerates(taint)).collect();
        for text in &unreadable {
            findings
                .bad(Severity::Error, Check::TagsTaints, &self.subject, format!("its tag {text}, which the autoscaler drops without a word"))
                .mended_by("write it as `VALUE:NoSchedule`, `VALUE:NoExecute` or `VALUE:PreferNoSchedule`");
        }
        for taint in &refused {
            let message = format!("its tag promises the taint `{}`, which jobs of size `{}` do not tolerate", words(taint), self.size.name);
            let finding = findings.bad(Severity::Error, Check::TagsTaints, &self.subject, message);
            finding.consequence = Some("the autoscaler never raises it for them".to_owned());
            finding.mended_by(format!("write under `sizes.{}`: {}", self.size.name, toleration_line(taint)));
        }
        let silent = self.silent(&promised);
        if !silent.is_empty() {
            let tags: Vec<(String, String)> =
                silent.iter().map(|taint| (format!("{TAINT}{}", taint.key), format!("{}:{}", taint.value, taint.effect))).collect();
            let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let command = findings.aws(&tag_command(&self.group.name, tags.iter().copied()));
            let finding = findings.bad(Severity::Warning, Check::TagsTaints, &self.subject, missing_words(&tags)).mended_by(command);
            finding.consequence = Some("at 0 the autoscaler raises it in vain for pods that do not tolerate this".to_owned());
        }
        if unreadable.is_empty() && refused.is_empty() && silent.is_empty() {
            findings.good(Check::TagsTaints, &self.subject);
        }
    }

    /// Returns the taints of a node that is there which no tag promises. Of a managed group EKS tells them.
    fn silent(&self, promised: &[Taint]) -> Vec<&Taint> {
        let Some(node) = self.nodes.first().filter(|_| !self.is_managed()) else { return Vec::new() };
        let tagged = |taint: &Taint| self.group.tags.contains_key(&format!("{TAINT}{}", taint.key)) || promised.contains(taint);
        lasting(&node.taints).filter(|taint| !tagged(taint)).collect()
    }

    /// CPU, memory and GPUs the autoscaler knows by the instance type, unless tags say otherwise; storage only by a tag.
    fn resources(&self, map: &InstanceMap, findings: &mut Findings<'_>) {
        let footprint = self.size.footprint(&map.defaults);
        let tag = |resource: &str| self.group.tags.get(&format!("{RESOURCE}{resource}"));
        let too_little = |resource: &str, asked: String, holds: fn(&str, &str) -> bool| {
            tag(resource).filter(|there| !holds(there, &asked)).map(|there| (resource.to_owned(), there.clone(), asked))
        };
        let mut short: Vec<(String, String, String)> = Vec::new();
        short.extend(too_little("cpu", footprint.cpu.to_kubernetes(), |there, asked| {
            there.parse::<crate::model::quantity::Cpu>().ok().zip(asked.parse().ok()).is_none_or(|(there, asked)| there >= asked)
        }));
        let holds = |there: &str, asked: &str| there.parse::<Memory>().ok().zip(asked.parse().ok()).is_none_or(|(there, asked)| there >= asked);
        short.extend(too_little("memory", footprint.memory.to_kubernetes(), holds));
        let storage = footprint.ephemeral_storage.map(Memory::to_kubernetes);
        short.extend(storage.clone().and_then(|storage| too_little("ephemeral-storage", storage, holds)));
        for (resource, there, asked) in &short {
            let message = format!("its tag says that a node has {there} of {resource}, a job of size `{}` asks for {asked}", self.size.name);
            findings
                .bad(Severity::Error, Check::TagsResources, &self.subject, message)
                .mended_by(format!("correct the tag `{RESOURCE}{resource}`, or take it away"));
        }
        match storage.filter(|_| tag("ephemeral-storage").is_none()) {
            Some(storage) => {
                let key = format!("{RESOURCE}ephemeral-storage");
                let command = findings.aws(&tag_command(&self.group.name, [(key.as_str(), storage.as_str())]));
                let message = missing_words(&[(&key, &storage)]);
                findings.bad(self.severity(), Check::TagsResources, &self.subject, message).mended_by(command);
            }
            None if short.is_empty() => findings.good(Check::TagsResources, &self.subject),
            None => {}
        }
    }

    /// Returns whether the autoscaler knows a label without a tag.
    fn is_known(&self, key: &str) -> bool {
        KNOWN_LABELS.contains(&key) || self.is_managed() && key.starts_with(EKS_LABELS)
    }

    fn is_managed(&self) -> bool {
        self.group.tags.contains_key(EKS_NODE_GROUP)
    }

    /// What the tags of a managed group leave out, the autoscaler may ask EKS for; a group that never rests is known by its nodes.
    fn severity(&self) -> Severity {
        if self.is_managed() || self.group.min_size > 0 { Severity::Warning } else { Severity::Error }
    }
}

const WITHOUT_TAGS_OF_EKS: &str =
    "at 0 the autoscaler has to ask EKS: without the right to `eks:DescribeNodegroup`, or without these labels there, it never raises the group";

/// Returns the tags of discovery that a group lacks: those that the autoscaler's flags name, else those of its documentation.
fn missing_discovery_tags(map: &InstanceMap, group: &AccountGroup, findings: &Findings<'_>) -> Vec<(String, String)> {
    let has = |key: &str, value: Option<&str>| group.tags.get(key).is_some_and(|found| value.is_none_or(|value| value == found));
    let discoveries = findings.survey.autoscaler.value().map(|deployment| deployment.discovery_tags()).unwrap_or_default();
    let of_flags = discoveries.iter().map(|tags| {
        let missing = tags.iter().filter(|(key, value)| !has(key, *value));
        missing.map(|(key, value)| ((*key).to_owned(), value.unwrap_or("true").to_owned())).collect::<Vec<_>>()
    });
    if let Some(nearest) = of_flags.min_by_key(Vec::len) {
        return nearest;
    }
    let of_cluster = format!("{OF_CLUSTER}{}", cluster_name(map, Some(group)));
    let has_any = |prefix: &str| group.tags.keys().any(|key| key.strip_prefix(prefix).is_some_and(|rest| rest != "enabled" && !rest.contains('/')));
    let cluster_known = !of_cluster.ends_with(CLUSTER);
    let mut missing = Vec::new();
    if !has(ENABLED, None) {
        missing.push((ENABLED.to_owned(), "true".to_owned()));
    }
    if cluster_known && !has(&of_cluster, None) || !cluster_known && !has_any(OF_CLUSTER) {
        missing.push((of_cluster, "owned".to_owned()));
    }
    missing
}

/// Returns what lets the autoscaler find a group that it does not list.
pub(super) fn discovery_remedies(map: &InstanceMap, group: &AccountGroup, findings: &Findings<'_>) -> Vec<String> {
    let missing = missing_discovery_tags(map, group, findings);
    if missing.is_empty() {
        return vec![
            "it has the usual tags: compare `--node-group-auto-discovery` of the autoscaler with them, and with the name of the cluster".to_owned(),
            "sbrun setup autoscaler".to_owned(),
        ];
    }
    vec![findings.aws(&tag_command(&group.name, missing.iter().map(|(key, value)| (key.as_str(), value.as_str()))))]
}

/// Returns the name of the cluster, as the map or EKS has it.
pub(super) fn cluster_name<'a>(map: &'a InstanceMap, group: Option<&'a AccountGroup>) -> &'a str {
    let of_map = map.cluster.name.as_ref().map(|name| name.value.as_str());
    of_map.or_else(|| group.and_then(|group| group.tags.get(EKS_CLUSTER)).map(String::as_str)).unwrap_or(CLUSTER)
}

/// Returns `it lacks the tag …`, with what each should be.
pub(super) fn missing_words(tags: &[(&str, &str)]) -> String {
    let words: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("it lacks the tag{} {}", if tags.len() == 1 { "" } else { "s" }, listed(words.iter().map(String::as_str)))
}

/// Returns a taint as kubectl writes it.
pub(super) fn words(taint: &Taint) -> String {
    let Taint { key, value, effect } = taint;
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

/// Returns the line of a map that tolerates a taint.
pub(super) fn toleration_line(taint: &Taint) -> String {
    let Taint { key, value, effect } = taint;
    let matching = if value.is_empty() { "operator: Exists".to_owned() } else { format!("operator: Equal, value: {value}") };
    format!("tolerations: [{{key: {key}, {matching}, effect: {effect}}}]")
}

/// Returns labels as `key=value`, for a sentence.
pub(super) fn label_words(labels: &BTreeMap<String, String>) -> String {
    let words: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    listed(words.iter().map(String::as_str))
}
