//! Publishers: connections that publish one update after the other, on one thread.
//!
//! In an open loop an update is due at its time whether or not the server keeps up, and its
//! latency counts from then: a server that stalls cannot hide it by slowing the load down.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use memchr::memmem;

use crate::{
    check::Ledger,
    machine,
    payload::Payload,
    swarm::{self, Shared},
    target::Target,
    token::Grant,
    topics::Topics,
};

/// How fast is published.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// So many updates a second, whatever the server does.
    Open(f64),
    /// Each connection publishes as soon as its last update is acknowledged.
    Closed,
    /// The same, but no more updates than there are connections are on their way to subscribers.
    Followed(Deliveries),
    /// So many updates at once, and the next ones when everybody has them.
    Bursts { size: u64, deliveries: Deliveries },
}

/// Where a publisher sees what arrives.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    swarm: Arc<Shared>,
    /// Of one update.
    each: u64,
    /// What had arrived before the first; less than nothing, once some was lost.
    before: i64,
    /// What had arrived at the last look, and since when.
    seen: (u64, Instant),
}

/// What does not arrive for so long is lost, and must not stop the publisher.
const LOST_AFTER: Duration = Duration::from_millis(300);

impl Deliveries {
    /// Of a swarm in which `each` subscribers get every update, from now on.
    pub(crate) fn of(swarm: &Arc<Shared>, each: usize) -> Deliveries {
        let before = swarm.received.load(SeqCst);
        let (swarm, each) = (Arc::clone(swarm), each as u64);
        Deliveries { swarm, each, before: before as i64, seen: (before, Instant::now()) }
    }

    /// How many of the `issued` updates are still on their way.
    fn under_way(&mut self, issued: u64) -> u64 {
        let received = self.swarm.received.load(SeqCst);
        if received != self.seen.0 {
            self.seen = (received, Instant::now());
        }
        if self.seen.1.elapsed() > LOST_AFTER {
            self.before = received as i64 - (issued * self.each) as i64;
        }
        let arrived = (received as i64 - self.before) / self.each as i64;
        issued.saturating_sub(arrived.max(0) as u64)
    }
}

/// When to end by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    Count(u64),
    Stopped,
}

/// What is published.
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) topics: Arc<Topics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    pub(crate) data_len: usize,
    pub(crate) private: bool,
    /// The topic of the next update.
    pub(crate) next_topic: Box<dyn FnMut() -> u32 + Send>,
}

/// What a publisher saw.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: u64,
    /// Nanoseconds from the moment an update was due to its acknowledgement.
    pub(crate) latency: Histogram<u64>,
    /// Answers other than success, and how often; the updates were published again.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// From the first update to the last acknowledgement.
    pub(crate) elapsed: Duration,
}

pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    pub(crate) acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<Outcome>>,
}

impl Publisher {
    pub(crate) fn start(plan: Plan) -> io::Result<Publisher> {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (stop_too, acknowledged_too) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || Loop::new(plan, stop_too, acknowledged_too)?.run())?;
        Ok(Publisher { stop, acknowledged, thread })
    }

    /// Publishes nothing new, and waits for the last answers.
    pub(crate) fn stop(self) -> io::Result<Outcome> {
        self.stop.store(true, SeqCst);
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(self) -> io::Result<Outcome> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a publisher panicked")))
    }
}

/// An update that waits for its connection, or for its answer.
#[derive(Debug, Clone, Copy)]
struct Update {
    topic: u32,
    payload: Payload,
}

struct Connection {
    stream: TcpStream,
    queue: VecDeque<(u64, u32)>,
    under_way: Option<Update>,
    /// A refused update is sent again at this moment.
    again_at: Option<Instant>,
    received: Vec<u8>,
}

struct Loop {
    plan: Plan,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    token: Option<String>,
    token_until: Instant,
    next_connection: usize,
    outcome: Outcome,
    request: Vec<u8>,
    data: Vec<u8>,
}

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// How often is looked whether updates have arrived.
const LOOK: Duration = Duration::from_micros(300);
/// A server that does not answer for so long is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What is refused for now is published again after this time.
const RETRY: Duration = Duration::from_millis(100);

impl Loop {
    fn new(plan: Plan, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> io::Result<Loop> {
        // SAFETY: a plain system call; the new descriptor is owned here.
        let epoll = unsafe {
            OwnedFd::from_raw_fd(machine::check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?)
        };
        let mut connections = Vec::new();
        for index in 0..plan.connections {
            let stream = TcpStream::connect(plan.target.addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: a plain system call on descriptors that are open.
            machine::check(unsafe {
                libc::epoll_ctl(
                    epoll.as_raw_fd(),
                    libc::EPOLL_CTL_ADD,
                    stream.as_raw_fd(),
                    &raw mut event,
                )
            })?;
            connections.push(Connection {
                stream,
                queue: VecDeque::new(),
                under_way: None,
                again_at: None,
                received: Vec::new(),
            });
        }
        let token = plan.target.token(Grant::Publish { topic: "*" }, TOKEN_LIFETIME.as_secs());
        let outcome = Outcome {
            acknowledged: 0,
            latency: swarm::histogram(),
            refusals: BTreeMap::new(),
            elapsed: Duration::ZERO,
        };
        Ok(Loop {
            plan,
            stop,
            acknowledged,
            epoll,
            connections,
            token,
            token_until: Instant::now() + TOKEN_LIFETIME / 2,
            next_connection: 0,
            outcome,
            request: Vec::new(),
            data: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<Outcome> {
        // What is due must not wait for subscribers that are busy on the same core.
        machine::ask_for_short_turns();
        let begin = Instant::now();
        let begin_ns = machine::monotonic_ns();
        let (mut issued, mut progress) = (0_u64, Instant::now());
        loop {
            let is_over = self.stop.load(SeqCst)
                || match self.plan.until {
                    Until::Count(count) => issued >= count,
                    Until::Stopped => false,
                };
            let mut next_ns = None;
            match &mut self.plan.pace {
                _ if is_over => {}
                &mut Pace::Open(rate) => {
                    let due_of = |n: u64| begin_ns + (n as f64 * 1e9 / rate) as u64;
                    while due_of(issued) <= machine::monotonic_ns()
                        && self.plan.until != Until::Count(issued)
                    {
                        self.enqueue(due_of(issued));
                        issued += 1;
                    }
                    next_ns = Some(due_of(issued));
                }
                Pace::Closed => {
                    while self.connections.iter().any(Connection::is_idle)
                        && self.plan.until != Until::Count(issued)
                    {
                        self.enqueue(machine::monotonic_ns());
                        issued += 1;
                    }
                }
                Pace::Followed(deliveries) => {
                    let most = self.connections.len() as u64;
                    let room = most.saturating_sub(deliveries.under_way(issued));
                    let idle = self.connections.iter().filter(|one| one.is_idle()).count() as u64;
                    for _ in 0..room.min(idle) {
                        self.enqueue(machine::monotonic_ns());
                        issued += 1;
                    }
                    next_ns = Some(machine::monotonic_ns() + LOOK.as_nanos() as u64);
                }
                &mut Pace::Bursts { size, ref mut deliveries } => {
                    let arrived = deliveries.under_way(issued) == 0;
                    if arrived && self.connections.iter().all(Connection::is_idle) {
                        (0..size).for_each(|_| self.enqueue(machine::monotonic_ns()));
                        issued += size;
                    }
                    next_ns = Some(machine::monotonic_ns() + LOOK.as_nanos() as u64);
                }
            }
            self.send_all()?;
            if is_over && self.connections.iter().all(Connection::is_idle) {
                break;
            }
            if self.receive(next_ns)? || self.connections.iter().all(Connection::is_idle) {
                progress = Instant::now();
            } else if progress.elapsed() > ANSWER_TIMEOUT {
                return Err(io::Error::other(format!(
                    "{} did not answer a publication for {} s",
                    self.plan.target,
                    ANSWER_TIMEOUT.as_secs()
                )));
            }
        }
        let elapsed = begin.elapsed();
        Ok(Outcome { elapsed, ..self.outcome })
    }

    /// Gives the next update to the connection that publishes to its topic.
    fn enqueue(&mut self, due_ns: u64) {
        let topic = (self.plan.next_topic)();
        let count = self.connections.len();
        let index = if self.plan.topics.spread() > 1 {
            // Any will do: the next that is idle, or else the next.
            let turns = (0..count).map(|i| (self.next_connection + i) % count);
            let idle = turns.clone().find(|&i| self.connections[i].is_idle());
            idle.unwrap_or(self.next_connection)
        } else {
            topic as usize % count
        };
        self.next_connection = (index + 1) % count;
        self.connections[index].queue.push_back((due_ns, topic));
    }

    fn send_all(&mut self) -> io::Result<()> {
        for index in 0..self.connections.len() {
            let it = &mut self.connections[index];
            if let Some(at) = it.again_at {
                if at > Instant::now() {
                    continue;
                }
                it.again_at = None;
            } else if it.under_way.is_some() {
                continue;
            } else {
                let Some((due_ns, topic)) = it.queue.pop_front() else { continue };
                let series = self.plan.topics.series(topic, index);
                let sequence = self.plan.ledger.issue(series);
                it.under_way =
                    Some(Update { topic, payload: Payload { series, sequence, due_ns } });
            }
            self.send(index)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        if self.token_until <= Instant::now() {
            self.token_until += TOKEN_LIFETIME / 2;
            let grant = Grant::Publish { topic: "*" };
            self.token = self.plan.target.token(grant, TOKEN_LIFETIME.as_secs());
        }
        let it = &mut self.connections[index];
        let Some(Update { topic, payload }) = it.under_way else { return Ok(()) };
        self.data.clear();
        payload.write(self.plan.data_len, &mut self.data);
        self.request.clear();
        let topic = self.plan.topics.name(topic);
        let (private, token) = (self.plan.private, self.token.as_deref());
        self.plan.target.publication(topic, private, token, &self.data, &mut self.request);
        // A request is far smaller than a socket's buffer; a large one waits for its turn.
        let mut rest = &self.request[..];
        while !rest.is_empty() {
            match it.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for answers until something else is due. Returns whether one came.
    fn receive(&mut self, next_ns: Option<u64>) -> io::Result<bool> {
        let wait_ns = next_ns
            .map_or(5_000_000, |at| at.saturating_sub(machine::monotonic_ns()).min(5_000_000));
        let wait = libc::timespec { tv_sec: 0, tv_nsec: wait_ns as i64 };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        // SAFETY: the kernel writes at most as many events as the array has.
        let count = unsafe {
            let signals = std::ptr::null();
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                256,
                &raw const wait,
                signals,
            )
        };
        let count = match machine::check(count) {
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        for event in &events[..count] {
            self.answer(event.u64 as usize)?;
        }
        Ok(count > 0)
    }

    fn answer(&mut self, index: usize) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let it = &mut self.connections[index];
        match it.stream.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("the server closed a publisher's connection")),
            Ok(len) => it.received.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some((status, len)) = read_answer(&it.received)? else { return Ok(()) };
        it.received.drain(..len);
        let Some(Update { payload, .. }) = it.under_way else { return Ok(()) };
        if (200..300).contains(&status) {
            self.plan.ledger.acknowledge(payload.series);
            let passed = machine::monotonic_ns().saturating_sub(payload.due_ns);
            self.outcome.latency.saturating_record(passed);
            self.outcome.acknowledged += 1;
            self.acknowledged.fetch_add(1, SeqCst);
            it.under_way = None;
        } else if status == 503 || status == 429 {
            *self.outcome.refusals.entry(status.to_string()).or_default() += 1;
            it.again_at = Some(Instant::now() + RETRY);
        } else {
            return Err(io::Error::other(format!(
                "{} answered a publication with {status}: is the key right?",
                self.plan.target
            )));
        }
        Ok(())
    }
}

impl Connection {
    fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.queue.is_empty()
    }
}

/// The status and the length of the answer at the front of `bytes`, if it is whole.
fn read_answer(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else {
        return Err(io::Error::other(format!("not an HTTP answer: {head}")));
    };
    let (mut len, mut is_chunked) = (0, false);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            len = value.trim().parse().map_err(io::Error::other)?;
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    let whole = if is_chunked {
        let found = memmem::find(&bytes[end..], b"\r\n0\r\n\r\n");
        found.map(|at| end + at + b"\r\n0\r\n\r\n".len())
    } else {
        Some(end + 4 + len).filter(|&whole| whole <= bytes.len())
    };
    Ok(whole.map(|whole| (status, whole)))
}
