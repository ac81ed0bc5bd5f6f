//! What an API server's status means.

use kube::core::{Status, response::StatusDetails};

use super::is_foreign;
use crate::error::Error;

/// Returns what a status means to a user.
pub(super) fn explain(status: &Status, doing: &str) -> Error {
    let words = status.message.trim();
    if words.starts_with('<') {
        return Error::unreachable(format!("something answered with a web page in place of the API server (status {}), while {doing}", status.code))
            .hinted("is there a proxy or a login page in between? see `HTTPS_PROXY`, `NO_PROXY` and the kubeconfig's `proxy-url`");
    }
    if let Some(error) = explain_policy(words, doing) {
        return error;
    }
    let error = match status.code {
        401 => Error::not_allowed(format!("the API server does not accept the credentials, while {doing}")).hinted("log in again"),
        403 => return explain_forbidden(status, doing),
        404 => return explain_missing(status, doing),
        409 if status.is_already_exists() => Error::rejected(format!("{} exists already, while {doing}", object(status))),
        409 => Error::failed(format!("{} has changed meanwhile, while {doing}", object(status))).hinted("run the command again"),
        413 => Error::rejected(format!("the request is too large for the API server, while {doing}")),
        422 => return explain_invalid(status, doing),
        429 => Error::unreachable(format!("the API server has too much to do, while {doing}")).hinted("try again later"),
        code if code >= 500 => Error::unreachable(format!("the API server is in trouble (status {code}), while {doing}")).hinted("try again later"),
        code => Error::rejected(format!("the API server refuses the request (status {code}), while {doing}")),
    };
    with_words(error, words)
}

fn with_words(error: Error, words: &str) -> Error {
    if words.is_empty() { error } else { error.caused_by(anyhow::anyhow!("{words}")) }
}

/// Returns the object that a status is about, as people write it: ``Job `x` ``.
fn object(status: &Status) -> String {
    let Some(StatusDetails { kind, name, .. }) = status.details.as_ref() else { return "the object".to_owned() };
    let kind = match kind.as_str() {
        "jobs" => "Job",
        "pods" => "pod",
        "nodes" => "node",
        "configmaps" => "ConfigMap",
        "secrets" => "Secret",
        "namespaces" => "namespace",
        "serviceaccounts" => "ServiceAccount",
        "" => "the object",
        other => other,
    };
    if name.is_empty() { kind.to_owned() } else { format!("{kind} `{name}`") }
}

fn explain_missing(status: &Status, doing: &str) -> Error {
    let Some(details) = status.details.as_ref().filter(|details| !details.kind.is_empty() && !is_foreign(status)) else {
        return with_words(Error::unreachable(format!("the server does not know this request, while {doing}")), status.message.trim())
            .hinted("is it the address of a Kubernetes API server?");
    };
    if details.kind == "namespaces" {
        return Error::rejected(format!("namespace `{}` does not exist, while {doing}", details.name))
            .hinted(format!("choose another one with `--namespace`, or make it: `kubectl create namespace {}`", details.name));
    }
    Error::failed(format!("{} does not exist, while {doing}", object(status)))
}

fn explain_invalid(status: &Status, doing: &str) -> Error {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<String> = causes
        .map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("`{field}`: {}", cause.message),
        })
        .collect();
    let words = if fields.is_empty() { status.message.trim().to_owned() } else { fields.join("; ") };
    with_words(Error::rejected(format!("the API server does not accept {}, while {doing}", object(status))), &words)
}

/// Returns what it means that an admission policy of the cluster refuses an object, whatever the status that it chose.
///
/// The words are `… ValidatingAdmissionPolicy 'NAME' with binding 'BINDING' denied request: PROBLEM; PROBLEM`.
fn explain_policy(words: &str, doing: &str) -> Option<Error> {
    let rest = words.split_once("ValidatingAdmissionPolicy '")?.1;
    let (name, rest) = rest.split_once('\'')?;
    let (_, problems) = rest.split_once("denied request: ")?;
    let error = Error::rejected(format!("the cluster's admission policy `{name}` refuses it, while {doing}"))
        .caused_by_all(problems.split("; ").map(ToOwned::to_owned).collect::<Vec<_>>());
    if !name.starts_with("sbrun-") {
        return Some(error);
    }
    Some(error.hinted(
        "`sbrun setup` made the policy from an instance map: when the map has changed since, `sbrun setup policy --apply` brings it up to date",
    ))
}

/// Who may not do what, in the words of the RBAC authorizer.
struct Denial<'a> {
    user: &'a str,
    verb: &'a str,
    resource: String,
    namespace: Option<&'a str>,
}

impl<'a> Denial<'a> {
    /// Parses `… is forbidden: User "ana" cannot create resource "jobs" in API group "batch" in the namespace "flows"`.
    fn parse(message: &'a str) -> Option<Self> {
        let rest = message.split_once("User \"")?.1;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.split_once("in the namespace \"").and_then(|(_, rest)| Some(rest.split_once('"')?.0));
        let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        Some(Self { user, verb, resource, namespace })
    }
}

fn explain_forbidden(status: &Status, doing: &str) -> Error {
    let words = status.message.trim();
    if let Some(Denial { user, verb, resource, namespace }) = Denial::parse(words) {
        let place = namespace.map(|namespace| format!(" in namespace `{namespace}`")).unwrap_or_default();
        let error = Error::not_allowed(format!("`{user}` may not {verb} {resource}{place}, while {doing}"));
        if user == "system:anonymous" {
            return error.hinted("the kubeconfig's user has no credentials, or the server did not see them");
        }
        let scope = namespace.map(|namespace| format!(" --namespace {namespace}")).unwrap_or_default();
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        return error
            .hinted(format!("ask for a {kind} that allows `{verb}` on `{resource}`"))
            .hinted(format!("`kubectl auth can-i {verb} {resource}{scope}` tells when you have it"));
    }
    // Everything else with this status comes from admission: asking again as somebody else would not help.
    let error = if let Some((_, quota)) = words.split_once("exceeded quota: ") {
        Error::rejected(format!("the namespace's quota `{}` does not allow it, while {doing}", quota.split(',').next().unwrap_or_default()))
            .hinted("`kubectl describe quota` shows what is used; a smaller size may fit")
    } else if words.contains("violates PodSecurity") {
        Error::rejected(format!("Pod Security of the namespace refuses the pod, while {doing}"))
    } else if words.contains("because it is being terminated") {
        Error::rejected(format!("the namespace is being deleted, while {doing}")).hinted("choose another one with `--namespace`")
    } else {
        Error::rejected(format!("the API server forbids it, while {doing}"))
    };
    with_words(error, words)
}
