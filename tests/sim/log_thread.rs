//! The log's thread.

use std::sync::Arc;

use petasos::{
    log::{bell::Doze, exchange::Exchange, memory::Memory, sequence::Places, sequencer::Sequencer},
    protocol::{id::IdCipher, update::Position},
};

use super::{
    history::SimStore,
    scenario::Scenario,
    world::{INCARNATION, SimRing, trace, with},
};

pub(crate) struct LogThread {
    exchange: Arc<Exchange>,
    sequencer: Sequencer<SimStore>,
    ring: SimRing,
    doze: Doze,
    asleep: bool,
}

impl LogThread {
    pub(crate) fn new(
        exchange: &Arc<Exchange>,
        ring: SimRing,
        cipher: &IdCipher,
        scenario: &Scenario,
        memory: Memory,
    ) -> Self {
        let places = Places::new(cipher.clone(), INCARNATION, Position::START);
        let store = SimStore::new(memory, scenario.fails_after);
        LogThread {
            exchange: Arc::clone(exchange),
            sequencer: Sequencer::new(Arc::clone(exchange), places, scenario.lag, store)
                .with_recent_ids(scenario.recent_ids),
            ring,
            doze: Doze::default(),
            asleep: false,
        }
    }

    pub(crate) fn is_awake(&self) -> bool {
        !self.asleep || self.ring.is_rung()
    }

    /// One round of the loop in `run_sequencer`.
    pub(crate) fn step(&mut self) {
        if self.asleep {
            assert!(self.ring.take(), "only a ring wakes the log");
            self.asleep = false;
            self.doze.woke(self.exchange.log_bell());
        }
        let finished: Vec<u64> = self.finished();
        let worked = self.sequencer.turn();
        self.asleep = self.doze.may_sleep(self.exchange.log_bell(), worked);
        trace("log", usize::from(worked), u64::from(self.asleep));
        self.check_admission(&finished);
    }

    fn finished(&self) -> Vec<u64> {
        self.exchange.ports().iter().map(|port| port.finished().0).collect()
    }

    /// Admission follows the truth: it is never open while somebody lags too far or the store has
    /// no room, and never closed while, at the beginning of the turn already, nobody did and there
    /// was some. And the tail is bounded.
    fn check_admission(&self, before: &[u64]) {
        let after = self.finished();
        let (tail, _) = self.sequencer.tail();
        with(|world| {
            let limits = world.scenario.lag;
            let lags = |finished: &u64| {
                world.oracle.end() - finished >= limits.updates
                    || world.oracle.bytes_after(*finished) >= limits.bytes
            };
            if self.exchange.admits() {
                assert!(world.room.was_found, "open, and there is no room");
                assert!(!after.iter().any(lags), "open, and somebody lags: {after:?}");
            } else {
                let is_needed = before.iter().any(lags) || !world.room.was_found;
                assert!(is_needed, "closed, and nobody lags: {before:?}");
            }
            let publishers = world.scenario.workers + usize::from(world.scenario.has_guest);
            let inlets = (publishers * world.scenario.capacities.inlet) as u64;
            let bound = limits.updates.saturating_add(2 * inlets);
            assert!(tail as u64 <= bound, "the tail holds {tail}, bound {bound}");
            let slowest = before.iter().min().expect("a worker");
            assert!(
                tail as u64 <= world.oracle.end() - slowest,
                "the tail forgets what is finished"
            );
        });
    }
}
