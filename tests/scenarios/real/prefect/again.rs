//! A run that a machine was too small for, again at a larger size: the same run in Prefect.

use serde_json::json;

use super::two_sizes;
use crate::common::{cluster::proves, prefect::prefect};

#[test]
fn a_run_that_ran_out_of_memory_is_run_again_at_a_larger_size() {
    let (namespace, pool) = two_sizes();
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

#[test]
fn a_run_that_runs_out_of_memory_is_started_once_more_at_the_next_size() {
    let (namespace, pool) = two_sizes();
    prefect().deployment(&pool, "work", &json!({}));
    let _worker = prefect().worker(&namespace, &pool);
    let deployment = format!("work/{pool}");
    // Retries of Prefect are for flows that failed: this one is started again although it has none.
    let submit = |more: &[&str]| {
        let submit = ["submit", "--deployment", &deployment, "-s", "small", "--on-oom", "next-size", "--retries", "0", "-o", "json"];
        namespace.sandbox.command([&submit[..], more].concat())
    };
    let words = ["size small ran out of memory", "once more at size large, with 1.2 GiB instead of 512 MiB"];
    let output = submit(&["-p", "memory_mib=700"]).exits(0).says(&words);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["size"], &report["attempts"]), (&json!("succeeded"), &json!("large"), &json!(2)), "{report:#}");
    assert_eq!((&report["grown_from"]["size"], &report["grown_from"]["attempts"]), (&json!("small"), &json!(1)), "{report:#}");
    assert_eq!(output.stderr.matches("started on ").count(), 2, "each attempt's output once: {output}");
    let run = report["prefect"]["flow_run_id"].as_str().unwrap();
    assert_eq!((prefect().flow_run(run)["state_type"].clone(), prefect().flow_run(run)["run_count"].clone()), (json!("COMPLETED"), json!(2)));
    assert_eq!((prefect().runs_of(&pool).len(), namespace.objects("jobs").len()), (1, 2), "one run, two Jobs");

    // More than the largest has: once, and then it is over.
    let output = submit(&["-p", "memory_mib=2000"]).exits(137);
    let report = output.json();
    assert_eq!((&report["outcome"], &report["size"], &report["attempts"]), (&json!("out_of_memory"), &json!("large"), &json!(2)), "{output}");
    assert_eq!((prefect().runs_of(&pool).len(), namespace.objects("jobs").len()), (2, 4), "{output}");
}
