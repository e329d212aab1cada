//! The `petasos` command.

use petasos::{app, cli};
use std::process::ExitCode;

/// Made for many small blocks on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::environment(), app::serve, app::fsck)
}
