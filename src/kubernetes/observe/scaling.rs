//! How machines come and go, as far as the cluster shows it: autoscalers, the queue for a size, and how long it usually takes.

use std::collections::BTreeMap;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, api::ListParams};

use super::{merge, metadata_record, surroundings::unseen};
use crate::{
    kubernetes::{
        cluster_autoscaler,
        connect::Cluster,
        error::is_forbidden,
        karpenter::{self, Karpenter, Scope},
        labels,
        retry::{Patience, Repeat},
    },
    model::{
        evidence::{Evidence, JobRecord, WaitingPod},
        identity::label_value,
        launch_plan::Placement,
    },
};

/// Of how many jobs of a size the usual time is taken: one page, in the order of their names, which is as good as random.
const SAMPLE: u32 = 100;
/// Pods that no node has been found for.
const UNPLACED: &str = "status.phase=Pending,spec.nodeName=";

/// Adds what autoscalers say and, while the job waits for a node, who else waits and how long it usually takes.
pub(super) async fn observe(cluster: &Cluster, evidence: &mut Evidence, patience: Patience) {
    let Some(job) = evidence.job.clone() else { return };
    let placement = job.plan.as_ref().map(|plan| plan.placement.clone()).unwrap_or_default();
    let waits = evidence.attempts.last().is_some_and(|attempt| attempt.node.is_none() && attempt.phase == "Pending");
    // The queue is read with every look; that it has never been read tells the first one.
    let first = evidence.queue.is_none();
    let (autoscaler, karpenter, queue, usual) = tokio::join!(
        async {
            if waits && wants_autoscaler(&placement) {
                let (status, events) = tokio::join!(cluster_autoscaler::status(cluster, patience), cluster_autoscaler::events(cluster, patience));
                Some((status, events))
            } else {
                None
            }
        },
        async { if wants_pools(&placement, waits) { Some(of_karpenter(cluster, &placement, patience).await) } else { None } },
        async { if waits { Some(queue(cluster, &job, patience).await) } else { None } },
        async { if waits && first { usual_seconds(cluster, &job, patience).await } else { None } },
    );
    if let Some((status, events)) = autoscaler {
        evidence.scaling.autoscaler = status;
        // Without them the status alone has to do, and whoever may not read one may not read the other.
        merge::scaling_events(evidence, events.unwrap_or_default());
    }
    if let Some(Karpenter { pools, claims, events, unknown }) = karpenter {
        evidence.scaling.pools = pools;
        evidence.scaling.claims = claims;
        merge::scaling_events(evidence, events);
        for sentence in unknown {
            merge::unknown(evidence, sentence);
        }
    }
    match queue {
        Some(Ok(queue)) => evidence.queue = Some(queue),
        Some(Err(sentence)) => merge::unknown(evidence, sentence),
        None => {}
    }
    evidence.usual_scale_up_seconds = evidence.usual_scale_up_seconds.or(usual);
}

fn wants_autoscaler(placement: &Placement) -> bool {
    placement.node_pool.is_none()
}

/// Claims of a pool are also what a machine's times are known by, once the job has its node.
fn wants_pools(placement: &Placement, waits: bool) -> bool {
    placement.node_pool.is_some() || waits && placement.node_groups.is_empty()
}

async fn of_karpenter(cluster: &Cluster, placement: &Placement, patience: Patience) -> Karpenter {
    karpenter::observe(cluster, placement.node_pool.as_deref().map_or(Scope::All, Scope::Pool), patience).await
}

/// Returns the pods that wait for the same nodes as this job's, oldest first: of all namespaces, or of its own where more may not be seen.
async fn queue(cluster: &Cluster, job: &JobRecord, patience: Patience) -> Result<Vec<WaitingPod>, String> {
    let selector = job.plan.as_ref().map_or(&job.node_selector, |plan| &plan.placement.node_selector);
    let mut parameters = ListParams::default().fields(UNPLACED);
    if let Some(size) = job.plan.as_ref().and_then(|plan| plan.size.as_ref()) {
        parameters = parameters.labels(&format!("{}={}", labels::SIZE, label_value(&size.0)));
    }
    let doing = "reading the pods that wait for this size";
    let everywhere: Api<Pod> = Api::all(cluster.client.clone());
    let mut found = cluster.read_all(&everywhere, parameters.clone(), patience, doing).await;
    if found.as_ref().is_err_and(is_forbidden) {
        found = cluster.read_all(&cluster.api::<Pod>(), parameters, patience, doing).await;
    }
    let what = "who else waits for this size";
    let pods = found.map_err(|error| unseen(&error, what, &format!("list pods in namespace `{}`", cluster.namespace)))?;
    let mut queue: Vec<WaitingPod> = pods.iter().filter(|pod| waits_for(pod, selector)).map(waiting_pod).collect();
    queue.sort_by(|left, right| (left.created, &left.pod).cmp(&(right.created, &right.pod)));
    Ok(queue)
}

fn waits_for(pod: &Pod, selector: &BTreeMap<String, String>) -> bool {
    let own = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    pod.metadata.deletion_timestamp.is_none() && selector.iter().all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value))
}

fn waiting_pod(pod: &Pod) -> WaitingPod {
    let metadata = &pod.metadata;
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    WaitingPod {
        pod: format!("{}/{}", name(&metadata.namespace), name(&metadata.name)),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
    }
}

/// Returns how long a machine of the job's size usually takes to come, in seconds: the median of its jobs that had to wait for one.
async fn usual_seconds(cluster: &Cluster, job: &JobRecord, patience: Patience) -> Option<i64> {
    let size = job.plan.as_ref()?.size.as_ref()?;
    let selector = format!("{}={},{}={}", labels::MANAGED_BY, labels::SBRUN, labels::SIZE, label_value(&size.0));
    let (api, parameters) = (cluster.api::<Job>(), ListParams::default().labels(&selector).limit(SAMPLE));
    let jobs = cluster.call(Repeat::Read, patience, "reading earlier jobs of this size", || api.list_metadata(&parameters)).await.ok()?;
    let waited = |metadata| metadata_record(metadata).verdict.and_then(|verdict| verdict.scale_up_seconds);
    let mut seconds: Vec<i64> = jobs.items.iter().filter_map(|job| waited(&job.metadata)).collect();
    seconds.sort_unstable();
    seconds.get(seconds.len() / 2).copied()
}
