//! How far a hub's workers are with their end. Told by the thread that ends them, seen by all.

use std::sync::atomic::{AtomicU8, Ordering};

const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const ABANDONED: u8 = 2;

/// Goes forward only. Whoever changes it rings the workers' bells afterwards.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    /// No more connections; what is under way is finished.
    pub(super) fn drain(&self) {
        self.0.fetch_max(DRAINING, Ordering::AcqRel);
    }

    /// What is under way has had its time.
    pub(super) fn abandon(&self) {
        self.0.fetch_max(ABANDONED, Ordering::AcqRel);
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.load(Ordering::Acquire) == RUNNING
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }
}
