//! Why a pod that has its node does not run yet: image, configuration, volumes.

use super::{
    configuration, image,
    inquiry::Inquiry,
    wording::{inline, on_node},
};
use crate::model::{
    evidence::{AttemptRecord, ContainerState, EventRecord},
    reason::Reason,
    story::{Cause, Proof},
};

/// Why one container of the pod waits.
pub(super) struct Waiting<'a> {
    pub(super) attempt: &'a AttemptRecord,
    /// Its name where it is not the flow's own.
    pub(super) container: Option<&'a str>,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl Waiting<'_> {
    /// Returns the container in words, for the end of a sentence.
    pub(super) fn of_container(&self) -> String {
        self.container.map(|name| format!(" (container `{name}`)")).unwrap_or_default()
    }

    pub(super) fn proof(&self) -> Proof {
        let container = self.container.map_or_else(|| "the flow's container".to_owned(), |name| format!("container {name}"));
        let text = if self.message.is_empty() { self.reason.to_owned() } else { format!("{}: {}", self.reason, self.message) };
        Proof::new(format!("status of {container} in {}", self.attempt.label()), text, None)
    }
}

/// Returns why the pod does not run yet.
pub(super) fn causes(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Vec<Cause> {
    let mut causes: Vec<Cause> = waiting(attempt).iter().filter_map(|waiting| stuck(inquiry, waiting)).collect();
    causes.extend(configuration::failed_mount(inquiry, attempt));
    causes.extend(node_not_ready(inquiry, attempt));
    if causes.is_empty() {
        causes.push(image::pulling(inquiry, attempt).unwrap_or_else(|| creating(inquiry, attempt)));
    }
    causes
}

/// Returns the waiting containers, the flow's own first.
fn waiting(attempt: &AttemptRecord) -> Vec<Waiting<'_>> {
    let own = std::iter::once((None, &attempt.container));
    let states = own.chain(attempt.others.iter().map(|(name, state)| (Some(name.as_str()), state)));
    states
        .filter_map(|(container, state)| match state {
            ContainerState::Waiting { reason, message, .. } => Some(Waiting { attempt, container, reason, message }),
            _ => None,
        })
        .collect()
}

/// Returns the cause when a waiting container says that something is wrong.
fn stuck(inquiry: &Inquiry<'_>, waiting: &Waiting<'_>) -> Option<Cause> {
    match waiting.reason {
        "" | "ContainerCreating" | "PodInitializing" => None,
        reason if image::is_image_reason(reason) => Some(image::cause(inquiry, waiting)),
        _ => Some(configuration::cause(inquiry, waiting)),
    }
}

/// Returns the cause when the pod's own node is not ready.
pub(super) fn node_not_ready(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Option<Cause> {
    let name = attempt.node.as_deref()?;
    let unready = inquiry.node(name)?.unready()?;
    let said = if unready.message.is_empty() { &unready.reason } else { &unready.message };
    Some(
        Cause::new(Reason::NodeNotReady, format!("its node `{name}` is not ready: {}", inline(said)))
            .proven_by([unready.proof(&format!("node {name}"))])
            .advising([format!("kubectl describe node {name}")]),
    )
}

fn creating(inquiry: &Inquiry<'_>, attempt: &AttemptRecord) -> Cause {
    let events: Vec<&EventRecord> = inquiry.events("Pod", &attempt.pod).filter(|event| event.kind == "Warning").collect();
    // The last warning of the kubelet is what it is stuck at; one of the scheduler is past.
    let warning = events.into_iter().rfind(|event| event.source == "kubelet" && event.reason == "FailedCreatePodSandBox");
    let trouble = warning.map(|event| format!(": {}", inline(&event.message))).unwrap_or_default();
    Cause::new(Reason::ContainerCreating, format!("the container is being created{}{trouble}", on_node(attempt)))
        .proven_by(warning.map(EventRecord::proof))
        .advising(warning.and_then(|_| inquiry.describe(attempt)))
}
