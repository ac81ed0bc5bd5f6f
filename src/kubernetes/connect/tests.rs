use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::*;
use crate::{
    error::ErrorKind,
    kubernetes::{
        error::explain,
        retry::{
            Patience, Repeat,
            script::{Reply, Server, connect},
        },
    },
};

/// A user whose plugin runs `script`.
fn plugin(script: &str) -> Value {
    json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script], "interactiveMode": "Never" } })
}

async fn read(cluster: &Cluster) -> std::result::Result<ConfigMap, Error> {
    let api = cluster.api::<ConfigMap>();
    cluster.call(Repeat::Read, Patience::START, "reading ConfigMap `x`", || api.get("x")).await.map_err(|error| explain(error, "reading it"))
}

#[tokio::test]
async fn a_client_for_tls_is_made_without_a_panic() {
    let config = kube::Config::new("https://127.0.0.1:1".parse().unwrap());
    Door::new(config, None, None, Origin::default()).unwrap();
}

#[tokio::test]
async fn the_plugin_runs_once_for_many_calls_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo run >> {}; sleep 0.3; echo '{{\"status\":{{\"token\":\"t\"}}}}'", count.display());
    let server = Server::start(|_, _| Reply::object()).await;
    let (cluster, _) = connect(&server.url, plugin(&script)).await;
    let started = Instant::now();
    let (first, second, third) = tokio::join!(read(&cluster), read(&cluster), read(&cluster));
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\n");
    assert!(server.seen().iter().all(|seen| seen.authorization.as_deref() == Some("Bearer t")));
}

#[tokio::test]
async fn a_refused_credential_is_renewed_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> {0}; echo \"{{\\\"status\\\":{{\\\"token\\\":\\\"t$(wc -l < {0} | tr -d ' ')\\\"}}}}\"", count.display());
    let server = Server::start(|_, seen| match seen.authorization.as_deref() {
        Some("Bearer t2") => Reply::object(),
        _ => Reply::status(401, "Unauthorized", "Unauthorized"),
    })
    .await;
    let (cluster, _) = connect(&server.url, plugin(&script)).await;
    read(&cluster).await.unwrap();
    let sent: Vec<_> = server.seen().into_iter().filter_map(|seen| seen.authorization).collect();
    assert_eq!(sent, ["Bearer t1", "Bearer t2"]);
    read(&cluster).await.unwrap();
    assert_eq!(server.seen().len(), 3, "the new credential is kept");
}

#[tokio::test]
async fn credentials_that_stay_refused_are_an_error_that_names_the_plugin() {
    let server = Server::start(|_, _| Reply::status(401, "Unauthorized", "Unauthorized")).await;
    let (cluster, _) = connect(&server.url, plugin("echo '{\"status\":{\"token\":\"t\"}}'")).await;
    let error = read(&cluster).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAllowed);
    assert_eq!(error.message(), format!("the API server at `{}` does not accept the credentials, while reading it", server.url));
    assert_eq!(
        error.hints(),
        ["the credential plugin `sh` was run anew, to no avail: does it use the right account or profile?", "the kubeconfig's context is `test`"]
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_plugin_that_fails_is_quoted_and_nothing_is_sent() {
    let server = Server::start(|_, _| Reply::object()).await;
    let (cluster, _) = connect(&server.url, plugin("echo 'The SSO session has expired' >&2; exit 255")).await;
    let started = Instant::now();
    let error = read(&cluster).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotAllowed, "the credential plugin `sh` failed (exit status: 255), while reading it"));
    assert_eq!(error.causes(), ["The SSO session has expired"]);
    assert!(server.seen().is_empty() && started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_plugin_that_worked_before_gets_its_time_to_recover() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    // The second run fails, the third succeeds; every credential has ended when it is handed out.
    let script = format!(
        "echo x >> {0}; [ $(wc -l < {0}) = 2 ] && exit 1; echo '{{\"status\":{{\"token\":\"t\",\"expirationTimestamp\":\"2020-01-01T00:00:00Z\"}}}}'",
        count.display()
    );
    let server = Server::start(|_, _| Reply::object()).await;
    let (cluster, _) = connect(&server.url, plugin(&script)).await;
    let door = cluster.door.clone().unwrap();
    door.authenticate().await.unwrap();
    read(&cluster).await.unwrap();
    assert!(std::fs::read_to_string(&count).unwrap().lines().count() >= 3);
}

#[tokio::test]
async fn tokens_of_the_kubeconfig_are_sent_and_their_end_is_known() {
    let server = Server::start(|_, _| Reply::object()).await;
    // {"exp":1767268800}
    let (cluster, _) = connect(&server.url, json!({ "token": "h.eyJleHAiOjE3NjcyNjg4MDB9.s" })).await;
    read(&cluster).await.unwrap();
    assert_eq!(server.seen()[0].authorization.as_deref(), Some("Bearer h.eyJleHAiOjE3NjcyNjg4MDB9.s"));
    assert_eq!(cluster.credential_expiry(), Some("2026-01-01T12:00:00Z".parse().unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file").unwrap();
    let (cluster, _) = connect(&server.url, json!({ "tokenFile": file.path() })).await;
    read(&cluster).await.unwrap();
    assert_eq!(server.seen()[1].authorization.as_deref(), Some("Bearer from-file"));
    assert_eq!(cluster.credential_expiry(), None);
    assert_eq!((cluster.namespace.as_str(), cluster.context.as_deref(), cluster.server.as_str()), ("flows", Some("test"), server.url.as_str()));
    assert_eq!(cluster.contexts(), [("test".to_owned(), server.url.clone())]);
}

#[tokio::test]
async fn a_missing_client_certificate_is_found_before_any_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let kubeconfig = json!({
        "current-context": "t",
        "clusters": [{ "name": "c", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": { "client-certificate": "/no/such.crt", "client-key": "/no/such.key" } }],
        "contexts": [{ "name": "t", "context": { "cluster": "c", "user": "u" } }],
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let variables = [("KUBECONFIG".to_owned(), path.display().to_string())].into();
    let environment = Environment { variables, ..Environment::default() };
    let Err(error) = Cluster::connect(&ConnectOptions::default(), &environment, Arc::new(|_| ())).await else { panic!("no error") };
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::NotAllowed, "cannot read the client certificate `/no/such.crt` that the kubeconfig names")
    );
}

#[tokio::test]
async fn a_proxy_is_asked_to_tunnel() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 1024];
        let length = connection.read(&mut buffer).await.unwrap();
        connection.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    });
    let environment = Environment::default();
    let config = kube::Config::new("https://cluster.example:6443".parse().unwrap());
    let proxy = crate::proxy::Proxy::choose(Some(&format!("http://me:pa%40ss@{proxy}")), &environment, &config.cluster_url).unwrap();
    let door = Door::new(config, proxy, None, Origin { server: "https://cluster.example:6443".into(), context: None }).unwrap();
    let mut cluster = Cluster::from_client(kube::Client::new(door.clone(), "default"), "default");
    cluster.door = Some(door);
    let error = read(&cluster).await.unwrap_err();
    assert_eq!(error.message(), "cannot reach the API server at `https://cluster.example:6443` while reading it: the proxy wants credentials");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT cluster.example:6443 HTTP/1.1\r\n") && asked.contains("Proxy-Authorization: Basic bWU6cGFAc3M="), "{asked}");
}
