//! `sbrun submit --deployment`: a run of a Prefect deployment at a size, followed like a job of sbrun's own.
//!
//! Prefect makes the run, a worker makes its Job; sbrun creates the one and follows both.

mod larger;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    SubmitArgs,
    launch::{LaunchOptions, Launched, to_the_end},
    resolve::{self, Decided},
    result_file::ResultFile,
};
use crate::{
    commands::{
        context::Context,
        deployments::{DeploymentName, check_size, pool_of},
        interrupt::{Interruptions, see_through, unless_interrupted},
    },
    environment::{self, now},
    error::{Error, Result},
    follow::{Controls, FollowOptions, cluster::ClusterJob},
    kubernetes::connect::Cluster,
    model::{
        diagnose::diagnose,
        evidence::Evidence,
        exit_code::ExitCode,
        identity::{SizeName, base32},
        launch_plan::User,
        node_group::Sighting,
        prefect::flow_run::{FlowRun, FlowRunRecord, SIZE_VARIABLE, TAG, WorkPool},
        settings::Origin,
    },
    output::{
        format,
        ui::{Format, Ui},
        view::{report::JobReport, submitted},
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

/// Creates a run of the deployment `name`, and follows it unless detached.
pub(super) async fn submit(
    name: &DeploymentName,
    arguments: &SubmitArgs,
    options: LaunchOptions,
    context: &Context,
    ui: &mut Ui,
    results: &ResultFile,
) -> Result<ExitCode> {
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
    resolve::tell_unfollowed(&decided, options.detach, ui);
    let (deployment, user) = tokio::join!(name.find(&server), context.user(cluster.as_ref()));
    let deployment = deployment?;
    let pool = pool_of(&server, &deployment, name).await?;
    let size = decided.settings.size.as_ref().map(|size| size.value.to_string());
    size.as_deref().map_or(Ok(()), |size| check_size(&pool, size))?;
    let run = new_run(arguments, &decided, &deployment, &pool, parameters, size.as_deref(), &user);
    if arguments.dry_run.is_some() {
        let document = serde_json::to_value(&run).map_err(|error| Error::internal("the run cannot be shown").caused_by(error))?;
        ui.show(&document, |_| format::json(&document).unwrap_or_default(), || vec![name.to_string()])?;
        return Ok(ExitCode::SUCCESS);
    }
    let started = now();
    let mut controls =
        Interruptions { without_terminal: decided.settings.on_interrupt.value, can_ask: ui.can_prompt(), by: user.name.clone() }.listen()?;
    let Some(created) = see_through(server.create_run(&deployment.id, &run), &mut controls, ui).await.transpose()? else {
        return Err(Error::unreachable(format!("interrupted while a run of `{name}` was being made: it may or may not have been"))
            .hinted("`sbrun list` shows it if there is one; with `--key` the same command leads to the same run"));
    };
    let larger = larger::next_size(size.as_deref(), &pool, &decided);
    check_key(arguments.key.as_deref(), &run, larger, &created)?;
    let attached = created.created.is_some_and(|at| at < started - jiff::SignedDuration::from_secs(60)) || created.run_count > 0;
    let record =
        FlowRunRecord { page: server.settings().flow_run_page(&created.id), run: created, deployment: Some(name.to_string()), pool: Some(pool) };
    announce(&record, size.as_deref(), attached, ui)?;
    let evidence = Evidence { flow_run: Sighting::Seen { value: record.clone(), at: started }, ..Evidence::default() };
    // Only who follows a run can end it as was asked for.
    let Some(cluster) = cluster.filter(|_| !options.detach || controls.has_put_back()) else {
        let report = JobReport::new(&evidence, &diagnose(&evidence, now()));
        return Launched::Detached(Box::new(report)).conclude(ui, results);
    };
    let follower = Follower { decided: &decided, user: &user, retries: arguments.retries, cluster: &cluster, server: &server, context };
    let further = options.again()?;
    let launched = follower.follow(&record, evidence, options, &mut controls, ui).await?;
    let larger = match launched.out_of_memory() {
        Some(left) => {
            let finding = larger::find(left, &record, size.as_deref(), &follower, ui);
            unless_interrupted(finding, &mut controls).await.transpose()?.flatten()
        }
        None => None,
    };
    match (launched, larger) {
        (Launched::Followed(left), Some(larger)) => {
            let (record, evidence) = larger.start(*left, record, &server, &mut controls, ui).await?;
            follower.follow(&record, evidence, further, &mut controls, ui).await?.grown(larger.grown_from).conclude(ui, results)
        }
        (launched, _) => launched.conclude(ui, results),
    }
}

/// How a run is followed.
struct Follower<'submission> {
    decided: &'submission Decided,
    user: &'submission User,
    retries: Option<u32>,
    cluster: &'submission Cluster,
    server: &'submission Server,
    context: &'submission Context,
}

impl Follower<'_> {
    /// Follows a run to its end. The attempts that are known of it are over, and their output has been shown.
    async fn follow(
        &self,
        record: &FlowRunRecord,
        evidence: Evidence,
        options: LaunchOptions,
        controls: &mut Controls,
        ui: &mut Ui,
    ) -> Result<Launched> {
        let settings = &self.decided.settings;
        let keep = self.context.keep(Some(settings.keep_logs.value), self.cluster)?;
        let (cluster, server) = (self.cluster.clone(), self.server.clone());
        let mut job = ClusterJob::of_flow_run(cluster, server, &record.run, record.deployment.clone(), &self.context.environment)
            .sized_by(self.decided.map.as_ref().map(|found| found.map.clone()), None)
            .followed();
        let known = u32::try_from(evidence.attempts.len()).unwrap_or(u32::MAX);
        let follow_options = FollowOptions {
            keep,
            limits: Some(settings.limits()),
            most_attempts: self.retries.map(|retries| known.saturating_add(retries).saturating_add(1)),
            known_attempts: evidence.attempts.iter().map(|attempt| attempt.uid.clone()).collect(),
            ..FollowOptions::new(self.user.name.clone())
        };
        let view = options.view(record.run.created.unwrap_or_else(now), ui);
        to_the_end(&mut job, evidence, follow_options, controls, view, ui).await
    }
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
        if parameters.insert(name.to_string(), value).is_some() {
            return Err(Error::usage(format!("the parameter `{name}` is given twice")));
        }
    }
    Ok(parameters)
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

/// A key leads to the run that it made, whatever is asked for now: another request under it is a mistake. The run may have grown to a
/// `larger` size since.
fn check_key(key: Option<&str>, asked: &NewRun, larger: Option<SizeName>, found: &FlowRun) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let has_grown = larger.is_some_and(|larger| found.size() == Some(larger.0.as_str()));
    let same_size = has_grown || asked.job_variables.get(SIZE_VARIABLE) == found.job_variables.get(SIZE_VARIABLE);
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
    if let Some(problem) = &pool.two_owners {
        ui.warning(&format!("work pool `{}`: {problem}", pool.name));
    }
    if pool.is_paused {
        ui.warning(&format!("work pool `{}` is paused: the run waits until somebody resumes it", pool.name));
    } else if !pool.workers.iter().any(|worker| worker.is_online) {
        ui.warning(&format!("no worker of work pool `{}` is online: the run waits until one is", pool.name));
    }
    Ok(())
}
