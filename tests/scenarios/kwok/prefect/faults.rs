//! A Prefect API that refuses, is overloaded, goes away and comes back, or is too old; a template that somebody broke. The server is the
//! real one; a door before it says what a server with a password, under load or of another version would (`tests/common/door.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::team;
use crate::common::{
    cluster::{Namespace, eventually},
    door::{Answer, Door},
    prefect::{POD_API, prefect},
    sandbox::{Output, Running},
};

/// The words of a real server with PREFECT_SERVER_API_AUTH_STRING, and of one whose database is locked.
const UNAUTHORIZED: &str = r#"{"exception_message":"Unauthorized"}"#;
const BUSY: &str = r#"{"exception_message":"Service Unavailable"}"#;

/// A namespace with a pool and a deployment of it, whose sandbox reaches the server through a door.
struct Team {
    namespace: Namespace,
    pool: String,
    deployment: String,
    door: Door,
}

impl Team {
    fn new() -> Self {
        let (mut namespace, pool) = team();
        prefect().deployment(&pool, "work", &json!({}));
        let door = Door::before(&prefect().host());
        namespace.sandbox.set("PREFECT_API_URL", door.api());
        namespace.sandbox.write("flow.py", "from prefect import flow\n\n@flow\ndef etl():\n    print('hello')\n");
        Self { deployment: format!("work/{pool}"), pool, namespace, door }
    }

    fn deployed<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["submit", "--deployment", &self.deployment, "-s", "small"], arguments].concat()
    }
}

#[test]
fn a_server_that_lets_nobody_in() {
    let team = Team::new();
    team.door.decide(|_| Answer::Instead(401, UNAUTHORIZED));
    let sandbox = &team.namespace.sandbox;
    drop(sandbox.command(team.deployed(&["-d"])).exits(77).says(&["does not let you in", "Unauthorized", "PREFECT_API_AUTH_STRING"]));
    let required = ["submit", "-s", "small", "--prefect", "required", "-d", "flow.py"];
    drop(sandbox.command(required).exits(77).says(&["Unauthorized"]));
    assert_eq!(team.namespace.objects("jobs"), Vec::<Value>::new(), "nothing was launched");
    // Tracked where that is possible: it is not, and the flow runs all the same.
    let output = sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(0).says(&["the flow is not tracked", "Unauthorized"]);
    assert_eq!(output.json()["prefect"], Value::Null, "{output}");
}

#[test]
fn a_server_under_load_makes_one_run_all_the_same() {
    let team = Team::new();
    let mut count = 0;
    team.door.decide(move |request| {
        count += 1;
        match request {
            // It was done, and the answer was lost: twice.
            _ if request.contains("create_flow_run") && count < 12 => Answer::After(503, BUSY),
            _ if count % 3 == 1 => Answer::Instead(503, BUSY),
            _ => Answer::Through,
        }
    });
    let run = team.namespace.sandbox.command(team.deployed(&["-d", "-o", "name"])).exits(0).text().trim().to_owned();
    let runs = prefect().runs_of(&team.pool);
    assert_eq!(runs.iter().map(|run| run["id"].as_str().unwrap()).collect::<Vec<_>>(), [run]);
}

#[test]
fn a_server_that_goes_away_and_comes_back_while_a_run_is_followed() {
    let team = Team::new();
    let worker = prefect().worker(&team.namespace, &team.pool);
    let mut follower = team.namespace.sandbox.start(["submit", "--deployment", &team.deployment, "-s", "nowhere", "-o", "json"]);
    eventually("the Job's pod", || !team.namespace.objects("pods").is_empty());
    follower.until("no node");
    team.door.shut();
    follower.until("sbrun keeps asking");
    team.door.open();
    follower.until("the Prefect API answers again");
    let run = prefect().runs_of(&team.pool).remove(0)["id"].as_str().unwrap().to_owned();
    team.namespace.sandbox.command(["cancel", &run]).success();
    let report = follower.finish().exits(143).json();
    assert_eq!((&report["outcome"], &report["prefect"]["state_type"]), (&json!("cancelled"), &json!("CANCELLED")), "{report:#}");
    drop(worker);
}

#[test]
fn a_template_that_somebody_broke_is_refused_before_there_is_a_run() {
    let team = Team::new();
    let path = format!("/work_pools/{}", team.pool);
    let edit = |pointer: &str, value: Value| {
        let mut template = prefect().call("GET", &path, &Value::Null)["base_job_template"].clone();
        *template.pointer_mut(&format!("/job_configuration/job_manifest/spec{pointer}")).unwrap() = value;
        prefect().call("PATCH", &path, &json!({"base_job_template": template}));
    };
    edit("/backoffLimit", json!(4));
    let submit = team.deployed(&["-d", "-o", "name"]);
    drop(team.namespace.sandbox.command(&submit).exits(0).says(&["Kubernetes and Prefect both retry"]));
    edit("/template/spec/completions", Value::Null);
    drop(team.namespace.sandbox.command(&submit).exits(78).says(&["broke the template", "`completions`", "--overwrite"]));
    assert_eq!(prefect().runs_of(&team.pool).len(), 1, "nothing was made of it");
    // It is as the real worker says.
    let deployment = prefect().call("GET", &format!("/deployments/name/{}", team.deployment), &Value::Null);
    let _worker = prefect().worker(&team.namespace, &team.pool);
    let run = prefect().run(deployment["id"].as_str().unwrap(), &json!({"job_variables": {"size": "small"}}));
    assert!(prefect().until(&run, "Crashed")["state"]["message"].as_str().unwrap().contains("completions"));
    let story = team.namespace.sandbox.command(["wait", &run, "-o", "json"]).exits(78).json();
    assert_eq!((&story["outcome"], &story["reason"]), (&json!("rejected"), &json!("Rejected.Admission")), "{story:#}");
}

#[test]
fn a_server_that_is_too_old_is_told_by_doctor() {
    let team = Team::new();
    team.door.decide(|request| if request.ends_with("/admin/version") { Answer::Instead(200, "\"2.20.9\"") } else { Answer::Through });
    let document = team.namespace.sandbox.command(["doctor", "-o", "json"]).json();
    let found = document["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "Prefect.Server").unwrap();
    assert_eq!(found["severity"], "warning", "{found:#}");
    assert!(found["message"].as_str().unwrap().contains("2.20.9") && found["message"].as_str().unwrap().contains("3.4"), "{found:#}");
}

#[test]
fn a_tracked_launch_that_comes_to_nothing_does_not_stay_pending() {
    let team = Team::new();
    let flow = format!("etl-{}", team.pool);
    team.namespace.sandbox.write("flow.py", format!("from prefect import flow\n\n@flow(name='{flow}')\ndef etl():\n    print('hello')\n"));
    let api = format!("PREFECT_API_URL={POD_API}");
    let submit =
        |more: &[&str]| team.namespace.sandbox.command([&["submit", "-s", "small", "--key", "night-7", "-o", "json"], more, &["flow.py"]].concat());
    let runs = || {
        let runs = prefect().call("POST", "/flow_runs/filter", &json!({"flows": {"name": {"any_": [&flow]}}}));
        runs.as_array().unwrap().iter().map(|run| run["state_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Under the key there is a Job of other content: of none of them a Job is made, and a run in Prefect was.
    drop(submit(&["--prefect", "off", "-d"]).exits(0));
    drop(submit(&["-d"]).exits(78).says(&["belongs to Job"]));
    assert_eq!(runs(), ["CRASHED"]);
    // The same content, and another run than that of the Job: it is attached to, and Prefect's run has nobody to run it.
    let other =
        |more: &[&str]| team.namespace.sandbox.command([&["submit", "-s", "small", "--key", "night-8", "-o", "json"], more, &["flow.py"]].concat());
    drop(other(&["--prefect", "off", "-e", &api, "-d"]).exits(0));
    drop(other(&["-d"]).exits(0).says(&["attached"]));
    assert_eq!(runs(), ["CRASHED", "CRASHED"]);
}

/// Decides that answers to requests like this come so late, and returns what says whether there was any.
fn late(door: &Door, request: &'static str, by: Duration) -> Arc<AtomicBool> {
    let heard = Arc::new(AtomicBool::new(false));
    let told = heard.clone();
    door.decide(move |asked| {
        if !asked.contains(request) {
            return Answer::Through;
        }
        told.store(true, Ordering::SeqCst);
        Answer::Late(by)
    });
    heard
}

/// Sends the signal as soon as Prefect has been asked, and returns how sbrun ended, within what a CI runner grants.
#[track_caller]
fn interrupted(running: Running, signal: Signal, heard: &AtomicBool) -> Output {
    eventually("Prefect was asked", || heard.load(Ordering::SeqCst));
    running.signal(signal);
    let start = Instant::now();
    let output = running.finish();
    assert!(start.elapsed() < Duration::from_millis(7500), "{:?}: {output}", start.elapsed());
    output
}

#[test]
fn a_signal_while_a_deployments_run_is_being_made() {
    let team = Team::new();
    let start = |then: &'static str, more: &[&str]| {
        let submit = team.deployed(&[&["--on-interrupt", then, "-o", "json"], more].concat()).into_iter().map(str::to_owned).collect::<Vec<_>>();
        team.namespace.sandbox.start(&submit)
    };
    let newest = || prefect().runs_of(&team.pool).pop().unwrap();
    // The answer comes in time: the run is known, and is left or ended as that was wanted.
    let heard = late(&team.door, "create_flow_run", Duration::from_secs(1));
    let output = interrupted(start("detach", &["--key", "left"]), Signal::SIGINT, &heard).exits(130).says(&["goes on"]);
    assert_eq!((&output.json()["outcome"], &output.json()["name"]), (&json!("detached"), &newest()["id"]), "{output}");
    assert_eq!(prefect().runs_of(&team.pool).len(), 1);
    for (key, more) in [("ended", vec![]), ("ended-detached", vec!["-d"])] {
        let heard = late(&team.door, "create_flow_run", Duration::from_secs(1));
        let output = interrupted(start("cancel", &[&["--key", key], more.as_slice()].concat()), Signal::SIGTERM, &heard).exits(143);
        assert_eq!(output.json()["outcome"], "cancelled", "{output}");
        let run = prefect().flow_run(output.json()["name"].as_str().unwrap());
        assert_eq!(run["state_type"], "CANCELLED", "{run:#}\n{output}");
    }
    // It does not: nobody can say whether there is a run.
    let heard = late(&team.door, "create_flow_run", Duration::from_secs(30));
    drop(interrupted(start("cancel", &["--key", "unsure"]), Signal::SIGTERM, &heard).exits(69).says(&["may or may not have been", "--key"]));
}

#[test]
fn a_signal_while_the_run_of_a_tracked_flow_is_being_made() {
    let team = Team::new();
    let flow = format!("etl-{}", team.pool);
    team.namespace.sandbox.write("flow.py", format!("from prefect import flow\n\n@flow(name='{flow}')\ndef etl():\n    print('hello')\n"));
    let start = |then: &str| team.namespace.sandbox.start(["submit", "-s", "nowhere", "--on-interrupt", then, "-o", "json", "flow.py"]);
    let states = || {
        let runs = prefect().call("POST", "/flow_runs/filter", &json!({"flows": {"name": {"any_": [&flow]}}}));
        runs.as_array().unwrap().iter().map(|run| run["state_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let heard = late(&team.door, "POST /api/flow_runs/", Duration::from_secs(1));
    let output = interrupted(start("cancel"), Signal::SIGTERM, &heard).exits(143).says(&["before Job"]);
    assert_eq!((&output.json()["outcome"], states()), (&json!("cancelled"), vec!["CANCELLED".to_owned()]), "{output}");
    assert_eq!(team.namespace.objects("jobs"), Vec::<Value>::new(), "nothing that could buy a machine");
    let heard = late(&team.door, "POST /api/flow_runs/", Duration::from_secs(30));
    drop(interrupted(start("cancel"), Signal::SIGTERM, &heard).exits(69).says(&["may or may not have been", "no Job was"]));
    assert_eq!(team.namespace.objects("jobs"), Vec::<Value>::new());
    // Whoever is only left goes on: the Job is made, and Prefect knows it.
    let heard = late(&team.door, "POST /api/flow_runs/", Duration::from_secs(1));
    let output = interrupted(start("detach"), Signal::SIGINT, &heard).exits(130).says(&["goes on"]);
    let jobs = team.namespace.objects("jobs");
    assert_eq!((jobs.len(), &jobs[0]["metadata"]["name"]), (1, &output.json()["name"]), "{output}");
}
