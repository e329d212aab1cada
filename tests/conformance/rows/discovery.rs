//! Chapter 9: how a hub is found, and what it tells of itself.

use serde_json::Value;

use crate::{
    http::Answer,
    hub::{Hub, Role},
    row::{INVALID_TOKEN, Need, Row, get, may, must, post, should},
    verdict::{Verdict, ensure, failed, skipped},
};

const SECTION: &str = "protected-resource-metadata";

pub(super) fn rows() -> Vec<Row> {
    vec![
        should("hub-discovery", "the hub is at the well-known path").function(|hub| {
            let path = "/.well-known/mercure";
            hub.open(&get("match={t}"))?;
            ensure(hub.path() == path, "the URL that was given", path, hub.path())
        }),
        may("hub-discovery", "a hub links itself in its answers").function(hubs_link_themselves),
        must("hub-discovery", "a link with the relation `mercure` leads to a hub")
            .function(links_lead_to_a_hub),
        should(SECTION, "the metadata are where RFC 9728 looks for them").function(|hub| {
            let message = hub.at(&hub.metadata_path());
            let answer = hub.client.answer(&message)?;
            ensure(answer.status == 200, message, 200, answer)
        }),
        must(SECTION, "the metadata are a JSON object, and say so")
            .needs(Need::Metadata)
            .function(metadata_are_json),
        must(SECTION, "`resource` is there, and is what tokens have to be for")
            .needs(Need::Metadata)
            .function(the_resource_is_the_audience),
        must(SECTION, "other members, where they are, say what they should")
            .needs(Need::Metadata)
            .function(members_are_what_they_should_be),
        should("error-responses", "who has no token is told where the metadata are").function(
            |hub| {
                let message = hub.message(&post("topic={t}").without_token(), &hub.topic());
                let answer = hub.client.answer(&message)?;
                let challenge = crate::challenge::bearer(&answer).unwrap_or_default();
                let is_told = challenge.contains_key("resource_metadata");
                ensure(is_told, message, "a challenge with resource_metadata", answer)
            },
        ),
    ]
}

/// Targets of links with the relation `mercure`.
fn links(answer: &Answer) -> Vec<String> {
    let is_rel = |parameter: &str| {
        let value = parameter.trim().strip_prefix("rel=").unwrap_or_default();
        value.trim_matches('"').split_whitespace().any(|rel| rel.eq_ignore_ascii_case("mercure"))
    };
    // Targets have no `,<`, and what is quoted seldom has it.
    let all = answer.fields("Link").flat_map(|field| field.split(",").map(str::trim));
    let targets = all.filter_map(|link| {
        let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
        parameters.split(';').any(is_rel).then(|| target.to_owned())
    });
    targets.collect()
}

/// A stream, and a challenge.
fn linking(hub: &Hub) -> Verdict<[(&'static str, Answer); 2]> {
    let stream = hub.open(&get("match={t}"))?;
    let challenge = hub.answer(&post("topic={t}").without_token())?;
    Ok([("GET", stream.head), ("POST without a token", challenge)])
}

fn hubs_link_themselves(hub: &Hub) -> Verdict {
    for (sent, answer) in linking(hub)? {
        if links(&answer).is_empty() {
            return skipped(format!(
                "the answer to {sent} has no link with the relation `mercure`"
            ));
        }
    }
    Ok(())
}

fn links_lead_to_a_hub(hub: &Hub) -> Verdict {
    let mut are_there = false;
    for (sent, answer) in linking(hub)? {
        for target in links(&answer) {
            are_there = true;
            let path = match target.strip_prefix(hub.origin()) {
                Some(path) => path,
                None if target.starts_with('/') && !target.starts_with("//") => &target,
                // A name of the hub that cannot be reached from everywhere.
                None => hub.path(),
            };
            let token = hub.full_token(Role::Subscriber);
            let mut message = hub.at(&format!("{path}?match=x"));
            message.fields.push(("Authorization", format!("Bearer {token}")));
            let found = hub.client.answer(&message)?;
            let is_hub = found.status == 200 && found.media_type() == "text/event-stream";
            ensure(is_hub, format!("GET {target}, linked by {sent}"), "a stream of events", found)?;
        }
    }
    if are_there { Ok(()) } else { skipped("there are no such links") }
}

fn metadata_are_json(hub: &Hub) -> Verdict {
    let message = hub.at(&hub.metadata_path());
    let answer = hub.client.answer(&message)?;
    let document: Option<Value> = serde_json::from_str(&answer.body).ok();
    let is_object = document.as_ref().is_some_and(Value::is_object);
    let is_right = is_object && answer.media_type() == "application/json";
    ensure(is_right, message, "application/json, and a JSON object", answer)
}

/// The metadata, and where they came from.
fn metadata(hub: &Hub) -> (String, &Value) {
    (format!("GET {}", hub.metadata_path()), hub.metadata().unwrap_or(&Value::Null))
}

fn the_resource_is_the_audience(hub: &Hub) -> Verdict {
    let (sent, metadata) = metadata(hub);
    let Some(resource) = metadata["resource"].as_str() else {
        return failed(sent, "a member resource", metadata);
    };
    let topic = hub.topic();
    for (audience, is_it) in [(resource.to_owned(), true), (format!("{resource}/x"), false)] {
        let mut claims = hub.claims(Role::Publisher, serde_json::json!([{ "match": "*" }]));
        claims["aud"] = audience.as_str().into();
        let token = hub.sign(Role::Publisher, &claims);
        let message = hub.message_as(&post("topic={t}"), &topic, Some(&token));
        let answer = hub.client.answer(&message)?;
        let expected = if is_it { crate::row::OK } else { INVALID_TOKEN };
        crate::check::is_one_of(&answer, &[expected], &format!("{message}, for {audience}"))?;
    }
    Ok(())
}

fn members_are_what_they_should_be(hub: &Hub) -> Verdict {
    const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";
    let (sent, metadata) = metadata(hub);
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
    };
    type Judge<'a> = &'a dyn Fn(&Value) -> bool;
    let members: [(&str, &str, Judge<'_>); 6] = [
        (
            "authorization_details_types_supported",
            "an array with the type of this specification",
            &|value| texts(value).is_some_and(|types| types.iter().any(|it| it == DETAIL_TYPE)),
        ),
        (
            "bearer_methods_supported",
            "an array with `header`, without `query` and `cookie`",
            &|value| {
                texts(value).is_some_and(|methods| {
                    let is_there = |name: &str| methods.iter().any(|it| it == name);
                    is_there("header") && !is_there("query") && !is_there("cookie")
                })
            },
        ),
        ("mercure_cookie", "the name of a cookie", &|value| {
            value.as_str().is_some_and(|name| !name.is_empty() && !name.contains([' ', ';', '=']))
        }),
        ("mercure_matcher_types_supported", "an array of names", &|value| texts(value).is_some()),
        ("mercure_subscriptions", "a boolean", &Value::is_boolean),
        ("authorization_servers", "an array of issuers", &|value| texts(value).is_some()),
    ];
    for (name, expected, is_right) in members {
        if let Some(value) = metadata.get(name) {
            ensure(is_right(value), format!("{sent}, member {name}"), expected, value)?;
        }
    }
    Ok(())
}
