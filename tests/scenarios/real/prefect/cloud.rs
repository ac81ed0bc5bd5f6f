//! Flow runs whose node group rests at 0.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, Group, real_cloud},
    cluster::{Namespace, eventually, within},
    prefect::{IMAGE, Seat, Worker, prefect},
};

/// How long a Deployment may take to work on a machine that starts for it.
const START: Duration = Duration::from_secs(150);

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
    of_run(namespace, "jobs", run)
}

/// Returns the pods of a flow run, the oldest first.
fn pods_of(namespace: &Namespace, run: &str) -> Vec<Value> {
    of_run(namespace, "pods", run)
}

fn of_run(namespace: &Namespace, kind: &str, run: &str) -> Vec<Value> {
    let selector = format!("prefect.io/flow-run-id={run}");
    let list = namespace.kubectl(&["get", kind, "-l", &selector, "--sort-by=.metadata.creationTimestamp", "-o", "json"]);
    serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
}

/// Waits until the group has no machine any more.
#[track_caller]
fn await_rest(group: &Group) {
    eventually("the machine's end", || group.nodes().is_empty() && group.describe()["Instances"] == json!([]));
}

/// All of a team's cluster by sbrun: namespace, rights, policy, worker; then a schedule does the rest.
#[test]
fn a_scheduled_run_gets_a_machine_of_its_size_and_leaves_none() {
    let _seat = Seat::take();
    let (prefect, cloud) = (prefect(), real_cloud());
    let on_demand = cloud.group("prefect-on-demand", &json!({"labels": {}, "taints": {}, "desired": 1}));
    let group = cloud.group("prefect-from-zero", &json!({"spot": true}));
    let mut namespace = cloud.namespace();
    namespace.map_groups(&[&group]);
    let pool = prefect.team(&mut namespace, "reschedule");
    let sbrun = |arguments: &[&str]| namespace.sandbox.command(arguments).success();
    sbrun(&["setup", "--apply", "--yes"]);
    sbrun(&["setup", "worker", "--worker-image", IMAGE, "--apply", "--yes"]);
    within(START, "the worker", || prefect.is_worked(&pool)); // its machine, its image, its start
    let worker = &namespace.objects("pods")[0];
    let node: Value = serde_json::from_str(&namespace.kubectl(&["get", "node", worker["spec"]["nodeName"].as_str().unwrap(), "-o", "json"])).unwrap();
    assert!(node["spec"]["providerID"].as_str().unwrap().ends_with(on_demand.describe()["Instances"][0]["InstanceId"].as_str().unwrap()), "{node:#}");
    assert!(group.nodes().is_empty(), "the group rests at 0");

    let schedule = json!({"interval": 86400, "anchor_date": in_seconds(15)});
    let job_variables = json!({"size": group.name, "finished_job_ttl": 10});
    let more = json!({"schedules": [{"schedule": schedule}], "job_variables": job_variables, "parameters": {"seconds": 1}});
    prefect.deployment_with(&pool, "work", &more);
    eventually("the scheduled run", || !prefect.runs_of(&pool).is_empty());
    let run = prefect.runs_of(&pool).pop().unwrap()["id"].as_str().unwrap().to_owned();
    prefect.until(&run, "Running");
    let pod = &pods_of(&namespace, &run)[0];
    assert_eq!(pod["spec"]["nodeName"], group.nodes()[0]["metadata"]["name"], "{pod:#}");
    prefect.until(&run, "Completed");
    assert_eq!(executions(&run), 1);
    eventually("the removal of the Job", || jobs_of(&namespace, &run).is_empty() && pods_of(&namespace, &run).is_empty());
    await_rest(&group);
    assert_eq!(on_demand.describe()["DesiredCapacity"], 1);
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

    let output = follower.finish().exits(0).says(&["2 attempts"]);
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

#[test]
fn a_run_whose_machine_goes_without_notice_is_lost() {
    let group = real_cloud().group("prefect-lost", &json!({"spot": true, "max": 1}));
    let (namespace, _worker, deployment) = team(&group, "reschedule");
    let mut follower = namespace.sandbox.start(["submit", "--deployment", &deployment, "-s", &group.name, "-p", "seconds=300", "-o", "json"]);
    follower.until("step 2 on ");
    let run = namespace.objects("pods")[0]["metadata"]["labels"]["prefect.io/flow-run-id"].as_str().unwrap().to_owned();
    group.suspend("Launch");
    group.lose("spot-interruption");
    let report = follower.finish().exits(75).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("lost"), &json!("Lost.SpotReclaimed")), "{report:#}");
    assert_eq!(prefect().flow_run(&run)["state_type"], "CRASHED", "{:?}", prefect().states(&run));
    assert_eq!(executions(&run), 1);
    let story = namespace.sandbox.command(["why", &run, "-o", "json"]).exits(0).json();
    assert_eq!((&story["outcome"], &story["reason"]), (&report["outcome"], &report["reason"]), "{story:#}");
}

#[test]
fn a_run_whose_machine_is_on_its_way_is_cancelled_at_once() {
    let group = real_cloud().group("prefect-unwanted", &json!({}));
    group.steer(&json!({"boot_seconds": 15}));
    let (namespace, _worker, deployment) = team(&group, "reschedule");
    let mut follower = namespace.sandbox.start(["submit", "--deployment", &deployment, "-s", &group.name]);
    follower.until("a machine is coming");
    let run = namespace.objects("pods")[0]["metadata"]["labels"]["prefect.io/flow-run-id"].as_str().unwrap().to_owned();
    let began = Instant::now();
    drop(namespace.sandbox.command(["cancel", &run]).exits(0).says(&["still comes", "idle"]));
    eventually("the end of Job and pod", || namespace.objects("jobs").is_empty() && namespace.objects("pods").is_empty());
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    drop(follower.finish().exits(143));
    assert_eq!(prefect().flow_run(&run)["state_type"], "CANCELLED", "{:?}", prefect().states(&run));
    await_rest(&group);
    assert_eq!(executions(&run), 0);
}
