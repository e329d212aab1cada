//! Logs: written by a thread of their own, so that a full pipe never stalls a worker. When its
//! queue is full, lines are dropped rather than waited for.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogFormat, LogLevel, Logging};

/// Lines that may wait to be written.
const LINES_MAX: usize = 16 * 1024;

/// Starts logging to standard error; what is dropped at the end writes what still waits.
pub(super) fn start(logging: &Logging) -> WorkerGuard {
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
    let level = match logging.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    install(writer, level, json, is_terminal);
    guard
}

fn install(writer: NonBlocking, level: LevelFilter, json: bool, ansi: bool) {
    let builder = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(level)
        .with_target(false)
        .with_ansi(ansi)
        .with_span_events(FmtSpan::NONE);
    // An application that embeds the hub may log already: then its way of logging counts.
    let _ = if json {
        builder.json().flatten_event(true).try_init().map_err(drop)
    } else {
        builder.try_init().map_err(drop)
    };
}
