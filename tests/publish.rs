//! Publications: every field, every refusal (draft-08 #publication).

use std::time::Duration;

use crate::{
    common::{
        client::{
            Event, Stream, encode, publication, publication_of, publish, request, try_publish,
        },
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    the_answer_is_the_id,
    fields_become_the_event,
    data_is_split_into_lines,
    refusals_say_what_is_wrong,
    too_much_is_too_large,
    only_forms_are_taken,
    the_reserved_namespace_is_the_hubs,
    a_named_hub_reserves_its_namespace_too,
    what_only_looks_reserved_is_published,
    repeated_fields_count_once,
    several_topics_are_one_update,
    private_is_private_in_any_form,
    updates_keep_their_order,
);

fn is_uuid_urn(id: &str) -> bool {
    let Some(uuid) = id.strip_prefix("urn:uuid:") else { return false };
    let lens: Vec<usize> = uuid.split('-').map(str::len).collect();
    lens == [8, 4, 4, 4, 12]
        && uuid.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn the_answer_is_the_id(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        let answer = try_publish(hub.addr, "topic=a");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
        assert!(is_uuid_urn(&answer.body), "{answer:?}");
        assert_eq!(stream.next().unwrap().id, answer.body);
        assert!(ids.insert(answer.body.clone()), "{answer:?}");
    }
    for id in ["1", "urn:x:y", "a b", "\u{e9}\u{1f600}", "x#y", "earlier", &"i".repeat(1024)] {
        let answer = try_publish(hub.addr, &format!("topic=a&id={}", encode(id)));
        assert_eq!((answer.status, answer.body.as_str()), (200, id));
        assert_eq!(stream.next().unwrap().id, id);
    }
    let answer = try_publish(hub.addr, "topic=a&id=");
    assert!(is_uuid_urn(&answer.body), "{answer:?}");
}

fn fields_become_the_event(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let event = |event: &str, retry: &str, data: &str| Event {
        id: "i".into(),
        event: event.into(),
        retry: retry.into(),
        data: data.into(),
    };
    for (form, expected) in [
        ("", event("", "", "")),
        ("&data=", event("", "", "")),
        ("&data", event("", "", "")),
        ("&data=x", event("", "", "x")),
        ("&data=x&type=t&retry=10", event("t", "10", "x")),
        ("&type=&retry=&data=x", event("", "", "x")),
        ("&retry=0&data=x", event("", "", "x")),
        ("&retry=000&data=x", event("", "", "x")),
        ("&retry=999999999999999&data=x", event("", "999999999999999", "x")),
        ("&type=Mercure&data=x", event("Mercure", "", "x")),
        ("&type=mercure2&data=x", event("mercure2", "", "x")),
        ("&type=a%3A+b&data=x", event("a: b", "", "x")),
        ("&unknown=1&DATA=y&Private=1&data=x&lastEventID=z", event("", "", "x")),
        ("&data=%20x%20", event("", "", " x ")),
        ("&data=%3A+x", event("", "", ": x")),
        ("&data=id%3A+forged", event("", "", "id: forged")),
        ("&data=%F0%9F%98%80%C3%A9", event("", "", "\u{1f600}\u{e9}")),
        ("&data=%00%01%7F", event("", "", "\0\u{1}\u{7f}")),
        ("&data=a%2Bb+c%26d", event("", "", "a+b c&d")),
        ("&data=\u{e9}", event("", "", "\u{e9}")),
        ("&data=100%", event("", "", "100%")),
    ] {
        let answer = try_publish(hub.addr, &format!("topic=a&id=i{form}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "i"), "{form} {answer:?}");
        assert_eq!(stream.next().unwrap(), expected, "{form}");
    }
}

fn data_is_split_into_lines(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    for (data, expected) in [
        ("a\nb", "a\nb"),
        ("a\rb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a\n\rb", "a\n\nb"),
        ("a\r\r\nb", "a\n\nb"),
        ("\n", "\n"),
        ("\r", "\n"),
        ("\r\n", "\n"),
        ("a\n", "a\n"),
        ("\na", "\na"),
        ("\n\n\n", "\n\n\n"),
        ("a\n\nid: forged\ndata: forged\n\n", "a\n\nid: forged\ndata: forged\n\n"),
        ("a\u{2028}b\u{85}c\u{b}d", "a\u{2028}b\u{85}c\u{b}d"),
        ("{\n  \"a\": 1\r\n}", "{\n  \"a\": 1\n}"),
    ] {
        let answer = try_publish(hub.addr, &format!("topic=a&id=x&data={}", encode(data)));
        assert_eq!(answer.status, 200, "{data:?}");
        let event = stream.next().unwrap();
        assert_eq!((event.data.as_str(), event.id.as_str()), (expected, "x"), "{data:?}");
    }
}

fn refusals_say_what_is_wrong(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=*", "");
    for (form, named) in [
        ("", "topic"),
        ("data=x", "topic"),
        ("Topic=a", "topic"),
        ("match=a", "topic"),
        ("topic=", "topic"),
        ("topic", "topic"),
        ("topic=a&topic=", "topic"),
        ("topic=*", "*"),
        ("topic=a&topic=*", "*"),
        ("topic=%2A", "*"),
        ("topic=a%00", "topic"),
        ("topic=a%0Ab", "topic"),
        ("topic=a%7F", "topic"),
        ("topic=%C2%85", "topic"),
        ("topic=a%E2%80%8Bb", "topic"),
        ("topic=%E2%80%AEa", "topic"),
        ("topic=%F3%A0%80%81", "topic"),
        ("topic=a&topic=%0D", "topic"),
        ("topic=%FF", "UTF-8"),
        ("topic=a&data=%FF", "UTF-8"),
        ("topic=a&data=%ED%A0%80", "UTF-8"),
        ("topic=a&foo=%FF", "UTF-8"),
        ("topic=a&%FF=foo", "UTF-8"),
        ("topic=a&id=%23x", "#"),
        ("topic=a&id=%23", "#"),
        ("topic=a&id=earliest", "earliest"),
        ("topic=a&id=a%0Ab", "id"),
        ("topic=a&id=a%00", "id"),
        ("topic=a&id=%C2%9F", "id"),
        ("topic=a&id=a%E2%80%8D", "id"),
        ("topic=a&type=mercure", "mercure"),
        ("topic=a&type=a%0Ddata%3A+x", "type"),
        ("topic=a&type=%E2%80%8B", "type"),
        ("topic=a&retry=x", "retry"),
        ("topic=a&retry=-1", "retry"),
        ("topic=a&retry=%2B1", "retry"),
        ("topic=a&retry=1.5", "retry"),
        ("topic=a&retry=1e3", "retry"),
        ("topic=a&retry=+1", "retry"),
        ("topic=a&retry=1%0A", "retry"),
        ("topic=a&retry=%D9%A1", "retry"),
        ("topic=a&retry=0x1", "retry"),
        // Nothing forbidden gets through behind an allowed one.
        ("topic=a&id=ok&id=earliest", "earliest"),
        ("topic=a&id=ok&id=%23x", "#"),
        ("topic=a&type=ok&type=mercure", "mercure"),
        ("topic=a&retry=1&retry=x", "retry"),
        ("topic=a&id=&id=%0A", "id"),
    ] {
        let answer = try_publish(hub.addr, form);
        assert_eq!(answer.status, 400, "{form} {answer:?}");
        assert!(answer.detail().contains(named), "{form} {answer:?}");
        assert_eq!(answer.field("www-authenticate"), None, "{form}");
        assert!(answer.keeps_alive(), "{form}");
    }
    assert!(stream.is_silent_for(Duration::from_millis(50)));
}

fn topics(count: usize) -> String {
    (0..count).map(|number| format!("topic=t{number}")).collect::<Vec<_>>().join("&")
}

fn too_much_is_too_large(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=t999", "");
    let long = "x".repeat(8193);
    for (form, status) in [
        (topics(1000) + "&data=thousand", 200),
        (topics(1001), 413),
        (vec!["topic=a"; 1001].join("&"), 413),
        (format!("topic={}", &long[1..]), 200),
        (format!("topic={long}"), 413),
        (format!("topic=a&topic={long}"), 413),
        (format!("topic=a&id={}", "x".repeat(1025)), 413),
        (format!("topic=a&type={}", "x".repeat(1024)), 200),
        (format!("topic=a&type={}", "x".repeat(1025)), 413),
        ("topic=a&retry=1234567890123456".to_owned(), 413),
        (format!("topic=a&{}", vec!["x=y"; 5000].join("&")), 413),
        (format!("topic=a&{}", "&".repeat(10_000)), 200),
    ] {
        let answer = try_publish(hub.addr, &form);
        assert_eq!(answer.status, status, "{form:.60} {answer:?}");
    }
    assert_eq!(stream.data(1), ["thousand"]);
    let hub = Setup::new(driver)
        .directive("max_topics 2")
        .directive("max_topic_length 5")
        .directive("max_request_body_size 100")
        .start();
    for (form, status) in [
        (topics(2), 200),
        (topics(3), 413),
        ("topic=12345".to_owned(), 200),
        ("topic=123456".to_owned(), 413),
        (format!("topic=a&data={}", "x".repeat(87)), 200),
        (format!("topic=a&data={}", "x".repeat(88)), 413),
    ] {
        let answer = try_publish(hub.addr, &form);
        assert_eq!(answer.status, status, "{form} {answer:?}");
    }
}

fn only_forms_are_taken(driver: Driver) {
    let hub = Setup::new(driver).start();
    let sent = publication(&tokens::publisher(&["*"]), &[("topic", "a")]);
    let field = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (other, status) in [
        ("Content-Type: APPLICATION/x-www-form-URLENCODED\r\n", 200),
        ("content-type:application/x-www-form-urlencoded; charset=utf-8\r\n", 200),
        ("Content-Type: application/x-www-form-urlencoded;charset=\"UTF-8\"\r\n", 200),
        ("", 415),
        ("Content-Type:\r\n", 415),
        ("Content-Type: application/json\r\n", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: multipart/form-data; boundary=x\r\n", 415),
        ("Content-Type: application/x-www-form-urlencodedx\r\n", 415),
        ("Content-Type: x; a=application/x-www-form-urlencoded\r\n", 415),
    ] {
        let answer = request(hub.addr, &sent.replace(field, other));
        assert_eq!(answer.status, status, "{other} {answer:?}");
        if status == 415 {
            assert!(answer.detail().contains("application/x-www-form-urlencoded"), "{answer:?}");
        }
    }
}

/// Decision: the test is made on the resolved path.
const RESERVED: &[&str] = &[
    "/.well-known/mercure",
    "/.well-known/mercure/",
    "/.well-known/mercure/subscriptions/x",
    "https://hub.example/.well-known/mercure",
    "https://other.example/.well-known/mercure/subscriptions/a/b",
    "http://other.example:81/.well-known/mercure?x#y",
    "//other.example/.well-known/mercure",
    "ftp://x/.well-known/mercure",
    "/.well-known/%6Dercure",
    "/.well-known/%6dercure/x",
    "/%2Ewell-known/mercure/x",
    "/.well%2Dknown/mercure",
    "/.well-known/mercure/../mercure/x",
    "/x/../.well-known/mercure",
    "/./.well-known/./mercure",
    "/.well-known/x/%2e%2e/mercure",
    "\\.well-known\\mercure",
    "https:\\\\x\\.well-known\\mercure",
    " /.well-known/mercure ",
    "mercure",
    "./mercure",
    "../.well-known/mercure/x",
    "mercure/subscriptions",
    "?q",
    "#f",
    " ",
    ".well-known/../mercure",
    "urn:/.well-known/mercure",
    "data:/.well-known/mercure/x",
    "HTTPS://x/.well-known/mercure",
    "https:/.well-known/mercure",
    "https:mercure",
];

fn the_reserved_namespace_is_the_hubs(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=*", "");
    for topic in RESERVED {
        for form in [format!("topic={}", encode(topic)), format!("topic=a&topic={}", encode(topic))]
        {
            let answer = try_publish(hub.addr, &form);
            assert_eq!(answer.status, 400, "{topic} {answer:?}");
        }
    }
    assert!(stream.is_silent_for(Duration::from_millis(50)));
}

/// Behind a proxy the hub may have a path of its own.
fn a_named_hub_reserves_its_namespace_too(driver: Driver) {
    let hub = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_JWT_KEY", crate::common::hub::PUBLISHER_KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .directive("resource_identifier https://hub.example/sub/.well-known/mercure")
        .start();
    let mut claims = tokens::claims("publish", &["*"]);
    claims["aud"] = "https://hub.example/sub/.well-known/mercure".into();
    let token = tokens::sign(&claims, crate::common::hub::PUBLISHER_KEY);
    for (topic, status) in [
        ("/sub/.well-known/mercure", 400),
        ("https://x/sub/.well-known/mercure/y", 400),
        ("https://x/.well-known/mercure", 400),
        ("mercure", 400),
        ("https://x/other/.well-known/mercure", 200),
        ("https://x/sub/.well-known/mercurex", 200),
    ] {
        let answer = request(hub.addr, &publication(&token, &[("topic", topic)]));
        assert_eq!(answer.status, status, "{topic} {answer:?}");
    }
}

fn what_only_looks_reserved_is_published(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=*", "");
    for topic in [
        "/.well-known/mercurex",
        "/.well-known",
        "/.well-known/Mercure",
        "/.WELL-KNOWN/mercure",
        "/.well-known%2Fmercure",
        "/.well-known/mercure%2Fx",
        "/x/.well-known/mercure",
        "https://x/?/.well-known/mercure",
        "https://x/#/.well-known/mercure",
        "/.well-known/%256Dercure",
        "urn:.well-known/mercure",
        "urn:mercure",
        "https://x:99999/.well-known/mercure",
        "https://[/.well-known/mercure",
        "https:///.well-known/mercure",
        "mercury",
        "Mercure",
        "**",
        "a*",
        "earliest",
        "https://example.com/books/1",
        "\u{1f600}",
    ] {
        let answer = try_publish(hub.addr, &format!("topic={}&data=x", encode(topic)));
        assert_eq!(answer.status, 200, "{topic} {answer:?}");
        assert_eq!(stream.data(1), ["x"]);
    }
}

fn repeated_fields_count_once(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=b", "");
    let form = "topic=a&data=1&id=x&type=t&retry=5&topic=b&data=2&id=y&type=u&retry=6&topic=a";
    assert_eq!(try_publish(hub.addr, form).body, "x");
    let expected = Event { id: "x".into(), event: "t".into(), retry: "5".into(), data: "1".into() };
    assert_eq!(stream.next().unwrap(), expected);
    assert!(stream.is_silent_for(Duration::from_millis(50)));
    // The first counts, also where it is empty.
    try_publish(hub.addr, "topic=b&data=&data=2");
    assert_eq!(stream.data(1), [""]);
}

fn several_topics_are_one_update(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<Stream> = ["match=a", "match=b", "match=c", "match=a&match=c", "match=d"]
        .iter()
        .map(|query| Stream::open(hub.addr, query, ""))
        .collect();
    let id =
        publish(hub.addr, &token, &[("topic", "a"), ("topic", "b"), ("topic", "c"), ("data", "x")]);
    let mut other = streams.pop().unwrap();
    for stream in &mut streams {
        let event = stream.next().unwrap();
        assert_eq!((event.id, event.data.as_str()), (id.clone(), "x"));
        assert!(stream.is_silent_for(Duration::from_millis(20)));
    }
    assert!(other.is_silent_for(Duration::from_millis(20)));
}

fn private_is_private_in_any_form(driver: Driver) {
    let hub = Setup::new(driver).start();
    let field = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["a"]));
    let mut granted = Stream::open(hub.addr, "match=a", &field);
    let mut anonymous = Stream::open(hub.addr, "match=a", "");
    for form in [
        "private=on",
        "private",
        "private=",
        "private=off",
        "private=0",
        "private=false",
        "private=no&private=",
        "priv%61te=1",
        "private=%00",
        "private=on&data=private",
    ] {
        assert_eq!(try_publish(hub.addr, &format!("topic=a&{form}&data=x")).status, 200);
        assert!(granted.next().unwrap().id.starts_with("urn:uuid:"), "{form}");
    }
    for form in ["Private=on", "private+=on", "+private=on", "xprivate=on"] {
        try_publish(hub.addr, &format!("topic=a&{form}&data=public"));
        // The first that the anonymous subscriber gets.
        assert_eq!(anonymous.data(1), ["public"], "{form}");
        assert_eq!(granted.data(1), ["public"], "{form}");
    }
}

fn updates_keep_their_order(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<Stream> = (0..4).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let (token, addr) = (token.clone(), hub.addr);
            std::thread::spawn(move || {
                let mut connection = crate::common::client::Connection::open(addr);
                for number in 0..200 {
                    let form = format!("topic=a&data={publisher}.{number}");
                    let answer = connection.send(publication_of(&token, &form)).answer();
                    assert_eq!(answer.status, 200);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let orders: Vec<Vec<String>> = streams.iter_mut().map(|stream| stream.data(800)).collect();
    // One order for all, and each publisher's own order within it.
    assert!(orders.iter().all(|order| *order == orders[0]));
    for publisher in 0..4 {
        let prefix = format!("{publisher}.");
        let own = orders[0].iter().filter_map(|data| data.strip_prefix(&prefix));
        assert!(own.eq((0..200).map(|number| number.to_string()).collect::<Vec<_>>().iter()));
    }
}
