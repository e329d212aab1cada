//! The sleep and wake-up protocol between threads: nobody sleeps through work, and a thread that
//! is awake costs those who give it work no system call.
//!
//! The consumer announces that it is about to sleep, *then* looks for work once more; a producer
//! makes its work visible, *then* looks whether the consumer sleeps. The two fences make it
//! impossible that both miss each other. `tests/model` explores the interleavings of exactly this
//! file, `lane.rs`, `exchange.rs` and `sequencer.rs`.
//!
//! The flag is changed by exchange only, never by a plain store: so its values have one order that
//! is plain to see, for the model too. That happens on the way into sleep and out of it, not for
//! each piece of work.

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
        self.sleeping.swap(true, Ordering::Relaxed);
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
        bell.sleeping.swap(false, Ordering::Relaxed);
        self.announced = false;
    }
}
