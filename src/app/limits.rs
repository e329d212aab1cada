//! The limit on open files: raised as far as it goes, and explained where that is not far.

#[cfg(feature = "command")]
use crate::worker::Settings;

#[cfg(feature = "command")]
/// Below this, people will soon ask why no more subscribers get in.
const FEW_OPEN_FILES: u64 = 65_536;

/// How many open files the soft limit allows.
pub(super) fn open_files() -> u64 {
    limit().rlim_cur
}

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a plain system call that writes `limit`.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => limit,
        _ => libc::rlimit { rlim_cur: 1024, rlim_max: 1024 },
    }
}

/// Raises the soft limit on open files to the hard one. Returns what it is now.
#[cfg(feature = "command")]
pub fn raise_open_files() -> u64 {
    let limit = limit();
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: a plain system call that reads `raised`.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

#[cfg(feature = "command")]
/// Keeps the kernel from backing the heap with huge pages: a table that is used here and there
/// would hold twice the memory.
pub(super) fn refuse_huge_pages() {
    // SAFETY: a plain system call. Kernels without huge pages refuse it, which is as good.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(feature = "command")]
/// Tells the operator what to do about a low limit.
pub(super) fn advise(open_files: u64, settings: &Settings) {
    if open_files < FEW_OPEN_FILES {
        let tables = if settings.own_file_tables { "each worker" } else { "the process" };
        tracing::warn!(
            open_files,
            subscribers_of_a_worker = settings.subscribers_max,
            "the limit on open files is low: {tables} may have {open_files}. Raise it with \
             LimitNOFILE=1048576 in the systemd unit, --ulimit nofile=1048576 for Docker, or \
             `* hard nofile 1048576` in /etc/security/limits.conf"
        );
    }
}
