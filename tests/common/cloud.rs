//! A cluster that grows: an Auto Scaling API, the autoscaler's stand-in and machines that come and go, beside a control plane of its own.
//!
//! `tests/aws` and `tests/cluster/README.md` say what is real about each. All tests share one autoscaler, so each has groups with names
//! of its own, and a test that stops the autoscaler has the cloud to itself.

use std::{
    fs::File,
    ops::{Deref, DerefMut},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use serde_json::{Value, json};

use super::{
    cluster::{Cluster, Namespace, announced, images},
    http::request,
};

/// By which tag the autoscaler finds its groups.
const CLUSTER: &str = "sbrun-test";
/// The label and the taint of a group's nodes.
pub(crate) const SIZE: &str = "sbrun.dev/size";

/// A cluster with groups of machines.
pub(crate) struct Cloud {
    /// The control plane.
    pub(crate) cluster: Cluster,
    /// Where the Auto Scaling API answers.
    pub(crate) endpoint: String,
    autoscaler_flags: Vec<&'static str>,
    autoscaler: Mutex<Option<Child>>,
    users: RwLock<()>,
    // Each ends when this process does: its standard input closes.
    _children: Vec<Child>,
}

/// A node group, until it is dropped.
pub(crate) struct Group {
    cloud: &'static Cloud,
    /// Its name, and the size's.
    pub(crate) name: String,
}

/// A namespace whose sandbox speaks to the Auto Scaling API, by an access key of its own.
pub(crate) struct CloudNamespace {
    namespace: Namespace,
    cloud: &'static Cloud,
    _use: Use,
}

enum Use {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Exclusive { _guard: RwLockWriteGuard<'static, ()> },
}

/// Times that suit tests: an idle machine goes after seconds, and nothing is waited for longer than half a minute.
const QUICK: &[&str] = &[
    "--scan-interval=1s",
    "--group-refresh=1s",
    "--scale-down-unneeded-time=5s",
    "--scale-down-delay-after-add=5s",
    "--scale-down-delay-type-local",
    "--node-delete-delay-after-taint=1s",
    "--max-node-provision-time=20s",
    "--initial-node-group-backoff-duration=30s",
    "--max-node-group-backoff-duration=60s",
];

/// A real machine is busy for longer: it unpacks its images.
const REAL_TIMES: &[&str] = &["--max-node-provision-time=3m", "--scale-down-unneeded-time=8s", "--scale-down-delay-after-add=8s"];

static KWOK: OnceLock<Cloud> = OnceLock::new();
static REAL: OnceLock<Cloud> = OnceLock::new();

/// Returns the cloud whose machines are simulated nodes.
pub(crate) fn cloud() -> &'static Cloud {
    KWOK.get_or_init(|| Cloud::simulated(QUICK))
}

/// Returns the cloud whose machines are real kubelets, each with a containerd of its own.
pub(crate) fn real_cloud() -> &'static Cloud {
    REAL.get_or_init(|| {
        let (api, endpoint) = start_api();
        let arguments = ["real", "--toleration-seconds", "8", "--aws-endpoint", &endpoint].map(ToOwned::to_owned);
        let cluster = Cluster::start(&[&arguments[..], &images()].concat());
        Cloud::with(cluster, endpoint, &[QUICK, REAL_TIMES].concat(), vec![api])
    })
}

/// Starts the Auto Scaling API and returns it with its address.
fn start_api() -> (Child, String) {
    let environment = std::env::var("SBRUN_TEST_AWS").expect("tests/run names the API's environment in SBRUN_TEST_AWS");
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws/server.py");
    let mut command = Command::new(Path::new(&environment).join("bin/python"));
    let (child, ready) = announced(command.arg("-B").arg(server));
    (child, ready["endpoint"].as_str().unwrap().to_owned())
}

impl Cloud {
    /// Starts a cloud with simulated nodes; the flags are the autoscaler's.
    pub(crate) fn simulated(autoscaler_flags: &[&'static str]) -> Self {
        let api = std::thread::spawn(start_api);
        let cluster = Cluster::start(&["kwok", "--audit", "--toleration-seconds", "8"]);
        let (api, endpoint) = api.join().unwrap();
        let mut command = Command::new(&cluster.program);
        command.args(["instances", "--kubeconfig", cluster.kubeconfig(), "--aws-endpoint", &endpoint]);
        let (instances, _) = announced(command.stderr(log(&cluster, "instances")));
        Self::with(cluster, endpoint, autoscaler_flags, vec![api, instances])
    }

    fn with(cluster: Cluster, endpoint: String, autoscaler_flags: &[&'static str], children: Vec<Child>) -> Self {
        let autoscaler_flags = autoscaler_flags.to_vec();
        let users = RwLock::new(());
        let cloud = Self { cluster, endpoint, autoscaler_flags, autoscaler: Mutex::new(None), users, _children: children };
        cloud.start_autoscaler();
        cloud
    }

    /// Starts the autoscaler, unless it runs.
    pub(crate) fn start_autoscaler(&self) {
        self.start_autoscaler_with(&[]);
    }

    /// Starts the autoscaler with further flags, unless it runs.
    pub(crate) fn start_autoscaler_with(&self, flags: &[&str]) {
        let mut running = self.autoscaler.lock().unwrap();
        if running.is_some() {
            return;
        }
        let mut command = Command::new(&self.cluster.program);
        command.args(["autoscaler", "--kubeconfig", self.cluster.kubeconfig(), "--aws-endpoint", &self.endpoint, "--cluster", CLUSTER]);
        *running = Some(announced(command.args(&self.autoscaler_flags).args(flags).stderr(log(&self.cluster, "autoscaler"))).0);
    }

    /// Kills the autoscaler: for a test that has the cloud to itself, see [`Self::namespace_alone`].
    pub(crate) fn end_autoscaler(&self) {
        if let Some(mut running) = self.autoscaler.lock().unwrap().take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }

    /// Sends the autoscaler a signal.
    pub(crate) fn signal_autoscaler(&self, signal: nix::sys::signal::Signal) {
        let running = self.autoscaler.lock().unwrap();
        let id = running.as_ref().expect("the autoscaler runs").id();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// Returns a fresh namespace. One for each test: a second one could wait for a test that waits for the first.
    pub(crate) fn namespace(&'static self) -> CloudNamespace {
        self.namespace_in(Use::Shared { _guard: self.users.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// Returns a fresh namespace while no other test uses the cloud.
    pub(crate) fn namespace_alone(&'static self) -> CloudNamespace {
        self.namespace_in(Use::Exclusive { _guard: self.users.write().unwrap_or_else(PoisonError::into_inner) })
    }

    fn namespace_in(&'static self, r#use: Use) -> CloudNamespace {
        let mut namespace = self.cluster.namespace();
        let key = namespace.name.clone();
        namespace
            .sandbox
            .set("AWS_ENDPOINT_URL", &self.endpoint)
            .set("AWS_REGION", "us-east-1")
            .set("AWS_ACCESS_KEY_ID", key)
            .set("AWS_SECRET_ACCESS_KEY", "secret")
            .set("AWS_EC2_METADATA_DISABLED", "true");
        CloudNamespace { namespace, cloud: self, _use: r#use }
    }

    /// Creates a group at 0 for machines of type m5.xlarge, label and taint of its name; `settings` are those of `/control/groups`.
    #[track_caller]
    pub(crate) fn group(&'static self, name: &str, settings: &Value) -> Group {
        let taint = format!("{name}:NoSchedule");
        let mut order = json!({"name": name, "cluster": CLUSTER, "labels": {SIZE: name}, "taints": {SIZE: taint}});
        order.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.order("groups", &order);
        Group { cloud: self, name: name.to_owned() }
    }

    /// Gives an order to the API; see `tests/aws/server.py`.
    #[track_caller]
    pub(crate) fn order(&self, path: &str, order: &Value) -> Value {
        let host = self.endpoint.strip_prefix("http://").unwrap();
        let method = if order.is_null() { "GET" } else { "POST" };
        let (status, body) = request(host, method, &format!("/control/{path}"), order).unwrap();
        assert_eq!(status, 200, "{path} {order}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Calls any operation of an AWS service that the API knows, by boto3's names.
    #[track_caller]
    pub(crate) fn call(&self, service: &str, operation: &str, parameters: &Value) -> Value {
        self.order("call", &json!({"service": service, "operation": operation, "parameters": parameters}))
    }

    /// Returns the autoscaler's status ConfigMap.
    pub(crate) fn status(&self) -> Value {
        let text = self.cluster.kubectl_ok(&["-n", "kube-system", "get", "configmap", "cluster-autoscaler-status", "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }
}

/// Returns where a child of the cloud writes what it does.
fn log(cluster: &Cluster, name: &str) -> Stdio {
    let path = Path::new(cluster.ready["logs"].as_str().unwrap()).join(format!("{name}.log"));
    File::options().create(true).append(true).open(path).unwrap().into()
}

impl Group {
    /// Steers what becomes of its machines: `boot_seconds`, `failure`, `never_join`, `join_seconds`, ...
    #[track_caller]
    pub(crate) fn steer(&self, order: &Value) -> &Self {
        self.cloud.order(&format!("groups/{}", self.name), order);
        self
    }

    /// Takes a machine away, as AWS does; returns the instance. `loss` is a name of `tests/aws/words.py`.
    #[track_caller]
    pub(crate) fn lose(&self, loss: &str) -> String {
        let answer = self.cloud.order(&format!("groups/{}/lose", self.name), &json!({"loss": loss}));
        answer["instance"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn call(&self, operation: &str, more: &Value) -> Value {
        let mut parameters = json!({"AutoScalingGroupName": self.name});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.cloud.call("autoscaling", operation, &parameters)
    }

    /// Suspends a process, such as `Launch`.
    #[track_caller]
    pub(crate) fn suspend(&self, process: &str) {
        self.call("suspend_processes", &json!({"ScalingProcesses": [process]}));
    }

    /// Lets a process go on.
    #[track_caller]
    pub(crate) fn resume(&self, process: &str) {
        self.call("resume_processes", &json!({"ScalingProcesses": [process]}));
    }

    /// Asks for a number of machines, as a person would.
    #[track_caller]
    pub(crate) fn resize(&self, desired: u32) {
        self.call("set_desired_capacity", &json!({"DesiredCapacity": desired}));
    }

    /// Returns the group as AWS describes it.
    #[track_caller]
    pub(crate) fn describe(&self) -> Value {
        let found = self.cloud.call("autoscaling", "describe_auto_scaling_groups", &json!({"AutoScalingGroupNames": [self.name]}));
        found["AutoScalingGroups"][0].clone()
    }

    /// Returns its scaling activities, the newest first.
    #[track_caller]
    pub(crate) fn activities(&self) -> Vec<Value> {
        self.call("describe_scaling_activities", &json!({}))["Activities"].as_array().unwrap().clone()
    }

    /// Returns its nodes.
    #[track_caller]
    pub(crate) fn nodes(&self) -> Vec<Value> {
        let text = self.cloud.cluster.kubectl_ok(&["get", "nodes", "-l", &format!("{SIZE}={}", self.name), "-o", "json"]);
        serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().unwrap().clone()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let group = self.describe();
            eprintln!("group {}: wants {}, has {}", self.name, group["DesiredCapacity"], group["Instances"]);
            for activity in self.activities() {
                eprintln!("  {} {} {}", activity["StartTime"], activity["StatusCode"], activity["Description"]);
            }
        }
        self.cloud.order(&format!("groups/{}/remove", self.name), &json!({}));
    }
}

impl CloudNamespace {
    /// Writes an instance map with one size for each group: one CPU and 1 GiB for a job.
    pub(crate) fn map_groups(&self, groups: &[&Group]) {
        let mut text = "version: 1\ncluster: {region: us-east-1}\ndefaults: {image: \"python:3\"}\nsizes:\n".to_owned();
        for Group { name, .. } in groups {
            let placement = format!("node_selector: {{{SIZE}: {name}}}\n    tolerations: [{{key: {SIZE}, operator: Equal, value: {name}}}]");
            text = format!("{text}  {name}:\n    node_group: {name}\n    footprint: {{cpu: 100m, memory: 128Mi}}\n    {placement}\n");
        }
        self.sandbox.write("instance-map.yaml", text);
    }

    /// Refuses the next calls of this namespace's sandbox: `refusal` of `tests/aws/words.py`; `more` may limit `actions` and `times`.
    #[track_caller]
    pub(crate) fn refuse(&self, refusal: &str, more: &Value) {
        let mut order = json!({"access_key": self.name, "refusal": refusal});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.cloud.order("faults", &order);
    }

    /// Refuses nothing any more.
    pub(crate) fn refuse_nothing(&self) {
        self.cloud.order("faults", &json!({"access_key": self.name}));
    }

    /// Returns the calls of this namespace's sandbox so far, such as `autoscaling:DescribeAutoScalingGroups`.
    pub(crate) fn calls(&self) -> Vec<String> {
        serde_json::from_value(self.cloud.order(&format!("calls?{}", self.name), &Value::Null)).unwrap()
    }
}

impl Deref for CloudNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl DerefMut for CloudNamespace {
    fn deref_mut(&mut self) -> &mut Namespace {
        &mut self.namespace
    }
}
