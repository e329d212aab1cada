//! Gaps told in the stream: for clients that cannot read `Mercure-Last-Event-ID`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Connection, Event, Stream, encode, publication_of, publish, refused},
        hub::{Driver, Hub, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    who_asks_is_told_first,
    the_directive_asks_for_everybody,
    without_history_to_send_it_is_told_too,
    a_notice_is_a_place_to_resume_from,
    nothing_comes_before_the_notice,
    no_notice_follows_the_answer_to_head,
    other_values_are_mistakes,
);

/// A hub that retains the last three of `0..6`, published to `a`, and the ids of all.
fn hub_with_history(setup: Setup) -> (Hub, Vec<String>) {
    let hub = setup.directive("transport memory {\n size 3\n}").start();
    let token = tokens::publisher(&["*"]);
    let publish =
        |data: u32| publish(hub.addr, &token, &[("topic", "a"), ("data", &data.to_string())]);
    let ids = (0..6).map(publish).collect();
    (hub, ids)
}

fn get(query: &str, version: &str, fields: &str) -> String {
    format!("GET /.well-known/mercure?{query} {version}\r\nHost: hub\r\n{fields}\r\n")
}

fn query(target: &str, form: &str) -> String {
    format!(
        "QUERY /.well-known/mercure?{target} HTTP/1.1\r\nHost: hub\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// The notice that an event is, which has to be one.
fn notice(event: &Event) -> Value {
    assert_eq!((event.event.as_str(), event.retry.as_str()), ("mercure-gap", ""), "{event:?}");
    serde_json::from_str(&event.data).unwrap()
}

fn next_notice(stream: &mut Stream) -> Value {
    let event = stream.next().unwrap();
    assert_eq!(stream.field("mercure-last-event-id"), Some(event.id.as_str()), "{event:?}");
    notice(&event)
}

fn who_asks_is_told_first(driver: Driver) {
    let (hub, ids) = hub_with_history(Setup::new(driver));
    let long = "x".repeat(2000);
    for (asked, told) in [
        ("nobody's \"\u{e9}\"", json!({ "requested": "nobody's \"\u{e9}\"", "reason": "unknown" })),
        (&*ids[2], json!({ "requested": ids[2], "reason": "trimmed" })),
        // What can be no id is not repeated.
        (&*long, json!({ "reason": "unknown" })),
        ("a\nb", json!({ "reason": "unknown" })),
    ] {
        let mut expected = told;
        expected["resumed_from"] = "earliest".into();
        let cursor = format!("match=a&last_event_id={}", encode(asked));
        let asked_for = format!("{cursor}&petasos_gap=1");
        for request in [
            get(&asked_for, "HTTP/1.1", ""),
            get(&asked_for, "HTTP/1.0", ""),
            get(&format!("{asked_for}&petasos_gap=0"), "HTTP/1.1", ""),
            query("", &asked_for),
            query("petasos_gap=1", &format!("{cursor}&petasos_gap=0")),
            query(&cursor, "petasos_gap=1"),
        ] {
            let mut stream = Stream::from_request(hub.addr, &request);
            assert_eq!(next_notice(&mut stream), expected, "{request:.200}");
            assert_eq!(stream.data(3), ["3", "4", "5"], "{request:.200}");
        }
        for request in [
            get(&cursor, "HTTP/1.1", ""),
            get(&format!("{cursor}&petasos_gap=0"), "HTTP/1.0", ""),
            query("petasos_gap=0", &asked_for),
        ] {
            let mut stream = Stream::from_request(hub.addr, &request);
            assert_eq!(stream.data(3), ["3", "4", "5"], "{request:.200}");
        }
    }
    // The field of the request counts before the parameter, in the notice as well.
    let request = get("match=a&petasos_gap=1&last_event_id=y", "HTTP/1.1", "Last-Event-ID: x\r\n");
    let mut stream = Stream::from_request(hub.addr, &request);
    assert_eq!(next_notice(&mut stream)["requested"], "x");
    // Nothing is missing here.
    for (cursor, expected) in [
        (format!("&last_event_id={}", ids[4]), &["5"][..]),
        ("&last_event_id=earliest".to_owned(), &["3", "4", "5"]),
        ("&last_event_id=".to_owned(), &[]),
        (String::new(), &[]),
    ] {
        let mut stream = Stream::open(hub.addr, &format!("match=a&petasos_gap=1{cursor}"), "");
        assert_eq!(stream.data(expected.len()), expected, "{cursor}");
        assert!(stream.is_silent_for(Duration::from_millis(20)), "{cursor}");
    }
}

fn the_directive_asks_for_everybody(driver: Driver) {
    let (hub, ids) =
        hub_with_history(Setup::new(driver).directive("gap_notice").directive("strict_query"));
    for (parameter, is_told) in [("", true), ("&petasos_gap=1", true), ("&petasos_gap=0", false)] {
        let query = format!("match=a{parameter}&last_event_id={}", ids[0]);
        let mut stream = Stream::open(hub.addr, &query, "");
        if is_told {
            assert_eq!(next_notice(&mut stream)["reason"], "trimmed");
        }
        assert_eq!(stream.data(3), ["3", "4", "5"]);
    }
}

fn without_history_to_send_it_is_told_too(driver: Driver) {
    let setup = Setup::new(driver).directive("unknown_last_event_id live").directive("gap_notice");
    let (hub, ids) = hub_with_history(setup);
    let open = |cursor: &str, version| {
        let query = format!("match=a&last_event_id={cursor}");
        Stream::from_request(hub.addr, &get(&query, version, ""))
    };
    let mut unknown = open("x", "HTTP/1.1");
    let mut trimmed = open(&ids[0], "HTTP/1.0");
    let newest = publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "6")]);
    let expected = json!({ "requested": "x", "resumed_from": ids[5], "reason": "unknown" });
    assert_eq!(next_notice(&mut unknown), expected);
    let expected = json!({ "requested": ids[0], "resumed_from": ids[5], "reason": "trimmed" });
    assert_eq!(next_notice(&mut trimmed), expected);
    for stream in [&mut unknown, &mut trimmed] {
        let event = stream.next().unwrap();
        assert_eq!((event.data.as_str(), event.id.as_str()), ("6", newest.as_str()));
    }
    let hub = Setup::new(driver).directive("transport local").start();
    let mut stream = Stream::open(hub.addr, "match=a&petasos_gap=1&last_event_id=x", "");
    assert_eq!(next_notice(&mut stream)["resumed_from"], "earliest");
}

/// What a browser does that is cut right after the notice: it asks for the notice's id.
fn a_notice_is_a_place_to_resume_from(driver: Driver) {
    for (behaviour, expected) in [("all", &["3", "4", "5"][..]), ("live", &[])] {
        let setup = Setup::new(driver).directive(&format!("unknown_last_event_id {behaviour}"));
        let (hub, _) = hub_with_history(setup);
        let open = |cursor: &str| {
            let field = format!("Last-Event-ID: {cursor}\r\n");
            Stream::open(hub.addr, "match=a&petasos_gap=1", &field)
        };
        let id = open("x").next().unwrap().id;
        let mut stream = open(&id);
        assert_eq!(stream.data(expected.len()), expected, "{behaviour}");
        assert!(stream.is_silent_for(Duration::from_millis(20)), "no second notice");
    }
}

/// While others publish as fast as they can, to streams that start anywhere.
fn nothing_comes_before_the_notice(driver: Driver) {
    for behaviour in ["all", "live"] {
        let hub = Setup::new(driver)
            .directive(&format!("unknown_last_event_id {behaviour}"))
            .directive("transport memory {\n size 50\n}")
            .start();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (hub, stop) = (&hub, &stop);
            scope.spawn(move || {
                let token = tokens::publisher(&["*"]);
                let mut connection = Connection::open(hub.addr);
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let form = format!("topic=a&data={number}&id={number}");
                    let answer = connection.send(publication_of(&token, &form)).answer();
                    assert_eq!(answer.status, 200);
                }
            });
            let checked = scope.spawn(move || {
                for round in 0..200 {
                    let version = if round % 2 == 0 { "HTTP/1.1" } else { "HTTP/1.0" };
                    let request = get("match=a&petasos_gap=1&last_event_id=x", version, "");
                    let mut stream = Stream::from_request(hub.addr, &request);
                    let from = next_notice(&mut stream)["resumed_from"].clone();
                    let numbers: Vec<u64> =
                        stream.data(60).iter().map(|data| data.parse().unwrap()).collect();
                    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
                    match from.as_str().unwrap() {
                        "earliest" => assert!(behaviour == "all" || round < 2),
                        id => assert_eq!(numbers[0], id.parse::<u64>().unwrap() + 1),
                    }
                }
            });
            let result = checked.join();
            stop.store(true, Ordering::Relaxed);
            result.unwrap();
        });
    }
}

fn no_notice_follows_the_answer_to_head(driver: Driver) {
    let (hub, _) = hub_with_history(Setup::new(driver).directive("gap_notice"));
    let request = get("match=a&last_event_id=x", "HTTP/1.1", "").replacen("GET", "HEAD", 1);
    let mut connection = Connection::open(hub.addr);
    // The second answer would not be one if a body had come in between.
    for _ in 0..2 {
        let answer = connection.send(&request).answer_to_head();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("mercure-last-event-id"), Some("earliest"));
    }
}

fn other_values_are_mistakes(driver: Driver) {
    let hub = Setup::new(driver).start();
    for value in ["", "=", "=2", "=true", "=1&petasos_gap=on"] {
        let answer = refused(hub.addr, &format!("match=a&petasos_gap{value}"), "");
        assert_eq!(answer.status, 400, "{value}");
        assert!(answer.detail().contains("`petasos_gap`"), "{answer:?}");
    }
}
