//! Topics: the strings that updates are about and that matchers select.

use std::hash::{BuildHasher, RandomState};

use super::{
    hub_url::HubUrl,
    topic_url::{Components, TopicUrl},
};

/// Hashes topics in the same way on every worker, so that the worker that receives a publication
/// hashes its topics once for all of them. Keyed at start: topics are chosen by clients.
pub type TopicHasher = RandomState;

/// One topic, with everything that matchers ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    text: Box<str>,
    hash: u64,
    url: Option<TopicUrl>,
}

impl Topic {
    /// A topic that was found valid (draft-08 #terminology).
    pub fn new(text: &str, hub: &HubUrl, hasher: &TopicHasher) -> Self {
        let url = TopicUrl::resolve(text, hub.url());
        Topic { text: text.into(), hash: hash(text, hasher), url }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The topic as a URL; `None` if it is no URL reference.
    pub fn url(&self) -> Option<Components<'_>> {
        self.url.as_ref().map(|url| url.components(&self.text))
    }

    /// Bytes that the topic holds.
    pub fn footprint(&self) -> usize {
        let url = self.url.as_ref().map_or(0, TopicUrl::footprint);
        size_of::<Topic>() + self.text.len() + url
    }
}

/// The hash under which `text` is found in every worker's index.
pub fn hash(text: &str, hasher: &TopicHasher) -> u64 {
    hasher.hash_one(text)
}
