//! Where updates lie in a segment: by their place, and by the ids that publishers gave.

use std::{collections::BTreeSet, hash::Hasher, ops::RangeInclusive};

use siphasher::sip::SipHasher24;

/// Bytes of a segment for each entry of its list of places: what is read at most to find one.
const STRIDE: u32 = 4096;

/// Hashes ids. Keyed, since publishers choose them; the key lies with the history, since hashes do.
#[derive(Clone)]
pub(super) struct IdHasher {
    key: [u8; 16],
}

impl IdHasher {
    pub(super) fn new(key: [u8; 16]) -> Self {
        IdHasher { key }
    }

    pub(super) fn hash(&self, id: &str) -> IdHash {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(id.as_bytes());
        IdHash::of_entry(hasher.finish())
    }
}

/// The last record of a segment that an index can name: the lower 24 bits of an entry of `ids`.
pub(super) const RECORD_MAX: u32 = (1 << 24) - 1;

/// The upper 40 bits of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdHash(u64);

impl IdHash {
    /// The hash in an entry of `ids`.
    pub(super) fn of_entry(entry: u64) -> IdHash {
        IdHash(entry & !u64::from(RECORD_MAX))
    }

    /// As the upper 40 of 64 bits, the others zero.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// The entries of `ids` with this hash, from the record with this number on.
    pub(super) fn entries_from(self, record: u32) -> RangeInclusive<u64> {
        self.0 | u64::from(record)..=self.0 | u64::from(RECORD_MAX)
    }
}

/// The number of the record that an entry of `ids` names.
pub(super) fn record_of(entry: u64) -> u32 {
    entry as u32 & RECORD_MAX
}

/// A record and where it, or the group that it begins, lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of the record in its segment.
    pub(super) record: u32,
    pub(super) offset: u32,
}

/// The list of places: records in their order, one for every few kilobytes.
#[derive(Debug, Default)]
pub(super) struct Places(pub(super) Vec<Entry>);

impl Places {
    /// Notes the next record, if it lies far enough from the last that was noted.
    pub(super) fn add(&mut self, record: u32, offset: u32) {
        if self.0.last().is_none_or(|last| offset - last.offset >= STRIDE) {
            self.0.push(Entry { record, offset });
        }
    }

    /// The last noted record that is not after `record`: where to read from, to find it.
    pub(super) fn before(&self, record: u32) -> Option<Entry> {
        let index = self.0.partition_point(|entry| entry.record <= record);
        Some(self.0[index.checked_sub(1)?])
    }

    /// The first noted record that does not lie before `offset`.
    pub(super) fn at_or_after(&self, offset: u64) -> Option<Entry> {
        let index = self.0.partition_point(|entry| u64::from(entry.offset) < offset);
        self.0.get(index).copied()
    }
}

/// The index of a segment that is being written.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) places: Places,
    /// Hashes of the ids that publishers gave, each with the number of its record.
    pub(super) ids: BTreeSet<u64>,
}

impl Index {
    pub(super) fn add_id(&mut self, hash: IdHash, record: u32) {
        self.ids.insert(hash.0 | u64::from(record));
    }

    /// Records whose id has this hash, from the one with the number `from` on: at most `count`.
    pub(super) fn ids_from(&self, hash: IdHash, from: u32, count: usize) -> Vec<u32> {
        let entries = self.ids.range(hash.entries_from(from));
        entries.take(count).map(|entry| record_of(*entry)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_near_the_record() {
        let mut places = Places::default();
        for record in 0..1000 {
            places.add(record, 64 + record * 100);
        }
        assert!(places.0.len() < 30);
        for record in 0..1000 {
            let entry = places.before(record).unwrap();
            assert!(entry.record <= record);
            assert!((record - entry.record) * 100 <= STRIDE);
            let after = places.at_or_after(u64::from(64 + record * 100));
            assert!(after.is_none_or(|entry| entry.record >= record));
        }
        assert_eq!(places.at_or_after(0), Some(Entry { record: 0, offset: 64 }));
        assert_eq!(Places::default().before(3), None);
    }

    #[test]
    fn ids_are_found_by_hash_in_the_order_of_their_records() {
        let hasher = IdHasher::new([1; 16]);
        let mut index = Index::default();
        for (record, id) in ["a", "b", "a", "c", "a"].iter().enumerate() {
            index.add_id(hasher.hash(id), record as u32);
        }
        let records = |id, from| -> Vec<u32> { index.ids_from(hasher.hash(id), from, 10) };
        assert_eq!(records("a", 0), [0, 2, 4]);
        assert_eq!(records("a", 1), [2, 4]);
        assert_eq!(records("b", 0), [1]);
        assert_eq!(records("d", 0), [0_u32; 0]);
        assert_ne!(IdHasher::new([2; 16]).hash("a"), hasher.hash("a"), "keyed");
    }
}
