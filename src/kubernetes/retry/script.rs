//! A server for tests: it speaks just enough HTTP/1.1 to fail in every way that a real one can.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    environment::Environment,
    kubernetes::connect::{Cluster, ConnectOptions},
};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// How the server treats a request.
pub(crate) enum Reply {
    /// Status, extra header lines and body.
    Answer(u16, &'static str, Vec<u8>),
    /// Status 200 and a chunked body, which then ends so.
    Stream(Vec<Vec<u8>>, End),
    /// Never answers.
    Stall,
    /// Closes the connection without an answer.
    Reset,
}

/// How a stream ends.
pub(crate) enum End {
    Clean,
    Cut,
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, "Content-Type: application/json\r\n", body.to_string().into_bytes())
    }

    /// An API server's error.
    pub(crate) fn status(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message });
        Self::json(code, &body)
    }

    /// A ConfigMap, for calls whose answer does not matter.
    pub(crate) fn object() -> Self {
        Self::json(200, &json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "x" } }))
    }
}

/// A running server; ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts a server that asks `script` what to do with the nth request, counted from 0.
    pub(crate) async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), seen.clone());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (script, log) = (script.clone(), log.clone());
                tokio::spawn(async move { serve(connection, &*script, &log).await });
            }
        });
        Self { url, seen }
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut connection: TcpStream, script: &(dyn Fn(usize, &Seen) -> Reply + Send + Sync), log: &Mutex<Vec<Seen>>) {
    let Some(request) = read_request(&mut connection).await else { return };
    let nth = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    match script(nth, &request) {
        Reply::Answer(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            drop(connection.write_all(&[head.as_bytes(), &body].concat()).await);
        }
        Reply::Stream(chunks, end) => {
            drop(connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n").await);
            for chunk in chunks {
                drop(connection.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat()).await);
            }
            match end {
                End::Clean => drop(connection.write_all(b"0\r\n\r\n").await),
                End::Cut => {}
                End::Hang => std::future::pending().await,
            }
        }
        Reply::Stall => std::future::pending().await,
        Reply::Reset => {}
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let header = |name: &str| {
        let line = text.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    while bytes.len() < head + 4 + length {
        connection.read_buf(&mut bytes).await.ok()?;
    }
    let body = String::from_utf8_lossy(&bytes[head + 4..]).into_owned();
    let mut words = text.split(' ').map(ToOwned::to_owned);
    Some(Seen { method: words.next()?, target: words.next()?, authorization: header("authorization"), body })
}

/// Lines that a cluster said about its calls.
pub(crate) type Said = Arc<Mutex<Vec<String>>>;

/// Connects to a server as `user`, which is a kubeconfig's, with everything else by default.
pub(crate) async fn connect(server: &str, user: Value) -> (Cluster, Said) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "c", "user": "u", "namespace": "flows" } }],
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let variables = BTreeMap::from([("KUBECONFIG".to_owned(), path.display().to_string()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let environment = Environment { variables, ..Environment::default() };
    let said = Said::default();
    let notices = said.clone();
    let notices = Arc::new(move |line| notices.lock().unwrap().push(line));
    (Cluster::connect(&ConnectOptions::default(), &environment, notices).await.unwrap(), said)
}
