//! Why a job has no pod: each cause brought about on the real control plane.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok, proves},
    sandbox::noise,
};

fn namespace() -> Namespace {
    kwok().namespace()
}

#[test]
fn a_quota_that_can_never_hold_it_rejects() {
    let namespace = namespace();
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "64Mi"}}}));
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(78);
    drop(output.says(&["team", "64"]));
}

#[test]
fn a_quota_that_is_used_up_makes_it_wait() {
    let namespace = namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "200Mi"}}}));
    eventually("the quota's status", || namespace.objects("resourcequotas")[0]["status"]["hard"].is_object());
    namespace.map(&["small"], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let first = namespace.submit(&["-s", "small", "--template", "template.json"]);
    eventually("the first pod", || namespace.objects("pods").len() == 1);
    let second = namespace.submit(&["-s", "small", "--template", "template.json"]);
    let story = namespace.why(&second, "Rejected.Quota");
    assert_eq!(story["outcome"], Value::Null, "it may fit later: {story:#}");
    drop(namespace.sandbox.command(["cancel", &first, &second]).exits(0));
}

#[test]
fn pod_security_refuses_the_pod() {
    let namespace = kwok().namespace_with(&json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    namespace.map(&["small"], "  run_as_user: image\n");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(78);
    assert_eq!(output.json()["reason"], "Rejected.PodSecurity", "{output}");
}

#[test]
fn a_policy_that_denies_the_pod_is_quoted() {
    let namespace = namespace();
    namespace.map(&["small"], "");
    let policy = |kind: &str, spec: &Value| {
        kwok().apply(&json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": namespace.name}, "spec": spec}));
    };
    let pods = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let validation = json!({"expression": "'cost-centre' in object.metadata.?labels.orValue({})", "message": "every pod needs a cost-centre"});
    policy("ValidatingAdmissionPolicy", &json!({"matchConstraints": {"resourceRules": [pods]}, "validations": [validation]}));
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}});
    let binding = json!({"policyName": namespace.name, "validationActions": ["Deny"], "matchResources": here});
    policy("ValidatingAdmissionPolicyBinding", &binding);
    let probe = ["-n", &namespace.name, "run", "probe", "--image=x", "--dry-run=server"];
    eventually("the policy", || !kwok().kubectl(&probe, None).status.success());
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let report = namespace.sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(78).json();
    assert_eq!(report["reason"], "Rejected.Admission", "{report:#}");
    let story = namespace.why(report["name"].as_str().unwrap(), "Rejected.Admission");
    proves(&story, "denied request: every pod needs a cost-centre", "change what the policy names");
}

#[test]
fn a_service_account_that_does_not_exist() {
    let namespace = namespace();
    namespace.map(&["small"], "  service_account: nobody-has-this\n");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    drop(namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(78).says(&["nobody-has-this"]));
    assert!(namespace.objects("jobs").is_empty(), "it was known before");
}

#[test]
fn a_service_account_that_is_gone_by_the_time_of_the_pod() {
    let namespace = namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace.map(&["small"], "  service_account: flows\n");
    let name = namespace.submit_unchecked(&["-s", "small"], |_| ());
    let story = namespace.why(&name, "Config.ServiceAccountMissing");
    let next = format!("kubectl -n {} create serviceaccount flows", namespace.name);
    proves(&story, "serviceaccount \"flows\" not found", &next);
    namespace.kubectl(&["create", "serviceaccount", "flows"]);
    namespace.sandbox.command(["wait", &name]).exits(0).success();
}

#[test]
fn a_job_that_somebody_suspended() {
    let namespace = namespace();
    namespace.map(&["nowhere"], "");
    let name = namespace.submit(&["-s", "nowhere"]);
    namespace.kubectl(&["patch", "job", &name, "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
    eventually("the pod's end", || namespace.objects("pods").is_empty());
    let story = namespace.why(&name, "Scheduling.Suspended");
    proves(&story, "spec.suspend is true", &format!("patch job {name}"));
    assert_eq!(namespace.sandbox.command(["list", "-o", "json"]).exits(0).json()["jobs"][0]["reason"], "Scheduling.Suspended");
}

#[test]
fn a_submission_that_died_half_way_is_shown_and_cleaned() {
    let namespace = namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("noise.txt", noise(300_000));
    let name = namespace.submit(&["-s", "small"]);
    // What a submitter that was killed after its first request leaves.
    namespace.kubectl(&["delete", "job", &name]);
    let dry = namespace.sandbox.command(["submit", "-s", "small", "--key", "half", "--dry-run", "-o", "json", "flow.py"]).exits(0).json();
    let mut job = dry["items"].as_array().unwrap().iter().find(|item| item["kind"] == "Job").unwrap().clone();
    assert_eq!(job["spec"]["suspend"], true);
    job["metadata"]["namespace"] = json!(namespace.name);
    namespace.apply(job.clone());
    let name = job["metadata"]["name"].as_str().unwrap();
    drop(namespace.sandbox.command(["clean"]).exits(0).says(&["nothing to remove"])); // for a minute it may still be under way
    namespace.why(name, "Submission.Incomplete");
    assert_eq!(namespace.sandbox.command(["clean"]).exits(0).text().trim(), name);
}
