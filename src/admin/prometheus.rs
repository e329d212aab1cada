//! The numbers as Prometheus reads them (text exposition format 0.0.4).

use std::{fmt::Write, time::Duration};

use super::KeyUse;
use crate::metrics::{BOUNDS_MICROS, Metrics, Number, Problem, Refused, Worker};
use crate::{hub::Reason, log::exchange::Exchange};

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that there is to see. Names that begin with `mercure_` are those of the reference
/// hub, with the same meaning.
pub(super) fn text(
    metrics: &Metrics,
    exchange: &Exchange,
    uses: &[KeyUse],
    uptime: Duration,
) -> String {
    let mut page = Page { text: String::new(), metrics };
    page.sum("mercure_subscribers_connected", "gauge", "Subscribers now", |w| &w.subscribers);
    page.sum("mercure_subscribers_total", "counter", "Subscribers ever", |w| &w.subscribers_total);
    let log = &metrics.log;
    page.one("mercure_updates_total", "counter", "Updates that were published", log.updates.get());
    let help = "Groups in which updates were committed: each is written, and synced, once";
    page.one("petasos_groups_total", "counter", help, log.groups.get());
    let help = "Publications that could not be taken";
    page.sum("mercure_updates_failed_total", "counter", help, |w| &w.updates_failed);

    let help = "Subscribers of each worker";
    page.each("petasos_worker_subscribers", "gauge", help, |w| &w.subscribers);
    let help = "Connections of each worker that are no subscribers";
    page.each("petasos_worker_requests", "gauge", help, |w| &w.requests);
    let help = "Updates given to subscribers";
    page.each("petasos_deliveries_total", "counter", help, |w| &w.deliveries);
    let help = "Bytes sent to subscribers";
    page.each("petasos_sent_bytes_total", "counter", help, |w| &w.sent_bytes);
    let help = "Bytes that wait for slow subscribers";
    page.each("petasos_waiting_bytes", "gauge", help, |w| &w.waiting_bytes);
    page.each("petasos_replays", "gauge", "Subscribers that replay history", |w| &w.replays);
    page.each("petasos_replays_total", "counter", "Replays ever", |w| &w.replays_total);
    page.ended();
    page.refused();
    page.keys(uses);
    page.fan_out();

    page.head("petasos_queue_updates", "gauge", "Committed updates that a worker has not taken");
    page.head("petasos_queue_publications", "gauge", "Publications that the log has not taken");
    for (worker, port) in exchange.ports().iter().enumerate() {
        page.line("petasos_queue_updates", &format!("worker=\"{worker}\""), port.updates.len());
        page.line("petasos_queue_publications", &format!("worker=\"{worker}\""), port.inlet.len());
    }
    let committed = exchange.committed();
    page.head("petasos_lag_updates", "gauge", "Updates that a worker is behind");
    for (worker, port) in exchange.ports().iter().enumerate() {
        let lag = committed.0.saturating_sub(port.finished().0);
        page.line("petasos_lag_updates", &format!("worker=\"{worker}\""), lag);
    }
    page.one("petasos_tail_updates", "gauge", "Updates kept for workers", log.tail.get());
    page.one("petasos_tail_bytes", "gauge", "Bytes of these", log.tail_bytes.get());
    page.one("petasos_history_updates", "gauge", "Updates in the history", log.history.get());
    page.one("petasos_history_bytes", "gauge", "Bytes of these", log.history_bytes.get());
    let problem = log.problem();
    let failed = u64::from(matches!(problem, Some(Problem::Failed(_))));
    page.one("petasos_history_failed", "gauge", "1: the history cannot be written", failed);
    let full = u64::from(problem == Some(Problem::NoRoom));
    page.one("petasos_history_full", "gauge", "1: there is no room for more history", full);
    let ready = u64::from(metrics.obstacle().is_none());
    page.one("petasos_ready", "gauge", "1: the hub takes publications and subscriptions", ready);
    let seconds = uptime.as_secs();
    page.one("petasos_uptime_seconds", "gauge", "Time since the start", seconds);
    page.text
}

struct Page<'m> {
    text: String,
    metrics: &'m Metrics,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn sum(&mut self, name: &str, kind: &str, help: &str, of: impl Fn(&Worker) -> &Number) {
        let sum = self.metrics.workers.iter().map(|worker| of(worker).get()).sum();
        self.one(name, kind, help, sum);
    }

    fn each(&mut self, name: &str, kind: &str, help: &str, of: impl Fn(&Worker) -> &Number) {
        self.head(name, kind, help);
        let metrics = self.metrics;
        for (number, worker) in metrics.workers.iter().enumerate() {
            self.line(name, &format!("worker=\"{number}\""), of(worker).get());
        }
    }

    fn ended(&mut self) {
        let name = "petasos_ended_total";
        self.head(name, "counter", "Streams that ended, and why");
        for reason in Reason::ALL {
            let sum: u64 = self.metrics.workers.iter().map(|worker| worker.ended(reason)).sum();
            self.line(name, &format!("reason=\"{}\"", reason.name()), sum);
        }
    }

    fn refused(&mut self) {
        let name = "petasos_refused_total";
        self.head(name, "counter", "Requests that were refused, and why");
        for reason in Refused::ALL {
            let sum: u64 = self.metrics.workers.iter().map(|worker| worker.refused(reason)).sum();
            self.line(name, &format!("reason=\"{}\"", reason.name()), sum);
        }
    }

    fn keys(&mut self, uses: &[KeyUse]) {
        let name = "petasos_tokens_accepted_total";
        let help = "Requests with a token that was accepted, by the key that it is signed with";
        self.head(name, "counter", help);
        for KeyUse { issuer, role, key, accepted } in uses {
            let (issuer, key) = (escaped(issuer), escaped(key));
            let labels = format!("issuer=\"{issuer}\",role=\"{role}\",key=\"{key}\"");
            self.line(name, &labels, *accepted);
        }
    }

    fn fan_out(&mut self) {
        let name = "petasos_fan_out_seconds";
        let help =
            "From when an update was received until the last subscriber of the worker was sent it";
        self.head(name, "histogram", help);
        let metrics = self.metrics;
        for (number, worker) in metrics.workers.iter().enumerate() {
            let counts = worker.fan_out.cumulative();
            for (bound, count) in BOUNDS_MICROS.iter().zip(counts) {
                let bound = *bound as f64 / 1e6;
                let labels = format!("worker=\"{number}\",le=\"{bound}\"");
                self.line(&format!("{name}_bucket"), &labels, count);
            }
            let all = counts[counts.len() - 1];
            let labels = format!("worker=\"{number}\",le=\"+Inf\"");
            self.line(&format!("{name}_bucket"), &labels, all);
            let labels = format!("worker=\"{number}\"");
            let sum = worker.fan_out.sum().as_secs_f64();
            self.line(&format!("{name}_sum"), &labels, sum);
            self.line(&format!("{name}_count"), &labels, all);
        }
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
