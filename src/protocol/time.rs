//! The hub's clock as tokens and updates see it.

use std::time::Duration;

/// A moment, in microseconds since 1970-01-01T00:00:00Z. Issuers write fractions of a second
/// down to microseconds, so a coarser clock would find their tokens not yet valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u64);

const MICROS_PER_SECOND: u64 = 1_000_000;

impl UnixTime {
    /// The moment this long after 1970; what `SystemTime::duration_since(UNIX_EPOCH)` gives.
    pub fn since_1970(elapsed: Duration) -> UnixTime {
        UnixTime(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    pub fn from_secs(seconds: u64) -> UnixTime {
        UnixTime(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    pub fn from_micros(micros: u64) -> UnixTime {
        UnixTime(micros)
    }

    /// A `NumericDate` (RFC 7519 §2), to the nearest microsecond; before 1970 is 1970.
    pub fn from_numeric_date(seconds: f64) -> UnixTime {
        // The cast saturates, and a JSON number is never NaN.
        UnixTime((seconds * MICROS_PER_SECOND as f64).round() as u64)
    }

    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds, cut.
    pub fn as_secs(self) -> u64 {
        self.0 / MICROS_PER_SECOND
    }

    pub fn saturating_add(self, duration: Duration) -> UnixTime {
        UnixTime(self.0.saturating_add(UnixTime::since_1970(duration).0))
    }

    pub fn saturating_sub(self, duration: Duration) -> UnixTime {
        UnixTime(self.0.saturating_sub(UnixTime::since_1970(duration).0))
    }

    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub fn saturating_since(self, earlier: UnixTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_dates_keep_their_microseconds() {
        for (seconds, micros) in [
            (0.0, 0),
            (-5.0, 0),
            (1.5, 1_500_000),
            (1_795_315_283.822_986, 1_795_315_283_822_986),
            // The nearest double is a little below.
            (2_097_152.000_003, 2_097_152_000_003),
            (1e300, u64::MAX),
        ] {
            assert_eq!(UnixTime::from_numeric_date(seconds).as_micros(), micros, "{seconds}");
        }
    }

    #[test]
    fn arithmetic_does_not_overflow() {
        let second = Duration::from_secs(1);
        assert_eq!(UnixTime(u64::MAX).saturating_add(second), UnixTime(u64::MAX));
        assert_eq!(UnixTime(1).saturating_sub(second), UnixTime(0));
        assert_eq!(UnixTime(1).saturating_since(UnixTime(2)), Duration::ZERO);
        assert_eq!(UnixTime::since_1970(Duration::MAX), UnixTime(u64::MAX));
        assert_eq!(UnixTime::from_secs(3).saturating_since(UnixTime::from_secs(1)), second * 2);
    }
}
