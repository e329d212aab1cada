//! Coming back: the history, where it is resumed, and what the hub says about it (draft-08
//! #reconciliation).

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    common::{
        client::{Connection, Stream, encode, publication_of, publish},
        hub::{Driver, Hub, Setup},
        tokens,
        tools::Directory,
    },
    on_both_drivers,
};

/// Makes tests of each function for histories in memory and on disk, on each driver.
macro_rules! wherever_it_is_kept {
    ($($name:ident),+ $(,)?) => {
        mod in_memory {
            $(fn $name(driver: $crate::common::hub::Driver) {
                super::$name(&super::Kept::in_memory(driver));
            })+
            $crate::on_both_drivers!($($name),+);
        }
        mod on_disk {
            $(fn $name(driver: $crate::common::hub::Driver) {
                super::$name(&super::Kept::on_disk(driver, stringify!($name)));
            })+
            $crate::on_both_drivers!($($name),+);
        }
    };
}

on_both_drivers!(without_a_history_nothing_is_known);

wherever_it_is_kept!(
    what_came_after_an_id_is_sent,
    every_spelling_of_the_cursor,
    unknown_ids_get_everything,
    trimmed_ids_get_what_is_left,
    unknown_ids_may_get_what_is_new,
    an_empty_history_begins_at_the_earliest,
    a_repeated_id_means_its_first_update,
    ids_of_other_hubs_are_unknown,
    a_long_history_is_sent_whole,
    a_replay_goes_over_into_what_is_new,
    a_client_that_is_cut_again_and_again_misses_nothing,
);

/// Where the hubs of a test keep their history: each its own.
struct Kept {
    driver: Driver,
    /// `None`: in memory.
    directory: Option<Directory>,
    hubs: Cell<u32>,
}

impl Kept {
    fn in_memory(driver: Driver) -> Self {
        Kept { driver, directory: None, hubs: Cell::new(0) }
    }

    fn on_disk(driver: Driver, name: &str) -> Self {
        let directory = Directory::new(&format!("{name}-{}", driver.name()));
        Kept { directory: Some(directory), ..Kept::in_memory(driver) }
    }

    /// A hub of its own history.
    fn setup(&self) -> Setup {
        self.setup_with("")
    }

    /// One that does not sync: for those who publish much, one update after the other.
    fn setup_in_a_hurry(&self) -> Setup {
        self.setup_with(if self.directory.is_some() { "sync=off" } else { "" })
    }

    /// The same with options of the transport, as in a URL.
    fn setup_with(&self, options: &str) -> Setup {
        let setup = Setup::new(self.driver);
        match &self.directory {
            None => setup.env("MERCURE_TRANSPORT_URL", &format!("memory://?{options}")),
            Some(directory) => {
                let hub = self.hubs.replace(self.hubs.get() + 1);
                setup
                    .durable(&directory.0.join(hub.to_string()))
                    .env("MERCURE_TRANSPORT_URL", &format!("embedded://?{options}"))
            }
        }
    }
}

/// Publishes on one connection, so that thousands take no time.
struct Publisher {
    connection: Connection,
    token: String,
}

impl Publisher {
    fn new(hub: &Hub) -> Self {
        Publisher { connection: Connection::open(hub.addr), token: tokens::publisher(&["*"]) }
    }

    fn publish(&mut self, form: &str) -> String {
        let answer = self.connection.send(publication_of(&self.token, form)).answer();
        assert_eq!(answer.status, 200, "{form} {answer:?}");
        answer.body
    }
}

/// The value of `Mercure-Last-Event-ID` and the data that is sent at once.
fn resume(hub: &Hub, query: &str, fields: &str) -> (Option<String>, Vec<String>) {
    let mut stream = Stream::open(hub.addr, query, fields);
    let header = stream.field("mercure-last-event-id").map(str::to_owned);
    let mut data = Vec::new();
    while !stream.is_silent_for(Duration::from_millis(40)) {
        data.extend(stream.next().map(|event| event.data));
    }
    (header, data)
}

fn what_came_after_an_id_is_sent(kept: &Kept) {
    let hub = kept.setup().start();
    let mut publisher = Publisher::new(&hub);
    let ids: Vec<String> = (0..10)
        .map(|number| {
            let topic = if number % 2 == 0 { "even" } else { "odd" };
            let id = if number % 3 == 0 { format!("&id=own-{number}") } else { String::new() };
            publisher.publish(&format!("topic={topic}&topic=all&data={number}{id}"))
        })
        .collect();
    for (number, id) in ids.iter().enumerate() {
        let after = |step: usize, first: usize| -> Vec<String> {
            let all = (first..10).step_by(step);
            all.filter(|other| *other > number).map(|other| other.to_string()).collect()
        };
        let field = format!("Last-Event-ID: {id}\r\n");
        // The id is known, whether or not its update is for this subscriber.
        for (query, expected) in
            [("match=all", after(1, 0)), ("match=even", after(2, 0)), ("match=odd", after(2, 1))]
        {
            assert_eq!(resume(&hub, query, &field), (Some(id.clone()), expected), "{query} {id}");
        }
        assert_eq!(resume(&hub, "match=none", &field), (Some(id.clone()), vec![]));
    }
    let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let earliest = resume(&hub, "match=all&last_event_id=earliest", "");
    assert_eq!(earliest, (Some("earliest".to_owned()), all));
    assert_eq!(resume(&hub, "match=all", ""), (None, vec![]));
}

fn every_spelling_of_the_cursor(kept: &Kept) {
    for strict in [false, true] {
        let setting = if strict { "strict_query on" } else { "strict_query off" };
        let hub = kept.setup().directive(setting).start();
        let mut publisher = Publisher::new(&hub);
        for id in ["1", "2", "3", "a b", "\u{e9}+%", "last"] {
            publisher.publish(&format!("topic=a&id={}&data={0}", encode(id)));
        }
        let old = |id: &'static str| if strict { None } else { Some(id) };
        for (query, field, expected) in [
            ("", "", None),
            ("&last_event_id=2", "", Some("2")),
            ("&last_event_id=2&last_event_id=3", "", Some("2")),
            ("&l%61st_event_id=2", "", Some("2")),
            ("&last_event_id=a+b", "", Some("a b")),
            ("&last_event_id=%C3%A9%2B%25", "", Some("\u{e9}+%")),
            ("", "Last-Event-ID: 2\r\n", Some("2")),
            ("", "LAST-event-id:2  \r\n", Some("2")),
            ("", "Last-Event-ID: a b\r\n", Some("a b")),
            ("", "Last-Event-ID: \u{e9}+%\r\n", Some("\u{e9}+%")),
            ("&last_event_id=2", "Last-Event-ID: 3\r\n", Some("3")),
            ("&last_event_id=2", "Last-Event-ID: earliest\r\n", Some("earliest")),
            ("&last_event_id=2", "Last-Event-ID: unknown\r\n", Some("earliest")),
            ("&last_event_id=2", "Last-Event-ID:\r\n", Some("2")),
            // Given but empty: nothing old, after the newest.
            ("&last_event_id=", "", Some("last")),
            ("&last_event_id", "", Some("last")),
            ("", "Last-Event-ID:\r\n", Some("last")),
            // What frameworks and polyfills write.
            ("&lastEventID=2", "", old("2")),
            ("&lastEventId=2", "", old("2")),
            ("&lastEventId=1&lastEventID=2", "", old("2")),
            ("&lastEventID=1&last_event_id=2", "", Some("2")),
            ("&Last-Event-ID=2&lasteventid=2&LAST_EVENT_ID=2", "", None),
        ] {
            let (header, data) = resume(&hub, &format!("match=a{query}"), field);
            assert_eq!(header.as_deref(), expected, "{query} {field}");
            let order = ["1", "2", "3", "a b", "\u{e9}+%", "last"];
            let skipped = match expected {
                Some("earliest") => 0,
                Some(id) => order.iter().position(|other| *other == id).unwrap() + 1,
                None => order.len(),
            };
            let expected: Vec<_> = order[skipped..].iter().map(|id| encode(id)).collect();
            let data: Vec<_> = data.iter().map(|data| encode(data)).collect();
            assert_eq!(data, expected, "{query} {field}");
        }
    }
}

fn unknown_ids_get_everything(kept: &Kept) {
    let hub = kept.setup().start();
    let mut publisher = Publisher::new(&hub);
    let id = publisher.publish("topic=a&data=1");
    publisher.publish("topic=b&data=2&id=own");
    publisher.publish("topic=a&data=3");
    let mut forged = id.clone().into_bytes();
    *forged.last_mut().unwrap() = if forged.ends_with(b"0") { b'1' } else { b'0' };
    let forged = String::from_utf8(forged).unwrap();
    let long = "x".repeat(5000);
    for unknown in [
        "unknown",
        "OWN",
        "own ",
        " own",
        "#own",
        "EARLIEST",
        &id.to_uppercase(),
        &id["urn:uuid:".len()..],
        &format!("{id}x"),
        &forged,
        "urn:uuid:00000000-0000-0000-0000-000000000000",
        "urn:uuid:ffffffff-ffff-ffff-ffff-ffffffffffff",
        "0",
        "-1",
        "18446744073709551616",
        "a\nb",
        "\u{202e}x",
        "\0",
        &long,
    ] {
        let query = format!("match=a&last_event_id={}", encode(unknown));
        let expected = (Some("earliest".to_owned()), vec!["1".to_owned(), "3".to_owned()]);
        assert_eq!(resume(&hub, &query, ""), expected, "{unknown:?}");
    }
    // A header may have bytes that are no text.
    let mut connection = Connection::open(hub.addr);
    connection.send(
        b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xff\xfe\r\n\r\n",
    );
    let mut stream = Stream::from_connection(connection);
    assert_eq!(stream.field("mercure-last-event-id"), Some("earliest"));
    assert_eq!(stream.data(2), ["1", "3"]);
}

fn trimmed_ids_get_what_is_left(kept: &Kept) {
    let hub = kept.setup_with("size=10").start();
    let mut publisher = Publisher::new(&hub);
    let publish = |publisher: &mut Publisher, number: usize| {
        let id = if number.is_multiple_of(2) { format!("&id=own-{number}") } else { String::new() };
        publisher.publish(&format!("topic=a&data={number}{id}"))
    };
    let ids: Vec<String> = (0..25).map(|number| publish(&mut publisher, number)).collect();
    let all: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    for (number, id) in ids.iter().enumerate() {
        let query = format!("match=a&last_event_id={}", encode(id));
        let expected = match number < 15 {
            true => (Some("earliest".to_owned()), all[15..].to_vec()),
            false => (Some(id.clone()), all[number + 1..].to_vec()),
        };
        assert_eq!(resume(&hub, &query, ""), expected, "{number}");
    }
    let hub = kept.setup_with("max_bytes=64KiB").start();
    let mut publisher = Publisher::new(&hub);
    let data = "x".repeat(10_000);
    let ids: Vec<String> =
        (0..20).map(|_| publisher.publish(&format!("topic=a&data={data}"))).collect();
    let (header, data) = resume(&hub, &format!("match=a&last_event_id={}", encode(&ids[0])), "");
    assert_eq!(header.as_deref(), Some("earliest"));
    // In memory an update counts with what it takes there, on disk with its record.
    assert!((4..=6).contains(&data.len()), "{} updates in 64 KiB", data.len());
}

fn unknown_ids_may_get_what_is_new(kept: &Kept) {
    let hub = kept.setup().directive("unknown_last_event_id live").start();
    let mut publisher = Publisher::new(&hub);
    assert_eq!(resume(&hub, "match=a&last_event_id=x", ""), (Some("earliest".to_owned()), vec![]));
    publisher.publish("topic=a&data=1&id=first");
    let newest = publisher.publish("topic=b&data=2");
    let mut stream = Stream::open(hub.addr, "match=a&last_event_id=x", "");
    assert_eq!(stream.field("mercure-last-event-id"), Some(newest.as_str()));
    publisher.publish("topic=a&data=3");
    assert_eq!(stream.data(1), ["3"]);
    // The truth of the header: resuming there gives the same.
    let query = format!("match=a&last_event_id={newest}");
    assert_eq!(resume(&hub, &query, ""), (Some(newest), vec!["3".to_owned()]));
    let known = resume(&hub, "match=a&last_event_id=first", "");
    assert_eq!(known, (Some("first".to_owned()), vec!["3".to_owned()]));
    let earliest = resume(&hub, "match=a&last_event_id=earliest", "");
    assert_eq!(earliest, (Some("earliest".to_owned()), vec!["1".to_owned(), "3".to_owned()]));
}

fn without_a_history_nothing_is_known(driver: Driver) {
    for (name, value) in
        [("MERCURE_TRANSPORT_URL", "local://local"), ("MERCURE_EXTRA_DIRECTIVES", "")]
    {
        let mut setup = Setup::new(driver);
        setup = match name {
            "MERCURE_TRANSPORT_URL" => setup.env(name, value),
            _ => setup.directive("transport local"),
        };
        let hub = setup.start();
        let mut publisher = Publisher::new(&hub);
        let mut stream = Stream::open(hub.addr, "match=a", "");
        let id = publisher.publish("topic=a&data=1");
        assert_eq!(stream.data(1), ["1"]);
        for cursor in [&id, "earliest", "x", ""] {
            let query = format!("match=a&last_event_id={cursor}");
            let expected = (Some("earliest".to_owned()), vec![]);
            assert_eq!(resume(&hub, &query, ""), expected, "{cursor:?}");
        }
    }
}

fn an_empty_history_begins_at_the_earliest(kept: &Kept) {
    let hub = kept.setup().start();
    let open = |cursor| Stream::open(hub.addr, &format!("match=a&last_event_id={cursor}"), "");
    // All of them before anything is published: only so do they find it empty.
    let mut streams = ["earliest", "x", ""].map(open);
    let id = publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "other")]);
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", &id)]);
    for stream in &mut streams {
        assert_eq!(stream.field("mercure-last-event-id"), Some("earliest"));
        assert_eq!(stream.data(1), [id.as_str()]);
    }
}

fn a_repeated_id_means_its_first_update(kept: &Kept) {
    let hub = kept.setup_with("size=6").start();
    let mut publisher = Publisher::new(&hub);
    let forms = ["x&data=0", "twice&data=1", "y&data=2", "twice&data=3", "z&data=4"];
    for form in forms {
        publisher.publish(&format!("topic=a&id={form}"));
    }
    let after = |numbers: &[u32]| -> Vec<String> { numbers.iter().map(u32::to_string).collect() };
    let query = "match=a&last_event_id=twice";
    assert_eq!(resume(&hub, query, ""), (Some("twice".to_owned()), after(&[2, 3, 4])));
    for number in 5..8 {
        publisher.publish(&format!("topic=a&data={number}"));
    }
    // The first one is gone, the second is the first now.
    assert_eq!(resume(&hub, query, ""), (Some("twice".to_owned()), after(&[4, 5, 6, 7])));
}

fn ids_of_other_hubs_are_unknown(kept: &Kept) {
    let (first, second) = (kept.setup().start(), kept.setup().start());
    let id = Publisher::new(&first).publish("topic=a&data=1");
    Publisher::new(&second).publish("topic=a&data=2");
    Publisher::new(&second).publish("topic=a&data=3");
    let expected = (Some("earliest".to_owned()), vec!["2".to_owned(), "3".to_owned()]);
    assert_eq!(resume(&second, &format!("match=a&last_event_id={id}"), ""), expected);
}

/// Publishes `0..count` as data of the topic `a` in a hurry, with many requests at once.
fn publish_numbers(hub: &Hub, count: usize) {
    let token = tokens::publisher(&["*"]);
    let mut connection = Connection::open(hub.addr);
    for start in (0..count).step_by(500) {
        let numbers = start..(start + 500).min(count);
        let sent: String = numbers
            .clone()
            .map(|number| publication_of(&token, &format!("topic=a&data={number}")))
            .collect();
        let mut sending = connection.stream.try_clone().unwrap();
        let sender =
            thread::spawn(move || std::io::Write::write_all(&mut sending, sent.as_bytes()));
        for _ in numbers {
            assert_eq!(connection.answer().status, 200);
        }
        sender.join().unwrap().unwrap();
    }
}

fn a_long_history_is_sent_whole(kept: &Kept) {
    const COUNT: usize = 20_000;
    let hub = kept.setup_in_a_hurry().start();
    publish_numbers(&hub, COUNT);
    let streams: Vec<_> = (0..4)
        .map(|number| {
            let query = "match=a&last_event_id=earliest";
            let version = if number == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
            let request = format!("GET /.well-known/mercure?{query} {version}\r\nHost: x\r\n\r\n");
            let mut stream = Stream::from_request(hub.addr, &request);
            thread::spawn(move || {
                if number == 3 {
                    // One that reads late.
                    thread::sleep(Duration::from_millis(500));
                }
                for expected in 0..COUNT {
                    assert_eq!(stream.next().unwrap().data, expected.to_string());
                }
                assert!(stream.is_silent_for(Duration::from_millis(50)));
            })
        })
        .collect();
    streams.into_iter().for_each(|stream| stream.join().unwrap());
}

/// The seam: while others publish as fast as they can, a subscriber that starts anywhere gets
/// every update from there on, once and in order.
fn a_replay_goes_over_into_what_is_new(kept: &Kept) {
    let hub = kept.setup().start();
    let stop = AtomicBool::new(false);
    let published = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Publisher::new(&hub);
            while !stop.load(Ordering::Relaxed) {
                let number = published.load(Ordering::Relaxed);
                publisher.publish(&format!("topic=a&data={number}&id=n{number}"));
                published.store(number + 1, Ordering::Release);
            }
        });
        let subscribers: Vec<_> = (0..2)
            .map(|thread| {
                let (published, addr) = (&published, hub.addr);
                scope.spawn(move || {
                    for round in 0..150 {
                        let known = published.load(Ordering::Acquire);
                        // From the start, from some way back, from the newest, and with no cursor.
                        let (query, first) = match (round + thread) % 4 {
                            _ if known == 0 => ("&last_event_id=earliest".to_owned(), Some(0)),
                            0 => ("&last_event_id=earliest".to_owned(), Some(0)),
                            1 => {
                                let from = known.saturating_sub(1 + 37 * (round % 5));
                                (format!("&last_event_id=n{from}"), Some(from + 1))
                            }
                            2 => (format!("&last_event_id=n{}", known - 1), Some(known)),
                            _ => (String::new(), None),
                        };
                        let mut stream = Stream::open(addr, &format!("match=a{query}"), "");
                        let begun = published.load(Ordering::Acquire);
                        let mut next = first;
                        // Well past the seam.
                        while next.is_none_or(|next| next < begun + 20) {
                            let number: usize = stream.data(1)[0].parse().unwrap();
                            // What was acknowledged before the answer began is not owed; all that
                            // was published since then is.
                            let expected = next.unwrap_or(number);
                            assert_eq!(number, expected, "{query} {known} {begun}");
                            if next.is_none() {
                                // One may have been committed without its answer.
                                assert!(
                                    (known..=begun + 1).contains(&number),
                                    "{known} {number} {begun}"
                                );
                            }
                            next = Some(number + 1);
                        }
                    }
                })
            })
            .collect();
        let results: Vec<_> = subscribers.into_iter().map(|thread| thread.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
}

/// As browsers do it: the id of the last event, again and again.
fn a_client_that_is_cut_again_and_again_misses_nothing(kept: &Kept) {
    let hub = kept.setup().start();
    let count = 2000;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Publisher::new(&hub);
            for number in 0..count {
                publisher.publish(&format!("topic=a&data={number}"));
                if number % 20 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut stream = Stream::open(hub.addr, "match=a&last_event_id=earliest", "");
        let mut last_event_id = String::new();
        for number in 0..count {
            if number % 9 == 8 {
                stream = Stream::open(
                    hub.addr,
                    "match=a",
                    &format!("Last-Event-ID: {last_event_id}\r\n"),
                );
                assert_eq!(stream.field("mercure-last-event-id"), Some(last_event_id.as_str()));
            }
            let event = stream.next().unwrap();
            assert_eq!(event.data, number.to_string());
            last_event_id = event.id;
        }
    });
}
