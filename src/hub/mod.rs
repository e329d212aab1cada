//! What one worker knows: its subscribers, who listens to what, what waits for whom. Pure.
//!
//! The worker calls in: [`Hub::join`] and [`Hub::join_replaying`] when a subscriber arrives,
//! [`Hub::take`] for each committed update, in order, [`Hub::expire`] as time passes. It asks for
//! work with [`Hub::next_batch`], sends what it is given, and reports with [`Hub::sent`]; between
//! these two nothing else is called, so a batch is made of borrowed slices. Connections that are to
//! be closed come out of [`Hub::next_ended`], pieces of history that are needed out of
//! [`Hub::next_read`].
//!
//! # Invariants
//!
//! * A subscriber's `position` is the last update that is settled for it: sent, in its outbox, or
//!   not for it. It only grows. Whatever is gathered for it comes after its position and is
//!   gathered in order; so nothing is repeated or reordered.
//! * An update is kept, with the rosters that it concerns, until every member was visited since it
//!   was taken; so nothing is lost.
//! * While a subscriber has an outbox, everything for it goes behind what waits there: updates,
//!   replay, heartbeats. Nothing is ever sent past an outbox.
//! * A private update is gathered for a subscriber only if the subscriber's grants cover it, live
//!   and replayed.
//! * Nothing is sent after a subscriber's deadline.

mod backlog;
mod batch;
mod census;
mod deliver;
#[cfg(test)]
mod fixture;
mod grants;
mod index;
mod moment;
mod outbox;
mod patterns;
mod recent;
mod replay;
mod slab;
mod subscriber;
mod timers;
mod walk;
mod wheel;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::{
    batch::{Batch, Outcome, Send},
    census::Census,
    moment::Moment,
    replay::WantedRead,
    slab::Key,
};
use self::{
    grants::Grants,
    index::{Index, RosterId},
    outbox::Outbox,
    recent::{Recent, Window},
    replay::{Replay, Replays},
    slab::{NONE, Slab},
    subscriber::{Stage, Subscriber, Subscribers},
    walk::Walks,
    wheel::Wheel,
};
use crate::protocol::{
    events::Events,
    frame::Form,
    matcher::Interest,
    subscribe::EARLIEST,
    topic::TopicHasher,
    update::{Position, Update},
};

/// How the worker finds the connection of a subscriber: opaque to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Carrier(pub i32);

const SHORTEST_TIMER: Duration = Duration::from_millis(wheel::TICK);

/// What bounds the work and the memory of a hub.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A comment is sent when nothing else was for this long; `None`: never.
    pub heartbeat: Option<Duration>,
    /// Longest time that a peer may take nothing while something waits for it.
    pub dispatch_timeout: Duration,
    /// Bytes that may wait for one subscriber.
    pub subscriber_buffer: usize,
    /// Bytes that may wait for all subscribers of the worker.
    pub outbox_budget: usize,
    /// Sends of one batch, at most.
    pub batch: usize,
    /// Bytes of them, at most; one send may exceed it.
    pub batch_bytes: usize,
    /// Members that a walk visits in one turn, at most.
    pub slice: usize,
    /// Frames in one vectored write, at most.
    pub frames: usize,
    /// Timers that are looked at in one turn, at most.
    pub timers: usize,
    /// Updates that are kept after everybody got them, at most: in these, replaying subscribers
    /// meet the live stream.
    pub recent_updates: usize,
    /// Bytes of these, about.
    pub recent_bytes: usize,
    /// Bytes of these that a replaying subscriber is given at a time, about.
    pub recent_piece: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            heartbeat: Some(Duration::from_secs(40)),
            dispatch_timeout: Duration::from_secs(5),
            subscriber_buffer: 1 << 20,
            outbox_budget: 128 << 20,
            // A send takes some 5 us, so a batch holds up everything else for a third of a
            // millisecond; what it costs beside its sends is about a hundredth of that.
            batch: 64,
            // The kernel copies as much in about the same time.
            batch_bytes: 1 << 20,
            slice: 32,
            frames: 256,
            timers: 1024,
            recent_updates: 1024,
            recent_bytes: 1 << 20,
            recent_piece: 64 << 10,
        }
    }
}

/// A subscriber that arrives.
#[derive(Debug)]
pub struct Joiner {
    pub carrier: Carrier,
    pub form: Form,
    pub interest: Interest,
    /// The stream ends at this moment at the latest.
    pub deadline: Moment,
    /// The part of the response head that the peer did not take yet.
    pub unsent: Bytes,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer is gone.
    Left,
    /// Its token expires, or its connection lived long enough.
    Deadline,
    /// It took nothing for `dispatch_timeout`.
    Stalled,
    /// More waited for it than `subscriber_buffer`, or it was furthest behind when the worker had
    /// no more room.
    Slow,
    /// Retention overtook its replay.
    Overtaken,
    /// The history that it replays cannot be read.
    Unreadable,
}

impl Reason {
    pub const ALL: [Reason; 6] = [
        Reason::Left,
        Reason::Deadline,
        Reason::Stalled,
        Reason::Slow,
        Reason::Overtaken,
        Reason::Unreadable,
    ];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Left => "left",
            Reason::Deadline => "deadline",
            Reason::Stalled => "stalled",
            Reason::Slow => "slow",
            Reason::Overtaken => "overtaken",
            Reason::Unreadable => "unreadable",
        }
    }
}

/// What happened since the start, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Subscribers that came.
    pub joined: u64,
    /// Of these, such as began with history.
    pub replays: u64,
    /// Updates that were given to subscribers, or queued for them.
    pub deliveries: u64,
    /// Streams that ended, by the reasons of [`Reason::ALL`].
    pub ended: [u64; Reason::ALL.len()],
}

/// A stream that the worker has to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub carrier: Carrier,
    pub form: Form,
    /// The stream stands between two events: it can be ended properly.
    pub is_whole: bool,
    pub reason: Reason,
}

/// The state machine of one worker.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    subscribers: Subscribers,
    index: Index,
    grants: Grants,
    recent: Recent,
    walks: Walks,
    wheel: Wheel,
    replays: Replays,
    outboxes: Slab<Outbox>,
    /// Bytes in all outboxes.
    waiting_bytes: usize,
    /// Subscribers whose outbox may be flushed.
    flushes: VecDeque<Key>,
    heartbeats: VecDeque<Key>,
    heartbeats_were_last: bool,
    /// Subscribers for whom too much waits. They are cut between batches, since they may be in one.
    overfull: Vec<Key>,
    ended: VecDeque<Ended>,
    counts: Counts,
}

impl Hub {
    /// `start`: the position after which the worker is handed updates.
    pub fn new(mut limits: Limits, hasher: TopicHasher, start: Position, now: Moment) -> Self {
        // Timers are no finer than this: shorter ones would fire again in the turn they fired in.
        limits.heartbeat = limits.heartbeat.map(|heartbeat| heartbeat.max(SHORTEST_TIMER));
        limits.dispatch_timeout = limits.dispatch_timeout.max(SHORTEST_TIMER);
        let window = Window { updates: limits.recent_updates, bytes: limits.recent_bytes };
        Hub {
            limits,
            subscribers: Subscribers::new(),
            index: Index::new(hasher.clone()),
            grants: Grants::new(hasher),
            recent: Recent::new(start, window),
            walks: Walks::new(),
            wheel: Wheel::new(now),
            replays: Replays::new(),
            outboxes: Slab::new(),
            waiting_bytes: 0,
            flushes: VecDeque::new(),
            heartbeats: VecDeque::new(),
            heartbeats_were_last: false,
            overfull: Vec::new(),
            ended: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// How many subscribers there are.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes that wait for all subscribers.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Subscribers that are fed from history.
    pub fn replaying(&self) -> usize {
        self.replays.table.len()
    }

    /// The position of the last update that was taken.
    pub fn taken(&self) -> Position {
        self.recent.last()
    }

    /// How the worker finds the connection of a subscriber that is still there.
    pub fn carrier(&self, key: Key) -> Option<Carrier> {
        self.subscribers.get(key).map(|subscriber| subscriber.carrier)
    }

    /// The position up to which everything is settled for every subscriber in the index.
    pub fn finished(&self) -> Position {
        self.recent.finished()
    }

    /// The id of the last update that was taken, or `earliest` if there was none yet; `None` if it
    /// is not kept.
    pub fn last_event_id(&self) -> Option<&str> {
        match self.recent.last() {
            Position::START => Some(EARLIEST),
            _ => self.recent.last_update().map(|update| update.id()),
        }
    }

    /// Adds a subscriber that receives everything after `position`, which must be the committed
    /// position at this moment.
    pub fn join(&mut self, joiner: Joiner, position: Position, now: Moment) -> Key {
        debug_assert!(position >= self.recent.last(), "the committed position is never behind");
        let set = self.index.enter(&joiner.interest.matchers);
        let key = self.insert(&joiner, Stage::Live(set), position, now);
        self.index.add_member(set, key);
        self.subscribers[key.index()].grants = self.grants.intern(&joiner.interest.grants);
        self.queue_head(key, joiner.unsent, now);
        key
    }

    /// Adds a subscriber that receives everything after `position`, first from history: `chunk`
    /// is the first piece of it, already looked through up to `through`.
    pub fn join_replaying(
        &mut self,
        joiner: Joiner,
        chunk: Events,
        through: Position,
        now: Moment,
    ) -> Key {
        let Joiner { interest, .. } = &joiner;
        let replay = Replay { interest: interest.clone(), through, reading: true };
        let replay = self.replays.table.insert(replay).index();
        let key = self.insert(&joiner, Stage::Replaying(replay), through, now);
        self.counts.replays += 1;
        self.queue_head(key, joiner.unsent, now);
        self.chunk(key, chunk, through);
        key
    }

    fn insert(&mut self, joiner: &Joiner, stage: Stage, position: Position, now: Moment) -> Key {
        let Joiner { carrier, form, deadline, .. } = *joiner;
        let key =
            self.subscribers.insert(Subscriber::new(carrier, form, stage, position, deadline, now));
        self.arm(key.index(), now);
        self.counts.joined += 1;
        key
    }

    /// Takes the next update of the order.
    pub fn take(&mut self, update: Arc<Update>) {
        let mut rosters: SmallVec<[RosterId; 4]> = SmallVec::new();
        self.index.matching(&update.topics, &mut rosters);
        let walks = u32::try_from(rosters.len()).expect("an update has few topics");
        let sequence = self.recent.push(update, walks);
        for id in rosters {
            let roster = self.index.roster_mut(id);
            if roster.walk == NONE {
                roster.walk = self.walks.start(id, sequence);
            } else {
                self.walks.get_mut(roster.walk).pending.push(sequence);
            }
        }
    }

    /// The peer is gone.
    pub fn leave(&mut self, key: Key) {
        self.end(key, Reason::Left);
    }

    /// The next connection that is to be closed.
    pub fn next_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn end(&mut self, key: Key, reason: Reason) {
        if !self.subscribers.contains(key) {
            return;
        }
        self.wheel.disarm(&mut self.subscribers, key.index());
        let subscriber = self.subscribers.remove(key.index());
        let Subscriber { carrier, form, stage, grants, outbox, .. } = subscriber;
        match stage {
            Stage::Live(set) => {
                let Hub { index, subscribers, .. } = self;
                index.leave(set, |key| subscribers.contains(key));
            }
            Stage::Replaying(replay) => drop(self.replays.table.remove(replay)),
        }
        self.grants.release(grants);
        if outbox != NONE {
            self.waiting_bytes -= self.outboxes.remove(outbox).len();
        }
        self.counts.ended[reason as usize] += 1;
        self.ended.push_back(Ended { carrier, form, is_whole: outbox == NONE, reason });
    }
}
