//! Objects of others: whatever stands in labels, annotations and plans, it is read or passed over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::{collection::btree_map, option, prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;
use crate::model::{
    diagnose::{decide, diagnose},
    evidence::Evidence,
};

const ANNOTATIONS: &[&str] =
    &[labels::PLAN, labels::VERDICT, labels::ENDING, labels::LEASE, labels::INCOMPLETE, labels::FLOW, labels::USER, labels::LOG_TAIL, labels::KEY];
const LABELS: &[&str] = &[labels::MANAGED_BY, labels::RUN_ID, labels::SIZE, labels::FLOW, labels::USER, labels::PREFECT_FLOW_RUN];

/// Returns what no field was made for.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(vec![0, 1, -1, i64::MAX, i64::MIN]).prop_map(Value::from),
        Just(json!(u64::MAX)),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["", "1Gi", "9999-12-31T23:59:59Z", "-9999-01-01T00:00:00Z", "succeeded", "\u{1b}[2J\n"]).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"a": [1]}])),
    ]
}

/// Replaces one value of a document, chosen by `path`, with another.
fn replace(document: &mut Value, path: &[prop::sample::Index], with: Value) {
    let Some((first, rest)) = path.split_first() else { return *document = with };
    let children: Vec<&mut Value> = match document {
        Value::Object(fields) if !fields.is_empty() => fields.values_mut().collect(),
        Value::Array(items) if !items.is_empty() => items.iter_mut().collect(),
        _ => return *document = with,
    };
    let place = first.index(children.len());
    if let Some(child) = children.into_iter().nth(place) {
        replace(child, rest, with);
    }
}

/// Returns the plan of a Job with something odd in it.
fn plan() -> impl Strategy<Value = String> {
    let changes = prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 1..4), odd()), 0..3);
    changes.prop_map(|changes| {
        let mut plan = serde_json::to_value(mk_plan()).expect("JSON");
        for (path, with) in changes {
            replace(&mut plan, &path, with);
        }
        plan.to_string()
    })
}

fn ending() -> impl Strategy<Value = String> {
    (odd(), odd(), odd())
        .prop_map(|(at, outcome, by)| json!({"outcome": outcome, "reason": "Timeout.Run", "by": by, "at": at, "message": null}).to_string())
}

fn metadata() -> impl Strategy<Value = ObjectMeta> {
    let text = prop_oneof![2 => any::<String>(), 1 => odd().prop_map(|value| value.to_string()), 1 => ending()];
    let annotations = btree_map(select(ANNOTATIONS).prop_map(ToOwned::to_owned), text.clone(), 0..5);
    let labels = btree_map(select(LABELS).prop_map(ToOwned::to_owned), any::<String>(), 0..4);
    (option::of(annotations), option::of(labels), option::of(plan()), any::<bool>()).prop_map(|(mut annotations, mut labels, plan, ours)| {
        if let Some(plan) = plan {
            annotations.get_or_insert_default().insert(labels::PLAN.to_owned(), plan);
        }
        if ours {
            labels.get_or_insert_default().insert(labels::MANAGED_BY.to_owned(), labels::SBRUN.to_owned());
        }
        ObjectMeta { name: Some("etl".into()), uid: Some("u".into()), annotations, labels, ..ObjectMeta::default() }
    })
}

fn status() -> impl Strategy<Value = Value> {
    let condition = (select(vec!["Failed", "Complete", "FailureTarget", "Suspended", "x"]), any::<String>(), any::<String>())
        .prop_map(|(kind, reason, message)| json!({"type": kind, "status": "True", "reason": reason, "message": message}));
    (prop::collection::vec(condition, 0..3), select(vec![0, 1, -1, i32::MAX, i32::MIN]), option::of(select(vec![0, 1, -1, i64::MAX, i64::MIN]))).prop_map(
        |(conditions, count, deadline)| {
            json!({"spec": {"activeDeadlineSeconds": deadline, "template": {}}, "status": {"conditions": conditions, "active": count, "failed": count}})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_job_is_read_and_judged(metadata in metadata(), rest in status(), seconds in 0i64..10_000_000) {
        let mut job: Job = serde_json::from_value(rest).expect("a Job");
        job.metadata = metadata;
        let record = job_record(&job);
        prop_assert_eq!(record.name.as_str(), "etl");
        let evidence = Evidence { job: Some(record), ..Evidence::default() };
        let now = at("10:00:00") + jiff::SignedDuration::from_secs(seconds);
        let story = diagnose(&evidence, now);
        if let Some(plan) = evidence.job.as_ref().and_then(|job| job.plan.as_ref()) {
            drop(decide(&story, &evidence, &plan.limits, now));
            prop_assert!(plan.limits.job_deadline(plan.infrastructure_retries) >= plan.limits.timeout);
            drop(manifest::render(plan));
        }
    }
}
