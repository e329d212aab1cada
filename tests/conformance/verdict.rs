//! What comes of a row.

use std::fmt;

/// `Err`: why a row did not pass.
pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// Why a row did not pass.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    Failed(Box<Failure>),
    /// It cannot be seen here, and why.
    Skipped(String),
}

/// What was seen instead of what should have been.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) sent: String,
    pub(crate) expected: String,
    pub(crate) came: String,
    /// Patience ended: what follows would take as long.
    pub(crate) late: bool,
}

/// A row fails.
pub(crate) fn failed<T>(
    sent: impl fmt::Display,
    expected: impl fmt::Display,
    came: impl fmt::Display,
) -> Verdict<T> {
    let (sent, expected, came) = (sent.to_string(), expected.to_string(), came.to_string());
    Err(Stop::Failed(Box::new(Failure { sent, expected, came, late: false })))
}

/// A row fails because nothing came.
pub(crate) fn late<T>(
    sent: impl fmt::Display,
    expected: impl fmt::Display,
    came: impl fmt::Display,
) -> Verdict<T> {
    let (sent, expected, came) = (sent.to_string(), expected.to_string(), came.to_string());
    Err(Stop::Failed(Box::new(Failure { sent, expected, came, late: true })))
}

/// A row says nothing here.
pub(crate) fn skipped<T>(why: impl fmt::Display) -> Verdict<T> {
    Err(Stop::Skipped(why.to_string()))
}

/// Fails unless something holds.
pub(crate) fn ensure(
    holds: bool,
    sent: impl fmt::Display,
    expected: impl fmt::Display,
    came: impl fmt::Display,
) -> Verdict {
    if holds { Ok(()) } else { failed(sent, expected, came) }
}

/// As much of a text as a reader wants to see.
pub(crate) fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    let escaped = text.replace('\r', "\\r").replace('\n', "\\n");
    match escaped.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}… ({} bytes)", &escaped[..at], text.len()),
        None => escaped,
    }
}
