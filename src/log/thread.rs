//! The threads of the log: the sequencer's, and those that read history.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::{
    bell::{Doze, Ring},
    exchange::Exchange,
    history::{
        From, History, Outcome, Read, ReadBudget, Reply, Search, Store, Token, UnknownId,
        Unreadable,
    },
    sequencer::Sequencer,
};
use crate::metrics;

/// A tenth of the time of others, if they want it.
const READER_NICENESS: i32 = 10;

/// Wakes a thread that sleeps in `thread::park`.
pub struct Unpark(pub Thread);

impl Ring for Unpark {
    fn ring(&self) {
        self.0.unpark();
    }
}

/// Runs what the hub cannot go on without. A panic in there is a bug that may have left a promise
/// half kept: the process ends, and whoever supervises it starts it again.
pub fn vital(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        eprintln!("petasos: a thread that is needed has failed; the process ends");
        std::process::abort();
    }
}

/// Runs the sequencer on the calling thread until `stop` is set and nothing is left to do.
pub fn run_sequencer<S: Store>(
    mut sequencer: Sequencer<S>,
    exchange: &Exchange,
    stop: &AtomicBool,
    metrics: &metrics::Log,
) {
    ask_for_short_slices();
    let bell = exchange.log_bell();
    let mut doze = Doze::default();
    sequencer.show(metrics);
    let waits = sequencer.waits();
    loop {
        if waits {
            // A worker of the same core that has more to publish does so first: the disk takes as
            // long for many as for one.
            thread::yield_now();
        }
        let worked = sequencer.turn();
        if worked {
            sequencer.show(metrics);
        }
        if doze.may_sleep(bell, worked) {
            if stop.load(Ordering::Acquire) {
                return;
            }
            thread::park();
            doze.woke(bell);
        }
    }
}

/// Asks the scheduler for turns that are short and come soon: where there are no more cores than
/// workers, every publication would otherwise wait for a worker's whole turn. Kernels before 6.12
/// take no notice.
fn ask_for_short_slices() {
    /// `struct sched_attr` of the kernel, version 0.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    const SHORTEST_NS: u64 = 100_000;
    // SAFETY: plain system calls on the calling thread; the kernel reads as many bytes as `size`
    // says, which are there.
    unsafe {
        let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
        let attributes = Attributes {
            size: size_of::<Attributes>() as u32,
            policy: libc::SCHED_OTHER as u32,
            flags: 0,
            nice,
            priority: 0,
            runtime_ns: SHORTEST_NS,
            deadline_ns: 0,
            period_ns: 0,
        };
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

/// Asks the scheduler to let others come first: what is replayed is long past, and publications and
/// live updates of the same core must not wait for it. A refusal does no harm.
fn come_last() {
    // SAFETY: a plain system call. On Linux the niceness is that of the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, READER_NICENESS) };
}

/// The reading end of a history, as workers see it.
#[derive(Clone)]
pub struct Readers {
    requests: Sender<Read>,
    /// If ids are searched for.
    searches: Option<Sender<Search>>,
}

impl Readers {
    /// Starts `threads` readers. They end when the last clone is dropped.
    pub fn start(
        threads: usize,
        history: Arc<dyn History>,
        exchange: Arc<Exchange>,
        unknown: UnknownId,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (requests, queue) = bounded(exchange.capacities().reads * exchange.ports().len());
        let handles = (0..threads)
            .map(|index| {
                let (history, exchange, queue) =
                    (Arc::clone(&history), Arc::clone(&exchange), queue.clone());
                thread::Builder::new()
                    .name(format!("reader-{index}"))
                    .spawn(move || vital(|| serve(&*history, &exchange, &queue, unknown)))
            })
            .collect::<io::Result<_>>()?;
        Ok((Readers { requests, searches: None }, handles))
    }

    /// Starts a reader more, for searches of ids alone: publishers must not wait for replays.
    pub fn with_searches(
        mut self,
        history: Arc<dyn History>,
        exchange: Arc<Exchange>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (searches, queue) = bounded(exchange.capacities().searches * exchange.ports().len());
        let handle = thread::Builder::new()
            .name("searcher".into())
            .spawn(move || vital(|| serve_searches(&*history, &exchange, &queue)))?;
        self.searches = Some(searches);
        Ok((self, handle))
    }

    /// Hands a read to the readers. A worker has no more reads under way than the exchange's
    /// capacity, so there is always room; never blocks.
    pub fn request(&self, read: Read) {
        if self.requests.try_send(read).is_err() {
            debug_assert!(false, "workers have no more reads under way than there is room");
        }
    }

    /// Hands a search over; the same goes for it.
    pub fn search(&self, search: Search) {
        let taken = self.searches.as_ref().is_some_and(|them| them.try_send(search).is_ok());
        debug_assert!(taken, "who searches has a reader for it, and room");
    }
}

fn serve(history: &dyn History, exchange: &Exchange, queue: &Receiver<Read>, unknown: UnknownId) {
    come_last();
    for read in queue {
        let worker = read.worker;
        reply(exchange, worker, answer(history, read, unknown));
    }
}

fn serve_searches(history: &dyn History, exchange: &Exchange, queue: &Receiver<Search>) {
    for search in queue {
        let worker = search.worker;
        reply(exchange, worker, answer_search(history, &search));
    }
}

fn reply(exchange: &Exchange, worker: usize, reply: Reply) {
    let port = exchange.port(worker);
    let pushed = port.replies.push(reply);
    debug_assert!(pushed.is_ok(), "workers have no more reads under way than there is room");
    port.bell.wake();
}

/// Searches for what `search` asks for.
pub fn answer_search(history: &dyn History, search: &Search) -> Reply {
    let outcome = Outcome::Found(history.search(&search.id));
    Reply { token: Token::Publication(search.ticket), outcome }
}

/// Reads what `read` asks for.
pub fn answer(history: &dyn History, read: Read, unknown: UnknownId) -> Reply {
    let Read { token, interest, form, from, .. } = read;
    let piece = |after| history.read(after, &interest, form, ReadBudget::CHUNK);
    let outcome = match from {
        From::After(position) => Outcome::Chunk(piece(position)),
        From::Since(since) => Outcome::Start(loop {
            let located = match history.locate(&since, unknown) {
                Ok(located) => located,
                Err(error) => break Err(error),
            };
            match piece(located.position) {
                // Retention came between the two: look again, nothing was promised yet.
                Err(Unreadable::Overtaken) => continue,
                chunk => break chunk.map(|chunk| (located, chunk)),
            }
        }),
    };
    Reply { token, outcome }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::{super::bell::Bell, *};

    struct Count(Arc<AtomicU32>);

    impl Ring for Count {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn nobody_sleeps_after_a_ring_that_was_silenced() {
        let rings = Arc::new(AtomicU32::new(0));
        let bell = Bell::new(Box::new(Count(Arc::clone(&rings))));
        let rung = || rings.swap(0, Ordering::Relaxed);
        let mut doze = Doze::default();
        assert!(!doze.may_sleep(&bell, true));
        bell.wake();
        assert_eq!(rung(), 0, "awake");
        assert!(!doze.may_sleep(&bell, false), "announces");
        // The work was found before; the consumer hears the ring and finds nothing.
        bell.wake();
        assert_eq!(rung(), 1);
        assert!(!doze.may_sleep(&bell, false), "announces again");
        assert!(doze.may_sleep(&bell, false), "nothing was rung since");
        bell.wake();
        bell.wake();
        assert_eq!(rung(), 1, "once is enough");
        doze.woke(&bell);
        assert!(!doze.may_sleep(&bell, false));
        assert!(!doze.may_sleep(&bell, true), "work was found: awake");
        bell.wake();
        assert_eq!(rung(), 0);
    }
}
