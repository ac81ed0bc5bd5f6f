//! One run on this machine, from start to end.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::unistd::Pid;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    environment::{self, Environment},
    error::{Error, Result},
    local::{
        cgroup::Cgroup,
        flow_environment,
        folder::RunFolder,
        keeper::{self, Belongings, Ended, How, Kept, Progress, Request},
        observe::{self, Identity},
        output,
        program::{Program, Python, StartFailure},
        tree::{Enforcement, Signal, Tree},
        watchdog::Watchdog,
    },
    model::{
        evidence::{Ending, Evidence},
        job_event::LogEvent,
        launch_plan::{Interpreter, LaunchPlan, Redacted, SecretSource},
        package::Package,
    },
};

/// How long a dropped run may take to be cleaned up.
const CLEAN_LIMIT: Duration = Duration::from_secs(5);
/// Sets variables that a shell would forget.
const ENV: &str = "/usr/bin/env";

/// How to run a plan here.
#[derive(Debug, Clone)]
pub struct LocalOptions<'a> {
    /// The root folder to run in, with `--in-place`; none unpacks the package into a temporary folder.
    pub in_place: Option<PathBuf>,
    /// The user's variables, which the flow gets too.
    pub environment: &'a Environment,
}

/// A flow that runs, or ran, as a process of this machine. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Run {
    identity: Identity,
    root: PathBuf,
    variables: BTreeMap<String, String>,
    interpreter: Option<PathBuf>,
    enforcement: Enforcement,
    notices: Vec<String>,
    progress: watch::Receiver<Progress>,
    ending: Option<Ending>,
    end_was_told: bool,
    /// None when the program could not be started.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    tree: Arc<Tree>,
    kept: Kept,
}

impl Run {
    /// Starts a plan and returns the run and its output. Must be called within a tokio runtime.
    ///
    /// A program that cannot be started (no python3, not executable) is a run that ended with `StartError`, as on a
    /// cluster.
    ///
    /// # Errors
    /// When a secret has no value here, or files or processes cannot be made.
    pub fn start(plan: &LaunchPlan, options: &LocalOptions<'_>) -> Result<(Self, mpsc::Receiver<LogEvent>)> {
        Self::start_within(plan, options, |name| Cgroup::create(name, &plan.footprint))
    }

    fn start_within(
        plan: &LaunchPlan,
        options: &LocalOptions<'_>,
        make_cgroup: impl FnOnce(&str) -> Result<Cgroup, String>,
    ) -> Result<(Self, mpsc::Receiver<LogEvent>)> {
        let folder = RunFolder::create(options.environment)?;
        let (root, inherited, notices) = match &options.in_place {
            Some(root) => (root.clone(), options.environment.variables.clone(), Vec::new()),
            None => self_contained(folder.unpack(&plan.package)?, options.environment),
        };
        let variables = flow_environment::variables(plan, &inherited, &root, &folder.name())?;
        let (sender, progress) = watch::channel(Progress::default());
        let program = Program::of_flow(&plan.flow, &root, &variables);
        let python = program.as_ref().ok().filter(|_| plan.flow.interpreter == Interpreter::Python).map(|program| program.path.clone());
        let mut run = Self {
            identity: Identity { plan: as_recorded(plan), created: environment::now() },
            root,
            variables,
            interpreter: python,
            enforcement: Enforcement::Cgroup,
            notices,
            progress: progress.clone(),
            ending: None,
            end_was_told: false,
            running: None,
        };
        let program = match program {
            Ok(program) => program,
            Err(failure) => return Ok(run.not_started(&sender, failure)),
        };
        let cgroup = make_cgroup(&folder.name());
        if let Err(why) = &cgroup {
            run.enforcement = Enforcement::Sampling { why: why.clone() };
        }
        let cgroup = cgroup.ok();
        let (reader, writer) = io::pipe().map_err(no_process)?;
        let cgroups = cgroup.as_ref().map(Cgroup::folders).unwrap_or_default();
        folder.remember(&cgroups);
        let mut watchdog = Watchdog::start(folder.path(), &folder.name(), &cgroups);
        let child = match spawn(&program, plan, &run, cgroup.as_ref(), writer) {
            Ok(child) => child,
            Err(error) => {
                watchdog.into_iter().for_each(Watchdog::dismiss);
                return Ok(run.not_started(&sender, StartFailure::from_spawn(&program.path, &error)));
            }
        };
        let leader = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
        if let Some(watchdog) = &mut watchdog {
            watchdog.watch(leader);
        }
        let tree = Arc::new(Tree::new(leader, folder.name(), cgroup));
        let kept = keeper::keep(plan, &tree, Belongings { child, folder, watchdog }, sender);
        run.running = Some(Running { tree, kept });
        let output = output::follow(reader.into(), progress).map_err(no_process)?;
        Ok((run, output))
    }

    fn not_started(self, progress: &watch::Sender<Progress>, failure: StartFailure) -> (Self, mpsc::Receiver<LogEvent>) {
        progress.send_modify(|progress| progress.ended = Some(Ended { at: environment::now(), how: How::NotStarted(failure) }));
        (self, output::nothing())
    }

    /// Returns the `python3` that runs the flow; none for executables.
    #[must_use]
    pub fn interpreter(&self) -> Option<&Path> {
        self.interpreter.as_deref()
    }

    /// Asks that `python3` who it is; none for executables, and when it does not answer within 5 s.
    pub async fn python(&self) -> Option<Python> {
        Python::ask(self.interpreter()?, &self.variables, &self.root).await
    }

    /// Returns the flow's working directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns how the memory limit is enforced.
    #[must_use]
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// Returns what is different from what the user may expect, one sentence each.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Passes a signal on to the flow's process group; nothing happens after its end.
    pub fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            running.tree.signal(signal);
        }
    }

    /// Ends the flow: `signal` to all its processes now, SIGKILL after `grace`. The first ending is the one on record.
    pub fn end(&mut self, ending: Ending, signal: Signal, grace: Duration) {
        let ended = self.progress.borrow().ended.is_some();
        if let Some(running) = self.running.as_ref().filter(|_| !ended) {
            self.ending.get_or_insert(ending);
            // The keeper only stops listening when the flow has ended.
            running.kept.requests.send(Request::End(signal, grace)).ok();
        }
    }

    /// Returns when the flow has ended, or after `limit`; once its end was told, always after `limit`.
    pub async fn changed(&mut self, limit: Duration) {
        if self.end_was_told {
            return sleep(limit).await;
        }
        let ended = timeout(limit, self.progress.wait_for(|progress| progress.ended.is_some())).await;
        self.end_was_told = ended.is_ok();
    }

    /// Writes down what is known, in the words of a cluster: one Job and its one pod.
    pub fn observe(&self, evidence: &mut Evidence) {
        let progress = self.progress.borrow().clone();
        evidence.job = Some(observe::job(&self.identity, &progress, self.ending.as_ref()));
        evidence.attempts = vec![observe::attempt(&self.identity, &progress, self.ending.as_ref())];
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.tree.kill();
            // After this time the watchdog is what cleans up.
            running.kept.clean.recv_timeout(CLEAN_LIMIT).ok();
        }
    }
}

/// Returns root, variables and notices of an unpacked package, which has to stand on its own: modules of this machine
/// are not on the node.
fn self_contained(root: PathBuf, environment: &Environment) -> (PathBuf, BTreeMap<String, String>, Vec<String>) {
    let mut variables = environment.variables.clone();
    let python_path = variables.remove("PYTHONPATH").filter(|path| !path.is_empty());
    let notice = "PYTHONPATH is not passed on to an unpacked flow; use `--env PYTHONPATH=…` or `--in-place`";
    (root, variables, python_path.map(|_| notice.to_owned()).into_iter().collect())
}

/// Returns the plan as a Job would record it.
fn as_recorded(plan: &LaunchPlan) -> LaunchPlan {
    let mut recorded = LaunchPlan { package: Package::default(), nonce: String::new(), ..plan.clone() };
    for secret in &mut recorded.secrets {
        if let SecretSource::Value(value) = &mut secret.source {
            *value = Redacted::default();
        }
    }
    recorded
}

fn spawn(program: &Program, plan: &LaunchPlan, run: &Run, cgroup: Option<&Cgroup>, output: io::PipeWriter) -> io::Result<Child> {
    let mut command = match cgroup {
        Some(cgroup) => {
            let odd: Vec<_> =
                plan.environment.iter().filter(|(name, _)| !is_shell_name(name)).map(|(name, value)| format!("{name}={value}")).collect();
            let mut command = cgroup.enter(if odd.is_empty() { &program.path } else { Path::new(ENV) });
            if !odd.is_empty() {
                command.args(odd).arg(&program.path);
            }
            command
        }
        None => Command::new(&program.path),
    };
    command.args(&program.arguments).env_clear().envs(&run.variables).current_dir(&run.root);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    command.spawn()
}

/// Returns whether a shell keeps a variable of this name; dash forgets all others.
fn is_shell_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn no_process(error: io::Error) -> Error {
    Error::failed("the flow's output cannot be read").caused_by(error)
}

#[cfg(test)]
pub(super) mod tests;
