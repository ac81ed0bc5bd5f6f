//! The instance map: which size of job runs on which machines, with what defaults.
//!
//! A map is read whole or not at all: [`InstanceMap::parse`] returns everything that is wrong in it at once.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::{
    error::{Error, Result},
    model::{
        footprint::Footprint,
        identity::SizeName,
        launch_plan::{Placement, RunAsUser, Toleration},
        quantity::{Cpu, Memory},
        suggestion,
        yaml::Position,
    },
};

mod check;
mod cluster;
mod fields;
mod problem;
mod read;
mod read_size;
mod size;

pub use self::problem::{MapProblem, MapProblems};

/// The name of the file, everywhere.
pub const FILE_NAME: &str = "instance-map.yaml";
/// The name of the ConfigMap that holds the map of a namespace, under the key [`FILE_NAME`].
pub const CONFIG_MAP: &str = "sbrun-instance-map";
/// The key of the label and of the taint that a size is placed by when the map names none. Their value is the size's name.
pub const PLACEMENT_KEY: &str = "sbrun.dev/size";

/// An instance map without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceMap {
    /// Where it was read, for people.
    pub name: Arc<str>,
    /// The cluster that it is for.
    pub cluster: Cluster,
    /// The Prefect server that flows report to.
    pub prefect: Prefect,
    /// What holds for every size that does not say otherwise.
    pub defaults: Defaults,
    /// The sizes, in the order of the file. Empty only in a user's own map.
    pub sizes: Vec<SizeProfile>,
    /// What may be wrong without making the map unusable.
    pub warnings: Vec<MapProblem>,
}

/// Where in an instance map a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The map, for people.
    pub name: Arc<str>,
    /// The part of it, for people: `defaults`, `cluster`, `size xlarge`.
    pub section: Arc<str>,
    /// Line and column.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {} line {}", self.section, self.name, self.position.line)
    }
}

/// A value of an instance map that knows where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// The cluster that a map is for. Contexts are personal and have no place here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Address of the API server.
    pub server: Option<Located<String>>,
    /// Namespace of the jobs.
    pub namespace: Option<Located<String>>,
    /// AWS region.
    pub region: Option<Located<String>>,
    /// Name of the EKS cluster.
    pub name: Option<Located<String>>,
}

/// The Prefect server, as a pod reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefect {
    /// Address of its API.
    pub api_url: Option<Located<String>>,
    /// Secret that holds the API key.
    pub api_key_secret: Option<Located<String>>,
    /// Work pool whose workers launch flow runs in this cluster.
    pub work_pool: Option<Located<String>>,
}

/// What is kept back for daemon sets when a footprint is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
}

impl Default for Reserved {
    /// Returns what the add-ons of an EKS node and a log shipper request together, with room: 250m and 512 MiB.
    fn default() -> Self {
        Self { cpu: Cpu(250), memory: Memory::from_mib(512) }
    }
}

/// A Job manifest that is merged under what sbrun sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The file, as the map names it.
    pub file: String,
    /// Its contents.
    pub manifest: serde_json::Value,
}

/// Everything that may be set for all sizes or for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// Container image.
    pub image: Option<Located<String>>,
    /// ServiceAccount of the pods.
    pub service_account: Option<Located<String>>,
    /// Limit of one attempt's run.
    pub timeout: Option<Located<Duration>>,
    /// Limit of getting a node.
    pub pending_timeout: Option<Located<Duration>>,
    /// Limit of waiting for our turn.
    pub queue_timeout: Option<Located<Duration>>,
    /// Limit of silence.
    pub stall_timeout: Option<Located<Duration>>,
    /// How long finished Jobs are kept.
    pub finished_ttl: Option<Located<Duration>>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Option<Located<Duration>>,
    /// How long a job outlives a follower that vanished.
    pub lease: Option<Located<Duration>>,
    /// How often a pod that the infrastructure took is replaced.
    pub infrastructure_retries: Option<Located<u32>>,
    /// What is kept back for daemon sets.
    pub reserved: Option<Located<Reserved>>,
    /// User of the container.
    pub run_as_user: Option<Located<RunAsUser>>,
    /// Environment variables.
    pub env: BTreeMap<String, Located<String>>,
    /// Secrets for pulling the image.
    pub image_pull_secrets: Option<Located<Vec<String>>>,
    /// Job manifest merged under what sbrun sets.
    pub template: Option<Located<Template>>,
    /// Template of an address where logs may be found.
    pub logs_url: Option<Located<String>>,
    /// Whether the output that is followed is kept on the follower's machine.
    pub keep_logs: Option<Located<bool>>,
    /// Labels of Job and pod.
    pub labels: BTreeMap<String, Located<String>>,
    /// Annotations of Job and pod.
    pub annotations: BTreeMap<String, Located<String>>,
}

impl Defaults {
    /// Returns these, with what they lack taken from others; variables, labels and annotations one by one.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        fn both(first: BTreeMap<String, Located<String>>, mut second: BTreeMap<String, Located<String>>) -> BTreeMap<String, Located<String>> {
            second.extend(first);
            second
        }
        Self {
            image: self.image.or(others.image),
            service_account: self.service_account.or(others.service_account),
            timeout: self.timeout.or(others.timeout),
            pending_timeout: self.pending_timeout.or(others.pending_timeout),
            queue_timeout: self.queue_timeout.or(others.queue_timeout),
            stall_timeout: self.stall_timeout.or(others.stall_timeout),
            finished_ttl: self.finished_ttl.or(others.finished_ttl),
            grace: self.grace.or(others.grace),
            lease: self.lease.or(others.lease),
            infrastructure_retries: self.infrastructure_retries.or(others.infrastructure_retries),
            reserved: self.reserved.or(others.reserved),
            run_as_user: self.run_as_user.or(others.run_as_user),
            env: both(self.env, others.env),
            image_pull_secrets: self.image_pull_secrets.or(others.image_pull_secrets),
            template: self.template.or(others.template),
            logs_url: self.logs_url.or(others.logs_url),
            keep_logs: self.keep_logs.or(others.keep_logs),
            labels: both(self.labels, others.labels),
            annotations: both(self.annotations, others.annotations),
        }
    }
}

/// CPU and memory of a job, as the map gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenFootprint {
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
}

/// One size: machines, placement, and what a job of it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SizeProfile {
    /// What `--size` takes.
    pub name: SizeName,
    /// Where it is written.
    pub place: Place,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Auto Scaling groups or EKS managed node groups: one, or one for each zone.
    pub node_groups: Vec<Located<String>>,
    /// Karpenter NodePool.
    pub node_pool: Option<Located<String>>,
    /// Instance types of the machines.
    pub instance_types: Vec<Located<String>>,
    /// What a job asks for, when the map says it.
    pub footprint: Option<Located<GivenFootprint>>,
    /// How many jobs share a machine, when the footprint is computed.
    pub jobs_per_node: Option<Located<u32>>,
    /// NVIDIA GPUs of a job.
    pub gpu: Option<Located<u32>>,
    /// Ephemeral storage of a job.
    pub ephemeral_storage: Option<Memory>,
    /// Whether the machines are spot instances.
    pub spot: Option<bool>,
    /// Price of one machine for an hour.
    pub price_per_hour: Option<f64>,
    /// The size to take when this one has no machine.
    pub fallback: Option<Located<SizeName>>,
    /// Labels that a node must have, when the map says them.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that a job tolerates, when the map says them.
    pub tolerations: Option<Vec<Toleration>>,
    /// What this size says about any key of `defaults`.
    pub own: Defaults,
}

impl InstanceMap {
    /// Returns the size of this name. One that the map does not have is [`ErrorKind::Rejected`](crate::error::ErrorKind::Rejected).
    pub fn size(&self, name: &SizeName) -> Result<&SizeProfile> {
        if let Some(found) = self.sizes.iter().find(|size| size.name == *name) {
            return Ok(found);
        }
        let names = || self.sizes.iter().map(|size| size.name.0.as_str());
        let meant = suggestion::closest(&name.0, names()).map(|meant| format!("did you mean `{meant}`?"));
        let offers = format!("the instance map `{}` offers {}", self.name, suggestion::listed(names()));
        Err(Error::rejected(format!("unknown size `{name}`")).with_hints(meant).hinted(offers))
    }

    /// Returns where jobs of a size run: its own placement, with the region and the name of the cluster.
    #[must_use]
    pub fn placement(&self, size: &SizeProfile) -> Placement {
        let text = |located: &Option<Located<String>>| located.as_ref().map(|located| located.value.clone());
        Placement { region: text(&self.cluster.region), cluster: text(&self.cluster.name), ..size.placement() }
    }

    /// Returns the size for a job of `size` to which `had` was too little memory: its own, if that gives more, else the smallest one that
    /// does, with no less of anything else. Of two that are alike it is the one of the same kind of machine, then the cheaper one.
    ///
    /// A job without a GPU never gets a machine with one.
    #[must_use]
    pub fn next_size(&self, size: &SizeProfile, had: &Footprint) -> Option<&SizeProfile> {
        let more = |other: &&SizeProfile| {
            let offered = other.footprint(&self.defaults);
            let usable = (offered.gpu > 0) == (had.gpu > 0);
            offered.memory > had.memory && usable && had.shortfalls(&other.room(&self.defaults)).is_empty()
        };
        let own = self.sizes.iter().find(|other| other.name == size.name);
        own.filter(more).or_else(|| {
            let order = |other: &&SizeProfile| {
                let Footprint { memory, cpu, gpu, .. } = other.footprint(&self.defaults);
                (memory, (other.spot == Some(true)) != (size.spot == Some(true)), cpu, gpu)
            };
            let price = |other: &SizeProfile| other.price_per_hour.unwrap_or(f64::INFINITY);
            self.sizes.iter().filter(more).min_by(|one, other| order(one).cmp(&order(other)).then(price(one).total_cmp(&price(other))))
        })
    }

    /// Returns the sizes whose jobs may ask for this much, the smallest first.
    #[must_use]
    pub fn sizes_holding(&self, footprint: &Footprint) -> Vec<&SizeProfile> {
        let mut found: Vec<_> = self.sizes.iter().filter(|size| footprint.shortfalls(&size.room(&self.defaults)).is_empty()).collect();
        found.sort_by_key(|size| {
            let room = size.room(&self.defaults);
            (room.memory, room.cpu)
        });
        found
    }
}

#[cfg(test)]
mod tests;
