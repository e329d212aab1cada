//! A bare server that sends a file to everybody who connects: read and send, nothing else. What a
//! replay takes beyond it is the hub's own.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    machine::{self, process::Server},
    options, progress,
};

/// Bytes that are read and sent at a time: what a hub reads at a time, too.
const PIECE: usize = 128 * 1024;

/// Serves until it is killed.
pub(crate) fn serve(options: &options::Cat) -> io::Result<()> {
    machine::raise_open_files();
    let listener = TcpListener::bind(options.listen)?;
    println!("listens on {}", options.listen);
    for peer in listener.incoming() {
        let (mut peer, mut file) = (peer?, File::open(&options.file)?);
        std::thread::spawn(move || -> io::Result<()> {
            let mut buffer = vec![0; PIECE];
            // Until everybody is there.
            peer.read_exact(&mut [0])?;
            loop {
                let len = file.read(&mut buffer)?;
                if len == 0 {
                    break;
                }
                peer.write_all(&buffer[..len])?;
            }
            // The time of a thread that has ended is no longer told.
            peer.read(&mut [0]).map(drop)
        });
    }
    Ok(())
}

/// What it takes to send so many bytes to so many peers.
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

/// Measures it on the cores of `server`, with a file in `folder`.
pub(crate) fn measure(
    server: &Server,
    folder: &Path,
    peers: usize,
    bytes: usize,
) -> io::Result<Measured> {
    let bare = Bare::start(server.cores(), folder, bytes)?;
    let its = Server::new(bare.child.id());
    let streams = (0..peers)
        .map(|_| {
            let stream = TcpStream::connect(bare.addr)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let (before, begin) = (its.cpu()?, Instant::now());
    for mut stream in &streams {
        stream.write_all(b"!")?;
    }
    receive(&streams, bytes)?;
    Ok(Measured { elapsed: begin.elapsed(), cpu: its.cpu()? - before })
}

fn receive(streams: &[TcpStream], bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0_u8; 256 * 1024];
    let (mut received, goal) = (0, bytes * streams.len());
    let mut progressed = Instant::now();
    while received < goal {
        let before = received;
        for mut stream in streams {
            received += stream.read(&mut buffer).unwrap_or(0);
        }
        progress::show("bytes of the bare server", received as u64, goal as u64);
        if received > before {
            progressed = Instant::now();
        } else if progressed.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other("what the bare server sends does not arrive"));
        } else {
            sleep(Duration::from_micros(200));
        }
    }
    progress::clear();
    Ok(())
}

/// The server as a process of its own, and its file.
struct Bare {
    child: Child,
    addr: std::net::SocketAddr,
    path: PathBuf,
}

impl Bare {
    fn start(cores: Vec<usize>, folder: &Path, bytes: usize) -> io::Result<Bare> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("loadtest-cat-{}", std::process::id()));
        fs::write(&path, vec![b'x'; bytes])?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("cat").args(["--listen", &addr.to_string()]).arg("--file").arg(&path);
        // SAFETY: only system calls are made between fork and exec.
        unsafe {
            command.pre_exec(move || {
                machine::pin_to(&cores);
                Ok(())
            });
        }
        let child = command.stdout(Stdio::null()).spawn()?;
        let bare = Bare { child, addr, path };
        for _ in 0..200 {
            // Who says nothing is sent nothing.
            if TcpStream::connect(addr).is_ok() {
                return Ok(bare);
            }
            sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the bare server does not listen"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.path);
    }
}
