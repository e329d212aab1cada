//! Where workers, guests, the log and its readers meet: bounded lock-free queues and a few atomics.

use std::sync::Arc;

use super::{
    bell::{Bell, Ring},
    history::Reply,
    lane::Lane,
    sync::{ArrayQueue, AtomicBool, AtomicU64, Ordering, fence},
};
use crate::{
    hub::Moment,
    protocol::update::{Draft, Position, Update},
};

/// Names a publication that is under way at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub u32);

/// A publication on its way to the log.
#[derive(Debug)]
pub struct Publish {
    pub ticket: Ticket,
    pub draft: Draft,
    /// If its id must not be in use: how far it is known that it is not.
    pub searched: Option<Searched>,
}

/// A search of the history for a publication's id, which found none.
#[derive(Debug, Clone, Copy)]
pub struct Searched {
    /// It is about everything up to here.
    pub through: Position,
    /// How long the publication may wait; for its publisher, if it comes back.
    pub until: Moment,
}

/// The log's one answer to a publication.
#[derive(Debug)]
pub struct Ack {
    pub ticket: Ticket,
    pub outcome: Result<Arc<Update>, NotCommitted>,
}

/// Why a publication does not become an update.
#[derive(Debug)]
pub enum NotCommitted {
    Unavailable(Unavailable),
    /// A committed update bears its id, which was searched for before that one came.
    ReusedId(Box<Publish>),
    /// Too much came since its id was searched for: nobody knows whether it is in use now.
    SearchedTooEarly(Box<Publish>),
}

/// Why the log does not take a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// For good.
    #[error("the history cannot be written; the hub takes no more updates until it is restarted")]
    Failed,
    /// Until there is room again. It was not written, and may be tried again.
    #[error("there is no room for more history; try again later")]
    NoRoom,
}

/// How much the queues hold.
#[derive(Debug, Clone, Copy)]
pub struct Capacities {
    /// Publications of one worker on their way to the log.
    pub inlet: usize,
    /// Committed updates on their way to one worker.
    pub updates: usize,
    /// Publications of one worker that are not answered yet. Answers always have room, so no
    /// more than this are ever handed in.
    pub under_way: usize,
    /// Reads of one worker that are not answered yet; answers always have room.
    pub reads: usize,
    /// The same for searches of ids.
    pub searches: usize,
}

impl Default for Capacities {
    fn default() -> Self {
        Capacities { inlet: 1024, updates: 4096, under_way: 4096, reads: 1024, searches: 256 }
    }
}

/// The queues of one worker; or of a guest, who publishes and is handed no updates.
pub struct Port {
    /// Worker → log.
    pub inlet: Lane<Publish>,
    /// Log → worker.
    pub updates: Lane<Arc<Update>>,
    /// Log → worker.
    pub acks: ArrayQueue<Ack>,
    /// Readers → worker.
    pub replies: ArrayQueue<Reply>,
    /// Wakes the worker.
    pub bell: Bell,
    finished: AtomicU64,
}

impl Port {
    fn new(ring: Box<dyn Ring>, start: Position, capacities: Capacities) -> Self {
        Port {
            inlet: Lane::new(capacities.inlet),
            updates: Lane::new(capacities.updates),
            acks: ArrayQueue::new(capacities.under_way),
            replies: ArrayQueue::new(capacities.reads + capacities.searches),
            bell: Bell::new(ring),
            finished: AtomicU64::new(start.0),
        }
    }

    pub fn finished(&self) -> Position {
        Position(self.finished.load(Ordering::Acquire))
    }

    /// Nothing lies in a queue for the worker.
    pub fn is_quiet(&self) -> bool {
        self.updates.is_empty() && self.acks.is_empty() && self.replies.is_empty()
    }
}

/// All that threads share.
pub struct Exchange {
    /// Those of the workers come first.
    ports: Vec<Port>,
    workers: usize,
    committed: AtomicU64,
    admission: AtomicBool,
    log_bell: Bell,
    capacities: Capacities,
}

impl Exchange {
    /// `start`: the position that was committed last when the history was opened.
    pub fn new(
        start: Position,
        log_ring: Box<dyn Ring>,
        worker_rings: Vec<Box<dyn Ring>>,
        capacities: Capacities,
    ) -> Self {
        let port = |ring| Port::new(ring, start, capacities);
        Exchange {
            workers: worker_rings.len(),
            ports: worker_rings.into_iter().map(port).collect(),
            committed: AtomicU64::new(start.0),
            admission: AtomicBool::new(true),
            log_bell: Bell::new(log_ring),
            capacities,
        }
    }

    /// Adds a guest: a thread that publishes as workers do, and serves nobody. Its number follows
    /// those of the workers and of earlier guests.
    pub fn with_guest(mut self, ring: Box<dyn Ring>) -> Self {
        let capacities = Capacities { updates: 1, reads: 1, searches: 0, ..self.capacities };
        self.ports.push(Port::new(ring, self.committed(), capacities));
        self
    }

    /// The ports of the workers.
    pub fn ports(&self) -> &[Port] {
        &self.ports[..self.workers]
    }

    /// The ports of all who publish: workers, then guests.
    pub fn publishers(&self) -> &[Port] {
        &self.ports
    }

    /// The port of a worker or a guest.
    pub fn port(&self, number: usize) -> &Port {
        &self.ports[number]
    }

    pub fn log_bell(&self) -> &Bell {
        &self.log_bell
    }

    pub fn capacities(&self) -> Capacities {
        self.capacities
    }

    /// The position of the last committed update. A subscriber that joins now, without a last
    /// event id, receives everything after it.
    pub fn committed(&self) -> Position {
        Position(self.committed.load(Ordering::Acquire))
    }

    /// Log only.
    pub(super) fn set_committed(&self, position: Position) {
        self.committed.store(position.0, Ordering::Release);
    }

    /// Whether publications are admitted: no worker lags too far.
    pub fn admits(&self) -> bool {
        self.admission.load(Ordering::Acquire)
    }

    /// Log only: opens or closes admission, and wakes whoever waits for it or for room in an
    /// inlet.
    pub(super) fn admit(&self, open: bool) {
        self.admission.store(open, Ordering::Release);
        if open {
            for port in &self.ports {
                if port.inlet.take_producer_waits() {
                    port.bell.wake();
                }
            }
        }
    }

    /// Worker: everything up to `position` is settled for all of its subscribers. While admission
    /// is closed the log waits for this.
    pub fn finish(&self, worker: usize, position: Position) {
        self.ports[worker].finished.store(position.0, Ordering::Release);
        // Pairs with the fence in the bell's `announce`, which stands between the log's closing
        // of admission and its last look at `finished`.
        fence(Ordering::SeqCst);
        if !self.admission.load(Ordering::Relaxed) {
            self.log_bell.wake();
        }
    }

    /// Lays a publication before the log, or gives it back when it has to wait: then the worker is
    /// woken once it is worth another try. The log's bell is to be rung afterwards: once for many
    /// publications, so that they are made durable together and the log is woken once.
    /// `publisher`: the number of a worker or a guest.
    pub fn submit(&self, publisher: usize, publish: Publish) -> Result<(), Publish> {
        let inlet = &self.ports[publisher].inlet;
        if !self.admission.load(Ordering::Acquire) {
            inlet.wait_for_room();
            // It may have opened before the log could see that somebody waits: look again.
            if !self.admission.load(Ordering::Acquire) {
                return Err(publish);
            }
        }
        inlet.push(publish)
    }
}
