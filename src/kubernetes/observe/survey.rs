//! Many Jobs at once, with few requests: for `list` and `clean`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use super::{attempt_record, merge};
use crate::{
    environment,
    error::Result,
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden},
        labels,
        retry::Patience,
    },
    model::evidence::{AttemptRecord, Evidence, JobRecord},
};

/// Returns the evidence on each of `records`: the Jobs as they are given, and the pods of those without a verdict that stands.
///
/// # Errors
/// When the server does not answer. Without the right to list pods the Jobs alone have to do.
pub async fn survey(cluster: &Cluster, records: Vec<JobRecord>) -> Result<Vec<Evidence>> {
    let mut pods: BTreeMap<String, Vec<AttemptRecord>> = BTreeMap::new();
    let mut unknown = None;
    if !records.iter().all(JobRecord::is_judged) {
        let doing = format!("listing the pods of jobs in namespace `{}`", cluster.namespace);
        match cluster.read_all(&cluster.api::<Pod>(), ListParams::default().labels(labels::CONTROLLER_UID), Patience::ASK, &doing).await {
            Ok(found) => {
                for pod in &found {
                    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.kind == "Job");
                    pods.entry(owner.map(|owner| owner.uid.clone()).unwrap_or_default()).or_default().push(attempt_record(pod));
                }
            }
            Err(error) if is_forbidden(&error) => unknown = Some(format!("the pods: you may not list pods in namespace `{}`", cluster.namespace)),
            Err(error) => return Err(explain(error, &doing)),
        }
    }
    let now = environment::now();
    let evidence = records.into_iter().map(|record| {
        let mut evidence = Evidence { unknown: unknown.iter().cloned().collect(), ..Evidence::default() };
        let attempts = pods.remove(&record.uid).unwrap_or_default();
        evidence.job = Some(record);
        merge::attempts(&mut evidence, attempts, now);
        evidence
    });
    Ok(evidence.collect())
}
