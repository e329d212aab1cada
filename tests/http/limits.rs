//! What is too much, and how the hub says so.

use std::time::Duration;

use crate::{
    common::{
        client::{Connection, publication_of, request},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    heads_have_limits,
    the_limits_of_heads_are_settings,
    long_heads_have_a_budget,
    a_declared_length_is_refused_at_once,
    chunks_are_refused_when_they_exceed,
    another_protocol_is_answered_at_once,
);

/// Sends a head that is refused: the status, with the connection closed and nothing behind.
fn refusal(addr: std::net::SocketAddr, head: &str) -> u16 {
    let mut connection = Connection::open(addr);
    connection.try_send(head);
    let answer = connection.answer();
    assert!(!answer.keeps_alive() && connection.is_closed(), "{answer:?}");
    assert!(!answer.detail().is_empty(), "{answer:?}");
    answer.status
}

fn with_fields(count: usize) -> String {
    let fields: String = (1..count).map(|i| format!("X-{i}: y\r\n")).collect();
    format!("GET /healthz HTTP/1.1\r\nHost: hub\r\n{fields}\r\n")
}

fn with_target(len: usize) -> String {
    format!("GET /healthz?{} HTTP/1.1\r\nHost: hub\r\n\r\n", "x".repeat(len - "/healthz?".len()))
}

/// A head of so many bytes.
fn of_length(len: usize) -> String {
    let start = "GET /healthz HTTP/1.1\r\nHost: hub\r\nX: ";
    format!("{start}{}\r\n\r\n", "y".repeat(len - start.len() - 4))
}

fn heads_have_limits(driver: Driver) {
    let hub = Setup::new(driver).start();
    const KIB: usize = 1024;
    for whole in [with_fields(100), with_target(127 * KIB), of_length(128 * KIB)] {
        assert_eq!(request(hub.addr, &whole).status, 200, "{} bytes", whole.len());
    }
    assert_eq!(refusal(hub.addr, &with_fields(101)), 431);
    assert_eq!(refusal(hub.addr, &with_target(128 * KIB + 100)), 414);
    assert_eq!(refusal(hub.addr, &of_length(128 * KIB + 1)), 431);
    // Endless ones are refused before they end.
    assert_eq!(refusal(hub.addr, &format!("GET /{}", "x".repeat(200 * KIB))), 414);
    assert_eq!(refusal(hub.addr, &with_fields(20_000)[..129 * KIB]), 431);
}

fn the_limits_of_heads_are_settings(driver: Driver) {
    let setup = Setup::new(driver).directive("max_header_size 2KiB").directive("max_headers 5");
    let hub = setup.start();
    for whole in [with_fields(5), with_target(1900), of_length(2048)] {
        assert_eq!(request(hub.addr, &whole).status, 200, "{} bytes", whole.len());
    }
    assert_eq!(refusal(hub.addr, &with_fields(6)), 431);
    assert_eq!(refusal(hub.addr, &with_target(2200)), 414);
    assert_eq!(refusal(hub.addr, &of_length(2049)), 431);
}

/// Heads that never end hold no more than their budget, and keep no publisher out.
fn long_heads_have_a_budget(driver: Driver) {
    const HEADS: usize = 40;
    let setup = Setup::new(driver).env("PETASOS_WORKERS", "1");
    let hub = setup.directive("body_budget 1MiB").directive("max_request_body_size 1MiB").start();
    let unfinished = of_length(100 * 1024).replace("\r\n\r\n", "");
    let mut connections: Vec<Connection> = (0..HEADS)
        .map(|_| {
            let mut connection = Connection::open(hub.addr);
            connection.try_send(&unfinished);
            connection
        })
        .collect();
    let is_held = |it: &mut Connection| it.is_silent_for(Duration::from_millis(100));
    let closed = connections.iter_mut().map(|it| usize::from(!is_held(it))).sum::<usize>();
    assert!((HEADS - 10..HEADS).contains(&closed), "{closed} of {HEADS} are closed");
    let token = tokens::publisher(&["*"]);
    assert_eq!(request(hub.addr, &publication_of(&token, "topic=a")).status, 200);
}

fn a_declared_length_is_refused_at_once(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    for len in ["1048577", "18446744073709551615"] {
        let head = publication_of(&token, "").replace("Length: 0", &format!("Length: {len}"));
        // Not a byte of the body was sent.
        assert_eq!(refusal(hub.addr, &head), 413, "{len}");
    }
}

fn chunks_are_refused_when_they_exceed(driver: Driver) {
    let hub = Setup::new(driver).directive("max_request_body_size 100").start();
    let token = tokens::publisher(&["*"]);
    let head =
        publication_of(&token, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let part = "a".repeat(60);
    for (body, status) in [
        // At the size, before the chunk itself is there.
        ("65\r\n".to_owned(), 413),
        ("ffffffffffffffff\r\n".to_owned(), 413),
        (format!("3c\r\n{part}\r\n3c\r\n"), 413),
        ("fffffffffffffffff".to_owned(), 400),
        ("-1\r\n".to_owned(), 400),
        ("0x1\r\n".to_owned(), 400),
        (" 1\r\n".to_owned(), 400),
        ("1 \r\n".to_owned(), 400),
        ("1\n".to_owned(), 400),
        ("\r\n".to_owned(), 400),
        (";\r\n".to_owned(), 400),
        ("1\r\nab\r\n".to_owned(), 400),
        ("1\r\na\n".to_owned(), 400),
        ("1\r\na\r\n0\r\nbad trailer\r\n\r\n".to_owned(), 400),
        ("1\r\na\r\n0\r\na: b\n\r\n".to_owned(), 400),
        (format!("1;{}", "x".repeat(2000)), 400),
        (format!("0\r\n{}", "a: b\r\n".repeat(40)), 431),
    ] {
        assert_eq!(refusal(hub.addr, &format!("{head}{body}")), status, "{body}");
    }
}

/// A browser that was told `https` by mistake, and others, are told at once what is spoken here.
fn another_protocol_is_answered_at_once(driver: Driver) {
    let hub = Setup::new(driver).start();
    let hello: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more \r\n\r\n";
    let http2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let binary: &[u8] = b"\0\0\0\0\0\0\0\0";
    for (bytes, statuses) in [
        (hello, &[400][..]),
        (&hello[..1], &[400]),
        (http2, &[400, 505]),
        (binary, &[400]),
        (b"GET /\r\n\r\n", &[400]),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", &[505]),
        (b"{\"json\": true}\n", &[400]),
    ] {
        let mut connection = Connection::open(hub.addr);
        let answer = connection.send(bytes).answer();
        assert!(statuses.contains(&answer.status), "{bytes:?} {answer:?}");
        assert!(connection.is_closed(), "{bytes:?}");
    }
}
