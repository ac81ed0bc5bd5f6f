//! Output that was kept on this machine, for when the pod is gone.

use std::path::PathBuf;

use serde_json::json;

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    sandbox::{Output, Sandbox},
};

const LOG: &str = "2026-01-02T03:04:05.000000001Z stdout F one\n2026-01-02T03:04:05.000000001Z stdout F one\n\
                   2026-01-02T03:04:07.000000001Z stderr F two\n2026-01-02T03:04:09.500000001Z stdout F three\n";

/// Returns a namespace with a node of its own, whose pods print [`LOG`] and run as long as this.
fn namespace(node: &str, run: &str) -> Namespace {
    kwok().node(node, node, "4", "8Gi");
    let namespace = kwok().namespace();
    namespace.map(&[node], "");
    let log = namespace.sandbox.write("log.cri", LOG);
    namespace.template(&json!({"kwok.test/run": run, "kwok.test/log-file": log, "kwok.test/exit": "3"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

/// Submits a flow, follows it to its end and takes its pod away; returns the Job's name.
fn ran(namespace: &Namespace, node: &str) -> String {
    let output = namespace.sandbox.command(["submit", "-s", node, "--template", "template.json", "flow.py"]).exits(3);
    assert_eq!(output.text(), "one\none\ntwo\nthree\n", "{output}");
    lose_pods(namespace);
    namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned()
}

fn lose_pods(namespace: &Namespace) {
    namespace.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0"]);
    eventually("the pods' end", || namespace.objects("pods").is_empty());
}

fn kept(sandbox: &Sandbox) -> Vec<PathBuf> {
    let folder = sandbox.path("../home/.local/state/sbrun/logs");
    std::fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

fn logs(namespace: &Namespace, arguments: &[&str]) -> Output {
    namespace.sandbox.command([&["logs"], arguments].concat())
}

#[test]
fn a_followed_jobs_output_is_there_when_its_pod_is_gone() {
    let namespace = namespace("kept", "1s");
    let name = ran(&namespace, "kept");
    let whole = "one\none\ntwo\nthree\n";
    let output = logs(&namespace, &[&name]).exits(0).says(&["the pod is gone; this was kept on this machine"]);
    assert_eq!(output.text(), whole);
    assert!(!output.stderr.contains("may be missing"), "{output}");
    assert_eq!(logs(&namespace, &[&name, "--tail", "2"]).exits(0).text(), "two\nthree\n");
    assert_eq!(logs(&namespace, &[&name, "--tail", "1", "--timestamps"]).exits(0).text(), "2026-01-02T03:04:09.500000001Z three\n");
    let age = jiff::Timestamp::now().duration_since("2026-01-02T03:04:07Z".parse().unwrap()).as_secs();
    assert_eq!(logs(&namespace, &[&name, "--since", &format!("{age}s")]).exits(0).text(), "two\nthree\n");
    assert_eq!(logs(&namespace, &[&name, "--attempt", "1"]).exits(0).text(), whole);
    drop(logs(&namespace, &[&name, "--attempt", "2"]).exits(2).says(&["there is no attempt 2; the job has 1"]));
    assert_eq!(logs(&namespace, &["-f", &name]).exits(3).says(&["the flow ended with code 3"]).text(), whole);

    drop(namespace.sandbox.command(["clean", &name]).exits(0));
    eventually("the Job's end", || namespace.objects("jobs").is_empty());
    let output = logs(&namespace, &[&name]).exits(0).says(&["does not exist any more", "kept on this machine"]);
    assert_eq!(output.text(), whole);
    drop(logs(&namespace, &["-f", &name]).exits(1).says(&[&format!("sbrun logs {name}")]));
}

#[test]
fn what_a_killed_follower_had_is_joined_with_the_end_that_the_job_has() {
    let mut namespace = namespace("kept-in-part", "1h");
    let mut running = namespace.sandbox.start(["submit", "-s", "kept-in-part", "--template", "template.json", "flow.py"]);
    running.until("three");
    running.signal(nix::sys::signal::Signal::SIGKILL);
    drop(running.finish());
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let home = namespace.sandbox.path("../home");

    // Somebody else follows it to its end, and leaves the last lines on the Job.
    let elsewhere = namespace.sandbox.path("elsewhere");
    namespace.sandbox.set("HOME", elsewhere.to_string_lossy());
    namespace.sandbox.set("SBRUN_KEEP_LOGS", "false");
    let pod = namespace.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let follower = namespace.sandbox.start(["logs", "-f", &name]);
    let file = PathBuf::from(kwok().ready["pods"].as_str().unwrap()).join(&namespace.name).join(&pod).join("flow.log");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{LOG}2026-01-02T03:05:00.000000001Z stdout F four\n")).unwrap();
    namespace.kubectl(&["delete", "pod", &pod, "--wait=false"]);
    drop(follower.finish().exits(143));
    lose_pods(&namespace);
    assert!(!elsewhere.join(".local/state/sbrun/logs").exists(), "keeping is off there");
    let output = logs(&namespace, &[&name]).exits(0).says(&["nothing was kept on this machine", "kept on the job"]);
    assert!(output.text().ends_with("three\nfour\n"), "{output}");

    namespace.sandbox.set("HOME", home.to_string_lossy());
    let output = logs(&namespace, &[&name]).exits(0).says(&["this was kept on this machine"]);
    assert_eq!(output.text(), "one\none\ntwo\nthree\nfour\n", "{output}");
    let output = logs(&namespace, &[&name, "--tail", "1"]).exits(0).says(&["output after 03:04:09 may be missing: it was not followed to its end"]);
    assert_eq!(output.text(), "three\n");
}

#[test]
fn keeping_is_a_setting_and_off_in_a_pipeline() {
    let mut namespace = namespace("unkept", "1s");
    namespace.map(&["unkept"], "  keep_logs: false\n  logs_url: https://logs.example/{name}\n");
    let name = ran(&namespace, "unkept");
    assert!(kept(&namespace.sandbox).is_empty(), "the map says so");
    drop(logs(&namespace, &[&name]).exits(0).says(&["nothing was kept on this machine", "kept on the job", &format!("https://logs.example/{name}")]));
    namespace.sandbox.set("SBRUN_KEEP_LOGS", "maybe");
    drop(logs(&namespace, &["-f", &name]).exits(2).says(&["SBRUN_KEEP_LOGS must be `true` or `false`, not `maybe`"]));
    namespace.sandbox.unset("SBRUN_KEEP_LOGS").set("CI", "true");
    namespace.map(&["unkept"], "");
    drop(namespace.sandbox.command(["submit", "-s", "unkept", "--template", "template.json", "flow.py"]).exits(3));
    assert!(kept(&namespace.sandbox).is_empty(), "a pipeline has a log of its own");
    namespace.sandbox.set("SBRUN_KEEP_LOGS", "true");
    drop(namespace.sandbox.command(["submit", "-s", "unkept", "--template", "template.json", "flow.py"]).exits(3));
    assert_eq!(kept(&namespace.sandbox).len(), 1, "the variable has the last word");
}

#[test]
fn several_attempts_come_one_after_another() {
    let namespace = namespace("kept-twice", "1h");
    let arguments = ["submit", "-s", "kept-twice", "--template", "template.json", "--infrastructure-retries", "1", "flow.py"];
    let mut running = namespace.sandbox.start(arguments);
    running.until("three");
    namespace.evict_running();
    running.until("attempt 2 starts");
    eventually("the second output", || String::from_utf8_lossy(&running.output()).matches("three\n").count() == 2);
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let first = namespace.objects("pods").iter().find(|pod| pod["status"]["phase"] != "Running").map(|pod| pod["metadata"]["name"].clone());
    if let Some(first) = first {
        namespace.kubectl(&["delete", "pod", first.as_str().unwrap(), "--force", "--grace-period=0"]);
    }
    eventually("one pod", || namespace.objects("pods").len() == 1);

    let both = "one\none\ntwo\nthree\n".repeat(2);
    let output =
        logs(&namespace, &[&name]).exits(0).says(&["attempt 1 on kept-twice (pod ", "kept on this machine", "attempt 2 on kept-twice (pod "]);
    assert_eq!(output.text(), both, "{output}");
    assert_eq!(logs(&namespace, &[&name, "--attempt", "1"]).exits(0).text(), both[..both.len() / 2]);
    let mut follower = namespace.sandbox.start(["logs", "-f", &name]);
    follower.until("attempt 2 starts");
    eventually("both outputs", || follower.output() == both.as_bytes());
    namespace.evict_running();
    let output = running.finish().exits(75).says(&["2 attempts"]);
    assert_eq!(output.text(), both, "{output}");
    assert_eq!(follower.finish().exits(75).text(), both);
    lose_pods(&namespace);
    assert_eq!(logs(&namespace, &[&name]).exits(0).text(), both);
}
