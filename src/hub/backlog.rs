//! Peers that take less than they are offered: everything for them goes behind what waits already.

use std::sync::Arc;

use bytes::Bytes;

use super::{Hub, Key, Moment, Outcome, Reason, outbox::Outbox, slab::NONE, subscriber::Stage};
use crate::protocol::update::{Position, Update};

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
    pub(super) fn queue_updates(
        &mut self,
        key: Key,
        updates: impl Iterator<Item = Arc<Update>>,
        now: Moment,
    ) {
        let subscriber = &mut self.subscribers[key.index()];
        if subscriber.outbox == NONE {
            subscriber.outbox = self.outboxes.insert(Outbox::new(subscriber.form, now)).index();
        }
        let outbox = &mut self.outboxes[subscriber.outbox];
        let before = outbox.len();
        updates.for_each(|update| outbox.push_update(update));
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
        if taken > 0 {
            outbox.progress_at = now;
        }
        if outbox.len() == 0 {
            self.outboxes.remove(id);
            self.subscribers[key.index()].outbox = NONE;
            self.after_flush(key, now);
        } else if outcome == Outcome::Whole {
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
    use super::*;
    use crate::{
        hub::{Batch, Carrier, Joiner, Limits},
        protocol::{
            frame::{Fields, Form, FrameDraft},
            id::GENERATED_ID_LEN,
            matcher::{Interest, Matcher, MatcherSet},
            topic::{Topic, TopicHasher},
            update::Draft,
        },
    };

    const NOW: Moment = Moment(1);

    fn update(position: u64, hasher: &TopicHasher) -> Arc<Update> {
        let data = position.to_string();
        let frame = FrameDraft::new(Fields { data: &data, ..Fields::default() });
        let draft = Draft { frame, topics: [Topic::new("t", hasher)].into(), private: false };
        Arc::new(draft.place(Position(position), &[b'i'; GENERATED_ID_LEN]))
    }

    /// A walk may come to a subscriber whose outbox is in the batch already.
    #[test]
    fn an_outbox_is_in_a_batch_once() {
        let hasher = TopicHasher::new();
        let mut hub = Hub::new(Limits::default(), hasher.clone(), Position::START, NOW);
        let matchers = Arc::new(MatcherSet::new(vec![Matcher::Exact("t".into())]));
        let joiner = Joiner {
            carrier: Carrier(1),
            form: Form::Bare,
            interest: Interest { matchers, grants: Arc::default() },
            deadline: Moment::NEVER,
            unsent: Bytes::from_static(b"head"),
        };
        let key = hub.join(joiner, Position::START, NOW);
        hub.take(update(1, &hasher));
        let mut batch = Batch::default();
        hub.next_batch(NOW, &mut batch);
        assert!(batch.is_empty(), "it goes behind the head");
        hub.writable(key);
        hub.take(update(2, &hasher));
        let mut sent = Vec::new();
        while hub.has_work() {
            hub.next_batch(NOW, &mut batch);
            assert!(batch.sends().len() <= 1);
            for send in batch.sends() {
                hub.slices(&batch, send).for_each(|slice| sent.extend_from_slice(slice));
                hub.sent(&batch, send, Outcome::Whole, NOW);
            }
        }
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.starts_with("head") && sent.matches("data: ").count() == 2, "{sent}");
    }
}
