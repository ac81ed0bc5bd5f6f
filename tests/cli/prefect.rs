//! `sbrun prefect` where there is no Prefect server, or none that answers.

use crate::common::sandbox::Sandbox;

const MAP: &str = "version: 1\ncluster: {namespace: flows}\nprefect: {api_url: 'http://prefect.prefect:4200/api', work_pool: flows}\n\
                   defaults: {image: x}\nsizes:\n  small: {footprint: {cpu: 1, memory: 1Gi}}\n";

fn sandbox(map: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("instance-map.yaml", map);
    sandbox
}

#[test]
fn a_pool_can_be_looked_at_before_there_is_a_server() {
    let create = ["prefect", "pool", "create", "--on-reclaim", "crash", "--dry-run"];
    let shown = sandbox(MAP).command([&create[..], &["-o", "json"]].concat()).exits(0).json();
    assert_eq!((&shown["name"], &shown["type"]), (&"flows".into(), &"kubernetes".into()), "{shown:#}");
    assert_eq!(shown["base_job_template"]["variables"]["required"], serde_json::json!(["size"]));
    assert!(sandbox(MAP).command(create).exits(0).text().contains("backoffLimit: 0"));
    // What cannot be a pool is said, all at once.
    let wrong = MAP.replace("http://prefect.prefect:4200", "http://localhost:4200").replace("small", "s.mall");
    drop(sandbox(&wrong).command(create).exits(78).says(&["leads to the pod itself", "size `s.mall`"]));
    drop(sandbox(MAP).command([&create[..], &["--default-size", "huge"]].concat()).exits(78).says(&["`huge` is not in the map"]));
    let nameless = MAP.replace(", work_pool: flows", "");
    drop(sandbox(&nameless).command(create).exits(2).says(&["which work pool?"]));
    let placeless = MAP.replace("cluster: {namespace: flows}\n", "");
    drop(sandbox(&placeless).command(create).exits(2).says(&["in which namespace"]));
    drop(sandbox(MAP).command(["prefect", "pool", "create"]).exits(2).says(&["--on-reclaim"]));
}

#[test]
fn without_a_server_it_is_said_what_to_do() {
    let mut sandbox = sandbox(MAP);
    for arguments in [["pool", "show"], ["pool", "diff"], ["pool", "update"]] {
        drop(sandbox.command([&["prefect"], &arguments[..]].concat()).exits(78).says(&["PREFECT_API_URL"]));
    }
    let resize = ["prefect", "resize", "etl/nightly", "--size", "small"];
    drop(sandbox.command(resize).exits(78).says(&["PREFECT_API_URL"]));
    drop(sandbox.command([&resize[..], &["--next", "0"]].concat()).exits(2));
    // Nobody listens there.
    sandbox.set("PREFECT_API_URL", "http://127.0.0.1:9/api");
    drop(sandbox.command(["prefect", "pool", "show"]).exits(69).says(&["127.0.0.1:9"]));
    drop(sandbox.command(resize).exits(69).says(&["127.0.0.1:9"]));
}
