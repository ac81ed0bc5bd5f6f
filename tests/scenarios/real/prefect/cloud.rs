//! Flow runs whose node group rests at 0.

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, Group, real_cloud},
    cluster::{Namespace, eventually},
    prefect::{Worker, prefect},
};

/// Returns a namespace with a work pool that sbrun made of one group, its worker and the name of a deployment of the flow `work`.
fn team(group: &Group, on_reclaim: &str) -> (CloudNamespace, Worker, String) {
    let mut namespace = real_cloud().namespace();
    namespace.map_groups(&[group]);
    let pool = prefect().team(&mut namespace, on_reclaim);
    let worker = prefect().worker(&namespace, &pool);
    prefect().deployment(&pool, "work", &json!({}));
    (namespace, worker, format!("work/{pool}"))
}

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

#[test]
fn a_run_whose_spot_machine_is_taken_is_started_once_more() {
    let group = real_cloud().group("prefect-taken", &json!({"spot": true, "max": 2}));
    let (namespace, _worker, deployment) = team(&group, "reschedule");
    let mut follower = namespace.sandbox.start(["submit", "--deployment", &deployment, "-s", &group.name, "-p", "seconds=15"]);
    follower.until("step 3 on ");
    let pods = namespace.objects("pods");
    let run = pods[0]["metadata"]["labels"]["prefect.io/flow-run-id"].as_str().unwrap().to_owned();
    // The notice of two minutes: a handler drains the node, and then the machine goes.
    let node = pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    namespace.kubectl(&["drain", &node, "--ignore-daemonsets", "--force", "--delete-emptydir-data"]);
    group.lose("spot-interruption");

    let output = follower.finish().exits(0).says(&["attempt 1 ended, and Prefect starts the run again", "2 attempts"]);
    prefect().until(&run, "Completed");
    assert_eq!(executions(&run), 2, "{:?}", prefect().states(&run));
    let jobs = jobs_of(&namespace, &run);
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    for job in &jobs {
        let about = format!("involvedObject.name={},reason=SuccessfulCreate", job["metadata"]["name"].as_str().unwrap());
        assert_eq!(namespace.kubectl(&["get", "events", "--field-selector", &about, "-o", "name"]).lines().count(), 1, "a Job has one pod");
    }
    // No step of the first after one of the second.
    let steps: Vec<String> = output.text().lines().filter(|line| line.contains(" - step ")).map(ToOwned::to_owned).collect();
    let first = pods[0]["metadata"]["name"].as_str().unwrap();
    assert!(steps.iter().skip_while(|line| line.ends_with(first)).all(|line| !line.ends_with(first)), "{output}");
    assert!(output.text().contains("done on "));
}
