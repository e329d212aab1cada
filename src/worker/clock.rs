//! A thread's clock: the only place of a worker that reads the time.

use std::time::{Instant, SystemTime};

use crate::{hub::Moment, protocol::time::UnixTime};

/// Counts from its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The time since the start; never goes back.
    pub fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// The same for a time that was read already.
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        Moment(0) + at.saturating_duration_since(self.start)
    }

    /// The time that tokens speak of; whoever sets the clock moves it.
    pub(crate) fn unix() -> UnixTime {
        // A clock before 1970 makes every token's `nbf` lie in the future: refused, not lost.
        let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime::since_1970(elapsed.unwrap_or_default())
    }
}
