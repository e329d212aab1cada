//! Where the history lies: whether it can be written, is kept, and has room.

use std::path::Path;

use super::{Asked, Directory, Finding, Machine, place::Place};
use crate::config::{Transport, format_size};

/// The disk holds up to two segments more than `max_bytes` (docs/history.md).
const SEGMENTS_MORE: u64 = 2 * (64 << 20);
/// With less, the first segments of a young history have no room.
const ROOM_MIN: u64 = 16 << 20;

const CHECK: &str = "history";

pub(super) fn history(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    let embedded = match &asked.config.log.transport {
        Transport::Embedded(embedded) => embedded,
        Transport::Memory { .. } | Transport::Local => {
            let text = "not on disk with these settings: a restart loses it";
            return vec![Finding::ok(CHECK, text)];
        }
    };
    let directory = machine.directory(&embedded.directory);
    let path = embedded.directory.display();
    let nearest = directory.nearest.display();
    if let Some(problem) = &directory.problem {
        let text = format!("{path} cannot be written by this user: {nearest}: {problem}");
        return vec![
            Finding::fail(CHECK, text).fixed_by([
                format!("sudo chown -R USER {nearest}, with the user that the hub runs as"),
                "--data-dir DIR, a directory of that user".to_owned(),
                "systemd unit: StateDirectory=petasos and Environment=\
             PETASOS_DATA_DIR=/var/lib/petasos"
                    .to_owned(),
            ]),
        ];
    }
    let mut findings = vec![file_system(machine, asked, &directory)];
    findings.extend(room(&directory, embedded.bytes_max.map(|max| max.get())));
    findings
}

fn file_system(machine: &dyn Machine, asked: &Asked<'_>, directory: &Directory) -> Finding {
    let nearest = directory.nearest.display();
    let mounts = machine.text("/proc/self/mountinfo").unwrap_or_default();
    let Some(kind) = kind_of(&mounts, &directory.nearest) else {
        return Finding::ok(CHECK, format!("{nearest} can be written"));
    };
    let text = format!("{nearest} can be written, on {kind}");
    let warning = match kind.as_str() {
        "tmpfs" | "ramfs" => "that is memory: the history is lost when the machine restarts",
        "overlay" | "aufs" | "fuse-overlayfs" => {
            "that is a layer of the container: the history is lost with it"
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "glusterfs" | "afs" => {
            "that is on the network: durability and the lock against a second hub are only as \
             good as the server's"
        }
        kind if kind.starts_with("fuse.") => {
            "that is a file system of a program's: durability is only as good as the program's"
        }
        _ => return Finding::ok(CHECK, text),
    };
    let fix = match asked.place {
        Place::Container => "a volume: docker run -v petasos-data:/data … --data-dir /data",
        Place::Host => "--data-dir DIR on a disk of this machine, like /var/lib/petasos",
    };
    Finding::warn(CHECK, format!("{text}; {warning}")).fixed_by([fix])
}

fn room(directory: &Directory, bytes_max: Option<u64>) -> Option<Finding> {
    const CHECK: &str = "room for history";
    let free = directory.free?;
    let (free_text, nearest) = (format_size(free >> 20 << 20), directory.nearest.display());
    let fixes = |max: u64| {
        let size = format_size((max >> 20).max(1) << 20);
        let flag = format!("--transport 'embedded://?max_bytes={size}'");
        [flag, "--data-dir DIR on a larger disk".to_owned()]
    };
    let left = free.saturating_add(directory.used).saturating_sub(SEGMENTS_MORE);
    if free < ROOM_MIN && directory.used == 0 {
        let text = format!("{free_text} are free in {nearest}: the hub cannot keep anything");
        return Some(Finding::fail(CHECK, text).fixed_by(fixes(left)));
    }
    let Some(max) = bytes_max else {
        let text = format!(
            "{free_text} are free in {nearest}, and max_bytes 0 sets no limit: when the disk is \
             full, publishers get 503"
        );
        return Some(Finding::warn(CHECK, text).fixed_by(fixes(left)));
    };
    if left < max {
        let text = format!(
            "{free_text} are free in {nearest}, but max_bytes is {}: before that is reached the \
             disk is full, and publishers get 503",
            format_size(max)
        );
        return Some(Finding::warn(CHECK, text).fixed_by(fixes(left)));
    }
    Some(Finding::ok(CHECK, format!("{free_text} are free, max_bytes is {}", format_size(max))))
}

/// The file system that a path is on. A line: id, parent, device, root, mount point, options, and
/// behind ` - ` what it is. The last one with the longest mount point counts.
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        Some((point, kind.split(' ').next()?))
    });
    let on_the_way = mounted.filter(|(point, _)| path.starts_with(point));
    on_the_way.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}
