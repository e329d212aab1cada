//! `petasos fsck`: the history that a hub left on disk.

use std::process::ExitCode;

use crate::config::Config;

/// Checks the history of a hub with these settings, which does not run; `cut`: what is damaged is
/// cut off, with all that follows it.
pub fn fsck(_config: Config, _cut: bool) -> ExitCode {
    eprintln!("petasos: fsck is not built yet");
    ExitCode::FAILURE
}
