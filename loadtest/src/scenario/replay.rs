//! A storm of reconnections: everybody was away, and wants what it missed.

use std::{
    io,
    sync::Arc,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use super::{PATIENCE, Run, add_swarm, publish_some, wait};
use crate::{
    check::Ledger,
    options::{Replay, Scenario},
    publisher::{Pace, Publisher, Until},
    report::Report,
    swarm::{self, Seat, Swarm},
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Replay) -> io::Result<Report> {
    run.require_mercure("replay")?;
    let mut report = run.report(&Scenario::Replay(options.clone()));
    // Topic 1 is published to all the time, and nobody subscribes to it.
    let topics = Arc::new(Topics::new(2, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    let plan = run.swarm_plan(options.subscribers, &topics, &ledger, |_| Seat::on(0));
    let swarm = Swarm::start(swarm::Plan { resumes: true, ..plan })?;
    swarm.wait_until_open()?;
    // Everybody has an id to come back with.
    publish_some(run, &topics, &ledger, 1)?;
    swarm.settle(PATIENCE);

    swarm.stay_away(true);
    swarm.wait_until_closed()?;
    publish_some(run, &topics, &ledger, options.missed)?;
    let alone = background(run, &topics, &ledger, options.rate)?;
    wait(Duration::from_secs_f64(run.load.seconds), "publishing without replays");
    let alone = alone.stop()?;

    let beside = background(run, &topics, &ledger, options.rate)?;
    let (before, begin) = (run.usage()?, Instant::now());
    let received = swarm.shared.received.load(SeqCst);
    swarm.stay_away(false);
    wait_for_all(&swarm, received + options.missed * options.subscribers as u64);
    let elapsed = begin.elapsed();
    let used = run.used_since(before)?;
    let beside = beside.stop()?;
    swarm.settle(PATIENCE);
    let replayed = (swarm.shared.received.load(SeqCst) - received) as f64;
    report.number("replayed", replayed / elapsed.as_secs_f64(), "1/s");
    run.server_number(
        &mut report,
        "CPU per replayed update",
        used.cpu_us / replayed.max(1.0),
        "us",
    );
    report.number("time until all have everything", elapsed.as_secs_f64() * 1e3, "ms");
    report.latency("acknowledgement without replays", &alone.latency);
    report.latency("acknowledgement during replays", &beside.latency);
    add_swarm(&mut report, &swarm.finish());
    Ok(report)
}

fn background(
    run: &Run<'_>,
    topics: &Arc<Topics>,
    ledger: &Arc<Ledger>,
    rate: f64,
) -> io::Result<Publisher> {
    run.publisher(topics, ledger, 4, Pace::Open(rate), Until::Stopped, || 1)
}

fn wait_for_all(swarm: &Swarm, goal: u64) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let received = swarm.shared.received.load(SeqCst);
        crate::progress::show("updates received", received, goal);
        if received != last {
            (last, since) = (received, Instant::now());
        }
        if received >= goal || since.elapsed() > PATIENCE {
            return crate::progress::clear();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
