//! Interruptions where somebody can be asked.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    common::{
        cluster::{Namespace, eventually},
        terminal::Terminal,
    },
    scenarios::kwok::interruptions::{is_over, namespace},
};

const MODES: &str = "stty -a | tr ' ;' '\\n\\n' | grep -c -x -e icanon -e echo -e isig";

fn following() -> (Namespace, Terminal) {
    let namespace = namespace("1h");
    let terminal = Terminal::open(&namespace.sandbox, 100, 30);
    terminal.type_line("sbrun submit -s interrupted --template template.json flow.py; echo 'it '\"exits $?\"");
    terminal.until("first");
    (namespace, terminal)
}

#[test]
fn ctrl_c_asks_and_leaves_it_running() {
    let (namespace, terminal) = following();
    terminal.press("C-c");
    terminal.until("The job is still there");
    terminal.press("Enter");
    let screen = terminal.until("it exits 130");
    assert!(screen.contains("goes on"), "{screen}");
    assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1);
}

#[test]
fn ctrl_c_asks_and_cancels() {
    let (namespace, terminal) = following();
    terminal.press("C-c");
    terminal.until("The job is still there");
    terminal.press("Down");
    terminal.press("Enter");
    let screen = terminal.until("it exits 143");
    assert!(screen.contains("cancelled"), "{screen}");
    eventually("the Job's end", || namespace.objects("jobs").iter().all(is_over));
}

#[test]
fn a_question_that_is_cut_off_leaves_the_terminal_as_it_was() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (namespace, terminal) = following();
        terminal.press("C-c");
        terminal.until("The job is still there");
        kill(Pid::from_raw(terminal.child()), signal).unwrap();
        let screen = terminal.until("it exits 130");
        assert!(screen.contains("goes on"), "{signal}: {screen}");
        terminal.type_line(MODES);
        terminal.until("\n3\n");
        assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1);
    }
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let (namespace, terminal) = following();
    terminal.press("C-c");
    terminal.until("The job is still there");
    terminal.press("C-c");
    terminal.until("it exits 130");
    terminal.type_line(MODES);
    terminal.until("\n3\n");
    assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1);
}

#[test]
fn a_closed_terminal_leaves_the_job() {
    let (namespace, terminal) = following();
    let sbrun = terminal.child();
    terminal.close();
    eventually("the end of sbrun", || !std::path::Path::new(&format!("/proc/{sbrun}")).exists());
    assert_eq!(namespace.objects("jobs")[0]["status"]["active"], 1);
    // Its lease is not what it lives by any more.
    assert_eq!(namespace.objects("jobs")[0]["metadata"]["annotations"]["sbrun.dev/lease"], Value::Null);
}
