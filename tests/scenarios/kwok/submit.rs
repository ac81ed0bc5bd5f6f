//! Submitting, attaching, looking: on the real API server and Job controller, with simulated pods.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::{
    cluster::{Namespace, eventually, kwok, proves},
    sandbox::noise,
};

fn namespace() -> Namespace {
    let cluster = kwok();
    cluster.node("small-1", "small", "8", "32Gi");
    let namespace = cluster.namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

#[test]
fn a_flow_is_followed_to_its_end_and_judged() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "1s", "kwok.test/log": "first\nsecond\n"}));
    let output = namespace.sandbox.command(["submit", "--size", "small", "--template", "template.json", "flow.py"]).exits(0);
    assert_eq!(output.text(), "first\nsecond\n");
    drop(output.says(&["flow-", "size small", "sbrun why", "✓ succeeded"]));
}

#[test]
fn a_running_flow_is_told_with_how_to_read_it() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let name = namespace.submit(&["-s", "small", "--template", "template.json"]);
    let story = namespace.why(&name, "Flow.Running");
    proves(&story, "Running", &format!("sbrun logs {name} -f"));
    namespace.sandbox.command(["cancel", &name]).exits(0).success();
}

#[test]
fn submit_wait_and_logs_agree_on_every_code() {
    let namespace = namespace();
    for (exit, reason, code, outcome) in [
        ("7", "Error", 7, "failed"),
        ("75", "Error", 1, "failed"),
        ("137", "OOMKilled", 137, "out_of_memory"),
        ("1", "OOMKilled", 137, "out_of_memory"),
        ("0", "Completed", 0, "succeeded"),
    ] {
        namespace.template(&json!({"kwok.test/run": "500ms", "kwok.test/exit": exit, "kwok.test/reason": reason, "kwok.test/log": "line\n"}));
        let arguments = ["submit", "--size", "small", "--template", "template.json", "-o", "json", "flow.py"];
        let report = namespace.sandbox.command(arguments).exits(code).json();
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!(outcome), &json!(code)), "{report}");
        let own = if exit == "137" { json!(null) } else { json!(exit.parse::<i32>().unwrap()) };
        assert_eq!(report["flow_exit_code"], own, "{report}");
        let name = report["name"].as_str().unwrap();
        assert_eq!(namespace.sandbox.command(["wait", name, "-o", "json"]).exits(code).json()["reason"], report["reason"]);
        drop(namespace.sandbox.command(["logs", "-f", name]).exits(code));
        drop(namespace.sandbox.command(["logs", name]).exits(0));
    }
}

#[test]
fn the_verdict_outlives_the_pod() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "500ms", "kwok.test/exit": "7", "kwok.test/log": "the last words\n"}));
    let mut submit = namespace.sandbox.prepare(["submit", "-s", "small", "--template", "template.json", "-o", "json", "flow.py"]);
    let submitted = submit.env("SBRUN_KEEP_LOGS", "false").output().unwrap();
    assert_eq!(submitted.status.code(), Some(7), "{}", String::from_utf8_lossy(&submitted.stderr));
    let report: serde_json::Value = serde_json::from_slice(&submitted.stdout).unwrap();
    let name = report["name"].as_str().unwrap();
    namespace.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0"]);
    eventually("the pod's end", || namespace.objects("pods").is_empty());
    drop(namespace.sandbox.command(["wait", name]).exits(7));
    let why = namespace.sandbox.command(["why", name]).exits(0);
    assert!(why.text().contains("exit code 7") && why.text().contains("Flow.Failed"), "{why}");
    let list = namespace.sandbox.command(["list", "-o", "json"]).exits(0).json();
    assert_eq!(list["jobs"][0]["outcome"], "failed", "{list}");
    let logs = namespace.sandbox.command(["logs", name]).exits(0).says(&["pod and log are gone"]);
    assert_eq!(logs.text(), "the last words\n");
}

#[test]
fn without_a_kept_verdict_the_job_still_tells_the_exit_code() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "500ms", "kwok.test/exit": "9"}));
    let name = namespace.sandbox.command(["submit", "-s", "small", "--template", "template.json", "-d", "-o", "name", "flow.py"]).exits(0).text();
    eventually("the Job's end", || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("Failed"));
    namespace.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0"]);
    eventually("the pod's end", || namespace.objects("pods").is_empty());
    drop(namespace.sandbox.command(["wait", name.trim()]).exits(9));
}

#[test]
fn one_key_makes_one_job() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "3s", "kwok.test/exit": "3"}));
    let arguments = ["submit", "-s", "small", "--template", "template.json", "--key", "run-1", "-o", "json", "flow.py"];
    let first = namespace.sandbox.start(arguments);
    let second = namespace.sandbox.start(arguments);
    let (first, second) = (first.finish().exits(3).json(), second.finish().exits(3).json());
    assert_eq!((&first["name"], &first["uid"]), (&second["name"], &second["uid"]));
    assert_eq!(namespace.sandbox.command(arguments).exits(3).json()["uid"], first["uid"], "the recorded verdict, at once");
    assert_eq!(namespace.objects("jobs").len(), 1);
    namespace.sandbox.write("flow.py", "print('other')\n");
    drop(namespace.sandbox.command(arguments).exits(78).says(&["run-1"]));
    assert_eq!(namespace.objects("jobs").len(), 1);
}

#[test]
fn a_submission_killed_anywhere_leaves_one_job_and_no_orphan() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "500ms"}));
    // Incompressible, so that the package does not fit into the Job and several requests are needed.
    namespace.sandbox.write("noise.txt", noise(400_000));
    for (round, delay) in [30u64, 60, 90, 120, 160, 200, 260, 340].into_iter().enumerate() {
        let key = format!("killed-{round}");
        let arguments = ["submit", "-s", "small", "--template", "template.json", "--key", &key, "-o", "json", "flow.py"];
        let first = namespace.sandbox.start(arguments);
        std::thread::sleep(Duration::from_millis(delay));
        first.signal(Signal::SIGKILL);
        drop(first.finish());
        let report = namespace.sandbox.command(arguments).exits(0).json();
        let jobs = namespace.objects("jobs");
        assert_eq!(jobs.iter().filter(|job| job["metadata"]["annotations"]["sbrun.dev/key"] == json!(key)).count(), 1, "{report}");
        for map in namespace.objects("configmaps").iter().filter(|map| map["metadata"]["name"] != "kube-root-ca.crt") {
            let owner = &map["metadata"]["ownerReferences"][0]["uid"];
            assert!(jobs.iter().any(|job| job["metadata"]["uid"] == *owner), "an orphan: {map}");
        }
    }
}

#[test]
fn a_name_that_somebody_else_took_is_refused() {
    let namespace = namespace();
    let name = namespace.sandbox.command(["submit", "-s", "small", "--key", "k", "-d", "-o", "name", "flow.py"]).exits(0).text();
    let name = name.trim();
    namespace.kubectl(&["delete", "job", name]);
    namespace.kubectl(&["create", "job", name, "--image=x"]);
    drop(namespace.sandbox.command(["submit", "-s", "small", "--key", "k", "flow.py"]).exits(78).says(&[name]));
    assert_eq!(namespace.objects("jobs").len(), 1);
}

#[test]
fn a_dry_run_is_what_is_submitted() {
    let namespace = namespace();
    let dry = namespace.sandbox.command(["submit", "-s", "small", "--key", "dry", "--dry-run=server", "-o", "json", "flow.py"]).exits(0).json();
    assert!(namespace.objects("jobs").is_empty());
    drop(namespace.sandbox.command(["submit", "-s", "small", "--key", "dry", "-d", "flow.py"]).exits(0));
    let strip = |mut job: serde_json::Value| {
        for volatile in ["uid", "creationTimestamp", "resourceVersion", "generation", "managedFields"] {
            job["metadata"].as_object_mut().unwrap().remove(volatile);
        }
        job["metadata"]["annotations"]["sbrun.dev/nonce"] = json!("");
        job["metadata"]["annotations"]["sbrun.dev/plan"] = json!("");
        job["status"] = json!({});
        let text = job.to_string();
        let uid = job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"].as_str().unwrap_or_default().to_owned();
        let run = job["metadata"]["labels"]["sbrun.dev/run-id"].as_str().unwrap_or_default().to_owned();
        text.replace(&uid, "UID").replace(&run, "RUN")
    };
    let dry_job = dry["items"].as_array().and_then(|items| items.iter().find(|item| item["kind"] == "Job")).unwrap_or(&dry).clone();
    let mut job = namespace.objects("jobs").remove(0);
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    pretty_assert(&strip(dry_job), &strip(job));
}

fn pretty_assert(left: &str, right: &str) {
    let at = left.bytes().zip(right.bytes()).position(|(left, right)| left != right);
    let around = |text: &str| at.map(|at| text[at.saturating_sub(200)..(at + 100).min(text.len())].to_owned()).unwrap_or_default();
    assert!(left == right, "they differ at {at:?}:\n{}\n{}", around(left), around(right));
}

#[test]
fn everything_that_is_wrong_is_found_before_anything_is_created() {
    let namespace = namespace();
    let submit = |arguments: &[&str]| namespace.sandbox.command([&["submit"], arguments, &["flow.py"]].concat());
    drop(submit(&["-s", "smal"]).exits(78).says(&["unknown size `smal`", "small"]));
    drop(submit(&["-s", "small", "--secret", "TOKEN=missing/key"]).exits(78).says(&["missing"]));
    drop(submit(&["-s", "small", "-n", "no-such-namespace"]).exits(78).says(&["no-such-namespace"]));
    drop(submit(&["-s", "small", "--memory", "1Ti"]).exits(78).says(&["memory"]));
    assert!(namespace.objects("jobs").is_empty());
}

#[test]
fn who_may_not_submit_is_told_what_is_missing() {
    let mut namespace = namespace();
    let powerless = namespace.cluster.ready["powerless_kubeconfig"].as_str().unwrap().to_owned();
    namespace.sandbox.set("KUBECONFIG", powerless);
    drop(namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(77).says(&["you may not", "jobs"]));
    drop(namespace.sandbox.command(["list"]).exits(77).says(&["jobs", "auth can-i"]));
}

#[test]
fn a_rerun_repeats_what_the_job_recorded() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "500ms"}));
    let first = namespace
        .sandbox
        .command(["submit", "-s", "small", "--template", "template.json", "-o", "json", "flow.py", "--", "--day", "1 2"])
        .exits(0)
        .json();
    namespace.sandbox.write("flow.py", "print('edited since')\n");
    let again = namespace.sandbox.command(["rerun", first["name"].as_str().unwrap(), "-o", "json"]).exits(0).json();
    assert_ne!(first["name"], again["name"]);
    let jobs = namespace.objects("jobs");
    let command = |name: &serde_json::Value| {
        let job = jobs.iter().find(|job| job["metadata"]["name"] == *name).unwrap();
        (job["spec"]["template"]["spec"]["containers"][0]["command"].clone(), job["metadata"]["annotations"]["sbrun.dev/content-sha256"].clone())
    };
    assert_eq!(command(&first["name"]), command(&again["name"]));
}

#[test]
fn a_detached_job_has_no_lease_that_nobody_renews() {
    let mut namespace = namespace();
    namespace.sandbox.set("CI", "true");
    namespace.template(&json!({"kwok.test/run": "100ms"}));
    let submit = ["submit", "-s", "small", "--template", "template.json", "-d", "-o", "name", "flow.py"];
    let first = namespace.sandbox.command(submit).exits(0).text().trim().to_owned();
    drop(namespace.sandbox.command(["rerun", &first, "-d", "-o", "name"]).exits(0));
    let jobs = namespace.objects("jobs");
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        assert_eq!(job["metadata"]["annotations"]["sbrun.dev/lease"], json!(null));
        assert!(job["spec"]["activeDeadlineSeconds"].as_u64().unwrap() > 3600, "{job:#}");
    }
}

#[test]
fn a_token_that_ends_before_the_timeout_is_said_at_submit() {
    let mut namespace = namespace();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "flows"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}],
    });
    namespace.apply(binding);
    let token = namespace.kubectl(&["create", "token", "default", "--duration", "15m"]);
    let mut kubeconfig: serde_json::Value =
        serde_json::from_str(&namespace.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = namespace.sandbox.write("token.json", kubeconfig.to_string());
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    let submit = |timeout: &str| namespace.sandbox.command(["submit", "-s", "small", "-d", "--timeout", timeout, "flow.py"]).exits(0);
    drop(submit("30m").says(&["warning: the credentials of this cluster end at ", ", before the timeout of the run"]));
    let in_time = submit("5m");
    assert!(!in_time.stderr.contains("credentials"), "{in_time}");
}

#[test]
fn credentials_that_the_server_refuses_are_named() {
    let mut namespace = namespace();
    let mut kubeconfig: serde_json::Value =
        serde_json::from_str(&namespace.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"])).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": "expired"});
    let path = namespace.sandbox.write("expired.json", kubeconfig.to_string());
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    for arguments in [&["list"][..], &["submit", "-s", "small", "flow.py"]] {
        let output = namespace.sandbox.command(arguments).exits(77).says(&["credentials"]);
        assert!(output.took.as_secs() < 10, "{:?}", output.took);
    }
    assert!(namespace.objects("jobs").is_empty());
}

#[test]
fn many_are_cancelled_and_one_that_cannot_be_holds_up_no_other() {
    let namespace = namespace();
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let running: Vec<String> = (0..4).map(|_| namespace.submit(&["-s", "small", "--template", "template.json"])).collect();
    namespace.template(&json!({"kwok.test/run": "100ms"}));
    let finished = namespace.submit(&["-s", "small", "--template", "template.json"]);
    drop(namespace.sandbox.command(["wait", &finished]).exits(0));
    let kept = &running[1];
    let policy = format!("{}-kept", namespace.name);
    let admission = "admissionregistration.k8s.io/v1";
    let rule = json!({"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["jobs"], "resourceNames": [kept]});
    namespace.cluster.apply(&json!({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": policy},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": "this one is kept"}]},
    }));
    namespace.cluster.apply(&json!({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": policy},
        "spec": {"policyName": policy, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}},
    }));
    let refused = || !namespace.cluster.kubectl(&["-n", &namespace.name, "annotate", "job", kept, "a=b", "--dry-run=server"], None).status.success();
    eventually("the policy", refused);
    let names: Vec<&str> = running.iter().chain([&finished, &running[0]]).map(String::as_str).collect();
    let output = namespace.sandbox.command([&["cancel", "-o", "json"], &names[..]].concat());
    namespace.cluster.kubectl_ok(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", &policy]);
    assert_ne!(output.code, 0, "{output}");
    let document = output.json();
    assert_eq!(document["cancelled"], json!([running[0], running[2], running[3]]), "in the order in which they were named, and each once: {output}");
    assert_eq!((&document["already_finished"], &document["failed"][0]["name"]), (&json!([finished]), &json!(kept)));
    drop(output.says(&[&format!("{kept} was not cancelled"), "admission policy"]));
    eventually("the policy's end", || !refused());
    drop(namespace.sandbox.command(["cancel", kept]).exits(0));
}
