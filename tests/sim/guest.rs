//! The thread that publishes for the application: the production hand-over to the log, in the loop
//! that `app::guest` runs.

use std::sync::Arc;

use petasos::{
    hub::Moment,
    log::{
        bell::Doze,
        exchange::{Exchange, Ticket},
    },
    worker::{
        pump::PumpLimits,
        submissions::{Outcome, PublishError, Submissions},
    },
};

use super::{
    history::find,
    scenario::Scenario,
    tasks::draft,
    world::{SimRing, interlude, trace, with},
};

pub(crate) struct Guest {
    exchange: Arc<Exchange>,
    /// At the exchange.
    pub(crate) number: usize,
    submissions: Submissions,
    ring: SimRing,
    doze: Doze,
    asleep: bool,
    /// When it is to be woken at the latest.
    pub(crate) next: Option<u64>,
}

impl Guest {
    pub(crate) fn new(ring: SimRing, exchange: Arc<Exchange>, scenario: &Scenario) -> Self {
        let number = scenario.workers;
        let PumpLimits { publish_wait, reused_ids, .. } = scenario.pump;
        Guest {
            submissions: Submissions::new(number, Arc::clone(&exchange), publish_wait, reused_ids),
            exchange,
            number,
            ring,
            doze: Doze::default(),
            asleep: false,
            next: None,
        }
    }

    pub(crate) fn is_awake(&self, now: u64) -> bool {
        !self.asleep || self.ring.is_rung() || self.next.is_some_and(|next| next <= now)
    }

    /// Nothing waits, and nothing is with the log.
    pub(crate) fn is_done(&self) -> bool {
        let Guest { submissions, .. } = self;
        submissions.waiting() + submissions.under_way() + submissions.searching() == 0
    }

    /// One round of the loop.
    pub(crate) fn step(&mut self) {
        let exchange = Arc::clone(&self.exchange);
        let bell = &exchange.port(self.number).bell;
        self.ring.take();
        if self.asleep {
            self.asleep = false;
            self.doze.woke(bell);
        }
        let (now, queue) =
            with(|world| (Moment(world.now), std::mem::take(&mut world.guest_queue)));
        let mut worked = !queue.is_empty();
        for publication in queue {
            let draft = with(|world| draft(world, publication));
            self.submissions.publish(Ticket(publication as u32), draft, now);
            self.search();
        }
        while let Some((ticket, outcome)) = self.submissions.next_answer() {
            worked = true;
            self.answer(ticket, outcome);
        }
        self.search();
        while let Some(ticket) = self.submissions.next_refused(now) {
            self.answer(ticket, Err(PublishError::Overloaded));
        }
        self.submissions.wake_log();
        self.next = self.submissions.next_due().map(|due| due.0);
        self.asleep = self.doze.may_sleep(bell, worked);
        trace("guest", usize::from(worked), u64::from(self.asleep));
    }

    fn search(&mut self) {
        while let Some(search) = self.submissions.next_search() {
            interlude();
            let found = find(&search.id);
            interlude();
            if let Some((ticket, outcome)) = self.submissions.searched(search.ticket, found) {
                self.answer(ticket, outcome);
            }
        }
    }

    fn answer(&self, ticket: Ticket, outcome: Outcome) {
        let visible = self.exchange.committed().0;
        with(|world| world.answered(ticket.0 as usize, outcome, visible));
    }
}
