//! How long it takes from when a worker takes an update until its last subscriber was sent it.

use std::{collections::VecDeque, time::Instant};

use crate::{metrics::Histogram, protocol::update::Position};

/// Updates that were taken and are not finished: those of one turn together.
#[derive(Debug, Default)]
pub(super) struct FanOuts {
    under_way: VecDeque<Taken>,
    taken: Position,
}

#[derive(Debug)]
struct Taken {
    last: Position,
    count: u64,
    since: Instant,
}

impl FanOuts {
    /// Called after each turn with the last update that was taken, and the last that is finished.
    pub(super) fn note(&mut self, taken: Position, finished: Position, histogram: &Histogram) {
        let count = taken.0 - self.taken.0;
        if count > 0 {
            self.under_way.push_back(Taken { last: taken, count, since: Instant::now() });
            self.taken = taken;
        }
        while let Some(done) = self.under_way.pop_front_if(|one| one.last <= finished) {
            histogram.record(done.since.elapsed(), done.count);
        }
    }
}
