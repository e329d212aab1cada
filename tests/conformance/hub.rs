//! The hub that is looked at, and what the suite was told of it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::{facts::Facts, http::Client, signer::Signer};

/// What the suite is told of a hub.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Tells the hubs of a run apart.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) publisher: Signer,
    pub(crate) subscriber: Signer,
    pub(crate) issuer: String,
    /// Another issuer, and its key for publishers.
    pub(crate) second: Option<(String, Signer)>,
    /// `None`: what the hub says that it is.
    pub(crate) audience: Option<String>,
    /// `None`: found out.
    pub(crate) anonymous: Option<bool>,
    /// An origin whose pages may subscribe.
    pub(crate) origin: Option<String>,
    /// An origin whose pages may publish with a cookie; `None`: the hub's own.
    pub(crate) publish_origin: Option<String>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
}

/// A hub under test.
pub(crate) struct Hub {
    pub(crate) target: Target,
    pub(crate) client: Client,
    pub(crate) patience: Duration,
    /// Begins all topics of this run.
    pub(crate) prefix: String,
    topics: AtomicUsize,
    pub(crate) facts: Facts,
}

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
}

impl Role {
    pub(crate) fn action(self) -> &'static str {
        match self {
            Role::Publisher => "publish",
            Role::Subscriber => "subscribe",
        }
    }
}

pub(crate) const METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource";
/// Where all topics of the suite are.
const TOPICS: &str = "https://conformance.example/";

/// A number that nobody foresees.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the system has randomness")
}

impl Hub {
    pub(crate) fn new(target: Target, patience: Duration) -> Self {
        Hub {
            client: Client::new(&target.url, patience),
            target,
            patience,
            prefix: format!("{TOPICS}{:016x}", random()),
            topics: AtomicUsize::new(0),
            facts: Facts::default(),
        }
    }

    /// For what takes its time.
    pub(crate) fn client_with(&self, patience: Duration) -> Client {
        Client::new(&self.target.url, patience)
    }

    /// A topic that nobody else uses, nor anything below it.
    pub(crate) fn topic(&self) -> String {
        format!("{}/{}", self.prefix, self.topics.fetch_add(1, Ordering::Relaxed))
    }

    /// Scheme and authority of the hub's URL.
    pub(crate) fn origin(&self) -> &str {
        let url = &self.target.url;
        let authority = url.find("://").map_or(0, |at| at + 3);
        url[authority..].find('/').map_or(url, |at| &url[..authority + at])
    }

    /// The path of the hub's URL.
    pub(crate) fn path(&self) -> &str {
        &self.target.url[self.origin().len()..]
    }

    /// Where RFC 9728 has the metadata.
    pub(crate) fn metadata_path(&self) -> String {
        format!("{METADATA_PREFIX}{}", self.path())
    }

    /// What tokens have to be for.
    pub(crate) fn audience(&self) -> &str {
        let told = || self.metadata()?["resource"].as_str();
        self.target.audience.as_deref().or_else(told).unwrap_or(&self.target.url)
    }

    /// The URL that relative topics are relative to.
    pub(crate) fn base(&self) -> &str {
        let audience = self.audience();
        let is_url = audience.starts_with("http://") || audience.starts_with("https://");
        if is_url { audience } else { &self.target.url }
    }
}

/// A text with its topic.
pub(crate) fn expand(text: &str, topic: &str) -> String {
    text.replace("{t}", topic).replace("{w}", &word(topic))
}

/// What tells a topic from all others, without scheme, host and slashes.
pub(crate) fn word(topic: &str) -> String {
    topic.trim_start_matches(TOPICS).replace('/', "-")
}

/// Percent-encodes everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string()
}

const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
