//! A segment: one file of consecutive updates, as readers, the log and the keeper share it.

use std::{
    io,
    sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    bytes::u64_at,
    disk::{Disk, DiskFile},
    index::{Entry, IdHash, Index, Places, record_of},
    seal::{Contents, ID_LEN, Seal},
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
    Sealed(Seal),
    /// Sealed, and its list of places was needed.
    Loaded(Seal, Places),
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
        let state = State { extent, kind: Kind::Sealed(seal) };
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
            Kind::Sealed(_) | Kind::Loaded(..) => 0,
        }
    }

    /// From now on the index is read from the file.
    pub(super) fn set_sealed(&self, seal: Seal) {
        self.state_mut().kind = Kind::Sealed(seal);
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

    /// The list of places; read from the file when it is needed for the first time.
    pub(super) fn with_places<T>(&self, look: impl FnOnce(&Places) -> T) -> io::Result<T> {
        loop {
            let seal = match &self.state().kind {
                Kind::Open(index) => return Ok(look(&index.places)),
                Kind::Loaded(_, places) => return Ok(look(places)),
                Kind::Sealed(seal) => *seal,
            };
            let mut bytes = vec![0; (seal.ids_start() - seal.end) as usize];
            self.file()?.read_at(&mut bytes, seal.end)?;
            let places = seal.read_places(&bytes).ok_or_else(|| {
                let file = self.disk.show(&self.name());
                io::Error::other(format!("{file}: its list of places is damaged"))
            })?;
            self.state_mut().kind = Kind::Loaded(seal, places);
        }
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
            let seal = match &self.state().kind {
                Kind::Open(index) => Err(index
                    .ids
                    .range(hash.entries_from(from))
                    .take(AT_ONCE)
                    .map(|entry| record_of(*entry))
                    .collect::<Vec<u32>>()),
                Kind::Sealed(seal) | Kind::Loaded(seal, _) => Ok(*seal),
            };
            let records = match seal {
                Err(records) => records,
                Ok(seal) => self.sealed_ids(&seal, hash, from, AT_ONCE)?,
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

    /// Records of a sealed segment whose id has this hash, from `from` on: at most `count`.
    fn sealed_ids(
        &self,
        seal: &Seal,
        hash: IdHash,
        from: u32,
        count: usize,
    ) -> io::Result<Vec<u32>> {
        if seal.ids == 0 {
            return Ok(Vec::new());
        }
        let range = hash.entries_from(from);
        let file = self.file()?;
        let read = |first: u64, entries: &mut Vec<u64>, count: u64| -> io::Result<()> {
            let count = count.min(u64::from(seal.ids) - first);
            let mut bytes = vec![0; count as usize * ID_LEN];
            let len = file.read_at(&mut bytes, seal.ids_start() + first * ID_LEN as u64)?;
            entries.clear();
            entries.extend(bytes[..len].chunks_exact(ID_LEN).filter_map(|entry| u64_at(entry, 0)));
            Ok(())
        };
        let first = lower_bound(u64::from(seal.ids), *range.start(), read)?;
        if first == u64::from(seal.ids) {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        read(first, &mut entries, count as u64)?;
        Ok(entries
            .iter()
            .take_while(|entry| range.contains(entry))
            .map(|e| record_of(*e))
            .collect())
    }
}

/// Entries that are read at a time: a page.
const WINDOW: u64 = 512;

/// The index of the first of `len` sorted entries that is not below `wanted`. Hashes are spread
/// evenly, so the place can be guessed: one read finds it nearly always, whatever `len` is.
fn lower_bound(
    len: u64,
    wanted: u64,
    mut read: impl FnMut(u64, &mut Vec<u64>, u64) -> io::Result<()>,
) -> io::Result<u64> {
    // Everything before `low` is below, everything from `high` on is not.
    let (mut low, mut high) = (0, len);
    let mut window = Vec::new();
    let mut guess = ((u128::from(wanted) * u128::from(len)) >> 64) as u64;
    while low < high {
        let first = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
        read(first, &mut window, WINDOW.min(high - first))?;
        let (Some(&begin), Some(&end)) = (window.first(), window.last()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if wanted <= begin && first > low {
            high = first;
            // `begin` itself is not below: the answer is here or before.
            guess = low.midpoint(high);
        } else if end < wanted {
            low = first + window.len() as u64;
            guess = low.midpoint(high);
        } else {
            return Ok(first + window.partition_point(|entry| *entry < wanted) as u64);
        }
    }
    Ok(low)
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

    fn find(entries: &[u64], wanted: u64) -> (u64, usize) {
        let mut reads = 0;
        let found = lower_bound(entries.len() as u64, wanted, |first, window, count| {
            reads += 1;
            window.clear();
            window.extend(&entries[first as usize..][..count as usize]);
            Ok(())
        });
        (found.unwrap(), reads)
    }

    #[test]
    fn hashes_are_found_wherever_they_are() {
        let spread = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for len in [0, 1, 2, 511, 512, 513, 5000, 200_000] {
            let mut entries: Vec<u64> = (1..=len).map(spread).collect();
            entries.sort_unstable();
            let mut most = 0;
            for i in (1..=len).step_by((len / 500).max(1) as usize) {
                for wanted in [spread(i), spread(i) + 1, spread(i) - 1] {
                    let (found, reads) = find(&entries, wanted);
                    assert_eq!(found, entries.partition_point(|e| *e < wanted) as u64);
                    most = most.max(reads);
                }
            }
            assert!(most <= 4, "{len}: {most} reads");
        }
        // One id, again and again.
        let mut entries = vec![7 << 40; 100_000];
        entries.extend((0..1000).map(spread));
        entries.sort_unstable();
        for wanted in [0, 7 << 40, (7 << 40) + 1, u64::MAX] {
            let (found, reads) = find(&entries, wanted);
            assert_eq!(found, entries.partition_point(|e| *e < wanted) as u64);
            assert!(reads < 20);
        }
    }
}
