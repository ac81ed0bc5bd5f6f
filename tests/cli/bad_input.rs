//! Bad input: a clear error with cause and next step, and the exit code of the contract.

use std::{os::unix::fs::symlink, time::Duration};

use crate::common::sandbox::Sandbox;

const MAP: &str = "version: 1\ndefaults: {image: x}\nsizes:\n  small:\n    footprint: {cpu: 1, memory: 1Gi}\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("instance-map.yaml", MAP);
    sandbox.write("flow.py", "print('hello')\n");
    sandbox
}

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n"
    )
}

#[test]
fn an_unknown_size_is_told_with_what_there_is() {
    drop(sandbox().command(["submit", "--local", "--size", "smal", "flow.py"]).exits(78).says(&["unknown size `smal`", "small"]));
}

#[test]
fn every_problem_of_a_map_is_reported_at_once() {
    let sandbox = sandbox();
    sandbox.write(
        "instance-map.yaml",
        "version: 1\ndefaults: {imge: x, timeout: 5}\nsizes:\n  small:\n    footprint: {cpu: lots, memory: 1Gi}\n    fallback: large\n",
    );
    drop(sandbox.command(["sizes"]).exits(78).says(&["imge", "image", "timeout", "lots", "large", "2:", "5:"]));
}

#[test]
fn flows_that_cannot_be_run() {
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.path("folder.py")).unwrap();
    sandbox.write("empty.py", "");
    sandbox.write("latin.py", b"print('\xe9')\n");
    sandbox.write("tool", "#!/bin/sh\n");
    for (flow, says) in [("missing.py", "missing.py"), ("folder.py", "folder"), ("empty.py", "empty"), ("latin.py", "UTF-8"), ("tool", "chmod +x")] {
        drop(sandbox.command(["submit", "--local", flow]).exits(78).says(&[says]));
    }
}

#[test]
fn a_link_out_of_the_tree_is_refused() {
    let sandbox = sandbox();
    symlink("/etc/passwd", sandbox.path("passwords")).unwrap();
    drop(sandbox.command(["submit", "--local", "flow.py"]).exits(78).says(&["passwords", "/etc/passwd"]));
}

#[test]
fn data_beside_the_flow_is_found_before_any_request() {
    let sandbox = sandbox();
    let file = std::fs::File::create(sandbox.path("huge.parquet")).unwrap();
    file.set_len(2 << 30).unwrap();
    let output = sandbox.command(["submit", "--size", "small", "flow.py"]).exits(78).says(&["huge.parquet", "2 GiB", ".sbrunignore"]);
    assert!(output.took < Duration::from_secs(2), "{:?}", output.took);
}

#[test]
fn a_forgotten_import_is_found_before_submission() {
    let sandbox = sandbox();
    sandbox.write("flow.py", "import helpers\n");
    sandbox.write("helpers.py", "x = 1\n");
    sandbox.write(".gitignore", "helpers.py\n");
    drop(sandbox.command(["submit", "--local", "flow.py"]).exits(78).says(&["helpers", "--include"]));
}

#[test]
fn a_secret_file_never_travels() {
    let sandbox = sandbox();
    sandbox.write(".env", "TOKEN=pl4nted\n");
    sandbox.write("flow.py", "import os\nprint(sorted(os.listdir('.')))\n");
    let output = sandbox.command(["submit", "--local", "flow.py"]).exits(0);
    assert!(!output.text().contains(".env"), "{output}");
}

#[test]
fn there_is_no_cluster() {
    let mut sandbox = sandbox();
    drop(sandbox.command(["submit", "--size", "small", "flow.py"]).exits(69).says(&["kubeconfig", "--local"]));
    sandbox.unset("HOME");
    drop(sandbox.command(["list"]).exits(69).says(&["kubeconfig"]));
}

#[test]
fn a_server_that_does_not_answer() {
    let mut sandbox = sandbox();
    let file = sandbox.write("config", kubeconfig("https://127.0.0.1:9"));
    sandbox.set("KUBECONFIG", file.to_string_lossy());
    let output = sandbox.command(["list"]).exits(69).says(&["127.0.0.1:9", "refused"]);
    assert!(output.took < Duration::from_secs(75), "{:?}", output.took);
}

#[test]
fn a_context_that_does_not_exist() {
    let mut sandbox = sandbox();
    let file = sandbox.write("config", kubeconfig("https://127.0.0.1:9"));
    sandbox.set("KUBECONFIG", file.to_string_lossy());
    drop(sandbox.command(["list", "--context", "hree"]).exits(2).says(&["hree", "here"]));
}

#[test]
fn a_map_for_another_cluster() {
    let mut sandbox = sandbox();
    sandbox.write("instance-map.yaml", format!("{MAP}cluster: {{server: \"https://prod.example\"}}\n"));
    let file = sandbox.write("config", kubeconfig("https://127.0.0.1:9"));
    sandbox.set("KUBECONFIG", file.to_string_lossy());
    drop(sandbox.command(["submit", "--size", "small", "flow.py"]).exits(78).says(&["prod.example", "127.0.0.1:9"]));
}

#[test]
fn a_credential_plugin_that_fails_or_is_missing_is_quoted() {
    let mut sandbox = sandbox();
    for (command, says) in [("echo 'sso session expired' >&2; exit 1", "sso session expired"), ("exit 3", "3")] {
        let exec =
            format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, \"{command}\"], interactiveMode: Never}}}}");
        let file = sandbox.write("config", kubeconfig("https://127.0.0.1:9").replace("{token: t}", &exec));
        sandbox.set("KUBECONFIG", file.to_string_lossy());
        drop(sandbox.command(["list"]).exits(77).says(&[says]));
    }
}

#[test]
fn bare_numbers_are_no_durations() {
    drop(sandbox().command(["submit", "--local", "--timeout", "90", "flow.py"]).exits(2).says(&["--timeout", "90s"]));
}

#[test]
fn settings_of_the_flow_itself_count() {
    let sandbox = sandbox();
    sandbox.write("flow.py", "# sbrun: size=smal\nprint('hello')\n");
    drop(sandbox.command(["submit", "--local", "flow.py"]).exits(78).says(&["smal", "small"]));
}

#[test]
fn no_image_is_an_error_and_never_a_guess() {
    let sandbox = sandbox();
    sandbox.write("instance-map.yaml", MAP.replace("defaults: {image: x}\n", ""));
    drop(sandbox.command(["submit", "--size", "small", "--dry-run", "flow.py"]).exits(78).says(&["image"]));
}

#[test]
fn an_empty_key_is_no_key() {
    // `--key "$VARIABLE"` with nothing in it: everybody's submissions would be one.
    drop(sandbox().command(["submit", "--local", "--key", "", "flow.py"]).exits(2).says(&["--key"]));
}
