//! What the system says about a process that runs, and processes that are to fail.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::hub::{PATIENCE, Setup};

/// An address that nobody listens on, with a port that the kernel gives to nobody by itself.
pub(crate) fn free_addr() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + (std::process::id() * 101 + next) % 18_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// Runs a hub that is to give up; its exit code and all that it said.
pub(crate) fn run_to_end(mut setup: Setup) -> (Option<i32>, String) {
    let mut child = setup
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Limits the open files of the child.
pub(crate) fn limit_open_files(command: &mut Command, soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    let set = move || {
        // SAFETY: a plain system call that reads `limit`.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(set) };
}

/// Bytes of memory that a process holds.
pub(crate) fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What the descriptors of each thread are: `socket:[inode]`, paths and so on. Threads may have
/// file tables of their own.
pub(crate) fn descriptors(pid: i32) -> Vec<(String, Vec<String>)> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        // Whatever is closed meanwhile is not there.
        let Ok(fds) = fs::read_dir(task.path().join("fd")) else { continue };
        let links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        let links = links.map(|link| link.to_string_lossy().into_owned()).collect();
        threads.push((name.trim().to_owned(), links));
    }
    threads
}

/// The inodes of the listening sockets of a local port, and of all its sockets.
pub(crate) fn sockets_of_port(port: u16) -> (Vec<String>, Vec<String>) {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own: Vec<_> = lines.filter(|fields| fields[1].ends_with(&port)).collect();
    let inode = |fields: &&Vec<&str>| format!("socket:[{}]", fields[9]);
    let listening = own.iter().filter(|fields| fields[3] == "0A").map(|all| inode(&all));
    (listening.collect(), own.iter().map(|all| inode(&all)).collect())
}

/// Connections to a port that a process has open, in all of its file tables.
pub(crate) fn connections(pid: i32, port: u16) -> usize {
    let (listening, all) = sockets_of_port(port);
    let links: Vec<_> = descriptors(pid).into_iter().flat_map(|(_, links)| links).collect();
    all.iter().filter(|socket| links.contains(socket) && !listening.contains(socket)).count()
}

/// How many sockets listen on a port.
pub(crate) fn listeners(port: u16) -> usize {
    sockets_of_port(port).0.len()
}

/// Waits until something is true.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "waiting for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
