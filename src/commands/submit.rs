//! `sbrun submit`: resolve → check → package → create → follow → verdict → exit code.

pub mod args;
pub mod deployment;
pub mod launch;
pub mod other_size;
pub mod resolve;
pub mod result_file;
pub mod secrets;
pub mod tracking;

use std::path::PathBuf;

pub use args::SubmitArgs;

use super::{context::Context, interrupt::unless_interrupted, logs::open_log_file};
use crate::{
    error::{Error, Result},
    follow::machine::MachineJob,
    kubernetes::{
        checks::{self, Purpose},
        connect::Cluster,
        jobs, manifest,
    },
    local::{self, Enforcement, LocalOptions, Run},
    model::{exit_code::ExitCode, launch_plan::LaunchPlan},
    output::{
        ui::Ui,
        view::{manifests, submitted},
    },
    store::map_file::FoundMap,
};
use args::DryRun;
use launch::LaunchOptions;
use other_size::OtherSizes;
use resolve::{Resolved, Target};
use result_file::ResultFile;

/// Runs a flow on a machine of its size and exits as it did.
pub async fn submit(arguments: SubmitArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let results = ResultFile::start(&context.environment)?;
    let result = Box::pin(resolve_and_launch(&arguments, context, ui, &results)).await;
    if let Err(error) = &result {
        results.refuse(error, ui)?;
    }
    result
}

async fn resolve_and_launch(arguments: &SubmitArgs, context: &Context, ui: &mut Ui, results: &ResultFile) -> Result<ExitCode> {
    let wanted = arguments.log_file.as_deref().filter(|_| arguments.dry_run.is_none());
    let log_file = wanted.map(open_log_file).transpose()?;
    let options = LaunchOptions { detach: arguments.detach, raw: arguments.raw, log_file, is_further: false };
    if let Some(deployment) = &arguments.deployment {
        return deployment::submit(deployment, arguments, options, context, ui, results).await;
    }
    if arguments.local {
        return submit_here(arguments, options, context, ui, results).await;
    }
    let files = context.find_map()?;
    let connected = context
        .connect(files.as_ref().and_then(FoundMap::namespace))
        .await
        .map_err(|error| error.hinted("`--local` runs the flow here, without a cluster"));
    // What is wrong with the flow or the map is said even where there is no cluster: it is the nearer mistake.
    let cluster = connected.as_ref().ok();
    let decided = resolve::decide(arguments, context, cluster, files).await?;
    let unconnected = decided.settings.namespace.as_ref().map_or("default", |namespace| namespace.value.as_str());
    let namespace = cluster.map_or(unconnected, |cluster| cluster.namespace.as_str()).to_owned();
    let planning = resolve::plan(arguments, context, Target::Cluster(&namespace), &decided);
    if arguments.dry_run == Some(DryRun::Client) {
        let mut resolved = planning.await?;
        resolve::tell(&decided, &resolved, arguments.detach, ui);
        tracking::prepare(arguments, &decided, &resolved, context, ui)?;
        resolved.plan.user = context.user(None).await;
        return dry_run_here(&resolved.plan, ui);
    }
    let cluster = match connected {
        Ok(ref cluster) => cluster,
        Err(error) => {
            planning.await?;
            return Err(error);
        }
    };
    let map = decided.map.as_ref().map_or_else(|| "none".to_owned(), |found| found.source.to_string());
    ui.detail(&format!("cluster {} (context {}), instance map {map}", cluster.server, cluster.context.as_deref().unwrap_or("none")));
    let purpose = if arguments.detach { Purpose::Detach } else { Purpose::Follow };
    let checking = async {
        let resolved = planning.await?;
        resolve::tell(&decided, &resolved, arguments.detach, ui);
        let intent = tracking::prepare(arguments, &decided, &resolved, context, ui)?;
        for warning in checks::check(cluster, &resolved.plan, purpose).await? {
            ui.warning(&warning);
        }
        Ok::<_, Error>((resolved, intent))
    };
    // Who I am is asked while git is, over the connection that the checks then find open. A flow that cannot be
    // launched ends this before the question: `checking` goes first.
    let ((mut resolved, intent), user) = tokio::try_join!(biased; checking, async { Ok(context.user(Some(cluster)).await) })?;
    resolved.plan.user = user;
    if arguments.dry_run == Some(DryRun::Server) {
        return dry_run_on_server(&resolved.plan, cluster, ui).await;
    }
    let Resolved { mut plan, .. } = resolved;
    let mut sizes = OtherSizes::new(arguments, &decided, context, cluster);
    let mut options = options;
    let mut controls = launch::interruptions(&plan, ui)?;
    loop {
        let again = options.again()?;
        let launched = Box::pin(tracking::launch(plan.clone(), intent.as_ref(), cluster, options, &mut controls, context, ui)).await?;
        match unless_interrupted(Box::pin(sizes.plan(&plan, &launched, ui)), &mut controls).await.transpose()?.flatten() {
            Some(further) => (plan, options) = (further, again),
            None => return launched.conclude(ui, results),
        }
    }
}

async fn submit_here(arguments: &SubmitArgs, options: LaunchOptions, context: &Context, ui: &mut Ui, results: &ResultFile) -> Result<ExitCode> {
    let files = context.find_map()?;
    let wants_map = arguments.size.is_some() && files.is_none();
    let cluster = if wants_map { context.connect(None).await.ok() } else { None };
    let decided = resolve::decide(arguments, context, cluster.as_ref(), files).await?;
    let mut resolved = resolve::plan(arguments, context, Target::Here(local::machine()?), &decided).await?;
    resolve::tell(&decided, &resolved, arguments.detach, ui);
    resolved.plan.user = context.user(None).await;
    if arguments.dry_run.is_some() {
        return dry_run_here(&resolved.plan, ui);
    }
    let in_place: Option<PathBuf> = arguments.in_place.then_some(resolved.root);
    let (run, output) = Run::start(&resolved.plan, &LocalOptions { in_place, environment: &context.environment })?;
    describe_run(&run, &resolved.plan, ui).await;
    let grace = resolved.plan.limits.grace;
    launch::here(resolved.plan, MachineJob::new(run, output, grace), options, ui, results).await
}

/// Says which limit holds here, by what, and which Python runs the flow.
async fn describe_run(run: &Run, plan: &LaunchPlan, ui: &mut Ui) {
    if ui.is_quiet() {
        return;
    }
    let python = run.python().await.map(|python| format!(", Python {} ({})", python.version, python.path.display())).unwrap_or_default();
    let enforced = match run.enforcement() {
        Enforcement::Cgroup => "",
        Enforcement::Sampling { .. } => " (enforced by sampling)",
    };
    let size = plan.size.as_ref().map(|size| format!(" as size {size}")).unwrap_or_default();
    ui.status(&format!("running here{size}: {} CPUs, {} of memory{enforced}{python}", plan.footprint.cpu, plan.footprint.memory));
    ui.detail(&format!("code {}", submitted::package_words(&plan.package)));
    for notice in run.notices() {
        ui.status(&format!("note: {notice}"));
    }
}

/// Shows what would be sent, rendered from the very plan that would be sent.
fn dry_run_here(plan: &LaunchPlan, ui: &mut Ui) -> Result<ExitCode> {
    let rendered = manifest::render(plan)?;
    let documents: Vec<&serde_json::Value> = rendered.documents().collect();
    show_documents(plan, &documents, ui)
}

async fn dry_run_on_server(plan: &LaunchPlan, cluster: &Cluster, ui: &mut Ui) -> Result<ExitCode> {
    let documents = jobs::dry_run(cluster, plan).await?;
    let documents: Vec<&serde_json::Value> = documents.iter().collect();
    show_documents(plan, &documents, ui)
}

fn show_documents(plan: &LaunchPlan, documents: &[&serde_json::Value], ui: &mut Ui) -> Result<ExitCode> {
    ui.status(&format!("code {}\n{}", submitted::package_words(&plan.package), submitted::package_list(&plan.package)));
    manifests::show(ui, documents, || vec![plan.name.to_string()])?;
    Ok(ExitCode::SUCCESS)
}
