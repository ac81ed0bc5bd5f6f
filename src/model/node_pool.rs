//! What a Karpenter NodePool will and will not start: its labels, its limits, and the claims that are its own.

use std::collections::BTreeMap;

use crate::model::{
    evidence::{ConditionRecord, EventRecord},
    footprint::{Allocatable, Footprint},
    launch_plan::Taint,
    node_group::{NODE_POOL, NodeClaim, NodePool, Requirement},
    quantity::{Cpu, Memory},
};

/// Label by which pools and pods ask for spot or other machines.
const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// Ends of the domains of labels that machines get without the pool naming them: zone, instance type, what the cloud says of it.
const DOMAINS_OF_MACHINES: [&str; 4] = ["kubernetes.io", "k8s.io", "karpenter.sh", "amazonaws.com"];
/// Beginning of the domains of such labels that providers add, such as `karpenter.k8s.aws`.
const PROVIDER_DOMAINS: &str = "karpenter.";
/// Reason of the event about a claim that was deleted because there is no such machine to be had.
const NO_CAPACITY: &str = "InsufficientCapacityError";
/// Reason of a condition that nobody has looked at yet.
const UNTRIED: &str = "AwaitingReconciliation";
/// Kubernetes appends this many letters and digits to a generated name …
const RANDOM: usize = 5;
/// … and cuts what stands before to this length.
const LONGEST_PREFIX: usize = 58;

/// A limit of a NodePool that one more machine would exceed. Amounts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedLimit {
    /// Resource, as `spec.limits` names it: `cpu`, `memory`, `nodes`, ….
    pub resource: String,
    /// The limit.
    pub limit: String,
    /// How much of it the pool's machines have already.
    pub in_use: String,
    /// How much one more machine needs at least.
    pub needed: String,
    /// Whether one machine is more than the whole limit, so that it will not fit after others have gone either.
    pub for_good: bool,
}

impl NodePool {
    /// Returns the limits that one more machine for `footprint` would exceed; empty means that none is known to stand in the way.
    ///
    /// Karpenter counts whole machines, of which only a least size is known here: what the footprint asks for, or `machine`, the
    /// smallest that the pool would start, where known. So a limit that is named is reached, but Karpenter may refuse earlier.
    ///
    /// Source: Karpenter 1.14, `scheduling/scheduler.go` (`filterByRemainingResources`) and `Limits.ExceededBy`.
    #[must_use]
    pub fn reached_limits(&self, footprint: &Footprint, machine: Option<&Allocatable>) -> Vec<ReachedLimit> {
        let reached = |(resource, limit): (&String, &String)| {
            let limit = amount(resource, limit)?;
            let in_use = self.in_use.get(resource).map_or(Some(0), |text| amount(resource, text))?;
            let needed = needed(resource, footprint, machine);
            let text = |amount| written(resource, amount);
            (in_use.saturating_add(needed) > limit).then(|| ReachedLimit {
                resource: resource.clone(),
                limit: text(limit),
                in_use: text(in_use),
                needed: text(needed),
                for_good: needed > limit,
            })
        };
        self.limits.iter().filter_map(reached).collect()
    }

    /// Returns the labels of `selector` that no machine of this pool will have.
    ///
    /// Labels that the cloud or Karpenter itself puts on machines count as had, unless the pool says otherwise.
    #[must_use]
    pub fn missing_labels<'a>(&self, selector: &'a BTreeMap<String, String>) -> Vec<(&'a str, &'a str)> {
        let missing = |(key, value): &(&String, &String)| !self.offers(key, value);
        selector.iter().filter(missing).map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// Returns the parts of Karpenter's words on a pod, `Failed to schedule pod, …`, that are about this pool, as far as they tell.
    ///
    /// Karpenter says for every pool of the cluster why it would not do, and names a pool only in some of its words: those on the
    /// taint of another pool prove nothing here. A pool whose machines are all sold out is left out altogether.
    #[must_use]
    pub fn refusals<'a>(&self, words: &'a str) -> Vec<&'a str> {
        let words = words.strip_prefix("Failed to schedule pod, ").unwrap_or(words);
        words.split("; ").filter(|part| self.may_be_meant(part)).collect()
    }

    fn may_be_meant(&self, part: &str) -> bool {
        let named = |before: &str, after: char| part.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(name, _)| name);
        let pool = named("(NodePool=", ')').or_else(|| named(&format!("{NODE_POOL} In ["), ']'));
        match (pool, named("(taint=", ')')) {
            (Some(pool), _) => pool == self.name,
            (None, Some(taint)) => self.taints.iter().any(|own| written_taint(own) == taint),
            (None, None) => true,
        }
    }

    fn offers(&self, key: &str, value: &str) -> bool {
        if key == NODE_POOL {
            return value == self.name;
        }
        let mut requirements = self.requirements.iter().filter(|requirement| requirement.key == key).peekable();
        match self.labels.get(key) {
            Some(label) => label == value,
            None if requirements.peek().is_none() => is_of_machines(key),
            None => requirements.all(|requirement| requirement.allows(value)),
        }
    }

    /// Returns whether its machines are spot machines; none when they may be either.
    #[must_use]
    pub fn is_spot(&self) -> Option<bool> {
        let can_be = |kind: &str| self.offers(CAPACITY_TYPE, kind);
        match (can_be("spot"), can_be("on-demand") || can_be("reserved")) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

impl NodeClaim {
    /// Returns the condition that says why the cloud refuses to launch it, for another reason than a want of machines.
    ///
    /// Karpenter goes on trying, and gives the claim up after 5 minutes.
    #[must_use]
    pub fn refused_launch(&self) -> Option<&ConditionRecord> {
        let refused = |condition: &&ConditionRecord| condition.kind == "Launched" && condition.status != "True" && condition.reason != UNTRIED;
        self.conditions.iter().find(refused)
    }
}

impl Requirement {
    fn allows(&self, value: &str) -> bool {
        let compare = |holds: fn(&i64, &i64) -> bool| {
            let bound = self.values.first().and_then(|bound| bound.parse().ok());
            value.parse().ok().zip(bound).is_some_and(|(value, bound)| holds(&value, &bound))
        };
        match self.operator.as_str() {
            "In" => self.values.iter().any(|allowed| allowed == value),
            "NotIn" => self.values.iter().all(|forbidden| forbidden != value),
            "DoesNotExist" => false,
            "Gt" => compare(i64::gt),
            "Gte" => compare(i64::ge),
            "Lt" => compare(i64::lt),
            "Lte" => compare(i64::le),
            _ => true,
        }
    }
}

/// Returns whether a NodeClaim of this name belongs to `pool`: what is left to ask when the claim is gone and only events name it.
#[must_use]
pub fn is_claim_of(claim: &str, pool: &str) -> bool {
    let prefix = format!("{pool}-");
    let prefix = prefix.get(..LONGEST_PREFIX).unwrap_or(&prefix);
    claim.strip_prefix(prefix).is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Returns the cloud's words on why a NodeClaim could not be launched for want of machines; none for other events.
///
/// On AWS a quota of the account is told so, too (`VcpuLimitExceeded`, `MaxSpotInstanceCountExceeded`). Karpenter cuts them at 300
/// characters, and deletes the claim.
#[must_use]
pub fn capacity_failure(event: &EventRecord) -> Option<&str> {
    let words = event.message.split_once("insufficient capacity, ").map_or(event.message.as_str(), |(_, words)| words);
    (event.reason == NO_CAPACITY).then_some(words)
}

/// Returns a taint as Karpenter writes it.
fn written_taint(Taint { key, value, effect }: &Taint) -> String {
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

fn is_of_machines(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain.starts_with(PROVIDER_DOMAINS) || DOMAINS_OF_MACHINES.iter().any(|end| domain.ends_with(end))
}

/// Returns a quantity in the base unit of its resource: millicores, bytes or pieces.
fn amount(resource: &str, text: &str) -> Option<u64> {
    match resource {
        "cpu" => text.parse().ok().map(|cpu: Cpu| cpu.0),
        _ => text.parse().ok().map(|amount: Memory| amount.0),
    }
}

/// Returns how much of a resource one machine for `footprint` has at least, in its base unit.
fn needed(resource: &str, footprint: &Footprint, machine: Option<&Allocatable>) -> u64 {
    let at_least = |asked: u64, there: fn(&Allocatable) -> u64| asked.max(machine.map_or(0, there));
    match resource {
        "cpu" => at_least(footprint.cpu.0, |machine| machine.cpu.0),
        "memory" => at_least(footprint.memory.0, |machine| machine.memory.0),
        "ephemeral-storage" => {
            let storage = |amount: Option<Memory>| amount.map_or(0, |amount| amount.0);
            at_least(storage(footprint.ephemeral_storage), |machine| machine.ephemeral_storage.map_or(0, |amount| amount.0))
        }
        "nvidia.com/gpu" => at_least(footprint.gpu.into(), |machine| machine.gpu.into()),
        "nodes" | "pods" => 1,
        _ => 0,
    }
}

fn written(resource: &str, amount: u64) -> String {
    let counted = |one: &str| format!("{amount} {one}{}", if amount == 1 { "" } else { "s" });
    match resource {
        "cpu" if amount == 1000 => "1 CPU".to_owned(),
        "cpu" => format!("{} CPUs", Cpu(amount)),
        "memory" | "ephemeral-storage" => Memory(amount).to_string(),
        "nvidia.com/gpu" => counted("GPU"),
        "nodes" => counted("node"),
        "pods" => counted("pod"),
        _ => amount.to_string(),
    }
}

#[cfg(test)]
mod tests;
