//! Appends to the history: the log's end of it.

use std::{io, mem, sync::Arc};

use super::{
    SyncMode,
    catalog::Catalog,
    disk::DiskFile,
    group::{self, Header},
    head,
    index::{Index, RECORD_MAX},
    keeper::{self, Keeper},
    lock::Lock,
    prepare::Prepared,
    record,
    seal::{self, Contents},
    segment::{Extent, Segment},
    syncer::Syncer,
};
use crate::{
    log::{
        history::{Store, StoreError},
        kept::Kept,
    },
    protocol::{
        time::UnixTime,
        update::{Position, Update},
    },
};

/// The writing end of a history on disk. When it is dropped everything is synced, and the threads
/// beside it end.
pub(super) struct Writer {
    catalog: Arc<Catalog>,
    recent: Kept,
    sync: SyncMode,
    active: Active,
    /// Taken before it is needed.
    next: Option<Prepared>,
    /// The mark that was written last.
    marked: Position,
    buffer: Vec<u8>,
    /// Nothing may be written any more.
    failed: bool,
    pub(super) syncer: Option<Syncer>,
    pub(super) keeper: Option<Keeper>,
    /// Let go last.
    pub(super) lock: Option<Lock>,
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Where the next group goes: behind the records, and groups that only mark.
    pub(super) offset: u64,
    pub(super) capacity: u64,
}

impl Active {
    /// Whether so many bytes fit in, and the seal, so that a full disk is met by neither.
    fn has_room_for(&self, len: u64) -> bool {
        self.offset + len + self.segment.seal_len() <= self.capacity
    }
}

impl Writer {
    pub(super) fn new(
        catalog: Arc<Catalog>,
        recent: Kept,
        sync: SyncMode,
        active: Active,
    ) -> Writer {
        Writer {
            catalog,
            recent,
            sync,
            active,
            next: None,
            marked: Position::START,
            buffer: Vec::new(),
            failed: false,
            syncer: None,
            keeper: None,
            lock: None,
        }
    }

    fn file(&self) -> io::Result<&dyn DiskFile> {
        self.active.segment.file()
    }

    fn history(&self) -> u32 {
        super::short_name(&self.catalog.history)
    }

    /// Writes a group without updates, if it has something to tell.
    fn mark(&mut self, closed: bool) -> io::Result<()> {
        let committed = self.catalog.committed();
        if self.catalog.synced() < committed || (self.marked == committed && !closed) {
            return Ok(());
        }
        // What it tells is told by the next group as well, or found out by the next start.
        if !self.active.has_room_for(group::HEADER_LEN as u64) {
            return Ok(());
        }
        let header = Header::marking(committed, closed).encode(self.history());
        self.file()?.write_all_at(&header, self.active.offset)?;
        self.active.offset += group::HEADER_LEN as u64;
        self.marked = committed;
        Ok(())
    }

    /// From now on the next segment is written.
    fn roll(&mut self, next: Prepared) {
        let Prepared { number, capacity } = next;
        let catalog = &self.catalog;
        let full = &self.active.segment;
        let begin = full.begin + full.extent().end;
        let first = catalog.committed().next();
        let end = head::LEN as u64;
        let contents = Contents { first, count: 0, end, newest: UnixTime::default() };
        let segment = Segment::open(&catalog.disk, number, begin, contents, Index::default());
        let active = Active { segment: Arc::new(segment), offset: end, capacity };
        catalog.push(Arc::clone(&active.segment));
        let full = mem::replace(&mut self.active, active).segment;
        if let Some(keeper) = &self.keeper {
            keeper.sealing(full);
        }
    }

    /// Encodes a group into the buffer.
    fn encode(&mut self, updates: &[Arc<Update>]) {
        self.buffer.clear();
        self.buffer.resize(group::HEADER_LEN, 0);
        for update in updates {
            record::encode(update, &mut self.buffer);
        }
        let len = self.buffer.len() - group::HEADER_LEN;
        let header = Header {
            first: updates[0].position,
            mark: self.catalog.synced(),
            count: updates.len() as u32,
            len: u32::try_from(len).expect("groups are limited far below 4 GiB"),
            closed: false,
        };
        self.marked = header.mark;
        let header = header.encode(self.history());
        self.buffer[..group::HEADER_LEN].copy_from_slice(&header);
    }

    fn write(&mut self, updates: &[Arc<Update>]) -> io::Result<()> {
        self.encode(updates);
        let len = self.buffer.len() as u64;
        let has_records = self.active.offset > head::LEN as u64;
        let is_full = self.active.segment.extent().last.0 + updates.len() as u64
            > self.active.segment.first.0 + u64::from(RECORD_MAX);
        // With what its updates add to the seal.
        let all = len + (2 * seal::ID_LEN * updates.len()) as u64;
        if (!self.active.has_room_for(all) || is_full) && has_records {
            let next = self.next.take().or_else(|| self.supply());
            next.into_iter().for_each(|next| self.roll(next));
        }
        self.file()?.write_all_at(&self.buffer, self.active.offset)?;
        let last = updates[updates.len() - 1].position;
        match self.sync {
            SyncMode::Always => {
                self.file()?.sync()?;
                self.catalog.set_synced(last);
            }
            SyncMode::Interval(_) | SyncMode::Off => {}
        }
        self.show(updates);
        if let Some(syncer) = &self.syncer {
            syncer.written();
        }
        Ok(())
    }

    /// Shows what was written to readers.
    fn show(&mut self, updates: &[Arc<Update>]) {
        let Active { segment, offset, .. } = &mut self.active;
        let begin = *offset;
        *offset += self.buffer.len() as u64;
        let before = segment.extent().newest;
        let newest = updates.iter().map(|update| update.published).max();
        let last = updates[updates.len() - 1].position;
        let extent = Extent { last, end: *offset, newest: newest.unwrap_or_default().max(before) };
        let (hasher, buffer) = (&self.catalog.hasher, &self.buffer);
        let first = segment.first;
        segment.extend(extent, |index| {
            let mut at = group::HEADER_LEN;
            for (i, update) in updates.iter().enumerate() {
                let record = (update.position.0 - first.0) as u32;
                let place = if i == 0 { begin } else { begin + at as u64 };
                index.places.add(record, place as u32);
                if !update.id_is_generated {
                    index.add_id(hasher.hash(update.id()), record);
                }
                at += record::len(&buffer[at..]).unwrap_or(0);
            }
        });
        self.catalog.set_committed(last);
        self.recent.append(updates);
    }

    fn supply(&self) -> Option<Prepared> {
        self.keeper.as_ref().and_then(|keeper| keeper.supply.take())
    }

    fn failing(&mut self, result: io::Result<()>) -> Result<(), StoreError> {
        self.failed |= result.is_err();
        Ok(result?)
    }

    /// Syncs everything, and says that nothing follows.
    fn close(&mut self) -> io::Result<()> {
        self.catalog.sync()?;
        self.mark(true)?;
        self.file()?.sync()
    }
}

impl Store for Writer {
    fn has_room(&mut self) -> Result<bool, StoreError> {
        if let Some(error) = self.catalog.take_failure() {
            self.failing(Err(error))?;
        }
        let has_room = self.active.has_room_for(self.catalog.sizes.group);
        if self.next.is_none() && !has_room {
            self.next = self.supply();
        }
        Ok(self.next.is_some() || has_room)
    }

    fn append(&mut self, updates: &[Arc<Update>]) -> Result<(), StoreError> {
        if updates.is_empty() {
            return Ok(());
        }
        let written = self.write(updates);
        self.failing(written)
    }

    fn waits(&self) -> bool {
        self.sync == SyncMode::Always
    }

    fn rest(&mut self) -> Result<(), StoreError> {
        let marked = self.mark(false);
        self.failing(marked)
    }

    fn retained(&self) -> (u64, u64) {
        self.catalog.retained()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.syncer.take());
        drop(self.keeper.take());
        if self.failed {
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!(%error, "the history could not be closed: the next start checks it");
        }
        // Those that are full already, for a faster start.
        let segments = self.catalog.segments();
        for segment in &segments[..segments.len() - 1] {
            if let Err(error) = keeper::seal(&self.catalog, segment) {
                tracing::error!(%error, "a segment of the history could not be sealed");
                return;
            }
        }
    }
}
