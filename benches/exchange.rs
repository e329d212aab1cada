//! What it costs to hand publications to the log's thread and updates back, across cores.

mod common;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use petasos::{
    hub::{Batch, Ended, Hub, Limits, Moment, Outcome},
    log::{
        bell::Doze,
        exchange::{Capacities, Exchange},
        history::{Read, Search},
        memory::{Memory, Retention},
        reused::ReusedIds,
        sequence::{LagLimits, Places},
        sequencer::Sequencer,
        thread::{Unpark, run_sequencer},
    },
    protocol::{
        id::IdCipher,
        topic::TopicHasher,
        update::{Draft, Position},
    },
    worker::pump::{Outside, Pump, PumpLimits},
};

const NOW: Moment = Moment(1_000);

/// Nobody listens, so that nothing but the hand-over is measured.
struct Nobody;

impl Outside for Nobody {
    fn send(&mut self, _: &Hub, _: &Batch, _: &mut Vec<Outcome>) {
        unreachable!("there are no subscribers")
    }

    fn close(&mut self, _: Ended) {
        unreachable!("there are no subscribers")
    }

    fn read(&mut self, _: Read) {
        unreachable!("nobody asks for history")
    }

    fn search(&mut self, _: Search) {
        unreachable!("ids may be reused")
    }
}

/// An exchange between the calling thread, which is the only worker, and a log on thread `log`.
fn exchange(log: thread::Thread) -> Arc<Exchange> {
    let worker_rings = vec![Box::new(Unpark(thread::current())) as _];
    let log_ring = Box::new(Unpark(log));
    Arc::new(Exchange::new(Position::START, log_ring, worker_rings, Capacities::default()))
}

fn sequencer(exchange: &Arc<Exchange>) -> Sequencer<Memory> {
    let cipher = IdCipher::new([7; 16]);
    let store = Memory::new(Retention::NOTHING, cipher.clone(), 1, TopicHasher::new());
    let places = Places::new(cipher, 1, Position::START);
    let limits = LagLimits { updates: 65_536, bytes: 64 << 20 };
    Sequencer::new(Arc::clone(exchange), places, limits, store)
}

fn pump(exchange: &Arc<Exchange>) -> Pump<Nobody> {
    let hub = Hub::new(Limits::default(), TopicHasher::new(), Position::START, NOW);
    let publish_wait = Duration::from_secs(1);
    let limits = PumpLimits { publish_wait, reads: 1, reused_ids: ReusedIds::Accept };
    Pump::new(0, Arc::clone(exchange), limits, hub, Nobody)
}

/// The log on a thread of its own, as the hub runs it.
struct Log {
    exchange: Arc<Exchange>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (give, take) = mpsc::channel::<(Arc<Exchange>, Arc<AtomicBool>)>();
        // The thread has to exist before the exchange that knows how to wake it.
        let log = thread::spawn(move || {
            let (exchange, stop) = take.recv().expect("sent below");
            run_sequencer(sequencer(&exchange), &exchange, &stop, &Default::default());
        });
        let exchange = exchange(log.thread().clone());
        give.send((Arc::clone(&exchange), Arc::clone(&stop))).expect("the thread waits for it");
        Log { exchange, stop, thread: Some(log) }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.exchange.log_bell().wake();
        let log = self.thread.take().expect("joined once");
        log.thread().unpark();
        log.join().expect("the log does not fail");
    }
}

/// Publishes all of `drafts`, no more than `under_way` at a time, until all are answered. After
/// each turn of the pump, `rest` is told whether there was work in it.
fn publish(
    pump: &mut Pump<Nobody>,
    drafts: Vec<Draft>,
    under_way: usize,
    mut rest: impl FnMut(bool),
) -> Duration {
    let mut drafts = drafts.into_iter();
    let mut open = VecDeque::with_capacity(under_way);
    let mut context = Context::from_waker(Waker::noop());
    let begin = Instant::now();
    loop {
        while open.len() < under_way
            && let Some(draft) = drafts.next()
        {
            open.push_back(pump.publish(draft, NOW));
        }
        if open.is_empty() {
            return begin.elapsed();
        }
        rest(pump.turn(NOW).worked);
        // They are answered in their order.
        while let Some(id) = open.front()
            && pump.poll_published(*id, &mut context).is_ready()
        {
            open.pop_front();
        }
    }
}

fn drafts(count: u64) -> Vec<Draft> {
    let hasher = TopicHasher::new();
    (0..count).map(|_| common::draft("https://example.com/books/1", false, &hasher)).collect()
}

/// Publication, place, update and answer, there and back.
fn round_trips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish and be answered");
    group.throughput(Throughput::Elements(1));
    for (name, under_way) in
        [("one at a time, both sleep", 1), ("16 under way", 16), ("512 under way", 512)]
    {
        let log = Log::start();
        let bell = &log.exchange.port(0).bell;
        let mut pump = pump(&log.exchange);
        let mut doze = Doze::default();
        let mut rest = |worked| {
            if doze.may_sleep(bell, worked) {
                thread::park();
                doze.woke(bell);
            }
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| publish(&mut pump, drafts(count), under_way, &mut rest));
        });
    }
    group.finish();
}

/// The same without another thread: the difference is what crossing to another core costs.
fn on_one_thread(criterion: &mut Criterion) {
    let exchange = exchange(thread::current());
    let (mut pump, mut sequencer) = (pump(&exchange), sequencer(&exchange));
    let mut group = criterion.benchmark_group("publish and be answered, on one thread");
    group.throughput(Throughput::Elements(1));
    for (name, under_way) in [("one at a time", 1), ("512 under way", 512)] {
        group.bench_function(name, |bencher| {
            let mut rest = |_| _ = sequencer.turn();
            bencher.iter_custom(|count| publish(&mut pump, drafts(count), under_way, &mut rest));
        });
    }
    group.finish();
}

criterion_group!(benches, round_trips, on_one_thread);
criterion_main!(benches);
