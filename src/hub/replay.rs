//! Replaying subscribers: cursors into history that become live where history meets the worker's
//! recent updates.

use std::collections::VecDeque;

use super::slab::{Key, Slab};
use crate::protocol::{matcher::Interest, update::Position};

/// A subscriber that is fed from history.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) interest: Interest,
    /// Everything up to here was looked at, and what is to be sent lies in the outbox.
    pub(super) through: Position,
    /// A chunk was asked for.
    pub(super) reading: bool,
}

/// A chunk of history that a replaying subscriber needs.
#[derive(Debug)]
pub struct WantedRead {
    pub key: Key,
    pub interest: Interest,
    pub after: Position,
}

#[derive(Debug)]
pub(super) struct Replays {
    pub(super) table: Slab<Replay>,
    /// Who needs a chunk, in the order of asking.
    pub(super) wanted: VecDeque<Key>,
}

impl Replays {
    pub(super) fn new() -> Self {
        Replays { table: Slab::new(), wanted: VecDeque::new() }
    }
}
