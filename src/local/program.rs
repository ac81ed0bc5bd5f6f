//! What is started, and why it cannot be.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};

use crate::model::launch_plan::{Flow, Interpreter};

/// Exit codes of a program that could not be started, as shells and container runtimes have them.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
/// Asking an interpreter for its version may not hold up a run.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Absolute path.
    pub(super) path: PathBuf,
    /// Arguments after it.
    pub(super) arguments: Vec<String>,
}

/// Why a program was never started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartFailure {
    /// 126 or 127.
    pub(super) exit_code: i32,
    /// What is wrong, for people.
    pub(super) message: String,
}

/// The Python that runs a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The interpreter itself, where a `python3` on PATH only leads to one.
    pub path: PathBuf,
    /// Such as `3.11.7`.
    pub version: String,
}

impl Program {
    /// Returns the program of a flow in `root`. What a shell would only find out by trying is looked at before, because
    /// afterwards nobody can tell an exit code 127 of the flow from one of the shell.
    pub(super) fn of_flow(flow: &Flow, root: &Path, variables: &BTreeMap<String, String>) -> Result<Self, StartFailure> {
        let file = root.join(&flow.file);
        if !file.is_file() {
            return Err(StartFailure::not_found(format!("`{}` is not among the flow's files", flow.file)));
        }
        match flow.interpreter {
            Interpreter::Python => {
                let python = find_on_path("python3", variables).ok_or_else(|| StartFailure::not_found("no `python3` on PATH".to_owned()))?;
                // Relative, so that `sys.argv[0]` reads as it does with python; `./` because a name may start with a hyphen.
                let script = if flow.file.starts_with('-') { format!("./{}", flow.file) } else { flow.file.clone() };
                Ok(Self { path: python, arguments: [script].into_iter().chain(flow.arguments.clone()).collect() })
            }
            Interpreter::Executable => {
                check_executable(&file, &flow.file)?;
                Ok(Self { path: file, arguments: flow.arguments.clone() })
            }
        }
    }
}

impl StartFailure {
    fn not_found(message: String) -> Self {
        Self { exit_code: NOT_FOUND, message }
    }

    fn not_executable(message: String) -> Self {
        Self { exit_code: NOT_EXECUTABLE, message }
    }

    /// Returns what the operating system's refusal means.
    pub(super) fn from_spawn(program: &Path, error: &io::Error) -> Self {
        let exit_code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
        Self { exit_code, message: format!("`{}` cannot be started: {error}", program.display()) }
    }
}

/// Returns the first executable file of this name; relative entries of PATH would mean another folder for the flow.
fn find_on_path(name: &str, variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let folders = variables.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str).split(':').map(Path::new);
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

/// Finds out what `execve` would refuse: no permission, no known format, an interpreter that does not exist.
fn check_executable(file: &Path, name: &str) -> Result<(), StartFailure> {
    if !is_executable(file) {
        return Err(StartFailure::not_executable(format!("`{name}` is not executable; type `chmod +x {name}`")));
    }
    let mut head = Vec::new();
    let read = File::open(file).and_then(|file| file.take(256).read_to_end(&mut head));
    // A program that may be run and not be read is nothing to look into.
    let Ok(_) = read else { return Ok(()) };
    let Some(line) = head.strip_prefix(b"#!") else {
        let known = head.starts_with(b"\x7fELF") || [[0xcf, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]].iter().any(|magic| head.starts_with(magic));
        let message = || format!("`{name}` is neither a program of this machine nor a script that starts with `#!`");
        return if known { Ok(()) } else { Err(StartFailure::not_executable(message())) };
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err(StartFailure::not_found(format!("`{name}` has Windows line ends; type `sed -i 's/\\r$//' {name}`")));
    }
    let line = line.trim_ascii_start();
    let interpreter = line.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    if is_executable(Path::new(std::ffi::OsStr::from_bytes(interpreter))) {
        return Ok(());
    }
    Err(StartFailure::not_found(format!("`{name}` asks for the interpreter `{}`, which is not here", String::from_utf8_lossy(interpreter))))
}

impl Python {
    /// Asks the interpreter at `path` who it is; none when it does not answer in time.
    pub(super) async fn ask(path: &Path, variables: &BTreeMap<String, String>, folder: &Path) -> Option<Self> {
        const QUESTION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
        let mut command = tokio::process::Command::new(path);
        // Isolated and without site packages: nothing of the flow's folder runs.
        command.args(["-I", "-S", "-c", QUESTION]).env_clear().envs(variables).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let answer = async {
            match command.current_dir(folder).output().await {
                Ok(output) => Ok(output),
                // The folder of a short run is gone by now.
                Err(_) => command.current_dir("/").output().await,
            }
        };
        let output = tokio::time::timeout(VERSION_LIMIT, answer).await.ok()?.ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (version, executable) = text.trim_end().split_once('\n')?;
        Some(Self { path: executable.into(), version: version.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn mk_flow(file: &str, interpreter: Interpreter) -> Flow {
        Flow { identity: "flow".into(), file: file.into(), interpreter, arguments: vec!["a b".into()] }
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, mode: u32, content: &[u8]| {
            fs::write(root.path().join(name), content).unwrap();
            fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        write("flow.py", 0o644, b"");
        write("run.sh", 0o755, b"#! /bin/sh -e\n");
        write("plain.sh", 0o644, b"#!/bin/sh\n");
        write("dos.sh", 0o755, b"#!/bin/sh\r\n");
        write("gone.sh", 0o755, b"#!/no/such -x\n");
        write("data.bin", 0o755, b"data");
        let nowhere = BTreeMap::from([("PATH".to_owned(), ".:/no/such".to_owned())]);
        let start = |file: &str, interpreter| {
            Program::of_flow(&mk_flow(file, interpreter), root.path(), &nowhere).map_err(|error| (error.exit_code, error.message))
        };
        let failure = |code, message: &str| Err((code, message.to_owned()));
        let program = Program { path: root.path().join("run.sh"), arguments: vec!["a b".into()] };
        for (file, interpreter, expected) in [
            ("run.sh", Interpreter::Executable, Ok(program)),
            ("flow.py", Interpreter::Python, failure(127, "no `python3` on PATH")),
            ("missing", Interpreter::Executable, failure(127, "`missing` is not among the flow's files")),
            ("plain.sh", Interpreter::Executable, failure(126, "`plain.sh` is not executable; type `chmod +x plain.sh`")),
            ("dos.sh", Interpreter::Executable, failure(127, "`dos.sh` has Windows line ends; type `sed -i 's/\\r$//' dos.sh`")),
            ("gone.sh", Interpreter::Executable, failure(127, "`gone.sh` asks for the interpreter `/no/such`, which is not here")),
            ("data.bin", Interpreter::Executable, failure(126, "`data.bin` is neither a program of this machine nor a script that starts with `#!`")),
        ] {
            assert_eq!(start(file, interpreter), expected, "{file}");
        }
    }

    #[test]
    fn a_python_file_is_given_to_the_first_python_on_path() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("-flow.py"), "").unwrap();
        fs::write(root.path().join("python3"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.path().join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = BTreeMap::from([("PATH".to_owned(), format!("/no/such:{}:/usr/bin", root.path().display()))]);
        let expected = Program { path: root.path().join("python3"), arguments: vec!["./-flow.py".into(), "a b".into()] };
        assert_eq!(Program::of_flow(&mk_flow("-flow.py", Interpreter::Python), root.path(), &path), Ok(expected));
    }
}
