//! Removing what is finished, and nothing else.

use serde_json::json;

use crate::common::cluster::{eventually, kwok};

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
