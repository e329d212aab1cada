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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::{
        log::{bell::Ring, exchange::Capacities},
        protocol::update::Position,
    };

    struct Nobody;

    impl Ring for Nobody {
        fn ring(&self) {}
    }

    #[test]
    fn a_worker_that_does_not_turn_is_named() {
        let rings = (0..3).map(|_| Box::new(Nobody) as Box<dyn Ring>).collect();
        let capacities = Capacities::default();
        let exchange = Exchange::new(Position::START, Box::new(Nobody), rings, capacities);
        let metrics = Metrics::new(3);
        let (is_second_stuck, is_over) = (AtomicBool::new(true), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for (number, worker) in metrics.workers.iter().enumerate() {
                        if number != 1 || !is_second_stuck.load(Ordering::Relaxed) {
                            worker.turns.add(1);
                        }
                    }
                    thread::yield_now();
                }
            });
            let first = stuck_worker(&metrics, &exchange);
            is_second_stuck.store(false, Ordering::Relaxed);
            let second = stuck_worker(&metrics, &exchange);
            is_over.store(true, Ordering::Relaxed);
            assert_eq!((first, second), (Some(1), None));
        });
    }
}
