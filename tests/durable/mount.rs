//! File systems of a test's own, which can be full, or fail.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::common::tools::{Directory, has_tools};

/// A file system; unmounted when it is dropped, whoever still uses it.
pub(super) struct Mount {
    directory: Directory,
    /// Of one in a file.
    image: Option<PathBuf>,
}

/// Whether file systems can be mounted. A test that goes without them says so, loudly, and fails
/// where everything has to be tested.
pub(super) fn can_mount() -> bool {
    if !has_tools(&["mount", "mkfs.ext4"]) {
        return false;
    }
    let trial = Mount::try_tmpfs("trial", 1 << 20);
    let must = env::var("CI").as_deref() == Ok("true");
    if let Err(error) = &trial {
        assert!(!must, "mounting is not permitted here ({error}): run the tests as root");
        let _ = writeln!(io::stderr(), "NOT TESTED: mounting is not permitted here: {error}");
    }
    trial.is_ok()
}

impl Mount {
    /// One in memory.
    pub(super) fn tmpfs(name: &str, len: u64) -> Mount {
        Mount::try_tmpfs(name, len).expect("mounting is permitted")
    }

    fn try_tmpfs(name: &str, len: u64) -> io::Result<Mount> {
        let directory = Directory::new(name);
        let place = c_path(&directory.0);
        let options = CString::new(format!("size={len}")).unwrap();
        // SAFETY: a plain system call; all texts end with a zero and outlive it.
        let result = unsafe {
            libc::mount(
                c"tmpfs".as_ptr(),
                place.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        match result {
            0 => Ok(Mount { directory, image: None }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// An ext4 of its own, in a file.
    pub(super) fn ext4(name: &str, len: u64) -> Mount {
        let directory = Directory::new(name);
        let image = directory.0.with_extension("image");
        File::create(&image).and_then(|file| file.set_len(len)).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let mount = Mount { directory, image: Some(image) };
        mount.mount();
        mount
    }

    /// Mounts what lies in the file.
    fn mount(&self) {
        let image = self.image.as_ref().expect("one in a file");
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path()));
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory.0
    }

    /// From now on nothing can be written, as after an error of the disk. An ordinary change to
    /// read-only is refused while files are being written.
    pub(super) fn set_read_only(&self) {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(self.path()));
    }

    /// Unmounts what failed, and mounts it anew.
    pub(super) fn mount_again(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }

    /// Takes all room that there is for somebody else's file.
    pub(super) fn fill(&self) {
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(self.filler()).unwrap();
        let mut len = 1 << 20;
        while len > 0 {
            if file.write_all(&vec![1; len]).and_then(|()| file.sync_data()).is_err() {
                len /= 8;
            }
        }
    }

    /// Gives so much of it back.
    pub(super) fn leave(&self, len: u64) {
        let file = File::options().write(true).open(self.filler()).unwrap();
        file.set_len(file.metadata().unwrap().len() - len).unwrap();
    }

    /// Bytes that are free, with those that are kept back for root.
    pub(super) fn room(&self) -> u64 {
        let place = c_path(self.path());
        // SAFETY: plain memory, written by a system call; the text ends with a zero.
        unsafe {
            let mut told: libc::statvfs = std::mem::zeroed();
            assert_eq!(libc::statvfs(place.as_ptr(), &raw mut told), 0);
            told.f_bfree * told.f_frsize
        }
    }

    /// Gives the room back.
    pub(super) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let place = c_path(self.path());
        // SAFETY: a plain system call; the text ends with a zero and outlives it.
        unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
        self.image.iter().for_each(|image| drop(fs::remove_file(image)));
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
