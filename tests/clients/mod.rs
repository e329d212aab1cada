//! Clients that others wrote, against the real hub: as their documentation shows them where they
//! can be had, and by the very requests that they were seen to send where they cannot. Here is
//! what all of them have to stand.

mod chromium;
mod curl;
mod event_source_polyfill;
mod eventsource;
mod fetch_event_source;
mod flask_mercure_sse;
mod httpx_sse;
mod laravel_echo;
mod mercure_publisher;
mod mercure_rs;
mod others;
mod symfony;
mod symfony_legacy;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{
    client::{Stream, publish},
    hub::{Driver, Hub, PATIENCE, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
    process::wait_until,
    proxy::{Fate, Proxy},
    tokens,
    tools::{NODE_PACKAGES, Running, has_node},
};

/// What a client is told to do: the URL of the hub, a token or nothing, and matchers as
/// `NAME=VALUE`, which it encodes by its own means.
type Arguments = Vec<String>;

/// A client that runs. It tells what happens, one JSON array a line: `["open"]`,
/// `["event", id, type, data]`, and what its kind tells of errors.
struct Client {
    told: Receiver<Value>,
    complaints: Arc<Mutex<String>>,
    _running: Running,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = BufReader::new(running.0.stdout.take().expect("piped"));
        let mut errors = running.0.stderr.take().expect("piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        let complaints = Arc::<Mutex<String>>::default();
        let shared = Arc::clone(&complaints);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = errors.read(&mut buffer) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        });
        Client { told, complaints, _running: running }
    }

    /// What it tells next.
    fn next(&mut self) -> Value {
        self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!("the client tells nothing more:\n{}", self.complaints.lock().unwrap())
        })
    }

    /// Waits until it tells this.
    fn wait_for(&mut self, what: &Value) {
        while self.next() != *what {}
    }
}

/// A script for Node.js, which finds the packages of `.ci/node`.
fn node(script: &str, arguments: &Arguments) -> Command {
    let mut command = Command::new("node");
    let script = [include_str!("prelude.mjs"), script].concat();
    command.current_dir(NODE_PACKAGES).args(["--input-type=module", "--eval", &script, "--"]);
    command.args(arguments);
    command
}

/// What clients listen to: a topic that needs encoding, one with private updates, a pattern.
const MATCHERS: [&str; 3] = [
    "match=https://e.example/b\u{fc}cher/1?a=b c&d",
    "match=urn:second",
    "match_urlpattern=https://e.example/rooms/:room/messages{/:message}?",
];

/// The same as clients of 0.x say it.
const SELECTORS: [&str; 3] = [
    "topic=https://e.example/b\u{fc}cher/1?a=b c&d",
    "topic=urn:second",
    "topic=https://e.example/rooms/{room}/messages{/message}",
];

/// The type of some events: clients have to be told which to listen to.
const TYPE: &str = "gr\u{f6}\u{df}e";

fn arguments(url: &str, token: &str, matchers: &[&str]) -> Arguments {
    let matchers = matchers.iter().map(|matcher| (*matcher).to_owned());
    [url.to_owned(), token.to_owned()].into_iter().chain(matchers).collect()
}

/// A token for private updates of some of what `MATCHERS` select.
fn token() -> String {
    let mut claims = tokens::claims("subscribe", &["urn:second"]);
    let topics = claims["authorization_details"][0]["topics"].as_array_mut().unwrap();
    topics.push(json!({ "match": "https://e.example/rooms/1/*", "match_type": "urlpattern" }));
    tokens::sign(&claims, SUBSCRIBER_KEY)
}

/// The same for subscribers of 0.x.
fn legacy_token() -> String {
    let claims =
        json!({ "mercure": { "subscribe": ["urn:second", "https://e.example/rooms/1{/more*}"] } });
    tokens::sign_legacy(&claims, SUBSCRIBER_KEY)
}

/// A hub as those of 0.x are set up: keys for both roles, and nobody without a token.
fn legacy_setup(driver: Driver) -> Setup {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY)
}

/// Ids that publishers give begin so. Not every client can send others than ASCII back.
const ASCII_IDS: &str = "urn:own:";
const ANY_IDS: &str = "urn:\u{e9}igen:\u{1f600}:";

/// Publishes one of every kind in turn; returns what a client with the token has to tell of it.
fn publish_one(hub: &Hub, publisher: &str, own_ids: &str, number: usize) -> Option<Value> {
    let line = number.to_string();
    let lines = format!("{number}\n\nzwei Zeilen: \u{1f600} \u{e9}\n {{\"ende\": null}} ");
    let own_id = format!("{own_ids}{number}");
    let rooms = ["1", "2"].map(|room| format!("https://e.example/rooms/{room}/messages/{number}"));
    let (fields, event_type, data) = match number % 6 {
        // Clients are asked to come back soon, from the first update on.
        0 => (
            &[("topic", "https://e.example/b\u{fc}cher/1?a=b c&d"), ("retry", "20")][..],
            Some("message"),
            &line,
        ),
        1 => {
            (&[("topic", "urn:second"), ("private", "on"), ("type", TYPE)][..], Some(TYPE), &lines)
        }
        2 => (&[("topic", &*rooms[0]), ("private", "on")][..], Some("message"), &lines),
        // Of these two, private and in a room without a grant, and elsewhere, it gets nothing.
        3 => (&[("topic", &*rooms[1]), ("private", "on")][..], None, &line),
        4 => (&[("topic", "https://e.example/elsewhere")][..], None, &line),
        _ => (&[("topic", &*rooms[1]), ("id", &*own_id)][..], Some("message"), &lines),
    };
    let fields: Vec<_> = fields.iter().copied().chain([("data", data.as_str())]).collect();
    let id = publish(hub.addr, publisher, &fields);
    event_type.map(|event_type| json!(["event", id, event_type, data]))
}

/// Where a connection is cut, in turn: before the data of an event, within a character, within an
/// id, and at any time.
fn cut(connection: usize) -> Fate {
    // Behind the first event, so that there always is something to go on from.
    let after = if connection == 0 { 1000 } else { 500 };
    match connection % 4 {
        0 => Fate::CutBehind { text: b"\ndata: ", after },
        1 => Fate::CutBehind { text: b"\xc3", after },
        2 => Fate::CutBehind { text: b"id: urn:u", after },
        _ => Fate::CutAfter(Duration::from_millis(80)),
    }
}

/// A hub, and between it and a client a proxy that cuts so many connections.
struct Journey {
    hub: Hub,
    /// A token for all topics.
    publisher: String,
    proxy: Proxy,
    cuts: usize,
}

impl Journey {
    fn new(setup: Setup, cuts: usize) -> Self {
        Self::with(setup, tokens::publisher(&["*"]), cuts)
    }

    /// With a publisher of 0.x.
    fn legacy(setup: Setup, cuts: usize) -> Self {
        let claims = json!({ "mercure": { "publish": ["*"] } });
        Self::with(setup, tokens::sign_legacy(&claims, PUBLISHER_KEY), cuts)
    }

    fn with(setup: Setup, publisher: String, cuts: usize) -> Self {
        let hub = setup.start();
        let fate = move |number| if number < cuts { cut(number) } else { Fate::Passed };
        let proxy = Proxy::start(hub.addr, fate);
        Journey { hub, publisher, proxy, cuts }
    }

    /// Publishes until all cuts are made, and a little more. The client, of which `next` is what
    /// it tells next, gets everything that is for it once, in order and whole.
    fn loses_nothing(&self, own_ids: &str, mut next: impl FnMut() -> Value) {
        assert_eq!(next(), json!(["open"]));
        let (mut expected, mut number) = (Vec::new(), 0);
        let begin = Instant::now();
        while self.proxy.connections() <= self.cuts || number % 6 != 0 {
            assert!(begin.elapsed() < PATIENCE, "it came {} times", self.proxy.connections());
            expected.extend(publish_one(&self.hub, &self.publisher, own_ids, number));
            number += 1;
            thread::sleep(Duration::from_millis(10));
        }
        expect_events(&expected, next);
        assert_eq!(self.proxy.connections(), self.cuts + 1, "it leaves by itself");
    }
}

/// Whatever else a client tells, its events are these.
fn expect_events(expected: &[Value], mut next: impl FnMut() -> Value) {
    let mut told = 0;
    while told < expected.len() {
        let next = next();
        if next[0] == "event" {
            assert_eq!(next, expected[told], "after {told} events");
            told += 1;
        }
    }
}

/// A program with the standard arguments gets through so many cuts.
fn loses_nothing(
    driver: Driver,
    cuts: usize,
    own_ids: &str,
    command: impl Fn(&Arguments) -> Command,
) {
    let journey = Journey::new(Setup::new(driver), cuts);
    let arguments = arguments(&journey.proxy.url, &token(), &MATCHERS);
    let mut client = Client::start(&mut command(&arguments));
    journey.loses_nothing(own_ids, || client.next());
}

/// A client that is told to wait longer than it would by itself comes back then and not before;
/// and what keeps an idle connection alive is no event, and no reason to leave.
fn obeys_retry_and_stands_heartbeats(usual_wait_ms: u64, command: impl Fn(&Arguments) -> Command) {
    let hub = Setup::new(Driver::IoUring).directive("heartbeat 1s").start();
    let proxy = Proxy::start(hub.addr, |connection| match connection {
        0 => Fate::CutBehind { text: b"cut her", after: 0 },
        _ => Fate::Passed,
    });
    let mut client = Client::start(&mut command(&arguments(&proxy.url, "", &["match=a"])));
    client.wait_for(&json!(["open"]));
    let publisher = tokens::publisher(&["*"]);
    let publish = |fields: &[(&str, &str)]| {
        let data = fields[0].1;
        let id = publish(hub.addr, &publisher, &[&[("topic", "a")], fields].concat());
        json!(["event", id, "message", data])
    };
    let wait_ms = usual_wait_ms + 500;
    client.wait_for(&publish(&[("data", "come back late"), ("retry", &wait_ms.to_string())]));
    let begin = Instant::now();
    let again = publish(&[("data", "cut here")]);
    wait_until("the client to come back", || proxy.connections() == 2);
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_millis(wait_ms), "it came back after {waited:?}");
    client.wait_for(&again);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(publish(&[("data", "after a heartbeat")]), client.next());
    assert_eq!(proxy.connections(), 2);
}

/// Requests that the hub refuses, with their status: no token, a token that fails, no matcher.
fn refusals(hub: &Hub) -> [(u16, Arguments); 3] {
    let arguments = |token, matchers: &[&str]| arguments(&hub.url(), token, matchers);
    [
        (401, arguments("", &["match=a"])),
        (401, arguments("a.b.c", &["match=a"])),
        (400, arguments(&token(), &[])),
    ]
}

/// What a client tells of each status that it is refused with.
fn is_refused(command: impl Fn(&Arguments) -> Command, expected: impl Fn(u16) -> Value) {
    let hub = Setup::new(Driver::IoUring).directive("anonymous off").start();
    for (status, arguments) in refusals(&hub) {
        let mut client = Client::start(&mut command(&arguments));
        assert_eq!(client.next(), expected(status), "{arguments:?}");
    }
}

/// A hub that is full, and who fills it; `overload` says what it does then.
fn full_hub(overload: &str, more: &str) -> (Hub, Stream) {
    let hub = Setup::new(Driver::IoUring)
        .env("PETASOS_WORKERS", "1")
        .directive("max_connections 1")
        .directive(&format!("overload {overload}"))
        .directive(more)
        .start();
    let stream = Stream::open(hub.addr, "match=a", "");
    (hub, stream)
}
