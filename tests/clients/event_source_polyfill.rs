//! `event-source-polyfill` of npm: an `EventSource` with fields of the caller's own. It sends no
//! `Last-Event-ID`, but a query parameter of its own, `lastEventId`.

use std::process::Command;

use serde_json::json;

use super::{
    ANY_IDS, Arguments, Client, Journey, SELECTORS, arguments, has_node, is_refused, legacy_setup,
    legacy_token, loses_nothing, node, obeys_retry_and_stands_heartbeats,
};
use crate::{common::hub::Driver, on_both_drivers};

on_both_drivers!(it_loses_nothing, it_loses_nothing_of_a_hub_of_0_x);

fn event_source_polyfill(arguments: &Arguments) -> Command {
    node(include_str!("event_source_polyfill.mjs"), arguments)
}

/// It waits for a second at least, whatever the hub says: so it is cut less often.
fn it_loses_nothing(driver: Driver) {
    if has_node() {
        loses_nothing(driver, 4, ANY_IDS, event_source_polyfill);
    }
}

fn it_loses_nothing_of_a_hub_of_0_x(driver: Driver) {
    if !has_node() {
        return;
    }
    let journey = Journey::legacy(legacy_setup(driver), 4);
    let arguments = arguments(&journey.proxy.url, &legacy_token(), &SELECTORS);
    let mut client = Client::start(&mut event_source_polyfill(&arguments));
    journey.loses_nothing(ANY_IDS, || client.next());
    // By its own parameter alone.
    let targets = journey.proxy.targets();
    let resumed = targets.iter().filter(|target| target.contains("lastEventId=")).count();
    assert_eq!((resumed, targets.len()), (4, 5), "{targets:?}");
    assert_eq!(journey.proxy.field("last-event-id"), [""; 0]);
}

#[test]
fn it_obeys_retry_and_stands_heartbeats() {
    if has_node() {
        obeys_retry_and_stands_heartbeats(1000, event_source_polyfill);
    }
}

#[test]
fn it_is_told_why_it_is_refused() {
    if has_node() {
        is_refused(event_source_polyfill, |status| json!(["error", status, 2]));
    }
}
