//! Programs of others that tests use where they are installed.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Python with the packages of `.ci/python.txt`.
pub(crate) const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
/// Where the packages of `.ci/node` are.
pub(crate) const NODE_PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/node");

/// What .ci/install unpacks of packages that would start a server.
pub(crate) const NGINX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/nginx");
pub(crate) const HAPROXY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/haproxy");
pub(crate) const CADDY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/caddy");

/// Whether these programs are there. A test that goes without them says so, loudly, and fails
/// where everything has to be tested.
pub(crate) fn has_tools(names: &[&str]) -> bool {
    let missing = missing(names);
    let must = env::var("CI").as_deref() == Ok("true");
    assert!(missing.is_empty() || !must, "{missing:?} not installed; .ci/install does it");
    tell_of(&missing)
}

/// Whether Node.js and its packages are there.
pub(crate) fn has_node() -> bool {
    has_tools(&["node", &format!("{NODE_PACKAGES}/installed.txt")])
}

/// The same for what `.ci/install` does not install: nothing has to be tested with it.
pub(crate) fn has_optional_tools(names: &[&str]) -> bool {
    tell_of(&missing(names))
}

fn missing<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| env::split_paths(&path).any(|dir| dir.join(name).is_file());
    names.iter().copied().filter(|name| !is_there(name)).collect()
}

/// Says what is missing, past what the test harness keeps to itself when a test passes.
fn tell_of(missing: &[&str]) -> bool {
    if !missing.is_empty() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {missing:?} not installed");
    }
    missing.is_empty()
}

/// A child and its children; killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        command.process_group(0).stdin(Stdio::null());
        Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: a signal to the group of a child that was not waited for yet.
        unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

/// A directory of this test's own; removed when it is dropped.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("petasos-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
