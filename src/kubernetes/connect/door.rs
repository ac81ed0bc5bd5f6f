//! The one way to the API server: credentials go in here, and are renewed here when the server refuses them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use kube::{
    Config,
    client::{Body, DynBody},
};
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt};

use super::transport::{self, Transport};
use crate::{
    environment::now,
    kubernetes::credential::{Credential, Plugin, token_expiry},
    proxy::Proxy,
};

/// A `Retry-After` is honoured up to here; a server that asks for an hour is asked again sooner.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// Where requests go, for errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) server: String,
    pub(crate) context: Option<String>,
}

/// No answer came: the connection failed, before or after the request was sent.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) origin: Arc<Origin>,
    source: BoxError,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer from {}", self.origin.server)
    }
}

impl std::error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// The server does not accept the credentials, not even fresh ones.
#[derive(Debug)]
pub(crate) struct Unauthorized {
    pub(crate) origin: Arc<Origin>,
    /// The plugin that made the credentials, when one did.
    pub(crate) plugin: Option<String>,
    /// Whether any credentials were sent.
    pub(crate) anonymous: bool,
}

impl fmt::Display for Unauthorized {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} does not accept the credentials", self.origin.server)
    }
}

impl std::error::Error for Unauthorized {}

/// The service below `kube::Client`.
#[derive(Clone)]
pub(crate) struct Door(Arc<Shared>);

struct Shared {
    config: Config,
    proxy: Option<Proxy>,
    plugin: Option<Plugin>,
    origin: Arc<Origin>,
    /// Held while the plugin runs, so that it runs once however many calls wait for it.
    access: tokio::sync::Mutex<Access>,
    had_credential: AtomicBool,
    hold: Mutex<Option<Instant>>,
    /// How often the server asked for a pause, several answers at one time counted as one.
    pauses: AtomicUsize,
    ahead: AtomicI64,
}

/// What requests are sent with at the moment.
#[derive(Clone)]
struct Access {
    transport: Transport,
    credential: Option<Credential>,
    /// Counts the credentials, to tell whether a refused one has been replaced meanwhile.
    generation: u64,
}

/// Who sbrun says it is.
const AGENT: &str = concat!("sbrun/", env!("CARGO_PKG_VERSION"));

impl Door {
    /// Returns a door; fails when certificates or keys of the configuration cannot be used. Makes no connection.
    pub(super) fn new(mut config: Config, proxy: Option<Proxy>, plugin: Option<Plugin>, origin: Origin) -> kube::Result<Self> {
        // The audit log of a cluster then tells who asked.
        config.headers.push((header::USER_AGENT, HeaderValue::from_static(AGENT)));
        let transport = transport::build(&config, proxy.as_ref())?;
        let access = tokio::sync::Mutex::new(Access { transport, credential: None, generation: 0 });
        Ok(Self(Arc::new(Shared {
            config,
            proxy,
            plugin,
            origin: Arc::new(origin),
            access,
            had_credential: AtomicBool::new(false),
            hold: Mutex::new(None),
            pauses: AtomicUsize::new(0),
            ahead: AtomicI64::new(0),
        })))
    }

    /// Runs the credential plugin if there is one and it is time to. What follows then needs no plugin.
    pub(crate) async fn authenticate(&self) -> Result<(), BoxError> {
        self.0.access(None).await.map(drop)
    }

    /// Returns whether the plugin has handed out a credential before, so that a failure of it may pass.
    pub(crate) fn had_credential(&self) -> bool {
        self.0.had_credential.load(Ordering::Relaxed)
    }

    /// Returns by how many seconds the server's clock was ahead of this one at its last answer.
    pub(crate) fn seconds_ahead(&self) -> i64 {
        self.0.ahead.load(Ordering::Relaxed)
    }

    /// Returns until when the server asked not to be asked, by anybody here; nothing once that is over.
    pub(crate) fn hold(&self) -> Option<Instant> {
        let hold = *self.0.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.filter(|until| *until > Instant::now())
    }

    /// Returns how often the server asked for a pause so far.
    pub(super) fn pauses(&self) -> usize {
        self.0.pauses.load(Ordering::Relaxed)
    }

    /// Returns when credentials end that nobody renews: a token written into the kubeconfig.
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        use kube::config::AuthInfo;
        // `secrecy`'s own trait is not a dependency; the kubeconfig's serialisation shows the token.
        let AuthInfo { token: Some(_), .. } = &self.0.config.auth_info else { return None };
        let user = serde_json::to_value(&self.0.config.auth_info).ok()?;
        token_expiry(user.get("token")?.as_str()?)
    }
}

impl Shared {
    /// Returns what to send requests with, and runs the plugin when there is no credential yet, when it is about to
    /// end, or when it is the `refused` one.
    async fn access(&self, refused: Option<u64>) -> Result<Access, BoxError> {
        let mut access = self.access.lock().await;
        let Some(plugin) = &self.plugin else { return Ok(access.clone()) };
        let needed = access.credential.as_ref().is_none_or(|credential| credential.is_stale(now())) || refused == Some(access.generation);
        if needed {
            let credential = plugin.run(now()).await?;
            if let Some((certificate, key)) = credential.encoded_identity() {
                // Connections that are open go on with the old certificate: a new transport has none open.
                let mut config = self.config.clone();
                config.auth_info.client_certificate_data = Some(certificate);
                config.auth_info.client_key_data = Some(key.into());
                access.transport = transport::build(&config, self.proxy.as_ref())?;
            }
            access.credential = Some(credential);
            access.generation += 1;
            self.had_credential.store(true, Ordering::Relaxed);
        }
        Ok(access.clone())
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Box<DynBody>>, BoxError> {
        let access = self.access(None).await?;
        let again = self.plugin.as_ref().and_then(|_| copy(&request));
        let anonymous = self.is_anonymous();
        access.sign(&mut request);
        let response = self.exchange(access.transport, request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if let Some(mut again) = again {
            let renewed = self.access(Some(access.generation)).await?;
            renewed.sign(&mut again);
            let response = self.exchange(renewed.transport, again).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
        }
        let plugin = self.plugin.as_ref().map(|plugin| plugin.command().to_owned());
        Err(Unauthorized { origin: self.origin.clone(), plugin, anonymous }.into())
    }

    async fn exchange(&self, transport: Transport, request: Request<Body>) -> Result<Response<Box<DynBody>>, BoxError> {
        let response = transport.oneshot(request).await.map_err(|source| Unanswered { origin: self.origin.clone(), source })?;
        if let Some(pause) = retry_after(&response) {
            // What is answered to requests that were on their way already takes nothing back.
            let now = Instant::now();
            let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
            if hold.is_none_or(|until| until <= now) {
                self.pauses.fetch_add(1, Ordering::Relaxed);
            }
            *hold = (*hold).max(Some(now + pause));
        }
        if let Some(ahead) = seconds_ahead(&response) {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        Ok(response)
    }

    fn is_anonymous(&self) -> bool {
        let user = &self.config.auth_info;
        let certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
        let secret = user.token.is_some() || user.token_file.is_some() || user.username.is_some() || user.auth_provider.is_some();
        self.plugin.is_none() && !certificate && !secret
    }
}

impl Access {
    fn sign(&self, request: &mut Request<Body>) {
        if let Some(header) = self.credential.as_ref().and_then(|credential| credential.header.clone()) {
            request.headers_mut().insert(header::AUTHORIZATION, header);
        }
    }
}

/// Returns a copy of a request whose body is in memory, as all of ours are.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Returns the pause that a server in trouble asks for. Only its form in seconds: API servers send no other.
fn retry_after(response: &Response<Box<DynBody>>) -> Option<Duration> {
    let trouble = response.status() == StatusCode::TOO_MANY_REQUESTS || response.status().is_server_error();
    let header = response.headers().get(header::RETRY_AFTER).filter(|_| trouble)?;
    let seconds: u64 = header.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_HOLD))
}

/// Returns by how many seconds the server's clock is ahead of this one, by the `Date` header that Go's servers send.
fn seconds_ahead<B>(response: &Response<B>) -> Option<i64> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(date.duration_since(now()).as_secs())
}

impl Service<Request<Body>> for Door {
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { shared.send(request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_clock_is_read_from_its_answers() {
        let answer = |date: &str| Response::builder().header(header::DATE, date).body(()).unwrap();
        let later = now() + Duration::from_secs(3600);
        let ahead = seconds_ahead(&answer(&later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())).unwrap();
        assert!((3590..=3600).contains(&ahead), "{ahead}");
        assert_eq!(seconds_ahead(&answer("yesterday")), None);
    }
}
