//! An update that is to be published, as its publisher says it: nothing of it is checked yet.

use std::borrow::Cow;

/// What is published (draft-08 #publication).
#[derive(Debug, Clone, Copy, Default)]
pub struct NewUpdate<'a> {
    /// The canonical topic first; the hub wants at least one.
    pub topics: &'a [&'a str],
    pub data: &'a str,
    /// Only for subscribers whose token says so.
    pub private: bool,
    /// `None`: it is given one.
    pub id: Option<&'a str>,
    pub event_type: Option<&'a str>,
    /// How long subscribers shall wait before they reconnect, in milliseconds.
    pub retry: Option<u64>,
}

impl<'a> NewUpdate<'a> {
    /// A public update.
    pub fn new(topics: &'a [&'a str], data: &'a str) -> Self {
        NewUpdate { topics, data, ..NewUpdate::default() }
    }

    /// The form fields that say it.
    pub fn fields(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        let retry = self.retry.map(|retry| retry.to_string());
        let topics = self.topics.iter().map(|topic| ("topic", Cow::Borrowed(*topic)));
        let others = [
            Some(("data", Cow::Borrowed(self.data))),
            self.private.then_some(("private", Cow::Borrowed("on"))),
            self.id.map(|id| ("id", Cow::Borrowed(id))),
            self.event_type.map(|event_type| ("type", Cow::Borrowed(event_type))),
            retry.map(|retry| ("retry", Cow::Owned(retry))),
        ];
        let fields = topics.chain(others.into_iter().flatten());
        fields.map(|(name, value)| (Cow::Borrowed(name), value))
    }
}
