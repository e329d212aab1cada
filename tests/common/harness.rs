//! What must hold for any bytes: one function for each door that bytes come in by. The fuzzers in
//! `fuzz/` and the seeded runs in `tests/fuzz.rs` call the same functions; each panics when its
//! property does not hold, and returns whether the bytes were taken rather than refused.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use petasos::{
    auth::{
        Role,
        authority::{Authority, Issuer, Settings},
        bearer, jwks,
        key::{Algorithm, Key, KeyType, SigningKey},
        mint::{self, MintedGrant, MintedTopic, Minting},
    },
    http::{
        body::{BodyLength, BodyReader, Step},
        form,
        head::Head,
        reader::{HeadReader, Limits as HeadLimits},
        refusal::Refusal,
    },
    protocol::{
        frame::Form,
        hub_url::HubUrl,
        id::GENERATED_ID_LEN,
        limits::Limits,
        patterns::Patterns,
        publish::Publication,
        subscribe::{QueryRules, Since, Subscription},
        text,
        time::UnixTime,
        topic::TopicHasher,
        update::Position,
    },
};

use super::sse;

const BODY_LEN_MAX: u64 = 4096;

/// Small limits, so that they are reached.
const HEAD_LIMITS: HeadLimits =
    HeadLimits { target_len_max: 512, head_len_max: 2048, header_count_max: 20 };

/// Reads requests out of what arrives, as a connection does.
#[derive(Default)]
struct Reading {
    received: Vec<u8>,
    heads: HeadReader,
    waiting: Option<(Head, BodyReader, Vec<u8>)>,
    requests: Vec<(Head, Vec<u8>)>,
}

impl Reading {
    fn receive(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.received.extend_from_slice(piece);
        loop {
            let Some((head, mut body, mut bytes)) = self.waiting.take() else {
                let Some((head, len)) = self.heads.read(&self.received, &HEAD_LIMITS)? else {
                    return Ok(());
                };
                assert!(len > 0 && len <= self.received.len(), "a head is part of the input");
                self.received.drain(..len);
                let body = BodyReader::new(head.body, BODY_LEN_MAX)?;
                self.waiting = Some((head, body, Vec::new()));
                continue;
            };
            let Step { consumed, done } = body.decode(&self.received, &mut bytes)?;
            assert!(consumed <= self.received.len(), "a body is part of the input");
            assert!(bytes.len() as u64 <= BODY_LEN_MAX);
            self.received.drain(..consumed);
            if !done {
                assert!(self.received.is_empty(), "a body takes all that it can");
                self.waiting = Some((head, body, bytes));
                return Ok(());
            }
            self.requests.push((head, bytes));
        }
    }
}

/// What was read of a connection that received these pieces, and what is left or why it ended.
type Read = (Vec<(Head, Vec<u8>)>, Result<Vec<u8>, Refusal>);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut reading = Reading::default();
    for piece in pieces {
        if let Err(refusal) = reading.receive(piece) {
            return (reading.requests, Err(refusal));
        }
    }
    (reading.requests, Ok(reading.received))
}

/// Requests mean the same however their bytes arrive.
pub(crate) fn request(input: &[u8]) -> bool {
    let whole = read([input].into_iter());
    assert_eq!(whole, read(input.chunks(1)), "byte by byte: {}", input.escape_ascii());
    assert_eq!(whole, read(input.chunks(7)), "in pieces: {}", input.escape_ascii());
    body(input);
    !whole.0.is_empty()
}

/// Decoding a chunked body undoes encoding, however it is cut into chunks and pieces.
fn body(input: &[u8]) {
    let input = &input[..input.len().min(BODY_LEN_MAX as usize)];
    let mut encoded = Vec::new();
    let mut rest = input;
    while let [first, ..] = rest {
        let (chunk, after) = rest.split_at(rest.len().min(1 + usize::from(*first) % 40));
        encoded.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
        rest = after;
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    let len = encoded.len();
    encoded.extend_from_slice(b"GET");
    for pieces in [1, 5, encoded.len()] {
        let mut reader = BodyReader::new(BodyLength::Chunked, BODY_LEN_MAX).unwrap();
        let (mut decoded, mut consumed, mut done) = (Vec::new(), 0, false);
        for piece in encoded.chunks(pieces) {
            let step = reader.decode(piece, &mut decoded).expect("well encoded");
            (consumed, done) = (consumed + step.consumed, step.done);
        }
        assert!(done && consumed == len && decoded == input, "{}", input.escape_ascii());
    }
}

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

/// What a form says is what the WHATWG algorithm says; a publication that is accepted becomes an
/// event that reads back as exactly its fields.
pub(crate) fn form(input: &[u8]) -> bool {
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
    let draft = publication.into_draft(UnixTime::default());
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
pub(crate) fn frame(input: &[u8]) -> bool {
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

const AUDIENCE: &str = "https://hub.example/.well-known/mercure";
const NOW: u64 = 1_000_000;

/// An authority, and the only tokens that it ever signed: for a publisher and for a subscriber.
pub(crate) static SIGNED: LazyLock<(Authority, [String; 2])> = LazyLock::new(|| {
    let secrets = [&b"the key of publishers 0123456789"[..], b"the key of subscribers 012345678"];
    let key = |secret| Key::from_secret(secret, Algorithm::Hs256).expect("a key");
    let issuer = Issuer {
        id: Some("https://issuer.example".into()),
        publisher: vec![key(secrets[0])].into(),
        subscriber: vec![key(secrets[1])].into(),
    };
    let authority = Authority::new(vec![issuer], Settings::default()).expect("an issuer");
    let topics = [MintedTopic { text: "*", matcher_type: Default::default() }];
    let tokens = [true, false].map(|publish| {
        let grant = MintedGrant { publish, subscribe: !publish, topics: &topics, payload: None };
        let minting = Minting {
            issuer: "https://issuer.example",
            audience: AUDIENCE,
            subject: "s",
            client_id: "c",
            token_id: "t",
            issued_at: UnixTime::from_secs(NOW),
            lifetime: Duration::from_secs(60),
            grants: &[grant],
        };
        let secret = secrets[usize::from(!publish)];
        mint::token(&minting, &SigningKey::from_secret(secret, Algorithm::Hs256).expect("a key"))
    });
    (authority, tokens)
});

/// No token passes but those that were signed, each for its role. `input` is the value of an
/// `Authorization` field.
pub(crate) fn token(input: &[u8]) -> bool {
    let (authority, signed) = &*SIGNED;
    let Ok(credentials) = bearer::credentials(input) else { return false };
    let Some(token) = bearer::token(credentials) else { return false };
    let mut passed = false;
    for (role, signed) in [Role::Publisher, Role::Subscriber].into_iter().zip(signed) {
        let now = UnixTime::from_secs(NOW + 30);
        if authority.verify(token, role, AUDIENCE, now).is_ok() {
            assert_eq!(token, signed, "a token passed that nobody signed");
            passed = true;
        } else {
            assert_ne!(token, signed, "a good token failed");
        }
        let late = UnixTime::from_secs(NOW + 60);
        assert!(authority.verify(token, role, AUDIENCE, late).is_err(), "expired");
        assert!(authority.verify(token, role, "https://other.example/", now).is_err());
    }
    passed
}

/// A set of keys, as an issuer may publish it.
pub(crate) fn jwks(input: &[u8]) -> bool {
    let set = match jwks::parse(input, &[]) {
        Ok(set) => set,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line for the log");
            return false;
        }
    };
    assert!(!set.keys.is_empty() && set.keys.len() <= jwks::KEYS_MAX);
    assert_eq!(jwks::parse(input, &[]).as_ref(), Ok(&set));
    assert!(set.notes.iter().all(|note| !note.contains('\n')));
    for key in &set.keys {
        let algorithms: Vec<_> = key.algorithms().collect();
        let key_type = algorithms[0].key_type();
        assert!(key_type != KeyType::Secret, "whoever reads a set could sign");
        assert!(algorithms.iter().all(|algorithm| algorithm.key_type() == key_type));
    }
    // What the configuration does not allow is not there.
    let allowed = [Algorithm::Ps256, Algorithm::Es512];
    if let Ok(set) = jwks::parse(input, &allowed) {
        assert!(set.keys.iter().flat_map(Key::algorithms).all(|one| allowed.contains(&one)));
    }
    true
}

/// A query, and behind the first line feed, if there is one, the value of `Last-Event-ID`.
pub(crate) fn subscribe(input: &[u8]) -> bool {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (query, header) = (parts.next().unwrap_or_default(), parts.next());
    let limits = limits();
    let parse = |query: &[u8], strict| {
        let patterns = &mut Patterns::new(&HUB, HASHER.clone());
        Subscription::parse(form::pairs(query), header, QueryRules { strict }, &limits, patterns)
    };
    let Ok(subscription) = parse(query, false) else {
        assert!(parse(query, true).is_err(), "strictness takes away cursors only");
        return false;
    };
    let Subscription { matchers, since } = &subscription;
    assert!(!matchers.is_empty() && matchers.iter().count() <= limits.matchers_max);
    for matcher in matchers.iter() {
        assert!(matcher.text().len() <= limits.matcher_len_max);
        assert_eq!(text::check(matcher.text()), Ok(()));
    }
    if let Some(Since::Id(id)) = since {
        assert!(!id.is_empty() && id.len() <= limits.id_len_max && text::check(id).is_ok());
    }
    assert_eq!(parse(query, true).expect("strict").matchers, *matchers);
    // The same pairs, spelled anew.
    let pairs = form::pairs(query).map(|pair| pair.expect("accepted"));
    let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    assert_eq!(parse(again.as_bytes(), false).as_ref(), Ok(&subscription));
    true
}
