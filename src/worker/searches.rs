//! Publications whose ids are searched for in the history before the log gets them. The same for
//! workers and for publishers inside the process; knows no runtime.

use std::collections::{HashMap, VecDeque};

use super::submissions::Waiting;
use crate::log::{exchange::Ticket, history::Search};

/// The searches of one thread that publishes.
#[derive(Default)]
pub(super) struct Searches {
    /// No search was begun.
    wanted: VecDeque<Waiting>,
    /// By ticket.
    under_way: HashMap<u32, Waiting>,
}

impl Searches {
    pub(super) fn want(&mut self, waiting: Waiting) {
        self.wanted.push_back(waiting);
    }

    /// The next one that is to be made, if fewer than `max` are under way. `worker`: the number of
    /// who asks.
    pub(super) fn next(&mut self, worker: usize, max: usize) -> Option<Search> {
        if self.under_way.len() >= max {
            return None;
        }
        let waiting = self.wanted.pop_front()?;
        let ticket = waiting.publish.ticket;
        let id = waiting.publish.draft.frame.id().expect("only given ids are searched for").into();
        self.under_way.insert(ticket.0, waiting);
        Some(Search { worker, ticket, id })
    }

    /// The search is over.
    pub(super) fn end(&mut self, ticket: Ticket) -> Waiting {
        self.under_way.remove(&ticket.0).expect("a search ends once")
    }

    pub(super) fn count(&self) -> usize {
        self.wanted.len() + self.under_way.len()
    }
}
