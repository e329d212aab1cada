//! Open files: each connection is one.

use super::{
    Asked, Finding, Machine,
    kernel::number,
    place::{Place, Scope},
};
use crate::config::FileTables;

/// Below this, people will soon ask why no more subscribers get in.
const FEW_OPEN_FILES: u64 = 65_536;
/// What is recommended, if no more are needed: what most kernels allow a process.
const MANY_OPEN_FILES: u64 = 1 << 20;
/// With so many, all workers share one table.
const PLENTY_OPEN_FILES: u64 = 1_000_000;
/// What is open besides connections.
const OTHER_FILES: u64 = 64;
const FILES_OF_WORKER: u64 = 16;

/// The soft and the hard limit of this process.
fn limits(machine: &dyn Machine) -> Option<(u64, u64)> {
    let text = machine.text("/proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut values = line.split_whitespace().map(|value| match value {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    });
    Some((values.next()??, values.next()??))
}

/// How many files one table has to hold for so many connections: a tenth of a table is kept for
/// requests.
fn needed(asked: &Asked<'_>, tables: u64) -> u64 {
    let connections = asked.connections.div_ceil(tables);
    connections + connections / 9 + 2 + OTHER_FILES + FILES_OF_WORKER * asked.workers
}

pub(super) fn open_files(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "open files";
    let Some((soft, hard)) = limits(machine) else {
        return vec![Finding::skip(CHECK, "/proc/self/limits does not tell")];
    };
    let is_own = match asked.config.workers.file_tables {
        FileTables::Auto => asked.workers > 1 && hard < PLENTY_OPEN_FILES,
        FileTables::Shared => false,
        FileTables::Worker => true,
    };
    let tables = if is_own { asked.workers } else { 1 };
    let (needed, connections) = (needed(asked, tables), asked.connections);
    let whose = if is_own { "each worker's own table" } else { "the process" };
    let recommended = needed.max(MANY_OPEN_FILES);
    let fixes = match asked.place {
        Place::Host => [
            format!("systemd unit: LimitNOFILE={recommended}"),
            format!("echo '* hard nofile {recommended}' | sudo tee -a /etc/security/limits.conf"),
        ],
        Place::Container => [
            format!("docker run --ulimit nofile={recommended}:{recommended} …"),
            format!("compose.yaml: ulimits: {{ nofile: {recommended} }}"),
        ],
    };
    let mut findings = vec![if hard < needed {
        let text = format!(
            "the hard limit is {hard}; {connections} connections need {needed} in {whose}, since \
             each is an open file: others are told to come back later"
        );
        Finding::fail(CHECK, text).fixed_by(fixes)
    } else if hard < FEW_OPEN_FILES {
        let text = format!(
            "the hard limit is {hard}, enough for {connections} connections ({needed} in {whose}), \
             but not for many more"
        );
        Finding::warn(CHECK, text).fixed_by(fixes)
    } else {
        let text = format!(
            "soft limit {soft}, hard limit {hard} (the hub raises the soft one by itself); \
             {connections} connections need {needed} in {whose}"
        );
        Finding::ok(CHECK, text)
    }];
    findings.extend(number(machine, "/proc/sys/fs/nr_open").map(|nr_open| {
        let text = format!("{nr_open}: no limit on open files can be higher");
        match nr_open < needed {
            false => Finding::ok("fs.nr_open", text),
            true => {
                let text = format!("{text}, and {connections} connections need {needed}");
                let sysctl = asked.place.sysctl(Scope::Machine, "fs.nr_open", &more(needed));
                Finding::fail("fs.nr_open", text).fixed_by(sysctl)
            }
        }
    }));
    findings
}

pub(super) fn of_the_system(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "fs.file-max";
    let Some(max) = number(machine, "/proc/sys/fs/file-max") else { return vec![] };
    let allocated = machine.text("/proc/sys/fs/file-nr").unwrap_or_default();
    let allocated = allocated.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0);
    let needed = allocated + needed(asked, 1);
    if max < needed {
        let text = format!(
            "{max} files for the whole system, of which {allocated} are open; {} connections make \
             it {needed}",
            asked.connections
        );
        let sysctl = asked.place.sysctl(Scope::Machine, CHECK, &more(needed));
        return vec![Finding::fail(CHECK, text).fixed_by(sysctl)];
    }
    vec![Finding::ok(CHECK, format!("{max} files for the whole system, {allocated} open"))]
}

/// A round number that is enough.
fn more(needed: u64) -> String {
    needed.next_power_of_two().max(MANY_OPEN_FILES).to_string()
}
