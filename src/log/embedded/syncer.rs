//! Syncs the history at intervals, where publishers do not wait for it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::catalog::Catalog;
use crate::log::thread::vital;

/// The thread; it ends when this is dropped.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// There is something to sync.
    dirty: AtomicBool,
    ends: AtomicBool,
}

impl Syncer {
    pub(super) fn start(catalog: Arc<Catalog>, interval: Duration) -> io::Result<Syncer> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("syncer".into())
            .spawn(move || vital(|| run(&catalog, &its, interval)))?;
        Ok(Syncer { shared, thread: Some(thread) })
    }

    /// Something was written.
    pub(super) fn written(&self) {
        if !self.shared.dirty.swap(true, Ordering::AcqRel)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in there has ended the process.
            let _ = thread.join();
        }
    }
}

fn run(catalog: &Catalog, shared: &Shared, interval: Duration) {
    let ends = || shared.ends.load(Ordering::Acquire);
    while !ends() {
        if !shared.dirty.load(Ordering::Acquire) {
            thread::park();
            continue;
        }
        let due = Instant::now() + interval;
        while Instant::now() < due && !ends() {
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        shared.dirty.store(false, Ordering::Release);
        if let Err(error) = catalog.sync() {
            return catalog.fail(error);
        }
        // The log may mark what was synced.
        catalog.wake_log();
    }
}
