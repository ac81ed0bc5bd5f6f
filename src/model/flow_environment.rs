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
