//! The simulated store and readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use petasos::{
    log::{
        history::{
            Chunk, From, History, Located, Outcome, ReadBudget, Store, StoreError, UnknownId,
            Unreadable,
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

use super::world::{interlude, trace, with};

/// History in memory that is slow, and may fail.
pub(crate) struct SimStore {
    memory: Memory,
    fails_after: Option<usize>,
    appends: usize,
    failed: bool,
}

impl SimStore {
    pub(crate) fn new(memory: Memory, fails_after: Option<usize>) -> Self {
        SimStore { memory, fails_after, appends: 0, failed: false }
    }
}

impl Store for SimStore {
    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        assert!(!self.failed, "a store that failed is never written again");
        assert!(!updates.is_empty(), "nothing is no group");
        interlude();
        if self.fails_after == Some(self.appends) {
            self.failed = true;
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
}

impl SimHistory {
    pub(crate) fn new(memory: Memory, budget: ReadBudget) -> Self {
        SimHistory { memory, budget, overtakes: AtomicBool::new(false) }
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
        self.memory.read(after, interest, form, self.budget)
    }
}

/// A reader answers one of the requests, in whatever order.
pub(crate) fn read_step() {
    let (read, history, unknown) = with(|world| {
        let index = world.rng.below(world.reads.len());
        let read = world.reads.swap_remove(index);
        let overtakes = matches!(read.from, From::Since(_)) && world.rng.one_in(8);
        world.history.overtakes.store(overtakes, Ordering::Relaxed);
        (read, Arc::clone(&world.history), world.scenario.unknown)
    });
    let worker = read.worker;
    let reply = answer(&*history, read, unknown);
    let through = match &reply.outcome {
        Outcome::Start(start) => start.as_ref().map_or(0, |(_, chunk)| chunk.through.0),
        Outcome::Chunk(chunk) => chunk.as_ref().map_or(0, |chunk| chunk.through.0),
    };
    trace("read", worker, through);
    with(|world| world.replies.push((worker, reply)));
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
