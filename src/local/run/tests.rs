use std::{
    fs,
    io::{BufRead, BufReader},
    time::Instant,
};

use super::*;
use crate::model::{
    evidence::{AttemptRecord, ContainerState, Termination},
    footprint::Footprint,
    identity::{JobName, RunId},
    launch_plan::{Flow, OnInterrupt, OnNoCapacity, Placement, Provenance, RunAsUser, TimeLimits, User},
    outcome::Outcome,
    package::PackagedFile,
    quantity::{Cpu, MIB, Memory},
};

/// Returns a plan of one file, limited to one CPU, 256 MiB, 30 s and 10 s of grace.
pub(in crate::local) fn mk_plan(file: &str, content: &str) -> LaunchPlan {
    let is_python = file == "flow.py";
    let seconds = Duration::from_secs;
    LaunchPlan {
        name: JobName::for_flow(file, environment::random()),
        run_id: RunId::new(0, environment::random()),
        nonce: String::new(),
        key: None,
        namespace: "flows".into(),
        size: None,
        footprint: Footprint { cpu: Cpu(1000), memory: Memory::from_mib(256), ..Footprint::default() },
        placement: Placement::default(),
        flow: Flow {
            identity: file.into(),
            file: file.into(),
            interpreter: if is_python { Interpreter::Python } else { Interpreter::Executable },
            arguments: Vec::new(),
        },
        package: Package { files: vec![PackagedFile { path: file.into(), executable: !is_python, content: content.into() }], left_out: Vec::new() },
        image: String::new(),
        service_account: None,
        image_pull_secrets: Vec::new(),
        run_as_user: RunAsUser::Image,
        environment: BTreeMap::new(),
        secrets: Vec::new(),
        limits: TimeLimits { timeout: seconds(30), grace: seconds(10), ..TimeLimits::default() },
        infrastructure_retries: 0,
        on_no_capacity: OnNoCapacity::Wait,
        tracking: None,
        fallback: None,
        asked_size: None,
        grown_from: None,
        on_interrupt: OnInterrupt::Cancel,
        user: User { name: "ana".into(), label: "ana".into() },
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        provenance: Provenance::default(),
        template: None,
        price_per_hour: None,
        logs_url: None,
        keep_logs: None,
        rerun_of: None,
    }
}

/// Where the limit comes from in a test.
#[derive(Debug, Clone, Copy)]
enum By {
    /// A control group where one can be had, as in life.
    Any,
    /// Never a control group.
    Sampling,
}

struct Started {
    run: Run,
    output: mpsc::Receiver<LogEvent>,
    temporary: tempfile::TempDir,
}

fn start_with(plan: &LaunchPlan, by: By, in_place: Option<PathBuf>, variables: &[(&str, &str)]) -> Started {
    let temporary = tempfile::tempdir().unwrap();
    let tmpdir = temporary.path().to_string_lossy().into_owned();
    let base = [("PATH", "/usr/bin:/bin"), ("TMPDIR", tmpdir.as_str())];
    let all = base.iter().chain(variables);
    let environment = Environment { variables: all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), ..Environment::default() };
    let options = LocalOptions { in_place, environment: &environment };
    let (run, output) = match by {
        By::Any => Run::start(plan, &options),
        By::Sampling => Run::start_within(plan, &options, |_| Err("not wanted".into())),
    }
    .unwrap();
    Started { run, output, temporary }
}

fn start(plan: &LaunchPlan, by: By) -> Started {
    start_with(plan, by, None, &[])
}

impl Started {
    /// Returns all output up to the end.
    async fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match timeout(Duration::from_secs(40), self.output.recv()).await.unwrap() {
                Some(LogEvent::Bytes { at: None, bytes, .. }) => all.extend(bytes),
                Some(LogEvent::End) => return all,
                other => panic!("{other:?} after {} bytes", all.len()),
            }
        }
    }

    async fn read_text(&mut self) -> String {
        String::from_utf8(self.read().await).unwrap()
    }

    /// Returns once the output has this text.
    async fn await_text(&mut self, text: &str) {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(text) {
            match timeout(Duration::from_secs(20), self.output.recv()).await.unwrap() {
                Some(LogEvent::Bytes { bytes, .. }) => all.extend(bytes),
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&all)),
            }
        }
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        self.run.observe(&mut evidence);
        evidence
    }

    fn attempt(&self) -> AttemptRecord {
        self.evidence().attempts.remove(0)
    }

    /// Waits for the end and returns how it ended, without times, and the reason of the Job's condition.
    async fn end(&mut self) -> (Termination, String) {
        self.run.changed(Duration::from_secs(40)).await;
        let evidence = self.evidence();
        let ContainerState::Terminated(termination) = &evidence.attempts[0].container else { panic!("{evidence:?}") };
        assert!(termination.finished >= termination.started && termination.started.is_some());
        (Termination { started: None, finished: None, ..termination.clone() }, evidence.job.unwrap().conditions[0].reason.clone())
    }

    /// Drops the run and returns what it left in the temporary folder.
    fn leftovers(self) -> usize {
        drop(self.run);
        fs::read_dir(self.temporary.path()).unwrap().count()
    }
}

fn ended(exit_code: i32, reason: &str, condition: &str) -> (Termination, String) {
    (Termination { exit_code, reason: reason.into(), ..Termination::default() }, condition.into())
}

/// Whether a process still exists and is no zombie.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn is_gone_soon(pid: &str) -> bool {
    let start = Instant::now();
    while is_alive(pid) && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    !is_alive(pid)
}

#[tokio::test]
async fn exit_codes_and_signals_come_out_as_from_a_pod() {
    for (script, expected) in [
        ("pass", ended(0, "Completed", "CompletionsReached")),
        ("raise SystemExit(7)", ended(7, "Error", "PodFailurePolicy")),
        ("import os; os.kill(os.getpid(), 15)", ended(143, "Error", "PodFailurePolicy")),
        ("import os; os.kill(os.getpid(), 9)", ended(137, "Error", "PodFailurePolicy")),
    ] {
        let mut started = start(&mk_plan("flow.py", script), By::Any);
        assert_eq!(started.read_text().await, "");
        assert_eq!(started.end().await, expected, "{script}");
        assert_eq!(started.leftovers(), 0);
    }
}

#[tokio::test]
async fn a_pod_is_described_while_it_runs_and_when_it_has_ended() {
    let mut plan = mk_plan("flow.py", "print('up'); input()");
    plan.flow.arguments = vec!["x".into()];
    let mut started = start(&plan, By::Any);
    let evidence = started.evidence();
    let attempt = &evidence.attempts[0];
    assert_eq!((attempt.phase.as_str(), &attempt.container), ("Running", &ContainerState::Running { started: attempt.created }));
    let job = evidence.job.unwrap();
    assert_eq!((job.counts.active, job.finished, job.conditions.len(), job.complete), (1, None, 0, true));
    assert_eq!(job.plan.unwrap().package, Package::default());
    // Standard input is empty: the flow fails instead of waiting for ever.
    assert_eq!(started.end().await, ended(1, "Error", "PodFailurePolicy"));
    let job = started.evidence().job.unwrap();
    assert_eq!((job.counts.active, job.counts.failed, job.finished.is_some()), (0, 1, true));
    assert_eq!(started.attempt().phase, "Failed");
}

#[tokio::test]
async fn output_comes_merged_in_order_and_byte_for_byte() {
    let script = r#"
import os, sys
for i in range(2000):
    os.write(1 + i % 2, b"%d\n" % i)
sys.stdout.buffer.write(b"\xff\xfe\x80 10%\r20%\r\x1b[31m\0no line end")
"#;
    let mut expected: Vec<u8> = (0..2000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    expected.extend(b"\xff\xfe\x80 10%\r20%\r\x1b[31m\0no line end");
    assert_eq!(start(&mk_plan("flow.py", script), By::Any).read().await, expected);
}

#[tokio::test]
async fn long_lines_and_many_lines_arrive_whole() {
    let script = "print('x' * 200 * 1024)\nfor i in range(100_000): print(i)";
    let mut plan = mk_plan("flow.py", script);
    plan.environment.insert("PYTHONUNBUFFERED".into(), String::new());
    let mut started = start(&plan, By::Any);
    // A reader that is slower than the flow, at first.
    sleep(Duration::from_millis(300)).await;
    let mut expected = "x".repeat(200 * 1024) + "\n";
    expected.extend((0..100_000).map(|number| format!("{number}\n")));
    assert!(started.read_text().await == expected);
}

#[tokio::test]
async fn the_flow_runs_in_its_own_folder_with_its_arguments() {
    let script =
        "import os, sys, helper\nprint(sys.argv, os.getcwd() == os.environ['PWD'] == sys.path[0] == helper.FOLDER)\nprint(os.environ['A.B'])";
    let mut plan = mk_plan("flow.py", script);
    plan.flow.arguments = vec!["two words".into(), String::new(), "$HOME;'\"".into()];
    plan.environment.insert("A.B".into(), "dotted name".into());
    let helper = "import os; FOLDER = os.path.dirname(__file__)";
    plan.package.files.push(PackagedFile { path: "helper.py".into(), executable: false, content: helper.into() });
    for by in [By::Any, By::Sampling] {
        let mut started = start_with(&plan, by, None, &[("PYTHONPATH", "/elsewhere")]);
        assert_eq!(started.read_text().await, "['flow.py', 'two words', '', '$HOME;\\'\"'] True\ndotted name\n");
        assert_eq!(started.run.notices().len(), 1);
    }
}

#[tokio::test]
async fn in_place_runs_beside_the_files_and_leaves_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.sh"), "#!/bin/sh\npwd; echo $PYTHONPATH\n").unwrap();
    Command::new("chmod").arg("+x").arg(folder.path().join("run.sh")).status().unwrap();
    let mut started = start_with(&mk_plan("run.sh", ""), By::Any, Some(folder.path().into()), &[("PYTHONPATH", "/mine")]);
    assert_eq!(started.read_text().await, format!("{}\n/mine\n", folder.path().display()));
    assert_eq!(started.end().await, ended(0, "Completed", "CompletionsReached"));
    assert_eq!(started.leftovers(), 0);
    assert!(folder.path().join("run.sh").exists());
}

#[tokio::test]
async fn a_missing_python_is_a_start_error() {
    let mut started = start_with(&mk_plan("flow.py", ""), By::Any, None, &[("PATH", "/no/such")]);
    assert_eq!(started.read_text().await, "");
    let (termination, condition) = started.end().await;
    assert_eq!((termination.exit_code, termination.reason.as_str(), condition.as_str()), (127, "StartError", "PodFailurePolicy"));
    assert_eq!(termination.message, "no `python3` on PATH");
    assert_eq!(started.leftovers(), 0);
}

#[tokio::test]
async fn python_says_who_it_is() {
    let started = start(&mk_plan("flow.py", ""), By::Any);
    sleep(Duration::from_millis(500)).await;
    let python = started.run.python().await.unwrap();
    assert!(python.path.is_absolute() && python.version.starts_with("3."), "{python:?}");
}

#[tokio::test]
async fn too_much_memory_is_an_out_of_memory_kill() {
    let script = "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))";
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("flow.py", script), by);
        let (termination, _) = started.end().await;
        assert_eq!((termination.exit_code, termination.reason.as_str()), (137, "OOMKilled"), "{by:?}");
        let attempt = started.attempt();
        assert_eq!(attempt.out_of_memory_kills, 1);
        assert!(attempt.peak_memory.is_some_and(|peak| peak >= 255 * MIB), "{attempt:?}");
        assert!(attempt.cpu_milliseconds.is_some_and(|time| time > 0), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_child_killed_at_the_limit_is_counted_while_the_flow_goes_on() {
    let script = r#"
import subprocess, sys
child = subprocess.run([sys.executable, "-c", "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))"])
print(child.returncode)
"#;
    let mut started = start(&mk_plan("flow.py", script), By::Any);
    let output = started.read_text().await;
    let (termination, _) = started.end().await;
    // Version 2 and sampling end the whole tree, as Kubernetes does since 1.28; version 1 only the largest process.
    let whole_tree = fs::metadata("/sys/fs/cgroup/memory").is_err() || started.run.enforcement() != &Enforcement::Cgroup;
    let expected = if whole_tree { ("", "OOMKilled", 137) } else { ("-9\n", "Completed", 0) };
    assert_eq!((output.as_str(), termination.reason.as_str(), termination.exit_code), expected);
    assert!(started.attempt().out_of_memory_kills > 0);
}

#[tokio::test]
async fn forked_workers_that_share_memory_are_counted_once() {
    let script = r"
import os, time
shared = bytearray(120 << 20)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        time.sleep(2)
        os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
";
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("flow.py", script), by);
        assert_eq!(started.end().await, ended(0, "Completed", "CompletionsReached"), "{by:?}");
        let peak = started.attempt().peak_memory.unwrap();
        assert!((120 * MIB..200 * MIB).contains(&peak), "{by:?} {peak}");
    }
}

#[tokio::test]
async fn the_run_timeout_ends_as_the_kubelet_ends() {
    let stubborn = "import signal, time; signal.signal(15, lambda *_: print('asked', flush=True)); print('up'); time.sleep(60); time.sleep(60)";
    let mut plan = mk_plan("flow.py", stubborn);
    plan.limits.timeout = Duration::from_millis(1500);
    plan.limits.grace = Duration::from_millis(500);
    let mut started = start(&plan, By::Any);
    let begin = Instant::now();
    assert_eq!(started.read_text().await, "up\nasked\n");
    assert_eq!(started.end().await, ended(137, "Error", "PodFailurePolicy"));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let attempt = started.attempt();
    assert_eq!((attempt.phase.as_str(), attempt.reason.as_deref()), ("Failed", Some("DeadlineExceeded")));

    plan.package.files[0].content = "import signal, time; signal.signal(15, lambda *_: exit(0)); time.sleep(60)".into();
    let mut started = start(&plan, By::Any);
    assert_eq!(started.end().await, ended(0, "Completed", "BackoffLimitExceeded"));
    assert_eq!(started.attempt().phase, "Failed");
}

#[tokio::test]
async fn an_end_asked_for_reaches_the_flow_and_is_on_record() {
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("flow.py", "import time; print('up'); time.sleep(60)"), by);
        started.await_text("up").await;
        let ending =
            Ending { outcome: Outcome::Cancelled, reason: "Cancelled.ByUser".into(), by: "ana".into(), at: environment::now(), message: None };
        started.run.end(ending.clone(), Signal::Terminate, Duration::from_secs(20));
        assert_eq!(started.end().await, ended(143, "Error", "DeadlineExceeded"), "{by:?}");
        let evidence = started.evidence();
        assert_eq!((evidence.job.unwrap().ending, evidence.attempts[0].deleted), (Some(ending.clone()), Some(ending.at)));
    }
}

#[tokio::test]
async fn signals_reach_the_flow() {
    let script = "import time\ntry:\n  print('up')\n  time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(3)";
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("flow.py", script), by);
        started.await_text("up").await;
        started.run.signal(Signal::Interrupt);
        assert_eq!(started.end().await, ended(3, "Error", "PodFailurePolicy"), "{by:?}");
    }
}

#[tokio::test]
async fn whatever_the_flow_left_running_ends_with_it() {
    // In its group; in a session of its own; orphaned before anybody could see it.
    let script = "#!/bin/sh\nsleep 61 & echo $!\nsetsid sleep 62 & echo $!\n(setsid sh -c 'echo $$; exec sleep 63' &)\nsleep 0.3\n";
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("run.sh", script), by);
        let begin = Instant::now();
        let output = started.read_text().await;
        assert!(begin.elapsed() < Duration::from_secs(10), "the pipe was held open");
        assert_eq!(output.lines().count(), 3, "{output}");
        assert_eq!(started.end().await, ended(0, "Completed", "CompletionsReached"));
        for pid in output.lines() {
            assert!(is_gone_soon(pid), "{by:?} {output}");
        }
    }
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    for by in [By::Any, By::Sampling] {
        let mut started = start(&mk_plan("run.sh", "#!/bin/sh\ntrap '' TERM INT\nsetsid sleep 64 & echo $!\necho $$\nwait\n"), by);
        let mut output = String::new();
        while output.lines().count() < 2 {
            let Some(LogEvent::Bytes { bytes, .. }) = started.output.recv().await else { panic!("{output}") };
            output += &String::from_utf8(bytes).unwrap();
        }
        let folder = started.run.root().parent().unwrap();
        let cgroups: Vec<_> = fs::read_to_string(folder.join("cgroups")).unwrap().lines().map(PathBuf::from).collect();
        assert!(cgroups.iter().all(|folder| folder.exists()), "{cgroups:?}");
        assert_eq!(started.leftovers(), 0);
        for pid in output.lines() {
            assert!(is_gone_soon(pid), "{by:?}");
        }
        assert!(!cgroups.iter().any(|folder| folder.exists()), "{cgroups:?}");
    }
}

#[tokio::test]
#[ignore = "the other process of the next test"]
async fn a_run_that_is_waited_for() {
    let mut started = start(&mk_plan("run.sh", "#!/bin/sh\nsetsid sleep 65 & echo $!\necho $$\nwait\n"), By::Any);
    while let Some(LogEvent::Bytes { bytes, .. }) = started.output.recv().await {
        print!("{}", String::from_utf8(bytes).unwrap());
    }
}

#[test]
fn a_run_ends_with_a_killed_sbrun() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "local::run::tests::a_run_that_is_waited_for", "--ignored", "--nocapture"]);
    let mut sbrun = command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(sbrun.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids: Vec<_> = lines.filter(|line| line.parse::<i32>().is_ok()).take(2).collect();
    let groups = |folder: &Path| fs::read_to_string(folder.join("cgroups")).unwrap();
    let runs = || fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).flat_map(|folder| fs::read_dir(folder).unwrap());
    let cgroups: String = runs().map(|run| groups(&run.unwrap().path())).collect();
    sbrun.kill().unwrap();
    sbrun.wait().unwrap();
    for pid in &pids {
        assert!(is_gone_soon(pid), "{pids:?} {cgroups}");
    }
    let begin = Instant::now();
    while runs().next().is_some() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(runs().count(), 0);
    assert!(!cgroups.lines().any(|cgroup| Path::new(cgroup).exists()), "{cgroups}");
}

#[tokio::test]
async fn an_end_is_told_once() {
    let mut started = start(&mk_plan("flow.py", ""), By::Any);
    started.run.changed(Duration::from_secs(40)).await;
    let begin = Instant::now();
    started.run.changed(Duration::from_millis(200)).await;
    assert!(begin.elapsed() >= Duration::from_millis(200));
}
