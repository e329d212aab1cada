//! What is known of the history as a whole: its name, its keys, and which segments there are.
//!
//! It lies in a file of its own, in two places that are written in turn, so that one of them is
//! whole whenever the power fails, and so that no room is needed to write it: on a full disk,
//! segments can still be deleted.
//!
//! ```text
//!  0  "petasosm"
//!  8  version of the format                                   u32
//! 12  checksum of all that follows                            u32
//! 16  how often it was written; the greater one counts        u64
//! 24  name of the history, random                             16 bytes
//! 40  key of the ids that the hub generates                   16 bytes
//! 56  key of the hashes of given ids                          16 bytes
//! 72  number of the first segment                             u64
//! 80  number of the last segment                              u64
//! ```

use std::io;

use super::{
    bytes::{checksum, put_u32, put_u64, u32_at, u64_at},
    disk::{Disk, DiskFile},
    head::VERSION,
};

/// The name of its file.
pub(super) const NAME: &str = "MANIFEST";
const MAGIC: &[u8; 8] = b"petasosm";
const LEN: usize = 88;
/// Of each of its two places: a page, so that no write tears both.
const PLACE_LEN: u64 = 4096;

/// What the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) history: [u8; 16],
    pub(super) id_key: [u8; 16],
    pub(super) hash_key: [u8; 16],
    /// Segments before it were deleted.
    pub(super) first: u64,
    /// No segment after it was ever written.
    pub(super) last: u64,
}

/// The manifest of a history that is open.
pub(super) struct Manifest {
    file: Box<dyn DiskFile>,
    writes: u64,
    pub(super) contents: Contents,
}

/// Why the manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is damaged")]
    Damaged,
    #[error("it has version {0} of the format, and this hub knows 1: use a newer hub")]
    Version(u32),
}

impl Manifest {
    /// That of a history which begins.
    pub(super) fn create(disk: &dyn Disk, contents: Contents) -> io::Result<Manifest> {
        let new = format!("{NAME}.new");
        disk.remove_if_there(&new)?;
        let file = disk.create(&new)?;
        let mut manifest = Manifest { file, writes: 0, contents };
        manifest.write()?;
        manifest.write()?;
        disk.rename(&new, NAME)?;
        disk.sync()?;
        Ok(manifest)
    }

    /// That of a history which lies there; `None` if there is none.
    pub(super) fn open(disk: &dyn Disk) -> Result<Option<Manifest>, ManifestError> {
        let file = match disk.open(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut best: Option<(u64, Contents)> = None;
        let mut version = None;
        for place in [0, PLACE_LEN] {
            let mut bytes = [0; LEN];
            if file.read_at(&mut bytes, place)? < LEN {
                continue;
            }
            match decode(&bytes) {
                Ok((writes, contents)) if best.as_ref().is_none_or(|(w, _)| *w < writes) => {
                    best = Some((writes, contents));
                }
                Ok(_) => {}
                Err(other) => version = version.or(other),
            }
        }
        match (best, version) {
            (Some((writes, contents)), _) => Ok(Some(Manifest { file, writes, contents })),
            (None, Some(version)) => Err(ManifestError::Version(version)),
            (None, None) => Err(ManifestError::Damaged),
        }
    }

    /// Makes its contents durable.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let writes = self.writes + 1;
        let place = if writes.is_multiple_of(2) { 0 } else { PLACE_LEN };
        self.file.write_all_at(&encode(writes, &self.contents), place)?;
        self.file.sync()?;
        self.writes = writes;
        Ok(())
    }
}

fn encode(writes: u64, contents: &Contents) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(MAGIC);
    put_u32(&mut bytes, 8, VERSION);
    put_u64(&mut bytes, 16, writes);
    bytes[24..40].copy_from_slice(&contents.history);
    bytes[40..56].copy_from_slice(&contents.id_key);
    bytes[56..72].copy_from_slice(&contents.hash_key);
    put_u64(&mut bytes, 72, contents.first);
    put_u64(&mut bytes, 80, contents.last);
    let sum = checksum(&bytes[16..]);
    put_u32(&mut bytes, 12, sum);
    bytes
}

/// An error is the version of the format, if it is another one.
fn decode(bytes: &[u8; LEN]) -> Result<(u64, Contents), Option<u32>> {
    let word = |at| u32_at(bytes, at).unwrap_or(0);
    let number = |at| u64_at(bytes, at).unwrap_or(0);
    let key = |at: usize| -> [u8; 16] { std::array::from_fn(|i| bytes[at + i]) };
    if !bytes.starts_with(MAGIC) || word(12) != checksum(&bytes[16..]) {
        return Err(None);
    }
    if word(8) != VERSION {
        return Err(Some(word(8)));
    }
    let contents = Contents {
        history: key(24),
        id_key: key(40),
        hash_key: key(56),
        first: number(72),
        last: number(80),
    };
    Ok((number(16), contents))
}
