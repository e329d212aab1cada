//! Runs a hub from start to end, on the main thread.
//!
//! The order matters: descriptors that other threads know by number are made first, the log runs
//! before workers can hand it anything, and addresses are printed once everybody listens.

mod keys;
mod limits;
mod logging;
mod settings;

use std::{
    io::Write,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

pub use self::limits::raise_open_files;
use crate::{
    config::{Config, Notice},
    log::{
        exchange::{Capacities, Exchange},
        history::Store,
        sequence::{LagLimits, Places},
        sequencer::Sequencer,
        thread::{Readers, Unpark, run_sequencer, vital},
    },
    protocol::update::Position,
    worker::{self, Bells, Driver, StartError, Workers},
};

/// How much longer than the grace period the end may take: publications in flight, last bytes.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Why the hub does not run. Each is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the system refused what the hub needs: {0}")]
    System(#[from] std::io::Error),
    #[error("{0}")]
    Settings(String),
}

/// Runs the hub until a signal ends it. `banner` is for people: it is printed once the hub listens.
pub fn serve(config: Config, notices: Vec<Notice>, banner: Option<String>) -> ExitCode {
    let flush = logging::start(&config.logging);
    notices.iter().for_each(logging::notice);
    match run(&config, banner.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            drop(flush);
            eprintln!("petasos: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config, banner: Option<&str>) -> Result<(), ServeError> {
    // Before anything runs: a signal that comes early ends the start, and is not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let open_files = limits::raise_open_files();
    limits::refuse_huge_pages();
    let workers = settings::workers(config);
    let bells = Bells::new(workers)?;
    let keyring = keys::start(config)?;
    let hub = settings::hub(config, workers, open_files, keyring)?;
    limits::advise(open_files, &hub.worker);

    let stop = Arc::new(AtomicBool::new(false));
    let (history, places) = settings::history(config)?;
    let (exchange, log) = start_log(history.clone(), places, hub.lag, &bells, &stop)?;
    let history = Arc::new(history);
    let (readers, _) = Readers::start(hub.readers, history, Arc::clone(&exchange), hub.unknown_id)?;
    let seeds = (0..workers).map(|_| settings::random()).collect::<Result<Vec<_>, _>>()?;
    let addrs = &config.listen.addresses;
    let running = worker::start(&hub.worker, addrs, bells, &exchange, &readers, &seeds)?;
    announce(&running, workers, config.workers.driver, banner);

    let signal = signals.forever().find(|&signal| {
        if signal == SIGHUP {
            tracing::warn!("settings are not read again while the hub runs: restart it instead");
        }
        signal != SIGHUP
    });
    tracing::info!(signal, "stopping: no more connections are taken");
    // A second signal ends at once: whoever sends it does not want to wait.
    thread::spawn(move || {
        if signals.forever().any(|signal| signal != SIGHUP) {
            std::process::exit(1);
        }
    });
    let done = running.drain(hub.worker.grace_period + DRAIN_SLACK);
    stop.store(true, Ordering::Release);
    exchange.log_bell().wake();
    log.thread().unpark();
    let _ = log.join();
    tracing::info!(everybody = done, "stopped");
    Ok(())
}

type Log = thread::JoinHandle<()>;

/// Starts the log's thread. It has to exist before the exchange that knows how to wake it.
fn start_log(
    store: impl Store + 'static,
    places: Places,
    lag: LagLimits,
    bells: &Bells,
    stop: &Arc<AtomicBool>,
) -> Result<(Arc<Exchange>, Log), ServeError> {
    let (give, take) = std::sync::mpsc::channel::<(Arc<Exchange>, Sequencer<_>)>();
    let stop = Arc::clone(stop);
    let log = thread::Builder::new().name("log".into()).spawn(move || {
        if let Ok((exchange, sequencer)) = take.recv() {
            vital(|| run_sequencer(sequencer, &exchange, &stop));
        }
    })?;
    let ring = Box::new(Unpark(log.thread().clone()));
    let exchange =
        Arc::new(Exchange::new(Position::START, ring, bells.rings(), Capacities::default()));
    let sequencer = Sequencer::new(Arc::clone(&exchange), places, lag, store);
    let _ = give.send((Arc::clone(&exchange), sequencer));
    Ok((exchange, log))
}

fn announce(running: &Workers, workers: usize, asked: Driver, banner: Option<&str>) {
    if asked == Driver::Auto && running.driver() == Driver::Epoll {
        tracing::warn!(
            "io_uring is not allowed here (an old kernel, a seccomp profile, or the sysctl \
             kernel.io_uring_disabled): the workers run on epoll"
        );
    }
    for addr in running.addrs() {
        tracing::info!(%addr, driver = %running.driver(), workers, "listening on http://{addr}");
    }
    if let Some(banner) = banner {
        // Nobody may read it any more.
        let _ = writeln!(std::io::stdout(), "{banner}");
    }
}
