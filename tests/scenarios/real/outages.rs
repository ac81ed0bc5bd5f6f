//! A job that is followed while parts of the cluster are away: no line is lost or repeated, and the verdict is right.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use crate::common::{
    cluster::{Cluster, Namespace, OwnCluster, eventually, images, strained, within},
    line::Line,
    sandbox::Running,
};

/// What the flow prints as its `number`th piece: lines, alike ones, long ones, redrawn ones, and some that are no text.
fn piece(number: usize) -> Vec<u8> {
    let text = format!("line {number}");
    match number % 50 {
        10 => format!("{text} {}\n", "x".repeat(20 << 10)).into_bytes(),
        20 => format!("{text} 10%\r{text} 20%\n").into_bytes(),
        30 => [text.as_bytes(), b" \xff\xfe\n"].concat(),
        40 => b"the same\nthe same\nthe same\n".to_vec(),
        _ => format!("{text}\n").into_bytes(),
    }
}

/// Prints what [`piece`] says, several at once, until the file `/tmp/stop` is there.
const FLOW: &str = r#"
import os, sys, time

def piece(number):
    text = b"line %d" % number
    match number % 50:
        case 10: return text + b" " + b"x" * (20 << 10) + b"\n"
        case 20: return text + b" 10%\r" + text + b" 20%\n"
        case 30: return text + b" \xff\xfe\n"
        case 40: return b"the same\n" * 3
        case _: return text + b"\n"

number = 0
while not os.path.exists("/tmp/stop"):
    sys.stdout.buffer.write(b"".join(piece(number + more) for more in range(10)))
    sys.stdout.flush()
    number += 10
    time.sleep(0.05)
sys.stdout.buffer.write(b"%d pieces\n" % number)
sys.exit(7)
"#;

/// An API server asks for an etcd that was away more and more seldom.
const LONG: Duration = Duration::from_secs(150);

/// Returns how many lines have come.
fn lines(running: &Running) -> usize {
    running.output().split(|byte| *byte == b'\n').count()
}

/// Waits until a hundred more lines have come.
fn goes_on(running: &Running) {
    let before = lines(running);
    eventually("more output", || lines(running) > before + 100);
}

/// Ends the flow from inside.
fn end_flow(namespace: &Namespace) {
    let pod = namespace.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    namespace.kubectl(&["exec", &pod, "--", "touch", "/tmp/stop"]);
}

fn only<'value>(objects: &'value [Value], kind: &str) -> &'value Value {
    assert_eq!(objects.len(), 1, "{kind}: {objects:#?}");
    &objects[0]
}

#[test]
fn api_server_etcd_and_kubelet_are_restarted_under_a_followed_job() {
    let arguments = ["real", "--node", "n1 labels=sbrun.dev/size=small"].map(ToOwned::to_owned);
    let cluster = OwnCluster::start(&[&arguments[..], &images()].concat());
    let namespace = cluster.namespace();
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", FLOW);
    let mut running = namespace.sandbox.start(["submit", "-s", "small", "flow.py"]);
    running.until("line 55");

    cluster.order("stop-apiserver");
    running.until("the job goes on, sbrun keeps trying");
    cluster.order("start-apiserver");
    running.until("answers again after");
    goes_on(&running);

    cluster.order("stop-etcd");
    let notices = running.notices("the job goes on, sbrun keeps trying");
    within(LONG, "a further notice", || running.notices("the job goes on, sbrun keeps trying") > notices);
    cluster.order("start-etcd");
    within(LONG, "the second return", || running.notices("answers again after") == 2);
    goes_on(&running);

    cluster.order("stop-kubelet n1");
    running.until("the output of pod");
    cluster.order("start-kubelet n1");
    goes_on(&running);

    end_flow(&namespace);
    let output = running.finish().exits(7).says(&["could not be read for", "the flow ended with code 7"]);
    let pieces = output.text().lines().last().unwrap().strip_suffix(" pieces").expect("the last line").parse().unwrap();
    let expected = [(0..pieces).flat_map(piece).collect(), format!("{pieces} pieces\n").into_bytes()].concat();
    let same = output.stdout.iter().zip(&expected).take_while(|(came, wanted)| came == wanted).count();
    assert!(output.stdout == expected, "differs after {same} of {} bytes, {} came\n{}", expected.len(), output.stdout.len(), output.stderr);
    assert!(!output.stderr.contains("may be missing"), "{}", output.stderr);
    only(&namespace.objects("jobs"), "jobs");
    only(&namespace.objects("pods"), "pods");
}

/// Prints numbered lines with the time, 10 KB a second, until the file `/tmp/stop` is there.
const CHATTY_FLOW: &str = r#"
import datetime, os, time
number = 0
while not os.path.exists("/tmp/stop"):
    print(number, datetime.datetime.now(datetime.timezone.utc).isoformat(), "x" * 150, flush=True)
    number += 1
    time.sleep(0.02)
"#;

/// Returns the log files that the node has of the flow: the present one, and those that it was rotated to.
fn log_files(cluster: &Cluster) -> BTreeSet<PathBuf> {
    let pods = Path::new(cluster.ready["dir"].as_str().unwrap()).join("nodes/1/logs");
    let below = |folders: Vec<PathBuf>| -> Vec<PathBuf> {
        folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let containers = below(below(vec![pods]));
    below(containers.into_iter().filter(|folder| folder.ends_with("flow")).collect()).into_iter().collect()
}

/// Waits until the log was rotated so many times more.
fn rotated(cluster: &Cluster, times: usize) {
    let mut known = log_files(cluster);
    for _ in 0..times {
        eventually("a rotation", || log_files(cluster).difference(&known).any(|file| !file.to_string_lossy().ends_with(".gz")));
        known.extend(log_files(cluster));
    }
}

#[test]
fn a_log_is_rotated_while_it_is_followed_and_while_nobody_can() {
    let cluster = strained();
    let server = cluster.ready["server"].as_str().unwrap().strip_prefix("https://").unwrap();
    let line = Line::to(server);
    let mut namespace = cluster.namespace();
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap().replace(server, &line.address);
    let path = namespace.sandbox.write("kubeconfig", kubeconfig);
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    namespace.map(&["small"], "");
    namespace.sandbox.write("flow.py", CHATTY_FLOW);
    let mut running = namespace.sandbox.start(["submit", "-s", "small", "-o", "jsonl", "flow.py"]);
    running.until("\"output\"");
    rotated(cluster, 2);
    line.cut();
    rotated(cluster, 2);
    line.mend();
    running.until("\"gap\"");
    goes_on(&running);
    end_flow(&namespace);
    let output = running.finish().exits(0);
    let gaps = check_numbers(&output.text());
    assert!(gaps > 0, "nothing was missing: the test proves nothing\n{output}");
}

/// Asserts that every line came once, and that where some are missing a gap of that time is announced; returns at how many places.
fn check_numbers(events: &str) -> usize {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let (mut last, mut gap, mut missing): (Option<(usize, jiff::Timestamp)>, Option<Value>, usize) = (None, None, 0);
    for event in events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if event["event"] == "gap" {
            gap = Some(event);
            continue;
        }
        for line in event["text"].as_str().filter(|_| event["event"] == "output").unwrap_or_default().lines() {
            let mut words = line.split(' ');
            let (number, at) = (words.next().unwrap().parse::<usize>().unwrap(), time(words.next().unwrap()));
            let (told, previous) = (gap.take(), last.replace((number, at)));
            let Some((before, was)) = previous else { continue };
            assert!(number > before, "line {number} came after {before}");
            if number > before + 1 {
                let gap = told.unwrap_or_else(|| panic!("lines between {before} and {number} are missing, and nobody says so"));
                let near = |field: &str, at: jiff::Timestamp| time(gap[field].as_str().unwrap()).duration_since(at).as_secs().abs() <= 1;
                assert!(near("after", was) && near("until", at), "missing from {was} to {at}: {gap}");
                missing += 1;
            }
        }
    }
    missing
}
