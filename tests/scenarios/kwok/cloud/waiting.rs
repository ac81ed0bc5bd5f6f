//! Why no machine comes: each cause of a node group brought about, and what `why` makes of it.

use serde_json::{Value, json};

use crate::common::{
    cloud::{Cloud, CloudNamespace, Group, SIZE, cloud},
    cluster::{eventually, proves},
};

/// Returns a namespace whose map has these groups, and whose pods end by themselves.
fn namespace(groups: &[&Group]) -> CloudNamespace {
    let namespace = cloud().namespace();
    namespace.map_groups(groups);
    namespace.template(&json!({"kwok.test/run": "2s"}));
    namespace
}

/// Submits a job of a group's size.
#[track_caller]
fn submit(namespace: &CloudNamespace, group: &Group) -> String {
    namespace.submit(&["-s", &group.name, "--template", "template.json"])
}

/// Writes a map with this one size.
fn map(namespace: &CloudNamespace, group: &Group, footprint: &str, tolerations: &str) {
    let name = &group.name;
    namespace.sandbox.write(
        "instance-map.yaml",
        format!(
            "version: 1\ncluster: {{region: us-east-1, name: sbrun-test}}\ndefaults: {{image: \"python:3\"}}\nsizes:\n  {name}:\n    node_group: {name}\n    \
             footprint: {{{footprint}}}\n    node_selector: {{{SIZE}: {name}}}\n    tolerations: [{tolerations}]\n"
        ),
    );
}

fn phases(story: &Value) -> Vec<&str> {
    story["phases"].as_array().unwrap().iter().map(|start| start["phase"].as_str().unwrap()).collect()
}

#[test]
fn a_machine_is_followed_from_its_order_to_its_node() {
    let group = cloud().group("slow-boot", &json!({}));
    group.steer(&json!({"boot_seconds": 8}));
    let namespace = namespace(&[&group]);
    let name = submit(&namespace, &group);
    let story = namespace.why(&name, "Node.Booting");
    assert_eq!(story["phase"], "booting");
    let instance = group.describe()["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
    assert!(story["summary"].as_str().unwrap().contains(&instance), "{story:#}");
    namespace.sandbox.command(["wait", &name]).exits(0).success();
    let story = namespace.sandbox.command(["why", &name, "-o", "json"]).exits(0).json();
    assert_eq!(phases(&story), ["submitted", "pending", "scaling_up", "booting", "starting", "running", "finished"], "{story:#}");
    assert!(story["scale_up_seconds"].as_i64().unwrap() >= 8, "{story:#}");
    // The next one knows from it how long a machine usually takes.
    eventually("the machine's end", || group.nodes().is_empty());
    let story = namespace.why(&submit(&namespace, &group), "Node.Booting");
    assert!(story["usual_scale_up_seconds"].as_i64().unwrap() >= 8, "{story:#}");
}

#[test]
fn behind_a_group_at_its_maximum_there_is_a_queue() {
    let group = cloud().group("one-machine", &json!({"max": 1}));
    let namespace = namespace(&[&group]);
    map(&namespace, &group, "cpu: 3, memory: 4Gi", &format!("{{key: {SIZE}, operator: Exists}}"));
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let first = submit(&namespace, &group);
    eventually("the first to run", || namespace.objects("pods").iter().any(|pod| pod["status"]["phase"] == "Running"));
    namespace.template(&json!({"kwok.test/run": "2s"}));
    let second = submit(&namespace, &group);
    std::thread::sleep(std::time::Duration::from_millis(1100)); // times of creation are whole seconds
    let third = submit(&namespace, &group);
    let story = namespace.why(&third, "Queue.AtMaximum");
    assert_eq!((&story["phase"], &story["queue_place"], &story["queue_length"]), (&json!("queued"), &json!(2), &json!(2)), "{story:#}");
    assert!(story["next"].to_string().contains("--max-size 2"), "{story:#}");
    let text = namespace.sandbox.command(["why", &third]).exits(0).text();
    assert!(text.contains("2nd of 2 jobs that wait for this size"), "{text}");
    namespace.sandbox.command(["cancel", &first]).exits(0).success();
    namespace.sandbox.command(["wait", &second, &third]).exits(0).success();
    let story = namespace.sandbox.command(["why", &third, "-o", "json"]).exits(0).json();
    assert!(phases(&story).contains(&"queued"), "it waited for its turn: {story:#}");
}

#[test]
fn a_turn_that_does_not_come_in_time() {
    let group = cloud().group("no-turn", &json!({"max": 1}));
    let namespace = namespace(&[&group]);
    map(&namespace, &group, "cpu: 3, memory: 4Gi", &format!("{{key: {SIZE}, operator: Exists}}"));
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let first = submit(&namespace, &group);
    eventually("the first to run", || namespace.objects("pods").iter().any(|pod| pod["status"]["phase"] == "Running"));
    let second = ["submit", "-s", "no-turn", "--template", "template.json", "--queue-timeout", "3s", "-o", "json", "flow.py"];
    let report = namespace.sandbox.command(second).exits(75).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("no_node"), &json!("Timeout.Queue")), "{report:#}");
    proves(&report, "waited 3s; Queue.AtMaximum: node group `no-turn`", "sbrun sizes");
    namespace.sandbox.command(["cancel", &first]).exits(0).success();
}

#[test]
fn ten_jobs_for_five_machines_all_run() {
    let group = cloud().group("five-machines", &json!({"max": 5}));
    let namespace = namespace(&[&group]);
    map(&namespace, &group, "cpu: 3, memory: 4Gi", &format!("{{key: {SIZE}, operator: Exists}}"));
    namespace.template(&json!({"kwok.test/run": "5s"}));
    let names: Vec<String> = (0..10).map(|_| submit(&namespace, &group)).collect();
    let wait: Vec<&str> = ["wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let waiting = namespace.sandbox.start(&wait);
    let mut most = 0;
    eventually("all machines", || {
        most = most.max(group.nodes().len());
        most == 5
    });
    waiting.finish().exits(0).success();
    assert!(group.activities().iter().all(|activity| activity["StatusCode"] != "Failed"));
}

#[test]
fn a_suspended_launch_is_named_with_the_command_that_resumes_it() {
    let group = cloud().group("suspended", &json!({}));
    group.suspend("Launch");
    let namespace = namespace(&[&group]);
    let name = submit(&namespace, &group);
    let story = namespace.why(&name, "Capacity.LaunchSuspended");
    assert!(story["next"][0].as_str().unwrap().starts_with("aws autoscaling resume-processes"), "{story:#}");
    group.resume("Launch");
    namespace.sandbox.command(["wait", &name]).exits(0).success();
}

#[test]
fn a_machine_that_never_becomes_a_node() {
    let group = cloud().group("never-a-node", &json!({}));
    group.steer(&json!({"never_join": true}));
    let namespace = namespace(&[&group]);
    let name = submit(&namespace, &group);
    namespace.why(&name, "Node.Booting");
    let story = namespace.why(&name, "Node.NeverJoined");
    let told = story["evidence"].to_string();
    assert!(told.contains("ScaleUpTimedOut") || told.contains("DeleteUnregistered"), "{story:#}");
    assert!(story["next"].to_string().contains("boot log"), "{story:#}");
}

#[test]
fn without_access_to_the_account_a_back_off_is_still_told() {
    let group = cloud().group("backs-off", &json!({"spot": true}));
    group.steer(&json!({"failure": "spot-capacity"}));
    let namespace = namespace(&[&group]);
    namespace.refuse("access-denied", &json!({}));
    let name = submit(&namespace, &group);
    let story = namespace.why(&name, "ScaleUp.Backoff");
    assert!(story["unknown"].to_string().contains("DescribeAutoScalingGroups"), "what is not known, and why: {story:#}");
    assert!(story["evidence"].to_string().contains("placeholder-cannot-be-fulfilled"), "{story:#}");
}

#[test]
fn without_access_to_the_account_a_raise_is_told_until_its_machine_is_seen() {
    let group = cloud().group("raised", &json!({}));
    group.steer(&json!({"boot_seconds": 5}));
    let namespace = cloud().namespace_alone();
    namespace.map_groups(&[&group]);
    namespace.template(&json!({"kwok.test/run": "1s"}));
    namespace.refuse("access-denied", &json!({}));
    cloud().end_autoscaler();
    cloud().start_autoscaler_with(&["--group-refresh=1m"]); // as the real one: it does not see the machine that it asked for until then
    let name = submit(&namespace, &group);
    let mut story = namespace.why(&name, "ScaleUp.Triggered");
    // The status may show the group's new size a moment before the event says for which pod.
    while story["phase"] == "pending" {
        story = namespace.why(&name, "ScaleUp.Triggered");
    }
    assert_eq!(story["phase"], "scaling_up", "{story:#}");
    assert!(story["evidence"][0]["text"].as_str().unwrap().starts_with("pod triggered scale-up: [{raised 0->1 "), "{story:#}");
    namespace.sandbox.command(["wait", &name]).exits(0).success();
    cloud().end_autoscaler();
    cloud().start_autoscaler();
}

#[test]
fn a_group_that_the_autoscaler_does_not_discover() {
    let group = cloud().group("undiscovered", &json!({"cluster": ""}));
    let namespace = namespace(&[&group]);
    let name = submit(&namespace, &group);
    let story = namespace.why(&name, "ScaleUp.GroupNotDiscovered");
    assert!(story["next"][0].as_str().unwrap().contains("Key=k8s.io/cluster-autoscaler/enabled"), "{story:#}");
}

#[test]
fn a_group_at_0_whose_tags_do_not_promise_the_label() {
    let group = cloud().group("untagged", &json!({"labels": {}}));
    let namespace = namespace(&[&group]);
    let name = submit(&namespace, &group);
    let story = namespace.why(&name, "ScaleUp.TagsMissing");
    let command = story["next"][0].as_str().unwrap();
    assert!(command.contains("node-template/label/sbrun.dev/size,Value=untagged"), "{story:#}");
}

#[test]
fn a_group_whose_machines_carry_another_label() {
    let group = cloud().group("mislabelled", &json!({"labels": {SIZE: "large"}}));
    let namespace = namespace(&[&group]);
    let story = namespace.why(&submit(&namespace, &group), "Scheduling.NoSuchGroup");
    assert!(story["next"][0].as_str().unwrap().contains("node_selector: {sbrun.dev/size: large}"), "{story:#}");
}

#[test]
fn a_taint_of_the_groups_machines() {
    let group = cloud().group("team-only", &json!({}));
    let namespace = namespace(&[&group]);
    map(&namespace, &group, "cpu: 1, memory: 1Gi", "");
    let story = namespace.why(&submit(&namespace, &group), "Scheduling.Taint");
    assert!(story["next"][0].as_str().unwrap().contains("value: team-only"), "the toleration to add: {story:#}");
}

#[test]
fn a_job_that_no_machine_of_the_group_can_hold_is_rejected() {
    let group = cloud().group("too-small", &json!({}));
    let namespace = namespace(&[&group]);
    map(&namespace, &group, "cpu: 100, memory: 1Gi", &format!("{{key: {SIZE}, operator: Exists}}"));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "too-small", "-o", "json", "flow.py"]).exits(78);
    assert_eq!(output.json()["reason"], "Scheduling.NeverFits", "{output}");
    assert!(group.activities().is_empty(), "no machine was bought for it");
}

#[test]
fn a_group_that_does_not_exist() {
    let group = cloud().group("exists", &json!({}));
    let namespace = namespace(&[&group]);
    let text = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    namespace.sandbox.write("instance-map.yaml", text.replace("node_group: exists", "node_group: exits"));
    let story = namespace.why(&submit(&namespace, &group), "Scheduling.NoSuchGroup");
    assert!(story["summary"].as_str().unwrap().contains("`exits` does not exist"), "{story:#}");
}

#[test]
fn an_autoscaler_that_may_add_no_more_nodes() {
    static FULL: std::sync::OnceLock<Cloud> = std::sync::OnceLock::new();
    let full = FULL.get_or_init(|| Cloud::simulated(&["--scan-interval=1s", "--group-refresh=1s", "--max-nodes-total=1"]));
    full.cluster.node("always-on", "other", "4", "8Gi");
    let group = full.group("one-too-many", &json!({}));
    let namespace = full.namespace();
    namespace.map_groups(&[&group]);
    let story = namespace.why(&namespace.submit(&["-s", "one-too-many"]), "ScaleUp.TotalLimit");
    assert!(story["next"].to_string().contains("--max-nodes-total"), "{story:#}");
}

#[test]
fn an_autoscaler_that_is_down() {
    let group = cloud().group("nobody-home", &json!({}));
    let namespace = cloud().namespace_alone();
    namespace.map_groups(&[&group]);
    cloud().end_autoscaler();
    let kubectl = |arguments: &[&str]| cloud().cluster.kubectl_ok(&[&["-n", "kube-system"], arguments].concat());
    let name = namespace.submit(&["-s", "nobody-home"]);
    // It counts as down when it has been silent for three minutes; its last word is made as old as that.
    let old = "cluster-autoscaler.kubernetes.io/last-updated=2026-01-02 03:04:05.6 +0000 UTC";
    kubectl(&["annotate", "--overwrite", "configmap", "cluster-autoscaler-status", old]);
    kubectl(&[
        "patch",
        "configmap",
        "cluster-autoscaler-status",
        "--type=json",
        "-p",
        r#"[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]"#,
    ]);
    let story = namespace.why(&name, "ScaleUp.AutoscalerDown");
    assert!(story["next"][0].as_str().unwrap().contains("autoscaler"), "{story:#}");
    kubectl(&["delete", "configmap", "cluster-autoscaler-status"]);
    let story = namespace.why(&name, "ScaleUp.AutoscalerDown");
    assert!(story["evidence"].to_string().contains("does not exist"), "{story:#}");
    cloud().start_autoscaler();
    namespace.sandbox.command(["wait", &name]).exits(0).success();
}

#[test]
fn an_autoscaler_that_says_nothing_about_the_pod() {
    let group = cloud().group("silence", &json!({}));
    let namespace = namespace(&[&group]);
    // The real one passes over pods below its cut-off of -10, without a word.
    cloud().cluster.apply(&json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "expendable"}, "value": -11,
    }));
    let template = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"priorityClassName": "expendable"}}}});
    namespace.sandbox.write("template.json", template.to_string());
    let name = submit(&namespace, &group);
    namespace.why(&name, "Scheduling.Waiting");
    let story = namespace.why(&name, "ScaleUp.Unexplained");
    assert!(story["next"].to_string().contains("sbrun doctor"), "{story:#}");
    assert!(story["unknown"].to_string().contains("no autoscaler has said anything"), "{story:#}");
}

#[test]
fn a_node_that_is_being_set_up() {
    let group = cloud().group("set-up", &json!({}));
    group.steer(&json!({"start_up_taints": {"startup-taint.cluster-autoscaler.kubernetes.io/cni": "true:NoSchedule"}}));
    let namespace = namespace(&[&group]);
    let story = namespace.why(&submit(&namespace, &group), "Node.StartupTaint");
    assert_eq!(story["phase"], "booting", "{story:#}");
}
