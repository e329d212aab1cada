//! The operator's listener: health, numbers, the settings in force. Never on a public address.
//!
//! It has threads of its own and plain blocking sockets: few connections, no hurry, and a worker
//! that is stuck does not keep it from saying so.

mod live;
mod pages;
mod prometheus;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use self::pages::Pages;
use crate::{
    http::{
        body::BodyLength,
        fields::Fields,
        head::Head,
        media::ProblemForm,
        reader::{HeadReader, Limits},
        response::{Envelope, Response},
    },
    log::exchange::Exchange,
    metrics::Metrics,
};

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a body; a token has fewer.
const BODY_MAX: u64 = 128 << 10;
/// A client that sends or takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

const HEAD_LIMITS: Limits =
    Limits { target_len_max: 4096, head_len_max: 16 << 10, header_count_max: 100 };

/// What there is to tell.
#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<Metrics>,
    pub exchange: Arc<Exchange>,
    /// The hub's name in the paths of its health checks.
    pub name: String,
    /// The settings in force, secrets masked.
    pub config: Arc<ArcSwap<String>>,
    pub tokens: Arc<dyn Tokens>,
}

/// What is known of tokens and keys.
pub trait Tokens: Send + Sync {
    /// Why a token passes or fails.
    fn explain(&self, token: &str) -> String;

    /// How often tokens of each key were accepted.
    fn uses(&self) -> Vec<KeyUse>;
}

/// How often tokens of a key were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Empty: the key is bound to none.
    pub issuer: String,
    pub role: String,
    /// What the key is called; never the key.
    pub key: String,
    pub accepted: u64,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin listener cannot have {addr} ({source}): choose another address with --admin, or \
     --admin off"
)]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

/// A listener that nobody is answered on yet.
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

/// Opens the listener: before anything else is started, so that an address which is taken is told
/// at once.
///
/// # Errors
/// Somebody else has the address, or the machine does not.
pub fn listen(addr: SocketAddr) -> Result<Listener, ListenError> {
    let listener = TcpListener::bind(addr).and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok(Listener { listener, addr })
    });
    listener.map_err(|source| ListenError { addr, source })
}

/// Ends the listener when it is dropped.
pub struct Serving {
    addr: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Answers, from now on.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn serve(self, admin: Admin) -> io::Result<Serving> {
        let Listener { listener, addr } = self;
        let pages = Arc::new(Pages { admin, started: Instant::now() });
        let ended = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ended);
        let accept = move || accept(&listener, &pages, &has_ended);
        let thread = Some(thread::Builder::new().name("admin".into()).spawn(accept)?);
        Ok(Serving { addr, ended, thread })
    }
}

impl Serving {
    /// Where it is, with the port that the kernel chose.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Accepting ends with one more connection.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, pages: &Arc<Pages>, ended: &AtomicBool) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if ended.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else {
            // Too many open files: others will close some.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if connections.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        connections.fetch_add(1, Ordering::Relaxed);
        let (pages, guard) = (Arc::clone(pages), Guard(Arc::clone(&connections)));
        let serving = thread::Builder::new().name("admin".into()).spawn(move || {
            let _guard = guard;
            // Whoever asked has gone: there is nobody to tell.
            let _ = serve(&pages, stream);
        });
        // Without a thread, the connection was closed.
        drop(serving);
    }
}

/// Counts a connection while it lives.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers request after request.
fn serve(pages: &Pages, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (mut input, mut heads) = (Vec::new(), HeadReader::default());
    let no_cors = Fields::NONE;
    loop {
        let mut out = Vec::new();
        let keep_alive = match heads.read(&input, &HEAD_LIMITS) {
            Ok(Some((head, len))) => {
                input.drain(..len);
                let envelope = Envelope::for_request(&head, None, &no_cors);
                let response = match read_body(&head, &mut input, &mut stream)? {
                    Some(body) => pages.answer(&head, &body),
                    // What follows would be taken for a request.
                    None => pages::too_large().close(),
                };
                response.encode(&envelope, &mut out)
            }
            Ok(None) => {
                let mut piece = [0; 4096];
                match stream.read(&mut piece)? {
                    0 => return Ok(()),
                    len => input.extend_from_slice(&piece[..len]),
                }
                continue;
            }
            Err(refusal) => {
                let response = Response::refusal(refusal, ProblemForm::Text);
                let _ = response.encode(&Envelope::for_refusal(None, &no_cors), &mut out);
                false
            }
        };
        stream.write_all(&out)?;
        if !keep_alive {
            return Ok(());
        }
    }
}

/// The body of a request; `None`: it is too large, or of a length that is not known beforehand.
fn read_body(
    head: &Head,
    input: &mut Vec<u8>,
    stream: &mut TcpStream,
) -> io::Result<Option<Vec<u8>>> {
    let len = match head.body {
        BodyLength::None => 0,
        BodyLength::Sized(len) if len <= BODY_MAX => len as usize,
        BodyLength::Sized(_) | BodyLength::Chunked => return Ok(None),
    };
    if input.len() < len && head.header("Expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    while input.len() < len {
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => input.extend_from_slice(&piece[..read]),
        }
    }
    Ok(Some(input.drain(..len).collect()))
}
