//! What a cluster needs so that a namespace can only be used for jobs of an instance map: decided from the map and what was asked for.

pub mod autoscaler;
pub mod iam;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::model::{
    footprint::Footprint,
    instance_map::{Defaults, InstanceMap, Prefect, SizeProfile},
    launch_plan::{RunAsUser, Toleration},
    settings::value,
    suggestion,
};

/// The group that people are in when none is named. Nobody is, until somebody puts them there.
pub const USER_GROUP: &str = "sbrun-users";
/// The ServiceAccount of pipelines when none is named.
pub const CI_ACCOUNT: &str = "sbrun-ci";
/// The ServiceAccount of the Prefect worker when none is named.
pub const WORKER_ACCOUNT: &str = "prefect-worker";

/// The image of the Prefect worker when none is named: the newest that the work pool is tested with.
pub const WORKER_IMAGE: &str = "prefecthq/prefect:3.8.8-python3.12-kubernetes";
/// The user of what needs none in particular: as for flows.
const UNPRIVILEGED: i64 = 65532;

/// Who gets rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A group, as the cluster's authentication knows it.
    Group(String),
    /// A ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(formatter, "group `{name}`"),
            Self::ServiceAccount { namespace, name } => write!(formatter, "ServiceAccount `{namespace}/{name}`"),
        }
    }
}

/// A ServiceAccount as it is typed: `NAME`, or `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    namespace: Option<String>,
    name: String,
}

impl FromStr for AccountName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
        Ok(Self { namespace: namespace.map(value::namespace).transpose()?, name: value::object_name(name)? })
    }
}

impl AccountName {
    /// Returns the account of this name in `namespace`.
    #[must_use]
    pub fn in_namespace_of_jobs(name: &str) -> Self {
        Self { namespace: None, name: name.to_owned() }
    }

    fn subject(self, namespace: &str) -> Subject {
        Subject::ServiceAccount { namespace: self.namespace.unwrap_or_else(|| namespace.to_owned()), name: self.name }
    }
}

/// How strict Pod Security of the namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodSecurity {
    /// The strictest: sbrun's pods keep it as they are.
    #[default]
    Restricted,
    /// Without known ways out of a container.
    Baseline,
    /// Anything.
    Privileged,
}

impl PodSecurity {
    /// Returns the value of the namespace's label.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
            Self::Privileged => "privileged",
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Groups of people.
    pub user_groups: Vec<String>,
    /// Groups of pipelines.
    pub ci_groups: Vec<String>,
    /// ServiceAccounts of pipelines.
    pub ci_accounts: Vec<AccountName>,
    /// ServiceAccount of the Prefect worker.
    pub worker: Option<AccountName>,
    /// Pod Security of the namespace.
    pub pod_security: PodSecurity,
    /// Most that all jobs together may ask for, by resource.
    pub quota: BTreeMap<String, String>,
    /// Whether the admission policy warns where it would refuse.
    pub warn_only: bool,
    /// Image of the Prefect worker.
    pub worker_image: Option<String>,
}

/// Where jobs of some sizes may run, in the words of the admission policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementRule {
    /// The sizes.
    pub sizes: Vec<String>,
    /// Labels that the node selector must have, each as `key=value`.
    pub labels: Vec<String>,
    /// Tolerations that the pod may have, see [`toleration_words`].
    pub tolerations: Vec<String>,
}

/// Everything that is decided before the first manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Namespace of the jobs.
    pub namespace: String,
    /// Who may do what sbrun does, because they are people.
    pub people: Vec<Subject>,
    /// Who may do what sbrun does, because they are pipelines.
    pub pipelines: Vec<Subject>,
    /// Who may do what a Prefect worker does.
    pub workers: Vec<Subject>,
    /// ServiceAccounts that flows run as.
    pub flow_accounts: Vec<String>,
    /// Pod Security of the namespace.
    pub pod_security: PodSecurity,
    /// Most that all jobs together may ask for, by resource.
    pub quota: BTreeMap<String, String>,
    /// Where jobs may run: any one of these.
    pub placements: Vec<PlacementRule>,
    /// Whether the admission policy warns where it would refuse.
    pub warn_only: bool,
    /// The Prefect worker; none when the map does not name server and pool.
    pub worker: Option<Worker>,
}

/// What a Prefect worker needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its ServiceAccount's namespace: it runs there, too.
    pub namespace: String,
    /// Its ServiceAccount.
    pub account: String,
    /// Its image.
    pub image: String,
    /// Its pool.
    pub pool: String,
    /// The map's Prefect server, as a pod reaches it.
    pub prefect: Prefect,
    /// Numeric user that it runs as.
    pub user: i64,
}

impl Worker {
    /// Returns the worker of a map's pool that runs as the first ServiceAccount of `workers`.
    fn resolve(map: &InstanceMap, workers: &[Subject], image: Option<String>) -> Option<Self> {
        let (pool, _) = map.prefect.work_pool.as_ref().zip(map.prefect.api_url.as_ref())?;
        let account = workers.iter().find_map(|subject| match subject {
            Subject::ServiceAccount { namespace, name } => Some((namespace.clone(), name.clone())),
            Subject::Group(_) => None,
        });
        let (namespace, account) = account?;
        let user = match map.defaults.run_as_user.as_ref().map(|user| user.value) {
            Some(RunAsUser::Id(user)) if user != 0 => user,
            _ => UNPRIVILEGED,
        };
        let image = image.unwrap_or_else(|| WORKER_IMAGE.to_owned());
        Some(Self { namespace, account, image, pool: pool.value.clone(), prefect: map.prefect.clone(), user })
    }
}

impl Setup {
    /// Returns what `namespace` needs for the sizes of `map`.
    #[must_use]
    pub fn resolve(map: &InstanceMap, namespace: &str, asked: Asked) -> Self {
        let Asked { user_groups, ci_groups, ci_accounts, worker, pod_security, quota, warn_only, worker_image } = asked;
        let or = |given: Vec<String>, otherwise: &str| if given.is_empty() { vec![otherwise.to_owned()] } else { given };
        let accounts = if ci_groups.is_empty() && ci_accounts.is_empty() { vec![AccountName::in_namespace_of_jobs(CI_ACCOUNT)] } else { ci_accounts };
        let worker = worker.unwrap_or_else(|| AccountName::in_namespace_of_jobs(WORKER_ACCOUNT));
        let workers = vec![worker.subject(namespace)];
        let flow_accounts: BTreeSet<String> = map
            .sizes
            .iter()
            .map(|size| &size.own)
            .chain([&map.defaults])
            .filter_map(|defaults| defaults.service_account.as_ref().map(|account| account.value.clone()))
            .collect();
        Self {
            namespace: namespace.to_owned(),
            people: or(user_groups, USER_GROUP).into_iter().map(Subject::Group).collect(),
            pipelines: ci_groups.into_iter().map(Subject::Group).chain(accounts.into_iter().map(|account| account.subject(namespace))).collect(),
            worker: Worker::resolve(map, &workers, worker_image),
            workers,
            flow_accounts: flow_accounts.into_iter().collect(),
            pod_security,
            quota,
            placements: placement_rules(map),
            warn_only,
        }
    }

    /// Returns the names of the ServiceAccounts that belong into the namespace, each once: a namespace's own `default` is there already.
    #[must_use]
    pub fn own_accounts(&self) -> Vec<&str> {
        let bound = self.people.iter().chain(&self.pipelines).chain(&self.workers).filter_map(|subject| match subject {
            Subject::ServiceAccount { namespace, name } if *namespace == self.namespace => Some(name.as_str()),
            _ => None,
        });
        let all: BTreeSet<&str> = self.flow_accounts.iter().map(String::as_str).chain(bound).filter(|name| *name != "default").collect();
        all.into_iter().collect()
    }
}

/// Returns what in a map keeps the set-up from being as strict as it is meant, in sentences.
#[must_use]
pub fn warnings(map: &InstanceMap, setup: &Setup) -> Vec<String> {
    let mut found = Vec::new();
    let named = |sizes: Vec<&str>| (!sizes.is_empty()).then(|| suggestion::listed(sizes));
    let anywhere = map.sizes.iter().filter(|size| size.placement().node_selector.is_empty()).map(|size| size.name.0.as_str());
    if let Some(sizes) = named(anywhere.collect()) {
        found.push(format!("no `node_selector` in {sizes}: its jobs may run on any node that lets them, and the policy cannot say otherwise"));
    }
    let image_decides = |size: &&SizeProfile| {
        let user = size.own.run_as_user.as_ref().or(map.defaults.run_as_user.as_ref());
        user.is_some_and(|user| user.value == RunAsUser::Image)
    };
    if setup.pod_security == PodSecurity::Restricted
        && let Some(sizes) = named(map.sizes.iter().filter(image_decides).map(|size| size.name.0.as_str()).collect())
    {
        found.push(format!(
            "`run_as_user: image` in {sizes}: Pod Security `restricted` refuses its pods unless the template sets `runAsNonRoot: true`; \
             `--pod-security baseline` would let them run"
        ));
    }
    found
}

/// Returns the quotas that are less than one job of a size asks for: `(resource, amount, size)` go to `excess`, which words it.
pub fn quota_problems(map: &InstanceMap, quota: &BTreeMap<String, String>, excess: impl Fn(&str, &str, &Footprint) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (resource, amount) in quota {
        let problems = map.sizes.iter().filter_map(|size| Some((size, excess(resource, amount, &size.footprint(&map.defaults))?)));
        found.extend(problems.map(|(size, words)| format!("size `{}`: {words}", size.name)));
    }
    found
}

/// Returns resource and amount of `RESOURCE=AMOUNT`, as a ResourceQuota takes them.
pub fn parse_quota(text: &str) -> Result<(String, String), String> {
    let (resource, amount) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write it like `requests.memory=512Gi`"))?;
    match resource {
        "limits.cpu" => return Err("flows have no CPU limit, so this quota would refuse them all; use `requests.cpu`".to_owned()),
        "limits.memory" => return Err("a flow's memory limit is its request; use `requests.memory`".to_owned()),
        "requests.cpu" | "cpu" => drop(value::cpu(amount)?),
        "requests.memory" | "memory" | "requests.ephemeral-storage" => drop(value::memory(amount)?),
        _ => {
            value::label_key(resource)?;
            amount.parse::<u32>().map_err(|_| format!("`{amount}` is not a whole number"))?;
        }
    }
    Ok((resource.to_owned(), amount.to_owned()))
}

/// Returns where jobs may run; sizes with the same placement share a rule.
fn placement_rules(map: &InstanceMap) -> Vec<PlacementRule> {
    let mut rules: Vec<PlacementRule> = Vec::new();
    for size in &map.sizes {
        let placement = size.placement();
        let labels = placement.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut tolerations: Vec<String> = Vec::new();
        for words in placement.tolerations.iter().chain(&template_tolerations(size, &map.defaults)).map(toleration_words) {
            if !tolerations.contains(&words) {
                tolerations.push(words);
            }
        }
        match rules.iter_mut().find(|rule| rule.labels == labels && rule.tolerations == tolerations) {
            Some(rule) => rule.sizes.push(size.name.0.clone()),
            None => rules.push(PlacementRule { sizes: vec![size.name.0.clone()], labels, tolerations }),
        }
    }
    rules
}

/// Returns the tolerations that a size's template adds to its own.
fn template_tolerations(size: &SizeProfile, defaults: &Defaults) -> Vec<Toleration> {
    let template = size.own.template.as_ref().or(defaults.template.as_ref());
    let listed = template.and_then(|template| template.value.manifest.pointer("/spec/template/spec/tolerations"));
    listed.and_then(|tolerations| serde_json::from_value(tolerations.clone()).ok()).unwrap_or_default()
}

/// Returns a toleration as one text, alike for all that mean the same: `key=value:Effect`, and `key:Effect` for `Exists`. Without an
/// effect it tolerates them all. The admission policy makes the same text of what it finds.
#[must_use]
pub fn toleration_words(toleration: &Toleration) -> String {
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let value = match toleration.operator.as_deref() {
        Some("Exists") => String::new(),
        None | Some("" | "Equal") => format!("={value}"),
        Some(operator) => format!(" {operator} {value}"),
    };
    let effect = toleration.effect.as_deref().filter(|effect| !effect.is_empty()).map(|effect| format!(":{effect}")).unwrap_or_default();
    format!("{key}{value}{effect}")
}

#[cfg(test)]
mod tests;
