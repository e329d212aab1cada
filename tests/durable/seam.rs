//! The seam: whoever subscribes at any place of a history of any size, while others publish as
//! fast as they can, gets every update after that place, once and in order, the new ones too.

use std::collections::HashMap;

use super::{
    crowd::{Book, Crowd, Outcome, Received},
    number,
};
use crate::{
    common::{
        hub::{Driver, Setup},
        swarm::{Opening, PeerId, Random},
        tools::Directory,
    },
    on_both_drivers,
};

on_both_drivers!(every_size_of_history_goes_over_into_what_is_new);

/// Around what other hubs read at most, and where this one begins another piece.
const SIZES: [usize; 8] = [0, 1, 999, 1_000, 1_001, 9_999, 10_000, 10_001];

/// Updates that are published while subscribers come.
const LIVE: usize = 600;
const PUBLISHERS: usize = 64;
const SUBSCRIBERS: usize = 16;

fn every_size_of_history_goes_over_into_what_is_new(driver: Driver) {
    let mut random = Random::seeded("seam");
    let largest = number("PETASOS_HISTORY", 0);
    for size in SIZES.into_iter().chain((largest > 0).then_some(largest)) {
        seam(driver, size, &mut random);
    }
}

fn seam(driver: Driver, size: usize, random: &mut Random) {
    let directory = Directory::new(&format!("seam-{}-{size}", driver.name()));
    // A kernel that drops what does not fit into a tiny buffer sends it again late, and later.
    let setup = || Setup::new(driver).durable(&directory.0).directive("dispatch_timeout 0");
    let mut book = Book::new(60);
    let mut hub = setup().start();
    let mut crowd = Crowd::new(&hub, &mut book);
    crowd.publishers(PUBLISHERS);
    crowd.publish_all(size);
    drop(crowd);
    // Started anew, it has nothing in memory: all of it is read from the disk.
    hub.signal(libc::SIGTERM);
    assert_eq!(hub.wait().code(), Some(0));
    let hub = setup().start();
    let mut crowd = Crowd::new(&hub, &mut book);
    let witness = crowd.subscribed(Some("earliest"));
    let mut since: HashMap<PeerId, Option<usize>> = HashMap::new();
    crowd.publishers(PUBLISHERS);
    crowd.publish(LIVE);
    for nth in 0..SUBSCRIBERS {
        let acknowledged =
            |number: &usize| crowd.book.sent[*number].outcome == Outcome::Acknowledged;
        let at = match nth % 4 {
            // The latest that is known.
            0 => (0..crowd.book.sent.len()).rev().find(acknowledged),
            1 => None,
            _ => Some(random.below(crowd.book.sent.len().max(1))).filter(acknowledged),
        };
        let id = at.map(|number| crowd.book.id(number).to_owned());
        // One that reads little at a time is still in the past when the others are live.
        let receive_buffer = (nth % 3 == 0).then_some(4096);
        let opening = Opening { receive_buffer, ..Opening::default() };
        let peer = crowd.subscribe(Some(id.as_deref().unwrap_or("earliest")), opening);
        since.insert(peer, at);
        let due = size + LIVE * (nth + 1) / (SUBSCRIBERS + 1);
        crowd.until("updates", |crowd| crowd.book.sent.len() >= due);
    }
    let newcomer = crowd.subscribe(None, Opening::default());
    // Who joins after the last update need not get it.
    crowd.until("the last answers and a head", |crowd| {
        crowd.is_answered() && !crowd.streams[&newcomer].head.is_empty()
    });
    let last = crowd.probe();
    crowd.until("everybody to have everything", |crowd| {
        assert!(crowd.streams.values().all(|stream| !stream.ended), "{size}: somebody was cut");
        crowd.streams.values().all(|stream| stream.got.last() == Some(&last))
    });

    let order = crowd.leave(witness).got;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..=last), "{size}: everything, once");
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(at, it)| (*it, at)).collect();
    for (peer, at) in since {
        let begin = at.map_or(0, |number| place[&number] + 1);
        let Received { got, head, .. } = crowd.leave(peer);
        assert!(got == order[begin..], "{size}, after {at:?}: {} updates, {head}", got.len());
    }
    let Received { got, sent_before, .. } = crowd.leave(newcomer);
    assert!(order.ends_with(&got), "{size}: no gap in what is new");
    let missing = (sent_before..=last).find(|number| !got.contains(number));
    assert_eq!(missing, None, "{size}: who has the head gets what comes");
}
