//! Logs: written by a thread of their own, so that a full pipe never stalls a worker. When its
//! queue is full, lines are dropped rather than waited for.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tracing::{Level, callsite};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    filter::FilterFn,
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogLevel, Logging};

/// Lines that may wait to be written.
const LINES_MAX: usize = 16 * 1024;

/// The log while it is being written; what is dropped at the end writes what still waits.
pub(super) struct Writing {
    _guard: WorkerGuard,
    /// As a number of [`LogLevel`]: whoever logs reads it without a lock.
    level: Arc<AtomicU8>,
}

impl Writing {
    /// The least severe lines that are written from now on.
    pub(super) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Release);
        // Each place that logs remembers whether its lines are wanted.
        callsite::rebuild_interest_cache();
    }
}

/// Starts logging to standard error.
pub(super) fn start(logging: &Logging) -> Writing {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("logging")
        .finish(io::stderr());
    let is_terminal = io::stderr().is_terminal();
    let json = match logging.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let level = Arc::new(AtomicU8::new(logging.level as u8));
    let now = Arc::clone(&level);
    let is_wanted =
        FilterFn::new(move |metadata| number(*metadata.level()) <= now.load(Ordering::Acquire));
    // Nothing is more talkative, ever.
    let is_wanted = is_wanted.with_max_level_hint(Level::DEBUG);
    let lines = fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(is_terminal)
        .with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry().with(is_wanted);
    // An application that embeds the hub may log already: then its way of logging counts.
    let _ = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines).try_init()
    };
    Writing { _guard: guard, level }
}

/// The number of the [`LogLevel`] that lines of this level belong to.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => LogLevel::Error as u8,
        Level::WARN => LogLevel::Warn as u8,
        Level::INFO => LogLevel::Info as u8,
        Level::DEBUG => LogLevel::Debug as u8,
        Level::TRACE => u8::MAX,
    }
}
