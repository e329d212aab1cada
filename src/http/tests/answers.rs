//! The bytes of answers, to all sorts of clients.

use crate::http::{
    cors::{Cors, EXPOSED_HEADERS},
    date::HttpDate,
    fields::Fields,
    head::Version,
    media::ProblemForm,
    reader::{HeadReader, Limits},
    refusal::Refusal,
    response::{Envelope, Response},
    status::Status,
    stream::{self, StreamForm},
};

const NO_FIELDS: &Fields = &Fields::NONE;
const PLAIN: Envelope<'_> = Envelope {
    version: Version::Http11,
    keep_alive: true,
    head_only: false,
    date: None,
    cors: NO_FIELDS,
};

fn encode(response: &Response<'_>, envelope: &Envelope<'_>) -> (String, bool) {
    let mut out = b"before|".to_vec();
    let keep_alive = response.encode(envelope, &mut out);
    let out = String::from_utf8(out).unwrap();
    (out.strip_prefix("before|").unwrap().to_owned(), keep_alive)
}

fn start(envelope: &Envelope<'_>, fields: &Fields) -> (String, StreamForm) {
    let mut out = b"before|".to_vec();
    let form = stream::encode_start(envelope, &[fields], &mut out);
    let out = String::from_utf8(out).unwrap();
    (out.strip_prefix("before|").unwrap().to_owned(), form)
}

#[test]
fn an_answer_to_a_publication() {
    let response = Response::text(Status::Ok, &b"urn:x"[..]);
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                    Content-Length: 5\r\n\r\nurn:x";
    assert_eq!(encode(&response, &PLAIN), (expected.to_owned(), true));
}

#[test]
fn each_version_is_told_about_the_connection() {
    let response = Response::text(Status::Ok, &b"x"[..]);
    let table = [
        (Version::Http11, true, None, true),
        (Version::Http11, false, Some("close"), false),
        (Version::Http10, true, Some("keep-alive"), true),
        (Version::Http10, false, Some("close"), false),
    ];
    for (version, keep_alive, told, lives) in table {
        let envelope = Envelope { version, keep_alive, ..PLAIN };
        let (text, lived) = encode(&response, &envelope);
        let line = text.lines().find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!((line, lived), (told, lives), "{version:?} {keep_alive}");
    }
    let (text, lives) = encode(&response.clone().close(), &PLAIN);
    assert!(text.contains("Connection: close\r\n") && !lives);
    let old = Envelope { version: Version::Http10, ..PLAIN };
    let (text, lives) = encode(&response.close(), &old);
    assert!(text.contains("Connection: close\r\n") && !lives);
}

#[test]
fn head_gets_the_same_head() {
    let response = Response::text(Status::Ok, &b"body"[..]).with("X", "y");
    let (whole, _) = encode(&response, &PLAIN);
    let (head, _) = encode(&response, &Envelope { head_only: true, ..PLAIN });
    assert_eq!(whole, format!("{head}body"));
    let (whole, _) = start(&PLAIN, NO_FIELDS);
    let (head, _) = start(&Envelope { head_only: true, ..PLAIN }, NO_FIELDS);
    assert_eq!(whole, format!("{head}2\r\n:\n\r\n"));
}

#[test]
fn no_content_has_no_length() {
    let response = Response::new(Status::NoContent);
    assert_eq!(encode(&response, &PLAIN).0, "HTTP/1.1 204 No Content\r\n\r\n");
    let response = Response::new(Status::Unauthorized);
    let expected = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(encode(&response, &PLAIN).0, expected);
}

#[test]
fn problems_are_described_as_the_client_likes() {
    let detail = Some("say \"topic\",\nplease");
    let problem =
        |detail, form| encode(&Response::problem(Status::BadRequest, detail, form), &PLAIN).0;
    let json = problem(detail, ProblemForm::Json);
    let expected = r#"{"title":"Bad Request","status":400,"detail":"say \"topic\",\nplease"}"#;
    assert!(json.contains("Content-Type: application/problem+json\r\n"));
    assert!(json.ends_with(&format!("\r\n\r\n{expected}")), "{json}");
    let json = problem(None, ProblemForm::Json);
    assert!(json.ends_with("\r\n\r\n{\"title\":\"Bad Request\",\"status\":400}"), "{json}");
    let text = problem(detail, ProblemForm::Text);
    assert!(text.contains("Content-Type: text/plain; charset=utf-8\r\n"));
    assert!(text.ends_with("\r\n\r\nsay \"topic\",\nplease\n"), "{text}");
    let text = problem(None, ProblemForm::Text);
    assert!(text.ends_with("\r\n\r\nBad Request\n"), "{text}");
}

#[test]
fn a_refusal_ends_the_connection() {
    let response = Response::refusal(Refusal::BodyTooLarge, ProblemForm::Json);
    let (text, lives) = encode(&response, &PLAIN);
    assert!(text.starts_with("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"), "{text}");
    assert!(text.contains("larger than this hub accepts") && !lives);
    let envelope = Envelope::for_refusal(None, NO_FIELDS);
    let (text, lives) = encode(&Response::new(Status::BadRequest), &envelope);
    assert!(text.contains("Connection: close\r\n") && !lives);
}

#[test]
fn an_envelope_is_addressed_to_its_request() {
    let date = HttpDate::new(0);
    let mut cors = Fields::NONE;
    cors.push("Vary", "Origin");
    let addressed = |request: &[u8]| {
        let read = HeadReader::default().read(request, &Limits::default());
        let (head, _) = read.unwrap().unwrap();
        let envelope = Envelope::for_request(&head, Some(&date), &cors);
        assert_eq!((envelope.date, envelope.cors), (Some(&date), &cors));
        (envelope.version, envelope.keep_alive, envelope.head_only)
    };
    let head = addressed(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(head, (Version::Http11, true, true));
    assert_eq!(addressed(b"GET / HTTP/1.0\r\n\r\n"), (Version::Http10, false, false));
}

#[test]
fn other_answers_have_their_fields() {
    let response = Response::method_not_allowed("GET, HEAD", ProblemForm::Text);
    let (text, _) = encode(&response, &PLAIN);
    assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nAllow: GET, HEAD\r\n"));
    let response = Response::new(Status::ServiceUnavailable).retry_after(7);
    assert!(encode(&response, &PLAIN).0.contains("\r\nRetry-After: 7\r\n"));
    let date = HttpDate::new(0);
    let envelope = Envelope { date: Some(&date), ..PLAIN };
    let line = "\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    assert!(encode(&response, &envelope).0.contains(line));
    assert!(start(&envelope, NO_FIELDS).0.contains(line));
}

#[test]
fn a_stream_begins_as_its_version_wants() {
    let fields = "Content-Type: text/event-stream\r\n\
                  Cache-Control: private, no-cache, no-store, no-transform\r\n\
                  X-Accel-Buffering: no\r\n";
    let expected =
        format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n2\r\n:\n\r\n");
    assert_eq!(start(&PLAIN, NO_FIELDS), (expected, StreamForm::Chunked));
    let closing = Envelope { keep_alive: false, ..PLAIN };
    assert!(start(&closing, NO_FIELDS).0.contains("\r\nConnection: close\r\n"));
    // Not even a client of HTTP/1.0 that wants to keep the connection can: only its end tells
    // where the stream ends.
    let old = Envelope { version: Version::Http10, ..PLAIN };
    let expected = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{fields}\r\n:\n");
    assert_eq!(start(&old, NO_FIELDS), (expected, StreamForm::Bare));
    let old_head = Envelope { head_only: true, ..old };
    assert!(start(&old_head, NO_FIELDS).0.ends_with("X-Accel-Buffering: no\r\n\r\n"));
}

#[test]
fn a_last_event_id_is_told_but_never_injects() {
    let told = |id: &str| {
        let (text, _) = start(&PLAIN, &stream::last_event_id(id, None));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "2\r\n:\n\r\n");
        let lines: Vec<_> = head.split("\r\n").collect();
        assert_eq!(lines.len(), 6, "{head}");
        lines.iter().find_map(|line| line.strip_prefix("Mercure-Last-Event-ID: ")).unwrap().into()
    };
    let told: [String; 4] =
        ["urn:uuid:1", "caf\u{e9} \u{1f600}", "x\r\nSet-Cookie: a=b\r\n\r\n<p>", "\0\n"].map(told);
    assert_eq!(told, ["urn:uuid:1", "caf\u{e9} \u{1f600}", "x??Set-Cookie: a=b????<p>", "??"]);
}

/// What a page of `origin` is told, error or not, stream or not.
fn cors_lines(cors: &Cors, origin: Option<&str>) -> Vec<String> {
    let fields = cors.fields(origin.map(str::as_bytes));
    let envelope = Envelope { cors: fields, ..PLAIN };
    let lines = |text: String| -> Vec<String> {
        let is_cors = |line: &&str| line.starts_with("Access-") || line.starts_with("Vary");
        text.lines().filter(is_cors).map(str::to_owned).collect()
    };
    let error = encode(&Response::refusal(Refusal::Host, ProblemForm::Json), &envelope).0;
    let (error, stream) = (lines(error), lines(start(&envelope, NO_FIELDS).0));
    assert_eq!(error, stream);
    error
}

#[test]
fn all_origins_may_read_without_credentials() {
    let cors = Cors::new(&["https://a", "*"], EXPOSED_HEADERS);
    let expected = [
        "Access-Control-Allow-Origin: *",
        "Access-Control-Expose-Headers: Link, Mercure-Last-Event-ID, WWW-Authenticate",
    ];
    for origin in [None, Some("https://a"), Some("null")] {
        assert_eq!(cors_lines(&cors, origin), expected);
    }
}

#[test]
fn listed_origins_may_read_with_credentials() {
    let cors = Cors::new(&["https://b", "https://a:8443", "http://c"], &["X"]);
    for origin in ["https://a:8443", "https://b", "http://c"] {
        let expected = [
            &format!("Access-Control-Allow-Origin: {origin}"),
            "Access-Control-Allow-Credentials: true",
            "Access-Control-Expose-Headers: X",
            "Vary: Origin",
        ];
        assert_eq!(cors_lines(&cors, Some(origin)), expected);
    }
    for other in ["https://a", "https://A:8443", "https://b/", "https://b.evil", "null", "", "*"] {
        assert_eq!(cors_lines(&cors, Some(other)), ["Vary: Origin"], "{other}");
        assert!(!cors.allows(other.as_bytes()), "{other}");
    }
    assert_eq!(cors_lines(&cors, None), ["Vary: Origin"]);
    let off = Cors::new(&[] as &[&str], EXPOSED_HEADERS);
    assert!(cors_lines(&off, Some("https://a")).is_empty());
    assert!(!off.allows(b"https://a"));
}

#[test]
fn preflights_are_answered_to_allowed_origins() {
    let methods = "GET, HEAD, POST, OPTIONS";
    let answer = |cors: &Cors, origin: Option<&str>| {
        let origin = origin.map(str::as_bytes);
        let envelope = Envelope { cors: cors.fields(origin), ..PLAIN };
        encode(&cors.preflight(origin, methods), &envelope).0
    };
    let allowed = "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n\
        Access-Control-Allow-Headers: Authorization, Cache-Control, Content-Type, Last-Event-ID\r\n\
        Access-Control-Max-Age: 7200\r\n\r\n";
    let list = Cors::new(&["https://a"], EXPOSED_HEADERS);
    let any = Cors::new(&["*"], EXPOSED_HEADERS);
    for cors in [&list, &any] {
        let text = answer(cors, Some("https://a"));
        assert!(text.starts_with("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: "));
        assert!(text.ends_with(&format!("\r\nAllow: {methods}\r\n{allowed}")), "{text}");
    }
    let others = format!("HTTP/1.1 204 No Content\r\nVary: Origin\r\nAllow: {methods}\r\n\r\n");
    assert_eq!(answer(&list, Some("https://b")), others);
    assert_eq!(answer(&list, None), others);
    let off = format!("HTTP/1.1 204 No Content\r\nAllow: {methods}\r\n\r\n");
    assert_eq!(answer(&Cors::Off, Some("https://a")), off);
    assert!(!answer(&any, None).contains("Allow-Methods"));
}
