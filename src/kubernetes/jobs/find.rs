//! Finding Jobs by what people type, without reading more than is needed.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::api::ListParams;

use super::lists::{ListFilter, labelled, sift_metadata};
use crate::{
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        error::explain,
        labels,
        manifest::{self, config_map_names},
        observe::job_record,
        retry::Patience,
    },
    model::{
        evidence::{JobRecord, Maker},
        identity::{JobName, RunId},
        launch_plan::Interpreter,
        package::Package,
        prefect::flow_run,
        suggestion,
    },
};

/// What stands for the newest job of mine.
const LATEST: &str = "@latest";
/// How many Jobs are read at the same time.
pub(super) const READERS: usize = 16;
/// How many candidates an error names.
const NAMED: usize = 8;

/// Returns the job that `reference` means: a name, a run id, a prefix of either that only one has, or `@latest`, the newest
/// one of the user with the label `me`. Of several attempts under one run id it is the newest.
///
/// # Errors
/// Failed when there is none, or several.
pub async fn find(cluster: &Cluster, reference: &str, me: &str, patience: Patience) -> Result<JobRecord> {
    if reference != LATEST
        && JobName::parse(reference).is_ok()
        && let Some(job) = read_with(cluster, reference, patience).await?
    {
        return Ok(job);
    }
    let known = candidates(cluster, reference, me, patience).await?;
    let chosen = choose(reference, &cluster.namespace, &known)?;
    read(cluster, &chosen.name).await?.ok_or_else(|| Error::failed(format!("job `{}` was deleted just now", chosen.name)))
}

/// Returns the jobs that `reference` may mean, newest first: of each no more than what tells them apart.
async fn candidates(cluster: &Cluster, reference: &str, me: &str, patience: Patience) -> Result<Vec<JobRecord>> {
    let whole = match reference {
        _ if RunId::is_whole(reference) => labelled(cluster, labels::RUN_ID, reference, patience).await?,
        _ if flow_run::is_id(reference) => labelled(cluster, labels::PREFECT_FLOW_RUN, reference, patience).await?,
        _ => Vec::new(),
    };
    let mut known = if whole.is_empty() {
        let filter = ListFilter { user: (reference == LATEST).then(|| me.to_owned()), include_prefect: reference != LATEST, ..ListFilter::default() };
        let named = |job: JobRecord| {
            let JobRecord { name, created, run_id, flow_run, .. } = job;
            Some(JobRecord { name, created, run_id, flow_run, ..JobRecord::default() })
        };
        sift_metadata(cluster, &filter, patience, named).await?
    } else {
        whole
    };
    known.sort_by(|left, right| (right.created, &right.name).cmp(&(left.created, &left.name)));
    Ok(known)
}

/// Returns the Job of this name; nothing when there is none.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn read(cluster: &Cluster, name: &str) -> Result<Option<JobRecord>> {
    read_with(cluster, name, Patience::ASK).await
}

async fn read_with(cluster: &Cluster, name: &str, patience: Patience) -> Result<Option<JobRecord>> {
    let doing = format!("reading Job `{name}`");
    let job = cluster.read(&cluster.api::<Job>(), name, patience, &doing).await.map_err(|error| explain(error, &doing))?;
    Ok(job.map(|job| job_record(&job)))
}

/// Returns the Jobs of a flow run of Prefect.
///
/// # Errors
/// When the server refuses or does not answer within `patience`.
pub async fn of_flow_run(cluster: &Cluster, id: &str, patience: Patience) -> Result<Vec<JobRecord>> {
    let doing = format!("looking for Jobs of flow run `{id}`");
    let selector = ListParams::default().labels(&format!("{}={id}", labels::PREFECT_FLOW_RUN));
    let jobs = cluster.read_all(&cluster.api::<Job>(), selector, patience, &doing).await.map_err(|error| explain(error, &doing))?;
    Ok(jobs.iter().map(job_record).collect())
}

/// Returns the one of `known`, newest first, that `reference` means.
fn choose<'known>(reference: &str, namespace: &str, known: &'known [JobRecord]) -> Result<&'known JobRecord> {
    if reference == LATEST {
        let none = || {
            let error = Error::failed(format!("you have no job in namespace `{namespace}`"));
            error.hinted("everybody's jobs of this namespace: sbrun list").hinted("jobs of another namespace: sbrun list -n NAME")
        };
        return known.first().ok_or_else(none);
    }
    let found: Vec<&JobRecord> = known.iter().filter(|job| job.name.starts_with(reference) || ids(job).any(|id| id.starts_with(reference))).collect();
    let exact = found.iter().find(|job| job.name == reference || ids(job).any(|id| id == reference));
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let Some(first) = found.first() else {
        let error = Error::failed(format!("there is no job `{reference}` in namespace `{namespace}`"));
        return Err(match suggestion::closest(reference, known.iter().map(|job| job.name.as_str())) {
            Some(name) => error.hinted(format!("did you mean `{name}`?")),
            None => error.hinted("see what there is: sbrun list --all"),
        });
    };
    let one_run = found.iter().all(|job| job.run_id.is_some() && job.run_id == first.run_id);
    if one_run || found.len() == 1 {
        return Ok(first);
    }
    let mut names: Vec<String> = found.iter().take(NAMED).map(|job| format!("`{}`", job.name)).collect();
    if found.len() > NAMED {
        names.push(format!("{} more", found.len() - NAMED));
    }
    Err(Error::failed(format!("`{reference}` could be any of {} jobs", found.len())).hinted(format!("be more precise: {}", names.join(", "))))
}

/// Returns the ids of a job's run: sbrun's, and Prefect's.
fn ids(job: &JobRecord) -> impl Iterator<Item = &str> {
    job.run_id.iter().chain(&job.flow_run).map(String::as_str)
}

/// Returns the files that a Job recorded, for `rerun`.
///
/// # Errors
/// Failed when the Job was not made by sbrun, or it or its files are gone.
pub async fn package_of(cluster: &Cluster, record: &JobRecord) -> Result<Package> {
    if record.maker != Maker::Sbrun {
        return Err(Error::failed(format!("Job `{}` was not made by sbrun, so it has no files of a flow", record.name)));
    }
    let doing = format!("reading the files of Job `{}`", record.name);
    let job = cluster.read(&cluster.api::<Job>(), &record.name, Patience::ASK, &doing).await.map_err(|error| explain(error, &doing))?;
    let gone = || Error::failed(format!("Job `{}` is gone", record.name)).hinted("submit the flow again from its folder");
    let job = job.filter(|job| job.metadata.uid.as_ref() == Some(&record.uid)).ok_or_else(gone)?;
    let maps = cluster.api::<ConfigMap>();
    let read = stream::iter(config_map_names(&job)).map(|name| {
        let (maps, doing) = (&maps, doing.as_str());
        async move { cluster.read(maps, &name, Patience::ASK, doing).await.map_err(|error| explain(error, doing)) }
    });
    let found: Vec<Option<ConfigMap>> = read.buffered(READERS).try_collect().await?;
    let found: Vec<ConfigMap> = found.into_iter().flatten().collect();
    let interpreter = record.plan.as_ref().map_or(Interpreter::Python, |plan| plan.flow.interpreter);
    manifest::delivery_of(&job, &found)?.unpack(interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, run_id: &str) -> JobRecord {
        JobRecord { name: name.into(), run_id: Some(run_id.into()), ..JobRecord::default() }
    }

    #[test]
    fn references_are_names_run_ids_or_what_only_one_job_begins_with() {
        let known = [job("etl-bbbb-2", "01b"), job("etl-bbbb", "01b"), job("etl-aaaa", "01a"), job("load-cccc", "02c")];
        let chosen = |reference: &str| choose(reference, "flows", &known).map(|job| job.name.clone()).map_err(|error| error.message().to_owned());
        let ok = |name: &str| Ok(name.to_owned());
        assert_eq!(chosen("@latest"), ok("etl-bbbb-2"));
        assert_eq!(chosen("etl-aaaa"), ok("etl-aaaa"));
        assert_eq!(chosen("02c"), ok("load-cccc"));
        assert_eq!(chosen("lo"), ok("load-cccc"));
        assert_eq!(chosen("01b"), ok("etl-bbbb-2"), "the newest attempt");
        assert_eq!(chosen("etl-b"), ok("etl-bbbb-2"), "one run");
        assert_eq!(chosen("etl"), Err("`etl` could be any of 3 jobs".to_owned()));
        assert_eq!(chosen("nope"), Err("there is no job `nope` in namespace `flows`".to_owned()));
        let typo = choose("etl-aaab", "flows", &known).expect_err("there is none");
        assert_eq!(typo.hints(), ["did you mean `etl-aaaa`?"]);
        let none = choose("@latest", "flows", &[]).expect_err("there is none");
        assert_eq!(none.message(), "you have no job in namespace `flows`");
        assert_eq!(none.hints(), ["everybody's jobs of this namespace: sbrun list", "jobs of another namespace: sbrun list -n NAME"]);
    }
}
