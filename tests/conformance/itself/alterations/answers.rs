//! Hubs whose answers are not what they should be.

use super::{Message, Wrong, answers};
use crate::common::hub::AUDIENCE;

pub(super) const WRONGS: &[Wrong] = &[
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
];

fn status(answer: &mut Message, from: &str, to: &str) {
    if answer.status() == from {
        answer.set_status(to);
    }
}
