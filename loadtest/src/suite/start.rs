//! How long a hub takes to start with a long history, and how much memory it needs then.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    servers,
    steps::{Figure, Step, at_most, figure},
};
use crate::{
    Fallible,
    check::Ledger,
    options,
    publisher::{self, Pace, Publisher, Until},
    report::Report,
    target::Target,
    topics::Topics,
};

/// Publications under way while the history is made.
const UNDER_WAY: usize = 256;
/// A hub that does not serve by then is given up.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) const FIGURES: &[Figure] = &[
    at_most(
        figure("until a hub serves that ended in good order", "until it serves"),
        "< 1,000 ms",
        1e3,
    ),
    at_most(figure("its memory then (RSS)", "memory (RSS)"), "<= 200 MB", 200.0),
    figure("until it serves after a SIGKILL", "after a kill, until it serves"),
];

/// The line of the suite that its rows belong to.
pub(super) const STEP: Step = Step { name: "start", figures: FIGURES, ..super::steps::DEFAULT };

/// A hub that ends with this.
struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hub {
    /// Ends it, in good order or not.
    fn end(&mut self, signal: i32) -> io::Result<()> {
        // SAFETY: a plain system call on a child that was not waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
        self.0.wait().map(drop)
    }
}

/// Where the hub of all starts is.
struct Place<'a> {
    options: &'a options::Suite,
    addr: SocketAddr,
    folder: PathBuf,
    cores: &'a [usize],
}

impl Place<'_> {
    /// Starts the hub. Returns how long it took until it has answered a subscriber.
    fn start(&self, sync: &str) -> Fallible<(Hub, Duration)> {
        let Place { options, addr, folder, cores } = self;
        let mut command = servers::durable(&options.hub, *addr, None, folder, sync);
        let begin = Instant::now();
        let mut hub = Hub(servers::spawn(&mut command, cores)?);
        while !answers(*addr) {
            if let Some(status) = hub.0.try_wait()? {
                return Err(format!("the hub ended: {status}").into());
            }
            if begin.elapsed() > PATIENCE {
                return Err("the hub does not serve".into());
            }
            sleep(Duration::from_millis(1));
        }
        Ok((hub, begin.elapsed()))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a hub on a history of `options.history` updates, with nothing of it in memory.
pub(super) fn measure(options: &options::Suite, server_core: usize) -> Fallible<Report> {
    let folder = options.disk.join(format!("loadtest-start-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let addr = servers::free_addr()?;
    let cores = &[server_core];
    let place = Place { options, addr, folder, cores };
    let mut report = Report::new("start", "petasos-durable");
    report.setting("updates in the history", options.history);

    let (mut hub, empty) = place.start("off")?;
    fill(addr, options.history)?;
    hub.end(libc::SIGTERM)?;
    report.number("until it serves, without a history", millis(empty), "ms");
    report.number("bytes of the history", bytes_in(&place.folder)? as f64 / 1e6, "MB");

    let dropped = drop_caches();
    report.setting("caches of the disk", if dropped { "dropped" } else { "not dropped" });
    let (mut hub, time) = place.start("always")?;
    report.number("until it serves", millis(time), "ms");
    report.number("memory (RSS)", resident(hub.0.id())? as f64 / 1e6, "MB");
    fill(addr, 1_000)?;
    hub.end(libc::SIGKILL)?;

    drop_caches();
    let (_hub, time) = place.start("always")?;
    report.number("after a kill, until it serves", millis(time), "ms");
    Ok(report)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Publishes so many updates.
fn fill(addr: SocketAddr, count: u64) -> Fallible<()> {
    let target = Target::mercure(&format!("http://{addr}"), &servers::key(), false)?;
    let topics = Arc::new(Topics::new(1_000, UNDER_WAY));
    let mut topic = 0;
    let plan = publisher::Plan {
        target,
        ledger: Arc::new(Ledger::new(topics.series_len())),
        topics: Arc::clone(&topics),
        connections: UNDER_WAY,
        pace: Pace::Closed,
        until: Until::Count(count),
        data_len: 100,
        private: false,
        next_topic: Box::new(move || {
            topic = (topic + 1) % topics.len() as u32;
            topic
        }),
    };
    Publisher::start(plan)?.wait()?;
    Ok(())
}

/// Whether a subscriber is answered with a stream.
fn answers(addr: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let path = "/.well-known/mercure?match=anything";
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())?;
        let mut line = [0; 12];
        stream.read_exact(&mut line)?;
        Ok(&line == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Makes the kernel forget what it has read of the disk. Only root may.
fn drop_caches() -> bool {
    // SAFETY: a plain system call. What is not written yet cannot be forgotten.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Bytes of memory that a process has, with what it shares.
fn resident(pid: u32) -> Fallible<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    Ok(kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024))
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
