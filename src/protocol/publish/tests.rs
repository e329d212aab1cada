//! Publications, from form fields to drafts.

use super::*;
use crate::protocol::{
    fixture::{HASHER, HUB, topic},
    frame::Form,
    id::GENERATED_ID_LEN,
};
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
    let pairs = form_urlencoded::parse(form.as_bytes()).map(Ok::<_, Infallible>);
    Publication::parse(pairs, &HUB, &HASHER, &limits())
}

fn event(form: &str) -> String {
    let draft = parse(form).unwrap().into_draft();
    let frame = draft.frame.finish(|| [b'G'; GENERATED_ID_LEN]);
    let event = std::str::from_utf8(frame.bytes(Form::Bare)).unwrap();
    event.replace(&"G".repeat(GENERATED_ID_LEN), "GENERATED")
}

#[test]
fn fields_are_read() {
    let publication = parse("topic=a&topic=b&data=x%0Ay&private&id=i&type=t").expect("it is valid");
    let expected = Publication {
        topics: vec![topic("a"), topic("b")],
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
        ("topic=a", "data: \nid: GENERATED\n\n"),
        ("topic=a&id=&type=&retry=", "data: \nid: GENERATED\n\n"),
        ("topic=a&id=&id=x", "data: \nid: GENERATED\n\n"),
        ("topic=a&retry=0&retry=5", "data: \nid: GENERATED\n\n"),
        ("topic=a&retry=000", "data: \nid: GENERATED\n\n"),
        ("topic=a&retry=010", "retry: 010\ndata: \nid: GENERATED\n\n"),
        ("topic=a&id=1&id=2&type=t&type=u&retry=3", "event: t\nretry: 3\ndata: \nid: 1\n\n"),
        ("topic=a&data=x&data=y", "data: x\nid: GENERATED\n\n"),
        ("topic=a&retry=123456789012345", "retry: 123456789012345\ndata: \nid: GENERATED\n\n"),
        ("topic=a&data=1%0D%0Aid: 2", "data: 1\ndata: id: 2\nid: GENERATED\n\n"),
        ("topic=a&id=earliest2&type=Mercure", "event: Mercure\ndata: \nid: earliest2\n\n"),
    ] {
        assert_eq!(event(form), expected, "{form}");
    }
    let draft = parse("topic=b&topic=a&private=no").unwrap().into_draft();
    assert!(draft.private);
    assert_eq!(*draft.topics, [topic("b"), topic("a")]);
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
        let topics = parse(form).unwrap().topics;
        assert_eq!(topics.iter().map(Topic::text).collect::<Vec<_>>(), expected, "{form}");
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
    let result = Publication::parse(pairs, &HUB, &HASHER, &limits());
    assert_eq!(result, Err(PublishError::NotUtf8));
}
