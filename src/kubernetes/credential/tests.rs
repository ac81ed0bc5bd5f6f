use std::time::Instant;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mk_plugin(script: &str) -> Plugin {
    let exec = ExecConfig { command: Some("/bin/sh".into()), args: Some(vec!["-c".into(), script.into()]), ..ExecConfig::default() };
    Plugin::new(exec, &BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]))
}

async fn error_of(plugin: &Plugin) -> PluginError {
    match plugin.run(at("2026-01-01T12:00:00Z")).await {
        Ok(_) => panic!("the plugin should have failed"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_token_becomes_a_header_that_is_renewed_a_minute_early() {
    let plugin = mk_plugin(r#"echo '{"status":{"token":"t0k","expirationTimestamp":"2026-01-01T12:15:00Z"}}'"#);
    let credential = plugin.run(at("2026-01-01T12:00:00Z")).await.unwrap();
    let header = credential.header.clone().unwrap();
    assert_eq!((header.to_str().unwrap(), header.is_sensitive()), ("Bearer t0k", true));
    assert!(!credential.is_stale(at("2026-01-01T12:13:59Z")));
    assert!(credential.is_stale(at("2026-01-01T12:14:00Z")));
}

#[test]
fn a_short_lived_credential_is_used_before_it_is_renewed() {
    assert_eq!(margin(SignedDuration::from_secs(3600)), SignedDuration::from_secs(60));
    assert_eq!(margin(SignedDuration::from_secs(8)), SignedDuration::from_secs(2));
    assert_eq!(margin(SignedDuration::from_secs(-5)), SignedDuration::ZERO);
}

#[tokio::test]
async fn a_client_certificate_without_a_token_is_enough() {
    let plugin = mk_plugin(r#"echo '{"status":{"clientCertificateData":"CERT","clientKeyData":"KEY"}}'"#);
    let credential = plugin.run(at("2026-01-01T12:00:00Z")).await.unwrap();
    assert_eq!(credential.encoded_identity(), Some(("Q0VSVA==".to_owned(), "S0VZ".to_owned())));
    assert!(credential.header.is_none() && !credential.is_stale(at("2036-01-01T12:00:00Z")));
}

#[tokio::test]
async fn the_plugin_learns_what_it_is_asked_and_reads_no_input() {
    let mut exec = ExecConfig {
        command: Some("sh".into()),
        args: Some(vec!["-c".into(), "cat; printf '%s|%s' \"$KUBERNETES_EXEC_INFO\" \"$OWN\" >&2; exit 3".into()]),
        env: Some(vec![[("name".to_owned(), "OWN".to_owned()), ("value".to_owned(), "x".to_owned())].into()]),
        api_version: Some("client.authentication.k8s.io/v1".into()),
        provide_cluster_info: true,
        ..ExecConfig::default()
    };
    exec.cluster = Some(kube::config::ExecAuthCluster { server: Some("https://c".into()), ..Default::default() });
    let plugin = Plugin::new(exec, &BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]));
    let error = error_of(&plugin).await;
    let (info, own) = error.stderr.rsplit_once('|').unwrap();
    let info: serde_json::Value = serde_json::from_str(info).unwrap();
    let spec = json!({ "interactive": false, "cluster": { "server": "https://c" } });
    assert_eq!(info, json!({ "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "spec": spec }));
    assert_eq!(own, "x");
    assert_eq!(error.to_string(), "the credential plugin `sh` failed (exit status: 3)");
}

#[tokio::test]
async fn failures_are_told_apart_and_never_quote_a_token() {
    for (script, message, stderr) in [
        ("echo 'session expired' >&2; exit 255", "the credential plugin `/bin/sh` failed (exit status: 255)", "session expired"),
        ("true", "the credential plugin `/bin/sh` gave no usable credential: it printed nothing", ""),
        ("echo 's3cret'", "the credential plugin `/bin/sh` gave no usable credential: it is not JSON of an ExecCredential (line 1)", ""),
        (
            "echo '{\"status\":{}}'",
            "the credential plugin `/bin/sh` gave no usable credential: it has neither a token nor a client certificate with its key",
            "",
        ),
        ("echo '{}'", "the credential plugin `/bin/sh` gave no usable credential: it has no status", ""),
    ] {
        let error = error_of(&mk_plugin(script)).await;
        assert_eq!((error.to_string().as_str(), error.stderr.as_str()), (message, stderr));
    }
}

#[tokio::test]
async fn a_missing_plugin_says_how_to_install_it() {
    let exec = ExecConfig { command: Some("no-such-plugin".into()), install_hint: Some("brew install it".into()), ..ExecConfig::default() };
    let error = error_of(&Plugin::new(exec, &BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]))).await;
    assert_eq!(error.to_string(), "the credential plugin `no-such-plugin` is not installed");
    assert!(matches!(error.failure, PluginFailure::Missing { install_hint: Some(hint) } if hint == "brew install it"));
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let plugin = mk_plugin(&format!("exec sh -c 'echo $$ > {0}; sleep 30; :'", mark.display())).with_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let error = error_of(&plugin).await;
    assert!(matches!(error.failure, PluginFailure::TimedOut(_)) && started.elapsed() < Duration::from_secs(5));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let process = std::fs::read_to_string(&mark).unwrap();
    let state = std::process::Command::new("kill").args(["-0", process.trim()]).stderr(Stdio::null()).status().unwrap();
    assert!(!state.success(), "process {process} should be gone");
}

#[test]
fn the_end_of_a_web_token_is_read() {
    let claims = general_purpose::URL_SAFE_NO_PAD.encode(r#"{"sub":"me","exp":1767268800}"#);
    assert_eq!(token_expiry(&format!("head.{claims}.signature\n")), Some(at("2026-01-01T12:00:00Z")));
    for text in ["", "opaque", "a.b.c", "a..c"] {
        assert_eq!(token_expiry(text), None, "{text}");
    }
}
