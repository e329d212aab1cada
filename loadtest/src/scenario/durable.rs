//! Publications to a hub that keeps them on a disk, by turns with what the disk does by itself.

use std::{
    io,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use super::{Run, wait};
use crate::{
    check::Ledger,
    disk::RawDisk,
    options::{Durable, Scenario},
    publisher::{Pace, Until},
    report::{Report, median},
    swarm,
    topics::Topics,
};

/// What is synced where an update is alone: a page, whatever its length.
const PAGE: usize = 4096;
/// Bytes of a record beside the data: its head, the topic, the id, and what is around the data.
const BESIDE_DATA: usize = 148;
/// How long the disk is measured in a turn.
const RAW_TIME: Duration = Duration::from_millis(500);

/// What the turns of one number of publications under way found.
#[derive(Default)]
struct Turns {
    publications: Vec<f64>,
    cpu: Vec<f64>,
    /// Updates of a group.
    group: Vec<f64>,
    raw_pages: Vec<f64>,
    raw_groups: Vec<f64>,
    /// Groups a second, to what the disk does.
    to_raw: Vec<f64>,
}

pub(super) fn run(run: &Run<'_>, options: &Durable) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Durable(options.clone()));
    let mut disk = RawDisk::new(&options.folder)?;
    for &count in &options.under_way {
        let mut turns = Turns::default();
        let mut latency = swarm::histogram();
        for _ in 0..options.turns.max(1) {
            turns.raw_pages.push(disk.rate(PAGE, RAW_TIME)?);
            let topics = Arc::new(Topics::new(1, count));
            let ledger = Arc::new(Ledger::new(topics.series_len()));
            let publisher =
                run.publisher(&topics, &ledger, count, Pace::Closed, Until::Stopped, || 0)?;
            wait(Duration::from_millis(300), "warming up");
            let (before, published) = (run.usage()?, publisher.acknowledged.load(SeqCst));
            let counted = run.target.groups()?;
            wait(Duration::from_secs_f64(run.load.seconds), &format!("{count} under way"));
            let used = run.used_since(before)?;
            let published = (publisher.acknowledged.load(SeqCst) - published) as f64;
            let counted_then = run.target.groups()?;
            let outcome = publisher.stop()?;
            latency.add(&outcome.latency).map_err(io::Error::other)?;
            let rate = published / used.elapsed.as_secs_f64();
            turns.publications.push(rate);
            turns.cpu.push(used.cpu_us / published);
            for (status, count) in &outcome.refusals {
                let reason = format!("publication answered {status}");
                *report.failures.entry(reason).or_default() += count;
            }
            let Some(((updates, groups), (updates_then, groups_then))) = counted.zip(counted_then)
            else {
                continue;
            };
            let group = (updates_then - updates) / (groups_then - groups);
            let len = (group * (run.load.data + BESIDE_DATA) as f64) as usize;
            let raw = disk.rate(len, RAW_TIME)?;
            turns.group.push(group);
            turns.raw_groups.push(raw);
            turns.to_raw.push(rate / group / raw);
        }
        turns.report(run, &format!("{count} under way:"), &mut report);
        report.latency(&format!("{count} under way: acknowledgement"), &latency);
    }
    Ok(report)
}

impl Turns {
    fn report(mut self, run: &Run<'_>, what: &str, report: &mut Report) {
        let mut number = |name: &str, values: &mut Vec<f64>, unit: &str| {
            if !values.is_empty() {
                report.number(&format!("{what} {name}"), median(values), unit);
            }
        };
        number("publications", &mut self.publications, "1/s");
        if run.server.is_some() {
            number("CPU", &mut self.cpu, "us");
        }
        number("the disk alone, 4 KiB each", &mut self.raw_pages, "1/s");
        number("updates of a group", &mut self.group, "");
        number("the disk alone, such groups", &mut self.raw_groups, "1/s");
        number("groups, to the disk alone", &mut self.to_raw, "");
    }
}
