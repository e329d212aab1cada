//! What a run found, for people and for programs.

use std::{collections::BTreeMap, io::Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{check::Tally, machine};

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Number {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

/// What one run of a scenario found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) server: String,
    pub(crate) machine: String,
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) deliveries: Tally,
    /// Subscribers that saw another order than others who subscribed to the same.
    pub(crate) disagreeing: u64,
    /// Why connections failed or ended, and answers other than success: how often.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn new(scenario: &str, server: &str) -> Report {
        Report {
            scenario: scenario.to_owned(),
            server: server.to_owned(),
            machine: machine::describe(),
            at: machine::unix_seconds(),
            ..Report::default()
        }
    }

    pub(crate) fn setting(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    pub(crate) fn number(&mut self, name: &str, value: f64, unit: &str) {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        self.numbers.push(Number { name, value, unit });
    }

    pub(crate) fn latency(&mut self, what: &str, latency: &Histogram<u64>) {
        if latency.is_empty() {
            return;
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let value = latency.value_at_quantile(quantile) as f64 / 1e6;
            self.number(&format!("{what} {name}"), value, "ms");
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.numbers.iter().find(|number| number.name == name).map(|number| number.value)
    }

    pub(crate) fn unit_of(&self, name: &str) -> Option<String> {
        self.numbers.iter().find(|number| number.name == name).map(|number| number.unit.clone())
    }

    /// Every subscriber got every update once, whole, and in order.
    pub(crate) fn is_exact(&self) -> bool {
        self.deliveries.is_exact() && self.disagreeing == 0
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(out, "{} · {} · {}", self.scenario, self.server, settings.join(", "))?;
        for Number { name, value, unit } in &self.numbers {
            writeln!(out, "  {name:<44} {:>14} {unit}", show(*value))?;
        }
        let Tally { received, lost, repeated, reordered, damaged, foreign } = self.deliveries;
        if self.is_exact() {
            writeln!(out, "  {received} deliveries, all of them exact")?;
        } else {
            writeln!(
                out,
                "  NOT EXACT: {received} deliveries, {lost} lost, {repeated} repeated, \
                 {reordered} reordered, {damaged} damaged, {foreign} for somebody else, \
                 {} subscribers saw another order",
                self.disagreeing
            )?;
        }
        for (reason, count) in &self.failures {
            writeln!(out, "  {count} x {reason}")?;
        }
        Ok(())
    }
}

/// Three digits that count.
pub(crate) fn show(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    let digits = match value.abs() {
        v if v >= 1000.0 || v == 0.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((&text[..], ""), |(w, f)| (w, f));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{dot}{fraction}")
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        let shown = [1_234_567.0, 999.94, 12.345, 0.26, 0.0, -4_321.0, f64::NAN].map(show);
        assert_eq!(shown, ["1,234,567", "999.9", "12.35", "0.2600", "0", "-4,321", "-"]);
    }

    #[test]
    fn the_median_of_few() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0]), 2.5);
    }
}
