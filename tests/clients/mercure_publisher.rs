//! `mercure-publisher` of PyPI: publishes to hubs of 0.x, with httpx.

use std::process::Command;

use serde_json::{Value, json};

use super::{Client, legacy_setup};
use crate::{
    common::{
        client::Stream,
        hub::{Driver, PUBLISHER_KEY, SUBSCRIBER_KEY},
        tokens,
        tools::{PYTHON, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(it_publishes);

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mercure_publisher_client.py");

fn mercure_publisher(url: &str, key: &str, publications: &Value) -> Client {
    let mut command = Command::new(PYTHON);
    Client::start(command.args([SCRIPT, url, key, &publications.to_string()]))
}

/// Each publication by a client that blocks, and by one that does not.
fn it_publishes(driver: Driver) {
    if !has_tools(&[PYTHON]) {
        return;
    }
    let hub = legacy_setup(driver).start();
    let claims = json!({ "mercure": { "subscribe": ["https://example.com/books/{id}"] } });
    let fields =
        format!("Authorization: Bearer {}\r\n", tokens::sign_legacy(&claims, SUBSCRIBER_KEY));
    let mut stream = Stream::open(hub.addr, "topic=https://example.com/books/{id}", &fields);
    let [one, two] = [1, 2].map(|number| format!("https://example.com/books/{number}"));
    let publications = json!([
        { "topic": one, "data": { "of": [1, null], "title": "caf\u{e9} & more" } },
        { "topic": [one, two], "data": "zwei\nZeilen ", "private": true, "type": "book.updated",
          "retry": 1000 },
        { "topic": "https://example.com/authors/1", "data": "x" },
        { "topic": two, "data": "", "private": true, "id": "urn:x:1" },
    ]);
    let mut client = mercure_publisher(&hub.url(), PUBLISHER_KEY, &publications);
    for _ in 0..2 {
        for (event_type, retry, data) in [
            ("", "", r#"{"of": [1, null], "title": "caf\u00e9 & more"}"#),
            ("book.updated", "1000", "zwei\nZeilen "),
            ("", "", ""),
        ] {
            if data.is_empty() {
                // What its token does not grant.
                assert_eq!(client.next(), json!(["error", 403]));
            }
            let event = stream.next().unwrap();
            assert_eq!((&*event.event, &*event.retry, &*event.data), (event_type, retry, data));
            assert_eq!(client.next(), json!(["published", event.id]));
            assert_eq!(event.id == "urn:x:1", data.is_empty());
        }
    }
    let mut client = mercure_publisher(&hub.url(), SUBSCRIBER_KEY, &json!([publications[0]]));
    assert_eq!(client.next(), json!(["error", 401]));
}
