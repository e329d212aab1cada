//! A disk without room: publications wait, and nothing is lost or repeated.

use super::{
    super::{Retention, SyncMode},
    disk::SimDisk,
    run::{Ledger, Run, settings},
};

#[test]
fn a_full_disk_is_met_before_a_write_and_publishing_goes_on_when_there_is_room() {
    let disk = SimDisk::default();
    let settings = settings(SyncMode::Always, Retention::default());
    let mut run = Run::open(&disk, &settings).unwrap();
    let mut ledger = Ledger::default();
    disk.set_full(true);
    let mut published = 0;
    while run.has_room().unwrap() {
        run.publish(&mut ledger, &[None, Some("mine")]).unwrap();
        published += 1;
        assert!(published < 1000, "the disk is full");
    }
    assert!(published > 2, "what was prepared is used");
    run.check(&ledger);
    run.keep();
    assert!(!run.has_room().unwrap(), "it is still full");
    disk.set_full(false);
    run.keep();
    assert!(run.has_room().unwrap());
    for _ in 0..20 {
        assert!(run.has_room().unwrap());
        run.publish(&mut ledger, &[None]).unwrap();
    }
    run.check(&ledger);
    drop(run);
    Run::open(&disk, &settings).unwrap().check(&ledger);
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let disk = SimDisk::default();
    let retention = Retention { updates_max: Some(5), ..Retention::default() };
    let settings = settings(SyncMode::Always, retention);
    let mut run = Run::open(&disk, &settings).unwrap();
    let mut ledger = Ledger::default();
    for _ in 0..200 {
        assert!(run.has_room().unwrap());
        run.publish(&mut ledger, &[None]).unwrap();
    }
    run.keep();
    run.keep();
    assert!(run.catalog.segments().len() <= 3, "{}", run.catalog.segments().len());
    run.check(&ledger);
}
