//! `sbrun nodes` on a plain cluster: no cloud account, no autoscaler.

use serde_json::{Value, json};

use crate::common::cluster::{Namespace, eventually, kwok};

/// Returns a namespace with a map of one size, whose node group nobody can see.
fn namespace(size: &str) -> Namespace {
    let mut namespace = kwok().namespace();
    namespace.sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
    namespace.sandbox.write(
        "instance-map.yaml",
        format!(
            "version: 1\ndefaults: {{image: \"python:3\"}}\nsizes:\n  {size}:\n    node_group: flows-{size}\n    footprint: {{cpu: 600m, memory: 128Mi}}\n    \
             node_selector: {{sbrun.dev/size: {size}}}\n    tolerations: []\n"
        ),
    );
    namespace
}

fn look(namespace: &Namespace) -> Value {
    namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).json()["node_groups"][0].clone()
}

#[test]
fn a_node_is_idle_until_a_job_comes_and_a_second_job_waits() {
    let namespace = namespace("seen");
    kwok().node("seen-1", "seen", "1", "1Gi");
    eventually("an idle node", || look(&namespace)["idle"] == 1);
    namespace.template(&json!({"kwok.test/run": "1h"}));
    for _ in 0..2 {
        namespace.submit(&["-s", "seen", "--template", "template.json"]);
    }
    eventually("a busy node and a job that waits", || {
        let seen = look(&namespace);
        (&seen["busy"], &seen["jobs_running"], &seen["jobs_waiting"]) == (&json!(1), &json!(1), &json!(1))
    });
    let seen = look(&namespace);
    assert_eq!((&seen["ready"], &seen["idle"], &seen["state"]), (&json!(1), &json!(0), &json!("steady")), "{seen:#}");
    assert_eq!((&seen["desired_size"], &seen["max_size"], &seen["booting"]), (&Value::Null, &Value::Null, &Value::Null), "nothing tells: {seen:#}");
    assert_eq!((&seen["requests"]["cpu_millicores"], &seen["allocatable"]["cpu_millicores"]), (&json!(600), &json!(1000)), "{seen:#}");
    assert_eq!((&seen["machines"][0]["node"], &seen["machines"][0]["state"]), (&json!("seen-1"), &json!("busy")), "{seen:#}");

    let output = namespace.sandbox.command(["nodes"]).exits(0).says(&["no Cluster Autoscaler that could raise node group `flows-seen`"]);
    let table = output.text();
    assert_eq!(table.lines().next().unwrap().split_whitespace().next(), Some("SIZE"), "{table}");
    assert_eq!(table.lines().count(), 2, "sentences are no data: {table}");
    assert_eq!(namespace.sandbox.command(["nodes", "-o", "name"]).exits(0).text(), "flows-seen\n");
    assert!(namespace.sandbox.command(["nodes", "-o", "yaml"]).exits(0).text().starts_with("schema: 1\n"));
}

#[test]
fn only_what_is_shown_is_asked_for() {
    let namespace = namespace("asked");
    kwok().node("asked-1", "asked", "1", "1Gi");
    drop(namespace.sandbox.command(["nodes"]).exits(0));
    let asked = |text: &str| kwok().audited(|entry| entry["requestURI"].as_str().is_some_and(|target| target.contains(text)));
    let nodes = asked("labelSelector=sbrun.dev%2Fsize+in+%28asked%29");
    assert!(nodes.iter().any(|entry| entry["requestURI"].as_str().unwrap().contains("limit=500")), "{nodes:#?}");
    assert!(!asked("spec.nodeName%3Dasked-1").is_empty(), "the pods of its one node");
}

#[test]
fn nodes_come_and_go_in_a_stream_of_documents() {
    let namespace = namespace("stream");
    let mut watching = namespace.sandbox.start(["nodes", "--watch", "-o", "jsonl"]);
    watching.until("\"ready\":0");
    kwok().node("stream-1", "stream", "1", "1Gi");
    watching.until("\"ready\":1");
    kwok().kubectl_ok(&["delete", "node", "stream-1"]);
    watching.signal(nix::sys::signal::Signal::SIGINT);
    let output = watching.finish();
    let text = output.text();
    let ready: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["node_groups"][0]["ready"].clone()).collect();
    assert!(ready.starts_with(&[json!(0)]) && ready.contains(&json!(1)), "{output}");
    assert!(ready.windows(2).all(|pair| pair[0] != pair[1]) || text.lines().count() <= 4, "a line for each change: {output}");
}

#[test]
fn whoever_has_no_rights_is_told_so_and_sees_no_numbers() {
    let mut namespace = namespace("closed");
    namespace.sandbox.set("KUBECONFIG", kwok().ready["powerless_kubeconfig"].as_str().unwrap());
    let output = namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).says(&[]);
    let seen = output.json();
    let group = &seen["node_groups"][0];
    for field in ["state", "ready", "busy", "idle", "booting", "requests", "jobs_running", "desired_size"] {
        assert!(group[field].is_null(), "{field}: {seen:#}");
    }
    let unknown = seen["unknown"].to_string();
    for words in ["list nodes", "list pods", "get configmaps"] {
        assert!(unknown.contains(words), "{words}: {seen:#}");
    }
}

#[test]
fn without_a_map_every_group_that_nodes_name_is_shown() {
    let mut namespace = kwok().namespace();
    namespace.sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
    kwok().node_with("unmapped-1", &json!({"eks.amazonaws.com/nodegroup": "unmapped"}), &json!([]), "1", "1Gi");
    let output = namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).says(&["there is no instance map"]);
    let seen = output.json();
    let group = seen["node_groups"].as_array().unwrap().iter().find(|group| group["node_groups"][0] == "unmapped");
    assert!(group.is_some_and(|group| group["size"].is_null()), "{seen:#}");
}

#[test]
fn the_last_hour_is_told_by_nodes_that_are_there() {
    let namespace = namespace("hour");
    kwok().node("hour-1", "hour", "1", "1Gi");
    eventually("the node", || look(&namespace)["ready"] == 1);
    let output = namespace
        .sandbox
        .command(["nodes", "--history", "24h", "-o", "json", "--svg", "chart.svg"])
        .exits(0)
        .says(&["the last hour only", "wrote chart.svg"]);
    let seen = output.json();
    let group = &seen["node_groups"][0];
    assert_eq!(
        (&group["source"], group["series"].as_array().unwrap().last().map(|point| &point["machines"])),
        (&json!("cluster"), Some(&json!(1))),
        "{seen:#}"
    );
    assert!(std::fs::read_to_string(namespace.sandbox.path("chart.svg")).unwrap().starts_with("<svg"));
    drop(
        namespace
            .sandbox
            .command(["nodes", "--history", "1h", "--svg", "no/such/folder.svg"])
            .exits(1)
            .says(&["cannot write the chart", "no/such/folder.svg"]),
    );
}
