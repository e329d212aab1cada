//! Laravel Echo, by what its pages were seen to send: one stream for all channels, with a cookie
//! of the application as the only credential, and publications by the browser.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Answer, Stream, encode, publish, refused, request},
        hub::{AUDIENCE, Driver, Hub, PUBLISHER_KEY, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    a_hundred_channels_with_presence_are_one_stream,
    every_kind_of_channel_has_its_grant,
    who_joined_public_channels_only_is_let_in,
    the_last_event_id_of_the_url_grows_old,
    a_channel_with_whispers_has_a_stream_of_its_own,
    a_page_that_is_refused_opens_again_with_another_cookie,
    the_stream_ends_with_the_token_and_goes_on_with_another,
    whispers_are_published_by_the_page,
    a_page_elsewhere_does_not_whisper,
);

const APP: &str = "https://laravel.alt";

/// A hub as the application sets it up: one key for both roles, nobody without a token.
fn setup(driver: Driver) -> Setup {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .env("MERCURE_JWT_KEY", PUBLISHER_KEY)
        .directive(&format!("resource_identifier {AUDIENCE}"))
        .directive(&format!("cors_origins {APP}"))
        .directive(&format!("publish_origins {APP}"))
}

fn hub(driver: Driver) -> Hub {
    setup(driver).env("MERCURE_TRUSTED_ISSUERS", APP).start()
}

/// The same, and one that is configured as hubs of 0.x were.
fn hubs(driver: Driver) -> [Hub; 2] {
    [hub(driver), setup(driver).start()]
}

/// The topic of a channel: its name is percent-encoded in it.
fn channel(name: &str) -> String {
    format!("{APP}/echo/channel/{}", encode(name))
}

/// The subscriptions of a presence channel; relative, and with a topic whose slashes stay encoded.
fn subscriptions(name: &str, subscriber: &str) -> String {
    let topic = encode(&channel(name));
    format!("/.well-known/mercure/subscriptions/:match_type/{topic}{subscriber}")
}

fn detail(actions: &[&str], topics: &[Value]) -> Value {
    json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": actions,
        "topics": topics,
    })
}

fn exact(topic: &str) -> Value {
    json!({ "match": topic })
}

fn pattern(pattern: &str) -> Value {
    json!({ "match": pattern, "match_type": "urlpattern" })
}

/// What a presence channel is granted, and who is present.
fn presence(name: &str) -> Value {
    let topics = [exact(&channel(name)), pattern(&subscriptions(name, "{/:subscriber}?"))];
    let mut detail = detail(&["subscribe"], &topics);
    detail["payload"] = json!({ "user_id": "1", "user_info": { "name": "Zo\u{eb}" } });
    detail
}

/// The token of an application that lives for so many seconds; without details if there are none.
fn token_for(seconds: f64, details: &[Value]) -> String {
    let mut claims = tokens::claims("subscribe", &["x"]);
    claims["iss"] = APP.into();
    claims["exp"] = (tokens::now() + seconds).into();
    match details {
        [] => drop(claims.as_object_mut().unwrap().remove("authorization_details")),
        _ => claims["authorization_details"] = details.into(),
    }
    tokens::sign(&claims, PUBLISHER_KEY)
}

fn token(details: &[Value]) -> String {
    token_for(300.0, details)
}

/// What a browser sends with every request to the hub.
fn fields(token: &str) -> String {
    format!(
        "Accept: text/event-stream\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-US,en;q=0.9\r\nCache-Control: no-cache\r\n\
         Cookie: __Secure-mercure_access_token={token}\r\nOrigin: {APP}\r\nPragma: no-cache\r\n\
         Referer: {APP}/\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-site\r\n"
    )
}

fn exact_matchers(names: &[&str]) -> String {
    let matchers: Vec<_> =
        names.iter().map(|name| format!("match={}", encode(&channel(name)))).collect();
    matchers.join("&")
}

/// The application publishes to a channel.
fn broadcast(hub: &Hub, name: &str, data: &str) -> String {
    let details = [detail(&["publish"], &[exact("*")])];
    let topic = channel(name);
    let fields = [("topic", &*topic), ("data", data), ("private", "on")];
    publish(hub.addr, &token(&details), &fields)
}

/// 101 matchers in a URL of 9 kB, and a cookie of more than 4 kB.
fn a_hundred_channels_with_presence_are_one_stream(driver: Driver) {
    let mut names: Vec<String> =
        (0..99).map(|number| format!("private-orders.{number:0>3}.caf\u{e9}")).collect();
    names.push("presence-room".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pattern = subscriptions("presence-room", "/:subscriber");
    let query = format!("{}&match_urlpattern={}", exact_matchers(&names), encode(&pattern));
    assert!(query.len() > 8_500, "{}", query.len());
    let private: Vec<_> = names.iter().map(|name| exact(&channel(name))).collect();
    let details = [detail(&["subscribe"], &private), presence("presence-room")];
    let token = token(&details);
    assert!(token.len() > 4096, "{}", token.len());
    for hub in hubs(driver) {
        let mut stream = Stream::open(hub.addr, &query, &fields(&token));
        // What lets a page of another origin see it, with its cookie.
        assert_eq!(stream.field("access-control-allow-origin"), Some(APP));
        assert_eq!(stream.field("access-control-allow-credentials"), Some("true"));
        for name in [names[0], names[98], "presence-room"] {
            broadcast(&hub, name, name);
            assert_eq!(stream.data(1), [name]);
        }
    }
}

/// One detail for all private channels, one for each presence channel, one for whispers: more than
/// a hundred topics in all, of which a guarded channel takes two.
fn every_kind_of_channel_has_its_grant(driver: Driver) {
    let hub = hub(driver);
    let private: Vec<_> = (0..40)
        .flat_map(|number| {
            let name = format!("private-{number}");
            [exact(&channel(&name)), pattern(&subscriptions(&name, "{/:subscriber}?"))]
        })
        .collect();
    let mut details = vec![
        detail(&["subscribe"], &private),
        detail(&["subscribe", "publish"], &[exact(&channel("private-0"))]),
    ];
    details.extend((0..15).map(|number| presence(&format!("presence-{number}"))));
    let names = ["private-0", "private-39", "presence-14", "private-40", "presence-15", "end"];
    let mut stream = Stream::open(hub.addr, &exact_matchers(&names), &fields(&token(&details)));
    for name in &names[..5] {
        broadcast(&hub, name, name);
    }
    let publisher = token(&[detail(&["publish"], &[exact("*")])]);
    publish(hub.addr, &publisher, &[("topic", &channel("end")), ("data", "public")]);
    assert_eq!(stream.data(4), ["private-0", "private-39", "presence-14", "public"]);
}

fn who_joined_public_channels_only_is_let_in(driver: Driver) {
    for hub in hubs(driver) {
        let mut stream = Stream::open(hub.addr, &exact_matchers(&["news"]), &fields(&token(&[])));
        let publisher = token(&[detail(&["publish"], &[exact("*")])]);
        broadcast(&hub, "news", "for others");
        publish(hub.addr, &publisher, &[("topic", &channel("news")), ("data", "for all")]);
        assert_eq!(stream.data(1), ["for all"]);
    }
}

/// A stream is closed and another one opened whenever a channel is joined or left, from the last
/// event on; if that one breaks, the browser comes back to the same URL with a newer field.
fn the_last_event_id_of_the_url_grows_old(driver: Driver) {
    let hub = hub(driver);
    let names = ["private-a", "private-b"];
    let topics = names.map(|name| exact(&channel(name)));
    let fields = fields(&token(&[detail(&["subscribe"], &topics)]));
    let mut first = Stream::open(hub.addr, &exact_matchers(&names[..1]), &fields);
    let joined_at = broadcast(&hub, "private-a", "1");
    assert_eq!(first.next().unwrap().id, joined_at);
    drop(first);
    broadcast(&hub, "private-b", "2");
    let query = format!("{}&last_event_id={}", exact_matchers(&names), encode(&joined_at));
    let mut joined = Stream::open(hub.addr, &query, &fields);
    broadcast(&hub, "private-a", "3");
    assert_eq!(joined.data(1), ["2"]);
    let last = joined.next().unwrap().id;
    drop(joined);
    broadcast(&hub, "private-b", "4");
    let field = format!("{fields}Last-Event-ID: {last}\r\n");
    let mut again = Stream::open(hub.addr, &query, &field);
    assert_eq!(again.field("mercure-last-event-id"), Some(&*last));
    assert_eq!(again.data(1), ["4"]);
}

fn the_stream_ends_with_the_token_and_goes_on_with_another(driver: Driver) {
    let hub = hub(driver);
    let details = [detail(&["subscribe"], &[exact(&channel("private-a"))])];
    let query = exact_matchers(&["private-a"]);
    let mut stream = Stream::open(hub.addr, &query, &fields(&token_for(1.0, &details)));
    let begin = Instant::now();
    let last = broadcast(&hub, "private-a", "1");
    let (events, proper) = stream.end();
    assert!(proper && events.len() == 1, "{events:?}");
    assert!(begin.elapsed() >= Duration::from_millis(700), "{:?}", begin.elapsed());
    broadcast(&hub, "private-a", "2");
    let field = format!("{}Last-Event-ID: {last}\r\n", fields(&token(&details)));
    assert_eq!(Stream::open(hub.addr, &query, &field).data(1), ["2"]);
}

/// A publication by a page.
fn whisper(hub: &Hub, origin: &str, token: &str, data: &str) -> Answer {
    let topic = encode(&channel("private-chat"));
    let form = format!("topic={topic}&data={}&private=on", encode(data));
    let fields = fields(token).replace("text/event-stream", "*/*");
    let fields = fields.replace(&format!("Origin: {APP}"), &format!("Origin: {origin}"));
    request(
        hub.addr,
        &format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example\r\n{fields}\
             Content-Type: application/x-www-form-urlencoded;charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    )
}

fn whispers() -> [Value; 1] {
    [detail(&["subscribe", "publish"], &[exact(&channel("private-chat"))])]
}

/// With the token that it listens with; a page that is told that it expired sends another one.
fn whispers_are_published_by_the_page(driver: Driver) {
    let hub = hub(driver);
    let good = token(&whispers());
    let mut other = Stream::open(hub.addr, &exact_matchers(&["private-chat"]), &fields(&good));
    let expired = whisper(&hub, APP, &token_for(-1.0, &whispers()), "lost");
    assert_eq!(expired.status, 401);
    // Without this the page would not see the status.
    assert_eq!(expired.field("access-control-allow-origin"), Some(APP));
    assert_eq!(expired.field("access-control-allow-credentials"), Some("true"));
    let data = r#"{"event":"client-typing","data":{"name":"Zoë"}}"#;
    let answer = whisper(&hub, APP, &good, data);
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = other.next().unwrap();
    assert_eq!((event.id, event.data.as_str()), (answer.body, data));
    // Only on channels with the grant.
    let listener = token(&[detail(&["subscribe"], &[exact(&channel("private-chat"))])]);
    assert_eq!(whisper(&hub, APP, &listener, data).status, 403);
}

/// Two streams of one client, with one cookie.
fn a_channel_with_whispers_has_a_stream_of_its_own(driver: Driver) {
    for hub in hubs(driver) {
        let topics = ["private-chat", "private-orders"].map(|name| exact(&channel(name)));
        let details = [detail(&["subscribe"], &topics), whispers()[0].clone()];
        let good = token(&details);
        let open = |name: &str| Stream::open(hub.addr, &exact_matchers(&[name]), &fields(&good));
        let [mut all, mut chat] = ["private-orders", "private-chat"].map(open);
        assert_eq!(whisper(&hub, APP, &good, "typing").status, 200);
        broadcast(&hub, "private-orders", "shipped");
        broadcast(&hub, "private-chat", "hello");
        assert_eq!(chat.data(2), ["typing", "hello"]);
        assert_eq!(all.data(1), ["shipped"]);
        // One is closed, and the other goes on.
        drop(chat);
        broadcast(&hub, "private-orders", "arrived");
        assert_eq!(all.data(1), ["arrived"]);
    }
}

/// Whatever is not 200 ends an `EventSource`: the page fetches a cookie then, and goes on where it
/// was. That it can see the answer at all is up to CORS.
fn a_page_that_is_refused_opens_again_with_another_cookie(driver: Driver) {
    for hub in hubs(driver) {
        let details = [detail(&["subscribe"], &[exact(&channel("private-a"))])];
        let last = broadcast(&hub, "private-a", "1");
        broadcast(&hub, "private-a", "2");
        let query = format!("{}&last_event_id={}", exact_matchers(&["private-a"]), encode(&last));
        for (bad, status) in [(&*token_for(-1.0, &details), 401), ("a.b.c", 401), ("x", 400)] {
            let answer = refused(hub.addr, &query, &fields(bad));
            assert_eq!(answer.status, status, "{bad}");
            assert_eq!(answer.field("access-control-allow-origin"), Some(APP));
            assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
        }
        let nobody = refused(hub.addr, &query, &format!("Origin: {APP}\r\n"));
        assert_eq!(nobody.status, 401);
        let mut stream = Stream::open(hub.addr, &query, &fields(&token(&details)));
        assert_eq!(stream.data(1), ["2"]);
    }
}

fn a_page_elsewhere_does_not_whisper(driver: Driver) {
    let hub = hub(driver);
    let answer = whisper(&hub, "https://evil.example", &token(&whispers()), "x");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.field("access-control-allow-origin"), None);
}
