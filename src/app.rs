//! Runs the hub.

use std::process::ExitCode;

use crate::config::{Config, Notice};

/// Runs the hub until it is told to stop. `banner` is for people: what `--dev` prints once the
/// hub listens.
pub fn serve(_config: Config, _notices: Vec<Notice>, _banner: Option<String>) -> ExitCode {
    eprintln!("petasos: the hub is not built yet");
    ExitCode::FAILURE
}
