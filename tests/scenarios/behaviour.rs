//! What a flow may rely on, wherever it runs.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    behaviour,
    common::{cluster::proves, place::Place, sandbox::noise},
};

behaviour! {
    fn a_flow_of_several_files(place: &Place) {
        place.write("flow.py", "import sys, os, lib.extract\nfrom helpers import greet\nprint(greet(sys.argv[1]), lib.extract.rows(), open('data/numbers.txt').read().strip(), len(sys.argv))\nprint(os.path.basename(os.getcwd()) != '', sys.path[0] == os.getcwd() or sys.path[0] == os.path.realpath(os.getcwd()))\n");
        place.write("helpers.py", "def greet(name):\n    return f'hello {name}'\n");
        place.write("lib/__init__.py", "");
        place.write("lib/extract.py", "def rows():\n    return 42\n");
        place.write("data/numbers.txt", "1 2 3\n");
        let output = place.submit(&["flow.py", "--", "wörld 'and \"more"]).exits(0);
        assert_eq!(output.text(), "hello wörld 'and \"more 42 1 2 3 2\nTrue True\n");
    }
}

behaviour! {
    fn exit_codes_come_out_right(place: &Place) {
        for (line, code, outcome, flow_code) in [
            ("pass", 0, "succeeded", 0),
            ("sys.exit(7)", 7, "failed", 7),
            ("sys.exit(75)", 1, "failed", 75),
            ("raise RuntimeError('broken')", 1, "failed", 1),
        ] {
            place.write("flow.py", format!("import sys\n{line}\n"));
            let output = place.submit(&["-o", "json", "flow.py"]).exits(code);
            let report = output.json();
            assert_eq!((&report["outcome"], &report["flow_exit_code"]), (&json!(outcome), &json!(flow_code)), "{output}");
        }
    }
}

behaviour! {
    fn output_arrives_byte_for_byte(place: &Place) {
        // A container runtime on a busy node loses what it has not written down 2 s after the end of the container,
        // so that the flow waits until its output has been taken.
        let program = r"
import array, fcntl, os, sys, termios, time
out = sys.stdout.buffer
out.write(b'invalid \xff\xfe utf-8\n')
for percent in range(0, 101, 20):
    out.write(b'\rprogress %d%%' % percent)
out.write(b'\n')
out.write(b'x' * 200 * 1024 + b'\n')
out.flush()
os.write(2, b'to stderr\n')
for number in range(100_000):
    out.write(b'line %d\n' % number)
out.write(b'no newline at the end')
out.flush()
unread = array.array('i', [1])
while unread[0] > 0:
    time.sleep(0.2)
    fcntl.ioctl(1, termios.FIONREAD, unread)
time.sleep(3)
";
        place.write("flow.py", program);
        let output = place.submit(&["flow.py"]).exits(0);
        let mut expected = b"invalid \xff\xfe utf-8\n".to_vec();
        for percent in [0, 20, 40, 60, 80, 100] {
            expected.extend(format!("\rprogress {percent}%").bytes());
        }
        expected.push(b'\n');
        expected.extend(vec![b'x'; 200 * 1024]);
        expected.extend(b"\nto stderr\n");
        for number in 0..100_000 {
            expected.extend(format!("line {number}\n").bytes());
        }
        expected.extend(b"no newline at the end");
        // stdout and stderr are two streams on their way through a runtime: between them order is the platform's.
        let drop_stderr = |bytes: &[u8]| {
            let line = b"to stderr\n";
            let at = bytes.windows(line.len()).position(|window| window == line).expect("the line to stderr");
            [&bytes[..at], &bytes[at + line.len()..]].concat()
        };
        let (expected, got) = (drop_stderr(&expected), drop_stderr(&output.stdout));
        let at = expected.iter().zip(&got).position(|(left, right)| left != right);
        assert!(expected == got, "{} bytes instead of {}, the first difference at {at:?}\n{}", got.len(), expected.len(), output.stderr);
    }
}

behaviour! {
    fn out_of_memory_is_named(place: &Place) {
        place.write("flow.py", "import time\nprint('eating', flush=True)\nhoard = []\nwhile True:\n    hoard.append(bytearray(8 << 20))\n    time.sleep(0.01)\n");
        let output = place.submit(&["--memory", "100Mi", "-o", "json", "flow.py"]).exits(137);
        let report = output.json();
        assert_eq!((&report["outcome"], &report["reason"]), (&json!("out_of_memory"), &json!("Flow.OutOfMemory")), "{output}");
        drop(output.says(&["eating", "out of memory", "100 MiB"]));
    }
}

behaviour! {
    fn a_child_killed_at_the_limit_is_told(place: &Place) {
        place.write("flow.py", "import subprocess, sys\ncode = subprocess.call([sys.executable, '-c', 'hoard = [bytearray(8 << 20) for _ in range(1000)]'])\nprint('child', code)\n");
        let output = place.submit(&["--memory", "100Mi", "-o", "json", "flow.py"]).exits(0);
        let report = output.json();
        assert_eq!(report["outcome"], "succeeded", "{output}");
        assert!(report["warnings"].to_string().contains("Flow.ChildOutOfMemory"), "{output}");
    }
}

behaviour! {
    fn a_flow_that_fails_for_a_child_killed_at_the_limit_says_so(place: &Place) {
        place.write("flow.py", "import subprocess, sys\ncode = subprocess.call([sys.executable, '-c', 'hoard = [bytearray(8 << 20) for _ in range(1000)]'])\nsys.exit(3 if code else 0)\n");
        let output = place.submit(&["--memory", "100Mi", "-o", "json", "flow.py"]).exits(137);
        let report = output.json();
        assert_eq!((&report["reason"], &report["flow_exit_code"]), (&json!("Flow.ChildOutOfMemory"), &json!(3)), "{output}");
        let advice = if matches!(place, Place::Local(_)) { "at a larger `--size`" } else { "--size LARGER" };
        proves(&report, "(exit code 3)", advice);
    }
}

behaviour! {
    fn sigterm_of_the_flow_itself(place: &Place) {
        place.write("flow.py", "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n");
        let output = place.submit(&["-o", "json", "flow.py"]).exits(143);
        let report = output.json();
        assert_eq!((&report["outcome"], &report["reason"]), (&json!("killed"), &json!("Flow.Killed")), "{output}");
        assert!(report["summary"].as_str().unwrap().contains("SIGTERM"), "{output}");
    }
}

behaviour! {
    fn a_run_timeout_ends_it(place: &Place) {
        place.write("flow.py", "import time\nprint('sleeping', flush=True)\ntime.sleep(600)\n");
        let output = place.submit(&["--timeout", "3s", "-o", "json", "flow.py"]).exits(124);
        let report = output.json();
        assert_eq!((&report["outcome"], &report["reason"]), (&json!("timed_out"), &json!("Timeout.Run")), "{output}");
    }
}

behaviour! {
    fn silence_ends_it_when_asked(place: &Place) {
        place.write("flow.py", "import time\nprint('last words', flush=True)\ntime.sleep(600)\n");
        let output = place.submit(&["--stall-timeout", "4s", "-o", "json", "flow.py"]).exits(124);
        assert_eq!(output.json()["reason"], "Timeout.Stall", "{output}");
    }
}

behaviour! {
    fn sigterm_cancels_and_the_flow_may_clean_up(place: &Place) {
        place.write("flow.py", "import signal, sys, time\ndef stop(*_):\n    print('cleaning up', flush=True)\n    sys.exit(0)\nsignal.signal(signal.SIGTERM, stop)\nprint('ready', flush=True)\ntime.sleep(600)\n");
        let mut running = place.start(&["--on-interrupt", "cancel", "flow.py"]);
        running.until("ready");
        running.signal(Signal::SIGTERM);
        let output = running.finish().exits(143);
        assert!(output.text().contains("cleaning up"), "{output}");
        drop(output.says(&["cancelled"]));
    }
}

behaviour! {
    fn an_executable_runs_by_itself(place: &Place) {
        use std::os::unix::fs::PermissionsExt;
        let path = place.write("flow.sh", "#!/bin/sh\necho \"$GREETING $1\"\ncat data.txt\nexit 5\n");
        place.write("data.txt", "beside it\n");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = place.submit(&["--env", "GREETING=good day", "flow.sh", "--", "you"]).exits(5);
        assert_eq!(output.text(), "good day you\nbeside it\n");
    }
}

behaviour! {
    fn a_command_that_cannot_start_is_rejected(place: &Place) {
        use std::os::unix::fs::PermissionsExt;
        let path = place.write("flow.sh", "#!/no/such/interpreter\n");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = place.submit(&["-o", "json", "flow.sh"]).exits(78);
        assert_eq!(output.json()["reason"], "Flow.StartError", "{output}");
    }
}

behaviour! {
    fn the_result_file_holds_the_truth(place: &Place) {
        place.write("flow.py", "import sys\nsys.exit(78)\n");
        let file = place.write("result.json", "stale");
        let mut command = place.sandbox().prepare(match place {
            Place::Local(_) => vec!["submit", "--local", "flow.py"],
            Place::Real(_) => vec!["submit", "--size", "small", "flow.py"],
        });
        let output = command.env("SBRUN_RESULT_FILE", &file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let result: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((&result["outcome"], &result["flow_exit_code"], &result["exit_code"]), (&json!("failed"), &json!(78), &json!(1)));
    }
}

behaviour! {
    fn what_never_became_a_job_has_a_result_too(place: &Place) {
        let file = place.write("result.json", "stale");
        let mut command = place.sandbox().prepare(["submit", "--local", "-o", "json", "missing.py"]);
        let output = command.env("SBRUN_RESULT_FILE", &file).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(written, printed);
        assert_eq!((&written["outcome"], &written["exit_code"]), (&json!("rejected"), &json!(78)));
        assert!(written["summary"].as_str().unwrap().contains("missing.py"));
    }
}

behaviour! {
    fn secrets_arrive_and_are_never_shown(place: &Place) {
        place.write("flow.py", "import os\nprint(os.environ['API_TOKEN'] == 'pl4nted', flush=True)\n");
        let arguments = match place {
            Place::Local(_) => vec!["submit", "--local", "-v", "--secret", "API_TOKEN", "flow.py"],
            Place::Real(_) => vec!["submit", "--size", "small", "-v", "--secret", "API_TOKEN", "flow.py"],
        };
        let output = place.sandbox().prepare(arguments).env("API_TOKEN", "pl4nted").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "True\n", "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("pl4nted"));
        if let Place::Real(namespace) = place {
            assert!(!namespace.kubectl(&["get", "jobs,pods,configmaps", "-o", "yaml"]).contains("pl4nted"));
            assert!(!namespace.kubectl(&["get", "jobs,pods,configmaps", "-o", "yaml"]).contains(&data_encoding_base64("pl4nted")));
        }
    }
}

fn data_encoding_base64(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

behaviour! {
    fn three_megabytes_of_sources(place: &Place) {
        place.write("big.py", format!("TEXT = '{}'\n", noise(3_000_000)));
        place.write("flow.py", "import big\nprint(len(big.TEXT))\n");
        let output = place.submit(&["flow.py"]).exits(0);
        assert_eq!(output.text(), "3000000\n");
    }
}
