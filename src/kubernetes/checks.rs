//! What can be checked on the server before anything is created, all at the same time.
//!
//! What the creation itself would say (namespace, admission, the right to create Jobs) is not asked twice: a detached
//! submission that needs nothing else costs one look at the quotas.

pub(in crate::kubernetes) mod permissions;
mod quota;
mod references;

pub use quota::excess as quota_excess;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace},
};
use kube::{Api, api::PostParams};

use crate::{
    error::{Error, ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden, is_not_found},
        retry::{CallError, Patience, Repeat},
    },
    model::launch_plan::{LaunchPlan, SecretSource},
};

/// What a submission goes on to do once the Job exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Follow it to its end.
    Follow,
    /// Leave it alone.
    Detach,
}

/// Something that keeps a job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    kind: ErrorKind,
    text: String,
    hint: String,
}

/// What one look brought: problems, and sentences about what could not be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Findings {
    problems: Vec<Problem>,
    unknown: Vec<String>,
}

impl Findings {
    fn problem(kind: ErrorKind, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { problems: vec![Problem { kind, text: text.into(), hint: hint.into() }], unknown: Vec::new() }
    }

    fn unknown(sentence: impl Into<String>) -> Self {
        Self { problems: Vec::new(), unknown: vec![sentence.into()] }
    }

    fn add(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.unknown.extend(other.unknown);
    }
}

/// Checks what a job needs of its namespace: permissions, Secrets and their keys, ServiceAccount, ConfigMaps, claims, quotas.
///
/// Returns sentences about what could not be checked.
///
/// # Errors
/// One error with all that is missing; or that the server does not answer, or does not know the user.
pub async fn check(cluster: &Cluster, plan: &LaunchPlan, purpose: Purpose) -> Result<Vec<String>> {
    let needs = permissions::needed(plan, purpose);
    let (permissions, references, quotas) =
        tokio::join!(permissions::check(cluster, &needs), references::check(cluster, plan), quota::check(cluster, &plan.footprint));
    let mut found = permissions?;
    let references = references?;
    if !references.problems.is_empty() {
        namespace(cluster).await?;
    }
    found.add(references);
    found.add(quotas?);
    if found.problems.is_empty() { Ok(found.unknown) } else { Err(combined(&found.problems)) }
}

/// Returns the API server's name for the user of this client; nothing when it does not say.
pub async fn identity(cluster: &Cluster) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = cluster
        .call(Repeat::Read, Patience::START, "asking who you are", || async {
            api.create(&PostParams::default(), &SelfSubjectReview::default()).await
        })
        .await;
    review.ok()?.status?.user_info?.username.filter(|name| !name.is_empty())
}

/// Returns the entries of a ConfigMap, or nothing when there is none. The cluster's instance map is read so.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn config_map(cluster: &Cluster, name: &str) -> Result<Option<BTreeMap<String, String>>> {
    let doing = format!("reading ConfigMap `{name}`");
    let map = cluster.read(&cluster.api::<ConfigMap>(), name, Patience::START, &doing).await.map_err(|error| explain(error, &doing))?;
    Ok(map.and_then(|map| map.data))
}

/// Returns an error when the namespace does not exist: then nothing in it does, and that is the whole story.
pub async fn namespace(cluster: &Cluster) -> Result<()> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let name = &cluster.namespace;
    match cluster.read(&api, name, Patience::ONCE, "reading the namespace").await {
        Ok(None) => Err(missing_namespace(cluster)),
        _ => Ok(()),
    }
}

/// Returns the error for a namespace that does not exist.
pub(super) fn missing_namespace(cluster: &Cluster) -> Error {
    let name = &cluster.namespace;
    Error::rejected(format!("namespace `{name}` does not exist in cluster {}", cluster.server))
        .hinted(format!("create it: kubectl create namespace {name}"))
        .hinted("or name another one with --namespace")
}

/// Returns what an answer means for something that a check wanted to see: `None` is for the caller to judge.
fn seen<T>(answer: Result<Option<T>, CallError>, what: &str) -> Result<Result<Option<T>, Findings>> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(error) if is_not_found(&error) => Ok(Ok(None)),
        Err(error) if is_forbidden(&error) => Ok(Err(Findings::unknown(format!("{what}: you may not read it")))),
        Err(error) => Err(explain(error, &format!("reading {what}"))),
    }
}

/// Returns one error for all problems. Missing permissions decide its kind: nothing else can be mended without them.
fn combined(problems: &[Problem]) -> Error {
    let kind = if problems.iter().any(|problem| problem.kind == ErrorKind::NotAllowed) { ErrorKind::NotAllowed } else { ErrorKind::Rejected };
    let mut hints: Vec<String> = Vec::new();
    for problem in problems {
        if !hints.contains(&problem.hint) {
            hints.push(problem.hint.clone());
        }
    }
    let message = match problems {
        [only] => only.text.clone(),
        several => {
            let lines: Vec<String> = several.iter().map(|problem| format!("\n  {}", problem.text)).collect();
            format!("{} things keep this job from running:{}", several.len(), lines.concat())
        }
    };
    Error::new(kind, message).with_hints(hints)
}

/// Returns whether the plan brings values of secrets, which then need a Secret of their own.
fn brings_secrets(plan: &LaunchPlan) -> bool {
    plan.secrets.iter().any(|secret| matches!(secret.source, SecretSource::Value(_)))
}

#[cfg(test)]
mod tests;

impl Cluster {
    /// Returns the version of the API server, such as `v1.36.3`.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn version(&self) -> Result<String> {
        let doing = "asking for the cluster's version";
        let version = self.call(Repeat::Read, Patience::ONCE, doing, || self.client.apiserver_version()).await;
        version.map(|version| version.git_version).map_err(|error| explain(error, doing))
    }
}
