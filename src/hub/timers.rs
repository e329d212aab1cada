//! What happens as time passes: deadlines, stalled peers, heartbeats.

use std::time::Duration;

use super::{Hub, Key, Moment, Reason, outbox::Outbox, slab::NONE, wheel::TICK};

impl Hub {
    /// Looks at timers that are due: deadlines, stalled peers, heartbeats. Returns whether there
    /// are more of them.
    pub fn expire(&mut self, now: Moment) -> bool {
        for _ in 0..self.limits.timers {
            let Some(index) = self.wheel.pop_due(&mut self.subscribers, now) else { return false };
            self.timer(index, now);
        }
        true
    }

    /// When [`Hub::expire`] is to be called next.
    pub fn next_timer(&self) -> Option<Moment> {
        self.wheel.next_due()
    }

    /// Ends every stream at a moment of its own within `over` from now; `random` gives numbers
    /// from 0 up to 1.
    pub fn drain(&mut self, over: Duration, now: Moment, mut random: impl FnMut() -> f64) {
        let keys: Vec<Key> = self.subscribers.keys().collect();
        for key in keys {
            let subscriber = &mut self.subscribers[key.index()];
            subscriber.deadline = subscriber.deadline.min(now + over.mul_f64(random()));
            self.arm(key.index(), now);
        }
    }

    pub(super) fn timer(&mut self, index: u32, now: Moment) {
        let key = self.subscribers.key(index);
        let subscriber = &mut self.subscribers[index];
        let soon = Moment(now.0 + TICK);
        if subscriber.deadline <= soon {
            return self.end(key, Reason::Deadline);
        }
        if subscriber.outbox != NONE {
            let outbox = &self.outboxes[subscriber.outbox];
            if outbox.blocked && outbox.progress_at + self.limits.dispatch_timeout <= soon {
                return self.end(key, Reason::Stalled);
            }
        } else if let Some(heartbeat) = self.limits.heartbeat
            && subscriber.written_at + heartbeat <= soon
        {
            subscriber.written_at = now;
            if !std::mem::replace(&mut subscriber.heartbeat_due, true) {
                self.heartbeats.push_back(key);
            }
        }
        self.arm(index, now);
    }

    /// Sets the subscriber's timer to the first moment at which it may need attention.
    pub(super) fn arm(&mut self, index: u32, now: Moment) {
        let subscriber = &self.subscribers[index];
        let mut at = subscriber.deadline;
        if subscriber.outbox != NONE {
            let Outbox { progress_at, blocked, .. } = self.outboxes[subscriber.outbox];
            // One that is being flushed is armed again once the peer takes no more.
            let since = if blocked { progress_at } else { now };
            at = at.min(since + self.limits.dispatch_timeout);
        } else if let Some(heartbeat) = self.limits.heartbeat {
            at = at.min(subscriber.written_at + heartbeat);
        }
        self.wheel.arm(&mut self.subscribers, index, at);
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        hub::{
            Limits, Moment, Reason,
            fixture::{Fixture, interest},
        },
        protocol::update::Position,
    };
    use std::time::Duration;

    fn limits(heartbeat: u64, dispatch_timeout: u64) -> Limits {
        Limits {
            heartbeat: Some(Duration::from_millis(heartbeat)),
            dispatch_timeout: Duration::from_millis(dispatch_timeout),
            ..Limits::default()
        }
    }

    #[test]
    fn heartbeats_come_when_nothing_else_does() {
        let mut f = Fixture::new(limits(1_000, 5_000));
        f.join(1, &["a"], &[]);
        for _ in 0..10 {
            f.pass(500);
            f.take("a");
            f.run();
        }
        assert_eq!(f.heartbeats(1), 0);
        for seconds in 1..=10 {
            f.pass(1_000);
            assert_eq!(f.heartbeats(1), seconds);
        }
    }

    #[test]
    fn the_next_heartbeat_is_never_late_after_a_stall() {
        let mut f = Fixture::new(limits(1_000, 60_000));
        let key = f.join(1, &["a"], &[]);
        f.room.insert(1, 3);
        f.take("a");
        f.run();
        f.pass(3_000);
        f.room.clear();
        f.hub.writable(key);
        f.run();
        assert_eq!((f.got(1), f.heartbeats(1)), (vec![1], 0));
        f.pass(1_000);
        assert_eq!(f.heartbeats(1), 1);
    }

    #[test]
    fn the_shortest_heartbeat_is_a_tick() {
        let mut f = Fixture::new(limits(0, 0));
        f.join(1, &["a"], &[]);
        for _ in 0..10 {
            f.pass(64);
        }
        assert!((9..=11).contains(&f.heartbeats(1)), "{}", f.heartbeats(1));
    }

    #[test]
    fn heartbeats_and_updates_take_turns() {
        let mut f = Fixture::new(Limits { batch: 10, ..limits(1_000, 5_000) });
        for carrier in 0..100 {
            f.join(carrier, &["a"], &[]);
        }
        f.join(100, &["b"], &[]);
        f.now.0 += 1_000;
        while f.hub.expire(f.now) {}
        f.take("b");
        f.batch();
        f.batch();
        assert_eq!(f.got(100), [1], "not after a hundred heartbeats");
        f.run();
        assert!((0..=100).all(|carrier| f.heartbeats(carrier) == 1));
    }

    #[test]
    fn a_heartbeat_that_waited_is_not_sent_after_the_deadline() {
        let mut f = Fixture::new(Limits { batch: 1, ..limits(1_000, 5_000) });
        for carrier in 0..2 {
            let mut joiner = Fixture::joiner(carrier, interest(&["a"], &[]));
            joiner.deadline = Moment(2_100);
            f.hub.join(joiner, Position::START, f.now);
        }
        f.now.0 += 1_000;
        assert!(!f.hub.expire(f.now));
        assert_eq!(f.batch().len(), 1);
        f.now.0 = 2_100;
        f.run();
        assert_eq!(f.heartbeats(0) + f.heartbeats(1), 1);
        assert_eq!(f.ended.iter().map(|e| e.reason).collect::<Vec<_>>(), [Reason::Deadline]);
    }

    #[test]
    fn who_takes_nothing_for_the_timeout_is_cut() {
        let mut f = Fixture::new(limits(60_000, 1_000));
        let keys = [f.join(0, &["a"], &[]), f.join(1, &["a"], &[])];
        f.room.extend([(0, 3), (1, 3)]);
        f.take("a");
        f.run();
        for _ in 0..4 {
            f.pass(800);
            // One takes a byte now and then, the other one is only said to be writable.
            f.room.insert(0, 1);
            f.hub.writable(keys[0]);
            f.hub.writable(keys[1]);
            f.run();
        }
        let ended: Vec<_> = f.ended.iter().map(|e| (e.carrier.0, e.reason)).collect();
        assert_eq!(ended, [(1, Reason::Stalled)]);
    }

    #[test]
    fn nobody_is_cut_for_what_is_offered_late() {
        let mut f = Fixture::new(Limits { frames: 1, ..limits(60_000, 1_000) });
        let key = f.join(0, &["a"], &[]);
        f.room.insert(0, 0);
        for _ in 0..2 {
            f.take("a");
            f.run();
        }
        // It takes all that it is offered, which is the first of two; the worker is held up then.
        f.room.insert(0, "data: 1\nid: i\n\n".len());
        f.hub.writable(key);
        f.batch();
        assert_eq!(f.got(0), [1]);
        f.now.0 += 990;
        f.batch();
        f.pass(0);
        assert!(f.ended.is_empty(), "it was offered the second one just now");
        f.pass(900);
        assert!(f.ended.is_empty());
        f.pass(100);
        assert_eq!(f.ended.iter().map(|e| e.reason).collect::<Vec<_>>(), [Reason::Stalled]);
    }

    #[test]
    fn draining_spreads_the_ends_and_puts_off_no_timer() {
        let mut f = Fixture::new(limits(1_000, 5_000));
        f.join(1, &["a"], &[]);
        f.join(2, &["a"], &[]);
        f.pass(950);
        let mut moments = [0.2, 0.9].into_iter();
        f.hub.drain(Duration::from_secs(10), f.now, || moments.next().unwrap());
        f.pass(50);
        assert_eq!((f.heartbeats(1), f.heartbeats(2)), (1, 1));
        f.pass(1_950);
        assert_eq!(f.ended.len(), 1);
        assert!(f.ended[0].is_whole);
        f.pass(7_000);
        assert_eq!((f.ended.len(), f.hub.len()), (2, 0));
        assert_eq!(f.hub.next_timer(), None);
    }
}
