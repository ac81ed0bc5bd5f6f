//! The command line: what can be typed. Nothing here decides anything.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{commands, output::manual};

/// Run one program on one Kubernetes machine of the right size
///
/// sbrun sends a flow to the node group of its size. The group rests at 0: its machine is started for the job and goes when
/// the job is done. All the while sbrun says what is happening, why it is not running yet, and in the end whose fault a
/// failure was.
#[derive(Debug, Parser)]
#[command(name = "sbrun", version, max_term_width = 100, propagate_version = false, disable_help_subcommand = true, after_long_help = manual::top())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// Returns what was typed, or an error that can be printed as it is; help and version are such errors, too.
///
/// # Errors
/// When the command line is wrong. An argument that `submit` does not know was probably meant for the flow, and it says so.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments).map_err(|mut error| {
        if let Some(tip) = tip(&error) {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
        }
        error
    })
}

/// Returns where arguments of the flow belong; nothing when something else was wrong.
fn tip(error: &clap::Error) -> Option<String> {
    let (Some(ContextValue::String(argument)), Some(ContextValue::StyledStr(usage))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::Usage))
    else {
        return None;
    };
    let of_submit = usage.to_string().starts_with("Usage: sbrun submit");
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    (unknown && of_submit).then(|| format!("arguments of the flow come after `--`: sbrun submit … FLOW -- {argument}"))
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArgs {
    /// Output format
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Instance map to use
    #[arg(long, global = true, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the jobs
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Say only what was asked for
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more (can be repeated)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colour the output
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub yes: bool,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Names only
    Name,
    /// One JSON document a line, as things happen
    Jsonl,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a flow on a machine of its size
    Submit(Box<commands::submit::SubmitArgs>),
    /// Print the output of a job
    Logs(commands::logs::LogsArgs),
    /// Wait until jobs have finished
    Wait(commands::wait::WaitArgs),
    /// Explain a job: where it stands, why, and what to do next
    Why(commands::why::WhyArgs),
    /// List jobs
    List(commands::list::ListArgs),
    /// Stop jobs and keep their record
    Cancel(commands::cancel::CancelArgs),
    /// Run a job again, with the code and arguments that it recorded
    Rerun(commands::rerun::RerunArgs),
    /// Remove finished jobs and whatever belongs to them
    Clean(commands::clean::CleanArgs),
    /// Show node groups: what each has, whether it grows, why it cannot, when idle nodes go
    Nodes(commands::nodes::NodesArgs),
    /// Show the sizes that the instance map offers
    Sizes(commands::sizes::SizesArgs),
    /// Make the instance map a work pool of Prefect; run a scheduled run at another size
    Prefect(commands::prefect::PrefectArgs),
    /// Print or apply what a cluster needs: namespace, rights, admission policy
    Setup(Box<commands::setup::SetupArgs>),
    /// Make an instance map of the node groups that are there
    Init(Box<commands::init::InitArgs>),
    /// Find what is wrong with map, account, autoscaler and cluster, and what mends it
    Doctor(commands::doctor::DoctorArgs),
    /// Show settings with their origin
    Config(commands::config::ConfigArgs),
    /// Show the versions of sbrun and of the cluster
    Version(commands::version::VersionArgs),
    /// Print the completion script of a shell
    Completions(commands::generate::CompletionsArgs),
    /// Print the manual page of a command
    Man(commands::generate::ManArgs),
    /// Write completions and manual pages into a folder
    #[command(hide = true)]
    Generate(commands::generate::GenerateArgs),
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::CommandFactory;
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// Returns words of the command line: commands and flags as they are, and whatever somebody may type instead.
    fn word() -> impl Strategy<Value = OsString> {
        let mut known: Vec<String> =
            ["--", "-", "-o", "json", "1d", "A=b", "@latest", "flow.py", "-vvq", "--size=", "=", "--day"].map(Into::into).into();
        for command in Cli::command().get_subcommands() {
            known.push(command.get_name().to_owned());
            known.extend(command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))));
        }
        prop_oneof![
            6 => select(known).prop_map(OsString::from),
            1 => any::<String>().prop_map(OsString::from),
            1 => vec(any::<u8>(), 0..6).prop_map(OsString::from_vec),
        ]
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_a_refusal_in_words(words in vec(word(), 0..7)) {
            if let Err(error) = parse([OsString::from("sbrun")].into_iter().chain(words)) {
                let text = error.to_string();
                prop_assert!(!text.trim().is_empty());
                prop_assert_eq!(error.exit_code(), if error.use_stderr() { 2 } else { 0 });
                prop_assert!(error.use_stderr() || matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion), "{text}");
            }
        }

        #[test]
        fn arguments_after_two_dashes_are_the_flow_s(arguments in vec(any::<String>(), 0..5)) {
            let line = ["sbrun", "submit", "flow.py", "--"].map(OsString::from).into_iter().chain(arguments.iter().map(OsString::from));
            let Ok(Cli { command: Command::Submit(submit), .. }) = parse(line) else { return Err(TestCaseError::fail("refused")) };
            prop_assert_eq!(submit.arguments, arguments);
        }
    }

    fn told(line: &str) -> String {
        let error = parse(line.split(' ').map(OsString::from)).expect_err("the line is wrong");
        error.to_string().lines().filter(|line| line.contains("error:") || line.contains("tip:")).map(str::trim).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn arguments_of_the_flow_belong_after_two_dashes() {
        let tip = "tip: arguments of the flow come after `--`: sbrun submit … FLOW --";
        assert_eq!(told("sbrun submit hello.py Ana"), format!("error: unexpected argument 'Ana' found; {tip} Ana"));
        assert_eq!(told("sbrun submit -s small hello.py --day 2"), format!("error: unexpected argument '--day' found; {tip} --day"));
        let alike = "error: unexpected argument '--siz' found; tip: a similar argument exists: '--size'";
        assert_eq!(told("sbrun submit --siz small f.py"), format!("{alike}; {tip} --siz"));
        assert_eq!(told("sbrun why a b"), "error: unexpected argument 'b' found");
    }
}
