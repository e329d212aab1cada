//! A coarse timing wheel: one intrusive list of subscribers a slot, so that a timer costs an idle
//! subscriber ten bytes and no allocation.

use super::{moment::Moment, slab::NONE, subscriber::Subscribers};

/// Length of a slot in milliseconds. Timers fire up to this much early, and never late by it.
pub(super) const TICK: u64 = 64;
const SLOTS: u64 = 1024;
/// Timers beyond this are shortened to it; whoever they wake looks again.
const HORIZON: u64 = TICK * (SLOTS - 2);

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
    pub(super) fn arm(&mut self, table: &mut Subscribers, index: u32, at: Moment, now: Moment) {
        self.disarm(table, index);
        let at = at.0.min(now.0 + HORIZON) / TICK;
        // A slot that was passed already fires at the next look.
        let slot = (at.max(self.cursor) % SLOTS) as u16;
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
