//! Connections to the API server that notice when the other side is gone.

use std::time::Duration;

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            Connection, HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt, DynBody},
};
use tower::{BoxError, Service, ServiceBuilder, util::BoxCloneService};

use crate::proxy::Proxy;

/// Sends one request. No retries, no decompression (Kubernetes 1.37 gzips watches in a way that breaks decoders).
pub(super) type Transport = BoxCloneService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A load balancer drops idle connections in silence, some after 20 s; dead ones are noticed after a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// For TCP alone, over all addresses of the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For TCP, proxy and TLS together.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Shorter than the idle limits of proxies, so that a request seldom meets a connection that just closed.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Returns a transport for this configuration. Makes no connection.
pub(super) fn build(config: &Config, proxy: Option<&Proxy>) -> kube::Result<Transport> {
    // One provider for the whole process. It is an error only if somebody was quicker, with the same one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut config = config.clone();
    if config.cluster_url.scheme_str() == Some("http") || config.accept_invalid_certs {
        // Nothing will be verified: do not load the certificates of the operating system, which may not exist.
        config.root_cert = Some(Vec::new());
    }
    let Some(Proxy(proxy)) = proxy else {
        return over(&config, tcp());
    };
    match proxy.uri().scheme_str() {
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(proxy.uri().clone(), tcp());
            over(&config, if let Some((user, password)) = proxy.raw_auth() { socks.with_auth(user.into(), password.into()) } else { socks })
        }
        Some("https") => {
            // The proxy has a certificate of its own, which the cluster's authority did not sign.
            let own = Config::new(proxy.uri().clone());
            over(&config, tunnel(proxy, own.rustls_https_connector_with_connector(tcp())?))
        }
        _ => over(&config, tunnel(proxy, tcp())),
    }
}

fn tunnel<C>(proxy: &hyper_util::client::proxy::matcher::Intercept, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(header) = proxy.basic_auth() { tunnel.with_auth(header.clone()) } else { tunnel }
}

fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(USER_TIMEOUT));
    connector
}

fn over<C>(config: &Config, connector: C) -> kube::Result<Transport>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: std::error::Error + Send + Sync + 'static,
{
    let mut connector = hyper_timeout::TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(Some(HANDSHAKE_TIMEOUT));
    // No read time-out: a quiet flow's log stream is silent for hours.
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_response(|response: Response<hyper::body::Incoming>| response.map(|body| Box::new(body.map_err(BoxError::from)) as Box<DynBody>))
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneService::new(service))
}
