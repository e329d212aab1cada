//! The end of a hub: what is under way is finished, everybody is sent away properly, and nobody
//! holds it up.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Connection, Stream, publication, publish},
        hub::{Driver, PATIENCE, Setup},
        swarm::{Happening, Opening, Swarm},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    under_load_everybody_is_sent_away_properly,
    idle_connections_are_closed_at_once_and_no_more_are_taken,
    a_publication_that_is_being_sent_is_finished,
    stalled_subscribers_do_not_hold_up_the_end,
    replaying_subscribers_do_not_hold_up_the_end,
    a_second_signal_ends_it_at_once,
);

const SUBSCRIBE: &[u8] = b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";

fn under_load_everybody_is_sent_away_properly(driver: Driver) {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        everybody_is_sent_away_properly(driver, signal);
    }
}

/// What was answered so long before a stream's end was delivered to it: the end comes over
/// another connection than the answer, so "before" needs some room on a busy machine.
const MARGIN: Duration = Duration::from_millis(500);

fn everybody_is_sent_away_properly(driver: Driver, signal: i32) {
    const STREAMS: usize = 200;
    const PUBLISHERS: usize = 16;
    const GRACE: Duration = Duration::from_secs(2);
    let mut hub = Setup::new(driver).env("PETASOS_GRACE_PERIOD", "2s").start();
    let token = tokens::publisher(&["*"]);
    let mut swarm = Swarm::new();
    // Of each publisher the update that is under way; of each update, when it was answered.
    let mut under_way = [None; PUBLISHERS];
    let mut answered: Vec<Option<Instant>> = Vec::new();
    for _ in 0..PUBLISHERS {
        swarm.open(hub.addr, b"", Opening::default());
    }
    for _ in 0..STREAMS {
        swarm.open(hub.addr, SUBSCRIBE, Opening::default());
    }
    let mut got: Vec<Vec<usize>> = vec![vec![]; STREAMS];
    let mut ended: Vec<Option<(Instant, bool)>> = vec![None; STREAMS];
    let (mut heads, mut signalled) = (0, None);
    let begin = Instant::now();
    while ended.iter().any(Option::is_none) {
        for (peer, under_way) in under_way.iter_mut().enumerate() {
            if heads == STREAMS && under_way.is_none() && swarm.is_open(peer) {
                let data = answered.len().to_string();
                let request = publication(&token, &[("topic", "a"), ("data", &data)]);
                *under_way = Some(answered.len());
                answered.push(None);
                swarm.send(peer, request.as_bytes());
            }
        }
        if signalled.is_none() && answered.len() > 3000 {
            hub.signal(signal);
            signalled = Some(Instant::now());
        }
        swarm.turn(Duration::from_millis(5), |peer, happening| match happening {
            Happening::Head(_) => heads += 1,
            Happening::Event(event) => {
                let data = std::str::from_utf8(event.data.as_deref().unwrap()).unwrap();
                got[peer - PUBLISHERS].push(data.parse().unwrap());
            }
            Happening::Answer { status, body, .. } => {
                assert_eq!(*status, 200, "{body}");
                answered[under_way[peer].take().expect("a request")] = Some(Instant::now());
            }
            Happening::End { .. } if peer < PUBLISHERS => {
                assert!(signalled.is_some());
            }
            Happening::End { proper } => {
                ended[peer - PUBLISHERS] = Some((Instant::now(), *proper));
            }
        });
        assert!(begin.elapsed() < PATIENCE, "{heads} heads, {} updates", answered.len());
    }
    let signalled = signalled.expect("nobody ends before that");
    assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
    assert!(signalled.elapsed() < GRACE + Duration::from_secs(4), "{:?}", signalled.elapsed());

    let order = got.iter().max_by_key(|got| got.len()).unwrap();
    for (got, ended) in got.iter().zip(&ended) {
        let (at, proper) = ended.unwrap();
        assert!(proper, "a stream was cut off");
        assert!(order.starts_with(got), "everything, once, in one order");
        let owed = answered.iter().filter(|when| when.is_some_and(|when| when + MARGIN < at));
        assert!(got.len() >= owed.count(), "what was answered before its end is missing");
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), order.len(), "nothing twice");
    // Whoever was not answered was not read: a client may send it again.
    let last_end = ended.iter().map(|ended| ended.unwrap().0).max().unwrap();
    for update in order {
        assert!(answered[*update].is_some_and(|when| when <= last_end + MARGIN), "{update}");
    }
    let mut ends: Vec<_> = ended.iter().map(|ended| ended.unwrap().0 - signalled).collect();
    ends.sort_unstable();
    assert!(ends[STREAMS / 10] < GRACE / 2, "nobody leaves early: {ends:?}");
    assert!(ends[STREAMS * 9 / 10] > GRACE / 2, "nobody leaves late: {ends:?}");
}

fn idle_connections_are_closed_at_once_and_no_more_are_taken(driver: Driver) {
    let mut hub = Setup::new(driver).env("PETASOS_GRACE_PERIOD", "4s").start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let mut used = Connection::open(hub.addr);
    used.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n").answer();
    let mut fresh = Connection::open(hub.addr);
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    hub.signal(libc::SIGTERM);
    assert!(used.is_closed() && fresh.is_closed());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let until = Instant::now() + Duration::from_secs(1);
    while TcpStream::connect(hub.addr).is_ok() {
        assert!(Instant::now() < until, "connections are still taken");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(stream.end(), (vec![], true));
    assert_eq!(hub.wait().code(), Some(0));
}

fn a_publication_that_is_being_sent_is_finished(driver: Driver) {
    let mut hub = Setup::new(driver).env("PETASOS_GRACE_PERIOD", "3s").start();
    let token = tokens::publisher(&["*"]);
    let whole = publication(&token, &[("topic", "a"), ("data", "last")]);
    // Some in the middle of the body, some in the middle of the head.
    let mut sending: Vec<_> = [whole.len() - 5, 20]
        .map(|sent| {
            let mut connection = Connection::open(hub.addr);
            connection.send(&whole[..sent]);
            (connection, sent)
        })
        .into();
    thread::sleep(Duration::from_millis(200));
    hub.signal(libc::SIGTERM);
    hub.wait_for_log("stopping");
    thread::sleep(Duration::from_millis(300));
    for (connection, sent) in &mut sending {
        let answer = connection.send(&whole[*sent..]).answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(connection.is_closed());
    }
    assert_eq!(hub.wait().code(), Some(0));
}

fn stalled_subscribers_do_not_hold_up_the_end(driver: Driver) {
    let mut hub = Setup::new(driver)
        .env("PETASOS_GRACE_PERIOD", "1s")
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .env("PETASOS_SUBSCRIBER_BUFFER", "64MiB")
        .start();
    let mut swarm = Swarm::new();
    let small = Opening { receive_buffer: Some(2048), stalled: true };
    for _ in 0..20 {
        swarm.open(hub.addr, SUBSCRIBE, small);
    }
    thread::sleep(Duration::from_millis(200));
    let token = tokens::publisher(&["*"]);
    let data = "x".repeat(500_000);
    for _ in 0..10 {
        publish(hub.addr, &token, &[("topic", "a"), ("data", &data)]);
    }
    let begin = Instant::now();
    hub.signal(libc::SIGTERM);
    assert_eq!(hub.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

fn replaying_subscribers_do_not_hold_up_the_end(driver: Driver) {
    let mut hub = Setup::new(driver)
        .env("PETASOS_GRACE_PERIOD", "1s")
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .start();
    let token = tokens::publisher(&["*"]);
    let data = "x".repeat(500_000);
    for _ in 0..20 {
        publish(hub.addr, &token, &[("topic", "a"), ("data", &data)]);
    }
    let mut swarm = Swarm::new();
    let small = Opening { receive_buffer: Some(2048), stalled: true };
    let resume = b"GET /.well-known/mercure?match=a&last_event_id=earliest HTTP/1.1\r\n\
                   Host: hub\r\n\r\n";
    for _ in 0..20 {
        swarm.open(hub.addr, resume, small);
    }
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    hub.signal(libc::SIGTERM);
    assert_eq!(hub.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

fn a_second_signal_ends_it_at_once(driver: Driver) {
    let mut hub = Setup::new(driver).env("PETASOS_GRACE_PERIOD", "60s").start();
    // With so many, some leave late.
    let _streams: Vec<_> = (0..20).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    hub.signal(libc::SIGTERM);
    hub.wait_for_log("stopping");
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    hub.signal(libc::SIGINT);
    assert_eq!(hub.wait().code(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}
