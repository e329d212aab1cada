//! `petasos fsck`: the history that a hub left on disk.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use crate::{
    config::{Config, Transport},
    log::embedded::{self, Report},
};

/// Checks the history of a hub with these settings, which does not run; `cut`: makes it whole, by
/// dropping what is damaged and all that came before.
pub fn fsck(config: Config, cut: bool) -> ExitCode {
    let Transport::Embedded(embedded) = config.log.transport else {
        eprintln!("petasos: with these settings there is no history on disk");
        return ExitCode::FAILURE;
    };
    let directory = embedded.directory.display().to_string();
    let report = embedded::check(&embedded.directory, cut, &mut progress);
    clear_progress();
    match report {
        Ok(report) => tell(&directory, &report, cut),
        Err(error) => {
            eprintln!("petasos: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(directory: &str, report: &Report, cut: bool) -> ExitCode {
    let Report { damages, kept, updates, dropped, aside } = report;
    let stretch = match kept {
        Some((first, last)) => format!("{updates} updates, {first} to {last}"),
        None => "no updates".to_owned(),
    };
    if damages.is_empty() {
        println!("the history in {directory} is whole: {stretch}");
        return ExitCode::SUCCESS;
    }
    println!("the history in {directory} is damaged:");
    damages.iter().for_each(|damage| println!("  {damage}"));
    if !cut {
        println!(
            "--cut keeps {stretch}, the newest that follow each other, and drops {dropped} whole \
             updates beside those that are lost. Ids of dropped updates are unknown afterwards: \
             who comes back with one gets all that is kept, and is told so."
        );
        return ExitCode::FAILURE;
    }
    println!("kept: {stretch}; dropped: {dropped} whole updates beside those that are lost");
    if !aside.is_empty() {
        println!("laid aside, to be looked at or deleted:");
        aside.iter().for_each(|file| println!("  {file}"));
    }
    ExitCode::SUCCESS
}

/// Shows how far the check is, on a terminal.
fn progress(read: u64, of: u64) {
    if std::io::stderr().is_terminal() {
        eprint!("\rsegment {} of {of}", read + 1);
        let _ = std::io::stderr().flush();
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
