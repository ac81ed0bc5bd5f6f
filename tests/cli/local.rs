//! `--local` beyond what it shares with the cluster.

use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::common::sandbox::Sandbox;

#[test]
fn the_first_command_of_the_readme_needs_no_map_and_no_cluster() {
    let sandbox = Sandbox::new();
    let example = crate::common::cluster::example("hello.py");
    let output = sandbox.command(["submit", "--local", example.to_str().unwrap()]).exits(0);
    assert!(!output.stdout.is_empty());
    drop(output.says(&["succeeded", "python"]));
}

#[test]
fn ctrl_c_reaches_the_flow() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.py", "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)\n    raise SystemExit(3)\n");
    let mut running = sandbox.start(["submit", "--local", "flow.py"]);
    running.until("ready");
    running.signal(Signal::SIGINT);
    let output = running.finish().exits(143);
    assert!(output.text().contains("interrupted"), "{output}");
}

#[test]
fn a_file_that_is_not_sent_is_missing_here_too() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.py", "print(open('data.csv').read())\n");
    sandbox.write("data.csv", "x\n");
    sandbox.write(".sbrunignore", "*.csv\n");
    let output = sandbox.command(["submit", "--local", "flow.py"]).exits(1);
    assert!(output.text().contains("FileNotFoundError"), "{output}");
    assert_eq!(sandbox.command(["submit", "--local", "--in-place", "flow.py"]).exits(0).text(), "x\n\n");
}

#[test]
fn nothing_is_left_behind() {
    let mut sandbox = Sandbox::new();
    let temporary = sandbox.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    sandbox.set("TMPDIR", temporary.to_string_lossy());
    sandbox.write(
        "flow.py",
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\nprint(child.pid, flush=True)\n",
    );
    let output = sandbox.command(["submit", "--local", "flow.py"]).exits(0);
    let child: i32 = output.text().trim().parse().unwrap();
    // One that was killed and that nobody has reaped yet is gone all the same.
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "a grandchild outlived the flow: {state}");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
}

#[test]
fn a_closed_pipe_does_not_change_the_verdict() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.py", "import sys\nfor n in range(100000):\n    print(n)\nsys.exit(7)\n");
    let mut child = sandbox.prepare(["submit", "--local", "flow.py"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn jsonl_is_one_event_a_line() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.py", "print('hello')\n");
    let output = sandbox.command(["submit", "--local", "-o", "jsonl", "flow.py"]).exits(0);
    let events: Vec<serde_json::Value> = output.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text: String = events.iter().filter(|event| event["event"] == "output").filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(text, "hello\n", "{output}");
    assert_eq!(events.last().unwrap()["outcome"], "succeeded", "{output}");
}
