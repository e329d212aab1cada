//! The first bytes of a segment.
//!
//! ```text
//!  0  "petasosl"
//!  8  version of the format                                   u32
//! 12  checksum of the other 60 bytes                          u32
//! 16  name of the history, random                             16 bytes
//! 32  number of the segment, as in its file name              u64
//! 40  bytes that were set aside for it                        u64
//! 48  zeros
//! ```

use super::bytes::{checksum_around, put_u32, put_u64, u32_at, u64_at};

/// Groups begin here.
pub(super) const LEN: usize = 64;
const MAGIC: &[u8; 8] = b"petasosl";
/// Where the checksum is, in every version.
const CHECKSUM: usize = 12;
/// Of segments and of the manifest.
pub(super) const VERSION: u32 = 1;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) history: [u8; 16],
    pub(super) number: u64,
    /// Bytes that were set aside for it.
    pub(super) capacity: u64,
}

/// Why a file is no segment that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("its head is damaged")]
    Damaged,
    #[error("it has version {0} of the format, and this hub knows 1: use a newer hub")]
    Version(u32),
}

impl Head {
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        bytes[16..32].copy_from_slice(&self.history);
        put_u64(&mut bytes, 32, self.number);
        put_u64(&mut bytes, 40, self.capacity);
        let sum = checksum_around(&bytes, CHECKSUM);
        put_u32(&mut bytes, CHECKSUM, sum);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Head, BadHead> {
        let bytes = bytes.get(..LEN).ok_or(BadHead::Damaged)?;
        let sum = checksum_around(bytes, CHECKSUM);
        if !bytes.starts_with(MAGIC) || u32_at(bytes, CHECKSUM) != Some(sum) {
            return Err(BadHead::Damaged);
        }
        match u32_at(bytes, 8) {
            Some(VERSION) => {}
            other => return Err(BadHead::Version(other.unwrap_or_default())),
        }
        let number = |at| u64_at(bytes, at).ok_or(BadHead::Damaged);
        Ok(Head {
            history: *bytes[16..].first_chunk().ok_or(BadHead::Damaged)?,
            number: number(32)?,
            capacity: number(40)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_was_encoded_and_no_damage_goes_unnoticed() {
        let head = Head { history: [3; 16], number: 9, capacity: 1 << 20 };
        let mut bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Ok(head));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Head::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        put_u32(&mut bytes, 8, 2);
        let sum = checksum_around(&bytes, CHECKSUM);
        put_u32(&mut bytes, CHECKSUM, sum);
        assert_eq!(Head::decode(&bytes), Err(BadHead::Version(2)));
        assert_eq!(Head::decode(&bytes[..63]), Err(BadHead::Damaged));
    }
}
