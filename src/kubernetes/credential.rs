//! Exec credential plugins: run once, with a time-out, and with their own words kept for the error.
//!
//! kube would run the plugin three times at start-up, blocking, without a time-out, with our standard input and
//! with its standard error on our terminal.

use std::{collections::BTreeMap, fmt, io, process::Stdio, time::Duration};

use base64::{Engine, engine::general_purpose};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::config::ExecConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

/// A plugin that asks a person to log in somewhere must not hang a pipeline for ever.
pub(crate) const PLUGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// A credential is renewed this long before it ends, as client-go and kube do.
const RENEWAL_MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// What is kept of a plugin's standard error.
const KEPT_STDERR: usize = 2048;

/// The plugin of a kubeconfig's user.
#[derive(Debug)]
pub(crate) struct Plugin {
    command: String,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    install_hint: Option<String>,
    timeout: Duration,
}

/// What a plugin handed out.
#[derive(Clone)]
pub(crate) struct Credential {
    /// The header `Authorization`, marked as sensitive.
    pub(crate) header: Option<HeaderValue>,
    /// A client certificate and its key, both PEM.
    pub(crate) identity: Option<(String, String)>,
    renew_at: Option<Timestamp>,
}

/// Why a plugin handed out nothing.
#[derive(Debug)]
pub(crate) struct PluginError {
    /// The command, without its arguments.
    pub(crate) command: String,
    /// What happened.
    pub(crate) failure: PluginFailure,
    /// The end of what it wrote to standard error.
    pub(crate) stderr: String,
}

/// What happened to a plugin.
#[derive(Debug)]
pub(crate) enum PluginFailure {
    /// There is no such command.
    Missing {
        /// What the kubeconfig says about installing it.
        install_hint: Option<String>,
    },
    /// It could not be started.
    NotStarted(io::Error),
    /// It was still running after this long, and was killed.
    TimedOut(Duration),
    /// It ended in failure: `exit status: 255`.
    Ended(String),
    /// Its answer is no credential.
    Unusable(String),
}

impl fmt::Display for PluginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = &self.command;
        match &self.failure {
            PluginFailure::Missing { .. } => write!(formatter, "the credential plugin `{command}` is not installed"),
            PluginFailure::NotStarted(error) => write!(formatter, "the credential plugin `{command}` could not be started: {error}"),
            PluginFailure::TimedOut(limit) => write!(formatter, "the credential plugin `{command}` did not answer within {} s", limit.as_secs()),
            PluginFailure::Ended(status) => write!(formatter, "the credential plugin `{command}` failed ({status})"),
            PluginFailure::Unusable(why) => write!(formatter, "the credential plugin `{command}` gave no usable credential: {why}"),
        }
    }
}

impl std::error::Error for PluginError {}

/// A plugin's answer: client.authentication.k8s.io/v1 ExecCredential. Fields that are not used are left out.
#[derive(Deserialize)]
struct Answer {
    status: Option<AnswerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerStatus {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugin {
    /// Returns the plugin of `exec`, which gets `variables`, the kubeconfig's own ones and `KUBERNETES_EXEC_INFO`.
    pub(crate) fn new(exec: ExecConfig, variables: &BTreeMap<String, String>) -> Self {
        let mut variables = variables.clone();
        let own = exec.env.iter().flatten().filter_map(|entry| Some((entry.get("name")?.clone(), entry.get("value")?.clone())));
        variables.extend(own);
        let api_version = exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1beta1");
        let mut spec = json!({ "interactive": false });
        if let Some(cluster) = exec.cluster.filter(|_| exec.provide_cluster_info) {
            spec["cluster"] = serde_json::to_value(cluster).unwrap_or_default();
        }
        let info = json!({ "kind": "ExecCredential", "apiVersion": api_version, "spec": spec });
        variables.insert("KUBERNETES_EXEC_INFO".to_owned(), info.to_string());
        Self {
            command: exec.command.unwrap_or_default(),
            arguments: exec.args.unwrap_or_default(),
            variables,
            install_hint: exec.install_hint,
            timeout: PLUGIN_TIMEOUT,
        }
    }

    /// Returns the command, without its arguments.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// Returns the same plugin with another limit.
    #[cfg(test)]
    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Runs the plugin. Without a terminal of its own: standard input is empty, standard error is kept.
    pub(crate) async fn run(&self, now: Timestamp) -> Result<Credential, PluginError> {
        let fail = |failure, stderr: &[u8]| PluginError { command: self.command.clone(), failure, stderr: end_of(stderr) };
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).env_clear().envs(&self.variables).stdin(Stdio::null()).kill_on_drop(true);
        // Dropping the future at the time-out kills the child.
        let output = match tokio::time::timeout(self.timeout, command.output()).await {
            Err(_) => return Err(fail(PluginFailure::TimedOut(self.timeout), &[])),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(fail(PluginFailure::Missing { install_hint: self.install_hint.clone() }, &[]));
            }
            Ok(Err(error)) => return Err(fail(PluginFailure::NotStarted(error), &[])),
            Ok(Ok(output)) => output,
        };
        if !output.status.success() {
            return Err(fail(PluginFailure::Ended(output.status.to_string()), &output.stderr));
        }
        Credential::parse(&output.stdout, now).map_err(|why| fail(PluginFailure::Unusable(why), &output.stderr))
    }
}

impl Credential {
    fn parse(answer: &[u8], now: Timestamp) -> Result<Self, String> {
        if answer.trim_ascii().is_empty() {
            return Err("it printed nothing".to_owned());
        }
        // The parser's own words could quote the answer, and with it the token.
        let answer: Answer =
            serde_json::from_slice(answer).map_err(|error| format!("it is not JSON of an ExecCredential (line {})", error.line()))?;
        let status = answer.status.ok_or("it has no status")?;
        let header = status.token.filter(|token| !token.is_empty()).map(|token| bearer(&token)).transpose()?;
        let identity = status.client_certificate_data.zip(status.client_key_data);
        if header.is_none() && identity.is_none() {
            return Err("it has neither a token nor a client certificate with its key".to_owned());
        }
        let renew_at = status.expiration_timestamp.map(|expiry| expiry - margin(expiry.duration_since(now)));
        Ok(Self { header, identity, renew_at })
    }

    /// Returns whether it is time for a new one.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        self.renew_at.is_some_and(|renew_at| now >= renew_at)
    }

    /// Returns certificate and key as a kubeconfig holds them: base64 of PEM.
    pub(crate) fn encoded_identity(&self) -> Option<(String, String)> {
        let (certificate, key) = self.identity.as_ref()?;
        Some((general_purpose::STANDARD.encode(certificate), general_purpose::STANDARD.encode(key)))
    }
}

/// Returns how long before its end a credential of this lifetime is renewed: a minute, but never at once.
fn margin(lifetime: SignedDuration) -> SignedDuration {
    RENEWAL_MARGIN.min((lifetime / 4).max(SignedDuration::ZERO))
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "its token has characters that no header may have".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

/// Returns the end of what a program said, as text.
fn end_of(stderr: &[u8]) -> String {
    let kept = stderr.len().saturating_sub(KEPT_STDERR);
    String::from_utf8_lossy(&stderr[kept..]).trim().to_owned()
}

/// Returns when a bearer token ends, if it is a JSON Web Token that says so.
pub(crate) fn token_expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = general_purpose::URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    Timestamp::from_second(serde_json::from_slice::<Claims>(&claims).ok()?.exp).ok()
}

#[cfg(test)]
mod tests;
