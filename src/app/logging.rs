//! Logs: written by a thread of their own, so that a full pipe never stalls a worker. When its
//! queue is full, lines are dropped rather than waited for.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Registry,
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogLevel, Logging};

/// Lines that may wait to be written.
const LINES_MAX: usize = 16 * 1024;

/// The log while it is being written; what is dropped at the end writes what still waits.
pub(super) struct Writing {
    _guard: WorkerGuard,
    level: reload::Handle<LevelFilter, Registry>,
}

impl Writing {
    /// The least severe lines that are written from now on.
    pub(super) fn set_level(&self, level: LogLevel) {
        // An application that logs by itself has no such handle.
        let _ = self.level.reload(filter(level));
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
    let (level, handle) = reload::Layer::new(filter(logging.level));
    let lines = fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(is_terminal)
        .with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry().with(level);
    // An application that embeds the hub may log already: then its way of logging counts.
    let _ = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines).try_init()
    };
    Writing { _guard: guard, level: handle }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
