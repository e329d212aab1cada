//! Starts the real binary and stops it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

pub(crate) const PUBLISHER_KEY: &str = "publisher-key-of-the-tests-0123456789";
pub(crate) const SUBSCRIBER_KEY: &str = "subscriber-key-of-the-tests-0123456789";
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://hub.example/.well-known/mercure";

/// How long anything may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Names where history is kept.
const TRANSPORT: &str = "MERCURE_TRANSPORT_URL";

/// Of the log of a hub whose test failed.
const LOG_LINES_SHOWN: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    IoUring,
    Epoll,
}

impl Driver {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        }
    }
}

/// A port that nobody listens on, and that nobody else is told of soon: for settings that must
/// name it.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running hub; killed when it is dropped.
pub(crate) struct Hub {
    child: Child,
    pub(crate) addr: SocketAddr,
    admin: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
}

/// A hub that is to be started.
pub(crate) struct Setup {
    command: Command,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output of a command that succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

impl Setup {
    /// A hub on a free port of the loopback interface with one issuer that has a key for each
    /// role, two workers and anonymous subscribers. The environment has nothing else.
    pub(crate) fn new(driver: Driver) -> Self {
        let mut setup = Setup::bare();
        setup.command.env("PETASOS_DRIVER", driver.name());
        let issuer = format!(
            "{ISSUER} {{\n publisher {{\n jwt {PUBLISHER_KEY}\n }}\n \
             subscriber {{\n jwt {SUBSCRIBER_KEY}\n }}\n}}"
        );
        setup
            .directive(&format!("issuer {issuer}"))
            .directive(&format!("resource_identifier {AUDIENCE}"))
            .directive("anonymous")
            .env("PETASOS_WORKERS", "2")
    }

    /// The binary, a free port, history in memory so that nothing is left behind, and nothing else.
    pub(crate) fn bare() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_petasos"));
        command.env_clear().env("ADDR", "127.0.0.1:0").env("PETASOS_ADMIN", "127.0.0.1:0");
        command.env(TRANSPORT, "memory://");
        command.stdin(Stdio::null());
        Setup { command }
    }

    /// A hub that another command runs.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Setup { command }
    }

    /// History on disk, in this directory.
    pub(crate) fn durable(self, directory: &Path) -> Self {
        let directory = directory.to_str().expect("a directory of a test");
        self.env(TRANSPORT, "embedded://").env("PETASOS_DATA_DIR", directory)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds a line to `MERCURE_EXTRA_DIRECTIVES`.
    pub(crate) fn directive(mut self, directive: &str) -> Self {
        let name = "MERCURE_EXTRA_DIRECTIVES";
        let before = self.command.get_envs().find(|(other, _)| *other == name);
        let before = before.and_then(|(_, value)| value?.to_str()).unwrap_or_default();
        let all = format!("{before}\n{directive}");
        self.command.env(name, all);
        self
    }

    /// Text for the standard input of a command.
    pub(crate) fn run_with_input(mut self, input: &str) -> Output {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary was built");
        // A command that does not read is no mistake of the test.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        Output::of(child.wait_with_output().unwrap())
    }

    /// Runs a command that ends by itself.
    pub(crate) fn run(self) -> Output {
        self.run_with_input("")
    }

    /// For what is to happen in the child before it runs the binary.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts the hub and waits until it listens.
    pub(crate) fn start(self) -> Hub {
        self.try_start().unwrap_or_else(|log| panic!("the hub did not start:\n{log}"))
    }

    /// The hub, or all that it said before it gave up.
    pub(crate) fn try_start(mut self) -> Result<Hub, String> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary was built");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, addr) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            let mut admin = None;
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("settings are at http://") {
                    admin = rest.split(['"', ' ']).next().and_then(|addr| addr.parse().ok());
                }
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let addr = rest.split(['"', ' ']).next().and_then(|addr| addr.parse().ok());
                    let _ = addr.map(|addr| found.send((addr, admin)));
                }
                if line.contains("listening on unix:") {
                    // Who has an address as well has told it before.
                    let _ = found.send((SocketAddr::from(([0; 4], 0)), admin));
                }
                shared.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        match addr.recv_timeout(PATIENCE) {
            Ok((addr, admin)) => Ok(Hub { child, addr, admin, log }),
            Err(_) => {
                let _ = child.kill();
                let mut output = String::new();
                let _ = child.stdout.take().expect("piped").read_to_string(&mut output);
                let _ = child.wait();
                let log = log.lock().unwrap();
                Err(format!("{output}{log}"))
            }
        }
    }
}

impl Hub {
    /// Of the hub itself, at the address where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/.well-known/mercure", self.addr)
    }

    /// Where the operator's listener is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("the hub told where it is")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Standard output up to and with the first line that contains `text`.
    pub(crate) fn output_up_to(&mut self, text: &str) -> String {
        let mut output = String::new();
        let mut stdout = BufReader::new(self.child.stdout.as_mut().expect("piped"));
        while !output.lines().any(|line| line.contains(text)) {
            assert_ne!(stdout.read_line(&mut output).unwrap(), 0, "no `{text}` in {output}");
        }
        output
    }

    /// All lines that the hub has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "no `{text}` in the log:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Waits for the hub to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the hub does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
            let last: Vec<_> = log.lines().skip(skipped).collect();
            eprintln!("--- the hub's log, after {skipped} lines:\n{}", last.join("\n"));
        }
    }
}
