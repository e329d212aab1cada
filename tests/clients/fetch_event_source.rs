//! `@microsoft/fetch-event-source` of npm: streams by `fetch`, with fields of the caller's own.
//! Errors are handled as its README shows.

use std::process::Command;

use serde_json::json;

use super::{
    ASCII_IDS, Arguments, Client, arguments, full_hub, has_node, is_refused, loses_nothing, node,
    obeys_retry_and_stands_heartbeats,
};
use crate::{common::hub::Driver, on_both_drivers};

on_both_drivers!(it_loses_nothing);

fn fetch_event_source(arguments: &Arguments) -> Command {
    node(include_str!("fetch_event_source.mjs"), arguments)
}

/// It takes an id for the last one as soon as it reads the line: were that not the last line of
/// an event, who is cut within the data would never get them.
fn it_loses_nothing(driver: Driver) {
    if has_node() {
        loses_nothing(driver, 14, ASCII_IDS, fetch_event_source);
    }
}

#[test]
fn it_obeys_retry_and_stands_heartbeats() {
    if has_node() {
        obeys_retry_and_stands_heartbeats(1000, fetch_event_source);
    }
}

#[test]
fn it_is_told_why_it_is_refused() {
    if has_node() {
        is_refused(fetch_event_source, |status| json!(["error", status, "fatal"]));
    }
}

#[test]
fn it_comes_back_to_a_hub_that_is_full() {
    if !has_node() {
        return;
    }
    for (overload, expected) in [
        ("retry", vec![json!(["open"]), json!(["event", "", "message", ""]), json!(["closed"])]),
        ("reject", vec![json!(["error", 429, "retriable"])]),
    ] {
        let (hub, filling) = full_hub(overload, "");
        let mut client =
            Client::start(&mut fetch_event_source(&arguments(&hub.url(), "", &["match=a"])));
        for expected in expected {
            assert_eq!(client.next(), expected, "{overload}");
        }
        if overload == "reject" {
            drop(filling);
            client.wait_for(&json!(["open"]));
        }
    }
}
