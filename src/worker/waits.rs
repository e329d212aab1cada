//! Connections whose next request is not here yet: who has to go when others need their place, or
//! when the hub ends.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    os::fd::RawFd,
    time::Duration,
};

use crate::hub::Moment;

/// So long a connection may wait for a request even where others wait for its place: what is
/// under way from an honest client is here by then.
const WAIT_GRANTED: Duration = Duration::from_secs(1);

/// The waits of a worker's connections, the longest first.
#[derive(Debug, Default)]
pub(super) struct Waits {
    list: RefCell<BTreeMap<u64, Waiting>>,
    /// Never given again: a guard may outlive its entry.
    next_id: Cell<u64>,
}

#[derive(Debug)]
struct Waiting {
    fd: RawFd,
    /// A part of the request is here.
    begun: bool,
    since: Moment,
}

impl Waits {
    /// Notes that a connection waits for its next request, until the guard is dropped.
    pub(super) fn begin(&self, fd: RawFd, begun: bool, now: Moment) -> Wait<'_> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.list.borrow_mut().insert(id, Waiting { fd, begun, since: now });
        Wait { waits: self, id }
    }

    /// Ends connections that have sent nothing of a request: their tasks see the end of input.
    pub(super) fn shut_idle(&self) {
        let list = self.list.borrow();
        list.values().filter(|waiting| !waiting.begun).for_each(Waiting::shut);
    }

    /// Ends the connection that has waited longest, if it had the time to send a request.
    pub(super) fn shut_longest(&self, now: Moment) {
        let mut list = self.list.borrow_mut();
        let Some(longest) = list.first_entry() else { return };
        if longest.get().since + WAIT_GRANTED <= now {
            longest.remove().shut();
        }
    }
}

impl Waiting {
    fn shut(&self) {
        // SAFETY: a descriptor is noted only while its task holds it open.
        unsafe { libc::shutdown(self.fd, libc::SHUT_RD) };
    }
}

/// The wait for a request.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waits: &'a Waits,
    id: u64,
}

impl Wait<'_> {
    /// The request has begun to arrive.
    pub(super) fn begun(&self) {
        if let Some(waiting) = self.waits.list.borrow_mut().get_mut(&self.id) {
            waiting.begun = true;
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waits.list.borrow_mut().remove(&self.id);
    }
}
