//! sbrun runs one program on one machine of the right size.
//!
//! # The house
//!
//! * [`model`] decides. Pure values and functions: no clock, no environment, no network, no terminal.
//! * [`kubernetes`], [`aws`], [`prefect`], [`local`] and [`store`] are the outside. Each owns its client, turns outside things
//!   into model values and plans into outside effects.
//! * [`follow`] is the one loop that watches a launched job until it ends and emits typed events.
//!   `submit`, `logs -f`, `wait` and `--local` are views of that loop: that is why they cannot disagree.
//! * [`commands`] are short scripts, one file each: arguments → plan → act → show.
//! * [`output`] owns every byte that is written.
//!
//! ```text
//!  flow.py  instance-map.yaml  flags          Job, Pod, Node, Event, ConfigMap     Auto Scaling group, activities
//!       \         |           /                            |                               |
//!        resolve (model) ─► LaunchPlan ─► Launcher ─► observe (kubernetes, local)     observe (aws)
//!                               │       cluster|local      |                               |
//!                           manifest                   Evidence (model) ◄──────────────────┘
//!                               │                          |
//!                           --dry-run          diagnose(evidence, now) ─► Story   (model, pure)
//!                                                          |
//!                          follow: JobEvent stream ─► terminal line | CI lines | jsonl | verdict + exit code
//! ```
//!
//! Three types carry the whole program:
//!
//! * [`model::launch_plan::LaunchPlan`]: everything decided before the first request. `--dry-run` prints
//!   what is rendered from it, so it cannot differ from what is sent.
//! * [`model::evidence::Evidence`]: everything observed about one job *so far*. Observations merge, and a
//!   terminal status once seen is never forgotten: pod and node vanish seconds later.
//! * [`model::story::Story`]: what [`model::diagnose`] makes of it. `why`, the pending line of `submit`,
//!   the verdict, `list`'s reason column and `-o json` are all renderings of a `Story`. New knowledge
//!   about causes goes into `diagnose` and nowhere else.
//!
//! Dependencies point inward: `commands → follow → {kubernetes, aws, prefect, local, store} → model`, `output → model`.
//! Only [`aws`] names the AWS SDK, and it alone asks the account: whoever wants to know something of it gets model values.
//! `tests/architecture.rs` reads every file's imports against this rule.

pub mod aws;
pub mod cli;
pub mod commands;
pub mod environment;
pub mod error;
pub mod follow;
pub mod kubernetes;
pub mod local;
pub mod model;
pub mod output;
pub mod prefect;
mod proxy;
pub mod store;

use std::{ffi::OsString, io::ErrorKind, panic, process};

use crate::{
    cli::{Cli, ColorChoice, Format},
    commands::context::Context,
    environment::Environment,
    error::{Error, Result},
    model::exit_code::ExitCode,
    output::ui::{self, Ui, UiOptions},
};

/// Carries out a command line and returns the exit code of the contract.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> process::ExitCode {
    install_panic_hook();
    let cli = match cli::parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data on standard output; a wrong command line is talk and exits 2. A closed pipe is success.
            let code = match error.print() {
                _ if error.use_stderr() => ExitCode::USAGE,
                Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
                _ => ExitCode::SUCCESS,
            };
            return process::ExitCode::from(code.0);
        }
    };
    let mut ui = Ui::new(ui_options(&cli), &environment);
    let result = start(cli, environment, &mut ui);
    ui.clear_progress();
    ui::give_terminal_back(); // a question that an interruption cut off
    let code = result.unwrap_or_else(|error| {
        ui.error(&error);
        error.kind().exit_code()
    });
    process::ExitCode::from(code.0)
}

fn ui_options(cli: &Cli) -> UiOptions {
    let format = match cli.global.output {
        None | Some(Format::Table) => ui::Format::Table,
        Some(Format::Json) => ui::Format::Json,
        Some(Format::Yaml) => ui::Format::Yaml,
        Some(Format::Name) => ui::Format::Name,
        Some(Format::Jsonl) => ui::Format::Jsonl,
    };
    let color = match cli.global.color {
        ColorChoice::Auto => ui::Color::Auto,
        ColorChoice::Always => ui::Color::Always,
        ColorChoice::Never => ui::Color::Never,
    };
    UiOptions { format, color, quiet: cli.global.quiet, verbose: cli.global.verbose, yes: cli.global.yes }
}

fn start(cli: Cli, environment: Environment, ui: &mut Ui) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("cannot start the runtime").caused_by(error))?;
    let context = Context::new(environment, cli.global);
    let result = runtime.block_on(commands::run(cli.command, &context, ui));
    runtime.shutdown_background(); // a blocked name look-up or prompt must not hold the exit
    result
}

/// A panic is a bug: say so, put the cursor back, and exit with the code that means it.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "release builds abort on panic, and nothing else could choose the exit code")]
fn install_panic_hook() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        ui::give_terminal_back();
        usual(info);
        ui::bug();
        process::exit(i32::from(ExitCode::INTERNAL.0));
    }));
}
