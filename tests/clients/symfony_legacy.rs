//! symfony/mercure and lcobucci/jwt, by what they were seen to send to hubs of 0.x.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::symfony::publish;
use crate::{
    common::{
        client::{Stream, encode, refused, request},
        hub::{Driver, Hub, Setup},
        tokens::{now, sign_texts},
    },
    on_both_drivers,
};

on_both_drivers!(
    it_publishes_with_tokens_of_0_x,
    dates_a_moment_ahead_are_not_in_the_future,
    its_pages_have_the_old_cookie_and_two_names_for_the_last_event_id,
    its_event_source_resumes_by_the_field,
    a_page_of_its_publishes_with_the_old_cookie,
);

const KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";
const APP: &str = "https://app.hub.test";

/// A hub as its recipe sets it up.
fn hub(driver: Driver) -> Hub {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .env("MERCURE_PUBLISHER_JWT_KEY", KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", KEY)
        .directive(&format!("cors_origins {APP}"))
        .directive(&format!("publish_origins {APP}"))
        .start()
}

/// Both lists are always there. The dates, if any, have six digits behind the point.
fn token(publish: &str, subscribe: &str, dates: &str) -> String {
    let claims =
        format!(r#"{{"mercure":{{"publish":[{publish}],"subscribe":[{subscribe}]}}{dates}}}"#);
    sign_texts(r#"{"typ":"JWT","alg":"HS256"}"#, &claims, KEY, Algorithm::HS256)
}

fn dates(issued_at: f64) -> String {
    let expires_at = issued_at + 3600.0;
    format!(r#","iat":{issued_at:.6},"nbf":{issued_at:.6},"exp":{expires_at:.6}"#)
}

fn subscriber() -> String {
    token("", r#""https://example.com/books/{id}""#, &dates(now()))
}

/// What a browser sends.
fn page(token: &str) -> String {
    format!(
        "Accept: text/event-stream\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Cookie: PHPSESSID=1; mercureAuthorization={token}\r\nOrigin: {APP}\r\n\
         Sec-Fetch-Mode: cors\r\n"
    )
}

const BOOKS: &str = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D";
const BOOK: &str = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1";

fn it_publishes_with_tokens_of_0_x(driver: Driver) {
    let hub = hub(driver);
    let mut stream = Stream::open(hub.addr, BOOKS, &page(&subscriber()));
    let form = format!("{BOOK}&data=%7B%22a%22%3A1%7D&private=on&id=urn%3Ax%3A1&type=t&retry=5");
    // A fixed token of the configuration has no dates.
    for dates in [String::new(), dates(now() - 1.0)] {
        let answer = publish(&hub, &token("\"*\"", "", &dates), &form);
        assert_eq!((answer.status, answer.body.as_str()), (200, "urn:x:1"), "{answer:?}");
        assert_eq!(answer.field("content-encoding"), None);
        let event = stream.next().unwrap();
        assert_eq!(
            (&*event.id, &*event.event, &*event.retry, &*event.data),
            ("urn:x:1", "t", "5", r#"{"a":1}"#)
        );
    }
    let topics = format!("{BOOK}&topic=https%3A%2F%2Fexample.com%2Fauthors%2F1&data=x");
    let answer = publish(&hub, &token("\"*\"", "", ""), &topics);
    assert_eq!((answer.status, answer.body), (200, stream.next().unwrap().id));
    // Only on what its list has.
    let some = token(r#""https://example.com/books/{id}""#, "", "");
    assert_eq!(publish(&hub, &some, &format!("{BOOK}&data=x")).status, 200);
    assert_eq!(publish(&hub, &some, &topics).status, 403);
}

/// `iat` and `nbf` of this very moment would be ahead of a clock that is cut to seconds.
fn dates_a_moment_ahead_are_not_in_the_future(driver: Driver) {
    let hub = hub(driver);
    for _ in 0..20 {
        let token = token("\"*\"", "", &dates(now()));
        assert_eq!(publish(&hub, &token, &format!("{BOOK}&data=x")).status, 200);
        std::thread::sleep(Duration::from_millis(53));
    }
}

/// Three private updates; their ids are `urn:x:1` to `urn:x:3`.
fn publish_three(hub: &Hub) {
    for number in 1..=3 {
        let form = format!("{BOOK}&private=on&data={number}&id=urn%3Ax%3A{number}");
        assert_eq!(publish(hub, &token("\"*\"", "", &dates(now())), &form).status, 200);
    }
}

fn its_pages_have_the_old_cookie_and_two_names_for_the_last_event_id(driver: Driver) {
    let hub = hub(driver);
    publish_three(&hub);
    let id = encode("urn:x:1");
    let query = format!("{BOOKS}&lastEventID={id}&Last-Event-ID={id}");
    let mut stream = Stream::open(hub.addr, &query, &page(&subscriber()));
    assert_eq!(stream.field("last-event-id"), Some("urn:x:1"));
    assert_eq!(stream.field("access-control-allow-origin"), Some(APP));
    assert_eq!(stream.field("access-control-allow-credentials"), Some("true"));
    let exposed = stream.field("access-control-expose-headers").unwrap();
    assert!(exposed.split(", ").any(|name| name == "Last-Event-ID"), "{exposed}");
    assert_eq!(stream.data(2), ["2", "3"]);
    // A page that has been open for a while.
    let fields = format!("{}Last-Event-ID: urn:x:2\r\n", page(&subscriber()));
    let mut stream = Stream::open(hub.addr, &query, &fields);
    assert_eq!(stream.field("last-event-id"), Some("urn:x:2"));
    assert_eq!(stream.data(1), ["3"]);
    // Without a cookie there is nothing, and the page may see that.
    let answer = refused(hub.addr, &query, &format!("Origin: {APP}\r\n"));
    assert_eq!(answer.status, 401);
    assert_eq!(answer.field("access-control-allow-origin"), Some(APP));
}

fn its_event_source_resumes_by_the_field(driver: Driver) {
    let hub = hub(driver);
    publish_three(&hub);
    let fields = format!(
        "Authorization: Bearer {}\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\
         Last-Event-ID: urn:x:2\r\nUser-Agent: Symfony HttpClient (Curl)\r\n\
         Accept-Encoding: gzip\r\n",
        subscriber()
    );
    let mut stream = Stream::open(hub.addr, BOOKS, &fields);
    assert_eq!(stream.field("content-encoding"), None);
    assert_eq!(stream.data(1), ["3"]);
}

fn a_page_of_its_publishes_with_the_old_cookie(driver: Driver) {
    let hub = hub(driver);
    let both = token("\"*\"", "\"*\"", &dates(now()));
    let mut stream = Stream::open(hub.addr, BOOKS, &page(&both));
    let form = format!("{BOOK}&data=by+a+page&private=on");
    let post = |origin: &str| {
        let fields = page(&both).replace(APP, origin);
        request(
            hub.addr,
            &format!(
                "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.test\r\n{fields}\
                 Content-Type: application/x-www-form-urlencoded;charset=UTF-8\r\n\
                 Content-Length: {}\r\n\r\n{form}",
                form.len()
            ),
        )
    };
    assert_eq!(post("https://evil.test").status, 400);
    assert_eq!(post(APP).status, 200);
    assert_eq!(stream.data(1), ["by a page"]);
}
