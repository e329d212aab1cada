//! Many topics, of which few are popular.

use std::{io, sync::Arc};

use super::{Run, conclude, measure};
use crate::{
    check::Ledger,
    options::{Scenario, Topics as Options},
    publisher::{Pace, Until},
    report::Report,
    swarm::Seat,
    topics::Topics,
    zipf::Zipf,
};

const CONNECTIONS: usize = 16;

pub(super) fn run(run: &Run<'_>, options: &Options) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Topics(options.clone()));
    let topics = Arc::new(Topics::new(options.topics, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    let zipf = Zipf::new(topics.len(), 1);
    let (each, popular) = (options.each, zipf.clone());
    let swarm = run.swarm(options.subscribers, &topics, &ledger, move |index| {
        let mut draws = popular.seeded(index as u64);
        let mut topics: Vec<u32> = (0..each).map(|_| draws.draw()).collect();
        topics.sort_unstable();
        topics.dedup();
        Seat { topics, ..Seat::default() }
    })?;
    swarm.wait_until_open()?;
    let before = run.usage()?;
    let per_subscriber = before.memory as f64 / options.subscribers as f64;
    run.server_number(&mut report, "memory in all per subscriber (PSS)", per_subscriber, "B");
    let mut draws = zipf.seeded(u64::MAX);
    let pace = Pace::Open(options.rate);
    let publisher =
        run.publisher(&topics, &ledger, CONNECTIONS, pace, Until::Stopped, move || draws.draw())?;
    measure(run, &swarm, "publishing", &mut report)?;
    conclude(publisher, swarm, &mut report)?;
    Ok(report)
}
