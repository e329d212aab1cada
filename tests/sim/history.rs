//! The simulated store and readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use petasos::{
    hub::Key,
    log::{
        history::{
            Chunk, Found, From, History, Located, Outcome, ReadBudget, Reply, Store, StoreError,
            Token, UnknownId, Unreadable,
        },
        memory::Memory,
        thread::answer,
    },
    protocol::{
        frame::Form,
        matcher::Interest,
        subscribe::Since,
        update::{Position, Update},
    },
};

use super::{
    client::Client,
    world::{World, interlude, trace, with},
};

/// History in memory that is slow, and may fail.
pub(crate) struct SimStore {
    memory: Memory,
    fails_after: Option<usize>,
    appends: usize,
    failed: bool,
    /// Appending comes after a look that found room.
    found_room: bool,
}

impl SimStore {
    pub(crate) fn new(memory: Memory, fails_after: Option<usize>) -> Self {
        SimStore { memory, fails_after, appends: 0, failed: false, found_room: false }
    }
}

impl Store for SimStore {
    fn has_room(&mut self) -> Result<bool, StoreError> {
        assert!(!self.failed, "a store that failed is not asked");
        interlude();
        self.found_room = with(World::look_for_room);
        Ok(self.found_room)
    }

    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        assert!(!self.failed, "a store that failed is never written again");
        assert!(!updates.is_empty(), "nothing is no group");
        assert!(std::mem::take(&mut self.found_room), "nobody writes where there may be no room");
        interlude();
        if self.fails_after == Some(self.appends) {
            self.failed = true;
            with(|world| world.oracle.store_failed = true);
            trace("store fails", 0, 0);
            return Err(StoreError(std::io::Error::other("simulated")));
        }
        self.appends += 1;
        self.memory.append(updates)?;
        with(|world| world.oracle.append(updates));
        interlude();
        Ok(())
    }

    fn retained(&self) -> (u64, u64) {
        self.memory.retained()
    }
}

/// A history that is read in small pieces.
pub(crate) struct SimHistory {
    memory: Memory,
    budget: ReadBudget,
    /// The next read finds that retention was faster.
    overtakes: AtomicBool,
    /// The next read fails.
    fails: AtomicBool,
}

impl SimHistory {
    pub(crate) fn new(memory: Memory, budget: ReadBudget) -> Self {
        let [overtakes, fails] = [const { AtomicBool::new(false) }; 2];
        SimHistory { memory, budget, overtakes, fails }
    }
}

impl History for SimHistory {
    fn locate(&self, since: &Since, unknown: UnknownId) -> Result<Located, Unreadable> {
        self.memory.locate(since, unknown)
    }

    fn read(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        _: ReadBudget,
    ) -> Result<Chunk, Unreadable> {
        if self.overtakes.swap(false, Ordering::Relaxed) {
            return Err(Unreadable::Overtaken);
        }
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(Unreadable::Failed);
        }
        self.memory.read(after, interest, form, self.budget)
    }

    fn search(&self, id: &str) -> Result<Found, Unreadable> {
        self.memory.search(id)
    }
}

/// A reader answers one of the requests, in whatever order.
pub(crate) fn read_step() {
    let (read, history, unknown) = with(|world| {
        let index = world.rng.below(world.reads.len());
        let read = world.reads.swap_remove(index);
        let overtakes = matches!(read.from, From::Since(_)) && world.rng.one_in(8);
        world.history.overtakes.store(overtakes, Ordering::Relaxed);
        let fails = world.rng.below(100) < world.scenario.unreadable;
        world.history.fails.store(fails, Ordering::Relaxed);
        if let (Token::Replay(key), true) = (read.token, fails) {
            let is_its = |client: &&mut Client| {
                client.worker == read.worker && client.key.map(Key::to_bits) == Some(key)
            };
            if let Some(client) = world.clients.iter_mut().find(is_its) {
                client.read_failed = true;
            }
        }
        (read, Arc::clone(&world.history), world.scenario.unknown)
    });
    let worker = read.worker;
    let reply = answer(&*history, read, unknown);
    let through = match &reply.outcome {
        Outcome::Start(start) => start.as_ref().map_or(0, |(_, chunk)| chunk.through.0),
        Outcome::Chunk(chunk) => chunk.as_ref().map_or(0, |chunk| chunk.through.0),
        Outcome::Found(_) => unreachable!("no search was asked for"),
    };
    trace("read", worker, through);
    with(|world| world.replies.push((worker, reply)));
}

/// A reader makes one of the searches, in whatever order.
pub(crate) fn search_step() {
    let search = with(|world| {
        let index = world.rng.below(world.searches.len());
        world.searches.swap_remove(index)
    });
    let outcome = Outcome::Found(find(&search.id));
    let reply = Reply { token: Token::Publication(search.ticket), outcome };
    with(|world| world.replies.push((search.worker, reply)));
}

/// What a search finds, if it does not fail.
pub(crate) fn find(id: &str) -> Result<Found, Unreadable> {
    let (history, fails) = with(|world| {
        let fails = world.rng.below(100) < world.scenario.unreadable;
        if fails {
            world.oracle.failed_searches.push(id.to_owned());
        }
        (Arc::clone(&world.history), fails)
    });
    let found = if fails { Err(Unreadable::Failed) } else { history.search(id) };
    trace("search", 0, found.map_or(0, |found| found.through.0));
    found
}

/// A reader hands one of its answers over.
pub(crate) fn reply_step() {
    let (worker, reply, exchange) = with(|world| {
        let index = world.rng.below(world.replies.len());
        let (worker, reply) = world.replies.swap_remove(index);
        (worker, reply, Arc::clone(&world.exchange))
    });
    let port = exchange.port(worker);
    assert!(port.replies.push(reply).is_ok(), "replies always have room");
    trace("reply", worker, 0);
    interlude();
    port.bell.wake();
}

/// What history holds, read to its end, must be what was committed and is retained.
pub(crate) fn check_all() {
    let (history, held) = with(|world| (Arc::clone(&world.history), world.oracle.held()));
    let everything = Interest {
        matchers: Arc::new([petasos::protocol::matcher::Matcher::Any].into_iter().collect()),
        grants: Arc::new([petasos::protocol::matcher::Matcher::Any].into_iter().collect()),
    };
    let all = ReadBudget { bytes: usize::MAX, updates: usize::MAX };
    let read = |after| history.memory.read(Position(after), &everything, Form::Bare, all);
    let chunk = read(held.start).expect("retained");
    let sent = str::from_utf8(chunk.events.as_bytes()).expect("events are text");
    assert_eq!(sent, with(|world| world.oracle.events_after(held.start)), "history");
    if held.start > 0 {
        assert!(read(held.start - 1).is_err(), "retention has a start");
    }
}
