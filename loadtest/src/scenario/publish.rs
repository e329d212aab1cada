//! Publications that nobody listens to, with more and more of them under way.

use std::{io, sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use super::{Run, wait};
use crate::{
    check::Ledger,
    options::{Publish, Scenario},
    publisher::{Pace, Until},
    report::Report,
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Publish) -> io::Result<Report> {
    let mut report = run.report(&Scenario::Publish(options.clone()));
    for &count in &options.under_way {
        let topics = Arc::new(Topics::new(1, count));
        let ledger = Arc::new(Ledger::new(topics.series_len()));
        let publisher =
            run.publisher(&topics, &ledger, count, Pace::Closed, Until::Stopped, || 0)?;
        wait(Duration::from_millis(500), "warming up");
        let (before, published) = (run.usage()?, publisher.acknowledged.load(SeqCst));
        wait(Duration::from_secs_f64(run.load.seconds), &format!("{count} under way"));
        let used = run.used_since(before)?;
        let published = (publisher.acknowledged.load(SeqCst) - published) as f64;
        let outcome = publisher.stop()?;
        let what = format!("{count} under way:");
        run.server_number(&mut report, &format!("{what} CPU"), used.cpu_us / published, "us");
        let rate = published / used.elapsed.as_secs_f64();
        report.number(&format!("{what} publications"), rate, "1/s");
        report.latency(&format!("{what} acknowledgement"), &outcome.latency);
        for (status, count) in &outcome.refusals {
            *report.failures.entry(format!("publication answered {status}")).or_default() += count;
        }
    }
    Ok(report)
}
