//! Running a flow run of Prefect again: the same run, so that its history stays in one place, at another size where one is asked for.

use super::RerunArgs;
use crate::{
    commands::{
        context::Context,
        deployments::{check_size, start_again},
        interrupt::{Interruptions, see_through},
        submit::{
            launch::{LaunchOptions, Launched, to_the_end},
            result_file::ResultFile,
            tracking::OpenRun,
        },
    },
    environment::now,
    error::{Error, Result},
    follow::{Controls, Detail, FollowOptions, RunningJob, cluster::ClusterJob},
    model::{
        diagnose::diagnose,
        evidence::Evidence,
        exit_code::ExitCode,
        launch_plan::{LaunchPlan, OnInterrupt},
        node_group::Sighting,
        prefect::flow_run::FlowRunRecord,
    },
    output::{
        ui::{Format, Ui},
        view::{report::JobReport, submitted},
    },
};

/// Runs a worker's run again. It must have ended.
pub(super) async fn rerun(
    arguments: &RerunArgs,
    mut evidence: Evidence,
    mut handle: ClusterJob,
    options: LaunchOptions,
    context: &Context,
    ui: &mut Ui,
    results: &ResultFile,
) -> Result<ExitCode> {
    handle.observe(&mut evidence, Detail::Basic).await?;
    let server = context.required_prefect()?;
    let Some(record) = evidence.flow_run.value().cloned() else {
        let why = evidence.flow_run.obstacle().unwrap_or("the Prefect API does not know its flow run").to_owned();
        return Err(Error::failed(format!("`{}` cannot be run again: {why}", evidence.name())));
    };
    let run = &record.run;
    if !run.state.kind.is_terminal() {
        return Err(Error::failed(format!("flow run `{}` is {} and has not ended", run.name, run.state.name))
            .hinted(format!("end it first: sbrun cancel {}", run.id)));
    }
    let pool_name =
        run.work_pool.clone().ok_or_else(|| Error::failed(format!("flow run `{}` is of no work pool, so nobody would take it up", run.name)))?;
    let gone = || Error::rejected(format!("the work pool `{pool_name}` of flow run `{}` does not exist any more", run.name));
    let pool = server.work_pool_and_workers(&pool_name).await?.ok_or_else(gone)?;
    arguments.size.as_deref().map_or(Ok(()), |size| check_size(&pool, size))?;
    let cluster = handle.cluster().clone();
    let by = context.user(Some(&cluster)).await.name;
    let without_terminal = if context.environment.ci().is_some() { OnInterrupt::Cancel } else { OnInterrupt::Detach };
    let mut controls = Interruptions { without_terminal, can_ask: ui.can_prompt(), by: by.clone() }.listen()?;
    let again = start_again(&server, run, arguments.size.as_deref(), &mut controls, ui).await?;
    let size = again.size().map(ToOwned::to_owned);
    let record = FlowRunRecord { run: again, pool: Some(pool), ..record };
    if ui.format() == Format::Name {
        ui.line(&record.run.id)?;
    }
    let block = submitted::flow_run_block(&record, size.as_deref(), false, ui.painter());
    ui.status(&block);
    let evidence = Evidence { flow_run: Sighting::Seen { value: record.clone(), at: now() }, ..Evidence::default() };
    if options.detach && !controls.has_put_back() {
        let report = JobReport::new(&evidence, &diagnose(&evidence, now()));
        return Launched::Detached(Box::new(report)).conclude(ui, results);
    }
    let map = context.map_of_jobs(&cluster).await;
    let keep = context.keep(None, &cluster)?;
    let mut job =
        ClusterJob::of_flow_run(cluster, server, &record.run, record.deployment.clone(), &context.environment).sized_by(map, None).followed();
    let view = options.view(now(), ui);
    to_the_end(&mut job, evidence, FollowOptions { keep, ..FollowOptions::new(by) }, &mut controls, view, ui).await?.conclude(ui, results)
}

/// Opens the run of a tracked launch again, for its next Job.
///
/// # Errors
/// When the API cannot be asked: without the run in Prefect the engine has nothing to run.
pub(super) async fn reopen(plan: &LaunchPlan, controls: &mut Controls, context: &Context, ui: &mut Ui) -> Result<Option<OpenRun>> {
    let Some(tracking) = &plan.tracking else { return Ok(None) };
    let message = format!("started again by {} with sbrun, as Job {}", plan.user.name, plan.name);
    let reopening = see_through(OpenRun::reopen(context.required_prefect()?, tracking, &message), controls, ui).await;
    let unsure = || {
        Err(Error::unreachable(format!("interrupted while flow run `{}` was being opened again: no Job was made", tracking.name))
            .hinted("the same command opens it again, or finds it as it was"))
    };
    reopening.unwrap_or_else(unsure).map(Some)
}
