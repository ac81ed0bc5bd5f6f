//! Taints that tell how a node stands: coming, ill, or on its way out.

use jiff::Timestamp;

use crate::model::launch_plan::Taint;

/// Taint of the Cluster Autoscaler on a node that it may remove soon; the value is the time in Unix seconds since when.
pub const DELETION_CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";
/// Taint of the Cluster Autoscaler on a node that it removes.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Taints of nodes that are not ready to take pods yet: of the node controller, cloud providers, drivers and autoscalers.
const STARTUP: [&str; 8] = [
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.kubernetes.io/network-unavailable",
    "node.eks.amazonaws.com/not-ready",
    "karpenter.sh/unregistered",
    "node.cilium.io/agent-not-ready",
    "/agent-not-ready",
];
/// Taints that the node controller sets for a condition of the node.
const CONDITION: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/out-of-service",
];
/// Taint of nodes that somebody cordoned.
const CORDONED: [&str; 1] = ["node.kubernetes.io/unschedulable"];
/// Taints of nodes that are going away.
const REMOVAL: [&str; 4] = [TO_BE_DELETED, "karpenter.sh/disrupted", "karpenter.sh/disruption", "aws-node-termination-handler/"];

impl Taint {
    /// Returns whether it is on a node that is still being set up.
    #[must_use]
    pub fn is_startup(&self) -> bool {
        self.is_one_of(&STARTUP)
    }

    /// Returns whether it stands for a condition of the node.
    #[must_use]
    pub fn is_condition(&self) -> bool {
        self.is_one_of(&CONDITION)
    }

    /// Returns whether the node is going away.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        self.is_one_of(&REMOVAL)
    }

    /// Returns whether the node is to take no more pods: it is going away, or cordoned.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.is_removal() || self.is_one_of(&CORDONED)
    }

    /// Returns since when the Cluster Autoscaler holds the node to be unneeded, when it does.
    #[must_use]
    pub fn unneeded_since(&self) -> Option<Timestamp> {
        let seconds = (self.key == DELETION_CANDIDATE).then(|| self.value.parse().ok())??;
        Timestamp::from_second(seconds).ok()
    }

    /// Matches a whole key, a prefix that ends with `/`, or a suffix that starts with it. One that only makes a node less liked
    /// says nothing of how it stands.
    fn is_one_of(&self, known: &[&str]) -> bool {
        let is = |known: &&str| match (known.starts_with('/'), known.ends_with('/')) {
            (true, _) => self.key.ends_with(known),
            (_, true) => self.key.starts_with(known),
            _ => self.key == **known,
        };
        self.effect != "PreferNoSchedule" && known.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: effect.into() }
    }

    #[test]
    fn taints_tell_how_a_node_stands() {
        let hard = |key: &str| taint(key, "", "NoSchedule");
        let told = |taint: &Taint| [taint.is_startup(), taint.is_condition(), taint.is_removal(), taint.is_leaving()];
        for (key, expected) in [
            ("startup-taint.cluster-autoscaler.kubernetes.io/csi", [true, false, false, false]),
            ("ebs.csi.aws.com/agent-not-ready", [true, false, false, false]),
            ("node.kubernetes.io/not-ready", [false, true, false, false]),
            ("ToBeDeletedByClusterAutoscaler", [false, false, true, true]),
            ("aws-node-termination-handler/spot-itn", [false, false, true, true]),
            ("node.kubernetes.io/unschedulable", [false, false, false, true]),
            ("sbrun.dev/size", [false, false, false, false]),
        ] {
            assert_eq!(told(&hard(key)), expected, "{key}");
            assert_eq!(told(&taint(key, "", "PreferNoSchedule")), [false; 4], "{key}");
        }
    }

    #[test]
    fn candidates_carry_the_time() {
        let since = |value| taint(DELETION_CANDIDATE, value, "PreferNoSchedule").unneeded_since().map(|time| time.to_string());
        assert_eq!(since("1795471537"), Some("2026-11-23T22:05:37Z".into()));
        assert_eq!(since("soon"), None);
        assert_eq!(taint("other", "1795471537", "NoSchedule").unneeded_since(), None);
    }
}
