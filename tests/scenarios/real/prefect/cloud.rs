//! Flow runs whose node group rests at 0.

use serde_json::{Value, json};

use crate::common::{
    cloud::{Group, real_cloud},
    cluster::{Namespace, eventually},
    prefect::prefect,
};

/// Returns the time in this many seconds.
fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// Returns how often Prefect set a run to running.
fn executions(run: &str) -> usize {
    prefect().states(run).iter().filter(|state| *state == "Running").count()
}

/// Returns the Jobs of a flow run, the oldest first.
fn jobs_of(namespace: &Namespace, run: &str) -> Vec<Value> {
    let list =
        namespace.kubectl(&["get", "jobs", "-l", &format!("prefect.io/flow-run-id={run}"), "--sort-by=.metadata.creationTimestamp", "-o", "json"]);
    serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
}

/// Waits until the group has no machine any more.
#[track_caller]
fn await_rest(group: &Group) {
    eventually("the machine's end", || group.nodes().is_empty() && group.describe()["Instances"] == json!([]));
}

#[test]
fn a_scheduled_run_gets_a_machine_of_its_size_and_leaves_none() {
    let (prefect, cloud) = (prefect(), real_cloud());
    let group = cloud.group("prefect-from-zero", &json!({}));
    let namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    let pool = prefect.sized_pool(&namespace, &["other", &group.name]);
    let _worker = prefect.worker(&namespace, &pool);
    let deployment = prefect.deployment(&pool, "work", &json!({"finished_job_ttl": 5}));
    assert!(group.nodes().is_empty(), "the group rests at 0");

    let scheduled = json!({"type": "SCHEDULED", "state_details": {"scheduled_time": in_seconds(3)}});
    let run = prefect.run(&deployment, &json!({"state": scheduled, "job_variables": {"size": group.name}, "parameters": {"seconds": 1}}));
    prefect.until(&run, "InfrastructurePending");
    prefect.until(&run, "Running");
    let nodes = group.nodes();
    assert_eq!(nodes.len(), 1, "{nodes:#?}");
    assert_eq!(namespace.objects("pods")[0]["spec"]["nodeName"], nodes[0]["metadata"]["name"]);
    prefect.until(&run, "Completed");
    assert_eq!(executions(&run), 1);
    eventually("the removal of the Job", || jobs_of(&namespace, &run).is_empty() && namespace.objects("pods").is_empty());
    await_rest(&group);
}
