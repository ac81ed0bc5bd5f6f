//! A Prefect flow that is submitted as a file is a run in Prefect from its first second: before it has a machine, and after it lost one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    SubmitArgs,
    resolve::{Decided, Resolved},
};
use crate::{
    commands::context::Context,
    error::{Error, Result},
    model::{
        instance_map::Prefect,
        launch_plan::{LaunchPlan, Secret, SecretSource},
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
    check_owners(&flow, &resolved.plan, ui);
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
        return Ok(Some(Intent { server, flow, entrypoint, parameters, retries: arguments.retries }));
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
fn check_owners(flow: &PrefectFlow, plan: &LaunchPlan, ui: &mut Ui) {
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
            "flow `{}` has {retries} retries in Prefect, and `--infrastructure-retries {infrastructure}` starts it anew each time: up to {} executions",
            flow.name,
            executions(retries, infrastructure)
        )),
        Retries::Unknown => ui.warning(&format!(
            "the retries of flow `{}` are computed, so with `--infrastructure-retries {infrastructure}` nobody can say how often it may run",
            flow.name
        )),
    }
}

impl Intent {
    /// Makes the run in Prefect and notes it in the plan. The same `--key` leads to the same run.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn begin(&self, plan: &mut LaunchPlan, mode: TrackingMode, ui: &mut Ui) -> Result<()> {
        let key = plan.key.as_ref().map_or_else(|| plan.run_id.to_string(), |key| format!("{}/{key}", plan.namespace));
        let run = NewRun {
            name: Some(plan.name.to_string()),
            parameters: self.parameters.clone(),
            job_variables: BTreeMap::new(),
            tags: vec![TAG.to_owned()],
            idempotency_key: key,
            empirical_policy: self.retries.map(|retries| json!({"retries": retries})),
        };
        let flow_run = match self.server.create_flow_run(&self.flow.name, &run).await {
            Ok(flow_run) => flow_run,
            Err(error) if mode == TrackingMode::Required || self.retries.is_some() || !self.parameters.is_empty() => return Err(error),
            Err(error) => {
                ui.warning(&format!("the flow is not tracked: {}", error.message()));
                return Ok(());
            }
        };
        plan.tracking = Some(Tracking { flow_run: flow_run.id, name: flow_run.name, entrypoint: self.entrypoint.clone() });
        Ok(())
    }

    /// Notes the Job in Prefect, as a worker would: by that others find it.
    pub async fn note_job(&self, plan: &LaunchPlan) {
        let Some(tracking) = &plan.tracking else { return };
        // Who cannot note it finds the Job by its label.
        drop(self.server.note_job(&tracking.flow_run, &plan.namespace, plan.name.as_str()).await);
    }

    /// Closes the run of a launch that came to nothing: nobody else ever would.
    pub async fn abandon(&self, plan: &LaunchPlan, why: &Error) {
        let Some(tracking) = &plan.tracking else { return };
        let message = format!("sbrun could not launch it: {}", why.message());
        drop(self.server.set_state(&tracking.flow_run, StateType::Crashed, "Crashed", &message).await);
    }
}
