//! Streams: what they begin with, what keeps them alive, and how they end.

use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Connection, Stream, publish},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    a_stream_begins_at_once_and_is_not_kept_from_anybody,
    idle_streams_have_a_heartbeat_and_busy_ones_have_none,
    without_a_heartbeat_a_stream_is_silent,
    a_stream_ends_in_the_last_fifth_of_its_life,
    a_client_that_leaves_is_forgotten,
    a_client_that_talks_is_not_listened_to,
    large_updates_arrive_whole,
    a_stream_survives_a_slow_start_of_its_reader,
);

fn a_stream_begins_at_once_and_is_not_kept_from_anybody(driver: Driver) {
    let hub = Setup::new(driver).start();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let request = format!("GET /.well-known/mercure?match=a {version}\r\nHost: hub\r\n\r\n");
        let mut stream = Stream::from_request(hub.addr, &request);
        let head = stream.head.clone();
        for line in [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Cache-Control: private, no-cache, no-store, no-transform",
            "X-Accel-Buffering: no",
        ] {
            assert!(head.lines().any(|other| other == line), "{line} in {head}");
        }
        let is_chunked = head.contains("\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(is_chunked, version == "HTTP/1.1", "{head}");
        // The hub closes after the stream: nobody may put the connection back into a pool.
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        assert!(!head.contains("Mercure-Last-Event-ID"), "nobody asked: {head}");
        // The first bytes of the body, before there is any update.
        assert!(stream.is_silent_for(Duration::from_millis(50)));
        assert_eq!(stream.comments, 1);
    }
}

fn idle_streams_have_a_heartbeat_and_busy_ones_have_none(driver: Driver) {
    let hub = Setup::new(driver).directive("heartbeat 1s").start();
    let token = tokens::publisher(&["*"]);
    let mut idle = Stream::open(hub.addr, "match=idle", "");
    let mut idle_bare =
        Stream::from_request(hub.addr, "GET /.well-known/mercure?match=idle HTTP/1.0\r\n\r\n");
    let mut busy = Stream::open(hub.addr, "match=busy", "");
    let start = Instant::now();
    let mut published = 0;
    while start.elapsed() < Duration::from_millis(3500) {
        publish(hub.addr, &token, &[("topic", "busy"), ("data", "x")]);
        published += 1;
        thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(busy.data(published), vec!["x"; published]);
    assert!(busy.comments <= 2, "{} comments", busy.comments);
    for stream in [&mut idle, &mut idle_bare] {
        assert!(stream.is_silent_for(Duration::from_millis(1)));
        assert!((3..=5).contains(&stream.comments), "{} comments", stream.comments);
    }
}

fn without_a_heartbeat_a_stream_is_silent(driver: Driver) {
    let hub = Setup::new(driver).directive("heartbeat 0").start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    assert!(stream.is_silent_for(Duration::from_millis(1500)));
    assert_eq!(stream.comments, 1);
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
}

fn a_stream_ends_in_the_last_fifth_of_its_life(driver: Driver) {
    let hub = Setup::new(driver).directive("write_timeout 2s").start();
    let token = tokens::publisher(&["*"]);
    let lives: Vec<_> = (0..12)
        .map(|number| {
            let version = if number % 2 == 0 { "HTTP/1.1" } else { "HTTP/1.0" };
            let request = format!("GET /.well-known/mercure?match=a {version}\r\nHost: x\r\n\r\n");
            let mut stream = Stream::from_request(hub.addr, &request);
            let start = Instant::now();
            thread::spawn(move || {
                let (events, proper) = stream.end();
                assert!(proper, "cut off: {version}");
                assert_eq!(events.len(), 1, "{events:?}");
                start.elapsed().as_secs_f64()
            })
        })
        .collect();
    publish(hub.addr, &token, &[("topic", "a")]);
    let lives: Vec<f64> = lives.into_iter().map(|life| life.join().unwrap()).collect();
    assert!(lives.iter().all(|life| (1.55..2.5).contains(life)), "{lives:?}");
    let spread = lives.iter().copied().fold(f64::MIN, f64::max)
        - lives.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread > 0.05, "all at once: {lives:?}");
}

fn a_client_that_leaves_is_forgotten(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stays = Stream::open(hub.addr, "match=a", "");
    // One that sends no more is one that left: browsers and proxies never do that.
    let mut half = Stream::open(hub.addr, "match=a", "");
    half.socket().shutdown(Shutdown::Write).unwrap();
    let (events, _) = half.end();
    assert!(events.is_empty(), "{events:?}");
    for _ in 0..50 {
        drop(Stream::open(hub.addr, "match=a", ""));
    }
    for _ in 0..3 {
        publish(hub.addr, &token, &[("topic", "a"), ("data", "x")]);
    }
    assert_eq!(stays.data(3), ["x"; 3]);
    // Before the hub has answered.
    for _ in 0..50 {
        let mut connection = Connection::open(hub.addr);
        connection.send("GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n");
        connection.stream.shutdown(Shutdown::Both).unwrap();
    }
    publish(hub.addr, &token, &[("topic", "a"), ("data", "y")]);
    assert_eq!(stays.data(1), ["y"]);
}

fn a_client_that_talks_is_not_listened_to(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let smuggled = crate::common::client::publication(&token, &[("topic", "a"), ("data", "no")]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    for _ in 0..10 {
        stream.socket().write_all(smuggled.as_bytes()).unwrap();
        publish(hub.addr, &token, &[("topic", "a"), ("data", "x")]);
    }
    assert_eq!(stream.data(10), ["x"; 10]);
    // One that never stops costs the hub nothing but the connection.
    let mut chatter = Stream::open(hub.addr, "match=a", "");
    let noise = vec![b'x'; 1 << 20];
    let until = Instant::now() + Duration::from_secs(10);
    while chatter.socket().write_all(&noise).is_ok() {
        assert!(Instant::now() < until, "the hub listens for ever");
    }
    let _ = chatter.socket().read(&mut [0; 1024]);
    publish(hub.addr, &token, &[("topic", "a"), ("data", "y")]);
    assert_eq!(stream.data(1), ["y"]);
}

fn large_updates_arrive_whole(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut chunked = Stream::open(hub.addr, "match=a", "");
    let mut bare =
        Stream::from_request(hub.addr, "GET /.well-known/mercure?match=a HTTP/1.0\r\n\r\n");
    for len in [0, 1, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 900_000] {
        let data = "0123456789abcdef".repeat(len / 16 + 1)[..len].to_owned();
        publish(hub.addr, &token, &[("topic", "a"), ("data", &data)]);
        assert_eq!(chunked.next().unwrap().data, data, "{len}");
        assert_eq!(bare.next().unwrap().data, data, "{len}");
    }
}

/// More than the socket buffers hold, before the first byte is read.
fn a_stream_survives_a_slow_start_of_its_reader(driver: Driver) {
    let hub = Setup::new(driver).directive("subscriber_buffer 64MiB").start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let data = "x".repeat(500_000);
    for _ in 0..24 {
        publish(hub.addr, &token, &[("topic", "a"), ("data", &data)]);
    }
    for number in 0..24 {
        assert!(stream.next().unwrap().data == data, "{number}");
    }
}
