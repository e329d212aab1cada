//! Ids that publishers use again, which they SHOULD NOT (draft-08 #publication), and how each of
//! several publications with one id comes to know whether it is the first.
//!
//! The history knows, but a history on a disk may take its time: the log must not wait for it. So a
//! publication that brings an id is first searched for in the history, by a thread that may wait;
//! the result holds up to some position. The log's thread remembers the ids of the last updates
//! that brought one, and so knows of every use after that position. If the result is older than
//! what it remembers, it guesses nothing: the publication goes back to be searched for again. That
//! happens only if as many others were committed meanwhile as the log remembers, so somebody always
//! gets on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::protocol::update::Position;

/// What becomes of a publication whose id an update in the history bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReusedIds {
    #[default]
    /// It is published like any other, as the specification has it.
    Accept,
    /// It is refused.
    Refuse,
    /// It is answered as that update was, and is not published.
    First,
}

/// Ids that are remembered: more than lie before the log at a time but under the heaviest load.
/// Together with what is around them they take some 3 MiB if they are UUIDs, and 18 MiB if all are
/// as long as ids may be.
pub const RECENT_IDS_MAX: usize = 16 * 1024;

/// Whether an id is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Free,
    /// An update bears it that came after the search.
    Reused,
    /// Nobody knows: the search is too old.
    Unknown,
}

/// The ids of the last updates whose publishers gave them.
#[derive(Debug)]
pub struct RecentIds {
    max: usize,
    /// The position of the last update that bears it.
    last_uses: HashMap<Arc<str>, Position>,
    uses: VecDeque<(Arc<str>, Position)>,
    /// Every use after this position is remembered.
    reach: Position,
}

impl RecentIds {
    /// `start`: the position after which updates are noted.
    pub fn new(max: usize, start: Position) -> Self {
        let (last_uses, uses) = (HashMap::new(), VecDeque::new());
        RecentIds { max: max.max(1), last_uses, uses, reach: start }
    }

    /// Whether `id` is free, if a search found no update that bears it up to `searched`.
    pub fn look(&self, id: &str, searched: Position) -> Use {
        match self.last_uses.get(id) {
            Some(last) if *last > searched => Use::Reused,
            _ if searched < self.reach => Use::Unknown,
            _ => Use::Free,
        }
    }

    /// The update at `position`, which comes after all that were noted before, bears `id`.
    pub fn note(&mut self, id: &str, position: Position) {
        let id: Arc<str> = id.into();
        self.last_uses.insert(Arc::clone(&id), position);
        self.uses.push_back((id, position));
        if self.uses.len() > self.max
            && let Some((id, position)) = self.uses.pop_front()
        {
            self.reach = position;
            if self.last_uses.get(&id) == Some(&position) {
                self.last_uses.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_search_is_known() {
        let mut ids = RecentIds::new(100, Position(5));
        ids.note("a", Position(6));
        ids.note("b", Position(8));
        for (id, searched, expected) in [
            ("a", 5, Use::Reused),
            // Retained no more: else the search had found it.
            ("a", 6, Use::Free),
            ("b", 7, Use::Reused),
            ("b", 9, Use::Free),
            ("c", 5, Use::Free),
            ("c", 4, Use::Unknown),
        ] {
            assert_eq!(ids.look(id, Position(searched)), expected, "{id} {searched}");
        }
        ids.note("a", Position(9));
        assert_eq!(ids.look("a", Position(8)), Use::Reused, "the last use counts");
    }

    #[test]
    fn what_is_forgotten_is_not_guessed() {
        let mut ids = RecentIds::new(2, Position::START);
        for (id, position) in [("a", 1), ("a", 3), ("b", 4)] {
            ids.note(id, Position(position));
        }
        // Remembered are the uses after position 1.
        assert_eq!(ids.look("a", Position::START), Use::Reused);
        assert_eq!(ids.look("c", Position::START), Use::Unknown);
        assert_eq!(ids.look("c", Position(1)), Use::Free);
        ids.note("c", Position(7));
        assert_eq!(ids.look("a", Position(2)), Use::Unknown);
        assert_eq!(ids.look("a", Position(3)), Use::Free);
        assert_eq!((ids.last_uses.len(), ids.uses.len()), (2, 2));
    }
}
