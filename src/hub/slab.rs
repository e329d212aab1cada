//! A table that grows piece by piece: no entry ever moves, and growing never copies a million of
//! them in one turn of a worker.

use std::ops::{Index, IndexMut};

const PIECE_LEN: usize = 1024;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// Names an entry for ever: a key is never given again, so what still holds the key of an entry
/// that is gone (a list, an event of the kernel, a reply of a reader) finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The entry's number; it is given again.
    pub fn index(self) -> u32 {
        self.index
    }

    /// The key as a number, for what the kernel hands back.
    pub fn to_bits(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    pub fn from_bits(bits: u64) -> Key {
        Key { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Entry<T> {
    /// How often the entry was freed.
    generation: u32,
    value: Option<T>,
}

/// Values under small numbers (indexing) and under keys ([`Slab::get`]).
#[derive(Debug)]
pub(super) struct Slab<T> {
    pieces: Vec<Vec<Entry<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab { pieces: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let entry = self.entry_mut(index).expect("free entries exist");
        entry.value = Some(value);
        Key { index, generation: entry.generation }
    }

    /// Frees an entry. Panics if there is none, like indexing.
    pub(super) fn remove(&mut self, index: u32) -> T {
        let entry = self.entry_mut(index).expect("an entry of the table");
        let value = entry.value.take().expect("freed once");
        entry.generation = entry.generation.wrapping_add(1);
        self.len -= 1;
        self.free.push(index);
        value
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entry(key.index)?;
        entry.value.as_ref().filter(|_| entry.generation == key.generation)
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// The key of the entry at `index`.
    pub(super) fn key(&self, index: u32) -> Key {
        let generation = self.entry(index).expect("an entry of the table").generation;
        Key { index, generation }
    }

    /// The keys of all entries.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.pieces
            .iter()
            .flatten()
            .zip(0..)
            .filter(|(entry, _)| entry.value.is_some())
            .map(|(entry, index)| Key { index, generation: entry.generation })
    }

    fn grow(&mut self) -> u32 {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE_LEN) {
            self.pieces.push(Vec::with_capacity(PIECE_LEN));
        }
        let before = (self.pieces.len() - 1) * PIECE_LEN;
        let piece = self.pieces.last_mut().expect("just pushed");
        piece.push(Entry { generation: 0, value: None });
        u32::try_from(before + piece.len() - 1).expect("far fewer than 2^32 entries")
    }

    fn entry(&self, index: u32) -> Option<&Entry<T>> {
        self.pieces.get(index as usize / PIECE_LEN)?.get(index as usize % PIECE_LEN)
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        self.pieces.get_mut(index as usize / PIECE_LEN)?.get_mut(index as usize % PIECE_LEN)
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.entry(index).and_then(|entry| entry.value.as_ref()).expect("an entry of the table")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.entry_mut(index).and_then(|entry| entry.value.as_mut()).expect("an entry of the table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_given_again_but_keys_are_not() {
        let mut slab = Slab::new();
        let keys: Vec<Key> = (0..3000).map(|i| slab.insert(i)).collect();
        assert!(keys.iter().zip(0..).all(|(key, i)| key.index() == i));
        assert_eq!(slab.remove(1500), 1500);
        assert!(!slab.contains(keys[1500]));
        assert_eq!((slab.len(), slab.keys().count()), (2999, 2999));
        let again = slab.insert(7);
        assert_eq!(again.index(), 1500);
        assert_eq!((slab.get(keys[1500]), slab.get(again)), (None, Some(&7)));
        assert_eq!((slab[1499], slab[2999]), (1499, 2999));
        assert_eq!(Key::from_bits(again.to_bits()), again);
    }
}
