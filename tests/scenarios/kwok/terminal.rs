//! Live views as a person sees them, in a terminal multiplexer.

mod interruptions;

use serde_json::json;

use crate::common::{
    cluster::{Namespace, eventually, kwok},
    terminal::Terminal,
};

/// Returns a namespace with two sizes, each with a node.
fn namespace(name: &str) -> Namespace {
    let mut namespace = kwok().namespace();
    namespace.sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
    let sizes = [format!("{name}-a"), format!("{name}-b")];
    for size in &sizes {
        kwok().node(&format!("{size}-1"), size, "1", "1Gi");
    }
    namespace.map(&sizes.each_ref().map(String::as_str), "");
    let ready = || namespace.sandbox.command(["nodes", "-o", "json"]).exits(0).json()["node_groups"][1]["idle"] == 1;
    eventually("the nodes", ready);
    namespace
}

#[track_caller]
fn fits(screen: &str, width: usize, height: usize) {
    assert!(screen.lines().count() <= height && screen.lines().all(|line| line.chars().count() <= width), "{screen}");
}

#[test]
fn the_live_view_follows_the_cluster_and_the_terminal() {
    let namespace = namespace("live");
    let terminal = Terminal::open(&namespace.sandbox, 80, 24);
    terminal.type_line("sbrun nodes --watch");
    let screen = terminal.until("q quits");
    fits(&screen, 80, 24);
    for text in ["2 machines", "live-a  steady", "▒", "machines\n", "┤", "1h ago", "█ busy"] {
        assert!(screen.contains(text), "{text}:\n{screen}");
    }
    assert!(terminal.colours().contains("\u{1b}[3"), "a terminal gets colours");
    terminal.resize(40, 20);
    let screen = terminal.until("1h ago                         now");
    fits(&screen, 40, 20);
    assert!(screen.contains("live-a  steady"), "{screen}");
    kwok().node("live-b-2", "live-b", "1", "1Gi");
    terminal.until("3 machines");
    terminal.resize(80, 24);
    terminal.press("q");
    let screen = terminal.until("ready>");
    assert!(!screen.contains("q quits"), "the terminal is given back as it was:\n{screen}");
    terminal.type_line("stty -a | tr ' ;' '\\n\\n' | grep -c -x -e icanon -e echo");
    terminal.until("\n2\n");
}

#[test]
fn without_colour_every_part_has_a_glyph_of_its_own() {
    let namespace = namespace("plain");
    let terminal = Terminal::open(&namespace.sandbox, 100, 24);
    terminal.type_line("NO_COLOR=1 sbrun nodes --watch");
    terminal.until("q quits");
    assert!(!terminal.colours().contains("\u{1b}[3"), "{:?}", terminal.colours());
    terminal.press("C-c");
    terminal.until("ready>");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let namespace = namespace("signal");
    let terminal = Terminal::open(&namespace.sandbox, 80, 24);
    terminal.type_line("sbrun nodes --watch; echo it exits $?");
    terminal.until("q quits");
    let id = nix::unistd::Pid::from_raw(terminal.child());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    let screen = terminal.until("it exits 143");
    assert!(!screen.contains("q quits"), "{screen}");
    terminal.type_line("stty -a | tr ' ;' '\\n\\n' | grep -c -x -e icanon -e echo");
    terminal.until("\n2\n");
}

#[test]
fn tables_fit_the_terminal() {
    let namespace = namespace("table");
    for (width, last) in [(40, "WAITING"), (80, "WAITING"), (160, "WAITING")] {
        let terminal = Terminal::open(&namespace.sandbox, width, 30);
        terminal.type_line("sbrun nodes 2> /dev/null");
        let screen = terminal.until("table-b");
        let head = screen.lines().find(|line| line.starts_with("SIZE")).unwrap_or_else(|| panic!("no table:\n{screen}"));
        assert!(head.trim_end().ends_with(last), "{width}: {screen}");
        assert_eq!(head.contains("BUSY"), width > 40, "{width}: {screen}");
        assert_eq!(head.contains("CPU"), width > 120, "{width}: {screen}");
    }
}

/// What a text of somebody else may do to a terminal: write to the clipboard, name the window, move the cursor over other lines, hide
/// text, turn the direction of writing, and look like lines of sbrun's own.
const EVIL: &str = "by\u{1b}]52;c;cm0gLXJmIC8=\u{7}\u{1b}]0;pwned\u{7}\u{9d}0;pwned\u{9c}\u{1b}[2A\u{1b}[2K\u{9b}2J\u{1b}[8m\r\n✓ forged\u{202e}";

/// Makes a Job of somebody else's, whose every text is hostile.
fn hostile_job(namespace: &Namespace) {
    let ending = json!({"outcome": "cancelled", "reason": "Cancelled.ByUser", "by": EVIL, "at": "2026-11-24T10:00:00Z", "message": EVIL});
    let annotations = json!({
        "sbrun.dev/user": EVIL, "sbrun.dev/flow": EVIL, "sbrun.dev/log-tail": format!("last words{EVIL}\n"), "sbrun.dev/ending": ending.to_string(),
    });
    let metadata =
        json!({"name": "hostile", "labels": {"app.kubernetes.io/managed-by": "sbrun", "sbrun.dev/user": "eve"}, "annotations": annotations});
    let pod = json!({"spec": {"restartPolicy": "Never", "nodeSelector": {"no": "where"}, "containers": [{"name": "flow", "image": "x"}]}});
    namespace.apply(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod}}));
    eventually("the pod", || !namespace.objects("pods").is_empty());
    let pod = namespace.objects("pods").remove(0)["metadata"].clone();
    let about = json!({"kind": "Pod", "name": pod["name"], "namespace": namespace.name, "uid": pod["uid"]});
    namespace.apply(json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "hostile"}, "involvedObject": about, "type": "Warning", "reason": "NotTriggerScaleUp",
        "message": format!("pod didn't trigger scale-up: {EVIL}"), "source": {"component": "cluster-autoscaler"}, "count": 1,
        "firstTimestamp": "2026-11-24T10:00:00Z", "lastTimestamp": "2026-11-24T10:00:00Z",
    }));
}

#[test]
fn what_others_wrote_does_not_steer_the_terminal() {
    let namespace = namespace("hostile");
    hostile_job(&namespace);
    let recording = namespace.sandbox.path("recording");
    let terminal = Terminal::open(&namespace.sandbox, 100, 40);
    terminal.record(&recording);
    let commands = ["why hostile", "list --all", "why hostile -o json", "list --all -o yaml", "logs hostile", "-v wait hostile --timeout 1s"];
    for (number, command) in commands.iter().enumerate() {
        // Two halves, so that the line itself does not look like its end.
        terminal.type_line(&format!("sbrun {command}; echo 'command '{number} exits"));
        terminal.until(&format!("command {number} exits"));
    }
    terminal.type_line("sbrun cancel hostile");
    terminal.until("cancel it?");
    terminal.press("C-c");
    terminal.until("ready>");
    let shown = String::from_utf8(std::fs::read(recording).unwrap()).unwrap();
    assert!(shown.contains("last words") && shown.matches("forged").count() > 5, "{shown}");
    for sequence in ["\u{1b}]", "\u{1b}[2A", "\u{9b}", "\u{9d}"] {
        assert!(!shown.contains(sequence), "{sequence:?}: {shown:?}");
    }
    // Only a flow's own output may begin a line as it likes, paint it, and write in any direction to the end of it.
    assert_eq!((shown.matches('\u{202e}').count(), shown.matches("\u{1b}[8m").count()), (1, 1), "{shown:?}");
    let forged = shown.lines().filter(|line| line.trim_start_matches('\r').starts_with("✓ forged"));
    assert_eq!(forged.count(), 1, "{shown:?}");
    // A pipe gets a flow's bytes as they are.
    let output = namespace.sandbox.command(["logs", "hostile"]).exits(0);
    assert_eq!(output.text(), format!("last words{EVIL}\n"));
}

#[test]
fn what_changes_while_somebody_is_asked_is_not_removed() {
    let cluster = kwok();
    cluster.node("asking-1", "asking", "8", "32Gi");
    let namespace = cluster.namespace();
    namespace.map(&["asking"], "");
    namespace.template(&json!({"kwok.test/run": "100ms"}));
    let names = namespace.crowd("many", 40, &["-s", "asking", "--template", "template.json"]);
    namespace.until_over(names.len());
    let terminal = Terminal::open(&namespace.sandbox, 100, 24);
    terminal.type_line("sbrun clean; echo ended with $?");
    terminal.until("Remove 40 finished jobs in namespace");
    namespace.kubectl(&["annotate", "job", &names[7], "seen=by-somebody"]);
    terminal.press("y");
    let screen = terminal.until("ended with 1");
    assert!(screen.contains(&format!("{} stays: it changed since it was listed", names[7])), "{screen}");
    assert!(screen.contains("39 jobs removed") && !screen.contains(&names[30]), "too many to name: {screen}");
    let left = namespace.objects("jobs");
    assert_eq!(left.iter().map(|job| job["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>(), [&names[7]]);
}
