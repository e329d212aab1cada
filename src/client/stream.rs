//! A subscription for asynchronous code: a thread reads, a bounded buffer passes events on.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use futures_core::Stream;

use super::{
    error::ClientError,
    subscriber::{Event, Stopper, Subscriber},
};

/// Bytes of events that wait, beside which only one more event is taken.
const BYTES_MAX: usize = 4 << 20;

type Item = Result<Event, ClientError>;

/// The events of a subscription, as a `futures_core::Stream`. Needs no particular runtime. Ends
/// when the subscription does; ends the subscription when it is dropped.
pub struct UpdateStream {
    shared: Arc<Shared>,
    stopper: Stopper,
}

struct Shared {
    buffer: Mutex<Buffer>,
    has_room: Condvar,
    events_max: usize,
}

#[derive(Default)]
struct Buffer {
    items: VecDeque<Item>,
    bytes: usize,
    waker: Option<Waker>,
    /// The reader has ended, for whatever reason.
    is_over: bool,
    /// Nobody takes events any more.
    is_dropped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // The buffer is whole at any time.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room. False: nobody takes events any more.
    fn push(&self, item: Item) -> bool {
        let size = size(&item);
        let mut buffer = self.lock();
        let is_full = |buffer: &mut Buffer| {
            let has_room = buffer.items.len() < self.events_max && buffer.bytes < BYTES_MAX;
            !(buffer.is_dropped || has_room)
        };
        buffer = self.has_room.wait_while(buffer, is_full).unwrap_or_else(PoisonError::into_inner);
        if buffer.is_dropped {
            return false;
        }
        buffer.bytes += size;
        buffer.items.push_back(item);
        let waker = buffer.waker.take();
        drop(buffer);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

fn size(item: &Item) -> usize {
    match item {
        Ok(Event::Update(update)) => update.id.len() + update.event_type.len() + update.data.len(),
        _ => 0,
    }
}

/// Tells the taker of the end, also where the reader panicked in a closure of the application.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut buffer = self.0.lock();
        buffer.is_over = true;
        let waker = buffer.waker.take();
        drop(buffer);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl UpdateStream {
    pub(super) fn start(subscriber: Subscriber, events_max: usize) -> Self {
        let stopper = subscriber.stopper();
        let shared = Arc::new(Shared {
            buffer: Mutex::default(),
            has_room: Condvar::new(),
            events_max: events_max.max(1),
        });
        let end = End(Arc::clone(&shared));
        let read = move || {
            let end = end;
            for item in subscriber {
                if !end.0.push(item) {
                    break;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("updates".into()).spawn(read) {
            // The closure is dropped, and with it the end told.
            shared.lock().items.push_back(Err(ClientError::Broken(error)));
        }
        UpdateStream { shared, stopper }
    }

    /// What ends this subscription from elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.shared.lock().items.len()
    }
}

impl Stream for UpdateStream {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.stopper.is_stopped() {
            return Poll::Ready(None);
        }
        let mut buffer = self.shared.lock();
        if let Some(item) = buffer.items.pop_front() {
            buffer.bytes -= size(&item);
            drop(buffer);
            self.shared.has_room.notify_one();
            return Poll::Ready(Some(item));
        }
        if buffer.is_over {
            return Poll::Ready(None);
        }
        buffer.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for UpdateStream {
    fn drop(&mut self) {
        self.shared.lock().is_dropped = true;
        self.shared.has_room.notify_one();
        self.stopper.stop();
    }
}

impl fmt::Debug for UpdateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateStream").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
