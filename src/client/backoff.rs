//! How long to wait before the next attempt. Pure.

use std::time::Duration;

/// Where the hub has not said anything.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);
/// Failures double the wait up to this.
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(30);
/// A hub that asks for more than this is not believed.
const RETRY_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    retry: Option<Duration>,
    failures: u32,
}

impl Backoff {
    /// The hub asked for this wait (the `retry` field).
    pub(super) fn set_retry(&mut self, retry: Option<Duration>) {
        self.retry = retry.or(self.retry);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The wait before the next attempt. `random` spreads clients that failed together over
    /// another fifth.
    pub(super) fn wait(&self, random: u8) -> Duration {
        let retry = self.retry.unwrap_or(RETRY_DEFAULT).min(RETRY_MAX);
        if self.failures == 0 {
            return retry;
        }
        let doubled = retry.max(Duration::from_millis(100)) * (1 << (self.failures - 1).min(10));
        let wait = doubled.min(FAILURE_WAIT_MAX).max(retry);
        wait + wait * u32::from(random) / (5 * 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_wait_and_success_resets_it() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(0), Duration::from_secs(1));
        let waits: Vec<_> = (0..8)
            .map(|_| {
                backoff.failed();
                backoff.wait(0).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.wait(255), Duration::from_secs(36));
        backoff.succeeded();
        assert_eq!(backoff.wait(255), Duration::from_secs(1));
    }

    #[test]
    fn the_hub_is_obeyed_within_reason() {
        let mut backoff = Backoff::default();
        backoff.set_retry(Some(Duration::from_secs(90)));
        backoff.set_retry(None);
        assert_eq!(backoff.wait(0), Duration::from_secs(90));
        backoff.failed();
        assert_eq!(backoff.wait(0), Duration::from_secs(90));
        backoff.set_retry(Some(Duration::from_millis(u64::MAX)));
        assert_eq!(backoff.wait(0), Duration::from_secs(3600));
        backoff.set_retry(Some(Duration::ZERO));
        assert_eq!(backoff.wait(0), Duration::from_millis(100));
        (0..u16::MAX).for_each(|_| backoff.failed());
        assert_eq!(backoff.wait(0), Duration::from_secs(30));
    }
}
