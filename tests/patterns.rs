//! URL patterns as matchers and as grants (draft-08 #url-pattern), on a running hub.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Stream, encode, publication, publish, refused, request},
        hub::{AUDIENCE, Driver, Hub, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        tokens::{self, claims, sign},
    },
    on_both_drivers,
};

on_both_drivers!(
    patterns_select,
    patterns_grant,
    patterns_are_relative_to_the_hub_and_never_to_a_request,
    histories_are_searched_by_pattern,
    what_is_no_pattern_is_refused,
);

fn pattern(text: &str) -> String {
    format!("match_urlpattern={}", encode(text))
}

/// Which of these topics arrive, each published once.
fn received(hub: &Hub, query: &str, topics: &[&str]) -> Vec<String> {
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, &format!("{query}&match=the+end"), "");
    for topic in topics.iter().chain(&["the end"]) {
        publish(hub.addr, &token, &[("topic", topic), ("data", topic)]);
    }
    let received = std::iter::from_fn(|| stream.next()).map(|event| event.data);
    received.take_while(|data| data != "the end").collect()
}

fn patterns_select(driver: Driver) {
    let hub = Setup::new(driver).start();
    let topics = [
        "https://example.com/books/1",
        "https://example.com/books/2?q#f",
        "https://example.com/books/1/pages/2",
        "https://example.com/books/",
        "https://EXAMPLE.com/books/3",
        "https://example.com/Books/4",
        "https://other.example/books/1",
        "/books/5",
        "books",
        "urn:isbn:1",
        "https://[no URL",
    ];
    let of = |indices: &[usize]| indices.iter().map(|index| topics[*index]).collect::<Vec<_>>();
    for (query, expected) in [
        (pattern("https://example.com/books/:id"), &[0, 1, 4][..]),
        (pattern("https://example.com/books/:id?"), &[0, 1, 4]),
        (pattern("https://example.com/books/:id/pages/:page"), &[2]),
        (pattern("https://example.com/books/*"), &[0, 1, 2, 3, 4]),
        (pattern(r"https://example.com/books/(\d+)"), &[0, 1, 4]),
        (pattern("https://*/books/1"), &[0, 6]),
        (pattern("/books/:id"), &[7]),
        (pattern(r"urn\:isbn\::number"), &[9]),
        (pattern("*://*:*/*"), &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (pattern("*"), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (format!("{}&match=urn:isbn:1&{}", pattern("/books/:a"), pattern("/:b/5")), &[7, 9]),
    ] {
        assert_eq!(received(&hub, &query, &topics), of(expected), "{query}");
    }
}

/// Claims whose topics are the patterns.
fn pattern_claims(action: &str, patterns: &[&str]) -> Value {
    let mut claims = claims(action, patterns);
    for topic in claims["authorization_details"][0]["topics"].as_array_mut().unwrap() {
        topic["match_type"] = json!("urlpattern");
    }
    claims
}

fn patterns_grant(driver: Driver) {
    let hub = Setup::new(driver).start();
    let own = sign(&pattern_claims("publish", &["https://e/users/42/*", "/own/:x"]), PUBLISHER_KEY);
    for (topics, status) in [
        (&["https://e/users/42/a"][..], 200),
        (&["https://e/users/42/a", "/own/1"], 200),
        (&["https://e/users/42/a", "https://e/users/43/a"], 403),
        (&["https://e/users/42"], 403),
        (&["https://[e/users/42/a"], 403),
    ] {
        let fields: Vec<_> = topics.iter().map(|topic| ("topic", *topic)).collect();
        assert_eq!(request(hub.addr, &publication(&own, &fields)).status, status, "{topics:?}");
    }
    // The draft's own example: routed by one topic, readable by the other.
    let reader = pattern_claims("subscribe", &["https://example.com/users/42/*"]);
    let fields = format!("Authorization: Bearer {}\r\n", sign(&reader, SUBSCRIBER_KEY));
    let query = pattern("https://example.com/books/:id");
    let (mut granted, mut anonymous) =
        (Stream::open(hub.addr, &query, &fields), Stream::open(hub.addr, &query, ""));
    let all = tokens::publisher(&["*"]);
    let book = ("topic", "https://example.com/books/1");
    for (alternate, data) in [("https://example.com/users/42/books/1", "1"), ("urn:x", "2")] {
        let fields = [book, ("topic", alternate), ("private", "on"), ("data", data)];
        publish(hub.addr, &all, &fields);
    }
    publish(hub.addr, &all, &[book, ("data", "3")]);
    assert_eq!(granted.data(2), ["1", "3"]);
    assert_eq!(anonymous.data(1), ["3"]);
    // A pattern that is none spoils the token.
    let bad = sign(&pattern_claims("subscribe", &["/a/:b", "("]), SUBSCRIBER_KEY);
    let answer = refused(hub.addr, &query, &format!("Authorization: Bearer {bad}\r\n"));
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.field("WWW-Authenticate").unwrap().split(',').next(),
        Some("Bearer error=\"invalid_token\"",)
    );
}

fn patterns_are_relative_to_the_hub_and_never_to_a_request(driver: Driver) {
    let hub = Setup::new(driver).start();
    let base = AUDIENCE.strip_suffix("/.well-known/mercure").unwrap();
    let absolute = format!("{base}/books/2");
    let topics = ["/books/1", &absolute, "https://localhost/books/3", "mercure2"];
    assert_eq!(received(&hub, &pattern("/books/:id"), &topics), topics[..2]);
    // Beside the hub, as links in a document of the hub would be.
    assert_eq!(received(&hub, &pattern(":name"), &topics), ["mercure2"]);
    // Percent-encoded slashes separate nothing.
    let topics = ["/a/https%3A%2F%2Fe%2F1/x", "/a/https%3A%2F%2Fe%2F1", "/a/https://e/1/x"];
    let query = pattern("/a/https%3A%2F%2Fe%2F1{/:subscriber}?");
    assert_eq!(received(&hub, &query, &topics), topics[..2]);
}

fn histories_are_searched_by_pattern(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let reader = sign(&pattern_claims("subscribe", &["/private/:a"]), SUBSCRIBER_KEY);
    for (topic, private, data) in [
        ("/books/1", false, "1"),
        ("/other/1", false, "2"),
        ("/books/2", true, "3"),
        ("/books/3", false, "4"),
    ] {
        let mut fields = vec![("topic", topic), ("data", data)];
        if private {
            fields.extend([("private", "on"), ("topic", "/private/1")]);
        }
        publish(hub.addr, &token, &fields);
    }
    let query = format!("{}&last_event_id=earliest", pattern("/books/:id"));
    assert_eq!(Stream::open(hub.addr, &query, "").data(2), ["1", "4"]);
    let fields = format!("Authorization: Bearer {reader}\r\n");
    assert_eq!(Stream::open(hub.addr, &query, &fields).data(3), ["1", "3", "4"]);
}

fn what_is_no_pattern_is_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    for (text, expected) in [
        ("https://e/(", "`match_urlpattern` is no URL pattern"),
        ("https://e]/", "`match_urlpattern` is no URL pattern"),
        ("https://e/([z-a])", "`match_urlpattern` has a regular expression"),
        (&"*a".repeat(60), "`match_urlpattern` is too complex"),
        (&"a".repeat(9_000), "is longer than"),
        ("a\u{200b}", "contains U+200B"),
    ] {
        let answer = refused(hub.addr, &pattern(text), "");
        assert_eq!(answer.status, 400, "{text}");
        assert!(answer.detail().contains(expected), "{text}: {}", answer.detail());
    }
    let many: Vec<_> = (0..101).map(|number| pattern(&format!("/{number}/(x)"))).collect();
    assert!(refused(hub.addr, &many.join("&"), "").detail().contains("regular expressions"));
    let _open = Stream::open(hub.addr, &many[..100].join("&"), "");
    assert!(Stream::open(hub.addr, &pattern("/a"), "").is_silent_for(Duration::from_millis(10)));
}
