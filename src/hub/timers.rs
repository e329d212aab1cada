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
