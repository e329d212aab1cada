//! A page that is cut again and again by the hub itself, and all that it sees of the hub.

use std::{thread, time::Duration};

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

on_both_drivers!(a_page_is_kept_up_to_date_however_often_it_is_cut);

const SCRIPT: &str = r#"
const hub = "HUB", other = "OTHER", token = "TOKEN";

const url = new URL(hub);
url.searchParams.append("match", "https://e.example/bücher/1?a=b c");
url.searchParams.append("match", "second");
const source = new EventSource(url, { withCredentials: true });
source.onopen = () => report("open ");
source.onmessage = event => report(`message ${event.lastEventId} ${event.data}`);
source.addEventListener("special", event => report(`special ${JSON.stringify(event.data)}`));
source.onerror = () => report(`error ${source.readyState}`);

const denied = new EventSource(other + "?match=a");
denied.onopen = () => report("denied opened");
denied.onerror = () => report(`denied ${denied.readyState}`);

(async () => {
    const body = new URLSearchParams({ topic: "from the page", data: "x" });
    const publish = authorization =>
        fetch(hub, { method: "POST", body, headers: { authorization } });
    const answer = await publish("Bearer " + token);
    report(`published ${answer.status} ${await answer.text()}`);
    const refused = await publish("Bearer a.b.c");
    report(`refused ${refused.status} ${refused.headers.get("WWW-Authenticate")}`);
    const stream = await fetch(hub + "?match=a&last_event_id=unknown");
    report(`cursor ${stream.headers.get("Mercure-Last-Event-ID")}`);
    stream.body.cancel();
})().catch(error => report(`failed ${error}`));
</script>"#;

fn a_page_is_kept_up_to_date_however_often_it_is_cut(driver: Driver) {
    if !has_tools(&["chromium"]) {
        return;
    }
    let other = Setup::new(driver).directive("cors_origins https://elsewhere.example").start();
    let site = Site::new();
    let hub = Setup::new(driver)
        .directive(&format!("cors_origins {}", site.origin))
        .directive("write_timeout 1s")
        .start();
    let script = SCRIPT
        .replace("HUB", &hub.url())
        .replace("OTHER", &other.url())
        .replace("TOKEN", &tokens::publisher(&["from the page"]));
    let page = [REPORT, &script].concat();
    let _browser = chromium(&format!("updates-{}", driver.name()), &site.origin);
    let mut reports = site.serve(move |path| (path == "/").then(|| (String::new(), page.clone())));

    reports.next("open ");
    assert_eq!(reports.next("denied "), "2", "closed for good");
    let published = reports.next("published ");
    assert!(published.starts_with("200 urn:uuid:"), "{published}");
    assert!(reports.next("refused ").starts_with("401 Bearer error=\"invalid_token\", resource"));
    assert_eq!(reports.next("cursor "), "earliest");

    let publisher = tokens::publisher(&["*"]);
    // The first one tells the browser not to wait long between connections.
    let count = 120;
    let ids: Vec<String> = (0..count)
        .map(|number| {
            let data = number.to_string();
            let topic =
                if number % 3 == 0 { "second" } else { "https://e.example/b\u{fc}cher/1?a=b c" };
            let mut fields = vec![("topic", topic), ("data", &*data)];
            if number % 10 == 0 {
                fields.push(("retry", "100"));
            }
            thread::sleep(Duration::from_millis(30));
            publish(hub.addr, &publisher, &fields)
        })
        .collect();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(reports.next("message "), format!("{id} {number}"));
    }
    let special = [("topic", "second"), ("type", "special"), ("data", "two\r\nlines \u{1f600}")];
    publish(hub.addr, &publisher, &special);
    assert_eq!(reports.next("special "), "\"two\\nlines \u{1f600}\"");
    let again = reports.waiting.iter().filter(|report| report.starts_with("open ")).count();
    assert!(again >= 3, "it was cut {again} times");
    let failures: Vec<_> =
        reports.waiting.iter().filter(|report| !report.starts_with("open ")).collect();
    // `0`: connecting again.
    assert!(failures.iter().all(|report| *report == "error 0"), "{failures:?}");
}
