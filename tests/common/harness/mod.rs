//! What must hold for any bytes: one function for each door that bytes come in by. The fuzzers in
//! `fuzz/` and the seeded runs in `tests/fuzz.rs` call the same functions; each panics when its
//! property does not hold, and returns whether the bytes were taken rather than refused.

// To the fuzzers this is a crate that exports them.
#![allow(unreachable_pub)]

mod fields;
mod pattern;
mod publication;
mod request;
mod subscription;
mod template;
mod token;

use std::sync::LazyLock;

use petasos::protocol::{hub_url::HubUrl, limits::Limits, topic::TopicHasher};

pub use self::{
    fields::{authorization, cookie, forwarded, link},
    pattern::pattern,
    publication::{form, frame},
    request::request,
    subscription::subscribe,
    template::template,
    token::{AUDIENCE, SIGNED, claims, jwks, legacy_claims, token},
};

static HUB: LazyLock<HubUrl> = LazyLock::new(|| {
    HubUrl::new("https://hub.example/", "/.well-known/mercure").expect("a hub URL")
});

static HASHER: LazyLock<TopicHasher> = LazyLock::new(TopicHasher::new);

fn limits() -> Limits {
    Limits {
        matchers_max: 20,
        topics_max: 20,
        matcher_len_max: 300,
        topic_len_max: 300,
        ..Limits::default()
    }
}
