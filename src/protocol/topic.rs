//! Topics: the strings that updates are about and that matchers select.

use std::hash::{BuildHasher, RandomState};

/// Hashes topics in the same way on every worker, so that the worker that receives a publication
/// hashes its topics once for all of them. Keyed at start: topics are chosen by clients.
pub type TopicHasher = RandomState;

/// One topic of an update, with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    text: Box<str>,
    hash: u64,
}

impl Topic {
    /// A topic that was found valid (draft-08 #terminology).
    pub fn new(text: &str, hasher: &TopicHasher) -> Self {
        Topic { text: text.into(), hash: hash(text, hasher) }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// The hash under which `text` is found in every worker's index.
pub fn hash(text: &str, hasher: &TopicHasher) -> u64 {
    hasher.hash_one(text)
}
