//! What a head says, and how large it may be.

use crate::http::{
    body::BodyLength,
    cookie::cookie,
    head::{Head, Method, Version},
    media::ProblemForm,
    reader::{self, HEADER_COUNT_MAX, HeadReader, Limits},
    refusal::Refusal,
};

type Outcome = Result<Option<(Head, usize)>, Refusal>;

fn read(input: &str) -> Outcome {
    HeadReader::default().read(input.as_bytes(), &Limits::default())
}

fn head(input: &str) -> Head {
    let (head, len) = read(input).unwrap().unwrap();
    assert_eq!(len, input.len());
    head
}

/// A head of a `GET` with these lines after `Host`.
fn with_lines(version: &str, lines: &str) -> Head {
    head(&format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n"))
}

#[test]
fn the_parts_of_a_head_are_there() {
    let head = head(
        "POST /a/b?c=d&e HTTP/1.1\r\nHOST: h:80\r\nX-One: 1\r\nx-two:\t2 2 \t\r\nX-ONE: 3\r\n\
         Empty:\r\nCookie: s=x; t=a\r\nContent-Length: 007\r\nAccept: text/plain\r\n\r\n",
    );
    assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
    assert_eq!((head.path(), head.query()), (&b"/a/b"[..], Some(&b"c=d&e"[..])));
    assert_eq!(head.host(), Some(&b"h:80"[..]));
    assert_eq!(head.body, BodyLength::Sized(7));
    assert_eq!(head.header("x-one"), Some(&b"1"[..]));
    assert_eq!(head.headers("X-One").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(head.header("X-TWO"), Some(&b"2 2"[..]));
    assert_eq!(head.header("empty"), Some(&b""[..]));
    assert_eq!(head.header("x-three"), None);
    assert_eq!(head.header("x-on"), None);
    assert_eq!(head.fields().count(), 8);
    assert_eq!(head.fields().next(), Some((&b"HOST"[..], &b"h:80"[..])));
    assert_eq!(cookie(&head, "t"), Some(&b"a"[..]));
    assert_eq!(ProblemForm::asked_for(&head), ProblemForm::Text);
}

#[test]
fn methods_are_case_sensitive() {
    let table = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("OPTIONS", Method::Options),
        ("QUERY", Method::Query),
        ("get", Method::Other),
        ("PUT", Method::Other),
        ("G!#$%&'*+-.^_`|~9", Method::Other),
    ];
    for (text, method) in table {
        assert_eq!(head(&format!("{text} / HTTP/1.1\r\nHost: h\r\n\r\n")).method, method);
    }
}

#[test]
fn an_absolute_target_names_the_host() {
    let absolute = head("GET http://a:1/p?q HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_eq!(absolute.host(), Some(&b"a:1"[..]));
    assert_eq!((absolute.path(), absolute.query()), (&b"/p"[..], Some(&b"q"[..])));
    assert_eq!(absolute.header("host"), Some(&b"b"[..]));
    let bare = head("GET HTTPS://a HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!((bare.path(), bare.query(), bare.host()), (&b"/"[..], None, Some(&b"a"[..])));
    assert_eq!(head("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path(), b"*");
    assert_eq!(read("GET http://a/ HTTP/1.1\r\n\r\n"), Err(Refusal::HostMissing));
}

#[test]
fn the_host_may_be_empty_and_on_http_1_0_missing() {
    assert_eq!(head("GET / HTTP/1.1\r\nHost:\r\n\r\n").host(), None);
    assert_eq!(head("GET / HTTP/1.0\r\n\r\n").host(), None);
    assert_eq!(head("GET / HTTP/1.0\r\nHost: h\r\n\r\n").host(), Some(&b"h"[..]));
}

#[test]
fn raw_utf8_in_the_target_is_taken() {
    let head = head("GET /caf\u{e9}?match=\u{1f600} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(head.path(), "/caf\u{e9}".as_bytes());
    assert_eq!(head.query(), Some("match=\u{1f600}".as_bytes()));
}

#[test]
fn a_connection_is_kept_as_its_version_and_options_say() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x , CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nconnection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: close, x\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "Connection: keep-alive, x\r\n", true),
        ("1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: close\r\n", false),
    ];
    for (version, lines, keep_alive) in table {
        assert_eq!(with_lines(version, lines).keep_alive, keep_alive, "{version} {lines}");
    }
}

#[test]
fn only_http_1_1_clients_with_a_body_wait_for_it() {
    let table = [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Content-Length: 1\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false),
        ("1.0", "Expect: something\r\nContent-Length: 1\r\n", false),
    ];
    for (version, lines, expects) in table {
        assert_eq!(with_lines(version, lines).expects_continue, expects, "{version} {lines}");
    }
}

const SMALL: Limits = Limits { target_len_max: 10, head_len_max: 100, header_count_max: 2 };

/// The outcome under small limits, which must not depend on how the bytes arrive.
fn read_small(input: &str) -> Outcome {
    let whole = HeadReader::default().read(input.as_bytes(), &SMALL);
    let mut reader = HeadReader::default();
    let by_byte = (0..=input.len())
        .map(|len| reader.read(&input.as_bytes()[..len], &SMALL))
        .find(|outcome| !matches!(outcome, Ok(None)))
        .unwrap_or(Ok(None));
    assert_eq!(whole, by_byte, "{input}");
    whole
}

#[test]
fn a_target_is_as_long_as_it_may_be() {
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(len - 1));
    assert!(matches!(read_small(&target(10)), Ok(Some(_))));
    assert_eq!(read_small(&target(11)), Err(Refusal::TargetTooLong));
    // Too long in any case: known without the end of the line, or of the head.
    let long = "x".repeat(10 + 64 - 5);
    assert_eq!(read_small(&format!("GET /{long}")), Ok(None));
    assert_eq!(read_small(&format!("GET /{long}x")), Err(Refusal::TargetTooLong));
    assert_eq!(read_small(&format!("GET /{long}xx\n")), Err(Refusal::TargetTooLong));
}

#[test]
fn a_head_is_as_long_as_it_may_be() {
    let filled = |len: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    assert!(matches!(read_small(&filled(100)), Ok(Some((_, 100)))));
    assert_eq!(read_small(&filled(101)), Err(Refusal::HeadTooLarge));
    assert_eq!(read_small(&filled(101)[..100]), Ok(None));
    // Empty lines before the head are no part of it.
    assert!(matches!(read_small(&format!("\r\n{}", filled(100))), Ok(Some((_, 102)))));
    // A head that ends within its request line has too long a target.
    let limits = Limits { target_len_max: 1000, ..SMALL };
    let line = format!("GET /{}", "x".repeat(95));
    let outcome = |input: &str| HeadReader::default().read(input.as_bytes(), &limits);
    assert_eq!(outcome(&line), Ok(None));
    assert_eq!(outcome(&format!("{line}x")), Err(Refusal::TargetTooLong));
}

#[test]
fn a_head_has_as_many_fields_as_it_may_have() {
    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X:\r\n".repeat(count - 1));
    assert!(matches!(read_small(&fields(2)), Ok(Some(_))));
    assert_eq!(read_small(&fields(3)), Err(Refusal::TooManyHeaders));
    let limits = Limits { header_count_max: usize::MAX, ..Limits::default() };
    let outcome = |count| HeadReader::default().read(fields(count).as_bytes(), &limits);
    assert!(matches!(outcome(HEADER_COUNT_MAX), Ok(Some(_))));
    assert_eq!(outcome(HEADER_COUNT_MAX + 1), Err(Refusal::TooManyHeaders));
}

#[test]
fn limits_of_any_size_do_no_harm() {
    let max = Limits {
        target_len_max: usize::MAX,
        head_len_max: usize::MAX,
        header_count_max: usize::MAX,
    };
    let none = Limits { target_len_max: 0, head_len_max: 0, header_count_max: 0 };
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(matches!(HeadReader::default().read(request, &max), Ok(Some(_))));
    assert_eq!(HeadReader::default().read(request, &none), Err(Refusal::TargetTooLong));
}

#[test]
fn bytes_are_looked_at_once() {
    let mut reader = HeadReader::default();
    let mut read = |input: &[u8]| reader.read(input, &Limits::default());
    assert_eq!(read(b"GET / HTTP/1.1\r\nHost: h"), Ok(None));
    // Nobody may change bytes under a reader; it would see this one only if it looked again, and
    // then a head that arrives byte by byte would cost the square of its length.
    assert_eq!(read(b"GET / HTTP/1.1\r\nHost:\nh\r\n"), Ok(None));
    assert_eq!(read(b"GET / HTTP/1.1\r\nHost: h\r\n\n"), Err(Refusal::LineEnd));
}

#[test]
fn a_reader_is_ready_for_the_next_head() {
    let mut reader = HeadReader::default();
    let limits = Limits::default();
    let first = b"GET /a HTTP/1.1\r\nHost: h\r\nX: some more bytes\r\n\r\n";
    assert_eq!(reader.read(&first[..40], &limits), Ok(None));
    assert!(matches!(reader.read(first, &limits), Ok(Some(_))));
    let second = reader.read(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", &limits).unwrap().unwrap();
    assert_eq!(second.0.path(), b"/b");
}

#[test]
fn the_origin_of_a_head_that_was_refused_is_found() {
    let refused = b"GET /too-long HTTP/1.1\r\nHost: h\r\nORIGIN: https://a \r\nX";
    assert_eq!(reader::origin(refused), Some(&b"https://a"[..]));
    assert_eq!(reader::origin(b"origin: https://a\r\n"), None, "not in the request line");
    assert_eq!(reader::origin(b"GET / HTTP/1.1\r\nX-Origin: a\r\nOri"), None);
}
