//! symfony/mercure and lcobucci/jwt, by what they were seen to send to hubs of this generation.

use jsonwebtoken::Algorithm;

use crate::{
    common::{
        client::{Answer, Stream, encode, request, try_publish},
        hub::{AUDIENCE, Driver, Hub, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        tokens::{now, sign_texts},
    },
    on_both_drivers,
};

on_both_drivers!(
    it_publishes_with_dates_that_have_fractions,
    dates_a_moment_ahead_are_not_in_the_future,
    its_page_helper_names_the_last_event_id_in_two_ways,
    its_event_source_resumes_by_the_field,
    an_id_with_a_number_sign_in_front_is_refused,
);

/// A token as lcobucci/jwt writes it: the dates are numbers with six digits behind the point.
fn token(action: &str, key: &str, issued_at: f64) -> String {
    let expires_at = issued_at + 3600.0;
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"app","client_id":"app",
            "authorization_details":[{{"type":"https://mercure.rocks/authorization-detail",
            "actions":["{action}"],"topics":[{{"match":"https://example.com/books/1"}}]}}],
            "iat":{issued_at:.6},"nbf":{issued_at:.6},"jti":"0123456789","exp":{expires_at:.6}}}"#
    );
    sign_texts(r#"{"typ":"at+jwt","alg":"HS256"}"#, &claims, key, Algorithm::HS256)
}

/// A publication, as all generations send it.
pub(super) fn publish(hub: &Hub, token: &str, form: &str) -> Answer {
    request(
        hub.addr,
        &format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Accept: */*\r\nContent-Length: {}\r\nUser-Agent: Symfony HttpClient (Curl)\r\n\
             Accept-Encoding: gzip\r\n\r\n{form}",
            form.len()
        ),
    )
}

/// The stream of somebody with a grant.
fn subscribe(hub: &Hub, query: &str, fields: &str) -> Stream {
    let token = token("subscribe", SUBSCRIBER_KEY, now());
    let query = format!("match=https%3A%2F%2Fexample.com%2Fbooks%2F1{query}");
    Stream::open(hub.addr, &query, &format!("Authorization: Bearer {token}\r\n{fields}"))
}

const BOOK: &str = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1";

fn it_publishes_with_dates_that_have_fractions(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = subscribe(&hub, "", "");
    let token = token("publish", PUBLISHER_KEY, now() - 1.0);
    let form = format!("{BOOK}&data=%7B%22a%22%3A1%7D&private=on&id=urn%3Ax%3A1&type=t&retry=5");
    let answer = publish(&hub, &token, &form);
    assert_eq!((answer.status, answer.body.as_str()), (200, "urn:x:1"), "{answer:?}");
    assert_eq!(answer.field("content-encoding"), None);
    let event = stream.next().unwrap();
    assert_eq!(
        (event.id.as_str(), event.event.as_str(), event.retry.as_str()),
        ("urn:x:1", "t", "5")
    );
    assert_eq!(event.data, r#"{"a":1}"#);
    // Without an id of its own: all of the body is the one that the hub gave.
    let answer = publish(&hub, &token, &format!("{BOOK}&{BOOK}&data=x"));
    assert_eq!((answer.status, answer.body), (200, stream.next().unwrap().id));
}

/// `iat` and `nbf` of this very moment would be ahead of a clock that is cut to seconds.
fn dates_a_moment_ahead_are_not_in_the_future(driver: Driver) {
    let hub = Setup::new(driver).start();
    for _ in 0..20 {
        let token = token("publish", PUBLISHER_KEY, now());
        assert_eq!(publish(&hub, &token, &format!("{BOOK}&data=x")).status, 200);
        std::thread::sleep(std::time::Duration::from_millis(53));
    }
}

fn its_page_helper_names_the_last_event_id_in_two_ways(driver: Driver) {
    let hub = Setup::new(driver).start();
    for id in ["urn:x:1", "urn:x:2", "urn:x:3"] {
        let form = format!("{BOOK}&private=on&data={0}&id={0}", encode(id));
        assert_eq!(try_publish(hub.addr, &form).status, 200);
    }
    let id = encode("urn:x:1");
    let mut stream = subscribe(&hub, &format!("&lastEventID={id}&Last-Event-ID={id}"), "");
    assert_eq!(stream.field("mercure-last-event-id"), Some("urn:x:1"));
    assert_eq!(stream.data(2), ["urn:x:2", "urn:x:3"]);
    // A page that has been open for a while.
    let query = format!("&lastEventID={id}&Last-Event-ID={id}");
    assert_eq!(subscribe(&hub, &query, "Last-Event-ID: urn:x:2\r\n").data(1), ["urn:x:3"]);
}

fn its_event_source_resumes_by_the_field(driver: Driver) {
    let hub = Setup::new(driver).start();
    let id = try_publish(hub.addr, &format!("{BOOK}&private=on&data=1")).body;
    try_publish(hub.addr, &format!("{BOOK}&private=on&data=2"));
    let fields = format!(
        "Accept: text/event-stream\r\nCache-Control: no-cache\r\nLast-Event-ID: {id}\r\n\
         User-Agent: Symfony HttpClient (Curl)\r\nAccept-Encoding: gzip\r\n"
    );
    assert_eq!(subscribe(&hub, "", &fields).data(1), ["2"]);
}

fn an_id_with_a_number_sign_in_front_is_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    let answer = publish(&hub, &token("publish", PUBLISHER_KEY, now()), &format!("{BOOK}&id=%231"));
    assert_eq!(answer.status, 400);
    assert!(answer.detail().contains('#'), "{answer:?}");
    // As a cursor it is an id that nobody has.
    let stream = subscribe(&hub, "", "Last-Event-ID: #1\r\n");
    assert_eq!(stream.field("mercure-last-event-id"), Some("earliest"));
}
