//! Updates for tests.

use crate::protocol::{
    fixture,
    frame::{Fields, FrameDraft},
    time::UnixTime,
    update::{Draft, Position, Update},
};

/// An update at `position`, published so many seconds after 1970.
pub(super) fn update(position: u64, topics: &[&str], id: Option<&str>, private: bool) -> Update {
    draft(topics, id, private, UnixTime::from_secs(position))
        .place(Position(position), || [b'g'; 45])
}

pub(super) fn draft(
    topics: &[&str],
    id: Option<&str>,
    private: bool,
    published: UnixTime,
) -> Draft {
    let data = format!("data of {topics:?}");
    Draft {
        frame: FrameDraft::new(Fields { id, data: &data, ..Fields::default() }),
        topics: topics.iter().map(|topic| fixture::topic(topic)).collect(),
        private,
        published,
    }
}
