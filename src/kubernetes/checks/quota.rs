//! Whether a footprint could ever fit the quotas of the namespace.

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::ListParams;

use super::Findings;
use crate::{
    error::{ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        error::{explain, is_forbidden},
        labels,
        observe::quota_records,
        retry::Patience,
    },
    model::{
        evidence::QuotaRecord,
        footprint::Footprint,
        quantity::{Cpu, Memory},
    },
};

/// Returns a problem for each quota that could not hold the job even if nothing else ran.
pub(super) async fn check(cluster: &Cluster, footprint: &Footprint) -> Result<Findings> {
    let doing = "reading the quotas of the namespace";
    let quotas = match cluster.read_all(&cluster.api::<ResourceQuota>(), ListParams::default(), Patience::START, doing).await {
        Ok(quotas) => quotas,
        Err(error) if is_forbidden(&error) => {
            return Ok(Findings::unknown(format!("quotas of namespace `{}`: you may not list them", cluster.namespace)));
        }
        Err(error) => return Err(explain(error, doing)),
    };
    let mut found = Findings::default();
    // Whether a selector of scopes picks this pod depends on more than its footprint: that is left to the server.
    let certain = quotas.iter().filter(|quota| quota.spec.as_ref().is_none_or(|spec| spec.scope_selector.is_none()));
    for text in certain.flat_map(quota_records).filter_map(|quota| excess(&quota, footprint)) {
        found.add(Findings::problem(ErrorKind::Rejected, text, "take a smaller --size, or ask for a larger quota"));
    }
    Ok(found)
}

/// Returns a sentence with both amounts when the whole quota is less than one job asks for.
#[must_use]
pub fn excess(quota: &QuotaRecord, footprint: &Footprint) -> Option<String> {
    let resource = quota.resource.strip_prefix("requests.").or_else(|| quota.resource.strip_prefix("limits.")).unwrap_or(&quota.resource);
    let (asked, there) = match resource {
        // There is no CPU limit on a flow, so only the request counts.
        "cpu" if quota.resource != "limits.cpu" => {
            let hard: Cpu = quota.hard.parse().ok()?;
            (footprint.cpu > hard).then(|| (format!("{} CPUs", footprint.cpu), format!("{hard} CPUs")))?
        }
        "memory" => {
            let hard: Memory = quota.hard.parse().ok()?;
            (footprint.memory > hard).then(|| (footprint.memory.to_string(), hard.to_string()))?
        }
        "ephemeral-storage" => {
            let (asked, hard): (Memory, Memory) = (footprint.ephemeral_storage?, quota.hard.parse().ok()?);
            (asked > hard).then(|| (asked.to_string(), hard.to_string()))?
        }
        labels::GPU => {
            let hard: u32 = quota.hard.parse().ok()?;
            (footprint.gpu > hard).then(|| (format!("{} GPUs", footprint.gpu), format!("{hard} GPUs")))?
        }
        "pods" | "count/pods" | "count/jobs.batch" => (quota.hard == "0").then(|| ("one".to_owned(), "none".to_owned()))?,
        _ => return None,
    };
    Some(format!("quota `{}` allows {there} (`{}`) in all, this job asks for {asked}", quota.quota, quota.resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_quota_below_one_job_is_a_problem() {
        let footprint = Footprint { cpu: Cpu(2000), memory: Memory(16 << 30), gpu: 1, ephemeral_storage: None };
        let quota = |resource: &str, hard: &str| QuotaRecord { quota: "team".into(), resource: resource.into(), used: "7".into(), hard: hard.into() };
        for (resource, hard, expected) in [
            ("requests.memory", "8Gi", Some("quota `team` allows 8 GiB (`requests.memory`) in all, this job asks for 16 GiB")),
            ("limits.memory", "8Gi", Some("quota `team` allows 8 GiB (`limits.memory`) in all, this job asks for 16 GiB")),
            ("memory", "16Gi", None),
            ("cpu", "1500m", Some("quota `team` allows 1.5 CPUs (`cpu`) in all, this job asks for 2 CPUs")),
            ("limits.cpu", "1", None),
            ("requests.nvidia.com/gpu", "0", Some("quota `team` allows 0 GPUs (`requests.nvidia.com/gpu`) in all, this job asks for 1 GPUs")),
            ("requests.ephemeral-storage", "1Ki", None),
            ("pods", "0", Some("quota `team` allows none (`pods`) in all, this job asks for one")),
            ("pods", "1", None),
            ("count/configmaps", "0", None),
        ] {
            assert_eq!(excess(&quota(resource, hard), &footprint).as_deref(), expected, "{resource}={hard}");
        }
    }
}
