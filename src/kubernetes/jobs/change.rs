//! Changes of Jobs that exist: ending, leases, verdicts, removal. Each has the Job's UID as precondition.

use std::time::Duration;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::{DeleteParams, ListParams, Patch, Preconditions};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::payload::manager;
use crate::{
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, is_conflict, is_not_found},
        labels,
        observe::job_record,
        retry::{CallError, Patience, Repeat},
    },
    model::{
        evidence::{Ending, JobRecord},
        story::Verdict,
    },
};

/// The most of a log that is kept on a Job, in bytes.
const LOG_TAIL_LIMIT: usize = 4 << 10;
/// How often a change that somebody else overtook is decided anew.
const ROUNDS: u32 = 3;
/// How long to wait before looking for pods again.
const POLL: Duration = Duration::from_millis(250);

/// What ending a Job came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Its pods are ending now; the record stays.
    Ending(Box<JobRecord>),
    /// It had ended already, and nothing was changed.
    AlreadyFinished(Box<JobRecord>),
    /// It was suspended, so it had no pod, and was deleted.
    Deleted,
    /// There is no such Job any more.
    Gone,
}

/// A Job as it was when it was looked at: what may be deleted, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobVersion {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// `metadata.resourceVersion`; empty for any.
    pub resource_version: String,
}

impl From<&JobRecord> for JobVersion {
    fn from(job: &JobRecord) -> Self {
        Self { name: job.name.clone(), uid: job.uid.clone(), resource_version: job.resource_version.clone() }
    }
}

/// What deleting a Job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone, or going, with all that belongs to it.
    Deleted,
    /// It has changed since it was looked at, and was left alone.
    Changed,
}

/// Ends a Job and leaves on it who did so, when and why: one PATCH. Its pods get their grace.
///
/// # Errors
/// When the server refuses, or does not answer within `patience`: the job may then still run.
pub async fn end(cluster: &Cluster, record: &JobRecord, ending: &Ending, patience: Patience) -> Result<Ended> {
    let doing = format!("ending Job `{}`", record.name);
    let text = serde_json::to_string(ending).map_err(|error| Error::internal("an ending cannot be recorded").caused_by(error))?;
    let change = json!({"metadata": {"annotations": {labels::ENDING: text}}, "spec": {"activeDeadlineSeconds": 1}});
    let mut record = record.clone();
    for _ in 0..ROUNDS {
        if record.finished.is_some() {
            return Ok(Ended::AlreadyFinished(Box::new(record)));
        }
        if record.suspended {
            // A deadline does not run while a Job is suspended, and there is no pod to keep a record of.
            match delete_once(cluster, &JobVersion::from(&record), patience, &doing).await {
                Ok(()) => return Ok(Ended::Deleted),
                Err(error) if !is_conflict(&error) => return Err(explain(error, &doing)),
                Err(_) => match reread(cluster, &record, patience, &doing).await? {
                    Some(changed) => record = changed,
                    None => return Ok(Ended::Gone),
                },
            }
            continue;
        }
        let after = match patched(cluster, &record, change.clone(), patience, &doing).await {
            Ok(after) => after,
            Err(error) if is_not_found(&error) || is_conflict(&error) => return Ok(Ended::Gone),
            Err(error) => return Err(explain(error, &doing)),
        };
        if after.finished.is_some() {
            // It ended by itself before the request: take the words back. Readers ignore them even when this fails.
            let undo = json!({"metadata": {"annotations": {labels::ENDING: null}}});
            let undone = patched(cluster, &after, undo, Patience::ONCE, &doing).await;
            return Ok(Ended::AlreadyFinished(Box::new(undone.unwrap_or(after))));
        }
        if !after.suspended {
            return Ok(Ended::Ending(Box::new(after)));
        }
        record = after;
    }
    Err(Error::failed(format!("Job `{}` keeps changing while it is being ended", record.name)).hinted("try again"))
}

/// Pushes a leased Job's deadline forward: it then ends by itself one lease after the last renewal.
///
/// `age` is the most that the deadline may have run down so far: [`super::Created::age`] plus the time since, by a clock
/// that never jumps. So neither this machine's time nor the server's matters.
///
/// # Errors
/// When the Job is gone, or the server refuses or does not answer.
pub async fn renew_lease(cluster: &Cluster, record: &JobRecord, age: Duration, patience: Patience) -> Result<JobRecord> {
    let Some(plan) = &record.plan else { return Err(Error::internal(format!("Job `{}` has no lease", record.name))) };
    let lease = plan.limits.lease;
    let deadline = age.saturating_add(lease).min(plan.limits.job_deadline(plan.infrastructure_retries));
    let change = json!({
        "metadata": {"annotations": {labels::LEASE: lease.as_secs().to_string()}},
        "spec": {"activeDeadlineSeconds": deadline.as_secs().max(1)},
    });
    changed(cluster, record, change, patience, "renewing the lease of").await
}

/// Lets a leased Job go on alone, up to the deadline of its plan.
///
/// # Errors
/// When the Job is gone, or the server refuses or does not answer.
pub async fn drop_lease(cluster: &Cluster, record: &JobRecord, patience: Patience) -> Result<JobRecord> {
    let Some(plan) = &record.plan else { return Ok(record.clone()) };
    let change = json!({
        "metadata": {"annotations": {labels::LEASE: null}},
        "spec": {"activeDeadlineSeconds": plan.limits.job_deadline(plan.infrastructure_retries).as_secs()},
    });
    changed(cluster, record, change, patience, "detaching from").await
}

/// Leaves verdict and last output on the Job, so that both can be read when pod and node are gone. Returns whether that
/// worked; nothing depends on it.
pub async fn keep_verdict(cluster: &Cluster, record: &JobRecord, verdict: &Verdict, log_tail: &[u8]) -> bool {
    let Ok(text) = serde_json::to_string(verdict) else { return false };
    let mut annotations = json!({labels::VERDICT: text});
    if !log_tail.is_empty() {
        annotations[labels::LOG_TAIL] = json!(kept_tail(log_tail));
    }
    let change = json!({"metadata": {"annotations": annotations}});
    patched(cluster, record, change, Patience::CANCEL, "keeping the verdict").await.is_ok()
}

/// Leaves the last output on the Job, for one that ends with nobody there to judge it.
pub async fn keep_tail(cluster: &Cluster, record: &JobRecord, log_tail: &[u8]) -> bool {
    let change = json!({"metadata": {"annotations": {labels::LOG_TAIL: kept_tail(log_tail)}}});
    !log_tail.is_empty() && patched(cluster, record, change, Patience::CANCEL, "keeping the last output").await.is_ok()
}

/// Returns the end of some output as text of at most [`LOG_TAIL_LIMIT`] bytes, from the start of a line where one fits.
fn kept_tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut start = text.len().saturating_sub(LOG_TAIL_LIMIT);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let tail = &text[start..];
    let cut_line = start > 0 && !text[..start].ends_with('\n');
    match tail.split_once('\n') {
        Some((_, rest)) if cut_line && !rest.is_empty() => rest.to_owned(),
        _ => tail.to_owned(),
    }
}

/// Deletes a Job and, in the background, all that belongs to it. Without a resource version it is deleted whatever has
/// changed; a Job of the same name and another UID never is.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn delete(cluster: &Cluster, job: &JobVersion) -> Result<Deletion> {
    let doing = format!("deleting Job `{}`", job.name);
    match delete_once(cluster, job, Patience::START, &doing).await {
        Ok(()) => Ok(Deletion::Deleted),
        Err(error) if is_conflict(&error) => Ok(Deletion::Changed),
        Err(error) => Err(explain(error, &doing)),
    }
}

/// Waits until no pod of the Job can run any more, `limit` at most. Returns whether that is so.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn wait_until_no_pod(cluster: &Cluster, record: &JobRecord, limit: Duration) -> Result<bool> {
    let doing = format!("waiting for the pods of Job `{}` to end", record.name);
    let running =
        ListParams::default().labels(&format!("{}={}", labels::CONTROLLER_UID, record.uid)).fields("status.phase!=Succeeded,status.phase!=Failed");
    let (pods, start) = (cluster.api::<Pod>(), Instant::now());
    loop {
        let left = limit.saturating_sub(start.elapsed());
        let found = cluster.read_all_metadata(&pods, running.clone(), Patience(left), &doing).await;
        if found.map_err(|error| explain(error, &doing))?.is_empty() {
            return Ok(true);
        }
        if start.elapsed() >= limit {
            return Ok(false);
        }
        sleep(POLL).await;
    }
}

async fn reread(cluster: &Cluster, record: &JobRecord, patience: Patience, doing: &str) -> Result<Option<JobRecord>> {
    let job = cluster.read(&cluster.api::<Job>(), &record.name, patience, doing).await.map_err(|error| explain(error, doing))?;
    Ok(job.map(|job| job_record(&job)).filter(|job| job.uid == record.uid))
}

async fn delete_once(cluster: &Cluster, job: &JobVersion, patience: Patience, doing: &str) -> Result<(), CallError> {
    let version = Some(job.resource_version.clone()).filter(|version| !version.is_empty());
    let parameters = DeleteParams::background().preconditions(Preconditions { uid: Some(job.uid.clone()), resource_version: version });
    let jobs = cluster.api::<Job>();
    match cluster.call(Repeat::Change, patience, doing, || jobs.delete(&job.name, &parameters)).await {
        Err(error) if !is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

async fn changed(cluster: &Cluster, record: &JobRecord, change: Value, patience: Patience, what: &str) -> Result<JobRecord> {
    let doing = format!("{what} Job `{}`", record.name);
    patched(cluster, record, change, patience, &doing).await.map_err(|error| {
        if is_not_found(&error) || is_conflict(&error) {
            return Error::failed(format!("Job `{}` is gone", record.name));
        }
        explain(error, &doing)
    })
}

/// Changes the Job, provided that it still is the same one.
async fn patched(cluster: &Cluster, record: &JobRecord, mut change: Value, patience: Patience, doing: &str) -> Result<JobRecord, CallError> {
    change["metadata"]["uid"] = json!(record.uid);
    let (jobs, parameters, patch) = (cluster.api::<Job>(), manager(), Patch::Merge(&change));
    let job = cluster.call(Repeat::Change, patience, doing, || jobs.patch(&record.name, &parameters, &patch)).await?;
    Ok(job_record(&job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_tail_is_short_valid_and_starts_with_a_line() {
        assert_eq!(kept_tail(b"a\nb\n"), "a\nb\n");
        assert_eq!(kept_tail(b"\xff\n"), "\u{fffd}\n");
        let lines = "0123456789\n".repeat(1000);
        assert_eq!(kept_tail(lines.as_bytes()), "0123456789\n".repeat(LOG_TAIL_LIMIT / 11));
        let one_line = "é".repeat(LOG_TAIL_LIMIT);
        assert_eq!(kept_tail(one_line.as_bytes()), "é".repeat(LOG_TAIL_LIMIT / 2));
        assert!(kept_tail(&[0xff; 10_000]).len() <= LOG_TAIL_LIMIT);
    }
}
