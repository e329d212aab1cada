//! Progress on a terminal; nothing elsewhere.

use std::io::{IsTerminal, Write, stderr};

/// Shows how far something is, in place of what was shown before.
pub(crate) fn show(what: &str, now: u64, goal: u64) {
    let mut err = stderr();
    if err.is_terminal() {
        let percent = 100 * now / goal.max(1);
        let _ = write!(err, "\r\x1b[K{now} of {goal} {what} ({percent} %)");
        let _ = err.flush();
    }
}

/// Shows what is going on.
pub(crate) fn say(what: &str) {
    let mut err = stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{what}");
        let _ = err.flush();
    }
}

pub(crate) fn clear() {
    let mut err = stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K");
        let _ = err.flush();
    }
}
