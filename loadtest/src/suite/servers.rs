//! Servers that are started to be measured.

use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{Fallible, machine, options};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Petasos {
        workers: usize,
        driver: &'static str,
    },
    /// Petasos that keeps its history on the disk, and shows its numbers.
    Durable,
    Floor {
        threads: usize,
    },
    /// nginx with the nchan module: Debian's `nginx` and `libnginx-mod-nchan`.
    Nchan,
}

pub(super) const PETASOS: Kind = Kind::Petasos { workers: 1, driver: "auto" };
pub(super) const FLOOR: Kind = Kind::Floor { threads: 1 };

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Petasos { driver: "epoll", .. } => f.write_str("petasos-epoll"),
            Kind::Petasos { workers: 1, .. } => f.write_str("petasos"),
            Kind::Petasos { workers, .. } => write!(f, "petasos-{workers}"),
            Kind::Durable => f.write_str("petasos-durable"),
            Kind::Floor { .. } => f.write_str("floor"),
            Kind::Nchan => f.write_str("nchan"),
        }
    }
}

const KEY: &str = "a key that is long enough for HS256, and no secret";

/// What tokens are signed with: as a word of a command line.
pub(super) fn key() -> String {
    KEY.replace(' ', "-")
}

/// A server that runs until it is dropped.
pub(super) struct Running {
    kind: Kind,
    child: Child,
    addr: SocketAddr,
    /// Where it shows its numbers, if it does.
    admin: Option<SocketAddr>,
    folder: Option<PathBuf>,
}

impl Running {
    pub(super) fn start(
        kind: Kind,
        options: &options::Suite,
        cores: &[usize],
    ) -> Fallible<Running> {
        let addr = free_addr()?;
        let (mut folder, mut admin) = (None, None);
        let mut command = match kind {
            Kind::Petasos { workers, driver } => petasos(&options.hub, addr, workers, driver),
            Kind::Durable => {
                let path = options.disk.join(format!("loadtest-history-{}", addr.port()));
                fs::create_dir_all(&path)?;
                let shows = free_addr()?;
                (folder, admin) = (Some(path.clone()), Some(shows));
                durable(&options.hub, addr, Some(shows), &path.canonicalize()?, "always")
            }
            Kind::Floor { threads } => {
                let mut command = Command::new(std::env::current_exe()?);
                let (addr, threads) = (addr.to_string(), threads.to_string());
                command.args(["floor", "--listen", &addr, "--threads", &threads]);
                command
            }
            Kind::Nchan => {
                let path = std::env::temp_dir().join(format!("loadtest-nchan-{}", addr.port()));
                fs::create_dir_all(&path)?;
                folder = Some(path.clone());
                nchan(&path, addr)?
            }
        };
        let child = spawn(&mut command, cores)?;
        let mut running = Running { kind, child, addr, admin, folder };
        running.wait()?;
        Ok(running)
    }

    fn wait(&mut self) -> Fallible<()> {
        for _ in 0..200 {
            if TcpStream::connect(self.addr).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended: {status}", self.kind).into());
            }
            sleep(Duration::from_millis(50));
        }
        Err(format!("{} does not listen", self.kind).into())
    }

    /// The options that name the server; `prefix` is `--` for the first, `--vs-` for the second.
    pub(super) fn words(&self, prefix: &str) -> String {
        let (addr, kind, pid) = (self.addr, self.kind, self.child.id());
        let urls = match self.kind {
            Kind::Petasos { .. } | Kind::Durable if prefix == "--" => {
                format!("--hub http://{addr} --key {}", key())
            }
            Kind::Petasos { .. } | Kind::Durable => {
                format!("--vs http://{addr} --vs-key {}", key())
            }
            Kind::Floor { .. } | Kind::Nchan => format!(
                "{prefix}subscribe-url http://{addr}/sub?{{topic}} \
                 {prefix}publish-url http://{addr}/pub?{{topic}}"
            ),
        };
        let metrics = self.admin.map(|addr| format!(" {prefix}metrics http://{addr}/metrics"));
        let metrics = metrics.unwrap_or_default();
        format!(" {urls} {prefix}name {kind} {prefix}pid {pid}{metrics}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx ends its workers on this, and so do the others.
        // SAFETY: a plain system call on a child that was not waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGQUIT) };
        for _ in 0..40 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            sleep(Duration::from_millis(25));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

pub(super) fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Starts a server on these cores.
pub(super) fn spawn(command: &mut Command, cores: &[usize]) -> io::Result<Child> {
    let cores = cores.to_vec();
    // SAFETY: only system calls are made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            machine::pin_to(&cores);
            Ok(())
        });
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// A hub whose history lies in `folder`, which is told from the root.
pub(super) fn durable(
    binary: &Path,
    addr: SocketAddr,
    admin: Option<SocketAddr>,
    folder: &Path,
    sync: &str,
) -> Command {
    let mut command = petasos(binary, addr, 1, "auto");
    let path = folder.join("updates");
    let transport = format!("embedded://{}?max_bytes=0&sync={sync}", path.display());
    command.env("MERCURE_TRANSPORT_URL", transport);
    if let Some(admin) = admin {
        command.env("PETASOS_ADMIN", admin.to_string());
    }
    command
}

fn petasos(binary: &Path, addr: SocketAddr, workers: usize, driver: &str) -> Command {
    let mut command = Command::new(binary);
    command
        .env("ADDR", addr.to_string())
        .env("MERCURE_JWT_KEY", key())
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        // Several hubs run at a time.
        .env("PETASOS_ADMIN", "off")
        .env("MERCURE_TRANSPORT_URL", "memory://")
        .env("PETASOS_WORKERS", workers.to_string())
        .env("PETASOS_DRIVER", driver);
    command
}

/// Where Debian puts the module.
pub(super) fn nchan_module() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/lib/nginx/modules/ngx_nchan_module.so");
    path.exists().then_some(path)
}

fn nchan(folder: &Path, addr: SocketAddr) -> io::Result<Command> {
    let module = nchan_module().unwrap_or_default();
    let folder_name = folder.display();
    let config = format!(
        "load_module {};
        daemon off;
        pid {folder_name}/pid;
        error_log {folder_name}/error.log crit;
        worker_processes 1;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 19800; }}
        http {{
            access_log off;
            keepalive_requests 1000000000;
            nchan_shared_memory_size 512M;
            client_body_temp_path {folder_name}/body;
            server {{
                listen {addr} backlog=4096;
                location /sub {{
                    nchan_subscriber eventsource;
                    nchan_channel_id $args;
                    nchan_subscriber_first_message newest;
                }}
                location /pub {{
                    nchan_publisher;
                    nchan_channel_id $args;
                    nchan_message_buffer_length 100;
                    nchan_message_timeout 60s;
                }}
            }}
        }}",
        module.display()
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(path).arg("-p").arg(folder);
    Ok(command)
}
