//! A batch of sends: what the hub wants to be sent now, in borrowed slices.

use super::{Carrier, slab::Key};
use crate::protocol::frame::Form;

/// One vectored write to one subscriber. No subscriber is in a batch twice.
#[derive(Debug, Clone, Copy)]
pub struct Send {
    pub key: Key,
    pub carrier: Carrier,
    pub(super) form: Form,
    pub(super) payload: Payload,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Payload {
    /// A run of the batch's `frames`.
    Updates {
        start: u32,
        len: u32,
    },
    /// The front of the subscriber's outbox.
    Outbox,
    Heartbeat,
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All that was offered.
    Whole,
    /// This many bytes (0: none at all); the peer takes no more until it is writable again.
    Short(usize),
    /// The connection is gone.
    Gone,
}

/// Filled by `Hub::next_batch`; kept by the worker and used again.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) sends: Vec<Send>,
    /// Bytes of them, as far as they are known: what is in outboxes may be more than is sent.
    pub(super) bytes: usize,
    /// Sequence numbers of recent updates. Subscribers that get the same share a run.
    pub(super) frames: Vec<u64>,
}

impl Batch {
    pub fn sends(&self) -> &[Send] {
        &self.sends
    }

    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.sends.clear();
        self.bytes = 0;
        self.frames.clear();
    }
}
