//! Losing the power, or the process, at every operation: what was acknowledged is there.

use super::{
    super::{Retention, Settings, SyncMode},
    disk::{Loss, SimDisk},
    rng::Rng,
    run::{Ledger, Run, settings},
};
use crate::log::history::Store;

/// A day of a history. Ends early when the disk does.
fn live(run: &mut Run, ledger: &mut Ledger, rng: &mut Rng, groups: usize) {
    for _ in 0..groups {
        let ids: Vec<Option<String>> = (0..=rng.below(6))
            .map(|_| rng.one_in(2).then(|| format!("given-{}", rng.below(40))))
            .collect();
        let ids: Vec<Option<&str>> = ids.iter().map(Option::as_deref).collect();
        if rng.one_in(3) {
            run.keep();
        }
        match run.has_room() {
            Ok(true) => {}
            Ok(false) => {
                run.keep();
                continue;
            }
            Err(_) => return,
        }
        if run.publish(ledger, &ids).is_err() {
            return;
        }
        if rng.one_in(2) && run.writer.rest().is_err() {
            return;
        }
    }
}

/// Opens, publishes, ends at the given operation in the given way, and again.
fn cycle(settings: &Settings, seed: u64, dies_at: usize, end: End) -> bool {
    let _told = Told(format!("seed {seed}, ends at operation {dies_at} by {end:?}"));
    let mut rng = Rng::new(seed);
    let mut ledger = Ledger::default();
    let mut disk = SimDisk::default();
    let mut is_over = false;
    for incarnation in 1..=3 {
        let dies = match end {
            End::Sync(_) => {
                disk.fail_sync_at(dies_at);
                usize::MAX
            }
            _ => dies_at,
        };
        disk.die_at(dies);
        if let Ok(mut run) = Run::open_as(&disk, settings, incarnation) {
            run.check(&ledger);
            run.cut(&mut ledger);
            live(&mut run, &mut ledger, &mut rng, 12);
            is_over = disk.operations() < dies_at;
            // Whatever a proper end would do is done by nobody.
            std::mem::forget(run.writer);
        }
        disk = match end {
            End::Power(loss) => disk.after_power_loss(loss, &mut rng),
            End::Kill => disk.after_kill(),
            End::Sync(loss) => {
                // The hub is started again on what the page cache shows, and then the power goes.
                let killed = disk.after_kill();
                if let Ok(run) = Run::open_as(&killed, settings, 99) {
                    run.check(&ledger);
                    run.cut(&mut ledger);
                    std::mem::forget(run.writer);
                }
                killed.after_power_loss(loss, &mut rng)
            }
        };
        let run = Run::open_as(&disk, settings, 100).expect("whole");
        if let SyncMode::Always = settings.sync {
            run.check(&ledger);
        } else {
            // What was acknowledged may be lost; what is there is what was.
            let mut kept = ledger.clone();
            run.cut(&mut kept);
            run.check(&kept);
        }
        run.cut(&mut ledger);
        std::mem::forget(run.writer);
    }
    is_over
}

/// Says what was going on when a check failed.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Power(Loss),
    Kill,
    /// A sync fails; the process is started anew, and then the power is lost.
    Sync(Loss),
}

const ENDS: [End; 6] = [
    End::Power(Loss::All),
    End::Power(Loss::Nothing),
    End::Power(Loss::Some),
    End::Kill,
    End::Sync(Loss::All),
    End::Sync(Loss::Some),
];

fn at_every_operation(settings: &Settings, seeds: u64) {
    for seed in 0..seeds {
        for end in ENDS {
            let mut dies_at = 0;
            while !cycle(settings, seed, dies_at, end) {
                dies_at += 1;
            }
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_every_end() {
    at_every_operation(&settings(SyncMode::Always, Retention::default()), 2);
}

#[test]
fn what_was_acknowledged_outlives_every_end_with_retention() {
    let retention = Retention { updates_max: Some(20), bytes_max: Some(6000), age_max: None };
    at_every_operation(&settings(SyncMode::Always, retention), 2);
}

#[test]
fn without_syncs_a_loss_of_power_takes_the_end_and_nothing_else() {
    at_every_operation(&settings(SyncMode::Off, Retention::default()), 2);
}
