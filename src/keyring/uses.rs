//! How often each key is still used: who rotates keys wants to know when the old one may go.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use crate::auth::authority::{KeySource, SourceId};

/// Accepted tokens, by the key that they are signed with.
#[derive(Debug)]
pub(super) struct Uses {
    sources: Box<[KeySource]>,
    /// For each worker, which alone writes it, a number for each source.
    counts: Box<[CachePadded<Box<[AtomicU64]>>]>,
}

impl Uses {
    pub(super) fn new(sources: Vec<KeySource>, workers: usize) -> Uses {
        let of_worker = |_| CachePadded::new(sources.iter().map(|_| AtomicU64::new(0)).collect());
        Uses { counts: (0..workers).map(of_worker).collect(), sources: sources.into() }
    }

    pub(super) fn count(&self, worker: usize, source: SourceId) {
        let counts = self.counts.get(worker);
        if let Some(count) = counts.and_then(|counts| counts.get(source.0 as usize)) {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Each source, with the sum of all workers.
    pub(super) fn all(&self) -> impl Iterator<Item = (&KeySource, u64)> {
        self.sources.iter().enumerate().map(|(index, source)| {
            let counts = self.counts.iter().map(|counts| counts[index].load(Ordering::Relaxed));
            (source, counts.sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, authority::SourceKind};

    #[test]
    fn the_numbers_of_all_workers_are_added() {
        let source = |kind| KeySource { issuer: None, role: Role::Publisher, kind };
        let sources = vec![source(SourceKind::Key(1)), source(SourceKind::Previous(1))];
        let uses = Uses::new(sources.clone(), 2);
        for (worker, source) in [(0, 0), (1, 0), (1, 1), (1, 0), (2, 0), (0, 2)] {
            uses.count(worker, SourceId(source));
        }
        let told: Vec<_> = uses.all().map(|(source, count)| (source.clone(), count)).collect();
        assert_eq!(told, [(sources[0].clone(), 3), (sources[1].clone(), 1)]);
    }
}
