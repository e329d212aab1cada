//! Chapter 4: which topics a matcher selects.

use crate::{
    hub::{Hub, encode, word},
    row::{Row, get, listen, must, should},
    verdict::{Verdict, ensure, failed},
};

pub(super) fn rows() -> Vec<Row> {
    [types(), exact(), url_patterns(), relative()].into_iter().flatten().collect()
}

fn types() -> Vec<Row> {
    vec![
        must("matcher-types", "`*` is every topic, whatever the matcher type").scenes(
            ["match", "match_exact", "match_urlpattern"].map(|name| {
                listen(format!("{name}=*")).hears([
                    "topic={t}",
                    "topic=urn:{w}",
                    "topic=%2F{w}?q%23f",
                    "topic=https://[{w}",
                    "topic={t}/%F0%9F%98%80+x",
                ])
            }),
        ),
        must("matcher-types", "only `*` alone is every topic").scenes([
            listen("match={t}/*").hears(["topic={t}/*"]).misses(["topic={t}/a", "topic={t}"]),
            listen("match=**").misses(["topic={t}"]),
        ]),
        must("summary-of-matcher-types", "`exact` and `urlpattern` are supported").scenes([
            listen("match={t}").hears(["topic={t}"]),
            listen("match_exact={t}").hears(["topic={t}"]),
            listen("match_urlpattern={t}").hears(["topic={t}"]),
        ]),
        should("matcher-types", "the metadata name all matcher types, or there are just these two")
            .needs(crate::row::Need::Metadata)
            .function(matcher_types_are_advertised),
    ]
}

fn matcher_types_are_advertised(hub: &Hub) -> Verdict {
    let Some(types) = hub.metadata().and_then(|it| it.get("mercure_matcher_types_supported"))
    else {
        return Ok(());
    };
    let names: Option<Vec<_>> =
        types.as_array().and_then(|types| types.iter().map(|name| name.as_str()).collect());
    let sent = format!("GET {}", hub.metadata_path());
    let expected = "an array of names, `exact` and `urlpattern` among them";
    let Some(names) = names else { return failed(sent, expected, types) };
    ensure(["exact", "urlpattern"].iter().all(|it| names.contains(it)), sent, expected, types)?;
    // What is promised is there.
    for name in names {
        let parameter = get(format!("match_{name}={{t}}"));
        let answer = hub.answer(&parameter)?;
        ensure(answer.status == 200, hub.message(&parameter, "{t}"), 200, answer)?;
    }
    Ok(())
}

fn exact() -> Vec<Row> {
    vec![
        must("exact-matching", "topics are compared byte by byte, with their case").scenes([
            listen("match={t}/a").hears(["topic={t}/a"]).misses([
                "topic={t}/A",
                "topic={t}/a/",
                "topic={t}/a+",
                "topic={t}/a?",
                "topic={t}/a%23",
                "topic={t}/%2561",
                "topic={t}/x/../a",
                "topic={t}/./a",
            ]),
            listen("match={t}/A").hears(["topic={t}/A"]).misses(["topic={t}/a"]),
            listen("match={t}/a?q%23f").hears(["topic={t}/a?q%23f"]).misses(["topic={t}/a"]),
            listen("match={t}/:id").hears(["topic={t}/:id"]).misses(["topic={t}/1"]),
        ]),
        must("exact-matching", "no relative topic is resolved").function(nothing_is_resolved),
        must("exact-matching", "nothing is normalized, neither Unicode nor IRIs").scenes([
            listen("match={t}/%C3%A9").hears(["topic={t}/%C3%A9"]).misses([
                "topic={t}/e%CC%81",
                "topic={t}/%25C3%25A9",
                "topic={t}/%25c3%25a9",
            ]),
            listen("match=HTTPS://EXAMPLE.example:443/{w}")
                .hears(["topic=HTTPS://EXAMPLE.example:443/{w}"])
                .misses([
                    "topic=https://EXAMPLE.example:443/{w}",
                    "topic=HTTPS://example.example:443/{w}",
                    "topic=HTTPS://EXAMPLE.example/{w}",
                ]),
            listen("match=https://b%C3%BCcher.example/{w}")
                .hears(["topic=https://b%C3%BCcher.example/{w}"])
                .misses(["topic=https://xn--bcher-kva.example/{w}"]),
        ]),
    ]
}

/// The origin of the URL that relative topics are relative to.
fn base_origin(hub: &Hub) -> &str {
    let base = hub.base();
    let authority = base.find("://").map_or(0, |at| at + 3);
    base[authority..].find('/').map_or(base, |at| &base[..authority + at])
}

fn nothing_is_resolved(hub: &Hub) -> Verdict {
    let path = format!("/{}", word(&hub.topic()));
    let absolute = format!("{}{path}", base_origin(hub));
    for (matcher, other) in [(&path, &absolute), (&absolute, &path)] {
        let mut stream = hub.open(&get(format!("match={}", encode(matcher))))?;
        hub.publish(&format!("topic={}&data=other", encode(other)))?;
        hub.publish(&format!("topic={}&data=end", encode(matcher)))?;
        let came = stream.up_to("end")?;
        let expected = format!("nothing that was published to {other}");
        ensure(came.is_empty(), &stream.sent, expected, crate::http::listed(&came))?;
    }
    Ok(())
}

fn url_patterns() -> Vec<Row> {
    const SECTION: &str = "url-pattern";
    vec![
        must(SECTION, "a name stands for a segment that is not empty").scenes([
            listen("match_urlpattern={t}/:id")
                .hears(["topic={t}/1", "topic={t}/%C3%A9", "topic={t}/1?q%23f"])
                .misses(["topic={t}/1/2", "topic={t}/", "topic={t}", "topic={t}/1/"]),
            listen("match_urlpattern={t}/:id/pages/:page")
                .hears(["topic={t}/1/pages/2"])
                .misses(["topic={t}/1/pages", "topic={t}/1/Pages/2"]),
            listen("match_urlpattern={t}/a-:id.html")
                .hears(["topic={t}/a-1.html"])
                .misses(["topic={t}/a-.html", "topic={t}/b-1.html"]),
        ]),
        must(SECTION, "wildcards, groups, modifiers and regular expressions work").scenes([
            listen("match_urlpattern={t}/*")
                .hears(["topic={t}/", "topic={t}/1", "topic={t}/1/2"])
                .misses(["topic={t}", "topic={t}x/1"]),
            listen("match_urlpattern={t}/:id?")
                .hears(["topic={t}/1", "topic={t}"])
                .misses(["topic={t}/1/2"]),
            listen("match_urlpattern={t}/a%7B/:id%7D?/b")
                .hears(["topic={t}/a/b", "topic={t}/a/1/b"])
                .misses(["topic={t}/a/1/2/b"]),
            listen("match_urlpattern={t}/:id%2B")
                .hears(["topic={t}/1", "topic={t}/1/2"])
                .misses(["topic={t}"]),
            listen("match_urlpattern={t}/:id*").hears(["topic={t}", "topic={t}/1/2"]),
            listen("match_urlpattern={t}/(%5Cd%2B)")
                .hears(["topic={t}/12"])
                .misses(["topic={t}/1a", "topic={t}/"]),
            listen("match_urlpattern={t}/:id(a%7Cb)")
                .hears(["topic={t}/a", "topic={t}/b"])
                .misses(["topic={t}/c"]),
        ]),
        must(SECTION, "what is escaped stands for itself").scenes([
            listen("match_urlpattern=urn%5C:{w}%5C:a")
                .hears(["topic=urn:{w}:a"])
                .misses(["topic=urn:{w}:b"]),
            listen("match_urlpattern={t}/%5C*").hears(["topic={t}/*"]).misses(["topic={t}/a"]),
        ]),
        must(SECTION, "components that a pattern does not name may be anything").scenes([
            listen("match_urlpattern={t}/a").hears([
                "topic={t}/a",
                "topic={t}/a?q",
                "topic={t}/a%23f",
                "topic={t}/a?q%23f",
            ]),
            listen("match_urlpattern={t}/a%5C?q=:v")
                .hears(["topic={t}/a?q=1"])
                .misses(["topic={t}/a", "topic={t}/a?r=1"]),
        ]),
        must(SECTION, "hosts may be patterns, and only hosts have no case").function(hosts),
        must(SECTION, "what is no URL reference is matched by no pattern").scenes([
            listen("match_urlpattern=*://*:*/*").misses(["topic=https://[{w}"]),
            listen("match_urlpattern={t}/*")
                .misses(["topic=https://[{w}/a"])
                .hears(["topic={t}/a"]),
        ]),
        must(SECTION, "patterns that are made to take for ever do not").function(hostile_patterns),
    ]
}

fn hosts(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let name = word(&topic);
    let topics = [
        format!("https://a.example/{name}"),
        format!("https://B.example/{name}"),
        format!("https://b.example/{}", name.to_uppercase()),
        format!("http://a.example/{name}"),
        format!("https://a.example:8443/{name}"),
    ];
    let patterns = [
        (format!("https://*.example/{name}"), vec![0, 1]),
        (format!("https://:host.example/{name}"), vec![0, 1]),
        (format!("https://b.example/{name}"), vec![1]),
        (format!("https://A.EXAMPLE/{name}"), vec![0]),
        (format!("http{{s}}?://a.example/{name}"), vec![0, 3]),
        (format!("https://a.example:8443/{name}"), vec![4]),
        (format!("https://a.example:*/{name}"), vec![0, 4]),
    ];
    let mut streams = Vec::new();
    for (pattern, _) in &patterns {
        let both = format!("match_urlpattern={}&match={topic}", encode(pattern));
        streams.push(hub.open(&get(both))?);
    }
    for (number, topic) in topics.iter().enumerate() {
        hub.publish(&format!("topic={}&data={number}", encode(topic)))?;
    }
    hub.publish(&format!("topic={topic}&data=end"))?;
    for (stream, (_, expected)) in streams.iter_mut().zip(&patterns) {
        let came = stream.up_to("end")?;
        let numbers: Vec<usize> = came.iter().filter_map(|it| it.data.parse().ok()).collect();
        let named = |numbers: &[usize]| {
            numbers.iter().map(|it| topics[*it].as_str()).collect::<Vec<_>>().join(", ")
        };
        ensure(numbers == *expected, &stream.sent, named(expected), named(&numbers))?;
    }
    Ok(())
}

/// Half a minute with a back-tracking engine would be a short time.
fn hostile_patterns(hub: &Hub) -> Verdict {
    for pattern in [
        "((?:a%2B)%2B)",
        "((?:a%7Ca)*)b",
        "((?:[a-z]%2B)*)!",
        "*a*a*a*a*a*a*a*a*a*b",
        "(%5E(?:(?:a?)%7B30%7Da%7B30%7D)$)",
    ] {
        let topic = hub.topic();
        let request = get(format!("match_urlpattern={topic}/{pattern}&match={topic}"));
        let message = hub.message(&request, &topic);
        // A pattern that would cost too much may be refused instead.
        if hub.client.answer(&message)?.status == 400 {
            continue;
        }
        let mut stream = hub.client.open(&message)?;
        let hostile = format!("topic={topic}/{}%24&data=hostile", "a".repeat(60));
        hub.publish(&hostile)?;
        hub.publish(&format!("topic={topic}&data=end"))?;
        stream.up_to("end")?;
    }
    Ok(())
}

fn relative() -> Vec<Row> {
    const SECTION: &str = "url-pattern";
    vec![
        must(SECTION, "patterns and topics may be relative: both to the hub's URL").scenes([
            listen("match_urlpattern=/{w}/:id").hears(["topic=/{w}/1"]).misses(["topic=/{w}/1/2"]),
            listen("match_urlpattern=/{w}/*").hears(["topic=/{w}/1/2"]),
        ]),
        must(
            SECTION,
            "a relative pattern selects absolute topics of the hub's origin, and no others",
        )
        .function(relative_patterns),
    ]
}

fn relative_patterns(hub: &Hub) -> Verdict {
    let topic = hub.topic();
    let path = format!("/{}", word(&topic));
    let mut stream = hub.open(&get(format!("match_urlpattern={path}/:id&match={topic}")))?;
    // A hub behind a proxy may go by either name.
    let origins = [base_origin(hub), hub.origin(), "https://other.example"];
    for (number, origin) in origins.iter().enumerate() {
        hub.publish(&format!("topic={origin}{path}/{number}&data={number}"))?;
    }
    hub.publish(&format!("topic={topic}&data=end"))?;
    let came: Vec<_> = stream.up_to("end")?.into_iter().map(|event| event.data).collect();
    let is_right = !came.is_empty() && !came.contains(&"2".to_owned());
    let expected = format!("{}{path}/:id, and not {}", origins[0], origins[2]);
    ensure(is_right, &stream.sent, expected, format!("{came:?}"))
}
