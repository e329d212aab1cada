//! Kernel memory: what the slab caches hold.

use std::fs;

/// Bytes of kernel memory for objects such as sockets, on the whole machine.
pub(crate) fn bytes() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = memory
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Slab:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .next()
        .unwrap_or(0);
    kilobytes * 1024
}
