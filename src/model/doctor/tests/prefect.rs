use serde_json::json;

use super::*;
use crate::model::prefect::{
    flow_run::Worker,
    pool::{
        Choices, OnReclaim,
        live::{LiveBlock, LivePool},
        plan,
    },
};

const PREFECT: &str = "prefect: {api_url: 'http://prefect.prefect:4200/api', api_key_secret: prefect-api-key, work_pool: flows}\n";

fn mk_map() -> InstanceMap {
    map(&format!("{MAP}{PREFECT}"))
}

fn mk_pool(map: &InstanceMap, on_reclaim: OnReclaim) -> LivePool {
    let choices = Choices { default_size: None, on_reclaim };
    let plan = plan(map, "flows", "flows", &choices).expect("a pool");
    let block = LiveBlock { id: "1".into(), sizes: plan.sizes, written: Some(plan.template.clone()) };
    LivePool { kind: "kubernetes".into(), template: plan.template, block: Some(block) }
}

fn mk_prefect() -> PrefectSurvey {
    PrefectSurvey {
        api_url: "http://prefect.example/api".into(),
        version: seen("3.8.8".into()),
        pool: seen(mk_pool(&mk_map(), OnReclaim::Crash)),
        workers: seen(vec![Worker { name: "w".into(), is_online: true, last_heartbeat: None }]),
        is_paused: false,
        secret_entries: seen(vec!["auth-string".into()]),
        missing_rights: seen(Vec::new()),
        account: "flows/prefect-worker".into(),
    }
}

/// A map and a set-up with Prefect in which all is well.
pub(super) fn mk_joined() -> (InstanceMap, Survey) {
    (mk_map(), Survey { prefect: Some(mk_prefect()), ..mk_survey() })
}

/// Returns what is not well when Prefect is changed like this.
fn changed(change: impl FnOnce(&mut PrefectSurvey)) -> Vec<String> {
    let mut prefect = mk_prefect();
    change(&mut prefect);
    problems(&mk_map(), &Survey { prefect: Some(prefect), ..mk_survey() })
}

fn changed_pool(change: impl FnOnce(&mut LivePool)) -> Vec<String> {
    changed(|prefect| {
        let mut pool = mk_pool(&mk_map(), OnReclaim::Crash);
        change(&mut pool);
        prefect.pool = seen(pool);
    })
}

#[test]
fn an_old_server_and_a_missing_worker_are_told() {
    assert_eq!(
        changed(|prefect| prefect.version = seen("3.1.0".into())),
        ["warning Prefect.Server Prefect server: its version is 3.1.0, older than 3.4"]
    );
    assert_eq!(changed(|prefect| prefect.workers = seen(Vec::new())), ["error Prefect.Worker work pool flows: it has never had a worker"]);
    let offline = |prefect: &mut PrefectSurvey| prefect.workers = seen(vec![Worker { name: "w".into(), ..Worker::default() }]);
    assert_eq!(changed(offline), ["error Prefect.Worker work pool flows: none of its workers is online: `w`"]);
    assert_eq!(changed(|prefect| prefect.is_paused = true), ["warning Prefect.Worker work pool flows: it is paused"]);
    let right = MissingRight { right: access::WORKER[0], namespace: Some("flows".into()), verbs: vec!["create", "delete"], needed: true };
    let words = "Prefect.Rights ServiceAccount flows/prefect-worker: it may not create/delete `jobs`";
    assert_eq!(
        changed(|prefect| prefect.missing_rights = seen(vec![right.clone()])),
        [format!("warning {words}")],
        "another account's worker is online"
    );
    let without_worker = changed(|prefect| {
        prefect.missing_rights = seen(vec![right]);
        prefect.workers = seen(Vec::new());
    });
    assert_eq!(without_worker[0], format!("error {words}"));
}

#[test]
fn a_pool_that_is_not_the_map_is_told() {
    let absent = |prefect: &mut PrefectSurvey| prefect.pool = Sighting::Absent { at: Timestamp::UNIX_EPOCH };
    assert_eq!(changed(absent), ["error Prefect.Pool work pool flows: there is no such pool at http://prefect.example/api"]);
    let edited = |pool: &mut LivePool| pool.template["job_configuration"]["job_manifest"]["spec"]["backoffLimit"] = json!(3);
    let found = changed_pool(edited);
    assert!(found.len() == 2 && found[0].starts_with("error Prefect.Pool") && found[1].starts_with("error Prefect.Template"), "{found:#?}");
    let harmless =
        |pool: &mut LivePool| pool.template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["priorityClassName"] = json!("x");
    assert_eq!(changed_pool(harmless), Vec::<String>::new(), "an edit that stays is no fault");
    let lost = changed_pool(|pool| pool.block = None);
    assert_eq!(lost, ["error Prefect.Pool work pool flows: nothing says what `xlarge` of it come to: every run of them would crash"]);
    let other_kind = changed_pool(|pool| pool.kind = "process".into());
    assert!(other_kind[0].contains("is of type `process`"), "{other_kind:#?}");
    // The map has a size more.
    let bigger = map(&format!(
        "{MAP}  small: {{node_group: flows-xlarge, instance_type: m5.xlarge, node_selector: {{workload: xl}}, tolerations: []}}\n{PREFECT}"
    ));
    let found = examine(&bigger, None, &Survey { prefect: Some(mk_prefect()), ..mk_survey() });
    let pool = found.iter().find(|finding| finding.code == Check::PrefectPool.code()).expect("a finding");
    assert_eq!((pool.severity, pool.message.as_str()), (Severity::Warning, "it does not offer `small`"));
}

#[test]
fn hidden_retries_and_the_choice_of_a_reclaim_are_told() {
    let retried = |pool: &mut LivePool| pool.template["variables"]["properties"]["env"]["default"]["PREFECT_FLOWS_DEFAULT_RETRIES"] = json!("3");
    assert_eq!(changed_pool(retried), ["warning Prefect.Retries work pool flows: the environment of its runs has PREFECT_FLOWS_DEFAULT_RETRIES=3"]);
    for (on_reclaim, words) in [(OnReclaim::Crash, "is Crashed"), (OnReclaim::Reschedule, "however often")] {
        let prefect = PrefectSurvey { pool: seen(mk_pool(&mk_map(), on_reclaim)), ..mk_prefect() };
        let found = examine(&mk_map(), None, &Survey { prefect: Some(prefect), ..mk_survey() });
        let finding = found.iter().find(|finding| finding.code == Check::PrefectReclaim.code()).expect("a finding");
        assert!(finding.severity == Severity::Good && finding.message.contains(words), "{finding:?}");
    }
    let odd = |pool: &mut LivePool| {
        pool.template["variables"]["properties"]["env"]["default"]["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] = json!("relinquish");
    };
    let found = changed_pool(odd);
    assert!(found.iter().any(|finding| finding.starts_with("warning Prefect.Reclaim")), "{found:#?}");
}

#[test]
fn what_a_pod_needs_to_reach_the_server_is_told() {
    assert_eq!(
        changed(|prefect| prefect.secret_entries = Sighting::Absent { at: Timestamp::UNIX_EPOCH }),
        ["error Prefect.Access instance map: there is no Secret `prefect-api-key` in namespace `flows`"]
    );
    assert_eq!(
        changed(|prefect| prefect.secret_entries = seen(vec!["key".into()])),
        ["error Prefect.Access instance map: Secret `prefect-api-key` has no entry `auth-string`, from which a run takes PREFECT_API_AUTH_STRING"]
    );
    let of = |prefect: &str| {
        let found = examine(&map(&format!("{MAP}{prefect}")), None, &Survey { prefect: Some(mk_prefect()), ..mk_survey() });
        let access = found.into_iter().filter(|finding| finding.code == Check::PrefectAccess.code());
        access.map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
    };
    assert!(of("prefect: {api_url: 'http://localhost:4200/api'}\n")[0].1.contains("leads a pod to itself"));
    assert_eq!(of("prefect: {work_pool: flows}\n")[0].0, Severity::Warning);
    assert_eq!(of(""), [], "a map without Prefect is not asked");
}

#[test]
fn what_could_not_be_seen_of_prefect_is_unknown() {
    let unseen = || Sighting::Unseen("it does not answer".to_owned());
    let prefect = PrefectSurvey { version: unseen(), missing_rights: Sighting::Unseen("no right".into()), ..PrefectSurvey::default() };
    let found = examine(&mk_map(), None, &Survey { prefect: Some(prefect), ..Survey::default() });
    let of_prefect: Vec<(Severity, &str)> =
        found.iter().filter(|finding| finding.code.starts_with("Prefect.")).map(|finding| (finding.severity, finding.code)).collect();
    assert_eq!(of_prefect, [(Severity::Unknown, "Prefect.Server"), (Severity::Unknown, "Prefect.Rights")]);
}
