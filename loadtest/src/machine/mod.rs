//! What the kernel tells of this machine, and what is asked of it.

pub(crate) mod process;

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: the set is plain memory of the size that is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

/// Keeps the calling thread, and the threads and processes that it starts, on these cores.
pub(crate) fn pin_to(cores: &[usize]) {
    // SAFETY: the set is plain memory of the size that is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cores.iter().for_each(|&core| libc::CPU_SET(core, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Asks the scheduler to give the calling thread turns that are short and come soon. Kernels
/// before 6.12 take no notice.
pub(crate) fn ask_for_short_turns() {
    /// `struct sched_attr` of the kernel, version 0: size, policy, flags, nice, priority, and the
    /// turn's length in nanoseconds.
    #[repr(C)]
    struct Attributes(u32, u32, u64, i32, u32, u64, u64, u64);
    let attributes = Attributes(size_of::<Attributes>() as u32, 0, 0, 0, 0, 100_000, 0, 0);
    // SAFETY: the kernel reads as many bytes as the first field says.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// Nanoseconds since the machine was started: the same in all processes.
pub(crate) fn monotonic_ns() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC);
    u64::try_from(time.as_nanos()).expect("a machine runs for less than 500 years")
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of this process.
pub(crate) fn own_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of memory that can still be had.
pub(crate) fn available_memory() -> u64 {
    memory_line("MemAvailable:").unwrap_or(u64::MAX)
}

/// Bytes that a line of `/proc/meminfo` tells.
pub(crate) fn memory_line(name: &str) -> Option<u64> {
    let lines = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = lines.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Raises the limit on open files as far as it goes. Returns what one file table may hold.
pub(crate) fn raise_open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain system calls that read and write `limit`.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Gives the calling thread a file table of its own, with a limit of its own.
pub(crate) fn own_file_table() -> io::Result<()> {
    // SAFETY: nothing that this thread uses is opened or closed by others afterwards.
    check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(drop)
}

/// Turns the kernel's -1 into an error.
pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What a report says of the machine that it was made on.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = read("/proc/sys/kernel/osrelease");
    let total = memory_line("MemTotal:").unwrap_or(0);
    format!(
        "{} x {}, {:.0} GiB, Linux {}",
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        model.map_or("unknown processor", |(_, model)| model),
        total as f64 / (1_u64 << 30) as f64,
        kernel.trim()
    )
}
