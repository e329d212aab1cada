//! Reading: from wherever, by ids of both kinds, over the seams of segments, within retention.

use std::time::Duration;

use super::{
    super::{Retention, SyncMode},
    disk::SimDisk,
    run::{Ledger, Run, settings},
};
use crate::{
    log::history::{Gap, History, Located, Store, UnknownId},
    protocol::{subscribe::Since, time::UnixTime, update::Position},
};

fn filled(retention: Retention, count: usize) -> (Run, Ledger, SimDisk) {
    let disk = SimDisk::default();
    let mut run = Run::open(&disk, &settings(SyncMode::Always, retention)).unwrap();
    let mut ledger = Ledger::default();
    for i in 0..count {
        run.has_room().unwrap();
        let id = format!("given-{i}");
        run.publish(&mut ledger, &[if i % 3 == 0 { Some(&id) } else { None }]).unwrap();
    }
    (run, ledger, disk)
}

fn locate(run: &Run, since: &Since, unknown: UnknownId) -> Located {
    run.reader.locate(since, unknown).unwrap()
}

fn id(id: &str) -> Since {
    Since::Id(id.into())
}

#[test]
fn every_place_can_be_read_from_before_and_after_a_start() {
    let (run, ledger, disk) = filled(Retention::default(), 150);
    let count = run.catalog.segments().len();
    assert!(count > 5, "{count} segments");
    for after in 0..=ledger.ids.len() {
        assert_eq!(run.after(Position(after as u64)), ledger.ids[after..]);
    }
    run.check(&ledger);
    drop(run);
    let run = Run::open(&disk, &settings(SyncMode::Always, Retention::default())).unwrap();
    // Nothing is in memory now.
    for after in 0..=ledger.ids.len() {
        assert_eq!(run.after(Position(after as u64)), ledger.ids[after..]);
    }
    run.check(&ledger);
}

#[test]
fn the_start_is_exact_by_number() {
    for max in [1, 2, 7, 50, 149, 150, 151] {
        let retention = Retention { updates_max: Some(max), ..Retention::default() };
        let (mut run, ledger, _) = filled(retention, 150);
        for _ in 0..3 {
            assert_eq!(run.all().1.len() as u64, max.min(150));
            run.check(&ledger);
            run.keep();
        }
        let start = run.all().0.0 as usize;
        for trimmed in &ledger.ids[..start] {
            let located = locate(&run, &id(trimmed), UnknownId::All);
            assert_eq!((located.position.0 as usize, &*located.last_event_id), (start, "earliest"));
            let expected = if trimmed.starts_with("given") { Gap::Unknown } else { Gap::Trimmed };
            assert_eq!(located.gap, Some(expected), "{trimmed}");
        }
    }
}

#[test]
fn the_start_is_near_by_bytes_and_never_before() {
    for max in [3_000, 6_000, 20_000] {
        let retention = Retention { bytes_max: Some(max), ..Retention::default() };
        let (mut run, ledger, _) = filled(retention, 150);
        for _ in 0..3 {
            let (start, ids) = run.all();
            // Records of this test have less than 300 bytes; places are noted every 4 KiB.
            let most = max as usize / 150;
            let least = (max as usize).saturating_sub(4400) / 300;
            assert!((least..=most).contains(&ids.len()), "{max}: {} from {start}", ids.len());
            run.check(&ledger);
            run.keep();
        }
    }
}

#[test]
fn the_start_is_exact_by_age() {
    let now = UnixTime::since_1970(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap(),
    );
    let hour = Duration::from_secs(3600);
    let retention = Retention { age_max: Some(hour), ..Retention::default() };
    let disk = SimDisk::default();
    let mut run = Run::open(&disk, &settings(SyncMode::Always, retention)).unwrap();
    let mut ledger = Ledger::default();
    for i in 0..100_u32 {
        run.has_room().unwrap();
        // The first 61 are too old.
        let age = Duration::from_secs(60) * (120 - i) + Duration::from_secs(1);
        run.publish_at(&mut ledger, &[None], now.saturating_sub(age)).unwrap();
    }
    run.keep();
    assert_eq!(run.all().0, Position(61));
    run.check(&ledger);
    assert!(run.catalog.segments()[0].first > Position(20), "segments were deleted");
}

#[test]
fn ids_that_are_not_there_are_unknown_and_the_newest_is_named() {
    let (run, ledger, _) = filled(Retention::default(), 10);
    for (since, unknown, expected) in [
        (id("nobody's"), UnknownId::All, (0, "earliest", Some(Gap::Unknown))),
        (id("nobody's"), UnknownId::Live, (10, "given-9", Some(Gap::Unknown))),
        (Since::Unknown, UnknownId::All, (0, "earliest", Some(Gap::Unknown))),
        (Since::Earliest, UnknownId::Live, (0, "earliest", None)),
        (Since::Empty, UnknownId::All, (10, "given-9", None)),
        (id("given-3"), UnknownId::All, (4, "given-3", None)),
    ] {
        let Located { position, last_event_id, gap } = locate(&run, &since, unknown);
        assert_eq!((position.0, &*last_event_id, gap), expected, "{since:?}");
    }
    // An id of the right form, for a place that another update has, or none.
    let other =
        Run::open_as(&SimDisk::default(), &settings(SyncMode::Always, Retention::default()), 2);
    let mut foreign = Ledger::default();
    let mut other = other.unwrap();
    for _ in 0..20 {
        other.has_room().unwrap();
        other.publish(&mut foreign, &[None]).unwrap();
    }
    for foreign in &foreign.ids {
        assert!(!ledger.ids.contains(foreign));
        assert_eq!(locate(&run, &id(foreign), UnknownId::All).gap, Some(Gap::Unknown));
    }
}

#[test]
fn a_repeated_id_means_its_earliest_retained_update() {
    let disk = SimDisk::default();
    let retention = Retention { updates_max: Some(60), ..Retention::default() };
    let mut run = Run::open(&disk, &settings(SyncMode::Always, retention)).unwrap();
    let mut ledger = Ledger::default();
    for i in 0..150 {
        run.has_room().unwrap();
        run.publish(&mut ledger, &[Some(if i % 10 == 0 { "often" } else { "other" })]).unwrap();
    }
    run.check(&ledger);
    assert_eq!(locate(&run, &id("often"), UnknownId::All).position, Position(91));
    drop(run.writer);
}

#[test]
fn after_an_end_in_good_order_nothing_is_written_once_more() {
    let (run, ledger, disk) = filled(Retention::default(), 30);
    drop(run);
    let before = disk.list_sizes();
    let settings = settings(SyncMode::Always, Retention::default());
    let mut run = Run::open(&disk, &settings).unwrap();
    assert_eq!(run.catalog.committed(), Position(30));
    run.check(&ledger);
    assert!(run.writer.rest().is_ok());
    drop(run);
    let last = |files: &[(String, usize)]| files.iter().map(|(name, _)| name.clone()).max();
    let after = disk.list_sizes();
    assert!(last(&after) <= last(&before), "a segment was added: {before:?} {after:?}");
}
