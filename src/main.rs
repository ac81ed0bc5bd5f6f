//! sbrun, the command.

use std::process::ExitCode;

use sbrun::environment::Environment;

fn main() -> ExitCode {
    sbrun::run(std::env::args_os(), Environment::from_process())
}
