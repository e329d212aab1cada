//! Pages of other origins (draft-08 #subscription, Fetch standard).

use crate::{
    common::{
        client::{Connection, publication},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    listed_origins_are_told_so,
    any_origin_may_be_allowed,
    by_default_there_is_none,
    a_refused_origin_is_logged_once,
);

const ALLOWED: &str = "https://app.example";

/// The CORS fields of an answer to a request.
fn fields(addr: std::net::SocketAddr, request: &str) -> Vec<(String, String)> {
    let mut connection = Connection::open(addr);
    let head = connection.send(request).answer_to_head().head;
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.starts_with("Access-Control-") || *name == "Vary")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Requests of every kind, with their answers of every kind.
fn requests(origin: &str) -> Vec<String> {
    let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
    let token = tokens::publisher(&["a"]);
    let hub = "/.well-known/mercure";
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: hub\r\n{origin}{fields}\r\n")
    };
    let post = |token: &str, topic: &str| {
        let sent = publication(token, &[("topic", topic)]);
        sent.replace("Host: hub\r\n", &format!("Host: hub\r\n{origin}"))
    };
    vec![
        get(&format!("{hub}?match=a"), ""),
        get(&format!("{hub}?match=a"), "Last-Event-ID: x\r\n"),
        get(&format!("{hub}?topic=a"), ""),
        get(&format!("{hub}?match=a"), "Authorization: Bearer a.b.c\r\n"),
        get(&format!("{hub}?match=a"), "Authorization: x\r\n"),
        get("/healthz", ""),
        get("/nowhere", ""),
        get(hub, "").replace("GET", "DELETE"),
        get(&format!("{hub}?match=a"), "").replace("GET", "HEAD"),
        post(&token, "a"),
        post(&token, "b"),
        post(&token, "*"),
        post("a.b.c", "a"),
        post(&token, "a").replace("x-www-form-urlencoded", "json"),
        post(&token, "a").replace("Length: 7", "Length: 99999999"),
        post(&token, "a").replace("Authorization", "X"),
    ]
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const EXPOSED: (&str, &str) =
    ("Access-Control-Expose-Headers", "Link, Mercure-Last-Event-ID, WWW-Authenticate");

fn preflight(origin: &str) -> String {
    format!(
        "OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization\r\n\r\n"
    )
}

fn listed_origins_are_told_so(driver: Driver) {
    let origins = format!("cors_origins {ALLOWED} http://localhost:3000");
    let hub = Setup::new(driver).directive(&origins).start();
    for origin in [ALLOWED, "http://localhost:3000"] {
        let expected = told(&[
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            EXPOSED,
            ("Vary", "Origin"),
        ]);
        for request in requests(origin) {
            assert_eq!(fields(hub.addr, &request), expected, "{request}");
        }
        let answer = fields(hub.addr, &preflight(origin));
        assert_eq!(answer[..4], expected, "{answer:?}");
        assert_eq!(
            answer[4..],
            told(&[
                ("Access-Control-Allow-Methods", "GET, HEAD, QUERY, POST, OPTIONS"),
                (
                    "Access-Control-Allow-Headers",
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID"
                ),
                ("Access-Control-Max-Age", "7200"),
            ])
        );
    }
    for origin in [
        "",
        "null",
        "https://other.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "https://evil.app.example",
        "https://APP.example",
        "https://app.example/",
        "*",
        "https://app.example, https://evil.example",
    ] {
        let mut all = requests(origin);
        all.push(preflight(origin));
        for request in all {
            assert_eq!(fields(hub.addr, &request), told(&[("Vary", "Origin")]), "{request}");
        }
    }
    // Two are none.
    let twice = format!("{ALLOWED}\r\nOrigin: https://evil.example");
    for request in requests(&twice) {
        let answer = fields(hub.addr, &request);
        assert!(!answer.iter().any(|(_, value)| value.contains("evil")), "{answer:?}");
    }
}

fn any_origin_may_be_allowed(driver: Driver) {
    let hub = Setup::new(driver).env("MERCURE_CORS_ORIGINS", "*").start();
    let expected = told(&[("Access-Control-Allow-Origin", "*"), EXPOSED]);
    for origin in ["", "null", "https://any.example"] {
        for request in requests(origin) {
            assert_eq!(fields(hub.addr, &request), expected, "{request}");
        }
    }
    let answer = fields(hub.addr, &preflight("https://any.example"));
    assert_eq!(answer[..2], expected, "no credentials: {answer:?}");
    assert_eq!(answer.len(), 5, "{answer:?}");
}

fn by_default_there_is_none(driver: Driver) {
    let hub = Setup::new(driver).start();
    for request in requests(ALLOWED).into_iter().chain([preflight(ALLOWED)]) {
        assert_eq!(fields(hub.addr, &request), [], "{request}");
    }
}

fn a_refused_origin_is_logged_once(driver: Driver) {
    let hub = Setup::new(driver)
        .env("PETASOS_WORKERS", "1")
        .directive(&format!("cors_origins {ALLOWED}"))
        .start();
    // The hub's own pages, whose requests have an `Origin` too, are not refused.
    for origin in [ALLOWED, "https://hub", "https://one.example", "https://two.example"] {
        for request in requests(origin).into_iter().chain([preflight(origin)]) {
            fields(hub.addr, &request);
        }
    }
    hub.wait_for_log("two.example");
    let log = hub.log();
    let count = |text: &str| log.matches(text).count();
    assert_eq!((count("origin refused"), count("https://one.example")), (2, 1), "{log}");
}
