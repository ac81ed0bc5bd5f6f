//! Images that are slow, missing or refused by a real registry.

use serde_json::json;

use crate::common::cluster::real;

fn submit(image: &str, code: i32, reason: &str) -> String {
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "--image", image, "-o", "json", "flow.py"]).exits(code);
    assert_eq!(output.json()["reason"], json!(reason), "{output}");
    output.stderr
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
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", "print('hello')\n");
    drop(namespace.sandbox.command(["submit", "-s", "small", "--image", "Not A Name", "flow.py"]).exits(2).says(&["Not A Name", "--image"]));
    assert!(namespace.objects("jobs").is_empty());
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
