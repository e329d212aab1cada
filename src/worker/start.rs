//! How worker threads start and end. The order of each step was learned the hard way.

use std::{
    io, mem,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    arrivals::{Arrivals, Entrance, arrivals},
    clock::Clock,
    listener::{Listening, Share},
    local::Local,
    phase::Phase,
    pump::{Pump, PumpLimits},
    readiness::{GiveWay, Watch},
    run::{accept, pump},
    runtime::{AnyRuntime, Driver},
    sender::Sender,
    settings::Settings,
    sockets::{EventBell, Sockets, check},
    unix::{SocketFile, UnixAddress},
};
use crate::{
    hub::Hub,
    log::{
        bell::Ring,
        exchange::Exchange,
        thread::{Readers, vital},
    },
};

/// Why the workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{addr} is served already: stop what listens there, or choose another address with --listen"
    )]
    InUse { addr: SocketAddr },
    #[error("listening on {addr} failed: {source}{}", advice(addr, source))]
    Listen { addr: SocketAddr, source: io::Error },
    #[error(
        "{address} is served already: stop what listens there, or choose another path with --listen"
    )]
    UnixInUse { address: UnixAddress },
    #[error(
        "{address}: a file that is no socket is there, and stays: remove it, or choose another \
         path with --listen"
    )]
    UnixTaken { address: UnixAddress },
    #[error(
        "listening on {address} failed: {source}; its directory must be there, and the hub be \
         allowed to write to it"
    )]
    Unix { address: UnixAddress, source: io::Error },
    #[error(
        "io_uring is not allowed here ({source}): start with --driver epoll or --driver auto, or \
         allow it (sysctl kernel.io_uring_disabled=0, and a seccomp profile that has it)"
    )]
    IoUring { source: io::Error },
    #[error("a worker could not be started: {0}")]
    Other(#[from] io::Error),
}

/// What to do about it, where that is known.
fn advice(addr: &SocketAddr, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied if addr.port() < 1024 => {
            "; ports below 1024 take CAP_NET_BIND_SERVICE (AmbientCapabilities in the systemd \
             unit) or sysctl net.ipv4.ip_unprivileged_port_start=0: allow it, or choose another \
             port with --listen"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// The running workers.
pub struct Workers {
    addrs: Vec<SocketAddr>,
    /// Of UNIX sockets that are listened on.
    files: Vec<SocketFile>,
    driver: Driver,
    entrance: Entrance,
    drained: mpsc::Receiver<usize>,
    threads: Vec<JoinHandle<()>>,
}

/// What every worker thread is started with.
struct Seat {
    worker: usize,
    settings: Arc<Settings>,
    exchange: Arc<Exchange>,
    readers: Readers,
    bell: EventBell,
    listening: Share,
    phase: Arc<Phase>,
    arrivals: Arrivals,
    /// All runtimes are made before the first worker leaves the shared file table.
    made: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
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
    pub fn rings(&self) -> Vec<Box<dyn Ring>> {
        self.0.iter().map(|bell| Box::new(bell.clone()) as Box<_>).collect()
    }
}

/// Starts the workers, and returns once all of them listen. `seeds`: a random number for each
/// worker.
///
/// # Errors
/// Some worker could not be started; then none runs any more.
pub fn start(
    settings: &Arc<Settings>,
    listening: Listening,
    bells: Bells,
    exchange: &Arc<Exchange>,
    readers: &Readers,
    seeds: &[u64],
) -> Result<Workers, StartError> {
    let heartbeat = settings.hub_limits.heartbeat;
    let queues: Arc<[Arrivals]> = (0..settings.workers).map(|_| arrivals()).collect();
    let phase = Arc::new(Phase::default());
    let entrance = Entrance {
        exchange: Arc::clone(exchange),
        phase: Arc::clone(&phase),
        queues: Arc::clone(&queues),
        next: Arc::default(),
        heartbeat,
        is_shared_table: !settings.own_file_tables,
    };
    let (made, is_made) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let (drained, is_drained) = mpsc::channel();
    let addrs = listening.addrs()?;
    let mut listening = listening.open(settings.backlog, settings.workers)?;
    let mut workers = Workers {
        addrs,
        files: mem::take(&mut listening.files),
        driver: settings.driver,
        entrance,
        drained: is_drained,
        threads: Vec::new(),
    };
    let mut goes = Vec::new();
    for (worker, (bell, &seed)) in bells.0.into_iter().zip(seeds).enumerate() {
        let (go, may_go) = mpsc::channel();
        goes.push(go);
        let seat = Seat {
            worker,
            settings: Arc::clone(settings),
            exchange: Arc::clone(exchange),
            readers: readers.clone(),
            bell,
            listening: listening.share(heartbeat)?,
            phase: Arc::clone(&phase),
            arrivals: Arc::clone(&queues[worker]),
            made: made.clone(),
            go: may_go,
            ready: ready.clone(),
            drained: drained.clone(),
            seed,
        };
        // Those that were started end by themselves when this is an error: nobody lets them go.
        let thread = thread::Builder::new().name(format!("worker-{worker}"));
        workers.threads.push(thread.spawn(move || vital(|| seat.run()))?);
    }
    drop((made, ready));
    for _ in &goes {
        let _ = is_made.recv();
    }
    for go in goes {
        // Whose runtime could not be made tells so.
        let _ = go.send(());
    }
    for _ in 0..settings.workers {
        match is_ready.recv().unwrap_or_else(|_| Err(worker_ended())) {
            Ok(driver) => workers.driver = driver,
            Err(error) => {
                workers.abandon();
                return Err(error);
            }
        }
    }
    Ok(workers)
}

fn worker_ended() -> StartError {
    StartError::Other(io::Error::other("a worker thread ended"))
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

    /// The way in for connections that somebody else accepted.
    pub fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    /// Stops accepting, finishes publications, and sends subscribers away, spread over the grace
    /// period. Returns when that is done and all threads have ended, or after `wait`; false if not
    /// all was done: what is left is cut off.
    pub fn end(mut self, wait: Duration) -> bool {
        // Whoever comes now finds nothing, rather than nobody.
        self.files.clear();
        self.entrance.phase.drain();
        self.wake();
        let until = Instant::now() + wait;
        let is_done = self.entrance.queues.iter().all(|_| {
            let left = until.saturating_duration_since(Instant::now());
            self.drained.recv_timeout(left).is_ok()
        });
        self.abandon();
        is_done
    }

    /// Ends all threads, whatever is under way.
    fn abandon(&mut self) {
        self.entrance.phase.abandon();
        self.wake();
        for thread in self.threads.drain(..) {
            // One that panicked has ended the process.
            let _ = thread.join();
        }
    }

    fn wake(&self) {
        for port in self.entrance.exchange.ports() {
            port.bell.wake();
        }
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
        // All make theirs before anybody goes on; if not all could be started, nobody does.
        let _ = self.made.send(());
        if self.go.recv().is_err() {
            return Ok(());
        }
        let mut runtime = runtime.map_err(|source| match self.settings.driver {
            Driver::IoUring => StartError::IoUring { source },
            Driver::Auto | Driver::Epoll => StartError::Other(source),
        })?;
        if self.settings.own_file_tables {
            own_file_table()?;
        }
        let driver = runtime.driver();
        let sender = Sender::new(driver == Driver::IoUring);
        let sockets = Sockets::new(self.bell.clone(), sender, self.readers.clone())?;
        let watch = sockets.descriptor();
        let local = self.local(sockets);
        let heartbeat = self.settings.hub_limits.heartbeat;
        let listeners = self.listening.open(self.settings.backlog, heartbeat)?;
        let phase = Arc::clone(&self.phase);
        let result = runtime.block_on(async move {
            let watch = Watch::new(watch)?;
            let give_way = GiveWay::new()?;
            for listener in listeners {
                // Operations on a ring wait by themselves; epoll needs sockets that do not.
                listener.set_nonblocking(driver == Driver::Epoll)?;
                let accepting = accept(Rc::clone(&local), listener, driver, Arc::clone(&phase));
                monoio::spawn(accepting);
            }
            let pump = monoio::spawn(pump(
                Rc::clone(&local),
                watch,
                give_way,
                driver,
                phase,
                self.drained,
            ));
            let _ = self.ready.send(Ok(driver));
            let is_all_done = pump.await;
            io::Result::Ok(is_all_done)
        });
        let is_all_done = result?;
        if !is_all_done {
            // With tasks under way it must not be dropped: the kernel may still write for them.
            mem::forget(runtime);
        }
        Ok(())
    }

    fn local(&self, sockets: Sockets) -> Rc<Local> {
        let settings = &self.settings;
        let clock = Clock::start();
        let hub = Hub::new(
            settings.hub_limits,
            settings.endpoint.load().topic_hasher.clone(),
            self.exchange.committed(),
            clock.now(),
        );
        let limits = PumpLimits {
            publish_wait: settings.publish_wait,
            reads: settings.reads_max,
            reused_ids: settings.reused_ids,
        };
        let pump = Pump::new(self.worker, Arc::clone(&self.exchange), limits, hub, sockets);
        Rc::new(Local::new(
            self.worker,
            Arc::clone(settings),
            Arc::clone(&self.exchange),
            clock,
            pump,
            Arc::clone(&self.arrivals),
            self.seed,
        ))
    }
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
    check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(drop)
}
