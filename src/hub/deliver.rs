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
        // It stays queued until the outcome is known: a walk that adds to it meanwhile must not have
        // it sent twice in one batch.
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
}

fn heartbeat_bytes(form: Form) -> &'static [u8] {
    match form {
        Form::Chunked => HEARTBEAT_CHUNK,
        Form::Bare => HEARTBEAT,
    }
}
