//! `petasos serve`: a hub with a process of its own. Logs, signals, exit codes.

use std::{io::Write, process::ExitCode, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

use super::{
    ServeError, limits,
    logging::{self, Writing},
    start::{Place, Running},
};
use crate::config::{Loaded, Reload};

/// Reads the settings again.
type Again<'a> = &'a dyn Fn() -> Result<Loaded, String>;

/// Runs the hub until a signal ends it. `banner` is for people: it is printed once the hub listens.
/// `again` reads the settings anew, at SIGHUP.
pub fn serve(loaded: Loaded, banner: Option<String>, again: Again<'_>) -> ExitCode {
    let writing = logging::start(&loaded.config.logging);
    loaded.notices.iter().for_each(super::notice);
    match run(loaded, banner.as_deref(), again, &writing) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            drop(writing);
            eprintln!("petasos: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    mut loaded: Loaded,
    banner: Option<&str>,
    again: Again<'_>,
    writing: &Writing,
) -> Result<(), ServeError> {
    // Before anything runs: a signal that comes early ends the start, and is not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let open_files = limits::raise_open_files();
    limits::refuse_huge_pages();
    let mut config = loaded.config.clone();
    config.admin.settings = loaded.describe();
    let place = Place { open_files, listening: None, has_guest: false };
    let mut running = Running::start(config, place)?;
    limits::advise(open_files, &running.settings);
    running.announce();
    if let Some(banner) = banner {
        // Nobody may read it any more.
        let _ = writeln!(std::io::stdout(), "{banner}");
    }
    let signal = signals.forever().find(|&signal| {
        let is_to_reload = is_to_reload(signal);
        if is_to_reload {
            reload(&mut running, &mut loaded, again, writing);
        }
        !is_to_reload
    });
    tracing::info!(signal, "stopping: no more connections are taken");
    // A second signal ends at once: whoever sends it does not want to wait.
    thread::spawn(move || {
        if signals.forever().any(|signal| !is_to_reload(signal)) {
            std::process::exit(1);
        }
    });
    running.stop();
    Ok(())
}

/// The reference hub takes USR1 for it.
fn is_to_reload(signal: i32) -> bool {
    signal == SIGHUP || signal == SIGUSR1
}

/// Reads the settings again, and takes what a hub that runs can change. With any mistake in them
/// everything stays as it is.
fn reload(running: &mut Running, loaded: &mut Loaded, again: Again<'_>, writing: &Writing) {
    let new = match again() {
        Ok(new) => new,
        Err(mistakes) => {
            for mistake in mistakes.lines() {
                tracing::error!("{mistake}");
            }
            tracing::error!("settings were read again, and have mistakes: all stays as it was");
            return;
        }
    };
    let Reload { loaded: new, changed, needs_restart } = loaded.reload(new);
    // Also where nothing has changed: sets of keys are fetched at once.
    let mut config = new.config.clone();
    config.admin.settings = new.describe();
    if let Err(error) = running.reload(&config) {
        tracing::error!("settings were read again, and all stays as it was: {error}");
        return;
    }
    writing.set_level(config.logging.level);
    if !changed.is_empty() {
        new.notices.iter().for_each(super::notice);
    }
    *loaded = new;
    if !needs_restart.is_empty() {
        tracing::warn!("a restart is needed for what has changed of: {}", needs_restart.join(", "));
    }
    let changed = match changed.is_empty() {
        true => "nothing".to_owned(),
        false => changed.join(", "),
    };
    tracing::info!("settings were read again; changed without a restart: {changed}");
}
