//! The operator's listener: health, numbers, settings.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Answer, Connection, Stream, publication, publish, request},
        hub::{Driver, Hub, Output, PATIENCE, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        process::wait_until,
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    health_is_told,
    numbers_are_told,
    what_waits_is_told,
    refusals_are_counted_by_reason,
    who_finds_no_room_is_counted,
    settings_are_told_without_secrets,
    the_listener_is_not_the_public_one,
    healthcheck_asks_it,
);

fn get(hub: &Hub, path: &str) -> Answer {
    request(hub.admin(), &format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n"))
}

/// The samples of `/metrics`, by name and labels; the text must be well formed.
pub(crate) fn numbers(hub: &Hub) -> BTreeMap<String, f64> {
    let answer = get(hub, "/metrics");
    assert_eq!(answer.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut class = 0.0;
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| types.get(family.strip_suffix(end)?));
            assert!(types.contains_key(family) || of_histogram.is_some(), "{line} has no type");
            let value: f64 = value.parse().unwrap();
            assert_eq!(samples.insert(name.to_owned(), value), None, "{name}");
            // Each class of a histogram counts the lower ones too, and the last counts all.
            if family.ends_with("_bucket") {
                assert!(value >= class, "{line}");
                class = if name.contains("+Inf") { 0.0 } else { value };
            } else if family.ends_with("_count") {
                let labels = name[family.len()..].trim_end_matches('}');
                let all = format!("{}_bucket{labels},le=\"+Inf\"}}", family.replace("_count", ""));
                assert_eq!(samples[&all], value, "{line}");
            }
        }
    }
    samples
}

/// The sum over all labels.
pub(crate) fn sum(numbers: &BTreeMap<String, f64>, name: &str) -> f64 {
    numbers.iter().filter(|(key, _)| key.split('{').next() == Some(name)).map(|(_, v)| v).sum()
}

/// Numbers are shown a moment after what they count.
pub(crate) fn until(hub: &Hub, what: &str, holds: impl Fn(&BTreeMap<String, f64>) -> bool) {
    let begin = Instant::now();
    while !holds(&numbers(hub)) {
        assert!(begin.elapsed() < PATIENCE, "{what}: {:#?}", numbers(hub));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn health_is_told(driver: Driver) {
    let hub = Setup::new(driver).directive("name books").start();
    for path in ["ready", "live", "books/ready", "books/live"] {
        let answer = get(&hub, &format!("/mercure/health/{path}"));
        assert_eq!((answer.status, &*answer.body), (200, "ok\n"), "{path}");
    }
    let head = "HEAD /mercure/health/ready HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut connection = Connection::open(hub.admin());
    assert_eq!(connection.send(head).answer_to_head().status, 200);
    for (path, status) in [("/mercure/health/other/ready", 404), ("/x", 404), ("/", 200)] {
        assert_eq!(get(&hub, path).status, status, "{path}");
    }
    let post = request(hub.admin(), "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD")));
    // While it ends, it is not to be given new connections, and yet it lives.
    let _held = Stream::open(hub.addr, "match=a", "");
    hub.signal(libc::SIGTERM);
    let begin = Instant::now();
    while get(&hub, "/mercure/health/ready").status != 503 {
        assert!(begin.elapsed() < PATIENCE);
    }
}

fn numbers_are_told(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<_> = (0..5).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    for topic in ["a", "a", "b"] {
        publish(hub.addr, &token, &[("topic", topic), ("data", "x")]);
    }
    let replay = Stream::open(hub.addr, "match=*&last_event_id=earliest", "");
    let five = |numbers: &BTreeMap<String, f64>| {
        sum(numbers, "mercure_subscribers_connected") == 6.0
            && sum(numbers, "mercure_subscribers_total") == 6.0
            && sum(numbers, "mercure_updates_total") == 3.0
            // One after the other, so none waited for others.
            && sum(numbers, "petasos_groups_total") == 3.0
            && sum(numbers, "mercure_updates_failed_total") == 0.0
            && sum(numbers, "petasos_deliveries_total") == 13.0
            && sum(numbers, "petasos_replays_total") == 1.0
            && sum(numbers, "petasos_worker_subscribers") == 6.0
            && sum(numbers, "petasos_history_updates") == 3.0
            && sum(numbers, "petasos_history_bytes") > 3.0 * 50.0
            && sum(numbers, "petasos_history_failed") == 0.0
            && sum(numbers, "petasos_lag_updates") == 0.0
            // Each worker took each update.
            && sum(numbers, "petasos_fan_out_seconds_count") == 6.0
            && sum(numbers, "petasos_ready") == 1.0
    };
    until(&hub, "everything is counted", five);
    let shown = numbers(&hub);
    assert!(sum(&shown, "petasos_sent_bytes_total") > 13.0 * 50.0, "{shown:#?}");
    // Of two workers.
    for worker in ["0", "1"] {
        assert!(shown.contains_key(&format!("petasos_deliveries_total{{worker=\"{worker}\"}}")));
    }
    drop(replay);
    streams.truncate(2);
    until(&hub, "those who left are counted", |numbers| {
        sum(numbers, "mercure_subscribers_connected") == 2.0
            && numbers["petasos_ended_total{reason=\"left\"}"] == 4.0
            && sum(numbers, "petasos_ended_total") == 4.0
            && sum(numbers, "mercure_subscribers_total") == 6.0
    });
    until(&hub, "time passes", |numbers| sum(numbers, "petasos_uptime_seconds") >= 1.0);
}

fn what_waits_is_told(driver: Driver) {
    let hub = Setup::new(driver)
        .directive("subscriber_buffer 64MiB")
        .directive("dispatch_timeout 0")
        .start();
    let token = tokens::publisher(&["*"]);
    let held = Connection::open(hub.addr);
    until(&hub, "a connection", |numbers| sum(numbers, "petasos_worker_requests") == 1.0);
    drop(held);
    // Somebody who does not read, and more than the system takes for it.
    let stalled = Stream::open(hub.addr, "match=a", "");
    let data = "x".repeat(1_000_000);
    for _ in 0..16 {
        publish(hub.addr, &token, &[("topic", "a"), ("data", &data)]);
    }
    until(&hub, "bytes that wait", |numbers| sum(numbers, "petasos_waiting_bytes") > 0.0);
    drop(stalled);
    until(&hub, "nothing that waits", |numbers| {
        sum(numbers, "petasos_waiting_bytes") + sum(numbers, "petasos_worker_requests") == 0.0
    });
}

fn refusals_are_counted_by_reason(driver: Driver) {
    let hub = Setup::new(driver)
        .directive("public_urls https://hub.example")
        .directive("max_request_body_size 1KiB")
        .start();
    let host = "Host: hub.example\r\n";
    let get = |query: &str, fields: &str| {
        request(
            hub.addr,
            &format!("GET /.well-known/mercure?{query} HTTP/1.1\r\n{host}{fields}\r\n"),
        )
    };
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let post_as = |form: &str, fields: &str, body: &str| {
        let len = body.len();
        request(
            hub.addr,
            &format!(
                "POST /.well-known/mercure HTTP/1.1\r\n{host}{form}{fields}\
                 Content-Length: {len}\r\n\r\n{body}"
            ),
        )
    };
    let post = |fields: &str, body: &str| post_as(form, fields, body);
    let token = format!("Authorization: Bearer {}\r\n", tokens::publisher(&["a"]));
    let cookie = format!("Cookie: __Secure-mercure_access_token={}\r\n", tokens::publisher(&["a"]));
    for (answer, status, reason) in [
        (get("", ""), 400, "malformed"),
        (request(hub.addr, "GET / HTTP/1.1\r\n\r\n"), 400, "malformed"),
        (post(&token, &format!("topic=a&data={}", "x".repeat(1100))), 413, "too_large"),
        (post_as("Content-Type: x/y\r\n", &token, "topic=a"), 415, "media_type"),
        (post("", "topic=a"), 401, "no_token"),
        (get("match=a", "Authorization: Bearer a.b.c\r\n"), 401, "invalid_token"),
        (get("match=a", "Authorization: x\r\n"), 400, "presentation"),
        (post(&cookie, "topic=a"), 400, "origin"),
        (post(&token, "topic=b"), 403, "insufficient_scope"),
        (
            request(hub.addr, "POST /.well-known/mercure HTTP/1.1\r\nHost: b\r\n\r\n"),
            421,
            "misdirected",
        ),
    ] {
        assert_eq!(answer.status, status, "{reason} {answer:?}");
    }
    let expected = [
        ("malformed", 2.0),
        ("too_large", 1.0),
        ("media_type", 1.0),
        ("no_token", 1.0),
        ("invalid_token", 1.0),
        ("presentation", 1.0),
        ("origin", 1.0),
        ("insufficient_scope", 1.0),
        ("misdirected", 1.0),
        ("overload", 0.0),
        ("unavailable", 0.0),
    ];
    until(&hub, "every refusal is counted", |numbers| {
        expected.iter().all(|(reason, count)| {
            numbers[&format!("petasos_refused_total{{reason=\"{reason}\"}}")] == *count
        })
    });
}

fn who_finds_no_room_is_counted(driver: Driver) {
    let hub = Setup::new(driver)
        .directive("workers 1")
        .directive("max_connections 1")
        .directive("body_budget 64KiB")
        .directive("max_request_body_size 64KiB")
        .start();
    let _stream = Stream::open(hub.addr, "match=a", "");
    let refused = |numbers: &BTreeMap<String, f64>, reason: &str| {
        numbers[&format!("petasos_refused_total{{reason=\"{reason}\"}}")]
    };
    let subscribe = "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";
    Connection::open(hub.addr).send(subscribe).head();
    until(&hub, "who was turned away", |numbers| refused(numbers, "overload") == 1.0);
    // One body waits for its end, and another has no room beside it.
    let data = "x".repeat(50_000);
    let whole = publication(&tokens::publisher(&["*"]), &[("topic", "a"), ("data", &data)]);
    let mut first = Connection::open(hub.addr);
    first.send(&whole[..whole.len() - 10]);
    wait_until("a publication without room", || {
        Connection::open(hub.addr).send(&whole).answer().status == 503
    });
    until(&hub, "who could not publish", |numbers| {
        refused(numbers, "unavailable") == 1.0
            && sum(numbers, "mercure_updates_failed_total") == 1.0
            && sum(numbers, "petasos_refused_total") == 2.0
    });
}

fn settings_are_told_without_secrets(driver: Driver) {
    const URL: &str = "http://127.0.0.1:1/keys?the-password";
    let hub = Setup::new(driver)
        .directive("heartbeat 17s")
        .directive(&format!("issuer urn:other {{\n subscriber {{\n jwks_uri {URL}\n }}\n}}"))
        .start();
    let config = get(&hub, "/config").body;
    assert!(config.contains("heartbeat 17s") && config.contains("urn:other"), "{config}");
    for secret in [PUBLISHER_KEY, SUBSCRIBER_KEY, "the-password"] {
        assert!(!config.contains(secret), "{config}");
    }
}

fn the_listener_is_not_the_public_one(driver: Driver) {
    let hub = Setup::new(driver).start();
    for path in ["/metrics", "/config", "/mercure/health/ready"] {
        let answer = request(hub.addr, &format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n"));
        assert_eq!(answer.status, 404, "{path}");
    }
    // Whoever connects and says nothing keeps nobody else out.
    let silent: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(hub.admin()).unwrap()).collect();
    assert_eq!(get(&hub, "/mercure/health/live").status, 200);
    drop(silent);
    // A second hub with the same address says so, and how to go on.
    let second = Setup::new(driver).env("PETASOS_ADMIN", &hub.admin().to_string()).run();
    assert_ne!(second.code, Some(0));
    let told = &second.stderr;
    assert!(told.contains("--admin") && told.contains(&hub.admin().to_string()), "{told}");
}

fn healthcheck_asks_it(driver: Driver) {
    let hub = Setup::new(driver).directive("grace_period 30s").start();
    let check = |address: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_petasos"))
            .env_clear()
            .args(["healthcheck", "--admin", address])
            .output()
            .unwrap();
        Output::of(output)
    };
    assert_eq!(check(&hub.admin().to_string()).code, Some(0));
    // A hub that is about to end lives and is not ready.
    let _held = Stream::open(hub.addr, "match=a", "");
    let address = hub.admin().to_string();
    hub.signal(libc::SIGTERM);
    wait_until("a hub that says that it is not ready", || {
        let told = check(&address);
        told.code == Some(1)
            && told.stderr.contains(&address)
            && told.stderr.contains("not ready: the hub is stopping")
    });
    let nobody = check("127.0.0.1:1");
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("127.0.0.1:1"), "{nobody:?}");
}
