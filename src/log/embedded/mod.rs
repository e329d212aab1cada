//! History on disk: a log of our own, in segments that are deleted whole.
//!
//! ```text
//! DIRECTORY/LOCK                    held by the hub that has it open
//! DIRECTORY/MANIFEST                name, keys, which segments there are
//! DIRECTORY/0000000000000001.log    a segment: head, groups of records, at the end its index
//! ```
//!
//! An update's way: the log's thread appends a group and syncs it (`writer`), notes it in the index
//! of the segment (`index`) and shows it to readers (`catalog`). A reader thread finds a place by
//! id or by position and sends what lies there (`reader`). The keeper's thread prepares the next
//! segment, seals full ones and deletes what is no longer retained (`keeper`). A start finds out
//! what is there and whether it is sound (`recovery`).
//!
//! Whatever is documented about the format in these modules is told as a whole in
//! `docs/history.md`.

mod bytes;
mod catalog;
mod check;
mod disk;
mod filter;
#[cfg(test)]
mod fixture;
mod group;
mod head;
mod index;
mod keeper;
mod lock;
mod manifest;
mod prepare;
mod reader;
mod record;
mod recovery;
mod scan;
mod seal;
mod sealed;
mod segment;
mod syncer;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::{
    catalog::Catalog,
    disk::{Directory, Disk},
    keeper::{Keeper, Word},
    lock::{Lock, LockError},
    reader::Reader,
    recovery::{Recovered, RecoveryError},
    syncer::Syncer,
    writer::{Active, Writer},
};
pub use self::{
    catalog::Retention,
    check::{Report, check},
};
use crossbeam::channel::Sender;

use super::{
    history::{History, Store},
    kept::{self, Kept},
    sequencer::GROUP_BYTES_MAX,
};
use crate::protocol::{hub_url::HubUrl, id::IdCipher, update::Position};

/// Bytes of the latest updates that are kept in memory beside the disk, so that those who come
/// back soon do not read it.
const RECENT_BYTES: usize = 16 << 20;

/// Bytes that may still be written into a directory, which is there.
///
/// # Errors
/// The system does not tell.
pub fn room(directory: &Path) -> io::Result<u64> {
    Directory::at(directory).room()
}

/// When an update counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    /// Once the disk has it: what was acknowledged outlives a loss of power.
    #[default]
    Always,
    /// Once the operating system has it; the disk has it after this time at the latest. What was
    /// acknowledged outlives the end of the process; a loss of power may take what is younger.
    Interval(Duration),
    /// Once the operating system has it, which decides when the disk gets it.
    Off,
}

/// What a history on disk is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub directory: PathBuf,
    pub retention: Retention,
    pub sync: SyncMode,
    /// Bytes of an update, at most, as its publisher sends it.
    pub update_max: u64,
    /// The base of relative topics.
    pub hub: HubUrl,
}

/// Sizes of segments, in bytes.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// What a young history begins with.
    smallest: u64,
    /// What a start reads at most, and what is deleted at once.
    largest: u64,
    /// What a group needs at most.
    group: u64,
}

impl Sizes {
    /// `update_max`: bytes of an update, by which a group may exceed its limit.
    fn usual(update_max: u64) -> Sizes {
        let group = GROUP_BYTES_MAX as u64 + update_max + (64 << 10);
        Sizes { smallest: 4 << 20, largest: 64 << 20, group }
    }
}

/// A history that is open.
pub struct Opened {
    pub store: Box<dyn Store>,
    pub history: Arc<dyn History>,
    /// Makes the ids of updates.
    pub cipher: IdCipher,
    /// The position of the last update.
    pub last: Position,
    pub beginning: Beginning,
}

/// Lets the history begin its own work, once the threads of the hub have the files that they are
/// to have.
pub struct Beginning {
    catalog: Arc<Catalog>,
    words: Sender<Word>,
    began: bool,
}

impl Drop for Beginning {
    /// A hub that does not come so far is not to wait for the keeper.
    fn drop(&mut self) {
        if !self.began {
            let _ = self.words.send(Word::End);
        }
    }
}

impl Beginning {
    /// `wake_log`: is called when something changes that the log does not see.
    pub fn begin(mut self, wake_log: impl Fn() + Send + Sync + 'static) {
        self.began = true;
        self.catalog.set_waker(wake_log);
        let _ = self.words.send(Word::Begin);
    }
}

/// Why a history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the history in {directory} is open in another hub ({holder}): stop that one, or give this \
         one a directory of its own (data_dir, or the transport's path)"
    )]
    Locked { directory: String, holder: String },
    #[error("the history in {directory} cannot be opened: {error}")]
    Io { directory: String, error: io::Error },
    #[error(
        "the history in {directory} cannot be opened, since the disk is full: a hub that begins a \
         history, or that did not end in good order, needs some megabytes to start. Make room; \
         nothing is lost"
    )]
    Full { directory: String },
    #[error("the history in {directory} cannot be read by this hub: {reason}")]
    Foreign { directory: String, reason: String },
    #[error(
        "the history in {directory} is damaged: {damage}. `petasos fsck --dry-run` tells what can \
         be kept, and `petasos fsck --cut` keeps it and drops the rest"
    )]
    Damaged { directory: String, damage: String },
}

/// Opens the history in a directory, or begins one there. `random` makes keys.
///
/// # Errors
/// If another hub has it open, if it is damaged, if the file system refuses something.
pub fn open(
    settings: &Settings,
    random: &mut dyn FnMut() -> io::Result<[u8; 16]>,
) -> Result<Opened, OpenError> {
    let directory = settings.directory.display().to_string();
    let io = |error| io_error(directory.clone(), error);
    let disk: Arc<dyn Disk> = Arc::new(Directory::open_or_create(&settings.directory).map_err(io)?);
    let lock = lock(&settings.directory)?;
    open_on(disk, Some(lock), settings, Sizes::usual(settings.update_max), random)
        .map_err(|error| open_error(directory.clone(), error))
}

fn io_error(directory: String, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::StorageFull => OpenError::Full { directory },
        _ => OpenError::Io { directory, error },
    }
}

fn open_error(directory: String, error: RecoveryError) -> OpenError {
    match error {
        RecoveryError::Io(error) => io_error(directory, error),
        RecoveryError::Foreign { file, reason } => {
            OpenError::Foreign { directory, reason: format!("{file}: {reason}") }
        }
        RecoveryError::Damaged(damage) => {
            OpenError::Damaged { directory, damage: damage.to_string() }
        }
    }
}

fn lock(directory: &Path) -> Result<Lock, OpenError> {
    let shown = directory.display().to_string();
    Lock::take(directory).map_err(|error| match error {
        LockError::Io(error) => io_error(shown, error),
        LockError::Held(holder) => OpenError::Locked { directory: shown, holder },
    })
}

fn open_on(
    disk: Arc<dyn Disk>,
    lock: Option<Lock>,
    settings: &Settings,
    sizes: Sizes,
    random: &mut dyn FnMut() -> io::Result<[u8; 16]>,
) -> Result<Opened, RecoveryError> {
    let Recovered { catalog, manifest, active, prepared } =
        recovery::open(&disk, settings.retention, sizes, random)?;
    let cipher = IdCipher::new(manifest.contents.id_key);
    let last = catalog.committed();
    let (mut store, reader) = ends(&catalog, active, settings, cipher.clone());
    store.lock = lock;
    if let SyncMode::Interval(interval) = settings.sync {
        store.syncer = Some(Syncer::start(Arc::clone(&catalog), interval)?);
    }
    let keeper = Keeper::start(Arc::clone(&catalog), manifest, prepared)?;
    let beginning = Beginning { catalog, words: keeper.words(), began: false };
    store.keeper = Some(keeper);
    Ok(Opened { store: Box::new(store), history: Arc::new(reader), cipher, last, beginning })
}

/// The ends of a history: where it is written, without the threads beside it, and where it is
/// read.
fn ends(
    catalog: &Arc<Catalog>,
    active: Active,
    settings: &Settings,
    cipher: IdCipher,
) -> (Writer, Reader) {
    let kept = kept::Retention { updates: 0, bytes: RECENT_BYTES };
    let recent = Kept::new(kept, catalog.committed());
    let writer = Writer::new(Arc::clone(catalog), recent.clone(), settings.sync, active);
    let hub = settings.hub.clone();
    (writer, Reader { catalog: Arc::clone(catalog), recent, cipher, hub })
}

/// The first bytes of the name of a history: enough for its groups.
fn short_name(history: &[u8; 16]) -> u32 {
    bytes::u32_at(history, 0).unwrap_or_default()
}
