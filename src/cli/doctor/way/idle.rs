//! Watches a stream that nothing is published on: is it cut, and after how much silence?

use std::{
    io::Write,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{Finding, Way, hints};
use crate::client::probe::{Bytes, Came};

/// How often people are told that it goes on.
const PROGRESS: Duration = Duration::from_secs(10);
/// How exactly times are known.
const SLACK: Duration = Duration::from_millis(500);
/// Silence that most proxies cut.
const USUAL_LIMIT: Duration = Duration::from_secs(60);

/// A stream that is watched by a thread of its own.
pub(super) struct Watch {
    /// Or why there is none.
    seen: Result<mpsc::Receiver<Seen>, Finding>,
    until: Instant,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// After so long the stream was cut.
    cut_after: Option<Duration>,
    /// The silence before that.
    last_silence: Duration,
    longest_silence: Duration,
    /// How often something came after the beginning.
    heartbeats: usize,
}

const CHECK: &str = "idle stream";

impl Watch {
    pub(super) fn start(way: &Way<'_>) -> Watch {
        let idle = way.asked.idle;
        let until = Instant::now() + idle;
        Watch { seen: start(way, until), until }
    }

    /// Waits for the end.
    pub(super) fn finding(self, way: &Way<'_>, errors: &mut dyn Write) -> Finding {
        let seen = match self.seen {
            Ok(seen) => seen,
            Err(finding) => return finding,
        };
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match seen.recv_timeout(PROGRESS) {
                Ok(seen) => return finding(way, seen),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let seconds = left.saturating_sub(PROGRESS).as_secs();
                    // Where nobody reads it, nothing is lost.
                    let _ = writeln!(
                        errors,
                        "petasos: watching a silent stream, {seconds} s more (--idle)"
                    );
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Finding::skip(CHECK, "not tested: the thread that watched it ended");
                }
            }
        }
    }
}

fn start(way: &Way<'_>, until: Instant) -> Result<mpsc::Receiver<Seen>, Finding> {
    if way.asked.idle.is_zero() {
        return Err(Finding::skip(CHECK, "not tested (--idle 0)"));
    }
    if way.method != "GET" || !way.may_subscribe() {
        return Err(Finding::skip(CHECK, "not tested: no stream could be opened"));
    }
    let skip = |reason: String| Finding::skip(CHECK, format!("not tested: {reason}"));
    let answer = way.silent_stream().map_err(|error| skip(error.to_string()))?;
    if answer.status() != 200 {
        return Err(skip(answer.into_error().to_string()));
    }
    let bytes = answer.into_bytes().map_err(|error| skip(error.to_string()))?;
    let (give, seen) = mpsc::channel();
    let watch = move || {
        // Nobody waits for it any more.
        let _ = give.send(watch(&bytes, until));
    };
    let thread = thread::Builder::new().name("idle".into()).spawn(watch);
    thread.map_err(|error| skip(error.to_string()))?;
    Ok(seen)
}

fn watch(bytes: &Bytes, until: Instant) -> Seen {
    let began = Instant::now();
    let mut last = began;
    let mut seen = Seen {
        cut_after: None,
        last_silence: Duration::ZERO,
        longest_silence: Duration::ZERO,
        heartbeats: 0,
    };
    let mut pieces = 0_usize;
    loop {
        let came = bytes.next(until);
        let silence = last.elapsed();
        seen.longest_silence = seen.longest_silence.max(silence);
        match came {
            Came::Bytes(_) => {
                last = Instant::now();
                pieces += 1;
                seen.heartbeats = pieces.saturating_sub(1);
            }
            Came::End => {
                seen.last_silence = silence;
                seen.cut_after = Some(began.elapsed());
                return seen;
            }
            Came::Nothing => return seen,
        }
    }
}

fn finding(way: &Way<'_>, seen: Seen) -> Finding {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let idle = way.asked.idle;
    let longest = seconds(seen.longest_silence);
    if let Some(after) = seen.cut_after {
        let silence = seen.last_silence;
        if silence + SLACK < seen.longest_silence {
            let text = format!(
                "cut after {}, though not silent for as long as before: something on the way (or \
                 the hub's write_timeout) limits the whole life of a request. Clients come back, \
                 but all the time",
                seconds(after)
            );
            return Finding::warn(CHECK, text).fixed_by(way.hints(&hints::IDLE));
        }
        let below = silence.mul_f64(0.7).as_secs().max(1);
        let text = format!(
            "cut after {}, the last {} of them silent: something on the way cuts streams that \
             nothing is sent on",
            seconds(after),
            seconds(silence)
        );
        return Finding::fail(CHECK, text)
            .fixed_by([format!("the hub: --heartbeat {below}s, so that it is not silent so long")])
            .fixed_by(way.hints(&hints::IDLE));
    }
    if seen.heartbeats == 0 && idle > USUAL_LIMIT {
        let text = format!(
            "open, but nothing came for {longest}: many proxies cut such a stream after 60 s \
             (or one on the way holds heartbeats back)"
        );
        return Finding::warn(CHECK, text).fixed_by(["the hub: --heartbeat 40s"]);
    }
    let text = format!(
        "open after {}, with {} heartbeats and at most {longest} of silence",
        seconds(idle),
        seen.heartbeats
    );
    Finding::ok(CHECK, text)
}
