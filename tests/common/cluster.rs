//! A real Kubernetes for the tests, started once for this process and gone with it.
//!
//! `tests/run` builds it and names it in variables; without them the tests that need it are not run (see `tests/run`).

use std::{
    io::{BufRead, BufReader, Write},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::sandbox::Sandbox;

/// A running cluster.
pub(crate) struct Cluster {
    /// The cluster's program, which has further commands.
    pub(crate) program: PathBuf,
    /// What the cluster said when it was ready.
    pub(crate) ready: Value,
    // The cluster ends when its standard input closes, and so when this process ends.
    orders: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    _folder: TempDir,
}

/// A cluster of one test's own, which ends with it.
pub(crate) struct OwnCluster(&'static Cluster);

/// A namespace of a cluster, with a sandbox whose kubeconfig and map lead there.
pub(crate) struct Namespace {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
    pub(crate) sandbox: Sandbox,
}

/// The image that flows run in.
const IMAGE: &str = "python:3";

static KWOK: OnceLock<Cluster> = OnceLock::new();
static REAL: OnceLock<Cluster> = OnceLock::new();
static STRAINED: OnceLock<Cluster> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Returns the cluster whose nodes are simulated.
pub(crate) fn kwok() -> &'static Cluster {
    KWOK.get_or_init(|| Cluster::start(&["kwok", "--audit", "--toleration-seconds", "8"]))
}

/// Returns the cluster with real kubelets and containers.
pub(crate) fn real() -> &'static Cluster {
    REAL.get_or_init(|| {
        let arguments = ["real", "--toleration-seconds", "8", "--node", "n1 labels=sbrun.dev/size=small", "--slow", "slow=8", "--refuse", "refused"];
        Cluster::start(&[&arguments.map(ToOwned::to_owned)[..], &images()].concat())
    })
}

/// Returns the real cluster whose kubelets rotate logs of 20 KiB and have little disk for volumes: nodes of the sizes `small` and `full`.
pub(crate) fn strained() -> &'static Cluster {
    STRAINED.get_or_init(|| {
        let nodes = ["--node", "n1 labels=sbrun.dev/size=small", "--node", "n2 labels=sbrun.dev/size=full"];
        let limits = ["--container-log-max-size", "20Ki", "--container-log-monitor-interval", "3s", "--volume-disk", "192"];
        let arguments = [&["real"], &nodes[..], &limits[..]].concat();
        Cluster::start(&[&arguments.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()[..], &images()].concat())
    })
}

/// Returns the arguments that name a real cluster's images: those of every node, and Prefect's, which a node pulls when a pod asks for it.
pub(crate) fn images() -> Vec<String> {
    let images = std::env::var("SBRUN_TEST_IMAGES").expect("tests/run names the images in SBRUN_TEST_IMAGES");
    let pulled = std::env::var("SBRUN_TEST_PREFECT_IMAGE").into_iter().flat_map(|image| ["--pulled-image".to_owned(), image]);
    ["--images".to_owned(), images].into_iter().chain(pulled).collect()
}

impl Cluster {
    /// Starts a cluster of a tier.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Self {
        let program = PathBuf::from(std::env::var("SBRUN_TEST_CLUSTER").expect("tests/run names the cluster's program in SBRUN_TEST_CLUSTER"));
        let parent = std::env::var("SBRUN_TEST_DIR").expect("tests/run names a folder for state in SBRUN_TEST_DIR");
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir_in(parent).unwrap();
        let mut command = Command::new(&program);
        command.args(&arguments[..1]).arg("--dir").arg(folder.path()).args(&arguments[1..]);
        let (mut child, output, ready) = answering(&mut command);
        let orders = Mutex::new(child.stdin.take().map(|input| (input, output)));
        Self { program, ready, orders, _folder: folder }
    }

    /// Gives the cluster an order and waits until it is done.
    #[track_caller]
    pub(crate) fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap();
        let (input, output) = orders.as_mut().expect("the cluster has not ended");
        writeln!(input, "{order}").unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), json!({"order": order}));
    }

    /// Returns the kubeconfig of the administrator.
    pub(crate) fn kubeconfig(&self) -> &str {
        self.ready["kubeconfig"].as_str().unwrap()
    }

    /// Runs kubectl; `input` goes to its standard input.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> std::process::Output {
        let mut command = Command::new(&self.program);
        command.arg("kubectl").arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        }
        child.wait_with_output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn kubectl_ok(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments, None);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates or changes objects.
    #[track_caller]
    pub(crate) fn apply(&self, objects: &Value) {
        let apply = || self.kubectl(&["apply", "-f", "-"], Some(&objects.to_string()));
        let mut output = apply();
        if String::from_utf8_lossy(&output.stderr).contains("AlreadyExists") {
            output = apply(); // another test made the same node between the look and the creation
        }
        assert!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Creates a simulated node of a size.
    pub(crate) fn node(&self, name: &str, size: &str, cpu: &str, memory: &str) {
        self.node_with(name, &json!({"sbrun.dev/size": size}), &json!([]), cpu, memory);
    }

    /// Creates a simulated node with these labels and taints, and waits until it takes pods.
    pub(crate) fn node_with(&self, name: &str, labels: &Value, taints: &Value, cpu: &str, memory: &str) {
        let mut labels = labels.clone();
        labels["kubernetes.io/hostname"] = json!(name);
        let capacity = json!({"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"});
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": taints},
            "status": {"capacity": capacity, "allocatable": capacity},
        }));
        // The server taints every new node until it is ready, and what the scheduler says meanwhile is about that.
        eventually("the node is ready", || !self.kubectl_ok(&["get", "node", name, "-o", "jsonpath={.spec.taints}"]).contains("not-ready"));
    }

    /// Returns a fresh namespace.
    pub(crate) fn namespace(&'static self) -> Namespace {
        self.namespace_with(&json!({}))
    }

    /// Returns a fresh namespace with these labels.
    pub(crate) fn namespace_with(&'static self, labels: &Value) -> Namespace {
        let name = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}));
        eventually("the namespace's service account", || self.kubectl(&["get", "serviceaccount", "default", "-n", &name], None).status.success());
        let mut sandbox = Sandbox::new();
        sandbox.set("KUBECONFIG", self.kubeconfig()).set("SBRUN_NAMESPACE", &name).set("SBRUN_USER", "ana");
        Namespace { cluster: self, name, sandbox }
    }

    /// Returns the requests of the audit log that `wanted` picks.
    pub(crate) fn audited(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let log = std::fs::read_to_string(self.ready["audit_log"].as_str().unwrap()).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(wanted).collect()
    }
}

impl OwnCluster {
    /// Starts a cluster of a tier for one test.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Self {
        Self(Box::leak(Box::new(Cluster::start(arguments))))
    }
}

impl Deref for OwnCluster {
    type Target = &'static Cluster;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        drop(self.0.orders.lock().map(|mut orders| orders.take()));
    }
}

impl Namespace {
    /// Runs kubectl in this namespace, which must succeed.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl_ok(&[&["-n", &self.name], arguments].concat())
    }

    /// Returns objects of a kind.
    #[track_caller]
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.kubectl(&["get", kind, "-o", "json"])).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Creates or changes an object in this namespace.
    #[track_caller]
    pub(crate) fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        self.cluster.apply(&object);
    }

    /// Writes an instance map with one size for each name; `extra` lines go below `defaults`.
    pub(crate) fn map(&self, sizes: &[&str], defaults: &str) -> PathBuf {
        let mut text = format!("version: 1\ndefaults:\n  image: {IMAGE}\n{defaults}sizes:\n");
        for size in sizes {
            let placement = format!("node_selector: {{sbrun.dev/size: {size}}}\n    tolerations: []");
            text = format!("{text}  {size}:\n    footprint: {{cpu: 100m, memory: 128Mi}}\n    {placement}\n");
        }
        self.sandbox.write("instance-map.yaml", text)
    }

    /// Writes a Job template whose pod carries these annotations, which steer simulated pods.
    pub(crate) fn template(&self, annotations: &Value) -> PathBuf {
        self.pod_template(&json!({"metadata": {"annotations": annotations}}))
    }

    /// Writes a Job template with this template of its pod.
    pub(crate) fn pod_template(&self, pod: &Value) -> PathBuf {
        let template = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": pod}});
        self.sandbox.write("template.json", template.to_string())
    }
}

impl Namespace {
    /// Submits a flow detached with these arguments and returns the Job's name.
    #[track_caller]
    pub(crate) fn submit(&self, arguments: &[&str]) -> String {
        self.sandbox.write("flow.py", "print('hello')\n");
        self.sandbox.command([&["submit", "-d", "-o", "name"], arguments, &["flow.py"]].concat()).exits(0).text().trim().to_owned()
    }

    /// Creates the Job of a submission without sbrun's checks, as if what it refers to had gone since, and returns its name.
    #[track_caller]
    pub(crate) fn submit_unchecked(&self, arguments: &[&str], change: impl FnOnce(&mut Value)) -> String {
        self.sandbox.write("flow.py", "print('hello')\n");
        let list = self.sandbox.command([&["submit", "--dry-run", "-o", "json"], arguments, &["flow.py"]].concat()).exits(0).json();
        let mut job = list["items"].as_array().unwrap().iter().find(|item| item["kind"] == "Job").unwrap().clone();
        change(&mut job);
        self.apply(job.clone());
        job["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Asks `why` until the job waits for `reason` and something proves it, and returns the answer.
    #[track_caller]
    pub(crate) fn why(&self, name: &str, reason: &str) -> Value {
        let mut last = Value::Null;
        let mut tries = 0;
        while last["reason"] != json!(reason) || last["evidence"].as_array().unwrap().is_empty() {
            last = self.sandbox.command(["why", name, "-o", "json"]).exits(0).json();
            tries += 1;
            assert!(tries < 180, "never {reason} with evidence: {last:#}");
            std::thread::sleep(Duration::from_millis(500));
        }
        assert!(last["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{last:#}");
        last
    }
}

impl Namespace {
    /// Evicts the pod that runs, as a drain of its node does, and returns its name.
    #[track_caller]
    pub(crate) fn evict_running(&self) -> String {
        let running = |pod: &Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        let pods = self.objects("pods");
        let pod = pods.iter().find(|pod| running(pod)).expect("a pod runs")["metadata"]["name"].as_str().unwrap();
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.name}});
        let address = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.name);
        let output = self.cluster.kubectl(&["create", "--raw", &address, "-f", "-"], Some(&eviction.to_string()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pod.to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.cluster.kubectl(&["-n", &self.name, "get", "jobs,pods,events", "-o", "wide"], None);
            eprintln!("namespace {}:\n{}", self.name, String::from_utf8_lossy(&output.stdout));
        }
        drop(self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"], None));
    }
}

/// Asserts that the evidence of a story or a report quotes these words, and that its advice names this step.
#[track_caller]
pub(crate) fn proves(story: &Value, words: &str, step: &str) {
    let says = |list: &Value, field: &str, wanted: &str| {
        let mut texts = list.as_array().unwrap().iter().filter_map(|item| item.pointer(field)?.as_str());
        texts.any(|text| text.contains(wanted))
    };
    assert!(says(&story["evidence"], "/text", words), "the evidence does not say `{words}`: {story:#}");
    assert!(says(&story["next"], "", step), "the advice does not name `{step}`: {story:#}");
}

/// Starts what says in one line of JSON that it is ready, and ends when its standard input does; returns both.
#[track_caller]
pub(crate) fn announced(command: &mut Command) -> (Child, Value) {
    let (child, _, ready) = answering(command);
    (child, ready)
}

/// The same, with its further output.
#[track_caller]
fn answering(command: &mut Command) -> (Child, BufReader<ChildStdout>, Value) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command:?} did not start: {line:?}"));
    (child, output, ready)
}

/// Waits until `holds`, for a minute at most.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, holds);
}

/// Waits until `holds`, for so long at most.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "waited {} s for {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the flows of `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}
