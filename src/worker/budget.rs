//! Bytes that all connections of a worker may hold together for one purpose.

use std::cell::Cell;

/// A number of bytes, of which some are taken.
#[derive(Debug)]
pub(super) struct Budget {
    taken: Cell<usize>,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Budget { taken: Cell::new(0), max }
    }

    /// Takes `len` bytes, until the guard is dropped; `None` if there are not so many left.
    pub(super) fn reserve(&self, len: usize) -> Option<Reserved<'_>> {
        let mut reserved = Reserved { budget: self, len: 0 };
        reserved.grow(len).then_some(reserved)
    }
}

/// Bytes of a budget.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    budget: &'a Budget,
    len: usize,
}

impl Reserved<'_> {
    /// Takes what is missing to `len` bytes in all; `None` if there is no room.
    pub(super) fn cover(&mut self, len: usize) -> Option<()> {
        self.grow(len.saturating_sub(self.len)).then_some(())
    }

    /// Takes more; false if there is no room, and then nothing is taken.
    pub(super) fn grow(&mut self, len: usize) -> bool {
        let Budget { taken, max } = self.budget;
        let fits = taken.get() + len <= *max;
        if fits {
            taken.set(taken.get() + len);
            self.len += len;
        }
        fits
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.budget.taken.set(self.budget.taken.get() - self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
        let budget = Budget::new(100);
        let mut one = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        assert!(!one.grow(41), "nothing is taken");
        assert!(one.cover(50).is_some() && one.cover(100).is_some() && one.cover(101).is_none());
        drop(one);
        assert!(budget.reserve(100).is_some());
    }
}
