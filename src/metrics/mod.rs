//! What the operator may see of a running hub: numbers that each have one writer and any reader.
//!
//! Whoever counts keeps plain numbers and shows them here once a turn, so counting costs nothing on
//! the way of an update, and nobody waits for a reader.

mod histogram;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

pub use self::histogram::{BOUNDS_MICROS, Histogram};
use crate::hub;

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One thread writes, so this is no read-modify-write for the processor.
    pub fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a request was refused: the values of `reason` in `petasos_refused_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no HTTP, or not what a hub takes.
    Malformed,
    TooLarge,
    /// 415
    MediaType,
    /// It has no token and needs one.
    NoToken,
    /// Its token fails.
    InvalidToken,
    /// Its token is presented in a way that makes no sense.
    Presentation,
    /// A page that may not has published with a cookie.
    Origin,
    /// Its token does not grant what it asks for.
    Scope,
    /// It came by a name that the hub does not have.
    Misdirected,
    /// The hub has as many subscribers as it takes, or is about to end.
    Overload,
    /// Its client has as many streams as one may.
    ClientLimit,
    /// The hub is behind with deliveries, or its history cannot be written or read.
    Unavailable,
    /// The id of its update is in use.
    ReusedId,
}

impl Refused {
    pub const ALL: [Refused; 13] = [
        Refused::Malformed,
        Refused::TooLarge,
        Refused::MediaType,
        Refused::NoToken,
        Refused::InvalidToken,
        Refused::Presentation,
        Refused::Origin,
        Refused::Scope,
        Refused::Misdirected,
        Refused::Overload,
        Refused::ClientLimit,
        Refused::Unavailable,
        Refused::ReusedId,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Malformed => "malformed",
            Refused::TooLarge => "too_large",
            Refused::MediaType => "media_type",
            Refused::NoToken => "no_token",
            Refused::InvalidToken => "invalid_token",
            Refused::Presentation => "presentation",
            Refused::Origin => "origin",
            Refused::Scope => "insufficient_scope",
            Refused::Misdirected => "misdirected",
            Refused::Overload => "overload",
            Refused::ClientLimit => "client_limit",
            Refused::Unavailable => "unavailable",
            Refused::ReusedId => "reused_id",
        }
    }
}

/// What one worker shows. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Worker {
    /// Turns of its pump: that they go on shows that it lives.
    pub turns: Number,
    pub subscribers: Number,
    pub subscribers_total: Number,
    /// Connections that are served and are no subscribers.
    pub requests: Number,
    /// Publications that were understood and granted, and are not published: 503 and 409.
    pub updates_failed: Number,
    pub deliveries: Number,
    pub sent_bytes: Number,
    /// Bytes that wait for slow subscribers.
    pub waiting_bytes: Number,
    pub replays: Number,
    pub replays_total: Number,
    ended: [Number; hub::Reason::ALL.len()],
    refused: [Number; Refused::ALL.len()],
    /// From when the hub is given an update until the last subscriber of the worker was sent it.
    pub fan_out: Histogram,
}

impl Worker {
    pub fn refuse(&self, reason: Refused) {
        self.refused[reason as usize].add(1);
    }

    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize].get()
    }

    pub fn ended(&self, reason: hub::Reason) -> u64 {
        self.ended[reason as usize].get()
    }

    /// Shows what the hub counted.
    pub fn show(&self, hub: &hub::Hub) {
        let counts = hub.counts();
        self.subscribers.set(hub.len() as u64);
        self.subscribers_total.set(counts.joined);
        self.deliveries.set(counts.deliveries);
        self.waiting_bytes.set(hub.waiting_bytes() as u64);
        self.replays.set(hub.replaying() as u64);
        self.replays_total.set(counts.replays);
        for (number, count) in self.ended.iter().zip(counts.ended) {
            number.set(count);
        }
    }
}

/// What the log shows.
#[derive(Debug, Default)]
pub struct Log {
    /// Why no updates are taken.
    problem: Mutex<Option<Problem>>,
    /// Updates that were committed since the start.
    pub updates: Number,
    /// Groups in which they were committed.
    pub groups: Number,
    /// Updates that are kept for workers that are behind.
    pub tail: Number,
    pub tail_bytes: Number,
    pub history: Number,
    pub history_bytes: Number,
}

/// Why the log takes no updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no room for more history.
    NoRoom,
    /// The history cannot be written any more; with the reason.
    Failed(String),
}

impl Log {
    pub fn problem(&self) -> Option<Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_problem(&self, problem: Option<Problem>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// What all parts of a hub show.
#[derive(Debug)]
pub struct Metrics {
    pub workers: Box<[Worker]>,
    pub log: Log,
    /// The hub takes no more connections.
    pub draining: AtomicBool,
}

impl Metrics {
    pub fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Metrics { workers, log: Log::default(), draining: AtomicBool::new(false) }
    }

    /// Why the hub does not take publications and subscriptions; `None`: it does.
    pub fn obstacle(&self) -> Option<String> {
        match self.log.problem() {
            _ if self.draining.load(Ordering::Relaxed) => Some("the hub is stopping".to_owned()),
            None => None,
            Some(Problem::NoRoom) => {
                Some("there is no room for more history: is the disk full?".to_owned())
            }
            Some(Problem::Failed(reason)) => {
                Some(format!("{reason}; the hub takes no more updates until it is restarted"))
            }
        }
    }
}
