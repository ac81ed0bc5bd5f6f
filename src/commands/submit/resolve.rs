//! From what was typed to a launch plan: everything is decided here, before the first change.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    args::{InterruptChoice, SubmitArgs},
    secrets, tracking,
};
use crate::{
    cli::GlobalArgs,
    commands::context::Context,
    environment::{self, Environment},
    error::{Error, Result},
    kubernetes::connect::Cluster,
    model::{
        footprint::{Allocatable, Footprint},
        identity::{JobName, RunId, base32},
        instance_map::SizeProfile,
        launch_plan::{Flow, LaunchPlan, OnInterrupt, OnNoCapacity, OnOutOfMemory, Placement, User},
        prefect::tracking::TrackingMode,
        python_imports::prefect::PrefectFlow,
        settings::{Directives, Flags, Layers, Origin, Setting, Settings, TemplateChoice, Variables, resolve},
    },
    output::ui::Ui,
    store::{
        git,
        map_file::{self, FoundMap},
        packing::{self, PackingOptions},
    },
};

/// What stands for a namespace in the record of a run on this machine.
pub const LOCAL: &str = "local";

/// Everything that is known before the first change.
#[derive(Debug)]
pub struct Resolved {
    /// The plan; its user is still to be filled in.
    pub plan: LaunchPlan,
    /// The root folder on this machine.
    pub root: PathBuf,
    /// The Prefect flow that the file defines, when it defines one.
    pub prefect_flow: Option<PrefectFlow>,
    /// What people should know before the flow starts.
    pub notes: Vec<String>,
}

/// Where the flow will run.
#[derive(Debug, Clone, Copy)]
pub enum Target<'target> {
    /// In this namespace of a cluster.
    Cluster(&'target str),
    /// On this machine, which has this much.
    Here(Allocatable),
}

/// Every setting of a submission, and the map that it was decided with.
#[derive(Debug)]
pub struct Decided {
    /// The settings.
    pub settings: Settings,
    /// The map, when there is one.
    pub map: Option<FoundMap>,
    /// What nobody reads, in words.
    pub warnings: Vec<String>,
}

/// Returns the flags that are settings.
pub fn flags(arguments: &SubmitArgs, global: &GlobalArgs) -> Result<Flags> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let mut env = Vec::new();
    for file in &arguments.env_file {
        env.extend(secrets::read_env_file(file)?);
    }
    env.extend(arguments.env.iter().cloned());
    let on_interrupt = arguments.on_interrupt.map(|choice| match choice {
        InterruptChoice::Cancel => "cancel".to_owned(),
        InterruptChoice::Detach => "detach".to_owned(),
    });
    Ok(Flags {
        size: arguments.size.clone(),
        name: arguments.name.clone(),
        image: arguments.image.clone(),
        cpu: arguments.cpu.clone(),
        memory: arguments.memory.clone(),
        timeout: arguments.timeout.clone(),
        pending_timeout: arguments.pending_timeout.clone(),
        queue_timeout: arguments.queue_timeout.clone(),
        stall_timeout: arguments.stall_timeout.clone(),
        lease: arguments.lease.clone(),
        infrastructure_retries: arguments.infrastructure_retries.map(|number| number.to_string()),
        on_interrupt,
        prefect: arguments.prefect.map(|choice| choice.setting().as_str().to_owned()),
        on_no_capacity: arguments.on_no_capacity.map(|choice| choice.setting().as_str().to_owned()),
        on_oom: arguments.on_oom.map(|choice| choice.setting().as_str().to_owned()),
        env,
        label: arguments.labels.clone(),
        template: path(&arguments.template),
        root: path(&arguments.root),
        include: arguments.include.clone(),
        exclude: arguments.exclude.clone(),
        namespace: global.namespace.clone(),
        context: global.context.clone(),
        map: path(&global.map),
    })
}

/// Decides every setting of a flow; `cluster` is asked for a map when this machine has none.
pub async fn decide(arguments: &SubmitArgs, context: &Context, cluster: Option<&Cluster>, files: Option<FoundMap>) -> Result<Decided> {
    let map = match (files, cluster) {
        (Some(found), _) => Some(found),
        (None, Some(cluster)) => context.map_of_cluster(cluster).await?,
        (None, None) => None,
    };
    if let (Some(found), Some(cluster)) = (&map, cluster) {
        found.map.check_cluster(&cluster.server, cluster.contexts())?;
    }
    let flags = flags(arguments, &context.global)?;
    let variables = Variables::from(&context.environment.variables);
    let directives = directives(arguments.flow.as_deref())?;
    let user_defaults = map_file::user_defaults(&context.environment)?;
    let layers = Layers {
        flags: &flags,
        variables: &variables,
        directives: &directives,
        map: map.as_ref().map(|found| &found.map),
        user_defaults: &user_defaults,
        in_pipeline: context.environment.ci().is_some(),
    };
    let settings = resolve(&layers)?;
    let mut warnings = variables.warnings.clone();
    warnings.extend(directives.warnings.iter().cloned());
    Ok(Decided { settings, map, warnings })
}

/// Returns the directives of a flow; a file that cannot be read as text has none, and packing says what is wrong with it.
fn directives(flow: Option<&Path>) -> Result<Directives> {
    let Some(flow) = flow else { return Ok(Directives::default()) };
    match std::fs::read_to_string(flow) {
        Ok(source) => Directives::parse(&source, &flow.file_name().unwrap_or_default().to_string_lossy()),
        Err(_) => Ok(Directives::default()),
    }
}

/// Packs the flow and returns the plan of its launch.
pub async fn plan(arguments: &SubmitArgs, context: &Context, target: Target<'_>, decided: &Decided) -> Result<Resolved> {
    let flow = arguments.flow.as_deref().ok_or_else(|| Error::usage("which flow?"))?;
    let settings = &decided.settings;
    let profile = profile(decided)?;
    check_target(target, decided)?;
    let packed = packing::pack(flow, &packing_options(flow, settings))?;
    packed.package.deliver(packed.interpreter)?; // too large packed is an error before any request
    let secrets = secrets::parse(&arguments.secrets, &context.environment)?;
    let template = template(flow, settings, &context.environment)?;
    // Whatever can be wrong is known by now: while git answers, the caller's first request is on its way.
    let checkout = git::describe(&packed.path).await;
    let stem = packed.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let prefect_flow = packed.prefect_flow.as_ref().map(|flow| flow.name.clone());
    let short = settings.name.as_ref().map(|name| name.value.clone()).or_else(|| prefect_flow.clone()).unwrap_or(stem);
    let identity = prefect_flow.clone().or_else(|| checkout.as_ref().map(git::Checkout::identity)).unwrap_or_else(|| short.clone());
    let run_id = RunId::new(u64::try_from(environment::now().as_millisecond()).unwrap_or_default(), environment::random());
    let mut plan = LaunchPlan {
        name: arguments.key.as_ref().map_or_else(|| JobName::for_flow(&short, environment::random()), |key| JobName::for_key(key, 1)),
        run_id,
        nonce: base32(&environment::random::<10>()),
        key: arguments.key.clone(),
        namespace: namespace(target),
        size: settings.size.as_ref().map(|size| size.value.clone()),
        footprint: footprint(settings, target),
        placement: profile.zip(decided.map.as_ref()).map_or_else(Placement::default, |(profile, found)| found.map.placement(profile)),
        flow: Flow { identity, file: packed.file.clone(), interpreter: packed.interpreter, arguments: arguments.arguments.clone() },
        image: settings.image.as_ref().map(|image| image.value.clone()).unwrap_or_default(),
        service_account: settings.service_account.as_ref().map(|account| account.value.clone()),
        image_pull_secrets: settings.image_pull_secrets.as_ref().map(|secrets| secrets.value.clone()).unwrap_or_default(),
        run_as_user: settings.run_as_user.value,
        environment: values(&settings.env),
        secrets,
        limits: settings.limits(),
        infrastructure_retries: settings.infrastructure_retries.value,
        // Nobody follows a detached job, so nobody would renew its lease.
        on_interrupt: if arguments.detach { OnInterrupt::Detach } else { settings.on_interrupt.value },
        on_no_capacity: settings.on_no_capacity.value,
        fallback: profile.and_then(|profile| profile.fallback.as_ref()).map(|fallback| fallback.value.clone()),
        asked_size: None,
        grown_from: None,
        tracking: None,
        user: User::default(),
        labels: values(&settings.labels),
        annotations: values(&settings.annotations),
        provenance: provenance(checkout.as_ref(), &context.environment),
        template,
        price_per_hour: profile.and_then(|profile| profile.price_per_hour),
        logs_url: settings.logs_url.as_ref().map(|url| url.value.clone()),
        keep_logs: Some(settings.keep_logs.value).filter(|_| settings.keep_logs.origin != Origin::BuiltIn),
        rerun_of: None,
        package: packed.package,
    };
    // A pod reaches other addresses than a process of this machine.
    if let (Target::Cluster(_), Some(_), Some(found)) = (target, &packed.prefect_flow, &decided.map)
        && settings.prefect.value != TrackingMode::Off
    {
        tracking::give_address(&mut plan, &found.map.prefect);
    }
    Ok(Resolved { plan, root: packed.root, prefect_flow: packed.prefect_flow, notes: packed.notes })
}

fn profile(decided: &Decided) -> Result<Option<&SizeProfile>> {
    match (&decided.map, &decided.settings.size) {
        (Some(found), Some(size)) => found.map.size(&size.value).map(Some),
        _ => Ok(None),
    }
}

/// A cluster needs a size and an image; this machine does not.
fn check_target(target: Target<'_>, decided: &Decided) -> Result<()> {
    let Target::Cluster(namespace) = target else { return check_here(decided) };
    let Some(found) = &decided.map else {
        return Err(Error::rejected("there is no instance map, so no size is known")
            .hinted("write `instance-map.yaml` (docs/instance-map.md shows how), or name one with `--map` or SBRUN_MAP")
            .hinted(format!("also looked for: ConfigMap `sbrun-instance-map` in namespace `{namespace}`"))
            .hinted("`--local` runs the flow here, without a map"));
    };
    let offered: Vec<String> = found.map.sizes.iter().map(|size| format!("`{}`", size.name)).collect();
    if decided.settings.size.is_none() {
        return Err(Error::usage("which size? pass `--size`").hinted(format!("the instance map offers {}", crate::output::wording::list(&offered))));
    }
    let wants_fallback = decided.settings.on_no_capacity.value == OnNoCapacity::Fallback;
    if let Some(profile) = profile(decided)?.filter(|profile| wants_fallback && profile.fallback.is_none()) {
        return Err(Error::rejected(format!("size `{}` has no `fallback` to take when there is no machine", profile.name))
            .hinted("name one in the instance map, or say `--on-no-capacity wait` or `fail`"));
    }
    if decided.settings.image.is_none() {
        return Err(Error::rejected("no image is named anywhere")
            .hinted("pass `--image`, or set `image` under `defaults` of the instance map; for a Python flow any image with python3 does"));
    }
    Ok(())
}

fn check_here(decided: &Decided) -> Result<()> {
    match (&decided.map, &decided.settings.size) {
        (None, Some(Setting { origin: Origin::Flag(_), value })) => {
            Err(Error::rejected(format!("there is no instance map that says what size `{value}` is"))
                .hinted("leave `--size` out to use the whole machine, or name a map with `--map`"))
        }
        _ => Ok(()),
    }
}

fn namespace(target: Target<'_>) -> String {
    match target {
        Target::Cluster(namespace) => namespace.to_owned(),
        Target::Here(_) => LOCAL.to_owned(),
    }
}

/// Returns what the job asks for: of its size, and with `--local` not more than this machine has.
fn footprint(settings: &Settings, target: Target<'_>) -> Footprint {
    let asked = settings.footprint.unwrap_or_default();
    let Target::Here(machine) = target else { return asked };
    let cpu = settings.footprint.map(|footprint| footprint.cpu).or(settings.cpu.as_ref().map(|cpu| cpu.value)).unwrap_or(machine.cpu);
    let memory =
        settings.footprint.map(|footprint| footprint.memory).or(settings.memory.as_ref().map(|memory| memory.value)).unwrap_or(machine.memory);
    Footprint { cpu: cpu.min(machine.cpu), memory: memory.min(machine.memory), ..asked }
}

fn values(settings: &BTreeMap<String, Setting<String>>) -> BTreeMap<String, String> {
    settings.iter().map(|(name, setting)| (name.clone(), setting.value.clone())).collect()
}

/// Returns a path as its layer means it: a directive is relative to its flow, everything else to the working directory.
fn relative_to_layer(path: &str, origin: &Origin, flow: &Path) -> PathBuf {
    match origin {
        Origin::Directive { .. } => flow.parent().unwrap_or(Path::new("")).join(path),
        _ => PathBuf::from(path),
    }
}

fn packing_options(flow: &Path, settings: &Settings) -> PackingOptions {
    let texts = |list: &[Setting<String>]| list.iter().map(|setting| setting.value.clone()).collect();
    PackingOptions {
        root: settings.root.as_ref().map(|root| relative_to_layer(&root.value, &root.origin, flow)),
        include: texts(&settings.include),
        exclude: texts(&settings.exclude),
        python_path: settings.env.get("PYTHONPATH").map(|setting| setting.value.clone()),
    }
}

fn template(flow: &Path, settings: &Settings, environment: &Environment) -> Result<Option<serde_json::Value>> {
    let Some(choice) = &settings.template else { return Ok(None) };
    let path = match &choice.value {
        TemplateChoice::Loaded(template) => return Ok(Some(template.manifest.clone())),
        TemplateChoice::Path(path) => relative_to_layer(path, &choice.origin, flow),
    };
    map_file::read_template(&path, &choice.origin, environment).map(Some)
}

fn provenance(checkout: Option<&git::Checkout>, environment: &Environment) -> crate::model::launch_plan::Provenance {
    let ci_run = environment.ci().and_then(|ci| ci.run_url);
    checkout.cloned().unwrap_or_default().provenance(ci_run)
}

/// Says what is asked of a follower that there will not be.
pub fn tell_unfollowed(decided: &Decided, detach: bool, ui: &mut Ui) {
    let Settings { on_no_capacity, on_oom, .. } = &decided.settings;
    let asked = [("--on-no-capacity", on_no_capacity.value != OnNoCapacity::Wait), ("--on-oom", on_oom.value != OnOutOfMemory::Fail)];
    for (flag, _) in asked.iter().filter(|(_, asked)| *asked && detach) {
        ui.warning(&format!("nobody follows a detached job, so `{flag}` does nothing"));
    }
}

/// Says what people should know before anything starts.
pub fn tell(decided: &Decided, resolved: &Resolved, detach: bool, ui: &mut Ui) {
    for warning in &decided.warnings {
        ui.warning(warning);
    }
    for problem in decided.map.iter().flat_map(|found| &found.map.warnings) {
        ui.warning(&problem.to_string());
    }
    for name in resolved.plan.environment.keys().filter(|name| secrets::looks_secret(name)) {
        ui.warning(&format!("the variable {name} is readable by everybody who may see the Job; `--secret {name}` keeps it out of sight"));
    }
    tell_unfollowed(decided, detach, ui);
    for note in &resolved.notes {
        ui.status(&format!("note: {note}"));
    }
}
