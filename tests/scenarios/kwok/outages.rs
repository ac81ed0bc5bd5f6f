//! A job that is followed while API server and etcd are away, with a log whose lines have equal times.

use std::{fs::OpenOptions, io::Write, path::PathBuf, time::Duration};

use serde_json::json;

use super::endings::{ended_with, kubelet_writes};
use crate::common::{
    cluster::{Namespace, OwnCluster, eventually, within},
    sandbox::Running,
};

/// An API server asks for an etcd that was away more and more seldom.
const LONG: Duration = Duration::from_secs(150);

/// The log of a simulated container, in the runtime's format.
struct Log(PathBuf);

impl Log {
    fn of(cluster: &OwnCluster, namespace: &Namespace, pod: &str) -> Self {
        let folder = PathBuf::from(cluster.ready["pods"].as_str().unwrap()).join(&namespace.name).join(pod);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("flow.log"))
    }

    /// Writes lines that all have one time.
    fn write(&self, lines: std::ops::Range<usize>) {
        let now = jiff::Timestamp::now();
        let line = |number| format!("{now:.9} stdout F {}\n{now:.9} stdout F the same\n", text(number));
        let text = lines.map(line).collect::<Vec<_>>().concat();
        OpenOptions::new().create(true).append(true).open(&self.0).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

fn text(number: usize) -> String {
    format!("line {number}")
}

fn has(running: &Running, number: usize) -> bool {
    String::from_utf8_lossy(&running.output()).contains(&format!("{}\n", text(number)))
}

#[test]
fn api_server_and_etcd_are_restarted_under_a_followed_job() {
    let cluster = OwnCluster::start(&["kwok"]);
    cluster.node("n1", "small", "4", "8Gi");
    let namespace = cluster.namespace();
    namespace.map(&["small"], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    let mut running = namespace.sandbox.start(["submit", "-s", "small", "--template", "template.json", "flow.py"]);
    running.until("running");
    let pod = namespace.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let log = Log::of(&cluster, &namespace, &pod);
    log.write(0..20);
    eventually("the first lines", || has(&running, 19));

    cluster.order("stop-apiserver");
    log.write(20..40);
    running.until("the job goes on, sbrun keeps trying");
    cluster.order("start-apiserver");
    within(LONG, "what was written meanwhile", || has(&running, 39));

    log.write(40..60);
    eventually("more lines", || has(&running, 59));
    let notices = running.notices("the job goes on, sbrun keeps trying");
    cluster.order("stop-etcd");
    log.write(60..80);
    within(LONG, "a notice about etcd", || running.notices("the job goes on, sbrun keeps trying") > notices);
    cluster.order("start-etcd");
    log.write(80..100);
    within(LONG, "the last lines", || has(&running, 99));

    kubelet_writes(&namespace, &pod, &ended_with(7));
    let output = running.finish().exits(7).says(&["answers again after", "the flow ended with code 7"]);
    let expected = (0..100).map(|number| format!("{}\nthe same\n", text(number))).collect::<Vec<_>>().concat();
    assert_eq!(output.text(), expected, "{}", output.stderr);
    assert!(!output.stderr.contains("may be missing"), "{}", output.stderr);
    assert_eq!((namespace.objects("jobs").len(), namespace.objects("pods").len()), (1, 1));
}
