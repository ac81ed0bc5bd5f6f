//! The environment variables of a flow: the same in a pod and with `--local`.

use std::collections::BTreeMap;

use crate::model::launch_plan::LaunchPlan;

/// Variables by which numeric libraries and Python itself learn how many threads or processes to start. Without them they
/// count the CPUs of the whole machine and get in each other's way.
const THREADS: &[&str] = &[
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "PYTHON_CPU_COUNT",
];

/// Returns the variables that a flow finds when nobody sets them: Python's output is not held back, no `.pyc` files appear
/// beside the sources, and every library starts as many threads as the footprint has whole CPUs, at least one.
#[must_use]
pub fn defaults(plan: &LaunchPlan) -> BTreeMap<String, String> {
    let cpus = (plan.footprint.cpu.0 / 1000).max(1).to_string();
    let python = ["PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"].map(|name| (name.to_owned(), "1".to_owned()));
    python.into_iter().chain(THREADS.iter().map(|name| ((*name).to_owned(), cpus.clone()))).collect()
}

/// Returns what is set in any case: which run this is, and what the user asked for, which wins. Secrets are not in it.
#[must_use]
pub fn given(plan: &LaunchPlan) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([("SBRUN_RUN_ID".to_owned(), plan.run_id.to_string()), ("SBRUN_JOB_NAME".to_owned(), plan.name.to_string())]);
    if let Some(size) = &plan.size {
        variables.insert("SBRUN_SIZE".to_owned(), size.to_string());
    }
    variables.extend(plan.environment.clone());
    variables
}

/// Returns all variables that sbrun sets for the flow, secrets left out: [`defaults`], then [`given`].
#[must_use]
pub fn flow_environment(plan: &LaunchPlan) -> BTreeMap<String, String> {
    let mut variables = defaults(plan);
    variables.extend(given(plan));
    variables
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk_plan(millicores: u64, environment: &[(&str, &str)]) -> LaunchPlan {
        serde_json::from_value(json!({
            "name": "etl-1", "run_id": "01jd", "namespace": "flows", "size": "small", "image": "",
            "footprint": {"cpu": millicores, "memory": 1},
            "placement": {}, "run_as_user": "image", "on_interrupt": "detach", "user": {"name": "", "label": ""},
            "flow": {"identity": "etl", "file": "etl.py", "interpreter": "python"},
            "environment": environment.iter().copied().collect::<BTreeMap<_, _>>(),
            "limits": {"timeout": 1, "pending_timeout": 1, "queue_timeout": 1, "grace": 1, "finished_ttl": 1, "lease": 1},
        }))
        .expect("a plan as a Job records it")
    }

    #[test]
    fn libraries_start_as_many_threads_as_there_are_whole_cpus() {
        for (millicores, threads) in [(250, "1"), (1999, "1"), (4000, "4"), (15_890, "15")] {
            let variables = flow_environment(&mk_plan(millicores, &[]));
            assert!(THREADS.iter().all(|name| variables[*name] == threads), "{millicores}: {variables:?}");
        }
    }

    #[test]
    fn the_user_wins_and_only_where_asked() {
        let variables = flow_environment(&mk_plan(4000, &[("OMP_NUM_THREADS", "2"), ("SBRUN_SIZE", "mine"), ("A", "b")]));
        let of = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!((of("OMP_NUM_THREADS"), of("MKL_NUM_THREADS"), of("SBRUN_SIZE"), of("A")), (Some("2"), Some("4"), Some("mine"), Some("b")));
        assert_eq!((of("SBRUN_RUN_ID"), of("SBRUN_JOB_NAME"), of("PYTHONUNBUFFERED")), (Some("01jd"), Some("etl-1"), Some("1")));
    }
}
