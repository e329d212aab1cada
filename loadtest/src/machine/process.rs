//! CPU and memory of a server, from /proc: all of its processes, children included.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

/// A server's processes: one, and all that descend from it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    root: u32,
}

impl Server {
    pub(crate) fn new(root: u32) -> Server {
        Server { root }
    }

    /// Whoever listens on `addr` on this machine: of several processes (a master and its
    /// workers) the one that all others descend from.
    pub(crate) fn listening_on(addr: SocketAddr) -> Option<Server> {
        let sockets = listening_sockets(addr.port());
        let owners: HashSet<u32> = pids().filter(|pid| holds_one_of(*pid, &sockets)).collect();
        let parents = parents();
        let root = owners
            .iter()
            .find(|pid| parents.get(pid).is_none_or(|parent| !owners.contains(parent)))?;
        Some(Server { root: *root })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.root
    }

    pub(crate) fn is_running(&self) -> bool {
        Path::new(&format!("/proc/{}/stat", self.root)).exists()
    }

    /// The cores that it may use.
    pub(crate) fn cores(&self) -> Vec<usize> {
        cores_of(&self.root.to_string()).into_iter().collect()
    }

    fn family(&self) -> Vec<u32> {
        let parents = parents();
        let descends = |mut pid: u32| loop {
            if pid == self.root {
                return true;
            }
            match parents.get(&pid) {
                Some(&parent) if parent != 0 => pid = parent,
                _ => return false,
            }
        };
        pids().filter(|pid| descends(*pid)).collect()
    }

    /// CPU time of all threads, by the scheduler's nanosecond clock, and of the kernel threads
    /// that finish network work for the cores of the server alone.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let family = self.family();
        if family.is_empty() {
            return Err(io::Error::other(format!("the server (pid {}) has ended", self.root)));
        }
        let mut nanos: u64 = family.iter().map(|pid| run_time(*pid)).sum();
        nanos += self.soft_interrupt_threads().iter().map(|pid| run_time(*pid)).sum::<u64>();
        Ok(Duration::from_nanos(nanos))
    }

    /// `ksoftirqd` of the cores that the server may use and this process may not.
    fn soft_interrupt_threads(&self) -> Vec<u32> {
        let ours = cores_of("self");
        let theirs = cores_of(&self.root.to_string());
        let names: Vec<String> =
            theirs.difference(&ours).map(|core| format!("ksoftirqd/{core}")).collect();
        if names.is_empty() {
            return Vec::new();
        }
        // Kernel threads are children of 2.
        let parents = parents();
        let is_one = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            names.iter().any(|wanted| wanted == name.trim())
        };
        pids().filter(|pid| parents.get(pid) == Some(&2)).filter(is_one).collect()
    }

    /// Bytes of user memory: what belongs to the server alone, and its share of the rest (PSS).
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for pid in self.family() {
            bytes += match memory_of(pid) {
                // A child that ended since the family was listed has no memory any more.
                Err(_) if pid != self.root => 0,
                result => result?,
            };
        }
        Ok(bytes)
    }
}

fn memory_of(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    Ok(kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024))
}

fn run_time(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of_task = |path: &Path| {
        let schedstat = fs::read_to_string(path.join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(&task.path())).sum()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The parent of each process.
fn parents() -> HashMap<u32, u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold anything.
        let rest = stat.rsplit_once(')')?.1;
        rest.split_whitespace().nth(1)?.parse().ok()
    };
    pids().filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// The inodes of the sockets that listen on a port.
fn listening_sockets(port: u16) -> HashSet<String> {
    const LISTEN: &str = "0A";
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            let local_port =
                local.rsplit_once(':').and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            if *state == LISTEN && local_port == Some(port) {
                inodes.insert(format!("socket:[{inode}]"));
            }
        }
    }
    inodes
}

/// Looks at every thread: each may have a file table of its own.
fn holds_one_of(pid: u32, sockets: &HashSet<String>) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let holds = |fds: std::path::PathBuf| {
        let Ok(fds) = fs::read_dir(fds) else { return false };
        fds.flatten().any(|fd| {
            fs::read_link(fd.path())
                .is_ok_and(|target| target.to_str().is_some_and(|name| sockets.contains(name)))
        })
    };
    tasks.flatten().any(|task| holds(task.path().join("fd")))
}

/// The cores that a process may use.
fn cores_of(pid: &str) -> HashSet<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    parse_list(list.unwrap_or("").trim())
}

/// `0-2,5` as the kernel writes it.
fn parse_list(list: &str) -> HashSet<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_list("0-2,5"), HashSet::from([0, 1, 2, 5]));
        assert_eq!(parse_list(""), HashSet::new());
    }

    #[test]
    fn the_listener_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::listening_on(listener.local_addr().unwrap()).unwrap();
        assert_eq!(server.pid(), std::process::id());
        assert!(server.is_running());
        assert!(server.memory().unwrap() > 100_000);
    }

    #[test]
    fn the_memory_of_children_that_come_and_go_stops_nothing() {
        let server = Server::new(std::process::id());
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    std::process::Command::new("true").status().unwrap();
                }
                ended.store(true, Relaxed);
            });
            while !ended.load(Relaxed) {
                assert!(server.memory().unwrap() > 100_000);
            }
        });
    }

    #[test]
    fn cpu_time_counts_children() {
        let server = Server::new(std::process::id());
        let before = server.cpu().unwrap();
        let mut child =
            std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let spent = server.cpu().unwrap() - before;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(spent > Duration::from_millis(20), "{spent:?}");
    }
}
