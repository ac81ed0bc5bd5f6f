//! `sbrun submit --deployment`: a run of a Prefect deployment at a size, followed like a job of sbrun's own.
//!
//! Prefect makes the run, a worker makes its Job; sbrun creates the one and follows both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    SubmitArgs,
    launch::{LaunchOptions, Launched, to_the_end},
    resolve::{self, Decided},
    result_file::ResultFile,
};
use crate::{
    commands::{context::Context, interrupt::Interruptions},
    environment::{self, now},
    error::{Error, Result},
    follow::{FollowOptions, cluster::ClusterJob},
    kubernetes::connect::Cluster,
    model::{
        diagnose::diagnose,
        evidence::Evidence,
        exit_code::ExitCode,
        identity::base32,
        launch_plan::{OnInterrupt, User},
        node_group::Sighting,
        prefect::flow_run::{FlowRun, FlowRunRecord, SIZE_VARIABLE, TAG, WorkPool},
        settings::Origin,
        suggestion,
    },
    output::{
        format,
        ui::{Format, Ui},
        view::{follow::FollowView, report::JobReport, submitted},
    },
    prefect::{
        Server,
        flow_runs::{Deployment, NewRun},
    },
    store::map_file::FoundMap,
};

/// The job variable for labels of Job and pod.
const LABELS_VARIABLE: &str = "labels";
/// The job variable for environment variables.
const ENV_VARIABLE: &str = "env";
/// Creates a run of `name`, which is `flow/deployment`, and follows it unless detached.
pub(super) async fn submit(
    name: &str,
    arguments: &SubmitArgs,
    options: LaunchOptions,
    context: &Context,
    ui: &mut Ui,
    results: &ResultFile,
) -> Result<ExitCode> {
    let (flow, deployment_name) = name.split_once('/').filter(|(flow, deployment)| !flow.is_empty() && !deployment.is_empty()).ok_or_else(|| {
        Error::usage(format!("`{name}` is no deployment")).hinted("it has to look like FLOW/DEPLOYMENT, as `prefect deployment ls` shows it")
    })?;
    let parameters = parameters(&arguments.parameters)?;
    let server = context.required_prefect()?;
    let files = context.find_map()?;
    let connected = context.connect(files.as_ref().and_then(FoundMap::namespace)).await;
    let cluster = match connected {
        Ok(cluster) => Some(cluster),
        // The run needs no right on the cluster; only following it does.
        Err(_) if options.detach || arguments.dry_run.is_some() => None,
        Err(error) => return Err(error.hinted("`--detach` creates the run without looking at the cluster")),
    };
    let decided = resolve::decide(arguments, context, cluster.as_ref(), files).await?;
    let (deployment, user) = tokio::join!(server.deployment(flow, deployment_name), context.user(cluster.as_ref()));
    let Some(deployment) = deployment? else { return Err(unknown_deployment(&server, name).await) };
    let pool = pool(&server, &deployment, name).await?;
    let size = decided.settings.size.as_ref().map(|size| size.value.to_string());
    check_size(&pool, size.as_deref())?;
    let run = new_run(arguments, &decided, &deployment, &pool, parameters, size.as_deref(), &user);
    if arguments.dry_run.is_some() {
        let document = serde_json::to_value(&run).map_err(|error| Error::internal("the run cannot be shown").caused_by(error))?;
        ui.show(&document, |_| format::json(&document).unwrap_or_default(), || vec![name.to_owned()])?;
        return Ok(ExitCode::SUCCESS);
    }
    let started = now();
    let created = server.create_run(&deployment.id, &run).await?;
    check_key(arguments.key.as_deref(), &run, &created)?;
    let attached = created.created.is_some_and(|at| at < started - jiff::SignedDuration::from_secs(60)) || created.run_count > 0;
    let record =
        FlowRunRecord { page: server.settings().flow_run_page(&created.id), run: created, deployment: Some(name.to_owned()), pool: Some(pool) };
    announce(&record, size.as_deref(), attached, ui)?;
    let evidence = Evidence { flow_run: Sighting::Seen { value: record.clone(), at: started }, ..Evidence::default() };
    let Some(cluster) = cluster.filter(|_| !options.detach) else {
        let report = JobReport::new(&evidence, &diagnose(&evidence, now()));
        return Launched::Detached(Box::new(report)).conclude(ui, results);
    };
    follow(Followed { record, decided, user, retries: arguments.retries }, evidence, cluster, server, options, context, ui)
        .await?
        .conclude(ui, results)
}

/// A run to follow.
struct Followed {
    record: FlowRunRecord,
    decided: Decided,
    user: User,
    retries: Option<u32>,
}

async fn follow(
    followed: Followed,
    evidence: Evidence,
    cluster: Cluster,
    server: Server,
    options: LaunchOptions,
    context: &Context,
    ui: &mut Ui,
) -> Result<Launched> {
    let Followed { record, decided, user, retries } = followed;
    let without_terminal = if options.detach { OnInterrupt::Detach } else { decided.settings.on_interrupt.value };
    let controls = Interruptions { without_terminal, can_ask: ui.can_prompt(), by: user.name.clone() }.listen()?;
    let mut job = ClusterJob::of_flow_run(cluster, server, &record.run, record.deployment.clone(), &context.environment);
    let view = FollowView::new(ui, record.run.created.unwrap_or_else(now), options.raw).with_log_file(options.log_file);
    let follow_options = FollowOptions {
        limits: Some(decided.settings.limits()),
        most_attempts: retries.map(|retries| retries.saturating_add(1)),
        ..FollowOptions::new(user.name)
    };
    to_the_end(&mut job, evidence, follow_options, controls, view, ui).await
}

/// Returns the parameters `NAME=VALUE`: JSON where the value reads as such, else text.
pub(super) fn parameters(typed: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut parameters = BTreeMap::new();
    for text in typed {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Error::usage(format!("`{text}` is no parameter"))
                .hinted("write it like `-p day=2026-11-01`; a value may be JSON, such as `-p days='[1, 2]'`")
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        if parameters.insert(name.to_owned(), value).is_some() {
            return Err(Error::usage(format!("the parameter `{name}` is given twice")));
        }
    }
    Ok(parameters)
}

async fn unknown_deployment(server: &Server, name: &str) -> Error {
    let error = Error::rejected(format!("the Prefect API at `{}` has no deployment `{name}`", server.api_url()));
    let names = server.deployment_names().await.unwrap_or_default();
    match suggestion::closest(name, names.iter().map(String::as_str)) {
        Some(meant) => error.hinted(format!("did you mean `{meant}`?")),
        None => error.hinted("see what there is: prefect deployment ls").hinted(format!("the address is from {}", server.settings().api_url.origin)),
    }
}

/// Returns the pool that makes the run's Job.
async fn pool(server: &Server, deployment: &Deployment, name: &str) -> Result<WorkPool> {
    let Some(pool_name) = &deployment.work_pool_name else {
        return Err(Error::rejected(format!("deployment `{name}` has no work pool: `flow.serve` runs it in a process of its own"))
            .hinted("deploy it to a work pool of type kubernetes: prefect deploy --pool POOL"));
    };
    let gone = || Error::rejected(format!("the work pool `{pool_name}` of deployment `{name}` does not exist"));
    let pool = server.work_pool_and_workers(pool_name).await?.ok_or_else(gone)?;
    if pool.kind != "kubernetes" {
        return Err(Error::rejected(format!("the work pool `{pool_name}` of deployment `{name}` is of type {}", pool.kind))
            .hinted("sbrun runs what a pool of type kubernetes makes a Job of"));
    }
    Ok(pool)
}

/// A size that the pool's template does not know would be passed over in silence by the server.
pub(in crate::commands) fn check_size(pool: &WorkPool, size: Option<&str>) -> Result<()> {
    let Some(size) = size else { return Ok(()) };
    let name = &pool.name;
    if !pool.variables.iter().any(|variable| variable == SIZE_VARIABLE) {
        return Err(Error::rejected(format!("work pool `{name}` knows no sizes: its template has no job variable `{SIZE_VARIABLE}`"))
            .hinted(format!("make it one of the instance map: sbrun prefect pool update {name}")));
    }
    if !pool.sizes.is_empty() && !pool.sizes.iter().any(|known| known == size) {
        let known: Vec<String> = pool.sizes.iter().map(|known| format!("`{known}`")).collect();
        return Err(Error::rejected(format!("work pool `{name}` does not know the size `{size}`"))
            .hinted(format!("it offers {}", crate::output::wording::list(&known)))
            .hinted(format!("bring it up to date with the instance map: sbrun prefect pool update {name}")));
    }
    Ok(())
}

fn new_run(
    arguments: &SubmitArgs,
    decided: &Decided,
    deployment: &Deployment,
    pool: &WorkPool,
    parameters: BTreeMap<String, Value>,
    size: Option<&str>,
    user: &User,
) -> NewRun {
    let mut job_variables = BTreeMap::new();
    job_variables.extend(size.map(|size| (SIZE_VARIABLE.to_owned(), Value::from(size))));
    let has = |variable: &str| pool.variables.iter().any(|known| known == variable);
    if has(LABELS_VARIABLE) {
        // A run's labels replace those of its deployment.
        let mut labels = deployment.job_variables.get(LABELS_VARIABLE).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
        labels[crate::kubernetes::labels::USER] = Value::from(user.label.clone());
        job_variables.insert(LABELS_VARIABLE.to_owned(), labels);
    }
    let env: BTreeMap<&String, &String> = decided
        .settings
        .env
        .iter()
        .filter(|(_, setting)| matches!(setting.origin, Origin::Flag(_)))
        .map(|(name, setting)| (name, &setting.value))
        .collect();
    if !env.is_empty() {
        job_variables.insert(ENV_VARIABLE.to_owned(), json!(env)); // these are merged
    }
    NewRun {
        name: arguments.name.clone(),
        parameters,
        job_variables,
        tags: vec![TAG.to_owned()],
        idempotency_key: arguments.key.clone().unwrap_or_else(|| base32(&environment::random::<16>())),
        empirical_policy: arguments.retries.map(|retries| json!({"retries": retries})),
    }
}

/// A key leads to the run that it made, whatever is asked for now: another request under it is a mistake.
fn check_key(key: Option<&str>, asked: &NewRun, found: &FlowRun) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let same_size = asked.job_variables.get(SIZE_VARIABLE) == found.job_variables.get(SIZE_VARIABLE);
    let same_parameters = asked.parameters.iter().all(|(name, value)| found.parameters.get(name) == Some(value));
    if same_size && same_parameters {
        return Ok(());
    }
    let what = if same_size { "parameters" } else { "size" };
    Err(Error::rejected(format!("the key `{key}` has made flow run `{}` with another {what}", found.name))
        .hinted("take another `--key`, or leave it out")
        .hinted(format!("see that run: sbrun why {}", found.id)))
}

/// Says what there is now; what would keep the run waiting is said at once.
fn announce(record: &FlowRunRecord, size: Option<&str>, attached: bool, ui: &mut Ui) -> Result<()> {
    let run = &record.run;
    match ui.format() {
        Format::Name => ui.line(&run.id)?,
        Format::Jsonl => {
            let event = json!({
                "schema": format::SCHEMA, "event": "submitted", "at": format::milliseconds(now()),
                "name": run.id, "run_id": run.id, "flow_run_name": run.name, "attached": attached,
            });
            ui.line(&format::json_line(&event)?)?;
        }
        Format::Table | Format::Json | Format::Yaml => {}
    }
    let block = submitted::flow_run_block(record, size, attached, ui.painter());
    ui.status(&block);
    let Some(pool) = record.pool.as_ref().filter(|_| !run.state.kind.is_terminal() && run.infrastructure.is_none()) else { return Ok(()) };
    if pool.is_paused {
        ui.warning(&format!("work pool `{}` is paused: the run waits until somebody resumes it", pool.name));
    } else if !pool.workers.iter().any(|worker| worker.is_online) {
        ui.warning(&format!("no worker of work pool `{}` is online: the run waits until one is", pool.name));
    }
    Ok(())
}
