//! One simulated hub: threads, sockets and clients, of which one makes a step at a time.
//!
//! The world lies in a thread-local, and whoever makes a step is taken out of it meanwhile. So the
//! production code may call out in the middle of its turn (it sends, it writes the store), and
//! there other threads make steps: [`interlude`].

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use petasos::{
    log::{
        bell::Ring,
        exchange::Exchange,
        history::{Read, Reply, Search},
    },
    protocol::{id::IdCipher, topic::TopicHasher},
    worker::submissions::Outcome,
};

use super::{
    client::Client, guest::Guest, history::SimHistory, log_thread::LogThread, oracle::Oracle,
    rng::Rng, scenario::Scenario, tasks::Task, worker::Worker,
};

/// A wake-up that waits to be noticed.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimRing(Arc<AtomicBool>);

impl SimRing {
    pub(crate) fn is_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Ring for SimRing {
    fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who can make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The loop of a worker that drives its pump.
    Pump(usize),
    /// A task of a worker that serves a request.
    Task(usize),
    Log,
    /// The thread that publishes for the application.
    Guest,
    /// A reader reads.
    Reader,
    /// A reader makes a search.
    Search,
    /// A reader hands over what it read.
    Reply,
    /// Who makes room for history has made some.
    Keeper,
    Client(usize),
}

/// What the kernel tells a worker about a client's socket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Writable(usize),
    Gone(usize),
}

/// Room for history.
#[derive(Debug)]
pub(crate) struct Room {
    /// There is none, until this moment at least.
    pub(crate) is_full: bool,
    pub(crate) full_until: u64,
    /// What the log found when it looked last.
    pub(crate) was_found: bool,
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) oracle: Oracle,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) history: Arc<SimHistory>,
    pub(crate) cipher: IdCipher,
    pub(crate) hasher: TopicHasher,

    pub(crate) log: Option<Box<LogThread>>,
    pub(crate) guest: Option<Box<Guest>>,
    /// Publications that the application has handed in.
    pub(crate) guest_queue: VecDeque<usize>,
    pub(crate) workers: Vec<Option<Box<Worker>>>,
    pub(crate) room: Room,
    pub(crate) reads: Vec<Read>,
    pub(crate) searches: Vec<Search>,
    pub(crate) replies: Vec<(usize, Reply)>,
    pub(crate) tasks: Vec<Option<Task>>,
    pub(crate) ready: Vec<Arc<Mutex<VecDeque<usize>>>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) events: Vec<VecDeque<Event>>,
    /// Threads that get no steps for now: the log comes after the workers.
    pub(crate) frozen: Vec<bool>,
    pub(crate) actions_left: usize,
    pub(crate) steps: u64,
    trace: VecDeque<(&'static str, u64, u64)>,
    actors: Vec<(Actor, usize)>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Looks at the world, or changes it.
pub(crate) fn with<T>(f: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| f(world.borrow_mut().as_mut().expect("a schedule is under way")))
}

pub(crate) fn set(world: Option<World>) {
    // What is dropped may hold wakers: not while the world is borrowed.
    let old = WORLD.with(|slot| slot.replace(world));
    drop(old);
}

const TRACE_LEN: usize = 200;

pub(crate) fn trace(what: &'static str, a: usize, b: u64) {
    with(|world| world.trace(what, a, b));
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        use petasos::log::{exchange::Exchange, memory::Memory};
        let mut rng = Rng::new(seed);
        let scenario = Scenario::draw(&mut rng);
        // Keyed by nothing that changes from run to run would be better; order never depends on it.
        let hasher = TopicHasher::new();
        let cipher = IdCipher::new(rng.next().to_le_bytes().repeat(2).try_into().expect("16"));
        let log_ring = SimRing::default();
        let rings: Vec<SimRing> = (0..scenario.workers).map(|_| SimRing::default()).collect();
        let mut exchange = Exchange::new(
            petasos::protocol::update::Position::START,
            Box::new(log_ring.clone()),
            rings.iter().map(|ring| Box::new(ring.clone()) as Box<dyn Ring>).collect(),
            scenario.capacities,
        );
        let guest_ring = SimRing::default();
        if scenario.has_guest {
            exchange = exchange.with_guest(Box::new(guest_ring.clone()));
        }
        let exchange = Arc::new(exchange);
        let guest = scenario
            .has_guest
            .then(|| Box::new(Guest::new(guest_ring, Arc::clone(&exchange), &scenario)));
        let memory = Memory::new(scenario.retention, cipher.clone(), INCARNATION, hasher.clone());
        let workers = rings
            .into_iter()
            .enumerate()
            .map(|(id, ring)| {
                let exchange = Arc::clone(&exchange);
                Some(Box::new(Worker::new(id, ring, exchange, &scenario, hasher.clone())))
            })
            .collect();
        let log = LogThread::new(&exchange, log_ring, &cipher, &scenario, memory.clone());
        World {
            now: rng.below(1_000) as u64,
            oracle: Oracle::new(&scenario),
            exchange,
            history: Arc::new(SimHistory::new(memory, scenario.read_budget)),
            cipher,
            hasher,
            log: Some(Box::new(log)),
            guest,
            guest_queue: VecDeque::new(),
            workers,
            room: Room { is_full: false, full_until: 0, was_found: true },
            reads: Vec::new(),
            searches: Vec::new(),
            replies: Vec::new(),
            tasks: Vec::new(),
            ready: (0..scenario.workers).map(|_| Arc::default()).collect(),
            clients: Vec::new(),
            events: (0..scenario.workers).map(|_| VecDeque::new()).collect(),
            frozen: vec![false; scenario.workers + 1],
            actions_left: scenario.actions,
            steps: 0,
            trace: VecDeque::new(),
            actors: Vec::new(),
            rng,
            scenario,
        }
    }

    /// What the log finds that looks whether there is room.
    pub(crate) fn look_for_room(&mut self) -> bool {
        let Scenario { fills_up_every, full_for, .. } = self.scenario;
        if !self.room.is_full && fills_up_every.is_some_and(|every| self.rng.one_in(every)) {
            self.room.is_full = true;
            self.room.full_until = self.now + full_for;
            self.trace("room", 0, self.room.full_until);
        }
        self.room.was_found = !self.room.is_full;
        if self.room.is_full {
            self.oracle.without_room = self.steps;
        }
        self.room.was_found
    }

    /// A publisher got its answer. `visible`: the position that counts as committed for everybody.
    pub(crate) fn answered(&mut self, publication: usize, outcome: Outcome, visible: u64) {
        self.oracle.answered(publication, outcome, visible, self.now);
    }

    /// A subscriber cannot start: it is sent away.
    pub(crate) fn start_failed(&mut self, client: usize) {
        assert!(self.scenario.unreadable > 0, "nothing failed, and client {client} cannot start");
        self.trace("refuse", client, 0);
    }

    pub(crate) fn trace(&mut self, what: &'static str, a: usize, b: u64) {
        if self.trace.len() == TRACE_LEN {
            self.trace.pop_front();
        }
        self.trace.push_back((what, a as u64, b));
    }

    pub(crate) fn show(&self) -> String {
        let mut text =
            format!("{:#?}\nat {} after {} steps\n", self.scenario, self.now, self.steps);
        for (i, client) in self.clients.iter().enumerate() {
            text += &format!("client {i}: {}\n", client.show());
        }
        for (what, a, b) in &self.trace {
            text += &format!("{what} {a} {b}; ");
        }
        text
    }

    /// Whether nobody is held back.
    pub(crate) fn nobody_is_frozen(&self) -> bool {
        !self.frozen.contains(&true)
    }

    pub(crate) fn log_is_frozen(&self) -> bool {
        self.frozen[self.scenario.workers]
    }

    /// Somebody who has something to do and is awake, or is to be woken.
    pub(crate) fn pick(&mut self) -> Option<Actor> {
        let mut actors = std::mem::take(&mut self.actors);
        actors.clear();
        let weights = self.scenario.weights;
        for (id, worker) in self.workers.iter().enumerate() {
            let Some(worker) = worker else { continue };
            if self.frozen[id] {
                continue;
            }
            if worker.is_awake(self.now) || !self.events[id].is_empty() {
                actors.push((Actor::Pump(id), weights.workers[id]));
            }
            if !self.ready[id].lock().expect("no panic").is_empty() {
                actors.push((Actor::Task(id), weights.workers[id]));
            }
        }
        if self.log.as_ref().is_some_and(|log| log.is_awake()) && !self.log_is_frozen() {
            actors.push((Actor::Log, weights.log));
        }
        if self.guest.as_ref().is_some_and(|guest| guest.is_awake(self.now)) {
            actors.push((Actor::Guest, weights.guest));
        }
        if !self.reads.is_empty() {
            actors.push((Actor::Reader, weights.readers));
        }
        if !self.searches.is_empty() {
            actors.push((Actor::Search, weights.readers));
        }
        if self.room.is_full && self.room.full_until <= self.now {
            actors.push((Actor::Keeper, weights.readers));
        }
        if !self.replies.is_empty() {
            actors.push((Actor::Reply, weights.readers));
        }
        for (id, client) in self.clients.iter().enumerate() {
            if client.can_read(self.now) {
                actors.push((Actor::Client(id), weights.clients));
            }
        }
        let total: usize = actors.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.below(total);
        let picked = actors.iter().find(|(_, weight)| {
            let found = at < *weight;
            at = at.saturating_sub(*weight);
            found
        });
        let picked = picked.map(|(actor, _)| *actor);
        self.actors = actors;
        picked
    }
}

pub(crate) const INCARNATION: u32 = 7;

/// Lets `actor` make a step.
pub(crate) fn step(actor: Actor) {
    with(|world| world.steps += 1);
    match actor {
        Actor::Pump(id) => {
            let mut worker = with(|world| world.workers[id].take()).expect("it was there");
            worker.pump_step();
            with(|world| world.workers[id] = Some(worker));
        }
        Actor::Task(id) => {
            let mut worker = with(|world| world.workers[id].take()).expect("it was there");
            worker.task_step();
            with(|world| world.workers[id] = Some(worker));
        }
        Actor::Log => {
            let mut log = with(|world| world.log.take()).expect("it was there");
            log.step();
            with(|world| world.log = Some(log));
        }
        Actor::Guest => {
            let mut guest = with(|world| world.guest.take()).expect("it was there");
            guest.step();
            with(|world| world.guest = Some(guest));
        }
        Actor::Reader => super::history::read_step(),
        Actor::Search => super::history::search_step(),
        Actor::Reply => super::history::reply_step(),
        Actor::Keeper => {
            let exchange = with(|world| {
                world.room.is_full = false;
                world.trace("room", 1, 0);
                Arc::clone(&world.exchange)
            });
            interlude();
            exchange.log_bell().wake();
        }
        Actor::Client(id) => with(|world| {
            let end = world.oracle.end();
            let client = &mut world.clients[id];
            if client.read(end, &mut world.rng) {
                world.events[client.worker].push_back(Event::Writable(id));
            }
            world.trace("client", id, world.clients[id].buffered as u64);
        }),
    }
}

/// A point in the middle of somebody's step at which others may go on.
pub(crate) fn interlude() {
    let steps = with(|world| {
        let every = world.scenario.interlude_every;
        if world.rng.one_in(every) { world.rng.range(1, 8) } else { 0 }
    });
    for _ in 0..steps {
        let Some(actor) = with(World::pick) else { return };
        step(actor);
    }
}
