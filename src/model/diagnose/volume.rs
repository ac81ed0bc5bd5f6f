//! Volumes that keep a pod from being placed, in the scheduler's words.

use super::{
    inquiry::Inquiry,
    scheduler_message::SchedulerMessage,
    wording::{between, inline},
};
use crate::model::{
    reason::Reason,
    story::{Cause, Proof},
};

const MISSING: [&str; 5] = [
    "persistentvolumeclaim \"",
    "unbound immediate PersistentVolumeClaims",
    "available persistent volumes to bind",
    "non-existent pv",
    "persistentvolumeclaim(s)",
];
const ZONE: [&str; 3] = ["volume node affinity conflict", "PersistentVolume's node affinity", "no available volume zone"];

/// Returns the cause when the scheduler says that a claim is missing or not bound.
pub(super) fn missing(inquiry: &Inquiry<'_>, message: &SchedulerMessage<'_>, proof: &Proof) -> Option<Cause> {
    let words = hurdle(message, &MISSING)?;
    let name = between(words, "persistentvolumeclaim \"", "\"");
    let summary = match name {
        Some(name) if words.contains("not found") => format!("claim `{name}` does not exist"),
        _ => format!("a volume is not there: {}", inline(words)),
    };
    let command = name.map_or_else(|| "get persistentvolumeclaims".to_owned(), |name| format!("describe persistentvolumeclaim {name}"));
    Some(Cause::new(Reason::VolumeMissing, summary).proven_by([proof.clone()]).advising(inquiry.kubectl(&command)))
}

/// Returns the cause when the scheduler says that a volume is bound to a place where no node of the size is.
pub(super) fn zone(inquiry: &Inquiry<'_>, message: &SchedulerMessage<'_>, proof: &Proof) -> Option<Cause> {
    let words = hurdle(message, &ZONE)?;
    let summary = format!("a volume of the pod is in a zone where {} has no node: {}", inquiry.size(), inline(words));
    let next = inquiry
        .kubectl("get persistentvolumeclaims")
        .map(|list| format!("{list}   (then the zone of its volume: kubectl describe persistentvolume NAME)"));
    Some(Cause::new(Reason::VolumeZone, summary).proven_by([proof.clone()]).advising(next))
}

fn hurdle<'t>(message: &SchedulerMessage<'t>, texts: &[&str]) -> Option<&'t str> {
    message.hurdles.iter().map(|(_, hurdle)| *hurdle).find(|hurdle| texts.iter().any(|text| hurdle.contains(text)))
}
