//! Tokens in cookies (draft-08 #cookie), and whose pages may use them to publish (draft-08
//! #security-considerations).

use crate::{
    common::{
        client::{Answer, Stream, publish, refused, request},
        hub::{Driver, Hub, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    subscribers_may_send_a_cookie,
    a_header_wins_over_a_cookie,
    a_cookie_that_fails_is_never_nobody,
    the_name_of_the_cookie_is_a_setting,
    pages_of_other_origins_do_not_publish_with_it,
    the_hubs_own_pages_do,
);

const NAME: &str = "__Secure-mercure_access_token";

fn cookie(token: &str) -> String {
    format!("Cookie: other=1; {NAME}={token}; last=2\r\n")
}

/// Whether a subscriber with these fields gets what is private.
fn reads_private(hub: &Hub, fields: &str) -> bool {
    let mut stream = Stream::open(hub.addr, "match=a", fields);
    let token = tokens::publisher(&["*"]);
    publish(hub.addr, &token, &[("topic", "a"), ("data", "private"), ("private", "")]);
    publish(hub.addr, &token, &[("topic", "a"), ("data", "public")]);
    stream.data(1) == ["private"]
}

fn publishes(hub: &Hub, fields: &str) -> Answer {
    request(
        hub.addr,
        &format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example\r\n{fields}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\ntopic=a"
        ),
    )
}

fn subscribers_may_send_a_cookie(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::subscriber(&["a"]);
    assert!(reads_private(&hub, &cookie(&token)));
    assert!(reads_private(&hub, &format!("Cookie: x=y\r\nCookie: {NAME}=\"{token}\"\r\n")));
    assert!(!reads_private(&hub, &cookie(&token).replace(NAME, "mercureAuthorization")));
    assert!(!reads_private(&hub, &cookie("")), "emptied");
    assert!(!reads_private(&hub, ""));
    // No other way than these two.
    let mut stream = Stream::open(hub.addr, &format!("match=a&access_token={token}"), "");
    let publisher = tokens::publisher(&["*"]);
    publish(hub.addr, &publisher, &[("topic", "a"), ("data", "1"), ("private", "")]);
    publish(hub.addr, &publisher, &[("topic", "a"), ("data", "2")]);
    assert_eq!(stream.data(1), ["2"]);
}

fn a_header_wins_over_a_cookie(driver: Driver) {
    let hub = Setup::new(driver).start();
    let (good, other) = (tokens::subscriber(&["a"]), tokens::subscriber(&["b"]));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert!(reads_private(&hub, &(bearer(&good) + &cookie(&other))));
    assert!(!reads_private(&hub, &(bearer(&other) + &cookie(&good))));
    assert!(reads_private(&hub, &(bearer(&good) + &cookie("broken"))), "it is ignored");
    for field in
        ["Authorization: Bearer x.y.z\r\n", "Authorization: Bearer\r\n", "Authorization:\r\n"]
    {
        let answer = refused(hub.addr, "match=a", &(field.to_owned() + &cookie(&good)));
        assert!([400, 401].contains(&answer.status), "no fall back: {field}");
    }
}

fn a_cookie_that_fails_is_never_nobody(driver: Driver) {
    let hub = Setup::new(driver).start();
    let wrong_role = tokens::publisher(&["a"]);
    for (value, status) in [(&*wrong_role, 401), ("a.b.c", 401), ("abc", 400)] {
        let answer = refused(hub.addr, "match=a", &cookie(value));
        assert_eq!(answer.status, status, "{value}");
        assert!(answer.field("WWW-Authenticate").unwrap().starts_with("Bearer error="));
    }
}

fn the_name_of_the_cookie_is_a_setting(driver: Driver) {
    let hub = Setup::new(driver).directive("cookie_name hub2").start();
    let token = tokens::subscriber(&["a"]);
    assert!(reads_private(&hub, &format!("Cookie: hub2={token}\r\n")));
    assert!(!reads_private(&hub, &cookie(&token)));
    let metadata = request(
        hub.addr,
        "GET /.well-known/oauth-protected-resource/.well-known/mercure HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert!(metadata.body.contains(r#""mercure_cookie":"hub2""#));
}

fn pages_of_other_origins_do_not_publish_with_it(driver: Driver) {
    let hub = Setup::new(driver).directive("publish_origins https://app.example").start();
    let (token, cookie) = (tokens::publisher(&["*"]), cookie(&tokens::publisher(&["*"])));
    for (fields, status) in [
        ("Origin: https://app.example\r\n", 200),
        ("Origin: https://app.example\r\nReferer: https://evil.example/\r\n", 200),
        ("Referer: https://app.example/page?q\r\n", 200),
        ("Referer: https://app.example\r\n", 200),
        ("", 400),
        ("Origin: null\r\n", 400),
        ("Origin: https://evil.example\r\n", 400),
        ("Origin: https://evil.example\r\nReferer: https://app.example/\r\n", 400),
        ("Origin: https://app.example.evil.example\r\n", 400),
        ("Origin: http://app.example\r\n", 400),
        ("Origin: https://app.example:444\r\n", 400),
        ("Referer: https://evil.example/https://app.example/\r\n", 400),
        ("Referer: https://app.example@evil.example/\r\n", 400),
        ("Referer: app.example\r\n", 400),
    ] {
        let answer = publishes(&hub, &format!("{cookie}{fields}"));
        assert_eq!(answer.status, status, "{fields} {answer:?}");
        if status == 400 {
            let challenge = answer.field("WWW-Authenticate").unwrap();
            assert!(challenge.starts_with("Bearer error=\"invalid_request\""), "{challenge}");
        }
        // Who has a token in a header needs no page.
        let bearer = format!("Authorization: Bearer {token}\r\n{fields}");
        assert_eq!(publishes(&hub, &bearer).status, 200, "{fields}");
    }
    // To subscribe, CORS is what protects.
    let subscriber = self::cookie(&tokens::subscriber(&["a"]));
    assert!(reads_private(&hub, &format!("{subscriber}Origin: https://evil.example\r\n")));
}

fn the_hubs_own_pages_do(driver: Driver) {
    let cookie = cookie(&tokens::publisher(&["*"]));
    let publish =
        |hub: &Hub, origin: &str| publishes(hub, &format!("{cookie}Origin: {origin}\r\n")).status;
    let hub = Setup::new(driver).directive("public_urls https://hub.example").start();
    assert_eq!(publish(&hub, "https://hub.example"), 200);
    assert_eq!(publish(&hub, "http://hub.example"), 400, "its pages come by https");
    let hub = Setup::new(driver).directive("publish_origins *").start();
    assert_eq!(publish(&hub, "https://whoever.example"), 200);
}
