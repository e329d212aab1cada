//! The latest updates, kept in memory: bounded by number and bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, RwLock, RwLockReadGuard},
};

use super::history::{Chunk, ReadBudget, Unreadable};
use crate::protocol::{
    frame::Form,
    matcher::Interest,
    update::{Position, Update},
};

/// How much is kept; 0 = no limit.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub updates: usize,
    pub bytes: usize,
}

impl Retention {
    /// No history: the `local` transport. No id is known.
    pub const NOTHING: Retention = Retention { updates: 0, bytes: 1 };
}

/// The latest updates. Clones share them.
#[derive(Clone)]
pub(super) struct Kept {
    // Only the log's thread and readers take this lock, for a few microseconds each: workers never.
    list: Arc<RwLock<List>>,
    retention: Retention,
}

#[derive(Default)]
struct List {
    /// Consecutive.
    updates: VecDeque<Arc<Update>>,
    bytes: usize,
    /// The last committed update, even if it is not kept.
    last: Position,
}

impl List {
    /// The position before the first update that is kept.
    fn start(&self) -> Position {
        Position(self.last.0 - self.updates.len() as u64)
    }

    fn exceeds(&self, Retention { updates, bytes }: Retention) -> bool {
        (updates > 0 && self.updates.len() > updates) || (bytes > 0 && self.bytes > bytes)
    }
}

impl Kept {
    /// Nothing, until the update after `last` is appended.
    pub(super) fn new(retention: Retention, last: Position) -> Self {
        Kept { list: Arc::new(RwLock::new(List { last, ..List::default() })), retention }
    }

    fn list(&self) -> RwLockReadGuard<'_, List> {
        self.list.read().expect("nothing panics while it holds the lock")
    }

    /// The position before the first update that is kept.
    pub(super) fn start(&self) -> Position {
        self.list().start()
    }

    /// The last update, even if it is not kept.
    pub(super) fn last(&self) -> Position {
        self.list().last
    }

    pub(super) fn get(&self, position: Position) -> Option<Arc<Update>> {
        let list = self.list();
        let index = position.0.checked_sub(list.start().0 + 1)?;
        list.updates.get(usize::try_from(index).ok()?).cloned()
    }

    /// How much is kept: updates and their bytes.
    pub(super) fn len(&self) -> (usize, usize) {
        let list = self.list();
        (list.updates.len(), list.bytes)
    }

    /// Adds the next updates. Returns those that are not kept any more.
    pub(super) fn append(&self, updates: &[Arc<Update>]) -> Vec<Arc<Update>> {
        let mut list = self.list.write().expect("nothing panics while it holds the lock");
        for update in updates {
            list.last = update.position;
            list.bytes += update.footprint();
            list.updates.push_back(Arc::clone(update));
        }
        let mut removed = Vec::new();
        while list.exceeds(self.retention)
            && let Some(update) = list.updates.pop_front()
        {
            list.bytes -= update.footprint();
            removed.push(update);
        }
        removed
    }

    /// As [`History::read`](super::history::History::read).
    pub(super) fn read(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        budget: ReadBudget,
    ) -> Result<Chunk, Unreadable> {
        /// Updates that are taken while the lock is held.
        const UNDER_LOCK: usize = 256;
        let mut chunk = Chunk { through: after, ..Chunk::default() };
        let mut looked_at = 0;
        while chunk.events.len() < budget.bytes && looked_at < budget.updates {
            let list = self.list();
            if chunk.through < list.start() {
                return Err(Unreadable::Overtaken);
            }
            let index = (chunk.through.0 - list.start().0) as usize;
            if index >= list.updates.len() {
                break;
            }
            let end = list.updates.len().min(index + UNDER_LOCK);
            // A thousand patterns take their time: the log must not wait for that.
            let piece: Vec<_> = list.updates.range(index..end).cloned().collect();
            drop(list);
            for update in piece {
                chunk.through = update.position;
                looked_at += 1;
                if interest.selects(&update) {
                    chunk.events.push(update.position, update.frame.bytes(form));
                    if chunk.events.len() >= budget.bytes {
                        break;
                    }
                }
            }
        }
        Ok(chunk)
    }
}
