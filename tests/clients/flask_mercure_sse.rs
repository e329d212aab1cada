//! `flask-mercure-sse` of PyPI: an application whose pages subscribe by a token in the URL, or by
//! the cookie of 0.x, and which publishes.

use std::process::Command;

use serde_json::json;

use super::{Client, legacy_setup};
use crate::{
    common::{
        client::Stream,
        hub::{Driver, Hub},
        tools::{PYTHON, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(its_pages_get_what_it_publishes);

const SCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/flask_mercure_sse_client.py");
/// The application has one key for all, its own.
const KEY: &str = "the-secret-key-of-the-application";

fn application(hub: &Hub, pages: &[&str]) -> Client {
    let mut command = Command::new(PYTHON);
    Client::start(command.args([SCRIPT, &hub.url(), KEY]).args(pages))
}

fn its_pages_get_what_it_publishes(driver: Driver) {
    if !has_tools(&[PYTHON]) {
        return;
    }
    let hub = legacy_setup(driver)
        .env("MERCURE_PUBLISHER_JWT_KEY", KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .start();
    let mut pages = application(&hub, &["/public", "/private", "/login"]);
    let mut page = || {
        let told = pages.next();
        assert_eq!(told[0], "page");
        [1, 2].map(|index| told[index].as_str().unwrap_or_default().to_owned())
    };
    let query = |[url, _]: [String; 2]| {
        let prefix = format!("{}?", hub.url());
        url.strip_prefix(&prefix).unwrap_or_else(|| panic!("{url}")).to_owned()
    };
    // As a browser sends it back.
    let cookie = |[_, set]: [String; 2]| {
        let pair = set.split(';').next().unwrap();
        assert!(pair.starts_with("mercureAuthorization="), "{set}");
        format!("Cookie: {pair}\r\n")
    };
    let (public, private, login) = (query(page()), query(page()), cookie(page()));
    assert!(private.contains("&authorization="), "{private}");
    let mut streams = [
        (Stream::open(hub.addr, &public, ""), vec!["a message", "x"]),
        (Stream::open(hub.addr, &private, ""), vec![r#"{"a": 1}"#]),
        (Stream::open(hub.addr, &public, &login), vec!["a message", r#"{"a": 1}"#, "x"]),
    ];
    let mut publishing = application(&hub, &["/publish"]);
    let ids: Vec<_> = (0..3).map(|_| publishing.next()).collect();
    assert_eq!(ids[2], json!(["published", "urn:x:1"]));
    assert_eq!(publishing.next(), json!(["page", "done", null]));
    for (stream, expected) in &mut streams {
        for data in expected {
            let event = stream.next().unwrap();
            assert_eq!(event.data, *data);
            assert!(ids.contains(&json!(["published", event.id])), "{ids:?} {event:?}");
            let more = if *data == "x" { ("t", "5") } else { ("", "") };
            assert_eq!((&*event.event, &*event.retry), more);
        }
    }
}
