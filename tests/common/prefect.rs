//! A real Prefect server, started once for this process and gone with it, and real Kubernetes workers: one for each namespace that wants it.
//!
//! `tests/run` makes the Python environment of the pinned versions (`tests/prefect/requirements.txt`) and the image in which flows run, and
//! names them in variables. The server keeps its state in memory and listens on this machine alone; pods of tier real, and workers of their
//! clusters, reach it at an address of their own network ([`POD_API`]), as they would a server in their cluster.
//! A worker has a ServiceAccount with exactly the Role that `sbrun setup access` makes.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    cluster::{Cluster, Namespace, announced, eventually},
    http::request,
};

/// Where pods of tier real find the server.
pub(crate) const POD_API: &str = "http://10.96.0.1:4200/api";
/// The image that holds Prefect and the flows of `tests/prefect/flows.py`.
pub(crate) const IMAGE: &str = "prefect:3";
/// What a flow needs: an interpreter with Prefect takes half of it.
pub(crate) const MEMORY: &str = "512Mi";
/// Where the server keeps its state: in memory, by one connection. With a file it has several, and when many requests come at a time it may
/// happen that one holds SQLite's lock while it waits for another: for a minute the server answers nobody, or with 503.
const DATABASE: &str = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false";
/// The ServiceAccount of a worker: the one that `sbrun setup` assumes.
const WORKER_ACCOUNT: &str = "prefect-worker";

/// A running Prefect server.
pub(crate) struct Prefect {
    python: PathBuf,
    port: u16,
    folder: TempDir,
    // By the first process of a cluster: what passes connections of its pods on.
    forwards: Mutex<BTreeMap<u64, Child>>,
    // Ends when this process does: its standard input closes.
    _server: Child,
}

/// A running worker, until it is dropped.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
    _seat: Seat,
}

/// How many tests may run flows of Prefect at the same time: every process of it takes seconds of a processor to start, and more of them
/// than there are processors only keep each other from starting in time.
const SEATS: usize = 2;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// The right to run flows, until it is dropped.
pub(crate) struct Seat(());

impl Seat {
    /// Waits for a seat.
    pub(crate) fn take() -> Self {
        let (taken, freed) = &TAKEN;
        let mut taken = freed.wait_while(taken.lock().unwrap(), |taken| *taken >= SEATS).unwrap();
        *taken += 1;
        Self(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap() -= 1;
        TAKEN.1.notify_one();
    }
}

static SERVER: OnceLock<Prefect> = OnceLock::new();

/// Returns the Prefect server.
pub(crate) fn prefect() -> &'static Prefect {
    SERVER.get_or_init(Prefect::start)
}

/// Returns a command of `tests/prefect`, whose standard error goes to `log`.
fn script(python: &Path, name: &str, log: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prefect").join(name));
    command.stderr(File::options().create(true).append(true).open(log).unwrap());
    command
}

/// Returns the environment of a Prefect process: nothing but the way to programs, a home and what it is told.
fn environment(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).env("DO_NOT_TRACK", "1").env("COLUMNS", "200");
}

impl Prefect {
    fn start() -> Self {
        let environment_folder = std::env::var("SBRUN_TEST_PREFECT").expect("tests/run names Prefect's environment in SBRUN_TEST_PREFECT");
        let python = Path::new(&environment_folder).join("bin/python");
        let parent = std::env::var("SBRUN_TEST_DIR").expect("tests/run names a folder for state in SBRUN_TEST_DIR");
        let folder = tempfile::Builder::new().prefix("prefect-").tempdir_in(parent).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.path().join("server.log");
        let mut command = script(&python, "run.py", &log);
        environment(&mut command, folder.path());
        command.args(["server", "start", "--no-ui", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.env("PREFECT_SERVER_ANALYTICS_ENABLED", "false").env("PREFECT_SERVER_DATABASE_CONNECTION_URL", DATABASE);
        // It writes for as long as half a minute on a busy machine, and whoever else wants to waits meanwhile.
        command.env("PREFECT_API_BLOCKS_REGISTER_ON_START", "false");
        let server = command.stdin(Stdio::piped()).stdout(File::create(folder.path().join("server.out")).unwrap()).spawn().unwrap();
        let prefect = Self { python, port, folder, forwards: Mutex::default(), _server: server };
        let start = Instant::now();
        while !matches!(request(&prefect.host(), "GET", "/api/health", &Value::Null), Ok((200, _))) {
            let log = || std::fs::read_to_string(&log).unwrap();
            assert!(start.elapsed() < Duration::from_secs(90), "no Prefect server after 90 s: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        prefect
    }

    /// Returns where the server listens, on this machine.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the address of the API, as seen from this machine.
    pub(crate) fn api(&self) -> String {
        format!("http://{}/api", self.host())
    }

    /// Sends a request to the API, such as `POST /flows/`; returns status and answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (mut status, mut text) = request(&self.host(), method, &format!("/api{path}"), body).unwrap();
        for _ in 0..20 {
            if status != 503 {
                break; // else it is too busy
            }
            std::thread::sleep(Duration::from_millis(200));
            (status, text) = request(&self.host(), method, &format!("/api{path}"), body).unwrap();
        }
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends a request that must succeed.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path} {body:#}: {status} {answer:#}");
        answer
    }

    /// Makes the server reachable from the pods of a cluster, at [`POD_API`]; a cluster without real pods reaches it as this machine does.
    fn reach_from(&self, cluster: &Cluster) -> String {
        let Some(init) = cluster.ready["init_pid"].as_u64() else {
            return self.api();
        };
        self.forwards.lock().unwrap().entry(init).or_insert_with(|| {
            let (address, port) = POD_API.strip_prefix("http://").unwrap().strip_suffix("/api").unwrap().split_once(':').unwrap();
            let mut command = script(&self.python, "forward.py", &self.folder.path().join("forward.log"));
            announced(command.args([&format!("/proc/{init}/ns/net"), address, port, &self.port.to_string()])).0
        });
        POD_API.to_owned()
    }

    /// Starts a worker for a pool that launches into a namespace, and waits until it polls.
    pub(crate) fn worker(&self, namespace: &Namespace, pool: &str) -> Worker {
        self.worker_with(namespace, pool, &[])
    }

    /// Starts a worker with these further variables.
    pub(crate) fn worker_with(&self, namespace: &Namespace, pool: &str, variables: &[(&str, &str)]) -> Worker {
        let seat = Seat::take();
        let api = self.reach_from(namespace.cluster);
        let home = self.folder.path().join(format!("worker-{pool}"));
        std::fs::create_dir_all(&home).unwrap();
        let log = home.join("worker.log");
        let kubeconfig = home.join("kubeconfig.json");
        std::fs::write(&kubeconfig, worker_kubeconfig(namespace).to_string()).unwrap();
        let run = script(&self.python, "run.py", &log);
        // With its cluster's network, as a pod there has it.
        let enter: Vec<&str> = namespace.cluster.ready["enter"].as_array().map_or(vec![], |words| words.iter().filter_map(Value::as_str).collect());
        let words = enter.iter().map(std::convert::AsRef::as_ref).chain([run.get_program()]).chain(run.get_args()).collect::<Vec<_>>();
        let mut command = Command::new(words[0]);
        environment(&mut command, &home);
        command.args(&words[1..]).args(["worker", "start", "--type", "kubernetes", "--pool", pool, "--name", pool]);
        command.env("PREFECT_API_URL", api).env("KUBECONFIG", &kubeconfig).env("PREFECT_WORKER_QUERY_SECONDS", "1");
        command.env("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", &namespace.name);
        command.envs(variables.iter().copied());
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let worker = Worker { child, log, _seat: seat };
        eventually("the worker", || self.is_worked(pool));
        worker
    }

    /// Returns whether a worker of a pool is online.
    pub(crate) fn is_worked(&self, pool: &str) -> bool {
        let workers = self.call("POST", &format!("/work_pools/{pool}/workers/filter"), &json!({}));
        workers.as_array().unwrap().iter().any(|worker| worker["status"] == "ONLINE")
    }

    /// Makes a namespace one of a team with Prefect: its instance map is for the image and the memory that flows need, says where pods find the
    /// server and names the work pool; its sandbox knows the server. Returns the pool, which sbrun made of the map.
    pub(crate) fn team(&self, namespace: &mut Namespace, on_reclaim: &str) -> String {
        self.reach_from(namespace.cluster);
        let prefect = format!("version: 1\nprefect: {{api_url: '{POD_API}', work_pool: {}}}\n", namespace.name);
        let map = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
        let map = map.replace("version: 1\n", &prefect).replace("python:3", IMAGE).replace("memory: 128Mi", &format!("memory: {MEMORY}"));
        namespace.sandbox.write("instance-map.yaml", map);
        namespace.sandbox.set("PREFECT_API_URL", self.api());
        namespace.sandbox.command(["prefect", "pool", "create", "--on-reclaim", on_reclaim]).success();
        namespace.name.clone()
    }

    /// Creates a pool of Kubernetes that knows these sizes, by a template written by hand: `tests/prefect/sized-pool.json`. It is called as its namespace.
    pub(crate) fn sized_pool(&self, namespace: &Namespace, sizes: &[&str]) -> String {
        let mut pool: Value = serde_json::from_str(include_str!("../prefect/sized-pool.json")).unwrap();
        pool["name"] = json!(namespace.name);
        let properties = &mut pool["base_job_template"]["variables"]["properties"];
        properties["namespace"]["default"] = json!(namespace.name);
        properties["image"]["default"] = json!(IMAGE);
        properties["size"]["enum"] = json!(sizes);
        properties["size"]["default"] = json!(sizes[0]);
        self.call("POST", "/work_pools/", &pool);
        namespace.name.clone()
    }

    /// Creates a deployment, called as its pool, of a flow of `tests/prefect/flows.py`; returns its id.
    pub(crate) fn deployment(&self, pool: &str, flow: &str, job_variables: &Value) -> String {
        self.deployment_with(pool, flow, &json!({"job_variables": job_variables}))
    }

    /// Creates a deployment of which `more` says more: `job_variables`, `parameters`, `schedules`.
    pub(crate) fn deployment_with(&self, pool: &str, flow: &str, more: &Value) -> String {
        let flow_id = self.call("POST", "/flows/", &json!({"name": flow}))["id"].clone();
        let set_directory = json!({"prefect.deployments.steps.set_working_directory": {"directory": "/opt/flows"}});
        let mut deployment = json!({"name": pool, "flow_id": flow_id, "work_pool_name": pool, "entrypoint": format!("flows.py:{flow}"),
            "pull_steps": [set_directory], "enforce_parameter_schema": false});
        deployment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let deployment = self.call("POST", "/deployments/", &deployment);
        deployment["id"].as_str().unwrap().to_owned()
    }

    /// Creates a run of a deployment; `more` may hold `parameters`, `job_variables`, `state`. Returns its id.
    pub(crate) fn run(&self, deployment: &str, more: &Value) -> String {
        self.call("POST", &format!("/deployments/{deployment}/create_flow_run"), more)["id"].as_str().unwrap().to_owned()
    }

    /// Returns a flow run.
    pub(crate) fn flow_run(&self, id: &str) -> Value {
        self.call("GET", &format!("/flow_runs/{id}"), &Value::Null)
    }

    /// Returns the runs of a pool, planned ones included, the last to start first.
    pub(crate) fn runs_of(&self, pool: &str) -> Vec<Value> {
        let filter = json!({"work_pools": {"name": {"any_": [pool]}}, "sort": "EXPECTED_START_TIME_DESC"});
        self.call("POST", "/flow_runs/filter", &filter).as_array().unwrap().clone()
    }

    /// Returns the names of the states that a flow run was in, the first first.
    pub(crate) fn states(&self, id: &str) -> Vec<String> {
        let states = self.call("GET", &format!("/flow_run_states/?flow_run_id={id}"), &Value::Null);
        let mut states = states.as_array().unwrap().clone();
        states.sort_by_key(|state| state["timestamp"].as_str().unwrap().to_owned());
        states.iter().map(|state| state["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns what a flow run wrote to Prefect's log, a line each.
    pub(crate) fn log(&self, id: &str) -> Vec<String> {
        let wanted = json!({"logs": {"flow_run_id": {"any_": [id]}}, "sort": "TIMESTAMP_ASC", "limit": 200});
        let lines = self.call("POST", "/logs/filter", &wanted);
        lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until a flow run is in a state of this name, for two and a half minutes at most, and returns the run.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, state: &str) -> Value {
        let start = Instant::now();
        loop {
            let run = self.flow_run(id);
            if run["state_name"] == state {
                return run;
            }
            let late = start.elapsed() > Duration::from_secs(150);
            let is_final = ["COMPLETED", "FAILED", "CANCELLED"].iter().any(|end| run["state_type"] == **end);
            assert!(!late && !is_final, "never {state}, but {:?}: {:#}\n{}", self.states(id), run["state"], self.log(id).join("\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Returns the kubeconfig of a worker in a namespace, which has an instance map: by its ServiceAccount, and the Role that `sbrun setup` makes.
fn worker_kubeconfig(namespace: &Namespace) -> Value {
    if !namespace.cluster.kubectl(&["-n", &namespace.name, "get", "serviceaccount", WORKER_ACCOUNT], None).status.success() {
        namespace.kubectl(&["create", "serviceaccount", WORKER_ACCOUNT]);
    }
    namespace.sandbox.command(["setup", "access", "--apply", "--yes"]).success();
    let token = namespace.kubectl(&["create", "token", WORKER_ACCOUNT]);
    let mut kubeconfig: Value = serde_json::from_str(&namespace.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    if namespace.cluster.ready["init_pid"].is_u64() {
        kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://10.96.0.1:443"); // inside
    }
    kubeconfig
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the worker said:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
