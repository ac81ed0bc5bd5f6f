//! Everything decided before the first request.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{
    footprint::Footprint,
    identity::{JobName, RunId, SizeName},
    package::Package,
    prefect::tracking::Tracking,
    quantity::Memory,
};

/// All decisions about one launch. `--dry-run` renders it, the launchers carry it out, and the Job records it for `rerun`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// Name of the Job.
    pub name: JobName,
    /// Identity of the run, over all attempts.
    pub run_id: RunId,
    /// Drawn anew by every submitting process: tells our own Job from another submission of the same content.
    #[serde(skip)]
    pub nonce: String,
    /// The idempotency key of `--key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Namespace of the Job.
    pub namespace: String,
    /// The size profile; none with `--local` and no map.
    pub size: Option<SizeName>,
    /// What the job asks of its node.
    pub footprint: Footprint,
    /// Where the job may run.
    pub placement: Placement,
    /// The program.
    pub flow: Flow,
    /// The files that travel with it.
    #[serde(skip)]
    pub package: Package,
    /// Container image; empty only with `--local`.
    pub image: String,
    /// ServiceAccount of the pod, else the namespace's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Secrets for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// User of the container.
    pub run_as_user: RunAsUser,
    /// Environment variables of the flow, without secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Secrets, by the name of the variable that holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// All time limits.
    pub limits: TimeLimits,
    /// How often a running pod that the infrastructure took is replaced.
    #[serde(default)]
    pub infrastructure_retries: u32,
    /// What an interruption of a follower without a terminal does.
    pub on_interrupt: OnInterrupt,
    /// What to do when there is no machine of the size.
    #[serde(default)]
    pub on_no_capacity: OnNoCapacity,
    /// The size to take then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<SizeName>,
    /// The size that was asked for, when this plan is for another: its fallback, or a larger one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_size: Option<SizeName>,
    /// The Job of the same run that ran out of memory before, when this plan is for a larger size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_from: Option<GrownFrom>,
    /// The flow run in Prefect that this launch is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Tracking>,
    /// Who launches.
    pub user: User,
    /// Further labels of Job and pod, from the map and `--label`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of Job and pod, from the map.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where the code comes from.
    #[serde(default)]
    pub provenance: Provenance,
    /// A Job manifest that is merged under what sbrun sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<serde_json::Value>,
    /// What one machine of this size costs an hour, in the currency of the map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Template of an address where logs of finished jobs may be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_url: Option<String>,
    /// Whether followers keep the output on their machines, where somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_logs: Option<bool>,
    /// Name of the run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobName>,
}

/// The program that is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// What the flow is called: the Prefect flow's name, else repository and path, else `--name`.
    pub identity: String,
    /// Path of the file below the package's root, with `/`.
    pub file: String,
    /// How the file is run.
    pub interpreter: Interpreter,
    /// Arguments after the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// How a flow's file is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpreter {
    /// A `.py` file, by `python3`.
    Python,
    /// Anything else, by itself; it must be executable.
    Executable,
}

/// Node selector and tolerations that send a job to its node group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Names of the Auto Scaling groups of this size, for people and for `why`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_groups: Vec<String>,
    /// Name of the Karpenter NodePool of this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_pool: Option<String>,
    /// AWS region of the groups, where the map says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the cluster, where the map says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Instance types of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_types: Vec<String>,
    /// Whether its machines are spot instances, where the map says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<bool>,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the job tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// A toleration, as core/v1 has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Toleration {
    /// Key of the taint; empty means every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Equal` (default) or `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Value of the taint, with `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; empty means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// A taint of a node, as core/v1 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl Toleration {
    /// Returns whether this tolerates `taint`, by the rules of core/v1 `Toleration.ToleratesTaint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let set = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if set(&self.effect).is_some_and(|effect| effect != taint.effect) || set(&self.key).is_some_and(|key| key != taint.key) {
            return false;
        }
        match self.operator.as_deref() {
            Some("Exists") => true,
            _ => set(&self.key).is_some() && self.value.as_deref().unwrap_or("") == taint.value,
        }
    }
}

/// The user that the container runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAsUser {
    /// A numeric user.
    Id(i64),
    /// Whatever the image says; a namespace that enforces Pod Security `restricted` refuses root.
    Image,
}

impl Default for RunAsUser {
    /// Returns 65532, the non-root user of distroless images.
    fn default() -> Self {
        Self::Id(65532)
    }
}

/// All time limits of one launch. Each attempt has its own run timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimits {
    /// Of one attempt's run: the pod's `activeDeadlineSeconds`.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// Of getting a node, once it is our turn.
    #[serde(with = "seconds")]
    pub pending_timeout: Duration,
    /// Of waiting for our turn behind a group at its maximum.
    #[serde(with = "seconds")]
    pub queue_timeout: Duration,
    /// Of silence while running, where asked for.
    #[serde(with = "optional_seconds", default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL. The spot notice is 120 s.
    #[serde(with = "seconds")]
    pub grace: Duration,
    /// How long the finished Job is kept.
    #[serde(with = "seconds")]
    pub finished_ttl: Duration,
    /// How long the job outlives a follower that vanished, with `--on-interrupt cancel`.
    #[serde(with = "seconds")]
    pub lease: Duration,
}

impl TimeLimits {
    /// What clean-up, image pull and clock differences may take on top of all limits.
    pub const SLACK: Duration = Duration::from_secs(15 * 60);

    /// Returns the Job's `activeDeadlineSeconds`: the dead man's switch for detached jobs and closed laptops.
    #[must_use]
    pub fn job_deadline(&self, infrastructure_retries: u32) -> Duration {
        let attempts = infrastructure_retries.saturating_add(1);
        let runs = self.timeout.saturating_add(self.grace).saturating_mul(attempts);
        self.queue_timeout.saturating_add(self.pending_timeout.saturating_mul(attempts)).saturating_add(runs).saturating_add(Self::SLACK)
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(6 * 3600),
            pending_timeout: Duration::from_secs(20 * 60),
            queue_timeout: Duration::from_secs(12 * 3600),
            stall_timeout: None,
            grace: Duration::from_secs(110),
            finished_ttl: Duration::from_secs(7 * 24 * 3600),
            lease: Duration::from_secs(10 * 60),
        }
    }
}

/// What an interruption of a follower without a terminal does to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInterrupt {
    /// The job is cancelled, and lives by a lease.
    Cancel,
    /// The job goes on.
    Detach,
}

/// What to do when there is no machine of the size to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoCapacity {
    /// Wait until the pending timeout.
    #[default]
    Wait,
    /// End as `no_node` at once.
    Fail,
    /// Take the size's fallback, once.
    Fallback,
}

impl OnNoCapacity {
    /// Returns the word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Fail => "fail",
            Self::Fallback => "fallback",
        }
    }
}

/// What to do when a flow runs out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOutOfMemory {
    /// End as `out_of_memory`.
    #[default]
    Fail,
    /// Run it at the next larger size, once.
    NextSize,
}

impl OnOutOfMemory {
    /// Returns the word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::NextSize => "next-size",
        }
    }
}

/// A job that ran out of memory and whose run went on at a larger size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrownFrom {
    /// Name of its Job.
    pub job: String,
    /// Its size.
    pub size: SizeName,
    /// Its memory limit.
    #[serde(rename = "memory_limit_bytes")]
    pub memory: Memory,
    /// How many attempts it had.
    pub attempts: u32,
}

/// Who launches a job. The label is no security boundary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    /// As it was found.
    pub name: String,
    /// As a label value.
    pub label: String,
}

/// A secret of the flow. Its value is never rendered, recorded or logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Name of the environment variable in the pod.
    pub name: String,
    /// Where its value comes from.
    pub source: SecretSource,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// Given at submission; travels in a Secret that the Job owns.
    Value(Redacted),
    /// A key of an existing Secret of the namespace.
    Reference {
        /// Name of the Secret.
        secret: String,
        /// Key in it.
        key: String,
    },
}

/// A value that no text ever shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Redacted(pub String);

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<redacted>")
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<redacted>")
    }
}

impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self::default())
    }
}

/// Where the code of a launch comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Repository, as its remote names it, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_repository: Option<String>,
    /// Commit of the working tree; ends with `-dirty` when files differ from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Address of the pipeline run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_run: Option<String>,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's `with` fixes the signature")]
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&duration.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(|seconds| seconds.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_match_as_the_scheduler_matches_them() {
        let taint = Taint { key: "sbrun.dev/size".into(), value: "xlarge".into(), effect: "NoSchedule".into() };
        let toleration = |key: Option<&str>, operator: Option<&str>, value: Option<&str>, effect: Option<&str>| Toleration {
            key: key.map(Into::into),
            operator: operator.map(Into::into),
            value: value.map(Into::into),
            effect: effect.map(Into::into),
        };
        assert!(toleration(Some("sbrun.dev/size"), None, Some("xlarge"), None).tolerates(&taint));
        assert!(toleration(Some("sbrun.dev/size"), Some("Exists"), None, Some("NoSchedule")).tolerates(&taint));
        assert!(toleration(None, Some("Exists"), None, None).tolerates(&taint));
        assert!(!toleration(Some("sbrun.dev/size"), Some("Equal"), Some("small"), None).tolerates(&taint));
        assert!(!toleration(Some("sbrun.dev/size"), Some("Exists"), None, Some("NoExecute")).tolerates(&taint));
        assert!(!toleration(Some("other"), Some("Exists"), None, None).tolerates(&taint));
        assert!(!toleration(None, None, None, None).tolerates(&taint));
    }

    #[test]
    fn a_secret_value_is_never_rendered() {
        let secret = Secret { name: "TOKEN".into(), source: SecretSource::Value(Redacted("planted".into())) };
        assert!(!format!("{secret:?}").contains("planted"));
        assert!(!serde_json::to_string(&secret).expect("secrets are plain JSON").contains("planted"));
    }

    #[test]
    fn the_job_outlives_every_attempt() {
        let limits = TimeLimits::default();
        assert!(limits.job_deadline(2) > (limits.timeout + limits.grace + limits.pending_timeout) * 3 + limits.queue_timeout);
    }
}
