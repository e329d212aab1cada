//! `petasos fsck`: is the history on disk whole?

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Application, Failure, Surroundings, serve};
use crate::config::Transport;

const HELP: &str = "\
Finds the history by the settings of the hub: give the flags, the --config and the variables that
the hub is started with, or just --data-dir. Keys are not needed. Stop the hub first: while it runs,
the history is its own.

Every update is read and compared with its checksum, and the files with each other: is one missing,
there twice, or in another's place? A last update that was being written when the power failed was
never acknowledged, and is no damage: the hub removes it by itself. Damage before it means that
updates are lost which publishers were promised; then the hub does not start. The ways on:

  bring the files back from a backup;
  or let `petasos fsck --cut` make a whole history of the newest updates that follow each other
  without a gap, which is what subscribers rely on. All that is older is dropped, undamaged updates
  too: whoever comes back with the id of one of them is sent everything that is kept. Where nothing
  lies behind the damage, what lies before it is kept. `petasos fsck` says beforehand what that
  would be; the files that are dropped are laid aside, with names that end in `.dropped`.

The exit code is 0 where the history is whole (with --cut: is whole now), otherwise 1.";

pub(super) fn command() -> Command {
    let dry_run =
        Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).conflicts_with("cut").help(
            "Only say what is damaged, and what --cut would drop; change nothing (the default)",
        );
    let cut = Arg::new("cut")
        .long("cut")
        .action(ArgAction::SetTrue)
        .help("Keep the newest updates that follow each other, and drop the rest");
    Command::new("fsck")
        .about("Check the history on disk of a hub that does not run")
        .after_help(HELP)
        .args([dry_run, cut])
        .args(serve::few_arguments())
}

pub(super) fn fsck(
    matches: &ArgMatches,
    surroundings: &Surroundings<'_>,
    application: &mut dyn Application,
) -> Result<ExitCode, Failure> {
    let config = serve::read(matches, surroundings, false)?.config;
    match config.log.transport {
        Transport::Embedded(_) => Ok(application.fsck(config, matches.get_flag("cut"))),
        Transport::Memory { .. } | Transport::Local => Err(Failure::Told(
            "with these settings there is no history on disk (transport memory, local or --dev), \
             so there is nothing to check"
                .to_owned(),
        )),
    }
}
