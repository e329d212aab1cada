//! Memory that a storm of requests needed, given back once it is over.
//!
//! Requests are served by tasks of some kilobytes each; thousands of them may be under way when
//! clients reconnect together. The allocator keeps what they leave behind, and that would count
//! for the subscribers that they became, for as long as those wait.

use std::{cell::Cell, time::Duration};

use crate::hub::Moment;

/// So long no request must have ended before memory is given back: looking for it costs time, and
/// whoever is busy needs it again at once.
const CALM: Duration = Duration::from_millis(300);

/// When a worker gives memory back.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    due: Cell<Option<Moment>>,
}

impl Leftovers {
    /// A request has ended. Returns when [`Leftovers::give_back`] is due, if nobody knows yet.
    pub(super) fn add(&self, now: Moment) -> Option<Moment> {
        let due = now + CALM;
        self.due.replace(Some(due)).is_none().then_some(due)
    }

    /// Gives memory back if that is due. Returns when it is, if it is not yet.
    pub(super) fn give_back(&self, now: Moment) -> Option<Moment> {
        let due = self.due.get()?;
        if due > now {
            return Some(due);
        }
        self.due.set(None);
        give_back();
        None
    }
}

/// Has the command's allocator give back what it keeps for later; an application's has ways of its
/// own.
fn give_back() {
    #[cfg(feature = "command")]
    // SAFETY: a call without preconditions. Where the process has another allocator, this one has
    // nothing to give.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_when_no_request_has_ended_for_a_while() {
        let leftovers = Leftovers::default();
        assert_eq!(leftovers.give_back(Moment(0)), None);
        assert_eq!(leftovers.add(Moment(1_000)), Some(Moment(1_300)));
        assert_eq!(leftovers.add(Moment(1_200)), None, "somebody looks already");
        assert_eq!(leftovers.give_back(Moment(1_300)), Some(Moment(1_500)));
        assert_eq!(leftovers.give_back(Moment(1_500)), None);
        assert_eq!(leftovers.add(Moment(2_000)), Some(Moment(2_300)));
    }
}
