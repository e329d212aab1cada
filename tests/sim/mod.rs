//! Runs the production pump, hub, sequencer, exchange and history in one thread, one step of one
//! actor at a time, in an order that a seed decides, and checks what publishers and subscribers
//! see against an oracle of its own.
//!
//! `PETASOS_SIM_SEEDS` says how many seeds are run, `PETASOS_SIM_SEED` runs a single one,
//! `PETASOS_SIM_SURVEY=1` goes on after failures and counts them.

mod actions;
mod client;
mod guest;
mod history;
mod log_thread;
mod oracle;
mod quiet;
mod rng;
mod scenario;
mod stream;
mod survey;
mod tasks;
mod worker;
mod world;

use self::{
    client::Pace,
    world::{World, step, with},
};

/// Steps after which a schedule should long be over.
const STEPS_MAX: u64 = 200_000;

#[test]
fn everybody_gets_everything_in_order_under_all_schedules() {
    let variable =
        |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    if let Some(seed) = variable("PETASOS_SIM_SEED") {
        run(seed);
        return;
    }
    let count =
        variable("PETASOS_SIM_SEEDS").unwrap_or(if cfg!(debug_assertions) { 500 } else { 6_000 });
    if variable("PETASOS_SIM_SURVEY").is_some() {
        return survey::survey(count);
    }
    let begin = std::time::Instant::now();
    let steps: u64 = (0..count).map(run).sum();
    eprintln!("{count} schedules, {steps} steps, {:?}", begin.elapsed());
}

/// Tells which seed failed, and how it came to that.
struct Failure(u64);

impl Drop for Failure {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("PETASOS_SIM_SURVEY").is_none() {
            eprintln!("{}", with(|world| world.show()));
            eprintln!("\nrun again: PETASOS_SIM_SEED={} cargo test --release sim::", self.0);
        }
    }
}

fn run(seed: u64) -> u64 {
    world::set(Some(World::new(seed)));
    let failure = Failure(seed);
    live();
    settle();
    end();
    let steps = with(|world| world.steps);
    drop(failure);
    world::set(None);
    steps
}

fn picked_step() -> bool {
    let Some(actor) = with(World::pick) else { return false };
    step(actor);
    assert!(with(|world| world.steps) < STEPS_MAX, "somebody turns for ever");
    true
}

/// Things happen.
fn live() {
    loop {
        let (acts, ticks) = with(|world| {
            let acts = world.actions_left > 0 && world.rng.one_in(world.scenario.action_every);
            (acts, world.rng.one_in(20))
        });
        if ticks {
            with(|world| world.now += world.rng.pick(&[1, 1, 1, 3, 30]));
        }
        if acts {
            actions::act();
        }
        if picked_step() {
            continue;
        }
        quiet::check();
        quiet::note_complete();
        if with(|world| world.actions_left) == 0 {
            return;
        }
        match with(|world| world.rng.below(3)) {
            0 => pass_time(),
            _ => actions::act(),
        }
    }
}

/// Nothing happens until something is due; workers may be late for it.
fn pass_time() {
    let due = quiet::next_due();
    with(|world| {
        let late = world.rng.pick(&[0, 0, 1, 60, 300, 100_000]);
        world.now = due.unwrap_or(world.now + 10) + if world.rng.one_in(3) { late } else { 0 };
        world.trace("time", 0, world.now);
    });
}

/// All threads go on, all clients read: in no time everybody has everything.
fn settle() {
    with(|world| {
        world.trace("settle", 0, 0);
        world.scenario.fills_up_every = None;
        world.frozen.fill(false);
        for client in &mut world.clients {
            client.pace = Pace::Fast;
            client.capacity = client.capacity.max(1_000);
        }
    });
    while picked_step() || make_room() {}
    quiet::check();
    with(|world| {
        for client in world.clients.iter().filter(|c| c.is_open()) {
            let hub = &world.workers[client.worker].as_ref().expect("no step").pump.hub;
            let waiting = client.key.and_then(|key| hub.waiting_for(key));
            assert_eq!(waiting, Some(0), "nothing waits for those who read: {}", client.show());
        }
    });
    quiet::note_complete();
    quiet::check();
    history::check_all();
}

/// Lets the time come when there is room again; false if there is some.
fn make_room() -> bool {
    with(|world| {
        world.now = world.now.max(world.room.full_until);
        world.room.is_full
    })
}

/// Everybody leaves. Nothing may remain of them.
fn end() {
    with(|world| {
        world.trace("end", 0, 0);
        for id in 0..world.clients.len() {
            if world.rng.one_in(2) {
                actions::vanish_one(world, id);
            }
        }
    });
    if with(|world| world.rng.one_in(2)) {
        while picked_step() {}
    }
    for worker in 0..with(|world| world.scenario.workers) {
        actions::drain(worker);
    }
    while picked_step() || with(|world| world.clients.iter().any(client::Client::is_open)) {
        if with(World::pick).is_none() {
            quiet::check();
            pass_time();
        }
    }
    quiet::check();
    with(|world| {
        for worker in world.workers.iter().flatten() {
            let census = worker.pump.hub.census();
            let left = petasos::hub::Census { recent_updates: 0, recent_bytes: 0, ..census };
            assert_eq!(left, petasos::hub::Census::default(), "something is leaked");
            assert_eq!(worker.next, None, "a timer is left");
        }
        assert!(world.guest.iter().all(|guest| guest.is_done() && guest.next.is_none()));
        assert!(world.clients.iter().all(|client| client.key.is_none() || !client.is_open()));
    });
}
