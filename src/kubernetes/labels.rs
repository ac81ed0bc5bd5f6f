//! Names of labels and annotations: their one home.

/// Label of everything that sbrun makes; its value is [`SBRUN`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const SBRUN: &str = "sbrun";
/// Label: identity of the run, over all attempts.
pub const RUN_ID: &str = "sbrun.dev/run-id";
/// Label: size profile.
pub const SIZE: &str = "sbrun.dev/size";
/// Label: slug of the flow's identity. Annotation: the identity as it was found.
pub const FLOW: &str = "sbrun.dev/flow";
/// Label: slug of the user. Annotation: the user as it was found.
pub const USER: &str = "sbrun.dev/user";
/// Label: hash of `--key`, shared by all attempts under it. Annotation: the key as it was given.
pub const KEY: &str = "sbrun.dev/key";
/// Label of Jobs that a Prefect worker made.
pub const PREFECT_FLOW_RUN: &str = "prefect.io/flow-run-id";
/// Label with the name of the flow run.
pub const PREFECT_FLOW_RUN_NAME: &str = "prefect.io/flow-run-name";
/// Label with the name of the deployment, without the flow's, on Jobs that a Prefect worker made.
pub const PREFECT_DEPLOYMENT: &str = "prefect.io/deployment-name";
/// Label with the name of the flow, on Jobs that a Prefect worker made.
pub const PREFECT_FLOW: &str = "prefect.io/flow-name";
/// Label that the Job controller puts on every pod of a Job.
pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// Label that the Job controller puts on every pod of a Job.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// Annotation of the Job: the launch plan as JSON, without files and secret values.
pub const PLAN: &str = "sbrun.dev/plan";
/// Annotation of the Job: hash of what a run depends on, see [`super::manifest::content_sha256`].
pub const CONTENT: &str = "sbrun.dev/content-sha256";
/// Annotation of the Job: drawn anew by every submitting process.
pub const NONCE: &str = "sbrun.dev/nonce";
/// Annotation of the Job: commit of the code.
pub const GIT_COMMIT: &str = "sbrun.dev/git-commit";
/// Annotation of the Job: repository of the code.
pub const GIT_REPOSITORY: &str = "sbrun.dev/git-repository";
/// Annotation of the Job: address of the pipeline run.
pub const CI_RUN: &str = "sbrun.dev/ci-run";
/// Annotation of the Job, while objects that its pod needs may be missing.
pub const INCOMPLETE: &str = "sbrun.dev/incomplete";
/// Annotation of the Job, while it lives by a lease: the lease in seconds.
pub const LEASE: &str = "sbrun.dev/lease";
/// Annotation of the Job: who ended it, when and why, as JSON.
pub const ENDING: &str = "sbrun.dev/ending";
/// Annotation of the Job: how it ended, as JSON.
pub const VERDICT: &str = "sbrun.dev/verdict";
/// Annotation of the Job: the last output.
pub const LOG_TAIL: &str = "sbrun.dev/log-tail";
/// Prefix of the pod template's annotations that hold the flow's files.
pub const FILES: &str = "sbrun.dev/";

pub use crate::model::{
    footprint::GPU,
    job_template::{DO_NOT_DISRUPT, FLOW_CONTAINER, SAFE_TO_EVICT},
};
