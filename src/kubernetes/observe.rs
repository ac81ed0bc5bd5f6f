//! From objects to evidence.

mod merge;
mod record;
mod scaling;
mod surroundings;
mod survey;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::ListParams;

pub use record::{
    attempt_record, event_record, flow_container, job_record, kept_log_tail, metadata_record, neighbour_record, node_record, pod_footprint,
    quota_records,
};

pub(in crate::kubernetes) use record::{allocatable, taint_record, toleration_record};
pub(in crate::kubernetes) use surroundings::unseen;
pub use survey::{AttemptsByJob, ended_attempts, survey};

use crate::{
    environment,
    error::Result,
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden},
        labels,
        retry::Patience,
    },
    model::evidence::{AttemptRecord, Evidence},
};

/// How much to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Job and pods: enough while all goes well.
    Basic,
    /// Also what explains waiting: events, nodes and what runs there, quotas.
    Waiting,
    /// Also the events of the node that the pod ran on: what explains an end.
    Full,
}

/// Adds what a watch saw of pods: their last words, should they be gone by now.
pub fn note_pods(evidence: &mut Evidence, pods: Vec<AttemptRecord>) {
    merge::words(evidence, pods, environment::now());
}

/// Looks at a Job and adds what is seen to `evidence`. What was seen once of an end is never forgotten.
///
/// `expected_uid` is the Job's identity where it is known already; a Job of the same name and another UID counts as gone.
/// What may not be asked for, beyond the Job itself, becomes a sentence in [`Evidence::unknown`].
///
/// # Errors
/// When the Job cannot be read for another reason than being gone, or the API server does not answer within `patience`.
pub async fn observe(
    cluster: &Cluster,
    evidence: &mut Evidence,
    detail: Detail,
    name: &str,
    expected_uid: Option<&str>,
    patience: Patience,
) -> Result<()> {
    let known = expected_uid.map(ToOwned::to_owned).or_else(|| evidence.job.as_ref().map(|job| job.uid.clone()));
    let selector = known.as_ref().map_or_else(|| format!("{}={name}", labels::JOB_NAME), |uid| format!("{}={uid}", labels::CONTROLLER_UID));
    let (jobs, pods) = (cluster.api::<Job>(), cluster.api::<Pod>());
    let (reading_job, reading_pods) = (format!("reading Job `{name}`"), format!("reading the pods of Job `{name}`"));
    let (job, pods) = tokio::join!(
        cluster.read(&jobs, name, patience, &reading_job),
        cluster.read_all(&pods, ListParams::default().labels(&selector), patience, &reading_pods),
    );
    let now = cluster.now();
    let job = job.map_err(|error| explain(error, &reading_job))?;
    if evidence.log_tail.is_none() {
        evidence.log_tail = job.as_ref().and_then(kept_log_tail);
    }
    merge::job(evidence, job.as_ref().map(job_record), known.as_deref(), now);
    match pods {
        Ok(pods) => {
            let uid = evidence.job.as_ref().map(|job| job.uid.clone()).or(known).unwrap_or_default();
            let ours = pods.iter().filter(|pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid));
            merge::attempts(evidence, ours.map(attempt_record).collect(), now);
        }
        Err(error) if is_forbidden(&error) => {
            merge::unknown(evidence, format!("the pods of the job: you may not list pods in namespace `{}`", cluster.namespace));
        }
        Err(error) => return Err(explain(error, &reading_pods)),
    }
    if detail >= Detail::Waiting {
        look_at_nodes(cluster, evidence, patience).await;
        look_around(cluster, evidence, detail, patience).await;
    }
    Ok(())
}

/// Adds to `evidence` the nodes of a job that has been looked at. Should its own be taken, nothing else tells what it was.
pub async fn look_at_nodes(cluster: &Cluster, evidence: &mut Evidence, patience: Patience) {
    surroundings::observe_nodes(cluster, evidence, patience).await;
}

/// Adds to `evidence` what else surrounds a job whose nodes have been looked at. It may be broken off: what was seen by then stays.
pub async fn look_around(cluster: &Cluster, evidence: &mut Evidence, detail: Detail, patience: Patience) {
    surroundings::observe(cluster, evidence, detail, patience).await;
}

#[cfg(test)]
mod tests;
