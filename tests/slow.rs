//! Readers and publishers that are slow, stall, or come too fast: the others do not notice, the
//! hub's memory is bounded, and whoever is cut resumes without loss.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Connection, Stream, publication, publish},
        hub::{Driver, Hub, PATIENCE, Setup},
        process::memory,
        swarm::{Happening, Opening, PeerId, Random, Swarm},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    stalled_readers_cost_the_others_nothing_and_the_hub_little,
    who_lags_by_more_than_subscriber_buffer_is_cut_and_resumes,
    who_is_furthest_behind_is_cut_when_the_budget_is_full_and_resumes,
    who_takes_nothing_for_dispatch_timeout_is_cut_and_resumes,
    who_stalls_within_a_frame_and_goes_on_gets_it_whole,
    a_publisher_that_stalls_in_its_body_is_given_up,
    bodies_share_a_budget,
    publishers_are_sent_away_while_a_worker_lags_and_nothing_is_published_twice,
);

const SUBSCRIBE: &[u8] = b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";

/// A client whose system takes next to nothing for it.
const SMALL: Opening = Opening { receive_buffer: Some(2048), stalled: false };

fn setup(driver: Driver) -> Setup {
    Setup::new(driver)
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .env("PETASOS_SUBSCRIBER_BUFFER", "1GiB")
        .env("PETASOS_OUTBOX_BUDGET", "1GiB")
}

/// Data of update `number`: its number and then so many bytes.
fn data(number: usize, len: usize) -> String {
    format!("{number:08}{}", "x".repeat(len))
}

/// Streams, and what they got.
struct Readers {
    swarm: Swarm,
    streams: Vec<Reader>,
    len: usize,
}

#[derive(Default, Clone)]
struct Reader {
    head: bool,
    /// Updates.
    got: usize,
    last_id: String,
    ended: Option<bool>,
}

impl Readers {
    /// `len`: of the padding that every update has.
    fn new(len: usize) -> Self {
        Readers { swarm: Swarm::new(), streams: Vec::new(), len }
    }

    fn open(&mut self, hub: &Hub, request: &[u8], opening: Opening) -> PeerId {
        self.streams.push(Reader::default());
        self.swarm.open(hub.addr, request, opening)
    }

    /// Opens a stream and waits for its head.
    fn subscribe(&mut self, hub: &Hub, opening: Opening) -> PeerId {
        let peer = self.open(hub, SUBSCRIBE, opening);
        self.until("a head", |streams| streams[peer].head);
        peer
    }

    /// Goes on from where `peer` was cut.
    fn resume(&mut self, hub: &Hub, peer: PeerId) -> PeerId {
        let Reader { got, last_id, .. } = self.streams[peer].clone();
        let since = if got == 0 { "earliest" } else { &last_id };
        let request = format!(
            "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\
             Last-Event-ID: {since}\r\n\r\n"
        );
        let resumed = self.open(hub, request.as_bytes(), Opening::default());
        self.streams[resumed].got = got;
        resumed
    }

    fn turn(&mut self) {
        let Readers { swarm, streams, len } = self;
        swarm.turn(Duration::from_millis(5), |peer, happening| {
            let stream = &mut streams[peer];
            match happening {
                Happening::Head(_) => stream.head = true,
                Happening::Event(event) => {
                    let data = event.data.as_deref().unwrap();
                    let number = std::str::from_utf8(&data[..8]).unwrap().parse::<usize>();
                    assert_eq!(number.unwrap(), stream.got, "everything, once, in order");
                    assert_eq!(data.len(), 8 + *len, "whole");
                    assert!(data[8..].iter().all(|&byte| byte == b'x'), "intact");
                    stream.got += 1;
                    let id = std::str::from_utf8(event.id.unwrap()).unwrap();
                    id.clone_into(&mut stream.last_id);
                }
                Happening::End { proper } => stream.ended = Some(*proper),
                other => panic!("{other:?}"),
            }
        });
    }

    fn until(&mut self, what: &str, mut is_true: impl FnMut(&[Reader]) -> bool) {
        let begin = Instant::now();
        while !is_true(&self.streams) {
            self.turn();
            let got: Vec<_> = self.streams.iter().map(|one| (one.got, one.ended)).collect();
            assert!(begin.elapsed() < PATIENCE, "waiting for {what}: {got:?}");
        }
    }

    fn publish(&mut self, publisher: &mut Publisher, count: usize) {
        for _ in 0..count {
            publisher.publish(self.len);
            self.turn();
        }
    }
}

/// Publishes one update after the other.
struct Publisher {
    connection: Connection,
    token: String,
    published: usize,
}

impl Publisher {
    fn new(hub: &Hub) -> Self {
        let connection = Connection::open(hub.addr);
        Publisher { connection, token: tokens::publisher(&["*"]), published: 0 }
    }

    fn publish(&mut self, len: usize) {
        let data = data(self.published, len);
        let publication = publication(&self.token, &[("topic", "a"), ("data", &data)]);
        assert_eq!(self.connection.send(publication).answer().status, 200);
        self.published += 1;
    }
}

fn stalled_readers_cost_the_others_nothing_and_the_hub_little(driver: Driver) {
    const LEN: usize = 60_000;
    const COUNT: usize = 2000;
    let hub = setup(driver)
        .env("PETASOS_SUBSCRIBER_BUFFER", "256KiB")
        .env("PETASOS_OUTBOX_BUDGET", "4MiB")
        .env("MERCURE_TRANSPORT_URL", "memory://?size=0&max_bytes=4MiB")
        .start();
    let mut readers = Readers::new(LEN);
    let good: Vec<_> = (0..9).map(|_| readers.subscribe(&hub, Opening::default())).collect();
    let stalled = Opening { stalled: true, ..SMALL };
    let stalled: Vec<_> = (0..30).map(|_| readers.open(&hub, SUBSCRIBE, stalled)).collect();
    thread::sleep(Duration::from_millis(200));
    let before = memory(hub.pid());
    let mut publisher = Publisher::new(&hub);
    let mut highest = before;
    // No more at a time than a reader may lag by: a busy machine delivers them all at once.
    for _ in 0..COUNT / 4 {
        readers.publish(&mut publisher, 4);
        let sent = publisher.published;
        readers.until("the others", |streams| good.iter().all(|&peer| streams[peer].got == sent));
        highest = highest.max(memory(hub.pid()));
    }
    // All of the updates together are 120 MB, and a stalled reader that is kept keeps them all.
    let grown = (highest - before) >> 20;
    assert!(grown < 48, "the hub grew by {grown} MiB");
    for peer in stalled {
        readers.swarm.set_reading(peer, true);
        readers.until("the end of who was cut", |streams| streams[peer].ended.is_some());
        assert_eq!(readers.streams[peer].ended, Some(false), "a cut is no proper end");
    }
    for &peer in &good {
        assert_eq!(readers.streams[peer].ended, None);
    }
}

/// Publishes to three stalled readers, of whom so many are to be cut, and sees that they lose
/// nothing by it.
fn are_cut_and_resume(hub: &Hub, cut: usize, (count, len): (usize, usize), wait: Duration) {
    let mut readers = Readers::new(len);
    let good = readers.subscribe(hub, Opening::default());
    let stalled: Vec<_> = (0..3).map(|_| readers.subscribe(hub, SMALL)).collect();
    for &peer in &stalled {
        readers.swarm.set_reading(peer, false);
    }
    let mut publisher = Publisher::new(hub);
    readers.publish(&mut publisher, count);
    thread::sleep(wait);
    readers.until("the others", |streams| streams[good].got == count);
    let mut were_cut = 0;
    for peer in stalled {
        readers.swarm.set_reading(peer, true);
        readers.until("the end of who was cut", |streams| {
            streams[peer].ended.is_some() || streams[peer].got == count
        });
        let Reader { got, ended, .. } = readers.streams[peer];
        if got < count {
            were_cut += 1;
            assert_eq!(ended, Some(false), "a cut is no proper end");
            let resumed = readers.resume(hub, peer);
            readers.until("all the rest", |streams| streams[resumed].got == count);
        }
    }
    assert!(were_cut >= cut, "{were_cut} were cut");
    readers.publish(&mut publisher, 1);
    readers.until("what is live", |streams| streams.iter().filter(|s| s.got > count).count() == 4);
    assert_eq!(readers.streams[good].ended, None);
}

fn who_lags_by_more_than_subscriber_buffer_is_cut_and_resumes(driver: Driver) {
    let hub = setup(driver).env("PETASOS_SUBSCRIBER_BUFFER", "64KiB").start();
    are_cut_and_resume(&hub, 3, (400, 20_000), Duration::ZERO);
}

/// None of them lags by more than its own share, but all together do.
fn who_is_furthest_behind_is_cut_when_the_budget_is_full_and_resumes(driver: Driver) {
    let hub = setup(driver)
        .env("PETASOS_WORKERS", "1")
        .env("PETASOS_SUBSCRIBER_BUFFER", "1MiB")
        .env("PETASOS_OUTBOX_BUDGET", "1MiB")
        .start();
    are_cut_and_resume(&hub, 1, (45, 20_000), Duration::ZERO);
}

fn who_takes_nothing_for_dispatch_timeout_is_cut_and_resumes(driver: Driver) {
    let hub = setup(driver).env("PETASOS_DISPATCH_TIMEOUT", "700ms").start();
    are_cut_and_resume(&hub, 3, (400, 20_000), Duration::from_millis(2000));
}

fn who_stalls_within_a_frame_and_goes_on_gets_it_whole(driver: Driver) {
    const LEN: usize = 1_000_000;
    let hub = setup(driver).env("PETASOS_DISPATCH_TIMEOUT", "5s").start();
    let mut random = Random::seeded("stalls");
    let mut readers = Readers::new(LEN);
    let peers: Vec<_> = (0..10)
        .map(|i| readers.subscribe(&hub, if i % 2 == 0 { SMALL } else { Opening::default() }))
        .collect();
    let mut publisher = Publisher::new(&hub);
    for round in 1..=6 {
        for &peer in &peers {
            readers.swarm.set_reading(peer, false);
        }
        publisher.publish(LEN);
        // Stop and go, so that nearly everybody is stopped within the frame at some moment.
        for _ in 0..40 {
            let peer = peers[random.below(peers.len())];
            readers.swarm.set_reading(peer, random.one_in(2));
            readers.turn();
        }
        if round % 2 == 0 {
            thread::sleep(Duration::from_millis(300));
            for &peer in &peers {
                readers.swarm.set_reading(peer, true);
            }
            readers.until("all of it", |streams| streams.iter().all(|one| one.got == round));
        }
    }
    assert!(readers.streams.iter().all(|stream| stream.ended.is_none()));
}

fn a_publisher_that_stalls_in_its_body_is_given_up(driver: Driver) {
    let hub = setup(driver).env("PETASOS_BODY_TIMEOUT", "1s").start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = tokens::publisher(&["*"]);
    let whole = publication(&token, &[("topic", "a"), ("data", "half")]);
    let mut stalled = Connection::open(hub.addr);
    stalled.send(&whole[..whole.len() - 2]);
    let begin = Instant::now();
    publish(hub.addr, &token, &[("topic", "a"), ("data", "whole")]);
    assert!(stalled.is_closed(), "without an answer");
    let waited = begin.elapsed();
    assert!(waited > Duration::from_millis(800) && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(stream.data(1), ["whole"]);
    assert!(stream.is_silent_for(Duration::from_millis(200)));
}

fn bodies_share_a_budget(driver: Driver) {
    let hub = setup(driver)
        .env("PETASOS_WORKERS", "1")
        .env("PETASOS_MAX_REQUEST_BODY_SIZE", "64KiB")
        .env("PETASOS_BODY_BUDGET", "64KiB")
        .start();
    let token = tokens::publisher(&["*"]);
    let data = "x".repeat(50_000);
    let whole = publication(&token, &[("topic", "a"), ("data", &data)]);
    let mut first = Connection::open(hub.addr);
    first.send(&whole[..whole.len() - 10]);
    thread::sleep(Duration::from_millis(300));
    let mut second = Connection::open(hub.addr);
    let answer = second.send(&whole).answer();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.field("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    // A small one still fits.
    publish(hub.addr, &token, &[("topic", "a"), ("data", "small")]);
    assert_eq!(first.send(&whole[whole.len() - 10..]).answer().status, 200);
    // And what was taken was given back, also by one that left in the middle.
    for _ in 0..5 {
        Connection::open(hub.addr).send(&whole[..whole.len() - 10]);
        let begin = Instant::now();
        while Connection::open(hub.addr).send(&whole).answer().status != 200 {
            assert!(begin.elapsed() < PATIENCE, "the budget leaks");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn publishers_are_sent_away_while_a_worker_lags_and_nothing_is_published_twice(driver: Driver) {
    const STREAMS: usize = 600;
    const PUBLISHERS: usize = 24;
    const COUNT: usize = 1500;
    let hub =
        setup(driver).env("PETASOS_WORKER_LAG", "1").env("PETASOS_PUBLISH_WAIT", "1ms").start();
    let token = tokens::publisher(&["*"]);
    let request = |number: usize| {
        let data = number.to_string();
        publication(&token, &[("topic", "a"), ("data", &data)])
    };
    let mut swarm = Swarm::new();
    let mut next = 0;
    let mut under_way: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            swarm.open(hub.addr, b"", Opening::default());
            None
        })
        .collect();
    for _ in 0..STREAMS {
        swarm.open(hub.addr, SUBSCRIBE, Opening::default());
    }
    let mut got: Vec<Vec<usize>> = vec![vec![]; STREAMS];
    let (mut heads, mut answered, mut sent_away) = (0, 0, 0);
    let mut again = Vec::new();
    let begin = Instant::now();
    while answered < COUNT || got.iter().any(|got| got.len() < COUNT) {
        for (peer, under_way) in under_way.iter_mut().enumerate() {
            if under_way.is_none() && heads == STREAMS {
                let number = again.pop().or_else(|| (next < COUNT).then_some(next));
                next += usize::from(number == Some(next));
                *under_way = number;
                number.inspect(|&number| swarm.send(peer, request(number).as_bytes()));
            }
        }
        swarm.turn(Duration::from_millis(5), |peer, happening| match happening {
            Happening::Head(_) => heads += 1,
            Happening::Event(event) => {
                let data = std::str::from_utf8(event.data.as_deref().unwrap()).unwrap();
                got[peer - PUBLISHERS].push(data.parse().unwrap());
            }
            Happening::Answer { status: 200, .. } => {
                under_way[peer] = None;
                answered += 1;
            }
            Happening::Answer { status, head, .. } => {
                assert_eq!(*status, 503, "{head}");
                assert!(head.to_ascii_lowercase().contains("retry-after: "), "{head}");
                sent_away += 1;
                again.extend(under_way[peer].take());
            }
            Happening::End { .. } => panic!("peer {peer} was ended"),
        });
        assert!(begin.elapsed() < PATIENCE, "{answered} answered, {sent_away} sent away");
    }
    assert!(sent_away > 0, "nobody was sent away: nothing was tested");
    let mut all = got[0].clone();
    assert!(got.iter().all(|other| *other == all), "one order for everybody");
    all.sort_unstable();
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>(), "everything once");
}
