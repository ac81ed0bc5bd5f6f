//! Each fault on the way to the API server, where it hurts most: exactly one Job, every line once, the right end.

use std::{fmt::Write as _, thread, time::Duration};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    fault_proxy::{
        After::{Bytes, Lines},
        End,
        Fault::{self, Busy, Cut, Delay, Expired, Garbled, NoContent, ResetAfter, ResetBefore, Stall, Status, Twice},
        FaultProxy, Rule,
    },
    sandbox::{Output, noise},
};

/// Faults that are tried at the same time.
const AT_ONCE: usize = 4;
/// Longer than any single request is waited for.
const LONG: Duration = Duration::from_secs(40);

/// What the flow of these tests prints.
fn truth() -> String {
    (0..40).fold(String::new(), |mut text, number| {
        writeln!(text, "line {number}").unwrap();
        text
    })
}

/// Returns a namespace behind a proxy, with a flow that prints [`truth`] and ends with 3.
fn behind_proxy() -> (Namespace, FaultProxy) {
    kwok().node("faults", "faults", "1000", "1000Gi");
    let mut namespace = kwok().namespace();
    let proxy = FaultProxy::before(&mut namespace);
    namespace.map(&["faults"], "");
    namespace.template(&json!({"kwok.test/run": "3s", "kwok.test/exit": "3", "kwok.test/log": truth()}));
    namespace.sandbox.write("flow.py", "print('simulated')\n");
    (namespace, proxy)
}

fn submit(namespace: &Namespace, further: &[&str]) -> Output {
    namespace.sandbox.command([&["submit", "-s", "faults", "--template", "template.json"], further, &["flow.py"]].concat())
}

/// Tries each, some at a time, and fails with all that went wrong.
fn for_each<T: Sync + std::fmt::Debug>(cases: &[T], holds: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| holds(case))).is_err() {
                    wrong.push(format!("{case:?}"));
                }
            }
            wrong
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "with these: {wrong:#?}");
}

#[test]
fn a_creation_makes_one_job() {
    let faults = [
        Delay(Duration::from_secs(2)),
        Stall(LONG),
        Status(500),
        Status(502),
        Status(503),
        Status(504),
        Busy { status: 429, seconds: 2 },
        ResetBefore,
        ResetAfter,
        Cut(Bytes(0), End::Clean),
        Cut(Bytes(200), End::Clean),
        Cut(Bytes(200), End::Reset),
        Cut(Bytes(200), End::Stall),
        Garbled,
        NoContent,
        Twice,
    ];
    for_each(&faults, |fault| {
        let (namespace, proxy) = behind_proxy();
        proxy.rule(Rule::new("POST", "/jobs", *fault));
        let output = submit(&namespace, &[]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
        assert_eq!((namespace.objects("jobs").len(), proxy.faults()), (1, 1), "{output}");
    });
}

#[test]
fn a_creation_in_several_requests_makes_one_job_with_its_files() {
    let cases: Vec<(&str, Fault)> = [("POST", "/jobs"), ("POST", "/configmaps"), ("PATCH", "/jobs/")]
        .iter()
        .flat_map(|(method, path)| [ResetAfter, Status(503), Cut(Bytes(100), End::Reset), Twice].map(|fault| (*method, *path, fault)))
        .map(|(method, path, fault)| (if method == "POST" { path } else { "PATCH" }, fault))
        .collect();
    for_each(&cases, |(place, fault)| {
        let (namespace, proxy) = behind_proxy();
        namespace.sandbox.write("noise.txt", noise(400_000));
        let rule = if *place == "PATCH" { Rule::new("PATCH", "/jobs/", *fault) } else { Rule::new("POST", place, *fault) };
        proxy.rule(rule);
        let output = submit(&namespace, &[]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
        let jobs = namespace.objects("jobs");
        assert_eq!((jobs.len(), proxy.faults()), (1, 1), "{output}");
        let files: Vec<_> = namespace.objects("configmaps").into_iter().filter(|map| map["metadata"]["name"] != "kube-root-ca.crt").collect();
        assert!(!files.is_empty() && files.iter().all(|map| map["metadata"]["ownerReferences"][0]["uid"] == jobs[0]["metadata"]["uid"]), "{files:?}");
    });
}

#[test]
fn a_log_comes_whole_and_once() {
    let faults = [
        Delay(Duration::from_secs(1)),
        Stall(Duration::from_secs(5)),
        Status(500),
        Status(503),
        Busy { status: 429, seconds: 1 },
        ResetBefore,
        ResetAfter,
        NoContent,
        Cut(Bytes(0), End::Clean),
        Cut(Bytes(35), End::Clean),
        Cut(Bytes(777), End::Reset),
        Cut(Bytes(777), End::Stall),
        Cut(Lines(1), End::Clean),
        Cut(Lines(39), End::Clean),
        Cut(Lines(40), End::Clean),
        Cut(Lines(17), End::Reset),
        Cut(Lines(17), End::Stall),
    ];
    for_each(&faults, |fault| {
        let (namespace, proxy) = behind_proxy();
        // Nothing tells half a log of a container that has ended from a whole one: that request may break and not lie.
        let lies = matches!(fault, Cut(_, End::Clean));
        proxy.rule(Rule::new("GET", if lies { "follow=true" } else { "/log?" }, *fault).times(2));
        let output = submit(&namespace, &[]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
        assert!(!output.stderr.contains("missing"), "a gap where there is none\n{output}");
        assert!(proxy.faults() > 0);
    });
}

#[test]
fn a_watch_is_only_a_hint() {
    let faults = [
        Status(410),
        Status(500),
        Status(503),
        Expired,
        ResetBefore,
        NoContent,
        Cut(Bytes(0), End::Clean),
        Cut(Lines(1), End::Reset),
        Garbled,
        Stall(LONG),
    ];
    for_each(&faults, |fault| {
        let (namespace, proxy) = behind_proxy();
        proxy.rule(Rule::new("GET", "watch=", *fault).times(usize::MAX));
        let output = submit(&namespace, &[]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
        let seen = proxy.seen();
        let most = seen.iter().map(|first| seen.iter().filter(|other| other.at >= first.at && (other.at - first.at).as_secs() < 2).count()).max();
        assert!(most.unwrap() <= 20, "{most:?} requests within 2 s: {seen:#?}");
    });
}

#[test]
fn a_look_that_fails_is_repeated() {
    let faults = [
        Stall(LONG),
        Status(500),
        Status(502),
        Busy { status: 429, seconds: 1 },
        ResetAfter,
        Cut(Bytes(300), End::Clean),
        Cut(Bytes(300), End::Stall),
        Garbled,
        NoContent,
    ];
    for_each(&faults, |fault| {
        let (namespace, proxy) = behind_proxy();
        proxy.rule(Rule::new("GET", "/jobs/", *fault).after(1).times(2)).rule(Rule::new("GET", "/pods?", *fault).after(1).times(2));
        let output = submit(&namespace, &[]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
        assert!(proxy.faults() > 0);
    });
}

#[test]
fn a_job_that_ended_before_the_first_look_still_tells_its_output() {
    for_each(&[("/jobs/", Stall(LONG)), ("/pods?", Stall(LONG)), ("/pods?", Cut(Bytes(300), End::Stall))], |(path, fault)| {
        let (namespace, proxy) = behind_proxy();
        drop(submit(&namespace, &["--key", "k"]).exits(3));
        proxy.rule(Rule::new("GET", path, *fault).after(1).times(2));
        let output = submit(&namespace, &["--key", "k"]).exits(3);
        assert_eq!(output.text(), truth(), "{output}");
    });
}

#[test]
fn a_server_that_does_not_answer_for_a_while_is_announced_and_awaited() {
    let (namespace, proxy) = behind_proxy();
    let mut running = namespace.sandbox.start(["submit", "-s", "faults", "--template", "template.json", "flow.py"]);
    running.until("line 0");
    proxy.rule(Rule::new("", "", ResetBefore).times(usize::MAX));
    running.until("the job goes on");
    proxy.calm();
    let output = running.finish().exits(3).says(&["answers again"]);
    assert_eq!(output.text(), truth(), "{output}");
}

#[test]
fn a_cancellation_is_carried_out_once_whatever_becomes_of_its_answer() {
    for_each(&[ResetAfter, ResetBefore, Status(500), Busy { status: 429, seconds: 1 }, Twice, Cut(Bytes(50), End::Reset)], |fault| {
        let (namespace, proxy) = behind_proxy();
        namespace.template(&json!({"kwok.test/run": "1h"}));
        let name = submit(&namespace, &["-d", "-o", "name"]).exits(0).text().trim().to_owned();
        proxy.rule(Rule::new("PATCH", "/jobs/", *fault));
        drop(namespace.sandbox.command(["cancel", "-m", "once", &name]).exits(0));
        drop(namespace.sandbox.command(["wait", &name]).exits(143));
        assert_eq!(proxy.faults(), 1);
    });
}

#[test]
fn a_runner_that_is_told_to_stop_leaves_in_time_even_when_nothing_answers() {
    let (namespace, proxy) = behind_proxy();
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let mut running = namespace.sandbox.start(["submit", "-s", "faults", "--on-interrupt", "cancel", "--template", "template.json", "flow.py"]);
    running.until("running");
    proxy.rule(Rule::new("", "", Stall(LONG)).times(usize::MAX));
    let told = std::time::Instant::now();
    running.signal(Signal::SIGTERM);
    let output = running.finish().exits(69).says(&["may still run"]);
    assert!(told.elapsed() < Duration::from_secs(7), "a CI runner gives 7.5 s\n{output}");
    proxy.calm();
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    drop(namespace.sandbox.command(["cancel", &name]).exits(0));
}

#[test]
fn a_removal_is_repeated_and_never_takes_another_job() {
    for_each(&[ResetAfter, ResetBefore, Status(503), Busy { status: 429, seconds: 1 }, Twice, Cut(Bytes(20), End::Reset)], |fault| {
        let (namespace, proxy) = behind_proxy();
        let output = submit(&namespace, &["-o", "json"]).exits(3);
        let name = output.json()["name"].as_str().unwrap().to_owned();
        eventually("the Job is closed", || {
            !namespace.objects("jobs")[0]["status"]["completionTime"].is_null()
                || namespace.objects("jobs")[0]["status"]["conditions"].to_string().contains("\"Failed\"")
        });
        proxy.rule(Rule::new("DELETE", "/jobs/", *fault));
        drop(namespace.sandbox.command(["clean", "--yes", &name]).exits(0));
        assert!(namespace.objects("jobs").is_empty());
        assert_eq!(proxy.faults(), 1);
    });
}

#[test]
fn a_token_that_is_refused_half_way_ends_the_following_and_not_the_job() {
    let (namespace, proxy) = behind_proxy();
    namespace.template(&json!({"kwok.test/run": "8s", "kwok.test/log": truth()}));
    let mut running = namespace.sandbox.start(["submit", "-s", "faults", "--key", "k", "--template", "template.json", "flow.py"]);
    running.until("line 39");
    proxy.rule(Rule::new("", "", Status(401)).times(usize::MAX));
    drop(running.finish().exits(77).says(&["credentials"]));
    proxy.calm();
    let again = submit(&namespace, &["--key", "k"]).exits(0);
    assert_eq!(again.text(), truth());
}
