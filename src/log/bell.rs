//! The sleep and wake-up protocol between threads: nobody sleeps through work, and a thread that
//! is awake costs those who give it work no system call.
//!
//! The consumer announces that it is about to sleep, *then* looks for work once more; a producer
//! makes its work visible, *then* looks whether the consumer sleeps. The two fences make it
//! impossible that both miss each other. `tests/model` explores every interleaving of exactly this
//! file, `lane.rs` and `exchange.rs`.

use super::sync::{AtomicBool, Ordering, fence};

/// How a sleeping thread is woken: an eventfd write, an unpark, a mark in a simulation.
pub trait Ring: Send + Sync {
    fn ring(&self);
}

/// Wakes one consumer.
pub struct Bell {
    sleeping: AtomicBool,
    ringer: Box<dyn Ring>,
}

impl Bell {
    pub fn new(ringer: Box<dyn Ring>) -> Self {
        Bell { sleeping: AtomicBool::new(false), ringer }
    }

    /// Producer: to be called after work was made visible to the consumer.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::AcqRel) {
            self.ringer.ring();
        }
    }

    /// From now on the next `wake` rings.
    fn announce(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// A consumer's way into sleep, turn by turn: announce it, look for work once more, sleep.
#[derive(Debug, Default)]
pub struct Doze {
    announced: bool,
}

impl Doze {
    /// To be told after each turn whether there was work in it. True: there is none, and the
    /// consumer may sleep until it is rung; [`Doze::woke`] comes after that.
    pub fn may_sleep(&mut self, bell: &Bell, worked: bool) -> bool {
        match (self.announced, worked) {
            (false, true) => false,
            (false, false) => {
                bell.announce();
                self.announced = true;
                false
            }
            (true, true) => {
                self.woke(bell);
                false
            }
            (true, false) => {
                // A ring since then, for work that was found already, may have been heard and
                // silenced in this turn. The next one needs a new announcement.
                let is_announced = bell.sleeping.load(Ordering::Relaxed);
                if !is_announced {
                    bell.announce();
                }
                is_announced
            }
        }
    }

    /// The consumer is awake again, for whatever reason: no ring is needed for now.
    pub fn woke(&mut self, bell: &Bell) {
        bell.sleeping.store(false, Ordering::Relaxed);
        self.announced = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU32};

    use super::*;

    struct Count(Arc<AtomicU32>);

    impl Ring for Count {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn nobody_sleeps_after_a_ring_that_was_silenced() {
        let rings = Arc::new(AtomicU32::new(0));
        let bell = Bell::new(Box::new(Count(Arc::clone(&rings))));
        let rung = || rings.swap(0, Ordering::Relaxed);
        let mut doze = Doze::default();
        assert!(!doze.may_sleep(&bell, true));
        bell.wake();
        assert_eq!(rung(), 0, "awake");
        assert!(!doze.may_sleep(&bell, false), "announces");
        // The work was found before; the consumer hears the ring and finds nothing.
        bell.wake();
        assert_eq!(rung(), 1);
        assert!(!doze.may_sleep(&bell, false), "announces again");
        assert!(doze.may_sleep(&bell, false), "nothing was rung since");
        bell.wake();
        bell.wake();
        assert_eq!(rung(), 1, "once is enough");
        doze.woke(&bell);
        assert!(!doze.may_sleep(&bell, false));
        assert!(!doze.may_sleep(&bell, true), "work was found: awake");
        bell.wake();
        assert_eq!(rung(), 0);
    }
}
