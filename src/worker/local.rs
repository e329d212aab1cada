//! What all tasks of one worker share. One thread owns it: nothing here is locked.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use super::{clock::Clock, endpoint::Endpoint, pump::Pump, settings::Settings, sockets::Sockets};
use crate::{auth::time::UnixTime, http::date::HttpDate, hub::Moment, log::exchange::Exchange};

/// So long a connection may wait for a request even where others wait for its place: what is
/// under way from an honest client is here by then.
const WAIT_GRANTED: Duration = Duration::from_millis(500);

pub(super) struct Local {
    pub(super) worker: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) clock: Clock,
    pub(super) endpoint: RefCell<Endpoint>,
    pump: RefCell<Pump<Sockets>>,
    pub(super) listeners: RefCell<Vec<RawFd>>,
    /// Connections whose next request is not here yet, the longest waiting first.
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    waits: Cell<u64>,
    /// Connections that are served by a task.
    pub(super) tasks: Cell<usize>,
    /// Bytes of request bodies that are being read or wait for the log.
    bodies: Cell<usize>,
    /// No request is served after the one that is being served.
    pub(super) draining: Cell<bool>,
    random: Cell<u64>,
    date: Cell<(u64, HttpDate)>,
}

impl Local {
    pub(super) fn new(
        worker: usize,
        settings: Arc<Settings>,
        exchange: Arc<Exchange>,
        clock: Clock,
        pump: Pump<Sockets>,
        seed: u64,
    ) -> Self {
        Local {
            worker,
            endpoint: RefCell::new(Endpoint::new(Arc::clone(&settings.endpoint))),
            settings,
            exchange,
            clock,
            pump: RefCell::new(pump),
            listeners: RefCell::default(),
            waiting: RefCell::default(),
            waits: Cell::new(0),
            tasks: Cell::new(0),
            bodies: Cell::new(0),
            draining: Cell::new(false),
            random: Cell::new(seed | 1),
            date: Cell::new((0, HttpDate::new(0))),
        }
    }

    /// The only way to the pump. A panic in there may leave the hub half changed: then the process
    /// ends rather than serve on with a broken promise.
    pub(super) fn pump<T>(&self, work: impl FnOnce(&mut Pump<Sockets>) -> T) -> T {
        let mut pump = self.pump.borrow_mut();
        catch_unwind(AssertUnwindSafe(|| work(&mut pump))).unwrap_or_else(|_| {
            eprintln!("petasos: a worker's state is broken; the process ends to keep its promises");
            std::process::abort()
        })
    }

    /// Makes the pump look at what a task of this worker changed.
    pub(super) fn nudge(&self) {
        self.exchange.port(self.worker).bell.wake();
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn unix_time(&self) -> UnixTime {
        UnixTime::since_1970(Clock::unix())
    }

    /// The `Date` of answers: formatted once a second.
    pub(super) fn date(&self) -> HttpDate {
        let now = Clock::unix().as_secs();
        let (at, date) = self.date.get();
        if at == now {
            return date;
        }
        let date = HttpDate::new(now);
        self.date.set((now, date));
        date
    }

    /// A number from 0 up to 1, to spread things in time; not for secrets.
    pub(super) fn random(&self) -> f64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        (x >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// When a stream that may live for `remaining` ends: at some moment in the last fifth of it,
    /// but no more than a minute early, so that streams opened together do not all come back
    /// together.
    pub(super) fn spread_deadline(&self, remaining: Duration) -> Moment {
        const EARLY_MAX: Duration = Duration::from_secs(60);
        // What was decided to be sent just before must have left the process by then.
        const MARGIN: Duration = Duration::from_millis(20);
        let early = (remaining / 5).min(EARLY_MAX).mul_f64(self.random());
        self.now() + remaining.saturating_sub(early + MARGIN)
    }

    /// Takes room for `len` bytes of a body from the worker's budget, until the guard is dropped.
    pub(super) fn reserve(&self, len: usize) -> Option<Reserved<'_>> {
        let mut reserved = Reserved { local: self, len: 0 };
        reserved.grow(len).then_some(reserved)
    }

    /// Notes that a connection waits for its next request, until the guard is dropped.
    pub(super) fn wait_for_request(&self, fd: RawFd, begun: bool) -> Wait<'_> {
        let id = self.waits.get();
        self.waits.set(id + 1);
        self.waiting.borrow_mut().insert(id, Waiting { fd, begun, since: self.now() });
        Wait { local: self, id }
    }

    /// Ends connections that wait for a request and have sent nothing of it: their tasks see the
    /// end of input.
    pub(super) fn shut_idle(&self) {
        let waiting = self.waiting.borrow();
        waiting.values().filter(|waiting| !waiting.begun).for_each(Waiting::shut);
    }

    /// Ends the connection that has waited longest for a request, if it had the time to send one.
    pub(super) fn shut_longest_waiting(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(longest) = waiting.first_entry() else { return };
        if longest.get().since + WAIT_GRANTED <= self.now() {
            longest.remove().shut();
        }
    }
}

/// A connection whose next request is not here yet.
struct Waiting {
    fd: RawFd,
    /// A part of the request is here.
    begun: bool,
    since: Moment,
}

impl Waiting {
    fn shut(&self) {
        // SAFETY: a descriptor is noted only while its task holds it open.
        unsafe { libc::shutdown(self.fd, libc::SHUT_RD) };
    }
}

/// The wait for a request.
pub(super) struct Wait<'a> {
    local: &'a Local,
    id: u64,
}

impl Wait<'_> {
    /// The request has begun to arrive.
    pub(super) fn begun(&self) {
        if let Some(waiting) = self.local.waiting.borrow_mut().get_mut(&self.id) {
            waiting.begun = true;
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.local.waiting.borrow_mut().remove(&self.id);
    }
}

/// Bytes of the body budget.
pub(super) struct Reserved<'a> {
    local: &'a Local,
    len: usize,
}

impl Reserved<'_> {
    /// Takes more; false if there is no room, and then nothing is taken.
    pub(super) fn grow(&mut self, len: usize) -> bool {
        let taken = self.local.bodies.get() + len;
        let fits = taken <= self.local.settings.body_budget;
        if fits {
            self.local.bodies.set(taken);
            self.len += len;
        }
        fits
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.local.bodies.set(self.local.bodies.get() - self.len);
    }
}

/// Runs a connection's task. A panic in it ends the connection, not the worker; the panic hook has
/// told the operator.
pub(super) async fn guarded(task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    std::future::poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))).unwrap_or(Poll::Ready(()))
    })
    .await;
}
