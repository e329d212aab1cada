//! Chapter 6, up to its errors: who needs a token, where tokens are looked for, and what those are
//! told who do not get through.

use serde_json::{Value, json};

use crate::{
    challenge,
    check::{is_one_of, reader},
    http::Answer,
    hub::{Hub, METADATA_PREFIX, Role, encode},
    row::{
        BAD_REQUEST, INSUFFICIENT_SCOPE, INVALID_REQUEST, INVALID_TOKEN, NO_TOKEN, Need, OK,
        Request, Row, Twist, get, may, must, post, should,
    },
    verdict::{Verdict, ensure, failed, skipped},
};

pub(super) fn rows() -> Vec<Row> {
    [parties(), headers(), cookies(), errors()].into_iter().flatten().collect()
}

fn parties() -> Vec<Row> {
    const SECTION: &str = "authorization";
    vec![
        must(SECTION, "publishers have a token")
            .answers(&[NO_TOKEN], [post("topic={t}").without_token()])
            .function(what_is_refused_is_not_sent),
        may(SECTION, "subscribers without a token get what is not private")
            .needs(Need::Anonymous)
            .answers(&[OK], [get("match={t}").without_token()])
            .function(nobody_reads_what_is_private),
        may(SECTION, "all subscribers need a token")
            .needs(Need::Closed)
            .answers(&[NO_TOKEN], [get("match={t}").without_token()]),
        must(SECTION, "a token is needed to receive what is private, and enough")
            .function(|hub| reads(hub, get("match={t}"), Some(&reader(hub, &["*"])), true)),
        must(SECTION, "listening to a topic grants nothing").function(|hub| {
            for query in ["match={t}", "match=*", "match_urlpattern={t}", "match_exact={t}"] {
                reads(hub, get(query), Some(&hub.blind_token()), false)?;
            }
            Ok(())
        }),
    ]
}

fn what_is_refused_is_not_sent(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    let refused = post(format!("topic={topic}&data=refused"));
    hub.answer(&refused.clone().without_token())?;
    hub.answer(&refused.field(NAME, "Bearer {strange}"))?;
    hub.publish(&format!("topic={topic}&data=end"))?;
    let came = stream.up_to("end")?;
    let sent = "POST without a token, and with one of a key of nobody's";
    ensure(came.is_empty(), sent, "no event", crate::http::listed(&came))
}

/// Whether a subscriber gets a private update, of the topic `{t}`.
fn reads(hub: &Hub, request: Request, token: Option<&str>, expected: bool) -> Verdict {
    let topic = hub.topic();
    let message = hub.message_as(&request, &topic, token);
    let mut stream = hub.client.open(&message)?;
    hub.publish(&format!("topic={topic}&private=on&data=private-{}", encode(&topic)))?;
    hub.publish(&format!("topic={topic}&data=end-{}", encode(&topic)))?;
    let came = stream.up_to(&format!("end-{topic}"))?;
    let has_come = came.iter().any(|event| event.data == format!("private-{topic}"));
    let name = |it| if it { "the private update" } else { "no private update" };
    ensure(has_come == expected, message, name(expected), name(has_come))
}

fn nobody_reads_what_is_private(hub: &Hub) -> Verdict {
    for query in ["match={t}", "match=*"] {
        reads(hub, get(query), None, false)?;
    }
    Ok(())
}

fn headers() -> Vec<Row> {
    const SECTION: &str = "authorization-http-header";
    vec![
        must(SECTION, "the scheme is `Bearer`, in any case").answers(
            &[OK],
            ["Bearer {token}", "bearer {token}", "BEARER {token}"]
                .into_iter()
                .flat_map(|it| [post("topic={t}"), get("match={t}")].map(|r| r.field(NAME, it))),
        ),
        must(SECTION, "what is no `Bearer`, a space and a token publishes nothing").answers(
            &[INVALID_REQUEST, INVALID_TOKEN, NO_TOKEN],
            [
                "",
                "Bearer",
                "Basic {token}",
                "{token}",
                "Bearer:{token}",
                "Bearertoken {token}",
                "Bearer {token} {token}",
            ]
            .map(|it| post("topic={t}").field(NAME, it)),
        ),
        must("presenting-the-access-token", "a token in the URL, or in a form, is none").answers(
            &[NO_TOKEN, BAD_REQUEST],
            [
                // The form of RFC 6750 §2.2.
                Request { query: None, ..post("topic={t}&access_token={token}") }.without_token(),
                Request { query: Some("access_token={token}".into()), ..post("topic={t}") }
                    .without_token(),
                Request { query: Some("authorization={token}".into()), ..post("topic={t}") }
                    .without_token(),
            ],
        ),
        must("presenting-the-access-token", "a token in the URL grants a subscriber nothing")
            .function(tokens_in_urls_grant_nothing),
    ]
}

const NAME: &str = "Authorization";

fn tokens_in_urls_grant_nothing(hub: &Hub) -> Verdict {
    for name in ["access_token", "authorization", "token"] {
        let request = get(format!("match={{t}}&{name}={{token}}"));
        let message = hub.message_as(&request, &hub.topic(), None);
        let answer = hub.client.answer(&message)?;
        match answer.status {
            200 => reads(hub, request, None, false)?,
            // A hub may refuse the request instead.
            _ => is_one_of(&answer, &[NO_TOKEN, BAD_REQUEST], &message.to_string())?,
        }
    }
    Ok(())
}

fn cookies() -> Vec<Row> {
    const SECTION: &str = "presenting-the-access-token";
    vec![
        must(SECTION, "without an `Authorization` field the cookie is used")
            .needs(Need::Cookie)
            .function(|hub| reads(hub, get("match={t}").with_cookie("{token}"), None, true)),
        must(SECTION, "a cookie that fails is not nobody's")
            .needs(Need::Cookie)
            .answers(&[INVALID_TOKEN], [get("match={t}").with_cookie("{strange}")])
            .answers(
                &[INVALID_TOKEN, INVALID_REQUEST],
                ["a.b.c", "x"].map(|it| get("match={t}").with_cookie(it)),
            ),
        must(SECTION, "where there is an `Authorization` field, the cookie is ignored")
            .needs(Need::Cookie)
            .answers(
                &[OK],
                [
                    get("match={t}")
                        .field(NAME, "Bearer {token}")
                        .field("Cookie", "{cookie}=a.b.c"),
                    post("topic={t}")
                        .field(NAME, "Bearer {token}")
                        .field("Cookie", "{cookie}=a.b.c"),
                ],
            )
            .answers(
                &[INVALID_TOKEN],
                [get("match={t}")
                    .field(NAME, "Bearer {strange}")
                    .field("Cookie", "{cookie}={token}")],
            )
            .function(cookies_add_nothing),
        should("cookie", "a hub that takes a cookie says in its metadata which one")
            .needs(Need::Metadata)
            .function(cookies_are_advertised),
        must(SECTION, "other cookies are none of the hub's business").needs(Need::Cookie).answers(
            &[OK],
            [get("match={t}").field("Cookie", "a=b; {cookie}x=a.b.c; x{cookie}=d")],
        ),
    ]
}

fn cookies_add_nothing(hub: &Hub) -> Verdict {
    let request = get("match={t}").field("Cookie", "{cookie}={token}");
    reads(hub, request, Some(&hub.blind_token()), false)
}

fn cookies_are_advertised(hub: &Hub) -> Verdict {
    let metadata = hub.metadata().unwrap_or(&Value::Null);
    let member = &metadata["mercure_cookie"];
    if member.is_string() {
        return Ok(());
    }
    // Perhaps it takes one that it does not tell of.
    let request = get("match={t}").with_cookie("{token}");
    match reads(hub, request, None, true) {
        Ok(()) => failed("GET with the cookie", "a member mercure_cookie", metadata),
        Err(_) => skipped("the hub takes no cookie"),
    }
}

fn errors() -> Vec<Row> {
    const SECTION: &str = "error-responses";
    vec![
        must(SECTION, "no token: 401, `Bearer`, and no error code")
            .answers(&[NO_TOKEN], [post("topic={t}").without_token()]),
        must(SECTION, "a token that fails: 401 and `invalid_token`, also where none is needed")
            .answers(
                &[INVALID_TOKEN],
                [post("topic={t}"), get("match={t}")].map(|it| it.field(NAME, "Bearer {strange}")),
            ),
        must(SECTION, "a token that does not grant it: 403 and `insufficient_scope`").function(
            |hub| {
                let topic = hub.topic();
                let token = hub.token(Role::Publisher, json!([{ "match": "x" }]));
                let message = hub.message_as(&post("topic={t}"), &topic, Some(&token));
                let answer = hub.client.answer(&message)?;
                is_one_of(&answer, &[INSUFFICIENT_SCOPE], &message.to_string())
            },
        ),
        must(SECTION, "a malformed request: 400")
            .answers(&[BAD_REQUEST], [post("data=x"), get("match={t}&matches=x")]),
        must(SECTION, "a malformed token: a challenge that says so, or that it is invalid")
            .answers(
                &[INVALID_REQUEST, INVALID_TOKEN],
                [
                    "Bearer x",
                    "Bearer a.b",
                    "Bearer a.b.c",
                    "Bearer a.b.c.d",
                    "Bearer a.b.c.d.e",
                    "Bearer !.!.!",
                ]
                .into_iter()
                .flat_map(|it| [post("topic={t}"), get("match={t}")].map(|r| r.field(NAME, it))),
            ),
        should(SECTION, "every challenge names the metadata, and they are there")
            .function(challenges_name_the_metadata),
        may(SECTION, "what a challenge does not tell, a problem document does")
            .function(problems_are_problems),
        must(
            "publication",
            "a topic that nobody may publish is malformed, whatever the token grants",
        )
        .function(reserved_topics_come_before_grants),
    ]
}

fn reserved_topics_come_before_grants(hub: &Hub) -> Verdict {
    let token = hub.token(Role::Publisher, json!([{ "match": "x" }]));
    for form in ["topic={path}/x", "topic=*"] {
        let message = hub.message_as(&post(form), "x", Some(&token));
        let answer = hub.client.answer(&message)?;
        ensure(answer.status == 400, &message, "400, whatever the token grants", answer)?;
    }
    Ok(())
}

fn challenged(hub: &Hub) -> Verdict<[(&'static str, Answer); 3]> {
    let post = post("topic={t}");
    let answer =
        |token: Option<&str>| hub.client.answer(&hub.message_as(&post, &hub.topic(), token));
    let strange = hub.twisted(Role::Publisher, &Twist::StrangeKey, "");
    let poor = hub.token(Role::Publisher, json!([{ "match": "x" }]));
    Ok([
        ("POST without a token", answer(None)?),
        ("POST with a token that fails", answer(Some(&strange))?),
        ("POST with a token that does not grant it", answer(Some(&poor))?),
    ])
}

fn challenges_name_the_metadata(hub: &Hub) -> Verdict {
    for (sent, answer) in challenged(hub)? {
        let parameters = challenge::bearer(&answer).unwrap_or_default();
        let Some(url) = parameters.get("resource_metadata") else {
            return failed(sent, "a challenge with resource_metadata", answer);
        };
        let expected = format!("a URL with {METADATA_PREFIX}");
        ensure(url.contains(METADATA_PREFIX), sent, expected, url)?;
        // What is not of the hub's own origin may be out of reach.
        let own = hub.metadata_path();
        let path = url.strip_prefix(hub.origin()).unwrap_or(&own);
        let metadata = hub.client.answer(&hub.at(path))?;
        ensure(metadata.status == 200, format!("GET {url}"), "the metadata", metadata)?;
    }
    Ok(())
}

fn problems_are_problems(hub: &Hub) -> Verdict {
    let request = post("data=x");
    let answer = hub.answer(&request)?;
    if answer.media_type() != "application/problem+json" {
        return skipped("the hub sends no problem documents");
    }
    let problem: Option<Value> = serde_json::from_str(&answer.body).ok();
    let status = problem.as_ref().and_then(|it| it.get("status"));
    let is_right = problem.as_ref().is_some_and(Value::is_object)
        && status.is_none_or(|status| *status == answer.status);
    ensure(is_right, "POST data=x", "an object whose status is that of the answer", answer)
}
