//! What only real kubelets and containers show.

use serde_json::json;

use crate::common::cluster::{Namespace, real};

fn namespace() -> Namespace {
    let namespace = real().namespace();
    namespace.map(&["small"], "");
    namespace
}

#[test]
fn a_cancelled_flow_without_a_handler_is_gone_within_three_seconds() {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "import time\nprint('sleeping', flush=True)\ntime.sleep(600)\n");
    let mut running = namespace.sandbox.start(["submit", "-s", "small", "-o", "json", "flow.py"]);
    running.until("sleeping");
    let name = namespace.objects("jobs")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    drop(namespace.sandbox.command(["cancel", &name]).exits(0));
    let report = running.finish().exits(143).says(&["cancelled"]).json();
    // By the clock of the node, so that a busy test machine does not count: from the decision to the end of the container.
    let job = &namespace.objects("jobs")[0];
    let ending: serde_json::Value = serde_json::from_str(job["metadata"]["annotations"]["sbrun.dev/ending"].as_str().unwrap()).unwrap();
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let took = time(&report["finished"]).duration_since(time(&ending["at"]));
    assert!(took.as_secs() < 3, "{took:?}");
}

#[test]
fn restricted_pod_security_admits_the_pod_of_an_image_whose_user_is_root() {
    let namespace = real().namespace_with(&json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    namespace.map(&["small"], "");
    namespace
        .sandbox
        .write("flow.py", "import os, tempfile\nprint(os.getuid() != 0, os.access(os.environ['HOME'], os.W_OK), tempfile.mkdtemp() != '')\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(0);
    assert_eq!(output.text(), "True True True\n");
    assert!(!namespace.kubectl(&["get", "events"]).contains("FailedCreate"));
}

#[test]
fn the_flow_is_not_process_one_and_may_write_beside_itself() {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "import os\nopen('result.txt', 'w').write('x')\nprint(os.getpid() != 1, os.listdir('.'))\n");
    let output = namespace.sandbox.command(["submit", "-s", "small", "flow.py"]).exits(0);
    assert!(output.text().starts_with("True"), "{output}");
}

#[test]
fn submit_wait_and_logs_agree_in_real_containers() {
    let namespace = namespace();
    for (line, code) in
        [("pass", 0), ("sys.exit(7)", 7), ("os.kill(os.getpid(), 15)", 143), ("hoard = [bytearray(8 << 20) for _ in range(1000)]", 137)]
    {
        namespace.sandbox.write("flow.py", format!("import os, sys\nprint('said', flush=True)\n{line}\n"));
        let submitted = namespace.sandbox.command(["submit", "-s", "small", "-o", "json", "flow.py"]).exits(code).json();
        let name = submitted["name"].as_str().unwrap();
        let waited = namespace.sandbox.command(["wait", name, "-o", "json"]).exits(code).json();
        assert_eq!((&submitted["outcome"], &submitted["reason"]), (&waited["outcome"], &waited["reason"]));
        assert_eq!(namespace.sandbox.command(["logs", "-f", name]).exits(code).text(), "said\n");
    }
}

#[test]
fn two_followers_and_a_later_reader_see_the_same() {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "import time\nfor n in range(30):\n    print('line', n, flush=True)\n    time.sleep(0.1)\n");
    let name = namespace.sandbox.command(["submit", "-s", "small", "-d", "-o", "name", "flow.py"]).exits(0).text();
    let name = name.trim();
    let (first, second) = (namespace.sandbox.start(["logs", "-f", name]), namespace.sandbox.start(["logs", "-f", name]));
    let expected = (0..30).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    assert_eq!(first.finish().exits(0).text(), expected);
    assert_eq!(second.finish().exits(0).text(), expected);
    assert_eq!(namespace.sandbox.command(["logs", name]).exits(0).text(), expected);
    assert_eq!(namespace.sandbox.command(["logs", name, "--tail", "2"]).exits(0).text(), "line 28\nline 29\n");
}

#[test]
fn a_closed_pipe_is_success() {
    let namespace = namespace();
    namespace.sandbox.write("flow.py", "for n in range(200000):\n    print('line', n)\n");
    let name = namespace.sandbox.command(["submit", "-s", "small", "-d", "-o", "name", "flow.py"]).exits(0).text();
    drop(namespace.sandbox.command(["wait", name.trim()]).exits(0));
    let mut command = namespace.sandbox.prepare(["logs", name.trim()]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_secret_that_lacks_a_key_is_named() {
    let namespace = namespace();
    namespace.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api"}, "stringData": {"token": "x"}}));
    namespace.sandbox.write("flow.py", "import os\nprint(os.environ['TOKEN'])\n");
    assert_eq!(namespace.sandbox.command(["submit", "-s", "small", "--secret", "TOKEN=api/token", "flow.py"]).exits(0).text(), "x\n");
    drop(namespace.sandbox.command(["submit", "-s", "small", "--secret", "TOKEN=api/tokne", "flow.py"]).exits(78).says(&["api", "tokne"]));
}
