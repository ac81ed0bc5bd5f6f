//! The Prefect server, the work pool of the map and its worker.

use super::{Check, Findings, MissingRight, Severity};
use crate::model::{
    instance_map::{InstanceMap, Prefect},
    node_group::Sighting,
    prefect::{
        flow_run::Worker,
        pool::{
            self, OnReclaim, broken, hidden_retries,
            live::{Edits, LivePool},
            reading,
        },
    },
    suggestion::listed,
};

/// The oldest server whose API sbrun knows.
const OLDEST: [u64; 2] = [3, 4];

/// What is seen of Prefect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrefectSurvey {
    /// Address of the API, as seen from here.
    pub api_url: String,
    /// Version of the server.
    pub version: Sighting<String>,
    /// The map's work pool.
    pub pool: Sighting<LivePool>,
    /// The workers of the pool.
    pub workers: Sighting<Vec<Worker>>,
    /// Whether somebody paused the pool.
    pub is_paused: bool,
    /// The entries of the Secret that the map names; absent when there is no such Secret.
    pub secret_entries: Sighting<Vec<String>>,
    /// What the worker's ServiceAccount may not do of what it has to.
    pub missing_rights: Sighting<Vec<MissingRight>>,
    /// The ServiceAccount that was asked about: `namespace/name`.
    pub account: String,
}

pub(super) fn examine(map: &InstanceMap, findings: &mut Findings<'_>) {
    let Some(prefect) = &findings.survey.prefect else { return };
    server(prefect, findings);
    if map.prefect == Prefect::default() {
        return; // it is only this machine that knows a server
    }
    access(map, prefect, findings);
    rights(prefect, findings);
    let Some(name) = map.prefect.work_pool.as_ref().map(|pool| pool.value.as_str()) else { return };
    let subject = format!("work pool {name}");
    match &prefect.pool {
        Sighting::NotAsked => {}
        Sighting::Unseen(why) => findings.unknown(Check::PrefectPool, &subject, why),
        Sighting::Absent { .. } => {
            findings
                .bad(Severity::Error, Check::PrefectPool, &subject, format!("there is no such pool at {}", prefect.api_url))
                .mended_by(format!("sbrun prefect pool create {name} --on-reclaim crash"))
                .mended_by("or correct `prefect.work_pool` in the map");
        }
        Sighting::Seen { value, .. } => {
            drift(map, name, value, &subject, findings);
            template(name, value, &subject, findings);
            workers(prefect, name, &subject, findings);
        }
    }
}

fn server(prefect: &PrefectSurvey, findings: &mut Findings<'_>) {
    let subject = "Prefect server";
    match &prefect.version {
        Sighting::Seen { value, .. } => {
            let mut parts = value.split('.').map(|part| part.parse::<u64>().ok());
            match (parts.next().flatten(), parts.next().flatten()) {
                (Some(major), Some(minor)) if [major, minor] >= OLDEST => findings.good(Check::PrefectServer, subject),
                _ => {
                    let [major, minor] = OLDEST;
                    let message = format!("its version is {value}, older than {major}.{minor}");
                    findings.bad(Severity::Warning, Check::PrefectServer, subject, message).mended_by("upgrade the server, then its workers");
                }
            }
        }
        Sighting::Unseen(why) => findings.unknown(Check::PrefectServer, subject, why),
        Sighting::NotAsked | Sighting::Absent { .. } => {}
    }
}

/// How a pod reaches the server.
fn access(map: &InstanceMap, prefect: &PrefectSurvey, findings: &mut Findings<'_>) {
    let subject = "instance map";
    let Some(url) = &map.prefect.api_url else {
        findings
            .bad(Severity::Warning, Check::PrefectAccess, subject, "it does not say where a pod finds the Prefect server")
            .mended_by("write under `prefect`: api_url: http://prefect.prefect:4200/api, the address within the cluster");
        return;
    };
    if pool::is_loopback(&url.value) {
        findings
            .bad(Severity::Error, Check::PrefectAccess, subject, format!("`prefect.api_url` is {}, which leads a pod to itself", url.value))
            .mended_by("write the address within the cluster, such as http://prefect.prefect:4200/api");
        return;
    }
    let Some((variable, reference)) = pool::credential(&map.prefect) else { return findings.good(Check::PrefectAccess, subject) };
    let (secret, key) = (reference["name"].as_str().unwrap_or_default(), reference["key"].as_str().unwrap_or_default());
    let namespace = &findings.survey.namespace;
    let command = format!("kubectl -n {namespace} create secret generic {secret} --from-literal={key}=\"${variable}\"");
    match &prefect.secret_entries {
        Sighting::Absent { .. } => {
            let message = format!("there is no Secret `{secret}` in namespace `{namespace}`");
            findings.bad(Severity::Error, Check::PrefectAccess, subject, message).mended_by(command);
        }
        Sighting::Seen { value, .. } if !value.iter().any(|entry| entry == key) => {
            let message = format!("Secret `{secret}` has no entry `{key}`, from which a run takes {variable}");
            findings.bad(Severity::Error, Check::PrefectAccess, subject, message).mended_by(command);
        }
        Sighting::Seen { .. } => findings.good(Check::PrefectAccess, subject),
        Sighting::Unseen(why) => findings.unknown(Check::PrefectAccess, subject, why),
        Sighting::NotAsked => {}
    }
}

/// The pool against the map.
fn drift(map: &InstanceMap, name: &str, live: &LivePool, subject: &str, findings: &mut Findings<'_>) {
    if let Some(words) = pool::live::wrong_kind(name, live) {
        findings.bad(Severity::Error, Check::PrefectPool, subject, words).mended_by("name another pool under `prefect.work_pool`");
        return;
    }
    // Without a word for it the pool is none of sbrun's; how it differs does not depend on it.
    let choices = live.chosen(None, None).or_else(|| live.chosen(None, Some(OnReclaim::Reschedule)));
    let Some(choices) = choices else { return };
    let namespace = map.cluster.namespace.as_ref().map_or(findings.survey.namespace.as_str(), |namespace| namespace.value.as_str());
    let update = match pool::plan(map, name, namespace, &choices) {
        Ok(plan) => live.update(&plan, Edits::Kept),
        Err(problems) => {
            let message = format!("the map cannot become a work pool: {}", problems.join("; "));
            findings.bad(Severity::Error, Check::PrefectPool, subject, message).mended_by("correct the map");
            return;
        }
    };
    let look = format!("sbrun prefect pool diff {name}");
    let unknown = live.unknown_sizes();
    if !unknown.is_empty() {
        let message = format!("nothing says what {} of it come to: every run of them would crash", listed(unknown));
        findings.bad(Severity::Error, Check::PrefectPool, subject, message).mended_by(format!("sbrun prefect pool update {name}"));
    } else if !update.conflicts.is_empty() {
        let message = format!("its template was edited at odds with the map: {}", pool::live::paths(&update.conflicts));
        findings
            .bad(Severity::Error, Check::PrefectPool, subject, message)
            .mended_by(look)
            .mended_by(format!("sbrun prefect pool update {name} --overwrite"));
    } else if update.is_empty() {
        findings.good(Check::PrefectPool, subject);
    } else {
        let offered = reading::sizes(&live.template);
        let missing: Vec<&str> = map.sizes.iter().map(|size| size.name.0.as_str()).filter(|size| !offered.contains(size)).collect();
        let message = if missing.is_empty() { "it is not what the map says".to_owned() } else { format!("it does not offer {}", listed(missing)) };
        findings.bad(Severity::Warning, Check::PrefectPool, subject, message).mended_by(look).mended_by(format!("sbrun prefect pool update {name}"));
    }
}

/// The pool's template by itself.
fn template(name: &str, live: &LivePool, subject: &str, findings: &mut Findings<'_>) {
    let mend = format!("sbrun prefect pool update {name} --overwrite");
    let problems = broken(&live.template);
    if problems.is_empty() {
        findings.good(Check::PrefectTemplate, subject);
    }
    for problem in problems {
        findings.bad(Severity::Error, Check::PrefectTemplate, subject, problem).mended_by(&mend);
    }
    match reading::on_reclaim(&live.template) {
        None => {
            findings
                .bad(Severity::Warning, Check::PrefectReclaim, subject, "nothing in it says what becomes of a run whose machine is taken away")
                .mended_by(format!("sbrun prefect pool update {name} --on-reclaim reschedule, or crash"));
        }
        Some(reclaim) => {
            let words = match reclaim {
                OnReclaim::Reschedule => "a run whose machine is taken away is started again, however often that happens",
                OnReclaim::Crash => "a run whose machine is taken away is Crashed, and stays so",
            };
            findings.add(Severity::Good, Check::PrefectReclaim.code(), subject, words.to_owned());
        }
    }
    let hidden = hidden_retries(live);
    if hidden.is_empty() {
        findings.good(Check::PrefectRetries, subject);
    }
    for setting in hidden {
        findings
            .bad(Severity::Warning, Check::PrefectRetries, subject, format!("the environment of its runs has {setting}"))
            .mended_by("take the variable out of map and pool, and write `retries` where a flow bears it: @flow(retries=…)");
    }
}

fn workers(prefect: &PrefectSurvey, name: &str, subject: &str, findings: &mut Findings<'_>) {
    let look = format!("kubectl -n {} get pods -l app.kubernetes.io/name=prefect-worker, where there should be one", findings.survey.namespace);
    if prefect.is_paused {
        let finding = findings.bad(Severity::Warning, Check::PrefectWorker, subject, "it is paused");
        finding.mended_by(format!("prefect work-pool resume {name}"));
        return;
    }
    match &prefect.workers {
        Sighting::Seen { value, .. } if value.iter().any(|worker| worker.is_online) => findings.good(Check::PrefectWorker, subject),
        Sighting::Seen { value, .. } => {
            let known: Vec<&str> = value.iter().map(|worker| worker.name.as_str()).collect();
            let message =
                if known.is_empty() { "it has never had a worker".to_owned() } else { format!("none of its workers is online: {}", listed(known)) };
            findings
                .bad(Severity::Error, Check::PrefectWorker, subject, message)
                .mended_by("sbrun setup worker --apply, which makes one in the cluster")
                .mended_by(look);
        }
        Sighting::Unseen(why) => findings.unknown(Check::PrefectWorker, subject, why),
        Sighting::NotAsked | Sighting::Absent { .. } => {}
    }
}

fn rights(prefect: &PrefectSurvey, findings: &mut Findings<'_>) {
    let subject = format!("ServiceAccount {}", prefect.account);
    match &prefect.missing_rights {
        Sighting::Seen { value, .. } if value.is_empty() => findings.good(Check::PrefectRights, &subject),
        Sighting::Seen { value, .. } => {
            let one = |missing: &MissingRight| format!("{} `{}`", missing.verbs.join("/"), missing.right.resource);
            let message = format!("it may not {}", value.iter().map(one).collect::<Vec<_>>().join(", "));
            // Where a worker is at work all the same, it is another account's.
            let works = prefect.workers.value().is_some_and(|workers| workers.iter().any(|worker| worker.is_online));
            let severity = if works { Severity::Warning } else { Severity::Error };
            findings
                .bad(severity, Check::PrefectRights, &subject, message)
                .mended_by("sbrun setup access --apply, with `--worker-service-account` if its worker has another one");
        }
        Sighting::Unseen(why) => findings.unknown(Check::PrefectRights, &subject, why),
        Sighting::NotAsked | Sighting::Absent { .. } => {}
    }
}
