//! How long it takes from when a worker takes an update until its last subscriber was sent it.

use std::{collections::VecDeque, time::Instant};

use crate::{metrics::Histogram, protocol::update::Position};

/// Updates that were taken and are not finished: those of one turn together.
#[derive(Debug, Default)]
pub(super) struct FanOuts {
    under_way: VecDeque<(Position, Instant)>,
    taken: Position,
}

impl FanOuts {
    /// Called after each turn with the last update that was taken, and the last that is finished.
    pub(super) fn note(&mut self, taken: Position, finished: Position, histogram: &Histogram) {
        if taken != self.taken {
            self.under_way.push_back((taken, Instant::now()));
            self.taken = taken;
        }
        while let Some((_, since)) = self.under_way.pop_front_if(|(last, _)| *last <= finished) {
            histogram.record(since.elapsed());
        }
    }
}
