//! `--on-oom next-size`: once more, at the next larger size.

use serde_json::{Value, json};

use crate::common::cluster::{Namespace, eventually, kwok};

/// Returns a namespace with sizes small (128 MiB), large (256 MiB) and gpu (512 MiB). In those that are `too_small` a flow runs out of memory.
fn namespace(too_small: &[&str]) -> Namespace {
    let namespace = kwok().namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    let mut map = "version: 1\ndefaults: {image: 'python:3'}\nsizes:\n".to_owned();
    for (size, memory, price, more) in [("small", "128Mi", "0.10", ""), ("large", "256Mi", "0.42", ""), ("gpu", "512Mi", "3.06", "    gpu: 1\n")] {
        map = format!(
            "{map}  {size}:\n    footprint: {{cpu: 100m, memory: {memory}}}\n    price_per_hour: {price}\n{more}    node_selector: {{sbrun.dev/size: small}}\n    tolerations: []\n"
        );
        if too_small.contains(&size) {
            map += "    annotations: {kwok.test/exit: '137', kwok.test/reason: OOMKilled}\n";
        }
    }
    namespace.sandbox.write("instance-map.yaml", map);
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

fn submit<'a>(size: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["submit", "-s", size, "--on-oom", "next-size", "-o", "json"], more, &["flow.py"]].concat()
}

/// Returns the time of a Job's field.
fn time(job: &Value, pointer: &str) -> jiff::Timestamp {
    job.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}: {job:#}")).parse().unwrap()
}

#[test]
fn a_flow_that_needs_more_memory_is_run_once_more_at_the_next_size() {
    let mut namespace = namespace(&["small"]);
    let results = namespace.sandbox.path("result.json");
    namespace.sandbox.set("SBRUN_RESULT_FILE", results.to_str().unwrap());
    let words =
        ["size small ran out of memory", "once more at size large, with 256 MiB instead of 128 MiB: 0.42 an hour instead of 0.10", "2 attempts"];
    let report = namespace.sandbox.command(submit("small", &["--memory", "128Mi"])).exits(0).says(&words).json();
    assert_eq!((&report["outcome"], &report["size"], &report["attempts"]), (&json!("succeeded"), &json!("large"), &json!(2)), "{report:#}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(results).unwrap()).unwrap();
    assert_eq!(written, report, "one verdict");

    let mut jobs = namespace.objects("jobs");
    jobs.sort_by_key(|job| job["metadata"]["name"] == report["name"]);
    let earlier = json!({"job": jobs[0]["metadata"]["name"], "size": "small", "memory_limit_bytes": 128 << 20, "attempts": 1});
    assert_eq!((jobs.len(), &report["grown_from"]), (2, &earlier), "{report:#}");
    let run_id = |job: &Value| job["metadata"]["labels"]["sbrun.dev/run-id"].clone();
    assert_eq!((run_id(&jobs[0]), &report["run_id"]), (run_id(&jobs[1]), &run_id(&jobs[0])), "one run");
    assert!(time(&jobs[0], "/status/conditions/0/lastTransitionTime") <= time(&jobs[1], "/metadata/creationTimestamp"), "one Job at a time");
    // Whoever asks is told the same.
    let name = report["name"].as_str().unwrap();
    for command in [["why", name], ["wait", name]] {
        let told = namespace.sandbox.command([&command[..], &["-o", "json"]].concat()).exits(0).json();
        assert_eq!((&told["attempts"], &told["grown_from"]), (&report["attempts"], &report["grown_from"]), "{told:#}");
    }
}

#[test]
fn it_is_done_once_and_under_a_key_too() {
    let namespace = namespace(&["small", "large"]);
    let keyed = submit("small", &["--key", "nightly"]);
    let output = namespace.sandbox.command(&keyed).exits(137);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["size"], &report["attempts"]), (&json!("out_of_memory"), &json!("large"), &json!(2)), "{output}");
    assert_eq!(output.stderr.matches("once more at size").count(), 1, "{output}");
    // The same key leads to the verdict, not to a third Job.
    let again = namespace.sandbox.command(&keyed).exits(137).json();
    assert_eq!((&again["name"], &again["attempts"], namespace.objects("jobs").len()), (&report["name"], &json!(2), 2), "{again:#}");
}

#[test]
fn whoever_comes_later_takes_up_the_larger_size() {
    let namespace = namespace(&["small"]);
    let without = ["submit", "-s", "small", "--key", "nightly", "-o", "json", "flow.py"];
    let first = namespace.sandbox.command(without).exits(137).json();
    assert_eq!((&first["grown_from"], namespace.objects("jobs").len()), (&Value::Null, 1), "by default it fails");
    let report = namespace.sandbox.command(submit("small", &["--key", "nightly"])).exits(0).json();
    assert_eq!((&report["grown_from"]["job"], &report["run_id"]), (&first["name"], &first["run_id"]), "{report:#}");
}

#[test]
fn without_a_larger_size_it_stays_out_of_memory() {
    let namespace = namespace(&["large"]);
    let report = namespace.sandbox.command(submit("large", &[])).exits(137).says(&["no size with more memory than size large"]).json();
    assert_eq!(
        (&report["outcome"], namespace.objects("jobs").len()),
        (&json!("out_of_memory"), 1),
        "no GPU for a flow that asked for none: {report:#}"
    );
}

#[test]
fn a_size_that_was_not_used_up_is_taken_whole() {
    let namespace = namespace(&["large"]);
    let report =
        namespace.sandbox.command(submit("large", &["--memory", "200Mi"])).exits(137).says(&["once more at size large, with 256 MiB"]).json();
    assert_eq!((&report["memory_limit_bytes"], &report["grown_from"]["memory_limit_bytes"]), (&json!(256 << 20), &json!(200 << 20)), "{report:#}");
}

#[test]
fn a_larger_size_that_cannot_be_had_leaves_the_verdict() {
    let namespace = namespace(&["small"]);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "200Mi"}}});
    namespace.apply(quota);
    eventually("the quota's count", || namespace.objects("resourcequotas")[0]["status"]["hard"].is_object());
    let report = namespace.sandbox.command(submit("small", &[])).exits(137).says(&["cannot be run at the next larger size", "team"]).json();
    assert_eq!((&report["outcome"], namespace.objects("jobs").len()), (&json!("out_of_memory"), 1), "{report:#}");
}

#[test]
fn nobody_grows_a_detached_job() {
    let namespace = namespace(&["small"]);
    drop(namespace.sandbox.command(submit("small", &["-d"])).exits(0).says(&["`--on-oom` does nothing"]));
    let deployment = ["submit", "--local", "--on-oom", "next-size", "flow.py"];
    drop(namespace.sandbox.command(deployment).exits(2).says(&["--local"]));
}
