//! How long it takes from when the hub was given an update until its last subscriber was sent it.

use std::collections::VecDeque;

use super::{clock::Clock, pump::Took};
use crate::{metrics::Histogram, protocol::update::Position};

/// Updates that were taken and are not finished: those of one turn together, for which the oldest
/// of them speaks.
#[derive(Debug, Default)]
pub(super) struct FanOuts {
    under_way: VecDeque<(Position, Took)>,
}

impl FanOuts {
    /// A turn took updates up to `last`.
    pub(super) fn took(&mut self, took: Took, last: Position) {
        self.under_way.push_back((last, took));
    }

    /// Everything up to here was sent to whom it concerns.
    pub(super) fn finished(&mut self, finished: Position, histogram: &Histogram) {
        while let Some((_, took)) = self.under_way.pop_front_if(|(last, _)| *last <= finished) {
            let time = Clock::unix().saturating_since(took.published);
            histogram.record(time, took.updates);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_before_the_worker_took_an_update_counts() {
        let (mut fan_outs, histogram) = (FanOuts::default(), Histogram::default());
        let count = || *histogram.cumulative().last().unwrap();
        let now = Clock::unix();
        let earlier = now.saturating_sub(Duration::from_secs(2));
        fan_outs.took(Took { updates: 2, published: earlier }, Position(2));
        fan_outs.took(Took { updates: 1, published: now }, Position(3));
        fan_outs.finished(Position(1), &histogram);
        assert_eq!(count(), 0);
        fan_outs.finished(Position(2), &histogram);
        assert_eq!(count(), 2);
        assert!(histogram.sum() >= Duration::from_secs(4), "{:?}", histogram.sum());
        fan_outs.finished(Position(3), &histogram);
        assert_eq!(count(), 3);
    }
}
