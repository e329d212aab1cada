//! Subscribers that come and go all the time, each with a token of its own that lives for 300 s,
//! and with the id of the last event that it got: as clients do that open their stream anew for
//! each channel that they join.

use std::{io, sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use super::{PATIENCE, Run, Window, conclude, publish_some, wait};
use crate::{
    check::Ledger,
    options::{Churn, Scenario},
    publisher::{Pace, Until},
    report::Report,
    swarm::{self, Seat, Swarm},
    topics::Topics,
};

pub(super) fn run(run: &Run<'_>, options: &Churn) -> io::Result<Report> {
    run.require_mercure("churn")?;
    let mut report = run.report(&Scenario::Churn(options.clone()));
    let topics = Arc::new(Topics::new(1, 1));
    let ledger = Arc::new(Ledger::new(topics.series_len()));
    let seat = |_| Seat { has_token: true, ..Seat::on(0) };
    let plan = run.swarm_plan(options.subscribers, &topics, &ledger, seat);
    let swarm = Swarm::start(swarm::Plan { resumes: true, ..plan })?;
    swarm.wait_until_open()?;
    publish_some(run, &topics, &ledger, 1)?;
    swarm.settle(PATIENCE);
    let pace = Pace::Open(options.rate);
    let publisher = run.publisher(&topics, &ledger, 1, pace, Until::Stopped, || 0)?;

    // What the publications cost alone.
    let quiet = Window::open(run, &swarm)?;
    wait(Duration::from_secs_f64(run.load.seconds / 2.0), "nobody coming or going");
    let quiet = quiet.close(run, &swarm, &mut Report::default())?;
    let each = quiet.used.cpu_us / quiet.received.max(1) as f64;

    swarm.churn(options.joins);
    wait(Duration::from_millis(500), "warming up");
    let joins = swarm.shared.joins.load(SeqCst);
    let window = Window::open(run, &swarm)?;
    wait(Duration::from_secs_f64(run.load.seconds), "coming and going");
    let joins = (swarm.shared.joins.load(SeqCst) - joins) as f64;
    let mut measured = Report::default();
    let busy = window.close(run, &swarm, &mut measured)?;
    swarm.churn(0.0);
    let cpu = busy.used.cpu_us - each * busy.received as f64;
    run.server_number(&mut report, "CPU per join (new token, last event id)", cpu / joins, "us");
    report.number("joins", joins / busy.used.elapsed.as_secs_f64(), "1/s");
    let busy = busy.used.cpu_us / 1e6 / busy.used.elapsed.as_secs_f64();
    run.server_number(&mut report, "cores busy", busy, "");
    conclude(publisher, swarm, &mut report)?;
    Ok(report)
}
