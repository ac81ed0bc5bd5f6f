//! Deployments of Prefect, as people name them, and the sizes that their pools offer.

use jiff::SignedDuration;
use serde_json::Value;

use super::interrupt::see_through;
use crate::{
    environment::now,
    error::{Error, Result},
    follow::Controls,
    model::{
        prefect::flow_run::{FlowRun, SIZE_VARIABLE, WorkPool},
        suggestion,
    },
    output::ui::Ui,
    prefect::{Server, flow_runs::Deployment},
};

/// Later than any worker looks ahead (`--prefetch-seconds`, 10 unless told).
const OUT_OF_SIGHT: SignedDuration = SignedDuration::from_secs(120);

/// What a person types for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentName {
    flow: String,
    deployment: String,
}

impl DeploymentName {
    /// Returns the deployment that `flow/deployment` names, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').filter(|(flow, deployment)| !flow.is_empty() && !deployment.is_empty());
        let (flow, deployment) = parts.ok_or_else(|| format!("`{text}` is not like `flow/deployment`, as `prefect deployment ls` shows it"))?;
        Ok(Self { flow: flow.to_owned(), deployment: deployment.to_owned() })
    }

    /// Returns the deployment.
    ///
    /// # Errors
    /// When there is none of this name, with what may have been meant.
    pub async fn find(&self, server: &Server) -> Result<Deployment> {
        if let Some(found) = server.deployment(&self.flow, &self.deployment).await? {
            return Ok(found);
        }
        let name = self.to_string();
        let error = Error::rejected(format!("the Prefect API at `{}` has no deployment `{name}`", server.api_url()));
        let names = server.deployment_names().await.unwrap_or_default();
        Err(match suggestion::closest(&name, names.iter().map(String::as_str)) {
            Some(meant) => error.hinted(format!("did you mean `{meant}`?")),
            None => {
                error.hinted("see what there is: prefect deployment ls").hinted(format!("the address is from {}", server.settings().api_url.origin))
            }
        })
    }
}

impl std::fmt::Display for DeploymentName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.flow, self.deployment)
    }
}

/// Returns the pool that makes the Jobs of a deployment's runs.
///
/// # Errors
/// When it has none, or one that makes no Jobs.
pub async fn pool_of(server: &Server, deployment: &Deployment, name: &DeploymentName) -> Result<WorkPool> {
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
    if !pool.refused.is_empty() {
        let problems = pool.refused.join("; ");
        return Err(Error::rejected(format!("somebody broke the template of work pool `{pool_name}`: {problems}"))
            .hinted(format!("take back the edits that break it: sbrun prefect pool update {pool_name} --overwrite")));
    }
    Ok(pool)
}

/// Starts a run that has ended again, at another size where one is named, and returns it as it is then.
///
/// # Errors
/// When the API refuses, or does not answer; in time, once there is an interruption.
pub async fn start_again(server: &Server, run: &FlowRun, size: Option<&str>, controls: &mut Controls, ui: &mut Ui) -> Result<FlowRun> {
    let (name, id) = (&run.name, &run.id);
    see_through(schedule_again(server, run, size), controls, ui).await.unwrap_or_else(|| {
        Err(Error::unreachable(format!("interrupted while flow run `{name}` was being started again: it may or may not start"))
            .hinted(format!("`sbrun why {id}` tells how it is, `sbrun cancel {id}` ends it")))
    })
}

async fn schedule_again(server: &Server, run: &FlowRun, size: Option<&str>) -> Result<FlowRun> {
    if let Some(size) = size {
        // Only a scheduled run takes other variables, and a worker that has seen it already starts it with the old ones.
        server.schedule_again(&run.id, now() + OUT_OF_SIGHT).await?;
        let mut variables = run.job_variables.clone();
        variables.insert(SIZE_VARIABLE.to_owned(), Value::from(size));
        server.set_job_variables(&run.id, &variables).await?;
    }
    server.schedule_again(&run.id, now()).await?;
    server.flow_run(&run.id).await?.ok_or_else(|| Error::failed(format!("flow run `{}` was deleted just now", run.name)))
}

/// Refuses a size that the pool's template does not know: the server would pass it over in silence.
pub fn check_size(pool: &WorkPool, size: &str) -> Result<()> {
    let name = &pool.name;
    if !pool.variables.iter().any(|variable| variable == SIZE_VARIABLE) {
        return Err(Error::rejected(format!("work pool `{name}` knows no sizes: its template has no job variable `{SIZE_VARIABLE}`"))
            .hinted(format!("make it one of the instance map: sbrun prefect pool update {name}")));
    }
    if pool.sizes.is_empty() || pool.sizes.iter().any(|known| known == size) {
        return Ok(());
    }
    let meant = suggestion::closest(size, pool.sizes.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"));
    Err(Error::rejected(format!("work pool `{name}` does not know the size `{size}`"))
        .with_hints(meant)
        .hinted(format!("it offers {}", suggestion::listed(pool.sizes.iter().map(String::as_str))))
        .hinted(format!("bring it up to date with the instance map: sbrun prefect pool update {name}")))
}
