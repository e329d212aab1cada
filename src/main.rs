//! The `petasos` command.

use petasos::{app, cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::environment(), app::serve)
}
