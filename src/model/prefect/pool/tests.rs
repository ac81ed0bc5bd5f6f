use serde_json::json;

use super::{
    live::{Edits, LiveBlock, LivePool, User},
    merge::merge,
    *,
};

const MAP: &str = "
version: 1
prefect: {api_url: 'http://prefect.prefect:4200/api', api_key_secret: prefect-api-key, work_pool: flows}
defaults: {image: 'registry.example/flows:1', service_account: flows, finished_ttl: 2h, env: {TZ: UTC}}
sizes:
  small: {footprint: {cpu: 1, memory: 2Gi}}
  xlarge-od: {footprint: {cpu: 1500m, memory: 6Gi}, gpu: 1, node_selector: {workload: xl}, tolerations: [{key: xl, operator: Exists}]}
";

fn map(text: &str) -> InstanceMap {
    let mut template = |_: &str| Ok(TEMPLATE.to_owned());
    InstanceMap::parse(text, "instance-map.yaml", &mut template).expect("the map is right")
}

const TEMPLATE: &str = "
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      nodeSelector: {zone: a}
      tolerations: [{key: extra, operator: Exists}]
      priorityClassName: high
      volumes: [{name: data, emptyDir: {}}]
      containers:
      - {name: flow, volumeMounts: [{name: data, mountPath: /data}], env: [{name: A, value: b}], resources: {limits: {cpu: 4}}}
      - {name: proxy, image: proxy}
";

fn choices() -> Choices {
    Choices { default_size: Some(SizeName("small".into())), on_reclaim: OnReclaim::Crash }
}

fn planned(text: &str) -> PoolPlan {
    plan(&map(text), "flows", "flows-ns", &choices()).expect("a pool")
}

fn manifest(plan: &PoolPlan) -> &Value {
    &plan.template["job_configuration"]["job_manifest"]
}

#[test]
fn what_differs_by_size_is_looked_up() {
    let plan = planned(MAP);
    let pod = &manifest(&plan)["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], "{{ prefect.blocks.sbrun-pool.flows.sizes.size-{{ size }}.node_selector }}");
    let xlarge = &plan.sizes["size-xlarge-od"];
    assert_eq!(xlarge["node_selector"], json!({"workload": "xl"}));
    assert_eq!(xlarge["tolerations"], json!([{"key": "xl", "operator": "Exists"}]));
    let gpu = json!({"cpu": "1500m", "memory": "6Gi", "nvidia.com/gpu": "1"});
    assert_eq!(xlarge["resources"], json!({"requests": gpu, "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"}}));
    assert_eq!((&xlarge["label"], &plan.sizes["size-small"]["label"]), (&json!("xlarge-od"), &json!("small")));
    // What is the same for all of them stands in the template.
    assert_eq!(pod["terminationGracePeriodSeconds"], 110);
    assert_eq!(xlarge.get("grace"), None);
}

#[test]
fn rules_of_worker_and_house_are_kept() {
    let plan = planned(MAP);
    assert_eq!(broken(&plan.template), Vec::<String>::new());
    let spec = &manifest(&plan)["spec"];
    assert_eq!((&spec["backoffLimit"], &spec["podReplacementPolicy"]), (&json!(0), &json!("Failed")));
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["parallelism"], &pod["completions"], &pod["restartPolicy"]), (&json!(1), &json!(1), &json!("Never")));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["containers"][0]["name"], "prefect-job");
    // Every way to break a rule by hand is told.
    for (pointer, value, words) in [
        ("/job_configuration/job_manifest/spec/backoffLimit", json!("{{ backoff_limit }}"), "backoffLimit"),
        ("/job_configuration/job_manifest/spec/template/spec/restartPolicy", json!("OnFailure"), "restartPolicy"),
        ("/job_configuration/job_manifest/spec/template/spec/parallelism", Value::Null, "parallelism"),
        ("/job_configuration/job_manifest/spec/template/spec/containers/0/name", json!("main"), "first container"),
        ("/job_configuration/job_manifest/spec/template/spec/containers/0/resources", json!({}), "resources"),
        ("/job_configuration/job_manifest/spec/template/spec/nodeSelector", json!({"a": "b"}), "nodeSelector"),
        ("/job_configuration/job_manifest/spec/template/spec/terminationGracePeriodSeconds", json!(30), "terminationGracePeriodSeconds"),
        ("/job_configuration/job_manifest/spec/template/metadata/annotations", json!({}), "safe-to-evict"),
        ("/variables/properties/size/enum", json!([]), "choice of sizes"),
    ] {
        let mut template = plan.template.clone();
        *template.pointer_mut(pointer).expect(pointer) = value;
        let found = broken(&template);
        assert!(!found.is_empty() && found[0].contains(words), "{pointer}: {found:?}");
        // And no update keeps it.
        let merged = merge(Some(&plan.template), &template, &plan.template);
        let expected = usize::from(words != "terminationGracePeriodSeconds");
        assert!(merged.conflicts.len() >= expected, "{pointer}: {merged:?}");
    }
}

#[test]
fn a_run_gets_the_maps_server_and_credential() {
    let plan = planned(MAP);
    let defaults = &plan.template["variables"]["properties"]["env"]["default"];
    let expected = json!({
        "PREFECT_API_URL": "http://prefect.prefect:4200/api", "PREFECT_API_KEY": null, "PREFECT_API_AUTH_STRING": null, "PREFECT_HOME": null,
        "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "crash",
    });
    assert_eq!(*defaults, expected);
    let credential = |text: &str| {
        let plan = planned(text);
        let all = plan.sizes["size-small"]["env"].as_array().expect("a list").clone();
        all.into_iter().filter(|variable| variable.get("valueFrom").is_some()).collect::<Vec<_>>()
    };
    let reference = |name: &str, key: &str| vec![json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "prefect-api-key", "key": key}}})];
    assert_eq!(credential(MAP), reference("PREFECT_API_AUTH_STRING", "auth-string"));
    let cloud = MAP.replace("http://prefect.prefect:4200/api", "https://api.prefect.cloud/api/accounts/a/workspaces/w");
    assert_eq!(credential(&cloud), reference("PREFECT_API_KEY", "key"));
    assert_eq!(credential(&MAP.replace("api_key_secret: prefect-api-key, ", "")), Vec::<Value>::new());
}

#[test]
fn variables_are_validated_as_far_as_a_schema_can() {
    let variables = planned(MAP).template["variables"].clone();
    assert_eq!(variables["additionalProperties"], false);
    assert_eq!(variables["properties"]["size"]["enum"], json!(["small", "xlarge-od"]));
    assert_eq!((&variables["properties"]["size"]["default"], variables.get("required")), (&json!("small"), None));
    assert_eq!(variables["properties"]["namespace"]["enum"], json!(["flows-ns"]));
    assert_eq!(variables["properties"]["finished_job_ttl"]["default"], 7200);
    assert!(variables["properties"].get("cpu_request").is_none(), "the size decides");
    let bare = map(&MAP.replace("image: 'registry.example/flows:1', ", ""));
    let plan = plan(&bare, "flows", "flows", &Choices { default_size: None, on_reclaim: OnReclaim::Reschedule }).expect("a pool");
    assert_eq!(plan.template["variables"]["required"], json!(["size", "image"]));
    assert_eq!(reading::on_reclaim(&plan.template), Some(OnReclaim::Reschedule));
}

#[test]
fn a_size_has_its_own_word_where_a_template_can_say_it() {
    let text = MAP.replace("gpu: 1,", "gpu: 1, service_account: big, finished_ttl: 1d, grace: 5m, run_as_user: 7, env: {TZ: CET, B: c}, labels: {a: b}, annotations: {c.d/e: f}, image_pull_secrets: [s],");
    let plan = planned(&text);
    let xlarge = &plan.sizes["size-xlarge-od"];
    assert_eq!((&xlarge["service_account_name"], &xlarge["finished_job_ttl"], &xlarge["grace"]), (&json!("big"), &json!(86400), &json!(300)));
    assert_eq!(xlarge["labels"], json!({"a": "b", "sbrun.dev/size": "xlarge-od"}));
    assert_eq!(xlarge["annotations"]["karpenter.sh/do-not-disrupt"], "true");
    assert_eq!(xlarge["image_pull_secrets"], json!([{"name": "s"}]));
    assert_eq!(plan.sizes["size-small"]["image_pull_secrets"], json!([]));
    assert_eq!(xlarge["security_context"]["runAsUser"], 7);
    let value = |size: &str, name: &str| {
        let all = plan.sizes[size]["env"].as_array().expect("a list");
        all.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].clone())
    };
    assert_eq!((value("size-small", "TZ"), value("size-xlarge-od", "TZ")), (Some(json!("UTC")), Some(json!("CET"))));
    assert_eq!((value("size-small", "B"), value("size-xlarge-od", "OMP_NUM_THREADS")), (None, Some(json!("1"))));
    // A job variable that nothing refers to would be taken, and do nothing.
    assert!(plan.template["variables"]["properties"].get("service_account_name").is_none());
    assert_eq!(broken(&plan.template), Vec::<String>::new());
    assert_eq!(plan.warnings, Vec::<String>::new());
    let own_image = planned(&MAP.replace("gpu: 1,", "gpu: 1, image: other, template: job.yaml,"));
    assert!(own_image.warnings.len() == 2 && own_image.warnings[0].contains("`xlarge-od`"), "{:?}", own_image.warnings);
}

#[test]
fn the_maps_own_job_template_lies_under_it() {
    let plan = planned(&MAP.replace("finished_ttl: 2h,", "finished_ttl: 2h, template: job.yaml,"));
    let pod = &manifest(&plan)["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["containers"][0]["volumeMounts"][0], json!({"name": "data", "mountPath": "/data"}));
    assert_eq!(pod["containers"][1], json!({"name": "proxy", "image": "proxy"}));
    let xlarge = &plan.sizes["size-xlarge-od"];
    assert_eq!(xlarge["node_selector"], json!({"workload": "xl", "zone": "a"}));
    assert_eq!(xlarge["tolerations"][1], json!({"key": "extra", "operator": "Exists"}));
    assert!(xlarge["env"].as_array().is_some_and(|all| all.contains(&json!({"name": "A", "value": "b"}))));
    assert_eq!(broken(&plan.template), Vec::<String>::new());
}

#[test]
fn what_no_pool_can_be_is_refused_whole() {
    let problems = |from: &str, to: &str| plan(&map(&MAP.replace(from, to)), "flows", "flows", &choices()).expect_err("no pool").join("\n");
    assert!(problems("api_url: 'http://prefect.prefect:4200/api', ", "").contains("no `prefect.api_url`"));
    assert!(problems("http://prefect.prefect:4200/api", "http://127.0.0.1:4200/api").contains("the pod itself"));
    assert!(problems("  small:", "  smaller:").contains("default size `small` is not in the map"));
    assert!(problems("xlarge-od:", "x.large:").contains("size `x.large`"));
    assert!(problems("env: {TZ: UTC}", "annotations: {a.b/c: '{{ date }}'}").contains("{{ date }}"));
    for (url, loops) in [
        ("http://localhost/api", true),
        ("http://u:p@127.0.0.1:4200/api", true),
        ("http://[::1]:4200", true),
        ("http://localhost.example", false),
        ("https://api.prefect.cloud/api", false),
    ] {
        assert_eq!(is_loopback(url), loops, "{url}");
    }
}

#[test]
fn edits_are_kept_and_conflicts_are_told() {
    let written = planned(MAP).template;
    let mut there = written.clone();
    let pod = |template: &mut Value| template.pointer_mut("/job_configuration/job_manifest/spec/template/spec").expect("a pod").clone();
    let set = |template: &mut Value, pointer: &str, value: Value| {
        let (parent, key) = pointer.rsplit_once('/').expect("a parent");
        template.pointer_mut(parent).expect(parent)[key] = value;
    };
    set(&mut there, "/job_configuration/job_manifest/spec/template/spec/priorityClassName", json!("mine"));
    set(&mut there, "/variables/properties/size/default", json!("xlarge-od"));
    let volumes = "/job_configuration/job_manifest/spec/template/spec/volumes";
    there.pointer_mut(volumes).and_then(Value::as_array_mut).expect("volumes").push(json!({"name": "data", "emptyDir": {}}));
    // Nobody asked for a change: all edits stay, and nothing is to be done.
    let merged = merge(Some(&written), &there, &written);
    assert_eq!((merged.template, merged.conflicts.len(), merged.kept.len()), (there.clone(), 0, 3));
    // The map has changed meanwhile, elsewhere.
    let wanted = planned(&MAP.replace("finished_ttl: 2h", "finished_ttl: 3h")).template;
    let merged = merge(Some(&written), &there, &wanted);
    assert_eq!((merged.conflicts.len(), merged.kept.len()), (0, 3), "{merged:?}");
    assert_eq!(merged.template["variables"]["properties"]["finished_job_ttl"]["default"], 10800);
    assert_eq!(pod(&mut merged.template.clone())["priorityClassName"], "mine");
    // The map has changed the same.
    set(&mut there, "/variables/properties/finished_job_ttl/default", json!(60));
    let merged = merge(Some(&written), &there, &wanted);
    assert_eq!(merged.conflicts.len(), 1);
    let expected =
        merge::Difference { path: "variables.properties.finished_job_ttl.default".into(), there: Some(json!(60)), wanted: Some(json!(10800)) };
    assert_eq!(merged.conflicts[0], expected);
    // A pool that sbrun did not make.
    let merged = merge(None, &json!({"job_configuration": {"env": "{{ env }}", "mine": 1}, "variables": {}}), &written);
    assert!(merged.conflicts.is_empty() && merged.kept.len() == 1, "{merged:?}");
}

/// Returns the pool that a plan makes.
fn made(plan: &PoolPlan) -> LivePool {
    let block = LiveBlock { id: "1".into(), sizes: plan.sizes.clone(), written: Some(plan.template.clone()) };
    LivePool { kind: "kubernetes".into(), template: plan.template.clone(), block: Some(block) }
}

#[test]
fn retries_that_nobody_sees_are_found() {
    let mut live = made(&planned(MAP));
    assert_eq!(hidden_retries(&live), Vec::<String>::new());
    live.template["variables"]["properties"]["env"]["default"]["PREFECT_FLOWS_DEFAULT_RETRIES"] = json!("3");
    assert_eq!(hidden_retries(&live), ["PREFECT_FLOWS_DEFAULT_RETRIES=3"]);
    let of_map = made(&planned(&MAP.replace("TZ: UTC", "PREFECT_FLOW_DEFAULT_RETRIES: 2")));
    assert_eq!(hidden_retries(&of_map), ["PREFECT_FLOW_DEFAULT_RETRIES=2"]);
    assert_eq!(hidden_retries(&made(&planned(&MAP.replace("TZ: UTC", "PREFECT_FLOW_DEFAULT_RETRIES: 0")))), Vec::<String>::new());
}

#[test]
fn an_update_writes_what_differs_and_nothing_else() {
    let plan = planned(MAP);
    let live = made(&plan);
    let update = live.update(&plan, Edits::Kept);
    assert!(update.is_empty() && update.is_noted);
    assert_eq!(live.chosen(None, None), Some(choices()), "what nobody says stays");
    assert_eq!(live.unknown_sizes(), Vec::<&str>::new());
    // Only a footprint: the template says it in words, the block in numbers.
    let next = planned(&MAP.replace("6Gi", "7Gi"));
    let update = live.update(&next, Edits::Kept);
    assert!(update.changes_template && update.changes_sizes && !update.shrinks(&live));
    // Its block is gone: nothing says what a size comes to.
    let lost = LivePool { block: None, ..live.clone() };
    assert_eq!(lost.unknown_sizes(), ["small", "xlarge-od"]);
    let update = lost.update(&plan, Edits::Kept);
    assert!(update.changes_sizes && !update.changes_template && !update.is_noted);
}

#[test]
fn who_would_be_stranded_is_named() {
    let live = made(&planned(MAP));
    let smaller = planned(&MAP.replace("xlarge-od", "huge"));
    let update = live.update(&smaller, Edits::Kept);
    assert!(update.shrinks(&live));
    let user = |name: &str, size: Option<&str>| User { what: "deployment", name: name.into(), size: size.map(Into::into) };
    let users = [user("a/b", Some("xlarge-od")), user("a/c", Some("small")), user("a/d", None)];
    assert_eq!(update.stranded(&live, &users), ["deployment `a/b` asks for size `xlarge-od`, which would go"]);
    // While the template is replaced, the sizes of both are there.
    let meanwhile = update.sizes_meanwhile(&live);
    assert_eq!(meanwhile.keys().collect::<Vec<_>>(), ["size-huge", "size-small", "size-xlarge-od"]);
    let without = plan(&map(MAP), "flows", "flows-ns", &Choices { default_size: None, ..choices() }).expect("a pool");
    let update = live.update(&without, Edits::Kept);
    assert_eq!(update.stranded(&live, &users), ["deployment `a/d` names no size, and there would be no default"]);
    // Somebody chose a default by hand that goes.
    let mut edited = live.clone();
    edited.template["variables"]["properties"]["size"]["default"] = json!("xlarge-od");
    let update = edited.update(&smaller, Edits::Kept);
    assert_eq!(update.conflicts.len(), 1, "{:?}", update.conflicts);
    assert_eq!(update.template["variables"]["properties"]["size"]["default"], "small");
    assert!(edited.update(&smaller, Edits::Overwritten).conflicts.is_empty());
}
