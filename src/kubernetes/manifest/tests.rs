use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::{
    footprint::Footprint,
    identity::{JobName, RunId, SizeName},
    launch_plan::{Flow, Interpreter, Placement, Provenance, Redacted, RunAsUser, Secret, TimeLimits, Toleration, User},
    package::{Package, PackagedFile, bootstrap::BOOTSTRAP},
    quantity::{Cpu, Memory},
};

/// Returns a small Python flow of two files, submitted detached.
pub(crate) fn mk_plan() -> LaunchPlan {
    LaunchPlan {
        name: JobName::parse("etl-7f3kq2xwab").expect("a valid name"),
        run_id: RunId("01jd0example".into()),
        nonce: "4f0c".into(),
        key: None,
        namespace: "flows".into(),
        size: Some(SizeName("small".into())),
        footprint: Footprint { cpu: Cpu(1500), memory: Memory(6 << 30), gpu: 0, ephemeral_storage: None },
        placement: Placement {
            node_selector: [("sbrun.dev/size".to_owned(), "small".to_owned())].into(),
            tolerations: vec![Toleration { key: Some("sbrun.dev/size".into()), operator: Some("Exists".into()), ..Toleration::default() }],
            ..Placement::default()
        },
        flow: Flow {
            identity: "etl".into(),
            file: "etl.py".into(),
            interpreter: Interpreter::Python,
            arguments: vec!["--day".into(), "$(date)".into()],
        },
        package: Package { files: vec![mk_file("etl.py", false, b"import lib\n"), mk_file("lib.py", false, b"")], left_out: Vec::new() },
        image: "registry.example/flows:1".into(),
        service_account: None,
        image_pull_secrets: Vec::new(),
        run_as_user: RunAsUser::default(),
        environment: [("TZ".to_owned(), "UTC".to_owned())].into(),
        secrets: Vec::new(),
        limits: TimeLimits::default(),
        infrastructure_retries: 0,
        on_no_capacity: crate::model::launch_plan::OnNoCapacity::Wait,
        tracking: None,
        fallback: None,
        asked_size: None,
        grown_from: None,
        on_interrupt: OnInterrupt::Detach,
        user: User { name: "Ana".into(), label: "ana-x".into() },
        labels: [("team".to_owned(), "data".to_owned())].into(),
        annotations: [("example.org/cost".to_owned(), "a".to_owned())].into(),
        provenance: Provenance { git_commit: Some("c0ffee".into()), ..Provenance::default() },
        template: None,
        price_per_hour: None,
        logs_url: None,
        keep_logs: None,
        rerun_of: None,
    }
}

fn mk_file(path: &str, executable: bool, content: &[u8]) -> PackagedFile {
    PackagedFile { path: path.into(), executable, content: content.into() }
}

/// Returns text that no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56).to_be_bytes()[7]
    };
    (0..length).map(|_| next()).collect()
}

/// Returns the manifests as YAML, with what changes with the packing replaced.
fn yaml(plan: &LaunchPlan) -> String {
    let rendered = render(plan).expect("the plan can be rendered");
    let mut documents = Vec::new();
    for document in rendered.documents() {
        let mut document = document.clone();
        shorten(&mut document);
        documents.push(serde_yaml::to_string(&document).expect("manifests are YAML"));
    }
    documents.join("---\n")
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(&BOOTSTRAP.replace('$', "$$")) => "<bootstrap>".clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "sbrun.dev/package" | "sbrun.dev/content-sha256" | "sbrun.dev/plan" => *value = json!(format!("<{key}>")),
                    "binaryData" => value.as_object_mut().expect("binary data is a map").values_mut().for_each(|data| *data = json!("<base64>")),
                    _ => shorten(value),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn a_small_python_flow_is_one_job() {
    insta::assert_snapshot!(yaml(&mk_plan()));
}

#[test]
fn an_executable_flow_is_laid_out_file_by_file() {
    let mut plan = mk_plan();
    plan.flow = Flow { file: "bin/run.sh".into(), interpreter: Interpreter::Executable, arguments: vec!["a b".into()], ..plan.flow };
    plan.package.files = vec![mk_file("bin/run.sh", true, b"#!/bin/sh\necho $1\n"), mk_file("data.txt", false, b"")];
    insta::assert_snapshot!(yaml(&plan));
}

#[test]
fn an_executable_flow_with_bytes_travels_in_config_maps() {
    let mut plan = mk_plan();
    plan.flow = Flow { file: "run".into(), interpreter: Interpreter::Executable, arguments: Vec::new(), ..plan.flow };
    plan.package.files = vec![mk_file("data.bin", false, b"\xff"), mk_file("run", true, b"\x7fELF")];
    insta::assert_snapshot!(yaml(&plan));
}

#[test]
fn a_big_package_makes_a_suspended_job_and_config_maps() {
    let mut plan = mk_plan();
    plan.package.files.push(mk_file("noise.bin", false, &noise(1_500_000)));
    plan.on_interrupt = OnInterrupt::Cancel;
    insta::assert_snapshot!(yaml(&plan));
}

#[test]
fn secrets_are_referred_to_and_never_rendered() {
    let mut plan = mk_plan();
    plan.secrets = vec![
        Secret { name: "TOKEN".into(), source: SecretSource::Value(Redacted("planted".into())) },
        Secret { name: "TZ".into(), source: SecretSource::Reference { secret: "db".into(), key: "password".into() } },
    ];
    let rendered = render(&plan).expect("the plan can be rendered");
    assert!(!format!("{rendered:?}").contains("planted"));
    insta::assert_snapshot!(yaml(&plan));
}

#[test]
fn a_template_adds_sidecars_and_replaces_defaults_only() {
    let mut plan = mk_plan();
    plan.service_account = Some("flows".into());
    plan.template = Some(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"generateName": "x-", "labels": {"cost": "a", "sbrun.dev/size": "mine"}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 1,
            "template": {"spec": {
                "serviceAccountName": "theirs",
                "automountServiceAccountToken": true,
                "nodeSelector": {"zone": "a"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
                "containers": [
                    {"name": "logger", "image": "logger:1"},
                    {"name": "flow", "image": "theirs", "env": [{"name": "OMP_NUM_THREADS", "value": "8"}, {"name": "TZ", "value": "x"}],
                     "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}]},
                ],
                "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": "scratch"}}],
            }},
        },
    }));
    insta::assert_snapshot!(yaml(&plan));
}

#[test]
fn infrastructure_retries_count_disruptions_only() {
    let plan = LaunchPlan { infrastructure_retries: 2, ..mk_plan() };
    let spec = render(&plan).expect("the plan can be rendered").job["spec"].take();
    let seen = json!([spec["backoffLimit"], spec["podFailurePolicy"], spec["podReplacementPolicy"], spec["template"]["spec"]["restartPolicy"]]);
    let policy = json!({"rules": [
        {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "flow", "operator": "NotIn", "values": [0]}},
    ]});
    assert_eq!(seen, json!([2, policy, "Failed", "Never"]));
}

#[test]
fn gpus_and_storage_are_requested_and_limited() {
    let mut plan = mk_plan();
    plan.footprint.gpu = 2;
    plan.footprint.ephemeral_storage = Some(Memory(10 << 30));
    let job = render(&plan).expect("the plan can be rendered").job;
    let expected = json!({
        "requests": {"cpu": "1500m", "memory": "6Gi", "nvidia.com/gpu": "2", "ephemeral-storage": "10Gi"},
        "limits": {"memory": "6Gi", "nvidia.com/gpu": "2", "ephemeral-storage": "10Gi"},
    });
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["resources"], expected);
}

#[test]
fn the_images_own_user_keeps_its_home() {
    let plan = LaunchPlan { run_as_user: RunAsUser::Image, ..mk_plan() };
    let pod = render(&plan).expect("the plan can be rendered").job["spec"]["template"]["spec"].take();
    assert_eq!(pod["securityContext"], json!({"seccompProfile": {"type": "RuntimeDefault"}}));
    let names: Vec<&str> = pod["containers"][0]["env"].as_array().expect("a list").iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert!(names.contains(&"PYTHONUNBUFFERED") && !names.contains(&"HOME") && !names.contains(&"USER"), "{names:?}");
    let root = LaunchPlan { run_as_user: RunAsUser::Id(0), ..mk_plan() };
    let pod = render(&root).expect("the plan can be rendered").job["spec"]["template"]["spec"].take();
    assert_eq!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], Value::Null);
}

#[test]
fn a_leased_job_starts_with_its_lease_as_deadline() {
    let deadline = |plan: &LaunchPlan| {
        let job = render(plan).expect("the plan can be rendered").job;
        (job["spec"]["activeDeadlineSeconds"].clone(), job["metadata"]["annotations"][labels::LEASE].clone())
    };
    let detached = mk_plan();
    assert_eq!(deadline(&detached), (json!(detached.limits.job_deadline(0).as_secs()), Value::Null));
    let mut leased = LaunchPlan { on_interrupt: OnInterrupt::Cancel, ..mk_plan() };
    assert_eq!(deadline(&leased), (json!(600), json!("600")));
    leased.limits = TimeLimits {
        timeout: Duration::from_secs(1),
        queue_timeout: Duration::ZERO,
        pending_timeout: Duration::ZERO,
        lease: Duration::MAX,
        ..leased.limits
    };
    assert_eq!(deadline(&leased).0, json!(1 + 110 + 900));
}

#[test]
fn a_template_that_breaks_a_rule_is_refused_by_name() {
    let rendered = |spec: Value| {
        let template = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec});
        render(&LaunchPlan { template: Some(template), ..mk_plan() })
    };
    let elsewhere = json!({"template": {"spec": {"nodeSelector": {"sbrun.dev/size": "large", "zone": "a"}}}});
    for (spec, cause) in [
        (json!({"backoffLimit": 6}), "`spec.backoffLimit` is 6, it can only be 0: one owner of retries: use `infrastructure_retries`"),
        (elsewhere, "`spec.template.spec.nodeSelector.sbrun.dev/size` is \"large\", it can only be \"small\": the size decides where a job runs"),
    ] {
        let error = rendered(spec).expect_err("a rule is broken");
        assert_eq!((error.kind(), error.message()), (crate::error::ErrorKind::Rejected, "the template cannot be used"));
        assert_eq!(error.causes(), [cause]);
    }
    assert!(rendered(json!({"template": {"spec": {"nodeSelector": {"sbrun.dev/size": "small"}}}})).is_ok(), "the same again");
}

#[test]
fn content_is_what_a_run_depends_on_and_nothing_else() {
    let base = content_sha256(&mk_plan());
    let with = |change: &dyn Fn(&mut LaunchPlan)| {
        let mut plan = mk_plan();
        change(&mut plan);
        content_sha256(&plan)
    };
    assert_eq!(with(&|plan| plan.provenance.git_commit = None), base);
    assert_eq!(with(&|plan| plan.nonce = "other".into()), base);
    assert_eq!(with(&|plan| plan.limits.timeout = Duration::from_secs(1)), base);
    let secret = |value: &str| vec![Secret { name: "A".into(), source: SecretSource::Value(Redacted(value.into())) }];
    assert_eq!(with(&|plan| plan.secrets = secret("1")), with(&|plan| plan.secrets = secret("2")));
    for (index, changed) in [
        with(&|plan| plan.package.files[0].content.push(b'#')),
        with(&|plan| plan.flow.arguments.push("x".into())),
        with(&|plan| plan.image.push('x')),
        with(&|plan| plan.size = None),
        with(&|plan| plan.environment.clear()),
        with(&|plan| plan.secrets = secret("1")),
    ]
    .into_iter()
    .enumerate()
    {
        assert_ne!(changed, base, "{index}");
    }
}

#[test]
fn a_job_that_has_no_room_for_the_files_sends_them_apart() {
    let mut plan = mk_plan();
    plan.package.files.push(mk_file("noise.bin", false, &noise(120_000)));
    plan.annotations.insert("example.org/notes".into(), "n".repeat(110 << 10));
    let rendered = render(&plan).expect("the plan can be rendered");
    assert!(rendered.suspended);
    assert_eq!(rendered.config_maps.len(), 1);
    let (job, maps) = typed(&rendered);
    assert_eq!(delivery_of(&job, &maps).and_then(|delivery| delivery.unpack(Interpreter::Python)).expect("it can be read").files, plan.package.files);
    plan.annotations.insert("example.org/notes".into(), "n".repeat(300 << 10));
    let error = render(&plan).expect_err("it does not fit");
    assert!(error.message().contains("Kubernetes takes 240 KiB"), "{error}");
}

#[test]
fn files_come_back_as_they_were_sent() {
    let python = mk_plan();
    let mut big = mk_plan();
    big.package.files.push(mk_file("noise.bin", false, &noise(1_500_000)));
    let mut text = mk_plan();
    text.flow.interpreter = Interpreter::Executable;
    text.package.files = vec![mk_file("a/run", true, b"#!/bin/sh\n"), mk_file("b", false, b"")];
    let mut bytes = text.clone();
    bytes.package.files.push(mk_file("c", false, b"\xff\0"));
    for plan in [python, big, text, bytes] {
        let (job, maps) = typed(&render(&plan).expect("the plan can be rendered"));
        assert_eq!(config_map_names(&job), maps.iter().filter_map(|map| map.metadata.name.clone()).collect::<Vec<_>>());
        let delivery = delivery_of(&job, &maps).expect("the files are there");
        assert_eq!(delivery.unpack(plan.flow.interpreter).expect("they can be read").files, plan.package.files);
    }
}

fn typed(rendered: &Rendered) -> (k8s_openapi::api::batch::v1::Job, Vec<k8s_openapi::api::core::v1::ConfigMap>) {
    let job = serde_json::from_value(rendered.job.clone()).expect("a Job");
    let maps = rendered.config_maps.iter().map(|map| serde_json::from_value(map.clone()).expect("a ConfigMap")).collect();
    (job, maps)
}
