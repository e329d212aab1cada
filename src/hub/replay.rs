//! Replaying subscribers: cursors into history that become live where history meets the worker's
//! recent updates.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Hub, Reason,
    slab::{Key, NONE, Slab},
    subscriber::Stage,
};
use crate::protocol::{
    matcher::Interest,
    update::{Position, Update},
};

/// A subscriber that is fed from history.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) interest: Interest,
    /// Everything up to here was looked at, and what is to be sent lies in the outbox.
    pub(super) through: Position,
    /// A chunk was asked for.
    pub(super) reading: bool,
}

/// A chunk of history that a replaying subscriber needs.
#[derive(Debug)]
pub struct WantedRead {
    pub key: Key,
    pub interest: Interest,
    pub after: Position,
}

#[derive(Debug)]
pub(super) struct Replays {
    pub(super) table: Slab<Replay>,
    /// Who needs a chunk, in the order of asking.
    pub(super) wanted: VecDeque<Key>,
}

impl Replays {
    pub(super) fn new() -> Self {
        Replays { table: Slab::new(), wanted: VecDeque::new() }
    }
}

impl Hub {
    /// A piece of history for a replaying subscriber, looked through up to `through`.
    pub fn chunk(&mut self, key: Key, chunk: Vec<Arc<Update>>, through: Position) {
        let Some(Stage::Replaying(replay)) = self.subscribers.get(key).map(|s| s.stage) else {
            return;
        };
        let replay = &mut self.replays.table[replay];
        replay.reading = false;
        replay.through = through;
        if chunk.is_empty() {
            self.after_flush(key);
        } else {
            self.queue_updates(key, chunk.into_iter());
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

    /// Nothing waits for the subscriber any more: a replaying one becomes live, or needs the next
    /// piece of history.
    pub(super) fn after_flush(&mut self, key: Key) {
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
            if bytes >= self.limits.recent_piece {
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
            self.queue_updates(key, missed.into_iter());
        }
    }

    /// Links a subscriber into the index whose replay has reached what the worker took last; it
    /// may even lie ahead of that.
    pub(super) fn become_live(&mut self, key: Key, replay: u32) {
        let Replay { interest, through, .. } = self.replays.table.remove(replay);
        let set = self.index.enter(&interest.matchers);
        self.index.add_member(set, key);
        let subscriber = &mut self.subscribers[key.index()];
        subscriber.stage = Stage::Live(set);
        subscriber.position = through.max(self.recent.last());
        subscriber.grants = self.grants.intern(&interest.grants);
    }
}
