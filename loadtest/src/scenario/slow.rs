//! Subscribers that do not read any more: what do they cost the others, and the server?

use std::{io, sync::Arc, time::Duration};

use super::{PATIENCE, Run, Window, add_publisher, add_swarm, wait};
use crate::{
    check::Ledger,
    options::{Scenario, Slow},
    publisher::{Pace, Until},
    report::Report,
    swarm::Seat,
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Slow) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Slow(options.clone()));
    let topics = Arc::new(Topics::new(1, 4));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    let swarm = run.swarm(options.subscribers, &topics, &ledger, |_| Seat::on(0))?;
    swarm.wait_until_open()?;
    let pace = Pace::Open(options.rate);
    let publisher = run.publisher(&topics, &ledger, 4, pace, Until::Stopped, || 0)?;
    wait(Duration::from_millis(500), "warming up");

    // By turns without and with those that do not read.
    let time = Duration::from_secs_f64(run.load.seconds);
    let window = Window::open(run, &swarm)?;
    wait(time, "everybody reading");
    let healthy = window.close(run, &swarm, &mut Report::default())?;
    let stalled = (options.subscribers as f64 * options.share).round() as usize;
    let stalled_swarm =
        run.swarm(stalled, &topics, &ledger, |_| Seat { stalled: true, ..Seat::on(0) })?;
    stalled_swarm.wait_until_open()?;
    let window = Window::open(run, &swarm)?;
    wait(time, "some not reading");
    let mut measured = Report::default();
    let with_stalled = window.close(run, &swarm, &mut measured)?;
    let each = |m: &super::Measured| m.used.cpu_us / m.received.max(1) as f64;
    let (without, with) = (each(&healthy), each(&with_stalled));
    run.server_number(&mut report, "CPU per delivery, all reading", without, "us");
    run.server_number(&mut report, "CPU per delivery to the others, some stalled", with, "us");
    run.server_number(&mut report, "ratio", with / without, "");
    let memory = with_stalled.used.memory / stalled.max(1) as f64;
    run.server_number(&mut report, "memory per stalled subscriber (PSS)", memory, "B");
    let published = publisher.stop()?;
    let cut = stalled_swarm.count_cut() as f64 / stalled.max(1) as f64;
    report.number("stalled subscribers that were cut, share", cut, "");
    swarm.settle(PATIENCE);
    let outcome = swarm.finish();
    stalled_swarm.finish();
    report.latency("delivery to the others", &outcome.latency);
    add_publisher(&mut report, &published);
    add_swarm(&mut report, &outcome);
    Ok(report)
}
