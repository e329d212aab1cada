//! What benchmarks share: the memory of the binary, and publications.

// Each benchmark is a program of its own, and uses what it needs of this.
#![allow(dead_code)]

pub(crate) mod requests;
pub(crate) mod tokens;
pub(crate) mod worker;

use std::sync::LazyLock;

use petasos::protocol::{
    frame::{Fields, FrameDraft},
    hub_url::HubUrl,
    time::UnixTime,
    topic::{Topic, TopicHasher},
    update::Draft,
};

/// The one of the binary: much of what is measured is small blocks that come and go.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Does without huge pages, as the binary does: with many subscribers that costs time.
pub(crate) fn refuse_huge_pages() {
    // SAFETY: a plain system call. Kernels without huge pages refuse it, which is as good.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// A small JSON document, as applications send them.
pub(crate) const SMALL: &str = "{\"@id\":\"https://example.com/books/1\",\
                         \"availability\":\"https://schema.org/InStock\"}";

/// The name of a topic among many.
pub(crate) fn topic(number: u32) -> String {
    format!("https://example.com/users/{number}/messages")
}

/// A topic of one of a thousand hosts.
pub(crate) fn topic_of_a_host(number: u32) -> String {
    format!("https://host-{}.example.com/users/{number}/messages", number % 1_000)
}

/// A pattern that selects that topic alone, of those.
pub(crate) fn pattern(number: u32) -> String {
    format!("https://host-{}.example.com/users/{number}/:what", number % 1_000)
}

/// A URI template that selects the topic of this number alone.
pub(crate) fn template(number: u32) -> String {
    format!("https://example.com/users/{number}/{{what}}")
}

/// One that begins as all others do, and selects all topics: only the last letters tell it apart.
pub(crate) fn template_that_begins_alike(number: u32) -> String {
    format!("https://example.com/users/{{id}}/messages{{?page{number}}}")
}

static HUB: LazyLock<HubUrl> = LazyLock::new(HubUrl::without_name);

/// A publication of [`SMALL`].
pub(crate) fn draft(topic: &str, private: bool, hasher: &TopicHasher) -> Draft {
    let topics = [Topic::new(topic, &HUB, hasher)].into();
    let frame = FrameDraft::new(Fields { data: SMALL, ..Fields::default() });
    Draft { frame, topics, private, published: UnixTime::default() }
}
