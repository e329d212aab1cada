//! `httpx-sse` of PyPI: streams for httpx. Coming back is up to its callers; `httpx_sse_client.py`
//! does it as its README shows.

use std::process::Command;

use serde_json::json;

use super::{
    ASCII_IDS, Arguments, Client, arguments, full_hub, is_refused, loses_nothing,
    obeys_retry_and_stands_heartbeats,
};
use crate::{
    common::{
        hub::Driver,
        tools::{PYTHON, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(it_loses_nothing);

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/httpx_sse_client.py");

fn httpx_sse(arguments: &Arguments) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(SCRIPT).args(arguments);
    command
}

fn it_loses_nothing(driver: Driver) {
    if has_tools(&[PYTHON]) {
        loses_nothing(driver, 14, ASCII_IDS, httpx_sse);
    }
}

#[test]
fn it_obeys_retry_and_stands_heartbeats() {
    if has_tools(&[PYTHON]) {
        obeys_retry_and_stands_heartbeats(0, httpx_sse);
    }
}

#[test]
fn it_is_told_why_it_is_refused() {
    if has_tools(&[PYTHON]) {
        is_refused(httpx_sse, |status| json!(["error", status]));
    }
}

#[test]
fn it_learns_that_a_hub_is_full() {
    if !has_tools(&[PYTHON]) {
        return;
    }
    for (overload, expected) in [
        ("retry", vec![json!(["open"]), json!(["closed"])]),
        ("reject", vec![json!(["error", 429])]),
    ] {
        let (hub, _filling) = full_hub(overload, "");
        let mut client = Client::start(&mut httpx_sse(&arguments(&hub.url(), "", &["match=a"])));
        for expected in expected {
            assert_eq!(client.next(), expected, "{overload}");
        }
    }
}
