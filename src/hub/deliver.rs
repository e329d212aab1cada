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
            if batch.sends.len() >= self.limits.batch || nothing || slice == Slice::LeftSome {
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
        batch.sends.push(Send { key, carrier, form, payload: Payload::Outbox });
        true
    }

    /// Gives one walk its turn.
    fn batch_slice(&mut self, now: Moment, batch: &mut Batch) -> Slice {
        let Some(id) = self.walks.take_turn() else { return Slice::None };
        let walk = self.walks.get(id);
        let (roster, start) = (walk.roster, walk.cursor);
        let room = self.limits.batch.saturating_sub(batch.sends.len());
        let end = self.index.roster(roster).members.len().min(start + self.limits.slice.min(room));
        let (mut run, mut slice) = (None, Slice::Whole);
        for cursor in start..end {
            let key = self.index.roster(roster).members[cursor];
            if !self.visit(key, id, now, batch, &mut run) {
                slice = Slice::LeftSome;
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
        let Payload::Updates { start, len } = payload else { unreachable!("gathered updates") };
        let frames = &batch.frames[start as usize..][..len as usize];
        if outbox != NONE {
            self.subscribers[key.index()].position = last;
            if len == 0 {
                return true;
            }
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
        if len > 0 {
            let payload = Payload::Updates { start, len };
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
}

fn heartbeat_bytes(form: Form) -> &'static [u8] {
    match form {
        Form::Chunked => HEARTBEAT_CHUNK,
        Form::Bare => HEARTBEAT,
    }
}
