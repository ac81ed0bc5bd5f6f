//! `sbrun prefect resize`: the next scheduled run of a deployment at another size.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    commands::{
        context::Context,
        deployments::{DeploymentName, check_size, pool_of},
    },
    environment::now,
    error::{Error, Result},
    model::{
        exit_code::ExitCode,
        identity::SizeName,
        prefect::flow_run::{FlowRun, SIZE_VARIABLE},
        settings::value,
    },
    output::{
        format::SCHEMA,
        table::{self, Column},
        ui::Ui,
        wording,
    },
    prefect::{Server, flow_runs::Deployment},
};

/// How many runs of a schedule Prefect plans ahead; more cannot be asked for.
const MOST: u64 = 100;

/// Arguments of `sbrun prefect resize`.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// The deployment, as `flow/deployment`
    #[arg(value_name = "FLOW/DEPLOYMENT", value_parser = DeploymentName::parse)]
    pub deployment: DeploymentName,
    /// Size of the run
    #[arg(short, long, value_name = "SIZE", value_parser = size_name)]
    pub size: SizeName,
    /// How many of the next runs
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub next: u64,
}

fn size_name(text: &str) -> Result<SizeName, String> {
    value::size_name(text)
}

/// What was resized, as a document.
#[derive(Debug, Serialize)]
struct Resized {
    schema: u32,
    deployment: String,
    size: String,
    runs: Vec<Run>,
    /// The first run that stays as it was.
    then: Option<Run>,
}

/// A scheduled run as a document.
#[derive(Debug, Serialize)]
struct Run {
    id: String,
    name: String,
    expected_start: Option<Timestamp>,
    /// Its size before.
    was: Option<String>,
}

/// Sets the size of the next scheduled runs.
pub async fn resize(arguments: &ResizeArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let ResizeArgs { deployment: name, size, next } = arguments;
    let server = context.required_prefect()?;
    let deployment = name.find(&server).await?;
    let pool = pool_of(&server, &deployment, name).await?;
    check_size(&pool, &size.0)?;
    let count = usize::try_from(*next).unwrap_or(1);
    let mut runs = scheduled(&server, &deployment, count + 1).await?;
    let then = if runs.len() > count { runs.pop() } else { None };
    if runs.is_empty() {
        return Err(nothing_scheduled(name, &deployment));
    }
    for run in &runs {
        let mut variables = run.job_variables.clone();
        variables.insert(SIZE_VARIABLE.to_owned(), json!(size.0));
        server.set_job_variables(&run.id, &variables).await?;
    }
    let of_deployment = deployment.job_variables.get(SIZE_VARIABLE).and_then(Value::as_str).map(ToOwned::to_owned).or(pool.default_size);
    let view = |run: FlowRun| {
        let own = run.size().map(ToOwned::to_owned);
        Run { id: run.id, name: run.name, expected_start: run.expected_start, was: own.or_else(|| of_deployment.clone()) }
    };
    let fewer = runs.len() < count;
    let resized = Resized {
        schema: SCHEMA,
        deployment: name.to_string(),
        size: size.0.clone(),
        runs: runs.into_iter().map(view).collect(),
        then: then.map(view),
    };
    ui.show(&resized, |ui| table_of(&resized, ui), || resized.runs.iter().map(|run| run.id.clone()).collect())?;
    if ui.is_for_people() {
        if fewer {
            ui.status(&format!("only {} scheduled at present", wording::count(resized.runs.len(), "run")));
        }
        if let Some(then) = &resized.then {
            let size = then.was.as_ref().map_or_else(String::new, |size| format!(" at size {size}"));
            ui.status(&format!("then the schedule starts `{}` {}{size}", then.name, start(then)));
        }
        ui.status("a new version of the deployment, or of its schedule, plans its runs anew, at its own size");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the next runs that have not been taken up, at most `count`.
async fn scheduled(server: &Server, deployment: &Deployment, count: usize) -> Result<Vec<FlowRun>> {
    let filter = json!({
        "deployments": {"id": {"any_": [deployment.id]}},
        // Not those that wait for a retry: some are started by a process that is there already.
        "flow_runs": {"state": {"name": {"any_": ["Scheduled", "Late"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": count,
    });
    server.flow_runs(&filter).await
}

fn nothing_scheduled(name: &DeploymentName, deployment: &Deployment) -> Error {
    let error = Error::rejected(format!("no run of deployment `{name}` is scheduled"));
    if deployment.paused {
        return error.hinted(format!("it is paused: prefect deployment schedule resume {name}"));
    }
    error.hinted("it has no schedule, or Prefect has not planned its next runs yet, which takes up to a minute")
}

/// Returns when a run starts, for people.
fn start(run: &Run) -> String {
    let Some(expected) = run.expected_start else { return "at a time that is not known".to_owned() };
    match expected.duration_since(now()).as_secs() {
        ..=0 => "now".to_owned(),
        seconds => format!("in {}", wording::span(seconds)),
    }
}

fn table_of(resized: &Resized, ui: &Ui) -> String {
    let columns = [Column::words("RUN"), Column::words("STARTS"), Column::words("SIZE"), Column::words("WAS")];
    let row = |run: &Run| vec![run.name.clone(), start(run), resized.size.clone(), run.was.clone().unwrap_or_default()];
    table::render(&columns, resized.runs.iter().map(row).collect(), ui.width())
}
