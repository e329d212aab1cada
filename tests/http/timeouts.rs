//! Clients that are slow, or do nothing.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Connection, publication},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(the_slow_are_given_up, the_steady_are_served);

/// Seconds until the hub closes.
fn life(mut connection: Connection) -> f64 {
    let start = Instant::now();
    connection.rest();
    start.elapsed().as_secs_f64()
}

fn the_slow_are_given_up(driver: Driver) {
    let hub = Setup::new(driver)
        .directive("header_timeout 500ms")
        .directive("body_timeout 1s")
        .directive("idle_timeout 1500ms")
        .start();
    let addr = hub.addr;
    let cases = [
        // (requests before, what is sent of the next one, seconds)
        (0, "", 0.5),
        (0, "\r\n", 0.5),
        (0, "GET /healthz HT", 0.5),
        (0, "GET /healthz HTTP/1.1\r\nHost: hub\r\n", 0.5),
        (1, "", 1.5),
        (1, "GET /healthz HT", 0.5),
        (0, "body", 1.0),
        (1, "body", 1.0),
    ];
    let cases = cases.map(|(before, text, seconds)| {
        thread::spawn(move || {
            let mut connection = Connection::open(addr);
            for _ in 0..before {
                connection.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").answer();
            }
            if text == "body" {
                let whole = publication(&tokens::publisher(&["*"]), &[("topic", "a")]);
                connection.send(&whole[..whole.len() - 1]);
            } else {
                connection.send(text);
            }
            let life = life(connection);
            assert!((seconds - 0.1..seconds + 2.0).contains(&life), "{before} {text:?} {life}");
        })
    });
    // A byte now and then is no excuse: the time is for the whole head.
    let mut connection = Connection::open(addr);
    let start = Instant::now();
    for byte in "GET /healthz HTTP/1.1\r\nHost: hub".bytes() {
        if !connection.try_send([byte]) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    connection.rest();
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
    for case in cases {
        case.join().unwrap();
    }
}

fn the_steady_are_served(driver: Driver) {
    let hub = Setup::new(driver).directive("header_timeout 1s").start();
    let mut connection = Connection::open(hub.addr);
    let start = Instant::now();
    // Longer than one head may take: the time starts anew with each.
    while start.elapsed() < Duration::from_millis(1600) {
        connection.send("GET /healthz HTTP/1.1\r\n");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(connection.send("Host: hub\r\n\r\n").answer().status, 200);
        thread::sleep(Duration::from_millis(100));
    }
}
