//! The exactness of deliveries: what a subscriber was owed, against what it got.

use std::{
    collections::HashMap,
    ops::AddAssign,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use serde::{Deserialize, Serialize};

/// How far every series is, for publishers and subscribers of all threads.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Updates that were handed to a publisher's connection.
    issued: Box<[AtomicU32]>,
    /// Updates that the hub has acknowledged.
    acknowledged: Box<[AtomicU32]>,
}

impl Ledger {
    pub(crate) fn new(series: usize) -> Ledger {
        let zeros = || (0..series).map(|_| AtomicU32::new(0)).collect();
        Ledger { issued: zeros(), acknowledged: zeros() }
    }

    /// The number of the next update of a series.
    pub(crate) fn issue(&self, series: u32) -> u32 {
        self.issued[series as usize].fetch_add(1, SeqCst)
    }

    pub(crate) fn acknowledge(&self, series: u32) {
        self.acknowledged[series as usize].fetch_add(1, SeqCst);
    }

    pub(crate) fn issued(&self, series: u32) -> u32 {
        self.issued[series as usize].load(SeqCst)
    }

    pub(crate) fn acknowledged(&self, series: u32) -> u32 {
        self.acknowledged[series as usize].load(SeqCst)
    }
}

/// Deliveries, and what was wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Came later than one that was published after it.
    pub(crate) reordered: u64,
    /// Not the bytes that were published.
    pub(crate) damaged: u64,
    /// Not for this subscriber.
    pub(crate) foreign: u64,
}

impl Tally {
    pub(crate) fn is_exact(&self) -> bool {
        *self == Tally { received: self.received, ..Tally::default() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.received += other.received;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.damaged += other.damaged;
        self.foreign += other.foreign;
    }
}

/// Where a subscriber is in one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) series: u32,
    /// The next number that it may get.
    next: u32,
    /// The first number that it must get: between the two it depends on when the hub let it in.
    must: u32,
}

impl Cursor {
    pub(crate) fn new(series: u32) -> Cursor {
        Cursor { series, next: 0, must: u32::MAX }
    }
}

/// The request of a subscriber that asks for what comes next is about to be sent.
pub(crate) fn asked(cursors: &mut [Cursor], ledger: &Ledger) {
    for cursor in cursors {
        cursor.next = ledger.acknowledged(cursor.series);
        cursor.must = u32::MAX;
    }
}

/// The head of the answer was received: whatever is issued from now on has to come.
pub(crate) fn joined(cursors: &mut [Cursor], ledger: &Ledger) {
    for cursor in cursors {
        cursor.must = ledger.issued(cursor.series);
    }
}

/// The checker of one thread's subscribers.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Numbers that a subscriber did not get yet, though it got later ones. Almost always empty.
    missing: HashMap<(u32, u32), Vec<u32>>,
    /// Damaged events of each subscriber: each hides one that seems to be lost.
    damaged: HashMap<u32, u64>,
    tally: Tally,
}

impl Checker {
    pub(crate) fn received(
        &mut self,
        subscriber: u32,
        cursors: &mut [Cursor],
        series: u32,
        sequence: u32,
    ) {
        self.tally.received += 1;
        let Some(cursor) = cursors.iter_mut().find(|cursor| cursor.series == series) else {
            self.tally.foreign += 1;
            return;
        };
        if sequence < cursor.next {
            return self.came_late(subscriber, series, sequence);
        }
        let owed = cursor.next.max(cursor.must);
        if sequence > owed {
            self.missing.entry((subscriber, series)).or_default().extend(owed..sequence);
        }
        (cursor.next, cursor.must) = (sequence + 1, 0);
    }

    fn came_late(&mut self, subscriber: u32, series: u32, sequence: u32) {
        let missing = self.missing.get_mut(&(subscriber, series));
        let found = missing.and_then(|missing| {
            let at = missing.iter().position(|&other| other == sequence)?;
            Some(missing.swap_remove(at))
        });
        match found {
            Some(_) => self.tally.reordered += 1,
            None => self.tally.repeated += 1,
        }
    }

    pub(crate) fn damaged(&mut self, subscriber: u32) {
        self.tally.received += 1;
        self.tally.damaged += 1;
        *self.damaged.entry(subscriber).or_default() += 1;
    }

    /// A subscriber that is there at the end should have everything.
    pub(crate) fn ended(&mut self, subscriber: u32, cursors: &[Cursor], ledger: &Ledger) {
        for cursor in cursors {
            let owed = cursor.next.max(cursor.must);
            let issued = ledger.issued(cursor.series);
            if owed < issued {
                let missing = self.missing.entry((subscriber, cursor.series)).or_default();
                missing.extend(owed..issued);
            }
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut lost: HashMap<u32, u64> = HashMap::new();
        for ((subscriber, _), missing) in &self.missing {
            *lost.entry(*subscriber).or_default() += missing.len() as u64;
        }
        for (subscriber, damaged) in &self.damaged {
            let lost = lost.entry(*subscriber).or_default();
            *lost = lost.saturating_sub(*damaged);
        }
        Tally { lost: lost.values().sum(), ..self.tally }
    }
}

/// Whether a subscriber has everything that was issued.
pub(crate) fn is_complete(cursors: &[Cursor], ledger: &Ledger) -> bool {
    cursors.iter().all(|cursor| cursor.next.max(cursor.must) >= ledger.issued(cursor.series))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(ledger: &Ledger, count: u32) {
        for _ in 0..count {
            ledger.issue(0);
        }
    }

    /// A subscriber of series 0 that joins after `before` updates, of which `acknowledged` were
    /// acknowledged when it asked.
    fn check(acknowledged: u32, before: u32, total: u32, got: &[u32]) -> Tally {
        let ledger = Ledger::new(1);
        let mut cursors = [Cursor::new(0)];
        (0..acknowledged).for_each(|_| ledger.acknowledge(0));
        asked(&mut cursors, &ledger);
        issue(&ledger, before);
        joined(&mut cursors, &ledger);
        issue(&ledger, total - before);
        let mut checker = Checker::default();
        got.iter().for_each(|&sequence| checker.received(7, &mut cursors, 0, sequence));
        checker.ended(7, &cursors, &ledger);
        checker.tally()
    }

    fn tally(received: u64) -> Tally {
        Tally { received, ..Tally::default() }
    }

    #[test]
    fn who_gets_everything_is_exact() {
        assert_eq!(check(0, 0, 4, &[0, 1, 2, 3]), tally(4));
        // What was under way while it joined may come or not.
        for got in [&[2, 3, 4, 5][..], &[3, 4, 5], &[4, 5]] {
            assert_eq!(check(2, 4, 6, got), tally(got.len() as u64));
        }
        assert!(tally(3).is_exact());
    }

    #[test]
    fn every_fault_is_counted() {
        assert_eq!(check(0, 0, 4, &[0, 1, 3]), Tally { lost: 1, ..tally(3) });
        assert_eq!(check(0, 0, 4, &[0, 1]), Tally { lost: 2, ..tally(2) });
        assert_eq!(check(0, 0, 4, &[]), Tally { lost: 4, ..tally(0) });
        assert_eq!(check(0, 0, 4, &[0, 1, 1, 2, 3]), Tally { repeated: 1, ..tally(5) });
        assert_eq!(check(0, 0, 4, &[0, 2, 1, 3]), Tally { reordered: 1, ..tally(4) });
        assert_eq!(check(2, 4, 6, &[5]), Tally { lost: 1, ..tally(1) });
        assert_eq!(check(2, 4, 6, &[1, 4, 5]), Tally { repeated: 1, ..tally(3) });
        assert_eq!(check(2, 4, 6, &[3, 5]), Tally { lost: 1, ..tally(2) });
        assert!(!check(0, 0, 1, &[]).is_exact());
    }

    #[test]
    fn damage_is_not_loss_too_and_strangers_are_noticed() {
        let ledger = Ledger::new(2);
        let mut cursors = [Cursor::new(0)];
        asked(&mut cursors, &ledger);
        joined(&mut cursors, &ledger);
        issue(&ledger, 3);
        let mut checker = Checker::default();
        checker.received(0, &mut cursors, 0, 0);
        checker.damaged(0);
        checker.received(0, &mut cursors, 0, 2);
        checker.received(0, &mut cursors, 1, 0);
        checker.ended(0, &cursors, &ledger);
        assert_eq!(checker.tally(), Tally { damaged: 1, foreign: 1, ..tally(4) });
    }
}
