//! The Cluster Autoscaler's status, as it writes it into the ConfigMap `cluster-autoscaler-status`.
//!
//! Three formats are in use: free text up to 1.29, YAML in the order of declaration up to 1.34, and YAML with sorted keys since.
//! Nothing is required: what is absent, null or of another version's making is unknown, never an error and never a guess.

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use crate::model::yaml::{self, Node, Value};

/// Name of the ConfigMap (`--status-config-map-name`).
pub const CONFIG_MAP: &str = "cluster-autoscaler-status";
/// Its key.
pub const KEY: &str = "status";
/// The annotation with the time of the last loop.
pub const LAST_UPDATED: &str = "cluster-autoscaler.kubernetes.io/last-updated";
/// From which age of its status on the autoscaler counts as down, in seconds: it writes every loop, about every 10 s, and its own FAQ
/// says three minutes.
pub const STALE_SECONDS: i64 = 180;

/// What the Cluster Autoscaler says of itself and of its node groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AutoscalerStatus {
    /// When it wrote this.
    pub updated: Option<Timestamp>,
    /// `Running` or `Initializing`; none before 1.30.
    pub state: Option<String>,
    /// Health of the whole cluster: `Healthy` or `Unhealthy`.
    pub health: Option<String>,
    /// Its node groups: those that it has discovered.
    pub groups: Vec<GroupStatus>,
    /// Whether the list of groups could be read to its end; else a group that is missing here proves nothing.
    pub is_complete: bool,
}

/// One node group, as the Cluster Autoscaler sees it. On AWS up to a minute behind: it looks at the groups once a minute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupStatus {
    /// Name; on AWS that of the Auto Scaling group.
    pub name: String,
    /// `Healthy` or `Unhealthy`.
    pub health: Option<String>,
    /// Nodes that are ready.
    pub ready: Option<u32>,
    /// Nodes that have registered.
    pub registered: Option<u32>,
    /// Nodes that have registered and are not ready yet.
    pub not_started: Option<u32>,
    /// Nodes that are not ready any more.
    pub unready: Option<u32>,
    /// Instances without a node, for less than the provision time.
    pub unregistered: Option<u32>,
    /// Instances without a node, for longer.
    pub long_unregistered: Option<u32>,
    /// Number of nodes that the group is to have (`cloudProviderTarget`).
    pub target: Option<u32>,
    /// Least number of nodes.
    pub min_size: Option<u32>,
    /// Largest number of nodes.
    pub max_size: Option<u32>,
    /// `InProgress`, `NoActivity`, `Backoff` or `Unhealthy`.
    pub scale_up: Option<String>,
    /// Since when, where known.
    pub scale_up_since: Option<Timestamp>,
    /// Why it backs off, since 1.30.
    pub backoff: Option<Backoff>,
    /// `CandidatesPresent` or `NoCandidates`.
    pub scale_down: Option<String>,
    /// Number of nodes that it may remove.
    pub candidates: Option<u32>,
}

/// Why a group is not grown for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    /// On AWS `placeholder-cannot-be-fulfilled`, `timeout`, `cloudProviderError` or `apiCallError`.
    pub code: String,
    /// The autoscaler's words.
    pub message: String,
}

impl GroupStatus {
    /// Returns whether the autoscaler does not grow it for a while.
    #[must_use]
    pub fn is_backing_off(&self) -> bool {
        self.scale_up.as_deref() == Some("Backoff")
    }
}

impl AutoscalerStatus {
    /// Returns what a status says; `last_updated` is the ConfigMap's annotation.
    #[must_use]
    pub fn parse(text: &str, last_updated: Option<&str>) -> Self {
        let is_text = text.trim_start().starts_with("Cluster-autoscaler status at");
        let mut status = if is_text { from_text(text) } else { from_yaml(text).unwrap_or_default() };
        status.updated = last_updated.and_then(go_time).or(status.updated);
        status
    }

    /// Returns whether it is so old that the autoscaler cannot be running; false when its age is not known.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.updated.is_some_and(|updated| now.duration_since(updated).as_secs() >= STALE_SECONDS)
    }
}

/// Reads a time as Go prints it: `2023-11-24 04:28:19.546750398 +0000 UTC`, perhaps with a monotonic clock behind; RFC 3339 does, too.
fn go_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.trim().parse() {
        return Some(time);
    }
    let mut words = text.split_whitespace();
    let (date, time, offset) = (words.next()?, words.next()?, words.next()?);
    let local: DateTime = format!("{date}T{time}").parse().ok()?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = (hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?) * 60;
    let offset = Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()?;
    offset.to_timestamp(local).ok()
}

// ---- YAML, in any order

fn from_yaml(text: &str) -> Option<AutoscalerStatus> {
    let document = yaml::parse(text).ok()??;
    let list = at(&document, &["nodeGroups"]);
    let groups = match list.map(|list| &list.value) {
        Some(Value::Sequence(items)) => items.iter().filter_map(group_from_yaml).collect(),
        _ => Vec::new(),
    };
    Some(AutoscalerStatus {
        updated: text_at(&document, &["time"]).and_then(|time| go_time(&time)),
        state: text_at(&document, &["autoscalerStatus"]),
        health: text_at(&document, &["clusterWide", "health", "status"]),
        groups,
        // Newer versions write the time last: without it the text was cut.
        is_complete: list.is_some() && at(&document, &["time"]).is_some(),
    })
}

fn group_from_yaml(group: &Node) -> Option<GroupStatus> {
    let count = |path: &[&str]| text_at(group, path).and_then(|text| text.parse().ok());
    let nodes = |name: &str| count(&["health", "nodeCounts", "registered", name]);
    let backoff = Backoff {
        code: text_at(group, &["scaleUp", "backoffInfo", "errorCode"]).unwrap_or_default(),
        message: text_at(group, &["scaleUp", "backoffInfo", "errorMessage"]).unwrap_or_default(),
    };
    Some(GroupStatus {
        name: text_at(group, &["name"])?,
        health: text_at(group, &["health", "status"]),
        ready: nodes("ready"),
        registered: nodes("total"),
        not_started: nodes("notStarted"),
        unready: count(&["health", "nodeCounts", "registered", "unready", "total"]),
        unregistered: count(&["health", "nodeCounts", "unregistered"]),
        long_unregistered: count(&["health", "nodeCounts", "longUnregistered"]),
        target: count(&["health", "cloudProviderTarget"]),
        min_size: count(&["health", "minSize"]),
        max_size: count(&["health", "maxSize"]),
        scale_up: text_at(group, &["scaleUp", "status"]),
        scale_up_since: text_at(group, &["scaleUp", "lastTransitionTime"]).and_then(|time| go_time(&time)),
        backoff: (backoff != Backoff::default()).then_some(backoff),
        scale_down: text_at(group, &["scaleDown", "status"]),
        candidates: count(&["scaleDown", "candidates"]),
    })
}

fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, name| match &node.value {
        Value::Mapping(entries) => entries.iter().find(|(key, _)| key.text == *name).map(|(_, value)| value),
        Value::Scalar { .. } | Value::Sequence(_) => None,
    })
}

fn text_at(node: &Node, path: &[&str]) -> Option<String> {
    at(node, path).and_then(Node::text).map(ToOwned::to_owned)
}

// ---- Free text, up to 1.29

fn from_text(text: &str) -> AutoscalerStatus {
    let mut status = AutoscalerStatus::default();
    let mut of_scale_up = false;
    for line in text.lines() {
        if let Some(time) = line.trim().strip_prefix("Cluster-autoscaler status at ") {
            status.updated = go_time(time.trim_end_matches(':'));
            continue;
        }
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        status.is_complete |= key == "NodeGroups";
        let value = value.trim();
        let word = || value.split_whitespace().next().map(ToOwned::to_owned);
        match (key, status.groups.last_mut()) {
            ("Name", _) => status.groups.push(GroupStatus { name: value.to_owned(), ..GroupStatus::default() }),
            ("Health", None) => status.health = word(),
            ("Health", Some(group)) => {
                group.health = word();
                let count = |name: &str| number_after(value, name);
                group.ready = count("ready");
                group.registered = count("registered");
                group.not_started = count("notStarted");
                group.unready = count("unready");
                group.unregistered = count("unregistered");
                group.long_unregistered = count("longUnregistered");
                group.target = count("cloudProviderTarget");
                group.min_size = count("minSize");
                group.max_size = count("maxSize");
            }
            ("ScaleUp", Some(group)) => group.scale_up = word(),
            ("ScaleDown", Some(group)) => {
                group.scale_down = word();
                group.candidates = number_after(value, "candidates");
            }
            ("LastTransitionTime", Some(group)) if of_scale_up => group.scale_up_since = go_time(value).filter(|time| time.as_second() > 0),
            _ => {}
        }
        of_scale_up = key == "ScaleUp" || (of_scale_up && key.starts_with("Last"));
    }
    status
}

/// Returns the number in `name=number`, where `name` is a whole word.
fn number_after(text: &str, name: &str) -> Option<u32> {
    let starts = text.match_indices(name).map(|(at, _)| at);
    let whole = |at: &usize| !text[..*at].ends_with(|character: char| character.is_alphanumeric());
    let digits = starts.filter(whole).find_map(|at| text[at + name.len()..].strip_prefix('='))?;
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests;
