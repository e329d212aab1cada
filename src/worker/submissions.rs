//! Publications on their way to the log: those that it has not answered, and those that have to
//! wait before it takes them. The same for the pump of a worker and for publishers inside the
//! process; knows no runtime.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use crate::{
    hub::Moment,
    log::exchange::{Ack, Exchange, Publish, Ticket, Unavailable},
    protocol::update::{Draft, Update},
};

/// Why a publication was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It waited for `publish_wait`, and was never handed to the log: it may be tried again.
    #[error("the hub is behind with deliveries; try again later")]
    Overloaded,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The one answer to a publication.
pub type Outcome = Result<Arc<Update>, PublishError>;

/// A publication that could not be handed to the log yet.
struct Waiting {
    publish: Publish,
    until: Moment,
}

/// The publications of one thread.
pub struct Submissions {
    publisher: usize,
    exchange: Arc<Exchange>,
    publish_wait: Duration,
    /// In the order of arrival; so they run out of time in this order too.
    waiting: VecDeque<Waiting>,
    /// The log has them and did not answer yet.
    under_way: usize,
    /// The log was given some since it was woken last.
    submitted: bool,
}

impl Submissions {
    /// `publisher`: the number of a worker or a guest at the exchange. `publish_wait`: how long a
    /// publication may wait before it is refused.
    pub fn new(publisher: usize, exchange: Arc<Exchange>, publish_wait: Duration) -> Self {
        Submissions {
            publisher,
            exchange,
            publish_wait,
            waiting: VecDeque::new(),
            under_way: 0,
            submitted: false,
        }
    }

    /// Hands a publication that came in at `now` to the log, at once or when there is room. It is
    /// answered by its ticket, once.
    pub fn publish(&mut self, ticket: Ticket, draft: Draft, now: Moment) {
        let publish = Publish { ticket, draft };
        let until = now + self.publish_wait;
        let refused =
            if self.waiting.is_empty() { self.submit(publish).err() } else { Some(publish) };
        self.waiting.extend(refused.map(|publish| Waiting { publish, until }));
    }

    /// The log's next answer.
    pub fn next_answer(&mut self) -> Option<(Ticket, Outcome)> {
        let Ack { ticket, outcome } = self.exchange.port(self.publisher).acks.pop()?;
        self.under_way -= 1;
        Some((ticket, outcome.map_err(PublishError::from)))
    }

    /// Hands over what waits, as far as the log takes it. The next one whose time is up is given
    /// back instead: call again.
    pub fn next_refused(&mut self, now: Moment) -> Option<Ticket> {
        while let Some(Waiting { publish, until }) = self.waiting.pop_front() {
            if until <= now {
                return Some(publish.ticket);
            }
            if let Err(publish) = self.submit(publish) {
                self.waiting.push_front(Waiting { publish, until });
                break;
            }
        }
        None
    }

    /// Wakes the log, once for all that it was given since the last time.
    pub fn wake_log(&mut self) {
        if mem::take(&mut self.submitted) {
            self.exchange.log_bell().wake();
        }
    }

    /// When the next one runs out of time.
    pub fn next_due(&self) -> Option<Moment> {
        self.waiting.front().map(|waiting| waiting.until)
    }

    /// Not handed to the log yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// With the log.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Gives a publication to the log, or back.
    fn submit(&mut self, publish: Publish) -> Result<(), Publish> {
        // The log's answers must always have room.
        if self.under_way == self.exchange.capacities().under_way {
            return Err(publish);
        }
        self.exchange.submit(self.publisher, publish)?;
        self.under_way += 1;
        self.submitted = true;
        Ok(())
    }
}
