//! Settings, and where each value came from.
//!
//! A flag wins over a variable, that over a directive in the flow's header, that over what the size says in the map,
//! that over the map's defaults, and those over what is built in. [`resolve`] decides, and remembers who decided.

use std::{collections::BTreeMap, fmt};

use crate::model::instance_map::{Located, Place};

mod directives;
mod resolve;
pub(crate) mod value;
mod variables;

pub use self::{
    directives::Directives,
    resolve::{Layers, Listed, Settings, TemplateChoice, resolve},
    variables::Variables,
};

/// The name of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The size profile.
    Size,
    /// What the flow is called.
    Name,
    /// Container image.
    Image,
    /// CPU of the job, within the size.
    Cpu,
    /// Memory of the job, within the size.
    Memory,
    /// Limit of one attempt's run.
    Timeout,
    /// Limit of getting a node.
    PendingTimeout,
    /// Limit of waiting for our turn.
    QueueTimeout,
    /// Limit of silence.
    StallTimeout,
    /// Time between SIGTERM and SIGKILL.
    Grace,
    /// How long the finished Job is kept.
    FinishedTtl,
    /// How long the job outlives a follower that vanished.
    Lease,
    /// How often a pod that the infrastructure took is replaced.
    InfrastructureRetries,
    /// What an interruption without a terminal does.
    OnInterrupt,
    /// What to do when there is no machine of the size.
    OnNoCapacity,
    /// What to do when a flow runs out of memory.
    OnOom,
    /// Whether a Prefect flow is tracked by a run in Prefect.
    Prefect,
    /// Environment variables, `NAME=value`.
    Env,
    /// Labels, `key=value`.
    Label,
    /// ServiceAccount of the pod.
    ServiceAccount,
    /// User of the container.
    RunAsUser,
    /// Job manifest merged under what sbrun sets.
    Template,
    /// Template of an address where logs may be found.
    LogsUrl,
    /// Whether the output that is followed is kept on this machine.
    KeepLogs,
    /// Folder of the flow's files.
    Root,
    /// Files to send although they are ignored.
    Include,
    /// Files not to send.
    Exclude,
    /// Namespace of the Job.
    Namespace,
    /// Context of the kubeconfig.
    Context,
    /// The instance map's file.
    Map,
}

impl Key {
    /// Every key, in the order in which `config` lists them.
    pub const ALL: [Self; 30] = [
        Self::Size,
        Self::Name,
        Self::Image,
        Self::Cpu,
        Self::Memory,
        Self::Timeout,
        Self::PendingTimeout,
        Self::QueueTimeout,
        Self::StallTimeout,
        Self::Grace,
        Self::FinishedTtl,
        Self::Lease,
        Self::InfrastructureRetries,
        Self::OnInterrupt,
        Self::OnNoCapacity,
        Self::OnOom,
        Self::Prefect,
        Self::Env,
        Self::Label,
        Self::ServiceAccount,
        Self::RunAsUser,
        Self::Template,
        Self::LogsUrl,
        Self::KeepLogs,
        Self::Root,
        Self::Include,
        Self::Exclude,
        Self::Namespace,
        Self::Context,
        Self::Map,
    ];

    /// Returns the name in maps and directives, such as `pending_timeout`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Name => "name",
            Self::Image => "image",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Timeout => "timeout",
            Self::PendingTimeout => "pending_timeout",
            Self::QueueTimeout => "queue_timeout",
            Self::StallTimeout => "stall_timeout",
            Self::Grace => "grace",
            Self::FinishedTtl => "finished_ttl",
            Self::Lease => "lease",
            Self::InfrastructureRetries => "infrastructure_retries",
            Self::OnInterrupt => "on_interrupt",
            Self::OnNoCapacity => "on_no_capacity",
            Self::OnOom => "on_oom",
            Self::Prefect => "prefect",
            Self::Env => "env",
            Self::Label => "label",
            Self::ServiceAccount => "service_account",
            Self::RunAsUser => "run_as_user",
            Self::Template => "template",
            Self::LogsUrl => "logs_url",
            Self::KeepLogs => "keep_logs",
            Self::Root => "root",
            Self::Include => "include",
            Self::Exclude => "exclude",
            Self::Namespace => "namespace",
            Self::Context => "context",
            Self::Map => "map",
        }
    }

    /// Returns the key of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Returns the flag, such as `--pending-timeout`.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }

    /// Returns the variable, such as `SBRUN_PENDING_TIMEOUT`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SBRUN_{}", self.name().to_ascii_uppercase())
    }

    /// Returns whether the key may be given several times, and then means all of them.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::Env | Self::Label | Self::Include | Self::Exclude)
    }

    /// Returns what is wrong with a text as a value of this key.
    fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Size => value::size_name(text).map(drop),
            Self::Image => value::image(text).map(drop),
            Self::Cpu => value::cpu(text).map(drop),
            Self::Memory => value::memory(text).map(drop),
            Self::Timeout | Self::PendingTimeout | Self::StallTimeout => value::time_limit(text).map(drop),
            Self::QueueTimeout | Self::FinishedTtl => value::any_duration(text).map(drop),
            Self::Grace => value::grace(text).map(drop),
            Self::Lease => value::lease(text).map(drop),
            Self::InfrastructureRetries => value::retries(text).map(drop),
            Self::OnInterrupt => value::on_interrupt(text).map(drop),
            Self::OnNoCapacity => value::on_no_capacity(text).map(drop),
            Self::OnOom => value::on_oom(text).map(drop),
            Self::Prefect => value::tracking(text).map(drop),
            Self::Env => value::assignment(text).map(drop),
            Self::Label => value::label(text).map(drop),
            Self::ServiceAccount => value::object_name(text).map(drop),
            Self::RunAsUser => value::run_as_user(text).map(drop),
            Self::LogsUrl => value::url(text).map(drop),
            Self::KeepLogs => value::truth(text).map(drop),
            Self::Namespace => value::namespace(text).map(drop),
            Self::Name | Self::Template | Self::Root | Self::Include | Self::Exclude | Self::Context | Self::Map => value::text(text).map(drop),
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(Key),
    /// A variable of the environment.
    Variable(Key),
    /// A line of the flow's header.
    Directive {
        /// The flow's file, for people.
        file: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// A key of an instance map.
    Map(Place),
    /// sbrun itself.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(formatter, "flag {}", key.flag()),
            Self::Variable(key) => write!(formatter, "variable {}", key.variable()),
            Self::Directive { file, line } => write!(formatter, "directive in {file} line {line}"),
            Self::Map(place) => place.fmt(formatter),
            Self::BuiltIn => formatter.write_str("built-in"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// Returns a value that nobody asked for.
    pub fn built_in(value: T) -> Self {
        Self { value, origin: Origin::BuiltIn }
    }
}

impl<T> From<Located<T>> for Setting<T> {
    fn from(located: Located<T>) -> Self {
        Self { value: located.value, origin: Origin::Map(located.place) }
    }
}

/// The values of one layer as they were written, by key.
type Texts = BTreeMap<Key, Vec<Setting<String>>>;

/// The flags that are settings, as they were typed; none and empty mean that the flag is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--size`.
    pub size: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--image`.
    pub image: Option<String>,
    /// `--cpu`.
    pub cpu: Option<String>,
    /// `--memory`.
    pub memory: Option<String>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// `--pending-timeout`.
    pub pending_timeout: Option<String>,
    /// `--queue-timeout`.
    pub queue_timeout: Option<String>,
    /// `--stall-timeout`.
    pub stall_timeout: Option<String>,
    /// `--lease`.
    pub lease: Option<String>,
    /// `--infrastructure-retries`.
    pub infrastructure_retries: Option<String>,
    /// `--on-interrupt`.
    pub on_interrupt: Option<String>,
    /// `--on-no-capacity`.
    pub on_no_capacity: Option<String>,
    /// `--on-oom`.
    pub on_oom: Option<String>,
    /// `--prefect`.
    pub prefect: Option<String>,
    /// `--env`, and the lines of `--env-file` before them.
    pub env: Vec<String>,
    /// `--label`.
    pub label: Vec<String>,
    /// `--template`.
    pub template: Option<String>,
    /// `--root`.
    pub root: Option<String>,
    /// `--include`.
    pub include: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `--map`.
    pub map: Option<String>,
}

impl Flags {
    fn texts(&self) -> Texts {
        let Self {
            size,
            name,
            image,
            cpu,
            memory,
            timeout,
            pending_timeout,
            queue_timeout,
            stall_timeout,
            lease,
            infrastructure_retries,
            on_interrupt,
            on_no_capacity,
            on_oom,
            prefect,
            env,
            label,
            template,
            root,
            include,
            exclude,
            namespace,
            context,
            map,
        } = self;
        let one = |key: Key, value: &Option<String>| (key, value.iter().cloned().collect::<Vec<_>>());
        let typed = [
            one(Key::Size, size),
            one(Key::Name, name),
            one(Key::Image, image),
            one(Key::Cpu, cpu),
            one(Key::Memory, memory),
            one(Key::Timeout, timeout),
            one(Key::PendingTimeout, pending_timeout),
            one(Key::QueueTimeout, queue_timeout),
            one(Key::StallTimeout, stall_timeout),
            one(Key::Lease, lease),
            one(Key::InfrastructureRetries, infrastructure_retries),
            one(Key::OnInterrupt, on_interrupt),
            one(Key::OnNoCapacity, on_no_capacity),
            one(Key::OnOom, on_oom),
            one(Key::Prefect, prefect),
            (Key::Env, env.clone()),
            (Key::Label, label.clone()),
            one(Key::Template, template),
            one(Key::Root, root),
            (Key::Include, include.clone()),
            (Key::Exclude, exclude.clone()),
            one(Key::Namespace, namespace),
            one(Key::Context, context),
            one(Key::Map, map),
        ];
        let origin = |key, value| Setting { value, origin: Origin::Flag(key) };
        typed.into_iter().map(|(key, values)| (key, values.into_iter().map(|value| origin(key, value)).collect())).collect()
    }
}

/// Returns the words of a line as a shell splits them, with quotes of both kinds and without any other magic.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for character in line.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("the quote {quote} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests;
