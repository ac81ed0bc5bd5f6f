//! Which layer decides.

use std::{collections::BTreeMap, time::Duration};

use super::{Directives, Flags, Key, Origin, Setting, Texts, Variables, value};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{
        footprint::Footprint,
        identity::SizeName,
        instance_map::{Defaults, InstanceMap, Located, SizeProfile, Template},
        launch_plan::{OnInterrupt, OnNoCapacity, OnOutOfMemory, RunAsUser, TimeLimits},
        prefect::tracking::TrackingMode,
        quantity::{Cpu, Memory},
        suggestion,
    },
};

mod listing;

pub use self::listing::Listed;

/// All layers of settings, the strongest first.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// The command line.
    pub flags: &'a Flags,
    /// The environment.
    pub variables: &'a Variables,
    /// The flow's header.
    pub directives: &'a Directives,
    /// The instance map, its defaults already joined with the user's.
    pub map: Option<&'a InstanceMap>,
    /// The user's own defaults, for when there is no map.
    pub user_defaults: &'a Defaults,
    /// Whether this runs in a pipeline, where an interruption cancels unless told otherwise.
    pub in_pipeline: bool,
}

/// The template that a job is merged under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateChoice {
    /// A file that is still to be read; relative to the flow's folder when a directive names it, else to the working directory.
    Path(String),
    /// One that the map brought.
    Loaded(Template),
}

/// Every setting of one launch, with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The size, when one is asked for; the map has it, when there is a map.
    pub size: Option<Setting<SizeName>>,
    /// What a job of the size asks of its node, `cpu` and `memory` considered; needs size and map.
    pub footprint: Option<Footprint>,
    /// What the flow is called, when somebody says so.
    pub name: Option<Setting<String>>,
    /// Container image.
    pub image: Option<Setting<String>>,
    /// CPU asked for beside the size.
    pub cpu: Option<Setting<Cpu>>,
    /// Memory asked for beside the size.
    pub memory: Option<Setting<Memory>>,
    /// Limit of one attempt's run.
    pub timeout: Setting<Duration>,
    /// Limit of getting a node.
    pub pending_timeout: Setting<Duration>,
    /// Limit of waiting for our turn.
    pub queue_timeout: Setting<Duration>,
    /// Limit of silence.
    pub stall_timeout: Option<Setting<Duration>>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Setting<Duration>,
    /// How long the finished Job is kept.
    pub finished_ttl: Setting<Duration>,
    /// How long the job outlives a follower that vanished.
    pub lease: Setting<Duration>,
    /// How often a pod that the infrastructure took is replaced.
    pub infrastructure_retries: Setting<u32>,
    /// What an interruption without a terminal does.
    pub on_interrupt: Setting<OnInterrupt>,
    /// What to do when there is no machine of the size.
    pub on_no_capacity: Setting<OnNoCapacity>,
    /// What to do when a flow runs out of memory.
    pub on_oom: Setting<OnOutOfMemory>,
    /// Whether a Prefect flow is tracked by a run in Prefect.
    pub prefect: Setting<TrackingMode>,
    /// Environment variables, each with its own origin.
    pub env: BTreeMap<String, Setting<String>>,
    /// Labels, each with its own origin.
    pub labels: BTreeMap<String, Setting<String>>,
    /// Annotations, each with its own origin; only the map has them.
    pub annotations: BTreeMap<String, Setting<String>>,
    /// ServiceAccount of the pod.
    pub service_account: Option<Setting<String>>,
    /// Secrets for pulling the image; only the map has them.
    pub image_pull_secrets: Option<Setting<Vec<String>>>,
    /// User of the container.
    pub run_as_user: Setting<RunAsUser>,
    /// Job manifest merged under what sbrun sets.
    pub template: Option<Setting<TemplateChoice>>,
    /// Template of an address where logs may be found.
    pub logs_url: Option<Setting<String>>,
    /// Whether the output that is followed is kept on this machine.
    pub keep_logs: Setting<bool>,
    /// Folder of the flow's files; relative as a template's path is.
    pub root: Option<Setting<String>>,
    /// Files to send although they are ignored, of all layers.
    pub include: Vec<Setting<String>>,
    /// Files not to send, of all layers.
    pub exclude: Vec<Setting<String>>,
    /// Namespace, unless the kubeconfig decides.
    pub namespace: Option<Setting<String>>,
    /// Context of the kubeconfig, unless the kubeconfig decides.
    pub context: Option<Setting<String>>,
    /// The instance map's file, unless it is searched for.
    pub map: Option<Setting<String>>,
}

impl Settings {
    /// Returns all time limits.
    #[must_use]
    pub fn limits(&self) -> TimeLimits {
        TimeLimits {
            timeout: self.timeout.value,
            pending_timeout: self.pending_timeout.value,
            queue_timeout: self.queue_timeout.value,
            stall_timeout: self.stall_timeout.as_ref().map(|setting| setting.value),
            grace: self.grace.value,
            finished_ttl: self.finished_ttl.value,
            lease: self.lease.value,
        }
    }
}

/// Returns every setting, decided by the strongest layer that says something.
///
/// Values that cannot be read are [`ErrorKind::Usage`] from flags and variables, and [`ErrorKind::Rejected`] from a flow.
/// An unknown size, and more CPU or memory than the size gives, are [`ErrorKind::Rejected`].
pub fn resolve(layers: &Layers<'_>) -> Result<Settings> {
    let mut resolver = Resolver {
        texts: [layers.flags.texts(), layers.variables.texts.clone(), layers.directives.texts.clone()],
        size: None,
        defaults: layers.map.map_or(layers.user_defaults, |map| &map.defaults),
        problems: layers.variables.problems.iter().map(|(origin, message)| refusal(origin, message)).collect(),
    };
    let size = resolver.typed(Key::Size, value::size_name);
    if let (Some(map), Some(size)) = (layers.map, &size) {
        let found = map.size(&size.value).map_err(|error| match &size.origin {
            Origin::Flag(_) => error,
            origin => error.hinted(format!("it is asked for by {origin}")),
        });
        resolver.size = Some(found?);
    }
    let profile = resolver.size;
    let mut settings = resolver.settings(layers, size);
    resolver.finish()?;
    if let (Some(map), Some(profile)) = (layers.map, profile) {
        settings.footprint = Some(footprint(map, profile, &settings)?);
    }
    Ok(settings)
}

/// Returns what a job of this size asks for, with CPU and memory as asked beside it.
fn footprint(map: &InstanceMap, profile: &SizeProfile, settings: &Settings) -> Result<Footprint> {
    let value = |setting: &Option<Setting<_>>| setting.as_ref().map(|setting| setting.value);
    let memory = settings.memory.as_ref().map(|setting| setting.value);
    let shortfalls = match profile.within(&map.defaults, value(&settings.cpu), memory) {
        Ok(footprint) if footprint.cpu.0 > 0 && footprint.memory.0 > 0 => return Ok(footprint),
        Ok(_) => return Err(Error::rejected(format!("nothing is left of a machine of size `{}` for a job, after what is reserved", profile.name))),
        Err(shortfalls) => shortfalls,
    };
    let mut asked = profile.footprint(&map.defaults);
    asked.cpu = value(&settings.cpu).unwrap_or(asked.cpu);
    asked.memory = memory.unwrap_or(asked.memory);
    let origins =
        [("cpu", settings.cpu.as_ref().map(|setting| &setting.origin)), ("memory", settings.memory.as_ref().map(|setting| &setting.origin))];
    let sentence = |short: &crate::model::footprint::Shortfall| {
        let origin = origins.iter().find(|(resource, _)| *resource == short.resource).and_then(|(_, origin)| *origin);
        let by = origin.map_or_else(String::new, |origin| format!(" by {origin}"));
        format!("{} are asked for{by}, and size `{}` gives {}", short.requested, profile.name, short.allocatable)
    };
    let message = shortfalls.iter().map(sentence).collect::<Vec<_>>().join("; ");
    let larger = map.sizes_holding(&asked);
    let hint = match larger.as_slice() {
        [] => "no size of the instance map gives that much".to_owned(),
        larger => format!("sizes that give that much: {}", suggestion::listed(larger.iter().map(|size| size.name.0.as_str()))),
    };
    Err(Error::rejected(message).hinted(hint))
}

struct Resolver<'a> {
    /// Flags, variables and directives.
    texts: [Texts; 3],
    size: Option<&'a SizeProfile>,
    defaults: &'a Defaults,
    problems: Vec<(ErrorKind, String)>,
}

impl Resolver<'_> {
    fn settings(&mut self, layers: &Layers<'_>, size: Option<Setting<SizeName>>) -> Settings {
        let limits = TimeLimits::default();
        let built_in = |found: Option<Setting<Duration>>, value| found.unwrap_or_else(|| Setting::built_in(value));
        let interrupted = if layers.in_pipeline { OnInterrupt::Cancel } else { OnInterrupt::Detach };
        Settings {
            size,
            footprint: None,
            name: self.typed(Key::Name, value::text),
            image: self.decided(Key::Image, value::image, |defaults| &defaults.image),
            cpu: self.typed(Key::Cpu, value::cpu),
            memory: self.typed(Key::Memory, value::memory),
            timeout: built_in(self.decided(Key::Timeout, value::time_limit, |defaults| &defaults.timeout), limits.timeout),
            pending_timeout: built_in(
                self.decided(Key::PendingTimeout, value::time_limit, |defaults| &defaults.pending_timeout),
                limits.pending_timeout,
            ),
            queue_timeout: built_in(self.decided(Key::QueueTimeout, value::any_duration, |defaults| &defaults.queue_timeout), limits.queue_timeout),
            stall_timeout: self.decided(Key::StallTimeout, value::time_limit, |defaults| &defaults.stall_timeout),
            grace: built_in(self.decided(Key::Grace, value::grace, |defaults| &defaults.grace), limits.grace),
            finished_ttl: built_in(self.decided(Key::FinishedTtl, value::any_duration, |defaults| &defaults.finished_ttl), limits.finished_ttl),
            lease: built_in(self.decided(Key::Lease, value::lease, |defaults| &defaults.lease), limits.lease),
            infrastructure_retries: self
                .decided(Key::InfrastructureRetries, value::retries, |defaults| &defaults.infrastructure_retries)
                .unwrap_or_else(|| Setting::built_in(0)),
            on_interrupt: self.typed(Key::OnInterrupt, value::on_interrupt).unwrap_or_else(|| Setting::built_in(interrupted)),
            on_no_capacity: self.typed(Key::OnNoCapacity, value::on_no_capacity).unwrap_or_else(|| Setting::built_in(OnNoCapacity::Wait)),
            on_oom: self.typed(Key::OnOom, value::on_oom).unwrap_or_else(|| Setting::built_in(OnOutOfMemory::Fail)),
            prefect: self.typed(Key::Prefect, value::tracking).unwrap_or_else(|| Setting::built_in(TrackingMode::Auto)),
            env: self.pairs(Key::Env, value::assignment, |defaults| &defaults.env),
            labels: self.pairs(Key::Label, value::label, |defaults| &defaults.labels),
            annotations: self.mapped(|defaults| &defaults.annotations),
            service_account: self.decided(Key::ServiceAccount, value::object_name, |defaults| &defaults.service_account),
            image_pull_secrets: self.written(|defaults| &defaults.image_pull_secrets),
            run_as_user: self
                .decided(Key::RunAsUser, value::run_as_user, |defaults| &defaults.run_as_user)
                .unwrap_or_else(|| Setting::built_in(RunAsUser::default())),
            template: self.template(),
            logs_url: self.decided(Key::LogsUrl, value::url, |defaults| &defaults.logs_url),
            // A pipeline has the output in a log of its own.
            keep_logs: self
                .decided(Key::KeepLogs, value::truth, |defaults| &defaults.keep_logs)
                .unwrap_or_else(|| Setting::built_in(!layers.in_pipeline)),
            root: self.typed(Key::Root, value::text),
            include: self.list(Key::Include),
            exclude: self.list(Key::Exclude),
            namespace: self.typed(Key::Namespace, value::namespace).or_else(|| layers.map?.cluster.namespace.clone().map(Setting::from)),
            context: self.typed(Key::Context, value::text),
            map: self.typed(Key::Map, value::text),
        }
    }

    /// Returns what was typed for a key, by the strongest layer.
    fn typed<T>(&mut self, key: Key, parse: impl FnOnce(&str) -> std::result::Result<T, String>) -> Option<Setting<T>> {
        let found = self.texts.iter().find_map(|texts| texts.get(&key)?.last())?;
        match parse(&found.value) {
            Ok(value) => Some(Setting { value, origin: found.origin.clone() }),
            Err(message) => {
                self.problems.push(refusal(&found.origin, &message));
                None
            }
        }
    }

    /// Returns what the map says: of the size, else of its defaults.
    fn written<T: Clone>(&self, of: impl Fn(&Defaults) -> &Option<Located<T>>) -> Option<Setting<T>> {
        let of_size = self.size.and_then(|size| of(&size.own).clone());
        of_size.or_else(|| of(self.defaults).clone()).map(Setting::from)
    }

    /// Returns what was typed, else what the map says.
    fn decided<T: Clone>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> std::result::Result<T, String>,
        of: impl Fn(&Defaults) -> &Option<Located<T>>,
    ) -> Option<Setting<T>> {
        self.typed(key, parse).or_else(|| self.written(of))
    }

    fn template(&mut self) -> Option<Setting<TemplateChoice>> {
        let typed = self.typed(Key::Template, |text| value::text(text).map(TemplateChoice::Path));
        typed.or_else(|| {
            let Setting { value, origin } = self.written(|defaults| &defaults.template)?;
            Some(Setting { value: TemplateChoice::Loaded(value), origin })
        })
    }

    /// Returns what the map says by name, a size's word before that of the defaults.
    fn mapped(&self, of: impl Fn(&Defaults) -> &BTreeMap<String, Located<String>>) -> BTreeMap<String, Setting<String>> {
        let of_size = self.size.map(|size| of(&size.own).clone()).unwrap_or_default();
        of(self.defaults).clone().into_iter().chain(of_size).map(|(name, located)| (name, located.into())).collect()
    }

    /// Returns pairs of all layers; of one name the strongest layer's.
    fn pairs(
        &mut self,
        key: Key,
        parse: impl Fn(&str) -> std::result::Result<(String, String), String>,
        of: impl Fn(&Defaults) -> &BTreeMap<String, Located<String>>,
    ) -> BTreeMap<String, Setting<String>> {
        let mut pairs = self.mapped(of);
        for found in self.texts.iter().rev().filter_map(|texts| texts.get(&key)).flatten() {
            match parse(&found.value) {
                Ok((name, value)) => {
                    pairs.insert(name, Setting { value, origin: found.origin.clone() });
                }
                Err(message) => self.problems.push(refusal(&found.origin, &message)),
            }
        }
        pairs
    }

    /// Returns the values of all layers, the weakest first.
    fn list(&self, key: Key) -> Vec<Setting<String>> {
        self.texts.iter().rev().filter_map(|texts| texts.get(&key)).flatten().cloned().collect()
    }

    fn finish(self) -> Result<()> {
        match self.problems.as_slice() {
            [] => Ok(()),
            [(kind, message)] => Err(Error::new(*kind, message.clone())),
            [(kind, _), ..] => {
                let count = self.problems.len();
                let messages: Vec<String> = self.problems.iter().map(|(_, message)| message.clone()).collect();
                Err(Error::new(*kind, format!("{count} settings cannot be used")).caused_by_all(messages))
            }
        }
    }
}

fn refusal(origin: &Origin, message: &str) -> (ErrorKind, String) {
    let kind = match origin {
        Origin::Flag(_) | Origin::Variable(_) => ErrorKind::Usage,
        Origin::Directive { .. } | Origin::Map(_) | Origin::BuiltIn => ErrorKind::Rejected,
    };
    (kind, format!("{origin}: {message}"))
}
