//! Scenarios: what is done to a server, and what is measured meanwhile.

mod churn;
mod durable;
mod fanout;
mod hold;
mod mixed;
mod private;
mod publish;
mod replay;
mod slow;
mod topics;

use std::{
    io,
    sync::{Arc, atomic::Ordering::SeqCst},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    check::Ledger,
    machine::{self, process::Server},
    options::{Load, Scenario},
    progress, publisher,
    publisher::{Pace, Publisher, Until},
    report::Report,
    swarm::{self, Seat, Swarm},
    target::Target,
    topics::Topics,
};

/// A server, and how hard it is driven.
pub(crate) struct Run<'a> {
    pub(crate) target: &'a Target,
    pub(crate) server: Option<&'a Server>,
    pub(crate) load: &'a Load,
}

/// Runs a scenario once.
pub(crate) fn run(scenario: &Scenario, run: &Run<'_>) -> io::Result<Report> {
    progress::say(&format!("{} of {}", scenario.name(), run.target));
    let report = match scenario {
        Scenario::Hold(options) => hold::run(run, options),
        Scenario::Fanout(options) => fanout::run(run, options),
        Scenario::Topics(options) => topics::run(run, options),
        Scenario::Mixed(options) => mixed::run(run, options),
        Scenario::Private(options) => private::run(run, options),
        Scenario::Replay(options) => replay::run(run, options),
        Scenario::Churn(options) => churn::run(run, options),
        Scenario::Publish(options) => publish::run(run, options),
        Scenario::Durable(options) => durable::run(run, options),
        Scenario::Slow(options) => slow::run(run, options),
    };
    progress::clear();
    report
}

/// How long is waited for updates that do not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server used at some moment.
#[derive(Debug, Clone, Copy)]
struct Usage {
    at: Instant,
    cpu: Duration,
    /// Of the load itself.
    own_cpu: Duration,
    memory: u64,
    slab: u64,
}

/// What the server used between two moments.
#[derive(Debug, Clone, Copy)]
struct Used {
    elapsed: Duration,
    cpu_us: f64,
    own_cpu: Duration,
    memory: f64,
    slab: f64,
}

impl Run<'_> {
    fn report(&self, scenario: &Scenario) -> Report {
        let mut report = Report::new(scenario.name(), &self.target.name);
        scenario.describe(&mut report);
        report
    }

    /// What the server uses now. Zeros where its process is not known.
    fn usage(&self) -> io::Result<Usage> {
        let Some(server) = self.server else {
            let (at, cpu, own_cpu) = (Instant::now(), Duration::ZERO, machine::own_cpu());
            return Ok(Usage { at, cpu, own_cpu, memory: 0, slab: 0 });
        };
        let slab = machine::memory_line("Slab:").unwrap_or(0);
        let memory = server.memory()?;
        let (own_cpu, at, cpu) = (machine::own_cpu(), Instant::now(), server.cpu()?);
        Ok(Usage { at, cpu, own_cpu, memory, slab })
    }

    fn used_since(&self, before: Usage) -> io::Result<Used> {
        let now = self.usage()?;
        Ok(Used {
            elapsed: now.at - before.at,
            cpu_us: (now.cpu.saturating_sub(before.cpu)).as_secs_f64() * 1e6,
            own_cpu: now.own_cpu - before.own_cpu,
            memory: now.memory as f64 - before.memory as f64,
            slab: now.slab as f64 - before.slab as f64,
        })
    }

    /// The figures that need the server's process, if it is known.
    fn server_number(&self, report: &mut Report, name: &str, value: f64, unit: &str) {
        if self.server.is_some() {
            report.number(name, value, unit);
        }
    }

    /// Subscribers that take what comes; those of other habits change the plan.
    fn swarm_plan(
        &self,
        count: usize,
        topics: &Arc<Topics>,
        ledger: &Arc<Ledger>,
        seat: impl Fn(usize) -> Seat + Send + Sync + 'static,
    ) -> swarm::Plan {
        swarm::Plan {
            target: self.target.clone(),
            count,
            topics: Arc::clone(topics),
            seat: Arc::new(seat),
            ledger: Arc::clone(ledger),
            ramp: self.load.ramp,
            resumes: false,
            token_lifetime_s: 300,
            threads: self.load.threads,
            prompt: false,
        }
    }

    fn swarm(
        &self,
        count: usize,
        topics: &Arc<Topics>,
        ledger: &Arc<Ledger>,
        seat: impl Fn(usize) -> Seat + Send + Sync + 'static,
    ) -> io::Result<Swarm> {
        Swarm::start(self.swarm_plan(count, topics, ledger, seat))
    }

    fn publisher_plan(
        &self,
        topics: &Arc<Topics>,
        ledger: &Arc<Ledger>,
        connections: usize,
        pace: Pace,
        until: Until,
        next_topic: impl FnMut() -> u32 + Send + 'static,
    ) -> publisher::Plan {
        publisher::Plan {
            target: self.target.clone(),
            topics: Arc::clone(topics),
            ledger: Arc::clone(ledger),
            connections,
            pace,
            until,
            data_len: self.load.data,
            private: false,
            next_topic: Box::new(next_topic),
        }
    }

    fn publisher(
        &self,
        topics: &Arc<Topics>,
        ledger: &Arc<Ledger>,
        connections: usize,
        pace: Pace,
        until: Until,
        next_topic: impl FnMut() -> u32 + Send + 'static,
    ) -> io::Result<Publisher> {
        Publisher::start(self.publisher_plan(topics, ledger, connections, pace, until, next_topic))
    }

    /// For scenarios that mean nothing to other servers.
    fn require_mercure(&self, scenario: &str) -> io::Result<()> {
        if self.target.is_mercure() {
            return Ok(());
        }
        Err(io::Error::other(format!("`{scenario}` needs a Mercure hub")))
    }
}

/// Publishes the count of updates to topic 0, one after the other.
fn publish_some(
    run: &Run<'_>,
    topics: &Arc<Topics>,
    ledger: &Arc<Ledger>,
    count: u64,
) -> io::Result<publisher::Outcome> {
    let connections = topics.spread();
    run.publisher(topics, ledger, connections, Pace::Closed, Until::Count(count), || 0)?.wait()
}

/// Adds what a swarm saw.
fn add_swarm(report: &mut Report, outcome: &swarm::Outcome) {
    report.deliveries += outcome.tally;
    report.disagreeing += outcome.disagreeing;
    for (reason, count) in &outcome.failures {
        *report.failures.entry(reason.clone()).or_default() += count;
    }
}

/// Adds what a publisher saw.
fn add_publisher(report: &mut Report, outcome: &publisher::Outcome) {
    let rate = outcome.acknowledged as f64 / outcome.elapsed.as_secs_f64();
    report.number("publications", rate, "1/s");
    report.latency("acknowledgement", &outcome.latency);
    for (status, count) in &outcome.refusals {
        let reason = format!("publication answered {status}, and sent again");
        *report.failures.entry(reason).or_default() += count;
    }
}

/// Measures what deliveries cost while a publisher is at work, after a moment of warming up.
fn measure(run: &Run<'_>, swarm: &Swarm, what: &str, report: &mut Report) -> io::Result<()> {
    wait(Duration::from_millis(500), "warming up");
    let window = Window::open(run, swarm)?;
    wait(Duration::from_secs_f64(run.load.seconds), what);
    window.close(run, swarm, report).map(drop)
}

/// Ends a run: everybody gets what was published, and what was seen is added.
fn conclude(publisher: Publisher, swarm: Swarm, report: &mut Report) -> io::Result<()> {
    let published = publisher.stop()?;
    swarm.settle(PATIENCE);
    let outcome = swarm.finish();
    report.latency("delivery", &outcome.latency);
    add_publisher(report, &published);
    add_swarm(report, &outcome);
    Ok(())
}

/// Waits, and shows how long still.
fn wait(time: Duration, what: &str) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let (passed, goal) = (begin.elapsed().as_secs(), time.as_secs());
        progress::show(&format!("s of {what}"), passed, goal);
        sleep((time - begin.elapsed().min(time)).min(Duration::from_millis(200)));
    }
    progress::clear();
}

/// A window of measuring in the middle of a run.
struct Window {
    before: Usage,
    received: u64,
    bytes: u64,
}

/// What a window saw.
struct Measured {
    used: Used,
    received: u64,
}

impl Window {
    fn open(run: &Run<'_>, swarm: &Swarm) -> io::Result<Window> {
        swarm.measure_from_now();
        let received = swarm.shared.received.load(SeqCst);
        let bytes = swarm.shared.bytes.load(SeqCst);
        Ok(Window { before: run.usage()?, received, bytes })
    }

    /// Adds what deliveries cost.
    fn close(self, run: &Run<'_>, swarm: &Swarm, report: &mut Report) -> io::Result<Measured> {
        let used = run.used_since(self.before)?;
        swarm.measure_until_now();
        let received = swarm.shared.received.load(SeqCst) - self.received;
        let bytes = swarm.shared.bytes.load(SeqCst) - self.bytes;
        let seconds = used.elapsed.as_secs_f64();
        let each = used.cpu_us / received.max(1) as f64;
        run.server_number(report, "CPU per delivery", each, "us");
        report.number("deliveries", received as f64 / seconds, "1/s");
        run.server_number(report, "cores busy", used.cpu_us / 1e6 / seconds, "");
        let own = used.own_cpu.as_secs_f64() / seconds;
        report.number("cores busy with the load itself", own, "");
        report.number("bytes per delivery", bytes as f64 / received.max(1) as f64, "B");
        Ok(Measured { used, received })
    }
}
