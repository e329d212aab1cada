//! The updates that the worker has taken and still needs: those whose walks have not ended, and a
//! window of finished ones, in which replaying subscribers meet the live stream.

use std::{collections::VecDeque, sync::Arc};

use crate::protocol::update::{Position, Update};

/// How much of what is finished is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// At most.
    pub(super) updates: usize,
    /// About.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Taken {
    update: Arc<Update>,
    /// Walks that have not delivered it to everybody yet.
    walks: u32,
}

/// Taken updates by sequence number: a count of this worker's own.
#[derive(Debug)]
pub(super) struct Recent {
    taken: VecDeque<Taken>,
    /// The sequence number of the first one that is kept.
    first: u64,
    /// The sequence number of the first one with a walk that has not ended.
    unsettled: u64,
    /// The position before the first one that is kept.
    start: Position,
    /// The position of the last one that was taken.
    last: Position,
    bytes: usize,
    window: Window,
}

impl Recent {
    /// `start`: the position after which the worker is handed updates.
    pub(super) fn new(start: Position, window: Window) -> Self {
        let taken = VecDeque::new();
        Recent { taken, first: 0, unsettled: 0, start, last: start, bytes: 0, window }
    }

    /// Adds an update that `walks` walks will deliver. Returns its sequence number.
    pub(super) fn push(&mut self, update: Arc<Update>, walks: u32) -> u64 {
        debug_assert!(update.position > self.last, "the log hands over in order");
        self.trim();
        self.last = update.position;
        self.bytes += update.footprint();
        self.taken.push_back(Taken { update, walks });
        let sequence = self.end() - 1;
        self.settle();
        sequence
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Bytes of all that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Updates from the first on whose walks have not all ended.
    pub(super) fn unsettled_len(&self) -> usize {
        (self.end() - self.unsettled) as usize
    }

    pub(super) fn get(&self, sequence: u64) -> &Arc<Update> {
        &self.taken[(sequence - self.first) as usize].update
    }

    /// A walk has delivered the update to all of its roster.
    pub(super) fn walk_ended(&mut self, sequence: u64) {
        self.taken[(sequence - self.first) as usize].walks -= 1;
        self.settle();
    }

    /// The position of the last update that was taken.
    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// The last update that was taken, if it is kept.
    pub(super) fn last_update(&self) -> Option<&Update> {
        self.taken.back().map(|taken| &*taken.update)
    }

    /// The position up to which every walk has ended.
    pub(super) fn finished(&self) -> Position {
        if self.unsettled == self.end() {
            return self.last;
        }
        match self.unsettled.checked_sub(self.first + 1) {
            Some(index) => self.taken[index as usize].update.position,
            None => self.start,
        }
    }

    /// The kept updates after `position`, or `None` if some of them are no longer kept.
    pub(super) fn after(&self, position: Position) -> Option<impl Iterator<Item = &Arc<Update>>> {
        let first = self.taken.partition_point(|taken| taken.update.position <= position);
        (position >= self.start).then(|| self.taken.range(first..).map(|taken| &taken.update))
    }

    fn end(&self) -> u64 {
        self.first + self.taken.len() as u64
    }

    fn settle(&mut self) {
        while self.unsettled < self.end()
            && self.taken[(self.unsettled - self.first) as usize].walks == 0
        {
            self.unsettled += 1;
        }
    }

    /// Only when updates are added: what a batch refers to stays where it is until it was sent.
    fn trim(&mut self) {
        while self.first < self.unsettled
            && (self.taken.len() >= self.window.updates || self.bytes > self.window.bytes)
            && let Some(Taken { update, .. }) = self.taken.pop_front()
        {
            self.first += 1;
            self.start = update.position;
            self.bytes -= update.footprint();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Limits, fixture::Fixture};

    fn positions(recent: &Recent, after: u64) -> Option<Vec<u64>> {
        let updates = recent.after(Position(after))?;
        Some(updates.map(|update| update.position.0).collect())
    }

    #[test]
    fn finished_is_what_every_walk_has_delivered() {
        let mut f = Fixture::new(Limits::default());
        let mut recent = Recent::new(Position::START, Window { updates: 1, bytes: 1 });
        let sequences = [2, 1, 0, 1].map(|walks| recent.push(f.update(&["a"], false), walks));
        assert_eq!(recent.finished(), Position(0));
        recent.walk_ended(sequences[1]);
        recent.walk_ended(sequences[0]);
        assert_eq!(recent.finished(), Position(0), "one of two walks");
        recent.walk_ended(sequences[0]);
        assert_eq!(recent.finished(), Position(3));
        recent.walk_ended(sequences[3]);
        assert_eq!((recent.finished(), recent.unsettled_len()), (Position(4), 0));
        // Trimmed when the next one comes.
        recent.push(f.update(&["a"], false), 1);
        assert_eq!((recent.len(), recent.finished()), (1, Position(4)));
    }

    #[test]
    fn the_window_says_what_it_no_longer_has() {
        let mut f = Fixture::new(Limits::default());
        let mut recent = Recent::new(Position::START, Window { updates: 3, bytes: 1 << 20 });
        assert_eq!(positions(&recent, 0), Some(vec![]));
        for _ in 0..5 {
            recent.push(f.update(&["a"], false), 0);
        }
        assert_eq!(positions(&recent, 1), None);
        assert_eq!(positions(&recent, 2), Some(vec![3, 4, 5]));
        assert_eq!(positions(&recent, 5), Some(vec![]));
        assert_eq!(positions(&recent, 9), Some(vec![]), "a reader may be ahead");
    }

    #[test]
    fn what_is_not_settled_is_kept_beyond_the_window() {
        let mut f = Fixture::new(Limits::default());
        let mut recent = Recent::new(Position::START, Window { updates: 2, bytes: 1 << 20 });
        let first = recent.push(f.update(&["a"], false), 1);
        for _ in 0..10 {
            recent.push(f.update(&["a"], false), 0);
        }
        assert_eq!((recent.len(), recent.unsettled_len()), (11, 11));
        assert_eq!(recent.get(first).position, Position(1));
        recent.walk_ended(first);
        recent.push(f.update(&["a"], false), 0);
        assert_eq!((recent.len(), recent.unsettled_len()), (2, 0));
        let bytes: usize = recent.after(Position(10)).unwrap().map(|u| u.footprint()).sum();
        assert_eq!(recent.bytes(), bytes);
    }
}
