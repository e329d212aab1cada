//! The `petasos` command.

use petasos::{
    app,
    auth::authority::Explanation,
    cli::{self, Application},
    config::{Config, Loaded},
};
use std::process::ExitCode;

/// Made for many small blocks on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Petasos;

impl Application for Petasos {
    fn serve(
        &mut self,
        loaded: Loaded,
        banner: Option<String>,
        again: &dyn Fn() -> Result<Loaded, String>,
    ) -> ExitCode {
        app::serve(loaded, banner, again)
    }

    fn fsck(&mut self, config: Config, cut: bool) -> ExitCode {
        app::fsck(config, cut)
    }

    fn explain(&mut self, config: Config, token: &str) -> Result<Explanation, String> {
        app::explain(&config, token).map_err(|error| error.to_string())
    }
}

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::environment(), &mut Petasos)
}
