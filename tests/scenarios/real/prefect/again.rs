//! A run that a machine was too small for, again at a larger size: the same run in Prefect.

use serde_json::json;

use crate::common::{
    cluster::{proves, real},
    prefect::prefect,
};

#[test]
fn a_run_that_ran_out_of_memory_is_run_again_at_a_larger_size() {
    let mut namespace = real().namespace();
    namespace.map(&["small", "large"], "");
    let map = std::fs::read_to_string(namespace.sandbox.path("instance-map.yaml")).unwrap();
    let (before, large) = map.split_once("  large:").unwrap();
    let large = large.replace("memory: 128Mi", "memory: 1200Mi").replace("sbrun.dev/size: large", "sbrun.dev/size: small");
    namespace.sandbox.write("instance-map.yaml", format!("{before}  large:{large}"));
    let pool = prefect().team(&mut namespace, "reschedule");
    prefect().deployment(&pool, "work", &json!({}));
    let _worker = prefect().worker(&namespace, &pool);
    let deployment = format!("work/{pool}");
    let submit = ["submit", "--deployment", &deployment, "-s", "small", "-p", "memory_mib=700", "-o", "json"];
    let report = namespace.sandbox.command(submit).exits(137).json();
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("out_of_memory"), &json!("Flow.OutOfMemory")), "{report:#}");
    let run = report["prefect"]["flow_run_id"].as_str().unwrap();
    proves(&report, "OOMKilled", &format!("sbrun rerun {run} --size LARGER"));

    let report = namespace.sandbox.command(["rerun", run, "--size", "large", "-o", "json"]).exits(0).json();
    assert_eq!((&report["outcome"], &report["prefect"]["flow_run_id"]), (&json!("succeeded"), &json!(run)), "{report:#}");
    assert_eq!((&report["size"], &report["prefect"]["run_count"]), (&json!("large"), &json!(2)), "{report:#}");
    assert_eq!(prefect().flow_run(run)["state_type"], "COMPLETED");
    drop(namespace.sandbox.command(["rerun", run, "--size", "huge"]).exits(78).says(&["`huge`", "`large`"]));
}
