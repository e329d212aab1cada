//! Small topics while a huge one fans out: who waits for whom?

use std::{io, sync::Arc, time::Duration};

use super::{PATIENCE, Run, Window, add_publisher, add_swarm, wait};
use crate::{
    check::Ledger,
    options::{Mixed, Scenario},
    publisher::{Pace, Until},
    report::Report,
    swarm::{self, Seat, Swarm},
    topics::Topics,
};

/// Connections that publish to the small topics.
const CONNECTIONS: usize = 8;
/// Subscribers of each small topic.
const SMALL: usize = 3;

pub(super) fn run(run: &Run<'_>, options: &Mixed) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Mixed(options.clone()));
    // Topic 0 is the huge one.
    let topics = Arc::new(Topics::new(1 + options.small_topics, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    // On a thread of their own, whose turns come soon: that the load itself is busy with the huge
    // topic must not count for the server.
    let seat = |index| Seat::on(1 + (index / SMALL) as u32);
    let plan = run.swarm_plan(SMALL * options.small_topics, &topics, &ledger, seat);
    let small_swarm = Swarm::start(swarm::Plan { prompt: true, ..plan })?;
    small_swarm.wait_until_open()?;
    let swarm = run.swarm(options.subscribers, &topics, &ledger, |_| Seat::on(0))?;
    swarm.wait_until_open()?;

    // First alone, then beside the huge one.
    let count = options.small_topics as u32;
    let mut turn = 0;
    let next = move || {
        turn = turn % count + 1;
        turn
    };
    let pace = Pace::Open(options.small_rate);
    let small = run.publisher(&topics, &ledger, CONNECTIONS, pace, Until::Stopped, next)?;
    let huge =
        run.publisher(&topics, &ledger, 1, Pace::Open(options.rate), Until::Stopped, || 0)?;
    wait(Duration::from_millis(1500), "warming up");
    small_swarm.measure_from_now();
    let window = Window::open(run, &swarm)?;
    wait(Duration::from_secs_f64(run.load.seconds), "mixed fan-out");
    window.close(run, &swarm, &mut report)?;
    small_swarm.measure_until_now();
    let huge = huge.stop()?;
    let small = small.stop()?;
    swarm.settle(PATIENCE);
    small_swarm.settle(PATIENCE);
    let (outcome, small_outcome) = (swarm.finish(), small_swarm.finish());
    report.latency("small topics: delivery", &small_outcome.latency);
    report.latency("huge topic: delivery", &outcome.latency);
    add_publisher(&mut report, &small);
    report.number("publications to the huge topic", huge.acknowledged as f64, "");
    add_swarm(&mut report, &outcome);
    add_swarm(&mut report, &small_outcome);
    Ok(report)
}
