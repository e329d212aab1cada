//! Explores the interleavings of the sleep and wake-up protocol, weak memory included: exactly the
//! files of production, on top of loom's atomics. A lost wake-up is a deadlock, which loom reports.
//!
//! The queues here are weaker than the production ones, so nothing hangs on how those are made.

#![allow(unreachable_pub, dead_code)]

#[path = "../../src/log/bell.rs"]
mod bell;
#[path = "../../src/log/exchange.rs"]
mod exchange;
#[path = "../../src/log/lane.rs"]
mod lane;
#[path = "../../src/log/reused.rs"]
mod reused;
#[path = "../../src/log/sequence.rs"]
mod sequence;
#[path = "../../src/log/sequencer.rs"]
mod sequencer;
mod sync;

mod history {
    pub(super) use petasos::log::history::{Reply, Store, StoreError};
}

use std::sync::Arc;

use loom::{
    sync::{Condvar, Mutex},
    thread,
};
use petasos::protocol::{
    frame::{Fields, FrameDraft},
    id::IdCipher,
    time::UnixTime,
    topic::Topic,
    update::{Draft, Position, Update},
};

use self::{
    bell::{Bell, Doze, Ring},
    exchange::{Capacities, Exchange, Publish, Ticket},
    history::{Store, StoreError},
    lane::Lane,
    sequence::{LagLimits, Places},
    sequencer::Sequencer,
};

/// A descriptor that is readable from a ring until it is silenced, as eventfd is.
#[derive(Default)]
struct Readable {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Readable {
    fn silence(&self) {
        *self.rung.lock().unwrap() = false;
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
    }
}

struct Eventfd(Arc<Readable>);

impl Ring for Eventfd {
    fn ring(&self) {
        *self.0.rung.lock().unwrap() = true;
        self.0.changed.notify_one();
    }
}

fn eventfd() -> (Arc<Readable>, Box<dyn Ring>) {
    let readable = Arc::new(Readable::default());
    (Arc::clone(&readable), Box::new(Eventfd(readable)))
}

/// Takes turns until one says that all is done, and sleeps in between; as workers do, which hear
/// and silence rings at the beginning of each turn.
fn run(bell: &Bell, readable: &Readable, mut turn: impl FnMut() -> Option<bool>) {
    let mut doze = Doze::default();
    loop {
        readable.silence();
        let Some(worked) = turn() else { return };
        if doze.may_sleep(bell, worked) {
            readable.wait();
            doze.woke(bell);
        }
    }
}

fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// In a debug build the deeper models would take minutes.
fn depth(release: usize) -> Option<usize> {
    Some(if cfg!(debug_assertions) { release.min(2) } else { release })
}

#[test]
fn a_sleeping_consumer_hears_of_everything() {
    explore(depth(6), || {
        let (readable, ring) = eventfd();
        let shared = Arc::new((Bell::new(ring), Lane::new(2)));
        let producer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (bell, lane) = &*shared;
                for item in 0..2 {
                    lane.push(item).expect("room for all");
                    bell.wake();
                }
            })
        };
        let (bell, lane) = &*shared;
        let mut next = 0;
        run(bell, &readable, || {
            let mut worked = false;
            while let Some(item) = lane.pop() {
                assert_eq!(item, next);
                next += 1;
                worked = true;
            }
            (next < 2).then_some(worked)
        });
        producer.join().unwrap();
    });
}

#[test]
fn a_refused_producer_hears_of_room() {
    explore(depth(4), || {
        let (producer_readable, ring) = eventfd();
        let producer_bell = Bell::new(ring);
        let (consumer_readable, ring) = eventfd();
        let shared = Arc::new((producer_bell, Bell::new(ring), Lane::new(1)));
        let producer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (own_bell, bell, lane) = &*shared;
                let mut next = 0;
                run(own_bell, &producer_readable, || {
                    let mut worked = false;
                    while next < 3 && lane.push(next).is_ok() {
                        next += 1;
                        worked = true;
                    }
                    if worked {
                        bell.wake();
                    }
                    (next < 3).then_some(worked)
                });
            })
        };
        let (producer_bell, bell, lane) = &*shared;
        let mut next = 0;
        run(bell, &consumer_readable, || {
            let mut worked = false;
            while let Some(item) = lane.pop() {
                assert_eq!(item, next);
                next += 1;
                worked = true;
            }
            if worked && lane.take_producer_waits() {
                producer_bell.wake();
            }
            (next < 3).then_some(worked)
        });
        producer.join().unwrap();
    });
}

/// What `Lane` promises by itself, to a producer that does not try again before it sleeps.
#[test]
fn room_is_announced_or_seen() {
    explore(None, || {
        let (readable, ring) = eventfd();
        let lane = Arc::new(Lane::new(1));
        lane.push(0).expect("empty");
        let consumer = {
            let lane = Arc::clone(&lane);
            thread::spawn(move || {
                assert_eq!(lane.pop(), Some(0));
                if lane.take_producer_waits() {
                    ring.ring();
                }
            })
        };
        if lane.push(1).is_err() {
            readable.wait();
            lane.push(1).expect("there is room");
        }
        consumer.join().unwrap();
    });
}

/// Admission alone: the log's part is reduced to what concerns it, so that more is explored. The
/// log closes admission, unless it sees that the worker has finished; the worker finishes and
/// publishes.
#[test]
fn who_waits_for_admission_hears_of_it() {
    explore(depth(5), || {
        let (worker_readable, worker_ring) = eventfd();
        let (log_readable, log_ring) = eventfd();
        let capacities = Capacities { inlet: 1, updates: 1, under_way: 1, reads: 1, searches: 1 };
        let exchange =
            Arc::new(Exchange::new(Position::START, log_ring, vec![worker_ring], capacities));
        let log = {
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || {
                let port = exchange.port(0);
                run(exchange.log_bell(), &log_readable, || {
                    let finished = port.finished();
                    let took = port.inlet.pop().is_some();
                    exchange.admit(finished == Position(1));
                    (!took).then_some(false)
                });
            })
        };
        let port = exchange.port(0);
        let (mut waiting, mut finished) = (Some(publish(0)), false);
        run(&port.bell, &worker_readable, || {
            waiting = exchange.submit(0, waiting.take()?).err();
            if waiting.is_none() {
                exchange.log_bell().wake();
            }
            let worked = !std::mem::replace(&mut finished, true);
            if worked {
                exchange.finish(0, Position(1));
            }
            waiting.is_some().then_some(worked)
        });
        log.join().unwrap();
    });
}

struct NoStore;

impl Store for NoStore {
    fn append(&mut self, _: &[Arc<Update>]) -> Result<(), StoreError> {
        Ok(())
    }

    fn retained(&self) -> (u64, u64) {
        (0, 0)
    }
}

fn publish(ticket: u32) -> Publish {
    // Hashing needs no randomness here, and randomness would disturb the exploration.
    let topics: Box<[Topic]> = [].into();
    let frame = FrameDraft::new(Fields { id: Some("x"), ..Fields::default() });
    Publish {
        ticket: Ticket(ticket),
        draft: Draft { frame, topics, private: false, published: UnixTime::default() },
        searched: None,
    }
}

/// A worker that publishes `count` updates, one after the other as far as it may, and the log's
/// thread, under the tightest limits: each update closes admission until it is finished, every
/// queue holds one.
fn worker_and_log(count: u32, lag: LagLimits) {
    let (worker_readable, worker_ring) = eventfd();
    let (log_readable, log_ring) = eventfd();
    let capacities =
        Capacities { inlet: 1, updates: 1, under_way: count as usize, reads: 1, searches: 1 };
    let exchange =
        Arc::new(Exchange::new(Position::START, log_ring, vec![worker_ring], capacities));
    let log = {
        let exchange = Arc::clone(&exchange);
        thread::spawn(move || {
            let places = Places::new(IdCipher::new([0; 16]), 1, Position::START);
            let mut sequencer = Sequencer::new(Arc::clone(&exchange), places, lag, NoStore);
            run(exchange.log_bell(), &log_readable, || {
                let worked = sequencer.turn();
                let is_done = exchange.committed().0 == u64::from(count)
                    && exchange.port(0).finished().0 == u64::from(count);
                (!is_done).then_some(worked)
            });
        })
    };
    let port = exchange.port(0);
    let (mut waiting, mut submitted, mut acks, mut taken) = (None, 0, 0, 0);
    run(&port.bell, &worker_readable, || {
        let mut worked = false;
        let before = taken;
        while let Some(update) = port.updates.pop() {
            taken += 1;
            assert_eq!(update.position.0, taken);
            assert!(exchange.committed() >= update.position, "committed first");
            worked = true;
        }
        if worked && port.updates.take_producer_waits() {
            exchange.log_bell().wake();
        }
        while let Some(ack) = port.acks.pop() {
            assert_eq!(ack.ticket, Ticket(acks));
            acks += 1;
            worked = true;
        }
        let before_submitting = submitted;
        while submitted < count {
            match exchange.submit(0, waiting.take().unwrap_or_else(|| publish(submitted))) {
                Ok(()) => submitted += 1,
                Err(refused) => {
                    waiting = Some(refused);
                    break;
                }
            }
        }
        if submitted > before_submitting {
            exchange.log_bell().wake();
        }
        if taken > before {
            exchange.finish(0, Position(taken));
        }
        (acks < count || taken < u64::from(count)).then_some(worked)
    });
    // The log may sleep on what the last turn did: a producer like any other tells it.
    exchange.log_bell().wake();
    log.join().unwrap();
}

#[test]
fn a_publication_that_waits_for_admission_hears_of_it() {
    let lag = LagLimits { updates: 1, bytes: u64::MAX };
    explore(depth(1), move || worker_and_log(2, lag));
}

#[test]
fn a_publication_that_waits_for_room_hears_of_it() {
    let lag = LagLimits { updates: u64::MAX, bytes: u64::MAX };
    explore(depth(1), move || worker_and_log(2, lag));
}

/// A guest publishes `count` updates while a worker delivers them, each of which closes admission
/// until it is finished: three threads that wake each other.
#[test]
fn a_guest_that_waits_for_admission_hears_of_it() {
    const COUNT: u32 = 2;
    explore(depth(1), || {
        let (worker_readable, worker_ring) = eventfd();
        let (guest_readable, guest_ring) = eventfd();
        let (log_readable, log_ring) = eventfd();
        let capacities =
            Capacities { inlet: 1, updates: 1, under_way: COUNT as usize, reads: 1, searches: 1 };
        let exchange = Exchange::new(Position::START, log_ring, vec![worker_ring], capacities);
        let exchange = Arc::new(exchange.with_guest(guest_ring));
        let log = {
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || {
                let lag = LagLimits { updates: 1, bytes: u64::MAX };
                let places = Places::new(IdCipher::new([0; 16]), 1, Position::START);
                let mut sequencer = Sequencer::new(Arc::clone(&exchange), places, lag, NoStore);
                run(exchange.log_bell(), &log_readable, || {
                    let worked = sequencer.turn();
                    let is_done = exchange.port(0).finished().0 == u64::from(COUNT);
                    (!is_done).then_some(worked)
                });
            })
        };
        let guest = {
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || {
                let port = exchange.port(1);
                let (mut waiting, mut submitted, mut acks) = (None, 0, 0);
                run(&port.bell, &guest_readable, || {
                    let mut worked = false;
                    while let Some(ack) = port.acks.pop() {
                        assert_eq!(ack.ticket, Ticket(acks));
                        acks += 1;
                        worked = true;
                    }
                    let before = submitted;
                    while submitted < COUNT {
                        let next = waiting.take().unwrap_or_else(|| publish(submitted));
                        match exchange.submit(1, next) {
                            Ok(()) => submitted += 1,
                            Err(refused) => {
                                waiting = Some(refused);
                                break;
                            }
                        }
                    }
                    if submitted > before {
                        exchange.log_bell().wake();
                    }
                    (acks < COUNT).then_some(worked)
                });
            })
        };
        let port = exchange.port(0);
        let mut taken = 0;
        run(&port.bell, &worker_readable, || {
            let before = taken;
            while let Some(update) = port.updates.pop() {
                taken += 1;
                assert_eq!(update.position.0, taken);
            }
            if taken > before {
                if port.updates.take_producer_waits() {
                    exchange.log_bell().wake();
                }
                exchange.finish(0, Position(taken));
            }
            (taken < u64::from(COUNT)).then_some(taken > before)
        });
        // The log may sleep on what the last turn did.
        exchange.log_bell().wake();
        log.join().unwrap();
        guest.join().unwrap();
    });
}
