//! What a history is, seen from the log (it appends) and from readers (they look up and read).

use std::sync::Arc;

use super::exchange::Ticket;
pub use crate::protocol::gap::Gap;
use crate::protocol::{
    events::Events,
    frame::Form,
    matcher::Interest,
    subscribe::Since,
    update::{Position, Update},
};

/// Keeps committed updates. Only the log's thread writes.
pub trait Store: Send {
    /// Whether updates can be appended now. Where there is no room they are refused until there is
    /// some; the log is woken then. After an error the store is never written again.
    fn has_room(&mut self) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Makes `updates`, which follow each other and what was appended before, as durable as the
    /// store promises, all or none. After an error the store is never written again.
    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError>;

    /// Whether appending waits for a disk, however little is appended.
    fn waits(&self) -> bool {
        false
    }

    /// There is nothing to append for now.
    fn rest(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// How much is retained: updates and their bytes.
    fn retained(&self) -> (u64, u64);
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn has_room(&mut self) -> Result<bool, StoreError> {
        (**self).has_room()
    }

    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        (**self).append(updates)
    }

    fn waits(&self) -> bool {
        (**self).waits()
    }

    fn rest(&mut self) -> Result<(), StoreError> {
        (**self).rest()
    }

    fn retained(&self) -> (u64, u64) {
        (**self).retained()
    }
}

/// The history could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the history failed: {0}")]
pub struct StoreError(#[from] pub std::io::Error);

/// Reads what is retained, on any thread but workers and the log.
pub trait History: Send + Sync {
    /// Where a subscriber that asks to resume `since` starts.
    fn locate(&self, since: &Since, unknown: UnknownId) -> Result<Located, Unreadable>;

    /// The updates after `after` that `interest` selects, in order and as streams of this `form`
    /// send them: at most about `budget`.
    fn read(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        budget: ReadBudget,
    ) -> Result<Chunk, Unreadable>;

    /// Whether a retained update bears `id`: given by a publisher or generated, public or private.
    ///
    /// The answer is about every position up to [`Found::through`], at least about all that were
    /// committed when this was called: if nothing is found, no update up to there that is still
    /// retained bears the id. What is found is as durable as the store promises; it may be so new
    /// that [`Exchange::committed`](super::exchange::Exchange::committed) does not show it yet.
    ///
    /// Whoever is overtaken by retention here looks again: never [`Unreadable::Overtaken`].
    fn search(&self, id: &str) -> Result<Found, Unreadable>;
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Of the earliest retained update that bears the id.
    pub position: Option<Position>,
    /// The last position that the search is about.
    pub through: Position,
}

/// What to do with a last event id that is not (or no longer) known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownId {
    #[default]
    /// Send all that is retained: loses nothing.
    All,
    /// Send only what is new.
    Live,
}

/// How much one read may return or look at.
#[derive(Debug, Clone, Copy)]
pub struct ReadBudget {
    /// Bytes of frames that are returned. One update may exceed it, so that reading moves on.
    pub bytes: usize,
    /// Updates that are looked at.
    pub updates: usize,
}

impl ReadBudget {
    /// What a replaying subscriber is fed at a time.
    pub const CHUNK: ReadBudget = ReadBudget { bytes: 64 * 1024, updates: 16 * 1024 };
}

/// The start of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Everything after this position is to be sent.
    pub position: Position,
    /// The value of `Mercure-Last-Event-ID`: the id of the update at `position`, or `earliest`
    /// (draft-08 #reconciliation).
    pub last_event_id: Box<str>,
    /// Why it does not start at the id that was asked for.
    pub gap: Option<Gap>,
}

/// A piece of history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    pub events: Events,
    /// Everything up to here was looked at.
    pub through: Position,
}

/// Why history cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Retention removed updates that the reader had not read yet.
    #[error("the history no longer reaches back to where this replay was")]
    Overtaken,
    /// The operator was told why.
    #[error("the history cannot be read")]
    Failed,
}

/// Given back with the reply: whom a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A request that waits for its start to be looked up.
    Request(u32),
    /// A replaying subscriber, by the bits of its key.
    Replay(u64),
    /// A publication that waits for a search.
    Publication(Ticket),
}

/// A request to the readers.
#[derive(Debug)]
pub struct Read {
    pub worker: usize,
    pub token: Token,
    pub interest: Interest,
    /// Of the stream that is fed.
    pub form: Form,
    pub from: From,
}

/// Where to read.
#[derive(Debug)]
pub enum From {
    /// Look the start up, and read the first chunk, so that retention cannot come between.
    Since(Since),
    After(Position),
}

/// A publication whose id is to be searched for.
#[derive(Debug)]
pub struct Search {
    pub worker: usize,
    pub ticket: Ticket,
    pub id: Box<str>,
}

/// A reader's answer.
#[derive(Debug)]
pub struct Reply {
    pub token: Token,
    pub outcome: Outcome,
}

/// What a read brought.
#[derive(Debug)]
pub enum Outcome {
    /// For [`From::Since`]: where the replay starts, and the first piece.
    Start(Result<(Located, Chunk), Unreadable>),
    /// For [`From::After`].
    Chunk(Result<Chunk, Unreadable>),
    /// For a [`Search`].
    Found(Result<Found, Unreadable>),
}
