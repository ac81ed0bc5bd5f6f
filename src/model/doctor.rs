//! What is wrong with a set-up before it costs an evening: checks of map, account, autoscaler and cluster against each other.
//!
//! Everything here is pure: [`examine`] takes what was observed, and what could not be observed is a finding, too: unknown is no
//! failure, and never passes for good.

mod autoscaler;
mod check;
mod group;
mod jobs;
mod machine;
mod map;
mod pool;
mod prefect;
mod rights;
mod size;
mod tags;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

pub(crate) use self::machine::{is_of, lasting, less};
pub use self::{
    check::Check,
    jobs::{claims, priority_class},
    prefect::PrefectSurvey,
};
use crate::model::{
    access::Right,
    autoscaler_deployment::AutoscalerDeployment,
    evidence::NodeRecord,
    footprint::Footprint,
    identity::SizeName,
    instance_map::InstanceMap,
    launch_plan::{Taint, Toleration},
    node_group::{Scaling, Sighting},
};

/// How far back failures of machines count.
pub const RECENT: Duration = Duration::from_secs(3600);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Jobs fail, or wait in vain.
    Error,
    /// It works, but dearer, later or less surely than it should.
    Warning,
    /// It could not be seen.
    Unknown,
    /// It is as it should be.
    Good,
}

impl Severity {
    /// Returns the stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Good => "ok",
        }
    }
}

/// What one check found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The stable code: of a [`Check`], or the reason that `why` would give of a job.
    pub code: &'static str,
    /// What it is about: `size xlarge`, `node group flows-xlarge`, `Cluster Autoscaler`.
    pub subject: String,
    /// What is so, in one sentence for people, lower case, no full stop.
    pub message: String,
    /// What it will cause; none when it is as it should be, or not known.
    pub consequence: Option<String>,
    /// What mends it, each ready to be typed or done, best first.
    pub remedies: Vec<String>,
}

/// Everything observed of a set-up. What nobody asked for is [`Sighting::NotAsked`], and is not judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// When it was observed.
    pub now: Timestamp,
    /// Namespace of the jobs.
    pub namespace: String,
    /// AWS region that was asked, where one was.
    pub region: Option<String>,
    /// The account's groups, the autoscaler's status, the pools.
    pub scaling: Scaling,
    /// What else of the account could not be seen, as sentences.
    pub account_unknown: Vec<String>,
    /// All nodes of the cluster.
    pub nodes: Sighting<Vec<NodeRecord>>,
    /// All daemon sets of the cluster.
    pub daemon_sets: Sighting<Vec<DaemonSet>>,
    /// The Cluster Autoscaler itself.
    pub autoscaler: Sighting<AutoscalerDeployment>,
    /// Version of the API server, such as `v1.36.3`.
    pub version: Sighting<String>,
    /// Rights that were asked for and are missing.
    pub missing_rights: Sighting<Vec<MissingRight>>,
    /// What the API server says of a Job of each size.
    pub admissions: BTreeMap<SizeName, Sighting<Admission>>,
    /// What it says of a Job that breaks the rules.
    pub rule_breaker: Sighting<Admission>,
    /// The priority of each PriorityClass that a size's template names.
    pub priorities: BTreeMap<String, Sighting<i32>>,
    /// The Prefect server; none when neither map nor surroundings name one.
    pub prefect: Option<PrefectSurvey>,
    /// The zones that each PersistentVolumeClaim of a size's template ties a pod to; none when it ties it to no zone.
    pub claim_zones: BTreeMap<String, Sighting<Vec<String>>>,
}

/// A daemon set: it takes room on every node that it runs on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DaemonSet {
    /// Namespace and name.
    pub name: String,
    /// What its pod requests.
    pub footprint: Footprint,
    /// Labels that it asks of a node.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it tolerates.
    pub tolerations: Vec<Toleration>,
}

impl DaemonSet {
    /// Returns whether it runs on nodes with these labels and taints. Its affinities count as met: those that common add-ons have
    /// except other kinds of machines.
    #[must_use]
    pub fn runs_on(&self, labels: &BTreeMap<String, String>, taints: &[Taint]) -> bool {
        let selected = self.node_selector.iter().all(|(key, value)| key.starts_with("kubernetes.io/") || labels.get(key) == Some(value));
        selected && taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || self.tolerations.iter().any(|one| one.tolerates(taint)))
    }
}

/// A right that somebody has not.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingRight {
    /// The right.
    pub right: Right,
    /// Where it is missing; none means in the whole cluster.
    pub namespace: Option<String>,
    /// The verbs that are missing.
    pub verbs: Vec<&'static str>,
    /// Whether commands fail without it; else they only know less.
    pub needed: bool,
}

/// What the API server says of a Job, asked without creating it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It would be created.
    Admitted,
    /// It would be refused, with these words.
    Refused(String),
}

/// Returns everything that is found, worst first; with `only`, what concerns this size and what concerns them all.
///
/// A size that the map does not have is a finding of its own, with what it lacks elsewhere.
#[must_use]
pub fn examine(map: &InstanceMap, only: Option<&SizeName>, survey: &Survey) -> Vec<Finding> {
    let mut findings = Findings { found: Vec::new(), survey };
    map::examine(map, only, &mut findings);
    findings.unseen();
    autoscaler::examine(map, &mut findings);
    for size in map.sizes.iter().filter(|size| only.is_none_or(|only| size.name == *only)) {
        size::examine(map, size, &mut findings);
    }
    if let Some(only) = only.filter(|only| map.sizes.iter().all(|size| size.name != **only)) {
        size::examine_new(map, only, &mut findings);
    }
    rights::examine(map, &mut findings);
    prefect::examine(map, &mut findings);
    let mut found = findings.found;
    found.sort_by_key(|finding| finding.severity);
    found
}

/// Collects findings.
struct Findings<'a> {
    found: Vec<Finding>,
    survey: &'a Survey,
}

impl Findings<'_> {
    /// Adds what is as it should be.
    fn good(&mut self, check: Check, subject: &str) {
        self.add(Severity::Good, check.code(), subject, check.good().to_owned());
    }

    /// Adds what is not as it should be; what mends it can be added to it.
    fn bad(&mut self, severity: Severity, check: Check, subject: &str, message: impl Into<String>) -> &mut Finding {
        let finding = self.add(severity, check.code(), subject, message.into());
        finding.consequence = Some(check.consequence().to_owned());
        finding
    }

    /// Adds what could not be seen, and why.
    fn unknown(&mut self, check: Check, subject: &str, why: impl Into<String>) {
        self.add(Severity::Unknown, check.code(), subject, why.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, subject: &str, message: String) -> &mut Finding {
        self.found.push(Finding { severity, code, subject: subject.to_owned(), message, consequence: None, remedies: Vec::new() });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Adds what could not be seen at all, once, whatever it would have been needed for.
    fn unseen(&mut self) {
        let survey = self.survey;
        let closed: Vec<&str> = survey.scaling.account.obstacle().into_iter().chain(survey.account_unknown.iter().map(String::as_str)).collect();
        for why in &closed {
            self.unknown(Check::RightsAccount, "AWS account", *why);
        }
        if closed.is_empty() && survey.scaling.account.value().is_some() {
            self.good(Check::RightsAccount, "AWS account");
        }
        let sightings = [
            (Check::GroupGrowth, "Cluster Autoscaler", survey.scaling.autoscaler.obstacle()),
            (Check::PoolExists, "Karpenter", survey.scaling.pools.obstacle()),
            (Check::PlacementLabels, "nodes", survey.nodes.obstacle()),
            (Check::PlacementFootprint, "daemon sets", survey.daemon_sets.obstacle()),
            (Check::RightsJobs, "you", survey.missing_rights.obstacle()),
            (Check::AdmissionRules, "admission policy", survey.rule_breaker.obstacle()),
        ];
        for (check, subject, obstacle) in sightings {
            if let Some(why) = obstacle {
                self.unknown(check, subject, why);
            }
        }
    }

    /// Returns an `aws` command for the region that was asked.
    fn aws(&self, command: &str) -> String {
        self.survey.region.as_ref().map_or_else(|| command.to_owned(), |region| format!("{command} --region {region}"))
    }
}

impl Finding {
    /// Adds what mends it.
    fn mended_by(&mut self, remedy: impl Into<String>) -> &mut Self {
        self.remedies.push(remedy.into());
        self
    }
}

#[cfg(test)]
mod tests;
