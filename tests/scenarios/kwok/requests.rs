//! What following costs the API server, by its own audit log: every request of one follower, wherever it is about.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use sbrun::kubernetes::retry::MOST_PER_SECOND;
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok, within},
    sandbox::Running,
};

/// What follows so soon after the first watch belongs to the start of a command, which looks closely once.
const START: SignedDuration = SignedDuration::from_secs(5);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// How long each of them follows, at least.
const ENOUGH: SignedDuration = SignedDuration::from_secs(18);
const USERS: [&str; 5] = ["pending", "running", "reading", "waiting", "several"];

/// Starts a command as a user of its own, by whose name the audit log tells its requests.
fn start_as(namespace: &mut Namespace, user: &str, arguments: &[&str]) -> Running {
    namespace.become_administrator(user);
    namespace.sandbox.start(arguments)
}

/// Returns when each request of a user came, with what it was, in order.
fn requests(namespace: &Namespace, user: &str) -> Vec<(Timestamp, String)> {
    let name = format!("system:serviceaccount:{}:{user}", namespace.name);
    // A watch is in the log when it begins and when it ends.
    let entries: BTreeMap<String, Value> = namespace
        .cluster
        .audited(|entry| entry["user"]["username"] == *name)
        .into_iter()
        .map(|entry| (entry["auditID"].as_str().unwrap().to_owned(), entry))
        .collect();
    let mut requests: Vec<(Timestamp, String)> = entries
        .values()
        .map(|entry| {
            let at = entry["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap();
            (at, format!("{} {}", entry["verb"].as_str().unwrap(), entry["requestURI"].as_str().unwrap()))
        })
        .collect();
    requests.sort();
    requests
}

/// Returns for how long a user has been following by now: from the first watch to the last request.
fn followed_for(namespace: &Namespace, user: &str) -> SignedDuration {
    let requests = requests(namespace, user);
    let began = requests.iter().find(|(_, what)| what.starts_with("watch ")).map(|(at, _)| *at);
    began.zip(requests.last()).map_or(SignedDuration::ZERO, |(began, (last, _))| last.duration_since(began))
}

/// Asserts that a user who followed so many jobs asked little in every second, and that there was something to count.
#[track_caller]
fn asked_little(namespace: &Namespace, user: &str, jobs: usize) {
    let requests = requests(namespace, user);
    let began = requests.iter().find(|(_, what)| what.starts_with("watch ")).unwrap_or_else(|| panic!("{user} never watched: {requests:#?}")).0;
    let followed: Vec<_> = requests.iter().filter(|(at, _)| *at >= began + START).collect();
    let spent = followed.last().map_or(SignedDuration::ZERO, |(last, _)| last.duration_since(began + START));
    assert!(spent >= SignedDuration::from_secs(5) && followed.len() >= 4, "{user} hardly followed: {requests:#?}");
    for (from, _) in &followed {
        let within: Vec<_> = followed.iter().filter(|(at, _)| *at >= *from && *at < *from + SECOND).collect();
        assert!(within.len() <= MOST_PER_SECOND * jobs, "{user}: {} requests within a second: {within:#?}", within.len());
    }
}

/// Appends a line to a simulated container's log a hundred times a second, until it is dropped.
struct Chatter(Arc<AtomicBool>);

impl Chatter {
    fn start(log: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::thread::spawn(move || {
            let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
            while !ended.load(Ordering::Relaxed) {
                let stamp = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
                file.write_all(format!("{stamp} stdout F a word and another\n").as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self(over)
    }
}

impl Drop for Chatter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_follower_asks_little_in_every_second() {
    let cluster = kwok();
    for number in 0..6 {
        cluster.node(&format!("asked-{number}"), "asked", "1", "4Gi");
    }
    let mut namespace = cluster.namespace();
    namespace.map(&["asked", "nowhere"], "");
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let chatty = namespace.submit(&["-s", "asked", "--template", "template.json"]);
    let pod = || namespace.objects("pods").into_iter().find(|pod| pod["metadata"]["labels"]["job-name"] == json!(chatty));
    eventually("the pod", || pod().is_some());
    let pods = PathBuf::from(cluster.ready["pods"].as_str().unwrap());
    let log = pods.join(&namespace.name).join(pod().unwrap()["metadata"]["name"].as_str().unwrap()).join("flow.log");
    let chatter = Chatter::start(log);
    let others: Vec<String> = (0..3).map(|_| namespace.submit(&["-s", "asked", "--template", "template.json"])).collect();

    let leased = ["--on-interrupt", "cancel", "--lease", "10s", "flow.py"];
    let submit = [&["submit", "-s", "nowhere", "--pending-timeout", "1h"], &leased[..]].concat();
    let pending = start_as(&mut namespace, "pending", &submit);
    let running = start_as(&mut namespace, "running", &["submit", "-s", "asked", "--template", "template.json", "flow.py"]);
    let reading = start_as(&mut namespace, "reading", &["logs", "-f", &chatty]);
    let waiting = start_as(&mut namespace, "waiting", &["wait", &others[0]]);
    let several = start_as(&mut namespace, "several", &["wait", &others[0], &others[1], &others[2]]);
    for user in USERS {
        within(Duration::from_secs(150), "a while of following", || followed_for(&namespace, user) >= ENOUGH);
    }
    let jobs: Vec<String> = namespace.objects("jobs").iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    namespace.become_administrator("ender");
    let cancel: Vec<&str> = ["cancel"].into_iter().chain(jobs.iter().map(String::as_str)).collect();
    drop(namespace.sandbox.command(cancel).exits(0));
    for follower in [pending, running, waiting] {
        drop(follower.finish().exits(143));
    }
    drop(several.finish().exits(1));
    let read = reading.finish().exits(143);
    drop(chatter);
    assert!(read.text().lines().count() > 100, "there was something to read: {}", read.text().lines().count());
    for user in USERS {
        asked_little(&namespace, user, if user == "several" { others.len() } else { 1 });
    }
}
