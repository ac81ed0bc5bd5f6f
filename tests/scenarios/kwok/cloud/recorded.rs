//! Is the autoscaler's stand-in honest? It runs through the scenarios in which the real one was recorded, and must leave the same.
//!
//! Compared at each recorded moment: its events (fields, type, reason, message, about what), its status ConfigMap (text, line by line)
//! and the taints of nodes. Not compared: times, names of pods and nodes, and in a message how many groups have a reason.

use std::{path::Path, sync::OnceLock, time::Instant};

use serde_json::{Value, json};

use crate::common::{
    cloud::{Cloud, Group, SIZE},
    cluster::eventually,
};

/// What all scenarios were recorded with, only faster.
const FLAGS: &[&str] = &[
    "--scale-down-unneeded-time=6s",
    "--scale-down-delay-after-add=6s",
    "--node-delete-delay-after-taint=2s",
    "--initial-node-group-backoff-duration=1m",
];

/// The groups of the recordings.
struct Stage {
    cloud: &'static Cloud,
    groups: [Group; 3],
}

/// What the autoscaler left at one moment, without what differs from run to run.
#[derive(Debug, PartialEq)]
struct Moment {
    events: Vec<Value>,
    status: Vec<String>,
    nodes: Vec<Value>,
}

#[test]
fn the_stand_in_leaves_what_the_autoscaler_left() {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    let cloud = CLOUD.get_or_init(|| Cloud::simulated(FLAGS));
    let group = |size: &str, kind: &str, max: u32| {
        let settings = json!({"instance_type": kind, "max": max, "labels": {SIZE: size}, "taints": {SIZE: format!("{size}:NoSchedule")}});
        cloud.group(&format!("flows-{size}"), &settings)
    };
    let groups = [group("small", "m5.xlarge", 5), group("xlarge", "r5.4xlarge", 3), group("single", "m5.xlarge", 1)];
    let stage = Stage { cloud, groups };
    stage.from_zero();
    stage.rejections();
    stage.max_size();
    stage.no_capacity();
    stage.never_joins();
    stage.node_lost();
}

impl Stage {
    fn from_zero(&self) {
        self.groups[0].steer(&json!({"boot_seconds": 4}));
        self.restart(&["--scan-interval=1s", "--group-refresh=30s", "--max-node-provision-time=90s"]);
        let all = &["small", "xlarge", "single"];
        self.meets("from-zero/1-unschedulable", all);
        self.job("etl", "small", Some("small"), "1", "40s");
        for moment in ["2-scale-up-triggered", "3-instance-booting", "4-node-ready", "5-running", "5b-running-seen-by-autoscaler", "6-complete"] {
            self.meets(&format!("from-zero/{moment}"), all);
        }
        for moment in ["7-deletion-candidate", "8-scaled-down"] {
            self.meets(&format!("from-zero/{moment}"), all);
        }
        self.clear();
    }

    fn rejections(&self) {
        let all = &["small", "xlarge", "single"];
        for (scenario, job, size, tolerated, cpu) in [
            ("never-fits", "huge", "small", Some("small"), "100"),
            ("no-such-size", "lost", "nosuch", Some("small"), "1"),
            ("untolerated-taint", "untol", "small", None, "1"),
        ] {
            self.job(job, size, tolerated, cpu, "1s");
            self.meets(&format!("{scenario}/1-pending"), all);
            self.clear();
        }
    }

    fn max_size(&self) {
        self.job("one", "single", Some("single"), "3", "1h");
        eventually("the autoscaler's look at the new node", || {
            let status = self.cloud.status()["data"]["status"].as_str().unwrap().to_owned();
            groups_of(&status)
                .iter()
                .any(|group| group.contains("name: flows-single") && group.contains("registered:\n        notStarted: 0\n        ready: 1"))
        });
        self.job("two", "single", Some("single"), "3", "1h");
        self.meets("max-size/1-pending", &["small", "xlarge", "single"]);
    }

    fn no_capacity(&self) {
        self.groups[1].steer(&json!({"failure": "spot-capacity"}));
        self.restart(&["--scan-interval=1s", "--group-refresh=8s", "--max-node-provision-time=90s"]);
        self.job("starved", "xlarge", Some("xlarge"), "1", "1s");
        self.meets("no-capacity/1-scale-up-failed", &["xlarge"]);
        self.meets("no-capacity/2-backoff", &["xlarge"]);
        self.groups[1].steer(&json!({"failure": null}));
    }

    fn never_joins(&self) {
        self.groups[1].steer(&json!({"never_join": true}));
        self.restart(&["--scan-interval=3s", "--group-refresh=5m", "--max-node-provision-time=10s"]);
        self.job("alone", "xlarge", Some("xlarge"), "1", "1s");
        for moment in ["1-launched", "2-timed-out", "3-backoff"] {
            self.meets(&format!("never-joins/{moment}"), &["small", "xlarge", "single"]);
        }
    }

    fn node_lost(&self) {
        self.groups[0].steer(&json!({"boot_seconds": 1}));
        self.restart(&["--scan-interval=1s", "--group-refresh=25s", "--max-node-provision-time=90s"]);
        self.job("victim", "small", Some("small"), "1", "1h");
        self.meets("node-lost/1-running", &["small", "single"]);
        self.groups[0].lose("health-check");
        for moment in ["2-instance-gone", "3-job-failed"] {
            self.meets(&format!("node-lost/{moment}"), &["small", "single"]);
        }
    }

    /// Starts over with an autoscaler that knows nothing, groups at 0 and no jobs.
    fn restart(&self, flags: &[&str]) {
        self.cloud.end_autoscaler();
        self.clear();
        for group in &self.groups {
            group.resize(0);
        }
        eventually("the end of all machines", || self.groups.iter().all(|group| group.describe()["Instances"] == json!([])));
        eventually("the end of all nodes", || self.cloud.cluster.kubectl_ok(&["get", "nodes", "-o", "name"]).is_empty());
        self.cloud.cluster.kubectl_ok(&["-n", "kube-system", "delete", "configmap", "cluster-autoscaler-status", "--ignore-not-found"]);
        self.cloud.start_autoscaler_with(flags);
    }

    /// Removes jobs and events.
    fn clear(&self) {
        self.cloud.cluster.kubectl_ok(&["-n", "default", "delete", "jobs,pods", "--all", "--grace-period=0", "--force"]);
        self.cloud.cluster.kubectl_ok(&["delete", "events", "--all", "--all-namespaces"]);
    }

    /// Creates a job as they were recorded.
    fn job(&self, name: &str, size: &str, tolerated: Option<&str>, cpu: &str, run: &str) {
        let tolerations: Vec<_> =
            tolerated.iter().map(|value| json!({"key": SIZE, "operator": "Equal", "value": value, "effect": "NoSchedule"})).collect();
        let annotations = json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "kwok.test/run": run});
        let container = json!({"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}});
        let pod = json!({"restartPolicy": "Never", "nodeSelector": {SIZE: size}, "tolerations": tolerations, "containers": [container]});
        self.cloud.cluster.apply(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"annotations": annotations}, "spec": pod}},
        }));
    }

    /// Waits until the cluster is as it was at a recorded moment, in as far as the autoscaler makes it.
    #[track_caller]
    fn meets(&self, moment: &str, groups: &[&str]) {
        let expected = recorded(moment, groups);
        let start = Instant::now();
        loop {
            let now = self.now(groups);
            if now == expected {
                return;
            }
            assert!(start.elapsed().as_secs() < 75, "{moment} did not come: {}", difference(&expected, &now));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn now(&self, groups: &[&str]) -> Moment {
        let text = self.cloud.cluster.kubectl_ok(&["get", "events,nodes,configmaps", "--all-namespaces", "-o", "json"]);
        let items = serde_json::from_str::<Value>(&text).unwrap()["items"].take();
        let of = |kind: &str| items.as_array().unwrap().iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<_>>();
        let status = of("ConfigMap").into_iter().find(|map| map["metadata"]["name"] == "cluster-autoscaler-status");
        moment(&of("Event"), &of("Node"), &status.unwrap_or_default(), groups)
    }
}

fn recorded(name: &str, groups: &[&str]) -> Moment {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/cluster-autoscaler").join(name);
    let read = |file: &str| serde_json::from_str::<Value>(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    let items = |file: &str| read(file)["items"].as_array().unwrap().clone();
    moment(&items("events.json"), &items("nodes.json"), &read("cluster-autoscaler-status.json"), groups)
}

fn moment(events: &[Value], nodes: &[Value], status: &Value, groups: &[&str]) -> Moment {
    let mut events: Vec<_> = events.iter().filter(|event| event["source"]["component"] == "cluster-autoscaler").map(event).collect();
    events.sort_by_key(Value::to_string);
    let mut nodes: Vec<_> = nodes.iter().map(node).collect();
    nodes.sort_by_key(Value::to_string);
    let text = status["data"]["status"].as_str().unwrap_or_default();
    let updated = status["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/last-updated"].as_str().unwrap_or_default();
    let mut lines = vec![format!("annotation: {}", plain(updated)), text.split("nodeGroups:\n").next().map(plain_lines).unwrap_or_default()];
    let wanted = |group: &&String| groups.iter().any(|name| group.contains(&format!("name: flows-{name}\n")));
    lines.extend(groups_of(text).iter().filter(wanted).map(|group| plain_lines(group)));
    lines.push(plain_lines(text.split("\ntime: ").nth(1).unwrap_or_default()));
    lines.sort();
    Moment { events, status: lines, nodes }
}

/// Returns the parts of a status that are about one group each.
fn groups_of(status: &str) -> Vec<String> {
    let list = status.split("nodeGroups:\n").nth(1).unwrap_or_default();
    let list = list.split("\ntime: ").next().unwrap_or_default();
    list.split("- health:\n").filter(|group| !group.is_empty()).map(|group| format!("{group}\n")).collect()
}

fn event(event: &Value) -> Value {
    let about = &event["involvedObject"];
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let name = about["name"].as_str().unwrap();
    let name = if about["kind"] == "Pod" { name.split('-').next().unwrap().to_owned() } else { plain(name) };
    let message = event["message"].as_str().unwrap();
    let message = match message.strip_prefix("pod didn't trigger scale-up: ") {
        Some(reasons) => {
            let mut reasons: Vec<_> = reasons.split(", ").map(|reason| reason.split_once(' ').unwrap_or_default().1).collect();
            reasons.sort_unstable();
            format!("pod didn't trigger scale-up: N {}", reasons.join(", N "))
        }
        None => plain(message),
    };
    json!({
        "kind": about["kind"], "api": about["apiVersion"], "namespace": about["namespace"], "name": name, "message": message,
        "type": event["type"], "reason": event["reason"], "count": event["count"], "source": event["source"],
        "reporting": event["reportingComponent"], "instance": event["reportingInstance"], "time": event["eventTime"],
        "fields": fields(event), "about": fields(about),
    })
}

fn node(node: &Value) -> Value {
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let mut taints: Vec<_> = taints
        .iter()
        .filter(|taint| !taint["key"].as_str().unwrap().starts_with("node.kubernetes.io/")) // of the cluster
        .map(|taint| format!("{}={}:{}", taint["key"], plain(taint["value"].as_str().unwrap_or_default()), taint["effect"]))
        .collect();
    taints.sort();
    json!({"taints": taints, "unschedulable": node["spec"]["unschedulable"]})
}

/// Returns a text without the words that differ from run to run: times, durations, names of nodes.
fn plain(text: &str) -> String {
    let bare = |word: &str| {
        let core = word.trim_matches(['"', ',']);
        let digits = core.bytes().filter(u8::is_ascii_digit).count();
        let kind = if core.ends_with('Z') && core.contains('T') && digits == 14 {
            "TIME"
        } else if core.ends_with('s') && core.contains('.') && digits + 2 == core.len() {
            "DURATION"
        } else if core.starts_with("ip-") {
            "NODE"
        } else if digits == core.len() && digits == 10 {
            "SECONDS"
        } else if core.starts_with("20") && core.matches('-').count() == 2 && digits == 8 {
            "DATE"
        } else if core.matches(':').count() == 2 && core.contains('.') && digits > 6 {
            "CLOCK"
        } else {
            return word.to_owned();
        };
        word.replace(core, kind)
    };
    text.split(' ').map(bare).collect::<Vec<_>>().join(" ")
}

fn plain_lines(text: &str) -> String {
    text.trim_end().lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Returns what one moment has and the other has not.
fn difference(expected: &Moment, now: &Moment) -> String {
    let lines = |moment: &Moment| {
        let values = moment.events.iter().chain(&moment.nodes).map(Value::to_string);
        values.chain(moment.status.iter().cloned()).collect::<Vec<_>>()
    };
    let (expected, now) = (lines(expected), lines(now));
    let only = |left: &[String], right: &[String]| left.iter().filter(|line| !right.contains(line)).cloned().collect::<Vec<_>>().join("\n");
    format!("\n--- the recording alone:\n{}\n--- the stand-in alone:\n{}", only(&expected, &now), only(&now, &expected))
}
