//! Memory: of the machine, of the control group, against what connections take.

use super::{Asked, Finding, Machine};
use crate::config::{Transport, format_size};

/// What a connection takes, the kernel's part included: a million subscribers and their clients
/// took 10 GB on one machine (docs/performance.md), of which the hub had some 100 to 250 bytes for
/// each.
const BYTES_OF_CONNECTION: u64 = 5 << 10;
/// What a hub has without anybody.
const BYTES_OF_HUB: u64 = 64 << 20;

const GIB: u64 = 1 << 30;

/// What the control groups of this process say in a file of this name, from the process's own to
/// the outermost: the smallest counts.
pub(super) fn of_groups(
    machine: &dyn Machine,
    controller: &str,
    file: &str,
    read: impl Fn(&str) -> Option<f64>,
) -> Option<f64> {
    let groups = machine.text("/proc/self/cgroup")?;
    let mut smallest: Option<f64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mount = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            names if names.split(',').any(|name| name == controller) => {
                format!("/sys/fs/cgroup/{controller}")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            let value = machine.text(&format!("{mount}{path}/{file}")).and_then(|it| read(&it));
            smallest = match (smallest, value) {
                (Some(known), Some(value)) => Some(known.min(value)),
                (known, value) => known.or(value),
            };
            match path.rfind('/') {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
    }
    smallest
}

pub(super) fn memory(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "memory";
    let Some(total) = machine.text("/proc/meminfo").as_deref().and_then(total) else {
        return vec![Finding::skip(CHECK, "/proc/meminfo does not tell")];
    };
    let read = |text: &str| text.trim().parse().ok();
    let limit_v2 = of_groups(machine, "memory", "memory.max", read);
    let limit = limit_v2.or(of_groups(machine, "memory", "memory.limit_in_bytes", read));
    let limit = limit.map(|bytes| bytes as u64).filter(|limit| *limit < total);
    let usable = limit.unwrap_or(total);
    let whose = if limit.is_some() { "the control group's limit" } else { "the machine's memory" };
    let requests = &asked.config.requests;
    let buffers = (requests.body_budget + asked.config.streams.outbox_budget) * asked.workers;
    let history = match asked.config.log.transport {
        Transport::Memory { bytes_max, .. } => bytes_max,
        Transport::Embedded(_) | Transport::Local => 0,
    };
    let connections = asked.connections;
    let least = BYTES_OF_HUB + connections.saturating_mul(BYTES_OF_CONNECTION) + history;
    let most = least.saturating_add(buffers);
    let [usable_text, least_text, most_text] = [usable, least, most].map(rounded);
    let fixes = [
        format!("docker run --memory {}g …, or systemd unit: MemoryMax={0}G", most.div_ceil(GIB)),
        "or less at once: --max-connections N, --outbox-budget SIZE, --body-budget SIZE".to_owned(),
    ];
    vec![if usable < least {
        let text = format!(
            "{usable_text} is {whose}; {connections} connections take about {least_text}, 5 KiB \
             for each with the kernel's part: the kernel kills the hub"
        );
        Finding::fail(CHECK, text).fixed_by(fixes)
    } else if usable < most {
        let text = format!(
            "{usable_text} is {whose}; {connections} connections take about {least_text}, and with \
             many slow subscribers and large bodies at once it may become {most_text}"
        );
        Finding::warn(CHECK, text).fixed_by(fixes)
    } else {
        let text = format!(
            "{usable_text} is {whose}; {connections} connections take {least_text} to {most_text}"
        );
        Finding::ok(CHECK, text)
    }]
}

/// Bytes, in a number that people can read.
fn rounded(bytes: u64) -> String {
    let unit = if bytes < 10 * GIB { 1 << 20 } else { GIB };
    format_size(bytes.div_ceil(unit) * unit)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
