//! The ways in which a hub is made a wrong one, and the rows that must notice it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::proxy::{Alteration, Message};
use crate::{
    common::{
        hub::{AUDIENCE, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY},
        tokens,
    },
    signer::Signer,
};

/// A wrong hub.
pub(super) struct Wrong {
    pub(super) does: &'static str,
    pub(super) alteration: Alteration,
    /// Rows that must not pass.
    pub(super) noticed_by: &'static [&'static str],
}

const fn asks(
    does: &'static str,
    alter: fn(&mut Message),
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: Some(alter), answered: None, event: None };
    Wrong { does, alteration, noticed_by }
}

const fn answers(
    does: &'static str,
    alter: fn(&Message, &mut Message),
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: None, answered: Some(alter), event: None };
    Wrong { does, alteration, noticed_by }
}

const fn sends(
    does: &'static str,
    alter: fn(String) -> String,
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: None, answered: None, event: Some(alter) };
    Wrong { does, alteration, noticed_by }
}

pub(super) const WRONGS: &[Wrong] = &[
    // Streams.
    sends(
        "sends every event twice",
        |block| block.repeat(2),
        &[
            "an update arrives once, however many matchers select it",
            "an event has the data that was published",
            "all that was published after the cursor is sent, once, in its order",
        ],
    ),
    sends(
        "loses an event now and then",
        |block| {
            let is_lost =
                ["4", "7", "later"].iter().any(|it| block.contains(&format!("data: {it}\n")));
            if is_lost { String::new() } else { block }
        },
        &[
            "an id is a place in the one order of the hub, whatever its topic",
            "matchers select of what is replayed as they do of what is new",
            "of updates with the same id the first counts, and all after it are sent",
            "all that was published after the cursor is sent, once, in its order",
            "what is replayed goes over into what is new, without a gap",
            "who is cut again and again, and comes back each time, misses nothing",
        ],
    ),
    sends("sends events without an id", |block| without(&block, "id"), &["every event has an id"]),
    sends(
        "sends events without their type",
        |block| without(&block, "event"),
        &["`event` and `retry` are supported", "`type` becomes the SSE field `event`"],
    ),
    sends(
        "sends events without `retry`",
        |block| without(&block, "retry"),
        &["`retry` consists of ASCII digits, and becomes the SSE field `retry`"],
    ),
    sends(
        "sends data as it is, with its line ends",
        |block| block.replace("\ndata: ", "\n").replacen("\n", "\ndata: ", 1),
        &["data goes out in lines, split at CR, LF and CRLF", "data forges no field and no event"],
    ),
    sends(
        "sends no comments",
        |block| if block == ":\n" { String::new() } else { block },
        &["a stream on which nothing happens has comment lines"],
    ),
    Wrong {
        does: "looks at the first of two types, and sends the last",
        alteration: Alteration {
            asked: Some(|asked| asked.body = asked.body.replace("=ok&type=mercure", "=ok")),
            answered: None,
            event: Some(|block| block.replace("event: ok\n", "event: mercure\n")),
        },
        noticed_by: &["nothing that is forbidden gets through beside something that is allowed"],
    },
    // Answers.
    answers(
        "answers subscribers with JSON",
        |_, answer| answer.head = answer.head.replace("text/event-stream", "application/json"),
        &["GET subscribes, and is answered with 200 and a stream of events"],
    ),
    answers(
        "does not take QUERY",
        |asked, answer| {
            if asked.is("QUERY") {
                answer.set_status("405");
            }
        },
        &["QUERY subscribes too"],
    ),
    answers(
        "has no links",
        |_, answer| answer.set("Link", None),
        &["a hub links itself in its answers"],
    ),
    answers(
        "links something else",
        |_, answer| answer.set("Link", Some("</nowhere>; rel=\"mercure\"")),
        &["a link with the relation `mercure` leads to a hub"],
    ),
    answers(
        "answers 401 where it should be 403",
        |_, answer| status(answer, "403", "401"),
        &["a token that does not grant it: 403 and `insufficient_scope`"],
    ),
    answers(
        "answers 403 where it should be 401",
        |_, answer| status(answer, "401", "403"),
        &[
            "publishers have a token",
            "`exp` is there, and not over",
            "if details or topics are limited, more than that spoil the token",
        ],
    ),
    answers(
        "answers 422 where it should be 400",
        |_, answer| status(answer, "400", "422"),
        &[
            "a topic has no control characters and no format characters",
            "the whole `match` namespace is reserved, in any case, with a value or none",
            "a matcher is UTF-8",
            "what is no URL pattern is refused",
            "there is a topic",
            "no topic, canonical or alternate, is exactly `*`",
            "no topic addresses the hub's own namespace, in whatever spelling",
            "`id` does not begin with `#`, and is not `earliest`",
            "a malformed request: 400",
            "a malformed token: a challenge that says so, or that it is invalid",
            "a topic that nobody may publish is malformed, whatever the token grants",
            "if the number of matchers is limited, more than that are refused",
            "if the length of a matcher is limited, longer ones are refused",
            "if the number of matchers is limited, more in a body are refused as well",
        ],
    ),
    answers(
        "answers 400 where it should be 413",
        |_, answer| status(answer, "413", "400"),
        &[
            "more than the limits allow is too large",
            "a body that is larger than the hub takes is too large",
        ],
    ),
    answers(
        "answers a publication with 201",
        |asked, answer| {
            if asked.is("POST") {
                status(answer, "200", "201");
            }
        },
        &["the answer is 200, and its body is the id, as UTF-8 text"],
    ),
    answers(
        "answers a publication with HTML",
        |asked, answer| {
            if asked.is("POST") && answer.status() == "200" {
                answer.set("Content-Type", Some("text/html; charset=utf-8"));
            }
        },
        &["the answer is 200, and its body is the id, as UTF-8 text"],
    ),
    answers(
        "gives ids that are no IRIs",
        |asked, answer| {
            if asked.is("POST") {
                answer.body = answer.body.replace("urn:uuid:", "n");
            }
        },
        &[
            "an id is an IRI",
            "an id that the hub gives is an IRI, or a fragment, and no other update's",
        ],
    ),
    answers(
        "has another status in its problem documents",
        |_, answer| answer.body = answer.body.replace("\"status\":400", "\"status\":500"),
        &["what a challenge does not tell, a problem document does"],
    ),
    answers(
        "tells why a token failed",
        |_, answer| answer.head = answer.head.replace("invalid_token", "expired_token"),
        &["a token that fails: 401 and `invalid_token`, also where none is needed"],
    ),
    answers(
        "has an error code where there is no token",
        |_, answer| {
            answer.head = answer.head.replace("Bearer resource", "Bearer error=\"x\", resource")
        },
        &["no token: 401, `Bearer`, and no error code"],
    ),
    answers(
        "does not name its metadata",
        |_, answer| answer.head = answer.head.replace("resource_metadata", "x"),
        &[
            "every challenge names the metadata, and they are there",
            "who has no token is told where the metadata are",
        ],
    ),
    answers(
        "calls Mercure-Last-Event-ID otherwise",
        |_, answer| answer.head = answer.head.replace("Mercure-Last-Event-ID", "Last-Event-ID"),
        &[
            "the answer to a cursor, whatever it is, names what comes before the first event",
            "`earliest` brings all that the hub has, and is its own answer",
        ],
    ),
    answers(
        "says that it has the event that was asked for, whatever it is",
        |asked, answer| {
            if let Some(id) = asked.field("Last-Event-ID") {
                answer.set("Mercure-Last-Event-ID", Some(id));
            }
        },
        &["an id that is not there is not taken for one that is"],
    ),
    answers(
        "has another resource in its metadata",
        |_, answer| answer.body = answer.body.replace(AUDIENCE, "https://other.example/"),
        &["`resource` is there, and is what tokens have to be for"],
    ),
    answers(
        "has its metadata elsewhere",
        |asked, answer| {
            if asked.target().contains("oauth-protected-resource") {
                answer.set_status("404");
            }
        },
        &[
            "the metadata are where RFC 9728 looks for them",
            "every challenge names the metadata, and they are there",
        ],
    ),
    answers(
        "promises a matcher type that it has not",
        |_, answer| answer.body = answer.body.replace("\"exact\",", "\"exact\",\"regexp\","),
        &["the metadata name all matcher types, or there are just these two"],
    ),
    answers(
        "promises tokens in URLs",
        |_, answer| answer.body = answer.body.replace("\"header\"", "\"header\",\"query\""),
        &["other members, where they are, say what they should"],
    ),
    answers(
        "does not tell of its cookie",
        |_, answer| answer.body = answer.body.replace("mercure_cookie", "x"),
        &["a hub that takes a cookie says in its metadata which one"],
    ),
    answers(
        "has metadata that are no JSON",
        |_, answer| answer.set("Content-Type", Some("text/html")),
        &["the metadata are a JSON object, and say so"],
    ),
    answers(
        "lets every page read",
        |asked, answer| {
            let origin = asked.field("Origin").unwrap_or("*").to_owned();
            answer.set("Access-Control-Allow-Origin", Some(&origin));
        },
        &["CORS: with a cookie, no arbitrary origin is reflected, and none is `*`"],
    ),
    answers(
        "lets no page read",
        |_, answer| answer.head = answer.head.replace("Access-Control", "X"),
        &[
            "CORS: pages of an allowed origin may read a stream",
            "CORS: with a cookie, the allowed origin is named, and credentials are allowed",
            "CORS: pages of an allowed origin may ask before they send a token",
        ],
    ),
    // Requests: a hub that does not see what it should.
    asks(
        "does not see `private`",
        |asked| {
            asked.body = asked.body.replace("&private", "&public").replace("private=", "public=");
        },
        &[
            "an update with the field `private` is private, whatever its value",
            "a private update needs a grant for one of its topics",
            "listening to a topic grants nothing",
            "without a token nothing private is received, whatever is listened to",
        ],
    ),
    asks(
        "sees `private` only where it has a value",
        |asked| asked.body = asked.body.replace("private=&", "x&").replace("private&", "x&"),
        &["an update with the field `private` is private, whatever its value"],
    ),
    asks(
        "lets every subscriber read everything",
        |asked| {
            if !asked.is("POST") {
                asked.set("Authorization", Some(&format!("Bearer {}", tokens::subscriber(&["*"]))));
            }
        },
        &[
            "listening to a topic grants nothing",
            "a private update needs a grant for one of its topics",
            "the grant may be for another topic than the one that is listened to",
            "grants to publish are no grants to read",
            "what is replayed is judged by the token of now",
            "without a token nothing private is received, whatever is listened to",
            "a token in the URL grants a subscriber nothing",
        ],
    ),
    asks(
        "lets everybody publish",
        |asked| {
            if asked.is("POST") {
                asked.set("Authorization", Some(&format!("Bearer {}", tokens::publisher(&["*"]))));
            }
        },
        &[
            "publishers have a token",
            "what is no `Bearer`, a space and a token publishes nothing",
            "a token in the URL, or in a form, is none",
            "a publisher's token grants every topic, or nothing is sent",
            "actions that are not known grant nothing",
            "details of other types grant nothing, and do no harm",
        ],
    ),
    asks(
        "takes a subscriber whose token fails for one without a token",
        |asked| {
            if asked.is("GET") {
                asked.set("Authorization", None);
                asked.set("Cookie", None);
            }
        },
        &[
            "a token that fails: 401 and `invalid_token`, also where none is needed",
            "a cookie that fails is not nobody's",
            "without an `Authorization` field the cookie is used",
            "a token is needed to receive what is private, and enough",
            "an entry is an object with a `match`",
        ],
    ),
    asks(
        "takes a token from the URL",
        |asked| {
            let token = asked.target().split("access_token=").nth(1).map(str::to_owned);
            if let Some(token) = token {
                asked.set("Authorization", Some(&format!("Bearer {token}")));
            }
        },
        &[
            "a token in the URL, or in a form, is none",
            "a token in the URL grants a subscriber nothing",
        ],
    ),
    asks(
        "prefers a cookie to `Authorization`",
        |asked| {
            if asked.field("Cookie").is_some() {
                asked.set("Authorization", None);
            }
        },
        &["where there is an `Authorization` field, the cookie is ignored"],
    ),
    asks(
        "does not ask whose page publishes",
        |asked| {
            asked.set("Referer", None);
            asked.set("Origin", Some("https://app.example"));
        },
        &[
            "a page of another origin does not publish with a cookie",
            "nobody publishes with a cookie who does not say whose page it is",
        ],
    ),
    asks(
        "takes a name that begins like its cookie's for it",
        |asked| {
            let cookie = asked.field("Cookie").map(|it| it.replace("tokenx=", "token="));
            if let Some(cookie) = cookie {
                asked.set("Cookie", Some(&cookie));
            }
        },
        &["other cookies are none of the hub's business"],
    ),
    asks(
        "lets no page publish",
        |asked| {
            asked.set("Referer", None);
            asked.set("Origin", None);
        },
        &["a page that may publishes with a cookie"],
    ),
    asks(
        "wants a token of every subscriber",
        |asked| {
            if asked.is("GET") && asked.field("Authorization").is_none() {
                asked.set("Authorization", Some("Bearer a.b.c"));
            }
        },
        &["subscribers without a token get what is not private"],
    ),
    asks(
        "knows one spelling of `Bearer`",
        |asked| asked.head = asked.head.replace("bearer ", "x ").replace("BEARER ", "x "),
        &["the scheme is `Bearer`, in any case"],
    ),
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
    asks(
        "knows no cursor",
        |asked| {
            asked.set("Last-Event-ID", None);
            asked.set_target(&asked.target().replace("last_event_id", "x"));
        },
        &[
            "the answer to a cursor, whatever it is, names what comes before the first event",
            "all that was published after the cursor is sent, once, in its order",
            "who is cut again and again, and comes back each time, misses nothing",
            "`earliest` brings all that the hub has, and is its own answer",
        ],
    ),
    asks(
        "does not look at the field `Last-Event-ID`",
        |asked| asked.set("Last-Event-ID", None),
        &[
            "`last_event_id` is taken, as the field `Last-Event-ID` is",
            "what is replayed goes over into what is new, without a gap",
            "the answer to a cursor, whatever it is, names what comes before the first event",
        ],
    ),
    asks(
        "changes ids that publishers give",
        |asked| asked.body = asked.body.replace("id=Earliest", "id=other"),
        &[
            "an id that the publisher gives is the id of the event",
            "an id is found again, whatever characters it has",
        ],
    ),
    asks(
        "prefers the parameter to the field",
        |asked| {
            if asked.target().contains("last_event_id") {
                asked.set("Last-Event-ID", None);
            }
        },
        &["the field has precedence over the parameter"],
    ),
    asks(
        "prefers the body's cursor",
        |asked| {
            if asked.is("QUERY") && asked.body.contains("last_event_id") {
                asked.set_target(&asked.target().replace("last_event_id", "x"));
            }
        },
        &["of two `last_event_id` that of the query component counts, the field first"],
    ),
    asks(
        "does not look at the query component where there is a body",
        |asked| {
            if asked.is("QUERY") {
                asked.set_target("/.well-known/mercure");
            }
        },
        &["what the query component and the body have is one"],
    ),
    asks(
        "has no case",
        |asked| asked.set_target(&asked.target().to_lowercase()),
        &[
            "topics are compared byte by byte, with their case",
            "the whole `match` namespace is reserved, in any case, with a value or none",
        ],
    ),
    asks(
        "takes every matcher for a pattern",
        |asked| asked.set_target(&asked.target().replace("match=", "match_urlpattern=")),
        &[
            "topics are compared byte by byte, with their case",
            "no relative topic is resolved",
            "only `*` alone is every topic",
        ],
    ),
    asks(
        "takes every pattern for a topic",
        |asked| asked.set_target(&asked.target().replace("match_urlpattern=", "match=")),
        &[
            "a name stands for a segment that is not empty",
            "wildcards, groups, modifiers and regular expressions work",
            "hosts may be patterns, and only hosts have no case",
            "patterns and topics may be relative: both to the hub's URL",
        ],
    ),
    asks(
        "does not know `match_exact`",
        |asked| asked.set_target(&asked.target().replace("match_exact", "x")),
        &[
            "`match` and `match_exact` select a topic; each of several selects its own",
            "`exact` and `urlpattern` are supported",
            "`*` is every topic, whatever the matcher type",
        ],
    ),
    asks(
        "wants a value for every name",
        |asked| {
            let has_none = asked.target().ends_with("match_exact");
            if has_none {
                asked.set_target(&format!("{}x", asked.target()));
            }
        },
        &["a name without a value has the empty value"],
    ),
    asks(
        "takes what looks like `match` for it",
        |asked| asked.body = asked.body.replace("Match=", "match="),
        &["names and values in a body are judged like those in a query component"],
    ),
    asks(
        "does not know what is escaped in a pattern",
        |asked| asked.set_target(&asked.target().replace("%5C", "")),
        &["what is escaped stands for itself"],
    ),
    asks(
        "takes a query component for a part of the path",
        |asked| asked.body = asked.body.replace("?q", "/q"),
        &["components that a pattern does not name may be anything"],
    ),
    asks(
        "makes a URL of what is none",
        |asked| asked.body = asked.body.replace("https://[", "https://conformance.example/"),
        &["what is no URL reference is matched by no pattern"],
    ),
    asks(
        "thinks for a long time about some patterns",
        |asked| {
            if asked.body.contains("hostile") {
                std::thread::sleep(super::wrong::PATIENCE * 2);
            }
        },
        &["patterns that are made to take for ever do not"],
    ),
    asks(
        "has no base for what is relative",
        |asked| {
            let absolute = "match_urlpattern=https://other.example/";
            asked.set_target(&asked.target().replace("match_urlpattern=/", absolute));
        },
        &[
            "patterns and topics may be relative: both to the hub's URL",
            "a relative pattern selects absolute topics of the hub's origin, and no others",
        ],
    ),
    asks(
        "normalizes hosts",
        |asked| {
            let normal = |text: &str| {
                text.replace("HTTPS:", "https:").replace("EXAMPLE", "example").replace(":443", "")
            };
            asked.body = normal(&asked.body);
            asked.set_target(&normal(asked.target()));
        },
        &["nothing is normalized, neither Unicode nor IRIs"],
    ),
    asks(
        "decodes twice",
        |asked| asked.set_target(&asked.target().replace("%25", "%")),
        &["the query component is read by the algorithm of the URL standard"],
    ),
    asks(
        "leaves out control characters",
        |asked| {
            asked.body = asked.body.replace("%0A", "").replace("%0D", "").replace("%00", "");
            asked.set_target(&asked.target().replace("%0A", "").replace("%00", ""));
        },
        &[
            "a topic has no control characters and no format characters",
            "a matcher has no control characters and no format characters",
            "`id` has no control characters and no format characters",
            "`type` has no control characters and no format characters",
            "neither topic, id, type nor retry forges one",
        ],
    ),
    asks(
        "repairs what is no UTF-8",
        |asked| {
            asked.body = asked.body.replace("%FF", "%EF%BF%BD");
            asked.set_target(&asked.target().replace("%FF", "%EF%BF%BD"));
        },
        &["a topic is UTF-8", "a matcher is UTF-8", "names and values are UTF-8"],
    ),
    asks(
        "refuses what it cannot write",
        |asked| asked.body = asked.body.replace("%F0%9F%98%80", "%00"),
        &["all other characters may be in a topic"],
    ),
    asks(
        "knows the first topic only",
        |asked| {
            if let Some((first, others)) = asked.body.split_once("&topic=") {
                asked.body = format!("{first}&{}", others.replace("topic=", "x="));
            }
        },
        &[
            "who listens to any of its topics gets an update",
            "no topic, canonical or alternate, is exactly `*`",
        ],
    ),
    asks(
        "compares its own namespace as it is written",
        |asked| {
            if !asked.body.contains("topic=%2F.well-known%2Fmercure") {
                asked.body = asked.body.replace("well-known", "x").replace("mercure", "x");
            }
        },
        &["no topic addresses the hub's own namespace, in whatever spelling"],
    ),
    asks(
        "reserves all that begins like its path",
        |asked| {
            let path = "%2F.well-known%2Fmercure";
            asked.body = asked.body.replace(path, &format!("{path}%2F"));
        },
        &["what only looks like it does not"],
    ),
    asks(
        "lets publishers forge its own events",
        |asked| asked.body = asked.body.replace("type=mercure", "type=mercury"),
        &["`type` is not `mercure`"],
    ),
    asks(
        "gives ids that publishers gave before",
        |asked| asked.body = asked.body.replace("&data=x", "&data=x&id=urn:1"),
        &["an id that the hub gives is an IRI, or a fragment, and no other update's"],
    ),
    asks(
        "takes everything for a form",
        |asked| asked.set("Content-Type", Some("application/x-www-form-urlencoded")),
        &["a publication is a form, and nothing else", "a body is a form"],
    ),
    asks(
        "takes no charset",
        |asked| {
            if asked.field("Content-Type").is_some_and(|it| it.contains("charset")) {
                asked.set("Content-Type", Some("text/plain"));
            }
        },
        &["a form may say its charset, and its media type has no case"],
    ),
    asks(
        "refuses fields that it does not know",
        |asked| asked.body = asked.body.replace("unknown", "retry=x&"),
        &["fields that are not known are ignored"],
    ),
];

/// A block without the field of this name.
fn without(block: &str, name: &str) -> String {
    let is_other = |line: &&str| !line.starts_with(&format!("{name}:"));
    block.split_inclusive('\n').filter(is_other).collect()
}

fn status(answer: &mut Message, from: &str, to: &str) {
    if answer.status() == from {
        answer.set_status(to);
    }
}

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
