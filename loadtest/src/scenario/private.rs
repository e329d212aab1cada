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
    run.require_mercure("private")?;
    let mut report = run.report(&Scenario::Private(options.clone()));
    let topics = Arc::new(Topics::new(1, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    // Every other one.
    let swarm = run.swarm(options.subscribers, &topics, &ledger, |index| Seat {
        has_token: index % 2 == 0,
        excluded: index % 2 == 1,
        ..Seat::on(0)
    })?;
    swarm.wait_until_open()?;
    let pace = Pace::Open(options.rate);
    let plan = run.publisher_plan(&topics, &ledger, 1, pace, Until::Stopped, || 0);
    let publisher = Publisher::start(publisher::Plan { private: true, ..plan })?;
    measure(run, &swarm, "private updates", &mut report)?;
    conclude(publisher, swarm, &mut report)?;
    Ok(report)
}
