//! Tokens: what makes one valid, what it grants, and what clients are told when it is not
//! (draft-08 #authorization, RFC 6750).

use std::{
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::{
    common::{
        client::{Answer, Connection, Stream, encode, publication, publish, refused, request},
        hub::{AUDIENCE, Driver, Hub, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup, free_port},
        tokens::{self, HEADER, claims, now, sign, sign_texts},
    },
    on_both_drivers,
};

on_both_drivers!(
    valid_tokens_are_taken,
    invalid_tokens_are_refused_without_a_reason,
    keys_that_a_token_brings_along_are_not_used,
    malformed_presentations_are_requests_gone_wrong,
    without_a_token_there_is_no_error,
    anonymous_subscribers_are_a_setting,
    every_topic_must_be_granted_to_a_publisher,
    private_updates_reach_those_with_a_grant,
    dates_have_fractions,
    leeway_moves_dates,
    no_event_comes_after_a_token_has_expired,
    a_token_that_expires_during_the_look_up_brings_nothing,
    a_token_that_expires_during_the_body_publishes_nothing,
    a_verdict_is_nothing_without_the_clock,
    the_roles_have_keys_of_their_own,
    keys_without_an_issuer_take_any_issuer,
    keys_may_be_rotated,
    issuers_are_kept_apart,
    a_token_may_grant_a_thousand_topics,
);

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn as_publisher(hub: &Hub, token: &str) -> Answer {
    request(hub.addr, &publication(token, &[("topic", "a")]))
}

/// The status of a subscription.
fn as_subscriber(hub: &Hub, field: &str) -> Answer {
    let sent = format!("GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n{field}\r\n");
    let mut connection = Connection::open(hub.addr);
    let head = connection.send(sent).answer_to_head();
    if head.status == 200 { head } else { refused(hub.addr, "match=a", field) }
}

/// The answer to a token that fails: both roles are told the same, and nothing but this.
fn assert_challenge(answer: &Answer, status: u16, challenge: &str, what: &str) {
    assert_eq!(answer.status, status, "{what} {answer:?}");
    assert_eq!(
        answer.field("www-authenticate").unwrap(),
        format!("{challenge}{METADATA}"),
        "{what}"
    );
    assert_eq!(answer.field("link"), Some("</.well-known/mercure>; rel=\"mercure\""));
    // The reason is for the operator only.
    assert_eq!(answer.detail(), "", "{what} {answer:?}");
}

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\", ";
const INVALID_REQUEST: &str = "Bearer error=\"invalid_request\", ";
const INSUFFICIENT_SCOPE: &str = "Bearer error=\"insufficient_scope\", ";
/// "The challenge SHOULD include the `resource_metadata` parameter."
const METADATA: &str =
    "resource_metadata=\"http://hub/.well-known/oauth-protected-resource/.well-known/mercure\"";

/// The claims of a valid token with one of them replaced, or removed.
fn with(action: &str, name: &str, value: Option<Value>) -> Value {
    let mut claims = claims(action, &["*"]);
    match value {
        Some(value) => claims[name] = value,
        None => drop(claims.as_object_mut().unwrap().remove(name)),
    }
    claims
}

fn key(action: &str) -> &'static str {
    if action == "publish" { PUBLISHER_KEY } else { SUBSCRIBER_KEY }
}

/// A token for each role, and what the hub says to it.
fn answers(hub: &Hub, token: impl Fn(&str) -> String) -> [Answer; 2] {
    [as_publisher(hub, &token("publish")), as_subscriber(hub, &bearer(&token("subscribe")))]
}

fn valid_tokens_are_taken(driver: Driver) {
    let hub = Setup::new(driver).start();
    for header in [
        HEADER,
        r#"{"typ":"AT+JWT","alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"application/at+jwt"}"#,
        r#"{"alg":"HS256","typ":"Application/AT+jwt","kid":"unknown","x5u":"https://x"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","jwk":{"kty":"oct","k":"AAAA"},"x":[1,{"y":null}]}"#,
    ] {
        for answer in answers(&hub, |action| {
            let claims = claims(action, &["*"]).to_string();
            sign_texts(header, &claims, key(action), Algorithm::HS256)
        }) {
            assert_eq!(answer.status, 200, "{header} {answer:?}");
        }
    }
    for (name, value) in [
        ("aud", Some(json!([AUDIENCE]))),
        ("aud", Some(json!(["x", AUDIENCE, "y"]))),
        ("nbf", Some(json!(now() - 1.0))),
        ("nbf", Some(json!(0))),
        ("nbf", Some(json!(-1.5))),
        ("exp", Some(json!(1e300))),
        ("iat", Some(json!("whenever"))),
        ("iat", None),
        ("sub", None),
        ("client_id", None),
        ("jti", None),
        ("mercure", Some(json!({"publish": [], "subscribe": []}))),
        ("scope", Some(json!("x y"))),
    ] {
        for answer in answers(&hub, |action| sign(&with(action, name, value.clone()), key(action)))
        {
            assert_eq!(answer.status, 200, "{name} {value:?} {answer:?}");
        }
    }
    // Without grants a subscriber has access to what is public.
    for details in [None, Some(Value::Null), Some(json!([])), Some(json!([{"type": "other"}]))] {
        let token = sign(&with("subscribe", "authorization_details", details), SUBSCRIBER_KEY);
        assert_eq!(as_subscriber(&hub, &bearer(&token)).status, 200);
    }
}

fn invalid_tokens_are_refused_without_a_reason(driver: Driver) {
    // Anonymous subscribers are welcome, and a token that fails makes no anonymous one.
    let hub = Setup::new(driver).start();
    let detail = "https://mercure.rocks/authorization-detail";
    let one = |detail: Value| Some(json!([detail]));
    let grant =
        json!({"type": detail, "actions": ["publish", "subscribe"], "topics": [{"match": "a"}]});
    let broken = |name: &str, value: Value| {
        let mut grant = grant.clone();
        grant[name] = value;
        Some(json!([grant]))
    };
    for (name, value) in [
        ("iss", None),
        ("iss", Some(json!("https://other.example"))),
        ("iss", Some(json!(format!("{ISSUER}/")))),
        ("iss", Some(json!([ISSUER]))),
        ("iss", Some(json!(null))),
        ("aud", None),
        ("aud", Some(json!("https://hub.example/"))),
        ("aud", Some(json!(AUDIENCE.to_uppercase()))),
        ("aud", Some(json!([]))),
        ("aud", Some(json!(["x"]))),
        ("aud", Some(json!([AUDIENCE, 1]))),
        ("aud", Some(json!({"a": AUDIENCE}))),
        ("aud", Some(json!(null))),
        ("exp", None),
        ("exp", Some(json!(null))),
        ("exp", Some(json!((now() + 3600.0).to_string()))),
        ("exp", Some(json!([now() + 3600.0]))),
        ("exp", Some(json!(now() - 0.01))),
        ("exp", Some(json!(now() as u64 - 1))),
        ("exp", Some(json!(0))),
        ("exp", Some(json!(-1e300))),
        ("nbf", Some(json!(now() + 60.0))),
        ("nbf", Some(json!(1e300))),
        ("nbf", Some(json!("0"))),
        ("nbf", Some(json!(null))),
        ("ISS", Some(json!(ISSUER))),
        ("Exp", Some(json!(0))),
        ("authorization_Details", Some(json!([]))),
        ("authorization_details", Some(json!({}))),
        ("authorization_details", Some(json!("x"))),
        ("authorization_details", Some(json!([1]))),
        ("authorization_details", one(json!({}))),
        ("authorization_details", one(json!({"type": 1}))),
        ("authorization_details", one(json!({"type": detail}))),
        ("authorization_details", broken("actions", json!([]))),
        ("authorization_details", broken("actions", json!("publish"))),
        ("authorization_details", broken("actions", json!(["publish", "subscribe", 1]))),
        ("authorization_details", broken("topics", json!([]))),
        ("authorization_details", broken("topics", json!("a"))),
        ("authorization_details", broken("topics", json!(["a"]))),
        ("authorization_details", broken("topics", json!([{"match": "a"}, {}]))),
        ("authorization_details", broken("topics", json!([{"match": 1}]))),
        ("authorization_details", broken("topics", json!([{"match": "a", "match_type": null}]))),
        ("authorization_details", broken("topics", json!([{"match": "a", "match_type": "Exact"}]))),
        (
            "authorization_details",
            broken("topics", json!([{"match": "a", "match_type": "regexp"}])),
        ),
        ("authorization_details", broken("topics", json!([{"Match": "a", "match": "a"}]))),
        ("authorization_details", broken("topics", json!([{"match": "a\n"}]))),
        ("authorization_details", broken("payload", json!("x"))),
        ("authorization_details", broken("payload", json!(null))),
        ("authorization_details", broken("Actions", json!(["publish"]))),
        // One bad one spoils all.
        ("authorization_details", Some(json!([grant, {"type": detail}]))),
    ] {
        for answer in answers(&hub, |action| sign(&with(action, name, value.clone()), key(action)))
        {
            assert_challenge(&answer, 401, INVALID_TOKEN, &format!("{name} {value:?}"));
            assert!(!answer.keeps_alive(), "guessing costs a connection each time");
        }
    }
    let action_claims = |action: &str| claims(action, &["*"]).to_string();
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"at+jwt2"}"#,
        r#"{"alg":"HS256","typ":"text/at+jwt"}"#,
        r#"{"alg":"HS256","typ":["at+jwt"]}"#,
        r#"{"alg":"none","typ":"at+jwt"}"#,
        r#"{"alg":"None","typ":"at+jwt"}"#,
        r#"{"alg":"hs256","typ":"at+jwt"}"#,
        r#"{"alg":"HS384","typ":"at+jwt"}"#,
        r#"{"alg":"RS256","typ":"at+jwt"}"#,
        r#"{"alg":"","typ":"at+jwt"}"#,
        r#"{"alg":null,"typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","crit":["exp"]}"#,
        r#"{"alg":"HS256","typ":"at+jwt","crit":[]}"#,
        r#"{"alg":"HS256","typ":"at+jwt","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","ALG":"none","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"} x"#,
        r#"["HS256","at+jwt"]"#,
        "",
        "{",
    ] {
        for answer in answers(&hub, |action| {
            sign_texts(header, &action_claims(action), key(action), Algorithm::HS256)
        }) {
            assert_challenge(&answer, 401, INVALID_TOKEN, header);
        }
    }
    for change in ["", "{}", "[]", "null", "{\"exp\":", "\u{0}", "twice", "deep"] {
        for answer in answers(&hub, |action| {
            let valid = action_claims(action);
            let deep = format!(
                "{},\"x\":{}{}}}",
                &valid[..valid.len() - 1],
                "[".repeat(9000),
                "]".repeat(9000)
            );
            let claims = match change {
                "twice" => format!("{},\"exp\":99999999999}}", &valid[..valid.len() - 1]),
                "deep" => deep,
                other => other.to_owned(),
            };
            sign_texts(HEADER, &claims, key(action), Algorithm::HS256)
        }) {
            assert_challenge(&answer, 401, INVALID_TOKEN, change);
        }
    }
    let valid = |action: &str| sign(&claims(action, &["*"]), key(action));
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 7] = [
        ("no signature", |token| token[..=token.rfind('.').unwrap()].to_owned()),
        ("half a signature", |token| token[..token.len() - 20].to_owned()),
        ("a signature with more behind", |token| token + "AAAA"),
        ("padding", |token| token + "="),
        ("another header", |token| {
            token.replacen(
                &token[..token.find('.').unwrap()],
                "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0",
                1,
            )
        }),
        ("a changed payload", |token| {
            let at = token.find('.').unwrap() + 10;
            let byte = if &token[at..=at] == "A" { "B" } else { "A" };
            format!("{}{byte}{}", &token[..at], &token[at + 1..])
        }),
        ("the standard alphabet", |token| token.replace(['-', '_'], "+") + "+/"),
    ];
    for (what, change) in changes {
        for answer in answers(&hub, |action| change(valid(action))) {
            assert_challenge(&answer, 401, INVALID_TOKEN, what);
        }
    }
    // Wrong keys: the other role's, nobody's, the empty one, and another algorithm of the right.
    for answer in answers(&hub, |action| {
        sign(
            &claims(action, &["*"]),
            if action == "publish" { SUBSCRIBER_KEY } else { PUBLISHER_KEY },
        )
    }) {
        assert_challenge(&answer, 401, INVALID_TOKEN, "the other role's key");
    }
    for wrong in ["", "wrong", &PUBLISHER_KEY[1..]] {
        for answer in answers(&hub, |action| sign(&claims(action, &["*"]), wrong)) {
            assert_challenge(&answer, 401, INVALID_TOKEN, wrong);
        }
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        for answer in answers(&hub, |action| {
            let header = HEADER.replace("HS256", &format!("{algorithm:?}"));
            sign_texts(&header, &action_claims(action), key(action), algorithm)
        }) {
            assert_challenge(&answer, 401, INVALID_TOKEN, "another algorithm");
        }
    }
    // The operator is told the reasons, and never the tokens.
    hub.wait_for_log("alg is `HS512`");
    for reason in ["expired", "aud is", "unknown iss", "signature", "crit", "typ is `JWT`", "twice"]
    {
        hub.wait_for_log(reason);
    }
    assert!(!hub.log().contains("eyJ"), "{}", hub.log());
}

/// "MUST NOT use key material supplied by the token itself."
fn keys_that_a_token_brings_along_are_not_used(driver: Driver) {
    let hub = Setup::new(driver).start();
    const OWN: &str = "a key of somebody's own 0123456789 0123456789";
    let jwk = json!({"kty": "oct", "alg": "HS256", "kid": "own", "k": URL_SAFE_NO_PAD.encode(OWN)});
    let jwks = format!("data:application/json,{}", json!({ "keys": [jwk] }));
    for brought in [
        json!({ "jwk": jwk }),
        json!({ "jwk": jwk, "kid": "own" }),
        json!({ "jku": jwks, "kid": "own" }),
        json!({ "x5u": jwks, "x5c": [URL_SAFE_NO_PAD.encode(OWN)] }),
    ] {
        let mut header: Value = serde_json::from_str(HEADER).unwrap();
        header.as_object_mut().unwrap().extend(brought.as_object().unwrap().clone());
        let token = |action: &str, key: &str| {
            let claims = claims(action, &["*"]).to_string();
            sign_texts(&header.to_string(), &claims, key, Algorithm::HS256)
        };
        for answer in answers(&hub, |action| token(action, OWN)) {
            assert_challenge(&answer, 401, INVALID_TOKEN, &header.to_string());
        }
        // Nor does it harm a token that one of the hub's keys signed.
        for answer in answers(&hub, |action| token(action, key(action))) {
            assert_eq!(answer.status, 200, "{header} {answer:?}");
        }
    }
}

fn malformed_presentations_are_requests_gone_wrong(driver: Driver) {
    let hub = Setup::new(driver).start();
    for role in ["publish", "subscribe"] {
        let valid = sign(&claims(role, &["*"]), key(role));
        for field in [
            "Authorization:\r\n".to_owned(),
            "Authorization: Bearer\r\n".to_owned(),
            "Authorization: Bearer \r\n".to_owned(),
            format!("Authorization: {valid}\r\n"),
            format!("Authorization: Basic {valid}\r\n"),
            format!("Authorization: Bearer:{valid}\r\n"),
            format!("Authorization: Bearer\"{valid}\"\r\n"),
            format!("Authorization: Bearer {valid} x\r\n"),
            format!("Authorization: Bearer {valid}, x\r\n"),
            format!("Authorization: Bearer Bearer {valid}\r\n"),
            format!("Authorization: Bearer token={valid}\r\n").replace('.', "!"),
            "Authorization: Bearer x\r\n".to_owned(),
            "Authorization: Bearer a.b\r\n".to_owned(),
            "Authorization: Bearer a.b.c.d\r\n".to_owned(),
            "Authorization: Bearer a.b.c.d.e\r\n".to_owned(),
            "Authorization: Bearer \u{e9}.a.b\r\n".to_owned(),
            format!("{0}{0}", bearer(&valid)),
            format!("{}Authorization: Basic x\r\n", bearer(&valid)),
        ] {
            let answer = if role == "subscribe" {
                as_subscriber(&hub, &field)
            } else {
                let sent = publication("x", &[("topic", "a")]);
                request(hub.addr, &sent.replace("Authorization: Bearer x\r\n", &field))
            };
            assert_challenge(&answer, 400, INVALID_REQUEST, &format!("{role} {field}"));
        }
    }
    // A token elsewhere is none.
    let valid = tokens::subscriber(&["*"]);
    let query = format!("match=a&access_token={valid}&authorization={valid}");
    let mut stream = Stream::open(hub.addr, &query, "");
    let token = tokens::publisher(&["*"]);
    publish(hub.addr, &token, &[("topic", "a"), ("private", "on"), ("data", "no")]);
    publish(hub.addr, &token, &[("topic", "a"), ("data", "yes")]);
    assert_eq!(stream.data(1), ["yes"]);
    let form = [("topic", "a"), ("access_token", token.as_str())];
    let sent = publication("x", &form).replace("Authorization: Bearer x\r\n", "");
    assert_eq!(request(hub.addr, &sent).status, 401);
}

/// "MUST NOT include an error code".
fn without_a_token_there_is_no_error(driver: Driver) {
    let hub = Setup::new(driver).directive("anonymous off").start();
    let sent = publication("x", &[("topic", "a")]).replace("Authorization: Bearer x\r\n", "");
    for answer in [request(hub.addr, &sent), as_subscriber(&hub, "")] {
        assert_challenge(&answer, 401, "Bearer ", "no token");
    }
}

fn anonymous_subscribers_are_a_setting(driver: Driver) {
    for (value, status) in [("anonymous", 200), ("anonymous on", 200), ("anonymous off", 401)] {
        let hub = Setup::new(driver).directive(value).start();
        assert_eq!(as_subscriber(&hub, "").status, status, "{value}");
        // What the request asks for is nobody's business before.
        let answer = refused(hub.addr, "topic=a", "");
        assert_eq!(answer.status, if status == 200 { 400 } else { 401 }, "{value}");
        let token = tokens::subscriber(&["x"]);
        assert_eq!(as_subscriber(&hub, &bearer(&token)).status, 200);
    }
}

fn every_topic_must_be_granted_to_a_publisher(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=*", "");
    for (grants, topics, status) in [
        (&["a"][..], &["a"][..], 200),
        (&["a", "b"], &["b", "a", "b"], 200),
        (&["*"], &["x", "y"], 200),
        (&["a"], &["b"], 403),
        (&["a"], &["a", "b"], 403),
        (&["a"], &["b", "a"], 403),
        (&["a"], &["A"], 403),
        (&["a"], &["a/b"], 403),
        (&["a*"], &["ab"], 403),
        (&[""], &["a"], 403),
    ] {
        let token = tokens::publisher(grants);
        let fields: Vec<_> = topics.iter().map(|topic| ("topic", *topic)).collect();
        let answer = request(hub.addr, &publication(&token, &fields));
        assert_eq!(answer.status, status, "{grants:?} {topics:?} {answer:?}");
        if status == 200 {
            stream.next().unwrap();
        } else {
            assert_challenge(&answer, 403, INSUFFICIENT_SCOPE, "no grant");
            assert!(answer.keeps_alive());
        }
    }
    hub.wait_for_log("does not grant `publish` on the topic");
    // Grants to subscribe, and of other kinds, are none.
    for claims in [
        claims("subscribe", &["*"]),
        claims("Publish", &["*"]),
        claims("publish ", &["*"]),
        with("publish", "authorization_details", None),
        with(
            "publish",
            "authorization_details",
            Some(json!([{"type": "x", "actions": ["publish"]}])),
        ),
    ] {
        let answer = as_publisher(&hub, &sign(&claims, PUBLISHER_KEY));
        assert_challenge(&answer, 403, INSUFFICIENT_SCOPE, &claims.to_string());
    }
    // What no token could allow is a mistake of the request, not of the token.
    let answer = request(
        hub.addr,
        &publication(&tokens::publisher(&["x"]), &[("topic", "/.well-known/mercure")]),
    );
    assert_eq!(answer.status, 400);
    assert!(stream.is_silent_for(Duration::from_millis(50)));
}

fn private_updates_reach_those_with_a_grant(driver: Driver) {
    let hub = Setup::new(driver).start();
    let publisher = tokens::publisher(&["*"]);
    let grants: [&[&str]; 6] = [&["*"], &["a"], &["b"], &["a", "b"], &["c"], &[""]];
    let open = |query: &str| -> Vec<Stream> {
        let mut streams: Vec<_> = grants
            .iter()
            .map(|grants| Stream::open(hub.addr, query, &bearer(&tokens::subscriber(grants))))
            .collect();
        streams.push(Stream::open(hub.addr, query, ""));
        streams
    };
    let mut live_a = open("match=a");
    let mut live_any = open("match=*");
    let updates: [(&[&str], bool); 6] = [
        (&["a"], true),
        (&["b"], true),
        (&["a", "b"], true),
        (&["c", "a"], true),
        (&["d"], true),
        (&["a"], false),
    ];
    let granted = |grants: &[&str], topics: &[&str]| {
        grants.contains(&"*") || topics.iter().any(|topic| grants.contains(topic))
    };
    for (number, (topics, private)) in updates.iter().enumerate() {
        let data = number.to_string();
        let mut fields: Vec<_> = topics.iter().map(|topic| ("topic", *topic)).collect();
        fields.push(("data", &data));
        if *private {
            fields.push(("private", "on"));
        }
        publish(hub.addr, &publisher, &fields);
    }
    let mut replayed_a = open("match=a&last_event_id=earliest");
    let mut replayed_any = open("match=*&last_event_id=earliest");
    for (only_a, streams) in [
        (true, &mut live_a),
        (false, &mut live_any),
        (true, &mut replayed_a),
        (false, &mut replayed_any),
    ] {
        for (index, stream) in streams.iter_mut().enumerate() {
            let grants = grants.get(index).copied().unwrap_or_default();
            let expected: Vec<String> = (0..updates.len())
                .filter(|number| {
                    let (topics, private) = updates[*number];
                    // The grant may be for another topic than the one that is listened to.
                    (!only_a || topics.contains(&"a")) && (!private || granted(grants, topics))
                })
                .map(|number| number.to_string())
                .collect();
            assert_eq!(stream.data(expected.len()), expected, "{grants:?}, only a: {only_a}");
            assert!(stream.is_silent_for(Duration::from_millis(10)), "{grants:?}");
        }
    }
}

fn dates_have_fractions(driver: Driver) {
    let hub = Setup::new(driver).start();
    let at = |seconds: f64| Some(json!(now() + seconds));
    for answer in answers(&hub, |action| sign(&with(action, "exp", at(0.9)), key(action))) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for answer in answers(&hub, |action| sign(&with(action, "nbf", at(0.9)), key(action))) {
        assert_challenge(&answer, 401, INVALID_TOKEN, "not yet");
    }
    for answer in answers(&hub, |action| sign(&with(action, "nbf", at(0.0)), key(action))) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn leeway_moves_dates(driver: Driver) {
    let hub = Setup::new(driver).directive("leeway 10s").start();
    for (name, seconds, status) in
        [("exp", -8.0, 200), ("exp", -12.0, 401), ("nbf", 8.0, 200), ("nbf", 12.0, 401)]
    {
        for answer in answers(&hub, |action| {
            sign(&with(action, name, Some(json!(now() + seconds))), key(action))
        }) {
            assert_eq!(answer.status, status, "{name} {seconds}");
        }
    }
}

/// A subscriber with a token that expires in so many seconds: how long the stream was open, and
/// when its last event came.
fn watch_expiry(hub: &Hub, life: f64, version: &str) -> thread::JoinHandle<(f64, f64, bool)> {
    let exp = now() + life;
    let token = sign(&with("subscribe", "exp", Some(json!(exp))), SUBSCRIBER_KEY);
    let request =
        format!("GET /.well-known/mercure?match=a {version}\r\nHost: x\r\n{}\r\n", bearer(&token));
    let start = Instant::now();
    let mut stream = Stream::from_request(hub.addr, &request);
    thread::spawn(move || {
        let mut last = f64::MIN;
        while stream.next().is_some() {
            last = now() - exp;
        }
        let lived = start.elapsed().as_secs_f64();
        (lived, last, stream.end().1)
    })
}

fn no_event_comes_after_a_token_has_expired(driver: Driver) {
    let hub = Setup::new(driver).start();
    let streams: Vec<_> = (0..24)
        .map(|number| {
            let version = if number % 4 == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
            let life = 1.0 + f64::from(number % 3) / 2.0;
            (life, watch_expiry(&hub, life, version))
        })
        .collect();
    // A steady flow, so that there is always something that could come too late.
    let publisher = tokens::publisher(&["*"]);
    let mut connection = Connection::open(hub.addr);
    let until = Instant::now() + Duration::from_millis(2500);
    let sent = publication(&publisher, &[("topic", "a"), ("private", "on")]);
    while Instant::now() < until {
        assert_eq!(connection.send(&sent).answer().status, 200);
        thread::sleep(Duration::from_millis(1));
    }
    for (life, stream) in streams {
        let (lived, last, proper) = stream.join().unwrap();
        assert!(proper, "cut off");
        // A last event is still on its way to a busy reader; the hub has a margin of its own.
        assert!(last < 0.1, "an event {last} s after exp");
        assert!((life * 0.8 - 0.15..life + 0.2).contains(&lived), "{lived} of {life}");
    }
}

/// The time that a subscriber waits for the history counts as well.
fn a_token_that_expires_during_the_look_up_brings_nothing(driver: Driver) {
    let hub =
        Setup::new(driver).env("PETASOS_WORKERS", "1").directive("replay_concurrency 1").start();
    // A history that takes long to look through, and many who want it looked through.
    let publisher = tokens::publisher(&["*"]);
    let topics: Vec<String> = (0..700).map(|number| format!("topic {number}")).collect();
    let fields: Vec<_> = topics.iter().map(|topic| ("topic", topic.as_str())).collect();
    let mut connection = Connection::open(hub.addr);
    let sent = publication(&publisher, &fields);
    for _ in 0..300 {
        assert_eq!(connection.send(&sent).answer().status, 200);
    }
    let query: String = (0..1000).map(|number| format!("match=topic+x{number}&")).collect();
    let others: Vec<_> = (0..60)
        .map(|_| {
            let mut other = Connection::open(hub.addr);
            other.send(format!(
                "GET /.well-known/mercure?{query}last_event_id=earliest HTTP/1.1\r\nHost: x\r\n\r\n"
            ));
            other
        })
        .collect();
    let exp = now() + 0.5;
    let token = sign(&with("subscribe", "exp", Some(json!(exp))), SUBSCRIBER_KEY);
    let mut stream =
        Stream::open(hub.addr, "match=topic+1&last_event_id=earliest", &bearer(&token));
    let mut late = f64::MIN;
    while stream.next().is_some() {
        late = now() - exp;
    }
    assert!(late < 0.1, "an event {late} s after exp");
    drop(others);
}

/// A body may take its time, but the token counts when the update is made of it.
fn a_token_that_expires_during_the_body_publishes_nothing(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = sign(&with("publish", "exp", Some(json!(now() + 0.6))), PUBLISHER_KEY);
    let sent = publication(&token, &[("topic", "a"), ("data", "x")]);
    let (first, last) = sent.split_at(sent.len() - 1);
    let mut connection = Connection::open(hub.addr);
    connection.send(first);
    thread::sleep(Duration::from_millis(700));
    let answer = connection.send(last).answer();
    assert_challenge(&answer, 401, INVALID_TOKEN, "expired meanwhile");
    assert!(stream.is_silent_for(Duration::from_millis(50)));
}

fn a_verdict_is_nothing_without_the_clock(driver: Driver) {
    // One worker, so that the second request meets the first one's verdict.
    let hub = Setup::new(driver).env("PETASOS_WORKERS", "1").start();
    let short = |action: &str| with(action, "exp", Some(json!(now() + 1.0)));
    let (publisher, subscriber) =
        (sign(&short("publish"), PUBLISHER_KEY), sign(&short("subscribe"), SUBSCRIBER_KEY));
    for _ in 0..3 {
        assert_eq!(as_publisher(&hub, &publisher).status, 200);
        assert_eq!(as_subscriber(&hub, &bearer(&subscriber)).status, 200);
    }
    thread::sleep(Duration::from_millis(1050));
    for _ in 0..3 {
        assert_challenge(&as_publisher(&hub, &publisher), 401, INVALID_TOKEN, "expired");
        let answer = as_subscriber(&hub, &bearer(&subscriber));
        assert_challenge(&answer, 401, INVALID_TOKEN, "expired");
    }
}

fn the_roles_have_keys_of_their_own(driver: Driver) {
    let hub = Setup::new(driver).env("PETASOS_WORKERS", "1").start();
    // One token that claims both: it counts for the role whose key signed it, whatever was
    // remembered about it before.
    let mut both = claims("publish", &["*"]);
    both["authorization_details"][0]["actions"] = json!(["publish", "subscribe"]);
    let publisher = sign(&both, PUBLISHER_KEY);
    let subscriber = sign(&both, SUBSCRIBER_KEY);
    for _ in 0..3 {
        assert_eq!(as_publisher(&hub, &publisher).status, 200);
        assert_eq!(as_subscriber(&hub, &bearer(&publisher)).status, 401);
        assert_eq!(as_subscriber(&hub, &bearer(&subscriber)).status, 200);
        assert_eq!(as_publisher(&hub, &subscriber).status, 401);
    }
    // With one key for both it is one token for both.
    let hub = Setup::new(driver)
        .directive(&format!(
            "issuer https://one.example {{\n publisher {{\n jwt {PUBLISHER_KEY}\n }}\n \
             subscriber {{\n jwt {PUBLISHER_KEY}\n }}\n}}"
        ))
        .env("PETASOS_WORKERS", "1")
        .start();
    both["iss"] = "https://one.example".into();
    let token = sign(&both, PUBLISHER_KEY);
    for _ in 0..3 {
        assert_eq!(as_publisher(&hub, &token).status, 200);
        assert_eq!(as_subscriber(&hub, &bearer(&token)).status, 200);
    }
}

/// Decision: `iss` may be anything, `exp` and `aud` count where they are.
fn keys_without_an_issuer_take_any_issuer(driver: Driver) {
    let hub = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY)
        .env("ADDR", &format!("127.0.0.1:{}", free_port()))
        .start();
    // As the hub is configured, whatever host a request names.
    let own_audience = format!("http://{}/.well-known/mercure", hub.addr);
    let base = |action: &str| {
        let mut claims = claims(action, &["*"]);
        claims["aud"] = own_audience.as_str().into();
        claims
    };
    for (name, value, status) in [
        ("iss", Some(json!("anybody")), 200),
        ("iss", None, 200),
        ("exp", None, 200),
        ("aud", None, 200),
        // By way of a proxy that ends TLS.
        ("aud", Some(json!(own_audience.replace("http:", "https:"))), 200),
        ("aud", Some(json!(own_audience.replace("http:", "ftp:"))), 401),
        ("aud", Some(json!(own_audience.replace("http:", ""))), 401),
        ("aud", Some(json!("https://other.example")), 401),
        ("exp", Some(json!(now() - 1.0)), 401),
        ("nbf", Some(json!(now() + 60.0)), 401),
        ("exp", Some(json!("x")), 401),
    ] {
        for answer in answers(&hub, |action| {
            let mut claims = base(action);
            match &value {
                Some(value) => claims[name] = value.clone(),
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
            sign(&claims, key(action))
        }) {
            assert_eq!(answer.status, status, "{name} {value:?} {answer:?}");
        }
    }
    for answer in answers(&hub, |action| sign(&base(action), "wrong")) {
        assert_challenge(&answer, 401, INVALID_TOKEN, "wrong key");
    }
    assert_eq!(as_subscriber(&hub, "").status, 401, "anonymous is off");
    hub.wait_for_log("keys without an issuer");
}

fn keys_may_be_rotated(driver: Driver) {
    let hub = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_JWT_KEY", "the new key 0123456789 0123456789 0123456789")
        .env("MERCURE_JWT_KEY_PREVIOUS", "the old key 0123456789 0123456789 0123456789")
        .start();
    for (key, status) in [("new", 200), ("old", 200), ("lost", 401)] {
        let key = format!("the {key} key 0123456789 0123456789 0123456789");
        for answer in answers(&hub, |action| sign(&with(action, "aud", None), &key)) {
            assert_eq!(answer.status, status, "{key}");
        }
    }
}

/// "Never a pooled set spanning issuers".
fn issuers_are_kept_apart(driver: Driver) {
    let other_key = "the key of the other issuer 0123456789";
    let hub = Setup::new(driver)
        .directive(&format!("issuer urn:other {{\n publisher {{\n jwt {other_key:?}\n }}\n}}"))
        .start();
    let of = |issuer: &str| with("publish", "iss", Some(json!(issuer)));
    for (issuer, key, status) in [
        (ISSUER, PUBLISHER_KEY, 200),
        ("urn:other", other_key, 200),
        (ISSUER, other_key, 401),
        ("urn:other", PUBLISHER_KEY, 401),
        ("urn:unknown", PUBLISHER_KEY, 401),
    ] {
        assert_eq!(as_publisher(&hub, &sign(&of(issuer), key)).status, status, "{issuer} {key}");
    }
    // An issuer without a key for a role has no say in it.
    let mut claims = of("urn:other");
    claims["authorization_details"][0]["actions"] = json!(["subscribe"]);
    assert_eq!(as_subscriber(&hub, &bearer(&sign(&claims, other_key))).status, 401);
}

fn a_token_may_grant_a_thousand_topics(driver: Driver) {
    let hub = Setup::new(driver).start();
    let names: Vec<String> =
        (0..1001).map(|number| format!("https://example.com/users/{number}/books")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let subscriber = tokens::subscriber(&names[..1000]);
    let mut stream = Stream::open(hub.addr, "match=*", &bearer(&subscriber));
    let publisher = tokens::publisher(&names[..1000]);
    for number in [0, 500, 999] {
        let fields = [("topic", names[number]), ("data", names[number]), ("private", "on")];
        publish(hub.addr, &publisher, &fields);
        assert_eq!(stream.data(1), [names[number]]);
    }
    let field = bearer(&tokens::subscriber(&names));
    assert_challenge(&as_subscriber(&hub, &field), 401, INVALID_TOKEN, "1,001");
    // As long as a topic may be.
    let long = encode(&"\u{e9}".repeat(1365));
    let token = tokens::publisher(&[&long]);
    let answer = request(hub.addr, &publication(&token, &[("topic", &long)]));
    assert_eq!(answer.status, 200, "{answer:?}");
}
