//! What a hub holds, counted: for tests and simulations, which look for leaks and for bounds.

use super::{Hub, Key, slab::NONE};

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    pub subscribers: usize,
    /// Distinct matchers.
    pub rosters: usize,
    /// Entries on all rosters, tombstones included.
    pub members: usize,
    /// Distinct lists of matchers with more than one in them.
    pub roster_sets: usize,
    /// Distinct sets of grants.
    pub grants: usize,
    pub walks: usize,
    pub replays: usize,
    pub wanted_reads: usize,
    pub outboxes: usize,
    /// Bytes that wait in outboxes.
    pub waiting_bytes: usize,
    pub flushes: usize,
    pub heartbeats: usize,
    /// Taken updates that are kept.
    pub recent_updates: usize,
    pub recent_bytes: usize,
    /// Those of them with a walk that has not ended.
    pub unsettled_updates: usize,
}

impl Hub {
    /// Bytes that wait for a subscriber; `None` if it is gone.
    pub fn waiting_for(&self, key: Key) -> Option<usize> {
        let outbox = self.subscribers.get(key)?.outbox;
        Some(if outbox == NONE { 0 } else { self.outboxes[outbox].len() })
    }

    /// Counts what the hub holds. Looks at every roster: not for the hot path.
    pub fn census(&self) -> Census {
        Census {
            subscribers: self.subscribers.len(),
            rosters: self.index.rosters_len(),
            members: self.index.members_len(),
            roster_sets: self.index.sets_len(),
            grants: self.grants.len(),
            walks: self.walks.len(),
            replays: self.replays.table.len(),
            wanted_reads: self.replays.wanted.len(),
            outboxes: self.outboxes.len(),
            waiting_bytes: self.waiting_bytes,
            flushes: self.flushes.len(),
            heartbeats: self.heartbeats.len(),
            recent_updates: self.recent.len(),
            recent_bytes: self.recent.bytes(),
            unsettled_updates: self.recent.unsettled_len(),
        }
    }
}
