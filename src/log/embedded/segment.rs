//! A segment: one file of consecutive updates, as readers, the log and the keeper share it.

use std::{
    io,
    sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    disk::{Disk, DiskFile},
    index::{Entry, IdHash, Index, Places},
    seal::{Contents, Seal},
    sealed::Sealed,
};
use crate::protocol::{time::UnixTime, update::Position};

/// The name of the file of a segment.
pub(super) fn name(number: u64) -> String {
    format!("{number:016}.log")
}

/// The number of the segment that a file of this name holds.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// One file of consecutive updates.
pub(super) struct Segment {
    pub(super) number: u64,
    /// The position of its first update.
    pub(super) first: Position,
    /// Bytes of all segments before it since the oldest that was there at the start.
    pub(super) begin: u64,
    disk: Arc<dyn Disk>,
    /// Opened by whoever needs it first; closed with the segment.
    file: OnceLock<Box<dyn DiskFile>>,
    state: RwLock<State>,
}

/// How far a segment reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its last committed update; the position before the first one if there is none.
    pub(super) last: Position,
    /// Where its committed records end.
    pub(super) end: u64,
    /// When its latest update was published.
    pub(super) newest: UnixTime,
}

struct State {
    extent: Extent,
    kind: Kind,
}

enum Kind {
    /// It may be written.
    Open(Index),
    Sealed(Arc<Sealed>),
}

impl Segment {
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        number: u64,
        begin: u64,
        contents: Contents,
        index: Index,
    ) -> Segment {
        let Contents { first, count, end, newest } = contents;
        let last = Position((first.0 + u64::from(count)).saturating_sub(1));
        let extent = Extent { last, end, newest };
        Segment::new(disk, number, first, begin, State { extent, kind: Kind::Open(index) })
    }

    pub(super) fn sealed(disk: &Arc<dyn Disk>, begin: u64, seal: Seal) -> Segment {
        let extent = Extent { last: seal.last(), end: seal.end, newest: seal.newest };
        let state = State { extent, kind: Kind::Sealed(Arc::new(Sealed::new(seal))) };
        Segment::new(disk, seal.number, seal.first, begin, state)
    }

    fn new(
        disk: &Arc<dyn Disk>,
        number: u64,
        first: Position,
        begin: u64,
        state: State,
    ) -> Segment {
        let (disk, file, state) = (Arc::clone(disk), OnceLock::new(), RwLock::new(state));
        Segment { number, first, begin, disk, file, state }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics while it holds the lock")
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("nothing panics while it holds the lock")
    }

    pub(super) fn name(&self) -> String {
        name(self.number)
    }

    pub(super) fn extent(&self) -> Extent {
        self.state().extent
    }

    pub(super) fn is_sealed(&self) -> bool {
        !matches!(self.state().kind, Kind::Open(_))
    }

    /// The file; opened if it is not yet.
    pub(super) fn file(&self) -> io::Result<&dyn DiskFile> {
        if let Some(file) = self.file.get() {
            return Ok(&**file);
        }
        let file = self.disk.open(&self.name())?;
        Ok(&**self.file.get_or_init(|| file))
    }

    /// The log: committed updates were added. `note` adds them to the index.
    pub(super) fn extend(&self, extent: Extent, note: impl FnOnce(&mut Index)) {
        let mut state = self.state_mut();
        state.extent = extent;
        if let Kind::Open(index) = &mut state.kind {
            note(index);
        }
    }

    /// What a seal of the segment as it is says, and what is to be appended for it; `None` if it
    /// is sealed already.
    pub(super) fn prepare_seal(&self, history: [u8; 16]) -> Option<(Seal, Vec<u8>)> {
        let state = self.state();
        let Kind::Open(index) = &state.kind else { return None };
        let Extent { last, end, newest } = state.extent;
        let count = (last.0 + 1 - self.first.0) as u32;
        let contents = Contents { first: self.first, count, end, newest };
        Some(super::seal::seal(history, self.number, contents, index))
    }

    /// Bytes that a seal of the segment as it is needs; none if it is sealed.
    pub(super) fn seal_len(&self) -> u64 {
        match &self.state().kind {
            Kind::Open(index) => super::seal::len(index),
            Kind::Sealed(_) => 0,
        }
    }

    /// From now on the index is read from the file.
    pub(super) fn set_sealed(&self, seal: Seal) {
        let mut state = self.state_mut();
        if let Kind::Open(index) = &state.kind {
            state.kind = Kind::Sealed(Arc::new(Sealed::with_ids_of(seal, index)));
        }
    }

    /// Where to read from, to find the update at `position`, which is in this segment.
    pub(super) fn place_of(&self, position: Position) -> io::Result<Option<Entry>> {
        let record = (position.0 - self.first.0) as u32;
        self.with_places(|places| places.before(record))
    }

    /// The first update of the segment that does not lie before `offset`, as far as the list of
    /// places knows.
    pub(super) fn place_after(&self, offset: u64) -> io::Result<Option<Entry>> {
        self.with_places(|places| places.at_or_after(offset))
    }

    /// The list of places.
    pub(super) fn with_places<T>(&self, look: impl FnOnce(&Places) -> T) -> io::Result<T> {
        let sealed = match &self.state().kind {
            Kind::Open(index) => return Ok(look(&index.places)),
            Kind::Sealed(sealed) => Arc::clone(sealed),
        };
        let places = sealed.places(self.file()?).map_err(|error| self.named(&error))?;
        Ok(look(places))
    }

    /// Says which file it was.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.disk.show(&self.name())))
    }

    /// Calls `look` with the number of every record whose id may have this hash, from `record` on
    /// and in order, until it returns something.
    pub(super) fn find_id<T>(
        &self,
        hash: IdHash,
        record: u32,
        mut look: impl FnMut(u32) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        /// Records that are looked at while nobody else waits.
        const AT_ONCE: usize = 64;
        let mut from = record;
        loop {
            let (records, sealed) = match &self.state().kind {
                Kind::Open(index) => (index.ids_from(hash, from, AT_ONCE), None),
                Kind::Sealed(sealed) if sealed.has_ids() => (Vec::new(), Some(Arc::clone(sealed))),
                Kind::Sealed(_) => return Ok(None),
            };
            let records = match sealed {
                None => records,
                Some(sealed) => sealed
                    .ids_from(self.file()?, hash, from, AT_ONCE)
                    .map_err(|error| self.named(&error))?,
            };
            for record in &records {
                if let Some(found) = look(*record)? {
                    return Ok(Some(found));
                }
            }
            match records.last() {
                Some(last) if records.len() == AT_ONCE => from = last + 1,
                _ => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_numbers() {
        assert_eq!(number(&name(42)), Some(42));
        for other in ["MANIFEST", "42.log", "0000000000000042.log.new", "000000000000004x.log"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
