//! The index of a sealed segment: it lies in the file, and what was needed of it in memory.

use std::{io, sync::OnceLock};

use super::{
    bytes::u64_at,
    disk::DiskFile,
    filter::IdFilter,
    index::{IdHash, Index, Places, record_of},
    seal::{ID_LEN, Seal},
};

/// A sealed segment's index.
pub(super) struct Sealed {
    seal: Seal,
    /// Read when it is needed for the first time.
    places: OnceLock<Places>,
    /// The same.
    filter: OnceLock<IdFilter>,
}

impl Sealed {
    pub(super) fn new(seal: Seal) -> Sealed {
        Sealed { seal, places: OnceLock::new(), filter: OnceLock::new() }
    }

    /// Of a segment whose index is still in memory.
    pub(super) fn with_ids_of(seal: Seal, index: &Index) -> Sealed {
        let filter = IdFilter::new(index.ids.len(), index.ids.iter().copied());
        Sealed { filter: filter.into(), ..Sealed::new(seal) }
    }

    /// The list of places.
    pub(super) fn places(&self, file: &dyn DiskFile) -> io::Result<&Places> {
        if let Some(places) = self.places.get() {
            return Ok(places);
        }
        let seal = &self.seal;
        let mut bytes = vec![0; (seal.ids_start() - seal.end) as usize];
        file.read_at(&mut bytes, seal.end)?;
        let places = seal.read_places(&bytes).ok_or_else(|| damaged("list of places"))?;
        Ok(self.places.get_or_init(|| places))
    }

    /// Which ids may be there.
    fn filter(&self, file: &dyn DiskFile) -> io::Result<&IdFilter> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter);
        }
        let seal = &self.seal;
        let mut bytes = vec![0; (seal.ids_end() - seal.ids_start()) as usize];
        file.read_at(&mut bytes, seal.ids_start())?;
        if !seal.has_ids(&bytes) {
            return Err(damaged("list of ids"));
        }
        Ok(self.filter.get_or_init(|| IdFilter::new(seal.ids as usize, entries(&bytes))))
    }

    /// Whether any publisher gave an id.
    pub(super) fn has_ids(&self) -> bool {
        self.seal.ids > 0
    }

    /// Records whose id has this hash, from the one with the number `from` on: at most `count`. The
    /// file is read only if there may be one.
    pub(super) fn ids_from(
        &self,
        file: &dyn DiskFile,
        hash: IdHash,
        from: u32,
        count: usize,
    ) -> io::Result<Vec<u32>> {
        let seal = &self.seal;
        if !self.filter(file)?.may_have(hash) {
            return Ok(Vec::new());
        }
        let range = hash.entries_from(from);
        let read = |first: u64, window: &mut Vec<u64>, count: u64| -> io::Result<()> {
            let count = count.min(u64::from(seal.ids) - first);
            let mut bytes = vec![0; count as usize * ID_LEN];
            let len = file.read_at(&mut bytes, seal.ids_start() + first * ID_LEN as u64)?;
            window.clear();
            window.extend(entries(&bytes[..len]));
            Ok(())
        };
        let first = lower_bound(u64::from(seal.ids), *range.start(), read)?;
        if first == u64::from(seal.ids) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        read(first, &mut found, count as u64)?;
        Ok(found.iter().take_while(|entry| range.contains(entry)).map(|e| record_of(*e)).collect())
    }
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(ID_LEN).filter_map(|entry| u64_at(entry, 0))
}

fn damaged(what: &str) -> io::Error {
    io::Error::other(format!("its {what} is damaged"))
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
