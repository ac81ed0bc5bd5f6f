//! Is the autoscaler's stand-in honest? It runs through the scenarios in which the real one was recorded, and must leave the same.
//!
//! Compared at each recorded moment: its events (fields, type, reason, message, about what), its status ConfigMap (text, line by line)
//! and the taints of nodes. Not compared: times, names of pods and nodes, and in a message how many groups have a reason.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::{
    cloud::{Cloud, Group, SIZE},
    cluster::eventually,
};

/// What all scenarios were recorded with, only faster. The autoscaler looks at the groups when it is told to, not once a minute.
const FLAGS: &[&str] = &[
    "--scan-interval=2s",
    "--group-refresh=1h",
    "--max-node-provision-time=5m",
    "--scale-down-unneeded-time=6s",
    "--scale-down-delay-after-add=6s",
    "--node-delete-delay-after-taint=2s",
    "--initial-node-group-backoff-duration=1m",
];

/// The groups of the recordings.
struct Stage {
    cloud: &'static Cloud,
    groups: [Group; 3],
    statuses: Statuses,
}

/// All that the status ConfigMap ever was: some of it lasts for one loop of the autoscaler only.
struct Statuses {
    watch: Child,
    seen: Arc<Mutex<Vec<Value>>>,
}

/// What the autoscaler left at one moment, without what differs from run to run.
struct Moment {
    objects: Vec<Value>,
    status: Vec<String>,
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
    let stage = Stage { cloud, groups, statuses: Statuses::of(cloud) };
    stage.rises_from_zero();
    stage.rejections();
    stage.max_size();
    stage.no_capacity();
    stage.never_joins();
    stage.node_lost();
}

impl Stage {
    fn rises_from_zero(&self) {
        self.groups[0].steer(&json!({"boot_seconds": 4}));
        self.restart(&[]);
        let all = &["small", "xlarge", "single"];
        self.meets("from-zero/1-unschedulable", all);
        self.job("etl", "small", Some("small"), "1", "20s");
        // 3-instance-booting has nothing new of the autoscaler, 4-node-ready lies between two of its looks.
        self.meets("from-zero/2-scale-up-triggered", all);
        self.meets("from-zero/5-running", all);
        self.look();
        for moment in ["5b-running-seen-by-autoscaler", "6-complete", "7-deletion-candidate", "8-scaled-down"] {
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
        self.runs("one");
        self.look();
        self.job("two", "single", Some("single"), "3", "1h");
        self.meets("max-size/1-pending", &["small", "xlarge", "single"]);
    }

    fn no_capacity(&self) {
        self.groups[1].steer(&json!({"failure": "spot-capacity"}));
        self.restart(&[]);
        self.job("starved", "xlarge", Some("xlarge"), "1", "1s");
        eventually("the failed launch", || self.groups[1].activities().iter().any(|activity| activity["StatusCode"] == "Failed"));
        self.look();
        self.meets("no-capacity/1-scale-up-failed", &["xlarge"]);
        self.meets("no-capacity/2-backoff", &["xlarge"]);
        self.groups[1].steer(&json!({"failure": null}));
    }

    fn never_joins(&self) {
        self.groups[1].steer(&json!({"never_join": true}));
        self.restart(&["--max-node-provision-time=10s"]);
        self.job("alone", "xlarge", Some("xlarge"), "1", "1s");
        for moment in ["1-launched", "2-timed-out", "3-backoff"] {
            self.meets(&format!("never-joins/{moment}"), &["small", "xlarge", "single"]);
        }
    }

    fn node_lost(&self) {
        self.groups[0].steer(&json!({"boot_seconds": 1}));
        self.restart(&[]);
        self.job("victim", "small", Some("small"), "1", "1h");
        self.meets("node-lost/1-running", &["small", "single"]);
        self.runs("victim");
        self.groups[0].lose("health-check");
        eventually("a new machine", || self.groups[0].describe()["Instances"][0]["LifecycleState"] == "InService");
        self.look();
        for moment in ["2-instance-gone", "3-job-failed"] {
            self.meets(&format!("node-lost/{moment}"), &["small", "single"]);
        }
    }

    /// Has the autoscaler look at the groups.
    fn look(&self) {
        self.cloud.signal_autoscaler(Signal::SIGUSR1);
    }

    fn runs(&self, job: &str) {
        let pod = ["-n", "default", "get", "pods", "-l", &format!("job-name={job}"), "-o", "jsonpath={.items[*].status.phase}"];
        eventually("the job's start", || self.cloud.cluster.kubectl_ok(&pod) == "Running");
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
        self.statuses.seen.lock().unwrap().clear();
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

    /// Waits until the cluster is as it was at a recorded moment, in as far as the autoscaler makes it: events and nodes as they are
    /// now, the status at any time since the last moment.
    #[track_caller]
    fn meets(&self, name: &str, groups: &[&str]) {
        let expected = recorded(name, groups);
        let start = Instant::now();
        let (mut has_objects, mut has_status) = (false, false);
        loop {
            let text = self.cloud.cluster.kubectl_ok(&["get", "events,nodes", "--all-namespaces", "-o", "json"]);
            let objects = objects(serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().unwrap());
            let mut seen = self.statuses.seen.lock().unwrap();
            if let Some(at) = seen.iter().position(|map| !has_status && status(map, groups) == expected.status) {
                seen.drain(..at);
                has_status = true;
            }
            has_objects |= objects == expected.objects;
            if has_objects && has_status {
                return;
            }
            let last = seen.last().map(|map| status(map, groups)).unwrap_or_default();
            drop(seen);
            let now = Moment { objects, status: last };
            assert!(start.elapsed().as_secs() < 75, "{name}: objects {has_objects}, status {has_status}: {}", difference(&expected, &now));
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }
}

impl Statuses {
    fn of(cloud: &Cloud) -> Self {
        let mut command = Command::new(&cloud.cluster.program);
        command.args(["kubectl", "--kubeconfig", cloud.cluster.kubeconfig(), "-n", "kube-system", "get", "configmaps", "--watch", "-o", "json"]);
        command.args(["--field-selector", "metadata.name=cluster-autoscaler-status"]);
        let mut watch = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let maps = serde_json::Deserializer::from_reader(watch.stdout.take().unwrap()).into_iter::<Value>();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = seen.clone();
        std::thread::spawn(move || maps.map_while(Result::ok).for_each(|map| list.lock().unwrap().push(map)));
        Self { watch, seen }
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        drop(self.watch.kill());
        drop(self.watch.wait());
    }
}

fn recorded(name: &str, groups: &[&str]) -> Moment {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/cluster-autoscaler").join(name);
    let read = |file: &str| serde_json::from_str::<Value>(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    let items = ["events.json", "nodes.json"].map(|file| read(file)["items"].as_array().unwrap().clone());
    Moment { objects: objects(&items.concat()), status: status(&read("cluster-autoscaler-status.json"), groups) }
}

/// Returns the autoscaler's events and the nodes as it marked them.
fn objects(items: &[Value]) -> Vec<Value> {
    let events = items.iter().filter(|item| item["source"]["component"] == "cluster-autoscaler").map(event);
    let mut all: Vec<_> = events.chain(items.iter().filter(|item| item["kind"] == "Node").map(node)).collect();
    all.sort_by_key(Value::to_string);
    all
}

/// Returns the status ConfigMap: its annotation, what is about all groups, and what is about each of these.
fn status(map: &Value, groups: &[&str]) -> Vec<String> {
    let text = map["data"]["status"].as_str().unwrap_or_default();
    let updated = map["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/last-updated"].as_str().unwrap_or_default();
    let (whole, rest) = text.split_once("nodeGroups:\n").unwrap_or((text, ""));
    let (_, time) = rest.split_once("\ntime: ").unwrap_or_default();
    let mut parts = vec![format!("annotation: {}", plain(updated)), plain_lines(whole), plain_lines(time)];
    let wanted = |group: &&String| groups.iter().any(|name| group.contains(&format!("name: flows-{name}\n")));
    parts.extend(groups_of(text).iter().filter(wanted).map(|group| plain_lines(group)));
    parts.sort();
    parts
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
    let lines = |moment: &Moment| moment.objects.iter().map(Value::to_string).chain(moment.status.clone()).collect::<Vec<_>>();
    let (expected, now) = (lines(expected), lines(now));
    let only = |left: &[String], right: &[String]| left.iter().filter(|line| !right.contains(line)).cloned().collect::<Vec<_>>().join("\n");
    format!("\n--- the recording alone:\n{}\n--- the stand-in alone:\n{}", only(&expected, &now), only(&now, &expected))
}
