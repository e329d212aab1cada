//! What the log does in one turn. Pure but for its store: the log's thread and the simulator run
//! the same code.

use std::{mem, sync::Arc};

use super::{
    exchange::{Ack, Exchange, NotCommitted, Publish, Ticket, Unavailable},
    history::{Store, StoreError},
    reused::{RECENT_IDS_MAX, RecentIds, Use},
    sequence::{LagLimits, Places, Sequence},
};
use crate::{
    metrics::{self, Problem},
    protocol::update::Update,
};

/// Publications that are made durable together, at most. Bounds the time of a turn.
const GROUP_MAX: usize = 1024;
/// Bytes of them, at most; the last one may exceed it.
pub const GROUP_BYTES_MAX: usize = 512 * 1024;

/// Whether the store takes updates.
#[derive(Debug)]
enum State {
    Writable,
    NoRoom,
    /// For good, and why.
    Failed(StoreError),
}

/// Takes publications, gives them their places, commits them, answers, and hands them over.
pub struct Sequencer<S> {
    exchange: Arc<Exchange>,
    sequence: Sequence,
    places: Places,
    store: S,
    state: State,
    /// Updates that were committed.
    committed: u64,
    /// Groups in which they were committed.
    groups: u64,
    /// Who published the updates of `group`, one for one.
    authors: Vec<(usize, Ticket)>,
    group: Vec<Arc<Update>>,
    /// Answers to publications of this turn that are in no group.
    returned: Vec<(usize, Ack)>,
    recent_ids: RecentIds,
}

impl<S: Store> Sequencer<S> {
    pub fn new(exchange: Arc<Exchange>, places: Places, limits: LagLimits, store: S) -> Self {
        let sequence = Sequence::new(exchange.ports().len(), exchange.committed(), limits);
        let recent_ids = RecentIds::new(RECENT_IDS_MAX, exchange.committed());
        Sequencer {
            exchange,
            sequence,
            places,
            store,
            state: State::Writable,
            committed: 0,
            groups: 0,
            authors: Vec::new(),
            group: Vec::new(),
            returned: Vec::new(),
            recent_ids,
        }
    }

    /// Remembers no more than `max` ids that are in use.
    pub fn with_recent_ids(mut self, max: usize) -> Self {
        self.recent_ids = RecentIds::new(max, self.sequence.committed());
        self
    }

    /// One turn; false if there was nothing to do, and nothing new to show. Whoever wants to sleep
    /// afterwards announces it on the bell and takes one more turn, so that nothing is slept
    /// through.
    pub fn turn(&mut self) -> bool {
        let state = mem::discriminant(&self.state);
        self.note_finished();
        self.look_at_store();
        let took = self.take_group();
        let acks = self.commit_group();
        let handed = self.hand_over();
        self.answer(acks);
        if took || handed {
            self.wake();
        } else {
            self.rest();
        }
        let has_room = !matches!(self.state, State::NoRoom);
        self.exchange.admit(self.sequence.admits() && has_room);
        took || handed || mem::discriminant(&self.state) != state
    }

    /// Whether a turn waits for a disk: the more it takes at once, the better.
    pub fn waits(&self) -> bool {
        self.store.waits()
    }

    /// Shows how the log is.
    pub fn show(&self, metrics: &metrics::Log) {
        let ((tail, tail_bytes), (history, history_bytes)) = (self.tail(), self.store.retained());
        metrics.updates.set(self.committed);
        metrics.groups.set(self.groups);
        metrics.tail.set(tail as u64);
        metrics.tail_bytes.set(tail_bytes);
        metrics.history.set(history);
        metrics.history_bytes.set(history_bytes);
        let problem = match &self.state {
            State::Writable => None,
            State::NoRoom => Some(Problem::NoRoom),
            State::Failed(error) => Some(Problem::Failed(error.to_string())),
        };
        metrics.set_problem(problem);
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

    /// Finds out whether updates can be appended.
    fn look_at_store(&mut self) {
        if let State::Failed(_) = self.state {
            return;
        }
        match (self.store.has_room(), &self.state) {
            (Ok(true), State::NoRoom) => {
                tracing::info!("there is room for history again: updates are taken");
                self.state = State::Writable;
            }
            (Ok(false), State::Writable) => {
                tracing::warn!("there is no room for more history: no updates are taken for now");
                self.state = State::NoRoom;
            }
            (Ok(_), _) => {}
            (Err(error), _) => self.fail(error),
        }
    }

    fn rest(&mut self) {
        if let State::Failed(_) = self.state {
            return;
        }
        if let Err(error) = self.store.rest() {
            self.fail(error);
        }
    }

    /// What the store may or may not have kept is never acknowledged, never delivered and never
    /// written again: only a restart finds out.
    fn fail(&mut self, error: StoreError) {
        tracing::error!(%error, "the history cannot be written: no more updates are taken");
        self.state = State::Failed(error);
    }

    /// Takes from every publisher in turn, so that none can keep the others waiting.
    fn take_group(&mut self) -> bool {
        let is_writable = matches!(self.state, State::Writable);
        let (mut took_any, mut bytes) = (false, 0);
        loop {
            let mut took = false;
            for (publisher, port) in self.exchange.publishers().iter().enumerate() {
                if self.group.len() == GROUP_MAX || bytes >= GROUP_BYTES_MAX {
                    return true;
                }
                let Some(publish) = port.inlet.pop() else { continue };
                took = true;
                if !is_writable {
                    self.authors.push((publisher, publish.ticket));
                    continue;
                }
                let Publish { ticket, draft, searched } = match self.check_id(publish) {
                    Ok(publish) => publish,
                    Err(ack) => {
                        self.returned.push((publisher, ack));
                        continue;
                    }
                };
                self.authors.push((publisher, ticket));
                bytes += draft.footprint();
                let update = self.places.place(draft);
                if searched.is_some() {
                    self.recent_ids.note(update.id(), update.position);
                }
                self.group.push(Arc::new(update));
            }
            took_any |= took;
            if !took || self.authors.len() + self.returned.len() >= GROUP_MAX {
                return took_any;
            }
        }
    }

    /// Gives a publication back, with the answer, whose id must not be in use and may be.
    fn check_id(&self, publish: Publish) -> Result<Publish, Ack> {
        let Some(searched) = &publish.searched else { return Ok(publish) };
        let id = publish.draft.frame.id().unwrap_or_default();
        let ticket = publish.ticket;
        let reason = match self.recent_ids.look(id, searched.through) {
            Use::Free => return Ok(publish),
            Use::Reused => NotCommitted::ReusedId(Box::new(publish)),
            Use::Unknown => NotCommitted::SearchedTooEarly(Box::new(publish)),
        };
        Err(Ack { ticket, outcome: Err(reason) })
    }

    /// Makes the group durable, then visible. Returns the answers.
    fn commit_group(&mut self) -> Vec<(usize, Ack)> {
        let mut acks = mem::take(&mut self.returned);
        if !self.group.is_empty()
            && let Err(error) = self.store.append(&self.group)
        {
            self.group.clear();
            self.fail(error);
            // Their ids may be in use only in the group.
            for (_, ack) in &mut acks {
                ack.outcome = Err(NotCommitted::Unavailable(Unavailable::Failed));
            }
        }
        let refusal = match self.state {
            State::NoRoom => Unavailable::NoRoom,
            State::Writable | State::Failed(_) => Unavailable::Failed,
        };
        self.committed += self.group.len() as u64;
        self.groups += u64::from(!self.group.is_empty());
        let mut updates = self.group.drain(..);
        acks.extend(self.authors.drain(..).map(|(publisher, ticket)| {
            let outcome = updates.next().ok_or(NotCommitted::Unavailable(refusal));
            if let Ok(update) = &outcome {
                self.sequence.commit(Arc::clone(update));
            }
            (publisher, Ack { ticket, outcome })
        }));
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
