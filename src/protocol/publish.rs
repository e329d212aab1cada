//! What a publication asks for, and every reason to refuse it before anybody looks at its token
//! (draft-08 #publication).

use std::{borrow::Cow, fmt};

use super::{
    frame::{Fields, FrameDraft},
    limits::Limits,
    matcher::Matcher,
    reserved::HubUrl,
    subscribe::EARLIEST,
    text::{self, ForbiddenCharacter},
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
    pub topics: Vec<Cow<'a, str>>,
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
                    check_topic(&value, hub, limits)?;
                    topics.push(value);
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

    /// Formats the event and hashes the topics: what the log takes.
    pub fn into_draft(self, hasher: &TopicHasher) -> Draft {
        let frame = FrameDraft::new(Fields {
            id: self.id.as_deref(),
            event_type: self.event_type.as_deref(),
            retry: self.retry.as_deref(),
            data: &self.data,
        });
        let topics = self.topics.iter().map(|topic| Topic::new(topic, hasher)).collect();
        Draft { frame, topics, private: self.private }
    }
}

fn keep_first<'a>(slot: &mut Option<Cow<'a, str>>, value: Cow<'a, str>) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn check_topic(topic: &str, hub: &HubUrl, limits: &Limits) -> Result<(), PublishError> {
    check_text(Field::Topic, topic, limits.topic_len_max)?;
    if topic.is_empty() {
        return Err(PublishError::EmptyTopic);
    }
    if topic == Matcher::WILDCARD {
        return Err(PublishError::WildcardTopic);
    }
    if hub.is_reserved(topic) {
        let topic = text::excerpt(topic);
        return Err(PublishError::ReservedTopic { topic, hub: hub.as_str().to_owned() });
    }
    Ok(())
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
fn drop_repeated(topics: &mut Vec<Cow<'_, str>>) {
    if topics.len() < 2 {
        return;
    }
    let mut order: Vec<usize> = (0..topics.len()).collect();
    order.sort_by(|a, b| topics[*a].cmp(&topics[*b]));
    let mut repeated = vec![false; topics.len()];
    for pair in order.windows(2) {
        // Equal topics stand in their first order, since the sort is stable.
        repeated[pair[1]] = topics[pair[0]] == topics[pair[1]];
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
mod tests {
    use super::*;
    use crate::protocol::{frame::Form, id::GENERATED_ID_LEN, reserved::DEFAULT_HUB_PATH};
    use std::convert::Infallible;

    fn limits() -> Limits {
        Limits {
            topics_max: 3,
            topic_len_max: 30,
            id_len_max: 9,
            event_type_len_max: 8,
            fields_max: 6,
            ..Limits::default()
        }
    }

    fn parse(form: &str) -> Result<Publication<'_>, PublishError> {
        let hub = HubUrl::new("https://hub.example", DEFAULT_HUB_PATH).unwrap();
        let pairs = form_urlencoded::parse(form.as_bytes()).map(Ok::<_, Infallible>);
        Publication::parse(pairs, &hub, &limits())
    }

    fn event(form: &str) -> String {
        let draft = parse(form).unwrap().into_draft(&TopicHasher::new());
        let frame = draft.frame.finish(&[b'G'; GENERATED_ID_LEN]);
        let event = std::str::from_utf8(frame.bytes(Form::Bare)).unwrap();
        event.replace(&"G".repeat(GENERATED_ID_LEN), "GENERATED")
    }

    #[test]
    fn fields_are_read() {
        let publication =
            parse("topic=a&topic=b&data=x%0Ay&private&id=i&type=t").expect("it is valid");
        let expected = Publication {
            topics: vec!["a".into(), "b".into()],
            data: "x\ny".into(),
            private: true,
            id: Some("i".into()),
            event_type: Some("t".into()),
            retry: None,
        };
        assert_eq!(publication, expected);
    }

    #[test]
    fn a_draft_has_the_event_and_the_topics() {
        for (form, expected) in [
            ("topic=a", "id: GENERATED\ndata: \n\n"),
            ("topic=a&id=&type=&retry=", "id: GENERATED\ndata: \n\n"),
            ("topic=a&id=&id=x", "id: GENERATED\ndata: \n\n"),
            ("topic=a&retry=0&retry=5", "id: GENERATED\ndata: \n\n"),
            ("topic=a&retry=000", "id: GENERATED\ndata: \n\n"),
            ("topic=a&retry=010", "id: GENERATED\nretry: 010\ndata: \n\n"),
            ("topic=a&id=1&id=2&type=t&type=u&retry=3", "id: 1\nevent: t\nretry: 3\ndata: \n\n"),
            ("topic=a&data=x&data=y", "id: GENERATED\ndata: x\n\n"),
            ("topic=a&retry=123456789012345", "id: GENERATED\nretry: 123456789012345\ndata: \n\n"),
            ("topic=a&data=1%0D%0Aid: 2", "id: GENERATED\ndata: 1\ndata: id: 2\n\n"),
            ("topic=a&id=earliest2&type=Mercure", "id: earliest2\nevent: Mercure\ndata: \n\n"),
        ] {
            assert_eq!(event(form), expected, "{form}");
        }
        let hasher = TopicHasher::new();
        let draft = parse("topic=b&topic=a&private=no").unwrap().into_draft(&hasher);
        assert!(draft.private);
        assert_eq!(*draft.topics, [Topic::new("b", &hasher), Topic::new("a", &hasher)]);
    }

    #[test]
    fn private_is_marked_by_its_name_alone() {
        for (form, private) in [
            ("topic=a&private", true),
            ("topic=a&private=", true),
            ("topic=a&private=off", true),
            ("topic=a&private=0", true),
            ("topic=a&Private=on", false),
            ("topic=a", false),
        ] {
            assert_eq!(parse(form).unwrap().private, private, "{form}");
        }
    }

    #[test]
    fn equal_topics_are_taken_together() {
        for (form, expected) in [
            ("topic=a&topic=a", vec!["a"]),
            ("topic=b&topic=a&topic=b", vec!["b", "a"]),
            ("topic=b&topic=a&topic=a", vec!["b", "a"]),
            ("topic=c&topic=b&topic=a", vec!["c", "b", "a"]),
            ("topic=a&topic=A", vec!["a", "A"]),
        ] {
            assert_eq!(parse(form).unwrap().topics, expected, "{form}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        use PublishError as E;
        for (form, expected) in [
            ("", E::NoTopic),
            ("data=x&id=1", E::NoTopic),
            ("topic=", E::EmptyTopic),
            ("topic", E::EmptyTopic),
            ("topic=a&topic=", E::EmptyTopic),
            ("topic=*", E::WildcardTopic),
            ("topic=a&topic=*", E::WildcardTopic),
            ("topic=a&id=%23", E::IdWithHash),
            ("topic=a&id=%231", E::IdWithHash),
            ("topic=a&id=earliest", E::ReservedId),
            ("topic=a&type=mercure", E::ReservedType),
            // Nothing gets through by repetition.
            ("topic=a&id=1&id=earliest", E::ReservedId),
            ("topic=a&id=&id=%23x", E::IdWithHash),
            ("topic=a&type=t&type=mercure", E::ReservedType),
            ("topic=a&type=&type=mercure", E::ReservedType),
            ("topic=a&retry=1&retry=x", E::RetryNotDigits),
            ("topic=a&retry=-1", E::RetryNotDigits),
            ("topic=a&retry=%2B1", E::RetryNotDigits),
            ("topic=a&retry=1.5", E::RetryNotDigits),
            ("topic=a&retry=+1", E::RetryNotDigits),
            ("topic=a&retry=%D9%A1", E::RetryNotDigits),
        ] {
            let error = parse(form).expect_err(form);
            assert_eq!(error, expected, "{form}");
            assert_eq!(error.refusal(), Refusal::Malformed);
        }
    }

    #[test]
    fn the_hubs_namespace_is_refused_for_every_topic() {
        for topic in ["+", "%3Fq", "mercure", "/.well-known/%256Dercure/x"] {
            for form in [format!("topic={topic}"), format!("topic=a&topic={topic}")] {
                let error = parse(&form).expect_err(&form);
                assert!(matches!(error, PublishError::ReservedTopic { .. }), "{form}: {error}");
                assert_eq!(error.refusal(), Refusal::Malformed);
            }
        }
    }

    #[test]
    fn forbidden_characters_are_refused() {
        for (name, field) in [("topic", Field::Topic), ("id", Field::Id), ("type", Field::Type)] {
            for (encoded, character) in [
                ("%00", '\0'),
                ("%0A", '\n'),
                ("%0D", '\r'),
                ("%7F", '\x7f'),
                ("%C2%80", '\u{80}'),
                ("%E2%80%AE", '\u{202e}'),
            ] {
                let source = ForbiddenCharacter { character, offset: 1 };
                // Also behind a good first value.
                let form = format!("topic=a&{name}=b&{name}=x{encoded}y");
                assert_eq!(parse(&form), Err(PublishError::Character { field, source }), "{form}");
            }
        }
        assert!(parse("topic=a&data=%00%0A%E2%80%AE").is_ok());
    }

    #[test]
    fn what_is_too_large_is_said_to_be() {
        use PublishError as E;
        let too_long = |field, len_max| E::FieldTooLong { field, len_max };
        for (form, expected) in [
            (format!("topic={}", "x".repeat(31)), too_long(Field::Topic, 30)),
            ("topic=a&id=1234567890".into(), too_long(Field::Id, 9)),
            ("topic=a&id=1&id=1234567890".into(), too_long(Field::Id, 9)),
            ("topic=a&type=123456789".into(), too_long(Field::Type, 8)),
            ("topic=a&retry=1234567890123456".into(), too_long(Field::Retry, 15)),
            ("topic=a&retry=0000000000000000".into(), too_long(Field::Retry, 15)),
            ("topic=a&topic=a&topic=a&topic=a".into(), E::TooManyTopics { max: 3 }),
            ("topic=a&1&2&3&4&5&6".into(), E::TooManyFields { max: 6 }),
        ] {
            let error = parse(&form).expect_err(&form);
            assert_eq!(error, expected, "{form}");
            assert_eq!(error.refusal(), Refusal::TooLarge);
        }
        let most = format!("topic={}&topic=b&topic=c&id=123456789&type=12345678&6", "x".repeat(30));
        assert!(parse(&most).is_ok());
    }

    #[test]
    fn what_was_not_utf8_is_refused() {
        let pairs = [Ok(("topic".into(), "a".into())), Err(())];
        let result = Publication::parse(pairs, &HubUrl::without_name(), &limits());
        assert_eq!(result, Err(PublishError::NotUtf8));
    }
}
