//! Hubs that do not look at something in tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Message, Wrong, asks};
use crate::{
    common::hub::{AUDIENCE, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY},
    signer::Signer,
};

pub(super) const WRONGS: &[Wrong] = &[
    asks(
        "does not check signatures",
        |asked| signed_anew(asked, |header, _| header["alg"] = json!("HS256")),
        &[
            "a signature is checked, whole",
            "`alg` is never `none`",
            "`alg` is one that the hub allows, and fits the key",
            "a token of another algorithm than its key's is refused",
            "keys that a token brings along are not used",
            "the key of an issuer signs for no other issuer",
        ],
    ),
    asks(
        "refuses tokens with claims that it does not know",
        |asked| {
            signed_anew(asked, |_, claims| {
                if claims.get("unknown").is_some() {
                    remove(claims, "exp");
                }
            });
        },
        &["a token of the access token profile is valid"],
    ),
    asks(
        "refuses payloads",
        |asked| {
            signed_anew(asked, |_, claims| {
                if claims.to_string().contains("payload") {
                    remove(claims, "exp");
                }
            });
        },
        &["a payload may be there"],
    ),
    asks(
        "takes a word for an array of one",
        |asked| {
            signed_anew(asked, |_, claims| {
                let actions = claims.pointer_mut("/authorization_details/0/actions");
                if let Some(actions) = actions.filter(|it| it.is_string()) {
                    *actions = json!(["publish", "subscribe"]);
                }
            });
        },
        &["`actions` and `topics` are arrays that are not empty"],
    ),
    asks(
        "takes patterns in tokens for topics",
        |asked| matchers_altered(asked, |matcher| remove(matcher, "match_type")),
        &[
            "a pattern grants publishing what it matches",
            "a pattern grants reading what it matches",
            "the grant may be for another topic than the one that is listened to",
            "what is no pattern spoils the token",
        ],
    ),
    asks(
        "takes topics in tokens for patterns",
        |asked| matchers_altered(asked, |matcher| matcher["match_type"] = json!("urlpattern")),
        &["the default of `match_type` is `exact`"],
    ),
    asks(
        "knows `*` as a topic only",
        |asked| {
            matchers_altered(asked, |matcher| {
                if matcher["match"] == "*" && matcher.get("match_type").is_some() {
                    matcher["match"] = json!("x");
                }
            });
        },
        &["`*` is every topic, whatever `match_type` says"],
    ),
    asks(
        "does not look at `typ`",
        |asked| signed_anew(asked, |header, _| header["typ"] = json!("at+jwt")),
        &["a token of another `typ`, or of none, is refused"],
    ),
    asks(
        "knows one spelling of `typ`",
        |asked| {
            signed_anew(asked, |header, _| {
                if header["typ"] != "at+jwt" {
                    header["typ"] = json!("JWT");
                }
            });
        },
        &["`typ` is `at+jwt` or `application/at+jwt`, in any case"],
    ),
    asks(
        "does not look at `crit`",
        |asked| signed_anew(asked, |header, _| remove(header, "crit")),
        &["an extension that is critical and unknown is not passed over"],
    ),
    asks(
        "does not look at `exp`",
        |asked| signed_anew(asked, |_, claims| claims["exp"] = json!(9_999_999_999_u64)),
        &[
            "`exp` is there, and not over",
            "a token that was good before is checked again each time",
            "a stream is closed when its token expires",
            "nothing that is published after a token has expired is received",
        ],
    ),
    asks(
        "does not look at `nbf`",
        |asked| signed_anew(asked, |_, claims| remove(claims, "nbf")),
        &["`nbf` is not to come"],
    ),
    asks(
        "does not look at `aud`",
        |asked| signed_anew(asked, |_, claims| claims["aud"] = json!(AUDIENCE)),
        &[
            "a token for others, or for nobody, is refused",
            "`resource` is there, and is what tokens have to be for",
        ],
    ),
    asks(
        "takes no array for `aud`",
        |asked| {
            signed_anew(asked, |_, claims| {
                if claims["aud"].is_array() {
                    remove(claims, "aud");
                }
            });
        },
        &["`aud` is, or contains, what the hub is"],
    ),
    asks(
        "does not look at `iss`",
        |asked| signed_anew(asked, |_, claims| claims["iss"] = json!(ISSUER)),
        &["`iss` is there, and exactly an issuer that the hub trusts"],
    ),
    asks(
        "leaves out details that are wrong",
        |asked| {
            signed_anew(asked, |_, claims| {
                if let Some(details) = claims["authorization_details"].as_array_mut() {
                    details.truncate(1);
                }
            });
        },
        &["one detail that is wrong spoils the token"],
    ),
    asks(
        "leaves out matchers that it does not know",
        |asked| {
            signed_anew(asked, |_, claims| {
                let types = [json!("exact"), json!("urlpattern"), Value::Null];
                let topics = claims.pointer_mut("/authorization_details/0/topics");
                if let Some(topics) = topics.and_then(Value::as_array_mut) {
                    topics.retain(|it| types.contains(&it["match_type"]));
                    topics.push(json!({ "match": "x" }));
                }
            });
        },
        &["`match_type` is a type that the hub supports, with its case"],
    ),
    asks(
        "refuses actions that it does not know",
        |asked| {
            signed_anew(asked, |_, claims| {
                if claims.to_string().contains("unknown") {
                    claims["authorization_details"] =
                        json!([{ "type": "https://mercure.rocks/authorization-detail" }]);
                }
            });
        },
        &["actions that are not known do no harm"],
    ),
];

fn remove(value: &mut Value, name: &str) {
    if let Some(members) = value.as_object_mut() {
        members.remove(name);
    }
}

/// The topic matchers of a token, seen otherwise.
fn matchers_altered(asked: &mut Message, alter: fn(&mut Value)) {
    let each = |claims: &mut Value| {
        let topics = claims.pointer_mut("/authorization_details/0/topics");
        topics.and_then(Value::as_array_mut).into_iter().flatten().for_each(alter);
    };
    signed_anew(asked, |_, claims| each(claims));
}

/// What a hub sees that does not look at something: a token that is right in this respect, and,
/// as far as it was signed well, well signed.
fn signed_anew(asked: &mut Message, alter: impl Fn(&mut Value, &mut Value)) {
    let Some(token) = asked.field("Authorization").and_then(|it| it.strip_prefix("Bearer ")) else {
        return;
    };
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let (Some(Some(mut header)), Some(Some(mut claims))) = (parts.next(), parts.next()) else {
        return;
    };
    let key = if asked.is("POST") { PUBLISHER_KEY } else { SUBSCRIBER_KEY };
    let signer = Signer::new(key, "HS256").expect("a key of the tests");
    alter(&mut header, &mut claims);
    let token = signer.sign(&header, &claims);
    asked.set("Authorization", Some(&format!("Bearer {token}")));
}
