//! `sbrun completions`, `sbrun man`, and the hidden `sbrun generate` that writes both into the repository.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate_to};

use crate::{
    cli::Cli,
    error::{Error, Result},
    model::exit_code::ExitCode,
    output::ui::Ui,
};

/// Arguments of `sbrun completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `sbrun man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command; without one, sbrun itself
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Arguments of `sbrun generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Folder to write `completions/` and `man/` into
    pub folder: PathBuf,
}

/// Prints a completion script.
pub fn completions(arguments: &CompletionsArgs, ui: &mut Ui) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "sbrun", &mut script);
    ui.data(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a manual page.
pub fn man(arguments: &ManArgs, ui: &mut Ui) -> Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    let page = match &arguments.command {
        None => command,
        Some(name) => {
            let names: Vec<String> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().to_owned()).collect();
            let found = command.find_subcommand(name).cloned();
            let unknown = || Error::usage(format!("there is no command `{name}`")).hinted(format!("the commands are {}", names.join(", ")));
            found.ok_or_else(unknown)?.name(format!("sbrun-{name}"))
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(|error| Error::internal("cannot render the manual page").caused_by(error))?;
    ui.data(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes completions and manual pages; a test compares them with what stands in the repository.
pub fn generate(arguments: &GenerateArgs) -> Result<ExitCode> {
    let failed = |error: std::io::Error| Error::failed(format!("cannot write into `{}`", arguments.folder.display())).caused_by(error);
    let (completions, man) = (arguments.folder.join("completions"), arguments.folder.join("man"));
    fs::create_dir_all(&completions).and_then(|()| fs::create_dir_all(&man)).map_err(failed)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "sbrun", &completions).map_err(failed)?;
    }
    clap_mangen::generate_to(Cli::command(), &man).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
