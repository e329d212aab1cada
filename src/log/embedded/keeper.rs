//! The keeper: a thread that does for the log what takes time. It prepares the next segment, seals
//! those that are full, and deletes what is no longer retained.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::{
    Sizes,
    catalog::Catalog,
    disk::DiskFile,
    head::Head,
    manifest::Manifest,
    prepare::{self, Supply},
    seal::Seal,
    segment::Segment,
};
use crate::{log::thread::vital, protocol::time::UnixTime};

/// How often the keeper looks what is too old, and tries again what did not succeed.
const PERIOD: Duration = Duration::from_secs(1);

/// What the keeper is told.
pub(super) enum Word {
    /// Files may be opened from now on: before that, threads that leave the shared table of open
    /// files would keep copies, and with them the room of deleted segments.
    Begin,
    /// The segment is full, and the prepared one was taken.
    Full(Arc<Segment>),
    End,
}

/// The thread; it ends when this is dropped.
pub(super) struct Keeper {
    words: Sender<Word>,
    pub(super) supply: Arc<Supply>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread, which waits for [`Word::Begin`].
    pub(super) fn start(
        catalog: Arc<Catalog>,
        manifest: Manifest,
        prepared: Option<prepare::Prepared>,
    ) -> io::Result<Keeper> {
        let (mut keeper, mut work) = Keeper::without_thread(catalog, manifest, prepared);
        let run = move || vital(|| work.run());
        keeper.thread = Some(thread::Builder::new().name("keeper".into()).spawn(run)?);
        Ok(keeper)
    }

    /// The same for somebody who gives the work its turns.
    pub(super) fn without_thread(
        catalog: Arc<Catalog>,
        manifest: Manifest,
        prepared: Option<prepare::Prepared>,
    ) -> (Keeper, Work) {
        let (give, take) = unbounded();
        let supply = Arc::new(Supply::default());
        prepared.into_iter().for_each(|prepared| supply.put(prepared));
        // Full when the last hub was killed, and not sealed by it: without a seal they would stay.
        let mut unsealed = catalog.segments();
        unsealed.pop();
        unsealed.retain(|segment| !segment.is_sealed());
        let work = Work {
            catalog,
            manifest,
            supply: Arc::clone(&supply),
            words: take,
            unsealed,
            said: Vec::new(),
        };
        (Keeper { words: give, supply, thread: None }, work)
    }

    /// Where the keeper is told to begin.
    pub(super) fn words(&self) -> Sender<Word> {
        self.words.clone()
    }

    /// The log has taken the prepared segment, and `full` is to be sealed.
    pub(super) fn sealing(&self, full: Arc<Segment>) {
        let _ = self.words.send(Word::Full(full));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.words.send(Word::End);
        if let Some(thread) = self.thread.take() {
            // A panic in there has ended the process.
            let _ = thread.join();
        }
    }
}

/// The work of the keeper.
pub(super) struct Work {
    catalog: Arc<Catalog>,
    manifest: Manifest,
    supply: Arc<Supply>,
    words: Receiver<Word>,
    /// Full, the oldest first.
    unsealed: Vec<Arc<Segment>>,
    /// What did not succeed and was told of.
    said: Vec<&'static str>,
}

impl Work {
    fn run(&mut self) {
        let (mut began, mut ended) = (false, false);
        while !ended {
            if began {
                self.turn();
            }
            match self.words.recv_timeout(PERIOD) {
                Ok(Word::Begin) => began = true,
                Ok(Word::Full(segment)) => self.unsealed.push(segment),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => ended = true,
            }
        }
        self.supply.end();
    }

    /// Hears what the log has said, where there is no thread that waits for it.
    #[cfg(test)]
    pub(super) fn listen(&mut self) {
        for word in self.words.try_iter() {
            if let Word::Full(segment) = word {
                self.unsealed.push(segment);
            }
        }
    }

    /// Does what there is to do.
    pub(super) fn turn(&mut self) {
        if self.supply.is_wanted() && !self.attempt("prepare", Self::prepare) {
            self.supply.fail();
            // Whoever waits for it is refused.
            self.catalog.wake_log();
        }
        self.attempt("seal", Self::seal);
        self.attempt("retain", Self::retain);
    }

    /// Does something that can be tried again; tells of the first failure of many.
    fn attempt(&mut self, what: &'static str, work: fn(&mut Self) -> io::Result<()>) -> bool {
        let was_said = self.said.contains(&what);
        match work(self) {
            Ok(()) => {
                self.said.retain(|said| *said != what);
                true
            }
            Err(error) if was_said => {
                tracing::debug!(%error, what, "still not possible");
                false
            }
            Err(error) => {
                self.said.push(what);
                match what {
                    "prepare" => tracing::error!(
                        %error,
                        "the next segment of the history cannot be prepared: is the disk full? It \
                         is tried again every second"
                    ),
                    "seal" => tracing::error!(
                        %error,
                        "a segment of the history cannot be sealed: the next start reads it"
                    ),
                    _ => tracing::error!(
                        %error,
                        "what is no longer retained of the history cannot be deleted"
                    ),
                }
                false
            }
        }
    }

    fn prepare(&mut self) -> io::Result<()> {
        let number = self.manifest.contents.last + 1;
        let head = Head { history: self.catalog.history, number, capacity: self.capacity() };
        // Not found out by trying: others, who use the disk as well, would have no room meanwhile.
        if self.catalog.disk.room()? < head.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let prepared = prepare::make(&*self.catalog.disk, head, &[])?;
        self.manifest.contents.last = number;
        if let Err(error) = self.manifest.write() {
            self.manifest.contents.last = number - 1;
            return Err(error);
        }
        self.supply.put(prepared);
        self.catalog.wake_log();
        Ok(())
    }

    /// Segments grow with the history: a small one has small segments, and a large one few.
    fn capacity(&self) -> u64 {
        let segments = self.catalog.segments();
        let bytes = match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => last.begin + last.extent().end - first.begin,
            _ => 0,
        };
        let Sizes { smallest, largest, .. } = self.catalog.sizes;
        let most = self.catalog.retention.bytes_max.map_or(largest, |max| max / 16);
        (bytes / 8).next_multiple_of(smallest).clamp(smallest, most.clamp(smallest, largest))
    }

    fn seal(&mut self) -> io::Result<()> {
        while let Some(segment) = self.unsealed.first() {
            seal(&self.catalog, segment)?;
            self.unsealed.remove(0);
        }
        Ok(())
    }

    /// Deletes segments of which nothing is retained.
    fn retain(&mut self) -> io::Result<()> {
        if let Some(age) = self.catalog.retention.age_max {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let limit = UnixTime::since_1970(now).saturating_sub(age);
            self.catalog.raise_floor(self.catalog.start_by_age(limit)?);
        }
        let start = self.catalog.start()?;
        let segments = self.catalog.segments();
        let gone = segments
            .iter()
            .take(segments.len() - 1)
            .take_while(|segment| segment.is_sealed() && segment.extent().last <= start)
            .collect::<Vec<_>>();
        let Some(last) = gone.last() else { return Ok(()) };
        // Before they are gone, that they may be: what is missing otherwise was lost.
        let before = self.manifest.contents.first;
        self.manifest.contents.first = last.number + 1;
        if let Err(error) = self.manifest.write() {
            self.manifest.contents.first = before;
            return Err(error);
        }
        for segment in gone {
            self.catalog.pop();
            self.catalog.disk.remove_if_there(&segment.name())?;
        }
        Ok(())
    }
}

/// Syncs what is not sealed yet, and appends the index of a segment, which then needs no memory any
/// more.
pub(super) fn seal(catalog: &Catalog, segment: &Segment) -> io::Result<()> {
    let Some((seal, bytes)) = segment.prepare_seal(catalog.history) else { return Ok(()) };
    // Where each group is synced it was long ago, and by the log alone: the system tells of an
    // error once, and it has to be told of those of its own.
    if catalog.synced() < segment.extent().last
        && let Err(error) = catalog.sync()
    {
        catalog.fail(io::Error::new(error.kind(), error.to_string()));
        return Err(error);
    }
    append_seal(segment.file()?, &seal, &bytes)?;
    segment.set_sealed(seal);
    Ok(())
}

/// Writes the end of a sealed segment, and cuts off what was set aside for more. In this order: a
/// segment that is shorter than it was made, and has no seal, has lost something.
pub(super) fn append_seal(file: &dyn DiskFile, seal: &Seal, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, seal.end)?;
    file.sync()?;
    file.set_len(seal.file_len())?;
    file.sync()
}
