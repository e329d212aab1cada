//! Topics and matchers for unit tests.

use std::sync::{Arc, LazyLock};

use super::{
    hub_url::{DEFAULT_HUB_PATH, HubUrl},
    matcher::Matcher,
    pattern::Pattern,
    topic::{Topic, TopicHasher},
};
use crate::legacy::uri_template::UriTemplate;

pub(crate) static HUB: LazyLock<HubUrl> =
    LazyLock::new(|| HubUrl::new("https://hub.example", DEFAULT_HUB_PATH).expect("a hub URL"));
pub(crate) static HASHER: LazyLock<TopicHasher> = LazyLock::new(TopicHasher::new);

pub(crate) fn topic(text: &str) -> Topic {
    Topic::new(text, &HUB, &HASHER)
}

/// `*`, a URI template if it is one, a pattern if it has a colon, or an exact topic.
pub(crate) fn matcher(text: &str) -> Matcher {
    match text {
        "*" => Matcher::Any,
        text if UriTemplate::parse(text).is_some() => {
            Matcher::selector(text, usize::MAX).expect("a template")
        }
        text if text.contains(':') => {
            Matcher::Pattern(Arc::new(Pattern::parse(text, HUB.url()).expect("a pattern")))
        }
        text => Matcher::Exact(text.into()),
    }
}
