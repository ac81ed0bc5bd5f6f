use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Written by Cluster Autoscaler 1.36.1 while one group backed off for want of machines and another because none joined.
const RECORDED: &str = include_str!("../../../tests/recorded/cluster-autoscaler/no-capacity/2-backoff/cluster-autoscaler-status.json");

fn at_second(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_newest_format_is_read() {
    let config_map: Value = serde_json::from_str(RECORDED).unwrap();
    let text = config_map["data"][KEY].as_str().unwrap();
    let updated = config_map["metadata"]["annotations"][LAST_UPDATED].as_str();
    let status = AutoscalerStatus::parse(text, updated);
    assert_eq!(status.updated, Some(at_second("2026-11-23T21:54:56.221840955Z")));
    assert_eq!((status.state.as_deref(), status.health.as_deref(), status.is_complete), (Some("Running"), Some("Healthy"), true));
    let names: Vec<_> = status.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["flows-small", "flows-xlarge", "flows-single"]);
    let xlarge = &status.groups[1];
    assert!(xlarge.is_backing_off());
    let backoff = xlarge.backoff.as_ref().unwrap();
    assert_eq!(backoff.code, "placeholder-cannot-be-fulfilled");
    assert_eq!(backoff.message, "AWS cannot provision any more instances for this node group");
    assert_eq!((xlarge.min_size, xlarge.max_size, xlarge.target, xlarge.ready, xlarge.scale_up_since), (Some(0), Some(3), Some(0), Some(0), None));
    assert_eq!(status.groups[0].scale_up_since, Some(at_second("2026-11-23T21:51:20Z")));
    assert_eq!(AutoscalerStatus::parse(text, None).updated, status.updated, "the text has the time, too");
}

#[test]
fn the_order_of_declaration_is_read_as_well() {
    let text = r#"
time: "2023-11-24 04:28:19.546750398 +0000 UTC"
autoscalerStatus: "Running"
clusterWide:
  health: {status: "Healthy"}
nodeGroups:
- name: "sample-node-group"
  health:
    status: "Healthy"
    nodeCounts:
      registered: {total: 11, ready: 4, notStarted: 3, suspended: 1, beingDeleted: 1, unready: {total: 2, resourceUnready: 1}}
      longUnregistered: 1
      unregistered: 2
    cloudProviderTarget: 8
    minSize: 2
    maxSize: 12
    lastTransitionTime: "2023-11-23T14:52:02Z"
  scaleUp:
    status: "Backoff"
    backoffInfo: {errorCode: "QUOTA_EXCEEDED", errorMessage: "Quota 'CPUS' exceeded. Limit: 57.0"}
    lastTransitionTime: "2023-11-23T14:52:02.5Z"
  scaleDown: {status: "NoCandidates", candidates: 2}
"#;
    let status = AutoscalerStatus::parse(text, None);
    assert_eq!(status.updated, Some(at_second("2023-11-24T04:28:19.546750398Z")));
    assert_eq!(
        status.groups,
        [GroupStatus {
            name: "sample-node-group".into(),
            health: Some("Healthy".into()),
            ready: Some(4),
            registered: Some(11),
            not_started: Some(3),
            unready: Some(2),
            unregistered: Some(2),
            long_unregistered: Some(1),
            target: Some(8),
            min_size: Some(2),
            max_size: Some(12),
            scale_up: Some("Backoff".into()),
            scale_up_since: Some(at_second("2023-11-23T14:52:02.5Z")),
            backoff: Some(Backoff { code: "QUOTA_EXCEEDED".into(), message: "Quota 'CPUS' exceeded. Limit: 57.0".into() }),
            scale_down: Some("NoCandidates".into()),
            candidates: Some(2),
        }]
    );
}

#[test]
fn the_free_text_of_old_versions_is_read() {
    let text = "Cluster-autoscaler status at 2023-11-24 04:28:19.5 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=4 unready=0 (resourceUnready=0) notStarted=0 longNotStarted=0 registered=4 longUnregistered=0)
               LastProbeTime:      2023-11-24 04:28:19.5 +0000 UTC m=+1.5
               LastTransitionTime: 2023-11-24 04:20:00 +0000 UTC m=+1.5
  ScaleUp:     NoActivity (ready=4 registered=4)
               LastProbeTime:      2023-11-24 04:28:19.5 +0000 UTC m=+1.5

NodeGroups:
  Name:        flows-small
  Health:      Healthy (ready=1 unready=0 (resourceUnready=0) notStarted=1 longNotStarted=0 registered=2 longUnregistered=0 cloudProviderTarget=3 \
                (minSize=0, maxSize=12))
               LastProbeTime:      2023-11-24 04:28:19.5 +0000 UTC m=+1.5
               LastTransitionTime: 2023-11-24 04:00:00 +0000 UTC m=+1.5
  ScaleUp:     Backoff (ready=1 cloudProviderTarget=3)
               LastProbeTime:      2023-11-24 04:28:19.5 +0000 UTC m=+1.5
               LastTransitionTime: 2023-11-24 04:25:00 +0000 UTC m=+1.5
  ScaleDown:   CandidatesPresent (candidates=1)
               LastTransitionTime: 0001-01-01 00:00:00 +0000 UTC
";
    let status = AutoscalerStatus::parse(text, None);
    assert_eq!(status.updated, Some(at_second("2023-11-24T04:28:19.5Z")));
    assert_eq!((status.health.as_deref(), status.is_complete), (Some("Healthy"), true));
    assert_eq!(
        status.groups,
        [GroupStatus {
            name: "flows-small".into(),
            health: Some("Healthy".into()),
            ready: Some(1),
            registered: Some(2),
            not_started: Some(1),
            unready: Some(0),
            unregistered: None,
            long_unregistered: Some(0),
            target: Some(3),
            min_size: Some(0),
            max_size: Some(12),
            scale_up: Some("Backoff".into()),
            scale_up_since: Some(at_second("2023-11-24T04:25:00Z")),
            backoff: None,
            scale_down: Some("CandidatesPresent".into()),
            candidates: Some(1),
        }]
    );
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let config_map: Value = serde_json::from_str(RECORDED).unwrap();
    let text = config_map["data"][KEY].as_str().unwrap();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let status = AutoscalerStatus::parse(&text[..end], None);
        assert!(!status.is_complete || status.groups.len() <= 3, "no panic, and nothing made up");
    }
    for text in ["", "null", "[]", "nodeGroups: 7", "nodeGroups: [{health: 3}]", "\u{0}", "autoscalerStatus: Initializing"] {
        assert_eq!(AutoscalerStatus::parse(text, None).groups, [], "{text:?}");
    }
    assert!(!AutoscalerStatus::parse("autoscalerStatus: Initializing", None).is_complete);
}

#[test]
fn three_minutes_without_a_word_are_too_long() {
    let status = AutoscalerStatus { updated: Some(at_second("2026-11-24T10:00:00Z")), ..AutoscalerStatus::default() };
    assert!(!status.is_stale(at_second("2026-11-24T10:02:59Z")));
    assert!(status.is_stale(at_second("2026-11-24T10:03:00Z")));
    assert!(!AutoscalerStatus::default().is_stale(at_second("2026-11-24T10:03:00Z")));
}

/// Returns the recorded status.
fn recorded() -> String {
    let config_map: Value = serde_json::from_str(RECORDED).unwrap();
    config_map["data"][KEY].as_str().unwrap().to_owned()
}

proptest! {
    #[test]
    fn garbage_says_nothing(text in any::<String>(), annotation in prop::option::of(any::<String>())) {
        let status = AutoscalerStatus::parse(&text, annotation.as_deref());
        prop_assert!(status.groups.is_empty() && status.state.is_none(), "{status:?}");
    }

    #[test]
    fn a_damaged_status_is_read_as_far_as_it_goes(at: prop::sample::Index, length in 0usize..200, put in "[ \\-:{}\\[\\]\"'|>#&*!%\\t\\n\\PC]{0,12}") {
        let text = recorded();
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.floor_char_boundary((start + length).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        let status = AutoscalerStatus::parse(&damaged, None);
        prop_assert!(status.groups.iter().all(|group| !group.name.is_empty()), "{status:?}");
    }

    #[test]
    fn free_text_of_old_versions_is_read_or_passed_over(lines in prop::collection::vec("[ \\t]{0,4}(Name|Health|ScaleUp|ScaleDown|NodeGroups|Cluster-wide|LastProbeTime)?:?[ ]{0,6}\\PC{0,30}", 0..20)) {
        drop(AutoscalerStatus::parse(&format!("Cluster-autoscaler status at 2026-11-24 04:28:19 +0000 UTC:\n{}", lines.join("\n")), None));
    }
}
