//! What a subscriber may ask for (draft-08 #subscription), and what it gets.

use std::time::Duration;

use crate::{
    common::{
        client::{Connection, Stream, encode, publish, refused},
        hub::{AUDIENCE, Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    matchers_select,
    exact_matchers_are_compared_byte_by_byte,
    an_update_arrives_once_however_many_matchers_select_it,
    a_thousand_matchers_are_taken,
    the_number_of_matchers_is_a_setting,
    reserved_names_are_refused,
    values_are_decoded_like_browsers_encode_them,
    what_is_no_text_is_refused,
    long_matchers_are_refused,
    subscribers_are_told_apart,
    thousands_of_subscribers_get_what_is_theirs,
);

/// Which of these topics arrive, each published once.
fn received(hub: &crate::common::hub::Hub, query: &str, topics: &[&str]) -> Vec<String> {
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, query, "");
    for topic in topics {
        publish(hub.addr, &token, &[("topic", topic), ("data", topic)]);
    }
    // Selected by no test's query but through its own.
    let query = format!("{query}&match=the+end");
    let mut marked = Stream::open(hub.addr, &query, "");
    publish(hub.addr, &token, &[("topic", "the end"), ("data", "the end")]);
    assert_eq!(marked.data(1), ["the end"], "{query}");
    let mut all = Vec::new();
    while !stream.is_silent_for(Duration::from_millis(30)) {
        all.push(stream.next().unwrap().data);
    }
    all.retain(|data| data != "the end");
    all
}

fn matchers_select(driver: Driver) {
    let hub = Setup::new(driver).start();
    let topics = ["a", "b", "c", "A", "a/", "https://e.example/a?q#f", "match", "\u{e9}", "a b"];
    for (query, expected) in [
        ("match=a", &["a"][..]),
        ("match_exact=a", &["a"]),
        ("match=a&match_exact=b", &["a", "b"]),
        ("match=c&match=b&match=a", &["a", "b", "c"]),
        ("match=*", &topics),
        ("match_exact=*", &topics),
        ("match=x&match=*&match=a", &topics),
        ("match=", &[]),
        ("match", &[]),
        ("match=&match=a", &["a"]),
        ("match=**", &[]),
        ("match=a*", &[]),
        ("match=https://e.example/a?q%23f", &["https://e.example/a?q#f"]),
        ("match=https%3A%2F%2Fe.example%2Fa%3Fq%23f", &["https://e.example/a?q#f"]),
        ("match=https://e.example/a", &[]),
        ("match=https://e.example/a?q", &[]),
        ("match=%C3%A9", &["\u{e9}"]),
        ("match=%c3%a9", &["\u{e9}"]),
        ("match=\u{e9}", &["\u{e9}"]),
        ("match=e%CC%81", &[]),
        ("match=a+b", &["a b"]),
        ("match=a%20b", &["a b"]),
        ("other=1&match=a&topic=b&foo", &["a"]),
        ("&&match=a&", &["a"]),
        ("%6d%61tch=a", &["a"]),
        ("mat%63h_exact=a", &["a"]),
    ] {
        assert_eq!(received(&hub, query, &topics), expected, "{query}");
    }
}

/// Nothing is resolved and nothing is normalized: what means the same is another topic.
fn exact_matchers_are_compared_byte_by_byte(driver: Driver) {
    let hub = Setup::new(driver).start();
    let base = AUDIENCE.strip_suffix("/.well-known/mercure").unwrap();
    let absolute = format!("{base}/a");
    let topics = [
        "/a",
        "//hub.example/a",
        &absolute,
        "/x/../a",
        "/%61",
        "/A",
        "https://e.example/\u{e9}",
        "https://e.example/e\u{301}",
        "https://e.example/%C3%A9",
        "https://e.example/%c3%a9",
        "https://E.example/%C3%A9",
        "https://e.example:443/%C3%A9",
        "HTTPS://e.example/%C3%A9",
        "https://b\u{fc}cher.example/",
        "https://xn--bcher-kva.example/",
        "https://xn--bcher-kva.example",
    ];
    for topic in topics {
        let query = format!("match={}", encode(topic));
        assert_eq!(received(&hub, &query, &topics), [topic], "{query}");
    }
}

fn an_update_arrives_once_however_many_matchers_select_it(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(
        hub.addr,
        "match=a&match=a&match_exact=a&match=b&match=*&match=*&match_exact=*&match=c",
        "",
    );
    let mut exact = Stream::open(hub.addr, "match=a&match=b&match=c&match=a", "");
    let topics = [("topic", "a"), ("topic", "b"), ("topic", "c"), ("topic", "a")];
    for data in ["1", "2"] {
        publish(hub.addr, &token, &[&topics[..], &[("data", data)]].concat());
    }
    for stream in [&mut stream, &mut exact] {
        assert_eq!(stream.data(2), ["1", "2"]);
        assert!(stream.is_silent_for(Duration::from_millis(50)));
    }
}

fn matchers(count: usize) -> String {
    let one = |number| format!("match={}", encode(&format!("https://example.com/books/{number}")));
    (0..count).map(one).collect::<Vec<_>>().join("&")
}

fn a_thousand_matchers_are_taken(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let query = matchers(1000);
    let mut stream = Stream::open(hub.addr, &query, "");
    for number in [0, 1, 500, 999, 1000] {
        let topic = format!("https://example.com/books/{number}");
        publish(hub.addr, &token, &[("topic", &topic), ("data", &topic)]);
    }
    for number in [0, 1, 500, 999] {
        assert_eq!(stream.next().unwrap().data, format!("https://example.com/books/{number}"));
    }
    assert!(stream.is_silent_for(Duration::from_millis(50)));
    let answer = refused(hub.addr, &matchers(1001), "");
    assert_eq!(answer.status, 400);
    assert!(answer.detail().contains("1000"), "{answer:?}");
    // Repeated ones count too.
    let repeated = vec!["match=a"; 1001].join("&");
    assert_eq!(refused(hub.addr, &repeated, "").status, 400);
}

fn the_number_of_matchers_is_a_setting(driver: Driver) {
    let hub = Setup::new(driver).directive("max_matchers 3").start();
    Stream::open(hub.addr, &matchers(3), "");
    assert_eq!(refused(hub.addr, &matchers(4), "").status, 400);
}

fn reserved_names_are_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    for (query, named) in [
        ("", "match"),
        ("foo=bar", "match"),
        ("last_event_id=x", "match"),
        ("topic=a", "`match`"),
        ("topic=a&topic=b", "`match`"),
        ("Match=a", "Match"),
        ("MATCH=a", "MATCH"),
        ("matcha=a", "matcha"),
        ("match_=a", "match_"),
        ("match_Exact=a", "match_Exact"),
        ("match_EXACT=a", "match_EXACT"),
        ("match_regexp=a", "match_regexp"),
        ("match-exact=a", "match-exact"),
        ("match%5Bfoo=a", "match[foo"),
        ("match[]=a", "match[]"),
        ("match%00=a", "match"),
        ("matches=a&match=a", "matches"),
        ("match=a&match_x", "match_x"),
        ("m%41tch=a&match=a", "mAtch"),
    ] {
        let answer = refused(hub.addr, query, "");
        assert_eq!(answer.status, 400, "{query} {answer:?}");
        assert!(answer.detail().contains(named), "{query} {answer:?}");
        assert_eq!(answer.field("www-authenticate"), None, "{query}");
        assert!(answer.keeps_alive(), "{query}");
    }
}

/// The WHATWG algorithm: nothing is an error there.
fn values_are_decoded_like_browsers_encode_them(driver: Driver) {
    let hub = Setup::new(driver).start();
    let topics =
        ["a;b", "100%", "%zz", "a+b", "a&b=c", "a=b", "\u{1f600}", "\u{feff}x", "a%2Bb", "{a}"];
    for (query, expected) in [
        ("match=a;b", "a;b"),
        ("match=a%3Bb", "a;b"),
        ("match=100%", "100%"),
        ("match=100%25", "100%"),
        ("match=%zz", "%zz"),
        ("match=%25zz", "%zz"),
        ("match=a%2Bb", "a+b"),
        ("match=a%26b%3Dc", "a&b=c"),
        ("match=a=b", "a=b"),
        ("match=%F0%9F%98%80", "\u{1f600}"),
        ("match=\u{1f600}", "\u{1f600}"),
        ("match=a%252Bb", "a%2Bb"),
        ("match={a}", "{a}"),
        ("match=%7Ba%7D", "{a}"),
    ] {
        let topics: Vec<_> = topics.iter().copied().filter(|topic| *topic != "\u{feff}x").collect();
        assert_eq!(received(&hub, query, &topics), [expected], "{query}");
    }
}

fn what_is_no_text_is_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    for value in [
        "%FF",
        "%C3",
        "%C3%28",
        "%C0%80",
        "%ED%A0%80",
        "%F4%90%80%80",
        "%E2%82",
        "a%80b",
        // Controls: C0, DEL, C1.
        "%00",
        "%01",
        "a%09b",
        "a%0Ab",
        "a%0D",
        "%1F",
        "%7F",
        "%C2%80",
        "%C2%85",
        "%C2%9F",
        // Format characters.
        "%C2%AD",
        "%E2%80%8B",
        "%E2%80%AE",
        "%E2%81%A6",
        "%EF%BB%BF",
        "%F3%A0%80%81",
        "%D8%80",
    ] {
        for name in ["match", "match_exact"] {
            let answer = refused(hub.addr, &format!("match=ok&{name}={value}"), "");
            assert_eq!(answer.status, 400, "{name}={value} {answer:?}");
            assert!(!answer.detail().is_empty(), "{name}={value}");
        }
    }
    for query in ["match=a&%FF=b", "%C3=a&match=a", "match=a&foo=%FF"] {
        assert_eq!(refused(hub.addr, query, "").status, 400, "{query}");
    }
    // Raw bytes in the target that are no UTF-8.
    let mut connection = Connection::open(hub.addr);
    connection.send(b"GET /.well-known/mercure?match=a\xffb HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_eq!(connection.answer().status, 400);
    // Blanks and private use are text.
    for value in ["+", "%C2%A0", "%E3%80%80", "%EE%80%80", "%F4%8F%BF%BD"] {
        Stream::open(hub.addr, &format!("match={value}"), "");
    }
}

fn long_matchers_are_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let longest = "x".repeat(8192);
    let mut stream = Stream::open(hub.addr, &format!("match={longest}"), "");
    publish(hub.addr, &token, &[("topic", &longest), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    assert_eq!(refused(hub.addr, &format!("match={longest}x"), "").status, 400);
}

fn subscribers_are_told_apart(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<Stream> =
        (0..8).map(|number| Stream::open(hub.addr, &format!("match={number}"), "")).collect();
    let mut all = Stream::open(hub.addr, "match=*", "");
    for number in 0..8 {
        let text = number.to_string();
        publish(hub.addr, &token, &[("topic", &text), ("data", &text)]);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_eq!(stream.data(1), [number.to_string()]);
        assert!(stream.is_silent_for(Duration::from_millis(10)));
    }
    assert_eq!(all.data(8), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

fn thousands_of_subscribers_get_what_is_theirs(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<(usize, Stream)> = (0..1500)
        .map(|number| {
            (number % 3, Stream::open(hub.addr, &format!("match=room-{}", number % 3), ""))
        })
        .collect();
    for round in ["1", "2", "3"] {
        for room in 0..3 {
            let topic = format!("room-{room}");
            publish(hub.addr, &token, &[("topic", &topic), ("data", &format!("{topic} {round}"))]);
        }
    }
    for (room, stream) in &mut streams {
        let expected = ["1", "2", "3"].map(|round| format!("room-{room} {round}"));
        assert_eq!(stream.data(3), expected);
    }
}
