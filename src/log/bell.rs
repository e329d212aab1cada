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

    /// Consumer: from now on every `wake` rings. The consumer must look for work once more before
    /// it sleeps, and call [`Bell::stay_awake`] if it finds some.
    pub fn prepare_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer: no ring is needed for now.
    pub fn stay_awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
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
                bell.prepare_sleep();
                self.announced = true;
                false
            }
            (true, true) => {
                self.woke(bell);
                false
            }
            (true, false) => true,
        }
    }

    /// The consumer is awake again, for whatever reason.
    pub fn woke(&mut self, bell: &Bell) {
        bell.stay_awake();
        self.announced = false;
    }
}
