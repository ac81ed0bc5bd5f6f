//! Creating a Job exactly once: names are drawn before the first request, and whatever is not certain is looked up.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use serde_json::Value;

use super::payload;
use crate::{
    error::{Error, Result},
    kubernetes::{
        checks::missing_namespace,
        connect::Cluster,
        error::{explain, is_already_exists, is_not_found},
        labels,
        manifest::{self, Rendered},
        observe::{self, Detail, job_record},
        retry::{CallError, Patience, Repeat},
    },
    model::{
        diagnose::diagnose,
        evidence::{Evidence, JobRecord},
        identity::{JobName, RunId},
        launch_plan::LaunchPlan,
        outcome::Outcome,
    },
};

/// Where Jobs are created; the server then also says which fields it does not know.
const JOBS: &str = "/apis/batch/v1/namespaces";
/// How often a creation of uncertain outcome is looked up and repeated.
const ROUNDS: u32 = 5;

/// A Job that exists now.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The Job.
    pub record: JobRecord,
    /// Whether it was there already, by the same key: running, or ended with a verdict that stands.
    pub attached: bool,
    /// The most that the Job's deadline may have run down already, by no clock but this process's: for [`super::renew_lease`].
    pub age: Duration,
}

/// What to do about the Jobs under a key.
enum Step {
    /// Create this one.
    Create(Box<LaunchPlan>),
    /// This one stands; the plan has its names.
    Attach(Box<LaunchPlan>, Box<Job>),
}

/// What came of a POST.
enum Posted {
    /// It is ours.
    Ours(Box<Job>),
    /// Another submission has the name.
    Taken(Box<Job>),
}

/// Creates the Job of a plan, and whatever it needs, exactly once.
///
/// With a key, an earlier Job of the same content is attached to, unless it was lost or found no node: then a further
/// attempt is created under the same run id. A submission that died half way is taken up where it stopped.
///
/// # Errors
/// Rejected when the name or key is taken by something else, or the server refuses the Job; then nothing is left behind.
/// Unreachable when the server does not answer; then at most one suspended Job is.
pub async fn create(cluster: &Cluster, plan: &LaunchPlan) -> Result<Created> {
    let mut step = Box::pin(first_step(cluster, plan)).await?;
    for _ in 0..ROUNDS {
        let plan = match step {
            Step::Attach(plan, job) => return attach(cluster, &plan, &job).await,
            Step::Create(plan) => plan,
        };
        let rendered = manifest::render(&plan)?;
        match post(cluster, &plan, &rendered).await? {
            Posted::Ours(job) => {
                let record = payload::complete(cluster, &plan, &rendered, &job, payload::OnFailure::Remove).await?;
                return Ok(Created { record, attached: false, age: Duration::ZERO });
            }
            Posted::Taken(job) => step = Box::pin(next_step(cluster, &plan, *job)).await?,
        }
    }
    Err(Error::failed(format!("Job `{}` appears and vanishes while it is being created", plan.name))
        .hinted("somebody else is using this name or key"))
}

/// Returns the objects as the server would store them, without creating any. Values of secrets stay hidden.
///
/// # Errors
/// Whatever [`create`] would refuse.
pub async fn dry_run(cluster: &Cluster, plan: &LaunchPlan) -> Result<Vec<Value>> {
    match Box::pin(first_step(cluster, plan)).await? {
        Step::Attach(_, job) => Ok(vec![payload::as_value(&*job)?]),
        Step::Create(plan) => payload::dry_run(cluster, &plan, &manifest::render(&plan)?).await,
    }
}

async fn first_step(cluster: &Cluster, plan: &LaunchPlan) -> Result<Step> {
    let Some(key) = &plan.key else { return Ok(Step::Create(Box::new(plan.clone()))) };
    let doing = format!("looking for jobs of key `{key}`");
    let selector = format!("{}={}", labels::KEY, manifest::key_label(key));
    let jobs = cluster.read_all(&cluster.api::<Job>(), ListParams::default().labels(&selector), Patience::START, &doing).await;
    let jobs = jobs.map_err(|error| explain(error, &doing))?;
    match jobs.into_iter().max_by_key(|job| attempt_number(key, job)) {
        Some(job) => Box::pin(next_step(cluster, plan, job)).await,
        None => Ok(Step::Create(Box::new(LaunchPlan { name: JobName::for_key(key, 1), ..plan.clone() }))),
    }
}

/// Returns which attempt under a key a Job is, counted from 1.
fn attempt_number(key: &str, job: &Job) -> u32 {
    let first = JobName::for_key(key, 1);
    let name = job.metadata.name.as_deref().unwrap_or_default();
    name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_prefix('-')).and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Decides what a Job that is there already means for `plan`.
async fn next_step(cluster: &Cluster, plan: &LaunchPlan, job: Job) -> Result<Step> {
    let record = job_record(&job);
    let same_key = plan.key.as_ref().filter(|key| record.labels.get(labels::KEY) == Some(&manifest::key_label(key)));
    let Some(key) = same_key else { return Err(taken(&record)) };
    let name = JobName::for_key(key, attempt_number(key, &job) + 1);
    if record.deleted.is_some() {
        return Ok(Step::Create(Box::new(LaunchPlan { name, ..plan.clone() })));
    }
    let run_id = record.run_id.as_ref().map_or_else(|| plan.run_id.clone(), |id| RunId(id.clone()));
    if annotation(&job, labels::CONTENT) != Some(manifest::content_sha256(plan).as_str()) {
        return Err(other_content(key, plan, &record));
    }
    let grows = plan.grown_from.as_ref().is_some_and(|earlier| earlier.job == record.name);
    if grows {
        return Ok(Step::Create(Box::new(LaunchPlan { name, run_id, ..plan.clone() })));
    }
    // What was rejected never ran, and its cause may be mended by now: an image pushed, a quota raised.
    let again = [Outcome::Lost, Outcome::NoNode, Outcome::Rejected];
    // A follower gives its verdict as soon as it is certain; the Job controller writes the last condition a moment later.
    let ends = record.finished.is_some() || record.ending.is_some() || record.conditions.iter().any(|condition| condition.kind == "FailureTarget");
    if ends && Box::pin(outcome(cluster, &record)).await?.is_some_and(|outcome| again.contains(&outcome)) {
        return Ok(Step::Create(Box::new(LaunchPlan { name, run_id, ..plan.clone() })));
    }
    let existing = JobName::parse(&record.name).unwrap_or_else(|_| plan.name.clone());
    Ok(Step::Attach(Box::new(LaunchPlan { name: existing, run_id, ..plan.clone() }), Box::new(job)))
}

/// Returns how a finished Job ended: the verdict on it, else what the objects say now; nothing while that is not certain.
async fn outcome(cluster: &Cluster, record: &JobRecord) -> Result<Option<Outcome>> {
    if let Some(verdict) = &record.verdict {
        return Ok(Some(verdict.outcome));
    }
    let mut evidence = Evidence::default();
    Box::pin(observe::observe(cluster, &mut evidence, Detail::Full, &record.name, Some(&record.uid), Patience::START)).await?;
    Ok(diagnose(&evidence, cluster.now()).verdict.map(|verdict| verdict.outcome))
}

async fn attach(cluster: &Cluster, plan: &LaunchPlan, job: &Job) -> Result<Created> {
    let record = job_record(job);
    let age = Duration::from_secs(record.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default());
    if record.complete || record.finished.is_some() {
        return Ok(Created { record, attached: true, age });
    }
    let rendered = manifest::render(plan)?;
    let record = payload::complete(cluster, plan, &rendered, job, payload::OnFailure::Keep).await?;
    Ok(Created { record, attached: true, age: Duration::ZERO })
}

/// Posts the Job until it is certain whose it is.
async fn post(cluster: &Cluster, plan: &LaunchPlan, rendered: &Rendered) -> Result<Posted> {
    let doing = format!("creating Job `{}`", plan.name);
    let mut last = None;
    for _ in 0..ROUNDS {
        let error = match post_once(cluster, rendered, false, &doing).await {
            Ok(job) => return Ok(Posted::Ours(Box::new(job))),
            Err(error) => error,
        };
        if !is_already_exists(&error) && !matches!(error, CallError::Ambiguous(_)) {
            return Err(refused(cluster, error, &doing));
        }
        let looking = format!("looking whether Job `{}` was created", plan.name);
        let found = cluster.read(&cluster.api::<Job>(), plan.name.as_str(), Patience::START, &looking).await;
        match found.map_err(|error| explain(error, &looking))? {
            Some(job) if is_ours(&job, plan) => return Ok(Posted::Ours(Box::new(job))),
            Some(job) => return Ok(Posted::Taken(Box::new(job))),
            None => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Error::internal("no attempt was made to create the Job"), |error| explain(error, &doing)))
}

/// Posts the Job once, in exactly the bytes that were rendered.
pub(super) async fn post_once(cluster: &Cluster, rendered: &Rendered, dry_run: bool, doing: &str) -> Result<Job, CallError> {
    let dry = if dry_run { "&dryRun=All" } else { "" };
    let uri = format!("{JOBS}/{}/jobs?fieldManager={}&fieldValidation=Strict{dry}", cluster.namespace, labels::SBRUN);
    let body = rendered.job.to_string().into_bytes();
    cluster
        .call(Repeat::Create, Patience::START, doing, || {
            let request = http::Request::post(&uri).header(http::header::CONTENT_TYPE, "application/json").body(body.clone());
            let client = &cluster.client;
            async move { client.request::<Job>(request.map_err(kube::Error::HttpError)?).await }
        })
        .await
}

/// Returns what the server's refusal of the Job means.
pub(super) fn refused(cluster: &Cluster, error: CallError, doing: &str) -> Error {
    if is_not_found(&error) {
        return missing_namespace(cluster);
    }
    explain(error, doing)
}

fn is_ours(job: &Job, plan: &LaunchPlan) -> bool {
    annotation(job, labels::NONCE) == Some(plan.nonce.as_str()) && annotation(job, labels::CONTENT) == Some(manifest::content_sha256(plan).as_str())
}

fn annotation<'job>(job: &'job Job, name: &str) -> Option<&'job str> {
    job.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn taken(record: &JobRecord) -> Error {
    let owner = record.user.as_ref().map_or_else(|| "somebody else".to_owned(), |user| format!("`{user}`"));
    let created = record.created.map(|created| format!(" of {created}")).unwrap_or_default();
    Error::rejected(format!("the name `{}` is taken by a Job of {owner}{created}", record.name))
        .hinted("choose another --name, or another --namespace")
        .hinted(format!("look at it: sbrun why {}", record.name))
}

fn other_content(key: &str, plan: &LaunchPlan, record: &JobRecord) -> Error {
    let mut differing = Vec::new();
    if let Some(recorded) = &record.plan {
        let parts = [
            ("flow", recorded.flow.file != plan.flow.file || recorded.flow.interpreter != plan.flow.interpreter),
            ("arguments", recorded.flow.arguments != plan.flow.arguments),
            ("image", recorded.image != plan.image),
            ("size", recorded.size != plan.size),
            ("environment", recorded.environment != plan.environment),
            ("secret names", !recorded.secrets.iter().map(|secret| &secret.name).eq(plan.secrets.iter().map(|secret| &secret.name))),
        ];
        differing.extend(parts.into_iter().filter_map(|(part, differs)| differs.then_some(part)));
    }
    let what = if differing.is_empty() { "files".to_owned() } else { differing.join(", ") };
    Error::rejected(format!("key `{key}` belongs to Job `{}`, which was submitted with other {what}", record.name))
        .hinted("a key names one submission: use another --key for other content")
        .hinted(format!("or remove the earlier one first: sbrun clean {}", record.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_under_a_key_are_counted_by_their_names() {
        let number = |name: String| {
            let mut job = Job::default();
            job.metadata.name = Some(name);
            attempt_number("k", &job)
        };
        for attempt in [1, 2, 11] {
            assert_eq!(number(JobName::for_key("k", attempt).to_string()), attempt);
        }
        assert_eq!(number("other".into()), 1);
    }
}
