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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fixture::{Fixture, interest};

    #[test]
    fn equal_sets_are_one_while_somebody_holds_them() {
        let mut grants = Grants::new(TopicHasher::new());
        let set = |texts: &[&str]| interest(texts, &[]).matchers;
        assert_eq!(grants.intern(&set(&[])), NONE);
        let a = grants.intern(&set(&["a", "b"]));
        assert_eq!(grants.intern(&set(&["b", "a"])), a);
        let other = grants.intern(&set(&["a"]));
        assert_ne!(other, a);
        grants.release(a);
        assert_eq!(grants.intern(&set(&["a", "b"])), a);
        for id in [a, a, other, NONE] {
            grants.release(id);
        }
        assert_eq!(grants.len(), 0);
    }

    #[test]
    fn verdicts_are_those_of_the_update_in_question() {
        // Whatever the order of the questions, and whether they were asked before.
        let mut f = Fixture::new(crate::hub::Limits::default());
        let topics = ["a", "b"];
        let updates: Vec<_> = (0..300).map(|i| f.update(&[topics[i % 7 % 2]], true)).collect();
        let mut grants = Grants::new(TopicHasher::new());
        let a = grants.intern(&interest(&["a"], &[]).matchers);
        let all = grants.intern(&interest(&["*"], &[]).matchers);
        let mut random = 1_usize;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let around = [0, 63, 64, 65, 200][(random >> 40) % 5];
            let i = (around + (random >> 33) % 80).min(299);
            let expected = topics[i % 7 % 2] == "a";
            assert_eq!(grants.may_read(a, i as u64, &updates[i]), expected, "{i}");
            assert!(grants.may_read(all, i as u64, &updates[i]));
            assert!(!grants.may_read(NONE, i as u64, &updates[i]));
        }
    }

    #[test]
    fn a_set_with_the_number_of_another_one_knows_nothing() {
        let mut f = Fixture::new(crate::hub::Limits::default());
        let update = f.update(&["a"], true);
        let mut grants = Grants::new(TopicHasher::new());
        let a = grants.intern(&interest(&["a"], &[]).matchers);
        assert!(grants.may_read(a, 0, &update));
        grants.release(a);
        let b = grants.intern(&interest(&["b"], &[]).matchers);
        assert_eq!(a, b, "numbers are given again");
        assert!(!grants.may_read(b, 0, &update));
    }
}
