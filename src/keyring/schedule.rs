//! When a set is fetched next. Pure: random numbers, from 0 up to 1, are arguments. They spread
//! hubs that were started together.

use std::time::Duration;

const FAILURE_WAIT_MIN: Duration = Duration::from_secs(1);

/// The wait after a fetch that succeeded: up to a tenth less than the interval.
pub(super) fn after_success(refresh: Duration, random: f64) -> Duration {
    refresh.mul_f64(1.0 - 0.1 * random)
}

/// The wait after `failures` fetches in a row that failed; at least one. Doubles from a second up
/// to the interval, and is shortened by up to a half.
pub(super) fn after_failure(failures: u32, refresh: Duration, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let wait = (FAILURE_WAIT_MIN * (1 << doublings)).min(refresh.max(FAILURE_WAIT_MIN));
    wait.mul_f64(1.0 - 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_wait_up_to_the_interval() {
        let refresh = Duration::from_secs(900);
        let wait = |failures| after_failure(failures, refresh, 0.0).as_secs();
        let waits: Vec<_> = (1..=12).map(wait).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(wait(u32::MAX), 900);
        assert_eq!(after_failure(1, refresh, 1.0), Duration::from_millis(500));
        let short = Duration::from_millis(10);
        assert_eq!(after_failure(5, short, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn success_waits_for_about_the_interval() {
        let refresh = Duration::from_secs(100);
        assert_eq!(after_success(refresh, 0.0), refresh);
        assert_eq!(after_success(refresh, 1.0), Duration::from_secs(90));
    }
}
