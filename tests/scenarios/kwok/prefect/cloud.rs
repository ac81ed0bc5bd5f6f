//! Runs of Prefect and node groups, on the autoscaler's stand-in: which machines are bought, and which are not.

use serde_json::{Value, json};

use crate::common::{
    cloud::{CloudNamespace, Group, cloud},
    cluster::eventually,
    prefect::{POD_API, prefect},
};

/// Makes a namespace one of a team with a pool of these groups; returns the pool.
fn team(namespace: &mut CloudNamespace, groups: &[&Group]) -> String {
    namespace.map_groups(groups);
    prefect().team(namespace, "reschedule")
}

/// Waits until the autoscaler has looked at everything once more, from the start to the end.
fn await_scans() {
    let scanned = || cloud().status()["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/last-updated"].clone();
    let mut seen = vec![scanned()];
    eventually("three looks of the autoscaler", || {
        let last = scanned();
        if seen.last() != Some(&last) {
            seen.push(last);
        }
        seen.len() > 3
    });
}

#[test]
fn a_run_that_is_cancelled_in_time_buys_no_machine() {
    let group = cloud().group("prefect-unbought", &json!({}));
    let mut namespace = cloud().namespace_alone();
    let pool = team(&mut namespace, &[&group]);
    let _worker = prefect().worker(&namespace, &pool);
    prefect().deployment(&pool, "work", &json!({}));
    cloud().end_autoscaler(); // it is between two looks
    let deployment = format!("work/{pool}");
    let detach = ["submit", "--deployment", &deployment, "-s", &group.name, "-d", "-o", "name"];
    let run = namespace.sandbox.command(detach).exits(0).text().trim().to_owned();
    eventually("the pod", || !namespace.objects("pods").is_empty());
    let output = namespace.sandbox.command(["cancel", &run]).exits(0);
    assert!(!output.stderr.contains("still comes"), "{output}");
    cloud().start_autoscaler();
    await_scans();
    assert_eq!((&group.describe()["DesiredCapacity"], group.activities()), (&json!(0), Vec::<Value>::new()));
    assert_eq!(prefect().flow_run(&run)["state_type"], "CANCELLED");
}

#[test]
fn a_tracked_flow_stays_the_same_run_at_its_fallback() {
    let (lacking, other) = (cloud().group("prefect-wanted", &json!({"spot": true})), cloud().group("prefect-second", &json!({})));
    lacking.steer(&json!({"failure": "spot-capacity"}));
    let mut namespace = cloud().namespace();
    team(&mut namespace, &[&lacking, &other]);
    let map = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    let first = format!("  {}:\n", lacking.name);
    namespace.sandbox.write("instance-map.yaml", map.replace(&first, &format!("{first}    fallback: {}\n", other.name)));
    namespace.template(&json!({"kwok.test/run": "10m"}));
    namespace.sandbox.write("flow.py", "from prefect import flow\n\n@flow\ndef etl():\n    print('hello')\n");
    let submit = ["submit", "-s", &lacking.name, "--on-no-capacity", "fallback", "--template", "template.json", "-o", "json", "flow.py"];
    let mut follower = namespace.sandbox.start(submit);
    follower.until("taking its fallback");
    eventually("the pod to run", || namespace.objects("pods").iter().any(|pod| pod["status"]["phase"] == "Running"));
    let jobs = namespace.objects("jobs");
    let run = jobs[0]["metadata"]["labels"]["prefect.io/flow-run-id"].as_str().unwrap();
    for job in &jobs {
        assert_eq!(job["metadata"]["labels"]["prefect.io/flow-run-id"], run, "{job:#}");
        let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        assert!(variables.contains(&json!({"name": "PREFECT_API_URL", "value": POD_API})), "{job:#}");
    }
    let flow_run = prefect().flow_run(run);
    assert_eq!((jobs.len(), &flow_run["state_type"]), (2, &json!("PENDING")), "its end at the first size is not its end: {flow_run:#}");
    let name = flow_run["infrastructure_pid"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    namespace.sandbox.command(["cancel", &name]).success();
    let report = follower.finish().exits(143).json();
    assert_eq!((&report["size"], &report["prefect"]["state_type"]), (&json!(other.name), &json!("CANCELLED")), "{report:#}");
}
