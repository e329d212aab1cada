//! A hub with sockets made of vectors, for unit tests.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Batch, Carrier, Ended, Hub, Joiner, Key, Limits, Moment, Outcome};
use crate::protocol::{
    events::Events,
    fixture,
    frame::{Fields, Form, FrameDraft},
    matcher::{Interest, MatcherSet},
    time::UnixTime,
    topic::{Topic, TopicHasher},
    update::{Draft, Position, Update},
};

pub(super) struct Fixture {
    pub(super) hub: Hub,
    pub(super) now: Moment,
    pub(super) ended: Vec<Ended>,
    hasher: TopicHasher,
    last: u64,
    received: BTreeMap<i32, Vec<u8>>,
    /// Bytes that a peer still takes, if they are limited.
    pub(super) room: BTreeMap<i32, usize>,
}

fn set(texts: &[&str]) -> Arc<MatcherSet> {
    Arc::new(texts.iter().map(|text| fixture::matcher(text)).collect())
}

/// Matchers as [`fixture::matcher`] reads them.
pub(super) fn interest(matchers: &[&str], grants: &[&str]) -> Interest {
    Interest { matchers: set(matchers), grants: set(grants) }
}

/// What history sends for these updates.
pub(super) fn events(updates: &[Arc<Update>]) -> Events {
    let mut events = Events::default();
    for update in updates {
        events.push(update.position, update.frame.bytes(Form::Bare));
    }
    events
}

impl Fixture {
    pub(super) fn new(limits: Limits) -> Self {
        let (hasher, now) = (TopicHasher::new(), Moment(1_000));
        Fixture {
            hub: Hub::new(limits, hasher.clone(), Position::START, now),
            now,
            ended: Vec::new(),
            hasher,
            last: 0,
            received: BTreeMap::new(),
            room: BTreeMap::new(),
        }
    }

    /// A subscriber without deadline, whose head was taken.
    pub(super) fn joiner(carrier: i32, interest: Interest) -> Joiner {
        let (carrier, form, deadline) = (Carrier(carrier), Form::Bare, Moment::NEVER);
        Joiner { carrier, form, interest, deadline, unsent: Bytes::new() }
    }

    pub(super) fn join(&mut self, carrier: i32, matchers: &[&str], grants: &[&str]) -> Key {
        let joiner = Self::joiner(carrier, interest(matchers, grants));
        self.hub.join(joiner, Position(self.last), self.now)
    }

    /// The next update of the order.
    pub(super) fn update(&mut self, topics: &[&str], private: bool) -> Arc<Update> {
        self.last += 1;
        let data = self.last.to_string();
        let topics =
            topics.iter().map(|topic| Topic::new(topic, &fixture::HUB, &self.hasher)).collect();
        let frame = FrameDraft::new(Fields { id: Some("i"), data: &data, ..Fields::default() });
        Arc::new(
            Draft { frame, topics, private, published: UnixTime::default() }
                .place(Position(self.last), || [0; 45]),
        )
    }

    pub(super) fn take(&mut self, topic: &str) {
        let update = self.update(&[topic], false);
        self.hub.take(update);
    }

    /// Makes the sends of one batch. Returns to whom, in order.
    pub(super) fn batch(&mut self) -> Vec<i32> {
        let mut batch = Batch::default();
        self.hub.next_batch(self.now, &mut batch);
        let mut outcomes = Vec::new();
        for send in batch.sends() {
            let carrier = send.carrier.0;
            let bytes: Vec<u8> = self.hub.slices(&batch, send).flatten().copied().collect();
            let room = self.room.get_mut(&carrier);
            let len = room.as_ref().map_or(bytes.len(), |room| bytes.len().min(**room));
            if let Some(room) = room {
                *room -= len;
            }
            self.received.entry(carrier).or_default().extend_from_slice(&bytes[..len]);
            let is_whole = len == bytes.len();
            outcomes.push(if is_whole { Outcome::Whole } else { Outcome::Short(len) });
        }
        for (send, outcome) in batch.sends().iter().zip(outcomes) {
            self.hub.sent(&batch, send, outcome, self.now);
        }
        self.ended.extend(std::iter::from_fn(|| self.hub.next_ended()));
        batch.sends().iter().map(|send| send.carrier.0).collect()
    }

    /// Does all there is to do.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            self.batch();
            if !self.hub.has_work() {
                return;
            }
        }
        panic!("there is always more to do");
    }

    /// Lets time pass, and looks at the timers.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now.0 += millis;
        while self.hub.expire(self.now) {}
        self.run();
    }

    pub(super) fn bytes(&self, carrier: i32) -> &[u8] {
        self.received.get(&carrier).map_or(&[], Vec::as_slice)
    }

    /// The positions that a subscriber received, as far as they are whole.
    pub(super) fn got(&self, carrier: i32) -> Vec<u64> {
        let text = std::str::from_utf8(self.bytes(carrier)).expect("the fixture knows it");
        let events = text.replace(":\n", "");
        let whole = events.rfind("\n\n").map_or(0, |end| end + 2);
        events[..whole]
            .split_terminator("\n\n")
            .map(|event| {
                event
                    .strip_prefix("data: ")
                    .and_then(|event| event.strip_suffix("\nid: i"))
                    .expect("the fixture knows it")
                    .parse()
                    .expect("the fixture knows it")
            })
            .collect()
    }

    /// Heartbeats that a subscriber received.
    pub(super) fn heartbeats(&self, carrier: i32) -> usize {
        let text = std::str::from_utf8(self.bytes(carrier)).expect("the fixture knows it");
        text.split('\n').filter(|line| *line == ":").count()
    }
}
