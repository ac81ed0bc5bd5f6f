//! `sbrun prefect pool`: a work pool that is the instance map.

mod show;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::{find_map, namespace, pool_name, work_pool};
use crate::{
    commands::context::Context,
    error::{Error, Result},
    model::{
        exit_code::ExitCode,
        identity::SizeName,
        instance_map::InstanceMap,
        prefect::pool::{
            BLOCK_TYPE, Choices, OnReclaim, PoolPlan, block_name, broken,
            live::{Edits, LivePool, Update, wrong_kind},
            merge::Difference,
            plan,
        },
        settings::value,
    },
    output::{format, manual, ui::Ui, view::changes::Changes, wording},
    prefect::Server,
};

/// Arguments of `sbrun prefect pool`.
#[derive(Debug, Args)]
#[command(after_long_help = manual::prefect_pool())]
pub struct PoolArgs {
    /// What to do with the pool.
    #[command(subcommand)]
    pub command: PoolCommand,
}

/// The commands of `sbrun prefect pool`.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Make the pool
    Create(CreateArgs),
    /// Show what the pool is: sizes, choices, edits by hand, workers
    Show(ShowArgs),
    /// Show what updating would change, and change nothing; exits 1 when something would
    Diff(DiffArgs),
    /// Make the pool what the map says: shows the difference and asks first
    Update(UpdateArgs),
}

/// Arguments of `sbrun prefect pool create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the pool [default: `prefect.work_pool` of the map]
    #[arg(value_name = "NAME", value_parser = work_pool)]
    pub name: Option<String>,
    /// What becomes of a run whose machine is taken away
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_reclaim: Reclaim,
    /// Size of whoever names none [default: none, so that every deployment or run has to]
    #[arg(long, value_name = "SIZE", value_parser = size_name)]
    pub default_size: Option<SizeName>,
    /// Print what would be sent, and make nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `sbrun prefect pool show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name of the pool [default: `prefect.work_pool` of the map]
    #[arg(value_name = "NAME", value_parser = work_pool)]
    pub name: Option<String>,
}

/// Arguments of `sbrun prefect pool diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Name of the pool [default: `prefect.work_pool` of the map]
    #[arg(value_name = "NAME", value_parser = work_pool)]
    pub name: Option<String>,
    /// How the pool should be.
    #[command(flatten)]
    pub wishes: Wishes,
}

/// Arguments of `sbrun prefect pool update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Name of the pool [default: `prefect.work_pool` of the map]
    #[arg(value_name = "NAME", value_parser = work_pool)]
    pub name: Option<String>,
    /// How the pool should be.
    #[command(flatten)]
    pub wishes: Wishes,
    /// Print what would be sent, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What an update may change beside what the map says.
#[derive(Debug, Args)]
pub struct Wishes {
    /// What becomes of a run whose machine is taken away [default: as it is]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_reclaim: Option<Reclaim>,
    /// Size of whoever names none [default: as it is]
    #[arg(long, value_name = "SIZE", value_parser = size_name)]
    pub default_size: Option<SizeName>,
    /// Have every deployment or run name its size
    #[arg(long, conflicts_with = "default_size")]
    pub no_default_size: bool,
    /// Take the map's word where somebody edited the template at odds with it
    #[arg(long)]
    pub overwrite: bool,
    /// Take the map's word everywhere: no edit of the template stays
    #[arg(long, conflicts_with = "overwrite")]
    pub from_scratch: bool,
}

/// `--on-reclaim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reclaim {
    /// Prefect starts it again on another machine, however often that happens; the flow must bear to run twice
    Reschedule,
    /// It is Crashed, and somebody decides
    Crash,
}

impl From<Reclaim> for OnReclaim {
    fn from(reclaim: Reclaim) -> Self {
        match reclaim {
            Reclaim::Reschedule => Self::Reschedule,
            Reclaim::Crash => Self::Crash,
        }
    }
}

fn size_name(text: &str) -> Result<SizeName, String> {
    value::size_name(text)
}

/// What an update is about, as a document.
#[derive(Debug, Serialize)]
struct Outcome {
    work_pool: String,
    #[serde(flatten)]
    changes: Changes,
    kept_edits: Vec<Edit>,
    conflicts: Vec<Edit>,
    /// Who could launch no run any more, in sentences.
    stranded: Vec<String>,
}

/// A part of the template that somebody edited, as a document.
#[derive(Debug, Serialize)]
struct Edit {
    path: String,
    there: Option<Value>,
    wanted: Option<Value>,
}

/// Carries out a command of `sbrun prefect pool`.
pub async fn pool(arguments: &PoolArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    match &arguments.command {
        PoolCommand::Create(arguments) => create(arguments, context, ui).await,
        PoolCommand::Show(arguments) => show::show(arguments, context, ui).await,
        PoolCommand::Diff(DiffArgs { name, wishes }) => diff(name.as_deref(), wishes, context, ui).await,
        PoolCommand::Update(UpdateArgs { name, wishes, dry_run }) => update(name.as_deref(), wishes, *dry_run, context, ui).await,
    }
}

/// Makes the pool. One that is there is left alone.
async fn create(arguments: &CreateArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let map = find_map(context).await?;
    let name = pool_name(arguments.name.as_deref(), &map)?;
    let choices = Choices { default_size: arguments.default_size.clone(), on_reclaim: arguments.on_reclaim.into() };
    let plan = planned(&map, &name, &namespace(context, &map)?, &choices)?;
    tell_warnings(&plan, ui);
    if arguments.dry_run {
        return show_body(&plan.name, &plan.template, &Value::Object(plan.sizes), ui);
    }
    let server = context.required_prefect()?;
    if server.live_pool(&name, &plan.block).await?.is_some() {
        return Err(Error::rejected(format!("there is a work pool `{name}` already"))
            .hinted(format!("sbrun prefect pool diff {name}, which shows how it differs from the map"))
            .hinted(format!("sbrun prefect pool update {name}, which makes it what the map says")));
    }
    server.create_pool(&plan).await?;
    let mut changes = Changes::new();
    changes.add(&pool_object(&name), None, None, &plan.template)?;
    changes.add(&block_object(&plan.block), None, None, &Value::Object(plan.sizes))?;
    changes.applied = true;
    let outcome = Outcome { work_pool: name.clone(), changes, kept_edits: Vec::new(), conflicts: Vec::new(), stranded: Vec::new() };
    ui.show(&outcome, |_| outcome.changes.outcome(), || vec![name.clone()])?;
    if ui.is_for_people() {
        ui.status(&format!("├─ look      sbrun prefect pool show {name}\n├─ worker    sbrun setup worker\n└─ check     sbrun doctor"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what an update would change.
async fn diff(named: Option<&str>, wishes: &Wishes, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let change = prepare(named, wishes, context, ui).await?;
    let outcome = outcome(&change)?;
    ui.show(&outcome, |ui| outcome.changes.differences(ui.data_painter()), || outcome.changes.names())?;
    tell_edits(&outcome, ui);
    for sentence in &change.stranded {
        ui.warning(sentence);
    }
    let same = outcome.changes.is_empty() && outcome.conflicts.is_empty();
    if same && ui.is_for_people() {
        ui.status(&format!("work pool `{}` is as the map says", change.plan.name));
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the pool what the map says.
async fn update(named: Option<&str>, wishes: &Wishes, dry_run: bool, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let change = prepare(named, wishes, context, ui).await?;
    let mut outcome = outcome(&change)?;
    let Change { server, plan, live, update, stranded } = &change;
    if !stranded.is_empty() {
        return Err(Error::rejected(format!("with this update of work pool `{}` some could launch no run any more", plan.name))
            .caused_by_all(stranded.iter().cloned())
            .hinted("give them another size first, or keep the size in the map"));
    }
    if !update.conflicts.is_empty() {
        return Err(conflicts(&plan.name, &update.conflicts));
    }
    if dry_run {
        return show_body(&plan.name, &update.template, &Value::Object(update.sizes.clone()), ui);
    }
    tell_edits(&outcome, ui);
    if update.is_empty() {
        if !update.is_noted {
            write_block(server, plan, live, update).await?;
        }
        ui.show(&outcome, |_| String::new(), Vec::new)?;
        if ui.is_for_people() {
            ui.status(&format!("work pool `{}` is as the map says", plan.name));
        }
        return Ok(ExitCode::SUCCESS);
    }
    ui.status(&outcome.changes.differences(ui.painter()));
    let question = format!("Change work pool {} of {}?", plan.name, server.api_url());
    if !ui.confirm(&question).map_err(|error| error.hinted(format!("or look first: sbrun prefect pool diff {}", plan.name)))? {
        return Ok(ExitCode::FAILURE);
    }
    write(server, plan, live, update).await?;
    outcome.changes.applied = true;
    ui.show(&outcome, |_| outcome.changes.outcome(), || vec![plan.name.clone()])?;
    Ok(ExitCode::SUCCESS)
}

/// Everything that is decided before anything is changed.
struct Change {
    server: Server,
    plan: PoolPlan,
    live: LivePool,
    update: Update,
    /// Who could launch no run any more.
    stranded: Vec<String>,
}

async fn prepare(named: Option<&str>, wishes: &Wishes, context: &Context, ui: &mut Ui) -> Result<Change> {
    let Wishes { on_reclaim, default_size, no_default_size, overwrite, from_scratch } = wishes;
    let map = find_map(context).await?;
    let name = pool_name(named, &map)?;
    let namespace = namespace(context, &map)?;
    let server = context.required_prefect()?;
    let live = live(&server, &name).await?;
    let default_size = if *no_default_size { Some(None) } else { default_size.clone().map(Some) };
    let choices = live.chosen(default_size, on_reclaim.map(OnReclaim::from)).ok_or_else(|| {
        Error::usage(format!("what becomes of a run of work pool `{name}` whose machine is taken away? Nothing says it"))
            .hinted("say it with `--on-reclaim reschedule` or `--on-reclaim crash`")
    })?;
    let plan = planned(&map, &name, &namespace, &choices)?;
    tell_warnings(&plan, ui);
    let edits = match (overwrite, from_scratch) {
        (_, true) => Edits::Discarded,
        (true, false) => Edits::Overwritten,
        (false, false) => Edits::Kept,
    };
    let update = live.update(&plan, edits);
    let users = if update.shrinks(&live) { server.users_of_pool(&name).await? } else { Vec::new() };
    let stranded = update.stranded(&live, &users);
    Ok(Change { server, plan, live, update, stranded })
}

/// Returns the pool, which has to be there and of a kind that has sizes.
async fn live(server: &Server, name: &str) -> Result<LivePool> {
    let live = server.live_pool(name, &block_name(name)).await?.ok_or_else(|| {
        Error::rejected(format!("there is no work pool `{name}` at {}", server.api_url()))
            .hinted(format!("sbrun prefect pool create {name} --on-reclaim crash, which makes it"))
    })?;
    match wrong_kind(name, &live) {
        Some(words) => Err(Error::rejected(words)),
        None => Ok(live),
    }
}

fn planned(map: &InstanceMap, name: &str, namespace: &str, choices: &Choices) -> Result<PoolPlan> {
    plan(map, name, namespace, choices)
        .map_err(|problems| Error::rejected(format!("the instance map `{}` cannot become a work pool", map.name)).caused_by_all(problems))
}

fn tell_warnings(plan: &PoolPlan, ui: &mut Ui) {
    for warning in &plan.warnings {
        ui.warning(warning);
    }
}

/// Writes what changes. The block goes first and last: old template and new one find their sizes at any moment.
async fn write(server: &Server, plan: &PoolPlan, live: &LivePool, update: &Update) -> Result<()> {
    if !update.changes_template {
        return write_block(server, plan, live, update).await;
    }
    server.write_pool_block(&plan.block, live.block.as_ref(), &update.sizes_meanwhile(live), None).await?;
    server.set_pool_template(&plan.name, &update.template).await?;
    let block = server.pool_block(&plan.block).await?;
    server.write_pool_block(&plan.block, block.as_ref(), &update.sizes, Some(&plan.template)).await
}

async fn write_block(server: &Server, plan: &PoolPlan, live: &LivePool, update: &Update) -> Result<()> {
    server.write_pool_block(&plan.block, live.block.as_ref(), &update.sizes, Some(&plan.template)).await
}

fn outcome(change: &Change) -> Result<Outcome> {
    let Change { plan, live, update, stranded, .. } = change;
    let mut changes = Changes::new();
    changes.add(&pool_object(&plan.name), None, Some(&live.template), &update.template)?;
    let sizes = live.block.as_ref().map(|block| Value::Object(block.sizes.clone()));
    changes.add(&block_object(&plan.block), None, sizes.as_ref(), &Value::Object(update.sizes.clone()))?;
    let edits = |differences: &[Difference]| differences.iter().map(Edit::from).collect();
    let (kept_edits, conflicts) = (edits(&update.kept), edits(&update.conflicts));
    Ok(Outcome { work_pool: plan.name.clone(), changes, kept_edits, conflicts, stranded: stranded.clone() })
}

impl From<&Difference> for Edit {
    fn from(difference: &Difference) -> Self {
        let Difference { path, there, wanted } = difference;
        Self { path: path.clone(), there: there.clone(), wanted: wanted.clone() }
    }
}

fn tell_edits(outcome: &Outcome, ui: &mut Ui) {
    for Edit { path, .. } in &outcome.kept_edits {
        ui.status(&format!("kept as it was edited: {path}"));
    }
    for Edit { path, .. } in &outcome.conflicts {
        ui.warning(&format!("edited at odds with the map: {path}"));
    }
}

fn conflicts(name: &str, found: &[Difference]) -> Error {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), |value| wording::elide(&value.to_string(), 200));
    let words = |Difference { path, there, wanted }: &Difference| format!("{path}: there is {}, the map wants {}", value(there), value(wanted));
    Error::rejected(format!("the template of work pool `{name}` was edited at odds with the map"))
        .caused_by_all(found.iter().map(words))
        .hinted("with `--overwrite` the map's word counts there, and other edits stay")
        .hinted(format!("sbrun prefect pool diff {name}, which shows the whole difference"))
}

/// Prints what would be sent.
fn show_body(name: &str, template: &Value, sizes: &Value, ui: &mut Ui) -> Result<ExitCode> {
    let body = json!({"name": name, "type": "kubernetes", "base_job_template": template, "sizes": sizes});
    let text = format::yaml(&body)?;
    ui.show(&body, |_| text, || vec![name.to_owned()])?;
    for problem in broken(template) {
        ui.warning(&problem);
    }
    Ok(ExitCode::SUCCESS)
}

fn pool_object(name: &str) -> String {
    format!("work-pool/{name}")
}

fn block_object(block: &str) -> String {
    format!("block/{BLOCK_TYPE}/{block}")
}
