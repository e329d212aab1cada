//! What a history is, seen from the log (it appends) and from readers (they look up and read).

use std::sync::Arc;

use crate::protocol::{
    matcher::Interest,
    subscribe::Since,
    update::{Position, Update},
};

/// Keeps committed updates. Only the log's thread writes.
pub trait Store: Send {
    /// Makes `updates`, which follow each other and what was appended before, as durable as the
    /// store promises, all or none. After an error the store is never written again.
    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError>;

    /// How much is retained: updates and their bytes.
    fn retained(&self) -> (u64, u64);
}

/// The history could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the history failed")]
pub struct StoreError(#[from] pub std::io::Error);

/// Reads what is retained, on any thread but workers and the log.
pub trait History: Send + Sync {
    /// Where a subscriber that asks to resume `since` starts.
    fn locate(&self, since: &Since, unknown: UnknownId) -> Located;

    /// The updates after `after` that `interest` selects, in order: at most about `budget`.
    fn read(
        &self,
        after: Position,
        interest: &Interest,
        budget: ReadBudget,
    ) -> Result<Chunk, Overtaken>;
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
}

/// A piece of history.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub updates: Vec<Arc<Update>>,
    /// Everything up to here was looked at.
    pub through: Position,
}

/// Retention removed updates that the reader had not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history no longer reaches back to where this replay was")]
pub struct Overtaken;

/// Given back with the reply: whom a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A request that waits for its start to be looked up.
    Request(u32),
    /// A replaying subscriber, by the bits of its key.
    Replay(u64),
}

/// A request to the readers.
#[derive(Debug)]
pub struct Read {
    pub worker: usize,
    pub token: Token,
    pub interest: Interest,
    pub from: From,
}

/// Where to read.
#[derive(Debug)]
pub enum From {
    /// Look the start up, and read the first chunk, so that retention cannot come between.
    Since(Since),
    After(Position),
}

/// A reader's answer.
#[derive(Debug)]
pub struct Reply {
    pub token: Token,
    /// For [`From::Since`] only.
    pub located: Option<Located>,
    pub chunk: Result<Chunk, Overtaken>,
}
