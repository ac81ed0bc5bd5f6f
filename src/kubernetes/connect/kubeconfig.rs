//! Which cluster, user and namespace: the kubeconfig first, then the pod that sbrun runs in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Uri;
use kube::{
    Config,
    config::{self, AuthInfo, ExecConfig, Kubeconfig, KubeconfigError, LoadDataError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::ConnectOptions;
use crate::{
    environment::Environment,
    error::{Error, Result},
    model::{address::without_user, suggestion},
    proxy::Proxy,
};

/// Where the kubelet puts a pod's service account.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A cluster that was chosen, before any connection.
#[derive(Debug)]
pub(super) struct Target {
    /// Everything but the credential plugin and the proxy, which are ours.
    pub(super) config: Config,
    pub(super) plugin: Option<ExecConfig>,
    pub(super) proxy: Option<Proxy>,
    pub(super) context: Option<String>,
    pub(super) server: String,
    pub(super) namespace: String,
    /// Every context with its server.
    pub(super) contexts: Vec<(String, String)>,
}

/// Returns the cluster that options and environment ask for. `service_account` is a pod's folder of that name.
pub(super) fn choose(options: &ConnectOptions, environment: &Environment, service_account: &Path) -> Result<Target> {
    let paths = paths(environment);
    match read(&paths)? {
        Some(kubeconfig) => from_kubeconfig(&kubeconfig, options, environment),
        None if options.context.is_none() && environment.get("KUBERNETES_SERVICE_HOST").is_some() => from_pod(options, environment, service_account),
        None => Err(nothing_found(&paths, environment)),
    }
}

/// Returns the files that kubectl would read.
fn paths(environment: &Environment) -> Vec<PathBuf> {
    let listed: Vec<PathBuf> =
        environment.get("KUBECONFIG").map(std::env::split_paths).into_iter().flatten().filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() { environment.home().map(|home| home.join(".kube/config")).into_iter().collect() } else { listed }
}

/// Returns the merged kubeconfig; none when no file exists or none has a context.
fn read(paths: &[PathBuf]) -> Result<Option<Kubeconfig>> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        match Kubeconfig::read_from(path) {
            // As kubectl does: a file of the list that does not exist is no error.
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(path, error)),
            Ok(next) => merged = merged.merge(next).map_err(|error| unreadable(path, error))?,
        }
    }
    Ok(Some(merged).filter(|merged| !merged.contexts.is_empty()))
}

fn unreadable(path: &Path, error: KubeconfigError) -> Error {
    let path = path.display();
    match error {
        KubeconfigError::ReadConfig(error, _) => Error::not_allowed(format!("cannot read the kubeconfig `{path}`")).caused_by(error),
        // Only the first line: the rest quotes the file, and the file holds tokens.
        KubeconfigError::Parse(error) => {
            let text = error.to_string();
            let place = error.location().map(|place| format!(" at line {}", place.line())).unwrap_or_default();
            Error::rejected(format!("the kubeconfig `{path}` is not valid{place}"))
                .caused_by(anyhow::anyhow!("{}", text.lines().next().unwrap_or_default().trim()))
                .hinted("`kubectl config view` reads the same file")
        }
        error => Error::rejected(format!("the kubeconfig `{path}` does not go together with the others of `KUBECONFIG`")).caused_by(error),
    }
}

fn nothing_found(paths: &[PathBuf], environment: &Environment) -> Error {
    let error = match paths {
        [] => {
            return Error::unreachable("no kubeconfig: neither `KUBECONFIG` nor `HOME` is set")
                .hinted("set `KUBECONFIG` to the path of a kubeconfig");
        }
        [path] => Error::unreachable(format!("no kubeconfig with a context at `{}`", path.display())),
        paths => {
            let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            Error::unreachable(format!("no kubeconfig with a context at {}", suggestion::listed(names.iter().map(String::as_str))))
        }
    };
    let error = if environment.get("KUBECONFIG").is_some() { error.hinted("`KUBECONFIG` names the files to read") } else { error };
    error.hinted("make one with `aws eks update-kubeconfig --name <cluster>`, or set `KUBECONFIG`")
}

fn from_kubeconfig(kubeconfig: &Kubeconfig, options: &ConnectOptions, environment: &Environment) -> Result<Target> {
    let contexts = servers(kubeconfig);
    let name = options.context.clone().or_else(|| kubeconfig.current_context.clone()).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Error::usage("the kubeconfig has no current context").hinted(choices(&contexts)));
    };
    let Some(context) = kubeconfig.contexts.iter().find(|named| named.name == name).and_then(|named| named.context.as_ref()) else {
        let error = Error::usage(format!("the kubeconfig has no context `{name}`"));
        let likely = suggestion::closest(&name, contexts.iter().map(|(name, _)| name.as_str()));
        let error = if let Some(likely) = likely { error.hinted(format!("did you mean `{likely}`?")) } else { error };
        return Err(error.hinted(choices(&contexts)));
    };
    let missing = |kind: &str, what: &str| Error::rejected(format!("context `{name}` names the {kind} `{what}`, which the kubeconfig does not have"));
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster).and_then(|named| named.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?;
    let user = match context.user.as_deref().filter(|user| !user.is_empty()) {
        None => AuthInfo::default(),
        Some(user) => {
            let named = kubeconfig.auth_infos.iter().find(|named| named.name == user).ok_or_else(|| missing("user", user))?;
            named.auth_info.clone().unwrap_or_default()
        }
    };
    let server = cluster.server.clone().unwrap_or_default();
    let mut config = Config::new(parse_server(&server, &name)?);
    config.root_cert = certificate_authority(cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    let proxy = Proxy::choose(cluster.proxy_url.as_deref(), environment, &config.cluster_url)?;
    let plugin = take_plugin(user, cluster, &mut config)?;
    let namespace = options.namespace.clone().or_else(|| context.namespace.clone()).filter(|namespace| !namespace.is_empty());
    Ok(Target { config, plugin, proxy, context: Some(name), server, namespace: namespace.unwrap_or_else(|| "default".to_owned()), contexts })
}

/// Moves the user into the configuration and returns its credential plugin, which kube must not see.
fn take_plugin(mut user: AuthInfo, cluster: &config::Cluster, config: &mut Config) -> Result<Option<ExecConfig>> {
    if let Some(provider) = user.auth_provider.as_ref().filter(|provider| provider.name != "oidc") {
        return Err(Error::not_allowed(format!("the kubeconfig's auth provider `{}` is no longer supported, by kubectl neither", provider.name))
            .hinted("use its credential plugin: `gke-gcloud-auth-plugin` or `kubelogin`"));
    }
    let mut plugin = user.exec.take();
    // As client-go does: credentials that are in the kubeconfig win.
    if user.token.is_some() || user.token_file.is_some() || user.username.is_some() || user.auth_provider.is_some() {
        plugin = None;
    }
    if let Some(plugin) = plugin.as_mut().filter(|plugin| plugin.provide_cluster_info) {
        plugin.cluster = Some(cluster.try_into().map_err(explain_loading)?);
    }
    config.auth_info = user;
    Ok(plugin)
}

fn servers(kubeconfig: &Kubeconfig) -> Vec<(String, String)> {
    let server = |cluster: &str| {
        let cluster = kubeconfig.clusters.iter().find(|named| named.name == cluster)?.cluster.as_ref()?;
        cluster.server.as_deref().map(without_user)
    };
    let contexts = kubeconfig.contexts.iter().filter_map(|named| Some((named.name.clone(), named.context.as_ref()?)));
    contexts.map(|(name, context)| (name, server(&context.cluster).unwrap_or_default())).collect()
}

fn choices(contexts: &[(String, String)]) -> String {
    format!("choose one with `--context`: {}", suggestion::listed(contexts.iter().map(|(name, _)| name.as_str())))
}

fn parse_server(server: &str, context: &str) -> Result<Uri> {
    if without_user(server) != server {
        return Err(Error::rejected(format!("the server of context `{context}` has a user in its address"))
            .hinted("credentials belong to the user of the context: see `kubectl config set-credentials`"));
    }
    let parsed = server.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
    parsed.ok_or_else(|| {
        Error::rejected(format!("the server of context `{context}` is `{server}`, which is no address"))
            .hinted("it has to look like `https://host:6443`: see `kubectl config set-cluster`")
    })
}

fn certificate_authority(cluster: &config::Cluster) -> Result<Option<Vec<Vec<u8>>>> {
    let pem = if let Some(data) = &cluster.certificate_authority_data {
        STANDARD.decode(data).map_err(|error| Error::rejected("the kubeconfig's `certificate-authority-data` is not base64").caused_by(error))?
    } else if let Some(path) = &cluster.certificate_authority {
        fs::read(path).map_err(|error| unreadable_file("certificate authority", Path::new(path), error))?
    } else {
        return Ok(None);
    };
    parse_certificates(&pem).map(Some)
}

fn parse_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect()),
        _ => Err(Error::rejected("the cluster's certificate authority holds no certificate in PEM")),
    }
}

fn unreadable_file(what: &str, path: &Path, error: io::Error) -> Error {
    Error::not_allowed(format!("cannot read the {what} `{}` that the kubeconfig names", path.display())).caused_by(error)
}

/// Returns what it means that a certificate, key or token of the kubeconfig cannot be loaded.
pub(super) fn explain_loading(error: KubeconfigError) -> Error {
    let (what, error) = match error {
        KubeconfigError::LoadCertificateAuthority(error) => ("certificate authority", error),
        KubeconfigError::LoadClientCertificate(error) => ("client certificate", error),
        KubeconfigError::LoadClientKey(error) => ("client key", error),
        error => return Error::rejected("the kubeconfig is not valid").caused_by(error),
    };
    match error {
        LoadDataError::ReadFile(error, path) => unreadable_file(what, &path, error),
        LoadDataError::DecodeBase64(error) => Error::not_allowed(format!("the kubeconfig's {what} is not base64")).caused_by(error),
        LoadDataError::NoBase64DataOrFile => Error::not_allowed(format!("the kubeconfig's user has no {what}")),
    }
}

/// Returns the cluster of the pod that sbrun runs in.
fn from_pod(options: &ConnectOptions, environment: &Environment, service_account: &Path) -> Result<Target> {
    let host = environment.get("KUBERNETES_SERVICE_HOST").unwrap_or_default();
    let port = environment.get("KUBERNETES_SERVICE_PORT").unwrap_or("443");
    let server = if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") };
    let url = server.parse().map_err(|_| Error::rejected(format!("`KUBERNETES_SERVICE_HOST` and `_PORT` give no address: `{server}`")))?;
    let no_account = |error: io::Error| {
        Error::not_allowed("no kubeconfig, and this pod has no service account token")
            .caused_by(error)
            .hinted("set `serviceAccountName` and `automountServiceAccountToken: true` on the pod")
    };
    let authority = service_account.join("ca.crt");
    let token = service_account.join("token");
    let mut config = Config::new(url);
    config.root_cert = Some(parse_certificates(&fs::read(&authority).map_err(no_account)?)?);
    config.root_cert_file = Some(authority);
    fs::metadata(&token).map_err(no_account)?;
    config.auth_info.token_file = Some(token.display().to_string());
    let proxy = Proxy::choose(None, environment, &config.cluster_url)?;
    let own = || fs::read_to_string(service_account.join("namespace")).ok().map(|namespace| namespace.trim().to_owned());
    let namespace = options.namespace.clone().or_else(own).filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    Ok(Target { config, plugin: None, proxy, context: None, server, namespace, contexts: Vec::new() })
}

#[cfg(test)]
mod tests;
