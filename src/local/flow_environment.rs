//! The variables that a local flow sees.

use std::{collections::BTreeMap, path::Path};

use crate::{
    error::{Error, Result},
    model::{
        flow_environment,
        launch_plan::{LaunchPlan, SecretSource},
    },
};

/// Marks every process of a run, so that it is recognised when it lost its parents. Not the run id: with `--key` two
/// attempts share one.
pub(super) const MARK: &str = "SBRUN_LOCAL_RUN";

/// Returns the environment of a local flow: the user's own one (it stands for the image: PATH, HOME, VIRTUAL_ENV), then
/// what a pod has too (defaults where the user has nothing, and what is given), and the secrets.
///
/// `mark` is the value of [`MARK`]. A secret of the cluster cannot be read here: its value must be in the user's environment under the same name.
pub(super) fn variables(plan: &LaunchPlan, inherited: &BTreeMap<String, String>, root: &Path, mark: &str) -> Result<BTreeMap<String, String>> {
    let mut variables = inherited.clone();
    for name in flow_environment::IDENTITY {
        variables.remove(name);
    }
    for (name, value) in flow_environment::defaults(plan) {
        let present = variables.entry(name).or_default();
        if present.is_empty() {
            *present = value;
        }
    }
    variables.insert("PWD".to_owned(), root.to_string_lossy().into_owned());
    variables.remove("OLDPWD");
    variables.extend(flow_environment::given(plan));
    variables.extend(secrets(plan, inherited)?);
    variables.insert(MARK.to_owned(), mark.to_owned());
    Ok(variables)
}

/// Returns the values of all secrets, or one error that names every missing one.
fn secrets(plan: &LaunchPlan, inherited: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut missing = Vec::new();
    for secret in &plan.secrets {
        match (&secret.source, inherited.get(&secret.name)) {
            (SecretSource::Value(value), _) => drop(values.insert(secret.name.clone(), value.0.clone())),
            (SecretSource::Reference { .. }, Some(value)) => drop(values.insert(secret.name.clone(), value.clone())),
            (SecretSource::Reference { secret: object, key }, None) => missing.push((&secret.name, format!("key `{key}` of Secret `{object}`"))),
        }
    }
    if missing.is_empty() {
        return Ok(values);
    }
    let words: Vec<_> = missing.iter().map(|(name, source)| format!("`{name}` ({source})")).collect();
    let names: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
    Err(Error::rejected(format!("secrets of the cluster cannot be read with --local: {}", words.join(", ")))
        .hinted(format!("export {} with a value for this machine, then run it again", names.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        local::run::tests::mk_plan,
        model::{
            identity::SizeName,
            launch_plan::{Redacted, Secret},
            quantity::Cpu,
        },
    };

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_plan_stands_above_the_user_and_the_user_above_defaults() {
        let mut plan = mk_plan("flow.py", "");
        plan.size = Some(SizeName("small".into()));
        plan.footprint.cpu = Cpu(2500);
        plan.environment = of(&[("TZ", "UTC"), ("NUMBA_NUM_THREADS", "3")]);
        plan.secrets = vec![
            Secret { name: "TOKEN".into(), source: SecretSource::Value(Redacted("t".into())) },
            Secret { name: "KEY".into(), source: SecretSource::Reference { secret: "s".into(), key: "k".into() } },
        ];
        let inherited = of(&[
            ("HOME", "/home/ana"),
            ("KEY", "mine"),
            ("OLDPWD", "/before"),
            ("OMP_NUM_THREADS", "7"),
            ("PWD", "/somewhere"),
            ("PYTHONUNBUFFERED", ""),
            ("SBRUN_SIZE", "huge"),
            ("TZ", "Asia/Tokyo"),
        ]);
        let expected = of(&[
            ("BLIS_NUM_THREADS", "2"),
            ("HOME", "/home/ana"),
            ("KEY", "mine"),
            ("LOKY_MAX_CPU_COUNT", "2"),
            ("MKL_NUM_THREADS", "2"),
            ("NUMBA_NUM_THREADS", "3"),
            ("NUMEXPR_MAX_THREADS", "2"),
            ("NUMEXPR_NUM_THREADS", "2"),
            ("OMP_NUM_THREADS", "7"),
            ("OPENBLAS_NUM_THREADS", "2"),
            ("POLARS_MAX_THREADS", "2"),
            ("PWD", "/root-folder"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHON_CPU_COUNT", "2"),
            ("RAYON_NUM_THREADS", "2"),
            ("SBRUN_JOB_NAME", plan.name.as_str()),
            ("SBRUN_LOCAL_RUN", "mark"),
            ("SBRUN_RUN_ID", &plan.run_id.0),
            ("SBRUN_SIZE", "small"),
            ("TOKEN", "t"),
            ("TZ", "UTC"),
            ("VECLIB_MAXIMUM_THREADS", "2"),
        ]);
        assert_eq!(variables(&plan, &inherited, Path::new("/root-folder"), "mark").unwrap(), expected);
    }

    #[test]
    fn another_run_does_not_shine_through() {
        let inherited = of(&[("SBRUN_JOB_NAME", "outer"), ("SBRUN_RUN_ID", "outer"), ("SBRUN_SIZE", "huge")]);
        let seen = variables(&mk_plan("flow.py", ""), &inherited, Path::new("/"), "mark").unwrap();
        assert!(!seen.contains_key("SBRUN_SIZE") && !seen.values().any(|value| value == "outer"), "{seen:?}");
    }

    #[test]
    fn a_missing_secret_is_named_with_its_source() {
        let mut plan = mk_plan("flow.py", "");
        plan.secrets = vec![Secret { name: "KEY".into(), source: SecretSource::Reference { secret: "prod".into(), key: "token".into() } }];
        let error = variables(&plan, &BTreeMap::new(), Path::new("/"), "mark").unwrap_err();
        assert_eq!(error.message(), "secrets of the cluster cannot be read with --local: `KEY` (key `token` of Secret `prod`)");
        assert_eq!(error.hints(), ["export KEY with a value for this machine, then run it again"]);
    }
}
