//! A file table for each worker: wakes reach workers and nothing else, every socket is in one
//! table, and limits count for each table.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Connection, Stream, publication, publish},
        hub::{Driver, Hub, PATIENCE, Setup},
        process::{descriptors, limit_open_files, sockets_of_port, wait_until},
        swarm::{Happening, Opening, Random, Swarm},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    every_worker_wakes_every_other_while_sockets_come_and_go,
    every_socket_is_in_one_table,
    limits_on_open_files_count_for_each_worker,
);

const WORKERS: usize = 5;

fn setup(driver: Driver, workers: usize) -> Setup {
    Setup::new(driver)
        .env("PETASOS_WORKERS", &workers.to_string())
        .env("PETASOS_FILE_TABLES", "worker")
}

/// A waker made in the wrong table would write eight bytes into somebody's stream, which checks
/// every byte of its framing.
fn every_worker_wakes_every_other_while_sockets_come_and_go(driver: Driver) {
    // So many that some of each land on every worker.
    const STREAMS: usize = 150;
    const PUBLISHERS: usize = 40;
    const ROUNDS: usize = 400;
    let mut random = Random::seeded("tables");
    let hub = setup(driver, WORKERS).start();
    let token = tokens::publisher(&["*"]);
    let mut swarm = Swarm::new();
    let publishers: Vec<_> =
        (0..PUBLISHERS).map(|_| swarm.open(hub.addr, b"", Opening::default())).collect();
    let subscribe = b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";
    let first = PUBLISHERS;
    for _ in 0..STREAMS {
        swarm.open(hub.addr, subscribe, Opening::default());
    }
    let mut churned: Vec<(usize, usize)> = Vec::new();
    let (mut heads, mut got) = (0, vec![0; STREAMS]);
    let mut churned_got: HashMap<usize, Option<usize>> = HashMap::new();
    for round in 0..ROUNDS {
        // Everything has come to rest: the workers sleep, and this wakes them all.
        if round > 0 {
            let publication =
                publication(&token, &[("topic", "a"), ("data", &(round - 1).to_string())]);
            swarm.send(publishers[round % PUBLISHERS], publication.as_bytes());
        }
        for _ in 0..random.below(4) {
            churned.push((swarm.open(hub.addr, subscribe, Opening::default()), round));
        }
        let begin = Instant::now();
        let mut answers = 0;
        let is_done = |heads, answers, got: &[usize]| {
            heads >= STREAMS && answers == round.min(1) && got.iter().all(|&got| got == round)
        };
        while !is_done(heads, answers, &got) {
            swarm.turn(Duration::from_millis(5), |peer, happening| match happening {
                Happening::Head(_) if peer < first + STREAMS => heads += 1,
                Happening::Head(_) => {}
                Happening::Answer { status, .. } => {
                    assert_eq!(*status, 200);
                    answers += 1;
                }
                Happening::Event(event) => {
                    let data = std::str::from_utf8(event.data.as_deref().unwrap()).unwrap();
                    let number: usize = data.parse().unwrap();
                    if peer < first + STREAMS {
                        assert_eq!(number, got[peer - first], "everything, once, in order");
                        got[peer - first] += 1;
                    } else {
                        let before = churned_got.insert(peer, Some(number)).flatten();
                        assert!(before.is_none_or(|before| before + 1 == number));
                    }
                }
                Happening::End { .. } => panic!("peer {peer} was ended"),
            });
            assert!(begin.elapsed() < PATIENCE, "round {round}: {heads} heads, {got:?}");
        }
        churned.retain(|&(peer, since)| {
            let stays = round < since + 3;
            if !stays {
                swarm.close(peer);
            }
            stays
        });
    }
    assert!(!hub.log().contains("panicked"), "{}", hub.log());
}

/// The sockets of the hub's port in the tables of its workers, and in that of all other threads.
fn tables(hub: &Hub) -> (Vec<Vec<String>>, Vec<String>) {
    let (_, own) = sockets_of_port(hub.addr.port());
    let (mut workers, mut others) = (Vec::new(), Vec::new());
    for (name, mut links) in descriptors(hub.pid()) {
        links.retain(|link| own.contains(link));
        if name.starts_with("worker-") {
            workers.push(links);
        } else {
            others.extend(links);
        }
    }
    (workers, others)
}

fn every_socket_is_in_one_table(driver: Driver) {
    let hub = setup(driver, WORKERS).start();
    let streams: Vec<_> = (0..60).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    let idle: Vec<_> = (0..20).map(|_| Connection::open(hub.addr)).collect();
    let count = || tables(&hub).0.iter().flatten().count();
    wait_until("all connections", || count() == 80 + WORKERS);
    let (listeners, _) = sockets_of_port(hub.addr.port());
    assert_eq!(listeners.len(), WORKERS);
    let (workers, others) = tables(&hub);
    assert_eq!(workers.len(), WORKERS);
    assert!(others.is_empty(), "in the first table: {others:?}");
    let mut places = HashMap::new();
    for (worker, sockets) in workers.iter().enumerate() {
        let own = sockets.iter().filter(|socket| listeners.contains(socket)).count();
        assert_eq!(own, 1, "worker {worker} has one listener");
        for socket in sockets {
            let before = places.insert(socket, worker);
            assert_eq!(before, None, "{socket} is in the tables of {before:?} and {worker}");
        }
    }
    drop((streams, idle));
    wait_until("the connections to be closed", || count() == WORKERS);
}

/// More connections than one table holds.
fn limits_on_open_files_count_for_each_worker(driver: Driver) {
    const OPEN_FILES: u64 = 600;
    const STREAMS: usize = 900;
    let mut setup = setup(driver, 4);
    limit_open_files(setup.command(), OPEN_FILES, OPEN_FILES);
    let hub = setup.start();
    let mut swarm = Swarm::new();
    let subscribe = b"GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";
    let (mut heads, mut events) = (0, 0);
    let begin = Instant::now();
    let opened = (0..STREAMS).map(|_| swarm.open(hub.addr, subscribe, Opening::default()));
    assert_eq!(opened.count(), STREAMS);
    let token = tokens::publisher(&["*"]);
    while events < STREAMS {
        let before = heads;
        swarm.turn(Duration::from_millis(10), |peer, happening| match happening {
            Happening::Head(_) => heads += 1,
            Happening::Event(event) if event.data.is_some() => events += 1,
            other => panic!("peer {peer}: {other:?}"),
        });
        if before < STREAMS && heads == STREAMS {
            publish(hub.addr, &token, &[("topic", "a"), ("data", "x")]);
        }
        assert!(begin.elapsed() < PATIENCE, "{heads} streams, {events} events: {}", hub.log());
    }
}
