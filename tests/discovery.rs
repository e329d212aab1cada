//! How a hub is found, and what it tells of itself (draft-08 #discovery, RFC 9728, RFC 8288).

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Answer, Connection, Stream, publish, refused, request},
        hub::{AUDIENCE, Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    the_hub_is_linked,
    the_welcome_page_names_the_last_event,
    the_metadata_describe_the_hub,
    several_public_urls_are_known,
    other_names_are_misdirected,
);

const METADATA: &str = "/.well-known/oauth-protected-resource";

fn get(addr: std::net::SocketAddr, host: &str, path: &str, fields: &str) -> Answer {
    request(addr, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))
}

fn the_hub_is_linked(driver: Driver) {
    const LINK: &str = "</.well-known/mercure>; rel=\"mercure\"";
    let hub = Setup::new(driver).directive("cors_origins https://app.example").start();
    let stream = Stream::open(hub.addr, "match=a", "Origin: https://app.example\r\n");
    assert_eq!(stream.field("Link"), Some(LINK));
    assert!(stream.field("Access-Control-Expose-Headers").unwrap().contains("Link"));
    let refused = refused(hub.addr, "match=a", "Authorization: Bearer a.b.c\r\n");
    assert_eq!((refused.status, refused.field("Link")), (401, Some(LINK)));
    let head =
        Connection::open(hub.addr).send("HEAD / HTTP/1.1\r\nHost: hub\r\n\r\n").answer_to_head();
    assert!(head.field("Link").unwrap().starts_with(LINK));
}

fn the_welcome_page_names_the_last_event(driver: Driver) {
    let hub = Setup::new(driver).start();
    let link = || get(hub.addr, "hub", "/", "").field("Link").unwrap().to_owned();
    assert!(link().ends_with("; last-event-id=\"earliest\""), "{}", link());
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    for (id, expected) in [("urn:1", "urn:1"), ("a\"b\\c", "a\\\"b\\\\c")] {
        publish(hub.addr, &token, &[("topic", "a"), ("id", id)]);
        stream.next().unwrap();
        // Each worker learns of it by itself.
        let deadline = std::time::Instant::now() + crate::common::hub::PATIENCE;
        let expected = format!("; last-event-id=\"{expected}\"");
        while !(0..4).all(|_| link().ends_with(&expected)) {
            assert!(std::time::Instant::now() < deadline, "{} {expected}", link());
        }
    }
}

fn the_metadata_describe_the_hub(driver: Driver) {
    let hub = Setup::new(driver).start();
    let path = format!("{METADATA}/.well-known/mercure");
    let answer = get(hub.addr, "hub", &path, "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let expected = json!({
        "resource": AUDIENCE,
        "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
        "bearer_methods_supported": ["header"],
        "mercure_cookie": "__Secure-mercure_access_token",
        "mercure_matcher_types_supported": ["exact", "urlpattern"],
    });
    assert_eq!(document, expected);
    // It is where the challenge says it is.
    let refused = refused(hub.addr, "match=a", "Authorization: Bearer a.b.c\r\n");
    let challenge = refused.field("WWW-Authenticate").unwrap().to_owned();
    let url = challenge.split_once("resource_metadata=\"").unwrap().1.trim_end_matches('"');
    assert_eq!(url, format!("http://hub{path}"));
    let post = request(hub.addr, &format!("POST {path} HTTP/1.1\r\nHost: hub\r\n\r\n"));
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    for other in [METADATA.to_owned(), format!("{path}/"), format!("{METADATA}/x")] {
        assert_eq!(get(hub.addr, "hub", &other, "").status, 404, "{other}");
    }
}

fn several_public_urls_are_known(driver: Driver) {
    let hub = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_JWT_KEY", crate::common::hub::PUBLISHER_KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .directive("public_urls https://a.example https://b.example/x/.well-known/mercure")
        .start();
    for (host, url, path) in [
        ("a.example", "https://a.example/.well-known/mercure", "/.well-known/mercure"),
        ("B.example:443", "https://b.example/x/.well-known/mercure", "/x/.well-known/mercure"),
    ] {
        let answer = get(hub.addr, host, &format!("{METADATA}{path}"), "");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["resource"], url);
        let link = get(hub.addr, host, "/", "").field("Link").unwrap().to_owned();
        assert!(link.starts_with(&format!("<{url}>; rel=\"mercure\"")), "{link}");
    }
}

fn other_names_are_misdirected(driver: Driver) {
    let hub = Setup::new(driver).directive("public_urls https://a.example").start();
    for (host, path, status) in [
        ("b.example", "/.well-known/mercure?match=a", 421),
        ("b.example", &format!("{METADATA}/.well-known/mercure"), 421),
        ("a.example:8080", "/.well-known/mercure?match=a", 421),
        // Probes and people come by any name.
        ("b.example", "/healthz", 200),
        ("b.example", "/", 200),
        // Without a matcher: the name is right.
        ("a.example", "/.well-known/mercure", 400),
        ("a.example:443", "/.well-known/mercure", 400),
    ] {
        let answer = get(hub.addr, host, path, "");
        assert_eq!(answer.status, status, "{host} {path} {answer:?}");
    }
    let post = request(hub.addr, "POST /.well-known/mercure HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(post.status, 421);
    assert!(post.detail().contains("public_urls"), "{post:?}");
}
