//! Private updates: some subscribers have a grant, the others must get nothing.

use std::{io, sync::Arc};

use super::{Run, conclude, measure};
use crate::{
    check::Ledger,
    options::{Private, Scenario},
    publisher::{self, Pace, Publisher, Until},
    report::Report,
    swarm::Seat,
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Private) -> io::Result<Report> {
    if !run.target.is_mercure() {
        return Err(io::Error::other("`private` needs a Mercure hub"));
    }
    let mut report = run.report(&Scenario::Private(options.clone()));
    let topics = Arc::new(Topics::new(1, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    // Every other one.
    let swarm = run.swarm(options.subscribers, &topics, &ledger, false, |index| Seat {
        topics: vec![0],
        has_token: index % 2 == 0,
        excluded: index % 2 == 1,
        ..Seat::default()
    })?;
    swarm.wait_until_open()?;
    let publisher = Publisher::start(publisher::Plan {
        target: run.target.clone(),
        topics: Arc::clone(&topics),
        ledger: Arc::clone(&ledger),
        connections: 1,
        pace: Pace::Open(options.rate),
        until: Until::Stopped,
        data_len: run.load.data,
        private: true,
        next_topic: Box::new(|| 0),
    })?;
    measure(run, &swarm, "private updates", &mut report)?;
    conclude(publisher, swarm, &mut report)?;
    Ok(report)
}
