//! Runs of Prefect that do not run: each cause is brought about on a real Prefect server, its states by real workers or, as in its user
//! interface, by hand.

use std::time::Duration;

use serde_json::{Value, json};

use super::team;
use crate::common::{
    cluster::{Namespace, eventually, proves},
    prefect::prefect,
};

/// A namespace with a pool of its own, called as it is, and a deployment of it.
struct Team {
    namespace: Namespace,
    pool: String,
    deployment: String,
}

impl Team {
    fn new() -> Self {
        let (namespace, pool) = team();
        let deployment = prefect().deployment(&pool, "work", &json!({}));
        Self { namespace, pool, deployment }
    }

    /// Lets the server hear of a worker that never asks for runs: so no run is taken up.
    fn heartbeat(&self) {
        prefect().call("POST", &format!("/work_pools/{}/workers/heartbeat", self.pool), &json!({"name": "idle"}));
    }

    fn submit(&self, size: &str) -> String {
        let deployment = format!("work/{}", self.pool);
        let arguments = ["submit", "--deployment", &deployment, "-s", size, "-d", "-o", "name"];
        self.namespace.sandbox.command(arguments).exits(0).text().trim().to_owned()
    }

    /// Submits a run, lets a real worker make its Job and sees the Job end; simulated pods run no flow, so its state stays as it is.
    fn run_with_finished_job(&self) -> String {
        let run = self.submit("small");
        eventually("the Job's end", || self.namespace.objects("jobs").iter().any(|job| job["status"]["succeeded"] == 1));
        run
    }
}

/// Sets a state, as somebody may in the user interface.
fn set_state(run: &str, state: &Value) {
    prefect().call("POST", &format!("/flow_runs/{run}/set_state"), &json!({"state": state, "force": true}));
}

#[test]
fn a_run_that_a_worker_has_not_taken_up() {
    let team = Team::new();
    team.heartbeat();
    let run = team.submit("small");
    let story = team.namespace.why(&run, "Prefect.Scheduled");
    assert_eq!((&story["phase"], &story["prefect"]["work_pool"]), (&json!("pending"), &json!(team.pool)), "{story:#}");
    proves(&story, "Scheduled", "/runs/flow-run/");
}

#[test]
fn a_pool_that_is_paused() {
    let team = Team::new();
    team.heartbeat();
    prefect().call("PATCH", &format!("/work_pools/{}", team.pool), &json!({"is_paused": true}));
    let deployment = format!("work/{}", team.pool);
    let output = team.namespace.sandbox.command(["submit", "--deployment", &deployment, "-s", "small", "-d", "-o", "name"]).exits(0);
    let run = output.text().trim().to_owned();
    drop(output.says(&["paused"]));
    proves(&team.namespace.why(&run, "Prefect.PoolPaused"), "Scheduled", &format!("prefect work-pool resume {}", team.pool));
}

#[test]
fn a_pool_whose_worker_is_gone() {
    let team = Team::new();
    let run = team.submit("small");
    proves(&team.namespace.why(&run, "Prefect.NoWorker"), "Scheduled", "prefect worker start --pool");
}

#[test]
fn a_run_that_is_suspended() {
    let team = Team::new();
    team.heartbeat();
    let run = team.submit("small");
    set_state(&run, &json!({"type": "PAUSED", "name": "Suspended"}));
    proves(&team.namespace.why(&run, "Prefect.Paused"), "Suspended", "/runs/flow-run/");
}

#[test]
fn a_deployment_whose_runs_are_as_many_as_may_run() {
    let team = Team::new();
    prefect().call(
        "PATCH",
        &format!("/deployments/{}", team.deployment),
        &json!({"concurrency_limit": 1, "concurrency_options": {"collision_strategy": "ENQUEUE"}}),
    );
    let _worker = prefect().worker(&team.namespace, &team.pool);
    let first = team.submit("nowhere");
    prefect().until(&first, "InfrastructurePending");
    let second = team.submit("small");
    proves(&team.namespace.why(&second, "Prefect.ConcurrencyLimit"), "AwaitingConcurrencySlot", "/runs/flow-run/");
    team.namespace.sandbox.command(["cancel", &first, &second]).success();
}

#[test]
fn a_run_that_prefect_starts_again() {
    let team = Team::new();
    let worker = prefect().worker(&team.namespace, &team.pool);
    let run = team.run_with_finished_job();
    drop(worker);
    let later = jiff_in(Duration::from_secs(600));
    set_state(&run, &json!({"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": later}}));
    let story = team.namespace.why(&run, "Prefect.AwaitingRetry");
    assert_eq!((&story["phase"], &story["attempts"]), (&json!("pending"), &json!(1)), "{story:#}");
    // The process that was to start it is gone.
    prefect().call("PATCH", &format!("/flow_runs/{run}"), &json!({"empirical_policy": {"retry_type": "in_process"}}));
    let story = team.namespace.why(&run, "Lost.Stranded");
    assert_eq!((&story["outcome"], &story["exit_code"]), (&json!("lost"), &json!(75)), "{story:#}");
    proves(&story, "AwaitingRetry", &format!("sbrun rerun {run}"));
}

#[test]
fn a_process_that_ended_without_a_word_to_prefect() {
    let mut team = Team::new();
    let worker = prefect().worker(&team.namespace, &team.pool);
    let run = team.run_with_finished_job();
    drop(worker);
    let api = prefect().api();
    team.namespace.sandbox.set("PREFECT_API_URL", "http://127.0.0.1:1/api");
    let job = team.namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let report = team.namespace.sandbox.command(["wait", &job, "-o", "json"]).exits(76).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("unknown"), &json!("Unknown.Prefect")), "{report:#}");
    proves(&report, "127.0.0.1:1", "sbrun why");
    team.namespace.sandbox.set("PREFECT_API_URL", &api);
    let report = team.namespace.sandbox.command(["wait", &run, "-o", "json"]).exits(1).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("failed"), &json!("Flow.Crashed")), "{report:#}");
    assert_eq!(prefect().flow_run(&run)["state_type"], "FAILED", "sbrun closes what nobody else would");
    let listed = team.namespace.sandbox.command(["list", "-o", "json"]).exits(0).json();
    assert_eq!(listed["jobs"][0]["outcome"], "failed", "{listed:#}");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_happens() {
    let team = Team::new();
    let refused =
        |arguments: &[&str], words: &[&str]| drop(team.namespace.sandbox.command([&["submit", "-d"], arguments].concat()).exits(78).says(words));
    let deployment = format!("work/{}", team.pool);
    let typo = format!("wrk/{}", team.pool);
    refused(&["--deployment", &typo, "-s", "small"], &[&typo, &format!("did you mean `{deployment}`?")]);
    refused(&["--deployment", &deployment, "-s", "huge"], &["huge", "small"]);
    prefect().deployment(&team.pool, "stubborn", &json!({}));
    let pool = prefect().call("GET", &format!("/work_pools/{}", team.pool), &Value::Null);
    let mut template = pool["base_job_template"].clone();
    template["variables"]["properties"]["size"]["enum"] = json!(["small"]);
    prefect().call("PATCH", &format!("/work_pools/{}", team.pool), &json!({"base_job_template": template}));
    refused(&["--deployment", &deployment, "-s", "nowhere"], &["does not know the size `nowhere`", "sbrun prefect pool update"]);
    let keyed = ["submit", "-d", "-o", "name", "--key", "night-7", "--deployment", &deployment];
    let first = team.namespace.sandbox.command([&keyed[..], &["-s", "small"]].concat()).exits(0).text();
    assert_eq!(team.namespace.sandbox.command([&keyed[..], &["-s", "small"]].concat()).exits(0).text(), first, "one key, one run");
    drop(team.namespace.sandbox.command([&keyed[..], &["-s", "small", "-p", "seconds=9"]].concat()).exits(78).says(&["night-7", "parameters"]));
}

fn jiff_in(wait: Duration) -> String {
    (jiff::Timestamp::now() + wait).to_string()
}
