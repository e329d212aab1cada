//! Who listens to what: from the topics of an update to the rosters of subscribers.
//!
//! A roster is everybody who subscribed with one matcher. Exact matchers are found by the hash of
//! the topic, which was computed once for all workers; patterns by what they have in common with
//! the topic, and each is evaluated once, whatever number of subscribers it has; `*` is apart. A
//! subscriber holds a roster set: one roster, which costs nothing, or an interned list of them.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{
    patterns::PatternIndex,
    slab::{Key, NONE, Slab},
};
use crate::protocol::{
    matcher::{Matcher, MatcherSet},
    topic::{self, Topic, TopicHasher},
};

/// The number of a roster.
pub(super) type RosterId = u32;

/// The rosters that a subscriber is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RosterSet {
    One(RosterId),
    /// The number of an interned list.
    Many(u32),
}

/// Everybody who subscribed with one matcher.
#[derive(Debug)]
pub(super) struct Roster {
    matcher: Matcher,
    hash: u32,
    /// In the order of joining. The keys of those who left stay until the list is compacted,
    /// which never happens while a walk is on its way through it.
    pub(super) members: SmallVec<[Key; 1]>,
    /// Members that have not left.
    live: u32,
    /// The walk on its way through the members, or `NONE`.
    pub(super) walk: u32,
}

impl Roster {
    fn tombstones(&self) -> usize {
        self.members.len() - self.live as usize
    }

    /// Few tombstones are left alone: removing them costs a look at every member.
    fn wants_compaction(&self) -> bool {
        self.tombstones() > 32 && self.tombstones() > self.live as usize
    }
}

#[derive(Debug)]
struct Interned {
    rosters: Box<[RosterId]>,
    hash: u32,
    holders: u32,
}

#[derive(Debug)]
pub(super) struct Index {
    hasher: TopicHasher,
    rosters: Slab<Roster>,
    /// (hash, roster) of each matcher but `*`. With the hash in the table, growing it looks at no
    /// roster.
    named: HashTable<(u32, RosterId)>,
    patterns: PatternIndex,
    any: RosterId,
    sets: Slab<Interned>,
    sets_by_hash: HashTable<(u32, u32)>,
}

/// 32 of the bits of a keyed hash, spread over 64 again: half the memory, and as hard to aim at.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Index {
    pub(super) fn new(hasher: TopicHasher) -> Self {
        Index {
            patterns: PatternIndex::new(hasher.clone()),
            hasher,
            rosters: Slab::new(),
            named: HashTable::new(),
            any: NONE,
            sets: Slab::new(),
            sets_by_hash: HashTable::new(),
        }
    }

    pub(super) fn rosters_len(&self) -> usize {
        debug_assert_eq!(self.named.len() + usize::from(self.any != NONE), self.rosters.len());
        self.rosters.len()
    }

    /// Members of all rosters, tombstones included.
    pub(super) fn members_len(&self) -> usize {
        self.rosters.keys().map(|key| self.rosters[key.index()].members.len()).sum()
    }

    pub(super) fn sets_len(&self) -> usize {
        debug_assert_eq!(self.sets_by_hash.len(), self.sets.len());
        self.sets.len()
    }

    pub(super) fn roster(&self, id: RosterId) -> &Roster {
        &self.rosters[id]
    }

    pub(super) fn roster_mut(&mut self, id: RosterId) -> &mut Roster {
        &mut self.rosters[id]
    }

    /// The rosters that an update with these topics concerns, each once.
    pub(super) fn matching(&self, topics: &[Topic], found: &mut SmallVec<[RosterId; 4]>) {
        found.clear();
        if self.any != NONE {
            found.push(self.any);
        }
        for topic in topics {
            found.extend(self.find_exact(topic.text(), topic.hash() as u32));
            if self.patterns.has_templates() {
                let text = topic.text();
                self.patterns.template_candidates(text, |id| {
                    if matches!(&self.rosters[id].matcher, Matcher::Template(t) if t.matches(text))
                    {
                        found.push(id);
                    }
                });
            }
            if self.patterns.has_patterns()
                && let Some(url) = topic.url()
            {
                self.patterns.candidates(url, |id| {
                    if matches!(&self.rosters[id].matcher, Matcher::Pattern(p) if p.matches(url)) {
                        found.push(id);
                    }
                });
            }
        }
        // Of one topic, each roster was found once.
        if topics.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// The rosters of a set, sorted.
    pub(super) fn rosters_of<'a>(&'a self, set: &'a RosterSet) -> &'a [RosterId] {
        match set {
            RosterSet::One(id) => std::slice::from_ref(id),
            RosterSet::Many(set) => &self.sets[*set].rosters,
        }
    }

    /// The set for `matchers`; to be given back with [`Index::leave`].
    pub(super) fn enter(&mut self, matchers: &MatcherSet) -> RosterSet {
        let mut rosters: SmallVec<[RosterId; 8]> =
            matchers.iter().map(|matcher| self.roster_for(matcher)).collect();
        for &id in &rosters {
            self.rosters[id].live += 1;
        }
        if let [id] = rosters[..] {
            return RosterSet::One(id);
        }
        rosters.sort_unstable();
        RosterSet::Many(self.intern(&rosters))
    }

    /// Puts a member on all rosters of its set.
    pub(super) fn add_member(&mut self, set: RosterSet, key: Key) {
        let Index { rosters, sets, .. } = self;
        let ids = match &set {
            RosterSet::One(id) => std::slice::from_ref(id),
            RosterSet::Many(set) => &sets[*set].rosters,
        };
        for &id in ids {
            rosters[id].members.push(key);
        }
    }

    /// A member of the set left. Its keys stay on the rosters as tombstones for now.
    pub(super) fn leave(&mut self, set: RosterSet, is_live: impl Fn(Key) -> bool) {
        match set {
            RosterSet::One(id) => self.left(id, &is_live),
            RosterSet::Many(set) => {
                for i in 0..self.sets[set].rosters.len() {
                    self.left(self.sets[set].rosters[i], &is_live);
                }
                self.release_set(set);
            }
        }
    }

    fn left(&mut self, id: RosterId, is_live: impl Fn(Key) -> bool) {
        let roster = &mut self.rosters[id];
        roster.live -= 1;
        if roster.walk == NONE && (roster.live == 0 || roster.wants_compaction()) {
            self.tidy(id, is_live);
        }
    }

    /// Removes tombstones where it is worth it, and rosters without members. Not to be called
    /// while a walk stands in the middle of the members. Returns whether the roster still exists.
    pub(super) fn tidy(&mut self, id: RosterId, is_live: impl Fn(Key) -> bool) -> bool {
        let roster = &mut self.rosters[id];
        if roster.live == 0 && roster.walk == NONE {
            self.remove_roster(id);
            return false;
        }
        if roster.live == 0 || roster.wants_compaction() {
            roster.members.retain(|key| is_live(*key));
            roster.members.shrink_to_fit();
        }
        true
    }

    fn find_exact(&self, text: &str, hash: u32) -> Option<RosterId> {
        let found = self.named.find(spread(hash), |&(other, id)| {
            other == hash && matches!(&self.rosters[id].matcher, Matcher::Exact(t) if **t == *text)
        });
        found.map(|&(_, id)| id)
    }

    fn roster_for(&mut self, matcher: &Matcher) -> RosterId {
        match matcher {
            Matcher::Any => {
                if self.any == NONE {
                    self.any = self.insert_roster(Matcher::Any, 0);
                }
                self.any
            }
            Matcher::Exact(text) => {
                let hash = topic::hash(text, &self.hasher) as u32;
                self.find_exact(text, hash).unwrap_or_else(|| {
                    let id = self.insert_roster(matcher.clone(), hash);
                    self.named.insert_unique(spread(hash), (hash, id), |entry| spread(entry.0));
                    id
                })
            }
            Matcher::Template(template) => {
                let (id, is_new) = self.named_roster(matcher, "uritemplate");
                if is_new {
                    self.patterns.insert_template(template, id);
                }
                id
            }
            Matcher::Pattern(pattern) => {
                let (id, is_new) = self.named_roster(matcher, "urlpattern");
                if is_new {
                    self.patterns.insert(pattern, id);
                }
                id
            }
        }
    }

    /// The roster of a matcher of this type, and whether it was made now.
    fn named_roster(&mut self, matcher: &Matcher, matcher_type: &str) -> (RosterId, bool) {
        // Apart from the hash of an exact matcher with the same text.
        let hash = self.hasher.hash_one((matcher_type, matcher.text())) as u32;
        let found = self.named.find(spread(hash), |&(other, id)| {
            other == hash && self.rosters[id].matcher == *matcher
        });
        if let Some(&(_, id)) = found {
            return (id, false);
        }
        let id = self.insert_roster(matcher.clone(), hash);
        self.named.insert_unique(spread(hash), (hash, id), |entry| spread(entry.0));
        (id, true)
    }

    fn insert_roster(&mut self, matcher: Matcher, hash: u32) -> RosterId {
        let roster = Roster { matcher, hash, members: SmallVec::new(), live: 0, walk: NONE };
        self.rosters.insert(roster).index()
    }

    fn remove_roster(&mut self, id: RosterId) {
        let roster = self.rosters.remove(id);
        match roster.matcher {
            Matcher::Any => self.any = NONE,
            Matcher::Exact(_) => remove_entry(&mut self.named, roster.hash, id),
            Matcher::Template(template) => {
                remove_entry(&mut self.named, roster.hash, id);
                self.patterns.remove_template(&template, id);
            }
            Matcher::Pattern(pattern) => {
                remove_entry(&mut self.named, roster.hash, id);
                self.patterns.remove(&pattern, id);
            }
        }
    }

    fn intern(&mut self, rosters: &[RosterId]) -> u32 {
        let hash = self.hasher.hash_one(rosters) as u32;
        let found = self.sets_by_hash.find(spread(hash), |&(other, set)| {
            other == hash && *self.sets[set].rosters == *rosters
        });
        if let Some(&(_, set)) = found {
            self.sets[set].holders += 1;
            return set;
        }
        let set = self.sets.insert(Interned { rosters: rosters.into(), hash, holders: 1 }).index();
        self.sets_by_hash.insert_unique(spread(hash), (hash, set), |entry| spread(entry.0));
        set
    }

    fn release_set(&mut self, set: u32) {
        let interned = &mut self.sets[set];
        interned.holders -= 1;
        if interned.holders == 0 {
            let hash = interned.hash;
            self.sets.remove(set);
            remove_entry(&mut self.sets_by_hash, hash, set);
        }
    }
}

fn remove_entry(table: &mut HashTable<(u32, u32)>, hash: u32, value: u32) {
    if let Ok(entry) = table.find_entry(spread(hash), |&entry| entry == (hash, value)) {
        entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hub::fixture::interest, protocol::fixture};

    struct Listeners {
        index: Index,
        hasher: TopicHasher,
        alive: Slab<RosterSet>,
    }

    impl Listeners {
        fn new() -> Self {
            let hasher = TopicHasher::new();
            Listeners { index: Index::new(hasher.clone()), hasher, alive: Slab::new() }
        }

        fn enter(&mut self, matchers: &[&str]) -> Key {
            let set = self.index.enter(&interest(matchers, &[]).matchers);
            let key = self.alive.insert(set);
            self.index.add_member(set, key);
            key
        }

        fn leave(&mut self, key: Key) {
            let set = self.alive.remove(key.index());
            let alive = &self.alive;
            self.index.leave(set, |key| alive.contains(key));
        }

        /// Who is to get an update with these topics.
        fn reached(&self, topics: &[&str]) -> Vec<Key> {
            let topics: Vec<Topic> =
                topics.iter().map(|t| Topic::new(t, &fixture::HUB, &self.hasher)).collect();
            let mut found = SmallVec::new();
            self.index.matching(&topics, &mut found);
            let mut distinct = found.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), found.len(), "each roster once");
            let members = found.iter().flat_map(|&id| &self.index.roster(id).members);
            let mut keys: Vec<Key> =
                members.copied().filter(|&key| self.alive.contains(key)).collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        }
    }

    #[test]
    fn topics_reach_those_whose_matchers_select_them() {
        let mut l = Listeners::new();
        let [a, b, ab, any, nothing, empty] =
            [&["a"][..], &["b"], &["a", "b"], &["*"], &[], &[""]].map(|m| l.enter(m));
        let sorted = |mut keys: Vec<Key>| {
            keys.sort_unstable();
            keys
        };
        for (topics, expected) in [
            (&["a"][..], vec![a, ab, any]),
            (&["b"], vec![b, ab, any]),
            (&["a", "b", "a"], vec![a, b, ab, any]),
            (&["c", "A", "a ", "*"], vec![any]),
            (&[""], vec![any, empty]),
        ] {
            assert_eq!(l.reached(topics), sorted(expected), "{topics:?}");
        }
        for key in [a, b, ab, any, nothing, empty] {
            l.leave(key);
        }
        assert_eq!((l.index.rosters_len(), l.index.members_len(), l.index.sets_len()), (0, 0, 0));
    }

    #[test]
    fn patterns_reach_topics_that_they_select() {
        let mut l = Listeners::new();
        let [id, host, both, exact] =
            [&["https://e/:id"][..], &["https://:h/1"], &["https://e/:id", "https://e/1"], &["b"]]
                .map(|m| l.enter(m));
        for (topics, expected) in [
            (&["https://e/1"][..], &[id, host, both][..]),
            (&["https://f/1"], &[host]),
            (&["https://e/2", "https://e/3"], &[id, both]),
            (&["b", "https://e/2"], &[id, both, exact]),
            (&["https://[", "https://e/a/b", "https://e/:id"], &[id, both]),
            (&["https://e"], &[]),
        ] {
            assert_eq!(l.reached(topics), expected, "{topics:?}");
        }
        assert_eq!(l.index.rosters_len(), 4, "equal patterns are one");
        for key in [id, host, both, exact] {
            l.leave(key);
        }
        assert_eq!(l.index.rosters_len(), 0);
        assert!(!l.index.patterns.has_patterns());
    }

    #[test]
    fn templates_reach_topics_that_they_select() {
        let mut l = Listeners::new();
        let [id, host, both, pattern] = [
            &["https://e/{id}"][..],
            &["https://{h}/1"],
            &["https://e/{id}", "https://e/1"],
            &["https://e/:id"],
        ]
        .map(|m| l.enter(m));
        for (topics, expected) in [
            (&["https://e/1"][..], &[id, host, both, pattern][..]),
            (&["https://f/1"], &[host]),
            (&["https://e/2", "https://e/3"], &[id, both, pattern]),
            // A template's own text; what is no URL; what only a template takes.
            (&["https://e/{id}"], &[id, both, pattern]),
            (&["https://{h}/1"], &[host]),
            (&["https://e/"], &[id, both]),
            (&["https://e"], &[]),
        ] {
            assert_eq!(l.reached(topics), expected, "{topics:?}");
        }
        assert_eq!(l.index.rosters_len(), 4, "equal templates are one");
        for key in [id, host, both, pattern] {
            l.leave(key);
        }
        assert_eq!(l.index.rosters_len(), 0);
        assert!(!l.index.patterns.has_templates() && !l.index.patterns.has_patterns());
    }

    /// Matchers of every kind, that come and go at random, against each matcher asked by itself.
    #[test]
    fn whoever_comes_and_goes_updates_reach_whom_the_matchers_say() {
        const MATCHERS: [&str; 17] = [
            "*",
            "a",
            "/x/1",
            "https://e/x/1",
            "/x/:n",
            "https://e/:a/:b",
            "https://:h/x/1",
            "https://e/(x|y)/*",
            "/x/{n}",
            "/x/1{?q}",
            "https://e/x/{n}",
            "https://e/x{/n}",
            "https://e/{a}/{b}",
            "https://{h}/x/1",
            "https://e/y/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/{n}",
            "{n}",
            "{+all}",
        ];
        const TOPICS: [&str; 12] = [
            "a",
            "b c",
            "/x/1",
            "/x/2",
            "/x/{n}",
            "/x/1?q=2",
            "https://e/x/1",
            "https://e/x",
            "https://e/y/1",
            "https://f/x/1",
            "https://e/{a}/{b}",
            "https://e/y/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
        ];
        let mut state = 1_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        let mut l = Listeners::new();
        let mut there: Vec<(Key, MatcherSet)> = Vec::new();
        let mut reached = 0;
        for round in 0..3_000 {
            // Now more of them, now fewer.
            if below(100) < if round / 500 % 2 == 0 { 60 } else { 40 } {
                let matchers: Vec<_> =
                    (0..1 + below(3)).map(|_| MATCHERS[below(MATCHERS.len())]).collect();
                let set = matchers.iter().map(|text| fixture::matcher(text)).collect();
                there.push((l.enter(&matchers), set));
            } else if !there.is_empty() {
                let (key, _) = there.swap_remove(below(there.len()));
                l.leave(key);
            }
            let topics: Vec<_> = (0..1 + below(3)).map(|_| TOPICS[below(TOPICS.len())]).collect();
            let asked: Vec<Topic> =
                topics.iter().map(|t| Topic::new(t, &fixture::HUB, &l.hasher)).collect();
            let selects = |set: &MatcherSet| set.matches_any(&asked);
            let mut expected: Vec<Key> =
                there.iter().filter(|(_, set)| selects(set)).map(|(key, _)| *key).collect();
            expected.sort_unstable();
            assert_eq!(l.reached(&topics), expected, "{topics:?} {there:?}");
            reached += expected.len();
        }
        assert!(reached > 5_000, "{reached}");
        there.into_iter().for_each(|(key, _)| l.leave(key));
        assert_eq!((l.index.rosters_len(), l.index.sets_len()), (0, 0));
        assert_eq!(l.index.patterns.nodes_len(), 0);
    }

    #[test]
    fn lists_of_matchers_are_shared() {
        let mut l = Listeners::new();
        let keys =
            [&["a", "b"][..], &["b", "a"], &["a", "b", "b"], &["a", "c"]].map(|m| l.enter(m));
        assert_eq!((l.index.sets_len(), l.index.rosters_len()), (2, 3));
        l.leave(keys[0]);
        assert_eq!(l.reached(&["b"]), [keys[1], keys[2]]);
        l.leave(keys[3]);
        assert_eq!((l.index.sets_len(), l.index.rosters_len()), (1, 2));
    }

    #[test]
    fn tombstones_are_bounded_and_kept_while_a_walk_is_on_its_way() {
        let mut l = Listeners::new();
        let keys: Vec<Key> = (0..1_000).map(|_| l.enter(&["a"])).collect();
        let id = l.index.find_exact("a", topic::hash("a", &l.hasher) as u32).unwrap();
        l.index.roster_mut(id).walk = 7;
        for &key in &keys[..900] {
            l.leave(key);
        }
        assert_eq!(l.index.members_len(), 1_000);
        assert_eq!(l.index.roster(id).members[950], keys[950], "nobody moves");
        l.index.roster_mut(id).walk = NONE;
        l.leave(keys[900]);
        assert_eq!(l.index.members_len(), 99);
        for &key in &keys[901..] {
            l.leave(key);
            assert!(l.index.members_len() <= 2 * l.alive.len() + 33);
        }
        assert_eq!(l.index.rosters_len(), 0);
    }

    #[test]
    fn any_number_of_topics_is_found() {
        let mut l = Listeners::new();
        let texts: Vec<String> = (0..5_000).map(|i| format!("https://example.com/{i}")).collect();
        let keys: Vec<Key> = texts.iter().map(|text| l.enter(&[text])).collect();
        for (text, &key) in texts.iter().zip(&keys) {
            assert_eq!(l.reached(&[text]), [key]);
        }
        for &key in keys.iter().step_by(2) {
            l.leave(key);
        }
        for (i, (text, &key)) in texts.iter().zip(&keys).enumerate() {
            let expected: &[Key] = if i % 2 == 0 { &[] } else { &[key] };
            assert_eq!(l.reached(&[text]), expected);
        }
    }
}
