//! Topic matchers and what subscribers and tokens make of them.

use std::sync::Arc;

use super::{topic::Topic, update::Update};

/// A topic matcher (draft-08 #matcher-types).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matcher {
    /// `*`: every topic, whatever the matcher type.
    Any,
    /// Byte-for-byte comparison (draft-08 #exact-matching).
    Exact(Box<str>),
}

impl Matcher {
    /// Whether this matcher selects `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Matcher::Any => true,
            Matcher::Exact(text) => **text == *topic,
        }
    }
}

/// A set of matchers without repetition, in one order, so that equal sets are equal values:
/// what a subscriber listens to, or what a token grants an action on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MatcherSet {
    sorted: Box<[Matcher]>,
}

impl MatcherSet {
    pub fn new(mut matchers: Vec<Matcher>) -> Self {
        matchers.sort_unstable();
        matchers.dedup();
        MatcherSet { sorted: matchers.into_boxed_slice() }
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Matcher> {
        self.sorted.iter()
    }

    /// Whether any matcher of the set selects `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        // `Any` sorts first; exact matchers are found by binary search, without a copy of `topic`.
        if self.sorted.first() == Some(&Matcher::Any) {
            return true;
        }
        self.sorted
            .binary_search_by(|matcher| match matcher {
                Matcher::Any => std::cmp::Ordering::Less,
                Matcher::Exact(text) => (**text).cmp(topic),
            })
            .is_ok()
    }

    /// Whether any matcher of the set selects any of `topics`.
    pub fn matches_any(&self, topics: &[Topic]) -> bool {
        topics.iter().any(|topic| self.matches(topic.text()))
    }
}

impl FromIterator<Matcher> for MatcherSet {
    fn from_iter<I: IntoIterator<Item = Matcher>>(matchers: I) -> Self {
        MatcherSet::new(matchers.into_iter().collect())
    }
}

/// What a subscriber listens to and what it may read: the two are independent (draft-08
/// #subscribers).
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// From the request's matcher parameters.
    pub matchers: Arc<MatcherSet>,
    /// What the token grants `subscribe` on; empty for anonymous subscribers.
    pub grants: Arc<MatcherSet>,
}

impl Interest {
    /// Whether a subscriber with this interest is to receive `update`: a matcher selects one of
    /// its topics and, if it is private, a grant covers one of them, not necessarily the same.
    pub fn selects(&self, update: &Update) -> bool {
        self.matchers.matches_any(&update.topics) && self.may_read(update)
    }

    /// Whether the grants allow `update` to be read (draft-08 #subscribers).
    pub fn may_read(&self, update: &Update) -> bool {
        !update.private || self.grants.matches_any(&update.topics)
    }
}
