//! A page that was away for longer than the hub retains, and is told so.

use serde_json::{Value, json};

use super::REPORT;
use crate::{
    common::{
        client::publish,
        hub::{Driver, Setup},
        site::{Site, chromium},
        tokens,
        tools::has_tools,
    },
    on_both_drivers,
};

on_both_drivers!(a_page_is_told_that_it_missed_something);

/// As documented, with reports in place of what a page would do.
const SCRIPT: &str = r#"
const url = new URL("HUB");
url.searchParams.append("match", "a");
url.searchParams.append("petasos_gap", "1");
const source = new EventSource(url);
let first = false;
source.onopen = () => { first = true; report("open "); };
source.onerror = () => report(`error ${source.readyState}`);
source.onmessage = event => { first = false; report(`message ${event.data}`); };
source.addEventListener("mercure-gap", event => {
    if (first) report(`gap ${event.lastEventId} ${event.data}`);
    first = false;
});
</script>"#;

fn a_page_is_told_that_it_missed_something(driver: Driver) {
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let hub = Setup::new(driver)
        .directive(&format!("cors_origins {}", site.origin))
        .directive("write_timeout 2s")
        .directive("transport memory {\n size 3\n}")
        .start();
    let page = [REPORT, &SCRIPT.replace("HUB", &hub.url())].concat();
    let _browser = chromium(&format!("gaps-{}", driver.name()), &site.origin);
    let mut reports = site.serve(move |path| (path == "/").then(|| (String::new(), page.clone())));
    reports.next("open ");
    let publisher = tokens::publisher(&["*"]);
    // The browser is to stay away while others are published.
    let first =
        publish(hub.addr, &publisher, &[("topic", "a"), ("data", "first"), ("retry", "3000")]);
    assert_eq!(reports.next("message "), "first");
    reports.next("error ");
    for number in 0..6 {
        publish(hub.addr, &publisher, &[("topic", "a"), ("data", &number.to_string())]);
    }
    let gap = reports.next("gap ");
    let (id, data) = gap.split_once(' ').unwrap();
    let notice: Value = serde_json::from_str(data).unwrap();
    let expected = json!({ "requested": first, "resumed_from": "earliest", "reason": "trimmed" });
    assert_eq!((id, notice), ("earliest", expected));
    for number in 3..6 {
        assert_eq!(reports.next("message "), number.to_string());
    }
}
