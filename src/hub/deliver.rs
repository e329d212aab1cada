//! Delivery: from what was taken to batches of sends, and what became of them.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Batch, Hub, Key, Moment, Outcome, Reason, Send,
    batch::Payload,
    index::{RosterId, RosterSet},
    outbox::Outbox,
    slab::NONE,
    subscriber::{Stage, Subscriber},
};
use crate::protocol::{
    frame::{Form, HEARTBEAT, HEARTBEAT_CHUNK},
    update::Position,
};

/// Slices of walks in one batch, at most: members that need nothing cost a look each.
const SLICES_MAX: usize = 64;

/// What became of a walk's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    /// No walk is on its way.
    None,
    /// Who was visited was given everything.
    Whole,
    /// Somebody was given a part.
    LeftSome,
}

/// The run of frames that the last visit of a slice gathered: the next subscriber mostly gets the
/// same.
struct Run {
    /// Bytes of what one write holds of it.
    bytes: usize,
    after: Position,
    grants: u32,
    has_private: bool,
    payload: Payload,
}

impl Hub {
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
        // Heartbeats and everything else take turns, since they must not meet in a batch: who gets
        // both would be in it twice. A million heartbeats that are due together hold up nobody.
        self.heartbeats_were_last = !self.heartbeats_were_last && !self.heartbeats.is_empty();
        if self.heartbeats_were_last {
            return self.batch_heartbeats(now, batch);
        }
        for _ in 0..SLICES_MAX {
            let flushed = self.batch_flush(now, batch);
            let slice = self.batch_slice(now, batch);
            let nothing = !flushed && slice == Slice::None;
            // Those who were left behind need another visit: not in this batch.
            if self.is_full(batch) || nothing || slice == Slice::LeftSome {
                return;
            }
        }
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.sends.len() >= self.limits.batch || batch.bytes >= self.limits.batch_bytes
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

    fn batch_heartbeats(&mut self, now: Moment, batch: &mut Batch) {
        while batch.sends.len() < self.limits.batch
            && let Some(key) = self.heartbeats.pop_front()
        {
            if !self.subscribers.contains(key) {
                continue;
            }
            let subscriber = &mut self.subscribers[key.index()];
            subscriber.heartbeat_due = false;
            let Subscriber { carrier, form, outbox, deadline, .. } = *subscriber;
            if deadline <= now {
                self.end(key, Reason::Deadline);
            } else if outbox == NONE {
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
        batch.bytes += self.outboxes[outbox].len();
        batch.sends.push(Send { key, carrier, form, payload: Payload::Outbox });
        true
    }

    /// Gives one walk its turn.
    fn batch_slice(&mut self, now: Moment, batch: &mut Batch) -> Slice {
        let Some(id) = self.walks.take_turn() else { return Slice::None };
        let walk = self.walks.get(id);
        let (roster, start) = (walk.roster, walk.cursor);
        let room = self.limits.batch.saturating_sub(batch.sends.len());
        let most = self.index.roster(roster).members.len().min(start + self.limits.slice.min(room));
        let (mut run, mut slice, mut end) = (None, Slice::Whole, start);
        while end < most {
            let key = self.index.roster(roster).members[end];
            if !self.visit(key, id, now, batch, &mut run) {
                slice = Slice::LeftSome;
            }
            end += 1;
            // Whatever else fills batches, every walk moves on.
            if batch.bytes >= self.limits.batch_bytes {
                break;
            }
        }
        self.walks.get_mut(id).cursor = end;
        if end < self.index.roster(roster).members.len() {
            self.walks.rotate(id);
        } else {
            self.end_lap(id, roster);
        }
        slice
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

    /// Settles what was taken for one subscriber: everything, or as much as one write holds; then
    /// it returns false.
    fn visit(
        &mut self,
        key: Key,
        walk: u32,
        now: Moment,
        batch: &mut Batch,
        run: &mut Option<Run>,
    ) -> bool {
        let Some(subscriber) = self.subscribers.get(key) else { return true };
        let last = self.recent.last();
        if subscriber.position >= last {
            return true;
        }
        if subscriber.deadline <= now {
            self.end(key, Reason::Deadline);
            return true;
        }
        let Subscriber { position, stage, carrier, grants, outbox, form, .. } = *subscriber;
        let Stage::Live(set) = stage else { unreachable!("members of rosters are live") };
        let (payload, bytes) = match (run.as_ref(), set) {
            (Some(run), RosterSet::One(_))
                if run.after == position && (!run.has_private || run.grants == grants) =>
            {
                (run.payload, run.bytes)
            }
            _ => {
                let gathered = self.gather(set, walk, position, grants, batch);
                let what = (gathered.payload, gathered.bytes);
                *run = matches!(set, RosterSet::One(_)).then_some(gathered);
                what
            }
        };
        let Payload::Updates { start, len } = payload else { unreachable!("gathered updates") };
        let frames = &batch.frames[start as usize..][..len as usize];
        if outbox != NONE {
            self.subscribers[key.index()].position = last;
            if len == 0 {
                return true;
            }
            self.counts.deliveries += u64::from(len);
            let updates: Vec<_> =
                frames.iter().map(|&sequence| Arc::clone(self.recent.get(sequence))).collect();
            self.queue_updates(key, updates.into_iter());
            return true;
        }
        let (settled, len, is_whole) = match frames.get(self.limits.frames) {
            None => (last, len, true),
            Some(&left) => {
                self.walks.get_mut(walk).leave(left);
                let given = &frames[..self.limits.frames];
                let settled = self.recent.get(given[given.len() - 1]).position;
                (settled, given.len() as u32, false)
            }
        };
        self.subscribers[key.index()].position = settled;
        self.counts.deliveries += u64::from(len);
        if len > 0 {
            let payload = Payload::Updates { start, len };
            batch.bytes += bytes;
            batch.sends.push(Send { key, carrier, form, payload });
        }
        is_whole
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
            frames.extend_from_slice(&pending[new..]);
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
        let written = batch.frames[start..].iter().take(self.limits.frames);
        let bytes = written.map(|&sequence| self.recent.get(sequence).frame.len()).sum();
        Run { bytes, after: position, grants, has_private, payload }
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
}

fn heartbeat_bytes(form: Form) -> &'static [u8] {
    match form {
        Form::Chunked => HEARTBEAT_CHUNK,
        Form::Bare => HEARTBEAT,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::hub::{Limits, fixture::Fixture};

    fn slices_of(slice: usize) -> Limits {
        Limits { slice, batch: slice, ..Limits::default() }
    }

    #[test]
    fn what_waits_for_a_subscriber_is_one_send() {
        let mut f = Fixture::new(Limits::default());
        f.join(1, &["a"], &[]);
        f.join(2, &["a", "b"], &[]);
        for topic in ["a", "b", "a", "c"] {
            f.take(topic);
        }
        assert_eq!(f.batch(), [1, 2]);
        assert_eq!((f.got(1), f.got(2)), (vec![1, 3], vec![1, 2, 3]));
        assert!(!f.hub.has_work());
        assert_eq!(f.hub.finished().0, 4);
    }

    #[test]
    fn slices_of_walks_interleave_and_every_order_is_kept() {
        for slice in 1..=4 {
            let mut f = Fixture::new(slices_of(slice));
            for carrier in 0..10 {
                f.join(carrier, &["a"], &[]);
            }
            f.join(10, &["b"], &[]);
            f.join(11, &["a", "b"], &[]);
            f.join(12, &["*"], &[]);
            f.take("a");
            f.batch();
            // While the walk of `a` is on its way, a small topic does not wait for it.
            f.take("b");
            f.take("a");
            let mut batches = 0;
            while f.got(10).is_empty() {
                f.batch();
                batches += 1;
            }
            assert!(batches <= 3, "slices of {slice}: {batches}");
            f.run();
            for carrier in 0..10 {
                assert_eq!(f.got(carrier), [1, 3], "slices of {slice}, {carrier}");
            }
            assert_eq!((f.got(10), f.got(11), f.got(12)), (vec![2], vec![1, 2, 3], vec![1, 2, 3]));
            assert_eq!(f.hub.finished().0, 3);
        }
    }

    #[test]
    fn an_update_of_several_topics_is_sent_once() {
        let mut f = Fixture::new(Limits::default());
        f.join(1, &["a", "b", "*"], &[]);
        f.join(2, &["b"], &[]);
        let update = f.update(&["a", "b", "a"], false);
        f.hub.take(update);
        f.run();
        assert_eq!((f.got(1), f.got(2)), (vec![1], vec![1]));
    }

    #[test]
    fn private_updates_need_a_grant_that_covers_one_of_the_topics() {
        let mut f = Fixture::new(Limits::default());
        // All of them share runs of frames where they may.
        let grants: [&[&str]; 5] = [&[], &["a"], &["alternate"], &["other"], &["*"]];
        for (carrier, grants) in (0..).zip(grants) {
            f.join(carrier, &["a"], grants);
        }
        for private in [false, true, false] {
            let update = f.update(&["a", "alternate"], private);
            f.hub.take(update);
        }
        f.run();
        let all = vec![1, 2, 3];
        let public = vec![1, 3];
        let expected = [public.clone(), all.clone(), all.clone(), public, all];
        for (carrier, expected) in (0..).zip(expected) {
            assert_eq!(f.got(carrier), expected, "{carrier}");
        }
    }

    #[test]
    fn more_than_one_write_holds_comes_in_several_laps_and_cuts_nobody() {
        let limits =
            Limits { frames: 3, subscriber_buffer: 40, outbox_budget: 100, ..Limits::default() };
        let mut f = Fixture::new(limits);
        for carrier in 0..5 {
            f.join(carrier, &["a"], &[]);
        }
        f.join(5, &["a", "b"], &[]);
        let topics = ["a", "a", "b", "a", "a", "a", "b", "a", "a", "a"];
        topics.iter().for_each(|topic| f.take(topic));
        let sent = f.batch();
        assert_eq!(sent, [0, 1, 2, 3, 4, 5], "nobody is in a batch twice");
        assert_eq!(f.got(0), [1, 2, 4]);
        assert!(f.hub.finished().0 < 5, "what was left for the next lap is not finished");
        f.take("a");
        f.run();
        for carrier in 0..5 {
            assert_eq!(f.got(carrier), [1, 2, 4, 5, 6, 8, 9, 10, 11]);
        }
        assert_eq!(f.got(5), (1..=11).collect::<Vec<_>>());
        assert_eq!((f.ended.len(), f.hub.finished().0), (0, 11));
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_nobody_is_starved_by_those_who_fill_it() {
        let mut f = Fixture::new(Limits { batch_bytes: 1, ..Limits::default() });
        let keys: Vec<_> = (0..3).map(|carrier| f.join(carrier, &["a"], &[])).collect();
        f.room.insert(2, 0);
        f.take("a");
        assert_eq!([f.batch(), f.batch(), f.batch()], [[0], [1], [2]]);
        // What waits for one, and what is new for the others, are both in the next batch.
        f.room.clear();
        f.hub.writable(keys[2]);
        f.take("a");
        assert_eq!(f.batch(), [2, 0]);
        f.run();
        assert_eq!([f.got(0), f.got(1), f.got(2)], [[1, 2], [1, 2], [1, 2]]);
    }

    #[test]
    fn leavers_and_joiners_in_the_middle_of_a_walk_harm_nobody() {
        for slice in 1..=5 {
            let mut f = Fixture::new(slices_of(slice));
            let keys: Vec<_> = (0..200).map(|carrier| f.join(carrier, &["a"], &[])).collect();
            f.take("a");
            f.batch();
            // Enough leave for a compaction, those that were visited among them.
            for &key in &keys[..150] {
                f.hub.leave(key);
            }
            for carrier in 200..210 {
                f.join(carrier, &["a"], &[]);
            }
            f.take("a");
            f.run();
            for carrier in 150..200 {
                assert_eq!(f.got(carrier), [1, 2], "slices of {slice}");
            }
            for carrier in 200..210 {
                assert_eq!(f.got(carrier), [2], "joined after the first");
            }
            assert_eq!(f.hub.census().members, 60, "compacted after the walk");
        }
    }

    #[test]
    fn a_deadline_in_the_middle_of_a_walk_ends_the_stream_instead() {
        use crate::hub::{Moment, Reason};
        let mut f = Fixture::new(slices_of(1));
        for (carrier, deadline) in [(0, 5_000), (1, 1_010), (2, 5_000)] {
            let mut joiner = Fixture::joiner(carrier, crate::hub::fixture::interest(&["a"], &[]));
            joiner.deadline = Moment(deadline);
            f.hub.join(joiner, crate::protocol::update::Position(0), f.now);
        }
        f.take("a");
        f.batch();
        f.now.0 = 1_010;
        f.run();
        assert_eq!((f.got(0), f.got(1), f.got(2)), (vec![1], vec![], vec![1]));
        assert_eq!(f.ended.iter().map(|e| e.reason).collect::<Vec<_>>(), [Reason::Deadline]);
    }

    #[test]
    fn a_short_send_leaves_the_rest_to_the_outbox() {
        for room in 0..30 {
            let mut f = Fixture::new(Limits { frames: 2, ..Limits::default() });
            let key = f.join(1, &["a"], &[]);
            f.room.insert(1, room);
            f.take("a");
            f.take("a");
            f.run();
            f.take("a");
            f.run();
            let before = f.bytes(1).len();
            assert!(before <= room);
            f.room.clear();
            f.run();
            if before == room {
                assert_eq!(f.bytes(1).len(), before, "not offered again before it is writable");
            }
            f.hub.writable(key);
            f.take("a");
            f.run();
            assert_eq!(f.got(1), [1, 2, 3, 4], "room for {room}");
            assert_eq!((f.hub.census().outboxes, f.hub.census().waiting_bytes), (0, 0));
        }
    }

    #[test]
    fn an_outbox_that_grows_while_it_is_in_a_batch_is_in_it_once() {
        let mut f = Fixture::new(Limits::default());
        let key = f.join(1, &["a"], &[]);
        f.room.insert(1, 10);
        f.take("a");
        f.run();
        f.room.clear();
        f.hub.writable(key);
        f.hub.writable(key);
        f.take("a");
        assert_eq!(f.batch(), [1]);
        assert_eq!(f.got(1), [1, 2]);
    }

    #[test]
    fn frames_are_shared() {
        let mut f = Fixture::new(Limits::default());
        for carrier in 0..100 {
            f.join(carrier, &["a"], &[]);
            f.room.insert(carrier, 0);
        }
        let update = f.update(&["a"], false);
        f.hub.take(Arc::clone(&update));
        f.run();
        assert_eq!(Arc::strong_count(&update), 102, "an outbox holds no copy");
    }
}
