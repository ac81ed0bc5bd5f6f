use super::*;
use crate::model::{instance_map::InstanceMap, setup::Asked};

const ALL: [Part; 5] = [Part::Policy, Part::Map, Part::Nodes, Part::Access, Part::Namespace];

fn rendered(sizes: &[String], asked: Asked, parts: &[Part]) -> Vec<Value> {
    let entry = |size: &String| format!("  {size}: {{image: x, footprint: {{cpu: 1, memory: 1Gi}}}}\n");
    let sizes = sizes.iter().map(entry).collect::<Vec<_>>().concat();
    let map = InstanceMap::parse(&format!("version: 1\nsizes:\n{sizes}"), "map", &mut |_| Err("none".into())).expect("the map is right");
    manifests(&Setup::resolve(&map, "flows", asked), parts, &BTreeMap::from([("instance-map.yaml".to_owned(), "x".to_owned())]))
}

fn kinds(manifests: &[Value]) -> Vec<&str> {
    manifests.iter().map(|manifest| manifest["kind"].as_str().unwrap_or_default()).collect()
}

#[test]
fn manifests_come_in_the_order_in_which_they_can_be_applied() {
    let all = rendered(&["a".into()], Asked::default(), &ALL);
    let found = kinds(&all);
    assert_eq!((found[0], found[found.len() - 3], found[found.len() - 1]), ("Namespace", "ConfigMap", "ValidatingAdmissionPolicyBinding"));
    assert!(all.iter().all(|manifest| manifest["metadata"]["labels"][PART_OF] == "sbrun"));
    assert_eq!(kinds(&rendered(&["a".into()], Asked::default(), &[Part::Map])), ["ConfigMap"]);
}

#[test]
fn a_limit_range_comes_only_with_a_quota_on_requests() {
    let with = |quota: &str| {
        let asked = Asked { quota: BTreeMap::from([(quota.to_owned(), "10".to_owned())]), ..Asked::default() };
        rendered(&["a".into()], asked, &[Part::Namespace])
    };
    assert!(!kinds(&rendered(&["a".into()], Asked::default(), &ALL)).contains(&"ResourceQuota"));
    assert_eq!(kinds(&with("pods"))[3..], ["ResourceQuota"]);
    let cpu = with("requests.cpu");
    assert_eq!(cpu[4]["spec"]["limits"], json!([{"type": "Container", "defaultRequest": {"cpu": "100m"}}]));
}

#[test]
fn a_refusal_fits_into_a_message_however_many_sizes_there_are() {
    let names: Vec<String> = (0..60).map(|number| format!("size-{number}")).collect();
    let policy = &rendered(&names, Asked::default(), &[Part::Policy])[0];
    let placement = policy["spec"]["variables"].as_array().into_iter().flatten().find(|variable| variable["name"] == "placement");
    let text = placement.and_then(|variable| variable["expression"].as_str()).unwrap_or_default();
    let message = text.split_once("? [] : [").map_or("", |(_, message)| message);
    assert!(message.contains("40 more, see `sbrun sizes`") && message.len() < 4 << 10, "{}", message.len());
    assert!(text.contains("'sbrun.dev/size=size-59' in variables.nodeSelector"), "all of them are admitted");
}

#[test]
fn a_worker_runs_on_a_machine_that_stays_and_watches_one_namespace() {
    let of = |prefect: &str, asked: Asked| {
        let text = format!("version: 1\nprefect: {prefect}\nsizes:\n  a: {{image: x, footprint: {{cpu: 1, memory: 1Gi}}}}\n");
        let map = InstanceMap::parse(&text, "map", &mut |_| Err("none".into())).expect("the map is right");
        manifests(&Setup::resolve(&map, "flows", asked), &[Part::Worker], &BTreeMap::new())
    };
    assert!(of("{api_url: 'http://p/api'}", Asked::default()).is_empty(), "of no pool there is no worker");
    let cloud = "{api_url: 'https://api.prefect.cloud/api/accounts/a/workspaces/w', api_key_secret: k, work_pool: pool of ours}";
    let elsewhere = Asked { worker: Some("prefect/w".parse().expect("a name")), worker_image: Some("own:1".into()), ..Asked::default() };
    let deployment = &of(cloud, elsewhere)[0];
    assert_eq!((&deployment["kind"], &deployment["metadata"]["namespace"]), (&json!("Deployment"), &json!("prefect")));
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!((&pod["serviceAccountName"], &pod["containers"][0]["image"]), (&json!("w"), &json!("own:1")));
    let environment = pod["containers"][0]["env"].as_array().expect("a list");
    let key = json!({"name": "PREFECT_API_KEY", "valueFrom": {"secretKeyRef": {"name": "k", "key": "key"}}});
    assert!(environment.contains(&key), "{environment:#?}");
    assert!(environment.contains(&json!({"name": "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "value": "flows"})));
    assert!(pod["containers"][0]["args"].as_array().is_some_and(|words| words.contains(&json!("pool of ours"))));
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    assert!(terms.to_string().contains("SPOT") && terms.to_string().contains("sbrun.dev/size"));
}
