//! Lists of Jobs of any length: read page by page, of which only what is wanted is kept.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Resource,
    api::{ListParams, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use super::find::{READERS, read};
use crate::{
    error::Result,
    kubernetes::{
        connect::Cluster,
        error::explain,
        labels,
        observe::{job_record, metadata_record},
        reading::{Extent, HEAVY_PAGE},
        retry::Patience,
    },
    model::evidence::JobRecord,
};

/// Up to so many Jobs are read one by one; beyond, reading all of them in pages is quicker, and fewer requests.
const ONE_BY_ONE: usize = 100;

/// The most Jobs of one page of metadata: plan, verdict, last output and who set which field.
const METADATA_PAGE: u32 = 250;

/// Which Jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only those of the user with this label.
    pub user: Option<String>,
    /// Only those of this size, as a label.
    pub size: Option<String>,
    /// Only those with these labels, as `-l` takes them.
    pub selector: Option<String>,
    /// Only those created since.
    pub since: Option<Timestamp>,
    /// Also those that a Prefect worker made.
    pub include_prefect: bool,
}

impl ListFilter {
    /// Returns one selector for those that sbrun made, and one for a worker's. None is picked by both.
    fn selectors(&self) -> Vec<String> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::SBRUN);
        let of_worker = format!("{},{}!={}", labels::PREFECT_FLOW_RUN, labels::MANAGED_BY, labels::SBRUN);
        let user = self.user.as_ref().map(|user| format!("{}={user}", labels::USER));
        let size = self.size.as_ref().map(|size| format!("{}={size}", labels::SIZE));
        let with =
            |maker: String| [Some(maker), user.clone(), size.clone(), self.selector.clone()].into_iter().flatten().collect::<Vec<_>>().join(",");
        [Some(ours), self.include_prefect.then_some(of_worker)].into_iter().flatten().map(with).collect()
    }

    fn is_recent(&self, job: &JobRecord) -> bool {
        self.since.is_none_or(|since| job.created.is_some_and(|created| created >= since))
    }
}

/// Returns the Jobs that match, newest first. Those with a verdict that stands come from their metadata alone, which has
/// neither conditions nor counts: the flow's files stay where they are. Behind an `unknown` the flow may still run.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn list(cluster: &Cluster, filter: &ListFilter) -> Result<Vec<JobRecord>> {
    let (mut found, open): (Vec<_>, Vec<_>) = sift_metadata(cluster, filter, Patience::ASK, Some).await?.into_iter().partition(JobRecord::is_judged);
    let read: Vec<Option<JobRecord>> = if open.len() > ONE_BY_ONE {
        let open: BTreeSet<String> = open.into_iter().map(|job| job.uid).collect();
        let wanted = |job: JobRecord| open.contains(&job.uid).then_some(job);
        sift(cluster, filter, Patience::ASK, wanted).await?.into_iter().map(Some).collect()
    } else {
        stream::iter(open).map(|job| async move { read(cluster, &job.name).await }).buffered(READERS).try_collect().await?
    };
    found.extend(read.into_iter().flatten());
    found.sort_by(|left, right| (right.created, &right.name).cmp(&(left.created, &left.name)));
    Ok(found)
}

/// Returns what `keep` makes of the Jobs that match, in no order. They are read whole, and no more than two pages are held at a time.
///
/// # Errors
/// When the server refuses, or does not answer a page within `patience`.
pub async fn sift<T>(cluster: &Cluster, filter: &ListFilter, patience: Patience, keep: impl Fn(JobRecord) -> Option<T>) -> Result<Vec<T>> {
    let keep = |job: &Job| Some(job_record(job)).filter(|job| filter.is_recent(job)).and_then(&keep);
    pages(cluster, filter.selectors(), Extent::Whole, patience, keep).await
}

/// Returns what `keep` makes of the Jobs that match, from their metadata alone.
pub(super) async fn sift_metadata<T>(
    cluster: &Cluster,
    filter: &ListFilter,
    patience: Patience,
    keep: impl Fn(JobRecord) -> Option<T>,
) -> Result<Vec<T>> {
    let keep = |job: &PartialObjectMeta<Job>| Some(metadata_record(&job.metadata)).filter(|job| filter.is_recent(job)).and_then(&keep);
    pages(cluster, filter.selectors(), Extent::Metadata, patience, keep).await
}

/// Returns the Jobs with a label, from their metadata alone.
pub(super) async fn labelled(cluster: &Cluster, key: &str, value: &str, patience: Patience) -> Result<Vec<JobRecord>> {
    let keep = |job: &PartialObjectMeta<Job>| Some(metadata_record(&job.metadata));
    pages(cluster, vec![format!("{key}={value}")], Extent::Metadata, patience, keep).await
}

async fn pages<J, T>(cluster: &Cluster, selectors: Vec<String>, extent: Extent, patience: Patience, keep: impl Fn(&J) -> Option<T>) -> Result<Vec<T>>
where
    J: DeserializeOwned + Send + 'static,
{
    let url = Job::url_path(&(), Some(&cluster.namespace));
    let doing = format!("listing jobs in namespace `{}`", cluster.namespace);
    let add = |found: &mut Vec<T>, page: Vec<J>| found.extend(page.iter().filter_map(&keep));
    let mut found = Vec::new();
    for selector in selectors {
        let limit = if extent == Extent::Whole { HEAVY_PAGE } else { METADATA_PAGE };
        let parameters = ListParams::default().labels(&selector).limit(limit);
        let list: Vec<T> = cluster.fold_pages(&url, extent, parameters, patience, &doing, add).await.map_err(|error| explain(error, &doing))?;
        found.extend(list);
    }
    Ok(found)
}
