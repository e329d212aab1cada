//! `petasos serve`: a hub with a process of its own. Logs, signals, exit codes.

use std::{io::Write, process::ExitCode, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    ServeError, limits, logging,
    start::{Place, Running},
};
use crate::config::{Config, Notice};

/// Runs the hub until a signal ends it. `banner` is for people: it is printed once the hub listens.
pub fn serve(config: Config, notices: Vec<Notice>, banner: Option<String>) -> ExitCode {
    let flush = logging::start(&config.logging);
    notices.iter().for_each(super::notice);
    match run(config, banner.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            drop(flush);
            eprintln!("petasos: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config, banner: Option<&str>) -> Result<(), ServeError> {
    // Before anything runs: a signal that comes early ends the start, and is not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let open_files = limits::raise_open_files();
    limits::refuse_huge_pages();
    let running = Running::start(config, Place { open_files, listening: None, has_guest: false })?;
    limits::advise(open_files, &running.settings);
    running.announce();
    if let Some(banner) = banner {
        // Nobody may read it any more.
        let _ = writeln!(std::io::stdout(), "{banner}");
    }
    let signal = signals.forever().find(|&signal| {
        if signal == SIGHUP {
            tracing::warn!("settings are not read again while the hub runs: restart it instead");
        }
        signal != SIGHUP
    });
    tracing::info!(signal, "stopping: no more connections are taken");
    // A second signal ends at once: whoever sends it does not want to wait.
    thread::spawn(move || {
        if signals.forever().any(|signal| signal != SIGHUP) {
            std::process::exit(1);
        }
    });
    running.stop();
    Ok(())
}
