//! History on disk, over real processes and real file systems: kills, full disks, damage, and the
//! seam between what is replayed and what is new.
//!
//! `PETASOS_KILLS` says how often a hub is killed, `PETASOS_HISTORY` how large the largest history
//! of the seam is, `PETASOS_SEED` repeats a run of kills as far as clocks allow.

mod crowd;
mod failure;
mod files;
mod fsck;
mod ledger;
mod mount;
mod seam;
mod start;

/// A number from the environment, or another one.
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}
