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

mod batch;
mod grants;
mod index;
mod moment;
mod outbox;
mod recent;
mod replay;
mod slab;
mod subscriber;
mod walk;
mod wheel;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use smallvec::SmallVec;

use self::{
    batch::Payload,
    grants::Grants,
    index::{Index, RosterId, RosterSet},
    outbox::Outbox,
    recent::Recent,
    replay::{Replay, Replays},
    slab::{NONE, Slab},
    subscriber::{Stage, Subscriber, Subscribers},
    walk::Walks,
    wheel::{TICK, Wheel},
};
pub use self::{
    batch::{Batch, Outcome, Send},
    moment::Moment,
    replay::WantedRead,
    slab::Key,
};
use crate::protocol::{
    frame::{Form, HEARTBEAT, HEARTBEAT_CHUNK},
    matcher::Interest,
    topic::TopicHasher,
    update::{Position, Update},
};

/// How the worker finds the connection of a subscriber: opaque to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Carrier(pub i32);

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
    /// Members that a walk visits in one turn, at most.
    pub slice: usize,
    /// Frames in one vectored write, at most.
    pub frames: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            heartbeat: Some(Duration::from_secs(40)),
            dispatch_timeout: Duration::from_secs(5),
            subscriber_buffer: 1 << 20,
            outbox_budget: 128 << 20,
            batch: 256,
            slice: 64,
            frames: 256,
        }
    }
}

/// Timers that are looked at in one turn, at most.
const TIMERS_MAX: usize = 1024;

/// Bytes of recent updates that a replaying subscriber is given at a time, about.
const RECENT_PIECE: usize = 64 * 1024;

/// Slices of walks in one batch, at most: members that need nothing cost a look each.
const SLICES_MAX: usize = 64;

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
    /// Subscribers for whom too much waits. They are cut between batches, since they may be in one.
    overfull: Vec<Key>,
    ended: VecDeque<Ended>,
}

/// The run of frames that the last visit of a slice gathered: the next subscriber mostly gets the
/// same.
struct Run {
    after: Position,
    grants: u32,
    has_private: bool,
    payload: Payload,
}

impl Hub {
    /// `start`: the position after which the worker is handed updates.
    pub fn new(limits: Limits, hasher: TopicHasher, start: Position, now: Moment) -> Self {
        Hub {
            limits,
            subscribers: Subscribers::new(),
            index: Index::new(hasher.clone()),
            grants: Grants::new(hasher),
            recent: Recent::new(start),
            walks: Walks::new(),
            wheel: Wheel::new(now),
            replays: Replays::new(),
            outboxes: Slab::new(),
            waiting_bytes: 0,
            flushes: VecDeque::new(),
            heartbeats: VecDeque::new(),
            overfull: Vec::new(),
            ended: VecDeque::new(),
        }
    }

    /// How many subscribers there are.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position up to which everything is settled for every subscriber in the index.
    pub fn finished(&self) -> Position {
        self.recent.finished()
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
        chunk: Vec<Arc<Update>>,
        through: Position,
        now: Moment,
    ) -> Key {
        let Joiner { interest, .. } = &joiner;
        let replay = Replay { interest: interest.clone(), through, reading: true };
        let replay = self.replays.table.insert(replay).index();
        let key = self.insert(&joiner, Stage::Replaying(replay), through, now);
        self.queue_head(key, joiner.unsent, now);
        self.chunk(key, chunk, through, now);
        key
    }

    fn insert(&mut self, joiner: &Joiner, stage: Stage, position: Position, now: Moment) -> Key {
        let Joiner { carrier, form, deadline, .. } = *joiner;
        let key =
            self.subscribers.insert(Subscriber::new(carrier, form, stage, position, deadline, now));
        self.arm(key.index(), now);
        key
    }

    /// A piece of history for a replaying subscriber, looked through up to `through`.
    pub fn chunk(&mut self, key: Key, chunk: Vec<Arc<Update>>, through: Position, now: Moment) {
        let Some(Stage::Replaying(replay)) = self.subscribers.get(key).map(|s| s.stage) else {
            return;
        };
        let replay = &mut self.replays.table[replay];
        replay.reading = false;
        replay.through = through;
        if chunk.is_empty() {
            self.after_flush(key, now);
        } else {
            self.queue_updates(key, chunk.into_iter(), now);
        }
    }

    /// Retention overtook a replaying subscriber. It is cut rather than moved forward: its headers
    /// promised more.
    pub fn overtaken(&mut self, key: Key) {
        self.end(key, Reason::Overtaken);
    }

    /// The next piece of history that somebody needs; to be answered with [`Hub::chunk`] or
    /// [`Hub::overtaken`].
    pub fn next_read(&mut self) -> Option<WantedRead> {
        // Half of the room for what waits is kept for live subscribers.
        if self.waiting_bytes > self.limits.outbox_budget / 2 {
            return None;
        }
        while let Some(key) = self.replays.wanted.pop_front() {
            if let Some(Stage::Replaying(replay)) = self.subscribers.get(key).map(|s| s.stage) {
                let Replay { interest, through, .. } = &self.replays.table[replay];
                return Some(WantedRead { key, interest: interest.clone(), after: *through });
            }
        }
        None
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
                self.walks.get_mut(roster.walk).pending.push_back(sequence);
            }
        }
    }

    /// Whether [`Hub::next_batch`] has something to look at.
    pub fn has_work(&self) -> bool {
        !(self.walks.is_empty()
            && self.flushes.is_empty()
            && self.heartbeats.is_empty()
            && self.overfull.is_empty())
            || self.waiting_bytes > self.limits.outbox_budget
    }

    /// Fills `batch` with what is to be sent now. Every send must be made, and reported with
    /// [`Hub::sent`], before anything else is asked of the hub.
    pub fn next_batch(&mut self, now: Moment, batch: &mut Batch) {
        batch.clear();
        self.cut();
        self.batch_heartbeats(batch);
        if !batch.is_empty() {
            return;
        }
        for _ in 0..SLICES_MAX {
            let flushed = self.batch_flush(now, batch);
            let walked = self.batch_slice(now, batch);
            if batch.sends.len() >= self.limits.batch || !(flushed || walked) {
                return;
            }
        }
    }

    /// The bytes of a send, in order.
    pub fn slices<'a>(
        &'a self,
        batch: &'a Batch,
        send: &Send,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let form = send.form;
        let (updates, outbox, heartbeat) = match send.payload {
            Payload::Updates { start, len } => {
                (Some(&batch.frames[start as usize..][..len as usize]), None, None)
            }
            Payload::Outbox => {
                let outbox = self.subscribers[send.key.index()].outbox;
                (None, Some(self.outboxes[outbox].slices(self.limits.frames)), None)
            }
            Payload::Heartbeat => (None, None, Some(heartbeat_bytes(form))),
        };
        let updates = updates.into_iter().flatten();
        updates
            .map(move |&sequence| self.recent.get(sequence).frame.bytes(form))
            .chain(outbox.into_iter().flatten())
            .chain(heartbeat)
    }

    /// Reports what became of a send.
    pub fn sent(&mut self, batch: &Batch, send: &Send, outcome: Outcome, now: Moment) {
        let index = send.key.index();
        match outcome {
            Outcome::Gone => return self.end(send.key, Reason::Left),
            Outcome::Short(0) => {}
            Outcome::Short(_) | Outcome::Whole => self.subscribers[index].written_at = now,
        }
        match (send.payload, outcome) {
            (Payload::Outbox, outcome) => self.flushed(send.key, outcome, now),
            (_, Outcome::Whole) => {}
            (Payload::Updates { start, len }, Outcome::Short(sent)) => {
                let mut outbox = Outbox::new(send.form, now);
                for &sequence in &batch.frames[start as usize..][..len as usize] {
                    outbox.push_update(Arc::clone(self.recent.get(sequence)));
                }
                outbox.advance(sent);
                self.block(send.key, outbox, now);
            }
            (Payload::Heartbeat, Outcome::Short(sent)) => {
                // One that was not begun is not missed: something else waits in the kernel.
                if sent > 0 {
                    let mut outbox = Outbox::new(send.form, now);
                    outbox.push_bytes(Bytes::from_static(&heartbeat_bytes(send.form)[sent..]));
                    self.block(send.key, outbox, now);
                }
            }
            (_, Outcome::Gone) => unreachable!("handled above"),
        }
    }

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

    /// The peer is gone.
    pub fn leave(&mut self, key: Key) {
        self.end(key, Reason::Left);
    }

    /// Looks at timers that are due: deadlines, stalled peers, heartbeats. Returns whether there
    /// are more of them.
    pub fn expire(&mut self, now: Moment) -> bool {
        for _ in 0..TIMERS_MAX {
            let Some(index) = self.wheel.pop_due(&mut self.subscribers, now) else { return false };
            self.timer(index, now);
        }
        true
    }

    /// When [`Hub::expire`] is to be called next.
    pub fn next_timer(&self) -> Option<Moment> {
        self.wheel.next_due()
    }

    /// Ends every stream at a moment of its own within `over` from now; `random` gives numbers
    /// from 0 up to 1.
    pub fn drain(&mut self, over: Duration, now: Moment, mut random: impl FnMut() -> f64) {
        let keys: Vec<Key> = self.subscribers.keys().collect();
        for key in keys {
            let subscriber = &mut self.subscribers[key.index()];
            subscriber.deadline = subscriber.deadline.min(now + over.mul_f64(random()));
            self.arm(key.index(), now);
        }
    }

    /// The next connection that is to be closed.
    pub fn next_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn timer(&mut self, index: u32, now: Moment) {
        let key = self.subscribers.key(index);
        let subscriber = &mut self.subscribers[index];
        let soon = Moment(now.0 + TICK);
        if subscriber.deadline <= soon {
            return self.end(key, Reason::Deadline);
        }
        if subscriber.outbox != NONE {
            let outbox = &self.outboxes[subscriber.outbox];
            if outbox.blocked && outbox.progress_at + self.limits.dispatch_timeout <= soon {
                return self.end(key, Reason::Stalled);
            }
        } else if let Some(heartbeat) = self.limits.heartbeat
            && subscriber.written_at + heartbeat <= soon
        {
            subscriber.written_at = now;
            self.heartbeats.push_back(key);
        }
        self.arm(index, now);
    }

    /// Sets the subscriber's timer to the first moment at which it may need attention.
    fn arm(&mut self, index: u32, now: Moment) {
        let subscriber = &self.subscribers[index];
        // What is overdue was looked at just now.
        let next = |since: Moment, period| {
            let at = since + period;
            if at > now { at } else { now + period }
        };
        let mut at = subscriber.deadline;
        if subscriber.outbox != NONE {
            let since = self.outboxes[subscriber.outbox].progress_at;
            at = at.min(next(since, self.limits.dispatch_timeout));
        } else if let Some(heartbeat) = self.limits.heartbeat {
            at = at.min(next(subscriber.written_at, heartbeat));
        }
        self.wheel.arm(&mut self.subscribers, index, at, now);
    }

    fn batch_heartbeats(&mut self, batch: &mut Batch) {
        while batch.sends.len() < self.limits.batch
            && let Some(key) = self.heartbeats.pop_front()
        {
            if let Some(subscriber) = self.subscribers.get(key)
                && subscriber.outbox == NONE
            {
                let Subscriber { carrier, form, .. } = *subscriber;
                batch.sends.push(Send { key, carrier, form, payload: Payload::Heartbeat });
            }
        }
    }

    /// Adds one outbox to the batch.
    fn batch_flush(&mut self, now: Moment, batch: &mut Batch) -> bool {
        let Some(key) = self.flushes.pop_front() else { return false };
        let Some(subscriber) = self.subscribers.get(key) else { return true };
        let Subscriber { carrier, form, outbox, deadline, .. } = *subscriber;
        if outbox == NONE {
            return true;
        }
        if deadline <= now {
            self.end(key, Reason::Deadline);
            return true;
        }
        self.outboxes[outbox].queued = false;
        batch.sends.push(Send { key, carrier, form, payload: Payload::Outbox });
        true
    }

    /// Gives one walk its turn.
    fn batch_slice(&mut self, now: Moment, batch: &mut Batch) -> bool {
        let Some(id) = self.walks.take_turn() else { return false };
        let walk = self.walks.get(id);
        let (roster, start) = (walk.roster, walk.cursor);
        let room = self.limits.batch.saturating_sub(batch.sends.len());
        let end = self.index.roster(roster).members.len().min(start + self.limits.slice.min(room));
        let mut run = None;
        for cursor in start..end {
            let key = self.index.roster(roster).members[cursor];
            self.visit(key, id, now, batch, &mut run);
        }
        self.walks.get_mut(id).cursor = end;
        if end < self.index.roster(roster).members.len() {
            self.walks.rotate(id);
        } else {
            self.end_lap(id, roster);
        }
        true
    }

    fn end_lap(&mut self, id: u32, roster: RosterId) {
        let Hub { walks, recent, index, subscribers, .. } = self;
        let again = walks.end_lap(id, |sequence| recent.walk_ended(sequence));
        if again {
            walks.rotate(id);
        } else {
            walks.end(id);
            index.roster_mut(roster).walk = NONE;
        }
        // Between two laps nothing points into the list of members.
        index.tidy(roster, |key| subscribers.contains(key));
    }

    /// Settles everything that was taken for one subscriber.
    fn visit(
        &mut self,
        key: Key,
        walk: u32,
        now: Moment,
        batch: &mut Batch,
        run: &mut Option<Run>,
    ) {
        let Some(subscriber) = self.subscribers.get(key) else { return };
        let last = self.recent.last();
        if subscriber.position >= last {
            return;
        }
        if subscriber.deadline <= now {
            return self.end(key, Reason::Deadline);
        }
        let Subscriber { position, stage, carrier, grants, outbox, form, .. } = *subscriber;
        let Stage::Live(set) = stage else { unreachable!("members of rosters are live") };
        let payload = match (run.as_ref(), set) {
            (Some(run), RosterSet::One(_))
                if run.after == position && (!run.has_private || run.grants == grants) =>
            {
                run.payload
            }
            _ => {
                let gathered = self.gather(set, walk, position, grants, batch);
                let payload = gathered.payload;
                *run = matches!(set, RosterSet::One(_)).then_some(gathered);
                payload
            }
        };
        self.subscribers[key.index()].position = last;
        let Payload::Updates { start, len } = payload else { unreachable!("gathered updates") };
        if len == 0 {
            return;
        }
        if outbox == NONE && len as usize <= self.limits.frames {
            batch.sends.push(Send { key, carrier, form, payload });
        } else {
            let frames = &batch.frames[start as usize..][..len as usize];
            let updates: Vec<_> =
                frames.iter().map(|&sequence| Arc::clone(self.recent.get(sequence))).collect();
            self.queue_updates(key, updates.into_iter(), now);
        }
    }

    /// Collects, in order, the updates after `position` that any of the rosters delivers and that
    /// `grants` allow to be read.
    fn gather(
        &mut self,
        set: RosterSet,
        walk: u32,
        position: Position,
        grants: u32,
        batch: &mut Batch,
    ) -> Run {
        let Hub { walks, recent, index, .. } = self;
        let frames = &mut batch.frames;
        let start = frames.len();
        let mut add = |walk: u32| {
            let pending = &walks.get(walk).pending;
            let new =
                pending.partition_point(|&sequence| recent.get(sequence).position <= position);
            frames.extend(pending.range(new..));
        };
        match set {
            RosterSet::One(_) => add(walk),
            RosterSet::Many(_) => {
                for &roster in index.rosters_of(&set) {
                    let walk = index.roster(roster).walk;
                    if walk != NONE {
                        add(walk);
                    }
                }
                // An update that several matchers select is gathered once.
                frames[start..].sort_unstable();
                let mut kept = start;
                for i in start..frames.len() {
                    if i == start || frames[i] != frames[kept - 1] {
                        frames[kept] = frames[i];
                        kept += 1;
                    }
                }
                frames.truncate(kept);
            }
        }
        let has_private = self.remove_unreadable(grants, start, batch);
        let len = batch.frames.len() - start;
        let index = |i: usize| u32::try_from(i).expect("a batch has far fewer frames");
        let payload = Payload::Updates { start: index(start), len: index(len) };
        Run { after: position, grants, has_private, payload }
    }

    /// Takes out the private updates that `grants` do not cover. Returns whether any was private.
    fn remove_unreadable(&mut self, grants: u32, start: usize, batch: &mut Batch) -> bool {
        let frames = &mut batch.frames;
        if frames[start..].iter().all(|&sequence| !self.recent.get(sequence).private) {
            return false;
        }
        let mut kept = start;
        for i in start..frames.len() {
            let update = self.recent.get(frames[i]);
            if !update.private || self.grants.may_read(grants, frames[i], update) {
                frames[kept] = frames[i];
                kept += 1;
            }
        }
        frames.truncate(kept);
        true
    }

    /// Puts the rest of a response head in front of everything else.
    fn queue_head(&mut self, key: Key, unsent: Bytes, now: Moment) {
        if !unsent.is_empty() {
            let mut outbox = Outbox::new(self.subscribers[key.index()].form, now);
            outbox.push_bytes(unsent);
            self.block(key, outbox, now);
        }
    }

    /// Gives a subscriber without outbox one whose first piece the peer did not take.
    fn block(&mut self, key: Key, mut outbox: Outbox, now: Moment) {
        debug_assert_eq!(self.subscribers[key.index()].outbox, NONE);
        outbox.blocked = true;
        self.waiting_bytes += outbox.len();
        self.subscribers[key.index()].outbox = self.outboxes.insert(outbox).index();
        self.arm(key.index(), now);
        self.bound_outbox(key);
    }

    /// Puts updates behind what waits for the subscriber.
    fn queue_updates(&mut self, key: Key, updates: impl Iterator<Item = Arc<Update>>, now: Moment) {
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
    fn bound_outbox(&mut self, key: Key) {
        let subscriber = &self.subscribers[key.index()];
        // Replaying subscribers are fed no more than they take.
        let is_live = matches!(subscriber.stage, Stage::Live(_));
        if is_live && self.outboxes[subscriber.outbox].len() > self.limits.subscriber_buffer {
            self.overfull.push(key);
        }
    }

    /// Cuts subscribers for whom too much waits, and if too much waits in all, those furthest
    /// behind.
    fn cut(&mut self) {
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
    fn flushed(&mut self, key: Key, outcome: Outcome, now: Moment) {
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
            outbox.queued = true;
            self.flushes.push_back(key);
        } else {
            outbox.blocked = true;
            self.arm(key.index(), now);
        }
    }

    /// Nothing waits for the subscriber any more: a replaying one becomes live, or needs the next
    /// piece of history.
    fn after_flush(&mut self, key: Key, now: Moment) {
        let subscriber = &self.subscribers[key.index()];
        let Stage::Replaying(id) = subscriber.stage else { return };
        let replay = &mut self.replays.table[id];
        if replay.reading || subscriber.outbox != NONE {
            return;
        }
        let Some(recent) = self.recent.after(replay.through) else {
            replay.reading = true;
            self.replays.wanted.push_back(key);
            return;
        };
        // History has met what this worker took: the rest comes from here, a piece at a time.
        let (mut missed, mut bytes, mut met) = (Vec::new(), 0, true);
        for update in recent {
            if bytes >= RECENT_PIECE {
                met = false;
                break;
            }
            replay.through = update.position;
            if replay.interest.selects(update) {
                bytes += update.frame.len();
                missed.push(Arc::clone(update));
            }
        }
        if met {
            self.become_live(key, id);
        }
        if !missed.is_empty() {
            self.queue_updates(key, missed.into_iter(), now);
        }
    }

    /// Links a subscriber into the index whose replay has reached what the worker took last; it
    /// may even lie ahead of that.
    fn become_live(&mut self, key: Key, replay: u32) {
        let Replay { interest, through, .. } = self.replays.table.remove(replay);
        let set = self.index.enter(&interest.matchers);
        self.index.add_member(set, key);
        let subscriber = &mut self.subscribers[key.index()];
        subscriber.stage = Stage::Live(set);
        subscriber.position = through.max(self.recent.last());
        subscriber.grants = self.grants.intern(&interest.grants);
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
        self.ended.push_back(Ended { carrier, form, is_whole: outbox == NONE, reason });
    }
}

fn heartbeat_bytes(form: Form) -> &'static [u8] {
    match form {
        Form::Chunked => HEARTBEAT_CHUNK,
        Form::Bare => HEARTBEAT,
    }
}
