//! A namespace that `sbrun setup` made: what it admits, what it refuses, and who may do what in it. On the real API server.

use std::collections::BTreeSet;

use sbrun::model::access::{self, Right};
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    sandbox::noise,
};

/// Every kind of placement: built in, none but a selector, a shared label with a taint, and what a template adds.
const MAP: &str = "version: 1
defaults: {image: 'python:3', service_account: flows}
sizes:
  small: {footprint: {cpu: 100m, memory: 128Mi}}
  plain: {footprint: {cpu: 100m, memory: 128Mi}, node_selector: {sbrun.dev/size: small}, tolerations: []}
  spot:
    footprint: {cpu: 100m, memory: 128Mi}
    node_selector: {workload: spot, zone: a}
    tolerations: [{key: workload, operator: Equal, value: spot, effect: NoSchedule}]
    infrastructure_retries: 2
  moved: {footprint: {cpu: 100m, memory: 128Mi}}
  templated: {footprint: {cpu: 100m, memory: 128Mi}, template: job.json}
";

/// What the template of size `templated` adds.
fn template() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "disk", "operator": "Exists"}],
        "initContainers": [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "sidecar", "image": "sidecar"}],
    }}}})
}

/// Returns a namespace with a map, which nobody has set up yet.
fn namespace() -> Namespace {
    let cluster = kwok();
    cluster.node("small-1", "small", "8", "32Gi");
    let namespace = cluster.namespace();
    namespace.sandbox.write("instance-map.yaml", MAP);
    namespace.sandbox.write("job.json", template().to_string());
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

/// Returns a namespace that was set up, and whose policy is in force.
fn set_up(arguments: &[&str]) -> Namespace {
    let namespace = namespace();
    drop(namespace.sandbox.command([&["setup", "--apply", "--yes"], arguments].concat()).exits(0));
    await_policy(&namespace);
    namespace
}

/// The API server takes a moment to take note of a policy.
fn await_policy(namespace: &Namespace) {
    eventually("the policy", || !create(namespace, &json!({"metadata": {"name": "probe"}, "spec": {"template": {"spec": {}}}}), true).is_empty());
}

/// Returns a Job that keeps all rules, as somebody writes it who does not use sbrun.
fn job(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}},
                "spec": {"nodeSelector": {"sbrun.dev/size": "small"}, "tolerations": [{"key": "sbrun.dev/size", "value": "small"}]},
            },
        },
    })
}

/// Creates a Job with kubectl and returns what the admission policy says against it; empty when it is admitted.
#[track_caller]
fn create(namespace: &Namespace, job: &Value, dry_run: bool) -> String {
    let mut job = job.clone();
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    let pod = &mut job["spec"]["template"]["spec"];
    if pod["restartPolicy"].is_null() {
        pod["restartPolicy"] = json!("Never");
    }
    if pod["containers"].is_null() {
        pod["containers"] = json!([{"name": "main", "image": "x"}]);
    }
    let server = ["create", "-n", &namespace.name, "-f", "-", "--dry-run=server"];
    let arguments = if dry_run { &server[..] } else { &server[..5] };
    let output = namespace.cluster.kubectl(arguments, Some(&job.to_string()));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return String::new();
    }
    let (_, said) = words.split_once("denied request: ").unwrap_or_else(|| panic!("refused by something else: {words}\n{job:#}"));
    said.trim().to_owned()
}

#[test]
fn a_namespace_is_made_once_and_shown_before() {
    let mut namespace = namespace();
    let fresh = format!("{}-fresh", namespace.name);
    namespace.sandbox.set("SBRUN_NAMESPACE", &fresh);
    let setup = |arguments: &[&str]| namespace.sandbox.command([&["setup"], arguments].concat());
    let exists = || namespace.cluster.kubectl(&["get", "namespace", &fresh], None).status.success();

    let diff = setup(&["--diff"]).exits(1);
    assert!(
        diff.text().contains(&format!("+++ next/namespace/{fresh}")) && diff.text().contains("+    pod-security.kubernetes.io/enforce: restricted")
    );
    drop(setup(&["--apply"]).exits(2).says(&["--yes", "--diff", "to create"]));
    assert!(!exists(), "nothing is applied without an answer");

    let applied = setup(&["--apply", "--yes", "-o", "json"]).exits(0).json();
    assert_eq!(applied["applied"], true);
    assert!(exists());
    let again = setup(&["--apply"]).exits(0).says(&["nothing to change"]);
    assert!(again.stdout.is_empty(), "no question, nothing done: {again}");
    drop(setup(&["--diff"]).exits(0));

    namespace.cluster.kubectl_ok(&["label", "namespace", &fresh, "pod-security.kubernetes.io/enforce=baseline", "--overwrite"]);
    let changed = setup(&["--diff"]).exits(1);
    assert!(
        changed.text().contains("-    pod-security.kubernetes.io/enforce: baseline\n+    pod-security.kubernetes.io/enforce: restricted"),
        "{changed}"
    );
    drop(setup(&["--apply", "--yes"]).exits(78).says(&["namespace/", "kubectl-label", "--force-conflicts"]));
    drop(setup(&["--apply", "--yes", "--force-conflicts"]).exits(0));

    // What is printed is what kubectl takes, and the same.
    let printed = setup(&[]).exits(0).text();
    let arguments = ["apply", "--server-side", "--field-manager=sbrun-setup", "-f", "-"];
    let output = namespace.cluster.kubectl(&arguments, Some(&printed));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(setup(&["--diff"]).exits(0));
    let list = setup(&["-o", "json"]).exits(0).json();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), printed.matches("\n---\n").count() + 1));
    eventually("the type check of the policy", || {
        let status = namespace.cluster.kubectl_ok(&["get", "validatingadmissionpolicy", &format!("sbrun-{fresh}"), "-o", "jsonpath={.status}"]);
        assert!(!status.contains("expressionWarnings"), "{status}");
        status.contains("typeChecking")
    });
    namespace.cluster.kubectl_ok(&["delete", "namespace", &fresh, "--wait=false"]);
}

#[test]
fn all_that_sbrun_makes_is_admitted() {
    let mut namespace = set_up(&[]);
    let dry_run = |arguments: &[&str]| drop(namespace.sandbox.command([&["submit", "--dry-run=server"], arguments, &["flow.py"]].concat()).exits(0));
    for size in ["small", "plain", "spot", "templated"] {
        dry_run(&["-s", size]);
        dry_run(&["-s", size, "--infrastructure-retries", "3", "--cpu", "50m", "--key", "k"]);
    }
    // A template of one's own may narrow the choice of machines.
    namespace.sandbox.write(
        "zone.json",
        json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"nodeSelector": {"zone": "b"}}}}}).to_string(),
    );
    dry_run(&["-s", "small", "--template", "zone.json"]);
    // But it may not open others: `Exists` without a key tolerates the taint of a node that is going.
    namespace.sandbox.write(
        "any.json",
        json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}}}).to_string(),
    );
    let refused = namespace.sandbox.command(["submit", "-s", "small", "--template", "any.json", "flow.py"]).exits(78);
    drop(refused.says(&["admission policy", "a Job runs on the machines of one size", "sbrun setup policy --apply"]));

    namespace.template(&json!({"kwok.test/run": "200ms", "kwok.test/log": "hello\n"}));
    let follow =
        |arguments: &[&str]| namespace.sandbox.command([&["submit", "-s", "small", "--template", "template.json"], arguments, &["flow.py"]].concat());
    assert_eq!(follow(&[]).exits(0).text(), "hello\n");
    drop(follow(&["--on-interrupt", "cancel", "--lease", "10s"]).exits(0)); // the deadline is pushed forward
    namespace.sandbox.write("noise.txt", noise(400_000)); // ConfigMaps: created suspended, then started
    namespace.sandbox.set("TOKEN", "secret value");
    let follow =
        |arguments: &[&str]| namespace.sandbox.command([&["submit", "-s", "small", "--template", "template.json"], arguments, &["flow.py"]].concat());
    drop(follow(&["--secret", "TOKEN"]).exits(0));
}

#[test]
fn every_rule_is_kept_whoever_creates_the_job() {
    let namespace = set_up(&[]);
    assert_eq!(create(&namespace, &job("right"), false), "");
    let disruptions =
        |count: &Value, fail: &Value| json!({"rules": [{"action": "Count", "onPodConditions": count}, {"action": "FailJob", "onExitCodes": fail}]});
    let lost = json!([{"type": "DisruptionTarget", "status": "True"}]);
    let any_code = json!({"operator": "NotIn", "values": [0]});
    for (what, pointer, value) in [
        ("retries of lost pods alone", "/spec", json!({"backoffLimit": 2, "podFailurePolicy": disruptions(&lost, &any_code)})),
        ("more labels of the same machines", "/spec/template/spec/nodeSelector", json!({"zone": "b"})),
        (
            "another size",
            "/spec/template/spec",
            json!({"nodeSelector": {"workload": "spot", "zone": "a"}, "tolerations": [{"key": "workload", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}]}),
        ),
        ("fewer tolerations", "/spec/template/spec", json!({"tolerations": []})),
    ] {
        assert_eq!(create(&namespace, &changed(pointer, &value), true), "", "{what}");
    }
    let not_kubernetes = "retries have one owner";
    let one_size = "a Job runs on the machines of one size";
    let keep = "an autoscaler must leave the node of a running flow alone";
    for (what, pointer, value, said) in [
        ("restarts", "/spec/template/spec", json!({"restartPolicy": "OnFailure"}), "set `restartPolicy: Never`"),
        ("retries", "/spec", json!({"backoffLimit": 3}), not_kubernetes),
        ("Kubernetes' own default", "/spec", json!({"backoffLimit": null}), not_kubernetes),
        (
            "retries of a flow's failure",
            "/spec",
            json!({"backoffLimit": 2, "podFailurePolicy": disruptions(&lost, &json!({"operator": "In", "values": [1]}))}),
            not_kubernetes,
        ),
        (
            "retries of another condition",
            "/spec",
            json!({"backoffLimit": 2, "podFailurePolicy": disruptions(&json!([{"type": "Ready", "status": "False"}]), &any_code)}),
            not_kubernetes,
        ),
        ("retries without end", "/spec", json!({"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": lost}]}}), not_kubernetes),
        ("retries of an index", "/spec", json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1}), not_kubernetes),
        ("no annotations", "/spec/template", json!({"metadata": {"annotations": null}}), keep),
        ("the wrong annotation", "/spec/template/metadata/annotations", json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}), keep),
        ("only one annotation", "/spec/template/metadata/annotations", json!({"karpenter.sh/do-not-disrupt": null}), keep),
        ("no selector", "/spec/template/spec", json!({"nodeSelector": null}), one_size),
        ("no size's selector", "/spec/template/spec/nodeSelector", json!({"sbrun.dev/size": "huge"}), one_size),
        ("half a selector", "/spec/template/spec", json!({"nodeSelector": {"workload": "spot"}, "tolerations": []}), one_size),
        (
            "another size's toleration",
            "/spec/template/spec",
            json!({"tolerations": [{"key": "workload", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}]}),
            one_size,
        ),
        ("a wider toleration", "/spec/template/spec", json!({"tolerations": [{"key": "sbrun.dev/size", "operator": "Exists"}]}), one_size),
        ("every taint", "/spec/template/spec", json!({"tolerations": [{"operator": "Exists"}]}), one_size),
        ("past the scheduler", "/spec/template/spec", json!({"nodeName": "small-1"}), "leave `nodeName` out"),
    ] {
        let refusal = create(&namespace, &changed(pointer, &value), false);
        assert!(refusal.contains(said), "{what}: {refusal}");
        assert_eq!(refusal.matches("; ").count(), 0, "{what} is one problem: {refusal}");
    }
    let everything =
        create(&namespace, &json!({"metadata": {"name": "wrong"}, "spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}), false);
    for said in ["restartPolicy: Never", not_kubernetes, keep, one_size] {
        assert!(everything.contains(said), "{said}: {everything}");
    }
    assert!(
        everything.contains("nodeSelector [sbrun.dev/size=small]") && everything.contains("where this one has nodeSelector [] and tolerations []"),
        "{everything}"
    );

    // Jobs of a CronJob and of a worker are Jobs, too.
    let mut cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": {"schedule": "* * * * *"}});
    cron["spec"]["jobTemplate"] = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}});
    namespace.apply(cron);
    let output = namespace.cluster.kubectl(&["-n", &namespace.name, "create", "job", "by-hand", "--from=cronjob/cron"], None);
    assert!(String::from_utf8_lossy(&output.stderr).contains(not_kubernetes), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(namespace.objects("jobs").len(), 1, "only the right one");
}

/// Returns the right Job with some fields set; `null` removes one.
fn changed(pointer: &str, fields: &Value) -> Value {
    let mut job = job("changed");
    let target = job.pointer_mut(pointer).unwrap();
    for (field, value) in fields.as_object().unwrap() {
        if value.is_null() { drop(target.as_object_mut().unwrap().remove(field)) } else { target[field] = value.clone() }
    }
    job
}

#[test]
fn what_is_there_may_be_changed_and_ended_but_not_against_the_rules() {
    let namespace = namespace();
    // Before the policy: it breaks every rule, and it must be able to end and to go.
    let pod = json!({"restartPolicy": "Never", "nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "x"}]});
    namespace.apply(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "older"}, "spec": {"template": {"spec": pod}}}));
    drop(namespace.sandbox.command(["setup", "--apply", "--yes"]).exits(0));
    await_policy(&namespace);
    namespace.kubectl(&["label", "job", "older", "team=data"]);
    namespace.kubectl(&["patch", "job", "older", "--type=merge", "-p", r#"{"spec": {"suspend": true}}"#]);
    eventually("the controller's word", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Suspended"));
    namespace.kubectl(&["patch", "job", "older", "--type=merge", "-p", r#"{"spec": {"suspend": false, "activeDeadlineSeconds": 1}}"#]);
    eventually("its end", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Failed"));
    namespace.kubectl(&["delete", "job", "older"]);

    let mut suspended = job("suspended");
    suspended["spec"]["suspend"] = json!(true);
    assert_eq!(create(&namespace, &suspended, false), "");
    let patch = |patch: Value| {
        namespace.cluster.kubectl(&["-n", &namespace.name, "patch", "job", "suspended", "--type=merge", "-p", &patch.to_string()], None)
    };
    let refused = |change: Value, said: &str| {
        let output = patch(change.clone());
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(said), "{change}: {words}");
    };
    // While it is suspended, even the pod template may change: a queueing controller does that.
    refused(json!({"spec": {"template": {"spec": {"nodeSelector": {"sbrun.dev/size": "huge"}}}}}), "a Job runs on the machines of one size");
    refused(json!({"spec": {"template": {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": null}}}}}), "an autoscaler must leave");
    refused(json!({"spec": {"backoffLimit": 3}}), "retries have one owner");
    assert!(patch(json!({"spec": {"template": {"spec": {"nodeSelector": {"zone": "b"}}}}})).status.success());
    assert!(patch(json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"suspend": false, "activeDeadlineSeconds": 1}})).status.success());
}

/// Turns the sandbox's kubeconfig into that of a ServiceAccount.
fn become_account(namespace: &mut Namespace, of: &str, account: &str) {
    let token = namespace.cluster.kubectl_ok(&["-n", of, "create", "token", account]);
    let mut kubeconfig: Value = serde_json::from_str(&namespace.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = namespace.sandbox.write("account.json", kubeconfig.to_string());
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
}

#[test]
fn a_user_may_do_all_that_sbrun_does_and_nothing_else() {
    let people = kwok().namespace();
    people.kubectl(&["create", "serviceaccount", "ana"]);
    let group = format!("system:serviceaccounts:{}", people.name); // every account of that namespace is in it
    let mut namespace = set_up(&["--user-group", &group]);
    drop(namespace.sandbox.command(["setup", "map", "--apply", "--yes"]).exits(0));
    std::fs::remove_file(namespace.sandbox.path("instance-map.yaml")).unwrap(); // from here on, the map is the cluster's
    namespace.apply(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    become_account(&mut namespace, &people.name, "ana");
    let user = format!("system:serviceaccount:{}:ana", people.name);

    do_everything(&mut namespace);

    let requests = namespace.cluster.audited(|entry| entry["user"]["username"] == json!(user));
    let (forbidden, requests): (Vec<Value>, Vec<Value>) = requests.into_iter().partition(|entry| entry["responseStatus"]["code"] == 403);
    let of_prefect = ["rolebindings", "subjectaccessreviews"]; // asked for only where the map has a work pool
    let doctor: BTreeSet<(String, String)> =
        access::INSPECTION.iter().filter(|right| !of_prefect.contains(&right.resource)).flat_map(|right| pairs(right, right.verbs)).collect();
    assert_eq!(forbidden.iter().map(verb_and_resource).collect::<BTreeSet<_>>(), doctor, "only `doctor` asks for what nobody granted");
    let asked = |place: &Value| -> BTreeSet<(String, String)> {
        // Everybody may ask for the version, for what there is, and about themselves.
        let open = |entry: &Value| entry["objectRef"].is_null() || entry["objectRef"]["resource"].to_string().contains("selfsubject");
        let about = |entry: &&Value| entry["objectRef"]["namespace"] == *place && !open(entry);
        requests.iter().filter(about).map(verb_and_resource).collect()
    };
    let granted = |rights: &[Right]| -> BTreeSet<(String, String)> {
        rights.iter().flat_map(|right| [pairs(right, right.verbs), pairs(right, right.advised)]).flatten().collect()
    };
    let of_autoscaler =
        |entry: &&Value| entry["objectRef"]["namespace"] == access::AUTOSCALER_NAMESPACE && entry["objectRef"]["resource"] == "configmaps";
    let names: BTreeSet<Option<&str>> = requests.iter().filter(of_autoscaler).map(|entry| entry["objectRef"]["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from([Some("cluster-autoscaler-status")]), "no other ConfigMap of that namespace");
    assert_eq!(asked(&json!(namespace.name)), granted(access::JOBS), "left what was used, right what is allowed");
    assert_eq!(asked(&json!(access::AUTOSCALER_NAMESPACE)), granted(access::AUTOSCALER));
    assert_eq!(asked(&json!(access::NODE_EVENTS_NAMESPACE)), granted(access::NODE_EVENTS));
    let mut machines = granted(access::NODES);
    machines.remove(&("list".to_owned(), "nodeclaims".to_owned())); // asked for only where there are node pools, and this cluster has no Karpenter
    assert_eq!(asked(&Value::Null), machines);

    for (verb, resource) in [
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("update", "jobs"),
        ("deletecollection", "jobs"),
        ("list", "secrets"),
        ("list", "configmaps"),
        ("update", "secrets"),
        ("patch", "configmaps"),
        ("create", "serviceaccounts"),
        ("create", "serviceaccounts/token"),
        ("create", "rolebindings"),
        ("update", "namespaces"),
        ("create", "cronjobs"),
        ("delete", "events"),
    ] {
        let output = namespace.cluster.kubectl(&["-n", &namespace.name, "auth", "can-i", verb, resource, "--as", &user, "--as-group", &group], None);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "no", "{verb} {resource}");
    }
}

/// Runs every command in every way that makes requests of another kind.
fn do_everything(namespace: &mut Namespace) {
    namespace.template(&json!({"kwok.test/run": "300ms", "kwok.test/log": "hello\n"}));
    let run = |namespace: &Namespace, arguments: &[&str]| namespace.sandbox.command(arguments).exits(0).text().trim().to_owned();
    let submit =
        |namespace: &Namespace, arguments: &[&str]| run(namespace, &[&["submit", "-s", "small", "-o", "name"], arguments, &["flow.py"]].concat());
    let first = submit(namespace, &["--template", "template.json"]);
    run(namespace, &["logs", &first]);
    run(namespace, &["why", &first]);
    run(namespace, &["rerun", &first, "-d"]);
    run(namespace, &["sizes"]);
    // Values of secrets and large packages: a Secret and ConfigMaps, and what an earlier Job of the same name left of both.
    namespace.sandbox.set("TOKEN", "secret value");
    namespace.sandbox.write("noise.txt", noise(400_000));
    let large = ["--template", "template.json", "--secret", "TOKEN", "--key", "k"];
    let named = submit(namespace, &[&["--dry-run=server"], &large[..]].concat());
    for (kind, name) in [("Secret", named.clone()), ("ConfigMap", format!("{named}-0"))] {
        namespace.apply(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "sbrun"}}}));
    }
    assert_eq!(submit(namespace, &large), named);
    run(namespace, &["rerun", &named, "-d"]);
    // What does not start: its events, quotas and machines are looked at; what it refers to is checked before.
    let claim = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}}});
    namespace.sandbox.write("claim.json", claim.to_string());
    let waiting = submit(namespace, &["-d", "--template", "claim.json"]);
    run(namespace, &["why", &waiting]);
    drop(namespace.sandbox.command(["submit", "-s", "small", "--secret", "A=missing/key", "flow.py"]).exits(78).says(&["missing"]));
    // A job whose node is of another size by now: it is looked at by its name.
    kwok().node("moved-1", "moved", "4", "8Gi");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let moved = run(namespace, &["submit", "-s", "moved", "-d", "-o", "name", "--template", "template.json", "flow.py"]);
    eventually("the pod", || run(namespace, &["why", &moved, "-o", "json"]).contains("\"running\""));
    kwok().kubectl_ok(&["label", "node", "moved-1", "sbrun.dev/size=other", "--overwrite"]);
    run(namespace, &["why", &moved]);
    // And one that is lost: what became of its machine.
    kwok().kubectl_ok(&["taint", "node", "moved-1", "maintenance=now:NoExecute"]);
    drop(namespace.sandbox.command(["wait", &moved]).exits(75));
    run(namespace, &["nodes"]);
    run(namespace, &["list"]);
    run(namespace, &["cancel", &waiting, "--wait"]);
    eventually("the removal", || !run(namespace, &["clean", "-o", "name"]).is_empty());
    inspect(namespace);
}

/// What only looks: `doctor` at all that a size can refer to, the less usual ways to list, and the `kubectl` that `why` advises.
fn inspect(namespace: &Namespace) {
    let pod = json!({"priorityClassName": "high", "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "bound"}}]});
    let template = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}});
    namespace.sandbox.write("doctor.json", template.to_string());
    namespace
        .sandbox
        .write("doctor.yaml", "version: 1\ndefaults: {image: x}\nsizes:\n  small: {footprint: {cpu: 100m, memory: 128Mi}, template: doctor.json}\n");
    namespace.apply(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "bound"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}}}));
    drop(namespace.sandbox.command(["doctor", "--map", "doctor.yaml"]));
    for arguments in [
        &["nodes", "--history", "1h"][..],
        &["list", "--all", "--mine", "--state", "finished"],
        &["clean", "--dry-run", "--state", "failed"],
        &["config"],
        &["version"],
    ] {
        drop(namespace.sandbox.command(arguments).exits(0));
    }
    let kubeconfig = namespace.sandbox.path("account.json");
    let kubectl = ["--kubeconfig", kubeconfig.to_str().unwrap(), "-n", &namespace.name, "describe"];
    let job = namespace.sandbox.command(["submit", "-s", "small", "-d", "-o", "name", "flow.py"]).exits(0).text().trim().to_owned();
    let pod = || namespace.kubectl(&["get", "pods", "-l", &format!("job-name={job}"), "-o", "jsonpath={.items[*].metadata.name}"]);
    eventually("its pod", || !pod().is_empty());
    let pod = pod();
    namespace.apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "roomy"}, "spec": {"hard": {"pods": "1000"}}}));
    for object in [["job", &job], ["pod", &pod], ["quota", "roomy"]] {
        namespace.cluster.kubectl_ok(&[&kubectl[..], &object].concat());
    }
}

fn pairs(right: &Right, verbs: &[&str]) -> Vec<(String, String)> {
    verbs.iter().map(|verb| ((*verb).to_owned(), right.resource.to_owned())).collect()
}

fn verb_and_resource(entry: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &entry["objectRef"];
    let resource = text(&object["resource"]);
    let resource = object["subresource"].as_str().map_or(resource.clone(), |subresource| format!("{resource}/{subresource}"));
    (text(&entry["verb"]), resource)
}

#[test]
fn a_worker_and_a_pipeline_have_their_roles() {
    let mut namespace = set_up(&["--ci-service-account", "ci", "--worker-service-account", "worker"]);
    let may = |account: &str, verb: &str, resource: &str| {
        let user = format!("system:serviceaccount:{}:{account}", namespace.name);
        let output = namespace.cluster.kubectl(&["-n", &namespace.name, "auth", "can-i", verb, resource, "--as", &user], None);
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    assert!(may("worker", "create", "jobs") && may("worker", "update", "jobs") && may("worker", "watch", "events"));
    assert!(!may("worker", "get", "secrets") && !may("worker", "list", "nodes") && !may("flows", "list", "pods"));
    namespace.template(&json!({"kwok.test/run": "100ms"}));
    let name = namespace.name.clone();
    become_account(&mut namespace, &name, "ci");
    drop(namespace.sandbox.command(["submit", "-s", "small", "--template", "template.json", "flow.py"]).exits(0));
}

#[test]
fn who_may_not_apply_it_is_told_before_anything_is() {
    let mut namespace = namespace();
    namespace.kubectl(&["create", "serviceaccount", "half"]);
    namespace.apply(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "half"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "half", "namespace": namespace.name}],
    }));
    let name = namespace.name.clone();
    become_account(&mut namespace, &name, "half");
    let output = namespace.sandbox.command(["setup", "--apply", "--yes"]).exits(77);
    drop(output.says(&["objects cannot be applied, and none was", "namespace/", "clusterrole", "validatingadmissionpolicy", "an administrator"]));
    let accounts = namespace.objects("serviceaccounts");
    assert!(accounts.iter().all(|account| account["metadata"]["name"] != "flows"), "it could have made this one, and did not");
}

#[test]
fn a_policy_may_warn_for_a_start_and_a_quota_be_set() {
    let namespace = namespace();
    let quota = ["--quota", "pods=3", "--quota", "requests.memory=1Gi"];
    drop(namespace.sandbox.command([&["setup", "--warn-only", "--apply", "--yes"], &quota[..]].concat()).exits(0));
    eventually("the warning", || {
        let output = namespace.cluster.kubectl(&["-n", &namespace.name, "create", "job", "x", "--image=x", "--dry-run=server"], None);
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("retries have one owner")
    });
    assert_eq!(namespace.objects("resourcequotas")[0]["spec"]["hard"], json!({"pods": "3", "requests.memory": "1Gi"}));
    assert_eq!(namespace.objects("limitranges")[0]["spec"]["limits"][0]["defaultRequest"], json!({"memory": "128Mi"}));
    drop(namespace.sandbox.command(["setup", "--quota", "requests.memory=64Mi"]).exits(78).says(&["some sizes could never run", "size `small`"]));
}

#[test]
fn the_map_is_shared_by_all() {
    let namespace = namespace();
    drop(namespace.sandbox.command(["setup", "map", "--apply", "--yes"]).exits(0));
    std::fs::remove_file(namespace.sandbox.path("instance-map.yaml")).unwrap();
    let sizes = namespace.sandbox.command(["sizes", "-o", "json"]).exits(0).json();
    assert_eq!(sizes["sizes"].as_array().unwrap().len(), 5);
    assert!(sizes["map"].as_str().unwrap().contains("ConfigMap"));
    let policy = namespace.sandbox.command(["setup", "policy"]).exits(0).text();
    assert!(policy.contains("'sbrun.dev/size=templated', 'disk'"), "the template came along: {policy}");
    drop(namespace.sandbox.command(["setup", "map"]).exits(78).says(&["there is no instance map"]));
}
