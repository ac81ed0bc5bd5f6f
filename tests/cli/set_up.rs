//! `sbrun doctor` and `sbrun init` where there is no cluster, no account, or neither knows who asks.

use std::time::Duration;

use crate::common::sandbox::Sandbox;

const MAP: &str = "version: 1\ndefaults: {image: x}\nsizes:\n  small: {node_group: flows, instance_type: m5.large}\n";

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.write("map.yaml", MAP);
    // A pipeline's machine may have a metadata service of its own.
    sandbox.set("AWS_EC2_METADATA_DISABLED", "true").set("AWS_REGION", "eu-west-1");
    sandbox
}

/// Writes the AWS configuration of the sandbox's home.
fn configure(sandbox: &Sandbox, config: &str) {
    std::fs::create_dir_all(sandbox.path("../home/.aws")).unwrap();
    std::fs::write(sandbox.path("../home/.aws/config"), config).unwrap();
}

#[test]
fn a_map_can_be_checked_without_a_cluster() {
    let sandbox = sandbox();
    let shown = sandbox.command(["doctor", "--map", "map.yaml", "--offline", "-v"]).exits(0).says(&["1 warning", "ok"]);
    assert!(shown.text().contains("! warning: instance map: it has no `cluster.server`  [Map.Cluster]\n  so a job may go"), "{shown}");
    assert!(shown.text().contains("✓ ok: instance map: the map can be read  [Map.Valid]"), "{shown}");
    // Without a kubeconfig it says so, and checks what it can.
    let shown = sandbox.command(["doctor", "--map", "map.yaml", "-o", "json"]).exits(0).json();
    assert_eq!((&shown["errors"], &shown["unknown"], &shown["cluster"]), (&0.into(), &1.into(), &serde_json::Value::Null), "{shown:#}");
}

#[test]
fn every_problem_of_a_map_is_a_finding() {
    let sandbox = sandbox();
    sandbox.write("map.yaml", "version: 1\ndefaults: {imge: x}\nsizes:\n  small: {footprint: {cpu: lots, memory: 1Gi}}\n");
    let document = sandbox.command(["doctor", "--map", "map.yaml", "--offline", "-o", "json"]).exits(78).json();
    let findings: Vec<String> =
        document["findings"].as_array().unwrap().iter().map(|finding| format!("{} {}", finding["code"], finding["message"])).collect();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].contains("Map.Valid") && findings[0].contains("imge") && findings[1].contains("lots"), "{findings:#?}");
    let output = sandbox.command(["doctor", "--offline"]).exits(78).says(&["1 error"]);
    assert!(output.text().contains("there is no instance map") && output.text().contains("sbrun init"), "{output}");
}

#[test]
fn a_forty_column_terminal_and_a_pipe_read_the_same() {
    let mut sandbox = sandbox();
    let wide = sandbox.command(["doctor", "--map", "map.yaml", "--offline"]).exits(0);
    sandbox.set("COLUMNS", "40");
    assert_eq!(sandbox.command(["doctor", "--map", "map.yaml", "--offline"]).exits(0).text(), wide.text());
}

#[test]
fn init_without_cluster_and_account_says_why_neither_will_do() {
    let sandbox = sandbox();
    let output = sandbox.command(["init"]).exits(69).says(&["kubeconfig", "there are no AWS credentials", "aws sso login"]);
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
    assert!(!sandbox.path("instance-map.yaml").exists());
}

#[test]
fn credentials_that_cannot_be_used_are_told_in_a_sentence() {
    let mut sandbox = sandbox();
    sandbox.set("AWS_PROFILE", "dev");
    for (config, says) in [
        ("[profile dev]\ncredential_process = sh -c 'echo nobody is logged in >&2; exit 1'\n", "the AWS credentials cannot be used"),
        (
            "[profile dev]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://s.example\n",
            "aws sso login --profile dev",
        ),
        ("[profile other]\nregion = eu-west-1\n", "AWS"),
        ("[profile dev\n", "AWS"),
    ] {
        configure(&sandbox, config);
        let output = sandbox.command(["init"]).exits(69).says(&[says, "the node groups cannot be looked up in AWS"]);
        assert!(output.took < Duration::from_secs(20), "{config}: {:?}", output.took);
    }
}

#[test]
fn an_account_that_cannot_be_reached_is_not_waited_for_long() {
    let mut sandbox = sandbox();
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").set("AWS_SECRET_ACCESS_KEY", "secret").set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let output = sandbox.command(["init"]).exits(69).says(&["AWS Auto Scaling in region `eu-west-1` cannot be reached: connection refused"]);
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
    sandbox.unset("AWS_REGION");
    drop(sandbox.command(["init"]).exits(69).says(&["no region is known"]));
}

#[test]
fn flags_of_init_are_checked_before_anything_is_asked() {
    let sandbox = sandbox();
    drop(sandbox.command(["init", "--name", "flows"]).exits(2).says(&["flows", "="]));
    drop(sandbox.command(["init", "--name", "flows=bad name"]).exits(2).says(&["bad name"]));
    drop(sandbox.command(["init", "--image", "two words"]).exits(2).says(&["two words"]));
    drop(sandbox.command(["doctor", "--size", ""]).exits(2).says(&["size"]));
    sandbox.write("broken.yaml", "version: 1\nsizes: 7\n");
    drop(sandbox.command(["init", "--map", "broken.yaml"]).exits(78).says(&["sizes", "--from-scratch"]));
}
