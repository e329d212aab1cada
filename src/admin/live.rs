//! Whether every worker still turns.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{log::exchange::Exchange, metrics::Metrics};

/// A worker that has not turned by then is stuck: its turns are milliseconds long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Wakes all workers and waits until each has turned. Returns the first that does not.
pub(super) fn stuck_worker(metrics: &Metrics, exchange: &Exchange) -> Option<usize> {
    let before: Vec<u64> = metrics.workers.iter().map(|worker| worker.turns.get()).collect();
    exchange.ports().iter().for_each(|port| port.bell.wake());
    let until = Instant::now() + PATIENCE;
    let turns = |worker: &usize| metrics.workers[*worker].turns.get() != before[*worker];
    loop {
        let stuck = (0..before.len()).find(|worker| !turns(worker))?;
        if Instant::now() >= until {
            return Some(stuck);
        }
        thread::sleep(Duration::from_millis(1));
    }
}
