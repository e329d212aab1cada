//! `eventsource` of npm: the `EventSource` of browsers, for Node.js.

use std::process::Command;

use serde_json::json;

use super::{
    ANY_IDS, Arguments, Client, Journey, SELECTORS, arguments, full_hub, has_node, is_refused,
    legacy_setup, legacy_token, loses_nothing, node, obeys_retry_and_stands_heartbeats,
};
use crate::{common::hub::Driver, on_both_drivers};

on_both_drivers!(it_loses_nothing);

fn eventsource(arguments: &Arguments) -> Command {
    node(include_str!("eventsource.mjs"), arguments)
}

fn it_loses_nothing(driver: Driver) {
    if has_node() {
        loses_nothing(driver, 14, ANY_IDS, eventsource);
    }
}

/// With the token in the URL, as clients of 0.x may.
#[test]
fn it_loses_nothing_of_a_hub_of_0_x() {
    if !has_node() {
        return;
    }
    let journey = Journey::legacy(legacy_setup(Driver::IoUring), 8);
    let in_url = format!("authorization={}", legacy_token());
    let parameters = [&SELECTORS[..], &[&in_url]].concat();
    let mut client =
        Client::start(&mut eventsource(&arguments(&journey.proxy.url, "", &parameters)));
    journey.loses_nothing(ANY_IDS, || client.next());
    assert!(!journey.hub.log().contains(&in_url), "{}", journey.hub.log());
}

#[test]
fn it_obeys_retry_and_stands_heartbeats() {
    if has_node() {
        obeys_retry_and_stands_heartbeats(3000, eventsource);
    }
}

/// Its `error` has the status; `2` is closed, for good.
#[test]
fn it_is_told_why_it_is_refused() {
    if has_node() {
        is_refused(eventsource, |status| json!(["error", status, 2]));
    }
}

/// Only an answer of 200 makes it come back by itself, `0`.
#[test]
fn it_comes_back_to_a_hub_that_is_full() {
    if !has_node() {
        return;
    }
    for (overload, expected) in [
        ("retry", vec![json!(["open"]), json!(["error", null, 0])]),
        ("reject", vec![json!(["error", 429, 2])]),
    ] {
        let (hub, _filling) = full_hub(overload, "");
        let mut client = Client::start(&mut eventsource(&arguments(&hub.url(), "", &["match=a"])));
        for expected in expected {
            assert_eq!(client.next(), expected, "{overload}");
        }
    }
}
