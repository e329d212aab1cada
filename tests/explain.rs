//! Why a token passes or fails: from the command line, and from a hub that runs.

use base64::Engine;

use crate::{
    common::{
        client::{Answer, Connection, publication, request},
        hub::{AUDIENCE, Driver, ISSUER, Output, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(a_hub_that_runs_explains_to_its_operator_only);

fn explain(token: &str) -> Setup {
    let setup = Setup::bare()
        .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY)
        .env("MERCURE_TRUSTED_ISSUERS", ISSUER)
        .directive(&format!("resource_identifier {AUDIENCE}"));
    setup.arg("token").arg("explain").arg(token)
}

fn check_secrecy(output: &Output, token: &str) {
    let Output { stdout, stderr, .. } = output;
    let signature = token.rsplit('.').next().unwrap();
    for secret in [PUBLISHER_KEY, SUBSCRIBER_KEY, signature] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{output:?}");
    }
}

#[test]
fn the_command_line_explains_by_the_settings() {
    let mut claims = tokens::claims("publish", &["a"]);
    let good = tokens::sign(&claims, PUBLISHER_KEY);
    let told = explain(&good).run();
    check_secrecy(&told, &good);
    assert_eq!(told.code, Some(0), "{told:?}");
    for line in
        ["ok  aud ", "ok  signature  HS256 of a publisher key", "For a publisher: it passes"]
    {
        assert!(told.stdout.contains(line), "{told:?}");
    }
    claims["exp"] = (tokens::now() as u64 - 12).into();
    claims["aud"] = "https://other.example/".into();
    let bad = tokens::sign(&claims, "a-key-of-nobody-0123456789abcdef");
    let told = explain("@-").run_with_input(&bad);
    check_secrecy(&told, &bad);
    assert_eq!(told.code, Some(1), "{told:?}");
    for line in [
        "NO  exp        expired 1",
        "NO  aud        aud is `https://other.example/`, this hub is `https://hub.example/",
        "NO  signature  the signature fits no configured publisher key for the issuer",
        "For a publisher: it is refused: ",
        "For a subscriber: it is refused: ",
    ] {
        assert!(told.stdout.contains(line), "{line}: {told:?}");
    }
    // Without keys there is no hub to explain for.
    let told = Setup::bare().arg("token").arg("explain").arg("x").run();
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("no key for publishers"), "{told:?}");
}

/// What the documentation shows is what is printed.
#[test]
fn the_sample_is_true() {
    let (_, sample) = include_str!("../docs/tokens.md").split_once("```text\n").unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    let secret = "a secret of at least 32 bytes, please";
    let mut claims = tokens::claims("publish", &["a"]);
    claims["iss"] = "https://example.com".into();
    claims["exp"] = (tokens::now() as u64 - 12).into();
    let token = tokens::sign(&claims, secret);
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    let told = explain(&token)
        .env("MERCURE_PUBLISHER_JWT_KEY", &encoded)
        .env("MERCURE_TRUSTED_ISSUERS", "https://example.com")
        .run();
    let without_digits =
        |line: &str| line.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>().concat();
    let printed: Vec<_> = told.stdout.lines().map(without_digits).collect();
    for line in sample.lines() {
        assert!(printed.contains(&without_digits(line)), "{line}\n{}", told.stdout);
    }
}

fn a_hub_that_runs_explains_to_its_operator_only(driver: Driver) {
    let hub = Setup::new(driver).directive("log_level debug").start();
    let post = |body: &str, fields: &str| -> Answer {
        let len = body.len();
        let head = format!("POST /token/explain HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n");
        request(hub.admin(), &format!("{head}{fields}\r\n{body}"))
    };
    let token = tokens::publisher(&["*"]);
    let told = post(&token, "");
    assert_eq!(told.status, 200);
    assert!(told.body.contains("For a publisher: it passes."), "{}", told.body);
    assert!(told.body.contains("For a subscriber: it is refused"), "{}", told.body);
    assert!(post("", "").body.contains("This is no token"));
    assert!(post("\u{fffd}\0", "").body.contains("This is no token"));
    let large = "x".repeat(100 << 10);
    assert!(post(&large, "").body.contains("This is no token"));
    for (request_head, status) in [
        ("GET /token/explain HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST /token/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 131073\r\n\r\n", 413),
        ("POST /token/explain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405),
    ] {
        assert_eq!(request(hub.admin(), request_head).status, status, "{request_head}");
    }
    // Connections go on after a body.
    let mut connection = Connection::open(hub.admin());
    let head = "POST /token/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for piece in [head, "a.", "b"] {
        connection.send(piece);
    }
    assert_eq!(connection.answer().status, 200);
    assert_eq!(connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer().status, 200);
    // Who looks for the cause finds every rule in the log.
    let mut claims = tokens::claims("publish", &["a"]);
    claims["exp"] = 1.into();
    claims["aud"] = "https://other.example/".into();
    let bad = tokens::sign(&claims, PUBLISHER_KEY);
    request(hub.addr, &publication(&bad, &[("topic", "a"), ("data", "x")]));
    for reason in ["expired ", "aud is `https://other.example/`, this hub is"] {
        hub.wait_for_log(reason);
    }
    let told = hub.log().matches("a rule that a refused token breaks").count();
    assert_eq!(told, 2, "{}", hub.log());
    assert!(!hub.log().contains(&bad));
    // Not for the public.
    let head = "POST /token/explain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(request(hub.addr, head).status, 404);
}
