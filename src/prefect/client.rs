//! One small client for the whole API: JSON in, JSON out, repeated where Prefect's own client repeats.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    error::{self, Origin},
    settings::Settings,
};
use crate::{
    environment::{self, Environment},
    error::{Error, Result},
    model::address::without_user,
    proxy::Proxy,
};

/// Sends one request.
type Transport = BoxCloneSyncService<Request<Full<Bytes>>, http::Response<Incoming>, BoxError>;

/// For TCP alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one try may take. A server on SQLite under load takes seconds.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How long a call is repeated while a command starts or answers a question.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to try for a connection: where nobody listens, seldom somebody will soon.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(8);
/// The first pause, on average half of it; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, also where the server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// No document of the API comes near: what is larger is none.
const LARGEST_ANSWER: usize = 64 << 20;

/// A Prefect server, as seen from this machine.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    settings: Settings,
    base: String,
    headers: HeaderMap,
    transport: Transport,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("api_url", &self.0.base).finish_non_exhaustive()
    }
}

/// An answer: its status, its body, and how long the server asks to be left alone.
struct Answer {
    status: StatusCode,
    body: Bytes,
    pause: Option<Duration>,
}

impl Server {
    /// Returns the server that Prefect itself would ask here; none when nothing names one. Makes no connection.
    ///
    /// # Errors
    /// When a file with settings cannot be read, or the address or a credential cannot be used.
    pub fn find(environment: &Environment) -> Result<Option<Self>> {
        Settings::find(environment)?.map(|settings| Self::connect(settings, environment)).transpose()
    }

    /// Returns the server that `settings` name. Makes no connection.
    ///
    /// # Errors
    /// When the address or a credential cannot be used.
    fn connect(settings: Settings, environment: &Environment) -> Result<Self> {
        let base = settings.api_url.value.trim_end_matches('/').to_owned();
        if without_user(&base) != base {
            return Err(Error::rejected("the address of the Prefect API has a user in it")
                .hinted(format!("it is from {}; credentials belong into PREFECT_API_AUTH_STRING or PREFECT_API_KEY", settings.api_url.origin)));
        }
        let uri: Uri =
            base.parse().ok().filter(|uri: &Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))).ok_or_else(|| {
                Error::rejected(format!("`{base}` is no address of a Prefect API"))
                    .hinted(format!("it is from {}, and has to look like `http://prefect.example:4200/api`", settings.api_url.origin))
            })?;
        let headers = headers(&settings)?;
        let proxy = Proxy::choose(None, environment, &uri)?;
        let transport = transport(&uri, proxy.as_ref())?;
        Ok(Self(Arc::new(Inner { settings, base, headers, transport })))
    }

    /// Returns where the address and the credentials came from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the address of the API, without a slash at its end.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.0.base
    }

    /// Reads a document; none where there is no such thing.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, doing: &str) -> Result<Option<T>> {
        let answer = self.send(&Method::GET, path, None, doing).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(&answer, doing).map(Some)
    }

    /// Sends a document and returns the answer. It is repeated when it may have been carried out: every POST of sbrun is a question, or
    /// carries a key by which the server knows it again.
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B, doing: &str) -> Result<T> {
        let answer = self.send(&Method::POST, path, Some(encode(body, doing)?), doing).await?;
        self.read(&answer, doing)
    }

    /// Changes a document.
    pub async fn patch<B: Serialize + Sync>(&self, path: &str, body: &B, doing: &str) -> Result<()> {
        let answer = self.send(&Method::PATCH, path, Some(encode(body, doing)?), doing).await?;
        self.check(&answer, doing)
    }

    /// Removes a document; one that is not there is removed already.
    pub async fn delete(&self, path: &str, doing: &str) -> Result<()> {
        let answer = self.send(&Method::DELETE, path, None, doing).await?;
        if answer.status == StatusCode::NOT_FOUND { Ok(()) } else { self.check(&answer, doing) }
    }

    /// Sends a request until an answer comes that a further try would not better.
    async fn send(&self, method: &Method, path: &str, body: Option<Bytes>, doing: &str) -> Result<Answer> {
        let uri: Uri =
            format!("{}{path}", self.0.base).parse().map_err(|error| Error::internal("a path of the Prefect API is wrong").caused_by(error))?;
        let begun = Instant::now();
        let deadline = begun + PATIENCE;
        for attempt in 0.. {
            let mut request = Request::new(Full::new(body.clone().unwrap_or_default()));
            (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri.clone());
            request.headers_mut().clone_from(&self.0.headers);
            let limit = ATTEMPT.min(deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)));
            let tried = tokio::time::timeout(limit, self.try_once(request)).await;
            let outcome = tried.unwrap_or_else(|_| Err(error::overdue(limit)));
            let asked = match &outcome {
                Ok(answer) if repeats(answer.status) => answer.pause.unwrap_or_default().min(LONGEST_PAUSE),
                Ok(_) => return outcome.map_err(|error| self.unanswered(error, doing)),
                Err(error) if error::is_final(error) => return outcome.map_err(|error| self.unanswered(error, doing)),
                Err(_) => Duration::ZERO,
            };
            let pause = pause(attempt).max(asked);
            let unreached = outcome.as_ref().is_err_and(error::is_unreached);
            if Instant::now() + pause >= if unreached { begun + CONNECTION_PATIENCE } else { deadline } {
                return outcome.map_err(|error| self.unanswered(error, doing));
            }
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop above has no end of its own")
    }

    async fn try_once(&self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let response = self.0.transport.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let seconds = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
        Ok(Answer { status: parts.status, body, pause: seconds.map(Duration::from_secs_f64) })
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer, doing: &str) -> Result<T> {
        self.check(answer, doing)?;
        serde_json::from_slice(&answer.body).map_err(|error| error::garbled(self.origin(), doing, error))
    }

    fn check(&self, answer: &Answer, doing: &str) -> Result<()> {
        if answer.status.is_success() { Ok(()) } else { Err(error::refused(self.origin(), answer.status, &answer.body, doing)) }
    }

    #[expect(clippy::needless_pass_by_value, reason = "an explained error is done with, and `map_err` hands it over")]
    fn unanswered(&self, error: BoxError, doing: &str) -> Error {
        error::unanswered(self.origin(), error.as_ref(), doing)
    }

    fn origin(&self) -> Origin<'_> {
        Origin { api_url: &self.0.base, settings: &self.0.settings }
    }
}

/// Returns whether Prefect's own client would try again after this answer.
fn repeats(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Returns the pause after a failed try: exponential, with full jitter.
fn pause(attempt: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    longest.mul_f64(f64::from(u32::from_le_bytes(environment::random())) / f64::from(u32::MAX))
}

fn encode<B: Serialize>(body: &B, doing: &str) -> Result<Bytes> {
    let text = serde_json::to_vec(body);
    text.map(Bytes::from).map_err(|error| Error::internal(format!("the request could not be written while {doing}")).caused_by(error))
}

/// Returns the headers of every request. The string of a self-hosted server wins over a key, as in Prefect.
fn headers(settings: &Settings) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("sbrun/", env!("CARGO_PKG_VERSION"))));
    let credential = match (&settings.auth_string, &settings.api_key) {
        (Some(string), _) => Some((format!("Basic {}", BASE64_STANDARD.encode(string.value.0.as_bytes())), &string.origin)),
        (None, Some(key)) => Some((format!("Bearer {}", key.value.0), &key.origin)),
        (None, None) => None,
    };
    if let Some((text, origin)) = credential {
        let value = HeaderValue::from_str(&text);
        let mut value = value
            .map_err(|_| Error::not_allowed(format!("the credential of the Prefect API from {origin} has characters that no header may have")))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Returns what sends requests to `server`, through `proxy` if there is one.
fn transport(server: &Uri, proxy: Option<&Proxy>) -> Result<Transport> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    if server.scheme_str() == Some("http") {
        return Ok(over(tcp)); // without the certificates of the operating system, which take their time to read and may not exist
    }
    let Some(Proxy(proxy)) = proxy else { return Ok(over(tls(tcp)?)) };
    match proxy.uri().scheme_str() {
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(proxy.uri().clone(), tcp);
            let socks = if let Some((user, password)) = proxy.raw_auth() { socks.with_auth(user.into(), password.into()) } else { socks };
            Ok(over(tls(socks)?))
        }
        Some("https") => Ok(over(tls(tunnel(proxy, tls(tcp)?))?)),
        _ => Ok(over(tls(tunnel(proxy, tcp))?)),
    }
}

fn tunnel<C>(proxy: &hyper_util::client::proxy::matcher::Intercept, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(header) = proxy.basic_auth() { tunnel.with_auth(header.clone()) } else { tunnel }
}

fn tls<C>(connector: C) -> Result<hyper_rustls::HttpsConnector<C>> {
    let roots = hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider());
    let roots = roots.map_err(|error| Error::failed("the certificates of the operating system cannot be read").caused_by(error))?;
    Ok(roots.https_or_http().enable_http1().wrap_connector(connector))
}

fn over<C>(connector: C) -> Transport
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: hyper_util::client::legacy::connect::Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + Unpin + 'static,
    C::Error: Into<BoxError>,
{
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    BoxCloneSyncService::new(client.map_err(BoxError::from))
}
