//! The rules for Prometheus in `deploy`: well formed, about numbers that a hub shows, and each
//! fires when it should and only then.

use std::process::Command;

use crate::{
    admin::numbers,
    common::{
        hub::{Driver, Setup},
        tools::has_tools,
    },
};

const PROMTOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/promtool");
const RULES: &str = include_str!("../deploy/alerts.yml");
const TESTS: &str = include_str!("../deploy/alerts.test.yml");

/// What stands behind `key: ` on each line that has it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}: ");
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(&*key)).collect()
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    if !has_tools(&[PROMTOOL]) {
        return;
    }
    for (command, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let output = Command::new(PROMTOOL)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))
            .args([command, "rules", file])
            .output()
            .unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && told.contains("SUCCESS"), "{told}");
    }
}

#[test]
fn each_rule_is_seen_to_fire_and_not_to_fire() {
    let alerts = values(RULES, "alert");
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        let silent = format!("alertname: {alert}, exp_alerts: []}}");
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:");
        assert!(TESTS.contains(&silent) && TESTS.contains(&fires), "{alert} is not tested");
    }
}

/// A name or a label that no hub has would make a rule that never fires.
#[test]
fn the_rules_ask_for_numbers_that_a_hub_shows() {
    let hub = Setup::new(Driver::Epoll).start();
    let shown = numbers(&hub);
    let expressions = values(RULES, "expr");
    assert_eq!(expressions.len(), values(RULES, "alert").len());
    for expression in expressions {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut names = 0;
        for prefix in ["petasos_", "mercure_"] {
            for (start, _) in expression.match_indices(prefix) {
                names += 1;
                let rest = &expression[start..];
                let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
                let samples = shown.keys().filter(|key| key.split('{').next() == Some(name));
                let samples: Vec<_> = samples.collect();
                assert!(!samples.is_empty(), "{name} in {expression}");
                let selector = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
                let Some(selector) = selector else { continue };
                let (label, values) = selector.split_once('=').unwrap();
                for value in values.trim_matches(|c| "~\"".contains(c)).split('|') {
                    let wanted = format!("{label}=\"{value}\"");
                    let is_there = samples.iter().any(|sample| sample.contains(&wanted));
                    assert!(is_there, "{name} has no {wanted}: {expression}");
                }
            }
        }
        assert!(names > 0, "{expression}");
        // What it is summed by is there; the instance is what Prometheus adds.
        let by = expression.split_once("by (").and_then(|(_, rest)| rest.split(')').next());
        let labels = by.into_iter().flat_map(|by| by.split(", "));
        for label in labels.filter(|label| *label != "instance") {
            let wanted = format!("{label}=\"");
            assert!(shown.keys().any(|key| key.contains(&wanted)), "{label} in {expression}");
        }
    }
}
