//! What a browser lets pages of other origins and of other sites do, by what the hub tells it.

use serde_json::json;

use super::{REPORT, set_cookie};
use crate::{
    clients::full_hub,
    common::{
        client::publish,
        hub::{AUDIENCE, ISSUER, SUBSCRIBER_KEY, Setup},
        site::{Site, chromium},
        tokens::{claims, sign},
        tools::has_tools,
    },
};

/// `state` of a stream: what became of it first.
const FUNCTIONS: &str = r#"
const state = (url, withCredentials) => new Promise(resolve => {
    const source = new EventSource(url, { withCredentials });
    let states = "";
    source.onopen = () => setTimeout(() => { source.close(); resolve(states || "open"); }, 300);
    source.onerror = () => { states += source.readyState; resolve(states); };
});
const publish = (url, topic) => fetch(url, {
    method: "POST", credentials: "include",
    body: new URLSearchParams({ topic, data: "by a page", private: "on" }),
});
"#;

/// At the address of the site: another origin of the hub's site.
const SAME_SITE: &str = r#"
(async () => {
    // The hub is found by its link, and so is where to begin.
    let link;
    do link = (await fetch(new URL("/", HUB))).headers.get("Link");
    while (!link.includes("NEWEST"));
    const [, target, last] = link.match(/<([^>]+)>; rel="mercure"; last-event-id="([^"]+)"/);
    const hub = new URL(target, HUB);
    report(`link ${hub} ${last}`);

    report(`nobody ${await state(hub + "?match=a", true)}`);
    await fetch("/strict");
    report(`without ${await state(hub + "?match=a", false)}`);
    report(`with ${await state(hub + "?match=a", true)}`);
    report(`no matcher ${await state(hub, true)}`);
    report(`unlisted ${await state(UNLISTED + "?match=a", true)}`);
    report(`unlisted fetch ${await publish(UNLISTED, "a").catch(error => error.name)}`);
    report(`any ${await state(ANY + "?match=a", true)}`);
    report(`any without ${await state(ANY + "?match=a", false)}`);
    report(`full ${await state(FULL + "?match=a", true)}`);
    report(`rejecting ${await state(REJECTING + "?match=a", true)}`);

    const from = `${hub}?match=a&last_event_id=${last}`;
    const source = new EventSource(from, { withCredentials: true });
    source.onmessage = async event => {
        report(`event ${event.lastEventId} ${event.data}`);
        source.close();
        // The next page, by another name of the same place: another site.
        location = "ELSEWHERE";
    };
    source.onopen = async () => {
        const answer = await publish(hub, "a");
        report(`published ${answer.status} ${await answer.text()}`);
    };
})();
</script>"#;

/// At the other name.
const OTHER_SITE: &str = r#"
(async () => {
    report(`strict ${await state(HUB + "?match=a", true)}`);
    await fetch("ORIGIN/none", { credentials: "include", mode: "no-cors" });
    report(`none ${await state(HUB + "?match=a", true)}`);
    const answer = await publish(HUB, "a");
    report(`not published ${answer.status} ${answer.headers.get("WWW-Authenticate")}`);
})();
</script>"#;

/// One token for both roles, as one detail may have both actions.
fn token() -> String {
    let mut claims = claims("subscribe", &["a"]);
    claims["authorization_details"][0]["actions"] = json!(["subscribe", "publish"]);
    sign(&claims, SUBSCRIBER_KEY)
}

#[test]
fn pages_may_do_what_their_origin_may() {
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let origin = site.origin.clone();
    let elsewhere = origin.replace("127.0.0.1", "localhost");
    // One key for both roles.
    let setup = || {
        Setup::bare()
            .env("PETASOS_WORKERS", "1")
            .env("MERCURE_JWT_KEY", SUBSCRIBER_KEY)
            .env("MERCURE_TRUSTED_ISSUERS", ISSUER)
            .directive(&format!("resource_identifier {}", AUDIENCE))
    };
    let hub = setup()
        .directive(&format!("cors_origins {origin} {elsewhere}"))
        .directive(&format!("publish_origins {origin}"))
        .start();
    let unlisted = setup()
        .directive("anonymous")
        .directive("cors_origins https://elsewhere.example")
        .directive(&format!("publish_origins {origin}"))
        .start();
    let any = setup().directive("anonymous").directive("cors_origins *").start();
    let overloaded = |overload| full_hub(overload, &format!("cors_origins {origin}"));
    let ((full, _filling), (rejecting, _filling_too)) = (overloaded("retry"), overloaded("reject"));
    let newest = publish(hub.addr, &token(), &[("topic", "a"), ("data", "before")]);
    let names = [
        ("ORIGIN", origin.clone()),
        ("ELSEWHERE", format!("{elsewhere}/elsewhere")),
        ("NEWEST", newest.clone()),
        ("HUB", format!("{:?}", hub.url())),
        ("UNLISTED", format!("{:?}", unlisted.url())),
        ("ANY", format!("{:?}", any.url())),
        ("FULL", format!("{:?}", full.url())),
        ("REJECTING", format!("{:?}", rejecting.url())),
    ];
    let page = move |script: &str| {
        let replace = |page: String, (name, value): &(&str, String)| page.replace(name, value);
        names.iter().fold([REPORT, FUNCTIONS, script].concat(), replace)
    };
    let _browser = chromium("credentials", &origin);
    let mut reports = site.serve(move |path| match path {
        "/" => Some((String::new(), page(SAME_SITE))),
        "/elsewhere" => Some((String::new(), page(OTHER_SITE))),
        "/strict" => Some((set_cookie(&token(), "Strict"), String::new())),
        "/none" => Some((set_cookie(&token(), "None"), String::new())),
        _ => None,
    });
    assert_eq!(reports.next("link "), format!("{} {newest}", hub.url()));
    // `2`: closed for good; `0`: connecting again.
    for (what, expected) in [
        ("nobody", "2"),
        ("without", "2"),
        ("with", "open"),
        ("no matcher", "2"),
        ("unlisted", "2"),
        ("unlisted fetch", "TypeError"),
        ("any", "2"),
        ("any without", "open"),
        ("full", "0"),
        ("rejecting", "2"),
    ] {
        assert_eq!(reports.next(&format!("{what} ")), expected, "{what}");
    }
    let published = reports.next("published ");
    let id = published.strip_prefix("200 ").unwrap_or_else(|| panic!("{published}"));
    assert_eq!(reports.next("event "), format!("{id} by a page"));
    // Another site: the cookie stays at home, unless it is for everywhere.
    assert_eq!(reports.next("strict "), "2");
    assert_eq!(reports.next("none "), "open");
    let refused = reports.next("not published ");
    assert!(refused.starts_with("400 Bearer error=\"invalid_request\""), "{refused}");
}
