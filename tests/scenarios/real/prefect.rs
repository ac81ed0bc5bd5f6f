//! A real Prefect server, a real worker, and flows in real containers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, real},
    prefect::{Worker, prefect},
    sandbox::Output,
};

mod again;
mod cloud;
mod pool;
mod tracked;

/// Returns a namespace of a team and its pool: n1 is of both its sizes, `small` with what a flow needs and `large` with more than twice of it.
fn two_sizes() -> (Namespace, String) {
    let mut namespace = real().namespace();
    namespace.map(&["small", "large"], "");
    let map = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    let (before, large) = map.split_once("  large:").unwrap();
    let large = large.replace("memory: 128Mi", "memory: 1200Mi").replace("sbrun.dev/size: large", "sbrun.dev/size: small");
    namespace.sandbox.write("instance-map.yaml", format!("{before}  large:{large}"));
    let pool = prefect().team(&mut namespace, "reschedule");
    (namespace, pool)
}

/// A namespace of a team: a work pool that sbrun made of the map, with sizes `small`, which n1 is of, and `large`, of which there is no
/// machine; and a deployment of the flow `work`.
struct Team {
    namespace: Namespace,
    /// Names the deployment on the command line.
    deployment: String,
    pool: String,
}

impl Team {
    fn new() -> Self {
        let mut namespace = real().namespace();
        namespace.map(&["small", "large"], "");
        let pool = prefect().team(&mut namespace, "reschedule");
        prefect().deployment(&pool, "work", &json!({}));
        Self { deployment: format!("work/{pool}"), pool, namespace }
    }

    fn with_worker() -> (Self, Worker) {
        let team = Self::new();
        let worker = prefect().worker(&team.namespace, &team.pool);
        (team, worker)
    }

    fn submit(&self, arguments: &[&str]) -> Output {
        self.namespace.sandbox.command([&["submit", "--deployment", &self.deployment], arguments].concat())
    }

    /// Creates a run and returns its id.
    fn detach(&self, arguments: &[&str]) -> String {
        self.submit(&[&["--detach", "-o", "name"], arguments].concat()).exits(0).text().trim().to_owned()
    }

    /// Asserts that Prefect and sbrun agree on how a run ended, and that nothing of it is left to run; returns what `why` says.
    #[track_caller]
    fn agree(&self, run: &str, state: &str, outcome: &str, reason: &str) -> Value {
        assert_eq!(prefect().flow_run(run)["state_type"], json!(state), "{:?}", prefect().states(run));
        let story = self.namespace.sandbox.command(["why", run, "-o", "json"]).exits(0).json();
        assert_eq!((&story["outcome"], &story["reason"]), (&json!(outcome), &json!(reason)), "{story:#}");
        eventually("the end of Job and pod", || {
            let is_over =
                |job: &Value| job["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|condition| condition["status"] == "True"));
            self.namespace.objects("jobs").iter().all(is_over) && self.namespace.objects("pods").iter().all(|pod| pod["status"]["phase"] != "Running")
        });
        story
    }
}

/// The stand itself, without a word of sbrun: what the other scenarios build on.
#[test]
fn a_worker_runs_a_deployment_in_a_container() {
    let prefect = prefect();
    let namespace = real().namespace();
    namespace.map(&["small", "large"], "");
    let pool = prefect.sized_pool(&namespace, &["small", "large"]);
    let _worker = prefect.worker(&namespace, &pool);
    // Without requests it would get no processor time beside pods that have some.
    let deployment = prefect.deployment(&pool, "work", &json!({"cpu_request": "100m", "memory_request": "512Mi"}));

    let run = prefect.run(&deployment, &json!({"parameters": {"seconds": 1}}));
    let ended = prefect.until(&run, "Completed");

    let jobs = namespace.objects("jobs");
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    assert_eq!(ended["infrastructure_pid"], json!(format!("{}:{}", namespace.name, jobs[0]["metadata"]["name"].as_str().unwrap())));
    assert_eq!(jobs[0]["metadata"]["labels"]["prefect.io/flow-run-id"], json!(run));
    let pods = namespace.objects("pods");
    assert_eq!(pods[0]["spec"]["nodeSelector"], json!({"sbrun.dev/size": "small"}), "{pods:#?}");
    eventually("the Job's end", || namespace.objects("jobs")[0]["status"]["succeeded"] == 1);
    eventually("the log", || prefect.log(&run).iter().any(|line| line.starts_with("done on ")));

    let refused = prefect.ask("POST", &format!("/deployments/{deployment}/create_flow_run"), &json!({"job_variables": {"size": "huge"}}));
    assert!(refused.0 == 422 && refused.1.to_string().contains("'huge' is not one of"), "{refused:?}");
}

#[test]
fn a_run_of_a_deployment_is_followed_to_its_end() {
    let (team, _worker) = Team::with_worker();
    let output = team.submit(&["-s", "small", "-p", "seconds=2"]).exits(0);
    assert!(output.text().contains("started on ") && output.text().contains("done on "), "{output}");
    let run = prefect().runs_of(&team.pool).remove(0);
    assert_eq!(run["job_variables"]["size"], "small", "{run:#}");
    team.agree(run["id"].as_str().unwrap(), "COMPLETED", "succeeded", "Flow.Succeeded");
    assert_eq!(team.namespace.objects("jobs").len(), 1);
    let pod = &team.namespace.objects("pods")[0];
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["memory"], "512Mi", "{pod:#}");
}

#[test]
fn a_failed_run_is_told_by_its_state_though_its_job_is_complete() {
    let (team, _worker) = Team::with_worker();
    let report = team.submit(&["-s", "small", "-p", "fail=true", "-o", "json"]).exits(1).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("failed"), &json!("Flow.Failed")), "{report:#}");
    let run = prefect().runs_of(&team.pool).remove(0);
    let story = team.agree(run["id"].as_str().unwrap(), "FAILED", "failed", "Flow.Failed");
    assert!(story["summary"].as_str().unwrap().contains("the numbers do not add up"), "{story:#}");
    let job = &team.namespace.objects("jobs")[0];
    assert_eq!(job["status"]["succeeded"], 1, "its process exits with 0: {job:#}");
}

#[test]
fn a_run_that_waits_for_a_machine_is_cancelled_at_once() {
    let (team, _worker) = Team::with_worker();
    let run = team.detach(&["-s", "large"]);
    prefect().until(&run, "InfrastructurePending");
    assert_eq!(team.namespace.objects("pods").len(), 1);

    let began = Instant::now();
    team.namespace.sandbox.command(["cancel", &run, "-m", "not today"]).success();
    eventually("the end of Job and pod", || team.namespace.objects("jobs").is_empty() && team.namespace.objects("pods").is_empty());
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    std::thread::sleep(Duration::from_secs(4)); // the worker would have made another Job by then
    assert!(team.namespace.objects("jobs").is_empty(), "{:?}", prefect().states(&run));
    team.agree(&run, "CANCELLED", "cancelled", "Cancelled.ByUser");
    assert!(prefect().flow_run(&run)["state"]["message"].as_str().unwrap().contains("not today"));
}

#[test]
fn a_running_run_is_cancelled_by_its_own_process() {
    let (team, _worker) = Team::with_worker();
    let mut follower = team.namespace.sandbox.start(["submit", "--deployment", &team.deployment, "-s", "small", "-p", "seconds=300"]);
    follower.until("step 1 on ");
    let run = prefect().runs_of(&team.pool).remove(0)["id"].as_str().unwrap().to_owned();
    team.namespace.sandbox.command(["cancel", &run]).success();
    drop(follower.finish().exits(143).says(&["cancelled"]));
    team.agree(&run, "CANCELLED", "cancelled", "Cancelled.ByUser");
}

#[test]
fn a_run_beyond_its_memory_is_told_by_its_pod() {
    let (team, _worker) = Team::with_worker();
    let report = team.submit(&["-s", "small", "-p", "memory_mib=700", "-o", "json"]).exits(137).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("out_of_memory"), &json!("Flow.OutOfMemory")), "{report:#}");
    let run = prefect().runs_of(&team.pool).remove(0)["id"].as_str().unwrap().to_owned();
    team.agree(&run, "CRASHED", "out_of_memory", "Flow.OutOfMemory");
}

#[test]
fn a_missing_worker_is_said_at_once() {
    let team = Team::new();
    let output = team.submit(&["-s", "small", "--detach", "-o", "name"]).exits(0).says(&["no worker", &team.pool]);
    assert!(output.took < Duration::from_secs(3), "{output}");
    let run = output.text().trim().to_owned();
    let story = team.namespace.sandbox.command(["why", &run, "-o", "json"]).exits(0).json();
    assert_eq!(story["reason"], "Prefect.NoWorker", "{story:#}");
    team.namespace.sandbox.command(["cancel", &run]).success();
    team.agree(&run, "CANCELLED", "cancelled", "Cancelled.ByUser");
}
