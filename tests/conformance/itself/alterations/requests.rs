//! Hubs that do not see what they are asked for, or see something else.

use super::{Wrong, asks};
use crate::{common::tokens, itself::wrong::PATIENCE};

pub(super) const WRONGS: &[Wrong] = &[
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
                std::thread::sleep(PATIENCE * 2);
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
