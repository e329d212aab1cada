//! What the log does in one turn. Pure but for its store: the log's thread and the simulator run
//! the same code.

use std::sync::{Arc, atomic::Ordering};

use super::{
    exchange::{Ack, Exchange, Publish, Ticket, Unavailable},
    history::Store,
    sequence::{LagLimits, Places, Sequence},
};
use crate::{metrics, protocol::update::Update};

/// Publications that are made durable together, at most. Bounds the time of a turn.
const GROUP_MAX: usize = 1024;

/// Takes publications, gives them their places, commits them, answers, and hands them over.
pub struct Sequencer<S> {
    exchange: Arc<Exchange>,
    sequence: Sequence,
    places: Places,
    store: S,
    failed: bool,
    /// Updates that were committed.
    committed: u64,
    /// Who published the updates of `group`, one for one.
    authors: Vec<(usize, Ticket)>,
    group: Vec<Arc<Update>>,
}

impl<S: Store> Sequencer<S> {
    pub fn new(exchange: Arc<Exchange>, places: Places, limits: LagLimits, store: S) -> Self {
        let sequence = Sequence::new(exchange.ports().len(), exchange.committed(), limits);
        Sequencer {
            exchange,
            sequence,
            places,
            store,
            failed: false,
            committed: 0,
            authors: Vec::new(),
            group: Vec::new(),
        }
    }

    /// One turn; false if there was nothing to do. Whoever wants to sleep afterwards announces it
    /// on the bell and takes one more turn, so that nothing is slept through.
    pub fn turn(&mut self) -> bool {
        self.note_finished();
        let took = self.take_group();
        let acks = self.commit_group();
        let handed = self.hand_over();
        self.answer(acks);
        if took || handed {
            self.wake();
        }
        self.exchange.admit(self.sequence.admits());
        took || handed
    }

    /// Shows how the log is.
    pub fn show(&self, metrics: &metrics::Log) {
        let ((tail, tail_bytes), (history, history_bytes)) = (self.tail(), self.store.retained());
        metrics.updates.set(self.committed);
        metrics.tail.set(tail as u64);
        metrics.tail_bytes.set(tail_bytes);
        metrics.history.set(history);
        metrics.history_bytes.set(history_bytes);
        metrics.failed.store(self.failed, Ordering::Relaxed);
    }

    /// Committed updates that are kept for workers, and their bytes.
    pub fn tail(&self) -> (usize, u64) {
        self.sequence.tail()
    }

    fn note_finished(&mut self) {
        for (worker, port) in self.exchange.ports().iter().enumerate() {
            self.sequence.finish(worker, port.finished());
        }
    }

    /// Takes from every publisher in turn, so that none can keep the others waiting.
    fn take_group(&mut self) -> bool {
        let mut took_any = false;
        loop {
            let mut took = false;
            for (publisher, port) in self.exchange.publishers().iter().enumerate() {
                if self.group.len() == GROUP_MAX {
                    return true;
                }
                if let Some(Publish { ticket, draft }) = port.inlet.pop() {
                    self.authors.push((publisher, ticket));
                    if !self.failed {
                        self.group.push(Arc::new(self.places.place(draft)));
                    }
                    took = true;
                }
            }
            took_any |= took;
            if !took || self.authors.len() >= GROUP_MAX {
                return took_any;
            }
        }
    }

    /// Makes the group durable, then visible. Returns the answers.
    fn commit_group(&mut self) -> Vec<(usize, Ack)> {
        if !self.group.is_empty()
            && let Err(error) = self.store.append(&self.group)
        {
            // What the store may or may not have kept is never acknowledged, never delivered and
            // never written again: only a restart finds out.
            self.failed = true;
            self.group.clear();
            tracing::error!(%error, "the history cannot be written: no more updates are taken");
        }
        self.committed += self.group.len() as u64;
        let mut updates = self.group.drain(..);
        let acks = self
            .authors
            .drain(..)
            .map(|(publisher, ticket)| {
                let outcome = updates.next().ok_or(Unavailable);
                if let Ok(update) = &outcome {
                    self.sequence.commit(Arc::clone(update));
                }
                (publisher, Ack { ticket, outcome })
            })
            .collect();
        self.exchange.set_committed(self.sequence.committed());
        acks
    }

    /// Fills the workers' queues as far as they have room. A worker that makes room in a queue
    /// that was found full wakes the log.
    fn hand_over(&mut self) -> bool {
        let mut handed = 0;
        for (worker, port) in self.exchange.ports().iter().enumerate() {
            handed += self.sequence.hand_over(worker, |update| port.updates.push(update));
        }
        handed > 0
    }

    fn answer(&mut self, acks: Vec<(usize, Ack)>) {
        for (publisher, ack) in acks {
            let pushed = self.exchange.port(publisher).acks.push(ack);
            assert!(pushed.is_ok(), "publishers have no more under way than answers have room");
        }
    }

    fn wake(&self) {
        for port in self.exchange.publishers() {
            if !port.is_quiet() {
                port.bell.wake();
            }
        }
    }
}
