//! Places, cursors and lag: the arithmetic of the order. Pure.
//!
//! The sequence holds the committed updates that some worker has not finished yet (the tail), and
//! for every worker how far it was handed updates and how far it has finished walking them.

use std::{collections::VecDeque, sync::Arc};

use crate::protocol::{
    id::{IdCipher, Place},
    update::{Draft, Position, Update},
};

/// How far workers may fall behind before publications have to wait.
#[derive(Debug, Clone, Copy)]
pub struct LagLimits {
    pub updates: u64,
    pub bytes: u64,
}

/// Gives updates their places, and their ids where publishers gave none.
#[derive(Debug)]
pub struct Places {
    cipher: IdCipher,
    incarnation: u32,
    last: Position,
}

impl Places {
    /// The next place is the one after `last`.
    pub fn new(cipher: IdCipher, incarnation: u32, last: Position) -> Self {
        Places { cipher, incarnation, last }
    }

    /// The update that `draft` becomes at the next place.
    pub fn place(&mut self, draft: Draft) -> Update {
        self.last = self.last.next();
        let place = Place { incarnation: self.incarnation, position: self.last, sub_position: 0 };
        draft.place(self.last, || self.cipher.encode(place))
    }
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The last update that lies in the worker's queue or beyond.
    handed: Position,
    /// The last update that was settled for every subscriber of the worker.
    finished: Position,
}

/// A committed update, and the bytes of all updates up to it.
#[derive(Debug)]
struct Committed {
    update: Arc<Update>,
    total_bytes: u64,
}

/// The order, seen from the log.
#[derive(Debug)]
pub struct Sequence {
    committed: Position,
    total_bytes: u64,
    /// Consecutive; the last has position `committed`.
    tail: VecDeque<Committed>,
    cursors: Vec<Cursor>,
    limits: LagLimits,
}

impl Sequence {
    pub fn new(workers: usize, start: Position, limits: LagLimits) -> Self {
        Sequence {
            committed: start,
            total_bytes: 0,
            tail: VecDeque::new(),
            cursors: vec![Cursor { handed: start, finished: start }; workers],
            limits,
        }
    }

    pub fn committed(&self) -> Position {
        self.committed
    }

    /// Takes an update whose durability is settled. It must have the next place.
    pub fn commit(&mut self, update: Arc<Update>) {
        assert_eq!(update.position, self.committed.next(), "places are given without gaps");
        self.committed = update.position;
        self.total_bytes += update.footprint() as u64;
        self.tail.push_back(Committed { update, total_bytes: self.total_bytes });
    }

    /// Hands `worker` what it was not handed yet, in order, until `push` gives an update back.
    /// Returns how many were taken.
    pub fn hand_over(
        &mut self,
        worker: usize,
        mut push: impl FnMut(Arc<Update>) -> Result<(), Arc<Update>>,
    ) -> usize {
        let handed = self.cursors[worker].handed;
        let start = self.tail.len() - (self.committed.0 - handed.0) as usize;
        let count = self
            .tail
            .range(start..)
            .take_while(|committed| push(Arc::clone(&committed.update)).is_ok())
            .count();
        self.cursors[worker].handed = Position(handed.0 + count as u64);
        count
    }

    /// `worker` has settled everything up to `position` for all of its subscribers.
    pub fn finish(&mut self, worker: usize, position: Position) {
        let cursor = &mut self.cursors[worker];
        debug_assert!(cursor.finished <= position && position <= cursor.handed);
        cursor.finished = position;
        self.trim();
    }

    /// Whether publications may be admitted: no worker lags further than the limits. Lag is
    /// counted from finished walks, so that a worker that pops fast and sends slowly counts too.
    pub fn admits(&self) -> bool {
        self.cursors.iter().all(|cursor| {
            let lag = self.committed.0 - cursor.finished.0;
            lag < self.limits.updates && self.bytes_after(cursor.finished) < self.limits.bytes
        })
    }

    /// Committed updates that some worker has not finished, and their bytes.
    pub fn tail(&self) -> (usize, u64) {
        let bytes = self.tail.iter().map(|committed| committed.update.footprint() as u64).sum();
        (self.tail.len(), bytes)
    }

    fn bytes_after(&self, position: Position) -> u64 {
        let lag = (self.committed.0 - position.0) as usize;
        match self.tail.len() - lag {
            _ if lag == 0 => 0,
            0 => {
                self.total_bytes
                    - (self.tail[0].total_bytes - self.tail[0].update.footprint() as u64)
            }
            index => self.total_bytes - self.tail[index - 1].total_bytes,
        }
    }

    /// Forgets what every worker has finished.
    fn trim(&mut self) {
        let slowest = self.cursors.iter().map(|cursor| cursor.finished).min();
        let needed = (self.committed.0 - slowest.unwrap_or(self.committed).0) as usize;
        self.tail.drain(..self.tail.len() - needed);
        // A burst must not keep its memory for ever.
        if self.tail.capacity() > 1024 && self.tail.len() < self.tail.capacity() / 8 {
            self.tail.shrink_to(self.tail.capacity() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        frame::{Fields, FrameDraft},
        hub_url::HubUrl,
        time::UnixTime,
        topic::{Topic, TopicHasher},
    };

    fn places() -> Places {
        Places::new(IdCipher::new([0; 16]), 1, Position::START)
    }

    fn draft(data: &str) -> Draft {
        let topics = [Topic::new("t", &HubUrl::without_name(), &TopicHasher::new())].into();
        Draft {
            frame: FrameDraft::new(Fields { data, ..Fields::default() }),
            topics,
            private: false,
            published: UnixTime::default(),
        }
    }

    fn sequence(workers: usize, limits: LagLimits) -> (Sequence, impl FnMut(&mut Sequence)) {
        let mut places = places();
        (Sequence::new(workers, Position::START, limits), move |sequence: &mut Sequence| {
            sequence.commit(Arc::new(places.place(draft("x"))));
        })
    }

    const NO_LIMIT: LagLimits = LagLimits { updates: u64::MAX, bytes: u64::MAX };

    #[test]
    fn every_worker_is_handed_every_update_once_and_in_order() {
        let (mut sequence, mut publish) = sequence(2, NO_LIMIT);
        let mut got = [vec![], vec![]];
        for round in 0..100 {
            publish(&mut sequence);
            for (worker, got) in got.iter_mut().enumerate() {
                // Worker 0 always has room for two, worker 1 for one in every other round.
                let mut room = if worker == 0 { 2 } else { round % 2 };
                sequence.hand_over(worker, |update| {
                    if room == 0 {
                        return Err(update);
                    }
                    room -= 1;
                    got.push(update.position.0);
                    Ok(())
                });
            }
        }
        assert_eq!(got[0], (1..=100).collect::<Vec<_>>());
        assert_eq!(got[1], (1..=50).collect::<Vec<_>>());
    }

    #[test]
    fn the_tail_keeps_what_the_slowest_worker_needs() {
        let (mut sequence, mut publish) = sequence(2, NO_LIMIT);
        for _ in 0..10 {
            publish(&mut sequence);
        }
        sequence.hand_over(0, |_| Ok(()));
        sequence.finish(0, Position(10));
        assert_eq!(sequence.tail.len(), 10);
        sequence.hand_over(1, |_| Ok(()));
        sequence.finish(1, Position(4));
        assert_eq!(sequence.tail.len(), 6);
        sequence.finish(1, Position(10));
        assert_eq!(sequence.tail.len(), 0);
    }

    #[test]
    fn admission_follows_the_slowest_workers_finished_walks() {
        let (mut sequence, mut publish) = sequence(2, LagLimits { updates: 3, bytes: u64::MAX });
        for _ in 0..3 {
            assert!(sequence.admits());
            publish(&mut sequence);
        }
        assert!(!sequence.admits(), "three behind is the limit");
        for worker in 0..2 {
            sequence.hand_over(worker, |_| Ok(()));
        }
        assert!(!sequence.admits(), "handed over is not finished");
        sequence.finish(0, Position(3));
        assert!(!sequence.admits());
        sequence.finish(1, Position(1));
        assert!(sequence.admits());
    }

    #[test]
    fn lag_is_limited_in_bytes_too() {
        let each = places().place(draft("x")).footprint() as u64;
        let (mut sequence, mut publish) =
            sequence(1, LagLimits { updates: u64::MAX, bytes: 2 * each });
        publish(&mut sequence);
        assert!(sequence.admits());
        publish(&mut sequence);
        assert!(!sequence.admits());
        sequence.hand_over(0, |_| Ok(()));
        sequence.finish(0, Position(1));
        assert!(sequence.admits());
        publish(&mut sequence);
        assert!(!sequence.admits());
    }

    #[test]
    fn places_are_consecutive_and_ids_tell_them() {
        let cipher = IdCipher::new([0; 16]);
        let mut places = Places::new(cipher.clone(), 77, Position(41));
        let update = places.place(draft("x"));
        assert_eq!(update.position, Position(42));
        let place = cipher.decode(update.id()).unwrap();
        assert_eq!((place.incarnation, place.position), (77, Position(42)));
        assert_eq!(places.place(draft("x")).position, Position(43));
    }
}
