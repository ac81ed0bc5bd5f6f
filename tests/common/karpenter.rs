//! The real Karpenter, on a control plane of its own: on a shared one it would answer for every pod that waits.
//!
//! `tests/run` builds it and names it in a variable; `tests/karpenter/main.go` says what is real about it.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace};

/// Instance type of the machines of a pool, of Karpenter's provider for kwok: 4 CPUs and 32 GiB.
const INSTANCE_TYPE: &str = "m-4x-amd64-linux";

/// A cluster that Karpenter watches over.
pub(crate) struct Karpenter {
    pub(crate) cluster: Cluster,
    // Ends when this process ends: its standard input closes.
    _child: Child,
}

/// A NodePool, which goes with this value.
pub(crate) struct Pool {
    pub(crate) name: String,
}

static KARPENTER: OnceLock<Karpenter> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Returns the cluster that Karpenter watches over.
pub(crate) fn karpenter() -> &'static Karpenter {
    KARPENTER.get_or_init(Karpenter::start)
}

impl Karpenter {
    fn start() -> Self {
        let program = std::env::var("SBRUN_TEST_KARPENTER").expect("tests/run names Karpenter's program in SBRUN_TEST_KARPENTER");
        let cluster = Cluster::start(&["kwok", "--toleration-seconds", "8"]);
        let kinds = Command::new(&program).arg("crds").output().unwrap();
        let apply = cluster.kubectl(&["apply", "--server-side", "-f", "-"], Some(std::str::from_utf8(&kinds.stdout).unwrap()));
        assert!(apply.status.success(), "{}", String::from_utf8_lossy(&apply.stderr));
        cluster.kubectl_ok(&["wait", "--for=condition=Established", "customresourcedefinitions", "--all"]);
        let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}});
        cluster.apply(&class);
        let log = File::create(format!("{}/karpenter.log", cluster.ready["logs"].as_str().unwrap())).unwrap();
        let mut command = Command::new(program);
        command.arg("run").env_clear().env("KUBECONFIG", cluster.kubeconfig()).env("SYSTEM_NAMESPACE", "kube-system");
        command.envs([("DISABLE_LEADER_ELECTION", "true"), ("METRICS_PORT", "0"), ("HEALTH_PROBE_PORT", "0"), ("BATCH_MAX_DURATION", "2s")]);
        let child = command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { cluster, _child: child }
    }

    /// Creates a NodePool at 0 whose nodes carry its name as label and taint `sbrun.dev/size`, with these `spec.limits`.
    pub(crate) fn pool(&'static self, limits: &Value) -> Pool {
        self.pool_with(limits, |_| ())
    }

    /// Creates a NodePool after `change` to its object.
    pub(crate) fn pool_with(&'static self, limits: &Value, change: impl FnOnce(&mut Value)) -> Pool {
        let name = format!("pool-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let requirement = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
        let mut pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name},
            "spec": {
                "limits": limits,
                "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "3s", "budgets": [{"nodes": "100%"}]},
                "template": {
                    "metadata": {"labels": {"sbrun.dev/size": name}},
                    "spec": {
                        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                        "taints": [{"key": "sbrun.dev/size", "value": name, "effect": "NoSchedule"}],
                        "requirements": [requirement("karpenter.sh/capacity-type", "spot"), requirement("node.kubernetes.io/instance-type", INSTANCE_TYPE)],
                    },
                },
            },
        });
        change(&mut pool);
        self.cluster.apply(&pool);
        Pool { name }
    }
}

impl Pool {
    /// Returns the objects of a kind that carry the label of this pool: `nodes` or `nodeclaims`.
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let selector = format!("karpenter.sh/nodepool={}", self.name);
        let list = karpenter().cluster.kubectl_ok(&["get", kind, "-l", &selector, "-o", "json"]);
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
    }

    /// Writes an instance map whose one size, called as the pool, asks for `footprint` of it.
    pub(crate) fn map(&self, namespace: &Namespace, footprint: &str) {
        let name = &self.name;
        let toleration = format!("{{key: sbrun.dev/size, operator: Equal, value: {name}, effect: NoSchedule}}");
        self.map_with(namespace, footprint, &format!("node_selector: {{sbrun.dev/size: {name}}}\n    tolerations: [{toleration}]"));
    }

    /// Writes such a map with another placement.
    pub(crate) fn map_with(&self, namespace: &Namespace, footprint: &str, placement: &str) {
        let name = &self.name;
        let size = format!("  {name}:\n    node_pool: {name}\n    footprint: {{{footprint}}}\n    {placement}\n");
        namespace.sandbox.write("instance-map.yaml", format!("version: 1\ndefaults: {{image: 'python:3'}}\nsizes:\n{size}"));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seen = karpenter().cluster.kubectl(&["get", "nodepools,nodeclaims,nodes", "-o", "wide"], None);
            let events = karpenter().cluster.kubectl(&["get", "events", "-n", "default", "-o", "wide"], None);
            eprintln!("{}\n{}", String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&events.stdout));
        }
        drop(karpenter().cluster.kubectl(&["delete", "nodepool", &self.name, "--wait=false"], None));
    }
}
