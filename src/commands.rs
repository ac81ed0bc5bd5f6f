//! Short scripts, one for each command: arguments → plan → act → show.

pub mod cancel;
pub mod clean;
pub mod config;
pub mod context;
pub mod deployments;
pub mod doctor;
pub mod generate;
pub mod init;
pub mod interrupt;
pub mod list;
pub mod logs;
pub mod nodes;
pub mod prefect;
pub mod references;
pub mod rerun;
pub mod setup;
pub mod sizes;
pub mod submit;
pub mod version;
pub mod wait;
pub mod why;

use crate::{cli::Command, error::Result, model::exit_code::ExitCode, output::ui::Ui};
use context::Context;

/// Carries out one command and returns sbrun's exit code.
pub async fn run(command: Command, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    match command {
        Command::Submit(arguments) => submit::submit(*arguments, context, ui).await,
        Command::Logs(arguments) => logs::logs(&arguments, context, ui).await,
        Command::Wait(arguments) => wait::wait(&arguments, context, ui).await,
        Command::Why(arguments) => why::why(&arguments, context, ui).await,
        Command::List(arguments) => list::list(&arguments, context, ui).await,
        Command::Cancel(arguments) => cancel::cancel(&arguments, context, ui).await,
        Command::Rerun(arguments) => rerun::rerun(&arguments, context, ui).await,
        Command::Clean(arguments) => clean::clean(&arguments, context, ui).await,
        Command::Nodes(arguments) => nodes::nodes(&arguments, context, ui).await,
        Command::Setup(arguments) => setup::setup(&arguments, context, ui).await,
        Command::Sizes(arguments) => sizes::sizes(&arguments, context, ui).await,
        Command::Prefect(arguments) => prefect::prefect(&arguments, context, ui).await,
        Command::Init(arguments) => init::init(&arguments, context, ui).await,
        Command::Doctor(arguments) => doctor::doctor(&arguments, context, ui).await,
        Command::Config(arguments) => config::config(&arguments, context, ui).await,
        Command::Version(arguments) => version::version(&arguments, context, ui).await,
        Command::Completions(arguments) => generate::completions(&arguments, ui),
        Command::Man(arguments) => generate::man(&arguments, ui),
        Command::Generate(arguments) => generate::generate(&arguments),
    }
}
