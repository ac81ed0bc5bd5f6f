//! What the scheduler says about a pod that it cannot place.

/// The parts of `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SchedulerMessage<'t> {
    /// What stops the pod, and on how many nodes; 0 when it stops the pod everywhere.
    pub(super) hurdles: Vec<(usize, &'t str)>,
}

impl<'t> SchedulerMessage<'t> {
    /// Reads a message of the default scheduler, or the list of the Cluster Autoscaler's `NotTriggerScaleUp`.
    pub(super) fn parse(message: &'t str) -> Self {
        let heads = ["nodes are available: ", "didn't trigger scale-up: ", "(it wouldn't fit if a new node is added): "];
        let reasons = heads.iter().find_map(|head| message.split_once(head)).map_or(message, |(_, reasons)| reasons);
        let end = [". preemption:", ". no new claims to deallocate", " preemption:"].iter().filter_map(|mark| reasons.find(mark)).min();
        let reasons = reasons[..end.unwrap_or(reasons.len())].trim().trim_end_matches('.');
        Self { hurdles: split_counted(reasons).into_iter().map(counted).collect() }
    }

    /// Returns whether any hurdle has one of these texts in it.
    pub(super) fn mentions(&self, texts: &[&str]) -> bool {
        self.hurdles.iter().any(|(_, hurdle)| texts.iter().any(|text| hurdle.contains(text)))
    }

    /// Returns whether every hurdle has one of these texts in it, and there is one.
    pub(super) fn only_mentions(&self, texts: &[&str]) -> bool {
        !self.hurdles.is_empty() && self.hurdles.iter().all(|(_, hurdle)| texts.iter().any(|text| hurdle.contains(text)))
    }
}

/// Splits only before a number: the reasons themselves may hold commas.
fn split_counted(reasons: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (comma, mark) in reasons.match_indices(", ") {
        let rest = &reasons[comma + mark.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with(' ') {
            parts.push(&reasons[start..comma]);
            start = comma + mark.len();
        }
    }
    parts.push(&reasons[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn counted(part: &str) -> (usize, &str) {
    let split = part.split_once(' ').and_then(|(number, reason)| Some((number.parse().ok()?, reason)));
    split.unwrap_or((0, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_real_schedulers_are_read() {
        let table: &[(&str, &[(usize, &str)])] = &[
            ("no nodes available to schedule pods", &[(0, "no nodes available to schedule pods")]),
            (
                "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are \
                 available: 1 No preemption victims found for incoming pod.",
                &[(1, "Insufficient cpu"), (1, "Insufficient memory")],
            ),
            (
                "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 node(s) didn't match Pod's node \
                 affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
                &[(1, "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"), (2, "node(s) didn't match Pod's node affinity/selector")],
            ),
            (
                "0/2 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/2 nodes are available: 2 Preemption is not helpful.",
                &[(0, "persistentvolumeclaim \"data\" not found")],
            ),
            (
                "pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available",
                &[(0, "pod has unbound immediate PersistentVolumeClaims")],
            ),
            (
                "pod didn't trigger scale-up: 2 node(s) had untolerated taint(s), 1 exceeded quota: \"a\", resources: cpu, memory",
                &[(2, "node(s) had untolerated taint(s)"), (1, "exceeded quota: \"a\", resources: cpu, memory")],
            ),
            ("", &[]),
        ];
        for (message, hurdles) in table {
            assert_eq!(SchedulerMessage::parse(message).hurdles, *hurdles, "{message}");
        }
    }

    #[test]
    fn only_and_any_are_told_apart() {
        let message = SchedulerMessage::parse("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.");
        assert!(message.mentions(&["Insufficient"]) && !message.only_mentions(&["Insufficient"]));
        assert!(message.only_mentions(&["Insufficient", "unschedulable"]) && !message.mentions(&["volume"]));
        assert!(!SchedulerMessage::parse("").only_mentions(&["Insufficient"]));
    }
}
