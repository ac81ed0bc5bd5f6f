//! The work pool of an instance map, on a real Prefect server: how it is made, kept, and looked up by a real worker.

use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    prefect::{Prefect, prefect},
};

mod cloud;
mod faults;
mod runs;

/// What no size has in common with another: placement, footprint, a hyphen in a name, variables, a user.
const SIZES: &str = "  small: {footprint: {cpu: 100m, memory: 128Mi}, description: little things}
  xlarge-od:
    footprint: {cpu: 1500m, memory: 6Gi}
    node_selector: {workload: xl}
    tolerations: [{key: xl, operator: Exists}]
    env: {STAGE: big}
    grace: 5m
";

const NO_TEMPLATE: &Value = &Value::Null;

/// Returns a namespace of a team and its pool, with the sizes `small`, of which there is a machine, and `nowhere`.
fn team() -> (Namespace, String) {
    let mut namespace = kwok().namespace();
    kwok().node("small-1", "small", "8", "32Gi");
    namespace.map(&["small", "nowhere"], "");
    let pool = prefect().team(&mut namespace, "reschedule");
    (namespace, pool)
}

/// A namespace whose map has a pool of the same name.
struct Pool {
    namespace: Namespace,
    prefect: &'static Prefect,
}

impl Pool {
    fn new() -> Self {
        let prefect = prefect();
        let cluster = kwok();
        cluster.node("small-1", "small", "8", "32Gi");
        let mut namespace = cluster.namespace();
        namespace.sandbox.set("PREFECT_API_URL", prefect.api()).set("AWS_EC2_METADATA_DISABLED", "true").set("AWS_REGION", "us-east-1");
        let pool = Self { namespace, prefect };
        pool.map(SIZES, "");
        pool
    }

    fn name(&self) -> &str {
        &self.namespace.name
    }

    fn map(&self, sizes: &str, defaults: &str) {
        let name = self.name();
        let map = format!(
            "version: 1\ncluster: {{namespace: {name}}}\n\
             prefect: {{api_url: 'http://prefect.prefect:4200/api', api_key_secret: prefect-api-key, work_pool: {name}}}\n\
             defaults:\n  image: registry.example/flows:1\n  service_account: flows\n  env: {{TZ: UTC}}\n{defaults}sizes:\n{sizes}"
        );
        self.namespace.sandbox.write("instance-map.yaml", map);
    }

    #[track_caller]
    fn sbrun(&self, arguments: &[&str], code: i32) -> String {
        self.namespace.sandbox.command([&["prefect", "pool"], arguments].concat()).exits(code).to_string()
    }

    fn create(&self) {
        self.sbrun(&["create", "--on-reclaim", "crash", "--default-size", "small"], 0);
    }

    fn template(&self) -> Value {
        self.prefect.call("GET", &format!("/work_pools/{}", self.name()), &Value::Null)["base_job_template"].clone()
    }

    /// Edits the template as somebody does in Prefect's own user interface.
    fn edit(&self, pointer: &str, value: Value) {
        let mut template = self.template();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        template.pointer_mut(parent).unwrap()[key] = value;
        self.prefect.call("PATCH", &format!("/work_pools/{}", self.name()), &json!({"base_job_template": template}));
    }

    /// Returns the job variables that the server takes for a deployment.
    fn takes(&self, flow: &Value, job_variables: &Value) -> Result<String, String> {
        let name = format!("d{}", job_variables.to_string().bytes().map(u64::from).fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte)));
        let body = json!({"name": name, "flow_id": flow, "work_pool_name": self.name(), "job_variables": job_variables});
        match self.prefect.ask("POST", "/deployments/", &body) {
            (200 | 201, _) => Ok(name),
            (_, answer) => Err(answer.to_string()),
        }
    }
}

const POD: &str = "/job_configuration/job_manifest/spec/template/spec";

#[test]
fn a_pool_is_made_once_and_stays_what_the_map_says() {
    let pool = Pool::new();
    assert!(pool.sbrun(&["show"], 78).contains("there is no work pool"));
    let body = pool.namespace.sandbox.command(["prefect", "pool", "create", "--on-reclaim", "crash", "--dry-run", "-o", "json"]).exits(0).json();
    assert_eq!(body["sizes"]["size-xlarge-od"]["node_selector"], json!({"workload": "xl"}));
    assert_eq!(pool.prefect.ask("GET", &format!("/work_pools/{}", pool.name()), NO_TEMPLATE).0, 404, "a dry run makes nothing");
    pool.create();
    assert_eq!(body["base_job_template"]["job_configuration"], pool.template()["job_configuration"]);
    assert!(pool.sbrun(&["create", "--on-reclaim", "crash"], 78).contains("already"));
    assert!(pool.sbrun(&["diff"], 0).contains("is as the map says"));
    assert!(pool.sbrun(&["update", "--yes"], 0).contains("is as the map says"));
    let shown = pool.namespace.sandbox.command(["prefect", "pool", "show", "-o", "json"]).exits(0).json();
    assert_eq!((&shown["default_size"], &shown["on_reclaim"], &shown["broken"]), (&json!("small"), &json!("crash"), &json!([])), "{shown:#}");

    // The map changes: told, asked for, done.
    pool.map(&SIZES.replace("6Gi", "7Gi"), "  finished_ttl: 2h\n");
    let told = pool.sbrun(&["diff"], 1);
    assert!(told.contains("+      memory: 7Gi") && told.contains("+      default: 7200"), "{told}");
    assert!(pool.sbrun(&["update"], 2).contains("--yes"), "without a terminal it needs a word");
    pool.sbrun(&["update", "--yes"], 0);
    assert!(pool.sbrun(&["diff"], 0).contains("is as the map says"));
    assert_eq!(pool.template()["variables"]["properties"]["finished_job_ttl"]["default"], 7200);
}

#[test]
fn edits_by_hand_stay_and_what_breaks_a_rule_is_told() {
    let pool = Pool::new();
    pool.create();
    pool.edit(&format!("{POD}/priorityClassName"), json!("mine"));
    pool.edit("/variables/properties/size/default", json!("xlarge-od"));
    let shown = pool.sbrun(&["show"], 0);
    assert!(shown.contains("spec.priorityClassName") && shown.contains("xlarge-od (default)"), "{shown}");
    pool.map(SIZES, "  finished_ttl: 2h\n");
    pool.sbrun(&["update", "--yes"], 0);
    let template = pool.template();
    assert_eq!(template.pointer(&format!("{POD}/priorityClassName")), Some(&json!("mine")));
    assert_eq!(template["variables"]["properties"]["size"]["default"], "xlarge-od");
    assert_eq!(template["variables"]["properties"]["finished_job_ttl"]["default"], 7200);

    // Both sides changed the same; and a rule is broken.
    pool.edit("/variables/properties/finished_job_ttl/default", json!(60));
    pool.edit("/job_configuration/job_manifest/spec/backoffLimit", json!(4));
    pool.map(SIZES, "  finished_ttl: 3h\n");
    let refused = pool.sbrun(&["update", "--yes"], 78);
    for words in ["finished_job_ttl.default: there is 60, the map wants 10800", "spec.backoffLimit: there is 4, the map wants 0", "--overwrite"] {
        assert!(refused.contains(words), "{words}\n{refused}");
    }
    assert!(pool.sbrun(&["show"], 0).contains("Kubernetes and Prefect both retry"));
    pool.sbrun(&["update", "--yes", "--overwrite"], 0);
    let template = pool.template();
    assert_eq!(template.pointer("/job_configuration/job_manifest/spec/backoffLimit"), Some(&json!(0)));
    assert_eq!(template.pointer(&format!("{POD}/priorityClassName")), Some(&json!("mine")), "the others stay");
    pool.sbrun(&["update", "--yes", "--from-scratch", "--default-size", "small"], 0);
    assert_eq!(pool.template().pointer(&format!("{POD}/priorityClassName")), None);
    assert_eq!(pool.template()["variables"]["properties"]["size"]["default"], "small");
}

#[test]
fn a_size_in_use_does_not_go() {
    let pool = Pool::new();
    pool.create();
    let flow = pool.prefect.call("POST", "/flows/", &json!({"name": format!("etl-{}", pool.name())}))["id"].clone();
    let name = pool.takes(&flow, &json!({"size": "xlarge-od"})).unwrap();
    pool.map("  small: {footprint: {cpu: 100m, memory: 128Mi}}\n", "");
    let refused = pool.sbrun(&["update", "--yes"], 78);
    assert!(refused.contains(&format!("deployment `etl-{}/{name}` asks for size `xlarge-od`", pool.name())), "{refused}");
    let told = pool.namespace.sandbox.command(["prefect", "pool", "diff", "-o", "json"]).exits(1).json();
    assert_eq!(told["stranded"].as_array().map(Vec::len), Some(1), "{told:#}");
    // A run that has been scheduled at that size counts, too.
    let deployment =
        pool.prefect.call("GET", &format!("/deployments/name/etl-{}/{name}", pool.name()), NO_TEMPLATE)["id"].as_str().unwrap().to_owned();
    let later = json!({"type": "SCHEDULED", "state_details": {"scheduled_time": "2030-01-01T00:00:00Z"}});
    let run = pool.prefect.run(&deployment, &json!({"job_variables": {"size": "xlarge-od"}, "state": later}));
    pool.prefect.call("PATCH", &format!("/deployments/{deployment}"), &json!({"job_variables": {"size": "small"}}));
    assert!(pool.sbrun(&["update", "--yes"], 78).contains("scheduled run `"));
    pool.prefect.call("DELETE", &format!("/flow_runs/{run}"), NO_TEMPLATE);
    // Whoever names no size relies on the default.
    let unnamed = pool.takes(&flow, &json!({})).unwrap();
    assert!(pool.sbrun(&["update", "--yes", "--no-default-size"], 78).contains(&format!("/{unnamed}` names no size")));
    pool.sbrun(&["update", "--yes"], 0);
    assert_eq!(pool.template()["variables"]["properties"]["size"]["enum"], json!(["small"]));
}

#[test]
fn the_server_refuses_what_the_schema_does_not_know() {
    let pool = Pool::new();
    pool.create();
    let flow = pool.prefect.call("POST", "/flows/", &json!({"name": format!("schema-{}", pool.name())}))["id"].clone();
    for good in [json!({}), json!({"size": "xlarge-od", "image": "x", "env": {"A": "b"}}), json!({"env.A": "b"}), json!({"labels": {"a": "b"}})] {
        assert!(pool.takes(&flow, &good).is_ok(), "{good}: {:?}", pool.takes(&flow, &good));
    }
    for (bad, words) in [
        (json!({"size": "huge"}), "'huge' is not one of"),
        (json!({"sizee": "small"}), "sizee"),
        (json!({"cpu_request": "64"}), "cpu_request"),
        (json!({"namespace": "kube-system"}), "'kube-system' is not one of"),
        (json!({"annotations": {"karpenter.sh/do-not-disrupt": "false"}}), "do-not-disrupt"),
        (json!({"labels": {"sbrun.dev/size": "huge"}}), "sbrun.dev/size"),
    ] {
        assert!(pool.takes(&flow, &bad).is_err_and(|answer| answer.contains(words)), "{bad}: {:?}", pool.takes(&flow, &bad));
    }
}

/// The look-up in two steps, which Prefect does not document: the one reason for a block is that this works.
#[test]
fn a_worker_makes_of_a_size_what_the_map_says() {
    let pool = Pool::new();
    let namespace = &pool.namespace;
    namespace.cluster.node_with("xl-1", &json!({"workload": "xl"}), &json!([{"key": "xl", "value": "x", "effect": "NoSchedule"}]), "8", "32Gi");
    namespace.kubectl(&["create", "secret", "generic", "prefect-api-key", "--from-literal=auth-string=a:b"]);
    // Pod Security `restricted`, and the admission policy.
    drop(namespace.sandbox.command(["setup", "--apply", "--yes"]).exits(0));
    pool.create();
    // What a worker has of its own, it would hand on in clear.
    let home = namespace.sandbox.path("worker");
    let own = [("PREFECT_API_AUTH_STRING", "w:secret"), ("PREFECT_API_KEY", "pnu_secret"), ("PREFECT_HOME", home.to_str().unwrap())];
    let _worker = pool.prefect.worker_with(namespace, pool.name(), &own);
    let deployment = pool.prefect.deployment(pool.name(), "work", &json!({}));
    let run = pool.prefect.run(&deployment, &json!({"job_variables": {"size": "xlarge-od", "env": {"MINE": "1"}}}));
    eventually("the Job of the run", || !namespace.objects("jobs").is_empty());
    let job = namespace.objects("jobs").remove(0);
    assert_eq!(job["metadata"]["labels"]["prefect.io/flow-run-id"], json!(run));
    assert_eq!(job["metadata"]["labels"]["sbrun.dev/size"], "xlarge-od");
    assert_eq!((&job["spec"]["backoffLimit"], &job["spec"]["podReplacementPolicy"]), (&json!(0), &json!("Failed")));
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 7 * 24 * 3600);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"workload": "xl"}));
    assert_eq!(pod["tolerations"], json!([{"key": "xl", "operator": "Exists"}]));
    assert_eq!((&pod["terminationGracePeriodSeconds"], &pod["serviceAccountName"]), (&json!(300), &json!("flows")));
    let container = &pod["containers"][0];
    assert_eq!(container["resources"], json!({"limits": {"memory": "6Gi"}, "requests": {"cpu": "1500m", "memory": "6Gi"}}));
    let variable = |name: &str| container["env"].as_array().unwrap().iter().filter(|variable| variable["name"] == name).cloned().collect::<Vec<_>>();
    let value = |name: &str, value: &str| vec![json!({"name": name, "value": value})];
    assert_eq!(variable("PREFECT_API_URL"), value("PREFECT_API_URL", "http://prefect.prefect:4200/api"), "the map's, not the worker's");
    let reference = json!({"secretKeyRef": {"name": "prefect-api-key", "key": "auth-string"}});
    assert_eq!(variable("PREFECT_API_AUTH_STRING"), vec![json!({"name": "PREFECT_API_AUTH_STRING", "valueFrom": reference})]);
    assert_eq!(variable("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"), value("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "crash"));
    assert_eq!((variable("PREFECT_HOME"), variable("PREFECT_API_KEY")), (vec![], vec![]), "the worker's own");
    assert!(!job.to_string().contains("secret\""), "{job:#}");
    assert_eq!((variable("STAGE"), variable("MINE"), variable("TZ")), (value("STAGE", "big"), value("MINE", "1"), value("TZ", "UTC")));
    eventually("its pod, on the machine of its size", || {
        namespace.objects("pods").iter().any(|pod| pod["spec"]["nodeName"] == "xl-1" && pod["metadata"]["labels"]["sbrun.dev/size"] == "xlarge-od")
    });
    let annotations = namespace.objects("pods")[0]["metadata"]["annotations"].clone();
    assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
}

#[test]
fn the_next_scheduled_run_gets_another_size() {
    let pool = Pool::new();
    pool.create();
    let deployment = pool.prefect.deployment(pool.name(), "work", &json!({"size": "small"}));
    let name = format!("work/{}", pool.name());
    let resize = |arguments: &[&str], code: i32| pool.namespace.sandbox.command([&["prefect", "resize"], arguments].concat()).exits(code);
    assert!(resize(&[&name, "--size", "xlarge-od"], 78).to_string().contains("no run of deployment"));
    assert!(resize(&[&name, "--size", "xlarge"], 78).to_string().contains("did you mean `xlarge-od`?"));
    assert!(resize(&[&format!("wrok/{}", pool.name()), "--size", "small"], 78).to_string().contains(&format!("did you mean `{name}`?")));
    assert!(resize(&["work", "--size", "small"], 2).to_string().contains("flow/deployment"));
    let schedule = json!({"active": true, "schedule": {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z"}});
    pool.prefect.call("POST", &format!("/deployments/{deployment}/schedules"), &json!([schedule]));
    pool.prefect.call("POST", &format!("/deployments/{deployment}/schedule"), &json!({"min_runs": 3}));
    let done = resize(&[&name, "--size", "xlarge-od", "-o", "json"], 0).json();
    let (first, second) = (done["runs"][0]["id"].as_str().unwrap(), done["then"]["id"].as_str().unwrap());
    assert_eq!((&done["runs"][0]["was"], &done["then"]["was"]), (&json!("small"), &json!("small")), "{done:#}");
    assert_eq!(pool.prefect.flow_run(first)["job_variables"]["size"], "xlarge-od");
    assert_eq!(pool.prefect.flow_run(second)["job_variables"]["size"], Value::Null);
    assert!(done["runs"][0]["expected_start"].as_str() < done["then"]["expected_start"].as_str());
    let told = resize(&[&name, "--size", "xlarge-od", "--next", "2"], 0).to_string();
    assert!(told.contains("then the schedule starts `") && told.contains("at size small"), "{told}");
    assert_eq!(pool.prefect.flow_run(second)["job_variables"]["size"], "xlarge-od");
}

#[test]
fn doctor_looks_at_server_pool_worker_and_rights() {
    let pool = Pool::new();
    let namespace = &pool.namespace;
    let look = || {
        let document = namespace.sandbox.command(["doctor", "-o", "json"]).json();
        let findings = document["findings"].as_array().unwrap().clone();
        let of_prefect = findings.into_iter().filter(|finding| finding["code"].as_str().unwrap().starts_with("Prefect."));
        of_prefect.map(|finding| (finding["code"].as_str().unwrap().to_owned(), finding)).collect::<std::collections::BTreeMap<String, Value>>()
    };
    let severity = |found: &std::collections::BTreeMap<String, Value>, code: &str| {
        found.get(code).map(|finding| finding["severity"].as_str().unwrap().to_owned())
    };
    let found = look();
    assert_eq!(severity(&found, "Prefect.Server").as_deref(), Some("ok"), "{found:#?}");
    for (code, words) in [
        ("Prefect.Pool", "no such pool"),
        ("Prefect.Access", "no Secret `prefect-api-key`"),
        ("Prefect.Rights", "it may not get/list/watch/create/update/patch/delete `jobs`"),
    ] {
        assert!(severity(&found, code).as_deref() == Some("error") && found[code]["message"].as_str().unwrap().contains(words), "{code}: {found:#?}");
    }
    pool.create();
    namespace.kubectl(&["create", "secret", "generic", "prefect-api-key", "--from-literal=key=x"]);
    let found = look();
    assert!(found["Prefect.Access"]["message"].as_str().unwrap().contains("no entry `auth-string`"), "{found:#?}");
    assert!(found["Prefect.Worker"]["message"].as_str().unwrap().contains("never had a worker"), "{found:#?}");
    assert!(found["Prefect.Reclaim"]["message"].as_str().unwrap().contains("is Crashed"), "{found:#?}");
    namespace.kubectl(&["delete", "secret", "prefect-api-key"]);
    namespace.kubectl(&["create", "secret", "generic", "prefect-api-key", "--from-literal=auth-string=a:b"]);
    drop(namespace.sandbox.command(["setup", "namespace", "access", "--apply", "--yes"]).exits(0));
    let _worker = pool.prefect.worker(namespace, pool.name());
    let found = look();
    let bad: Vec<&Value> = found.values().filter(|finding| finding["severity"] != "ok").collect();
    assert!(bad.is_empty() && found.len() == 8, "{found:#?}");

    pool.edit("/variables/properties/env/default/PREFECT_FLOWS_DEFAULT_RETRIES", json!("3"));
    pool.edit(&format!("{POD}/restartPolicy"), json!("OnFailure"));
    pool.map(&SIZES.replace("xlarge-od", "huge"), "");
    let found = look();
    for (code, wanted) in [("Prefect.Retries", "warning"), ("Prefect.Template", "error"), ("Prefect.Pool", "error")] {
        assert_eq!(severity(&found, code).as_deref(), Some(wanted), "{code}: {found:#?}");
    }
    // A map without a word of Prefect is not asked about more than the server.
    namespace.map(&["small"], "");
    assert_eq!(look().keys().collect::<Vec<_>>(), ["Prefect.Server"]);
}

#[test]
fn the_worker_of_setup_is_admitted() {
    let pool = Pool::new();
    let namespace = &pool.namespace;
    drop(namespace.sandbox.command(["setup", "namespace", "access", "worker", "--apply", "--yes"]).exits(0));
    eventually("the worker's pod", || {
        let pods = namespace.objects("pods");
        pods.iter().any(|pod| {
            pod["metadata"]["labels"]["app.kubernetes.io/name"] == "prefect-worker" && pod["spec"]["serviceAccountName"] == "prefect-worker"
        })
    });
    namespace.map(&["small"], "");
    assert!(namespace.sandbox.command(["setup", "worker"]).exits(78).to_string().contains("which Prefect server and work pool"));
}
