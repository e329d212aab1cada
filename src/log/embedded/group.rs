//! Groups: updates that were written and synced together.
//!
//! ```text
//!  0  0xa501_7e7a, which is no length of a record             u32
//!  4  checksum of the 32 bytes that follow                    u32
//!  8  position of the first update                            u64
//! 16  mark: all updates up to this position were synced
//!     before this group was written                           u64
//! 24  number of updates; 0 in a group that only marks         u32
//! 28  length of their records                                 u32
//! 32  flags: 1 the hub ended in good order after this         u32
//! 36  the first bytes of the history's name                   u32
//! 40  the records
//! ```

use super::bytes::{checksum, put_u32, put_u64, u32_at, u64_at};
use crate::protocol::update::Position;

pub(super) const HEADER_LEN: usize = 40;
const MAGIC: u32 = 0xa501_7e7a;
const CLOSED: u32 = 1;

/// What a group says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: Position,
    /// Everything up to here was synced before.
    pub(super) mark: Position,
    pub(super) count: u32,
    /// Bytes of the records.
    pub(super) len: u32,
    /// Nothing was written after it.
    pub(super) closed: bool,
}

impl Header {
    /// A group without updates, which tells what was synced: everything.
    pub(super) fn marking(committed: Position, closed: bool) -> Header {
        Header { first: committed.next(), mark: committed, count: 0, len: 0, closed }
    }

    /// `history`: the first bytes of its name.
    pub(super) fn encode(&self, history: u32) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put_u32(&mut bytes, 0, MAGIC);
        put_u64(&mut bytes, 8, self.first.0);
        put_u64(&mut bytes, 16, self.mark.0);
        put_u32(&mut bytes, 24, self.count);
        put_u32(&mut bytes, 28, self.len);
        put_u32(&mut bytes, 32, if self.closed { CLOSED } else { 0 });
        put_u32(&mut bytes, 36, history);
        let sum = checksum(&bytes[8..]);
        put_u32(&mut bytes, 4, sum);
        bytes
    }

    /// The header that begins `bytes`, if one of this history does.
    pub(super) fn decode(bytes: &[u8], history: u32) -> Option<Header> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let is_header = begins(bytes)
            && u32_at(bytes, 4)? == checksum(&bytes[8..])
            && u32_at(bytes, 36)? == history;
        if !is_header {
            return None;
        }
        Some(Header {
            first: Position(u64_at(bytes, 8)?),
            mark: Position(u64_at(bytes, 16)?),
            count: u32_at(bytes, 24)?,
            len: u32_at(bytes, 28)?,
            closed: u32_at(bytes, 32)? & CLOSED != 0,
        })
    }

    /// The position of the last update.
    pub(super) fn last(&self) -> Position {
        Position(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }
}

/// Whether a group, and no record, begins `bytes`.
pub(super) fn begins(bytes: &[u8]) -> bool {
    u32_at(bytes, 0) == Some(MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_was_encoded_and_no_damage_goes_unnoticed() {
        let header =
            Header { first: Position(8), mark: Position(7), count: 3, len: 4096, closed: false };
        let mut bytes = header.encode(99);
        assert_eq!(Header::decode(&bytes, 99), Some(header));
        assert_eq!(header.last(), Position(10));
        assert_eq!(Header::decode(&bytes, 98), None, "of another history");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes, 99), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let closing = Header::marking(Position(10), true);
        assert_eq!(Header::decode(&closing.encode(1), 1), Some(closing));
        assert_eq!(closing.last(), Position(10));
    }
}
