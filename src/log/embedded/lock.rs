//! One hub at a time has a history open.
//!
//! The kernel holds the lock, for as long as the process lives: it is never left behind, and no
//! number of a process has to be believed (in containers every hub has number 1).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process,
};

/// The name of its file.
pub(super) const NAME: &str = "LOCK";

/// The lock on a history, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why a history cannot be locked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Who has it, as they told.
    #[error("{0}")]
    Held(String),
}

impl Lock {
    /// Takes the lock of the history in `directory`, without waiting.
    pub(super) fn take(directory: &Path) -> Result<Lock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(directory.join(NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(1000).read_to_string(&mut holder)?;
                return Err(LockError::Held(holder.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // For people only; a full disk does not stop a start.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", me());
        Ok(Lock { _file: file })
    }
}

/// This process, as others are told of it.
fn me() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "an unknown host",
        host => host,
    };
    format!("process {} on {host}", process::id())
}
