//! One subscriber's entry in the table.

use super::{
    Carrier,
    index::RosterSet,
    moment::Moment,
    slab::{NONE, Slab},
    wheel::Link,
};
use crate::protocol::{frame::Form, update::Position};

/// All subscribers of the worker.
pub(super) type Subscribers = Slab<Subscriber>;

/// Where a subscriber gets its updates from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the index, under these rosters: receives what is published.
    Live(RosterSet),
    /// Fed from history, and not in the index yet: the number of its replay.
    Replaying(u32),
}

/// One subscriber. There may be a million of these: every byte counts.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// The last update that is settled: sent, queued in the outbox, or not for this subscriber.
    pub(super) position: Position,
    /// The stream ends at this moment at the latest.
    pub(super) deadline: Moment,
    /// When something was sent last.
    pub(super) written_at: Moment,
    pub(super) stage: Stage,
    pub(super) timer: Link,
    pub(super) carrier: Carrier,
    /// What the token grants, or `NONE`.
    pub(super) grants: u32,
    /// What the peer did not take yet, or `NONE`.
    pub(super) outbox: u32,
    pub(super) form: Form,
    /// Lies in the queue of those who get a heartbeat.
    pub(super) heartbeat_due: bool,
}

impl Subscriber {
    pub(super) fn new(
        carrier: Carrier,
        form: Form,
        stage: Stage,
        position: Position,
        deadline: Moment,
        now: Moment,
    ) -> Self {
        Subscriber {
            position,
            deadline,
            written_at: now,
            stage,
            timer: Link::NONE,
            carrier,
            grants: NONE,
            outbox: NONE,
            form,
            heartbeat_due: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Option<Subscriber>>() <= 64, "{}", size_of::<Option<Subscriber>>());
    }
}
