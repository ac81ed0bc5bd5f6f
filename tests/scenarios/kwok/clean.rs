//! Removing what is finished, and nothing else.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    crowd::most_at_once,
    sandbox::noise,
};

#[test]
fn clean_removes_finished_jobs_with_their_pods_and_nothing_else() {
    let cluster = kwok();
    cluster.node("small-1", "small", "8", "32Gi");
    let mut namespace = cluster.namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let submit = |namespace: &crate::common::cluster::Namespace, run: &str| {
        namespace.template(&json!({"kwok.test/run": run}));
        namespace
            .sandbox
            .command(["submit", "-s", "small", "--template", "template.json", "-d", "-o", "name", "flow.py"])
            .exits(0)
            .text()
            .trim()
            .to_owned()
    };
    let (done, running) = (submit(&namespace, "100ms"), submit(&namespace, "1h"));
    namespace.sandbox.set("SBRUN_USER", "bob");
    let theirs = submit(&namespace, "100ms");
    namespace.sandbox.set("SBRUN_USER", "ana");
    namespace.kubectl(&["create", "job", "not-ours", "--image=x"]);
    drop(namespace.sandbox.command(["wait", &done, &theirs]).exits(0));
    namespace.until_over(2); // Kubernetes closes a Job a moment after the verdict
    namespace.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "not-ours"}, "data": {}}));

    let dry = namespace.sandbox.command(["clean", "--dry-run"]).exits(0);
    assert_eq!(dry.text().trim(), done);
    drop(namespace.sandbox.command(["clean", "--older", "1h"]).exits(0).says(&["nothing to remove"]));
    assert_eq!(namespace.sandbox.command(["clean"]).exits(0).text().trim(), done);
    let names = |kind: &str| namespace.objects(kind).iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    eventually("the removal", || !names("jobs").contains(&done) && !names("pods").iter().any(|pod| pod.starts_with(&done)));
    let mut left = names("jobs");
    left.sort();
    let mut expected = vec!["not-ours".to_owned(), running.clone(), theirs.clone()];
    expected.sort();
    assert_eq!(left, expected);
    assert!(names("configmaps").contains(&"not-ours".to_owned()));
    drop(namespace.sandbox.command(["clean", &running]).exits(1).says(&[&running, "has not finished"]));
    assert_eq!(namespace.sandbox.command(["clean", "--all-users"]).exits(0).text().trim(), theirs);
    // One that is named may have been waited for just now: Kubernetes closes its Job a moment later, and that is awaited.
    let last = submit(&namespace, "100ms");
    drop(namespace.sandbox.command(["wait", &last]).exits(0));
    assert_eq!(namespace.sandbox.command(["clean", &last]).exits(0).text().trim(), last);
}

#[test]
fn what_may_still_run_is_not_finished() {
    let cluster = kwok();
    cluster.node("silent", "silent", "8", "32Gi");
    let namespace = cluster.namespace();
    namespace.map(&["silent"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let arguments = ["submit", "-s", "silent", "--template", "template.json", "-d", "-o", "name", "flow.py"];
    let job = namespace.sandbox.command(arguments).exits(0).text().trim().to_owned();
    // What a follower leaves when the node has been silent for six minutes; now it answers again.
    let verdict = json!({
        "outcome": "unknown", "exit_code": 76, "finished": "2026-01-02T03:04:05Z", "attempts": 1, "warnings": [],
        "cause": {"reason": "Unknown.NodeUnreachable", "summary": "the node has not answered", "evidence": [], "next": [], "hopeless": false},
    });
    namespace.kubectl(&["annotate", "job", &job, &format!("sbrun.dev/verdict={verdict}")]);
    drop(namespace.sandbox.command(["clean"]).exits(0).says(&["nothing to remove"]));
    assert_eq!(namespace.objects("jobs").len(), 1);
}

/// Returns a namespace whose jobs end as soon as they begin, on a node of their own with room for many.
fn roomy(size: &str) -> Namespace {
    let cluster = kwok();
    cluster.node(&format!("{size}-1"), size, "1000", "4000Gi");
    let namespace = cluster.namespace();
    namespace.map(&[size], "");
    namespace.template(&json!({"kwok.test/run": "100ms"}));
    namespace
}

fn crowd_of(namespace: &Namespace, size: &str, count: usize) -> Vec<String> {
    let names = namespace.crowd("many", count, &["-s", size, "--template", "template.json"]);
    namespace.until_over(count);
    names
}

/// Returns the deletions of Jobs that somebody asked for in a namespace, from the audit log.
fn deletions(namespace: &Namespace, user: &str) -> Vec<Value> {
    namespace.cluster.audited(|entry| {
        let object = &entry["objectRef"];
        entry["user"]["username"] == *user && entry["verb"] == "delete" && object["resource"] == "jobs" && object["namespace"] == *namespace.name
    })
}

#[test]
fn many_are_removed_gently_and_with_all_that_belongs_to_them() {
    let mut namespace = roomy("roomy");
    let mut names = crowd_of(&namespace, "roomy", 120);
    // Some with files and secrets of their own: these objects go with the Job, and nobody asks for it.
    namespace.sandbox.write("noise.txt", noise(400_000));
    namespace.sandbox.set("TOKEN", "secret value");
    for _ in 0..2 {
        names.push(namespace.submit(&["-s", "roomy", "--template", "template.json", "--secret", "TOKEN"]));
    }
    namespace.until_over(names.len());
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let running = namespace.submit(&["-s", "roomy", "--template", "template.json", "--secret", "TOKEN"]);
    let of_sbrun = |kind: &str| -> Vec<Value> {
        let list = namespace.kubectl(&["get", kind, "-l", "app.kubernetes.io/managed-by=sbrun", "-o", "json"]);
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
    };
    assert!(of_sbrun("pods").len() > 120 && of_sbrun("configmaps").len() >= 3 && of_sbrun("secrets").len() == 3, "there is something to remove");
    let asked_before = namespace.cluster.audited(|entry| is_of_sbrun(entry, &namespace)).len();

    let cleaned = namespace.sandbox.command(["clean", "-o", "json"]).exits(0).json();
    let mut removed: Vec<String> = serde_json::from_value(cleaned["removed"].clone()).unwrap();
    removed.sort();
    names.sort();
    assert_eq!((removed, &cleaned["kept"], &cleaned["interrupted"]), (names, &json!([]), &json!(false)));
    let left = |kind: &str| -> Vec<String> {
        let owner = |object: &Value| object["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
        of_sbrun(kind).iter().map(owner).collect()
    };
    assert_eq!(of_sbrun("jobs").len(), 1);
    for kind in ["pods", "configmaps", "secrets"] {
        eventually(&format!("the removal of {kind}"), || left(kind).iter().all(|owner| *owner == running));
    }
    assert!(!left("configmaps").is_empty() && left("secrets").len() == 1, "the running job keeps its own");

    let asked = namespace.cluster.audited(|entry| is_of_sbrun(entry, &namespace));
    let (deletions, rest): (Vec<Value>, Vec<Value>) = asked[asked_before..].iter().cloned().partition(|entry| entry["verb"] == "delete");
    assert_eq!(deletions.len(), 122, "one request for each job");
    let at_once = most_at_once(&deletions);
    assert!((2..=20).contains(&at_once), "{at_once} deletions at once");
    assert!(rest.len() <= 4 && rest.iter().all(|entry| entry["verb"] == "list"), "what is over is known from the list alone: {rest:#?}");
}

fn is_of_sbrun(entry: &Value, namespace: &Namespace) -> bool {
    entry["userAgent"].as_str().is_some_and(|agent| agent.starts_with("sbrun/")) && entry["objectRef"]["namespace"] == *namespace.name
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it_from_all_deletions_together() {
    let mut namespace = roomy("paused");
    let names = crowd_of(&namespace, "paused", 40);
    let user = namespace.become_throttled();
    let output = namespace.sandbox.command(["clean"]).exits(0);
    assert_eq!(output.text().lines().count(), names.len(), "{output}");
    let asked = deletions(&namespace, &user);
    assert!(most_at_once(&asked) <= 20);
    let is_refused = |entry: &&Value| entry["responseStatus"]["code"] == 429;
    let refused: Vec<&Value> = asked.iter().filter(is_refused).collect();
    assert!(!refused.is_empty(), "the server never asked for a pause: {}", asked.len());
    // Whoever does not hold still sends on while others wait: then the second after a refusal is full of requests. What may come in it
    // is what was on its way when the answer arrived, and as much again that was sent before the answer was read.
    let time = |entry: &Value, field: &str| entry[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    for refusal in refused {
        let at = time(refusal, "stageTimestamp");
        let window = at..at + jiff::SignedDuration::from_millis(950);
        let within = asked.iter().filter(|entry| window.contains(&time(entry, "requestReceivedTimestamp"))).count();
        assert!(within <= 40, "{within} deletions within a second after one was refused");
    }
}

#[test]
fn what_is_interrupted_says_how_far_it_came_and_goes_on_when_run_again() {
    for (signal, code, size) in [(Signal::SIGINT, 130, "halt-a"), (Signal::SIGTERM, 130, "halt-b"), (Signal::SIGKILL, -9, "halt-c")] {
        let mut namespace = roomy(size);
        let names = crowd_of(&namespace, size, 60);
        namespace.become_throttled(); // so that there is a middle to be interrupted in
        let mut first = namespace.sandbox.start(["clean"]);
        first.until("many-");
        first.signal(signal);
        let first = first.finish().exits(code);
        let gone: Vec<String> = first.text().lines().map(ToOwned::to_owned).collect();
        let left: Vec<String> = namespace.objects("jobs").iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        assert!(!left.is_empty(), "nothing was interrupted: {first}");
        assert!(gone.iter().all(|name| !left.contains(name)), "{signal}: what is named as removed is gone");
        if signal != Signal::SIGKILL {
            // What was asked for last may have gone without an answer; that, too, is said.
            let unanswered = first.stderr.matches("the answer had not come yet").count();
            assert!((names.len() - unanswered..=names.len()).contains(&(gone.len() + left.len())), "{signal}: everything else is there: {first}");
            drop(first.says(&[&format!("{} jobs removed", gone.len()), "its turn did not come", "the same command goes on with the rest"]));
        }
        let rest = namespace.sandbox.command(["clean"]).exits(0);
        let mut rest: Vec<String> = rest.text().lines().map(ToOwned::to_owned).collect();
        rest.sort();
        assert_eq!(rest, left, "{signal}: the rest, and nothing twice");
        assert!(namespace.objects("jobs").is_empty());
    }
}

#[test]
fn who_may_not_delete_is_told_once() {
    let mut namespace = roomy("looker");
    let names = crowd_of(&namespace, "looker", 40);
    namespace.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker"}}));
    namespace.apply(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "looker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "looker", "namespace": namespace.name}],
    }));
    namespace.become_account("looker");
    let output = namespace.sandbox.command(["clean"]).exits(77).says(&["may not delete jobs.batch", " jobs stay"]);
    assert!(output.stdout.is_empty() && output.stderr.lines().count() <= 10, "one line for all of them: {output}");
    let asked = deletions(&namespace, &format!("system:serviceaccount:{}:looker", namespace.name));
    assert!(asked.len() < names.len(), "it does not go through all of them to hear the same: {}", asked.len());
    let document = namespace.sandbox.command(["clean", "-o", "json"]).exits(77).json();
    assert_eq!((document["kept"].as_array().unwrap().len(), &document["removed"]), (names.len(), &json!([])), "but all are in the document");
    assert_eq!(namespace.objects("jobs").len(), names.len());
}

#[test]
fn the_state_is_the_one_that_list_shows() {
    let namespace = roomy("states");
    for (annotations, arguments) in [
        (json!({"kwok.test/run": "100ms"}), ["-s", "states", "--name", "well"]),
        (json!({"kwok.test/run": "100ms", "kwok.test/exit": "137", "kwok.test/reason": "OOMKilled"}), ["-s", "states", "--name", "greedy"]),
        (json!({"kwok.test/run": "100ms", "kwok.test/exit": "7"}), ["-s", "states", "--name", "broken"]),
    ] {
        namespace.template(&annotations);
        namespace.submit(&[&arguments[..], &["--template", "template.json"]].concat());
    }
    namespace.until_over(3);
    let dry_run = |state: &str| namespace.sandbox.command(["clean", "--dry-run", "-o", "name", "--state", state]).exits(0).text();
    let listed = |state: &str| namespace.sandbox.command(["list", "-o", "name", "--state", state]).exits(0).text();
    for (state, count) in [("out_of_memory", 1), ("failed", 1), ("succeeded", 1), ("unsuccessful", 2), ("finished", 3), ("killed", 0)] {
        let sorted = |text: String| {
            let mut names: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            names.sort();
            names
        };
        let (cleaned, listed) = (sorted(dry_run(state)), sorted(listed(state)));
        assert_eq!((cleaned.len(), &cleaned), (count, &listed), "{state}");
    }
}
