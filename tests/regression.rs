//! One test for each mistake that was found in the hub, by what a client saw.

use std::time::{Duration, Instant};

use crate::{
    common::{
        client::{Connection, Stream, publication, publish},
        hub::{Driver, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        process::{free_addr, limit_open_files},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    what_is_published_after_the_first_byte_is_received,
    connections_that_ask_for_nothing_make_room,
    many_workers_with_few_open_files_serve_many,
    a_killed_hub_starts_again_on_its_port_at_once,
    who_is_turned_away_is_logged,
);

/// The first bytes of the answer left the hub before the subscriber was in it: what was published
/// right then was lost.
fn what_is_published_after_the_first_byte_is_received(driver: Driver) {
    let hub = Setup::new(driver).env("PETASOS_WORKERS", "4").start();
    let token = tokens::publisher(&["*"]);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (token, addr) = (token.clone(), hub.addr);
            std::thread::spawn(move || {
                let mut publisher = Connection::open(addr);
                let topic = format!("t{thread}");
                for number in 0..1000 {
                    let number = number.to_string();
                    let mut stream = Stream::open(addr, &format!("match={topic}"), "");
                    publisher.send(publication(&token, &[("topic", &topic), ("data", &number)]));
                    assert_eq!(publisher.answer().status, 200);
                    assert_eq!(stream.data(1), [number]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Connections that waited for their next request filled all places for requests, and nobody else
/// got in until the idle time-out.
fn connections_that_ask_for_nothing_make_room(driver: Driver) {
    // A few more than twice as many as have a place.
    const CONNECTIONS: usize = 50;
    let mut setup = Setup::new(driver).env("PETASOS_WORKERS", "1");
    limit_open_files(setup.command(), 256, 256);
    let hub = setup.start();
    let begin = Instant::now();
    let mut idle = Vec::new();
    for begun in ["", "GET /healthz HTTP/1.1\r\n"] {
        for _ in 0..CONNECTIONS {
            let mut connection = Connection::open(hub.addr);
            connection.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
            assert_eq!(connection.answer().status, 200);
            connection.send(begun);
            idle.push(connection);
        }
    }
    let mut stream = Stream::open(hub.addr, "match=a", "");
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(idle[0].is_closed(), "who waited longest had to go");
    let last = idle.len() - 1;
    assert_eq!(idle[last].send("Host: hub\r\n\r\n").answer().status, 200);
}

/// Each worker's table was thought to hold the descriptors of all workers: where there were many,
/// one subscriber for each was all that the hub took.
fn many_workers_with_few_open_files_serve_many(driver: Driver) {
    let mut setup = Setup::new(driver).env("PETASOS_WORKERS", "20");
    limit_open_files(setup.command(), 400, 400);
    let hub = setup.start();
    let mut streams: Vec<_> = (0..100).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    for stream in &mut streams {
        assert_eq!(stream.data(1), ["x"]);
    }
}

/// The kernel lets go of a ring's sockets a moment after their process is gone.
fn a_killed_hub_starts_again_on_its_port_at_once(driver: Driver) {
    let addr = free_addr();
    let (mut streams, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let hub = Setup::new(driver).env("ADDR", &addr.to_string()).start();
        // They stay: who leaves first lets the kernel go on sooner.
        streams.extend((0..50).map(|_| Stream::open(addr, "match=a", "")));
        idle.extend((0..20).map(|_| Connection::open(addr)));
        hub.signal(libc::SIGKILL);
        // The next one starts at the very moment at which this one is gone.
        // SAFETY: a plain system call; what it fills in is never read. The child stays waitable.
        unsafe {
            let mut info = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            libc::waitid(libc::P_PID, hub.pid() as libc::id_t, &raw mut info, flags);
        }
    }
}

/// The operator was not told that the hub took no more subscribers.
fn who_is_turned_away_is_logged(driver: Driver) {
    for overload in ["retry", "reject"] {
        let setup =
            Setup::new(driver).env("PETASOS_WORKERS", "1").env("PETASOS_OVERLOAD", overload);
        let hub = setup.env("PETASOS_MAX_CONNECTIONS", "1").start();
        let _stream = Stream::open(hub.addr, "match=a", "");
        Connection::open(hub.addr)
            .send("GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n")
            .head();
        hub.wait_for_log("as many subscribers as it takes");
    }
}

/// A key in the environment kept `--dev` from starting, with a text about issuers that nobody had
/// named.
#[test]
fn dev_starts_beside_keys_of_the_environment() {
    let keys = Setup::bare()
        .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY);
    let mut hub = keys.arg("--dev").start();
    let output = hub.output_up_to("Token");
    let token = output.split_whitespace().last().unwrap();
    publish(hub.addr, token, &[("topic", "a"), ("data", "x")]);
}
