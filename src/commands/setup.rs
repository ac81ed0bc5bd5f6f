//! `sbrun setup`: what a cluster needs so that a namespace can only be used as it is meant.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::context::Context;
use crate::{
    error::{Error, Result},
    kubernetes::{
        apply::{self, OnConflict},
        checks,
        connect::Cluster,
        setup as manifests,
    },
    model::{
        evidence::QuotaRecord,
        exit_code::ExitCode,
        instance_map::{CONFIG_MAP, InstanceMap},
        settings::value,
        setup::{self, AccountName, Asked, PodSecurity, Setup, USER_GROUP},
    },
    output::{
        manual,
        ui::Ui,
        view::{self, changes::Changes},
    },
    store::map_file::{self, SharedMap},
};

mod documents;

/// Arguments of `sbrun setup`.
#[derive(Debug, Args)]
#[command(after_long_help = manual::setup())]
pub struct SetupArgs {
    /// What to print or apply; without any: namespace, access, nodes and policy
    #[arg(value_enum, value_name = "PART")]
    pub parts: Vec<Part>,

    /// Apply it to the cluster: shows the difference and asks first
    #[arg(long, conflicts_with = "diff", help_heading = "Applying")]
    pub apply: bool,
    /// Show what applying would change, and change nothing; exits 1 when something would
    #[arg(long, help_heading = "Applying")]
    pub diff: bool,
    /// Take over fields that somebody else manages
    #[arg(long, help_heading = "Applying")]
    pub force_conflicts: bool,

    /// Group of people who use sbrun (can be repeated) [default: sbrun-users]
    #[arg(long = "user-group", value_name = "NAME", value_parser = group_name, help_heading = "Who")]
    pub user_groups: Vec<String>,
    /// Group of pipelines that use sbrun (can be repeated)
    #[arg(long = "ci-group", value_name = "NAME", value_parser = group_name, help_heading = "Who")]
    pub ci_groups: Vec<String>,
    /// ServiceAccount of pipelines (can be repeated) [default: sbrun-ci, unless there is a --ci-group]
    #[arg(long = "ci-service-account", value_name = "[NAMESPACE/]NAME", help_heading = "Who")]
    pub ci_service_accounts: Vec<AccountName>,
    /// ServiceAccount of the Prefect worker [default: prefect-worker]
    #[arg(long, value_name = "[NAMESPACE/]NAME", help_heading = "Who")]
    pub worker_service_account: Option<AccountName>,

    /// Image of the Prefect worker [default: the newest that is tested]
    #[arg(long, value_name = "IMAGE", value_parser = image, help_heading = "Who")]
    pub worker_image: Option<String>,

    /// Pod Security of the namespace
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "restricted", help_heading = "How strict")]
    pub pod_security: Level,
    /// Most that all jobs together may ask for (can be repeated), such as requests.memory=512Gi or pods=20
    #[arg(long = "quota", value_name = "RESOURCE=AMOUNT", value_parser = setup::parse_quota, help_heading = "How strict")]
    pub quota: Vec<(String, String)>,
    /// Let the policy warn, and note it in the audit log, where it would refuse
    #[arg(long, help_heading = "How strict")]
    pub warn_only: bool,
}

/// A part of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Namespace with Pod Security, ServiceAccounts, quota
    Namespace,
    /// Roles in the namespace: people, pipelines, Prefect worker
    Access,
    /// Roles that show machines, and what the autoscaler says of them
    Nodes,
    /// Admission policy: the rules for every Job, whoever creates it
    Policy,
    /// The instance map as a ConfigMap, for everybody
    Map,
    /// The Prefect worker of the map's work pool, on a machine that stays
    Worker,
    /// Flags of the Cluster Autoscaler
    Autoscaler,
    /// IAM policy of the Cluster Autoscaler
    IamAutoscaler,
    /// IAM policy of people who use sbrun
    IamUsers,
}

/// `--pod-security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// The strictest, which sbrun's pods keep
    Restricted,
    /// Without known ways out of a container
    Baseline,
    /// Anything
    Privileged,
}

fn group_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("the name is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn image(text: &str) -> Result<String, String> {
    value::image(text)
}

/// Prints what a cluster needs, or applies it.
pub async fn setup(arguments: &SetupArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let (documents, parts): (Vec<Part>, Vec<Part>) = arguments.parts.iter().copied().partition(|part| manifest_part(*part).is_none());
    if let [document, rest @ ..] = documents.as_slice() {
        if !parts.is_empty() || !rest.is_empty() || arguments.apply || arguments.diff {
            let name = document.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            return Err(Error::usage(format!("`{name}` is a document, not a manifest: ask for it alone, without `--apply` or `--diff`")));
        }
        return documents::show(*document, context, ui).await;
    }
    let mut parts: Vec<manifests::Part> = parts.into_iter().filter_map(manifest_part).collect();
    if parts.is_empty() {
        parts = vec![manifests::Part::Namespace, manifests::Part::Access, manifests::Part::Nodes, manifests::Part::Policy];
    }
    let found = shared_map(context, parts.contains(&manifests::Part::Map)).await?;
    let setup = Setup::resolve(&found.map, &namespace(context, &found.map)?, asked(arguments));
    check(&found, &setup, &parts)?;
    for warning in setup::warnings(&found.map, &setup) {
        ui.warning(&warning);
    }
    let rendered = manifests::manifests(&setup, &parts, &found.entries);
    if arguments.apply || arguments.diff {
        let cluster = context.connect(Some(&setup.namespace)).await?;
        found.map.check_cluster(&cluster.server, cluster.contexts())?;
        let subjects = || subjects_words(&setup, &parts);
        return apply(arguments, &cluster, &rendered, subjects, ui).await;
    }
    let documents: Vec<&Value> = rendered.iter().collect();
    view::manifests::show(ui, &documents, || rendered.iter().map(|manifest| apply::object_name(manifest).name).collect())?;
    for words in subjects_words(&setup, &parts) {
        ui.status(&words);
    }
    ui.status("apply it: the same command with `--apply`, or `| kubectl apply --server-side -f -`");
    if setup.worker.is_some() && !parts.contains(&manifests::Part::Worker) {
        ui.status("the Prefect worker of the map's work pool is a part of its own: sbrun setup worker");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the part of the manifests; none for a document.
fn manifest_part(part: Part) -> Option<manifests::Part> {
    match part {
        Part::Namespace => Some(manifests::Part::Namespace),
        Part::Access => Some(manifests::Part::Access),
        Part::Nodes => Some(manifests::Part::Nodes),
        Part::Policy => Some(manifests::Part::Policy),
        Part::Map => Some(manifests::Part::Map),
        Part::Worker => Some(manifests::Part::Worker),
        Part::Autoscaler | Part::IamAutoscaler | Part::IamUsers => None,
    }
}

fn asked(arguments: &SetupArgs) -> Asked {
    let SetupArgs {
        parts: _,
        apply: _,
        diff: _,
        force_conflicts: _,
        user_groups,
        ci_groups,
        ci_service_accounts,
        worker_service_account,
        worker_image,
        pod_security,
        quota,
        warn_only,
    } = arguments;
    Asked {
        user_groups: user_groups.clone(),
        ci_groups: ci_groups.clone(),
        ci_accounts: ci_service_accounts.clone(),
        worker: worker_service_account.clone(),
        pod_security: match pod_security {
            Level::Restricted => PodSecurity::Restricted,
            Level::Baseline => PodSecurity::Baseline,
            Level::Privileged => PodSecurity::Privileged,
        },
        quota: quota.iter().cloned().collect(),
        warn_only: *warn_only,
        worker_image: worker_image.clone(),
    }
}

/// Returns the map that the set-up is for: of the files of this machine, else the cluster's own, which needs no sharing.
async fn shared_map(context: &Context, to_share: bool) -> Result<SharedMap> {
    if let Some(found) = context.find_map()?
        && let Some(path) = found.source.path()
    {
        return map_file::shared(path, &context.environment);
    }
    let none = || {
        Error::rejected("there is no instance map, and the set-up follows from it")
            .hinted("write `instance-map.yaml`, or name one with `--map` or SBRUN_MAP; docs/instance-map.md shows how")
    };
    if to_share {
        return Err(none());
    }
    let cluster = context.connect(None).await.map_err(|error| none().caused_by(error))?;
    let data = checks::config_map(&cluster, CONFIG_MAP).await?.ok_or_else(none)?;
    map_file::shared_from_config_map(&cluster.namespace, data)?.ok_or_else(none)
}

/// Returns the namespace to set up. The kubeconfig's present one is not asked: it is often `default`, and nobody meant that.
fn namespace(context: &Context, map: &InstanceMap) -> Result<String> {
    let Some(namespace) = stated_namespace(context, map) else {
        return Err(
            Error::usage("which namespace is to be set up?").hinted("name it with `--namespace`, or as `cluster.namespace` in the instance map")
        );
    };
    if namespace.starts_with("kube-") {
        return Err(Error::rejected(format!("namespace `{namespace}` belongs to Kubernetes; jobs need one of their own")));
    }
    Ok(namespace.to_owned())
}

/// Returns the namespace that flag, variable or map name.
pub(super) fn stated_namespace<'a>(context: &'a Context, map: &'a InstanceMap) -> Option<&'a str> {
    let stated = context.global.namespace.as_deref().or_else(|| context.environment.get("SBRUN_NAMESPACE"));
    stated.or_else(|| map.cluster.namespace.as_ref().map(|namespace| namespace.value.as_str()))
}

/// Refuses what could not work, before anything is shown or asked.
fn check(found: &SharedMap, setup: &Setup, parts: &[manifests::Part]) -> Result<()> {
    let excess = |resource: &str, amount: &str, footprint: &_| {
        let quota = QuotaRecord { quota: "sbrun".into(), resource: resource.into(), used: "0".into(), hard: amount.into() };
        checks::quota_excess(&quota, footprint)
    };
    let problems = setup::quota_problems(&found.map, &setup.quota, excess);
    if !problems.is_empty() {
        return Err(Error::rejected("with this `--quota` some sizes could never run").caused_by_all(problems));
    }
    if parts.contains(&manifests::Part::Worker) && setup.worker.is_none() {
        return Err(Error::rejected("the instance map does not say which Prefect server and work pool a worker is for")
            .hinted("write into it: `prefect: {api_url: http://prefect.prefect:4200/api, work_pool: flows}`"));
    }
    if parts.contains(&manifests::Part::Map) { map_file::check_entries(&found.entries) } else { Ok(()) }
}

/// Compares with the cluster, shows the difference, and applies it when that was asked for and agreed to.
async fn apply(arguments: &SetupArgs, cluster: &Cluster, rendered: &[Value], subjects: impl Fn() -> Vec<String>, ui: &mut Ui) -> Result<ExitCode> {
    let on_conflict = if arguments.force_conflicts { OnConflict::Force } else { OnConflict::Refuse };
    let found = apply::compare(cluster, rendered, on_conflict).await?;
    let mut changes = Changes::new();
    for change in &found {
        changes.add(&change.object.name, change.object.namespace.as_deref(), change.live.as_ref(), &change.next)?;
    }
    if changes.is_empty() {
        ui.status(&format!("nothing to change: all {} are as they should be in cluster {}", found.len(), cluster.server));
    } else {
        ui.status(&format!("{} in cluster {}", changes.summary(), cluster.server));
    }
    if arguments.diff {
        for change in &found {
            if let Some(conflict) = &change.conflict {
                ui.warning(&format!("{}: {conflict}; applying it needs `--force-conflicts`", change.object));
            }
        }
        ui.show(&changes, |ui| changes.differences(ui.data_painter()), || changes.names())?;
        return Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !changes.is_empty() {
        ui.status(&changes.differences(ui.painter()));
        apply::check_conflicts(&found)?;
        for words in subjects() {
            ui.status(&words);
        }
        let agreed =
            ui.confirm(&format!("Apply this to cluster {}?", cluster.server)).map_err(|error| error.hinted("or look first with `--diff`"))?;
        if !agreed {
            return Ok(ExitCode::FAILURE);
        }
        apply::apply(cluster, &found, on_conflict).await?;
        changes.applied = true;
    }
    ui.show(&changes, |_| changes.outcome(), || changes.names())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns who gets the rights, so that nobody takes a placeholder for people.
fn subjects_words(setup: &Setup, parts: &[manifests::Part]) -> Vec<String> {
    if !parts.contains(&manifests::Part::Access) && !parts.contains(&manifests::Part::Nodes) {
        return Vec::new();
    }
    let named = |subjects: &[setup::Subject]| subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut words = vec![
        format!("people:    {}", named(&setup.people)),
        format!("pipelines: {}", named(&setup.pipelines)),
        format!("worker:    {}", named(&setup.workers)),
    ];
    if setup.people == [setup::Subject::Group(USER_GROUP.to_owned())] {
        let until = "until an EKS access entry or your identity provider says so; `--user-group` names another";
        words.push(format!("nobody is in group `{USER_GROUP}` {until}"));
    }
    words
}
