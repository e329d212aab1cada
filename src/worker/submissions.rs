//! Publications on their way to the log: those that it has not answered, and those that have to
//! wait before it takes them. The same for the pump of a worker and for publishers inside the
//! process; knows no runtime.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use super::searches::Searches;
use crate::{
    hub::Moment,
    log::{
        exchange::{Ack, Exchange, NotCommitted, Publish, Searched, Ticket, Unavailable},
        history::{Found, Search, Unreadable},
        reused::ReusedIds,
    },
    protocol::{
        text::excerpt,
        update::{Draft, Position, Update},
    },
};

/// Why a publication was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It waited for `publish_wait`, and was never handed to the log: it may be tried again.
    #[error("the hub is behind with deliveries; try again later")]
    Overloaded,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Its id could not be searched for.
    #[error("the history cannot be read, so nobody knows whether the id was used; try again later")]
    Unreadable,
    #[error(
        "the id {} is that of an update in the history; this one was not published: if it is the \
         same, all is well, else give it an id of its own",
        excerpt(id)
    )]
    ReusedId { id: Box<str> },
}

/// What a publication became.
#[derive(Debug, Clone)]
pub enum Published {
    /// This update.
    Now(Arc<Update>),
    /// Nothing: an update in the history has this id, which is the answer to both.
    Before(Box<str>),
}

impl Published {
    /// The id that the publisher is told.
    pub fn id(&self) -> &str {
        match self {
            Published::Now(update) => update.id(),
            Published::Before(id) => id,
        }
    }
}

/// The one answer to a publication.
pub type Outcome = Result<Published, PublishError>;

/// A publication that was not handed to the log yet.
pub(super) struct Waiting {
    pub(super) publish: Publish,
    until: Moment,
}

/// The publications of one thread.
pub struct Submissions {
    publisher: usize,
    exchange: Arc<Exchange>,
    publish_wait: Duration,
    reused_ids: ReusedIds,
    /// In the order in which they run out of time.
    waiting: VecDeque<Waiting>,
    searches: Searches,
    /// The log has them and did not answer yet.
    under_way: usize,
    /// The log was given some since it was woken last.
    submitted: bool,
}

impl Submissions {
    /// `publisher`: the number of a worker or a guest at the exchange. `publish_wait`: how long a
    /// publication may wait before it is refused.
    pub fn new(
        publisher: usize,
        exchange: Arc<Exchange>,
        publish_wait: Duration,
        reused_ids: ReusedIds,
    ) -> Self {
        Submissions {
            publisher,
            exchange,
            publish_wait,
            reused_ids,
            waiting: VecDeque::new(),
            searches: Searches::default(),
            under_way: 0,
            submitted: false,
        }
    }

    /// Hands a publication that came in at `now` to the log, at once or when there is room; where
    /// ids must not be reused, after a [search](Submissions::next_search). It is answered by its
    /// ticket, once.
    pub fn publish(&mut self, ticket: Ticket, draft: Draft, now: Moment) {
        let until = now + self.publish_wait;
        let is_searched = self.reused_ids != ReusedIds::Accept && !draft.frame.wants_id();
        let publish = Publish { ticket, draft, searched: None };
        match is_searched {
            true => self.searches.want(Waiting { publish, until }),
            false => self.hand_in(publish, until),
        }
    }

    fn hand_in(&mut self, publish: Publish, until: Moment) {
        let refused =
            if self.waiting.is_empty() { self.submit(publish).err() } else { Some(publish) };
        if let Some(publish) = refused {
            // Behind those that came before it, also where it was searched for meanwhile.
            let at = self.waiting.partition_point(|waiting| waiting.until <= until);
            self.waiting.insert(at, Waiting { publish, until });
        }
    }

    /// The next search of the history that is to be made, to be answered with
    /// [`Submissions::searched`].
    pub fn next_search(&mut self) -> Option<Search> {
        self.searches.next(self.publisher, self.exchange.capacities().searches)
    }

    /// A search is over. Returns the answer to its publication, unless the log has to give it.
    pub fn searched(
        &mut self,
        ticket: Ticket,
        found: Result<Found, Unreadable>,
    ) -> Option<(Ticket, Outcome)> {
        let Waiting { mut publish, until } = self.searches.end(ticket);
        let Ok(Found { position, through }) = found else {
            return Some((ticket, Err(PublishError::Unreadable)));
        };
        let through = match position {
            None => through,
            Some(position) if position <= self.exchange.committed() => {
                return Some((ticket, self.reused(publish)));
            }
            // Being committed: the log answers when everybody can know of it.
            Some(position) => Position(position.0 - 1),
        };
        publish.searched = Some(Searched { through, until });
        self.hand_in(publish, until);
        None
    }

    fn reused(&self, publish: Publish) -> Outcome {
        let id = publish.draft.frame.id().unwrap_or_default().into();
        match self.reused_ids {
            ReusedIds::First => Ok(Published::Before(id)),
            ReusedIds::Refuse | ReusedIds::Accept => Err(PublishError::ReusedId { id }),
        }
    }

    /// The log's next answer.
    pub fn next_answer(&mut self) -> Option<(Ticket, Outcome)> {
        loop {
            let Ack { ticket, outcome } = self.exchange.port(self.publisher).acks.pop()?;
            self.under_way -= 1;
            let outcome = match outcome {
                Ok(update) => Ok(Published::Now(update)),
                Err(NotCommitted::Unavailable(reason)) => Err(reason.into()),
                Err(NotCommitted::ReusedId(publish)) => self.reused(*publish),
                Err(NotCommitted::SearchedTooEarly(publish)) => {
                    let until = publish.searched.as_ref().expect("it was searched for").until;
                    self.searches.want(Waiting { publish: *publish, until });
                    continue;
                }
            };
            return Some((ticket, outcome));
        }
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

    /// Not handed to the log yet, and not searched for.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Being searched for, or about to be.
    pub fn searching(&self) -> usize {
        self.searches.count()
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
