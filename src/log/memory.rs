//! History in memory: bounded by number and bytes, gone with the process.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, PoisonError, RwLock},
};

pub use super::kept::Retention;
use super::{
    history::{
        Chunk, Found, Gap, History, Located, ReadBudget, Store, StoreError, UnknownId, Unreadable,
    },
    kept::Kept,
};
use crate::protocol::{
    frame::Form,
    id::{IdCipher, Place},
    matcher::Interest,
    subscribe::{EARLIEST, Since},
    update::{Position, Update},
};

/// The updates of a history in memory. Clones share them.
#[derive(Clone)]
pub struct Memory {
    kept: Kept,
    /// (hash of the id, position) of kept updates whose publisher gave the id. Locked as `kept` is.
    given_ids: Arc<RwLock<BTreeSet<(u64, Position)>>>,
    cipher: IdCipher,
    incarnation: u32,
    hasher: RandomState,
}

impl Memory {
    pub fn new(
        retention: Retention,
        cipher: IdCipher,
        incarnation: u32,
        hasher: RandomState,
    ) -> Self {
        let kept = Kept::new(retention, Position::START);
        Memory { kept, given_ids: Arc::default(), cipher, incarnation, hasher }
    }

    /// The kept update that bears `id`; of several the earliest (draft-08 #reconciliation).
    fn find(&self, id: &str) -> Option<Position> {
        let bears_id =
            |position: &Position| self.kept.get(*position).is_some_and(|update| update.id() == id);
        let generated = self
            .cipher
            .decode(id)
            .filter(|place| place.incarnation == self.incarnation)
            .map(|place| place.position)
            .filter(bears_id);
        let hash = self.hasher.hash_one(id);
        let given = self
            .given_ids
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .range((hash, Position::START)..=(hash, Position(u64::MAX)))
            .map(|&(_, position)| position)
            .find(bears_id);
        generated.into_iter().chain(given).min()
    }

    /// Why `id`, which was not found, is not there.
    fn gap(&self, id: &str) -> Gap {
        let was_ours = |place: Place| {
            let was_given = Position::START < place.position && place.position <= self.kept.start();
            place.incarnation == self.incarnation && was_given
        };
        if self.cipher.decode(id).is_some_and(was_ours) { Gap::Trimmed } else { Gap::Unknown }
    }
}

impl Store for Memory {
    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        let entry = |update: &Arc<Update>| {
            let hash = || (self.hasher.hash_one(update.id()), update.position);
            (!update.id_is_generated).then(hash)
        };
        {
            let mut ids = self.given_ids.write().unwrap_or_else(PoisonError::into_inner);
            ids.extend(updates.iter().filter_map(entry));
        }
        let removed = self.kept.append(updates);
        if removed.iter().any(|update| !update.id_is_generated) {
            let mut ids = self.given_ids.write().unwrap_or_else(PoisonError::into_inner);
            for entry in removed.iter().filter_map(entry) {
                ids.remove(&entry);
            }
        }
        Ok(())
    }

    fn retained(&self) -> (u64, u64) {
        let (updates, bytes) = self.kept.len();
        (updates as u64, bytes as u64)
    }
}

impl History for Memory {
    fn locate(&self, since: &Since, unknown: UnknownId) -> Result<Located, Unreadable> {
        let earliest =
            || Located { position: self.kept.start(), last_event_id: EARLIEST.into(), gap: None };
        let newest = || {
            let position = self.kept.last();
            let update = self.kept.get(position);
            let last_event_id = update.as_ref().map_or(EARLIEST, |update| update.id()).into();
            Located { position, last_event_id, gap: None }
        };
        let unknown_id = |gap| {
            let located = match unknown {
                UnknownId::All => earliest(),
                UnknownId::Live => newest(),
            };
            Located { gap: Some(gap), ..located }
        };
        Ok(match since {
            Since::Earliest => earliest(),
            Since::Empty => newest(),
            Since::Id(id) => match self.find(id) {
                Some(position) => Located { position, last_event_id: id.clone(), gap: None },
                None => unknown_id(self.gap(id)),
            },
            Since::Unknown => unknown_id(Gap::Unknown),
        })
    }

    fn read(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        budget: ReadBudget,
    ) -> Result<Chunk, Unreadable> {
        self.kept.read(after, interest, form, budget)
    }

    fn search(&self, id: &str) -> Result<Found, Unreadable> {
        // Before the look: what is committed meanwhile may be found or not.
        let through = self.kept.last();
        Ok(Found { position: self.find(id), through })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::sequence::Places,
        protocol::{
            fixture,
            frame::{Fields, FrameDraft},
            matcher::{Matcher, MatcherSet},
            time::UnixTime,
            update::Draft,
        },
    };

    struct Fixture {
        memory: Memory,
        places: Places,
        ids: Vec<String>,
    }

    fn fixture(retention: Retention) -> Fixture {
        let cipher = IdCipher::new([5; 16]);
        Fixture {
            memory: Memory::new(retention, cipher.clone(), 1, RandomState::new()),
            places: Places::new(cipher, 1, Position::START),
            ids: vec![],
        }
    }

    impl Fixture {
        fn publish(&mut self, topic: &str, id: Option<&str>, private: bool) {
            let frame = FrameDraft::new(Fields { id, data: topic, ..Fields::default() });
            let topics = [fixture::topic(topic)].into();
            let update = Arc::new(self.places.place(Draft {
                frame,
                topics,
                private,
                published: UnixTime::default(),
            }));
            self.ids.push(update.id().to_owned());
            self.memory.append(&[update]).unwrap();
        }

        fn locate(&self, id: &str) -> (u64, String) {
            self.locate_as(&Since::Id(id.into()), UnknownId::All)
        }

        fn locate_as(&self, since: &Since, unknown: UnknownId) -> (u64, String) {
            let located = self.memory.locate(since, unknown).unwrap();
            (located.position.0, located.last_event_id.into())
        }

        fn read(&self, after: u64, interest: &Interest) -> Result<Vec<u64>, Unreadable> {
            let budget = ReadBudget { bytes: 1, updates: 1000 };
            let (mut after, mut got) = (Position(after), vec![]);
            loop {
                let chunk = self.memory.read(after, interest, Form::Chunked, budget)?;
                if chunk.through == after {
                    return Ok(got);
                }
                assert!(chunk.events.count() <= 1, "the budget of bytes is one update at a time");
                got.extend(chunk.events.first().map(|position| position.0));
                after = chunk.through;
            }
        }

        fn gap(&self, id: &str) -> Option<Gap> {
            self.memory.locate(&Since::Id(id.into()), UnknownId::All).unwrap().gap
        }
    }

    fn interest(matchers: Matcher, grants: &[Matcher]) -> Interest {
        Interest {
            matchers: Arc::new([matchers].into_iter().collect::<MatcherSet>()),
            grants: Arc::new(grants.iter().cloned().collect()),
        }
    }

    const UNLIMITED: Retention = Retention { updates: 0, bytes: 0 };

    #[test]
    fn known_ids_are_found_and_named() {
        let mut f = fixture(UNLIMITED);
        for id in [None, Some("mine"), None] {
            f.publish("a", id, false);
        }
        for position in 1..=3 {
            let id = f.ids[position - 1].clone();
            assert_eq!(f.locate(&id), (position as u64, id));
        }
    }

    #[test]
    fn unknown_ids_get_all_or_only_what_is_new() {
        let mut f = fixture(UNLIMITED);
        assert_eq!(f.locate("x"), (0, "earliest".into()));
        assert_eq!(f.locate_as(&Since::Empty, UnknownId::All), (0, "earliest".into()));
        f.publish("a", None, false);
        f.publish("a", Some("mine"), false);
        let x = Since::Id("x".into());
        assert_eq!(f.locate_as(&x, UnknownId::All), (0, "earliest".into()));
        assert_eq!(f.locate_as(&x, UnknownId::Live), (2, "mine".into()));
        assert_eq!(f.locate_as(&Since::Empty, UnknownId::All), (2, "mine".into()));
        assert_eq!(f.locate_as(&Since::Earliest, UnknownId::Live), (0, "earliest".into()));
    }

    #[test]
    fn a_repeated_id_means_its_earliest_retained_update() {
        let mut f = fixture(Retention { updates: 3, bytes: 0 });
        for id in ["a", "twice", "twice"] {
            f.publish("t", Some(id), false);
        }
        assert_eq!(f.locate("twice"), (2, "twice".into()));
        f.publish("t", Some("b"), false);
        assert_eq!(f.locate("a").1, "earliest", "trimmed");
        f.publish("t", Some("c"), false);
        assert_eq!(f.locate("twice"), (3, "twice".into()), "the earlier one is trimmed");
        f.publish("t", Some("d"), false);
        assert_eq!(f.locate("twice"), (3, "earliest".into()));
    }

    #[test]
    fn a_search_is_about_all_that_is_retained() {
        let mut f = fixture(Retention { updates: 3, bytes: 0 });
        let found = |position: Option<u64>, through| {
            Ok(Found { position: position.map(Position), through: Position(through) })
        };
        assert_eq!(f.memory.search("a"), found(None, 0));
        for (id, private) in [(Some("a"), false), (Some("b"), true), (None, false)] {
            f.publish("t", id, private);
        }
        assert_eq!(f.memory.search("a"), found(Some(1), 3));
        assert_eq!(f.memory.search("b"), found(Some(2), 3), "private ones too");
        assert_eq!(f.memory.search(&f.ids[2]), found(Some(3), 3), "and generated ids");
        f.publish("t", Some("b"), false);
        assert_eq!(f.memory.search("a"), found(None, 4), "trimmed");
        assert_eq!(f.memory.search("b"), found(Some(2), 4), "the earliest");
    }

    #[test]
    fn why_an_id_is_not_there_is_told() {
        let mut f = fixture(Retention { updates: 2, bytes: 0 });
        for id in [None, Some("given"), None, None] {
            f.publish("t", id, false);
        }
        assert_eq!(f.gap(&f.ids[3]), None);
        assert_eq!(f.gap(&f.ids[0]), Some(Gap::Trimmed));
        // Nothing is left that could tell.
        assert_eq!(f.gap("given"), Some(Gap::Unknown));
        let other = fixture(UNLIMITED).memory.cipher.encode(Place {
            incarnation: 2,
            position: Position(1),
            sub_position: 0,
        });
        assert_eq!(f.gap(str::from_utf8(&other).unwrap()), Some(Gap::Unknown));
    }

    #[test]
    fn an_id_counts_only_if_the_update_at_its_place_bears_it() {
        let mut f = fixture(UNLIMITED);
        f.publish("t", Some("given"), false);
        // The id that the hub would have generated for place 1, and those of other histories.
        let at = |key, incarnation, position| {
            let place = crate::protocol::id::Place {
                incarnation,
                position: Position(position),
                sub_position: 0,
            };
            String::from_utf8(IdCipher::new(key).encode(place).to_vec()).unwrap()
        };
        for forged in [at([5; 16], 1, 1), at([5; 16], 1, 9), at([5; 16], 2, 1), at([6; 16], 1, 1)] {
            assert_eq!(f.locate(&forged).1, "earliest");
        }
        // A publisher may give an id of that form: it is found as given, and the earliest wins.
        let second = at([5; 16], 1, 3);
        f.publish("t", Some(&second), false);
        assert_eq!(f.locate(&second), (2, second.clone()));
        f.publish("t", None, false);
        assert_eq!(f.ids[2], second, "now two updates bear it");
        assert_eq!(f.locate(&second), (2, second));
    }

    #[test]
    fn reading_selects_by_matchers_and_grants() {
        let mut f = fixture(UNLIMITED);
        for (topic, private) in [("a", false), ("b", false), ("a", true), ("b", true), ("a", false)]
        {
            f.publish(topic, None, private);
        }
        let exact = |text: &str| Matcher::Exact(text.into());
        assert_eq!(f.read(0, &interest(exact("a"), &[])), Ok(vec![1, 5]));
        assert_eq!(f.read(1, &interest(exact("a"), &[])), Ok(vec![5]));
        assert_eq!(f.read(0, &interest(Matcher::Any, &[])), Ok(vec![1, 2, 5]));
        assert_eq!(f.read(0, &interest(Matcher::Any, &[exact("b")])), Ok(vec![1, 2, 4, 5]));
        assert_eq!(f.read(0, &interest(exact("a"), &[Matcher::Any])), Ok(vec![1, 3, 5]));
        assert_eq!(f.read(5, &interest(Matcher::Any, &[])), Ok(vec![]));
    }

    #[test]
    fn a_reader_that_was_overtaken_is_told() {
        let mut f = fixture(Retention { updates: 2, bytes: 0 });
        for _ in 0..5 {
            f.publish("a", None, false);
        }
        let all = interest(Matcher::Any, &[]);
        assert_eq!(f.read(2, &all), Err(Unreadable::Overtaken));
        assert_eq!(f.read(3, &all), Ok(vec![4, 5]));
    }

    #[test]
    fn retention_is_by_count_and_by_bytes() {
        let mut f = fixture(Retention { updates: 0, bytes: 2000 });
        for _ in 0..100 {
            f.publish("a", Some("i"), false);
        }
        let (updates, bytes) = f.memory.kept.len();
        assert!(bytes <= 2000 && bytes > 1000, "{bytes}");
        assert_eq!(f.memory.given_ids.read().unwrap().len(), updates);
        let mut nothing = fixture(Retention::NOTHING);
        nothing.publish("a", Some("i"), false);
        assert_eq!(nothing.locate("i"), (1, "earliest".into()));
        assert_eq!(nothing.locate_as(&Since::Empty, UnknownId::All), (1, "earliest".into()));
        assert_eq!(nothing.read(1, &interest(Matcher::Any, &[])), Ok(vec![]));
    }
}
