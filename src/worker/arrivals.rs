//! Connections that an application has accepted itself and hands to the hub.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam::queue::ArrayQueue;
use socket2::SockRef;

use super::{listener::inherit, phase::Phase};
use crate::log::exchange::Exchange;

/// Connections that wait for one worker. It takes them in its next turn, unless it has as many
/// requests as it serves at a time.
const WAITING_MAX: usize = 1024;

/// A connection, and what was read from it already.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) received: Vec<u8>,
}

/// Of one worker.
pub(super) type Arrivals = Arc<ArrayQueue<Arrival>>;

pub(super) fn arrivals() -> Arrivals {
    Arc::new(ArrayQueue::new(WAITING_MAX))
}

/// The way in for connections that the application accepted. Never blocks.
#[derive(Clone)]
pub struct Entrance {
    pub(super) exchange: Arc<Exchange>,
    pub(super) phase: Arc<Phase>,
    pub(super) queues: Arc<[Arrivals]>,
    pub(super) next: Arc<AtomicUsize>,
    pub(super) heartbeat: Option<Duration>,
    /// Workers know descriptors by the same numbers as the application.
    pub(super) is_shared_table: bool,
}

/// Why a connection was not taken. Gives it back, with what was read from it.
#[derive(Debug, thiserror::Error)]
#[error("the hub does not take the connection: {reason}")]
pub struct NotTaken {
    pub stream: TcpStream,
    pub received: Vec<u8>,
    pub reason: NotTakenReason,
}

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTakenReason {
    #[error("too many wait to be served; answer 503, or close it")]
    Full,
    #[error("it has been stopped")]
    Stopped,
    #[error(
        "its workers have file tables of their own, where the connection does not exist; start it \
         with `file_tables shared`"
    )]
    OtherFileTable,
}

impl Entrance {
    /// Hands a connection to the next worker that has room.
    pub fn take(&self, stream: TcpStream, received: Vec<u8>) -> Result<(), NotTaken> {
        let mut arrival = Arrival { stream, received };
        let reason = if !self.phase.is_running() {
            NotTakenReason::Stopped
        } else if !self.is_shared_table {
            NotTakenReason::OtherFileTable
        } else {
            // An option that cannot be set makes a silent peer harder to notice, no more.
            let _ = inherit(&SockRef::from(&arrival.stream), self.heartbeat);
            let first = self.next.fetch_add(1, Ordering::Relaxed);
            for turn in 0..self.queues.len() {
                let worker = first.wrapping_add(turn) % self.queues.len();
                match self.queues[worker].push(arrival) {
                    Ok(()) => {
                        self.exchange.port(worker).bell.wake();
                        return Ok(());
                    }
                    Err(refused) => arrival = refused,
                }
            }
            NotTakenReason::Full
        };
        let Arrival { stream, received } = arrival;
        Err(NotTaken { stream, received, reason })
    }
}
