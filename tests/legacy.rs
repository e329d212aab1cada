//! Clients of 0.x, on hubs that are configured as theirs were: keys, and no issuer.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::{
    common::{
        client::{Connection, Stream, encode, publication, publish, refused, request},
        hub::{AUDIENCE, Driver, Hub, Setup},
        tokens::{self, TUTORIAL, TUTORIAL_KEY as KEY},
    },
    on_both_drivers,
};

on_both_drivers!(
    what_tutorials_say_works,
    private_updates_need_a_selector_that_matches,
    a_token_may_be_in_the_url_or_in_the_old_cookie,
    beside_a_field_the_url_is_not_looked_at,
    nobody_is_anonymous_by_a_bad_token,
    a_thousand_selectors_are_one_stream,
    who_is_turned_away_is_told_where_it_is_in_the_old_field_too,
    both_generations_meet_on_one_hub,
    who_resumes_is_told_where_in_the_old_field_too,
    tokens_need_no_more_than_they_did,
    it_can_be_turned_off,
    it_can_be_turned_on_beside_an_issuer,
    the_oldest_protocol_is_spoken_where_it_is_asked_for,
    json_is_published_as_it_is,
);

const SILENCE: Duration = Duration::from_millis(300);

/// Keys for both roles, and nothing else.
fn setup(driver: Driver) -> Setup {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .env("MERCURE_PUBLISHER_JWT_KEY", KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .directive(&format!("resource_identifier {AUDIENCE}"))
}

fn token(claims: &Value) -> String {
    tokens::sign_legacy(claims, KEY)
}

fn subscriber(selectors: &[&str]) -> String {
    token(&json!({ "mercure": { "publish": [], "subscribe": selectors } }))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn status(hub: &Hub, token: &str, fields: &[(&str, &str)]) -> u16 {
    request(hub.addr, &publication(token, fields)).status
}

fn what_tutorials_say_works(driver: Driver) {
    let hub = setup(driver).start();
    let mut stream = Stream::open(hub.addr, "topic=https://example.com/books/1", "");
    let fields = [("topic", "https://example.com/books/1"), ("data", r#"{"status":"updated"}"#)];
    let id = publish(hub.addr, TUTORIAL, &fields);
    let event = stream.next().unwrap();
    assert_eq!((&*event.data, &*event.id), (r#"{"status":"updated"}"#, &*id));
    assert_eq!((&*event.event, &*event.retry), ("", ""), "and nothing else");
    // Templates, several topics, and all of them.
    let queries = [
        ("topic=https://example.com/books/{id}", "https://example.com/books/2", true),
        ("topic=https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D", "https://example.com/books/3", true),
        ("topic=a&topic=/b/{c}{?d}", "/b/1?d=2", true),
        ("topic=/b/{id}", "/b/{id}", true),
        ("topic=/b/{id}", "/b/1/2", false),
        ("topic=/b/{}", "/b/1", false),
        ("topic=/b/{}", "/b/{}", true),
    ];
    for (query, topic, is_matched) in queries {
        let mut stream = Stream::open(hub.addr, query, "");
        publish(hub.addr, TUTORIAL, &[("topic", topic), ("data", "x")]);
        publish(hub.addr, TUTORIAL, &[("topic", "a b"), ("data", "no")]);
        match is_matched {
            true => assert_eq!(stream.data(1), ["x"], "{query} {topic}"),
            false => assert!(stream.is_silent_for(SILENCE), "{query} {topic}"),
        }
    }
    let mut stream = Stream::open(hub.addr, "topic=*", "");
    publish(hub.addr, TUTORIAL, &[("topic", "whatever"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    assert_eq!(refused(hub.addr, "x=y", "").status, 400);
    let log = hub.log();
    assert!(log.contains("clients of 0.x are served"), "{log}");
}

fn private_updates_need_a_selector_that_matches(driver: Driver) {
    let hub = setup(driver).start();
    let query = "topic=/b/1";
    let open = |token: &str| Stream::open(hub.addr, query, &bearer(token));
    let namespaced = json!({
        "https://mercure.rocks/": { "subscribe": ["/b/{id}"] }, "mercure": { "subscribe": [] }
    });
    let objects = json!({ "mercure": { "subscribe": [
        { "match": "x" },
        { "match": "/b/:id", "match_type": "urlpattern" },
        { "match": "/c/{id}", "match_type": "uritemplate" },
    ] } });
    let mut may = [
        open(&subscriber(&["/b/1"])),
        open(&subscriber(&["other", "/b/{id}"])),
        open(&subscriber(&["*"])),
        open(&token(&namespaced)),
        open(&token(&objects)),
    ];
    let mut may_not = [
        Stream::open(hub.addr, query, ""),
        open(&subscriber(&[])),
        open(&subscriber(&["/b/2", "/c/{id}"])),
        open(TUTORIAL),
    ];
    publish(hub.addr, TUTORIAL, &[("topic", "/b/1"), ("data", "secret"), ("private", "on")]);
    publish(hub.addr, TUTORIAL, &[("topic", "/b/1"), ("data", "public")]);
    may.iter_mut().for_each(|stream| assert_eq!(stream.data(2), ["secret", "public"]));
    may_not.iter_mut().for_each(|stream| assert_eq!(stream.data(1), ["public"]));
    // The alternate topic counts too.
    let fields = [("topic", "/x"), ("topic", "/b/1"), ("data", "again"), ("private", "on")];
    publish(hub.addr, TUTORIAL, &fields);
    may.iter_mut().for_each(|stream| assert_eq!(stream.data(1), ["again"]));
    // Every topic has to be granted to who publishes.
    let publisher = token(&json!({ "mercure": { "publish": ["/b/{id}"] } }));
    assert_eq!(status(&hub, &publisher, &[("topic", "/b/1"), ("data", "")]), 200);
    let fields = [("topic", "/b/1"), ("topic", "/c/1"), ("data", "")];
    assert_eq!(status(&hub, &publisher, &fields), 403);
    assert_eq!(status(&hub, &subscriber(&["*"]), &[("topic", "/b/1"), ("data", "")]), 403);
}

fn a_token_may_be_in_the_url_or_in_the_old_cookie(driver: Driver) {
    let hub = setup(driver).directive("publish_origins https://app.example").start();
    let good = subscriber(&["a"]);
    let other = subscriber(&["other"]);
    let in_url = format!("topic=a&authorization={good}");
    let cookie = format!("Cookie: mercureAuthorization={good}\r\n");
    let mut streams = [
        Stream::open(hub.addr, &in_url, ""),
        Stream::open(hub.addr, "topic=a", &cookie),
        // The URL comes before the cookie, and the field before both.
        Stream::open(hub.addr, &in_url, &format!("Cookie: mercureAuthorization={other}\r\n")),
        Stream::open(hub.addr, &format!("topic=a&authorization={other}"), &bearer(&good)),
    ];
    publish(hub.addr, TUTORIAL, &[("topic", "a"), ("data", "secret"), ("private", "on")]);
    streams.iter_mut().for_each(|stream| assert_eq!(stream.data(1), ["secret"]));
    // Whatever is there is a token: nobody is anonymous by a bad one.
    for (bad, expected) in [("", 400), ("x", 400), ("a.b.c", 401), (&format!("{good}x"), 401)] {
        let answer = refused(hub.addr, &format!("topic=a&authorization={bad}"), "");
        assert_eq!(answer.status, expected, "{bad}");
    }
    let twice = format!("{in_url}&authorization={good}");
    assert_eq!(refused(hub.addr, &twice, "").status, 400);
    // Publishing with the cookie, by a page that may.
    for (origin, expected) in [("https://app.example", 200), ("https://evil.example", 400)] {
        let post = format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nOrigin: {origin}\r\nCookie: \
             mercureAuthorization={TUTORIAL}\r\nContent-Type: application/x-www-form-urlencoded\
             \r\nContent-Length: 14\r\n\r\ntopic=a&data=x"
        );
        let answer = request(hub.addr, &post);
        assert_eq!(answer.status, expected, "{origin}");
    }
    let log = hub.log();
    assert!(!log.contains(&good) && !log.contains(&other), "no token is logged: {log}");
}

fn beside_a_field_the_url_is_not_looked_at(driver: Driver) {
    let hub = setup(driver).start();
    let good = subscriber(&["a"]);
    let field = bearer(&good);
    let queries =
        ["", "&authorization=", "&authorization=a.b.c", "&authorization=x&authorization=y"];
    let query = |more: &str| format!("topic=a{more}");
    let mut streams = queries.map(|more| Stream::open(hub.addr, &query(more), &field));
    // Publications have a URL too.
    for more in queries {
        let data = [("topic", "a"), ("data", more), ("private", "on")];
        let post = publication(TUTORIAL, &data);
        let post = post.replacen("/mercure ", &format!("/mercure?{} ", query(more)), 1);
        assert_eq!(request(hub.addr, &post).status, 200, "{more}");
    }
    streams.iter_mut().for_each(|stream| assert_eq!(stream.data(4), queries));
    // A field that is no good is not helped by what is good in the URL.
    let in_url = format!("topic=a&authorization={good}");
    for (field, expected) in [("Bearer a.b.c", 401), ("Bearer", 400), ("", 400)] {
        let field = format!("Authorization: {field}\r\n");
        assert_eq!(refused(hub.addr, &in_url, &field).status, expected, "{field}");
    }
}

/// Wherever it is, whatever is wrong with it, and whatever good one there is beside it.
fn nobody_is_anonymous_by_a_bad_token(driver: Driver) {
    let hub = setup(driver).start();
    let good = subscriber(&["a"]);
    let expired = token(&json!({ "mercure": { "subscribe": ["a"] }, "exp": 1 }));
    let unsigned = format!("{good}x");
    let new = |token: &str| format!("Cookie: __Secure-mercure_access_token={token}\r\n");
    let old = |token: &str| format!("Cookie: mercureAuthorization={token}\r\n");
    let status = |method: &str, query: &str, fields: &str| {
        let head = "HTTP/1.1\r\nHost: hub\r\n";
        let head = format!("{method} /.well-known/mercure?{query} {head}{fields}\r\n");
        let head = Connection::open(hub.addr).send(head).head();
        head[9..12].parse::<u16>().unwrap()
    };
    let bad = [(&*expired, 401), (&unsigned, 401), ("a.b.c", 401), ("abc", 400)];
    for (bad, expected) in bad {
        for query in ["topic=a", "match=a"] {
            let in_url = |token: &str| format!("{query}&authorization={token}");
            for (query, fields) in [
                (query, bearer(bad)),
                (query, new(bad)),
                (query, old(bad)),
                (&*in_url(bad), String::new()),
                (query, new("") + &old(bad)),
                (query, new(bad) + &old(&good)),
                (&in_url(bad), new(&good)),
                (&in_url(bad), old(&good)),
                (&in_url(&good), bearer(bad)),
            ] {
                for method in ["GET", "HEAD", "QUERY"] {
                    let found = status(method, query, &fields);
                    assert_eq!(found, expected, "{method} {query}\n{fields}");
                }
            }
        }
    }
    // What was emptied is no token, unlike a parameter or a field.
    for fields in [new(""), old(""), new("") + &old("\"\"")] {
        assert_eq!(status("GET", "topic=a", &fields), 200, "{fields}");
    }
    assert_eq!(status("GET", "topic=a&authorization", ""), 400);
    assert_eq!(status("GET", "topic=a", "Authorization:\r\n"), 400);
    // What may be a token in the URL counts before the cookie, whatever it is.
    for (query, expected) in [("x=y", 200), ("authorization=%FF", 400), ("%FF=y", 400)] {
        let (host, form) = (hub.addr, "topic=a&data=x");
        let answer = request(
            host,
            &format!(
                "POST /.well-known/mercure?{query} HTTP/1.1\r\nHost: {host}\r\n\
                 Origin: http://{host}\r\nCookie: mercureAuthorization={TUTORIAL}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {}\r\n\r\n{form}",
                form.len()
            ),
        );
        assert_eq!(answer.status, expected, "{query}: {}", answer.body);
    }
    // A token behind it counts.
    let mut stream = Stream::open(hub.addr, "topic=a", &(new("") + &old(&good)));
    publish(hub.addr, TUTORIAL, &[("topic", "a"), ("data", "secret"), ("private", "on")]);
    assert_eq!(stream.data(1), ["secret"]);
}

/// A URL of 60 kB, and a claim of as many selectors.
fn a_thousand_selectors_are_one_stream(driver: Driver) {
    let hub = setup(driver).start();
    let selector = |number: usize| match number % 2 {
        0 => format!("https://example.com/books/{number}/chapters/1"),
        _ => format!("https://example.com/books/{number}/chapters/{{id}}"),
    };
    let selectors: Vec<String> = (0..1001).map(selector).collect();
    let query = |count: usize| {
        let topics: Vec<_> =
            selectors[..count].iter().map(|it| format!("topic={}", encode(it))).collect();
        topics.join("&")
    };
    assert!(query(1000).len() > 60_000, "{}", query(1000).len());
    let claim: Vec<&str> = selectors[..1000].iter().map(String::as_str).collect();
    let mut stream = Stream::open(hub.addr, &query(1000), &bearer(&subscriber(&claim)));
    for number in [0, 1, 500, 998, 999, 1000] {
        let topic = format!("https://example.com/books/{number}/chapters/1");
        let fields = [("topic", &*topic), ("data", &topic), ("private", "on")];
        publish(hub.addr, TUTORIAL, &fields);
    }
    let last = [("topic", "https://example.com/books/999/chapters/x"), ("data", "last")];
    publish(hub.addr, TUTORIAL, &last);
    let told = stream.data(6);
    let expected =
        [0, 1, 500, 998, 999].map(|n| format!("https://example.com/books/{n}/chapters/1"));
    assert_eq!((&told[..5], &*told[5]), (&expected[..], "last"));
    let answer = refused(hub.addr, &query(1001), "");
    assert_eq!(answer.status, 400);
    assert!(answer.detail().contains("1000"), "{answer:?}");
}

/// The browser keeps its place; who has a bad token is not asked to come back with it.
fn who_is_turned_away_is_told_where_it_is_in_the_old_field_too(driver: Driver) {
    let setup = setup(driver).env("PETASOS_WORKERS", "1");
    let hub = setup.directive("max_connections 1").start();
    let _held = Stream::open(hub.addr, "topic=a", "");
    for (query, old, new) in [
        ("topic=a&lastEventID=x", Some("x"), Some("x")),
        ("topic=a&lastEventID=earliest", Some("earliest"), Some("earliest")),
        ("topic=a", None, None),
        ("match=a&last_event_id=x", None, Some("x")),
    ] {
        let mut stream = Stream::open(hub.addr, query, "");
        assert_eq!(stream.field("last-event-id"), old, "{query}");
        assert_eq!(stream.field("mercure-last-event-id"), new, "{query}");
        let (events, proper) = stream.end();
        assert!(proper && events.len() == 1 && !events[0].retry.is_empty(), "{query} {events:?}");
    }
    assert_eq!(refused(hub.addr, "topic=a&authorization=a.b.c", "").status, 401);
}

fn both_generations_meet_on_one_hub(driver: Driver) {
    let hub = setup(driver).start();
    let modern = tokens::sign(&tokens::claims("subscribe", &["/b/1"]), KEY);
    let mut streams = [
        Stream::open(hub.addr, "match=/b/1", &bearer(&modern)),
        Stream::open(hub.addr, "topic=/b/{id}", &bearer(&modern)),
        Stream::open(hub.addr, "match_urlpattern=/b/:id", &bearer(&subscriber(&["/b/{id}"]))),
        Stream::open(hub.addr, "match=x&topic=/b/{id}", &bearer(&subscriber(&["*"]))),
    ];
    let publisher = tokens::sign(&tokens::claims("publish", &["*"]), KEY);
    publish(hub.addr, &publisher, &[("topic", "/b/1"), ("data", "1"), ("private", "on")]);
    publish(hub.addr, TUTORIAL, &[("topic", "/b/1"), ("data", "2"), ("private", "on")]);
    streams.iter_mut().for_each(|stream| assert_eq!(stream.data(2), ["1", "2"]));
    // A template is a text to those who speak of matchers.
    let mut stream = Stream::open(hub.addr, "match=/b/{id}", "");
    publish(hub.addr, &publisher, &[("topic", "/b/1"), ("data", "no")]);
    publish(hub.addr, &publisher, &[("topic", "/b/{id}"), ("data", "yes")]);
    assert_eq!(stream.data(1), ["yes"]);
    // With details, the claim of 0.x does not count.
    let mut claims = tokens::claims("publish", &["a"]);
    claims["mercure"] = json!({ "publish": ["*"] });
    let both = tokens::sign(&claims, KEY);
    assert_eq!(status(&hub, &both, &[("topic", "a"), ("data", "")]), 200);
    assert_eq!(status(&hub, &both, &[("topic", "b"), ("data", "")]), 403);
    // And then it is a token of today in every way.
    assert_eq!(status(&hub, &token(&claims), &[("topic", "a"), ("data", "")]), 401);
}

fn who_resumes_is_told_where_in_the_old_field_too(driver: Driver) {
    let hub = setup(driver).start();
    let ids: Vec<String> = (0..3)
        .map(|number| {
            let data = number.to_string();
            publish(hub.addr, TUTORIAL, &[("topic", "/b/1"), ("data", &data)])
        })
        .collect();
    let first = encode(&ids[0]);
    for (query, fields) in [
        (format!("topic=/b/{{id}}&lastEventID={first}"), String::new()),
        (format!("topic=/b/{{id}}&lastEventId={first}"), String::new()),
        ("topic=/b/1".to_owned(), format!("Last-Event-ID: {}\r\n", ids[0])),
        (format!("topic=/b/1&lastEventID=x&Last-Event-ID=y&last_event_id={first}"), String::new()),
    ] {
        let mut stream = Stream::open(hub.addr, &query, &fields);
        assert_eq!(stream.field("last-event-id"), Some(&*ids[0]), "{query}");
        assert_eq!(stream.field("mercure-last-event-id"), Some(&*ids[0]), "{query}");
        assert_eq!(stream.data(2), ["1", "2"], "{query}");
    }
    let stream = Stream::open(hub.addr, "topic=a&lastEventID=unknown", "");
    assert_eq!(stream.field("last-event-id"), Some("earliest"));
    let stream = Stream::open(hub.addr, &format!("match=/b/1&last_event_id={first}"), "");
    assert_eq!(stream.field("last-event-id"), None);
    assert_eq!(Stream::open(hub.addr, "topic=a", "").field("last-event-id"), None);
    // An update that was private then is so in the history.
    publish(hub.addr, TUTORIAL, &[("topic", "/b/1"), ("data", "secret"), ("private", "on")]);
    let query = "topic=/b/{id}&lastEventID=earliest";
    let mut stream = Stream::open(hub.addr, query, &bearer(&subscriber(&["/b/{id}"])));
    assert_eq!(stream.data(4), ["0", "1", "2", "secret"]);
}

fn tokens_need_no_more_than_they_did(driver: Driver) {
    let hub = setup(driver).start();
    let now = tokens::now();
    let claim = json!({ "publish": ["*"] });
    for (more, expected) in [
        (json!({}), 200),
        (json!({ "aud": "another", "iss": "https://anybody.example" }), 200),
        (json!({ "exp": now + 60.5, "nbf": now - 0.5, "iat": now + 0.2 }), 200),
        (json!({ "exp": format!("{}", now as u64 + 60) }), 200),
        (json!({ "exp": now - 1.0 }), 401),
        (json!({ "exp": format!("{}", now as u64 - 60) }), 401),
        (json!({ "exp": "soon" }), 401),
        (json!({ "nbf": now + 60.0 }), 401),
    ] {
        let mut claims = more.clone();
        claims["mercure"] = claim.clone();
        assert_eq!(
            status(&hub, &token(&claims), &[("topic", "a"), ("data", "")]),
            expected,
            "{more}"
        );
    }
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#] {
        let claims = json!({ "mercure": claim }).to_string();
        let token = tokens::sign_texts(header, &claims, KEY, Algorithm::HS256);
        assert_eq!(status(&hub, &token, &[("topic", "a"), ("data", "")]), 200, "{header}");
    }
    // A claim that cannot be read grants nothing, and says so.
    for claim in [json!(1), json!({ "publish": "*" }), json!({ "publish": [1] })] {
        let token = token(&json!({ "mercure": claim }));
        assert_eq!(status(&hub, &token, &[("topic", "a"), ("data", "")]), 401, "{claim}");
    }
    hub.wait_for_log("is no list of topic selectors");
    let all = json!({ "mercure": { "publish": ["*"] } });
    let of_other = tokens::sign_legacy(&all, "your-publisher-key");
    assert_eq!(status(&hub, &of_other, &[("topic", "a"), ("data", "")]), 401);
    hub.wait_for_log("the signature fits no configured publisher key");
    assert!(!hub.log().contains(KEY));
}

fn it_can_be_turned_off(driver: Driver) {
    let hub = setup(driver).directive("protocol_version_compatibility off").start();
    let answer = refused(hub.addr, "topic=a", "");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("`match`"), "{}", answer.body);
    assert_eq!(status(&hub, TUTORIAL, &[("topic", "a"), ("data", "")]), 401);
    let modern = tokens::sign(&tokens::claims("publish", &["a"]), KEY);
    assert_eq!(status(&hub, &modern, &[("topic", "a"), ("data", "")]), 200);
    // Neither the cookie nor the parameter is looked at.
    let cookie = format!("Cookie: mercureAuthorization={TUTORIAL}x\r\n");
    drop(Stream::open(hub.addr, "match=a&authorization=x", &cookie));
    assert!(!hub.log().contains("clients of 0.x are served"));
}

fn it_can_be_turned_on_beside_an_issuer(driver: Driver) {
    use crate::common::hub::PUBLISHER_KEY;
    let legacy = tokens::sign_legacy(&json!({ "mercure": { "publish": ["*"] } }), PUBLISHER_KEY);
    let strict = Setup::new(driver).start();
    assert_eq!(status(&strict, &legacy, &[("topic", "a"), ("data", "")]), 401);
    assert_eq!(refused(strict.addr, "topic=a", "").status, 400);
    let hub = Setup::new(driver).directive("protocol_version_compatibility 8").start();
    let mut stream = Stream::open(hub.addr, "topic=/b/{id}", "");
    publish(hub.addr, &legacy, &[("topic", "/b/1"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    // Tokens of today are as strict as they were.
    let mut claims = tokens::claims("publish", &["a"]);
    assert_eq!(status(&hub, &tokens::sign(&claims, PUBLISHER_KEY), &[("topic", "a")]), 200);
    claims.as_object_mut().unwrap().remove("aud");
    assert_eq!(status(&hub, &tokens::sign(&claims, PUBLISHER_KEY), &[("topic", "a")]), 401);
}

fn the_oldest_protocol_is_spoken_where_it_is_asked_for(driver: Driver) {
    let some = token(&json!({ "mercure": { "publish": ["/b/{id}"] } }));
    let none = token(&json!({ "mercure": { "publish": [] } }));
    let no_list = token(&json!({ "mercure": { "subscribe": ["*"] } }));
    for (version, expected) in [("8", [403, 403, 403, 403]), ("7", [200, 403, 200, 403])] {
        let directive = format!("protocol_version_compatibility {version}");
        let hub = setup(driver).directive(&directive).start();
        let public = [("topic", "/c/1"), ("data", "x")];
        let private = [("topic", "/c/1"), ("data", "x"), ("private", "on")];
        let statuses = [
            status(&hub, &some, &public),
            status(&hub, &some, &private),
            status(&hub, &none, &public),
            status(&hub, &no_list, &public),
        ];
        assert_eq!(statuses, expected, "{version}");
        let id = publish(hub.addr, TUTORIAL, &public);
        let query = format!("topic=/c/1&Last-Event-ID={}", encode(&id));
        let stream = Stream::open(hub.addr, &query, "");
        let told = (version == "7").then_some(&*id);
        assert_eq!(stream.field("mercure-last-event-id"), told, "{version}");
    }
}

/// A request that publishes its body.
fn post(token: &str, content_type: &str, target: &str, fields: &str, body: &str) -> String {
    format!(
        "POST /.well-known/mercure{target} HTTP/1.1\r\nHost: hub\r\n{}Content-Type: \
         {content_type}\r\nContent-Length: {}\r\n{fields}\r\n{body}",
        bearer(token),
        body.len()
    )
}

fn json_is_published_as_it_is(driver: Driver) {
    let hub = setup(driver).start();
    let topic = "http://localhost:3000/updates";
    let mut stream = Stream::open(hub.addr, &format!("topic={topic}"), "");
    let body = r#"{"@id": "http://localhost:3000/updates", "@type":"Update",  "title":"é"}"#;
    let link = format!("Link: <{topic}>; rel=\"mercure\"\r\n");
    let both =
        format!("Link: <x>; rel=next, <{topic}>; rel=\"self\"\r\nLink: <y>; rel=mercure\r\n");
    let query = format!("?topic={}", encode(topic));
    for (content_type, target, fields) in [
        ("application/json", "", &*link),
        ("application/ld+json; charset=utf-8", "", &link),
        ("APPLICATION/Problem+JSON", "", &both),
        ("application/json", &query, ""),
        ("application/json", &format!("{query}&data=no&x=y"), &link),
    ] {
        let answer = request(hub.addr, &post(TUTORIAL, content_type, target, fields, body));
        assert_eq!(answer.status, 200, "{content_type} {target}: {}", answer.body);
        let event = stream.next().unwrap();
        assert_eq!((&*event.data, &*event.id), (body, &*answer.body), "{content_type} {target}");
    }
    let target = format!("{query}&id=mine&type=t&retry=5&private");
    let mut all = Stream::open(hub.addr, "topic=*", &bearer(&subscriber(&["*"])));
    let answer = request(hub.addr, &post(TUTORIAL, "application/json", &target, "", "[\n1]"));
    assert_eq!(answer.body, "mine");
    let event = all.next().unwrap();
    assert_eq!(
        (&*event.data, &*event.id, &*event.event, &*event.retry),
        ("[\n1]", "mine", "t", "5")
    );
    for (content_type, target, fields, body, expected, detail) in [
        ("application/json", "", "", "1", 400, "no topic"),
        ("application/json", "", "Link: <x>; rel=next\r\n", "1", 400, "no topic"),
        ("application/json", &*query, "", "{", 400, "no JSON"),
        ("application/json", &query, "", "", 400, "no JSON"),
        ("application/json", &query, "", "1 2", 400, "no JSON"),
        ("application/json", "?topic=*", "", "1", 400, "reserved"),
        ("application/json", "?topic=%FF", "", "1", 400, "UTF-8"),
        ("text/json", &query, "", "1", 415, "form"),
        ("application/jsonp", &query, "", "1", 415, "form"),
    ] {
        let answer = request(hub.addr, &post(TUTORIAL, content_type, target, fields, body));
        assert_eq!(answer.status, expected, "{content_type} {target} {fields} {body}");
        assert!(answer.body.contains(detail), "{detail}: {}", answer.body);
    }
    // What is granted counts as ever.
    let other = token(&json!({ "mercure": { "publish": ["other"] } }));
    let forbidden = post(&other, "application/json", &query, "", "1");
    assert_eq!(request(hub.addr, &forbidden).status, 403);

    // Where no clients of 0.x are served it has to be asked for.
    for (directive, expected) in [("json_publish off", 415), ("json_publish", 200)] {
        let hub = Setup::new(driver).directive(directive).start();
        let asked = post(&tokens::publisher(&["*"]), "application/json", &query, "", "1");
        assert_eq!(request(hub.addr, &asked).status, expected, "{directive}");
    }
}
