//! Help, version and the shape of the command line.

use crate::common::sandbox::Sandbox;

#[test]
fn help_needs_nothing() {
    let mut sandbox = Sandbox::new();
    sandbox.unset("HOME").unset("PATH");
    let help = sandbox.command(["--help"]).exits(0);
    for word in ["submit", "logs", "why", "Exit status", "SBRUN_RESULT_FILE"] {
        assert!(help.text().contains(word), "{word}\n{help}");
    }
    assert!(sandbox.command(["--version"]).exits(0).text().starts_with("sbrun "));
    drop(sandbox.command(["version", "--client"]).exits(0));
}

#[test]
fn every_command_has_help_with_an_argument_list() {
    let sandbox = Sandbox::new();
    for command in ["submit", "logs", "wait", "why", "list", "cancel", "rerun", "clean", "sizes", "config", "version", "completions", "man"] {
        let help = sandbox.command([command, "--help"]).exits(0);
        assert!(help.text().contains("Usage: sbrun"), "{help}");
    }
}

#[test]
fn a_wrong_command_line_exits_2() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["sumbit"][..],
        &["submit"],
        &["submit", "--size"],
        &["submit", "--frobnicate", "x.py"],
        &["list", "--state", "odd"],
        &["man", "nonsense"],
        &["logs", "-f", "--tail", "3", "x"],
    ] {
        let output = sandbox.command(arguments).exits(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output}");
    }
}
