//! Subscribers that only wait: what each costs, and whether a publication reaches all of them.

use std::{
    io,
    sync::{Arc, atomic::Ordering::SeqCst},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{PATIENCE, Run, add_swarm, publish_some, wait};
use crate::{
    check::Ledger,
    options::{Hold, Scenario},
    report::Report,
    swarm::Seat,
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Hold) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Hold(options.clone()));
    let own = if options.own_topics { options.subscribers } else { 0 };
    // The last topic is everybody's.
    let common = own as u32;
    let topics = Arc::new(Topics::new(own + 1, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    // The first connections pay for what is made once.
    let first = run.swarm(100, &topics, &ledger, move |_| Seat::on(common))?;
    first.wait_until_open()?;
    sleep(CALM);

    let (before, begin) = (run.usage()?, Instant::now());
    let swarm = run.swarm(options.subscribers, &topics, &ledger, move |index| {
        Seat::on(if own > 0 { index as u32 } else { common })
    })?;
    swarm.wait_until_open()?;
    let ramp = begin.elapsed();
    sleep(CALM);
    let used = run.used_since(before)?;
    let count = options.subscribers as f64;
    run.server_number(&mut report, "memory per subscriber (PSS)", used.memory / count, "B");
    run.server_number(
        &mut report,
        "kernel memory per connection (both ends)",
        used.slab / count,
        "B",
    );
    run.server_number(&mut report, "CPU per new subscriber", used.cpu_us / count, "us");
    report.number("new subscribers", count / ramp.as_secs_f64(), "1/s");
    run.server_number(&mut report, "memory in all (PSS)", run.usage()?.memory as f64 / 1e6, "MB");

    let before = run.usage()?;
    wait(Duration::from_secs_f64(run.load.seconds), "waiting");
    let used = run.used_since(before)?;
    let idle = used.cpu_us / 1e6 / used.elapsed.as_secs_f64();
    run.server_number(&mut report, "cores busy while all wait", idle, "");

    swarm.measure_from_now();
    let begin = Instant::now();
    if own > 0 {
        // To each its own.
        let mut next = 0;
        let (pace, until) =
            (crate::publisher::Pace::Closed, crate::publisher::Until::Count(own as u64));
        let publisher = run.publisher(&topics, &ledger, 16, pace, until, move || {
            next += 1;
            next - 1
        })?;
        publisher.wait()?;
    } else {
        publish_some(run, &topics, &ledger, 1)?;
    }
    swarm.settle(PATIENCE);
    report.number("time until all have an update", begin.elapsed().as_secs_f64() * 1e3, "ms");
    report.number("still connected", swarm.shared.open.load(SeqCst) as f64, "");
    first.settle(PATIENCE);
    let outcome = swarm.finish();
    report.latency("delivery", &outcome.latency);
    add_swarm(&mut report, &outcome);
    add_swarm(&mut report, &first.finish());
    Ok(report)
}

/// Until a server that has just been busy is idle.
const CALM: Duration = Duration::from_millis(700);
