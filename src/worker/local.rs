//! What all tasks of one worker share. One thread owns it: nothing here is locked.

use std::{
    cell::{Cell, RefCell, RefMut},
    future::Future,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use arc_swap::Guard;

use super::{
    arrivals::Arrivals,
    budget::Budget,
    clock::Clock,
    endpoint::{Endpoint, EndpointSettings},
    fan_outs::FanOuts,
    memory::Leftovers,
    pump::Pump,
    settings::Settings,
    sockets::Sockets,
    waits::Waits,
};
use crate::{
    http::date::HttpDate,
    hub::Moment,
    keyring::{Asked, Keyring},
    log::exchange::Exchange,
    metrics,
    protocol::time::UnixTime,
};

pub(super) struct Local {
    pub(super) worker: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) clock: Clock,
    endpoint: RefCell<Endpoint>,
    pump: RefCell<Pump<Sockets>>,
    /// A task has something for the pump.
    nudged: Cell<bool>,
    pump_waker: Cell<Option<Waker>>,
    /// Of those whose accepting tasks run.
    pub(super) listeners: RefCell<Vec<RawFd>>,
    /// Connections that the application accepted.
    pub(super) arrivals: Arrivals,
    pub(super) waits: Waits,
    pub(super) fan_outs: RefCell<FanOuts>,
    pub(super) leftovers: Leftovers,
    /// Connections that are served by a task.
    pub(super) tasks: Cell<usize>,
    /// For request bodies that are being read or wait for the log.
    pub(super) bodies: Budget,
    /// For request heads that are longer than usual. Apart from bodies: anybody can send heads,
    /// and they must not keep publishers out.
    pub(super) heads: Budget,
    /// Requests that wait for keys.
    key_waits: Cell<usize>,
    /// No request is served after the one that is being served.
    pub(super) draining: Cell<bool>,
    random: Cell<u64>,
    date: Cell<(u64, HttpDate)>,
}

/// Requests of a worker that may wait for keys. Others are refused at once: such requests can be
/// made by anybody.
const KEY_WAITS_MAX: usize = 100;
/// Longest that a request waits for keys.
const KEY_WAIT_MAX: Duration = Duration::from_secs(3);
/// Keys come rarely, so a look now and then costs less than a way for their thread to wake tasks.
const KEY_LOOK: Duration = Duration::from_millis(10);

impl Local {
    pub(super) fn new(
        worker: usize,
        settings: Arc<Settings>,
        exchange: Arc<Exchange>,
        clock: Clock,
        pump: Pump<Sockets>,
        arrivals: Arrivals,
        seed: u64,
    ) -> Self {
        let [bodies, heads] = [(); 2].map(|()| Budget::new(settings.body_budget));
        Local {
            worker,
            endpoint: RefCell::new(Endpoint::new(
                settings.endpoint.load_full(),
                Arc::clone(&settings.metrics),
                worker,
            )),
            settings,
            exchange,
            clock,
            pump: RefCell::new(pump),
            nudged: Cell::new(false),
            pump_waker: Cell::new(None),
            listeners: RefCell::default(),
            arrivals,
            waits: Waits::default(),
            fan_outs: RefCell::default(),
            leftovers: Leftovers::default(),
            tasks: Cell::new(0),
            bodies,
            heads,
            key_waits: Cell::new(0),
            draining: Cell::new(false),
            random: Cell::new(seed | 1),
            date: Cell::new((0, HttpDate::new(0))),
        }
    }

    /// What the endpoint goes by now.
    pub(super) fn rules(&self) -> Guard<Arc<EndpointSettings>> {
        self.settings.endpoint.load()
    }

    /// The endpoint, by what it goes by now.
    pub(super) fn endpoint(&self) -> RefMut<'_, Endpoint> {
        let mut endpoint = self.endpoint.borrow_mut();
        endpoint.go_by(&self.rules());
        endpoint
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
        self.nudged.set(true);
        if let Some(waker) = self.pump_waker.take() {
            waker.wake();
        }
    }

    /// The pump is about to look: what it was nudged for until now needs no other look.
    pub(super) fn clear_nudge(&self) {
        self.nudged.set(false);
    }

    /// Ready at a nudge; to be polled by the pump alone.
    pub(super) fn poll_nudge(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.nudged.get() {
            return Poll::Ready(());
        }
        self.pump_waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Waits until keys that were asked for were fetched, or could not be. False if that takes too
    /// long, or too many wait already.
    pub(super) async fn wait_for_keys(&self, asked: &Asked, keyring: &Keyring) -> bool {
        let waits = self.key_waits.get();
        if waits >= KEY_WAITS_MAX {
            return false;
        }
        self.key_waits.set(waits + 1);
        let until = self.now() + KEY_WAIT_MAX;
        while !keyring.is_answered(asked) && self.now() < until {
            monoio::time::sleep(KEY_LOOK).await;
        }
        self.key_waits.set(self.key_waits.get() - 1);
        keyring.is_answered(asked)
    }

    /// What this worker shows.
    pub(super) fn metrics(&self) -> &metrics::Worker {
        &self.settings.metrics.workers[self.worker]
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn unix_time(&self) -> UnixTime {
        Clock::unix()
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
    /// together. "No later than the token's `exp`" (draft-08 #subscribers).
    pub(super) fn spread_deadline(&self, remaining: Duration) -> Moment {
        const EARLY_MAX: Duration = Duration::from_secs(60);
        // What was decided to be sent just before must have left the process by then.
        const MARGIN: Duration = Duration::from_millis(20);
        let early = (remaining / 5).min(EARLY_MAX).mul_f64(self.random());
        self.now() + remaining.saturating_sub(early + MARGIN)
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
