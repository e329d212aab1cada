//! Chapter 6, from authorization details on: what a token grants, and to whom.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    check::is_one_of,
    http::listed,
    hub::{Hub, Role},
    row::{
        Challenge::Any, INSUFFICIENT_SCOPE, INVALID_TOKEN, Need, OK, Outcome, Row, Twist, get,
        listen, must, post, should,
    },
    verdict::{Verdict, ensure, skipped},
};

pub(super) fn rows() -> Vec<Row> {
    [details(), publishers(), subscribers(), expiry(), topic_matchers()]
        .into_iter()
        .flatten()
        .collect()
}

fn details() -> Vec<Row> {
    const SECTION: &str = "authorization-details";
    let valid = || json!([{ "match": "{t}" }]);
    vec![
        must(SECTION, "`actions` and `topics` are arrays that are not empty").tokens(
            &[INVALID_TOKEN],
            [
                Twist::NoDetail("actions"),
                Twist::Detail("actions", json!([])),
                Twist::Detail("actions", json!("publish subscribe")),
                Twist::Detail("actions", json!(["publish", "subscribe", 1])),
                Twist::Detail("actions", json!({ "publish": true })),
                Twist::NoDetail("topics"),
                Twist::Detail("topics", json!([])),
                Twist::Detail("topics", json!("*")),
                Twist::Detail("topics", json!({ "match": "*" })),
            ],
        ),
        must(SECTION, "actions that are not known do no harm").tokens(
            &[OK],
            [
                Twist::Detail("actions", json!(["unknown", "publish", "subscribe", "Publish"])),
                Twist::OneMore(
                    json!({ "type": "{type}", "actions": ["unknown"], "topics": valid() }),
                ),
            ],
        ),
        must(SECTION, "actions that are not known grant nothing").function(|hub| {
            for actions in [json!(["unknown"]), json!(["Publish"]), json!(["subscribe"])] {
                refused_to_publish(hub, &Twist::Detail("actions", actions))?;
            }
            Ok(())
        }),
        must(SECTION, "details of other types grant nothing, and do no harm")
            .tokens(
                &[OK],
                [
                    Twist::OneMore(json!({ "type": "https://example.com/other", "x": 1 })),
                    Twist::OneMore(json!({ "type": "{type}/other", "actions": 1, "topics": 2 })),
                ],
            )
            .function(|hub| {
                for name in [
                    "https://example.com/other",
                    "{type}/",
                    "HTTPS://mercure.rocks/authorization-detail",
                ] {
                    refused_to_publish(hub, &Twist::Detail("type", json!(name)))?;
                }
                let none = json!([]);
                refused_to_publish(hub, &Twist::Claim("authorization_details", none))?;
                refused_to_publish(hub, &Twist::NoClaim("authorization_details"))
            }),
        must(SECTION, "one detail that is wrong spoils the token").tokens(
            &[INVALID_TOKEN],
            [
                json!({ "type": "{type}" }),
                json!({ "type": "{type}", "actions": ["publish"] }),
                json!({ "type": "{type}", "topics": valid() }),
                json!({ "type": "{type}", "actions": [], "topics": valid() }),
                json!({ "type": "{type}", "actions": ["unknown"], "topics": [] }),
                json!({ "type": "{type}", "actions": ["publish"], "topics": [{}] }),
            ]
            .map(Twist::OneMore),
        ),
        must(SECTION, "a payload may be there")
            .tokens(&[OK], [Twist::Detail("payload", json!({ "a": [1, { "b": null }] }))]),
        must(SECTION, "if details or topics are limited, more than that spoil the token")
            .function(many_topics),
    ]
}

/// A publisher with such a token is told that it does not grant it.
fn refused_to_publish(hub: &Hub, twist: &Twist) -> Verdict {
    let topic = hub.topic();
    let token = hub.twisted(Role::Publisher, twist, &topic);
    let message = hub.message_as(&post("topic={t}"), &topic, Some(&token));
    let answer = hub.client.answer(&message)?;
    is_one_of(&answer, &[INSUFFICIENT_SCOPE], &format!("{message}, with {twist}"))
}

fn many_topics(hub: &Hub) -> Verdict {
    /// A field may be too large before anybody reads it.
    const TOO_LARGE: [Outcome; 2] = [(400, Any), (431, Any)];
    let many: Value = (0..2_500).map(|number| json!({ "match": number.to_string() })).collect();
    let token = hub.token(Role::Publisher, many);
    let message = hub.message_as(&post("topic=1"), "", Some(&token));
    let answer = hub.client.answer(&message)?;
    if answer.status == 200 {
        return skipped("2,500 topics in a token are not too many for the hub");
    }
    let [first, second] = TOO_LARGE;
    is_one_of(&answer, &[INVALID_TOKEN, first, second], "a token with 2,500 topics")
}

fn publishers() -> Vec<Row> {
    vec![
        must("publishers", "a publisher's token grants every topic, or nothing is sent")
            .function(every_topic_is_granted),
        must("publishers", "a pattern grants publishing what it matches")
            .function(patterns_grant_publishing),
    ]
}

/// Grants, the topics of an update, and whether it is taken.
type Publication = (Value, &'static [&'static str], bool);

fn publications(hub: &Hub, cases: &[Publication]) -> Verdict {
    for (grants, topics, is_granted) in cases {
        let topic = hub.topic();
        let token = hub.granting(Role::Publisher, grants, &topic);
        let mut stream = hub.open(&get(format!("match_urlpattern={topic}/*&match={topic}")))?;
        let form: Vec<_> = topics.iter().map(|it| format!("topic={it}")).collect();
        let request = post(format!("{}&data=x", form.join("&")));
        let message = hub.message_as(&request, &topic, Some(&token));
        let answer = hub.client.answer(&message)?;
        let sent = format!("{message}, with a token for {grants}");
        let outcome = if *is_granted { OK } else { INSUFFICIENT_SCOPE };
        is_one_of(&answer, &[outcome], &sent)?;
        hub.publish(&format!("topic={topic}&data=end"))?;
        let came = stream.up_to("end")?;
        let expected = if *is_granted { "one event" } else { "no event" };
        ensure(came.len() == usize::from(*is_granted), sent, expected, listed(&came))?;
    }
    Ok(())
}

fn every_topic_is_granted(hub: &Hub) -> Verdict {
    let (one, two) =
        (json!([{ "match": "{t}/a" }]), json!([{ "match": "{t}/a" }, { "match": "{t}/b" }]));
    publications(
        hub,
        &[
            (one.clone(), &["{t}/a"], true),
            (one.clone(), &["{t}/b"], false),
            (one.clone(), &["{t}/a", "{t}/b"], false),
            (one.clone(), &["{t}/b", "{t}/a"], false),
            (one.clone(), &["{t}/A"], false),
            (one, &["{t}/a/"], false),
            (two.clone(), &["{t}/b", "{t}/a"], true),
            (two, &["{t}/b", "{t}/a", "{t}/c"], false),
            (json!([{ "match": "{t}/*" }]), &["{t}/a"], false),
            (json!([{ "match": "*" }]), &["{t}/a", "{t}/b"], true),
        ],
    )
}

fn patterns_grant_publishing(hub: &Hub) -> Verdict {
    let pattern = json!([{ "match": "{t}/:id", "match_type": "urlpattern" }]);
    let mixed = json!([{ "match": "{t}/a/:id", "match_type": "urlpattern" }, { "match": "{t}/b" }]);
    publications(
        hub,
        &[
            (pattern.clone(), &["{t}/1"], true),
            (pattern.clone(), &["{t}/1", "{t}/2"], true),
            (pattern.clone(), &["{t}/1/2"], false),
            (pattern, &["{t}/1", "{t}/1/2"], false),
            (mixed.clone(), &["{t}/b", "{t}/a/1"], true),
            (mixed, &["{t}/b/1", "{t}/a/1"], false),
        ],
    )
}

fn subscribers() -> Vec<Row> {
    const SECTION: &str = "subscribers";
    let exactly = |topics: &[&str]| -> Value {
        topics.iter().map(|topic| json!({ "match": format!("{{t}}/{topic}") })).collect()
    };
    let pattern =
        |text: &str| json!([{ "match": format!("{{t}}/{text}"), "match_type": "urlpattern" }]);
    let private = |topics: &[&str]| {
        let topics = topics.iter().map(|topic| format!("topic={{t}}/{topic}&"));
        format!("{}private", topics.collect::<String>())
    };
    let [a, b, ab, ca, d] = [
        private(&["a"]),
        private(&["b"]),
        private(&["a", "b"]),
        private(&["c", "a"]),
        private(&["d"]),
    ];
    let all = "match={t}/a&match={t}/b&match={t}/c&match={t}/d";
    vec![
        must(SECTION, "a private update needs a grant for one of its topics").scenes([
            listen(all).granted(exactly(&["a"])).hears([&*a, &*ab, &*ca]).misses([&*b, &*d]),
            listen(all).granted(exactly(&["b", "c"])).hears([&*b, &*ab, &*ca]).misses([&*a, &*d]),
            listen(all).granted(exactly(&["x"])).misses([&*a, &*ab, &*d]).hears(["topic={t}/a"]),
            listen(all).granted(json!([{ "match": "*" }])).hears([&*a, &*b, &*ab, &*ca, &*d]),
            listen("match=*").granted(exactly(&["a"])).hears([&*a, &*ca]).misses([&*d]),
        ]),
        must(SECTION, "the grant may be for another topic than the one that is listened to")
            .scenes([
                listen("match={t}/b").granted(exactly(&["a"])).hears([&*ab]).misses([&*a, &*b]),
                listen("match_urlpattern={t}/books/:id")
                    .granted(pattern("users/42/*"))
                    .hears(["topic={t}/books/1&topic={t}/users/42/books/1&private=on"])
                    .misses([
                        "topic={t}/books/1&topic={t}/users/43/books/1&private=on",
                        "topic={t}/books/1&private=on",
                        "topic={t}/users/42/books/1&private=on",
                    ]),
            ]),
        must(SECTION, "a pattern grants reading what it matches").scenes([listen(
            "match_urlpattern={t}/*",
        )
        .granted(pattern("a/:id"))
        .hears(["topic={t}/a/1&private", "topic={t}/b"])
        .misses(["topic={t}/a&private", "topic={t}/a/1/2&private", "topic={t}/b&private"])]),
        must("terminology", "without a token nothing private is received, whatever is listened to")
            .needs(Need::Anonymous)
            .scenes([
                listen("match=*").hears(["topic={t}"]).misses(["topic={t}&private"]),
                listen("match_urlpattern={t}/*").misses(["topic={t}/a&private"]),
            ]),
        must(SECTION, "grants to publish are no grants to read").function(|hub| {
            let topic = hub.topic();
            let actions = Twist::Detail("actions", json!(["publish", "unknown"]));
            let token = hub.twisted(Role::Subscriber, &actions, &topic);
            let mut stream = hub.open_as(&get(format!("match={topic}")), &token)?;
            hub.publish(&format!("topic={topic}&private&data=private"))?;
            hub.publish(&format!("topic={topic}&data=end"))?;
            let came = stream.up_to("end")?;
            let sent = format!("{}, with a token for publishing", stream.sent);
            ensure(came.is_empty(), sent, "nothing that is private", listed(&came))
        }),
    ]
}

fn expiry() -> Vec<Row> {
    const SECTION: &str = "subscribers";
    vec![
        must(SECTION, "a stream is closed when its token expires").function(expired_streams_end),
        must(SECTION, "nothing that is published after a token has expired is received")
            .function(nothing_comes_after_expiry),
        must("token-validation", "a token that was good before is checked again each time")
            .function(old_verdicts_expire),
        should(SECTION, "a stream is closed some day, even if its token lasts")
            .needs(Need::Lifetime)
            .function(streams_end),
    ]
}

/// Does something with a token that expires soon, but not before it is done; when that is.
///
/// On a busy machine a second may be over before anything is done.
fn before_expiry<T>(
    hub: &Hub,
    role: Role,
    work: impl Fn(&str) -> Verdict<T>,
) -> Verdict<(T, Instant)> {
    const LIVES: [f64; 3] = [1.0, 8.0, 30.0];
    let mut last = skipped("nothing was tried");
    for life in LIVES {
        let (token, exp) = short_lived(hub, role, life);
        last = work(&token).map(|done| (done, exp));
        if last.is_ok() || Instant::now() < exp {
            break;
        }
    }
    last
}

/// A token that lives for so many seconds, and when it expires.
fn short_lived(hub: &Hub, role: Role, life: f64) -> (String, Instant) {
    let mut claims = hub.claims(role, json!([{ "match": "*" }]));
    // Whole seconds, which everybody understands.
    let now = crate::common::tokens::now();
    let exp = (now + life).ceil();
    claims["exp"] = json!(exp as u64);
    (hub.sign(role, &claims), Instant::now() + Duration::from_secs_f64(exp - now))
}

fn wait_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn expired_streams_end(hub: &Hub) -> Verdict {
    let open = |token: &str| hub.open_as(&get("match={t}"), token);
    let (mut stream, exp) = before_expiry(hub, Role::Subscriber, open)?;
    wait_until(exp);
    let came = stream.rest()?;
    ensure(came.is_empty(), &stream.sent, "no event", listed(&came))
}

fn nothing_comes_after_expiry(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let open = |token: &str| hub.open_as(&get(format!("match={topic}")), token);
    let (mut stream, exp) = before_expiry(hub, Role::Subscriber, open)?;
    // Clocks may differ a little.
    wait_until(exp + Duration::from_secs(1));
    hub.publish(&format!("topic={topic}&data=public"))?;
    hub.publish(&format!("topic={topic}&private&data=private"))?;
    let came = stream.rest()?;
    let sent = format!("{}, with a token that expired a second before the update", stream.sent);
    ensure(came.is_empty(), sent, "no event", listed(&came))
}

fn old_verdicts_expire(hub: &Hub) -> Verdict {
    let answered = |role: Role, token: &str, outcome: Outcome| {
        let request = match role {
            Role::Publisher => post("topic={t}"),
            Role::Subscriber => get("match={t}"),
        };
        let message = hub.message_as(&request, &hub.topic(), Some(token));
        let answer = hub.client.answer(&message)?;
        is_one_of(&answer, &[outcome], &format!("{message}, with a token of a short life"))
    };
    let mut tokens = Vec::new();
    for role in [Role::Publisher, Role::Subscriber] {
        let taken = |token: &str| answered(role, token, OK).map(|()| token.to_owned());
        let (token, exp) = before_expiry(hub, role, taken)?;
        tokens.push((role, token, exp));
    }
    for (role, token, exp) in tokens {
        wait_until(exp + Duration::from_secs(1));
        answered(role, &token, INVALID_TOKEN)?;
    }
    Ok(())
}

fn streams_end(hub: &Hub) -> Verdict {
    let message = hub.message(&get("match={t}"), &hub.topic());
    let lifetime = hub.target.lifetime.unwrap_or_default();
    hub.client_with(lifetime + hub.patience).open(&message)?.rest()?;
    Ok(())
}

fn topic_matchers() -> Vec<Row> {
    const SECTION: &str = "topic-matcher-list";
    let topics = |topics: Value| Twist::Detail("topics", topics);
    vec![
        must(SECTION, "an entry is an object with a `match`").tokens(
            &[INVALID_TOKEN],
            [
                json!(["*"]),
                json!([{}]),
                json!([{ "match": 1 }]),
                json!([{ "match": null }]),
                json!([{ "match": ["*"] }]),
                json!([{ "match_type": "exact" }]),
                json!([{ "match": "*" }, "*"]),
                json!([{ "match": "*" }, null]),
                json!([["match", "*"]]),
            ]
            .map(topics),
        ),
        must(SECTION, "`match_type` is a type that the hub supports, with its case").tokens(
            &[INVALID_TOKEN],
            ["Exact", "URLPattern", "regexp", "nobodysmatchertype", "", "exact "]
                .map(|it| topics(json!([{ "match": "{t}", "match_type": it }])))
                .into_iter()
                .chain([
                    topics(json!([{ "match": "{t}", "match_type": 1 }])),
                    topics(json!([{ "match": "*" }, { "match": "{t}", "match_type": "regexp" }])),
                ]),
        ),
        must(SECTION, "what is no pattern spoils the token").tokens(
            &[INVALID_TOKEN],
            ["https://conformance.example/(", "/:a/:a", "/([z-a])"].map(|it| {
                topics(json!([{ "match": it, "match_type": "urlpattern" }, { "match": "*" }]))
            }),
        ),
        must(SECTION, "the default of `match_type` is `exact`")
            .tokens(
                &[OK],
                [
                    topics(json!([{ "match": "{t}" }])),
                    topics(json!([{ "match": "{t}", "match_type": "exact" }])),
                    topics(json!([{ "match": "{t}", "match_type": "urlpattern" }])),
                ],
            )
            .scenes([listen("match={t}/:a&match={t}/b")
                .granted(json!([{ "match": "{t}/:a" }]))
                .hears(["topic={t}/:a&private"])
                .misses(["topic={t}/b&private"])]),
        must(SECTION, "`*` is every topic, whatever `match_type` says").tokens(
            &[OK],
            [
                topics(json!([{ "match": "*" }])),
                topics(json!([{ "match": "*", "match_type": "exact" }])),
                topics(json!([{ "match": "*", "match_type": "urlpattern" }])),
                topics(json!([{ "match": "{t}/x" }, { "match": "*" }])),
            ],
        ),
    ]
}
