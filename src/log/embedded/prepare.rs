//! Segments that are set aside before they are written: zero-filled and synced, so that a write
//! into them changes no metadata, and a full disk is met here and not by a write.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    disk::{Disk, DiskFile},
    head::{self, Head},
    segment,
};

/// Zeros that are written at a time, so that the log's syncs come in between.
const STEP: usize = 1 << 20;

/// A segment that can be written.
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) capacity: u64,
}

/// Makes the file of a segment, of `capacity` bytes, with `content` behind its head.
pub(super) fn make(disk: &dyn Disk, head: Head, content: &[u8]) -> io::Result<Prepared> {
    let Head { number, capacity, .. } = head;
    let (name, new) = (segment::name(number), format!("{}.new", segment::name(number)));
    disk.remove_if_there(&new)?;
    let made = disk.create(&new).and_then(|file| {
        fill(&*file, &head, content)?;
        disk.rename(&new, &name)?;
        disk.sync()
    });
    if let Err(error) = made {
        // What was written of it takes room that somebody needs.
        let _ = disk.remove_if_there(&new);
        return Err(error);
    }
    Ok(Prepared { number, capacity })
}

fn fill(file: &dyn DiskFile, head: &Head, content: &[u8]) -> io::Result<()> {
    file.write_all_at(&head.encode(), 0)?;
    file.write_all_at(content, head::LEN as u64)?;
    let zeros = vec![0; STEP];
    let mut at = (head::LEN + content.len()) as u64;
    while at < head.capacity {
        let len = usize::try_from(head.capacity - at).map_or(STEP, |rest| rest.min(STEP));
        file.write_all_at(&zeros[..len], at)?;
        file.sync()?;
        at += len as u64;
    }
    file.sync()
}

/// Where the keeper lays the next segment, and the log takes it.
#[derive(Default)]
pub(super) struct Supply {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// The keeper has not begun: nobody waits for it.
    #[default]
    Idle,
    /// The keeper is at it.
    Preparing,
    Ready(Prepared),
    /// There is no room for it.
    Failed,
    /// The keeper has ended.
    Ended,
}

impl Supply {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    /// The keeper has prepared a segment.
    pub(super) fn put(&self, prepared: Prepared) {
        self.set(State::Ready(prepared));
    }

    /// The keeper could not prepare one, and goes on trying.
    pub(super) fn fail(&self) {
        self.set(State::Failed);
    }

    pub(super) fn end(&self) {
        self.set(State::Ended);
    }

    /// Whether the keeper has to prepare one.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(*self.state(), State::Idle | State::Preparing | State::Failed)
    }

    /// Takes the next segment. Waits for the keeper while it is at it; `None`: there is no room.
    pub(super) fn take(&self) -> Option<Prepared> {
        let mut state = self.state();
        loop {
            match *state {
                State::Preparing => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Idle | State::Failed | State::Ended => return None,
                State::Ready(_) => break,
            }
        }
        match std::mem::replace(&mut *state, State::Preparing) {
            State::Ready(prepared) => Some(prepared),
            _ => None,
        }
    }
}
