//! Chapter 5: how to publish, and what of.

use super::{FORBIDDEN, NO_UTF8};
use crate::{
    hub::{Hub, encode, word},
    row::{
        BAD_REQUEST, Need, OK, Row, TOO_LARGE, UNSUPPORTED, delivers, each, get, listen, may, must,
        post, should,
    },
    verdict::{Verdict, ensure, failed, skipped},
};

const SECTION: &str = "publication";

pub(super) fn rows() -> Vec<Row> {
    [requests(), topics(), fields(), ids(), answers()].into_iter().flatten().collect()
}

fn requests() -> Vec<Row> {
    vec![
        must(SECTION, "a publication is a form, and nothing else").answers(
            &[BAD_REQUEST, UNSUPPORTED],
            ["application/json", "text/plain", "multipart/form-data; boundary=x"]
                .map(|it| post("topic={t}").field("Content-Type", it)),
        ),
        should(SECTION, "a form may say its charset, and its media type has no case").answers(
            &[OK],
            [
                "application/x-www-form-urlencoded; charset=utf-8",
                "application/x-www-form-urlencoded;charset=UTF-8",
                "APPLICATION/X-WWW-FORM-URLENCODED",
            ]
            .map(|it| post("topic={t}").field("Content-Type", it)),
        ),
        must(SECTION, "names and values are UTF-8").answers(
            &[BAD_REQUEST],
            ["data", "id", "type"].iter().flat_map(|name| {
                NO_UTF8.iter().map(move |value| post(format!("topic={{t}}&{name}={value}")))
            }),
        ),
        must(SECTION, "there is a topic").answers(
            &[BAD_REQUEST],
            each(post, ["", "data=x", "Topic={t}&data=x", "topics={t}", "match={t}"]),
        ),
        must(SECTION, "fields that are not known are ignored").answers(
            &[OK],
            each(
                post,
                [
                    "topic={t}&unknown=1&Topic=x&DATA=x&last_event_id=x&x[]=1",
                    "topic={t}&=x&&%20",
                    "retries=x&topic={t}&ID=earliest&Type=mercure",
                ],
            ),
        ),
        must(SECTION, "more than the limits allow is too large").limits(
            &[TOO_LARGE],
            [
                post(format!("topic={{t}}{}", "&topic={t}/a".repeat(5_000))),
                post(format!("topic={{t}}/{}", "x".repeat(300_000))),
                post(format!("topic={{t}}&id={{t}}{}", "x".repeat(300_000))),
                post(format!("topic={{t}}&type={}", "x".repeat(300_000))),
            ],
        ),
        must(SECTION, "a body that is larger than the hub takes is too large")
            .limits(&[TOO_LARGE], [post(format!("topic={{t}}&data={}", "x".repeat(8 << 20)))]),
    ]
}

fn topics() -> Vec<Row> {
    vec![
        must(SECTION, "who listens to any of its topics gets an update").scenes([
            listen("match={t}/a").hears(["topic={t}/a&topic={t}/b"]),
            listen("match={t}/b")
                .hears(["topic={t}/a&topic={t}/b", "topic={t}/a&topic=x&topic={t}/b"]),
            listen("match={t}/c").misses(["topic={t}/a&topic={t}/b"]),
            listen("match_urlpattern={t}/c/:d").hears(["topic={t}/a&topic={t}/c/d&topic={t}/c/e"]),
        ]),
        must(SECTION, "no topic, canonical or alternate, is exactly `*`").answers(
            &[BAD_REQUEST],
            each(post, ["topic=*", "topic=%2A", "topic={t}&topic=*", "topic=*&topic={t}"]),
        ),
        must(SECTION, "no topic addresses the hub's own namespace, in whatever spelling")
            .function(the_namespace_is_reserved),
        must(SECTION, "what only looks like it does not").function(other_namespaces_are_not),
    ]
}

/// Publishes to each topic, and to each as an alternate topic.
fn statuses(hub: &Hub, topics: Vec<String>, expected: u16) -> Verdict {
    for topic in topics {
        let encoded = encode(&topic);
        for form in [format!("topic={encoded}"), format!("topic={{t}}&topic={encoded}")] {
            let answer = hub.answer(&post(form))?;
            let sent = format!("POST with the topic {topic:?}");
            ensure(answer.status == expected, sent, expected, answer)?;
        }
    }
    Ok(())
}

fn the_namespace_is_reserved(hub: &Hub) -> Verdict {
    let path = hub.path();
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    // `mercure` becomes `%6Dercure`, and `%6dercure`.
    let (first, others) = name.split_at_checked(1).unwrap_or_default();
    let first = first.bytes().next().unwrap_or_default();
    let upper = format!("{parent}/%{first:02X}{others}");
    let lower = format!("{parent}/%{first:02x}{others}");
    let topics = [
        path,
        &format!("{path}/"),
        &format!("{path}/subscriptions/exact/x/y"),
        &format!("{path}?x#y"),
        &format!("{}{path}", hub.origin()),
        &format!("https://other.example{path}"),
        &format!("http://other.example:81{path}/subscriptions?x#y"),
        &format!("ftp://other.example{path}"),
        &format!("//other.example{path}/x"),
        &format!("{path}/../{name}/x"),
        &format!("/x/..{path}"),
        &format!("/.{path}"),
        &format!("{parent}/./{name}"),
        &format!("{parent}/x/%2e%2e/{name}"),
        &upper,
        &format!("{lower}/x"),
        &format!("https://other.example{upper}/x"),
        &path.replace('/', "\\"),
        // Relative to the hub's URL.
        name,
        &format!("./{name}/x"),
    ];
    statuses(hub, topics.map(str::to_owned).to_vec(), 400)
}

fn other_namespaces_are_not(hub: &Hub) -> Verdict {
    let (path, topic) = (hub.path(), hub.topic());
    let word = word(&topic);
    let topics = [
        format!("{path}{word}"),
        format!("/{word}{path}"),
        format!("https://conformance.example/{word}?{path}"),
        format!("https://conformance.example/{word}#{path}"),
        // No URL reference, so it names no path.
        format!("https://[{word}{path}"),
        // An encoded slash separates nothing.
        format!("{}%2F{word}", path),
    ];
    statuses(hub, topics.to_vec(), 200)
}

fn fields() -> Vec<Row> {
    const LINES: [(&str, &str); 9] = [
        ("a%0Ab", "a\nb"),
        ("a%0Db", "a\nb"),
        ("a%0D%0Ab", "a\nb"),
        ("a%0A%0Ab", "a\n\nb"),
        ("a%0D%0D%0Ab", "a\n\nb"),
        ("%0Aa", "\na"),
        ("a%0A", "a\n"),
        ("a%E2%80%A8b%C2%85c", "a\u{2028}b\u{85}c"),
        ("%7B%0A++%22a%22:+1%0D%0A%7D", "{\n  \"a\": 1\n}"),
    ];
    vec![
        must(SECTION, "data goes out in lines, split at CR, LF and CRLF")
            .delivers(LINES.map(|(sent, came)| delivers(format!("data={sent}"), came))),
        must(SECTION, "an update with the field `private` is private, whatever its value").scenes(
            [listen("match={t}").misses(PRIVATE).hears(["topic={t}", "topic={t}&Private=on"])],
        ),
        must(SECTION, "`type` becomes the SSE field `event`").delivers([
            delivers("data=x&type=t", "x").event("t"),
            delivers("data=x&type=mercury", "x").event("mercury"),
            delivers("data=x&type=%C3%A9+%F0%9F%98%80", "x").event("\u{e9} \u{1f600}"),
        ]),
        must(SECTION, "`type` has no control characters and no format characters")
            .answers(&[BAD_REQUEST], forbidden_in("type")),
        must(SECTION, "`retry` consists of ASCII digits, and becomes the SSE field `retry`")
            .delivers([delivers("data=x&retry=12345", "x").retry("12345")])
            .answers(
                &[BAD_REQUEST],
                [
                    "x",
                    "-1",
                    "%2B1",
                    "+1",
                    "1+",
                    "1.5",
                    "1e3",
                    "0x1",
                    "1%0A",
                    "%D9%A1",
                    "1%2C000",
                    "%EF%BC%91",
                ]
                .map(|it| post(format!("topic={{t}}&retry={it}"))),
            ),
        must("reserved-hub-namespace", "`type` is not `mercure`").answers(
            &[BAD_REQUEST],
            each(post, ["topic={t}&type=mercure", "topic={t}&type=%6Dercure&data=x"]),
        ),
    ]
}

const PRIVATE: [&str; 8] = [
    "topic={t}&private=on",
    "topic={t}&private",
    "topic={t}&private=",
    "topic={t}&private=0",
    "topic={t}&private=off",
    "topic={t}&private=false",
    "private=no&topic={t}",
    "topic={t}&private=null&private=",
];

fn forbidden_in(name: &str) -> impl Iterator<Item = crate::row::Request> {
    FORBIDDEN.iter().map(move |it| post(format!("topic={{t}}&{name}=a{it}")))
}

fn ids() -> Vec<Row> {
    vec![
        may(SECTION, "an id that the publisher gives is the id of the event")
            .needs(Need::OwnIds)
            .function(ids_are_kept),
        must(SECTION, "`id` does not begin with `#`, and is not `earliest`").answers(
            &[BAD_REQUEST],
            each(
                post,
                [
                    "topic={t}&id=%23",
                    "topic={t}&id=%23{w}",
                    "topic={t}&id=earliest",
                    "topic={t}&id=%65arliest",
                ],
            ),
        ),
        must(SECTION, "`id` has no control characters and no format characters")
            .answers(&[BAD_REQUEST], forbidden_in("id")),
        must(SECTION, "an id that the hub gives is an IRI, or a fragment, and no other update's")
            .function(given_ids_are_iris),
        must(SECTION, "nothing that is forbidden gets through beside something that is allowed")
            .function(repetition_hides_nothing),
    ]
}

fn ids_are_kept(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    for id in ["a b", "\u{e9}\u{1f600}", "x#y", "earlier", "urn:x:y", "Earliest"] {
        let id = format!("{id}/{}", word(&topic));
        let answered = hub.publish(&format!("topic={topic}&id={}", encode(&id)))?;
        let came = stream.next()?.and_then(|event| event.id);
        let is_right = answered == id && came.as_deref() == Some(&*id);
        let came = format!("the answer {answered:?}, the event {came:?}");
        ensure(is_right, format!("POST with the id {id:?}"), id, came)?;
    }
    Ok(())
}

fn is_iri(text: &str) -> bool {
    let scheme_len = text.find(':').unwrap_or(0);
    let scheme = &text[..scheme_len];
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(in_scheme)
}

fn given_ids_are_iris(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut ids = Vec::new();
    for form in ["", "&data=x", "&data=x"] {
        let form = format!("topic={topic}{form}");
        let id = hub.publish(&form)?;
        let is_right = (is_iri(&id) || id.starts_with('#')) && !ids.contains(&id);
        let has_blank = id.contains(|c: char| c.is_whitespace() || c.is_control());
        ensure(is_right && !has_blank, format!("POST {form}"), "an IRI, or a fragment", &id)?;
        ids.push(id);
    }
    Ok(())
}

/// Whichever of two counts: what is forbidden must not arrive.
fn repetition_hides_nothing(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    for form in [
        "type=ok&type=mercure",
        "type=mercure&type=ok",
        "id={t}&id=earliest",
        "id=earliest&id={t}/2",
        "id={t}/3&id=%23x",
        "retry=1&retry=x",
        "retry=x&retry=1",
        "type=ok&type=a%0Adata:x",
    ] {
        let form = format!("topic={topic}&data=x&{}", form.replace("{t}", &topic));
        let answer = hub.answer(&post(&form))?;
        match answer.status {
            400 => continue,
            200 => {}
            _ => return failed(format!("POST {form}"), "400, or 200 and an event", answer),
        }
        let Some(event) = stream.next()? else { return skipped("the stream ended") };
        let id = event.id.clone().unwrap_or_default();
        let is_right = event.event.as_deref() != Some("mercure")
            && event.data == "x"
            && event.retry.as_deref() != Some("x")
            && id != "earliest"
            && id != "#x";
        ensure(is_right, format!("POST {form}"), "nothing that is forbidden", event)?;
    }
    Ok(())
}

fn answers() -> Vec<Row> {
    vec![
        must(SECTION, "the answer is 200, and its body is the id, as UTF-8 text")
            .function(the_answer_is_the_id),
        must("reconciliation", "every event has an id").function(the_event_has_the_id),
        should("reconciliation", "an id is an IRI").function(|hub| {
            let id = hub.publish(&format!("topic={}", hub.topic()))?;
            ensure(is_iri(&id), "POST", "an IRI", id)
        }),
    ]
}

fn the_answer_is_the_id(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    let request = post(format!("topic={topic}&data=x"));
    let message = hub.message(&request, &topic);
    let answer = hub.client.answer(&message)?;
    ensure(answer.status == 200, &message, 200, &answer)?;
    let content_type: String =
        answer.field("Content-Type").unwrap_or_default().to_ascii_lowercase();
    let content_type: String = content_type.chars().filter(|c| !" \"".contains(*c)).collect();
    let is_text = content_type == "text/plain;charset=utf-8";
    ensure(is_text, &message, "Content-Type: text/plain; charset=utf-8", &answer)?;
    let id = stream.next()?.and_then(|event| event.id);
    let expected = format!("the id of the event, {id:?}");
    ensure(id.as_deref() == Some(&*answer.body), message, expected, answer)
}

fn the_event_has_the_id(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let mut stream = hub.open(&get(format!("match={topic}")))?;
    for form in ["&data=x", "&data=y", "&data=x&type=t&retry=1"] {
        let form = format!("topic={topic}{form}");
        let id = hub.publish(&form)?;
        match stream.next()? {
            Some(event) if event.id.as_deref() == Some(&*id) && !id.is_empty() => {}
            Some(event) => return failed(format!("POST {form}"), format!("the id {id}"), event),
            None => return failed(format!("POST {form}"), "an event", "the end of the stream"),
        }
    }
    Ok(())
}
