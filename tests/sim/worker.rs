//! A worker's thread: the loop around the pump, and the pump's outside.

use std::{collections::HashSet, sync::Arc};

use petasos::{
    hub::{Batch, Ended, Hub, Moment, Outcome, Reason, Send},
    log::{
        bell::Doze,
        exchange::Exchange,
        history::{Read, Search},
    },
    protocol::{
        frame::{Form, HEARTBEAT, HEARTBEAT_CHUNK, LAST_CHUNK},
        topic::TopicHasher,
        update::Position,
    },
    worker::pump::{Outside, Pump},
};

use super::{
    scenario::Scenario,
    world::{Event, SimRing, World, interlude, trace, with},
};

/// Timers of the hub fire up to this much early.
pub(crate) const TICK: u64 = 64;

pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) pump: Pump<SimOutside>,
    pub(crate) exchange: Arc<Exchange>,
    ring: SimRing,
    doze: Doze,
    asleep: bool,
    /// When the pump is to be woken at the latest.
    pub(crate) next: Option<u64>,
    finished: u64,
}

impl Worker {
    pub(crate) fn new(
        id: usize,
        ring: SimRing,
        exchange: Arc<Exchange>,
        scenario: &Scenario,
        hasher: TopicHasher,
    ) -> Self {
        let hub = Hub::new(scenario.hub, hasher, Position::START, Moment(0));
        let outside = SimOutside { frames: scenario.hub.frames, batch: scenario.hub.batch };
        let pump = Pump::new(id, Arc::clone(&exchange), scenario.pump, hub, outside);
        let doze = Doze::default();
        Worker { id, pump, exchange, ring, doze, asleep: false, next: None, finished: 0 }
    }

    pub(crate) fn is_awake(&self, now: u64) -> bool {
        !self.asleep || self.ring.is_rung() || self.next.is_some_and(|next| next <= now)
    }

    /// One round of the loop of a worker.
    pub(crate) fn pump_step(&mut self) {
        let bell = &self.exchange.port(self.id).bell;
        self.ring.take();
        if self.asleep {
            self.asleep = false;
            self.doze.woke(bell);
        }
        let (now, events) = with(|world| (world.now, std::mem::take(&mut world.events[self.id])));
        for event in events {
            let (Event::Writable(client) | Event::Gone(client)) = event;
            let Some(key) = with(|world| world.clients[client].key) else { continue };
            match event {
                Event::Writable(_) => self.pump.hub.writable(key),
                Event::Gone(_) => self.pump.hub.leave(key),
            }
        }
        let turn = self.pump.turn(Moment(now));
        self.next = turn.next.map(|next| next.0);
        self.asleep = self.doze.may_sleep(bell, turn.worked);
        trace("pump", self.id, self.pump.hub.finished().0 * 10 + u64::from(self.asleep));
        self.check_finished();
    }

    /// What the log is told to be finished is settled for every subscriber in the index: sent, or
    /// in its outbox.
    fn check_finished(&mut self) {
        let finished = self.exchange.port(self.id).finished().0;
        if finished == self.finished {
            return;
        }
        assert!(finished > self.finished, "what is finished stays finished");
        self.finished = finished;
        with(|world| {
            let World { clients, oracle, .. } = world;
            for client in clients.iter().filter(|c| c.worker == self.id && c.is_open() && c.live) {
                let key = client.key.expect("it is open");
                let Some(settled) = client.settled() else { continue };
                if self.pump.hub.waiting_for(key) == Some(0)
                    && let Some(missed) = oracle.next_for(&client.wanted, settled, finished)
                {
                    panic!("{finished} is finished, but {missed} was not sent: {}", client.show());
                }
            }
        });
    }
}

/// What a pump does to the world.
pub(crate) struct SimOutside {
    frames: usize,
    batch: usize,
}

impl Outside for SimOutside {
    fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>) {
        let mut seen = HashSet::new();
        assert!(batch.sends().len() <= self.batch, "a batch is bounded");
        for send in batch.sends() {
            assert!(seen.insert(send.key), "a subscriber is in a batch twice");
            outcomes.push(self.send_one(hub, batch, send));
            interlude();
        }
    }

    fn close(&mut self, ended: Ended) {
        let id = ended.carrier.0 as usize;
        trace("close", id, ended.reason as u64);
        with(|world| {
            let World { clients, oracle, rng, now, .. } = world;
            let client = &mut clients[id];
            assert!(client.ended.is_none(), "closed twice: {}", client.show());
            client.ended = Some(ended);
            assert_eq!(ended.form, client.form);
            if ended.is_whole {
                assert!(client.is_between_events(), "called whole, and is not: {}", client.show());
                if ended.form == Form::Chunked && !client.vanished {
                    client.send(LAST_CHUNK, oracle, rng);
                }
            }
            let client = &clients[id];
            let reason_holds = match ended.reason {
                Reason::Left => client.vanished,
                Reason::Deadline => *now + TICK >= client.deadline || client.drained_at.is_some(),
                Reason::Stalled => {
                    let timeout = world.scenario.hub.dispatch_timeout.as_millis() as u64;
                    client.pending && *now + TICK >= client.progress_at + timeout
                }
                Reason::Slow => client.was_behind || client.since.is_some(),
                Reason::Overtaken => {
                    client.since.is_some() && oracle.held().start > client.settled_at_least()
                }
                Reason::Unreadable => client.read_failed,
            };
            assert!(reason_holds, "closed at {now}, with no reason: {}", client.show());
        });
        interlude();
    }

    fn read(&mut self, read: Read) {
        with(|world| {
            world.reads.push(read);
            let limit = world.scenario.capacities.reads * world.scenario.workers;
            assert!(world.reads.len() <= limit, "reads are bounded");
        });
    }

    fn search(&mut self, search: Search) {
        with(|world| {
            world.searches.push(search);
            let limit = world.scenario.capacities.searches * world.scenario.workers;
            assert!(world.searches.len() <= limit, "searches are bounded");
        });
    }
}

impl SimOutside {
    fn send_one(&self, hub: &Hub, batch: &Batch, send: &Send) -> Outcome {
        let id = send.carrier.0 as usize;
        let mut bytes = Vec::new();
        let mut count = 0;
        for slice in hub.slices(batch, send) {
            bytes.extend_from_slice(slice);
            count += 1;
        }
        assert!((1..=self.frames).contains(&count) && !bytes.is_empty(), "{count} slices");
        let is_heartbeat = bytes == HEARTBEAT || bytes == HEARTBEAT_CHUNK;
        let outcome = with(|world| {
            let World { clients, oracle, rng, now, .. } = world;
            let client = &mut clients[id];
            assert!(client.ended.is_none(), "sent after it was closed: {}", client.show());
            assert!(*now < client.deadline, "sent at {now}, after the deadline: {}", client.show());
            let outcome = client.send(&bytes, oracle, rng);
            client.offered_at = *now;
            if !(is_heartbeat && outcome == Outcome::Short(0)) {
                client.note(outcome, *now);
            }
            outcome
        });
        let sent = match outcome {
            Outcome::Whole => bytes.len(),
            Outcome::Short(sent) => sent,
            Outcome::Gone => 0,
        };
        trace("send", id, sent as u64);
        outcome
    }
}
