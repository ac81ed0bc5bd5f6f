//! Signals, closed terminals, pipes and full disks at any moment: the job is ended or goes on, and the last line says which.

use std::{
    io::Read,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    fault_proxy::{Fault, FaultProxy, Rule},
    line::Line,
    sandbox::{Output, Running, noise},
};

/// Submissions that are interrupted at the same time.
const AT_ONCE: usize = 4;
/// A CI runner waits no longer after its first signal.
const RUNNER_WAITS: Duration = Duration::from_millis(7500);

/// Returns a namespace whose flow runs for so long.
pub(super) fn namespace(run: &str) -> Namespace {
    kwok().node("interrupted", "interrupted", "1000", "1000Gi");
    let namespace = kwok().namespace();
    namespace.map(&["interrupted"], "");
    namespace.template(&json!({"kwok.test/run": run, "kwok.test/log": "first\nlast\n"}));
    namespace.sandbox.write("flow.py", "print('simulated')\n");
    namespace
}

/// Tries each, some at a time, and fails with all that went wrong.
fn for_each<T: Sync + std::fmt::Debug>(cases: &[T], holds: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                wrong.extend(holds(case).err().map(|why| format!("{case:?}: {why}")));
            }
            wrong
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Returns the Jobs of a case.
fn jobs_of(namespace: &Namespace, case: &str) -> Vec<Value> {
    let mut jobs = namespace.objects("jobs");
    jobs.retain(|job| job["metadata"]["labels"]["case"] == case);
    jobs
}

/// Returns the last lines: a verdict has up to four.
fn last_lines(output: &Output) -> String {
    let lines: Vec<&str> = output.stderr.trim_end().lines().collect();
    lines[lines.len().saturating_sub(4)..].join("\n")
}

/// Returns whether a Job has ended.
pub(super) fn is_over(job: &Value) -> bool {
    job["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| matches!(condition["type"].as_str(), Some("Failed" | "Complete")) && condition["status"] == "True")
}

/// Says what is wrong with how an interrupted submission ended, if anything.
fn check(namespace: &Namespace, case: &str, output: &Output, result: &str) -> Result<(), String> {
    let jobs = jobs_of(namespace, case);
    let last = last_lines(output);
    let complain = |what: &str| Err(format!("{what}; result file {result:?}; Jobs {jobs:#?}\n{output}"));
    if jobs.len() > 1 {
        return complain("more than one Job");
    }
    // A job that goes on may be over by now: it runs for a second only.
    let (outcome, said) = match output.code {
        code if code < 0 => return if jobs.is_empty() { Ok(()) } else { complain("ended by the signal although there is a Job") },
        130 => ("detached", last.contains("goes on")),
        143 => ("cancelled", last.contains("cancelled")),
        0 => ("succeeded", output.stderr.contains("succeeded")),
        69 => {
            return if last.contains("sbrun cancel") || output.stderr.contains("sbrun cancel") {
                Ok(())
            } else {
                complain("nothing says what to do")
            };
        }
        _ => return complain("an exit code that means something else"),
    };
    if !said {
        return complain("the last line does not say it");
    }
    let result: Value = serde_json::from_str(result).unwrap_or_default();
    if result["outcome"] != outcome || result["exit_code"] != output.code {
        return complain("the result file does not say it");
    }
    if outcome == "cancelled" {
        let start = Instant::now();
        while jobs_of(namespace, case).iter().any(|job| !is_over(job)) {
            if start.elapsed() > Duration::from_secs(60) {
                return complain("the Job does not end");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    } else if jobs.len() != 1 || jobs[0]["spec"]["suspend"] == json!(true) {
        return complain("no Job that runs");
    }
    Ok(())
}

#[test]
fn a_signal_at_any_moment_ends_or_leaves_the_job_and_says_which() {
    let namespace = namespace("1s");
    // Incompressible, so that the package does not fit into the Job and several requests are needed.
    namespace.sandbox.write("noise.txt", noise(400_000));
    let moments = (0..16).map(|step| 40 + step * 40).chain((0..8).map(|step| 700 + step * 300));
    let cases: Vec<(Signal, &str, u64)> = moments
        .zip(
            [
                (Signal::SIGTERM, "cancel"),
                (Signal::SIGINT, "detach"),
                (Signal::SIGTERM, "detach"),
                (Signal::SIGINT, "cancel"),
                (Signal::SIGHUP, "cancel"),
            ]
            .into_iter()
            .cycle(),
        )
        .map(|(moment, (signal, then))| (signal, then, moment))
        .collect();
    for_each(&cases, |(signal, then, moment)| {
        let case = format!("{signal}-{then}-{moment}").to_lowercase();
        let file = namespace.sandbox.write(&format!("results/{case}"), "stale");
        let label = format!("case={case}");
        let arguments = [
            "submit",
            "-s",
            "interrupted",
            "--template",
            "template.json",
            "--label",
            &label,
            "--exclude",
            "results",
            "--on-interrupt",
            then,
            "flow.py",
        ];
        let mut command = namespace.sandbox.prepare(arguments);
        let running = Running::of(command.env("SBRUN_RESULT_FILE", &file));
        std::thread::sleep(Duration::from_millis(*moment));
        running.signal(*signal);
        let start = Instant::now();
        let output = running.finish();
        let result = std::fs::read_to_string(&file).unwrap();
        if start.elapsed() > RUNNER_WAITS * 4 {
            return Err(format!("it took {:?}\n{output}", start.elapsed()));
        }
        check(&namespace, &case, &output, &result)
    });
}

#[test]
fn a_second_signal_leaves_at_once_and_a_stopped_server_does_not_hold_it_up() {
    let mut namespace = namespace("1h");
    let server = kwok().ready["server"].as_str().unwrap().strip_prefix("https://").unwrap();
    let line = Line::to(server);
    let kubeconfig = std::fs::read_to_string(kwok().kubeconfig()).unwrap().replace(server, &line.address);
    let path = namespace.sandbox.write("kubeconfig", kubeconfig);
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    let mut running = namespace.sandbox.start(["submit", "-s", "interrupted", "--template", "template.json", "--on-interrupt", "cancel", "flow.py"]);
    running.until("running");
    line.cut();
    running.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    running.signal(Signal::SIGTERM);
    let output = running.finish().exits(69).says(&["interrupted while cancelling", "sbrun cancel"]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}: {output}", start.elapsed());
    line.mend();
    assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1, "the lease ends it");
}

#[test]
fn a_runner_that_signals_the_shell_and_not_sbrun() {
    let namespace = namespace("1h");
    for (line, code) in [("exec sbrun", 143), ("sbrun", -9)] {
        let script = format!(
            "sbrun() {{ '{}' \"$@\"; }}\n{} submit -s interrupted --template template.json --lease 10s flow.py\n",
            crate::common::sandbox::SBRUN,
            line
        );
        // A function cannot be exec'd: the name stands for the program itself.
        let script = script.replace("exec sbrun", &format!("exec '{}'", crate::common::sandbox::SBRUN));
        let mut command = std::process::Command::new("bash");
        let of_sbrun = namespace.sandbox.prepare([""]);
        command.args(["-c", &script]).env_clear().envs(of_sbrun.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("CI", "true");
        command.current_dir(namespace.sandbox.path("")).stdin(Stdio::null());
        let mut running = Running::of(&mut command);
        running.until("running");
        // As GitHub's runner does: SIGINT, 7.5 s, SIGTERM, 2.5 s, and then everything is killed.
        running.signal(Signal::SIGINT);
        let start = Instant::now();
        while running.child.try_wait().unwrap().is_none() && start.elapsed() < RUNNER_WAITS {
            std::thread::sleep(Duration::from_millis(50));
        }
        if code == -9 {
            let child = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.child.id())).unwrap();
            kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
            running.signal(Signal::SIGKILL);
        }
        drop(running.finish().exits(code));
        // Either way nothing goes on: sbrun has ended it, or nobody renews its lease.
        eventually("the Job's end", || namespace.objects("jobs").iter().all(is_over));
    }
}

#[test]
fn a_stopped_follower_takes_its_own_silence_for_nothing() {
    let mut namespace = namespace("1h");
    let server = kwok().ready["server"].as_str().unwrap().strip_prefix("https://").unwrap();
    let line = Line::to(server);
    let kubeconfig = std::fs::read_to_string(kwok().kubeconfig()).unwrap().replace(server, &line.address);
    let path = namespace.sandbox.write("kubeconfig", kubeconfig);
    namespace.sandbox.set("KUBECONFIG", path.to_string_lossy());
    namespace.template(&json!({"kwok.test/run": "1h"}));
    let mut running = namespace.sandbox.start(["submit", "-s", "interrupted", "--template", "template.json", "--stall-timeout", "15s", "flow.py"]);
    running.until("running");
    let pod = namespace.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let log = std::path::Path::new(kwok().ready["pods"].as_str().unwrap()).join(&namespace.name).join(pod).join("flow.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let write = |text: &str| {
        use std::io::Write;
        let now = String::from_utf8(std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).output().unwrap().stdout).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writeln!(file, "{} stdout F {text}", now.trim()).unwrap();
    };
    write("before");
    running.until("before");
    // The lid is closed: nothing runs, and the connections do not live through it. The flow goes on printing.
    running.signal(Signal::SIGSTOP);
    line.cut();
    for second in 0..25 {
        std::thread::sleep(Duration::from_secs(1));
        write(&format!("meanwhile {second}"));
    }
    line.mend();
    running.signal(Signal::SIGCONT);
    running.until("meanwhile 24");
    write("and on it goes");
    running.until("and on it goes");
    running.signal(Signal::SIGTERM);
    let output = running.finish().exits(130);
    let expected: String = std::iter::once("before".to_owned())
        .chain((0..25).map(|second| format!("meanwhile {second}")))
        .chain(["and on it goes".to_owned()])
        .map(|line| line + "\n")
        .collect();
    assert_eq!(output.text(), expected, "{output}");
    drop(namespace.sandbox.command(["cancel", namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap()]).exits(0));
}

#[test]
fn a_reader_that_goes_and_a_full_disk_do_not_end_the_job() {
    let namespace = namespace("2s");
    let submit = ["submit", "-s", "interrupted", "--template", "template.json", "flow.py"];
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = namespace.sandbox.prepare(submit);
    let child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "the flow's own code: {said}");
    assert!(
        said.contains("standard output cannot be written") && said.contains("`sbrun logs` has its output") && said.contains("succeeded"),
        "{said}"
    );

    // What is asked for and cannot be written is an error.
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    for arguments in [
        &["list"][..],
        &["why", &name],
        &["list", "-o", "json"],
        &["completions", "bash"],
        &["--version"],
        &["submit", "-s", "interrupted", "--template", "template.json", "-o", "json", "flow.py"],
    ] {
        let output = namespace.sandbox.prepare(arguments).stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(arguments == ["--version"] || said.contains("cannot write to standard output"), "{arguments:?}: {said}");
    }
    // Standard error that is full or closed has nobody to tell, and changes nothing.
    let output = namespace.sandbox.prepare(submit).stdout(Stdio::piped()).stderr(full()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), "first\nlast\n"));

    // As `| head -1` does: it reads a line and goes.
    let mut child = namespace.sandbox.prepare(submit).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 6]).unwrap();
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe is success");
    let mut child = namespace.sandbox.prepare(["logs", "-f", &name]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_any_of_the_three_streams_everything_goes_on() {
    let namespace = namespace("500ms");
    let sbrun = crate::common::sandbox::SBRUN;
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let file = namespace.sandbox.path("result.json");
        let mut command = std::process::Command::new("sh");
        let of_sbrun = namespace.sandbox.prepare([""]);
        command.args(["-c", &format!("exec '{sbrun}' submit -s interrupted --template template.json flow.py {closed}")]);
        command.env_clear().envs(of_sbrun.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("SBRUN_RESULT_FILE", &file);
        let status = command.current_dir(namespace.sandbox.path("")).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{closed}");
        let result: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(result["outcome"], "succeeded", "{closed}");
    }
}

#[test]
fn a_signal_at_any_moment_of_any_other_command_loses_nothing_and_makes_nothing_twice() {
    let mut namespace = namespace("1h");
    // Every request takes its time, so that a signal falls between and into all of them.
    let proxy = FaultProxy::before(&mut namespace);
    proxy.rule(Rule::new("", "", Fault::Delay(Duration::from_millis(60))).times(usize::MAX));
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().cycle();
    let cases: Vec<(&str, Signal, u64)> = ["wait", "cancel", "clean", "rerun"]
        .iter()
        .flat_map(|what| (0..9).map(move |step| (*what, step * 90)))
        .zip(signals)
        .map(|((what, moment), signal)| (what, signal, moment))
        .collect();
    for_each(&cases, |(what, signal, moment)| {
        let case = format!("{what}-{signal}-{moment}").to_lowercase();
        let label = format!("case={case}");
        let submit = ["submit", "-d", "-s", "interrupted", "--template", "template.json", "--label", &label, "-o", "name", "flow.py"];
        let name = namespace.sandbox.command(submit).exits(0).text().trim().to_owned();
        let sbrun = |arguments: &[&str]| namespace.sandbox.command(arguments);
        if matches!(*what, "clean" | "rerun") {
            sbrun(&["cancel", "--wait", &name]).success();
        }
        let running = Running::of(&mut namespace.sandbox.prepare([*what, &name]));
        std::thread::sleep(Duration::from_millis(*moment));
        running.signal(*signal);
        let start = Instant::now();
        let output = running.finish();
        let complain = |why: &str| Err(format!("{why}; Jobs {:#?}\n{output}", jobs_of(&namespace, &case)));
        if start.elapsed() > RUNNER_WAITS {
            return complain("it took too long");
        }
        let (said, jobs) = (last_lines(&output), jobs_of(&namespace, &case));
        let killed = output.code < 0;
        match *what {
            "wait" if !(killed || output.code == 130 && said.contains("go on")) => complain("it does not say that the job goes on"),
            "wait" if jobs.len() != 1 || is_over(&jobs[0]) => complain("who waits ends nothing"),
            "cancel" if !(killed || output.code == 0 && said.contains("cancelled")) => complain("it does not say what became of it"),
            "cancel" => {
                let again = sbrun(&["cancel", "--wait", &name]).exits(0);
                let story = sbrun(&["why", &name, "-o", "json"]).exits(0).json();
                if story["outcome"] == "cancelled" { Ok(()) } else { complain(&format!("not cancelled by the second time: {again}")) }
            }
            "clean" if !killed && !jobs.is_empty() && output.code == 0 => complain("it says that it is done"),
            "clean" => {
                drop(sbrun(&["clean", &name])); // it may be gone already
                eventually("the Job is removed", || jobs_of(&namespace, &case).is_empty());
                Ok(())
            }
            // The Job of before is there, too.
            "rerun" if jobs.len() > 2 => complain("more than one further Job"),
            "rerun" if killed && jobs.len() == 2 => complain("ended by the signal although there is a Job"),
            "rerun" if !(killed || output.code == 130 && said.contains("goes on") && jobs.len() == 2) => {
                complain("it does not say what became of it")
            }
            _ => Ok(()),
        }
    });
}
