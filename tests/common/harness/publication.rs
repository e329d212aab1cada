//! Publications: what a form says, and the event that it becomes.

use std::borrow::Cow;

use petasos::{
    http::form,
    protocol::{frame::Form, id::GENERATED_ID_LEN, publish::Publication, text, update::Position},
};

use super::{super::sse, HASHER, HUB, limits};

/// What a form says is what the WHATWG algorithm says; a publication that is accepted becomes an
/// event that reads back as exactly its fields.
pub fn form(input: &[u8]) -> bool {
    let lenient: Vec<_> = form_urlencoded::parse(input).collect();
    let strict: Vec<_> = form::pairs(input).collect();
    assert_eq!(strict.len(), lenient.len(), "{}", input.escape_ascii());
    for (strict, lenient) in strict.iter().zip(&lenient) {
        match strict {
            Ok(pair) => assert_eq!(pair, lenient, "{}", input.escape_ascii()),
            Err(_) => assert!(lenient.0.contains('\u{fffd}') || lenient.1.contains('\u{fffd}')),
        }
    }
    let Ok(publication) = Publication::parse(form::pairs(input), &HUB, &HASHER, &limits()) else {
        return false;
    };
    let Publication { topics, data, private, id, event_type, retry } = publication.clone();
    let is_text = |text: &str| text::check(text).is_ok() && !text.is_empty();
    assert!(!topics.is_empty() && topics.iter().all(|topic| is_text(topic.text())));
    assert!(topics.iter().all(|topic| topic.text() != "*" && !HUB.is_reserved(topic)));
    assert!(id.iter().chain(&event_type).all(|text| is_text(text)));
    let draft = publication.into_draft();
    assert_eq!(draft.private, private);
    let generated = [b'g'; GENERATED_ID_LEN];
    let update = draft.place(Position(1), || generated);
    let frame = update.frame.bytes(Form::Bare);
    let (blocks, rest) = sse::blocks(frame);
    assert!(rest.is_empty() && blocks.len() == 1, "{}", frame.escape_ascii());
    // To a browser, all line ends are the same.
    let expected_data = data.replace("\r\n", "\n").replace('\r', "\n");
    let expected = sse::Block {
        id: Some(id.as_ref().map_or(&generated[..], |id| id.as_bytes())),
        event: event_type.as_ref().map(|event_type| event_type.as_bytes()),
        retry: retry.as_ref().map(|retry| retry.as_bytes()),
        data: Some(Cow::Borrowed(expected_data.as_bytes())),
        comments: 0,
        unknown: 0,
    };
    assert_eq!(blocks[0], expected, "{}", input.escape_ascii());
    let chunk = update.frame.bytes(Form::Chunked);
    let size = format!("{:x}\r\n", frame.len());
    assert_eq!(chunk, [size.as_bytes(), frame, b"\r\n"].concat(), "one chunk");
    true
}

/// A publication with any bytes in any field: topic, id, type, retry and data, separated by 0xFF,
/// which no text has. If it is accepted, every field arrives as it was given.
pub fn frame(input: &[u8]) -> bool {
    let names = ["topic", "id", "type", "retry", "data"];
    let mut values = input.splitn(names.len(), |&byte| byte == 0xff);
    let fields = names.map(|name| (name, values.next().unwrap_or(b"a")));
    let encode = |value: &[u8]| form_urlencoded::byte_serialize(value).collect::<String>();
    let encoded = fields.map(|(name, value)| format!("{name}={}", encode(value))).join("&");
    if !form(encoded.as_bytes()) {
        return false;
    }
    let publication = Publication::parse(form::pairs(encoded.as_bytes()), &HUB, &HASHER, &limits())
        .expect("as before");
    let [topic, id, event_type, retry, data] = fields.map(|(_, value)| value);
    assert_eq!(publication.topics[0].text().as_bytes(), topic);
    assert_eq!(publication.data.as_bytes(), data);
    assert_eq!(publication.id.as_deref().unwrap_or_default().as_bytes(), id);
    assert_eq!(publication.event_type.as_deref().unwrap_or_default().as_bytes(), event_type);
    let digits = std::str::from_utf8(retry).expect("accepted");
    assert!(digits.bytes().all(|digit| digit.is_ascii_digit()));
    assert!(publication.retry.is_none_or(|retry| retry == digits));
    true
}
