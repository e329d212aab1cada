//! What tokens grant, interned: a private update is checked once for each distinct set of grants,
//! not once for each subscriber.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::HashTable;

use super::slab::{NONE, Slab};
use crate::protocol::{matcher::MatcherSet, topic::TopicHasher, update::Update};

#[derive(Debug)]
struct Grant {
    topics: Arc<MatcherSet>,
    hash: u64,
    holders: u32,
    /// Verdicts on up to 64 private updates that were taken one after the other.
    checked: Checked,
}

/// Bit `i` is about the update with sequence number `first + i`.
#[derive(Debug, Default)]
struct Checked {
    first: u64,
    known: u64,
    allowed: u64,
}

#[derive(Debug)]
pub(super) struct Grants {
    hasher: TopicHasher,
    table: Slab<Grant>,
    by_hash: HashTable<u32>,
}

impl Grants {
    pub(super) fn new(hasher: TopicHasher) -> Self {
        Grants { hasher, table: Slab::new(), by_hash: HashTable::new() }
    }

    /// How many distinct sets are held.
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.by_hash.len(), self.table.len());
        self.table.len()
    }

    /// The number of `topics`, to be given back with [`Grants::release`]; `NONE` if nothing is
    /// granted.
    pub(super) fn intern(&mut self, topics: &Arc<MatcherSet>) -> u32 {
        if topics.is_empty() {
            return NONE;
        }
        let hash = self.hasher.hash_one(topics);
        let found = self.by_hash.find(hash, |&id| self.table[id].topics == *topics);
        if let Some(&id) = found {
            self.table[id].holders += 1;
            return id;
        }
        let grant =
            Grant { topics: Arc::clone(topics), hash, holders: 1, checked: Checked::default() };
        let id = self.table.insert(grant).index();
        let Grants { table, by_hash, .. } = self;
        by_hash.insert_unique(hash, id, |&id| table[id].hash);
        id
    }

    pub(super) fn release(&mut self, id: u32) {
        if id == NONE {
            return;
        }
        let grant = &mut self.table[id];
        grant.holders -= 1;
        if grant.holders == 0 {
            let hash = self.table.remove(id).hash;
            if let Ok(entry) = self.by_hash.find_entry(hash, |&other| other == id) {
                entry.remove();
            }
        }
    }

    /// Whether a private update may be read (draft-08 #subscribers). `sequence` names the update
    /// among those that the worker took.
    pub(super) fn may_read(&mut self, id: u32, sequence: u64, update: &Update) -> bool {
        if id == NONE {
            return false;
        }
        let Grant { topics, checked, .. } = &mut self.table[id];
        if sequence.checked_sub(checked.first).is_none_or(|i| i >= 64) {
            *checked = Checked { first: sequence, ..Checked::default() };
        }
        let bit = 1 << (sequence - checked.first);
        if checked.known & bit == 0 {
            checked.known |= bit;
            if topics.matches_any(&update.topics) {
                checked.allowed |= bit;
            }
        }
        checked.allowed & bit != 0
    }
}
