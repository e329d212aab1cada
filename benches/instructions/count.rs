//! Counting with callgrind.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::cases::Case;

/// The word that makes this program run one case instead of counting.
pub(super) const RUN: &str = "--run-case";

/// Instructions of each case, once.
pub(super) type Counts = BTreeMap<String, u64>;

/// Counts all cases, on all cores.
pub(super) fn all(cases: &[Case]) -> Result<Counts, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let count_some = || -> Result<Vec<_>, String> {
        let mut counts = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            counts.push((case.name.to_owned(), once(case)?));
        }
        Ok(counts)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(count_some)).collect();
        let mut counts = Counts::new();
        for thread in threads {
            counts.extend(thread.join().map_err(|_| "counting failed")??);
        }
        Ok(counts)
    })
}

/// What a case takes once. Preparing takes as much however often it runs: so the difference of two
/// runs is what the runs take.
fn once(case: &Case) -> Result<u64, String> {
    let (few, many) = (in_all(case, case.times)?, in_all(case, 2 * case.times)?);
    Ok(many.saturating_sub(few) / case.times)
}

fn in_all(case: &Case, times: u64) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([RUN, case.name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}; install it (Debian: valgrind)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // `==1234== Collected : 5678`
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("{}: valgrind says:\n{said}", case.name))
}
