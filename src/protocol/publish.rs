//! What a publication asks for, and every reason to refuse it before anybody looks at its token
//! (draft-08 #publication).

use std::{borrow::Cow, fmt};

use super::{
    frame::{Fields, FrameDraft},
    hub_url::HubUrl,
    limits::Limits,
    matcher::Matcher,
    subscribe::EARLIEST,
    text::{self, ForbiddenCharacter},
    time::UnixTime,
    topic::{Topic, TopicHasher},
    update::Draft,
};

/// The event type of updates that the hub makes itself (draft-08 #subscription-events).
pub const HUB_EVENT_TYPE: &str = "mercure";

/// More digits mean reconnection times of over thirty thousand years.
const RETRY_DIGITS_MAX: usize = 15;

/// A publication, found valid. Whether its sender may publish it is another question: the token
/// must grant `publish` on every topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The canonical topic first, without repetition; at least one.
    pub topics: Vec<Topic>,
    pub data: Cow<'a, str>,
    pub private: bool,
    /// `None`: the hub gives the id.
    pub id: Option<Cow<'a, str>>,
    pub event_type: Option<Cow<'a, str>>,
    /// Milliseconds, as digits.
    pub retry: Option<Cow<'a, str>>,
}

/// A field of a publication whose value is constrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Topic,
    Id,
    Type,
    Retry,
}

/// Why a publication is refused, whatever its token. The texts are for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the form must be percent-encoded UTF-8")]
    NotUtf8,
    #[error("the `topic` field is missing: add at least one")]
    NoTopic,
    #[error("`topic` is empty: name the topic that is updated")]
    EmptyTopic,
    #[error("the topic `*` is reserved for the wildcard matcher: choose another name")]
    WildcardTopic,
    #[error(
        "the topic {topic} addresses the reserved namespace of the hub, {hub}: \
         choose a topic outside of it"
    )]
    ReservedTopic { topic: String, hub: String },
    #[error("`id` must not start with `#`: such ids are the hub's own")]
    IdWithHash,
    #[error("the id `{EARLIEST}` is reserved: choose another or leave `id` out")]
    ReservedId,
    #[error("the type `{HUB_EVENT_TYPE}` is reserved for the hub's own updates")]
    ReservedType,
    #[error("`retry` must be a number of milliseconds, in digits 0 to 9 only")]
    RetryNotDigits,
    #[error("`{field}` {source}")]
    Character { field: Field, source: ForbiddenCharacter },
    #[error("`{field}` is longer than {len_max} bytes")]
    FieldTooLong { field: Field, len_max: usize },
    #[error("more than {max} topics: publish them in several requests")]
    TooManyTopics { max: usize },
    #[error("more than {max} form fields")]
    TooManyFields { max: usize },
}

/// Which kind of answer an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400
    Malformed,
    /// 413
    TooLarge,
}

impl PublishError {
    pub fn refusal(&self) -> Refusal {
        match self {
            PublishError::FieldTooLong { .. }
            | PublishError::TooManyTopics { .. }
            | PublishError::TooManyFields { .. } => Refusal::TooLarge,
            _ => Refusal::Malformed,
        }
    }
}

impl<'a> Publication<'a> {
    /// Reads decoded form fields. Of a repeated `data`, `id`, `type` or `retry` the first one
    /// counts, but each is checked, so that nothing forbidden hides behind it. An empty `id`,
    /// `type` or `retry` counts as left out (so an event type is never the empty one, which to
    /// browsers is the default), and so does a `retry` of 0, which would make every browser
    /// reconnect without pause. An `Err` pair was not UTF-8.
    pub fn parse<E>(
        pairs: impl IntoIterator<Item = Result<(Cow<'a, str>, Cow<'a, str>), E>>,
        hub: &HubUrl,
        hasher: &TopicHasher,
        limits: &Limits,
    ) -> Result<Publication<'a>, PublishError> {
        let mut topics = Vec::new();
        let (mut data, mut id, mut event_type, mut retry) = (None, None, None, None);
        let mut private = false;
        for (index, pair) in pairs.into_iter().enumerate() {
            if index == limits.fields_max {
                return Err(PublishError::TooManyFields { max: limits.fields_max });
            }
            let (name, value) = pair.map_err(|_| PublishError::NotUtf8)?;
            match &*name {
                "topic" => {
                    if topics.len() == limits.topics_max {
                        return Err(PublishError::TooManyTopics { max: limits.topics_max });
                    }
                    topics.push(read_topic(&value, hub, hasher, limits)?);
                }
                "data" => keep_first(&mut data, value),
                // "Regardless of its value, whether or not a value is supplied."
                "private" => private = true,
                "id" => {
                    check_id(&value, limits)?;
                    keep_first(&mut id, value);
                }
                "type" => {
                    check_event_type(&value, limits)?;
                    keep_first(&mut event_type, value);
                }
                "retry" => {
                    check_retry(&value)?;
                    keep_first(&mut retry, value);
                }
                // "Hubs MUST ignore fields they do not recognize."
                _ => {}
            }
        }
        if topics.is_empty() {
            return Err(PublishError::NoTopic);
        }
        drop_repeated(&mut topics);
        Ok(Publication {
            topics,
            data: data.unwrap_or_default(),
            private,
            id: id.filter(|id| !id.is_empty()),
            event_type: event_type.filter(|event_type| !event_type.is_empty()),
            retry: retry.filter(|retry| retry.bytes().any(|digit| digit != b'0')),
        })
    }

    /// Formats the event: what the log takes. `now`: when the hub was given the publication.
    pub fn into_draft(self, now: UnixTime) -> Draft {
        let frame = FrameDraft::new(Fields {
            id: self.id.as_deref(),
            event_type: self.event_type.as_deref(),
            retry: self.retry.as_deref(),
            data: &self.data,
        });
        Draft { frame, topics: self.topics.into(), private: self.private, published: now }
    }
}

fn keep_first<'a>(slot: &mut Option<Cow<'a, str>>, value: Cow<'a, str>) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn read_topic(
    topic: &str,
    hub: &HubUrl,
    hasher: &TopicHasher,
    limits: &Limits,
) -> Result<Topic, PublishError> {
    check_text(Field::Topic, topic, limits.topic_len_max)?;
    if topic.is_empty() {
        return Err(PublishError::EmptyTopic);
    }
    if topic == Matcher::WILDCARD {
        return Err(PublishError::WildcardTopic);
    }
    let topic = Topic::new(topic, hub, hasher);
    if hub.is_reserved(&topic) {
        let topic = text::excerpt(topic.text());
        return Err(PublishError::ReservedTopic { topic, hub: hub.as_str().to_owned() });
    }
    Ok(topic)
}

fn check_id(id: &str, limits: &Limits) -> Result<(), PublishError> {
    check_text(Field::Id, id, limits.id_len_max)?;
    match id {
        EARLIEST => Err(PublishError::ReservedId),
        _ if id.starts_with('#') => Err(PublishError::IdWithHash),
        _ => Ok(()),
    }
}

fn check_event_type(event_type: &str, limits: &Limits) -> Result<(), PublishError> {
    check_text(Field::Type, event_type, limits.event_type_len_max)?;
    match event_type {
        HUB_EVENT_TYPE => Err(PublishError::ReservedType),
        _ => Ok(()),
    }
}

fn check_retry(retry: &str) -> Result<(), PublishError> {
    if !retry.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PublishError::RetryNotDigits);
    }
    check_len(Field::Retry, retry, RETRY_DIGITS_MAX)
}

fn check_text(field: Field, value: &str, len_max: usize) -> Result<(), PublishError> {
    check_len(field, value, len_max)?;
    text::check(value).map_err(|source| PublishError::Character { field, source })
}

fn check_len(field: Field, value: &str, len_max: usize) -> Result<(), PublishError> {
    match value.len() > len_max {
        true => Err(PublishError::FieldTooLong { field, len_max }),
        false => Ok(()),
    }
}

/// Keeps the first of equal topics, in order. By sorting, so that a thousand stay cheap.
fn drop_repeated(topics: &mut Vec<Topic>) {
    if topics.len() < 2 {
        return;
    }
    let mut order: Vec<usize> = (0..topics.len()).collect();
    order.sort_by(|a, b| topics[*a].text().cmp(topics[*b].text()));
    let mut repeated = vec![false; topics.len()];
    for pair in order.windows(2) {
        // Equal topics stand in their first order, since the sort is stable.
        repeated[pair[1]] = topics[pair[0]].text() == topics[pair[1]].text();
    }
    let mut repeated = repeated.into_iter();
    topics.retain(|_| repeated.next() == Some(false));
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Topic => "topic",
            Field::Id => "id",
            Field::Type => "type",
            Field::Retry => "retry",
        })
    }
}

#[cfg(test)]
mod tests;
