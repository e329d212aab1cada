//! Chapter 3: how to subscribe.

use super::{FORBIDDEN, NO_UTF8};
use crate::{
    hub::Hub,
    row::{
        BAD_REQUEST, Challenge::Any, Need, Outcome, Request, Row, TOO_LARGE, UNSUPPORTED, delivers,
        each, get, listen, listen_with, may, must, query, should,
    },
    verdict::{Verdict, ensure},
};

const SECTION: &str = "subscription";

pub(super) fn rows() -> Vec<Row> {
    [requests(), bodies(), streams(), cors()].into_iter().flatten().collect()
}

fn requests() -> Vec<Row> {
    vec![
        must(SECTION, "GET subscribes, and is answered with 200 and a stream of events")
            .function(get_is_a_stream),
        must(SECTION, "`match` and `match_exact` select a topic; each of several selects its own")
            .scenes([
                listen("match={t}/a").hears(["topic={t}/a"]).misses(["topic={t}/b", "topic={t}"]),
                listen("match_exact={t}/a").misses(["topic={t}/b"]).hears(["topic={t}/a"]),
                listen("match={t}/a&match={t}/b&match_exact={t}/c&match_urlpattern={t}/d/:e")
                    .hears(["topic={t}/c", "topic={t}/a", "topic={t}/d/x", "topic={t}/b"])
                    .misses(["topic={t}/d", "topic={t}/e"]),
            ]),
        must(SECTION, "an update arrives once, however many matchers select it").scenes([
            listen("match={t}&match={t}&match_exact={t}&match_urlpattern={t}&match=*")
                .hears(["topic={t}", "topic={t}&topic={t}/a&topic={t}/b"]),
            listen("match={t}/b&match={t}&match={t}/a")
                .hears(["topic={t}&topic={t}/a&topic={t}/b"]),
        ]),
        must(SECTION, "the whole `match` namespace is reserved, in any case, with a value or none")
            .answers(&[BAD_REQUEST], each(get, RESERVED)),
        must(SECTION, "the query component is read by the algorithm of the URL standard").scenes([
            listen("match={t}/a+b").hears(["topic={t}/a%20b"]).misses(["topic={t}/a%2Bb"]),
            listen("match={t}/a%2Bb").hears(["topic={t}/a%2Bb"]).misses(["topic={t}/a+b"]),
            listen("match={t}/a=b").hears(["topic={t}/a%3Db"]),
            listen("match={t}/a%26b%3Dc%25").hears(["topic={t}/a%26b%3Dc%25"]),
            listen("match={t}/a;b").hears(["topic={t}/a%3Bb"]).misses(["topic={t}/a"]),
            listen("match={t}/100%").hears(["topic={t}/100%25"]),
            listen("match={t}/%zz").hears(["topic={t}/%25zz"]),
            listen("match={t}/a%252Bb").hears(["topic={t}/a%252Bb"]),
            listen("match={t}/%c3%A9").hears(["topic={t}/%C3%A9"]),
            listen("%6d%61tch={t}/a&m%61tch%5Fexact={t}/b").hears(["topic={t}/a", "topic={t}/b"]),
            listen("&&match={t}/a&").hears(["topic={t}/a"]),
        ]),
        must(SECTION, "a name without a value has the empty value").function(no_value_is_empty),
        must(SECTION, "a matcher is UTF-8")
            .answers(&[BAD_REQUEST], matchers(&["match", "match_exact"], NO_UTF8)),
        must(SECTION, "a matcher has no control characters and no format characters").answers(
            &[BAD_REQUEST],
            matchers(&["match", "match_exact", "match_urlpattern"], FORBIDDEN),
        ),
        must(SECTION, "what is no URL pattern is refused").answers(
            &[BAD_REQUEST],
            each(
                get,
                [
                    "match_urlpattern=https://conformance.example/(",
                    "match={t}&match_urlpattern=https://conformance.example/{",
                    "match_urlpattern=https://conformance.example/:a/:a",
                    "match_urlpattern=https://conformance.example/([z-a])",
                    "match_urlpattern=https://conformance.example/()",
                ],
            ),
        ),
        must(SECTION, "if the number of matchers is limited, more than that are refused")
            .limits(&[BAD_REQUEST, URI_TOO_LONG, HEAD_TOO_LARGE], [get(many_matchers())]),
        must(SECTION, "if the length of a matcher is limited, longer ones are refused").limits(
            &[BAD_REQUEST, URI_TOO_LONG, HEAD_TOO_LARGE],
            [get(format!("match={{t}}/{}", "x".repeat(40_000)))],
        ),
    ]
}

/// Where a target or a head has a limit of its own, HTTP says what to answer.
const URI_TOO_LONG: Outcome = (414, Any);
const HEAD_TOO_LARGE: Outcome = (431, Any);

const RESERVED: [&str; 18] = [
    "match={t}&Match={t}",
    "match={t}&MATCH={t}",
    "match={t}&mAtCh_exact={t}",
    "match={t}&match_={t}",
    "match={t}&match_Exact={t}",
    "match={t}&match_EXACT={t}",
    "match={t}&match_URLPattern={t}",
    "match={t}&match_regexp={t}",
    "match={t}&match_nobodysmatchertype={t}",
    "match={t}&match-exact={t}",
    "match={t}&matches={t}",
    "match={t}&matcher",
    "match={t}&match[]={t}",
    "match={t}&match%5B%5D={t}",
    "match={t}&match%00={t}",
    "match={t}&m%41tch={t}",
    "match_x&match={t}",
    "match={t}&match.exact",
];

fn matchers<'a>(names: &'a [&str], values: &'a [&str]) -> impl Iterator<Item = Request> + 'a {
    let pairs = names.iter().flat_map(|name| values.iter().map(move |value| (name, value)));
    pairs.map(|(name, value)| get(format!("match={{t}}&{name}={{t}}{value}x")))
}

fn get_is_a_stream(hub: &Hub) -> Verdict {
    let stream = hub.open(&get("match={t}"))?;
    let media_type = stream.head.media_type();
    ensure(media_type == "text/event-stream", &stream.sent, "text/event-stream", &stream.head)
}

fn no_value_is_empty(hub: &Hub) -> Verdict {
    hub.open(&get("match={t}"))?;
    for name in ["match", "match_exact", "match_urlpattern", "last_event_id"] {
        let [bare, empty] = ["", "="].map(|end| get(format!("match={{t}}&{name}{end}")));
        let (bare_answer, empty_answer) = (hub.answer(&bare)?, hub.answer(&empty)?);
        let is_same = bare_answer.status == empty_answer.status;
        let expected = format!("the answer to `{name}=`, {empty_answer}");
        ensure(is_same, hub.message(&bare, "{t}"), expected, bare_answer)?;
    }
    Ok(())
}

const MANY: usize = 5_000;

fn many_matchers() -> String {
    vec!["match=x"; MANY].join("&")
}

/// Subscribing with a body.
fn bodies() -> Vec<Row> {
    vec![
        may(SECTION, "QUERY subscribes too").needs(Need::Query).scenes([listen_with(query(
            "",
            "match={t}",
        ))
        .hears(["topic={t}"])]),
        must(SECTION, "what the query component and the body have is one")
            .needs(Need::Query)
            .scenes([
                listen_with(query("match={t}/a", "match={t}/b&match_urlpattern={t}/c/:d"))
                    .hears(["topic={t}/a", "topic={t}/b", "topic={t}/c/x"])
                    .misses(["topic={t}/c"]),
                listen_with(query("match={t}/a", "match={t}/a")).hears(["topic={t}/a"]),
                listen_with(query("match={t}/a", "")).hears(["topic={t}/a"]),
            ]),
        must(SECTION, "names and values in a body are judged like those in a query component")
            .needs(Need::Query)
            .answers(&[BAD_REQUEST], RESERVED.map(|form| query("", form)))
            .answers(&[BAD_REQUEST], FORBIDDEN.iter().map(|it| query("", format!("match={it}"))))
            .answers(&[BAD_REQUEST], NO_UTF8.iter().map(|it| query("", format!("match={it}")))),
        must(SECTION, "a body is a form").needs(Need::Query).answers(
            &[BAD_REQUEST, UNSUPPORTED],
            ["application/json", "text/plain"]
                .map(|it| query("", "match={t}").field("Content-Type", it)),
        ),
        must(SECTION, "of two `last_event_id` that of the query component counts, the field first")
            .needs(Need::Query)
            .needs(Need::History)
            .function(cursors_of_a_body),
        must(SECTION, "if the number of matchers is limited, more in a body are refused as well")
            .needs(Need::Query)
            // A body may be too large before its matchers are counted.
            .limits(&[BAD_REQUEST, TOO_LARGE], [query("", many_matchers())]),
    ]
}

fn cursors_of_a_body(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let ids = hub.publish_numbers(&topic, 0..4)?;
    let id = |number: usize| crate::hub::encode(&ids[number]);
    let matching = format!("match={topic}");
    for (request, expected) in [
        (query("", format!("{matching}&last_event_id={}", id(1))), 2),
        (
            query(
                format!("last_event_id={}", id(2)),
                format!("{matching}&last_event_id={}", id(0)),
            ),
            3,
        ),
        (
            query(format!("last_event_id={}", id(2)), matching.clone())
                .field("Last-Event-ID", &ids[0]),
            1,
        ),
        (
            query("", format!("{matching}&last_event_id={}", id(0)))
                .field("Last-Event-ID", &ids[2]),
            3,
        ),
    ] {
        let mut stream = hub.open(&request)?;
        let first = stream.next()?.map(|event| event.data);
        let came = first.clone().unwrap_or("the end of the stream".to_owned());
        ensure(first == Some(expected.to_string()), &stream.sent, expected, came)?;
    }
    Ok(())
}

fn streams() -> Vec<Row> {
    vec![
        must(SECTION, "an event has the data that was published").delivers([
            delivers("data=x", "x"),
            delivers("data=%7B%22a%22%3A+1%7D", "{\"a\": 1}"),
            delivers("data=%F0%9F%98%80%C3%A9", "\u{1f600}\u{e9}"),
            delivers("data=+x+", " x "),
            delivers("data=%3A+x", ": x"),
            delivers("data=a%2Bb%26c%3Dd%25", "a+b&c=d%"),
        ]),
        must(SECTION, "`event` and `retry` are supported").delivers([
            delivers("data=x&type=t", "x").event("t"),
            delivers("data=x&retry=5000", "x").retry("5000"),
            delivers("retry=1&data=x&type=a%3A+b", "x").event("a: b").retry("1"),
        ]),
        should(SECTION, "a stream on which nothing happens has comment lines")
            .needs(Need::Heartbeat)
            .function(idle_streams_have_comments),
    ]
}

fn idle_streams_have_comments(hub: &Hub) -> Verdict {
    let heartbeat = hub.target.heartbeat.unwrap_or_default();
    let message = hub.message(&get("match={t}"), &hub.topic());
    let mut stream = hub.client_with(heartbeat + hub.patience).open(&message)?;
    // Some hubs begin with one.
    stream.comment()?;
    stream.forget();
    stream.comment()
}

fn cors() -> Vec<Row> {
    vec![
        must(SECTION, "CORS: pages of an allowed origin may read a stream")
            .needs(Need::Origin)
            .function(allowed_origins_may_read),
        must(
            SECTION,
            "CORS: with a cookie, the allowed origin is named, and credentials are allowed",
        )
        .needs(Need::Origin)
        .needs(Need::Cookie)
        .function(credentials_are_allowed_by_name),
        must(SECTION, "CORS: with a cookie, no arbitrary origin is reflected, and none is `*`")
            .needs(Need::Cookie)
            .function(no_origin_is_reflected),
        must(SECTION, "CORS: pages of an allowed origin may ask before they send a token")
            .needs(Need::Origin)
            .function(preflights_are_answered),
    ]
}

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";

fn origin(hub: &Hub) -> &str {
    hub.target.origin.as_deref().unwrap_or_default()
}

fn allowed_origins_may_read(hub: &Hub) -> Verdict {
    let origin = origin(hub);
    let stream = hub.open(&get("match={t}").field("Origin", origin))?;
    let allowed = stream.head.field(ALLOW_ORIGIN);
    let came = format!("{allowed:?}");
    let expected = format!("{ALLOW_ORIGIN}: {origin}, or *");
    ensure([Some(origin), Some("*")].contains(&allowed), &stream.sent, expected, came)
}

fn credentials_are_allowed_by_name(hub: &Hub) -> Verdict {
    let origin = origin(hub);
    let request = get("match={t}").with_cookie("{token}").field("Origin", origin);
    let stream = hub.open(&request)?;
    let came = [ALLOW_ORIGIN, ALLOW_CREDENTIALS].map(|name| stream.head.field(name));
    let expected = format!("{ALLOW_ORIGIN}: {origin} and {ALLOW_CREDENTIALS}: true");
    ensure(came == [Some(origin), Some("true")], &stream.sent, expected, format!("{came:?}"))
}

fn no_origin_is_reflected(hub: &Hub) -> Verdict {
    let origin = origin(hub);
    let host = origin.split_once("://").map_or("hub.example", |(_, host)| host);
    for other in [
        "https://nobody.example".to_owned(),
        "null".to_owned(),
        // What contains an allowed origin is another one.
        format!("https://{host}.evil.example"),
        format!("https://evil{host}"),
    ] {
        let request = get("match={t}").with_cookie("{token}").field("Origin", &other);
        let message = hub.message(&request, &hub.topic());
        let answer = hub.client.answer(&message)?;
        // Who is refused has nothing to read.
        let is_answered = [200, 400, 403].contains(&answer.status);
        let came = answer.field(ALLOW_ORIGIN);
        let is_right = is_answered && ![Some(&*other), Some("*")].contains(&came);
        let came = format!("{}, {came:?}", answer.status);
        ensure(is_right, message, format!("no {ALLOW_ORIGIN}"), came)?;
    }
    Ok(())
}

fn preflights_are_answered(hub: &Hub) -> Verdict {
    let origin = origin(hub);
    for asked in ["GET", "POST"] {
        let request = Request { method: "OPTIONS", ..get("") }
            .without_token()
            .field("Origin", origin)
            .field("Access-Control-Request-Method", asked)
            .field("Access-Control-Request-Headers", "authorization");
        let message = hub.message(&request, &hub.topic());
        let answer = hub.client.answer(&message)?;
        let origin_came = answer.field(ALLOW_ORIGIN);
        let fields = answer.field("Access-Control-Allow-Headers").unwrap_or_default();
        let is_allowed =
            fields.split(',').any(|it| it.trim().eq_ignore_ascii_case("authorization"));
        let is_right = (200..300).contains(&answer.status)
            && [Some(origin), Some("*")].contains(&origin_came)
            && is_allowed;
        let expected = format!("2xx, {ALLOW_ORIGIN}, and authorization among the allowed fields");
        let came = format!("{}, {origin_came:?}, {fields:?}", answer.status);
        ensure(is_right, message, expected, came)?;
    }
    Ok(())
}
