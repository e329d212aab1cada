//! Answers that requests wait for: from the log, from readers.

use std::task::{Context, Poll, Waker};

/// Names an answer that somebody waits for.
pub type PromiseId = u32;

enum Slot<T> {
    Free,
    Open(Option<Waker>),
    Kept(T),
}

/// Answers under small numbers. Each is waited for by one task of the same thread.
pub struct Promises<T> {
    slots: Vec<Slot<T>>,
    free: Vec<PromiseId>,
}

impl<T> Default for Promises<T> {
    fn default() -> Self {
        Promises { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Promises<T> {
    pub fn open(&mut self) -> PromiseId {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Slot::Open(None);
            return id;
        }
        self.slots.push(Slot::Open(None));
        PromiseId::try_from(self.slots.len() - 1).expect("far fewer than 2^32 requests")
    }

    /// Wakes whoever waits. A promise is kept once.
    pub fn keep(&mut self, id: PromiseId, answer: T) {
        let slot = std::mem::replace(&mut self.slots[id as usize], Slot::Kept(answer));
        match slot {
            Slot::Open(Some(waker)) => waker.wake(),
            Slot::Open(None) => {}
            Slot::Free | Slot::Kept(_) => unreachable!("a promise is kept once"),
        }
    }

    /// The answer, which frees the number. To be polled until it is ready.
    pub fn poll(&mut self, id: PromiseId, cx: &mut Context<'_>) -> Poll<T> {
        let slot = &mut self.slots[id as usize];
        match std::mem::replace(slot, Slot::Free) {
            Slot::Kept(answer) => {
                self.free.push(id);
                Poll::Ready(answer)
            }
            Slot::Open(_) => {
                *slot = Slot::Open(Some(cx.waker().clone()));
                Poll::Pending
            }
            Slot::Free => unreachable!("polled until ready, and not after"),
        }
    }

    /// How many are open or not fetched yet.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
