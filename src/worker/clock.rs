//! The worker's clock: the only place of a worker that reads the time.

use std::time::{Duration, Instant, SystemTime};

use crate::hub::Moment;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The time since the start; never goes back.
    pub(crate) fn now(&self) -> Moment {
        Moment(0) + self.start.elapsed()
    }

    /// The time since 1970, which tokens speak of; whoever sets the clock moves it.
    pub(crate) fn unix() -> Duration {
        // A clock before 1970 makes every token's `nbf` lie in the future: refused, not lost.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
