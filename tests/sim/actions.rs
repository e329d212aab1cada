//! What happens to a hub: arrivals, publications, departures, stalls.

use petasos::{
    hub::Moment,
    log::reused::ReusedIds,
    protocol::{frame::Form, id::Place, subscribe::Since, update::Position},
};

use super::{
    client::{Client, Pace},
    oracle::{PATTERNS, Selection, TEMPLATES, Wanted},
    scenario::Habits,
    tasks::Task,
    world::{Event, INCARNATION, World, trace, with},
};

/// Something happens.
pub(crate) fn act() {
    let (what, publish) = with(|world| {
        world.actions_left -= 1;
        (world.rng.below(100), world.scenario.habits.publish)
    });
    if what < publish {
        return with(|world| {
            for _ in 0..world.rng.pick(&[1, 1, 1, 3, 8]) {
                publish_one(world);
            }
        });
    }
    match with(|world| world.rng.below(20)) {
        0..=11 => with(subscribe),
        12 | 13 => with(vanish),
        14 | 15 => with(change_pace),
        16 | 17 => with(freeze),
        18 => with(|world| {
            // An event that says nothing new.
            if let Some(id) = open_client(world) {
                world.events[world.clients[id].worker].push_back(Event::Writable(id));
            }
        }),
        _ => {
            if with(|world| world.rng.one_in(6)) {
                let worker = with(|world| world.rng.below(world.scenario.workers));
                drain(worker);
            }
        }
    }
}

fn publish_one(world: &mut World) {
    let worker = world.rng.below(world.scenario.workers);
    let habits = world.scenario.habits;
    let mut topics: Vec<_> = (0..world.rng.pick(&[1, 1, 1, 2, 3]))
        .map(|_| world.rng.pick(&world.scenario.topics))
        .collect();
    topics.dedup();
    let private = world.rng.below(100) < habits.private;
    let id = (world.rng.below(100) < habits.given_id).then(|| given_id(world));
    let event_type = world.rng.one_in(5).then_some("t");
    let padding = "x".repeat(world.rng.below(world.scenario.padding + 1));
    let (now, steps) = (world.now, world.steps);
    let publication =
        world.oracle.add_publication(topics, private, id, event_type, &padding, (now, steps));
    match &world.guest {
        Some(guest) if world.rng.one_in(2) => {
            let port = world.exchange.port(guest.number);
            world.guest_queue.push_back(publication);
            port.bell.wake();
        }
        _ => add_task(world, worker, Task::Publish { publication, promise: None }),
    }
}

fn add_task(world: &mut World, worker: usize, task: Task) {
    world.tasks.push(Some(task));
    world.ready[worker].lock().expect("no panic").push_back(world.tasks.len() - 1);
}

/// An id as publishers give them: a few that repeat, and some in the form of generated ones.
fn given_id(world: &mut World) -> String {
    let count = world.oracle.publications.len();
    match (world.rng.below(8), world.scenario.pump.reused_ids) {
        (0, ReusedIds::Accept) => generated(world, INCARNATION),
        (1, ReusedIds::Accept) => format!("unique {count}"),
        (0, _) => match world.oracle.end() as usize {
            0 => "x".to_owned(),
            // Of what is committed: nobody can guess an id that is still to be given.
            end => {
                let position = world.rng.range(1, end) as u64;
                encoded(world, INCARNATION, position)
            }
        },
        // One that others have as well who come at the same time.
        (1..=4, _) => format!("shared {}", count / 4),
        _ => world.rng.pick(&["x", "y", "z"]).to_owned(),
    }
}

/// An id of the generated form, for a place near the end.
fn generated(world: &mut World, incarnation: u32) -> String {
    let position = (world.oracle.end() + world.rng.range(0, 6) as u64).saturating_sub(3);
    encoded(world, incarnation, position)
}

fn encoded(world: &World, incarnation: u32, position: u64) -> String {
    let place = Place { incarnation, position: Position(position), sub_position: 0 };
    String::from_utf8(world.cipher.encode(place).to_vec()).expect("ASCII")
}

fn since(world: &mut World) -> Since {
    let held = world.oracle.held();
    let at = |world: &mut World, start: u64, end: u64| {
        if end == start {
            return Since::Id("x".into());
        }
        let position = start + 1 + world.rng.below((end - start) as usize) as u64;
        Since::Id(world.oracle.id_at(position).into())
    };
    match world.rng.below(12) {
        0 => Since::Empty,
        1 | 2 => Since::Earliest,
        3 => Since::Id("nobody's".into()),
        4 => Since::Id(generated(world, INCARNATION).into()),
        5 => Since::Id(generated(world, INCARNATION + 1).into()),
        6 => at(world, 0, held.start),
        7 => at(world, held.end.saturating_sub(2), held.end),
        _ => at(world, held.start, held.end),
    }
}

fn selection(world: &mut World, many: usize) -> Selection {
    if world.rng.below(100) < world.scenario.habits.wildcard {
        return Selection { any: true, ..Selection::default() };
    }
    let count = if world.rng.below(100) < many { world.rng.range(2, 3) } else { 1 };
    let any = world.rng.below(100) < many / 10;
    let mut selection = Selection { any, ..Selection::default() };
    for _ in 0..count {
        let Habits { patterns, templates, .. } = world.scenario.habits;
        match world.rng.below(100) {
            below if below < patterns => selection.patterns.push(world.rng.pick(&PATTERNS).0),
            below if below < patterns + templates => {
                selection.templates.push(world.rng.pick(&TEMPLATES).0);
            }
            _ => selection.topics.push(world.rng.pick(&world.scenario.topics)),
        }
    }
    selection
}

fn subscribe(world: &mut World) {
    let habits = world.scenario.habits;
    let worker = world.rng.below(world.scenario.workers);
    let matchers = selection(world, habits.many_matchers);
    let has_grants = world.rng.below(100) < habits.with_grants;
    let grants = if has_grants { selection(world, 30) } else { Selection::default() };
    let form = if world.rng.below(100) < habits.bare { Form::Bare } else { Form::Chunked };
    let since = (world.rng.below(100) < habits.resume).then(|| since(world));
    let mut client = Client::new(worker, form, Wanted { matchers, grants }, since);
    if world.rng.below(100) < habits.short_lived {
        client.deadline = world.now + world.rng.pick(&[0, 1, 5, 40, 200, 1_000, 200_000]);
    }
    client.capacity = 10_000;
    if world.rng.below(100) < habits.bad_clients {
        client.capacity = world.rng.pick(&[1, 10, 60, 150, 400]);
        client.pace = pace(world);
    }
    client.random_shorts = habits.random_shorts;
    client.asked_at = world.exchange.committed().0;
    client.asked_after = world.oracle.appends();
    client.progress_at = world.now;
    client.offered_at = world.now;
    world.clients.push(client);
    let client = world.clients.len() - 1;
    world.trace("arrive", client, 0);
    add_task(world, worker, Task::Subscribe { client, promise: None });
}

fn pace(world: &mut World) -> Pace {
    match world.rng.below(4) {
        0 => Pace::Fast,
        1 => Pace::StalledUntil(world.now + world.rng.pick(&[10, 100, 3_000, 1_000_000])),
        _ => Pace::Slow(world.rng.pick(&[1, 5, 40, 150])),
    }
}

fn open_client(world: &mut World) -> Option<usize> {
    let open: Vec<usize> =
        (0..world.clients.len()).filter(|&id| world.clients[id].is_open()).collect();
    (!open.is_empty()).then(|| world.rng.pick(&open))
}

fn vanish(world: &mut World) {
    // Also those that wait for their answer.
    let id = world.rng.below(world.clients.len());
    if !world.clients.is_empty() {
        vanish_one(world, id);
    }
}

pub(crate) fn vanish_one(world: &mut World, id: usize) {
    let client = &mut world.clients[id];
    if client.ended.is_none() && !client.vanished {
        client.vanished = true;
        client.buffered = 0;
        world.events[client.worker].push_back(Event::Gone(id));
        world.trace("vanish", id, 0);
    }
}

fn change_pace(world: &mut World) {
    if let Some(id) = open_client(world) {
        world.clients[id].pace = pace(world);
        world.trace("pace", id, 0);
    }
}

/// Holds a thread back, or lets it go on.
fn freeze(world: &mut World) {
    let id = world.rng.below(world.frozen.len());
    world.frozen[id] ^= true;
    world.trace("freeze", id, u64::from(world.frozen[id]));
}

/// Sends the subscribers of a worker away, spread over a while.
pub(crate) fn drain(id: usize) {
    let (mut worker, now, over, mut rng) = with(|world| {
        let worker = world.workers[id].take().expect("nobody makes a step");
        let over = world.rng.pick(&[0, 100, 5_000]);
        (worker, world.now, over, world.rng.clone())
    });
    trace("drain", id, over);
    worker.pump.hub.drain(super::scenario::ms(over), Moment(now), || rng.unit());
    worker.exchange.port(id).bell.wake();
    with(|world| {
        world.rng.next();
        world.workers[id] = Some(worker);
        for client in world.clients.iter_mut().filter(|c| c.worker == id && c.is_open()) {
            client.drained_at = Some(now);
            client.deadline = client.deadline.min(now + over);
        }
    });
}
