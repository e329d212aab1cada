//! How a hub starts and ends, whoever runs it.
//!
//! The order matters: addresses are claimed before anything is derived from them, descriptors that
//! other threads know by number are made first, the log runs before workers can hand it anything,
//! and the hub counts as started once everybody listens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    ServeError,
    guest::Guest,
    history::Open,
    keys, settings,
    tokens::{Current, InUse},
};
use crate::{
    admin::{self, Admin},
    config::Config,
    log::{
        bell::Ring,
        exchange::{Capacities, Exchange},
        reused::ReusedIds,
        sequence::LagLimits,
        sequencer::Sequencer,
        thread::{Readers, Unpark, run_sequencer, vital},
    },
    metrics::Metrics,
    worker::{self, Bells, Driver, Listening, Settings, Workers},
};

/// How much longer than the grace period the end may take: publications in flight, last bytes.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Where a hub runs: what is not settled by its settings.
pub(super) struct Place {
    /// Descriptors that the hub may use, of each file table.
    pub(super) open_files: u64,
    /// Sockets that listen already, or none; `None`: the addresses of the settings are listened on.
    pub(super) listening: Option<Listening>,
    /// The process publishes without a token.
    pub(super) has_guest: bool,
}

/// A hub that runs.
pub(super) struct Running {
    pub(super) workers: Workers,
    pub(super) settings: Arc<Settings>,
    /// With the addresses that are really served.
    pub(super) config: Config,
    pub(super) guest: Option<Guest>,
    log: Log,
    /// Ends the keepers of keys when it is dropped.
    #[cfg_attr(not(feature = "command"), expect(dead_code))]
    tokens: Arc<ArcSwap<InUse>>,
    /// The settings in force, for the operator.
    #[cfg_attr(not(feature = "command"), expect(dead_code))]
    described: Arc<ArcSwap<String>>,
    admin: Option<admin::Serving>,
}

impl Running {
    /// Starts everything, and returns once all workers listen.
    ///
    /// # Errors
    /// The first reason; then nothing runs any more.
    pub(super) fn start(mut config: Config, place: Place) -> Result<Running, ServeError> {
        let listening = match place.listening {
            Some(listening) => listening,
            None => Listening::on(&config.listen.addresses, &config.listen.unix)?,
        };
        config.listen.settle(&listening.addrs()?);
        let admin = config.admin.address.map(admin::listen).transpose()?;
        let workers = settings::workers(&config);
        let bells = Bells::new(workers)?;
        let keepers = keys::start(&config, workers, None)?;
        let keyring = Arc::clone(&keepers.keyring);
        let hub = settings::hub(&config, workers, place.open_files, keyring)?;
        let in_use = InUse { keepers, audiences: settings::audiences(&config) };
        let tokens = Arc::new(ArcSwap::from_pointee(in_use));
        let described = Arc::new(ArcSwap::from_pointee(config.admin.settings.clone()));
        let mut history = Open::start(&config)?;
        let begin = history.take_beginning();
        let reading = Arc::clone(&history.history);
        let guest = place.has_guest.then(|| Guest::start(config.log.publish_wait)).transpose()?;
        let guest_ring = guest.as_ref().map(Guest::ring);
        let log =
            Log::start(history, hub.lag, &bells, guest_ring, Arc::clone(&hub.worker.metrics))?;
        if let Some(guest) = &guest {
            guest.attach(&log.exchange, &reading, &hub.worker);
        }
        let (mut readers, _) = Readers::start(
            hub.readers,
            Arc::clone(&reading),
            Arc::clone(&log.exchange),
            hub.unknown_id,
        )?;
        if hub.worker.reused_ids != ReusedIds::Accept {
            (readers, _) = readers.with_searches(reading, Arc::clone(&log.exchange))?;
        }
        let seeds = (0..workers).map(|_| settings::random()).collect::<Result<Vec<_>, _>>()?;
        let workers =
            worker::start(&hub.worker, listening, bells, &log.exchange, &readers, &seeds)?;
        begin(&log.exchange);
        let admin = admin.map(|listener| {
            listener.serve(Admin {
                metrics: Arc::clone(&hub.worker.metrics),
                exchange: Arc::clone(&log.exchange),
                name: config.admin.name.clone(),
                config: Arc::clone(&described),
                tokens: Arc::new(Current(Arc::clone(&tokens))),
            })
        });
        let admin = admin.transpose()?;
        Ok(Running { admin, workers, settings: hub.worker, config, guest, log, tokens, described })
    }

    /// Goes by other settings: those that can change while the hub runs. No stream is cut.
    ///
    /// # Errors
    /// Keys cannot be used; then everything stays as it was.
    #[cfg(feature = "command")]
    pub(super) fn reload(&mut self, config: &Config) -> Result<(), ServeError> {
        let before = self.tokens.load_full();
        let keepers = keys::start(config, self.settings.workers, Some(&before.keepers))?;
        let hasher = self.settings.endpoint.load().topic_hasher.clone();
        // The addresses are those that are served.
        let config = Config { listen: self.config.listen.clone(), ..config.clone() };
        let endpoint = settings::endpoint(&config, Arc::clone(&keepers.keyring), hasher)?;
        self.settings.endpoint.store(Arc::new(endpoint));
        self.tokens.store(Arc::new(InUse { keepers, audiences: before.audiences.clone() }));
        self.described.store(Arc::new(config.admin.settings.clone()));
        self.config = config;
        Ok(())
    }

    /// Tells that it runs, and where.
    pub(super) fn announce(&self) {
        let Running { workers, settings, config, .. } = self;
        if config.workers.driver == Driver::Auto && workers.driver() == Driver::Epoll {
            tracing::warn!(
                "io_uring is not allowed here (an old kernel, a seccomp profile, or the sysctl \
                 kernel.io_uring_disabled): the workers run on epoll"
            );
        }
        let (driver, count) = (workers.driver(), settings.workers);
        if let Some(admin) = &self.admin {
            tracing::info!(addr = %admin.addr(), "health, metrics and settings are at http://{}",
                admin.addr());
        }
        for addr in workers.addrs() {
            tracing::info!(%addr, %driver, workers = count, "listening on http://{addr}");
        }
        for addr in &config.listen.unix {
            tracing::info!(%addr, %driver, workers = count, "listening on {addr}");
        }
    }

    /// Ends it: no more connections are taken, what is under way is finished, and subscribers are
    /// sent away, spread over the grace period. False: not all was done in time, and what was left
    /// is cut off.
    pub(super) fn stop(self) -> bool {
        // Until the end, so that whoever asks is told that it comes.
        let Running { workers, settings, guest, log, admin: _admin, .. } = self;
        settings.metrics.draining.store(true, Ordering::Relaxed);
        if let Some(guest) = &guest {
            guest.close();
        }
        let is_done = workers.end(settings.grace_period + DRAIN_SLACK);
        // The guest's last publications are answered by the log, so the log ends last.
        drop(guest);
        drop(log);
        tracing::info!(everybody = is_done, "stopped");
        is_done
    }
}

/// The log's thread; ended when this is dropped.
struct Log {
    exchange: Arc<Exchange>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Log {
    /// Starts the thread. It has to exist before the exchange that knows how to wake it.
    fn start(
        history: Open,
        lag: LagLimits,
        bells: &Bells,
        guest: Option<Box<dyn Ring>>,
        metrics: Arc<Metrics>,
    ) -> Result<Log, ServeError> {
        let (give, take) = std::sync::mpsc::channel::<(Arc<Exchange>, Sequencer<_>)>();
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("log".into()).spawn(move || {
            if let Ok((exchange, sequencer)) = take.recv() {
                vital(|| run_sequencer(sequencer, &exchange, &is_stopped, &metrics.log));
            }
        })?;
        let ring = Box::new(Unpark(thread.thread().clone()));
        let mut exchange = Exchange::new(history.last, ring, bells.rings(), Capacities::default());
        if let Some(guest) = guest {
            exchange = exchange.with_guest(guest);
        }
        let exchange = Arc::new(exchange);
        let Open { store, places, .. } = history;
        let sequencer = Sequencer::new(Arc::clone(&exchange), places, lag, store);
        let _ = give.send((Arc::clone(&exchange), sequencer));
        Ok(Log { exchange, stop, thread: Some(thread) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.exchange.log_bell().wake();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in there has ended the process.
            let _ = thread.join();
        }
    }
}
