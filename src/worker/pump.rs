//! The one place where everything that concerns a worker's hub comes together: committed updates,
//! answers of the log and of readers, timers, sends.
//!
//! Everything that changes the hub goes through here, in turns that are bounded in work. The pump
//! knows no runtime and no sockets: a simulation runs it as it is.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pub use super::submissions::{PublishError, Published};
use super::{
    promise::{PromiseId, Promises},
    submissions::{self, Submissions},
};
use crate::{
    hub::{Batch, Ended, Hub, Joiner, Key, Moment, Outcome, Reason, WantedRead},
    log::{
        exchange::{Exchange, Ticket},
        history::{self, Chunk, From, Located, Read, Reply, Search, Token, Unreadable},
        reused::ReusedIds,
    },
    protocol::{
        frame::Form,
        matcher::Interest,
        subscribe::Since,
        time::UnixTime,
        update::{Draft, Position},
    },
};

/// What the pump needs of the world.
pub trait Outside {
    /// Makes every send of the batch, in order, without waiting, and adds an outcome for each.
    fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>);

    /// Closes a connection; ends its stream properly if it is whole.
    fn close(&mut self, ended: Ended);

    /// Hands a read to the readers.
    fn read(&mut self, read: Read);

    /// The same for a search.
    fn search(&mut self, search: Search);
}

/// The start of a replay, and the first piece of it.
pub type Start = Result<(Located, Chunk), Unreadable>;

/// A replay whose start is to be looked up.
struct WantedStart {
    promise: PromiseId,
    since: Since,
    interest: Interest,
    form: Form,
}

/// What a turn did.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// There may be more to do at once.
    pub worked: bool,
    /// A batch was sent, which takes its time.
    pub sent: bool,
    /// When the next turn is due at the latest.
    pub next: Option<Moment>,
    /// Updates that were taken.
    pub took: Option<Took>,
}

/// Updates that were taken in one turn.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub updates: u64,
    /// When the first of them was published.
    pub published: UnixTime,
}

/// What a pump's requests wait for, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requests {
    /// Publications whose answer was not fetched yet.
    pub publications: usize,
    /// Of these, not handed to the log yet.
    pub waiting: usize,
    /// Of these, searched for by their ids.
    pub searching: usize,
    /// Of these, with the log.
    pub under_way: usize,
    /// Starts of replays that were not fetched yet.
    pub starts: usize,
    /// Of these, not handed to a reader yet.
    pub wanted_starts: usize,
    /// Reads under way, of starts and replays.
    pub reads: usize,
}

/// Settings of a pump.
#[derive(Debug, Clone, Copy)]
pub struct PumpLimits {
    /// How long a publication may wait before it is refused.
    pub publish_wait: Duration,
    /// Reads under way, at most.
    pub reads: usize,
    pub reused_ids: ReusedIds,
}

pub struct Pump<O> {
    worker: usize,
    exchange: Arc<Exchange>,
    limits: PumpLimits,
    pub hub: Hub,
    pub outside: O,
    batch: Batch,
    outcomes: Vec<Outcome>,
    /// The position that was reported to the log last.
    finished: Position,

    publications: Promises<submissions::Outcome>,
    submissions: Submissions,

    starts: Promises<Start>,
    wanted_starts: VecDeque<WantedStart>,
    reads_under_way: usize,
    start_was_last: bool,
}

impl<O: Outside> Pump<O> {
    pub fn new(
        worker: usize,
        exchange: Arc<Exchange>,
        limits: PumpLimits,
        hub: Hub,
        outside: O,
    ) -> Self {
        Pump {
            worker,
            limits: PumpLimits {
                reads: limits.reads.clamp(1, exchange.capacities().reads),
                ..limits
            },
            finished: hub.finished(),
            submissions: Submissions::new(
                worker,
                Arc::clone(&exchange),
                limits.publish_wait,
                limits.reused_ids,
            ),
            exchange,
            hub,
            outside,
            batch: Batch::default(),
            outcomes: Vec::new(),
            publications: Promises::default(),
            starts: Promises::default(),
            wanted_starts: VecDeque::new(),
            reads_under_way: 0,
            start_was_last: false,
        }
    }

    /// Adds a subscriber that receives what is committed from now on. `open` sends the response
    /// head: whoever has seen it receives everything later, so it must not be sent before this.
    pub fn join(&mut self, now: Moment, open: impl FnOnce() -> Joiner) -> Key {
        let position = self.exchange.committed();
        self.hub.join(open(), position, now)
    }

    /// Starts to look up where a subscriber resumes; to be awaited with [`Pump::poll_start`].
    pub fn start_replay(&mut self, since: Since, interest: Interest, form: Form) -> PromiseId {
        let promise = self.starts.open();
        self.wanted_starts.push_back(WantedStart { promise, since, interest, form });
        promise
    }

    pub fn poll_start(&mut self, id: PromiseId, cx: &mut Context<'_>) -> Poll<Start> {
        self.starts.poll(id, cx)
    }

    /// Hands a publication to the log, in the next turn or within `publish_wait`; to be awaited
    /// with [`Pump::poll_published`].
    pub fn publish(&mut self, draft: Draft, now: Moment) -> PromiseId {
        let id = self.publications.open();
        self.submissions.publish(Ticket(id), draft, now);
        id
    }

    /// Ready with the committed update: from then on it is in the order, and in the history.
    pub fn poll_published(
        &mut self,
        id: PromiseId,
        cx: &mut Context<'_>,
    ) -> Poll<submissions::Outcome> {
        self.publications.poll(id, cx)
    }

    /// Publications that are not answered yet.
    pub fn publications(&self) -> usize {
        self.publications.count()
    }

    /// Requests that wait for something.
    pub fn requests(&self) -> Requests {
        Requests {
            publications: self.publications.count(),
            waiting: self.submissions.waiting(),
            searching: self.submissions.searching(),
            under_way: self.submissions.under_way(),
            starts: self.starts.count(),
            wanted_starts: self.wanted_starts.len(),
            reads: self.reads_under_way,
        }
    }

    /// Does some of what there is to do.
    pub fn turn(&mut self, now: Moment) -> Turn {
        let took = self.take_updates();
        let mut worked = took.is_some();
        worked |= self.take_acks();
        worked |= self.take_replies();
        worked |= self.hub.expire(now);
        while let Some(ticket) = self.submissions.next_refused(now) {
            self.publications.keep(ticket.0, Err(PublishError::Overloaded));
        }
        // Before the sends, which take their time.
        self.submissions.wake_log();
        let sent = self.deliver(now);
        self.request_reads();
        while let Some(search) = self.submissions.next_search() {
            self.outside.search(search);
        }
        while let Some(ended) = self.hub.next_ended() {
            self.outside.close(ended);
        }
        self.report_finished();
        Turn { worked: worked || self.hub.has_work(), sent, next: self.next_due(), took }
    }

    /// Takes all that the log has handed over, so that each subscriber gets what is new for it in
    /// one write.
    fn take_updates(&mut self) -> Option<Took> {
        let port = self.exchange.port(self.worker);
        let mut took: Option<Took> = None;
        // The log may refill the queue meanwhile: the turn must end.
        for _ in 0..self.exchange.capacities().updates {
            let Some(update) = port.updates.pop() else { break };
            let took = took.get_or_insert(Took { updates: 0, published: update.published });
            took.updates += 1;
            self.hub.take(update);
        }
        if took.is_some() && port.updates.take_producer_waits() {
            self.exchange.log_bell().wake();
        }
        took
    }

    fn take_acks(&mut self) -> bool {
        let mut took = false;
        while let Some((ticket, outcome)) = self.submissions.next_answer() {
            took = true;
            self.publications.keep(ticket.0, outcome);
        }
        took
    }

    fn take_replies(&mut self) -> bool {
        let mut took = false;
        while let Some(Reply { token, outcome }) = self.exchange.port(self.worker).replies.pop() {
            took = true;
            match (token, outcome) {
                (Token::Request(promise), history::Outcome::Start(start)) => {
                    self.reads_under_way -= 1;
                    self.starts.keep(promise, start);
                }
                (Token::Publication(ticket), history::Outcome::Found(found)) => {
                    if let Some((ticket, outcome)) = self.submissions.searched(ticket, found) {
                        self.publications.keep(ticket.0, outcome);
                    }
                }
                (Token::Replay(key), history::Outcome::Chunk(chunk)) => {
                    self.reads_under_way -= 1;
                    let key = Key::from_bits(key);
                    match chunk {
                        Ok(Chunk { events, through }) => self.hub.chunk(key, events, through),
                        Err(Unreadable::Overtaken) => self.hub.cut_replay(key, Reason::Overtaken),
                        Err(Unreadable::Failed) => self.hub.cut_replay(key, Reason::Unreadable),
                    }
                }
                _ => unreachable!("readers answer what they are asked"),
            }
        }
        took
    }

    fn deliver(&mut self, now: Moment) -> bool {
        self.hub.next_batch(now, &mut self.batch);
        if self.batch.is_empty() {
            return false;
        }
        self.outcomes.clear();
        self.outside.send(&self.hub, &self.batch, &mut self.outcomes);
        assert_eq!(self.outcomes.len(), self.batch.sends().len(), "an outcome for each send");
        for (send, outcome) in self.batch.sends().iter().zip(&self.outcomes) {
            self.hub.sent(&self.batch, send, *outcome, now);
        }
        true
    }

    fn request_reads(&mut self) {
        while self.reads_under_way < self.limits.reads {
            // New requests and replays take turns.
            self.start_was_last = !self.start_was_last;
            let next = if self.start_was_last {
                self.next_start().or_else(|| self.next_replay())
            } else {
                self.next_replay().or_else(|| self.next_start())
            };
            let Some(read) = next else { return };
            self.reads_under_way += 1;
            self.outside.read(read);
        }
    }

    fn next_start(&mut self) -> Option<Read> {
        let WantedStart { promise, since, interest, form } = self.wanted_starts.pop_front()?;
        let (token, from) = (Token::Request(promise), From::Since(since));
        Some(Read { worker: self.worker, token, interest, form, from })
    }

    fn next_replay(&mut self) -> Option<Read> {
        let WantedRead { key, interest, form, after } = self.hub.next_read()?;
        let (token, from) = (Token::Replay(key.to_bits()), From::After(after));
        Some(Read { worker: self.worker, token, interest, form, from })
    }

    /// Tells the log how far every subscriber is served.
    fn report_finished(&mut self) {
        let finished = self.hub.finished();
        if finished != self.finished {
            self.finished = finished;
            self.exchange.finish(self.worker, finished);
        }
    }

    fn next_due(&self) -> Option<Moment> {
        [self.submissions.next_due(), self.hub.next_timer()].into_iter().flatten().min()
    }
}
