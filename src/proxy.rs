//! The proxy between sbrun and a server, if any: the same rules for every server that is not AWS, whose SDK has its own.

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::{
    environment::Environment,
    error::{Error, Result},
};

/// A proxy: its address without, and its credentials apart.
#[derive(Debug, Clone)]
pub(crate) struct Proxy(pub(crate) Intercept);

impl Proxy {
    /// Returns the proxy for `server`: the kubeconfig's, else the environment's unless `NO_PROXY` excepts the server.
    ///
    /// kube compares `NO_PROXY` with the proxy's own address, which never matches; this is Go's rule, and kubectl's.
    pub(crate) fn choose(proxy_url: Option<&str>, environment: &Environment, server: &Uri) -> Result<Option<Self>> {
        if let Some(proxy_url) = proxy_url.filter(|url| !url.is_empty()) {
            return Self::parse(proxy_url, "", server, "the kubeconfig's `proxy-url`");
        }
        let variable = |upper: &str, lower: &str| environment.get(upper).or_else(|| environment.get(lower)).unwrap_or_default().to_owned();
        let proxy_url = variable("HTTPS_PROXY", "https_proxy");
        if proxy_url.is_empty() || server.scheme_str() != Some("https") || is_local(server.host().unwrap_or_default()) {
            return Ok(None);
        }
        Self::parse(&proxy_url, &variable("NO_PROXY", "no_proxy"), server, "`HTTPS_PROXY`")
    }

    fn parse(proxy_url: &str, except: &str, server: &Uri, origin: &str) -> Result<Option<Self>> {
        let invalid = || Error::rejected(format!("{origin} is no proxy address")).hinted("it has to look like `http://host:3128`");
        // The matcher ignores what it cannot read; going round a proxy that somebody asked for would be wrong.
        let matched = Matcher::builder().all(proxy_url).build().intercept(server).ok_or_else(invalid)?;
        if !matches!(matched.uri().scheme_str(), Some("http" | "https" | "socks5" | "socks5h")) {
            return Err(invalid());
        }
        Ok(Matcher::builder().all(proxy_url).no(except).build().intercept(server).map(Self))
    }
}

/// Returns whether a host is this machine, which Go never reaches through a proxy of the environment.
fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(proxy_url: Option<&str>, variables: &[(&str, &str)], server: &str) -> Result<Option<String>> {
        let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment = Environment { variables, ..Environment::default() };
        Ok(Proxy::choose(proxy_url, &environment, &server.parse().unwrap())?.map(|proxy| proxy.0.uri().to_string()))
    }

    #[test]
    fn the_proxy_is_the_one_that_kubectl_would_use() {
        let proxy = ("HTTPS_PROXY", "http://p:3128");
        for (proxy_url, variables, server, expected) in [
            (None, &[][..], "https://c", None),
            (None, &[proxy], "https://c:6443", Some("http://p:3128/")),
            (None, &[("https_proxy", "http://p:3128")], "https://c", Some("http://p:3128/")),
            (None, &[proxy, ("NO_PROXY", "c")], "https://c:6443", None),
            (None, &[proxy, ("no_proxy", "a, .example.org")], "https://c.example.org", None),
            (None, &[proxy, ("NO_PROXY", "10.0.0.0/8")], "https://10.1.2.3", None),
            (None, &[proxy, ("NO_PROXY", "p")], "https://c", Some("http://p:3128/")),
            (None, &[proxy, ("NO_PROXY", "localhost,,x")], "https://c", Some("http://p:3128/")),
            (None, &[proxy], "http://c", None),
            (None, &[proxy], "https://127.0.0.1:6443", None),
            (None, &[proxy], "https://[::1]:6443", None),
            (Some("socks5://s:1080"), &[proxy, ("NO_PROXY", "c")], "https://c", Some("socks5://s:1080/")),
            (Some("http://me:pass@p:1"), &[], "https://c", Some("http://p:1/")),
            (Some(""), &[proxy], "https://c", Some("http://p:3128/")),
        ] {
            assert_eq!(choose(proxy_url, variables, server).unwrap().as_deref(), expected, "{proxy_url:?} {variables:?} {server}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error() {
        let error = choose(Some("ftp://p"), &[], "https://c").unwrap_err();
        assert_eq!(error.message(), "the kubeconfig's `proxy-url` is no proxy address");
        assert!(choose(None, &[("HTTPS_PROXY", "not a proxy")], "https://c").is_err());
        assert!(choose(None, &[("HTTPS_PROXY", "socks4://p")], "https://c").is_err());
    }
}
