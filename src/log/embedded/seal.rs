//! What is appended to a segment once it is full: its index, so that a start does not read it.
//!
//! ```text
//!    the list of places: number of the record (u32), offset (u32)
//!    hashes of the given ids: 40 bits of hash, 24 bits number of the record; sorted
//!  0 "petasoss", of the last 80 bytes of the file
//!  8 checksum of the 64 bytes that follow                     u32
//! 12 checksum of the list of places                           u32
//! 16 position of the first update                             u64
//! 24 number of updates                                        u32
//! 28 checksum of the hashes of ids                            u32
//! 32 where the records end and the list of places begins      u64
//! 40 number of places                                         u32
//! 44 number of ids                                            u32
//! 48 when its latest update was published                     u64
//! 56 number of the segment                                    u64
//! 64 name of the history                                      16 bytes
//! ```

use super::{
    bytes::{checksum, put_u32, put_u64, u32_at, u64_at},
    index::{Entry, Index, Places},
};
use crate::protocol::{time::UnixTime, update::Position};

pub(super) const TRAILER_LEN: usize = 80;
const MAGIC: &[u8; 8] = b"petasoss";
const PLACE_LEN: usize = 8;
pub(super) const ID_LEN: usize = 8;

/// What a sealed segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) history: [u8; 16],
    pub(super) number: u64,
    pub(super) first: Position,
    pub(super) count: u32,
    /// Where the records end.
    pub(super) end: u64,
    /// When its latest update was published.
    pub(super) newest: UnixTime,
    pub(super) places: u32,
    places_sum: u32,
    pub(super) ids: u32,
    ids_sum: u32,
}

impl Seal {
    /// The position of its last update; of an empty one, the position before it.
    pub(super) fn last(&self) -> Position {
        Position((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }

    /// Where the hashes of ids begin.
    pub(super) fn ids_start(&self) -> u64 {
        self.end + u64::from(self.places) * PLACE_LEN as u64
    }

    pub(super) fn ids_end(&self) -> u64 {
        self.ids_start() + u64::from(self.ids) * ID_LEN as u64
    }

    pub(super) fn file_len(&self) -> u64 {
        self.ids_end() + TRAILER_LEN as u64
    }

    /// The list of places, from its bytes; `None` if they are damaged.
    pub(super) fn read_places(&self, bytes: &[u8]) -> Option<Places> {
        let is_whole = bytes.len() == self.places as usize * PLACE_LEN;
        if !is_whole || checksum(bytes) != self.places_sum {
            return None;
        }
        let entry =
            |bytes: &[u8]| Some(Entry { record: u32_at(bytes, 0)?, offset: u32_at(bytes, 4)? });
        Some(Places(bytes.chunks(PLACE_LEN).filter_map(entry).collect()))
    }

    /// Whether these are the bytes of its hashes of ids.
    pub(super) fn has_ids(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.ids as usize * ID_LEN && checksum(bytes) == self.ids_sum
    }

    /// What the last bytes of the file say, if it is sealed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Seal> {
        let bytes = bytes.get(..TRAILER_LEN)?;
        let is_seal = bytes.starts_with(MAGIC) && u32_at(bytes, 8)? == checksum(&bytes[12..]);
        if !is_seal {
            return None;
        }
        Some(Seal {
            history: *bytes[64..].first_chunk()?,
            number: u64_at(bytes, 56)?,
            first: Position(u64_at(bytes, 16)?),
            count: u32_at(bytes, 24)?,
            end: u64_at(bytes, 32)?,
            newest: UnixTime::from_micros(u64_at(bytes, 48)?),
            places: u32_at(bytes, 40)?,
            places_sum: u32_at(bytes, 12)?,
            ids: u32_at(bytes, 44)?,
            ids_sum: u32_at(bytes, 28)?,
        })
    }
}

/// What a segment contains, for its seal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents {
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) end: u64,
    pub(super) newest: UnixTime,
}

/// Bytes of the seal of a segment with this index.
pub(super) fn len(index: &Index) -> u64 {
    (index.places.0.len() * PLACE_LEN + index.ids.len() * ID_LEN + TRAILER_LEN) as u64
}

/// The seal of a segment, and what is to be written where its records end.
pub(super) fn seal(
    history: [u8; 16],
    number: u64,
    contents: Contents,
    index: &Index,
) -> (Seal, Vec<u8>) {
    let Contents { first, count, end, newest } = contents;
    let mut bytes = Vec::new();
    for entry in &index.places.0 {
        bytes.extend_from_slice(&entry.record.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    let ids_start = bytes.len();
    for id in &index.ids {
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    let seal = Seal {
        history,
        number,
        first,
        count,
        end,
        newest,
        places: index.places.0.len() as u32,
        places_sum: checksum(&bytes[..ids_start]),
        ids: index.ids.len() as u32,
        ids_sum: checksum(&bytes[ids_start..]),
    };
    let start = bytes.len();
    bytes.resize(start + TRAILER_LEN, 0);
    let trailer = &mut bytes[start..];
    trailer[..8].copy_from_slice(MAGIC);
    put_u32(trailer, 12, seal.places_sum);
    put_u64(trailer, 16, first.0);
    put_u32(trailer, 24, count);
    put_u32(trailer, 28, seal.ids_sum);
    put_u64(trailer, 32, end);
    put_u32(trailer, 40, seal.places);
    put_u32(trailer, 44, seal.ids);
    put_u64(trailer, 48, newest.as_micros());
    put_u64(trailer, 56, number);
    trailer[64..80].copy_from_slice(&history);
    let sum = checksum(&trailer[12..]);
    put_u32(trailer, 8, sum);
    (seal, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::index::IdHasher;

    #[test]
    fn a_seal_is_what_was_encoded_and_no_damage_goes_unnoticed() {
        let hasher = IdHasher::new([1; 16]);
        let mut index = Index::default();
        for record in 0..100 {
            index.places.add(record, 64 + record * 1000);
            index.add_id(hasher.hash(&record.to_string()), record);
        }
        let contents = Contents {
            first: Position(41),
            count: 100,
            end: 100_064,
            newest: UnixTime::from_secs(9),
        };
        let (sealed, mut bytes) = seal([7; 16], 3, contents, &index);
        let trailer = bytes.len() - TRAILER_LEN;
        assert_eq!(Seal::decode(&bytes[trailer..]), Some(sealed));
        assert_eq!(sealed.last(), Position(140));
        assert_eq!(sealed.file_len(), 100_064 + bytes.len() as u64);
        assert_eq!(len(&index), bytes.len() as u64);
        let (places, ids) = (sealed.places as usize * 8, sealed.ids as usize * 8);
        assert_eq!(places + ids, trailer);
        assert_eq!(sealed.read_places(&bytes[..places]).unwrap().0, index.places.0);
        assert!(sealed.has_ids(&bytes[places..trailer]));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let is_noticed = Seal::decode(&bytes[trailer..]).is_none()
                || sealed.read_places(&bytes[..places]).is_none()
                || !sealed.has_ids(&bytes[places..trailer]);
            assert!(is_noticed, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
