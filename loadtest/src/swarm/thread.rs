//! One thread of a swarm: its connections, and the loop that serves them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{self, ErrorKind},
    ops::Range,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::Ordering::{Relaxed, SeqCst},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{Plan, Seat, Shared, connection, histogram};
use crate::{
    check::{self, Checker, Cursor, Tally},
    machine,
    payload::Payload,
    stream::{Broken, Stream},
    token::Grant,
};

/// Connections of one thread that wait for the server at a time.
const CONNECTING_MAX: usize = 512;
const EVENTS_MAX: usize = 512;
const BUFFER_LEN: usize = 256 * 1024;
/// Who was turned away, or failed, tries again after this time.
const RETRY: Duration = Duration::from_millis(250);

/// What one thread saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) tally: Tally,
    pub(super) latency: Histogram<u64>,
    pub(super) failures: BTreeMap<String, u64>,
    /// (what was subscribed to and the number of updates, their order, how many saw it)
    pub(super) orders: Vec<((u64, u32), u64, u64)>,
}

impl Seen {
    pub(super) fn failed(why: String) -> Seen {
        Seen {
            tally: Tally::default(),
            latency: histogram(),
            failures: BTreeMap::from([(why, 1)]),
            orders: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not connected, nor about to be.
    Away,
    Connecting,
    /// The request is sent.
    Asked,
    Open,
}

/// One subscriber.
struct Subscriber {
    fd: Option<OwnedFd>,
    stream: Stream,
    state: State,
    /// Its cursors among those of the thread.
    cursors: (u32, u32),
    /// What it received, in which order.
    order: u64,
    got: u32,
    stalled: bool,
    has_token: bool,
    excluded: bool,
    /// It was disconnected once: it has no claim to have seen everything in one piece.
    interrupted: bool,
    /// The id of the last event, if it may be needed.
    last_id: Box<[u8]>,
}

struct Thread<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    /// The number of its first subscriber.
    first: usize,
    epoll: OwnedFd,
    subscribers: Vec<Subscriber>,
    cursors: Vec<Cursor>,
    checker: Checker,
    latency: Histogram<u64>,
    failures: BTreeMap<String, u64>,
    /// Who is to be connected, in order; and who later.
    waiting: VecDeque<u32>,
    later: VecDeque<(Instant, u32)>,
    connecting: usize,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    request: Vec<u8>,
    churned: f64,
    random: u64,
}

pub(super) fn run(plan: &Plan, shared: &Shared, range: Range<usize>, threads: usize) -> Seen {
    match Thread::new(plan, shared, range) {
        Ok(mut thread) => match thread.serve(threads) {
            Ok(()) => thread.seen(),
            Err(error) => Seen::failed(format!("a thread of the load failed: {error}")),
        },
        Err(error) => Seen::failed(format!("a thread of the load failed: {error}")),
    }
}

impl<'a> Thread<'a> {
    fn new(plan: &'a Plan, shared: &'a Shared, range: Range<usize>) -> io::Result<Thread<'a>> {
        // SAFETY: a plain system call; the new descriptor is owned here.
        let epoll = unsafe {
            OwnedFd::from_raw_fd(machine::check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?)
        };
        let mut cursors = Vec::new();
        let mut subscriber = |index: usize| {
            let seat = (plan.seat)(index);
            let start = cursors.len();
            for &topic in &seat.topics {
                cursors.extend(plan.topics.series_of(topic).map(Cursor::new));
            }
            Subscriber::new(&seat, (start as u32, cursors.len() as u32))
        };
        let subscribers: Vec<_> = range.clone().map(&mut subscriber).collect();
        cursors.shrink_to_fit();
        Ok(Thread {
            plan,
            shared,
            first: range.start,
            epoll,
            waiting: (0..subscribers.len() as u32).collect(),
            later: VecDeque::new(),
            subscribers,
            cursors,
            checker: Checker::default(),
            latency: histogram(),
            failures: BTreeMap::new(),
            connecting: 0,
            buffer: vec![0; BUFFER_LEN],
            scratch: Vec::new(),
            request: Vec::new(),
            churned: 0.0,
            random: range.start as u64 + 1,
        })
    }

    fn serve(&mut self, threads: usize) -> io::Result<()> {
        let ramp = self.plan.ramp / threads as f64;
        let (mut last, mut credit) = (Instant::now(), 1.0);
        let (mut surveys, mut was_away) = (0, false);
        let mut hears = false;
        while !self.shared.stop.load(Relaxed) {
            let passed = last.elapsed().as_secs_f64();
            last = Instant::now();
            credit = (credit + passed * ramp).min((ramp / 20.0).max(1.0));
            let away = self.shared.away.load(Relaxed);
            if away && !was_away {
                self.leave_all();
            }
            was_away = away;
            if !hears && self.shared.stalled_read.load(Relaxed) {
                hears = true;
                self.read_stalled();
            }
            while !away && credit >= 1.0 && self.connecting < CONNECTING_MAX && self.connect_next()
            {
                credit -= 1.0;
            }
            let churn = self.shared.churn_millis.load(Relaxed) as f64 / 1000.0 / threads as f64;
            self.churn(passed * churn);
            let asked = self.shared.surveys_asked.load(SeqCst);
            if asked != surveys {
                surveys = asked;
                let behind = (0..self.subscribers.len()).filter(|&i| self.is_behind(i)).count();
                self.shared.behind.fetch_add(behind, SeqCst);
                self.shared.surveys_done.fetch_add(1, SeqCst);
            }
            let is_busy = churn > 0.0 || !self.waiting.is_empty() || !self.later.is_empty();
            self.poll(if is_busy { 1 } else { 20 })?;
        }
        Ok(())
    }

    /// Begins to connect the next one, if there is one.
    fn connect_next(&mut self) -> bool {
        while self.later.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            self.waiting.extend(self.later.pop_front().map(|(_, index)| index));
        }
        let Some(index) = self.waiting.pop_front() else { return false };
        if let Err(error) = self.connect(index) {
            self.fail(index, format!("connecting failed: {error}"));
        }
        true
    }

    fn connect(&mut self, index: u32) -> io::Result<()> {
        let it = &mut self.subscribers[index as usize];
        let fd =
            connection::connect(self.plan.target.addr, self.first + index as usize, it.stalled)?;
        let flags = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: flags as u32, u64: u64::from(index) };
        // SAFETY: a plain system call on descriptors that are open.
        machine::check(unsafe {
            let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })?;
        (it.fd, it.state, it.stream) = (Some(fd), State::Connecting, Stream::new());
        self.connecting += 1;
        Ok(())
    }

    fn poll(&mut self, wait_ms: i32) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the kernel writes at most EVENTS_MAX events into the array.
        let count = unsafe {
            let (epoll, max) = (self.epoll.as_raw_fd(), EVENTS_MAX as i32);
            libc::epoll_wait(epoll, events.as_mut_ptr(), max, wait_ms)
        };
        let count = match machine::check(count) {
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        let (mut received, mut bytes) = (0, 0);
        for event in &events[..count] {
            let (index, flags) = (event.u64 as u32, event.events as i32);
            if self.subscribers[index as usize].state == State::Connecting {
                self.ask(index, flags);
            }
            let is_readable = flags & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP) != 0;
            if is_readable && !self.is_deaf(index) {
                let may_end = flags & (libc::EPOLLRDHUP | libc::EPOLLHUP) != 0;
                self.read(index, may_end, &mut received, &mut bytes);
            }
        }
        self.shared.received.fetch_add(received, Relaxed);
        self.shared.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Whether it has joined, and does not read any more.
    fn is_deaf(&self, index: u32) -> bool {
        let it = &self.subscribers[index as usize];
        it.stalled && it.state == State::Open && !self.shared.stalled_read.load(Relaxed)
    }

    /// Reads what lies there for those who did not: they were told of it when it came.
    fn read_stalled(&mut self) {
        let (mut received, mut bytes) = (0, 0);
        for index in 0..self.subscribers.len() as u32 {
            let it = &self.subscribers[index as usize];
            if it.stalled && it.state == State::Open {
                self.read(index, true, &mut received, &mut bytes);
            }
        }
        self.shared.bytes.fetch_add(bytes, Relaxed);
    }

    /// The connection is there, or has failed: sends the request.
    fn ask(&mut self, index: u32, flags: i32) {
        if flags & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) == 0 {
            return;
        }
        let it = &mut self.subscribers[index as usize];
        let cursors = &mut self.cursors[it.cursors.0 as usize..it.cursors.1 as usize];
        let last_id = (self.plan.resumes && !it.last_id.is_empty()).then_some(&*it.last_id);
        if last_id.is_none() {
            check::asked(cursors, &self.plan.ledger);
        }
        let spread = self.plan.topics.spread();
        let topics = cursors.iter().step_by(spread).map(|cursor| cursor.series / spread as u32);
        let token = it.has_token.then(|| {
            let grant = Grant::Subscribe { topic: "*" };
            self.plan.target.token(grant, self.plan.token_lifetime_s)
        });
        self.request.clear();
        self.plan.target.subscription(
            topics.map(|topic| self.plan.topics.name(topic)),
            token.flatten().as_deref(),
            last_id.and_then(|id| std::str::from_utf8(id).ok()),
            &mut self.request,
        );
        it.state = State::Asked;
        self.connecting -= 1;
        let fd = it.fd.as_ref().expect("connected").as_raw_fd();
        match connection::send(fd, &self.request) {
            Ok(sent) if sent == self.request.len() => {}
            Ok(_) => self.fail(index, "the request did not fit the socket's buffer".to_owned()),
            Err(error) => self.fail(index, format!("connecting failed: {error}")),
        }
    }

    /// Reads what is there. The end may lie right behind it, which no other event would tell.
    fn read(&mut self, index: u32, may_end: bool, received: &mut u64, bytes: &mut u64) {
        loop {
            let it = &mut self.subscribers[index as usize];
            let Some(fd) = &it.fd else { return };
            let len = match connection::receive(fd.as_raw_fd(), &mut self.buffer) {
                Ok(0) => return self.ended(index, "the server closed the connection"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.ended(index, &error.to_string()),
            };
            *bytes += len as u64;
            match self.take(index, len) {
                Ok(count) => *received += count,
                Err(broken) => return self.fail(index, broken.to_string()),
            }
            if self.subscribers[index as usize].stream.is_ended() {
                return self.ended(index, "the server ended the stream");
            }
            if len < self.buffer.len() && !may_end {
                return;
            }
        }
    }

    /// Looks at what was received. Returns the number of updates in it.
    fn take(&mut self, index: u32, len: usize) -> Result<u64, Broken> {
        let Thread { plan, shared, subscribers, cursors, checker, latency, .. } = self;
        let it = &mut subscribers[index as usize];
        let cursors = &mut cursors[it.cursors.0 as usize..it.cursors.1 as usize];
        let resumed = plan.resumes && !it.last_id.is_empty();
        if it.state == State::Asked && !resumed {
            check::joined(cursors, &plan.ledger);
        }
        let now = machine::monotonic_ns();
        let window = shared.from_ns.load(Relaxed)..shared.until_ns.load(Relaxed);
        let (mut count, mut order, mut last_id) = (0, it.order, None);
        let excluded = it.excluded;
        it.stream.push(&self.buffer[..len], &mut self.scratch, |event| {
            count += 1;
            let Some(payload) = Payload::read(event.data) else {
                return checker.damaged(index);
            };
            let Payload { series, sequence, due_ns } = payload;
            if excluded {
                return checker.received(index, &mut [], series, sequence);
            }
            checker.received(index, cursors, series, sequence);
            if window.contains(&due_ns) {
                latency.saturating_record(now.saturating_sub(due_ns));
            }
            order = mix(order, u64::from(series) << 32 | u64::from(sequence));
            if plan.resumes {
                last_id = Some(event.id.into());
            }
        })?;
        it.order = order;
        it.got = it.got.wrapping_add(count as u32);
        if let Some(id) = last_id {
            it.last_id = id;
        }
        if it.state == State::Asked && it.stream.is_open() {
            it.state = State::Open;
            shared.open.fetch_add(1, SeqCst);
            shared.joins.fetch_add(1, Relaxed);
        }
        Ok(count)
    }

    /// The server ended the connection.
    fn ended(&mut self, index: u32, how: &str) {
        if self.subscribers[index as usize].state != State::Open {
            return self.fail(index, format!("no answer: {how}"));
        }
        self.shared.ended.fetch_add(1, SeqCst);
        *self.failures.entry(format!("stream ended: {how}")).or_default() += 1;
        self.disconnect(index);
        self.later.push_back((Instant::now() + RETRY, index));
    }

    /// The connection came to nothing: another one is tried.
    fn fail(&mut self, index: u32, why: String) {
        self.shared.failed.fetch_add(1, SeqCst);
        *self.failures.entry(why).or_default() += 1;
        self.disconnect(index);
        self.later.push_back((Instant::now() + RETRY, index));
    }

    fn disconnect(&mut self, index: u32) {
        let it = &mut self.subscribers[index as usize];
        it.fd = None;
        it.interrupted = true;
        match std::mem::replace(&mut it.state, State::Away) {
            State::Open => drop(self.shared.open.fetch_sub(1, SeqCst)),
            State::Connecting => self.connecting -= 1,
            State::Away | State::Asked => {}
        }
    }

    fn leave_all(&mut self) {
        for index in 0..self.subscribers.len() as u32 {
            if self.subscribers[index as usize].state != State::Away {
                self.disconnect(index);
                self.waiting.push_back(index);
            }
        }
    }

    /// So many of those who are there leave and come back.
    fn churn(&mut self, count: f64) {
        self.churned += count;
        let mut looks = 0;
        while self.churned >= 1.0 && looks < 1_000 {
            looks += 1;
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let index = ((self.random >> 33) as usize % self.subscribers.len()) as u32;
            if self.subscribers[index as usize].state == State::Open {
                self.churned -= 1.0;
                self.disconnect(index);
                self.waiting.push_back(index);
            }
        }
    }

    fn is_behind(&self, index: usize) -> bool {
        let it = &self.subscribers[index];
        if it.stalled || it.excluded {
            return false;
        }
        let cursors = &self.cursors[it.cursors.0 as usize..it.cursors.1 as usize];
        it.state != State::Open || !check::is_complete(cursors, &self.plan.ledger)
    }

    fn seen(mut self) -> Seen {
        let mut orders: HashMap<((u64, u32), u64), u64> = HashMap::new();
        for (index, it) in self.subscribers.iter().enumerate() {
            if it.stalled || it.excluded {
                continue;
            }
            let cursors = &self.cursors[it.cursors.0 as usize..it.cursors.1 as usize];
            if it.state == State::Open || !it.last_id.is_empty() {
                self.checker.ended(index as u32, cursors, &self.plan.ledger);
            }
            if !it.interrupted && it.got > 0 {
                let subscription =
                    cursors.iter().fold(0, |all, cursor| mix(all, cursor.series.into()));
                *orders.entry(((subscription, it.got), it.order)).or_default() += 1;
            }
        }
        Seen {
            tally: self.checker.tally(),
            latency: self.latency,
            failures: self.failures,
            orders: orders.into_iter().map(|((view, order), count)| (view, order, count)).collect(),
        }
    }
}

impl Subscriber {
    fn new(seat: &Seat, cursors: (u32, u32)) -> Subscriber {
        Subscriber {
            fd: None,
            stream: Stream::new(),
            state: State::Away,
            cursors,
            order: 0,
            got: 0,
            stalled: seat.stalled,
            has_token: seat.has_token,
            excluded: seat.excluded,
            interrupted: false,
            last_id: Box::default(),
        }
    }
}

fn mix(all: u64, one: u64) -> u64 {
    (all.rotate_left(7) ^ one).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
