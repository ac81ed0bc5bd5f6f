//! What sbrun keeps on this machine: for its owner only, through no link, and never at the cost of a run.

use std::{
    fmt::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::common::{
    cluster::{Namespace, kwok},
    sandbox::{Output, Running, SBRUN},
};

const LINES: usize = 5000;

/// Returns a namespace whose flow prints some 190 kB.
fn namespace() -> Namespace {
    kwok().node("state-files", "state-files", "1000", "1000Gi");
    let namespace = kwok().namespace();
    namespace.map(&["state-files"], "");
    let log = namespace.sandbox.write(
        "../log.cri",
        (0..LINES).fold(String::new(), |mut text, number| {
            writeln!(text, "2026-01-02T03:04:05.{number:09}Z stdout F a line of the flow, the {number}th of all").unwrap();
            text
        }),
    );
    namespace.template(&json!({"kwok.test/run": "1s", "kwok.test/log-file": log}));
    namespace.sandbox.write("flow.py", "print('hello')\n");
    namespace
}

const SUBMIT: [&str; 6] = ["submit", "-s", "state-files", "--template", "template.json", "flow.py"];

/// Submits under a shell that prepares its process with these words first.
fn submit_after(namespace: &Namespace, prepare: &[&str]) -> Output {
    let mut command = Command::new(prepare[0]);
    let from = namespace.sandbox.prepare(SUBMIT);
    command.args(&prepare[1..]).arg(SBRUN).args(SUBMIT).env_clear().current_dir(namespace.sandbox.path(""));
    command.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Running::of(&mut command).finish()
}

/// Asserts that the whole output came and that the run succeeded.
#[track_caller]
fn ran(output: Output) -> Output {
    let output = output.exits(0);
    assert_eq!(output.text().lines().count(), LINES, "{}", output.stderr);
    output
}

/// Returns all that is below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { [vec![path.clone()], below(&path)].concat() } else { vec![path] }).collect()
}

#[test]
fn they_are_their_owners_alone_whatever_the_umask() {
    let namespace = namespace();
    drop(ran(submit_after(&namespace, &["/bin/sh", "-c", "umask 000; exec \"$@\"", "sh"])));
    let state = namespace.sandbox.path("../home/.local/state");
    let all = below(&state);
    for kind in ["runs", "logs"] {
        assert!(all.iter().any(|path| path.is_file() && path.parent().unwrap().ends_with(kind)), "{kind}: {all:?}");
    }
    for path in all {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn a_link_that_somebody_planted_is_not_followed() {
    let namespace = namespace();
    let (state, elsewhere) = (namespace.sandbox.path("../home/.local/state/sbrun"), namespace.sandbox.path("../elsewhere"));
    std::fs::create_dir_all(&state).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    for kind in ["runs", "logs"] {
        symlink(&elsewhere, state.join(kind)).unwrap();
    }
    drop(ran(submit_after(&namespace, &["/usr/bin/env"])));
    assert_eq!(below(&elsewhere), Vec::<PathBuf>::new());
}

#[test]
fn without_a_place_for_them_everything_goes_on() {
    let mut namespace = namespace();
    let file = namespace.sandbox.write("../a-file", "");
    for home in [file.to_str().unwrap(), "/proc/nowhere", "/dev/null", ""] {
        namespace.sandbox.set("HOME", home);
        drop(ran(submit_after(&namespace, &["/usr/bin/env"])));
    }
    namespace.sandbox.unset("HOME");
    drop(ran(submit_after(&namespace, &["/usr/bin/env"])));
}

/// A file system of its own that holds less than the output.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_costs_nothing_else() {
    let namespace = namespace();
    let state = namespace.sandbox.path("../home/.local/state/sbrun");
    std::fs::create_dir_all(&state).unwrap();
    let mount = format!("mount -t tmpfs -o size=64k none '{}' && exec \"$@\"", state.display());
    let output = ran(submit_after(&namespace, &["unshare", "--map-root-user", "--mount", "/bin/sh", "-c", &mount, "sh"]));
    drop(output.says(&["the output is not kept on this machine any more", "No space left"]));
}

#[test]
fn many_at_a_time_share_them() {
    let namespace = namespace();
    let running: Vec<Running> = (0..8).map(|_| namespace.sandbox.start(SUBMIT)).collect();
    for running in running {
        drop(ran(running.finish()));
    }
    let all = below(&namespace.sandbox.path("../home/.local/state/sbrun"));
    let count = |kind: &str| all.iter().filter(|path| path.is_file() && path.parent().unwrap().ends_with(kind)).count();
    assert_eq!((count("runs"), count("logs")), (8, 8), "{all:?}");
}
