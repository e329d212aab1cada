//! Subscribers whom the hub has no room for, and how they are told.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Stream, exchange, publish, refused},
        hub::{Driver, Setup},
        process::wait_until,
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(nobody_takes_the_room_of_others);

/// Whether a subscription is a stream that stays open.
fn is_let_in(addr: SocketAddr) -> bool {
    let request = "GET /.well-known/mercure?match=a HTTP/1.0\r\nHost: x\r\n\r\n";
    Stream::from_request(addr, request).is_silent_for(Duration::from_millis(100))
}

#[test]
fn a_full_hub_sends_subscribers_away_kindly() {
    for (overload, status) in [("retry", 200), ("reject", 429)] {
        let hub = Setup::new(Driver::Epoll)
            .env("PETASOS_WORKERS", "1")
            .directive("max_connections 2")
            .directive(&format!("overload {overload}"))
            .start();
        let mut streams =
            [Stream::open(hub.addr, "match=a", ""), Stream::open(hub.addr, "match=a", "")];
        if status == 200 {
            // What makes an `EventSource` come back, later.
            for version in ["1.1", "1.0"] {
                let request =
                    format!("GET /.well-known/mercure?match=a HTTP/{version}\r\nHost: x\r\n\r\n");
                let mut stream = Stream::from_request(hub.addr, &request);
                assert_eq!(stream.field("connection"), Some("close"), "{version}");
                let (events, proper) = stream.end();
                assert!(proper && events.len() == 1, "{events:?}");
                let retry: u32 = events[0].retry.parse().unwrap();
                assert!((2000..=20_000).contains(&retry), "{retry}");
            }
        } else {
            let answer = refused(hub.addr, "match=a", "");
            assert_eq!(answer.status, 429);
            assert_eq!(answer.field("retry-after"), Some("1"));
            // A body that nobody reads is not taken for the next request.
            let hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
            let all = exchange(
                hub.addr,
                format!(
                    "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: x\r\n\
                     Content-Length: {}\r\n\r\n{hidden}",
                    hidden.len()
                ),
            );
            assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
        }
        // Publishers and those who are in have nothing to do with that.
        publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
        assert!(streams.iter_mut().all(|stream| stream.data(1) == ["x"]));
        // Those who leave make room.
        drop(streams);
        let until = Instant::now() + Duration::from_secs(10);
        while !is_let_in(hub.addr) {
            assert!(Instant::now() < until, "nobody is let in any more");
        }
    }
}

/// Whether a client that a proxy names is let in; and the stream, if so.
fn join(addr: SocketAddr, client: &str) -> Option<Stream> {
    let fields = format!("X-Forwarded-For: 203.0.113.9, {client}\r\n");
    let mut stream = Stream::open(addr, "match=a&last_event_id=x", &fields);
    if !stream.is_silent_for(Duration::from_millis(100)) {
        let (events, proper) = stream.end();
        assert!(proper && events.len() == 1 && !events[0].retry.is_empty(), "{events:?}");
        // Nothing was missed: the client keeps its place.
        assert_eq!(stream.field("mercure-last-event-id"), Some("x"));
        return None;
    }
    Some(stream)
}

fn nobody_takes_the_room_of_others(driver: Driver) {
    let setup = || {
        let setup = Setup::new(driver).env("PETASOS_WORKERS", "2");
        setup.directive("max_connections_per_ip 3")
    };
    // The limit is for all workers together.
    let hub = setup().directive("trusted_proxies 127.0.0.0/8").start();
    let mut held: Vec<_> = (0..3).map(|_| join(hub.addr, "198.51.100.1").unwrap()).collect();
    for _ in 0..8 {
        assert!(join(hub.addr, "198.51.100.1").is_none());
    }
    for client in ["198.51.100.2", "2001:db8::1"] {
        held.push(join(hub.addr, client).unwrap());
    }
    let others =
        [join(hub.addr, "2001:db8::2").unwrap(), join(hub.addr, "[2001:db8::3]:4711").unwrap()];
    assert!(join(hub.addr, "2001:db8::4").is_none(), "one network");
    assert!(others.iter().all(|stream| stream.field("mercure-last-event-id") == Some("earliest")));
    // Who leaves makes room; who was cut too.
    drop(held);
    let mut again = Vec::new();
    wait_until("streams that ended count no more", || {
        again.extend(join(hub.addr, "198.51.100.1"));
        again.len() == 3
    });
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert!(again.iter_mut().all(|stream| stream.data(1) == ["x"]));

    // Nobody else is believed, and a refusal can be plain.
    let hub = setup().directive("overload reject").start();
    let open =
        |client: &str| Stream::open(hub.addr, "match=a", &format!("X-Forwarded-For: {client}\r\n"));
    let _held = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(open);
    let answer = refused(hub.addr, "match=a", "X-Forwarded-For: 198.51.100.4\r\n");
    assert_eq!((answer.status, answer.field("retry-after")), (429, Some("1")));
    assert!(answer.detail().contains("address"), "{}", answer.detail());
    hub.wait_for_log("max_connections_per_ip");
}
