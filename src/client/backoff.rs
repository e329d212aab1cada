//! How long to wait before the next attempt. Pure.

use std::time::Duration;

/// Failures double the wait up to this.
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(30);
/// A hub that asks for more than this is not believed.
pub(super) const ASKED_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Backoff {
    /// The wait after the first failure, and after a success.
    first: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration) -> Self {
        Backoff { first, failures: 0 }
    }

    /// The hub asked for this wait (the `retry` field of a stream).
    pub(super) fn set_first(&mut self, first: Option<Duration>) {
        self.first = first.unwrap_or(self.first);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The wait before the next attempt. `random` spreads clients that failed together over
    /// another half.
    pub(super) fn wait(&self, random: u8) -> Duration {
        let first = self.first.min(ASKED_MAX);
        if self.failures == 0 {
            return first;
        }
        let doubled = first.max(Duration::from_millis(100)) * (1 << (self.failures - 1).min(10));
        let wait = doubled.min(FAILURE_WAIT_MAX).max(first);
        wait + wait * u32::from(random) / (2 * 255)
    }

    /// The same with the randomness of the system.
    pub(super) fn next_wait(&self) -> Duration {
        let mut random = [0];
        // Without randomness the wait is merely not spread.
        let _ = getrandom::fill(&mut random);
        self.wait(random[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_double_the_wait_and_success_resets_it() {
        let mut backoff = Backoff::new(SECOND);
        assert_eq!(backoff.wait(0), SECOND);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                backoff.failed();
                backoff.wait(0).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.wait(255), Duration::from_secs(45));
        backoff.succeeded();
        assert_eq!(backoff.wait(255), SECOND);
    }

    #[test]
    fn the_hub_is_obeyed_within_reason() {
        let mut backoff = Backoff::new(SECOND);
        backoff.set_first(Some(Duration::from_secs(90)));
        backoff.set_first(None);
        assert_eq!(backoff.wait(0), Duration::from_secs(90));
        backoff.failed();
        assert_eq!(backoff.wait(0), Duration::from_secs(90));
        backoff.set_first(Some(Duration::from_millis(u64::MAX)));
        assert_eq!(backoff.wait(0), Duration::from_secs(3600));
        backoff.set_first(Some(Duration::ZERO));
        assert_eq!(backoff.wait(0), Duration::from_millis(100));
        (0..u16::MAX).for_each(|_| backoff.failed());
        assert_eq!(backoff.wait(0), Duration::from_secs(30));
    }
}
