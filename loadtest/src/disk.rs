//! What a disk can do by itself: a loop of one write and one sync.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Bytes of the file: written with zeros before, so that a sync has no new blocks to note.
const LEN: usize = 64 << 20;

/// A file on the disk, removed when this is dropped.
pub(crate) struct RawDisk {
    file: File,
    path: PathBuf,
    /// Where the next write goes.
    offset: usize,
}

impl RawDisk {
    /// On the disk that `folder` lies on.
    pub(crate) fn new(folder: &Path) -> io::Result<RawDisk> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("loadtest-raw-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let disk = RawDisk { file: file.open(&path)?, path, offset: 0 };
        disk.file.write_all_at(&vec![0; LEN], 0)?;
        disk.file.sync_all()?;
        Ok(disk)
    }

    /// How often a second `len` bytes are written, one after the other, each followed by
    /// `fdatasync`.
    pub(crate) fn rate(&mut self, len: usize, time: Duration) -> io::Result<f64> {
        let bytes = vec![0x5a; len.clamp(1, LEN)];
        let (begin, mut count) = (Instant::now(), 0_u32);
        while begin.elapsed() < time {
            if self.offset + bytes.len() > LEN {
                self.offset = 0;
            }
            self.file.write_all_at(&bytes, self.offset as u64)?;
            self.file.sync_data()?;
            self.offset += bytes.len();
            count += 1;
        }
        Ok(f64::from(count) / begin.elapsed().as_secs_f64())
    }
}

impl Drop for RawDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_nothing_is_left_behind() {
        let mut disk = RawDisk::new(&std::env::temp_dir()).unwrap();
        let path = disk.path.clone();
        for len in [4096, LEN / 2 + 1] {
            assert!(disk.rate(len, Duration::from_millis(20)).unwrap() > 0.0);
        }
        assert!(path.exists());
        drop(disk);
        assert!(!path.exists());
    }
}
