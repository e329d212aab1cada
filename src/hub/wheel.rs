//! A coarse timing wheel: one intrusive list of subscribers a slot, so that a timer costs an idle
//! subscriber ten bytes and no allocation.

use super::{moment::Moment, slab::NONE, subscriber::Subscribers};

/// Length of a slot in milliseconds. Timers fire up to this much early, and never late by it.
pub(super) const TICK: u64 = 64;
const SLOTS: u64 = 1024;
/// Timers further away than this many slots are shortened to it; whoever they wake looks again.
const HORIZON: u64 = SLOTS - 2;

const NO_SLOT: u16 = u16::MAX;

/// A subscriber's place in the wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    slot: u16,
    previous: u32,
    next: u32,
}

impl Link {
    pub(super) const NONE: Link = Link { slot: NO_SLOT, previous: NONE, next: NONE };
}

#[derive(Debug)]
pub(super) struct Wheel {
    /// The first subscriber of each slot.
    heads: Box<[u32]>,
    /// A bit for each slot that is not empty.
    occupied: [u64; SLOTS as usize / 64],
    /// The slot that is looked at next, counted from the beginning of time.
    cursor: u64,
}

impl Wheel {
    pub(super) fn new(now: Moment) -> Self {
        Wheel {
            heads: vec![NONE; SLOTS as usize].into(),
            occupied: [0; SLOTS as usize / 64],
            cursor: now.0 / TICK,
        }
    }

    /// Sets the timer of `index`, in place of the one it has.
    pub(super) fn arm(&mut self, table: &mut Subscribers, index: u32, at: Moment) {
        self.disarm(table, index);
        // A slot that was passed already fires at the next look. The cursor may be far behind the
        // time: beyond its horizon a slot would mean an earlier one, that of the cursor even.
        let at = (at.0 / TICK).clamp(self.cursor, self.cursor + HORIZON);
        let slot = (at % SLOTS) as u16;
        let next = std::mem::replace(&mut self.heads[usize::from(slot)], index);
        if next != NONE {
            table[next].timer.previous = index;
        }
        table[index].timer = Link { slot, previous: NONE, next };
        self.occupied[usize::from(slot / 64)] |= 1 << (slot % 64);
    }

    pub(super) fn disarm(&mut self, table: &mut Subscribers, index: u32) {
        let Link { slot, previous, next } = std::mem::replace(&mut table[index].timer, Link::NONE);
        if slot == NO_SLOT {
            return;
        }
        if next != NONE {
            table[next].timer.previous = previous;
        }
        if previous != NONE {
            table[previous].timer.next = next;
        } else {
            self.heads[usize::from(slot)] = next;
            if next == NONE {
                self.occupied[usize::from(slot / 64)] &= !(1 << (slot % 64));
            }
        }
    }

    /// Takes one subscriber whose timer is due.
    pub(super) fn pop_due(&mut self, table: &mut Subscribers, now: Moment) -> Option<u32> {
        let last = now.0 / TICK;
        while self.cursor <= last {
            let head = self.heads[(self.cursor % SLOTS) as usize];
            if head != NONE {
                self.disarm(table, head);
                return Some(head);
            }
            match self.next_occupied() {
                Some(slot) if slot <= last => self.cursor = slot,
                // The slot of `now` stays current: it may still get timers that are due at once.
                _ if self.cursor < last => self.cursor = last,
                _ => return None,
            }
        }
        None
    }

    /// When the next timer fires.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.next_occupied().map(|slot| Moment(slot * TICK))
    }

    /// The first slot from the cursor on that is not empty, counted from the beginning of time.
    fn next_occupied(&self) -> Option<u64> {
        let start = self.cursor % SLOTS;
        let words = SLOTS / 64;
        // The word of the cursor comes first without the bits before it, and last with them.
        (0..=words).find_map(|i| {
            let word = (start / 64 + i) % words;
            let mut bits = self.occupied[word as usize];
            let before_start = (1 << (start % 64)) - 1;
            if i == 0 {
                bits &= !before_start;
            } else if i == words {
                bits &= before_start;
            }
            (bits != 0).then(|| {
                let slot = word * 64 + u64::from(bits.trailing_zeros());
                self.cursor + (slot + SLOTS - start) % SLOTS
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hub::{
            Carrier,
            index::RosterSet,
            subscriber::{Stage, Subscriber},
        },
        protocol::{frame::Form, update::Position},
    };

    fn table(len: u32) -> Subscribers {
        let mut table = Subscribers::new();
        for i in 0..len {
            let stage = Stage::Live(RosterSet::One(0));
            let (carrier, form, now) = (Carrier(i as i32), Form::Bare, Moment(0));
            table.insert(Subscriber::new(carrier, form, stage, Position(0), now, now));
        }
        table
    }

    fn pop_all(wheel: &mut Wheel, table: &mut Subscribers, now: u64) -> Vec<u32> {
        let mut popped: Vec<u32> =
            std::iter::from_fn(|| wheel.pop_due(table, Moment(now))).collect();
        popped.sort_unstable();
        popped
    }

    #[test]
    fn timers_fire_less_than_a_tick_early_and_never_late() {
        let mut table = table(200);
        let mut wheel = Wheel::new(Moment(0));
        let mut due = [None; 200];
        let (mut now, mut random) = (5_u64, 1_u64);
        let mut draw = |end: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % end
        };
        for _ in 0..5_000 {
            let index = draw(200) as u32;
            match draw(4) {
                0 => {
                    wheel.disarm(&mut table, index);
                    due[index as usize] = None;
                }
                _ => {
                    let spans = [10, 1_000, HORIZON * TICK - TICK];
                    let span = spans[draw(3) as usize];
                    let at = now + draw(span);
                    wheel.arm(&mut table, index, Moment(at));
                    due[index as usize] = Some(at);
                }
            }
            let first = due.iter().flatten().min();
            let next = wheel.next_due().map(|next| next.0);
            assert_eq!(next.is_some(), first.is_some());
            assert!(next <= first.copied(), "{next:?} is too late for {first:?}");
            if draw(3) > 0 {
                continue;
            }
            let span = [30, 100, 20_000][draw(3) as usize];
            now += draw(span);
            for index in pop_all(&mut wheel, &mut table, now) {
                let at = due[index as usize].take().expect("it is armed");
                assert!(at < now + TICK, "{at} fires at {now}");
            }
            assert!(due.iter().flatten().all(|&at| at > now), "late at {now}: {due:?}");
        }
    }

    #[test]
    fn far_timers_fire_early_at_the_horizon() {
        let mut table = table(1);
        let mut wheel = Wheel::new(Moment(0));
        wheel.arm(&mut table, 0, Moment::NEVER);
        assert_eq!(wheel.next_due(), Some(Moment(HORIZON * TICK)));
        assert_eq!(pop_all(&mut wheel, &mut table, HORIZON * TICK - 1), [0_u32; 0]);
        assert_eq!(pop_all(&mut wheel, &mut table, HORIZON * TICK), [0]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_worker_that_slept_for_long_arms_timers_that_end() {
        // The wheel was not looked at meanwhile: its cursor is far behind.
        for slept in [0, 1, 30_000, 70_000, 1_000_000, 86_400_000] {
            let mut table = table(1);
            let mut wheel = Wheel::new(Moment(0));
            let (now, at) = (slept, slept + 40_000);
            wheel.arm(&mut table, 0, Moment(at));
            let mut looks = 0;
            while wheel.pop_due(&mut table, Moment(now)).is_some() {
                looks += 1;
                assert!(looks < 2_000, "after {slept} ms it fires for ever");
                wheel.arm(&mut table, 0, Moment(at));
            }
            let next = wheel.next_due().expect("armed").0;
            assert!(next > now && next <= at, "after {slept}: {next}");
        }
    }

    #[test]
    fn what_is_overdue_fires_at_once() {
        let mut table = table(2);
        let mut wheel = Wheel::new(Moment(0));
        assert_eq!(pop_all(&mut wheel, &mut table, 10_000), [0_u32; 0]);
        wheel.arm(&mut table, 0, Moment(3));
        wheel.arm(&mut table, 1, Moment(10_000));
        assert!(wheel.next_due() <= Some(Moment(10_000)));
        assert_eq!(pop_all(&mut wheel, &mut table, 10_000), [0, 1]);
    }
}
