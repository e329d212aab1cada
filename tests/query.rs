//! Subscribing with `QUERY`: matchers in a body (draft-08 #subscription, RFC 10008).

use std::time::Duration;

use crate::{
    common::{
        client::{Answer, Connection, Stream, encode, publish},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    a_body_and_the_query_component_are_one,
    a_body_comes_in_any_framing,
    what_is_no_form_or_too_much_is_refused,
    cursors_are_taken_from_the_query_first,
    a_token_that_fails_costs_no_body,
);

fn query(target: &str, fields: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "QUERY /.well-known/mercure{target} HTTP/1.1\r\nHost: hub\r\n{fields}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

fn answer(addr: std::net::SocketAddr, sent: &str) -> Answer {
    Connection::open(addr).send(sent).answer()
}

fn a_body_and_the_query_component_are_one(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    // More than fits into a URL.
    let long: Vec<_> =
        (0..900).map(|i| format!("match={}", encode(&format!("{i:0200}")))).collect();
    for (target, body, expected) in [
        ("", "match=a&match_urlpattern=/b/:c", &["a", "/b/1"][..]),
        ("?match=a", "match_urlpattern=/b/:c&match=a", &["a", "/b/1"]),
        ("?match=a", "", &["a"]),
        ("?match=*", "match=zz", &["a", "/b/1", "c"]),
        ("?match=a", &long.join("&"), &["a"]),
    ] {
        let mut stream = Stream::from_request(hub.addr, &query(target, "", body));
        for topic in ["a", "/b/1", "c"] {
            publish(hub.addr, &token, &[("topic", topic), ("data", topic)]);
        }
        assert_eq!(stream.data(expected.len()), expected, "{target} {body:.40}");
        assert!(stream.is_silent_for(Duration::from_millis(20)));
    }
}

fn a_body_comes_in_any_framing(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let head = "QUERY /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
    for sent in [
        format!("{head}{form}Transfer-Encoding: chunked\r\n\r\n4\r\nmatc\r\n3\r\nh=a\r\n0\r\n\r\n"),
        format!("{head}{form}Content-Length: 7\r\nExpect: 100-continue\r\n\r\nmatch=a"),
        // Nothing in it, and so no need to say what it is.
        "QUERY /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned(),
    ] {
        let mut stream = Stream::from_request(hub.addr, &sent);
        publish(hub.addr, &token, &[("topic", "a"), ("data", "x")]);
        assert_eq!(stream.data(1), ["x"], "{sent}");
    }
    // Of a GET, a body means nothing.
    let sent = query("?match=a", "", "match=b").replace("QUERY", "GET");
    let mut stream = Stream::from_request(hub.addr, &sent);
    for topic in ["b", "a"] {
        publish(hub.addr, &token, &[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.data(1), ["a"]);
}

fn what_is_no_form_or_too_much_is_refused(driver: Driver) {
    let hub = Setup::new(driver).directive("max_request_body_size 1KiB").start();
    for (sent, status, detail) in [
        (query("", "", "match=a").replace("x-www-form-urlencoded", "json"), 415, "urlencoded"),
        (query("", "", "match=a").replace("Content-Type", "X"), 415, "urlencoded"),
        (query("", "", ""), 400, "no topic to subscribe to"),
        (query("", "", "topic=a"), 400, "`match`"),
        (query("?match=a", "", "matches=a"), 400, "`matches`"),
        (query("?match=a", "", "match=%00"), 400, "U+0000"),
        (query("?match=a", "", "match=%ff"), 400, "UTF-8"),
        (query("", "", &format!("match={}", "a".repeat(1100))), 413, ""),
    ] {
        let answer = answer(hub.addr, &sent);
        assert_eq!(answer.status, status, "{sent:.200} {answer:?}");
        assert!(answer.detail().contains(detail), "{answer:?}");
    }
    // The connection lives on after a body that was read.
    let mut connection = Connection::open(hub.addr);
    assert_eq!(connection.send(query("", "", "topic=a")).answer().status, 400);
    assert_eq!(connection.send(query("", "", "topic=a")).answer().status, 400);
}

fn cursors_are_taken_from_the_query_first(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    for id in ["1", "2", "3", "4"] {
        publish(hub.addr, &token, &[("topic", "a"), ("data", id), ("id", id)]);
    }
    for (target, fields, body, expected) in [
        ("", "", "match=a&last_event_id=2", &["3", "4"][..]),
        ("?last_event_id=3", "", "match=a&last_event_id=1", &["4"]),
        ("?last_event_id=3", "Last-Event-ID: 1\r\n", "match=a", &["2", "3", "4"]),
        ("", "Last-Event-ID: 3\r\n", "match=a&last_event_id=1", &["4"]),
    ] {
        let mut stream = Stream::from_request(hub.addr, &query(target, fields, body));
        assert_eq!(stream.data(expected.len()), expected, "{target} {fields} {body}");
    }
}

fn a_token_that_fails_costs_no_body(driver: Driver) {
    let hub = Setup::new(driver).start();
    let sent = query("", "Authorization: Bearer a.b.c\r\n", "");
    let sent = sent.replace("Content-Length: 0", "Content-Length: 100000");
    assert_eq!(answer(hub.addr, &sent).status, 401, "before the body came");
}
