//! Walks: how updates get from the recent ones to the members of a roster.
//!
//! A walk goes round the members of one roster, a slice at a time; the slices of different walks
//! take turns, so that a huge roster does not hold up a small one. It visits *subscribers*, not
//! updates: a visit gathers everything that is new for the subscriber, whichever roster it came
//! by, and moves the subscriber's position to the last update taken. So whatever the order of
//! visits, nobody gets anything twice, or in another order.
//!
//! What arrives while a walk is on its way joins it; the walk ends after the first lap that began
//! with everything in it that is in it now. A member for whom more waits than one write takes gets
//! the rest in the next lap: it is not slow, the worker is behind.

use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use super::{index::RosterId, slab::Slab};

#[derive(Debug)]
pub(super) struct Walk {
    pub(super) roster: RosterId,
    /// The member that is visited next.
    pub(super) cursor: usize,
    /// Sequence numbers of the updates that it delivers, in order.
    pub(super) pending: SmallVec<[u64; 4]>,
    /// How many of `pending` were there when the lap began: they end with it.
    lap: usize,
    /// The first update that some member was not given in this lap, nor any after it.
    left: u64,
}

/// Nobody was left behind.
const NO_SEQUENCE: u64 = u64::MAX;

impl Walk {
    fn begin_lap(&mut self) {
        self.cursor = 0;
        self.lap = self.pending.len();
        self.left = NO_SEQUENCE;
    }

    /// The lap does not settle `sequence`, and nothing after it.
    pub(super) fn leave(&mut self, sequence: u64) {
        self.left = self.left.min(sequence);
    }
}

/// The walks under way, in the order in which they get their slices.
#[derive(Debug)]
pub(super) struct Walks {
    table: Slab<Walk>,
    turns: VecDeque<u32>,
}

impl Walks {
    pub(super) fn new() -> Self {
        Walks { table: Slab::new(), turns: VecDeque::new() }
    }

    pub(super) fn get(&self, walk: u32) -> &Walk {
        &self.table[walk]
    }

    pub(super) fn get_mut(&mut self, walk: u32) -> &mut Walk {
        &mut self.table[walk]
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Starts a walk through `roster` that delivers one update.
    pub(super) fn start(&mut self, roster: RosterId, sequence: u64) -> u32 {
        let pending = smallvec![sequence];
        let walk = self
            .table
            .insert(Walk { roster, cursor: 0, pending, lap: 1, left: NO_SEQUENCE })
            .index();
        self.turns.push_back(walk);
        walk
    }

    /// The walk whose turn it is. It has to be given back with `rotate` or `end`.
    pub(super) fn take_turn(&mut self) -> Option<u32> {
        self.turns.pop_front()
    }

    pub(super) fn rotate(&mut self, walk: u32) {
        self.turns.push_back(walk);
    }

    /// The last member was visited: what the lap delivered to everybody is taken out with
    /// `settled`. Returns whether another lap is needed.
    pub(super) fn end_lap(&mut self, walk: u32, settled: impl FnMut(u64)) -> bool {
        let walk = &mut self.table[walk];
        let given = walk.pending.partition_point(|&sequence| sequence < walk.left);
        walk.pending.drain(..given.min(walk.lap)).for_each(settled);
        walk.begin_lap();
        !walk.pending.is_empty()
    }

    pub(super) fn end(&mut self, walk: u32) {
        self.table.remove(walk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_lap(walks: &mut Walks, walk: u32) -> (Vec<u64>, bool) {
        let mut settled = Vec::new();
        let again = walks.end_lap(walk, |sequence| settled.push(sequence));
        (settled, again)
    }

    #[test]
    fn a_lap_settles_what_was_there_when_it_began() {
        let mut walks = Walks::new();
        let walk = walks.start(0, 5);
        walks.get_mut(walk).pending.extend([6, 9]);
        assert_eq!(end_lap(&mut walks, walk), (vec![5], true));
        walks.get_mut(walk).pending.push(12);
        assert_eq!(end_lap(&mut walks, walk), (vec![6, 9], true));
        assert_eq!(end_lap(&mut walks, walk), (vec![12], false));
    }

    #[test]
    fn a_lap_keeps_what_some_member_was_not_given() {
        let mut walks = Walks::new();
        let walk = walks.start(0, 1);
        walks.get_mut(walk).pending.extend([2, 4, 6]);
        assert_eq!(end_lap(&mut walks, walk), (vec![1], true));
        walks.get_mut(walk).leave(6);
        // Of another roster of that member, between two of this one.
        walks.get_mut(walk).leave(3);
        assert_eq!(end_lap(&mut walks, walk), (vec![2], true));
        assert_eq!(end_lap(&mut walks, walk), (vec![4, 6], false));
    }
}
