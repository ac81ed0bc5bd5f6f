//! Lives of jobs under faults that come by chance, and what has to be true of each of them.
//!
//! A seed decides everything about a life: how long the flow runs and how it ends, what it prints and when, what is done with the job
//! (followed, killed and taken up again, cancelled, read, awaited, launched again, removed) and which requests have which fault. `tests/run`
//! lives a fixed sample of them; `tests/soak` as many as wanted.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::{
    cluster::{Namespace, kwok},
    fault_proxy::{FaultProxy, Seen},
    sandbox::{Output, Running},
};

/// The sample of `tests/run`.
const SAMPLE: std::ops::Range<u64> = 0..12;
/// Lives at once.
const AT_ONCE: usize = 4;
/// What a follower may ask of the API server in one second, on average over [`WINDOW`].
const REQUESTS_PER_SECOND: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// At most so many commands look at a job at the same time.
const FOLLOWERS: usize = 2;
/// For about so long a command tries to reach the server that it needs to begin.
const LONGEST_BEGINNING: Duration = Duration::from_secs(50);
/// How long a command may take once the faults are over and the job has ended. A read that stalls is left after 30 s, and a cancelled
/// job's pods have 45 s to go.
const LONGEST_AFTERWARDS: Duration = Duration::from_secs(90);

#[test]
fn a_sample_of_lives() {
    let setting = |name: &str| std::env::var(name).ok();
    let seeds = setting("SBRUN_SOAK_SEEDS").map_or(SAMPLE, |text| {
        let (first, end) = text.split_once("..").expect("SBRUN_SOAK_SEEDS is FIRST..END");
        first.parse().unwrap()..end.parse().unwrap()
    });
    let at_once = setting("SBRUN_SOAK_AT_ONCE").map_or(AT_ONCE, |text| text.parse().unwrap());
    let told = setting("SBRUN_SOAK_SEEDS").is_some();
    kwok().node("soak", "soak", "1000", "1000Gi");
    let seeds: Vec<u64> = seeds.collect();
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let lives: Vec<Told> = thread::scope(|scope| {
        let live = || {
            let mut lives = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                let life = lived(*seed);
                if told {
                    eprintln!("{life}");
                }
                lives.push(life);
            }
            lives
        };
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(live)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let violations: Vec<&Told> = lives.iter().filter(|life| !life.violations.is_empty()).collect();
    let sum = |of: fn(&Told) -> usize| lives.iter().map(of).sum::<usize>();
    eprintln!(
        "{} lives in {} s: {} commands, {} of them killed, {} requests, {} with a fault; {} lives with violations",
        lives.len(),
        began.elapsed().as_secs(),
        sum(|life| life.commands),
        sum(|life| life.killed),
        sum(|life| life.requests),
        sum(|life| life.faults),
        violations.len()
    );
    assert!(sum(|life| life.faults) > 0, "no life had a fault");
    assert!(violations.is_empty(), "{}", violations.iter().map(ToString::to_string).collect::<String>());
}

/// What is to be told of a life.
struct Told {
    seed: u64,
    deed: Deed,
    commands: usize,
    killed: usize,
    requests: usize,
    faults: usize,
    seconds: u64,
    violations: Vec<String>,
}

impl std::fmt::Display for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, deed, commands, requests, faults, seconds, violations, .. } = self;
        writeln!(formatter, "seed {seed}: {deed:?}, {commands} commands, {requests} requests, {faults} faults, {seconds} s")?;
        violations.iter().try_for_each(|violation| writeln!(formatter, "  VIOLATION of seed {seed}: {violation}"))
    }
}

/// What is done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Follow it to its end.
    Follow,
    /// Kill who follows, at any time, and submit once more with the same key.
    KillAndSubmitAgain,
    /// Submit twice at the same time with one key.
    Twice,
    /// Detach, then read its output to its end, killed and begun again.
    DetachAndRead,
    /// Detach, then wait.
    DetachAndWait,
    /// Cancel it by another command while it is followed.
    Cancel,
    /// SIGTERM to who follows, which cancels.
    InterruptToCancel,
    /// SIGTERM to who follows, which detaches.
    InterruptToDetach,
}

const DEEDS: [Deed; 8] = [
    Deed::Follow,
    Deed::KillAndSubmitAgain,
    Deed::Twice,
    Deed::DetachAndRead,
    Deed::DetachAndWait,
    Deed::Cancel,
    Deed::InterruptToCancel,
    Deed::InterruptToDetach,
];

/// A command, and how to begin it again.
struct Begun {
    running: Running,
    arguments: Vec<String>,
}

/// A life while it is lived.
struct Life {
    namespace: Namespace,
    proxy: FaultProxy,
    random: fastrand::Rng,
    /// What the flow prints.
    truth: Vec<u8>,
    /// How the flow ends when nobody stops it, as sbrun's exit code.
    code: i32,
    runs: Duration,
    commands: usize,
    killed: usize,
    violations: Vec<String>,
}

fn lived(seed: u64) -> Told {
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let deed = DEEDS[random.usize(0..DEEDS.len())];
    let mut namespace = kwok().namespace();
    let proxy = FaultProxy::before(&mut namespace);
    let mut life =
        Life { namespace, proxy, random, truth: Vec::new(), code: 0, runs: Duration::ZERO, commands: 0, killed: 0, violations: Vec::new() };
    life.prepare(seed);
    life.act(deed);
    life.proxy.calm();
    life.judge(deed);
    let requests = life.proxy.seen().len();
    Told {
        seed,
        deed,
        commands: life.commands,
        killed: life.killed,
        requests,
        faults: life.proxy.faults(),
        seconds: began.elapsed().as_secs(),
        violations: life.violations,
    }
}

impl Life {
    /// Writes flow, map and template, and has the flow's output written over time.
    fn prepare(&mut self, seed: u64) {
        let random = &mut self.random;
        self.runs = Duration::from_millis(random.u64(1_000..7_000));
        let (exit, reason) = [("0", ""), ("0", ""), ("3", "Error"), ("7", "Error"), ("137", "OOMKilled")][random.usize(0..5)];
        self.code = exit.parse().unwrap();
        let (lines, truth) = output(random);
        self.truth = truth;
        let log = self.namespace.sandbox.write("../flow.log", "");
        write_slowly(log.clone(), lines, self.runs.mul_f64(0.7));
        self.namespace.map(&["soak"], "");
        self.namespace.template(&json!({
            "kwok.test/run": format!("{}ms", self.runs.as_millis()),
            "kwok.test/start-delay": format!("{}ms", random.u64(0..2_000)),
            "kwok.test/exit": exit,
            "kwok.test/reason": reason,
            "kwok.test/log-file": log.to_str().unwrap(),
        }));
        // Some packages fit into the Job, some need ConfigMaps and so several requests.
        let noise = if random.u32(0..3) == 0 { 400_000 } else { 100 };
        self.namespace.sandbox.write("noise.txt", crate::common::sandbox::noise(noise));
        self.namespace.sandbox.write("flow.py", "print('simulated')\n");
        self.proxy.chance(seed, self.random.u32(3..15));
    }

    fn start(&mut self, arguments: &[&str]) -> Begun {
        self.commands += 1;
        Begun { running: self.namespace.sandbox.start(arguments), arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    fn submit(&mut self, further: &[&str]) -> Begun {
        self.start(&[&["submit", "-s", "soak", "--template", "template.json", "--key", "life", "--color", "never"], further, &["flow.py"]].concat())
    }

    /// Returns a moment in the life of the job, or before it.
    fn moment(&mut self) -> Duration {
        let whole = self.runs + Duration::from_secs(3);
        whole.mul_f64(self.random.f64())
    }

    fn violation(&mut self, what: &str, output: &Output) {
        let text = String::from_utf8_lossy(&output.stdout);
        let tail: String = text.chars().skip(text.chars().count().saturating_sub(300)).collect();
        self.violations.push(format!(
            "{what}\n--- stdout, its end ---\n{tail}\n--- stderr ---\n{}[exit code: {}, {:?}]",
            output.stderr, output.code, output.took
        ));
    }

    /// Ends a command, and says whether it ended as it had to.
    ///
    /// Chance may have the server silent for the whole minute that a command tries to begin: then it says so, and is begun again without faults.
    fn finish(&mut self, what: &str, running: Begun, codes: &[i32]) -> Output {
        let mut output = running.running.finish();
        if output.code == 69 && output.took > LONGEST_BEGINNING && output.stdout.is_empty() {
            self.proxy.calm();
            output = self.start(&running.arguments.iter().map(String::as_str).collect::<Vec<_>>()).running.finish();
        }
        if !codes.contains(&output.code) {
            self.violation(&format!("{what} ended with {}, not one of {codes:?}", output.code), &output);
        }
        for never in ["panicked", "Error {", "a bug in sbrun"] {
            if output.stderr.contains(never) {
                self.violation(&format!("{what} said `{never}`"), &output);
            }
        }
        output
    }

    /// Ends a command that printed the flow's output to its end.
    fn finish_whole(&mut self, what: &str, running: Begun, codes: &[i32]) {
        let output = self.finish(what, running, codes);
        if output.stdout != self.truth {
            let difference = difference(&self.truth, &output.stdout);
            self.violation(&format!("{what} printed something else than the flow: {difference}"), &output);
        }
    }

    /// Ends a command that printed some of the flow's output and may have been stopped: what it printed is a beginning of it.
    fn finish_part(&mut self, what: &str, running: Begun, codes: &[i32]) -> Output {
        let output = self.finish(what, running, codes);
        let end_only = output.stderr.contains("these are the last lines") && memchr::memmem::find(&self.truth, &output.stdout).is_some();
        if !end_only && !self.truth.starts_with(&output.stdout) {
            let difference = difference(&self.truth, &output.stdout);
            self.violation(&format!("{what} printed something else than the flow began with: {difference}"), &output);
        }
        output
    }

    fn kill(&mut self, what: &str, running: Begun, after: Duration, signal: Signal) {
        thread::sleep(after);
        running.running.signal(signal);
        self.killed += 1;
        let output = running.running.finish();
        if !self.truth.starts_with(&output.stdout) {
            let difference = difference(&self.truth, &output.stdout);
            self.violation(&format!("{what}, killed, had printed something else than the flow: {difference}"), &output);
        }
    }

    fn act(&mut self, deed: Deed) {
        let code = self.code;
        match deed {
            Deed::Follow => {
                let running = self.submit(&[]);
                self.finish_whole("submit", running, &[code]);
            }
            Deed::KillAndSubmitAgain => {
                for _ in 0..self.random.u32(1..3) {
                    let (running, moment) = (self.submit(&[]), self.moment());
                    self.kill("submit", running, moment, Signal::SIGKILL);
                }
                let running = self.submit(&[]);
                self.finish_whole("submit once more", running, &[code]);
            }
            Deed::Twice => {
                let first = self.submit(&[]);
                thread::sleep(Duration::from_millis(self.random.u64(0..400)));
                let second = self.submit(&[]);
                self.finish_whole("the first submit", first, &[code]);
                self.finish_whole("the second submit", second, &[code]);
            }
            Deed::DetachAndRead => {
                let name = self.detach();
                let (running, moment) = (self.start(&["logs", "-f", &name]), self.moment());
                self.kill("logs -f", running, moment, Signal::SIGKILL);
                let running = self.start(&["logs", "-f", &name]);
                self.finish_whole("logs -f", running, &[code]);
            }
            Deed::DetachAndWait => {
                let name = self.detach();
                let running = self.start(&["wait", &name]);
                drop(self.finish("wait", running, &[code]));
            }
            Deed::Cancel => {
                let name = self.detach();
                let (following, moment) = (self.start(&["logs", "-f", &name]), self.moment());
                thread::sleep(moment);
                // The server may be out of reach for as long as a cancel has; it says so, and is repeated.
                let mut tries = 0;
                loop {
                    let running = self.start(&["cancel", "--yes", &name]);
                    let output = self.finish("cancel", running, &[0, 69]);
                    tries += 1;
                    if output.code == 0 {
                        break;
                    }
                    if tries == 8 {
                        self.violation("cancel never reached the server", &output);
                        break;
                    }
                }
                drop(self.finish_part("logs -f of a cancelled job", following, &[code, 143]));
            }
            Deed::InterruptToCancel => {
                let (running, moment) = (self.submit(&["--on-interrupt", "cancel"]), self.moment());
                thread::sleep(moment);
                running.running.signal(Signal::SIGTERM);
                self.killed += 1;
                let output = self.finish_part("submit, told to end,", running, &[code, 143, 130, 69, -15]);
                if matches!(output.code, 130 | 69 | -15) && output.took > moment + Duration::from_secs(30) {
                    self.violation("submit took its time to leave", &output);
                }
            }
            Deed::InterruptToDetach => {
                let (running, moment) = (self.submit(&["--on-interrupt", "detach"]), self.moment());
                thread::sleep(moment);
                running.running.signal(Signal::SIGTERM);
                self.killed += 1;
                let output = self.finish_part("submit, told to leave,", running, &[code, 130, 143, 69, -15]);
                if output.code == 69 && !output.stderr.contains("may or may not have been created") {
                    self.violation("submit, told to leave, did not say what became of the job", &output);
                }
            }
        }
    }

    fn detach(&mut self) -> String {
        let running = self.submit(&["-d", "-o", "name"]);
        let output = self.finish("submit --detach", running, &[0]);
        output.text().trim().to_owned()
    }

    /// Looks at what is left, without faults.
    fn judge(&mut self, deed: Deed) {
        let began = Instant::now();
        let jobs = self.jobs();
        let interrupted = matches!(deed, Deed::InterruptToCancel | Deed::InterruptToDetach);
        if jobs.len() != 1 && !(jobs.is_empty() && interrupted) {
            self.violations.push(format!("{} Jobs instead of one", jobs.len()));
        }
        let Some(name) = jobs.first().and_then(|job| job["metadata"]["name"].as_str()).map(ToOwned::to_owned) else { return };
        if jobs[0]["spec"]["suspend"] == json!(true) {
            let running = self.start(&["cancel", "--yes", &name]); // a submission that was interrupted half way
            drop(self.finish("cancel of half a submission", running, &[0]));
        } else {
            self.judge_verdict(deed, &name);
        }
        self.judge_rate();
        self.judge_removal(&name);
        if began.elapsed() > LONGEST_AFTERWARDS + self.runs {
            self.violations.push(format!("it took {} s until everything was over", began.elapsed().as_secs()));
        }
    }

    fn judge_verdict(&mut self, deed: Deed, name: &str) {
        let may_be_cancelled = matches!(deed, Deed::Cancel | Deed::InterruptToCancel);
        let codes: &[i32] = if may_be_cancelled { &[self.code, 143] } else { &[self.code] };
        let running = self.start(&["wait", name]);
        let code = self.finish("wait, at the end,", running, codes).code;
        let running = self.start(&["why", name, "-o", "json"]);
        let why = self.finish("why", running, &[0]);
        if why.json()["exit_code"] != json!(code) {
            self.violation(&format!("wait said {code}, and why says something else"), &why);
        }
        if code != 143 {
            let running = self.start(&["logs", name]);
            if may_be_cancelled {
                drop(self.finish_part("logs, at the end,", running, &[0])); // its pod may have been told to go all the same
            } else {
                self.finish_whole("logs, at the end,", running, &[0]);
            }
            let running = self.submit(&[]);
            drop(self.finish("submit with the key of a finished job", running, &[code]));
            let jobs = self.jobs().len();
            if jobs != 1 {
                self.violations.push(format!("{jobs} Jobs after one more submit with the same key"));
            }
        }
    }

    fn judge_removal(&mut self, name: &str) {
        // A flow may have ended while its Job is still being closed.
        let mut tries = 0;
        while tries < 20 {
            let running = self.start(&["clean", "--yes", name]);
            let output = self.finish("clean", running, &[0, 1]);
            if output.code == 0 || !output.stderr.contains("is being closed") {
                break;
            }
            tries += 1;
            thread::sleep(Duration::from_millis(500));
        }
        let began = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            if began.elapsed() > Duration::from_secs(30) {
                self.violations.push(format!("left after clean: {left:?}"));
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn judge_rate(&mut self) {
        let seen = self.proxy.seen();
        let most = seen.iter().enumerate().map(|(index, first)| within(&seen[index..], first, WINDOW)).max().unwrap_or_default();
        if most > FOLLOWERS * REQUESTS_PER_SECOND * usize::try_from(WINDOW.as_secs()).unwrap() {
            self.violations.push(format!("{most} requests within {} s", WINDOW.as_secs()));
        }
    }

    fn jobs(&self) -> Vec<Value> {
        self.namespace.objects("jobs")
    }

    fn left(&self) -> Vec<String> {
        let objects = self.namespace.objects("jobs,pods,configmaps,secrets");
        let names = objects.iter().map(|object| format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()));
        names.filter(|name| name != "ConfigMap kube-root-ca.crt").collect()
    }
}

fn within(seen: &[Seen], first: &Seen, window: Duration) -> usize {
    seen.iter().take_while(|other| other.at.duration_since(first.at) < window).count()
}

/// Returns a flow's output as the runtime writes it to its log, line by line, and as bytes.
fn output(random: &mut fastrand::Rng) -> (Vec<String>, Vec<u8>) {
    let (mut lines, mut truth) = (Vec::new(), Vec::new());
    let mut nanoseconds = jiff::Timestamp::now().as_nanosecond();
    for number in 0..random.usize(1..120) {
        // Some lines come at the same time, some are equal as well.
        if random.u32(0..4) > 0 {
            nanoseconds += random.i128(1..50_000_000);
        }
        let stamp = format!("{:.9}", jiff::Timestamp::from_nanosecond(nanoseconds).unwrap());
        let text = match random.u32(0..12) {
            0 => "the same line".to_owned(),
            1 => format!("\rprogress {number}\rprogress {number}.5"),
            2 => String::new(),
            3 if number % 3 == 0 => "x".repeat(random.usize(16_000..50_000)),
            _ => format!("line {number} of the flow"),
        };
        let mut entry = String::new();
        let mut rest = text.as_str();
        while rest.len() > 16_384 {
            let (part, after) = rest.split_at(16_384);
            writeln!(entry, "{stamp} stdout P {part}").unwrap();
            rest = after;
        }
        writeln!(entry, "{stamp} stdout F {rest}").unwrap();
        lines.push(entry);
        truth.extend_from_slice(text.as_bytes());
        truth.push(b'\n');
    }
    (lines, truth)
}

/// Writes a log over so much time.
fn write_slowly(path: PathBuf, lines: Vec<String>, time: Duration) {
    let mut file = File::options().append(true).open(path).unwrap();
    let pause = time / u32::try_from(lines.len()).unwrap();
    thread::spawn(move || {
        for line in lines {
            file.write_all(line.as_bytes()).unwrap();
            thread::sleep(pause);
        }
    });
}

fn difference(expected: &[u8], printed: &[u8]) -> String {
    let at = expected.iter().zip(printed).take_while(|(left, right)| left == right).count();
    let line = memchr::memchr_iter(b'\n', &expected[..at]).count();
    format!("{} bytes instead of {}, different from byte {at} on (line {line})", printed.len(), expected.len())
}
