//! What the log, the keeper and readers share: which segments there are, and what is retained.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Sizes,
    disk::Disk,
    index::IdHasher,
    segment::{Extent, Segment},
};
use crate::protocol::{time::UnixTime, update::Position};

/// How much is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Updates; `None`: no limit by number.
    pub updates_max: Option<u64>,
    /// Bytes of their records; `None`: no limit by size.
    pub bytes_max: Option<u64>,
    /// `None`: no limit by age.
    pub age_max: Option<Duration>,
}

/// The shared state of a history.
pub(super) struct Catalog {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) history: [u8; 16],
    pub(super) hasher: IdHasher,
    pub(super) retention: Retention,
    pub(super) sizes: Sizes,
    /// Consecutive, the oldest first; the last is the one that is written. Never empty. Only the
    /// log's thread, readers and the keeper take these locks, for moments: workers never.
    segments: RwLock<VecDeque<Arc<Segment>>>,
    committed: AtomicU64,
    /// Everything up to here was synced.
    synced: AtomicU64,
    /// Nothing up to here is retained, for its age or its bytes; readers and the keeper move it.
    floor: AtomicU64,
    /// Why nothing more can be written.
    failure: Mutex<Option<io::Error>>,
    /// Wakes the log.
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// A piece of a segment.
pub(super) struct Piece {
    pub(super) segment: Arc<Segment>,
    pub(super) extent: Extent,
}

impl Catalog {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        history: [u8; 16],
        hasher: IdHasher,
        retention: Retention,
        sizes: Sizes,
        segments: VecDeque<Arc<Segment>>,
        committed: Position,
    ) -> Catalog {
        let before = segments.front().map_or(committed.0, |first| first.first.0 - 1);
        Catalog {
            disk,
            history,
            hasher,
            retention,
            sizes,
            segments: RwLock::new(segments),
            committed: AtomicU64::new(committed.0),
            synced: AtomicU64::new(committed.0),
            floor: AtomicU64::new(before),
            failure: Mutex::new(None),
            waker: OnceLock::new(),
        }
    }

    /// The position of the last committed update.
    pub(super) fn committed(&self) -> Position {
        Position(self.committed.load(Ordering::Acquire))
    }

    /// The log: shows committed updates to readers.
    pub(super) fn set_committed(&self, position: Position) {
        self.committed.store(position.0, Ordering::Release);
    }

    /// Everything up to here was synced.
    pub(super) fn synced(&self) -> Position {
        Position(self.synced.load(Ordering::Acquire))
    }

    pub(super) fn set_synced(&self, position: Position) {
        self.synced.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Syncs all that was written, and not synced for good. After an error nothing may be written.
    pub(super) fn sync(&self) -> io::Result<()> {
        let committed = self.committed();
        for segment in self.segments() {
            if !segment.is_sealed() {
                segment.file()?.sync()?;
            }
        }
        self.set_synced(committed);
        Ok(())
    }

    /// How much is retained, without a look at the disk: updates and their bytes.
    pub(super) fn retained(&self) -> (u64, u64) {
        let start = self.known_start();
        let bytes = self.look(|segments| {
            let index = segments.partition_point(|segment| segment.first <= start.next());
            let first = segments.get(index.saturating_sub(1))?;
            let last = segments.back()?;
            Some(last.begin + last.extent().end - first.begin)
        });
        let bytes = bytes.unwrap_or(0).min(self.retention.bytes_max.unwrap_or(u64::MAX));
        (self.committed().0 - start.0, bytes)
    }

    /// Nothing more may be written.
    pub(super) fn fail(&self, error: io::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.wake_log();
    }

    /// Why nothing more may be written, if a thread beside the log's found out; told once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What [`Catalog::wake_log`] does.
    pub(super) fn set_waker(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(wake));
    }

    pub(super) fn wake_log(&self) {
        if let Some(wake) = self.waker.get() {
            wake();
        }
    }

    /// All segments, the oldest first.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.look(|segments| segments.iter().cloned().collect())
    }

    /// The log: from now on the next segment is written.
    pub(super) fn push(&self, segment: Arc<Segment>) {
        self.segments.write().expect("nothing panics while it holds the lock").push_back(segment);
    }

    /// The keeper: the oldest segment is to be deleted.
    pub(super) fn pop(&self) {
        self.segments.write().expect("nothing panics while it holds the lock").pop_front();
    }

    fn look<T>(&self, look: impl FnOnce(&VecDeque<Arc<Segment>>) -> T) -> T {
        look(&self.segments.read().expect("nothing panics while it holds the lock"))
    }

    /// The segment that holds the update at `position`, which is committed; `None` if it was
    /// deleted.
    pub(super) fn segment_of(&self, position: Position) -> Option<Piece> {
        let segment = self.look(|segments| {
            let index = segments.partition_point(|segment| segment.first <= position);
            segments.get(index.checked_sub(1)?).cloned()
        })?;
        let extent = segment.extent();
        (position <= extent.last).then_some(Piece { segment, extent })
    }

    /// The position before the first update that is retained. Reads the disk: not for the log.
    pub(super) fn start(&self) -> io::Result<Position> {
        let by_bytes = self.start_by_bytes()?;
        Ok(self.raise_floor(by_bytes).max(self.start_by_count()))
    }

    /// The position before the first update that is retained, as far as is known without a look at
    /// the disk.
    pub(super) fn known_start(&self) -> Position {
        Position(self.floor.load(Ordering::Acquire)).max(self.start_by_count())
    }

    /// Nothing up to `position` is retained any more. Returns the floor.
    pub(super) fn raise_floor(&self, position: Position) -> Position {
        let before = self.floor.fetch_max(position.0, Ordering::AcqRel);
        Position(before).max(position)
    }

    fn start_by_count(&self) -> Position {
        let max = self.retention.updates_max.unwrap_or(u64::MAX);
        Position(self.committed().0.saturating_sub(max))
    }

    /// The position before the first update such that it and all later ones have no more bytes
    /// than are retained; to within the few kilobytes that an index entry stands for.
    fn start_by_bytes(&self) -> io::Result<Position> {
        let Some(max) = self.retention.bytes_max else { return Ok(Position::START) };
        let (head, limit) = {
            let found = self.look(|segments| {
                let newest = segments.back()?;
                let limit = (newest.begin + newest.extent().end).checked_sub(max)?;
                let index = segments.partition_point(|segment| segment.begin <= limit);
                Some((Arc::clone(segments.get(index.checked_sub(1)?)?), limit))
            });
            match found {
                Some(found) => found,
                None => return Ok(Position::START),
            }
        };
        let known = self.known_start();
        if head.extent().last <= known {
            return Ok(known);
        }
        Ok(match head.place_after(limit - head.begin)? {
            Some(entry) => Position(head.first.0 + u64::from(entry.record) - 1),
            None => head.extent().last,
        })
    }

    /// The position before the first update that is younger than `limit`, among those of the
    /// oldest segment that has any.
    pub(super) fn start_by_age(&self, limit: UnixTime) -> io::Result<Position> {
        let head = self.look(|segments| {
            let is_old = |segment: &&Arc<Segment>| segment.extent().newest < limit;
            segments.iter().find(|segment| !is_old(segment)).cloned()
        });
        let Some(head) = head else { return Ok(self.committed()) };
        // Updates are published nearly in the order of their positions.
        let offsets: Vec<u32> =
            head.with_places(|places| places.0.iter().map(|entry| entry.offset).collect())?;
        let (mut low, mut high) = (0, offsets.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.first_at(&head, offsets[middle])? {
                Some(record) if record.1 < limit => low = middle + 1,
                _ => high = middle,
            }
        }
        let Some(offset) = low.checked_sub(1).map(|index| offsets[index]) else {
            return Ok(Position(head.first.0 - 1));
        };
        let mut start = Position(head.first.0 - 1);
        let last = head.extent().last;
        super::reader::walk(&head, u64::from(offset), last, &mut Vec::new(), |record| {
            let is_old = record.published < limit;
            if is_old {
                start = record.position;
            }
            is_old
        })?;
        Ok(start)
    }

    fn first_at(&self, segment: &Segment, offset: u32) -> io::Result<Option<(Position, UnixTime)>> {
        let mut first = None;
        let last = segment.extent().last;
        super::reader::walk(segment, u64::from(offset), last, &mut Vec::new(), |record| {
            first = Some((record.position, record.published));
            false
        })?;
        Ok(first)
    }
}
