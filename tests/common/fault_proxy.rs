//! A proxy with faults between sbrun and the real API server: HTTP/1.1 over TLS, as a company's proxy or load balancer would be.
//!
//! What is behind it is real. It forwards every request and answer as they are, but for those that a rule of the test (this request, the
//! n-th time) or chance, from a given seed, picks for a [`Fault`]. sbrun knows nothing of it: its kubeconfig names the proxy's address.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::cluster::Namespace;

/// Longer than any command of a test may take.
const FOR_EVER: Duration = Duration::from_secs(600);
/// What was written before a reset has to be on its way first.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// What can go wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is forwarded only after this long.
    Delay(Duration),
    /// It is never forwarded and never answered, for this long; then the connection is reset.
    Stall(Duration),
    /// It is not forwarded; the answer has this status.
    Status(u16),
    /// It is not forwarded; the answer is this status, and to come back after so many seconds.
    Busy { status: u16, seconds: u32 },
    /// It is not forwarded; a watch begins and says that its resource version is too old.
    Expired,
    /// The connection is reset before it is forwarded.
    ResetBefore,
    /// It is forwarded and carried out; the connection is reset instead of an answer.
    ResetAfter,
    /// It is forwarded, and its answer ends early.
    Cut(After, End),
    /// It is forwarded, and some bytes of its answer are not the server's.
    Garbled,
    /// It is not forwarded; the answer has no content.
    NoContent,
    /// It is forwarded twice; the second answer is passed on.
    Twice,
}

/// How much of an answer's body comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Bytes(usize),
    Lines(usize),
}

/// How an answer ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As if that were all.
    Clean,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays.
    Stall,
}

/// Which requests a fault befalls: those whose method is `method` (any, if empty) and whose path with its query contains `path`.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    method: &'static str,
    path: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// Returns a rule for the first such request.
    pub(crate) fn new(method: &'static str, path: &str, fault: Fault) -> Self {
        Self { method, path: path.to_owned(), skip: 0, times: 1, fault }
    }

    /// Lets so many pass first.
    pub(crate) fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Befalls so many, one after another.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn picks(&mut self, method: &str, path: &str) -> Option<Fault> {
        if self.times == 0 || !(self.method.is_empty() || self.method == method) || !path.contains(&self.path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}

/// A request that came to the proxy.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    method: String,
    path: String,
    pub(crate) fault: Option<Fault>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)?;
        self.fault.map_or(Ok(()), |fault| write!(formatter, " with {fault:?}"))
    }
}

/// A running proxy; it goes when it is dropped.
pub(crate) struct FaultProxy {
    state: Arc<State>,
    _runtime: tokio::runtime::Runtime,
}

/// Faults by chance.
struct Chance {
    random: fastrand::Rng,
    /// One request in so many has a fault.
    one_in: u32,
}

struct State {
    rules: Mutex<Vec<Rule>>,
    chance: Mutex<Option<Chance>>,
    seen: Mutex<Vec<Seen>>,
    upstream: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: String,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl FaultProxy {
    /// Starts a proxy before the API server of this namespace, and leads the namespace's sandbox through it. No faults yet.
    pub(crate) fn before(namespace: &mut Namespace) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let ready = &namespace.cluster.ready;
        let kubeconfig = kubeconfig(listener.local_addr().unwrap(), &key.cert.pem(), ready["token"].as_str().unwrap());
        let path = namespace.sandbox.write("../kubeconfig-of-proxy", kubeconfig.to_string());
        namespace.sandbox.set("KUBECONFIG", path.to_str().unwrap());
        let state = Arc::new(State {
            rules: Mutex::default(),
            chance: Mutex::default(),
            seen: Mutex::default(),
            upstream: upstream(namespace.cluster.kubeconfig()),
            server: ready["server"].as_str().unwrap().to_owned(),
        });
        let key_pair = PrivateKeyDer::from_pem_slice(key.signing_key.serialize_pem().as_bytes()).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], key_pair).unwrap();
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), state.clone()));
        Self { state, _runtime: runtime }
    }

    /// Adds a rule; the first that picks a request counts.
    pub(crate) fn rule(&self, rule: Rule) -> &Self {
        self.state.rules.lock().unwrap().push(rule);
        self
    }

    /// Lets one request in so many have a fault, by chance from this seed.
    pub(crate) fn chance(&self, seed: u64, one_in: u32) {
        *self.state.chance.lock().unwrap() = Some(Chance { random: fastrand::Rng::with_seed(seed), one_in });
    }

    /// Ends all faults.
    pub(crate) fn calm(&self) {
        self.state.rules.lock().unwrap().clear();
        *self.state.chance.lock().unwrap() = None;
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Returns how many faults there were.
    pub(crate) fn faults(&self) -> usize {
        self.state.seen.lock().unwrap().iter().filter(|seen| seen.fault.is_some()).count()
    }
}

fn kubeconfig(address: SocketAddr, certificate: &str, token: &str) -> Value {
    let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": BASE64_STANDARD.encode(certificate)});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxied",
        "clusters": [{"name": "proxied", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "admin"}}],
    })
}

/// Returns a client that trusts the cluster's authority, as its kubeconfig names it.
fn upstream(kubeconfig: &str) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let field = "certificate-authority-data:";
    let encoded = text.lines().find_map(|line| line.trim().strip_prefix(field)).expect("the authority stands in the kubeconfig").trim();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&BASE64_STANDARD.decode(encoded).unwrap()).unwrap()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Client::builder(TokioExecutor::new()).build(HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build())
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            let connection = Connection::of(&stream);
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| state.clone().answer(request, connection.clone()));
            // An end of the connection is what faults are for.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// A connection that can be made to end with a reset.
#[derive(Clone)]
struct Connection(Arc<Mutex<Option<OwnedFd>>>);

impl Connection {
    fn of(stream: &TcpStream) -> Self {
        Self(Arc::new(Mutex::new(stream.as_fd().try_clone_to_owned().ok())))
    }

    /// Returns the error that ends the connection, now with a reset instead of an orderly end.
    fn reset(&self) -> io::Error {
        if let Some(socket) = self.0.lock().unwrap().take() {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        io::Error::other("a reset was ordered")
    }
}

impl State {
    fn fault(&self, method: &str, path: &str) -> Option<Fault> {
        let by_rule = self.rules.lock().unwrap().iter_mut().find_map(|rule| rule.picks(method, path));
        by_rule.or_else(|| self.chance.lock().unwrap().as_mut()?.fault(method, path))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, connection: Connection) -> io::Result<Response<Body>> {
        let method = request.method().to_string();
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let fault = self.fault(&method, &path);
        self.seen.lock().unwrap().push(Seen { at: Instant::now(), method, path, fault });
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = format!("{}{}", self.server, head.uri.path_and_query().unwrap()).parse().unwrap();
            *request.headers_mut() = head.headers.clone();
            request.headers_mut().remove(header::HOST);
            request
        };
        match fault {
            None => {}
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::Stall(time)) => {
                tokio::time::sleep(time).await;
                return Err(connection.reset());
            }
            Some(Fault::Status(status)) => return Ok(refusal(status, 0)),
            Some(Fault::Busy { status, seconds }) => return Ok(refusal(status, seconds)),
            Some(Fault::Expired) => return Ok(whole(200, format!("{}\n", json!({"type": "ERROR", "object": status_of(410, 0)})))),
            Some(Fault::ResetBefore) => return Err(connection.reset()),
            Some(Fault::NoContent) => return Ok(whole(204, String::new())),
            Some(Fault::ResetAfter | Fault::Twice) => {
                let answer = self.upstream.request(request()).await.map_err(io::Error::other)?;
                if fault == Some(Fault::ResetAfter) {
                    return Err(connection.reset());
                }
                answer.into_body().collect().await.map_err(io::Error::other)?;
            }
            Some(Fault::Cut(..) | Fault::Garbled) => {
                let answer = self.upstream.request(request()).await.map_err(io::Error::other)?;
                return Ok(spoilt(answer, fault, connection));
            }
        }
        let answer = self.upstream.request(request()).await.map_err(io::Error::other)?;
        Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }
}

fn whole(status: u16, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn refusal(status: u16, seconds: u32) -> Response<Body> {
    let mut response = whole(status, status_of(status, seconds).to_string());
    if seconds > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns a Status as the API server words it.
fn status_of(code: u16, seconds: u32) -> Value {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        410 => ("Expired", "too old resource version: 1 (2)"),
        429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        500 => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "Timeout: request did not complete within the allotted timeout"),
        _ => ("Unknown", "an error on the way"),
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
        "details": {"retryAfterSeconds": seconds},
    })
}

/// Returns the server's answer with a body that ends early or has wrong bytes in it.
fn spoilt(answer: Response<Incoming>, fault: Option<Fault>, connection: Connection) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let frames = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
    let body = match fault {
        Some(Fault::Cut(after, end)) => {
            let cut = stream::unfold((frames, Some(after)), |(mut frames, left)| async move {
                let (piece, left) = kept(frames.next().await?.ok()?, left?);
                Some((Ok(piece), (frames, left)))
            });
            let end = stream::once(async move {
                match end {
                    End::Clean => None,
                    End::Reset => {
                        tokio::time::sleep(ON_ITS_WAY).await;
                        Some(Err(connection.reset()))
                    }
                    End::Stall => {
                        tokio::time::sleep(FOR_EVER).await;
                        None
                    }
                }
            });
            cut.chain(end.filter_map(std::future::ready)).boxed()
        }
        _ => frames
            .map(|piece| {
                let mut bytes = piece?.to_vec();
                let middle = bytes.len() / 2;
                bytes.splice(middle..middle, *b"\0<html>");
                Ok(Bytes::from(bytes))
            })
            .boxed(),
    };
    Response::from_parts(head, BodyExt::boxed_unsync(StreamBody::new(body.map(|piece| piece.map(Frame::data)))))
}

/// Returns the part of a piece that comes through, and what may come after it; nothing after the last.
fn kept(mut piece: Bytes, left: After) -> (Bytes, Option<After>) {
    match left {
        After::Bytes(bytes) if piece.len() >= bytes => (piece.split_to(bytes), None),
        After::Bytes(bytes) => {
            let left = bytes - piece.len();
            (piece, Some(After::Bytes(left)))
        }
        After::Lines(lines) => {
            let ends: Vec<usize> = memchr::memchr_iter(b'\n', &piece).collect();
            match lines.checked_sub(1).and_then(|last| ends.get(last)) {
                Some(end) => (piece.split_to(end + 1), None),
                None if lines == 0 => (Bytes::new(), None),
                None => (piece, Some(After::Lines(lines - ends.len()))),
            }
        }
    }
}

impl Chance {
    fn fault(&mut self, method: &str, path: &str) -> Option<Fault> {
        if self.random.u32(0..self.one_in) > 0 {
            return None;
        }
        let random = &mut self.random;
        // Half an object is broken JSON to its reader, and the log of a container that runs has no end. But nothing tells half a log of one
        // that has ended from a whole one.
        let ends = path.contains("/log?") && !path.contains("follow=true");
        let end = [End::Reset, End::Stall, End::Clean][random.usize(0..if ends { 2 } else { 3 })];
        let after = if random.bool() { After::Bytes(random.usize(0..20_000)) } else { After::Lines(random.usize(0..40)) };
        let (watch, log) = (path.contains("watch="), path.contains("/log?"));
        Some(match random.u32(0..16) {
            0 | 1 => Fault::Delay(Duration::from_millis(random.u64(10..3_000))),
            2 => Fault::Stall(Duration::from_millis(random.u64(100..25_000))),
            3 => Fault::Status([500, 502, 503, 504][random.usize(0..4)]),
            4 => Fault::Busy { status: 429, seconds: random.u32(1..4) },
            5 if watch => Fault::Expired,
            5 | 6 => Fault::ResetBefore,
            7 | 8 => Fault::ResetAfter,
            9..=12 => Fault::Cut(after, end),
            // Nothing tells wrong bytes of a log from right ones.
            13 if !log => Fault::Garbled,
            14 if log => Fault::NoContent,
            _ if method == "GET" => Fault::ResetBefore,
            _ => Fault::Twice,
        })
    }
}
