//! A place of its own for one test: empty environment, own home, own working directory.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The sbrun that was built for these tests.
pub(crate) const SBRUN: &str = env!("CARGO_BIN_EXE_sbrun");

/// No command of a test may take longer: a hang is a failure, not a wait.
const LONGEST: Duration = Duration::from_secs(180);

/// A folder with a home in it, and the environment of the commands that run there.
pub(crate) struct Sandbox {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Sandbox {
    /// Returns an empty sandbox.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("sbrun-test-").unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let mut variables: BTreeMap<String, String> =
            ["PATH", "LANG"].iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        variables.insert("HOME".into(), folder.path().join("home").to_string_lossy().into_owned());
        variables.insert("COLUMNS".into(), "100".into());
        Self { folder, variables }
    }

    /// Sets a variable of every command.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Takes a variable away.
    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// Returns a path in the working directory.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("work").join(relative)
    }

    /// Writes a file into the working directory.
    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Returns the command `sbrun ARGUMENTS`, ready to run in the working directory without standard input.
    pub(crate) fn prepare<I: IntoIterator<Item = S>, S: AsRef<str>>(&self, arguments: I) -> Command {
        let mut command = Command::new(SBRUN);
        command
            .args(arguments.into_iter().map(|argument| argument.as_ref().to_owned()))
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.path(""))
            .stdin(Stdio::null());
        command
    }

    /// Runs `sbrun ARGUMENTS` to its end.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<str>>(&self, arguments: I) -> Output {
        self.start(arguments).finish()
    }

    /// Starts `sbrun ARGUMENTS`.
    pub(crate) fn start<I: IntoIterator<Item = S>, S: AsRef<str>>(&self, arguments: I) -> Running {
        Running::of(&mut self.prepare(arguments))
    }
}

/// Standard output and standard error so far.
type Seen = (Vec<u8>, Vec<u8>);

/// A started sbrun.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Option<std::thread::JoinHandle<Vec<u8>>>,
    stderr: Option<std::thread::JoinHandle<Vec<u8>>>,
    seen: Arc<Mutex<Seen>>,
}

impl Running {
    /// Starts a command.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn new(mut child: Child) -> Self {
        let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let stdout = read_all(child.stdout.take().unwrap(), seen.clone(), |seen| &mut seen.0);
        let stderr = read_all(child.stderr.take().unwrap(), seen.clone(), |seen| &mut seen.1);
        Self { child, stdout: Some(stdout), stderr: Some(stderr), seen }
    }

    /// Waits until standard output or standard error contains `text`.
    pub(crate) fn until(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            {
                let seen = self.seen.lock().unwrap();
                let contains = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
                if contains(&seen.0) || contains(&seen.1) {
                    return;
                }
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || start.elapsed() > LONGEST {
                std::thread::sleep(Duration::from_millis(100));
                let seen = self.seen.lock().unwrap();
                let (out, err) = (String::from_utf8_lossy(&seen.0), String::from_utf8_lossy(&seen.1));
                assert!(out.contains(text) || err.contains(text), "`{text}` never came ({ended:?})\n{out}\n--- stderr ---\n{err}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns standard output so far.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.seen.lock().unwrap().0.clone()
    }

    /// Returns how often standard error has said `text` so far.
    pub(crate) fn notices(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.seen.lock().unwrap().1).matches(text).count()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) -> &Self {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
        self
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Output {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > LONGEST {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let seen = self.seen.lock().unwrap();
                panic!("sbrun hangs\n{}\n--- stderr ---\n{}", String::from_utf8_lossy(&seen.0), String::from_utf8_lossy(&seen.1));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        Output {
            code,
            stdout: self.stdout.take().unwrap().join().unwrap(),
            stderr: String::from_utf8_lossy(&self.stderr.take().unwrap().join().unwrap()).into_owned(),
            took: start.elapsed(),
        }
    }
}

fn read_all(mut stream: impl Read + Send + 'static, seen: Arc<Mutex<Seen>>, side: fn(&mut Seen) -> &mut Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..length]);
            side(&mut seen.lock().unwrap()).extend_from_slice(&buffer[..length]);
        }
        all
    })
}

/// What a finished sbrun left.
#[must_use = "either snapshot the output or assert the exit code"]
pub(crate) struct Output {
    /// Exit code; minus the signal when one ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
    /// How long the end was waited for.
    pub(crate) took: Duration,
}

impl Output {
    /// Returns standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n{self}");
        self
    }

    /// Asserts success.
    #[track_caller]
    pub(crate) fn success(self) {
        drop(self.exits(0));
    }

    /// Asserts that standard error says all of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not said\n{self}");
        }
        for never in ["Error {", "Some(", "panicked", "ApiError"] {
            assert!(!self.stderr.contains(never), "a Debug dump reached the user\n{self}");
        }
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}--- stderr ---\n{}[exit code: {}]", self.text(), self.stderr, self.code)
    }
}

/// Returns letters that do not compress well.
pub(crate) fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + u8::try_from(state % 26).unwrap())
    };
    (0..length).map(|_| next()).collect()
}
