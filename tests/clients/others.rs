//! Other clients, by what they were seen to send: each has habits of its own.

use crate::{
    common::{
        client::{Stream, encode, try_publish},
        hub::{Driver, Hub, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    fields_come_in_any_case,
    streams_are_never_compressed,
    urls_are_raw_in_a_query,
    polyfills_have_a_parameter_of_their_own,
);

/// A hub with three private updates; their ids are 1 to 3.
fn hub(driver: Driver) -> Hub {
    let hub = Setup::new(driver).directive("anonymous off").start();
    for id in ["1", "2", "3"] {
        let form = format!("topic=https://e.example/a/1&private=on&data={id}&id={id}");
        assert_eq!(try_publish(hub.addr, &form).status, 200);
    }
    hub
}

/// HTTP/2 libraries, Go and Python write them in different ways.
fn fields_come_in_any_case(driver: Driver) {
    let hub = hub(driver);
    let token = tokens::subscriber(&["*"]);
    for (authorization, last_event_id) in [
        ("Authorization: Bearer", "Last-Event-ID"),
        ("authorization: bearer", "last-event-id"),
        ("AUTHORIZATION: BEARER", "LAST-EVENT-ID"),
        ("Authorization: Bearer", "Last-Event-Id"),
    ] {
        let fields = format!("{authorization} {token}\r\n{last_event_id}: 2\r\n");
        let mut stream = Stream::open(hub.addr, "match=https://e.example/a/1", &fields);
        assert_eq!(stream.data(1), ["3"], "{fields}");
    }
}

/// Many offer it without being asked.
fn streams_are_never_compressed(driver: Driver) {
    let hub = hub(driver);
    let token = tokens::subscriber(&["*"]);
    for offer in ["gzip", "gzip, deflate, br, zstd", "*", "identity;q=0, gzip"] {
        let fields = format!("Authorization: Bearer {token}\r\nAccept-Encoding: {offer}\r\n");
        let query = "match=https://e.example/a/1&last_event_id=earliest";
        let mut stream = Stream::open(hub.addr, query, &fields);
        assert_eq!(stream.field("content-encoding"), None, "{offer}");
        assert_eq!(stream.data(3), ["1", "2", "3"], "{offer}");
    }
}

/// aiohttp leaves `:` and `/` as they are.
fn urls_are_raw_in_a_query(driver: Driver) {
    let hub = hub(driver);
    let fields = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["*"]));
    for matcher in ["match=https://e.example/a/1", "match_urlpattern=https://e.example/a/:id"] {
        let query = format!("{matcher}&last_event_id=2");
        assert_eq!(Stream::open(hub.addr, &query, &fields).data(1), ["3"], "{query}");
    }
}

/// `lastEventId`, on every connection but the first; some write `lastEventID`.
fn polyfills_have_a_parameter_of_their_own(driver: Driver) {
    let hub = hub(driver);
    let fields = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["*"]));
    let topic = encode("https://e.example/a/1");
    for name in ["lastEventId", "lastEventID"] {
        let query = format!("match={topic}&{name}=2");
        assert_eq!(Stream::open(hub.addr, &query, &fields).data(1), ["3"], "{name}");
    }
}
