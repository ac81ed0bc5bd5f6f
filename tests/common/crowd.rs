//! Many Jobs at once, and a server that lets only few requests in.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::cluster::{Namespace, eventually};

/// How many Jobs are created at the same time.
const AT_ONCE: usize = 16;

impl Namespace {
    /// Creates `count` Jobs like the one that this submission would make, several at a time, and returns their names in order.
    #[track_caller]
    pub(crate) fn crowd(&self, prefix: &str, count: usize, arguments: &[&str]) -> Vec<String> {
        self.sandbox.write("flow.py", "print('hello')\n");
        let list = self.sandbox.command([&["submit", "--dry-run", "-o", "json"], arguments, &["flow.py"]].concat()).exits(0).json();
        let job = list["items"].as_array().unwrap().iter().find(|item| item["kind"] == "Job").unwrap().clone();
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number:05}")).collect();
        let jobs = names.iter().map(|name| renamed(&job, name)).collect::<Vec<Job>>();
        let kubeconfig = Kubeconfig::read_from(self.cluster.kubeconfig()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            let api: Api<Job> = Api::namespaced(kube::Client::try_from(config).unwrap(), &self.name);
            let (api, parameters) = (&api, &PostParams::default());
            let created = stream::iter(&jobs).map(|job| async move { api.create(parameters, job).await.map(drop) });
            created.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.unwrap();
        });
        names
    }

    /// Waits until this many Jobs of the namespace are over.
    #[track_caller]
    pub(crate) fn until_over(&self, count: usize) {
        eventually("the end of all jobs", || self.over() >= count);
    }

    fn over(&self) -> usize {
        let ends = self.kubectl(&["get", "jobs", "-o", "jsonpath={range .items[*]}{.status.conditions[*].type}{\"\\n\"}{end}"]);
        ends.lines().filter(|line| line.split(' ').any(|kind| kind == "Complete" || kind == "Failed")).count()
    }

    /// Becomes a ServiceAccount that may do everything, of whom the API server takes no more than a few requests at once: more are
    /// answered with 429 and a second to wait. Returns its name for the audit log.
    #[track_caller]
    pub(crate) fn become_throttled(&mut self) -> String {
        let name = self.name.clone();
        let flow_control = "flowcontrol.apiserver.k8s.io/v1";
        self.cluster.apply(&json!({
            "apiVersion": flow_control, "kind": "PriorityLevelConfiguration", "metadata": {"name": name},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}},
        }));
        let account = json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": name, "name": "throttled"}});
        self.cluster.apply(&json!({
            "apiVersion": flow_control, "kind": "FlowSchema", "metadata": {"name": name},
            "spec": {
                "matchingPrecedence": 100,
                "priorityLevelConfiguration": {"name": name},
                "rules": [{"subjects": [account], "resourceRules": [{"verbs": ["delete"], "apiGroups": ["batch"], "resources": ["jobs"], "namespaces": ["*"]}]}],
            },
        }));
        self.become_administrator("throttled");
        format!("system:serviceaccount:{name}:throttled")
    }

    /// Becomes a ServiceAccount of this name that may do everything.
    #[track_caller]
    pub(crate) fn become_administrator(&mut self, account: &str) {
        let name = self.name.clone();
        self.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}));
        self.cluster.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("{name}-{account}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": name}],
        }));
        self.become_account(account);
    }

    /// Turns the sandbox's kubeconfig into that of a ServiceAccount of this namespace.
    #[track_caller]
    pub(crate) fn become_account(&mut self, account: &str) {
        let token = self.kubectl(&["create", "token", account, "--duration", "2h"]);
        let mut kubeconfig: Value = serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
        let path = self.sandbox.write(&format!("{account}.json"), kubeconfig.to_string());
        self.sandbox.set("KUBECONFIG", path.to_string_lossy());
    }
}

fn renamed(job: &Value, name: &str) -> Job {
    let mut job: Job = serde_json::from_value(job.clone()).unwrap();
    job.metadata.name = Some(name.to_owned());
    let run =
        |labels: &mut Option<BTreeMap<String, String>>| drop(labels.get_or_insert_default().insert("sbrun.dev/run-id".to_owned(), name.to_owned()));
    run(&mut job.metadata.labels);
    run(&mut job.spec.as_mut().unwrap().template.metadata.get_or_insert_default().labels);
    job
}

/// Returns the most of these requests of the audit log that were being answered at the same time.
pub(crate) fn most_at_once(requests: &[Value]) -> usize {
    let time = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let mut changes: Vec<(String, i32)> = Vec::new();
    for entry in requests {
        changes.push((time(entry, "requestReceivedTimestamp"), 1));
        changes.push((time(entry, "stageTimestamp"), -1));
    }
    changes.sort(); // of two at one moment the end comes first
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}
