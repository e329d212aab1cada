//! History in memory: bounded by number and bytes, gone with the process.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, RwLock, RwLockReadGuard},
};

use super::history::{
    Chunk, Found, Gap, History, Located, ReadBudget, Store, StoreError, UnknownId, Unreadable,
};
use crate::protocol::{
    frame::Form,
    id::{IdCipher, Place},
    matcher::Interest,
    subscribe::{EARLIEST, Since},
    update::{Position, Update},
};

/// How much is retained; 0 = no limit.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub updates: usize,
    pub bytes: usize,
}

impl Retention {
    /// No history: the `local` transport. No id is known.
    pub const NOTHING: Retention = Retention { updates: 0, bytes: 1 };
}

/// The updates of a history in memory. Clones share them.
#[derive(Clone)]
pub struct Memory {
    // Only the log's thread and readers take this lock, for a few microseconds each: workers never.
    kept: Arc<RwLock<Kept>>,
    cipher: IdCipher,
    incarnation: u32,
    hasher: RandomState,
    retention: Retention,
}

#[derive(Default)]
struct Kept {
    /// Consecutive.
    updates: VecDeque<Arc<Update>>,
    bytes: usize,
    /// The last committed update, even if it is not retained.
    last: Position,
    /// (hash of the id, position) of retained updates whose publisher gave the id.
    given_ids: BTreeSet<(u64, Position)>,
}

impl Kept {
    /// The position before the first retained update.
    fn start(&self) -> Position {
        Position(self.last.0 - self.updates.len() as u64)
    }

    fn get(&self, position: Position) -> Option<&Arc<Update>> {
        let index = position.0.checked_sub(self.start().0 + 1)?;
        self.updates.get(usize::try_from(index).ok()?)
    }
}

impl Memory {
    pub fn new(
        retention: Retention,
        cipher: IdCipher,
        incarnation: u32,
        hasher: RandomState,
    ) -> Self {
        Memory { kept: Arc::default(), cipher, incarnation, hasher, retention }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().expect("nothing panics while it holds the lock")
    }

    /// The retained update that bears `id`; of several the earliest (draft-08 #reconciliation).
    fn find(&self, kept: &Kept, id: &str) -> Option<Position> {
        let bears_id =
            |position: &Position| kept.get(*position).is_some_and(|update| update.id() == id);
        let generated = self
            .cipher
            .decode(id)
            .filter(|place| place.incarnation == self.incarnation)
            .map(|place| place.position)
            .filter(bears_id);
        let hash = self.hasher.hash_one(id);
        let given = kept
            .given_ids
            .range((hash, Position::START)..=(hash, Position(u64::MAX)))
            .map(|&(_, position)| position)
            .find(bears_id);
        generated.into_iter().chain(given).min()
    }

    /// Why `id`, which was not found, is not there.
    fn gap(&self, kept: &Kept, id: &str) -> Gap {
        let was_ours = |place: Place| {
            let was_given = Position::START < place.position && place.position <= kept.start();
            place.incarnation == self.incarnation && was_given
        };
        if self.cipher.decode(id).is_some_and(was_ours) { Gap::Trimmed } else { Gap::Unknown }
    }

    fn trim(&self, kept: &mut Kept) {
        let Retention { updates, bytes } = self.retention;
        let exceeds = |kept: &Kept| {
            (updates > 0 && kept.updates.len() > updates) || (bytes > 0 && kept.bytes > bytes)
        };
        while exceeds(kept)
            && let Some(update) = kept.updates.pop_front()
        {
            kept.bytes -= update.footprint();
            if !update.id_is_generated {
                kept.given_ids.remove(&(self.hasher.hash_one(update.id()), update.position));
            }
        }
    }
}

impl Store for Memory {
    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        let mut kept = self.kept.write().expect("nothing panics while it holds the lock");
        for update in updates {
            kept.last = update.position;
            kept.bytes += update.footprint();
            if !update.id_is_generated {
                kept.given_ids.insert((self.hasher.hash_one(update.id()), update.position));
            }
            kept.updates.push_back(Arc::clone(update));
        }
        self.trim(&mut kept);
        Ok(())
    }

    fn retained(&self) -> (u64, u64) {
        let kept = self.read_lock();
        (kept.updates.len() as u64, kept.bytes as u64)
    }
}

impl History for Memory {
    fn locate(&self, since: &Since, unknown: UnknownId) -> Result<Located, Unreadable> {
        let kept = self.read_lock();
        let earliest =
            || Located { position: kept.start(), last_event_id: EARLIEST.into(), gap: None };
        let newest = || Located {
            position: kept.last,
            last_event_id: kept.updates.back().map_or(EARLIEST, |update| update.id()).into(),
            gap: None,
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
            Since::Id(id) => match self.find(&kept, id) {
                Some(position) => Located { position, last_event_id: id.clone(), gap: None },
                None => unknown_id(self.gap(&kept, id)),
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
        /// Updates that are taken while the lock is held.
        const UNDER_LOCK: usize = 256;
        let mut chunk = Chunk { through: after, ..Chunk::default() };
        let mut looked_at = 0;
        while chunk.events.len() < budget.bytes && looked_at < budget.updates {
            let kept = self.read_lock();
            if chunk.through < kept.start() {
                return Err(Unreadable::Overtaken);
            }
            let index = (chunk.through.0 - kept.start().0) as usize;
            if index >= kept.updates.len() {
                break;
            }
            let end = kept.updates.len().min(index + UNDER_LOCK);
            // A thousand patterns take their time: the log must not wait for that.
            let piece: Vec<_> = kept.updates.range(index..end).cloned().collect();
            drop(kept);
            for update in piece {
                chunk.through = update.position;
                looked_at += 1;
                if interest.selects(&update) {
                    chunk.events.push(update.position, update.frame.bytes(form));
                    if chunk.events.len() >= budget.bytes {
                        break;
                    }
                }
            }
        }
        Ok(chunk)
    }

    fn search(&self, id: &str) -> Result<Found, Unreadable> {
        let kept = self.read_lock();
        Ok(Found { position: self.find(&kept, id), through: kept.last })
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
        let kept = f.memory.read_lock();
        assert!(kept.bytes <= 2000 && kept.bytes > 1000, "{}", kept.bytes);
        assert_eq!(kept.given_ids.len(), kept.updates.len());
        drop(kept);
        let mut nothing = fixture(Retention::NOTHING);
        nothing.publish("a", Some("i"), false);
        assert_eq!(nothing.locate("i"), (1, "earliest".into()));
        assert_eq!(nothing.locate_as(&Since::Empty, UnknownId::All), (1, "earliest".into()));
        assert_eq!(nothing.read(1, &interest(Matcher::Any, &[])), Ok(vec![]));
    }
}
