//! The cloud account, watched beside the cluster: it may be slow, closed or throttled, and must not hold up the job.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    aws::Account,
    environment::Environment,
    model::{
        evidence::{Evidence, JobRecord},
        identity::SizeName,
        instance_map::InstanceMap,
        node_group::{AccountGroup, Sighting},
    },
};

/// How often to ask: the limits of the Auto Scaling API are shared by everybody in the account.
const INTERVAL: Duration = Duration::from_secs(6);
/// How far before the job's creation activities may matter: clocks differ, and a machine may have been ordered for a job before it.
const BEFORE: SignedDuration = SignedDuration::from_mins(10);

type Answer = (Sighting<Vec<AccountGroup>>, Vec<String>);

/// The node groups of one job in the cloud account.
#[derive(Debug)]
pub(super) struct AccountWatch {
    account: Account,
    names: Vec<String>,
    since: Timestamp,
    asked: Option<Instant>,
    question: Option<JoinHandle<Answer>>,
}

impl AccountWatch {
    /// Returns a watch on the node groups of a job's size: those that its plan names, else, as a worker's Job records none, those that
    /// `map` gives its size. Nothing when there are none.
    pub(super) fn of(job: &JobRecord, map: Option<&InstanceMap>, environment: &Environment) -> Option<Self> {
        let by_size = || {
            let map = map?;
            map.size(&SizeName(job.size.clone()?)).ok().map(|size| map.placement(size))
        };
        let placement = job.plan.as_ref().map(|plan| plan.placement.clone()).or_else(by_size)?;
        let names = placement.node_groups.clone();
        let since = job.created?.checked_sub(BEFORE).ok()?;
        let account = Account::connect(placement.region.as_deref(), placement.cluster.as_deref(), environment);
        (!names.is_empty()).then_some(Self { account, names, since, asked: None, question: None })
    }

    /// Asks again, when it is time.
    pub(super) fn ask(&mut self) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= INTERVAL) {
            self.ask_now();
        }
    }

    /// Asks again, unless an answer is on its way.
    pub(super) fn ask_now(&mut self) {
        if self.question.is_none() {
            let (account, names, since) = (self.account.clone(), self.names.clone(), self.since);
            self.asked = Some(Instant::now());
            self.question = Some(tokio::spawn(async move { account.observe(&names, since).await }));
        }
    }

    /// Adds to `evidence` what the account has answered, waiting for the answer as long as `patience`.
    pub(super) async fn hear(&mut self, evidence: &mut Evidence, patience: Duration) {
        let Some(question) = &mut self.question else { return };
        let Ok(answer) = tokio::time::timeout(patience, question).await else { return };
        self.question = None;
        let Ok((groups, unknown)) = answer else { return };
        // What was seen stays until something newer is: a throttled question is no news.
        if groups.value().is_some() || evidence.scaling.account.value().is_none() {
            evidence.scaling.account = groups;
        }
        for sentence in unknown {
            if !evidence.unknown.contains(&sentence) {
                evidence.unknown.push(sentence);
            }
        }
    }
}

impl Drop for AccountWatch {
    fn drop(&mut self) {
        if let Some(question) = &self.question {
            question.abort();
        }
    }
}
