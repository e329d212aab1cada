//! A worker's hub, without the kernel.

use std::sync::Arc;

use bytes::Bytes;
use petasos::{
    hub::{Batch, Carrier, Hub, Joiner, Key, Limits, Moment, Outcome},
    log::sequence::Places,
    protocol::{
        frame::Form,
        id::IdCipher,
        matcher::{Interest, Matcher, MatcherSet},
        pattern::Pattern,
        topic::TopicHasher,
        update::{Position, Update},
    },
};

/// The topic of all.
pub(crate) const NEWS: &str = "https://example.com/news";
pub(crate) const NOW: Moment = Moment(1_000);

/// A hub whose peers take everything, and the order of its updates.
pub(crate) struct Worker {
    pub(crate) hub: Hub,
    pub(crate) order: Order,
    pub(crate) batch: Batch,
}

/// Makes updates.
pub(crate) struct Order {
    places: Places,
    hasher: TopicHasher,
    last: Position,
}

impl Order {
    pub(crate) fn next(&mut self, topic: &str, private: bool) -> Arc<Update> {
        let update = self.places.place(super::draft(topic, private, &self.hasher));
        self.last = update.position;
        Arc::new(update)
    }
}

impl Worker {
    pub(crate) fn new() -> Self {
        super::refuse_huge_pages();
        let hasher = TopicHasher::new();
        Worker {
            hub: Hub::new(Limits::default(), hasher.clone(), Position::START, NOW),
            order: Order {
                places: Places::new(IdCipher::new([7; 16]), 1, Position::START),
                hasher,
                last: Position::START,
            },
            batch: Batch::default(),
        }
    }

    /// Everybody listens to a topic of its own.
    pub(crate) fn with_topics(count: u32) -> Self {
        Worker::with_readers(count, |number| interest(&[&super::topic(number)], &[]))
    }

    /// Everybody listens to what `interest` says.
    pub(crate) fn with_readers(count: u32, interest: impl Fn(u32) -> Interest) -> Self {
        let mut worker = Worker::new();
        for number in 0..count {
            worker.join(interest(number));
        }
        worker
    }

    pub(crate) fn join(&mut self, interest: Interest) -> Key {
        let (carrier, form, deadline) = (Carrier(0), Form::Chunked, Moment::NEVER);
        let joiner = Joiner { carrier, form, interest, deadline, unsent: Bytes::new() };
        self.hub.join(joiner, self.order.last, NOW)
    }

    /// Comes and goes.
    pub(crate) fn visit(&mut self, interest: Interest) {
        let key = self.join(interest);
        self.hub.leave(key);
        self.hub.next_ended().expect("who left is to be closed");
    }
}

/// Sends all there is to send: every slice is looked at, as senders do. Returns its bytes.
pub(crate) fn deliver(hub: &mut Hub, batch: &mut Batch) -> usize {
    let mut bytes = 0;
    while hub.has_work() {
        hub.next_batch(NOW, batch);
        let slices = batch.sends().iter().flat_map(|send| hub.slices(batch, send));
        bytes += slices.map(<[u8]>::len).sum::<usize>();
        for send in batch.sends() {
            hub.sent(batch, send, Outcome::Whole, NOW);
        }
    }
    bytes
}

/// Exact topics, patterns with names in them, and URI templates.
pub(crate) fn interest(topics: &[&str], grants: &[&str]) -> Interest {
    let set = |texts: &[&str]| {
        let pattern = |text: &str| Pattern::parse(text, super::HUB.url()).expect("a pattern");
        let matchers = texts.iter().map(|text| match text {
            text if text.contains("/:") => Matcher::Pattern(Arc::new(pattern(text))),
            text if text.contains('{') => Matcher::selector(text, usize::MAX).expect("a template"),
            text => Matcher::Exact((*text).into()),
        });
        Arc::new(matchers.collect::<MatcherSet>())
    };
    Interest { matchers: set(topics), grants: set(grants) }
}

/// The number that comes next, for updates that jump about among `count` topics: so what is looked
/// up is as cold as it is in a worker that has other things to do.
pub(crate) fn jump(number: &mut u32, count: u32) -> u32 {
    // Near the golden section of 2^32: neighbours end up far from each other.
    *number = number.wrapping_add(2_654_435_769);
    ((u64::from(*number) * u64::from(count)) >> 32) as u32
}
