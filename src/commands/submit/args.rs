//! What can be typed after `sbrun submit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};

use crate::{
    commands::deployments::DeploymentName,
    model::{
        launch_plan::{OnNoCapacity, OnOutOfMemory},
        prefect::tracking::TrackingMode,
    },
};

/// Arguments of `sbrun submit`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_long_help = crate::output::manual::submit())]
pub struct SubmitArgs {
    /// The program: a Python file, or anything executable
    #[arg(value_name = "FLOW", required_unless_present = "deployment")]
    pub flow: Option<PathBuf>,
    /// Arguments of the flow, after `--`
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,

    /// Size profile of the instance map
    #[arg(short, long, value_name = "SIZE", help_heading = "Where it runs")]
    pub size: Option<String>,
    /// CPU request, within the size (such as `2` or `1500m`)
    #[arg(long, value_name = "CPUS", help_heading = "Where it runs")]
    pub cpu: Option<String>,
    /// Memory request and limit, within the size (such as `6Gi`)
    #[arg(long, value_name = "AMOUNT", help_heading = "Where it runs")]
    pub memory: Option<String>,
    /// Container image
    #[arg(long, value_name = "IMAGE", help_heading = "Where it runs")]
    pub image: Option<String>,
    /// Job manifest to merge under what sbrun sets
    #[arg(long, value_name = "FILE", help_heading = "Where it runs")]
    pub template: Option<PathBuf>,
    /// Run here instead of on a cluster, under the same limits
    #[arg(long, help_heading = "Where it runs")]
    pub local: bool,
    /// With --local: run in the flow's own folder instead of an unpacked copy
    #[arg(long, requires = "local", help_heading = "Where it runs")]
    pub in_place: bool,

    /// Run a deployment of Prefect instead of a file, as FLOW/DEPLOYMENT
    #[arg(
        long,
        value_name = "FLOW/DEPLOYMENT",
        value_parser = DeploymentName::parse,
        conflicts_with_all = [
            "flow", "arguments", "cpu", "memory", "image", "template", "local", "in_place", "labels", "secrets", "root", "include", "exclude",
            "timeout", "stall_timeout", "infrastructure_retries", "on_no_capacity", "lease",
        ],
        help_heading = "Prefect"
    )]
    pub deployment: Option<DeploymentName>,
    /// Parameter of a Prefect flow: text, or JSON where it reads as such (can be repeated)
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", conflicts_with = "local", help_heading = "Prefect")]
    pub parameters: Vec<String>,
    /// How often Prefect starts a run again whose flow failed; while sbrun follows, no run has more attempts than that allows
    #[arg(long, value_name = "N", conflicts_with_all = ["local", "infrastructure_retries"], help_heading = "Prefect")]
    pub retries: Option<u32>,
    /// Whether a Prefect flow is tracked by a run in Prefect: where that is possible, never, or else nothing is launched
    #[arg(long, value_enum, value_name = "WHEN", conflicts_with_all = ["local", "deployment"], help_heading = "Prefect")]
    pub prefect: Option<TrackingChoice>,

    /// Name of the job, instead of the flow's
    #[arg(long, value_name = "NAME", help_heading = "What it is called")]
    pub name: Option<String>,
    /// Idempotency key: the same key never makes a second job
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new(), help_heading = "What it is called")]
    pub key: Option<String>,
    /// Label of the job (can be repeated)
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE", help_heading = "What it is called")]
    pub labels: Vec<String>,

    /// Environment variable of the flow (can be repeated)
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", help_heading = "What it gets")]
    pub env: Vec<String>,
    /// File with lines NAME=VALUE (can be repeated)
    #[arg(long = "env-file", value_name = "FILE", help_heading = "What it gets")]
    pub env_file: Vec<PathBuf>,
    /// Secret: NAME takes the value of that variable here, else of standard input; NAME=SECRET/KEY an existing one (can be repeated)
    #[arg(long = "secret", value_name = "NAME[=SECRET/KEY]", help_heading = "What it gets")]
    pub secrets: Vec<String>,
    /// Folder that travels with the flow and is its working directory
    #[arg(long, value_name = "FOLDER", help_heading = "What it gets")]
    pub root: Option<PathBuf>,
    /// Send these files although they are ignored (can be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "What it gets")]
    pub include: Vec<String>,
    /// Do not send these files (can be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "What it gets")]
    pub exclude: Vec<String>,

    /// Longest run of one attempt (such as `90s`, `15m`, `2h`, `1d`)
    #[arg(long, value_name = "DURATION", help_heading = "How long it may take")]
    pub timeout: Option<String>,
    /// Longest wait for a node, once it is our turn
    #[arg(long, value_name = "DURATION", help_heading = "How long it may take")]
    pub pending_timeout: Option<String>,
    /// Longest wait for our turn behind a group at its maximum
    #[arg(long, value_name = "DURATION", help_heading = "How long it may take")]
    pub queue_timeout: Option<String>,
    /// Longest silence while it runs
    #[arg(long, value_name = "DURATION", help_heading = "How long it may take")]
    pub stall_timeout: Option<String>,
    /// How often a running pod that the infrastructure took is replaced
    #[arg(long, value_name = "N", help_heading = "How long it may take")]
    pub infrastructure_retries: Option<u32>,

    /// What an interruption without a terminal does; `cancel` in a pipeline, else `detach`
    #[arg(long, value_enum, value_name = "ACTION", help_heading = "Following")]
    pub on_interrupt: Option<InterruptChoice>,
    /// What to do when there is no machine of the size: wait for one, fail at once, or take the size's `fallback`
    #[arg(long, value_enum, value_name = "ACTION", conflicts_with = "local", help_heading = "Following")]
    pub on_no_capacity: Option<NoCapacityChoice>,
    /// What to do when the flow runs out of memory: fail, or run it once more at the next larger size
    #[arg(long, value_enum, value_name = "ACTION", conflicts_with = "local", help_heading = "Following")]
    pub on_oom: Option<OutOfMemoryChoice>,
    /// How long the job outlives a vanished sbrun, with --on-interrupt cancel
    #[arg(long, value_name = "DURATION", help_heading = "Following")]
    pub lease: Option<String>,
    /// Create the job and do not wait for it
    #[arg(short, long, conflicts_with = "local", help_heading = "Following")]
    pub detach: bool,
    /// Also write the flow's output to this file
    #[arg(long, value_name = "FILE", help_heading = "Following")]
    pub log_file: Option<PathBuf>,
    /// Let every escape sequence of the flow through to the terminal
    #[arg(long, help_heading = "Following")]
    pub raw: bool,
    /// Show what would be sent and send nothing; `server` lets the API server check it
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE", help_heading = "Following")]
    pub dry_run: Option<DryRun>,
}

/// `--on-interrupt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InterruptChoice {
    /// End the job
    Cancel,
    /// Let it go on
    Detach,
}

/// `--prefect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrackingChoice {
    /// Where an API is known here, and the map says how a pod reaches it
    Auto,
    /// Never
    Off,
    /// Or launch nothing
    Required,
}

impl TrackingChoice {
    /// Returns the setting of this choice.
    #[must_use]
    pub fn setting(self) -> TrackingMode {
        match self {
            Self::Auto => TrackingMode::Auto,
            Self::Off => TrackingMode::Off,
            Self::Required => TrackingMode::Required,
        }
    }
}

/// `--on-no-capacity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NoCapacityChoice {
    /// Wait until the pending timeout
    Wait,
    /// End the job at once
    Fail,
    /// Submit it once at the size's fallback
    Fallback,
}

impl NoCapacityChoice {
    /// Returns the setting of this choice.
    #[must_use]
    pub fn setting(self) -> OnNoCapacity {
        match self {
            Self::Wait => OnNoCapacity::Wait,
            Self::Fail => OnNoCapacity::Fail,
            Self::Fallback => OnNoCapacity::Fallback,
        }
    }
}

/// `--on-oom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutOfMemoryChoice {
    /// End as out of memory
    Fail,
    /// Run it once more, at the next larger size
    NextSize,
}

impl OutOfMemoryChoice {
    /// Returns the setting of this choice.
    #[must_use]
    pub fn setting(self) -> OnOutOfMemory {
        match self {
            Self::Fail => OnOutOfMemory::Fail,
            Self::NextSize => OnOutOfMemory::NextSize,
        }
    }
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Nothing is sent
    Client,
    /// The API server checks it and keeps nothing
    Server,
}
