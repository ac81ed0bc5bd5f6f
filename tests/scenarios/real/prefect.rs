//! A real Prefect server, a real worker, and flows in real containers.

use serde_json::json;

use crate::common::{
    cluster::{eventually, real},
    prefect::prefect,
};

mod cloud;

/// The stand itself, without a word of sbrun: what the other scenarios build on.
#[test]
fn a_worker_runs_a_deployment_in_a_container() {
    let prefect = prefect();
    let namespace = real().namespace();
    namespace.map(&["small", "large"], "");
    let pool = prefect.sized_pool(&namespace, &["small", "large"]);
    let _worker = prefect.worker(&namespace, &pool);
    let deployment = prefect.deployment(&pool, "work", &json!({}));

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
