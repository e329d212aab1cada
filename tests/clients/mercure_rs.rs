//! The crate `mercure`: publishes to hubs of 0.x, and makes tokens for their subscribers.

use std::process::Command;

use serde_json::{Value, json};

use super::{Client, legacy_setup};
use crate::{
    common::{
        client::Stream,
        hub::{Driver, PUBLISHER_KEY, SUBSCRIBER_KEY},
        tools::has_tools,
    },
    on_both_drivers,
};

on_both_drivers!(it_publishes_and_its_tokens_let_subscribers_in);

/// Built from `mercure_rs` by `.ci/install`.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/rust/debug/mercure_rs");

fn it_publishes_and_its_tokens_let_subscribers_in(driver: Driver) {
    if !has_tools(&[PROGRAM]) {
        return;
    }
    let hub = legacy_setup(driver).start();
    let mut client =
        Client::start(Command::new(PROGRAM).args([&*hub.url(), PUBLISHER_KEY, SUBSCRIBER_KEY]));
    let token = |told: Value| {
        assert_eq!(told[0], "token");
        format!("Authorization: Bearer {}\r\n", told[1].as_str().unwrap())
    };
    let tokens = [token(client.next()), token(client.next())];
    let published: Vec<Value> = (0..6).map(|_| client.next()).collect();
    // One without an expiry, and one that lives for as long as a cookie may.
    for token in tokens {
        let query = "topic=https://example.com/books/{id}&lastEventID=earliest";
        let mut stream = Stream::open(hub.addr, query, &token);
        let isbn = r#"{"isbn":"9780735218789"}"#;
        for (at, data) in [(0, isbn), (1, isbn), (2, ""), (3, isbn), (5, "")] {
            let event = stream.next().unwrap();
            assert_eq!(event.data, data, "{at}");
            assert_eq!(published[at], json!(["published", event.id]));
        }
    }
    // It takes any answer for an id: its token did not grant the other topic of this one.
    let refused = published[4][1].as_str().unwrap();
    assert!(refused.contains("Forbidden"), "{refused}");
}
