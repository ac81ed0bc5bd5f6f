//! A Prefect flow that is submitted as a file is a run in Prefect, and its state is closed at every ending. No worker is there.

use serde_json::{Value, json};

use super::two_sizes;
use crate::common::{
    cluster::{Namespace, eventually, proves, real},
    prefect::{POD_API, Seat, prefect},
};

const FLOW: &str = "import os, sys, time\nfrom prefect import flow\n\n@flow(log_prints=True)\ndef etl(seconds: float = 0, fail: bool = False, mib: int = 0):\n    print('started', flush=True)\n    held = bytearray(mib << 20)\n    held[::4096] = b'x' * len(held[::4096])\n    time.sleep(seconds)\n    if fail:\n        raise ValueError('the numbers do not add up')\n    print('done', flush=True)\n\nif __name__ == '__main__':\n    etl()\n";

fn namespace() -> (Namespace, Seat) {
    let seat = Seat::take();
    let mut namespace = real().namespace();
    namespace.map(&["small", "large"], "");
    prefect().team(&mut namespace, "reschedule");
    namespace.sandbox.write("flow.py", FLOW);
    (namespace, seat)
}

/// Returns the only run that a namespace's flows have made: its name is the Job's.
fn run_of(report: &Value) -> Value {
    prefect().flow_run(report["prefect"]["flow_run_id"].as_str().unwrap_or_else(|| panic!("no flow run: {report:#}")))
}

/// Asserts that Prefect and sbrun agree, now and later.
#[track_caller]
fn agree(namespace: &Namespace, report: &Value, state: &str, outcome: &str, reason: &str) {
    assert_eq!((&report["outcome"], &report["reason"]), (&json!(outcome), &json!(reason)), "{report:#}");
    let run = run_of(report);
    assert_eq!((&run["state_type"], &run["name"]), (&json!(state), &report["name"]), "{run:#}");
    let story = namespace.sandbox.command(["why", report["name"].as_str().unwrap(), "-o", "json"]).exits(0).json();
    assert_eq!((&story["outcome"], &story["reason"]), (&json!(outcome), &json!(reason)), "{story:#}");
}

#[test]
fn a_flow_that_completes() {
    let (namespace, _seat) = namespace();
    let output = namespace.sandbox.command(["submit", "-s", "small", "-p", "seconds=1", "-o", "json", "flow.py"]).exits(0);
    assert!(output.stderr.contains("started") && output.stderr.contains("done"), "{output}");
    let report = output.json();
    agree(&namespace, &report, "COMPLETED", "succeeded", "Flow.Succeeded");
    let run = run_of(&report);
    assert_eq!((&run["parameters"]["seconds"], &run["tags"]), (&json!(1), &json!(["sbrun"])));
    assert_eq!(run["infrastructure_pid"], json!(format!("{}:{}", namespace.name, report["name"].as_str().unwrap())));
    let job = &namespace.objects("jobs")[0];
    assert_eq!(job["spec"]["template"]["metadata"]["labels"]["prefect.io/flow-run-id"], run["id"]);
    // The pod's address is the map's, not this machine's.
    assert!(job.to_string().contains(POD_API) && !job.to_string().contains("127.0.0.1"), "{job:#}");
}

#[test]
fn a_flow_that_fails_although_its_process_exits_with_0() {
    let (namespace, _seat) = namespace();
    let report = namespace.sandbox.command(["submit", "-s", "small", "-p", "fail=true", "-o", "json", "flow.py"]).exits(1).json();
    agree(&namespace, &report, "FAILED", "failed", "Flow.Failed");
    assert!(report["summary"].as_str().unwrap().contains("the numbers do not add up"), "{report:#}");

    let again = namespace.sandbox.command(["rerun", report["name"].as_str().unwrap(), "-o", "json"]).exits(1).json();
    assert_eq!((&again["outcome"], &again["reason"]), (&json!("failed"), &json!("Flow.Failed")), "{again:#}");
    assert_eq!(again["prefect"]["flow_run_id"], report["prefect"]["flow_run_id"], "the same run");
    let run = run_of(&again);
    assert_eq!((&run["state_type"], &run["run_count"]), (&json!("FAILED"), &json!(2)), "{run:#}");
    assert_eq!(run["infrastructure_pid"], json!(format!("{}:{}", namespace.name, again["name"].as_str().unwrap())));
}

#[test]
fn a_flow_that_prefect_starts_again() {
    let (namespace, _seat) = namespace();
    let flow = "from prefect import flow\nfrom prefect.runtime import flow_run\n\n@flow(log_prints=True)\ndef etl():\n    print('attempt', flow_run.run_count)\n    if flow_run.run_count < 3:\n        raise ValueError('not yet')\n";
    namespace.sandbox.write("flow.py", flow);
    let output = namespace.sandbox.command(["submit", "-s", "small", "--retries", "2", "-o", "json", "flow.py"]).exits(0);
    assert!(output.stderr.contains("attempt 3"), "{output}");
    agree(&namespace, &output.json(), "COMPLETED", "succeeded", "Flow.Succeeded");
}

#[test]
fn a_flow_that_runs_out_of_memory() {
    let (namespace, _seat) = namespace();
    let report = namespace.sandbox.command(["submit", "-s", "small", "-p", "mib=2000", "-o", "json", "flow.py"]).exits(137).json();
    agree(&namespace, &report, "CRASHED", "out_of_memory", "Flow.OutOfMemory");
    let run = run_of(&report);
    assert!(run["state"]["message"].as_str().unwrap().contains("Flow.OutOfMemory"), "{run:#}");
    proves(&report, "OOMKilled", "--size LARGER");
}

#[test]
fn a_flow_that_runs_out_of_memory_is_the_same_run_at_the_next_size() {
    let _seat = Seat::take();
    let (namespace, _pool) = two_sizes();
    namespace.sandbox.write("flow.py", FLOW);
    let submit = ["submit", "-s", "small", "--on-oom", "next-size", "-p", "mib=700", "-o", "json", "flow.py"];
    let output = namespace.sandbox.command(submit).exits(0).says(&["once more at size large"]);
    let report = output.json();
    assert_eq!((&report["size"], &report["attempts"], &report["grown_from"]["size"]), (&json!("large"), &json!(2), &json!("small")), "{output}");
    let run = run_of(&report);
    assert_eq!((&run["state_type"], &run["run_count"]), (&json!("COMPLETED"), &json!(2)), "{run:#}");
    assert_eq!(run["infrastructure_pid"], json!(format!("{}:{}", namespace.name, report["name"].as_str().unwrap())));
    let jobs = namespace.objects("jobs");
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["metadata"]["labels"]["prefect.io/flow-run-id"] == run["id"]), "{jobs:#?}");
    let states = prefect().states(run["id"].as_str().unwrap());
    assert_eq!(states.iter().filter(|state| *state == "Running").count(), 2, "{states:?}");
}

#[test]
fn a_flow_that_is_cancelled_while_it_waits_for_a_machine() {
    let (namespace, _seat) = namespace();
    let report = namespace.sandbox.command(["submit", "-s", "large", "-d", "-o", "json", "flow.py"]).exits(0).json();
    let name = report["name"].as_str().unwrap();
    let run = namespace.objects("jobs")[0]["metadata"]["labels"]["prefect.io/flow-run-id"].as_str().unwrap().to_owned();
    assert_eq!(prefect().flow_run(&run)["state_type"], "PENDING");
    namespace.sandbox.command(["cancel", name]).success();
    assert_eq!(prefect().flow_run(&run)["state_type"], "CANCELLED", "before its Job ends");
    eventually("the pod's end", || namespace.objects("pods").is_empty());
    let story = namespace.sandbox.command(["why", name, "-o", "json"]).exits(0).json();
    agree(&namespace, &story, "CANCELLED", "cancelled", "Cancelled.ByUser");
}

#[test]
fn a_flow_that_is_cancelled_while_it_runs() {
    let (namespace, _seat) = namespace();
    let mut follower = namespace.sandbox.start(["submit", "-s", "small", "-p", "seconds=300", "-o", "json", "flow.py"]);
    follower.until("started");
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    drop(namespace.sandbox.command(["rerun", &name]).exits(1).says(&["has not ended", "sbrun cancel"]));
    assert_eq!(namespace.objects("jobs").len(), 1, "a run has one process at a time");
    namespace.sandbox.command(["cancel", &name, "-m", "wrong day"]).success();
    let report = follower.finish().exits(143).json();
    agree(&namespace, &report, "CANCELLED", "cancelled", "Cancelled.ByUser");
    assert!(run_of(&report)["state"]["message"].as_str().unwrap().contains("wrong day"));
}

#[test]
fn a_flow_that_nobody_tracks_just_runs() {
    let (mut namespace, _seat) = namespace();
    let api = format!("PREFECT_API_URL={POD_API}"); // else Prefect starts a server of its own in the pod
    let output = namespace.sandbox.command(["submit", "-s", "small", "--prefect", "off", "-e", &api, "-o", "json", "flow.py"]).exits(0);
    assert_eq!(output.json()["prefect"], Value::Null, "{output}");
    assert!(namespace.objects("jobs")[0]["metadata"]["labels"]["prefect.io/flow-run-id"].is_null());
    namespace.sandbox.set("PREFECT_API_URL", "http://127.0.0.1:1/api");
    let required = ["submit", "-s", "small", "--prefect", "required", "flow.py"];
    drop(namespace.sandbox.command(required).exits(69).says(&["cannot reach the Prefect API", "127.0.0.1:1", "PREFECT_API_URL"]));
    assert_eq!(namespace.objects("jobs").len(), 1, "nothing was launched");
}
