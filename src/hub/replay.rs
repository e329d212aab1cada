//! Replaying subscribers: cursors into history that become live where history meets the worker's
//! recent updates.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Hub, Reason,
    slab::{Key, NONE, Slab},
    subscriber::Stage,
};
use crate::protocol::{events::Events, frame::Form, matcher::Interest, update::Position};

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
    pub form: Form,
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
    pub fn chunk(&mut self, key: Key, chunk: Events, through: Position) {
        let Some(Stage::Replaying(replay)) = self.subscribers.get(key).map(|s| s.stage) else {
            return;
        };
        let replay = &mut self.replays.table[replay];
        replay.reading = false;
        replay.through = through;
        if chunk.is_empty() {
            self.after_flush(key);
        } else {
            self.counts.deliveries += chunk.count();
            self.queue_events(key, chunk);
        }
    }

    /// History cannot be read on for a replaying subscriber. It is cut rather than moved forward:
    /// its headers promised more.
    pub fn cut_replay(&mut self, key: Key, reason: Reason) {
        self.end(key, reason);
    }

    /// The next piece of history that somebody needs; to be answered with [`Hub::chunk`] or
    /// [`Hub::cut_replay`].
    pub fn next_read(&mut self) -> Option<WantedRead> {
        // Half of the room for what waits is kept for live subscribers.
        if self.waiting_bytes > self.limits.outbox_budget / 2 {
            return None;
        }
        while let Some(key) = self.replays.wanted.pop_front() {
            let Some(subscriber) = self.subscribers.get(key) else { continue };
            if let Stage::Replaying(replay) = subscriber.stage {
                let Replay { interest, through, .. } = &self.replays.table[replay];
                let (interest, form) = (interest.clone(), subscriber.form);
                return Some(WantedRead { key, interest, form, after: *through });
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
            self.counts.deliveries += missed.len() as u64;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        hub::{
            Key, Limits, Reason, WantedRead,
            fixture::{Fixture, events, interest},
        },
        protocol::update::{Position, Update},
    };

    fn window(recent_updates: usize) -> Limits {
        Limits { recent_updates, recent_piece: 30, ..Limits::default() }
    }

    /// A subscriber to `a` that starts at the beginning; `chunk` is its first piece.
    fn replay(f: &mut Fixture, chunk: &[Arc<Update>], through: u64) -> Key {
        let joiner = Fixture::joiner(1, interest(&["a"], &["a"]));
        f.hub.join_replaying(joiner, events(chunk), Position(through), f.now)
    }

    /// Publishes ten updates, every other one to `a`. Returns them.
    fn ten(f: &mut Fixture) -> Vec<Arc<Update>> {
        (0..10)
            .map(|i| {
                let update = f.update(&[if i % 2 == 0 { "a" } else { "b" }], i == 4);
                f.hub.take(Arc::clone(&update));
                update
            })
            .collect()
    }

    #[test]
    fn history_and_live_updates_meet_without_gap_or_repetition() {
        // However far history reaches, and whenever the live ones come.
        for through in 0..=10 {
            for live_before in [false, true] {
                let mut f = Fixture::new(window(64));
                let updates = ten(&mut f);
                let chunk: Vec<_> = updates[..through]
                    .iter()
                    .filter(|update| update.topics[0].text() == "a")
                    .cloned()
                    .collect();
                replay(&mut f, &chunk, through as u64);
                if live_before {
                    f.take("a");
                }
                f.run();
                if !live_before {
                    f.take("a");
                }
                f.take("b");
                f.take("a");
                f.run();
                assert_eq!(f.got(1), [1, 3, 5, 7, 9, 11, 13], "{through} {live_before}");
                assert!(f.hub.next_read().is_none());
                assert_eq!(f.hub.census().replays, 0, "it is live");
            }
        }
    }

    #[test]
    fn a_reader_may_be_ahead_of_the_worker() {
        let mut f = Fixture::new(window(64));
        let ahead = f.update(&["a"], false);
        replay(&mut f, &[Arc::clone(&ahead)], 1);
        f.run();
        f.hub.take(ahead);
        f.take("a");
        f.run();
        assert_eq!(f.got(1), [1, 2]);
    }

    #[test]
    fn what_the_worker_does_not_keep_is_read() {
        let mut f = Fixture::new(window(2));
        let updates = ten(&mut f);
        f.run();
        let key = replay(&mut f, &[], 0);
        let WantedRead { key: wanted, after, .. } = f.hub.next_read().expect("too far back");
        assert_eq!((wanted, after), (key, Position(0)));
        assert!(f.hub.next_read().is_none(), "one read at a time");
        f.hub.chunk(key, events(&updates[..1]), Position(2));
        assert!(f.hub.next_read().is_none(), "not before it took what it was given");
        f.run();
        let WantedRead { after, .. } = f.hub.next_read().expect("still too far back");
        assert_eq!(after, Position(2));
        let rest = [2, 4, 6].map(|i| Arc::clone(&updates[i]));
        f.hub.chunk(key, events(&rest), Position(8));
        f.run();
        assert!(f.hub.next_read().is_none());
        assert_eq!(f.got(1), [1, 3, 5, 7, 9]);
    }

    #[test]
    fn who_does_not_read_is_not_fed() {
        let mut f = Fixture::new(window(2));
        let updates = ten(&mut f);
        f.run();
        f.room.insert(1, 4);
        let key = replay(&mut f, &updates[..1], 1);
        f.run();
        assert!(f.hub.next_read().is_none());
        f.room.clear();
        f.hub.writable(key);
        f.run();
        assert!(f.hub.next_read().is_some());
    }

    #[test]
    fn reads_wait_while_too_much_waits_for_others() {
        let limits = Limits { outbox_budget: 60, ..window(1) };
        let mut f = Fixture::new(limits);
        let blocked = f.join(2, &["a"], &[]);
        f.room.insert(2, 0);
        for _ in 0..3 {
            f.take("a");
            f.run();
        }
        replay(&mut f, &[], 0);
        assert!(f.hub.next_read().is_none(), "45 bytes wait, of 60");
        f.hub.writable(blocked);
        f.room.clear();
        f.run();
        assert!(f.hub.next_read().is_some());
    }

    #[test]
    fn an_overtaken_cursor_is_cut() {
        let mut f = Fixture::new(window(2));
        ten(&mut f);
        f.run();
        let key = replay(&mut f, &[], 0);
        assert!(f.hub.next_read().is_some());
        f.hub.cut_replay(key, Reason::Overtaken);
        f.run();
        assert_eq!(f.ended.iter().map(|e| e.reason).collect::<Vec<_>>(), [Reason::Overtaken]);
        f.hub.chunk(key, events(&[]), Position(3));
        assert_eq!((f.hub.len(), f.hub.census().replays), (0, 0));
    }

    #[test]
    fn private_updates_of_the_window_need_grants_too() {
        let mut f = Fixture::new(window(64));
        ten(&mut f);
        let joiner = Fixture::joiner(1, interest(&["a"], &["other"]));
        f.hub.join_replaying(joiner, events(&[]), Position(0), f.now);
        let update = f.update(&["a"], true);
        f.hub.take(update);
        f.take("a");
        f.run();
        assert_eq!(f.got(1), [1, 3, 7, 9, 12]);
    }
}
