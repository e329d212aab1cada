//! A bounded queue between two threads whose producer learns when there is room again.

use super::sync::{ArrayQueue, AtomicBool, Ordering, fence};

/// Lock-free and bounded. What was refused stays with the producer.
pub struct Lane<T> {
    queue: ArrayQueue<T>,
    /// The producer was refused and waits to be woken by whoever makes room.
    producer_waits: AtomicBool,
}

impl<T> Lane<T> {
    pub fn new(capacity: usize) -> Self {
        Lane { queue: ArrayQueue::new(capacity), producer_waits: AtomicBool::new(false) }
    }

    /// Gives `item` back when there is no room; the consumer's next
    /// [`Lane::take_producer_waits`] then returns true.
    pub fn push(&self, item: T) -> Result<(), T> {
        let Err(item) = self.queue.push(item) else { return Ok(()) };
        self.wait_for_room();
        // Room that was made before the flag was seen would never be announced: look again.
        self.queue.push(item)
    }

    /// Producer: asks to be woken, also where something else than a full queue held it back.
    /// It must look once more afterwards whether it is still held back.
    pub fn wait_for_room(&self) {
        self.producer_waits.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Consumer: to be called after room was made; true if the producer must be woken.
    pub fn take_producer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.producer_waits.load(Ordering::Relaxed)
            && self.producer_waits.swap(false, Ordering::AcqRel)
    }
}
