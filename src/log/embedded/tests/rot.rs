//! Damage: every bit, every length, every order of files. It is told, never served, never skipped;
//! and what can be kept is kept.

use super::{
    super::{Retention, SyncMode, check::check_on, recovery::RecoveryError, segment},
    disk::SimDisk,
    run::{Ledger, Run, settings},
};
use crate::log::history::{History, ReadBudget, Store, Unreadable};
use crate::protocol::{
    frame::Form,
    matcher::{Interest, Matcher},
    update::Position,
};

/// A history whose hub was killed when it had nothing to do.
fn killed(count: usize) -> (SimDisk, Ledger) {
    let disk = SimDisk::default();
    let mut run = Run::open(&disk, &settings(SyncMode::Always, Retention::default())).unwrap();
    let mut ledger = Ledger::default();
    for i in 0..count {
        run.has_room().unwrap();
        run.publish(&mut ledger, &[if i % 4 == 0 { Some("mine") } else { None }]).unwrap();
        run.keep();
    }
    run.writer.rest().unwrap();
    std::mem::forget(run.writer);
    (disk.after_kill(), ledger)
}

fn open(disk: &SimDisk) -> Result<Run, RecoveryError> {
    Run::open_as(disk, &settings(SyncMode::Always, Retention::default()), 7)
}

/// The number of the last segment that has updates, and its contents.
fn last_segment(disk: &SimDisk) -> (u64, Vec<u8>) {
    let run = open(&disk.after_kill()).unwrap();
    let number = run.catalog.segments().last().unwrap().number;
    std::mem::forget(run.writer);
    (number, disk.contents(&segment::name(number)))
}

/// Everything that is served must be what was published, from some update on to the last one that
/// is there; true if something is missing.
fn serves_the_truth(run: &Run, ledger: &Ledger) -> bool {
    let everything = Interest {
        matchers: std::sync::Arc::new([Matcher::Any].into_iter().collect()),
        grants: std::sync::Arc::default(),
    };
    let budget = ReadBudget { bytes: 1, updates: 1 };
    let start = run.catalog.start().unwrap();
    let mut after = start;
    while after < run.catalog.committed() {
        match run.reader.read(after, &everything, Form::Bare, budget) {
            Ok(chunk) => {
                let text = String::from_utf8(chunk.events.into_bytes()).unwrap();
                let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
                assert_eq!(id, ledger.ids[after.0 as usize]);
                after = chunk.through;
            }
            Err(Unreadable::Failed) => return true,
            Err(Unreadable::Overtaken) => panic!("nothing is trimmed"),
        }
    }
    start > Position::START || (after.0 as usize) < ledger.ids.len()
}

/// The history is refused, or serves the truth and all of it; once it was cut, it opens.
fn is_told(disk: &SimDisk, ledger: &Ledger, what: &str) {
    let is_refused = match open(&disk.after_kill()) {
        Ok(run) => {
            let is_lost = serves_the_truth(&run, ledger);
            std::mem::forget(run.writer);
            if !is_lost {
                return;
            }
            false
        }
        Err(RecoveryError::Damaged(_) | RecoveryError::Foreign { .. }) => true,
        Err(RecoveryError::Io(error)) => panic!("{what}: {error}"),
    };
    let disk = disk.after_kill();
    let report = check_on(&disk, false, &mut |_, _| {}).unwrap();
    assert!(!report.damages.is_empty(), "{what}: refused {is_refused}, and found whole");
    let cut = check_on(&disk, true, &mut |_, _| {}).unwrap();
    assert_eq!(cut.damages, report.damages, "{what}");
    let after = check_on(&disk, false, &mut |_, _| {}).unwrap();
    assert_eq!(after.damages, Vec::<String>::new(), "{what}: {report:?}");
    let run = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}, {report:?}"));
    let kept = report.kept.map_or(Position::START, |(_, last)| last);
    assert_eq!(run.catalog.committed(), kept, "{what}");
    let (start, ids) = run.all();
    let start = start.0 as usize;
    assert_eq!(ids, ledger.ids[start..start + ids.len()], "{what}");
    assert_eq!(ids.len() as u64, report.updates, "{what}");
    std::mem::forget(run.writer);
}

#[test]
fn a_sound_history_is_found_whole() {
    let (disk, ledger) = killed(40);
    let report = check_on(&disk, true, &mut |_, _| {}).unwrap();
    assert_eq!(report.damages, Vec::<String>::new());
    assert_eq!(report.kept, Some((Position(1), Position(40))));
    open(&disk).unwrap().check(&ledger);
}

#[test]
fn flipped_bits_are_told() {
    let (disk, ledger) = killed(40);
    let (last, _) = last_segment(&disk);
    for number in [1, 2, last] {
        let name = segment::name(number);
        let contents = disk.contents(&name);
        for byte in 0..contents.len() {
            let mut damaged = contents.clone();
            damaged[byte] ^= 1 << (byte % 8);
            is_told(&disk.with(&name, Some(damaged)), &ledger, &format!("{name}, byte {byte}"));
        }
    }
}

#[test]
fn cut_files_are_told() {
    let (disk, ledger) = killed(40);
    let (last, _) = last_segment(&disk);
    for number in [1, 2, last] {
        let name = segment::name(number);
        let contents = disk.contents(&name);
        for len in 0..contents.len() {
            let damaged = contents[..len].to_vec();
            let what = format!("{name}, {len} bytes");
            is_told(&disk.with(&name, Some(damaged)), &ledger, &what);
        }
    }
}

#[test]
fn missing_swapped_and_copied_files_are_told() {
    let (disk, ledger) = killed(40);
    let (last, _) = last_segment(&disk);
    for one in 1..=last {
        let name = segment::name(one);
        let missing = disk.with(&name, None);
        assert!(open(&missing).is_err(), "{name} is missing");
        is_told(&missing, &ledger, &format!("{name} is missing"));
        for other in 1..=last {
            if one == other {
                continue;
            }
            let copied = disk.with(&name, Some(disk.contents(&segment::name(other))));
            assert!(open(&copied).is_err(), "{name} is {other}");
            is_told(&copied, &ledger, &format!("{name} is {other}"));
            let swapped = copied.with(&segment::name(other), Some(disk.contents(&name)));
            assert!(open(&swapped).is_err(), "{name} and {other} are swapped");
            is_told(&swapped, &ledger, &format!("{name} and {other} are swapped"));
        }
    }
    let stray = disk.with(&segment::name(last + 9), Some(disk.contents(&segment::name(1))));
    assert!(open(&stray).is_err());
    is_told(&stray, &ledger, "a stray segment");
}

#[test]
fn a_manifest_that_is_lost_is_told() {
    let (disk, _) = killed(5);
    assert!(matches!(open(&disk.with("MANIFEST", None)), Err(RecoveryError::Foreign { .. })));
    let contents = disk.contents("MANIFEST");
    let nothing = disk.with("MANIFEST", Some(vec![0; contents.len()]));
    assert!(matches!(open(&nothing), Err(RecoveryError::Foreign { .. })));
    // One of its two places is enough, if it is the newer one.
    for bit in (0..contents.len() * 8).step_by(7) {
        let mut damaged = contents.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(run) = open(&disk.with("MANIFEST", Some(damaged))) {
            std::mem::forget(run.writer);
        }
    }
}
