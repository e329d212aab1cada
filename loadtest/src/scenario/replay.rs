//! A storm of reconnections: everybody was away, and wants what it missed.

use std::{
    io,
    sync::Arc,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{PATIENCE, Run, add_swarm, publish_some, wait};
use crate::{
    cat,
    check::Ledger,
    options::{Replay, Scenario},
    publisher::{self, Pace, Publisher, Until},
    report::Report,
    swarm::{self, Seat, Swarm},
    topics::Topics,
};

/// Connections that publish what is missed: a hub that syncs each group takes many at once.
const PUBLISHERS: usize = 64;
/// Bytes of each update that buries what was missed.
const BURYING_LEN: usize = 64 * 1024;

pub(super) fn run(run: &Run<'_>, options: &Replay) -> io::Result<Report> {
    run.require_mercure("replay")?;
    let mut report = run.report(&Scenario::Replay(options.clone()));
    // Topic 1 is published to all the time, and topic 2 what buries; nobody subscribes to them.
    let topics = Arc::new(Topics::new(3, PUBLISHERS));
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
    bury(run, &topics, &ledger, options.bury)?;
    let alone = background(run, &topics, &ledger, options.rate)?;
    wait(Duration::from_secs_f64(run.load.seconds), "publishing without replays");
    let alone = alone.stop()?;

    let beside = background(run, &topics, &ledger, options.rate)?;
    let (before, begin) = (run.usage()?, Instant::now());
    let received = swarm.shared.received.load(SeqCst);
    let bytes = swarm.shared.bytes.load(SeqCst);
    swarm.stay_away(false);
    wait_for_all(&swarm, received + options.missed * options.subscribers as u64);
    let elapsed = begin.elapsed();
    let used = run.used_since(before)?;
    let beside = beside.stop()?;
    swarm.settle(PATIENCE);
    let replayed = (swarm.shared.received.load(SeqCst) - received) as f64;
    let bytes = (swarm.shared.bytes.load(SeqCst) - bytes) as f64;
    let seconds = elapsed.as_secs_f64();
    report.number("replayed", replayed / seconds, "1/s");
    report.number("bytes replayed", bytes / 1e6 / seconds, "MB/s");
    let each = used.cpu_us / replayed.max(1.0);
    run.server_number(&mut report, "CPU per replayed update", each, "us");
    report.number("time until all have everything", elapsed.as_secs_f64() * 1e3, "ms");
    report.latency("acknowledgement without replays", &alone.latency);
    report.latency("acknowledgement during replays", &beside.latency);
    let p99 = |latency: &Histogram<u64>| latency.value_at_quantile(0.99) as f64;
    let ratio = p99(&beside.latency) / p99(&alone.latency);
    report.number("p99 during replays, to without", ratio, "x");
    add_swarm(&mut report, &swarm.finish());
    if let (true, Some(server)) = (options.cat, run.server) {
        let each = (bytes / options.subscribers.max(1) as f64) as usize;
        let bare = cat::measure(server, &options.folder, options.subscribers, each)?;
        let rate = bytes / bare.elapsed.as_secs_f64() / 1e6;
        report.number("bytes of the bare server", rate, "MB/s");
        report.number("bytes replayed, to the bare server", bytes / 1e6 / seconds / rate, "x");
        let cpu = used.cpu_us / 1e6 / bare.cpu.as_secs_f64();
        report.number("CPU, to the bare server", cpu, "x");
    }
    Ok(report)
}

/// Publishes so many bytes, in updates so large that few of them do.
fn bury(run: &Run<'_>, topics: &Arc<Topics>, ledger: &Arc<Ledger>, bytes: usize) -> io::Result<()> {
    let count = bytes.div_ceil(BURYING_LEN) as u64;
    let (pace, until) = (Pace::Closed, Until::Count(count));
    let plan = run.publisher_plan(topics, ledger, PUBLISHERS, pace, until, || 2);
    Publisher::start(publisher::Plan { data_len: BURYING_LEN, ..plan })?.wait().map(drop)
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
