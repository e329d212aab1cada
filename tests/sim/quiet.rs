//! What must hold when everybody sleeps: nothing is left undone, nobody is owed anything, nothing
//! is overdue, and everything is within its bounds.

use super::{
    client::{Client, Pace},
    oracle::Oracle,
    scenario::Scenario,
    worker::{TICK, Worker},
    world::{World, with},
};

/// To be called when nobody has anything to do.
pub(crate) fn check() {
    with(|world| {
        for worker in world.workers.iter().flatten() {
            if !world.frozen[worker.id] {
                check_worker(world, worker);
            }
        }
        // While there is no room, publications wait.
        if world.nobody_is_frozen() && !world.room.is_full {
            check_publications(world);
        }
    });
}

fn check_publications(world: &World) {
    for (i, sent) in world.oracle.publications.iter().enumerate() {
        assert!(sent.answer.is_some(), "publication {i} has no answer: {sent:?}");
    }
    assert!(world.tasks.iter().all(Option::is_none), "a request is forgotten: {:?}", world.tasks);
    assert!(world.guest.iter().all(|guest| guest.is_done()), "the guest sleeps on something");
    assert!(world.exchange.admits(), "admission is closed, nobody lags, and there is room");
    assert_eq!(world.exchange.committed().0, world.oracle.end(), "visible is what is committed");
}

fn check_worker(world: &World, worker: &Worker) {
    let World { exchange, scenario, oracle, now, .. } = world;
    let port = exchange.port(worker.id);
    assert!(port.is_quiet(), "worker {} sleeps through a full queue", worker.id);
    let hub = &worker.pump.hub;
    let census = hub.census();
    assert!(!hub.has_work(), "worker {} sleeps on work: {census:?}", worker.id);
    let (walks, unsettled) = (census.walks, census.unsettled_updates);
    assert_eq!((walks, unsettled, census.flushes, census.heartbeats), (0, 0, 0, 0));
    assert_eq!(port.finished(), hub.finished(), "the log knows what is finished");
    if !world.log_is_frozen() {
        assert!(port.inlet.is_empty(), "the log sleeps through a publication");
        assert_eq!(hub.finished(), exchange.committed(), "worker {} misses some", worker.id);
    }
    let requests = worker.pump.requests();
    assert_eq!((requests.reads, requests.starts, requests.wanted_starts), (0, 0, 0));
    assert_eq!(requests.searching, 0, "searches are made, room or not");
    if world.nobody_is_frozen() && !world.room.is_full {
        assert_eq!(requests, Default::default(), "requests of worker {}", worker.id);
    }
    check_bounds(scenario, world, worker);
    for client in world.clients.iter().filter(|c| c.worker == worker.id && c.is_open()) {
        check_client(scenario, oracle, worker, client, *now);
    }
}

fn check_bounds(scenario: &Scenario, world: &World, worker: &Worker) {
    let census = worker.pump.hub.census();
    let limits = &scenario.hub;
    assert!(census.waiting_bytes <= limits.outbox_budget, "{census:?}");
    // What a burst left over goes with the next update.
    let publishers = scenario.workers + usize::from(scenario.has_guest);
    let held_back = scenario.lag.updates.saturating_add(16 * publishers as u64);
    let bound = (limits.recent_updates as u64).saturating_add(held_back);
    assert!((census.recent_updates as u64) <= bound, "{census:?}");
    let waiting: usize = world
        .clients
        .iter()
        .filter(|c| c.worker == worker.id && c.is_open())
        .filter_map(|client| worker.pump.hub.waiting_for(client.key?))
        .sum();
    assert_eq!(waiting, census.waiting_bytes, "bytes wait for nobody");
}

fn check_client(scenario: &Scenario, oracle: &Oracle, worker: &Worker, client: &Client, now: u64) {
    let hub = &worker.pump.hub;
    let waiting = hub.waiting_for(client.key.expect("it is open"));
    let Some(waiting) = waiting else { panic!("gone, and not closed: {}", client.show()) };
    assert!(!client.vanished, "gone, and still there: {}", client.show());
    assert!(now < client.deadline, "at {now}, past its deadline: {}", client.show());
    if waiting > 0 {
        assert!(client.refused, "could be sent {waiting} more: {}", client.show());
        let timeout = scenario.hub.dispatch_timeout.as_millis() as u64;
        let stalls_at = client.progress_at + timeout;
        assert!(now < stalls_at, "at {now}, has long taken nothing: {}", client.show());
        if client.live {
            // A single update may be larger than the buffer.
            let bound = scenario.hub.subscriber_buffer.max(oracle.longest_frame());
            assert!(waiting <= bound, "{waiting} wait: {}", client.show());
        }
        return;
    }
    if let Some(heartbeat) = scenario.hub.heartbeat {
        let heartbeat = (heartbeat.as_millis() as u64).max(TICK);
        let silent = now.saturating_sub(client.offered_at);
        assert!(silent < heartbeat, "at {now}, not even a heartbeat: {}", client.show());
    }
    // History may be held back while too much waits for others.
    if !client.live && hub.census().waiting_bytes > scenario.hub.outbox_budget / 2 {
        return;
    }
    assert!(client.heard_head(), "without a head: {}", client.show());
    let settled = client.settled().expect("its head tells where it starts");
    if let Some(missed) = oracle.next_for(&client.wanted, settled, hub.finished().0) {
        panic!("{missed} was not sent: {}", client.show());
    }
}

/// Notes who has everything now.
pub(crate) fn note_complete() {
    with(|world| {
        let World { clients, workers, .. } = world;
        for client in clients.iter_mut().filter(|c| c.is_open()) {
            let Some(worker) = &workers[client.worker] else { continue };
            let hub = &worker.pump.hub;
            if client.key.and_then(|key| hub.waiting_for(key)) == Some(0)
                && hub.census().waiting_bytes <= world.scenario.hub.outbox_budget / 2
                && !world.frozen[client.worker]
            {
                client.live = true;
                client.was_behind = false;
            }
        }
    });
}

/// When something happens by itself.
pub(crate) fn next_due() -> Option<u64> {
    with(|world| {
        let timers = world.workers.iter().flatten().filter(|w| !world.frozen[w.id]);
        let timers = timers.filter_map(|worker| worker.next);
        let stalls = world.clients.iter().filter_map(|client| match client.pace {
            Pace::StalledUntil(until) if client.is_open() && !client.vanished => Some(until),
            _ => None,
        });
        let guest = world.guest.iter().filter_map(|guest| guest.next);
        let room = world.room.is_full.then_some(world.room.full_until);
        timers.chain(guest).chain(stalls).chain(room).filter(|&due| due > world.now).min()
    })
}
