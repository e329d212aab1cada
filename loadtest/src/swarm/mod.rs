//! Very many subscribers, on threads that share nothing but a few counters.
//!
//! A subscriber is a descriptor and some bytes of state: no task, no buffer. A file table holds
//! only so many descriptors; where that is too few, each thread gets a table of its own.

mod connection;
mod needs;
mod thread;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use self::needs::Needs;
use crate::{
    check::{Ledger, Tally},
    machine, progress,
    target::Target,
    topics::Topics,
};

/// How one subscriber behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat {
    /// Numbers of topics.
    pub(crate) topics: Vec<u32>,
    /// Never reads.
    pub(crate) stalled: bool,
    /// Sends a token that grants what it subscribes to.
    pub(crate) has_token: bool,
    /// May receive nothing: what it listens to is private, and it has no grant.
    pub(crate) excluded: bool,
}

impl Seat {
    /// Subscribes to one topic, reads, and has no token.
    pub(crate) fn on(topic: u32) -> Seat {
        Seat { topics: vec![topic], ..Seat::default() }
    }
}

/// What a swarm is made of.
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) count: usize,
    pub(crate) topics: Arc<Topics>,
    pub(crate) seat: Arc<dyn Fn(usize) -> Seat + Send + Sync>,
    pub(crate) ledger: Arc<Ledger>,
    /// Connections a second, at most.
    pub(crate) ramp: f64,
    /// Who is disconnected comes back with its last event id.
    pub(crate) resumes: bool,
    /// Lifetime of tokens, each of which is used once.
    pub(crate) token_lifetime_s: u64,
    pub(crate) threads: Option<usize>,
    /// Its threads get turns that are short and come soon.
    pub(crate) prompt: bool,
}

/// What all threads of a swarm share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Subscribers that got the head of an answer, and are connected.
    pub(crate) open: AtomicUsize,
    /// Heads of answers that were received, again and again.
    pub(crate) joins: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Bytes that were received.
    pub(crate) bytes: AtomicU64,
    /// Connections that failed, or were answered with something else than a stream.
    pub(crate) failed: AtomicUsize,
    /// Streams that the server ended.
    pub(crate) ended: AtomicUsize,
    /// Subscribers that do not have everything yet, as of the last `survey`.
    behind: AtomicUsize,
    surveys_asked: AtomicU32,
    surveys_done: AtomicU32,
    /// Everybody closes, and stays away until it is reset.
    away: AtomicBool,
    /// Those who do not read begin to.
    stalled_read: AtomicBool,
    /// Reconnections a second for all, in thousandths.
    churn_millis: AtomicU64,
    /// Updates due before this are not measured, nor those after `until_ns`.
    from_ns: AtomicU64,
    until_ns: AtomicU64,
    stop: AtomicBool,
}

/// What a swarm saw.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Nanoseconds from the moment an update was due to its arrival.
    pub(crate) latency: Histogram<u64>,
    /// Subscribers that saw another order than others who subscribed to the same.
    pub(crate) disagreeing: u64,
    /// Why connections failed, and how often.
    pub(crate) failures: BTreeMap<String, u64>,
}

pub(crate) fn histogram() -> Histogram<u64> {
    // Up to ten minutes, to three digits.
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("bounds that make sense")
}

pub(crate) struct Swarm {
    pub(crate) shared: Arc<Shared>,
    count: usize,
    threads: Vec<JoinHandle<thread::Seen>>,
}

/// Descriptors that a thread needs beside its connections.
const SPARE: usize = 200;

impl Swarm {
    /// Starts to open all connections.
    pub(crate) fn start(plan: Plan) -> io::Result<Swarm> {
        let table_len = machine::raise_open_files();
        let is_here = plan.target.addr.ip().is_loopback();
        let needs = Needs::of(plan.count, plan.threads, table_len, is_here);
        needs.check(plan.count, table_len)?;
        let Needs { threads: count, own_tables, .. } = needs;
        let shared = Arc::new(Shared {
            open: AtomicUsize::new(0),
            joins: AtomicU64::new(0),
            received: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            behind: AtomicUsize::new(0),
            surveys_asked: AtomicU32::new(0),
            surveys_done: AtomicU32::new(0),
            away: AtomicBool::new(false),
            stalled_read: AtomicBool::new(false),
            churn_millis: AtomicU64::new(0),
            from_ns: AtomicU64::new(u64::MAX),
            until_ns: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
        });
        let plan = Arc::new(plan);
        let threads = (0..count)
            .map(|index| {
                let first = plan.count * index / count;
                let last = plan.count * (index + 1) / count;
                let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
                std::thread::Builder::new().name(format!("subscribers-{index}")).spawn(move || {
                    if own_tables && let Err(error) = machine::own_file_table() {
                        return thread::Seen::failed(format!("no file table of its own: {error}"));
                    }
                    if plan.prompt {
                        machine::ask_for_short_turns();
                    }
                    thread::run(&plan, &shared, first..last, count)
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Swarm { shared, count: plan.count, threads })
    }

    /// Waits until everybody has joined.
    pub(crate) fn wait_until_open(&self) -> io::Result<()> {
        self.wait_for("connected", self.count, |shared| shared.open.load(SeqCst))
    }

    /// Waits until nobody is connected.
    pub(crate) fn wait_until_closed(&self) -> io::Result<()> {
        let count = self.count;
        self.wait_for("gone", count, |shared| count - shared.open.load(SeqCst))
    }

    fn wait_for(
        &self,
        what: &str,
        goal: usize,
        progress_of: impl Fn(&Shared) -> usize,
    ) -> io::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let now = progress_of(&self.shared);
            progress::show(what, now as u64, goal as u64);
            if now >= goal {
                progress::clear();
                return Ok(());
            }
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > STANDSTILL {
                progress::clear();
                let failed = self.shared.failed.load(SeqCst);
                return Err(io::Error::other(format!(
                    "{now} of {goal} subscribers are {what}, and for {} s there was no other \
                     ({failed} attempts failed): see the server's log, and its limits on open \
                     files and connections",
                    STANDSTILL.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Updates that are due from now on are measured.
    pub(crate) fn measure_from_now(&self) {
        self.shared.from_ns.store(machine::monotonic_ns(), SeqCst);
    }

    pub(crate) fn measure_until_now(&self) {
        self.shared.until_ns.store(machine::monotonic_ns(), SeqCst);
    }

    /// All leave, or come back.
    pub(crate) fn stay_away(&self, away: bool) {
        self.shared.away.store(away, SeqCst);
    }

    /// Has those read who did not: so they see whether the server has ended their streams.
    /// Returns how many it has.
    pub(crate) fn count_cut(&self) -> usize {
        self.shared.stalled_read.store(true, SeqCst);
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            let bytes = self.shared.bytes.load(SeqCst);
            if bytes != last {
                (last, since) = (bytes, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shared.ended.load(SeqCst)
    }

    /// So many subscribers a second leave and come back.
    pub(crate) fn churn(&self, per_second: f64) {
        self.shared.churn_millis.store((per_second * 1000.0) as u64, SeqCst);
    }

    /// How many do not have everything that was issued.
    fn count_behind(&self) -> usize {
        self.shared.behind.store(0, SeqCst);
        self.shared.surveys_done.store(0, SeqCst);
        self.shared.surveys_asked.fetch_add(1, SeqCst);
        while (self.shared.surveys_done.load(SeqCst) as usize) < self.threads.len()
            && !self.threads.iter().any(JoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.shared.behind.load(SeqCst)
    }

    /// Waits until everybody has everything, or nothing has arrived for a while.
    pub(crate) fn settle(&self, patience: Duration) {
        let (mut last, mut since) = (self.shared.received.load(SeqCst), Instant::now());
        while self.count_behind() > 0 {
            let received = self.shared.received.load(SeqCst);
            if received != last {
                (last, since) = (received, Instant::now());
            }
            if since.elapsed() > patience {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes everything, and tells what was seen.
    pub(crate) fn finish(self) -> Outcome {
        self.shared.stop.store(true, SeqCst);
        let seen: Vec<thread::Seen> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| thread::Seen::failed("panic".into())))
            .collect();
        let mut outcome = Outcome {
            tally: Tally::default(),
            latency: histogram(),
            disagreeing: 0,
            failures: BTreeMap::new(),
        };
        let mut orders: BTreeMap<(u64, u32), BTreeMap<u64, u64>> = BTreeMap::new();
        for seen in seen {
            outcome.tally += seen.tally;
            outcome.latency.add(&seen.latency).expect("equal bounds");
            for (reason, count) in seen.failures {
                *outcome.failures.entry(reason).or_default() += count;
            }
            for (view, order, count) in seen.orders {
                *orders.entry(view).or_default().entry(order).or_default() += count;
            }
        }
        outcome.disagreeing = orders
            .values()
            .map(|by_order| by_order.values().sum::<u64>() - by_order.values().max().unwrap_or(&0))
            .sum();
        outcome
    }
}

/// Nothing moves any more.
const STANDSTILL: Duration = Duration::from_secs(20);
