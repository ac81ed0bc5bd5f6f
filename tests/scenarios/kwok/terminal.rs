//! Live views as a person sees them, in a terminal multiplexer.

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
    terminal.type_line("stty -a | grep -c -e ' icanon' -e ' echo '");
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
    terminal.type_line("stty -a | grep -c -e ' icanon' -e ' echo '");
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
