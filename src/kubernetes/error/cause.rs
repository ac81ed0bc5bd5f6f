//! What is behind a `kube::Error`: found by the types in its chain and by status, not by its text.

use std::{error::Error as StdError, fmt, io, time::Duration};

use hyper_util::client::legacy;
use kube::core::Status;
use rustls::CertificateError;

use crate::kubernetes::{
    connect::door::{Origin, Unanswered, Unauthorized},
    credential::PluginError,
};

/// What is said of a server whose answer is overdue.
pub(crate) const UNANSWERED: &str = "the API server has not answered";

/// The cause of a failed call.
#[derive(Debug)]
pub(crate) enum Cause<'a> {
    /// The server answered with an error of its own.
    Status(&'a Status),
    /// The server does not accept the credentials.
    Unauthorized(&'a Unauthorized),
    /// There are no credentials.
    Plugin(&'a PluginError),
    /// No answer within this time; the request may have been carried out.
    Overdue(Duration),
    /// No connection, so that surely nothing was sent.
    Connecting(Problem<'a>),
    /// The connection broke; the request may have been carried out.
    Broken(Problem<'a>),
    /// The answer is not what an API server sends.
    Garbled,
    /// The request could not even be made.
    Unsendable,
}

/// What happened to a connection.
#[derive(Debug)]
pub(crate) enum Problem<'a> {
    Refused,
    Closed,
    TimedOut,
    Unresolved,
    ProxyAuthentication,
    ProxyRefused,
    Tls(&'a rustls::Error),
    /// The innermost error's own words.
    Other(String),
}

/// A call that our own deadline ended.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) after: Duration,
    pub(crate) origin: Origin,
}

impl fmt::Display for Overdue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer within {} s", self.after.as_secs())
    }
}

impl StdError for Overdue {}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => formatter.write_str("connection refused"),
            Self::Closed => formatter.write_str("connection closed"),
            Self::TimedOut => formatter.write_str("connection timed out"),
            Self::Unresolved => formatter.write_str("its name cannot be resolved"),
            Self::ProxyAuthentication => formatter.write_str("the proxy wants credentials"),
            Self::ProxyRefused => formatter.write_str("the proxy does not connect"),
            Self::Tls(error) => formatter.write_str(&certificate_words(error)),
            Self::Other(words) => formatter.write_str(words),
        }
    }
}

impl Cause<'_> {
    /// Returns the start of a sentence that goes on with "for 3 s".
    pub(crate) fn complaint(&self) -> &'static str {
        match self {
            Self::Status(status) if status.code == 429 => "the API server has been busy",
            Self::Status(_) | Self::Garbled => "the API server has been in trouble",
            Self::Plugin(_) | Self::Unauthorized(_) => "there have been no valid credentials",
            Self::Overdue(_) | Self::Connecting(_) | Self::Broken(_) | Self::Unsendable => UNANSWERED,
        }
    }
}

impl fmt::Display for Cause<'_> {
    /// Writes a few words for a line in parentheses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) if status.reason.is_empty() || super::is_foreign(status) => write!(formatter, "status {}", status.code),
            Self::Status(status) => write!(formatter, "status {}, {}", status.code, status.reason),
            Self::Unauthorized(_) => formatter.write_str("credentials not accepted"),
            Self::Plugin(error) => write!(formatter, "{error}"),
            Self::Overdue(_) => formatter.write_str("no answer"),
            Self::Connecting(problem) | Self::Broken(problem) => write!(formatter, "{problem}"),
            Self::Garbled => formatter.write_str("the answer is not JSON"),
            Self::Unsendable => formatter.write_str("the request cannot be made"),
        }
    }
}

/// Returns the cause of an error.
pub(crate) fn cause(error: &kube::Error) -> Cause<'_> {
    match error {
        kube::Error::Api(status) => Cause::Status(status),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Cause::Garbled,
        kube::Error::Service(inner) => cause_of_service(inner.as_ref()),
        kube::Error::HyperError(inner) => Cause::Broken(problem(inner)),
        kube::Error::ReadEvents(inner) => Cause::Broken(problem(inner)),
        _ => Cause::Unsendable,
    }
}

/// Returns where the request was going, when that is known.
pub(crate) fn origin(error: &kube::Error) -> Option<&Origin> {
    let kube::Error::Service(inner) = error else { return None };
    let error = inner.as_ref();
    find::<Unanswered>(error)
        .map(|unanswered| &*unanswered.origin)
        .or_else(|| find::<Unauthorized>(error).map(|unauthorized| &*unauthorized.origin))
        .or_else(|| find::<Overdue>(error).map(|overdue| &overdue.origin))
}

fn cause_of_service<'a>(error: &'a (dyn StdError + 'static)) -> Cause<'a> {
    if let Some(plugin) = find(error) {
        return Cause::Plugin(plugin);
    }
    if let Some(unauthorized) = find(error) {
        return Cause::Unauthorized(unauthorized);
    }
    if let Some(Overdue { after, .. }) = find(error) {
        return Cause::Overdue(*after);
    }
    let connecting = find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect);
    if connecting { Cause::Connecting(problem(error)) } else { Cause::Broken(problem(error)) }
}

fn problem<'a>(error: &'a (dyn StdError + 'static)) -> Problem<'a> {
    if let Some(tls) = find(error) {
        return Problem::Tls(tls);
    }
    // hyper-util keeps these two types to itself; their words are all there is to know them by.
    let says = |words: &str| chain(error).any(|error| error.to_string() == words);
    if says("dns error") {
        return Problem::Unresolved;
    }
    if says("tunnel error: proxy authorization required") {
        return Problem::ProxyAuthentication;
    }
    if says("tunnel error: unsuccessful") {
        return Problem::ProxyRefused;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => Problem::Refused,
        Some(io::ErrorKind::TimedOut) => Problem::TimedOut,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => {
            Problem::Closed
        }
        _ if find::<hyper::Error>(error).is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled()) => {
            Problem::Closed
        }
        _ => Problem::Other(chain(error).last().map(ToString::to_string).unwrap_or_default()),
    }
}

/// Returns the words for what is wrong with a certificate or handshake.
fn certificate_words(error: &rustls::Error) -> String {
    let words = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "its certificate is not valid yet; is the clock right?",
            // A bad signature: another authority of the same name, as every kubeadm cluster has one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "its certificate is signed by an unknown authority",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "its certificate is for another name",
            _ => "its certificate is not valid",
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => return format!("TLS failed: {error}"),
    };
    words.to_owned()
}

/// Returns an error and everything behind it. `io::Error` hides what it wraps from `source`.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// Returns the first error of a type in the chain.
pub(crate) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}
