//! Peers that take less than they are offered: everything for them goes behind what waits already.

use std::sync::Arc;

use bytes::Bytes;

use super::{Hub, Key, Moment, Outcome, Reason, outbox::Outbox, slab::NONE, subscriber::Stage};
use crate::protocol::{
    events::Events,
    update::{Position, Update},
};

impl Hub {
    /// The peer can take something again.
    pub fn writable(&mut self, key: Key) {
        if let Some(subscriber) = self.subscribers.get(key)
            && subscriber.outbox != NONE
        {
            let outbox = &mut self.outboxes[subscriber.outbox];
            outbox.blocked = false;
            if !outbox.queued {
                outbox.queued = true;
                self.flushes.push_back(key);
            }
        }
    }

    /// Puts the rest of a response head in front of everything else.
    pub(super) fn queue_head(&mut self, key: Key, unsent: Bytes, now: Moment) {
        if !unsent.is_empty() {
            let mut outbox = Outbox::new(self.subscribers[key.index()].form, now);
            outbox.push_bytes(unsent);
            self.block(key, outbox, now);
        }
    }

    /// Gives a subscriber without outbox one whose first piece the peer did not take.
    pub(super) fn block(&mut self, key: Key, mut outbox: Outbox, now: Moment) {
        debug_assert_eq!(self.subscribers[key.index()].outbox, NONE);
        outbox.blocked = true;
        self.waiting_bytes += outbox.len();
        self.subscribers[key.index()].outbox = self.outboxes.insert(outbox).index();
        self.arm(key.index(), now);
        self.bound_outbox(key);
    }

    /// Puts updates behind what waits for the subscriber.
    pub(super) fn queue_updates(&mut self, key: Key, updates: impl Iterator<Item = Arc<Update>>) {
        self.queue(key, |outbox| updates.for_each(|update| outbox.push_update(update)));
    }

    /// Puts a piece of history behind what waits for the subscriber.
    pub(super) fn queue_events(&mut self, key: Key, events: Events) {
        let Some(first) = events.first() else { return };
        let bytes = Bytes::from(events.into_bytes());
        self.queue(key, |outbox| outbox.push_events(bytes, first));
    }

    fn queue(&mut self, key: Key, push: impl FnOnce(&mut Outbox)) {
        let subscriber = &mut self.subscribers[key.index()];
        if subscriber.outbox == NONE {
            let outbox = Outbox::new(subscriber.form, Moment::NEVER);
            subscriber.outbox = self.outboxes.insert(outbox).index();
        }
        let outbox = &mut self.outboxes[subscriber.outbox];
        let before = outbox.len();
        push(outbox);
        self.waiting_bytes += outbox.len() - before;
        if !outbox.blocked && !outbox.queued {
            outbox.queued = true;
            self.flushes.push_back(key);
        }
        self.bound_outbox(key);
    }

    /// Notes that too much waits for the subscriber.
    pub(super) fn bound_outbox(&mut self, key: Key) {
        let subscriber = &self.subscribers[key.index()];
        // Replaying subscribers are fed no more than they take.
        let is_live = matches!(subscriber.stage, Stage::Live(_));
        // A single large update is no backlog.
        let outbox = &self.outboxes[subscriber.outbox];
        if is_live && outbox.pieces() > 1 && outbox.len() > self.limits.subscriber_buffer {
            self.overfull.push(key);
        }
    }

    /// Cuts subscribers for whom too much waits, and if too much waits in all, those furthest
    /// behind.
    pub(super) fn cut(&mut self) {
        while let Some(key) = self.overfull.pop() {
            self.end(key, Reason::Slow);
        }
        if self.waiting_bytes <= self.limits.outbox_budget {
            return;
        }
        let mut behind: Vec<(Position, Key)> = self
            .subscribers
            .keys()
            .filter_map(|key| {
                let outbox = self.subscribers[key.index()].outbox;
                let since = (outbox != NONE).then(|| self.outboxes[outbox].behind_since())?;
                Some((since.unwrap_or(self.recent.last()), key))
            })
            .collect();
        behind.sort_unstable();
        for (_, key) in behind {
            // An eighth of the room at once, so that this is not done for every frame.
            if self.waiting_bytes <= self.limits.outbox_budget / 8 * 7 {
                return;
            }
            self.end(key, Reason::Slow);
        }
    }

    /// An outbox was offered to the peer.
    pub(super) fn flushed(&mut self, key: Key, outcome: Outcome, now: Moment) {
        let id = self.subscribers[key.index()].outbox;
        let outbox = &mut self.outboxes[id];
        let taken = match outcome {
            Outcome::Whole => outbox.slices(self.limits.frames).map(<[u8]>::len).sum(),
            Outcome::Short(taken) => taken,
            Outcome::Gone => unreachable!("handled by the caller"),
        };
        outbox.advance(taken);
        self.waiting_bytes -= taken;
        if taken > 0 || outbox.progress_at == Moment::NEVER {
            outbox.progress_at = now;
        }
        if outbox.len() == 0 {
            self.outboxes.remove(id);
            self.subscribers[key.index()].outbox = NONE;
            // A heartbeat may be due before the peer could have stalled.
            self.arm(key.index(), now);
            self.after_flush(key);
        } else if outcome == Outcome::Whole {
            // The rest was not offered yet: if that comes late, the peer is not to blame.
            outbox.progress_at = Moment::NEVER;
            self.flushes.push_back(key);
        } else {
            outbox.queued = false;
            outbox.blocked = true;
            self.arm(key.index(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::{
        hub::{
            Limits, Reason,
            fixture::{Fixture, interest},
        },
        protocol::update::Position,
    };

    #[test]
    fn the_rest_of_a_head_comes_first() {
        let mut f = Fixture::new(Limits::default());
        let mut joiner = Fixture::joiner(1, interest(&["a"], &[]));
        joiner.unsent = Bytes::from_static(b":\n");
        let key = f.hub.join(joiner, Position::START, f.now);
        f.take("a");
        f.run();
        assert_eq!(f.bytes(1), b"", "the head was refused");
        f.hub.writable(key);
        f.run();
        assert_eq!(f.bytes(1), b":\ndata: 1\nid: i\n\n");
    }

    /// A walk may come to a subscriber whose outbox is in the batch already.
    #[test]
    fn an_outbox_is_in_a_batch_once() {
        let mut f = Fixture::new(Limits::default());
        let mut joiner = Fixture::joiner(1, interest(&["a"], &[]));
        joiner.unsent = Bytes::from_static(b":\n");
        let key = f.hub.join(joiner, Position::START, f.now);
        f.take("a");
        f.run();
        f.hub.writable(key);
        f.take("a");
        f.run();
        assert_eq!(f.bytes(1), b":\ndata: 1\nid: i\n\ndata: 2\nid: i\n\n");
    }

    #[test]
    fn who_takes_nothing_is_cut_at_the_buffers_end() {
        // A frame is 15 bytes.
        let mut f = Fixture::new(Limits { subscriber_buffer: 30, ..Limits::default() });
        f.join(1, &["a"], &[]);
        f.room.insert(1, 0);
        for _ in 0..2 {
            f.take("a");
            f.run();
        }
        assert_eq!(f.ended.len(), 0);
        f.take("a");
        f.run();
        assert_eq!(f.ended.iter().map(|e| e.reason).collect::<Vec<_>>(), [Reason::Slow]);
        assert!(!f.ended[0].is_whole);
        assert_eq!((f.hub.census().waiting_bytes, f.hub.len()), (0, 0));
    }

    #[test]
    fn over_the_budget_those_furthest_behind_are_cut_first() {
        let mut f = Fixture::new(Limits { outbox_budget: 15 * 8, ..Limits::default() });
        // Number 3 blocks first, then 2, then 1; 0 takes everything.
        for carrier in 0..4 {
            f.join(carrier, &["a"], &[]);
        }
        for blocked in [3, 2, 1] {
            f.room.insert(blocked, 0);
            f.take("a");
            f.run();
        }
        assert_eq!(f.hub.census().waiting_bytes, 15 * 6);
        f.take("a");
        f.run();
        let cut: Vec<i32> = f.ended.iter().map(|ended| ended.carrier.0).collect();
        assert_eq!(cut, [3], "nine frames exceed the budget of eight, five are within it");
        assert_eq!(f.hub.census().waiting_bytes, 15 * 5);
        assert_eq!(f.got(0), [1, 2, 3, 4]);
    }
}
