//! Stands in for `src/log/sync.rs`: what threads share, under loom's eyes.

use std::collections::VecDeque;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::sync::{Mutex, atomic::AtomicUsize};

/// A bounded queue that promises less than the production one: what was pushed is seen with all
/// that came before it, and so is the room that was made. Nothing is promised to those who find it
/// empty or full; so the protocol around it has to.
///
/// One thread pushes, another one pops.
pub(crate) struct ArrayQueue<T> {
    items: Mutex<VecDeque<T>>,
    capacity: usize,
    pushed: AtomicUsize,
    popped: AtomicUsize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        ArrayQueue {
            items: Mutex::new(VecDeque::new()),
            capacity,
            pushed: AtomicUsize::new(0),
            popped: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let pushed = self.pushed.load(Ordering::Relaxed);
        if pushed - self.popped.load(Ordering::Acquire) == self.capacity {
            return Err(item);
        }
        self.items.lock().unwrap().push_back(item);
        self.pushed.store(pushed + 1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let popped = self.popped.load(Ordering::Relaxed);
        if popped == self.pushed.load(Ordering::Acquire) {
            return None;
        }
        let item = self.items.lock().unwrap().pop_front();
        self.popped.store(popped + 1, Ordering::Release);
        item
    }

    pub(crate) fn len(&self) -> usize {
        self.pushed.load(Ordering::Acquire) - self.popped.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.popped.load(Ordering::Acquire) == self.pushed.load(Ordering::Acquire)
    }
}
