//! Checks of the machine, for a hub with these settings.
//!
//! What checks know of a machine comes through [`Machine`], so that tests can make machines up.

mod disk;
mod files;
mod kernel;
mod memory;
mod network;
mod place;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    ffi::CString,
    fs, io,
    num::NonZeroUsize,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use self::place::Place;
use super::report::Finding;
use crate::{config::Config, log::embedded, worker};

/// How many connections a machine is to hold if nobody says.
pub(super) const CONNECTIONS_DEFAULT: u64 = 10_000;

/// What a machine shows of itself.
trait Machine {
    /// The text of a file of the kernel's or the system's; `None`: it is not there.
    fn text(&self, path: &str) -> Option<String>;
    /// Whether workers could run on `io_uring`, or why not.
    fn io_uring(&self) -> Result<(), String>;
    /// Cores that the process may use.
    fn cores(&self) -> u64;
    /// Where this directory is, or is to be made.
    fn directory(&self, path: &Path) -> Directory;
    fn now(&self) -> SystemTime;
}

/// A place for files.
#[derive(Debug, Clone)]
struct Directory {
    /// The directory itself, or what is there of the way to it; without links.
    nearest: PathBuf,
    /// Why nothing can be written there.
    problem: Option<String>,
    /// Bytes that may still be written; `None`: the system does not say.
    free: Option<u64>,
    /// Bytes of the files in the directory.
    used: u64,
}

/// What a machine is looked at for.
struct Asked<'a> {
    config: &'a Config,
    connections: u64,
    workers: u64,
    place: Place,
}

type Check = fn(&dyn Machine, &Asked<'_>) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    kernel::version,
    kernel::io_uring,
    kernel::cpu,
    files::open_files,
    files::of_the_system,
    memory::memory,
    network::backlog,
    network::ports,
    network::buffers,
    network::conntrack,
    disk::history,
    streams::heartbeat,
    streams::clock,
];

/// All that was found about the machine that this runs on, in the order of the checks.
pub(super) fn check(config: &Config, connections: u64) -> Vec<Finding> {
    look_at(&Real, config, connections)
}

/// Huge pages and `vm.max_map_count` are not looked at: the command refuses the former for itself,
/// and maps next to nothing.
fn look_at(machine: &dyn Machine, config: &Config, connections: u64) -> Vec<Finding> {
    let workers = config.workers.count.map_or_else(|| machine.cores(), |count| count.get() as u64);
    let asked = Asked { config, connections, workers, place: Place::of(machine) };
    let mut findings: Vec<_> = asked.place.finding().into_iter().collect();
    findings.extend(CHECKS.iter().flat_map(|check| check(machine, &asked)));
    findings
}

/// The machine that this runs on.
struct Real;

impl Machine for Real {
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn io_uring(&self) -> Result<(), String> {
        worker::try_io_uring().map_err(|error| error.to_string())
    }

    fn cores(&self) -> u64 {
        thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64
    }

    fn directory(&self, path: &Path) -> Directory {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let nearest = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let nearest = fs::canonicalize(nearest).unwrap_or_else(|_| nearest.to_owned());
        let problem = match nearest.is_dir() {
            true => may_write(&nearest).err().map(|error| error.to_string()),
            false => Some("it is no directory".to_owned()),
        };
        let free = embedded::room(&nearest).ok();
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let sizes = entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
        Directory { problem, free, used: sizes.sum(), nearest }
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Whether files can be made in this directory. Nothing is made, since a hub may have it.
fn may_write(directory: &Path) -> io::Result<()> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a plain system call, which reads the text; that ends with a zero and outlives it.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
