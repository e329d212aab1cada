//! Several events in a row, as replays send them.

use super::position::Position;

/// The bytes of events, one after another, in the form of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    bytes: Vec<u8>,
    count: u64,
    first: Option<Position>,
}

impl Events {
    /// Adds the event of the update at `position`, which comes after all before it.
    pub fn push(&mut self, position: Position, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.count += 1;
        self.first.get_or_insert(position);
    }

    /// Bytes of all events.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many events there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The place of the first one.
    pub fn first(&self) -> Option<Position> {
        self.first
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
