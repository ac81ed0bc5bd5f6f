use serde_json::json;

use super::*;
use crate::{
    kubernetes::manifest::tests::mk_plan,
    model::launch_plan::{OnInterrupt, Redacted, Secret},
};

fn secret(name: &str, source: SecretSource) -> Secret {
    Secret { name: name.into(), source }
}

#[test]
fn a_detached_submission_asks_for_nothing_that_the_creation_tells() {
    let plan = mk_plan();
    assert_eq!(permissions::needed(&plan, Purpose::Detach), []);
    assert_eq!(permissions::needed(&plan, Purpose::Follow).len(), 8);
    let leased = LaunchPlan { on_interrupt: OnInterrupt::Cancel, ..mk_plan() };
    assert_eq!(permissions::needed(&leased, Purpose::Detach).len(), 8);
    let with_secret = LaunchPlan { secrets: vec![secret("A", SecretSource::Value(Redacted("x".into())))], ..mk_plan() };
    assert_eq!(permissions::needed(&with_secret, Purpose::Detach).len(), 5);
}

#[test]
fn everything_that_plan_and_template_refer_to_is_looked_for_once() {
    let mut plan = mk_plan();
    plan.secrets = vec![
        secret("A", SecretSource::Reference { secret: "db".into(), key: "password".into() }),
        secret("B", SecretSource::Value(Redacted("x".into()))),
    ];
    plan.image_pull_secrets = vec!["registry".into()];
    plan.service_account = Some("flows".into());
    plan.template = Some(json!({"spec": {"template": {"spec": {
        "serviceAccountName": "theirs",
        "imagePullSecrets": [{"name": "mirror"}],
        "containers": [{"name": "flow", "envFrom": [{"secretRef": {"name": "db"}}, {"configMapRef": {"name": "maybe", "optional": true}}],
            "env": [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "db", "key": "user"}}}]}],
        "volumes": [
            {"name": "s", "secret": {"secretName": "tls", "items": [{"key": "crt", "path": "x"}]}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "settings", "items": [{"key": "a.yaml", "path": "y"}]}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
        ],
    }}}}));
    let found: Vec<(references::Kind, String, Vec<String>)> =
        references::references(&plan).into_iter().map(|((kind, name), keys)| (kind, name, keys.into_iter().collect())).collect();
    let expected = |kind, name: &str, keys: &[&str]| (kind, name.to_owned(), keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        found,
        [
            expected(references::Kind::Secret, "db", &["password", "user"]),
            expected(references::Kind::Secret, "tls", &["crt"]),
            expected(references::Kind::PullSecret, "mirror", &[]),
            expected(references::Kind::PullSecret, "registry", &[]),
            expected(references::Kind::ConfigMap, "settings", &["a.yaml"]),
            expected(references::Kind::ServiceAccount, "flows", &[]),
            expected(references::Kind::Claim, "data", &[]),
        ]
    );
}

#[test]
fn all_problems_are_one_error() {
    let problem = |kind, text: &str| Problem { kind, text: text.into(), hint: "do it".into() };
    let one = combined(&[problem(ErrorKind::Rejected, "a is missing")]);
    assert_eq!((one.kind(), one.message(), one.hints()), (ErrorKind::Rejected, "a is missing", ["do it".to_owned()].as_slice()));
    let two = combined(&[problem(ErrorKind::Rejected, "a is missing"), problem(ErrorKind::NotAllowed, "you may not")]);
    assert_eq!((two.kind(), two.message()), (ErrorKind::NotAllowed, "2 things keep this job from running:\n  a is missing\n  you may not"));
    assert_eq!(two.hints().len(), 1);
}
