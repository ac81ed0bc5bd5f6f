//! `sbrun rerun`: launch again the code and arguments that a Job recorded.

mod flow_run;

use std::path::PathBuf;

use clap::Args;

use super::{
    context::Context,
    logs::open_log_file,
    references::Referrer,
    submit::{
        launch::{self, LaunchOptions},
        result_file::ResultFile,
        secrets,
    },
};
use crate::{
    environment::{self, now},
    error::{Error, Result},
    kubernetes::{
        checks::{self, Purpose},
        connect::Cluster,
        jobs,
    },
    model::{
        diagnose::{diagnose, is_finished},
        evidence::{Evidence, JobRecord, Maker},
        exit_code::ExitCode,
        identity::{JobName, RunId, SizeName, base32},
        launch_plan::{LaunchPlan, OnInterrupt, SecretSource},
        outcome::Outcome,
    },
    output::{ui::Ui, wording},
};

/// Arguments of `sbrun rerun`.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// Name or run id; on a terminal also a unique prefix of my own, or `@latest`
    #[arg(value_name = "JOB")]
    pub job: String,
    /// At another size
    #[arg(short, long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Create the job and do not wait for it
    #[arg(short, long)]
    pub detach: bool,
    /// Also write the flow's output to this file
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Let every escape sequence of the flow through to the terminal
    #[arg(long)]
    pub raw: bool,
}

/// Launches again what a Job recorded: files, arguments, image, settings. Secrets are read anew.
pub async fn rerun(arguments: &RerunArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let results = ResultFile::start(&context.environment)?;
    let result = Box::pin(repeat_and_launch(arguments, context, ui, &results)).await;
    if let Err(error) = &result {
        results.refuse(error, ui)?;
    }
    result
}

async fn repeat_and_launch(arguments: &RerunArgs, context: &Context, ui: &mut Ui, results: &ResultFile) -> Result<ExitCode> {
    let cluster = context.connect_for_jobs(ui).await?;
    let options = LaunchOptions {
        detach: arguments.detach,
        raw: arguments.raw,
        log_file: arguments.log_file.as_deref().map(open_log_file).transpose()?,
        is_further: false,
    };
    let opened = Referrer::new(context, &cluster).open_to_change(&arguments.job, "rerun", ui).await?;
    let Some((handle, evidence)) = opened else { return Ok(ExitCode::FAILURE) };
    let Some(record) = evidence.job.clone().filter(|job| job.maker != Maker::PrefectWorker) else {
        return flow_run::rerun(arguments, evidence, handle, options, context, ui, results).await;
    };
    let Some(recorded) = record.plan.as_deref().cloned() else {
        return Err(Error::failed(format!("`{}` does not record what it ran: sbrun did not make it", record.name)));
    };
    if recorded.tracking.is_some() && !is_finished(&record) {
        return Err(Error::failed(format!("`{}` has not ended, and a run of Prefect has one process at a time", record.name))
            .hinted(format!("end it first: sbrun cancel {}", record.name)));
    }
    let mut plan = repeat(recorded, &record, arguments.detach, context)?;
    if let Some(size) = &arguments.size {
        resize(&mut plan, size, context, &cluster).await?;
    }
    plan.package = jobs::package_of(&cluster, &record).await?;
    let purpose = if arguments.detach { Purpose::Detach } else { Purpose::Follow };
    let (user, checked) = tokio::join!(context.user(Some(&cluster)), checks::check(&cluster, &plan, purpose));
    for warning in checked? {
        ui.warning(&warning);
    }
    plan.user = user;
    ui.status(&format!("running again what `{}` recorded; changes of your files since then are not in it (`sbrun submit` sends them)", record.name));
    let read_here = plan.secrets.iter().filter(|secret| matches!(secret.source, SecretSource::Value(_)));
    let read_here: Vec<String> = read_here.map(|secret| format!("`{}`", secret.name)).collect();
    if !read_here.is_empty() {
        ui.status(&format!("it gets {} from your environment, as the job was given", wording::list(&read_here)));
    }
    let mut controls = launch::interruptions(&plan, ui)?;
    let launched = match flow_run::reopen(&plan, &mut controls, context, ui).await? {
        Some(run) => Box::pin(run.launch(plan, &cluster, options, &mut controls, context, ui)).await?,
        None => Box::pin(launch::on_cluster(plan, cluster, options, &mut controls, context, ui)).await?,
    };
    launched.conclude(ui, results)
}

/// Returns the recorded plan as a new launch. After a loss it is the same run, else a new one.
fn repeat(recorded: LaunchPlan, record: &JobRecord, detach: bool, context: &Context) -> Result<LaunchPlan> {
    let evidence = Evidence { job: Some(record.clone()), ..Evidence::default() };
    let outcome = diagnose(&evidence, now()).verdict.map(|verdict| verdict.outcome);
    let same_run = matches!(outcome, Some(Outcome::Lost | Outcome::NoNode));
    let fresh = RunId::new(u64::try_from(now().as_millisecond()).unwrap_or_default(), environment::random());
    let mut secrets = recorded.secrets.clone();
    for secret in secrets.iter_mut().filter(|secret| matches!(secret.source, SecretSource::Value(_))) {
        *secret = secrets::parse(std::slice::from_ref(&secret.name), &context.environment)?.remove(0);
    }
    Ok(LaunchPlan {
        name: JobName::for_flow(stem(&recorded, &record.name), environment::random()),
        run_id: if same_run { recorded.run_id.clone() } else { fresh },
        nonce: base32(&environment::random::<10>()),
        key: None,
        secrets,
        // Nobody follows a detached job, so nobody would renew its lease.
        on_interrupt: if !detach && context.environment.ci().is_some() { OnInterrupt::Cancel } else { OnInterrupt::Detach },
        rerun_of: Some(recorded.name.clone()),
        grown_from: None,
        ..recorded
    })
}

/// Returns the flow's part of a Job name; a name made from a key has none.
fn stem<'name>(recorded: &'name LaunchPlan, name: &'name str) -> &'name str {
    if recorded.key.is_some() {
        let file = recorded.flow.file.rsplit('/').next().unwrap_or_default();
        return file.split('.').next().unwrap_or_default();
    }
    name.rsplit_once('-').map_or(name, |(stem, _)| stem)
}

async fn resize(plan: &mut LaunchPlan, size: &str, context: &Context, cluster: &Cluster) -> Result<()> {
    let found = match context.find_map()? {
        Some(found) => Some(found),
        None => context.map_of_cluster(cluster).await?,
    };
    let found =
        found.ok_or_else(|| Error::rejected(format!("there is no instance map that says what size `{size}` is")).hinted("name one with `--map`"))?;
    found.map.check_cluster(&cluster.server, cluster.contexts())?;
    let profile = found.map.size(&SizeName(size.to_owned()))?;
    plan.size = Some(profile.name.clone());
    plan.footprint = profile.footprint(&found.map.defaults);
    plan.placement = found.map.placement(profile);
    plan.fallback = profile.fallback.as_ref().map(|fallback| fallback.value.clone());
    plan.asked_size = None;
    plan.price_per_hour = profile.price_per_hour;
    Ok(())
}
