//! The worker threads: how they start, run and end.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsRawFd,
    rc::Rc,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

use super::{
    clock::Clock,
    connection,
    endpoint::EndpointSettings,
    listener::{Claim, has_ipv6, listen, stop_listening},
    local::{Local, guarded},
    pump::{Pump, PumpLimits, Turn},
    readiness::{GiveWay, Watch},
    runtime::{AnyRuntime, Driver},
    sender::Sender,
    sockets::{Event, EventBell, Sockets},
};
use crate::{
    http::reader,
    hub::{Hub, Limits},
    log::{
        exchange::Exchange,
        thread::{Readers, vital},
    },
};

/// What a hub at its limit does with a new subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overload {
    #[default]
    /// 200, a time to come back, and the end: what browsers understand.
    Retry,
    /// 429 and a `Retry-After`.
    Reject,
}

/// What workers need of the configuration.
#[derive(Debug)]
pub struct Settings {
    pub workers: usize,
    /// Each worker runs on one core.
    pub pin: bool,
    /// Each worker has a file table of its own.
    pub own_file_tables: bool,
    pub driver: Driver,
    pub backlog: i32,
    pub endpoint: Arc<EndpointSettings>,
    pub hub_limits: Limits,
    pub head_limits: reader::Limits,
    /// Bytes of one request body.
    pub body_len_max: u64,
    /// Bytes of all bodies of a worker that are being read or wait for the log.
    pub body_budget: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub idle_timeout: Duration,
    /// Longest life of a stream; `None`: no limit.
    pub write_timeout: Option<Duration>,
    pub publish_wait: Duration,
    /// Pieces of history that are being read for a worker at a time.
    pub reads_max: usize,
    /// Subscribers of a worker.
    pub subscribers_max: usize,
    /// Connections of a worker that are not subscribers.
    pub requests_max: usize,
    pub overload: Overload,
    /// Time over which subscribers are sent away at the end.
    pub grace_period: Duration,
}

/// Why the workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{addr} is served already: stop what listens there, or choose another address with --listen"
    )]
    InUse { addr: SocketAddr },
    #[error("listening on {addr} failed: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error(
        "io_uring is not allowed here ({source}): start with --driver epoll or --driver auto, or \
         allow it (sysctl kernel.io_uring_disabled=0, and a seccomp profile that has it)"
    )]
    IoUring { source: io::Error },
    #[error("a worker could not be started: {0}")]
    Other(#[from] io::Error),
}

/// The running workers.
pub struct Workers {
    addrs: Vec<SocketAddr>,
    driver: Driver,
    exchange: Arc<Exchange>,
    draining: Arc<AtomicBool>,
    drained: mpsc::Receiver<usize>,
}

/// What every worker thread is started with.
struct Seat {
    worker: usize,
    settings: Arc<Settings>,
    exchange: Arc<Exchange>,
    readers: Readers,
    bell: EventBell,
    addrs: Vec<SocketAddr>,
    draining: Arc<AtomicBool>,
    /// All runtimes are made before the first worker leaves the shared file table.
    runtimes_made: Arc<Barrier>,
    ready: mpsc::Sender<Result<Driver, StartError>>,
    drained: mpsc::Sender<usize>,
    seed: u64,
}

/// The wake-up descriptors of the workers: to be made first, in the file table that all threads
/// share, since threads know them by their numbers.
pub struct Bells(Vec<EventBell>);

impl Bells {
    pub fn new(workers: usize) -> io::Result<Self> {
        (0..workers).map(|_| EventBell::new()).collect::<io::Result<_>>().map(Bells)
    }

    /// What the exchange wakes workers with.
    pub fn rings(&self) -> Vec<Box<dyn crate::log::bell::Ring>> {
        self.0.iter().map(|bell| Box::new(bell.clone()) as Box<_>).collect()
    }
}

/// Starts the workers, and returns once all of them listen on `addrs`. `seeds`: a random number
/// for each worker.
pub fn start(
    settings: &Arc<Settings>,
    addrs: &[SocketAddr],
    bells: Bells,
    exchange: &Arc<Exchange>,
    readers: &Readers,
    seeds: &[u64],
) -> Result<Workers, StartError> {
    let claims = addrs.iter().map(|&addr| claim(addr)).collect::<Result<Vec<_>, _>>()?;
    let addrs: Vec<_> = claims.iter().map(Claim::addr).collect();
    let draining = Arc::new(AtomicBool::new(false));
    let runtimes_made = Arc::new(Barrier::new(settings.workers));
    let (ready, is_ready) = mpsc::channel();
    let (drained, is_drained) = mpsc::channel();
    for (worker, (bell, &seed)) in bells.0.into_iter().zip(seeds).enumerate() {
        let seat = Seat {
            worker,
            settings: Arc::clone(settings),
            exchange: Arc::clone(exchange),
            readers: readers.clone(),
            bell,
            addrs: addrs.clone(),
            draining: Arc::clone(&draining),
            runtimes_made: Arc::clone(&runtimes_made),
            ready: ready.clone(),
            drained: drained.clone(),
            seed,
        };
        thread::Builder::new()
            .name(format!("worker-{worker}"))
            .spawn(move || vital(|| seat.run()))?;
    }
    let mut driver = settings.driver;
    for _ in 0..settings.workers {
        driver = is_ready.recv().unwrap_or_else(|_| Err(worker_ended()))?;
    }
    Ok(Workers { addrs, driver, exchange: Arc::clone(exchange), draining, drained: is_drained })
}

fn worker_ended() -> StartError {
    StartError::Other(io::Error::other("a worker thread ended"))
}

fn claim(mut addr: SocketAddr) -> Result<Claim, StartError> {
    if addr.ip() == Ipv6Addr::UNSPECIFIED && !has_ipv6() {
        addr.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    Claim::new(addr).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse { addr },
        _ => StartError::Listen { addr, source },
    })
}

impl Workers {
    /// The addresses that are served, with the ports that the kernel chose.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The driver that the workers run on.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Stops accepting, finishes publications, and sends subscribers away, spread over the grace
    /// period. Returns when that is done, or after `wait`; false if not all was done.
    pub fn drain(&self, wait: Duration) -> bool {
        self.draining.store(true, Ordering::Release);
        for port in self.exchange.ports() {
            port.bell.wake();
        }
        let until = std::time::Instant::now() + wait;
        self.exchange.ports().iter().all(|_| {
            let left = until.saturating_duration_since(std::time::Instant::now());
            self.drained.recv_timeout(left).is_ok()
        })
    }
}

impl Seat {
    fn run(self) {
        let ready = self.ready.clone();
        if let Err(error) = self.try_run() {
            // Nobody listens any more if another worker failed before.
            let _ = ready.send(Err(error));
        }
    }

    fn try_run(self) -> Result<(), StartError> {
        if self.settings.pin {
            pin_to_core(self.worker);
        }
        let runtime = AnyRuntime::new(self.settings.driver);
        self.runtimes_made.wait();
        let mut runtime = runtime.map_err(|source| match self.settings.driver {
            Driver::IoUring => StartError::IoUring { source },
            Driver::Auto | Driver::Epoll => StartError::Other(source),
        })?;
        if self.settings.own_file_tables {
            own_file_table()?;
        }
        let driver = runtime.driver();
        let listeners = self
            .addrs
            .iter()
            .map(|&addr| {
                listen(addr, self.settings.backlog)
                    .map_err(|source| StartError::Listen { addr, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let sender = Sender::new(driver == Driver::IoUring);
        let sockets = Sockets::new(self.bell.clone(), sender, self.readers.clone())?;
        let watch = sockets.descriptor();
        let local = self.local(sockets);
        let result = runtime.block_on(async move {
            let watch = Watch::new(watch)?;
            let give_way = GiveWay::new()?;
            for listener in listeners {
                // Operations on a ring wait by themselves; epoll needs sockets that do not.
                listener.set_nonblocking(driver == Driver::Epoll)?;
                monoio::spawn(accept(Rc::clone(&local), listener, driver));
            }
            monoio::spawn(pump(Rc::clone(&local), watch, give_way, self.draining, self.drained));
            let _ = self.ready.send(Ok(driver));
            // Ends with the process: a runtime that is dropped leaks what is under way.
            poll_fn(|_| Poll::<io::Result<()>>::Pending).await
        });
        result.map_err(StartError::Other)
    }

    fn local(&self, sockets: Sockets) -> Rc<Local> {
        let settings = &self.settings;
        let clock = Clock::start();
        let hub = Hub::new(
            settings.hub_limits,
            settings.endpoint.topic_hasher.clone(),
            self.exchange.committed(),
            clock.now(),
        );
        let limits = PumpLimits { publish_wait: settings.publish_wait, reads: settings.reads_max };
        let pump = Pump::new(self.worker, Arc::clone(&self.exchange), limits, hub, sockets);
        Rc::new(Local::new(
            self.worker,
            Arc::clone(settings),
            Arc::clone(&self.exchange),
            clock,
            pump,
            self.seed,
        ))
    }
}

/// Connections accepted in a row on epoll, before they are served: there, accepting does not wait
/// as long as any are queued.
const ACCEPTS_IN_A_ROW: u32 = 32;

/// Accepts connections, each with a task of its own, until the listener is shut down.
async fn accept(local: Rc<Local>, listener: TcpListener, driver: Driver) {
    let Ok(listener) = monoio::net::TcpListener::from_std(listener) else { return };
    local.listeners.borrow_mut().push(listener.as_raw_fd());
    let (mut failing, mut in_a_row) = (false, 0);
    while !local.draining.get() {
        if local.tasks.get() >= local.settings.requests_max {
            // They wait in the kernel until others are done.
            monoio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        // Never dropped while it is pending: that would lose a connection.
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                in_a_row += 1;
                if driver == Driver::Epoll && in_a_row >= ACCEPTS_IN_A_ROW {
                    in_a_row = 0;
                    monoio::time::sleep(Duration::ZERO).await;
                }
                local.tasks.set(local.tasks.get() + 1);
                let local = Rc::clone(&local);
                monoio::spawn(async move {
                    guarded(connection::serve(Rc::clone(&local), stream)).await;
                    local.tasks.set(local.tasks.get() - 1);
                    if local.draining.get() {
                        local.nudge();
                    }
                });
            }
            Err(_) if local.draining.get() => return,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "accepting connections failed: is the limit on open \\
                                             files too low (ulimit -n)?");
                }
                monoio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Turns without sends before others get their turn.
const TURNS_IN_A_ROW: u32 = 8;

/// The loop of a worker: looks at what the kernel and other threads have for the hub, gives the
/// pump a turn, and sleeps when there is nothing left to do.
async fn pump(
    local: Rc<Local>,
    watch: Watch,
    give_way: GiveWay,
    draining: Arc<AtomicBool>,
    drained: mpsc::Sender<usize>,
) {
    let bell = &local.exchange.port(local.worker).bell;
    let drained = Cell::new(Some(drained));
    let mut events = Vec::new();
    let mut in_a_row = 0;
    loop {
        let mut turn = turn(&local, &mut events);
        if !turn.worked {
            if draining.load(Ordering::Acquire) && drain(&local, &drained) {
                return;
            }
            // Announced first, looked at once more afterwards: nothing is slept through.
            bell.prepare_sleep();
            turn = self::turn(&local, &mut events);
            if !turn.worked {
                local.pump(|pump| pump.outside.set_timer(turn.next, local.now()));
                if watch.readable().await.is_err() {
                    give_way.wait().await;
                }
                in_a_row = 0;
            }
            bell.stay_awake();
        }
        in_a_row += 1;
        if turn.sent || in_a_row >= TURNS_IN_A_ROW {
            in_a_row = 0;
            give_way.wait().await;
        }
    }
}

fn turn(local: &Local, events: &mut Vec<Event>) -> Turn {
    local.pump(|pump| {
        events.clear();
        let all = pump.outside.poll(|key| pump.hub.carrier(key), events);
        for event in &*events {
            match *event {
                Event::Writable(key) => pump.hub.writable(key),
                Event::Gone(key) => pump.hub.leave(key),
            }
        }
        let turn = pump.turn(local.now());
        Turn { worked: turn.worked || !all, ..turn }
    })
}

/// Goes on with the end of the worker. True once nothing is left to do.
fn drain(local: &Local, drained: &Cell<Option<mpsc::Sender<usize>>>) -> bool {
    if !local.draining.replace(true) {
        local.listeners.borrow().iter().for_each(stop_listening);
        local.shut_idle();
        local.pump(|pump| {
            pump.hub.drain(local.settings.grace_period, local.now(), || local.random());
        });
    }
    let is_done = local.tasks.get() == 0
        && local.pump(|pump| pump.hub.is_empty() && pump.publications() == 0);
    if is_done && let Some(drained) = drained.take() {
        // The main thread may have stopped waiting.
        let _ = drained.send(local.worker);
    }
    is_done
}

/// Keeps the calling thread on one of the cores that the process may use.
fn pin_to_core(worker: usize) {
    // SAFETY: the set is plain memory of the size that is given.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &raw mut allowed) != 0 {
            return;
        }
        let cores: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|&c| libc::CPU_ISSET(c, &allowed)).collect();
        let Some(&core) = cores.get(worker % cores.len().max(1)) else { return };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut one);
        libc::sched_setaffinity(0, size, &raw const one);
    }
}

/// Leaves the file table that all threads share: the limit on open files counts for each table,
/// and threads no longer meet at the table's lock.
fn own_file_table() -> io::Result<()> {
    // SAFETY: what other threads know by number (bells, the rings of runtimes) was opened before
    // and is never closed, so the numbers mean the same in every table.
    super::sockets::check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(drop)
}
