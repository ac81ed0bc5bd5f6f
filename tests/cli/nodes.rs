//! `sbrun nodes` without a cluster: what is refused before anything is asked.

use crate::common::sandbox::Sandbox;

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:9\"}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: here, context: {cluster: c, user: u}}]\n";
    let path = sandbox.write("kubeconfig", kubeconfig);
    sandbox.set("KUBECONFIG", path.to_string_lossy());
    sandbox.write(
        "instance-map.yaml",
        "version: 1\ndefaults: {image: x}\nsizes:\n  small:\n    node_group: flows-small\n    footprint: {cpu: 1, memory: 1Gi}\n",
    );
    sandbox
}

#[test]
fn arguments_that_make_no_sense() {
    let sandbox = sandbox();
    drop(sandbox.command(["nodes", "--history", "43d"]).exits(2).says(&["six weeks", "42d"]));
    drop(sandbox.command(["nodes", "--history", "24"]).exits(2).says(&["has no unit"]));
    drop(sandbox.command(["nodes", "--history", "0s"]).exits(2).says(&["24h"]));
    drop(sandbox.command(["nodes", "--svg", "chart.svg"]).exits(2).says(&["--history"]));
    drop(sandbox.command(["nodes", "--watch", "--history", "1h"]).exits(2).says(&["--watch"]));
    drop(sandbox.command(["nodes", "--all", "--size", "small"]).exits(2).says(&["--all"]));
    for format in ["json", "yaml", "name"] {
        drop(sandbox.command(["nodes", "--watch", "-o", format]).exits(2).says(&["-o jsonl"]));
    }
}

#[test]
fn an_unknown_size_is_told_with_what_there_is() {
    drop(sandbox().command(["nodes", "--size", "smal"]).exits(78).says(&["unknown size `smal`", "did you mean `small`?"]));
}

#[test]
fn a_cluster_that_does_not_answer_is_an_error() {
    let output = sandbox().command(["nodes"]).exits(69).says(&["cannot reach the API server", "127.0.0.1:9"]);
    assert!(output.stdout.is_empty(), "{output}");
}
