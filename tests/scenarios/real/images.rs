//! Images that are slow, missing or refused by a real registry.

use std::{fs, path::Path};

use serde_json::json;

use crate::common::cluster::{Namespace, proves, real};

fn submit(image: &str, code: i32, reason: &str) -> String {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "--image", image, "-o", "json", "flow.py"]).exits(code);
    assert_eq!(output.json()["reason"], json!(reason), "{output}");
    output.stderr
}

fn namespace() -> Namespace {
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    namespace
}

#[test]
fn a_missing_image() {
    let said = submit("registry.test/missing:1", 78, "Image.NotFound");
    assert!(said.contains("registry.test/missing:1"), "{said}");
}

#[test]
fn a_refused_image() {
    submit("registry.test/refused/python:3", 78, "Image.Unauthorized");
}

#[test]
fn an_image_whose_name_is_no_name() {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "print('hello')\n");
    drop(namespace.sandbox.command(["submit", "-s", "small", "--image", "Not A Name", "flow.py"]).exits(2).says(&["Not A Name", "--image"]));
    assert!(namespace.objects("jobs").is_empty());
}

#[test]
fn an_image_of_an_init_container_whose_name_is_no_name() {
    let namespace = namespace();
    namespace.pod_template(&json!({"spec": {"initContainers": [{"name": "migration", "image": "Not A Name"}]}}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "--template", "template.json", "-o", "json", "flow.py"]).exits(78);
    let report = output.json();
    assert_eq!(report["reason"], "Image.Invalid", "{output}");
    assert!(report["summary"].as_str().unwrap().contains("(container `migration`)"), "{output}");
    proves(&report, "InvalidImageName", "correct `image`");
}

#[test]
fn a_registry_that_cannot_be_reached() {
    // containerd reads for each pull where a registry is; nobody listens there.
    let folder = Path::new(real().ready["dir"].as_str().unwrap()).join("nodes/1/registries/closed.test");
    fs::create_dir_all(&folder).unwrap();
    let hosts = "server = \"http://127.0.0.1:1\"\n[host.\"http://127.0.0.1:1\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
    fs::write(folder.join("hosts.toml"), hosts).unwrap();
    let namespace = namespace();
    let name = namespace.submit(&["-s", "small", "--image", "closed.test/team/python:3"]);
    let story = namespace.why(&name, "Image.Unreachable");
    proves(&story, "127.0.0.1:1: connect: connection refused", "describe pod");
}

#[test]
fn a_pull_that_takes_its_time() {
    let namespace = namespace();
    let name = namespace.submit(&["-s", "small", "--image", "registry.test/slow/large/python:3"]);
    let story = namespace.why(&name, "Image.Pulling");
    assert!(story["evidence"][0]["text"].as_str().unwrap().contains("Pulling image \"registry.test/slow/large/python:3\""), "{story:#}");
    namespace.sandbox.command(["wait", &name]).exits(0).success();
}

#[test]
fn an_image_without_python() {
    submit("busybox:1", 78, "Flow.StartError");
}

#[test]
fn a_slow_pull_is_shown_and_then_runs() {
    let said = submit("registry.test/slow/python:3", 0, "Flow.Succeeded");
    assert!(said.contains("pull"), "{said}");
}
