//! A run of a deployment that ran out of memory, started once more at the next larger size: the same run in Prefect.

use super::Follower;
use crate::{
    commands::{
        deployments::start_again,
        submit::{launch::Left, other_size::SETTLE, resolve::Decided},
    },
    error::Result,
    follow::Controls,
    kubernetes::jobs,
    model::{
        evidence::Evidence,
        identity::SizeName,
        launch_plan::{GrownFrom, OnOutOfMemory},
        node_group::Sighting,
        prefect::flow_run::{FlowRunRecord, WorkPool},
    },
    output::{ui::Ui, view::submitted},
    prefect::Server,
};

/// A run that is to start at a larger size, and the job of it before.
pub(super) struct Larger {
    size: SizeName,
    /// The job that ran out of memory.
    pub(super) grown_from: GrownFrom,
}

/// Returns the size that runs which ask for `size`, or for none, may grow to: where that is wanted, and map and pool have one.
pub(super) fn next_size(size: Option<&str>, pool: &WorkPool, decided: &Decided) -> Option<SizeName> {
    let map = &decided.map.as_ref().filter(|_| decided.settings.on_oom.value == OnOutOfMemory::NextSize)?.map;
    let profile = map.size(&SizeName(size.or(pool.default_size.as_deref())?.to_owned())).ok()?;
    let next = map.next_size(profile, &profile.footprint(&map.defaults))?;
    pool.sizes.contains(&next.name.0).then(|| next.name.clone())
}

/// Returns the larger size of a run that ran out of memory, where one was asked for, unless it has grown already.
///
/// # Errors
/// When the cluster does not tell whether anything of its Job is left.
pub(super) async fn find(left: &Left, record: &FlowRunRecord, asked: Option<&str>, follower: &Follower<'_>, ui: &mut Ui) -> Result<Option<Larger>> {
    let Follower { decided, cluster, .. } = follower;
    let has_grown = record.run.size() != asked;
    let wanted = decided.settings.on_oom.value == OnOutOfMemory::NextSize && !has_grown;
    let (Some(job), Some(pool)) = (left.evidence.job.as_ref().filter(|_| wanted), &record.pool) else { return Ok(None) };
    let size = asked.or(pool.default_size.as_deref()).unwrap_or("none");
    let (Some(next), Some(found)) = (next_size(asked, pool, decided), &decided.map) else {
        ui.status(&format!("instance map and work pool `{}` have no size with more memory than size {size}: it is not run again", pool.name));
        return Ok(None);
    };
    let (profile, next) = (found.map.size(&SizeName(size.to_owned()))?, found.map.size(&next)?);
    if !jobs::wait_until_no_pod(cluster, job, SETTLE).await? {
        ui.warning("a pod of the job is still there: it is not run again");
        return Ok(None);
    }
    let grown_from = GrownFrom {
        job: job.name.clone(),
        size: profile.name.clone(),
        memory: profile.footprint(&found.map.defaults).memory,
        attempts: left.report.attempts,
    };
    let memory = next.footprint(&found.map.defaults).memory;
    ui.status(&submitted::grown_line(&grown_from, profile.price_per_hour, &next.name, memory, next.price_per_hour));
    Ok(Some(Larger { size: next.name.clone(), grown_from }))
}

impl Larger {
    /// Starts the run, and returns it with what is known of it by then.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub(super) async fn start(
        &self,
        left: Left,
        record: FlowRunRecord,
        server: &Server,
        controls: &mut Controls,
        ui: &mut Ui,
    ) -> Result<(FlowRunRecord, Evidence)> {
        let run = start_again(server, &record.run, Some(&self.size.0), controls, ui).await?;
        let record = FlowRunRecord { run, ..record };
        let flow_run = Sighting::Seen { value: record.clone(), at: crate::environment::now() };
        Ok((record, Evidence { flow_run, attempts: left.evidence.attempts, ..Evidence::default() }))
    }
}
