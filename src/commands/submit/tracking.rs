//! A Prefect flow that is submitted as a file is a run in Prefect from its first second: before it has a machine, and after it lost one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    SubmitArgs,
    launch::{self, Creation, LaunchOptions, Launched},
    resolve::{Decided, Resolved},
};
use crate::{
    commands::{context::Context, interrupt::see_through},
    error::{Error, Result},
    follow::Controls,
    kubernetes::{
        connect::Cluster,
        jobs::{self, Created},
        retry::Patience,
    },
    model::{
        diagnose::is_finished,
        evidence::JobRecord,
        instance_map::Prefect,
        launch_plan::{LaunchPlan, OnOutOfMemory, Secret, SecretSource},
        outcome::Outcome,
        prefect::{
            flow_run::{StateType, TAG},
            pool::credential,
            tracking::{Tracking, TrackingMode, executions},
        },
        python_imports::prefect::{PrefectFlow, Retries},
    },
    output::ui::Ui,
    prefect::{Server, flow_runs::NewRun},
};

/// The state of a run whose Job is being made.
const SUBMITTING: &str = "Submitting";
/// Where a pod finds the API.
const API_URL: &str = "PREFECT_API_URL";
/// Prefect's own variables for retries that no source shows.
const DEFAULT_RETRIES: [&str; 2] = ["PREFECT_FLOWS_DEFAULT_RETRIES", "PREFECT_FLOW_DEFAULT_RETRIES"];

/// A flow run that is to be made for a launch.
#[derive(Debug)]
pub struct Intent {
    server: Server,
    flow: PrefectFlow,
    entrypoint: String,
    parameters: BTreeMap<String, Value>,
    retries: Option<u32>,
    /// Whether the flow must not run untracked.
    is_required: bool,
}

/// Gives the pod of a Prefect flow what it needs to report to Prefect, where the instance map says it.
///
/// What the pod gets comes from the map, never from this machine: its key is somebody's own, and its address may be loopback.
pub fn give_address(plan: &mut LaunchPlan, prefect: &Prefect) {
    let Some(url) = &prefect.api_url else { return };
    plan.environment.entry(API_URL.to_owned()).or_insert_with(|| url.value.clone());
    if let Some((variable, reference)) = credential(prefect).filter(|(variable, _)| plan.secrets.iter().all(|secret| secret.name != *variable)) {
        let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
        plan.secrets.push(Secret { name: variable.to_owned(), source: SecretSource::Reference { secret: text("name"), key: text("key") } });
    }
}

/// Returns the run that is to be made for a Prefect flow, if it is to be tracked.
///
/// # Errors
/// When the command line wants of Prefect what cannot be had.
pub fn prepare(arguments: &SubmitArgs, decided: &Decided, resolved: &Resolved, context: &Context, ui: &mut Ui) -> Result<Option<Intent>> {
    let mode = decided.settings.prefect.value;
    let parameters = super::deployment::parameters(&arguments.parameters)?;
    let Some(flow) = resolved.prefect_flow.clone() else {
        if mode == TrackingMode::Required || arguments.retries.is_some() || !parameters.is_empty() {
            return Err(Error::usage("this file defines no Prefect flow, so `--prefect required`, `--retries` and `--parameter` mean nothing")
                .hinted("a flow is a function with the decorator `@flow` of prefect; arguments of any program come after `--`"));
        }
        return Ok(None);
    };
    let grows = decided.settings.on_oom.value == OnOutOfMemory::NextSize && !arguments.detach;
    check_owners(&flow, &resolved.plan, grows, ui);
    if mode == TrackingMode::Off {
        return without(arguments, &parameters, "`--prefect off`");
    }
    let server = context.prefect()?;
    let why = if !resolved.plan.environment.contains_key(API_URL) {
        "the instance map does not say how a pod reaches the Prefect API (`prefect: {api_url: …}`)"
    } else if !resolved.plan.flow.arguments.is_empty() {
        "it gets arguments, and Prefect's engine calls the function itself"
    } else if let Some(server) = server {
        let entrypoint = format!("{}:{}", resolved.plan.flow.file, flow.function);
        let retries = arguments.retries;
        let is_required = mode == TrackingMode::Required || retries.is_some() || !parameters.is_empty();
        return Ok(Some(Intent { server, flow, entrypoint, parameters, retries, is_required }));
    } else {
        "no Prefect API is known here (PREFECT_API_URL, or a profile)"
    };
    if mode == TrackingMode::Required {
        return Err(Error::rejected(format!("the flow cannot be tracked: {why}")));
    }
    ui.detail(&format!("the flow is not tracked: {why}"));
    without(arguments, &parameters, why)
}

/// Without a run in Prefect there is nobody who takes parameters or starts a failed flow again.
fn without(arguments: &SubmitArgs, parameters: &BTreeMap<String, Value>, why: &str) -> Result<Option<Intent>> {
    let flag = if arguments.retries.is_some() { "--retries" } else { "--parameter" };
    if arguments.retries.is_some() || !parameters.is_empty() {
        return Err(Error::rejected(format!("`{flag}` needs a run in Prefect, and there is none: {why}")));
    }
    Ok(None)
}

/// Retries have one owner. Where Prefect and Kubernetes would both start a flow again, the product is said.
fn check_owners(flow: &PrefectFlow, plan: &LaunchPlan, grows: bool, ui: &mut Ui) {
    let infrastructure = plan.infrastructure_retries;
    let hidden = DEFAULT_RETRIES.iter().find_map(|name| plan.environment.get(*name)?.parse().ok()).unwrap_or(0);
    let own = match flow.retries {
        Retries::Known(0) => Retries::Known(hidden),
        known => known,
    };
    match own {
        _ if infrastructure == 0 => {}
        Retries::Known(0) => {}
        Retries::Known(retries) => ui.warning(&format!(
            "flow `{}` has {retries} retries in Prefect, and `--infrastructure-retries {infrastructure}` starts it anew each time: up to {} executions{}",
            flow.name,
            executions(retries, infrastructure) * if grows { 2 } else { 1 },
            if grows { ", at two sizes" } else { "" }
        )),
        Retries::Unknown => ui.warning(&format!(
            "the retries of flow `{}` are computed, so with `--infrastructure-retries {infrastructure}` nobody can say how often it may run",
            flow.name
        )),
    }
}

impl Intent {
    /// Makes the run in Prefect, notes it in the plan and returns it. The same `--key` leads to the same run.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn begin(&self, plan: &mut LaunchPlan, controls: &mut Controls, ui: &mut Ui) -> Result<Option<OpenRun>> {
        let key = plan.key.as_ref().map_or_else(|| plan.run_id.to_string(), |key| format!("{}/{key}", plan.namespace));
        let run = NewRun {
            name: Some(plan.name.to_string()),
            parameters: self.parameters.clone(),
            job_variables: BTreeMap::new(),
            tags: vec![TAG.to_owned()],
            idempotency_key: key,
            empirical_policy: self.retries.map(|retries| json!({"retries": retries})),
        };
        let flow_run = match see_through(self.server.create_flow_run(&self.flow.name, &run), controls, ui).await {
            None => {
                return Err(Error::unreachable(format!(
                    "interrupted while flow run `{}` was being made in Prefect: it may or may not have been, and no Job was",
                    plan.name
                ))
                .hinted("a run that Prefect has nevertheless stays PENDING there: delete it, or repeat the command with the same `--key`"));
            }
            Some(Ok(flow_run)) => flow_run,
            Some(Err(error)) if self.is_required => return Err(error),
            Some(Err(error)) => {
                ui.warning(&format!("the flow is not tracked: {}", error.message()));
                return Ok(None);
            }
        };
        let is_over = flow_run.state.kind.is_terminal();
        plan.tracking = Some(Tracking { flow_run: flow_run.id.clone(), name: flow_run.name, entrypoint: self.entrypoint.clone() });
        Ok(Some(OpenRun { server: self.server.clone(), id: flow_run.id, is_over }))
    }
}

/// The run in Prefect of a launch that is under way. Its words are lost where the API does not take them: the flow itself has the last ones.
#[derive(Debug)]
pub struct OpenRun {
    server: Server,
    id: String,
    /// Whether an earlier Job of it has ended.
    is_over: bool,
}

impl OpenRun {
    /// Opens a run that has ended for a further Job of it.
    ///
    /// # Errors
    /// When the API cannot be asked: without the run in Prefect the engine has nothing to run.
    pub async fn reopen(server: Server, tracking: &Tracking, message: &str) -> Result<Self> {
        server.correct_state(&tracking.flow_run, StateType::Pending, SUBMITTING, message).await?;
        Ok(Self { server, id: tracking.flow_run.clone(), is_over: false })
    }

    /// Creates the Job of the run and follows it, unless detached. A launch that comes to nothing closes the run: nobody else ever would.
    ///
    /// # Errors
    /// When the Job cannot be created or followed.
    pub async fn launch(
        self,
        plan: LaunchPlan,
        cluster: &Cluster,
        options: LaunchOptions,
        controls: &mut Controls,
        context: &Context,
        ui: &mut Ui,
    ) -> Result<Launched> {
        let (by, name) = (plan.user.name.clone(), plan.name.clone());
        let creation = launch::create(plan, cluster.clone(), options, controls, context, ui).await;
        let telling = async {
            match &creation {
                Ok(Creation::Submitted(submission)) => self.note(&submission.created, cluster).await,
                Ok(Creation::Interrupted { report, .. }) if report.outcome == Some(Outcome::Cancelled) => {
                    let message = format!("cancelled by {by} with sbrun, as Job {name} was made");
                    drop(self.server.set_state(&self.id, StateType::Cancelled, "Cancelled", &message).await);
                }
                Ok(Creation::Interrupted { record: Some(record), .. }) => self.note_job(record).await,
                Ok(Creation::Interrupted { record: None, .. }) => {}
                Err(error) => self.abandon(cluster, error.message()).await,
            }
        };
        see_through(telling, controls, ui).await;
        launch::go_on(creation?, controls, ui).await
    }

    /// Notes the Job of the run, unless the key has led to one that is of another.
    async fn note(&self, created: &Created, cluster: &Cluster) {
        let record = &created.record;
        if record.flow_run.as_ref() != Some(&self.id) {
            return self.abandon(cluster, &format!("its key is that of Job {}, which is not of this run", record.name)).await;
        }
        if self.is_over && !created.attached {
            // Its engine may be quicker: Prefect's rules then refuse what is late.
            let message = format!("started again as Job {}", record.name);
            drop(self.server.set_state(&self.id, StateType::Pending, SUBMITTING, &message).await);
            // What sbrun ended itself is cancelled there, and stays so by those rules.
            if let Ok(Some(run)) = self.server.flow_run(&self.id).await
                && run.state.kind == StateType::Cancelled
            {
                drop(self.server.correct_state(&self.id, StateType::Pending, SUBMITTING, &message).await);
            }
        }
        self.note_job(record).await;
    }

    /// Notes the Job in Prefect, as a worker would: by that others find it, else by its label.
    async fn note_job(&self, record: &JobRecord) {
        drop(self.server.note_job(&self.id, &record.namespace, &record.name).await);
    }

    /// Closes the run, unless a Job of it is there: that may run on.
    async fn abandon(&self, cluster: &Cluster, why: &str) {
        let found = jobs::of_flow_run(cluster, &self.id, Patience::CANCEL).await;
        if !found.is_ok_and(|jobs| jobs.iter().any(|job| !is_finished(job))) {
            let message = format!("sbrun could not launch it: {why}");
            drop(self.server.set_state(&self.id, StateType::Crashed, "Crashed", &message).await);
        }
    }
}

/// Launches a plan on the cluster; the run in Prefect that it is to be, if any, is there first.
///
/// # Errors
/// When the run or the Job cannot be created, or the Job not be followed.
pub async fn launch(
    mut plan: LaunchPlan,
    intent: Option<&Intent>,
    cluster: &Cluster,
    options: LaunchOptions,
    controls: &mut Controls,
    context: &Context,
    ui: &mut Ui,
) -> Result<Launched> {
    let run = match intent {
        Some(intent) => intent.begin(&mut plan, controls, ui).await?,
        None => None,
    };
    match run {
        Some(run) => run.launch(plan, cluster, options, controls, context, ui).await,
        None => launch::on_cluster(plan, cluster.clone(), options, controls, context, ui).await,
    }
}
