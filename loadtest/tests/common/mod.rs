//! Servers to measure, and the command that measures them.

pub(crate) mod proxy;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

const KEY: &str = "a key that is long enough for HS256, and no secret";

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// Where its history lies, if it has one.
    folder: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn loadtest() -> Command {
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
}

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The hub of this repository, built beside the load test.
pub(crate) fn hub() -> Server {
    start_hub("off", "memory://", None)
}

/// The same with a history on disk, and the URL of its numbers.
pub(crate) fn hub_on_disk() -> (Server, String) {
    let folder = temporary();
    let (admin, transport) = (free_addr(), format!("embedded://{}/updates", folder.display()));
    let hub = start_hub(&admin.to_string(), &transport, Some(folder));
    (hub, format!("http://{admin}/metrics"))
}

fn start_hub(admin: &str, transport: &str, folder: Option<PathBuf>) -> Server {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_loadtest")).with_file_name("petasos");
    assert!(binary.exists(), "{} is missing: cargo build --workspace", binary.display());
    let mut command = Command::new(binary);
    command
        .env("MERCURE_JWT_KEY", KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .env("PETASOS_ADMIN", admin)
        .env("MERCURE_TRANSPORT_URL", transport)
        .env("PETASOS_WORKERS", "2")
        .stderr(Stdio::piped());
    let addr = free_addr();
    command.env("ADDR", addr.to_string());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.find(|line| line.as_ref().unwrap().contains("listening on"));
    assert!(said.is_some(), "the hub did not start");
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, addr, folder }
}

/// The floor.
pub(crate) fn floor(threads: usize) -> Server {
    let addr = free_addr();
    let mut command = loadtest();
    command.args(["floor", "--listen", &addr.to_string(), "--threads", &threads.to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listens"), "{line}");
    Server { child, addr, folder: None }
}

/// Runs `loadtest` with these words, separated by blanks.
pub(crate) fn run(words: &str) -> Output {
    loadtest().args(words.split_whitespace()).env("MERCURE_JWT_KEY", KEY).output().unwrap()
}

/// Runs it, and returns what it prints and the result that it writes.
pub(crate) fn result(words: &str) -> (Output, Value) {
    let path = temporary();
    let output = run(&format!("{words} --json {}", path.display()));
    let text = fs::read(&path).unwrap_or_else(|_| panic!("no result: {output:?}"));
    let _ = fs::remove_file(&path);
    (output, serde_json::from_slice(&text).unwrap())
}

/// A path at which there is nothing yet.
pub(crate) fn temporary() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("loadtest-{}-{number}", std::process::id()))
}

pub(crate) fn number_of(result: &Value, name: &str) -> f64 {
    let numbers = result["numbers"].as_array().unwrap();
    let number = numbers.iter().find(|number| number["name"] == name);
    number.unwrap_or_else(|| panic!("no {name} in {result}"))["value"].as_f64().unwrap()
}

pub(crate) fn plain_urls(addr: SocketAddr) -> String {
    format!("--subscribe-url http://{addr}/sub?{{topic}} --publish-url http://{addr}/pub?{{topic}}")
}
