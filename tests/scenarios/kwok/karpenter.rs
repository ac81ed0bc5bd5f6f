//! NodePools of the real Karpenter: machines from 0 and back, and why a job waits for one.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, proves},
    karpenter::{Pool, karpenter},
};

/// Returns a namespace with a flow and a template by which pods run for this long.
fn namespace(run: &str) -> Namespace {
    let namespace = karpenter().cluster.namespace();
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace.template(&json!({"kwok.test/run": run, "kwok.test/log": "hello from the pool\n"}));
    namespace
}

/// Submits detached to the size of this pool and returns the name.
fn submit(namespace: &Namespace, pool: &Pool) -> String {
    let submit = ["submit", "-d", "-o", "name", "-s", &pool.name, "--template", "template.json", "flow.py"];
    namespace.sandbox.command(submit).exits(0).text().trim().to_owned()
}

#[test]
fn from_zero_and_back() {
    let pool = karpenter().pool(&json!({"cpu": 8}));
    let namespace = namespace("5s");
    pool.map(&namespace, "cpu: 2, memory: 4Gi");
    assert_eq!(pool.objects("nodes"), Vec::<Value>::new());
    let mut running = namespace.sandbox.start(["submit", "-s", &pool.name, "--template", "template.json", "flow.py"]);
    eventually("a machine", || pool.objects("nodeclaims").len() == 1);
    running.until("running");
    let nodes = pool.objects("nodes");
    let pods = namespace.objects("pods");
    assert_eq!((nodes.len(), pods.len()), (1, 1));
    assert_eq!(pods[0]["spec"]["nodeName"], nodes[0]["metadata"]["name"]);
    let output = running.finish().exits(0);
    assert_eq!(output.text(), "hello from the pool\n");
    eventually("the node's end", || pool.objects("nodes").is_empty() && pool.objects("nodeclaims").is_empty());
    let job = &namespace.objects("jobs")[0];
    assert_eq!(job["status"]["succeeded"], 1, "the node's end takes nothing from the record: {job:#}");
}

#[test]
fn a_pool_at_its_limit_makes_a_queue() {
    let pool = karpenter().pool(&json!({"cpu": 8}));
    let namespace = namespace("20s");
    pool.map(&namespace, "cpu: 3, memory: 4Gi"); // one job for each machine of 4 CPUs, and two machines within the limit
    let first = [submit(&namespace, &pool), submit(&namespace, &pool)];
    eventually("two running jobs", || namespace.objects("pods").iter().filter(|pod| pod["status"]["phase"] == "Running").count() == 2);
    let third = submit(&namespace, &pool);
    let story = namespace.why(&third, "Queue.AtMaximum");
    assert_eq!((&story["phase"], &story["outcome"]), (&json!("queued"), &Value::Null), "it waits for its turn: {story:#}");
    assert!(story["evidence"].to_string().contains(&pool.name), "{story:#}");
    for name in first.iter().chain([&third]) {
        drop(namespace.sandbox.command(["wait", name]).exits(0));
    }
}

#[test]
fn a_job_that_fits_no_machine_of_the_pool_is_rejected() {
    let _other = karpenter().pool(&json!({"cpu": 8})); // its taint is in Karpenter's words, too
    let pool = karpenter().pool(&json!({"cpu": 400}));
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 100, memory: 4Gi");
    let submit = ["submit", "-s", &pool.name, "-o", "json", "--template", "template.json", "flow.py"];
    let output = namespace.sandbox.command(submit).exits(78).says(&["100 CPUs", &pool.name]);
    assert_eq!(output.json()["reason"], "Scheduling.NeverFits", "{output}");
    assert_eq!(pool.objects("nodeclaims"), Vec::<Value>::new());
}

#[test]
fn a_job_larger_than_the_whole_limit_is_no_queue() {
    let pool = karpenter().pool(&json!({"cpu": 2}));
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 3, memory: 4Gi");
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "Scheduling.NeverFits");
    assert!(story["evidence"].to_string().contains("limit"), "{story:#}");
    assert_ne!(story["phase"], "queued", "no turn of its will ever come: {story:#}");
}

#[test]
fn the_taint_of_the_pool_is_named() {
    let _other = karpenter().pool(&json!({"cpu": 8}));
    let pool = karpenter().pool(&json!({"cpu": 8}));
    let namespace = namespace("1s");
    pool.map_with(&namespace, "cpu: 1, memory: 1Gi", &format!("node_selector: {{sbrun.dev/size: {}}}\n    tolerations: []", pool.name));
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "Scheduling.Taint");
    assert!(story["next"].to_string().contains(&format!("value: {}", pool.name)), "the toleration to add: {story:#}");
}

#[test]
fn a_label_that_the_pool_does_not_give_is_named() {
    let pool = karpenter().pool(&json!({"cpu": 8}));
    let namespace = namespace("1s");
    let toleration = format!("{{key: sbrun.dev/size, operator: Equal, value: {}, effect: NoSchedule}}", pool.name);
    // Tolerated or not: Karpenter looks at taints first, and speaks of those only.
    for tolerations in [toleration.as_str(), ""] {
        let placement = format!("node_selector: {{sbrun.dev/size: nowhere}}\n    tolerations: [{tolerations}]");
        pool.map_with(&namespace, "cpu: 1, memory: 1Gi", &placement);
        let name = submit(&namespace, &pool);
        let story = namespace.why(&name, "Scheduling.NoSuchGroup");
        assert!(story.to_string().contains(&format!("sbrun.dev/size={}", pool.name)), "what the pool gives: {story:#}");
        drop(namespace.sandbox.command(["cancel", &name]).exits(0));
    }
}

#[test]
fn no_machine_is_to_be_had() {
    let words = "with fleet error(s), UnfulfillableCapacity: Unable to fulfill capacity due to your request configuration";
    let pool = karpenter().pool_with(&json!({"cpu": 8}), |pool| {
        pool["spec"]["template"]["metadata"]["annotations"] = json!({"sbrun.test/no-capacity": words});
    });
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 1, memory: 1Gi");
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "Capacity.Spot");
    assert!(story["evidence"].to_string().contains("UnfulfillableCapacity"), "the cloud's words: {story:#}");
    // By now Karpenter does not even try, and says of the pod only that other pools do not want it.
    std::thread::sleep(std::time::Duration::from_secs(8));
    namespace.why(&name, "Capacity.Spot");
    let mend = json!([{"op": "remove", "path": "/spec/template/metadata/annotations"}]).to_string();
    karpenter().cluster.kubectl_ok(&["patch", "nodepool", &pool.name, "--type=json", "-p", &mend]);
    drop(namespace.sandbox.command(["wait", &name]).exits(0));
}

#[test]
fn a_launch_that_the_cloud_refuses() {
    let words = "UnauthorizedOperation: you are not authorized to use this launch template";
    let pool = karpenter().pool_with(&json!({"cpu": 8}), |pool| {
        pool["spec"]["template"]["metadata"]["annotations"] = json!({"sbrun.test/launch-refused": words});
    });
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 1, memory: 1Gi");
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "Capacity.LaunchConfiguration");
    assert!(story["evidence"].to_string().contains("UnauthorizedOperation"), "the cloud's words: {story:#}");
    assert_eq!(story["phase"], "scaling_up", "nothing boots: {story:#}");
    // Until this claim is launched or given up, Karpenter decides about no other pod of the cluster.
    let bystander = karpenter().pool(&json!({"cpu": 8}));
    bystander.map(&namespace, "cpu: 1, memory: 1Gi");
    let name = submit(&namespace, &bystander);
    let story = namespace.why(&name, "ScaleUp.AutoscalerDown");
    assert!(story["summary"].as_str().unwrap().contains(&pool.name), "the pool that holds it up: {story:#}");
    drop(pool);
    drop(namespace.sandbox.command(["wait", &name]).exits(0));
}

#[test]
fn a_pool_whose_node_class_does_not_exist() {
    let pool = karpenter().pool_with(&json!({"cpu": 8}), |pool| pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] = json!("nowhere"));
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 1, memory: 1Gi");
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "ScaleUp.PoolNotReady");
    proves(&story, "NodeClass", &format!("kubectl describe nodepool {}", pool.name));
}

#[test]
fn a_machine_that_boots() {
    let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "slow"},
                       "spec": {"nodeRegistrationDelay": "15s"}});
    karpenter().cluster.apply(&class);
    let pool = karpenter().pool_with(&json!({"cpu": 8}), |pool| pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] = json!("slow"));
    let namespace = namespace("1s");
    pool.map(&namespace, "cpu: 1, memory: 1Gi");
    let name = submit(&namespace, &pool);
    let story = namespace.why(&name, "Node.Booting");
    assert!(story["evidence"].to_string().contains("Launched"), "{story:#}");
    drop(namespace.sandbox.command(["wait", &name]).exits(0));
}
