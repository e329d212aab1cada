//! Which segments cannot have an id: asked before their files are.

use super::index::IdHash;

/// Bits for each id. One in some 400 ids that are not there seems to be.
const BITS_PER_ID: usize = 16;
/// Bits that an id sets.
const PROBES: u32 = 5;
/// The bits of an id lie in a block as long as a cache line.
type Block = [u64; 8];
const BLOCK_BITS: u32 = 512;

/// Ids of a sealed segment, by their hashes (a blocked Bloom filter).
pub(super) struct IdFilter {
    blocks: Box<[Block]>,
}

impl IdFilter {
    /// Of entries of a list of ids; `count` is their number.
    pub(super) fn new(count: usize, entries: impl Iterator<Item = u64>) -> IdFilter {
        let blocks = (count * BITS_PER_ID).div_ceil(BLOCK_BITS as usize);
        let mut filter = IdFilter { blocks: vec![Block::default(); blocks].into() };
        for entry in entries {
            let hash = IdHash::of_entry(entry);
            let Some(block) = filter.block_of(hash) else { break };
            for bit in bits(hash) {
                filter.blocks[block][bit / 64] |= 1 << (bit % 64);
            }
        }
        filter
    }

    /// Whether an id with this hash may be there; if not, it is not.
    pub(super) fn may_have(&self, hash: IdHash) -> bool {
        self.block_of(hash).is_some_and(|block| {
            let block = &self.blocks[block];
            bits(hash).all(|bit| block[bit / 64] & 1 << (bit % 64) != 0)
        })
    }

    fn block_of(&self, hash: IdHash) -> Option<usize> {
        let len = self.blocks.len();
        (len > 0).then(|| ((u128::from(hash.bits()) * len as u128) >> 64) as usize)
    }
}

/// The bits of an id in its block. The upper bits of the hash have chosen the block, so all of them
/// are mixed.
fn bits(hash: IdHash) -> impl Iterator<Item = usize> {
    let mixed = hash.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (0..PROBES).map(move |probe| (mixed >> (9 * probe)) as usize % BLOCK_BITS as usize)
}

#[cfg(test)]
mod tests {
    use super::{super::index::IdHasher, *};

    #[test]
    fn what_is_there_may_be_there_and_little_else() {
        let hasher = IdHasher::new([1; 16]);
        let hash = |i: usize| hasher.hash(&format!("order-{i}"));
        for count in [0, 1, 2, 31, 32, 33, 1_000, 100_000] {
            let entries = (0..count).map(|i| *hash(i).entries_from(i as u32).start());
            let filter = IdFilter::new(count, entries);
            assert!((0..count).all(|i| filter.may_have(hash(i))), "{count}");
            let others = 10_000;
            let seem = (count..count + others).filter(|i| filter.may_have(hash(*i))).count();
            assert!(seem < others / 100, "{count}: {seem} of {others}");
            assert!(size_of_val(&*filter.blocks) <= 2 * count + 64);
        }
    }
}
