//! How worker threads start and end. The order of each step was learned the hard way.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use super::{
    clock::Clock,
    listener::{Claim, has_ipv6, listen},
    local::Local,
    pump::{Pump, PumpLimits},
    readiness::{GiveWay, Watch},
    run::{accept, pump},
    runtime::{AnyRuntime, Driver},
    sender::Sender,
    settings::Settings,
    sockets::{EventBell, Sockets, check},
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
    pub fn rings(&self) -> Vec<Box<dyn Ring>> {
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
        let until = Instant::now() + wait;
        self.exchange.ports().iter().all(|_| {
            let left = until.saturating_duration_since(Instant::now());
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
        let heartbeat = self.settings.hub_limits.heartbeat;
        let listeners = self
            .addrs
            .iter()
            .map(|&addr| {
                listen(addr, self.settings.backlog, heartbeat)
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
