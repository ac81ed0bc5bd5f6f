//! What a pool says of a run whose machine is taken away, in real containers.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, real},
    prefect::{Worker, prefect},
};

/// Returns a namespace with a worker, and a run in it that is at work in its pod.
fn running(on_reclaim: &str) -> (Namespace, Worker, String) {
    let mut namespace = real().namespace();
    namespace.map(&["small"], "");
    let pool = prefect().team(&mut namespace, on_reclaim);
    let worker = prefect().worker(&namespace, &pool);
    let deployment = prefect().deployment(&pool, "work", &json!({}));
    let run = prefect().run(&deployment, &json!({"parameters": {"seconds": 20}, "job_variables": {"size": "small"}}));
    prefect().until(&run, "Running");
    (namespace, worker, run)
}

/// Takes the pod away as a drained node does.
fn evict(namespace: &Namespace) {
    let pod = namespace.objects("pods").remove(0)["metadata"]["name"].as_str().unwrap().to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace.name}});
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.name);
    let done = namespace.cluster.kubectl(&["create", "--raw", &path, "-f", "-"], Some(&eviction.to_string()));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn with_crash_a_run_ends_with_its_machine() {
    let (namespace, _worker, run) = running("crash");
    evict(&namespace);
    eventually("the run to be Crashed", || prefect().flow_run(&run)["state_name"] == "Crashed");
    eventually("the Job to have failed", || {
        let job = namespace.objects("jobs").remove(0);
        job["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|one| one["type"] == "Failed" && one["reason"] == "PodFailurePolicy"))
    });
    // Longer than a worker takes to look for runs.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(
        (prefect().flow_run(&run)["state_name"].clone(), namespace.objects("jobs").len()),
        (json!("Crashed"), 1),
        "{:?}",
        prefect().states(&run)
    );
}

#[test]
fn with_reschedule_it_is_started_again_once() {
    let (namespace, _worker, run) = running("reschedule");
    evict(&namespace);
    prefect().until(&run, "AwaitingRetry");
    prefect().until(&run, "Completed");
    let jobs: Vec<Value> = namespace.objects("jobs");
    let states = prefect().states(&run);
    assert_eq!((jobs.len(), states.iter().filter(|state| *state == "Running").count()), (2, 2), "{states:?}");
    // The pod handed its run back and ended well: no Job failed, and nobody took the run for crashed meanwhile.
    assert!(jobs.iter().all(|job| job["status"]["failed"].is_null()) && !states.contains(&"Crashed".to_owned()), "{states:?}\n{jobs:#?}");
}
