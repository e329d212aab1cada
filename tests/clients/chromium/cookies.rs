//! A page whose only credential is a cookie that its application has set: it follows private
//! updates through cuts, and past the end of its tokens.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{REPORT, named_cookie, set_cookie};
use crate::{
    clients::{
        ANY_IDS, Journey, MATCHERS, SELECTORS, TYPE, expect_events, legacy_setup, legacy_token,
        token,
    },
    common::{
        client::publish,
        hub::{Driver, PATIENCE, SUBSCRIBER_KEY, Setup},
        proxy::{Fate, Proxy},
        site::{Reports, Site, chromium},
        tokens,
        tools::has_tools,
    },
    on_both_drivers,
};

on_both_drivers!(it_loses_nothing);

/// Follows once it has its cookie, which it renews every second.
const PAGE: &str = r#"
const renew = () => fetch("/renew");
renew().then(() => {
    setInterval(renew, 1000);
    const url = new URL("HUB");
    for (const matcher of MATCHERS) {
        const [name, ...value] = matcher.split("=");
        url.searchParams.append(name, value.join("="));
    }
    const source = new EventSource(url, { withCredentials: true });
    source.onopen = () => tell("open");
    source.onerror = () => tell("error", source.readyState);
    for (const type of ["message", "TYPE"])
        source.addEventListener(type, event => tell("event", event.lastEventId, type, event.data));
});
</script>"#;

/// A site whose page follows the matchers with what `cookie` sets.
fn follow(
    site: Site,
    url: &str,
    matchers: &[&str],
    cookie: impl Fn() -> String + Send + Sync + 'static,
) -> Reports {
    let page = PAGE
        .replace("HUB", url)
        .replace("MATCHERS", &json!(matchers).to_string())
        .replace("TYPE", TYPE);
    site.serve(move |path| match path {
        "/" => Some((String::new(), [REPORT, &page].concat())),
        "/renew" => Some((cookie(), String::new())),
        _ => None,
    })
}

fn next(reports: &mut Reports) -> Value {
    serde_json::from_str(&reports.next("told ")).unwrap()
}

/// A hub that lets nobody in without a token.
fn setup(driver: Driver, site: &Site) -> Setup {
    Setup::new(driver)
        .directive("anonymous off")
        .directive(&format!("cors_origins {}", site.origin))
}

fn it_loses_nothing(driver: Driver) {
    const CUTS: usize = 14;
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let journey = Journey::new(setup(driver, &site), CUTS);
    let _browser = chromium(&format!("cookies-{}", driver.name()), &site.origin);
    let cookie = || set_cookie(&token(), "Strict");
    let mut reports = follow(site, &journey.proxy.url, &MATCHERS, cookie);
    journey.loses_nothing(ANY_IDS, || next(&mut reports));
}

#[test]
fn it_loses_nothing_of_a_hub_of_0_x() {
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let setup = legacy_setup(Driver::Epoll).directive(&format!("cors_origins {}", site.origin));
    let journey = Journey::legacy(setup, 6);
    let _browser = chromium("cookies-legacy", &site.origin);
    let cookie = || named_cookie("mercureAuthorization", &legacy_token(), "Strict");
    let mut reports = follow(site, &journey.proxy.url, &SELECTORS, cookie);
    journey.loses_nothing(ANY_IDS, || next(&mut reports));
}

/// The hub ends a stream before its token expires; the browser comes back by itself, with the
/// cookie of the day and the last event id.
#[test]
fn a_cookie_is_renewed_while_the_stream_goes_on() {
    const STREAMS: usize = 4;
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let hub = setup(Driver::IoUring, &site).start();
    let proxy = Proxy::start(hub.addr, |_| Fate::Passed);
    let _browser = chromium("renewal", &site.origin);
    let mut reports = follow(site, &proxy.url, &["match=a"], || {
        let mut claims = tokens::claims("subscribe", &["a"]);
        claims["exp"] = (tokens::now() + 3.0).into();
        set_cookie(&tokens::sign(&claims, SUBSCRIBER_KEY), "Strict")
    });
    assert_eq!(next(&mut reports), json!(["open"]));
    let publisher = tokens::publisher(&["*"]);
    let begin = Instant::now();
    let mut expected = Vec::new();
    while proxy.connections() < STREAMS {
        assert!(begin.elapsed() < PATIENCE, "it came {} times", proxy.connections());
        let data = expected.len().to_string();
        let fields = [("topic", "a"), ("private", ""), ("retry", "20"), ("data", &*data)];
        let id = publish(hub.addr, &publisher, &fields);
        expected.push(json!(["event", id, "message", data]));
        thread::sleep(Duration::from_millis(20));
    }
    expect_events(&expected, || next(&mut reports));
    let mut cookies = proxy.field("cookie");
    cookies.dedup();
    assert!(cookies.len() >= STREAMS, "{cookies:?}");
}
