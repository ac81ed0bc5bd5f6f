//! The environment variables of a flow: the same in a pod and with `--local`.

use std::collections::BTreeMap;

use crate::model::{footprint::Footprint, launch_plan::LaunchPlan, prefect::tracking::Tracking};

/// Variables by which numeric libraries and Python itself learn how many threads or processes to start. Without them they
/// count the CPUs of the whole machine and get in each other's way.
const THREADS: &[&str] = &[
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS", // else it stops at 16
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "PYTHON_CPU_COUNT",
];

/// Which run this is.
const RUN_ID: &str = "SBRUN_RUN_ID";
/// Name of the Job.
const JOB_NAME: &str = "SBRUN_JOB_NAME";
/// Size profile, where there is one.
pub const SIZE: &str = "SBRUN_SIZE";
/// Variables by which a flow knows who it is: those of another run must not shine through.
pub const IDENTITY: [&str; 3] = [RUN_ID, JOB_NAME, SIZE];

/// Home of a user that the image does not know.
pub const HOME: &str = "/tmp/home";
/// Name of a user that the image does not know: `getpass.getuser` and others fail without one.
const USER_NAME: &str = "flow";
/// Variables of a user that the image does not know.
pub const OF_UNKNOWN_USER: [(&str, &str); 3] = [("HOME", HOME), ("USER", USER_NAME), ("LOGNAME", USER_NAME)];

/// Returns the variables that a flow finds when nobody sets them: Python's output is not held back, no `.pyc` files appear
/// beside the sources, and every library starts as many threads as the footprint has whole CPUs, at least one; without a
/// limit of CPUs they decide themselves.
#[must_use]
pub fn defaults(plan: &LaunchPlan) -> BTreeMap<String, String> {
    of_footprint(&plan.footprint)
}

/// Returns the same for whoever asks for this much.
#[must_use]
pub fn of_footprint(footprint: &Footprint) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from(["PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"].map(|name| (name.to_owned(), "1".to_owned())));
    if footprint.cpu.0 > 0 {
        let cpus = (footprint.cpu.0 / 1000).max(1).to_string();
        variables.extend(THREADS.iter().map(|name| ((*name).to_owned(), cpus.clone())));
    }
    variables
}

/// Returns what is set in any case: which run this is, and what the user asked for, which wins. Secrets are not in it.
#[must_use]
pub fn given(plan: &LaunchPlan) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([(RUN_ID.to_owned(), plan.run_id.to_string()), (JOB_NAME.to_owned(), plan.name.to_string())]);
    if let Some(size) = &plan.size {
        variables.insert(SIZE.to_owned(), size.to_string());
    }
    variables.extend(plan.environment.clone());
    variables.extend(plan.tracking.iter().flat_map(Tracking::variables));
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
            let variables = defaults(&mk_plan(millicores, &[]));
            assert!(THREADS.iter().all(|name| variables[*name] == threads), "{millicores}: {variables:?}");
        }
        assert_eq!(defaults(&mk_plan(0, &[])).keys().collect::<Vec<_>>(), ["PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"], "no limit");
    }

    #[test]
    fn the_user_wins_and_only_where_asked() {
        let variables = given(&mk_plan(4000, &[("OMP_NUM_THREADS", "2"), ("SBRUN_SIZE", "mine"), ("A", "b")]));
        let expected = [("A", "b"), ("OMP_NUM_THREADS", "2"), ("SBRUN_JOB_NAME", "etl-1"), ("SBRUN_RUN_ID", "01jd"), ("SBRUN_SIZE", "mine")];
        assert_eq!(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(given(&mk_plan(4000, &[])).into_keys().collect::<Vec<_>>(), ["SBRUN_JOB_NAME", "SBRUN_RUN_ID", "SBRUN_SIZE"]);
    }
}
