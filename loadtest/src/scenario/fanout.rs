//! One topic that everybody subscribes to.

use std::{io, sync::Arc};

use super::{Run, conclude, measure};
use crate::{
    check::Ledger,
    options::{Fanout, Scenario},
    publisher::{Deliveries, Pace, Until},
    report::Report,
    swarm::Seat,
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Fanout) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Fanout(options.clone()));
    let connections = options.pace.connections();
    let topics = Arc::new(Topics::new(1, connections));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    let swarm = run.swarm(options.subscribers, &topics, &ledger, |_| Seat::on(0))?;
    swarm.wait_until_open()?;
    let pace = options.pace.of(&swarm, options.subscribers);
    let publisher = run.publisher(&topics, &ledger, connections, pace, Until::Stopped, || 0)?;
    measure(run, &swarm, "fan-out", &mut report)?;
    conclude(publisher, swarm, &mut report)?;
    Ok(report)
}

impl crate::options::PaceOptions {
    /// Connections that publish.
    pub(crate) fn connections(&self) -> usize {
        match (self.burst, self.under_way) {
            (Some(size), _) => size,
            (None, Some(count)) => count,
            (None, None) => self.publishers.max(1),
        }
    }

    fn of(&self, swarm: &crate::swarm::Swarm, subscribers: usize) -> Pace {
        let deliveries = Deliveries::of(&swarm.shared, subscribers);
        match (self.burst, self.under_way, self.rate) {
            (Some(size), _, _) => Pace::Bursts { size: size as u64, deliveries },
            (None, Some(_), _) => Pace::Followed(deliveries),
            (None, None, rate) => Pace::Open(rate),
        }
    }
}
