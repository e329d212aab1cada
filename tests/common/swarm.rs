//! Thousands of connections on one thread: non-blocking sockets in one epoll set.
//!
//! Every byte that comes in is checked against the framing that HTTP/1.1 and server-sent events
//! prescribe. What is understood is told to a closure, in the order of arrival.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::sse::{Block, next_block};

/// Names a connection; never used again for another one.
pub(crate) type PeerId = usize;

/// What arrived on a connection.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    /// The head of a stream that begins.
    Head(&'a str),
    /// An event of a stream.
    Event(&'a Block<'a>),
    /// A whole answer that is not a stream.
    Answer { status: u16, head: &'a str, body: &'a str },
    /// The end of the connection. `proper`: of a stream, that its last chunk came before.
    End { proper: bool },
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Chunks,
    LastChunkSeen,
}

/// How a connection is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// Bytes of the socket's receive buffer; `None`: what the system gives.
    pub(crate) receive_buffer: Option<usize>,
    /// Nothing is read before [`Swarm::set_reading`].
    pub(crate) stalled: bool,
}

struct Peer {
    socket: Socket,
    phase: Phase,
    /// What was received and not understood yet.
    input: Vec<u8>,
    /// Body bytes of a stream that are no whole event yet.
    body: Vec<u8>,
    output: Vec<u8>,
    reading: bool,
}

/// The connections.
pub(crate) struct Swarm {
    epoll: OwnedFd,
    peers: Vec<Option<Box<Peer>>>,
    buffer: Vec<u8>,
    /// Ready in the last turn.
    ready: Vec<libc::epoll_event>,
    pub(crate) bytes_received: u64,
}

impl Swarm {
    pub(crate) fn new() -> Self {
        // SAFETY: a plain system call; the new descriptor is owned here.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        Swarm {
            epoll,
            peers: Vec::new(),
            buffer: vec![0; 256 * 1024],
            ready: vec![libc::epoll_event { events: 0, u64: 0 }; 512],
            bytes_received: 0,
        }
    }

    /// Connects and sends `request`.
    pub(crate) fn open(&mut self, addr: SocketAddr, request: &[u8], opening: Opening) -> PeerId {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        if let Some(len) = opening.receive_buffer {
            socket.set_recv_buffer_size(len).unwrap();
        }
        // On loopback this takes no time, unless the other side's backlog is full.
        socket.connect(&addr.into()).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let id = self.peers.len();
        let peer = Peer {
            socket,
            phase: Phase::Head,
            input: Vec::new(),
            body: Vec::new(),
            output: Vec::new(),
            reading: !opening.stalled,
        };
        self.peers.push(Some(Box::new(peer)));
        self.control(libc::EPOLL_CTL_ADD, id);
        self.send(id, request);
        id
    }

    /// Sends, or keeps what the socket does not take at once.
    pub(crate) fn send(&mut self, id: PeerId, bytes: &[u8]) {
        let Some(peer) = &mut self.peers[id] else { return };
        peer.output.extend_from_slice(bytes);
        if peer.flush() {
            self.control(libc::EPOLL_CTL_MOD, id);
        }
    }

    /// Starts or stops reading: what is not read fills the socket, as a stalled client does.
    pub(crate) fn set_reading(&mut self, id: PeerId, reading: bool) {
        if let Some(peer) = &mut self.peers[id] {
            peer.reading = reading;
            self.control(libc::EPOLL_CTL_MOD, id);
        }
    }

    /// Closes a connection; whatever is still to come is lost.
    pub(crate) fn close(&mut self, id: PeerId) {
        self.peers[id] = None;
    }

    /// The local port of an open connection.
    pub(crate) fn port(&self, id: PeerId) -> Option<u16> {
        Some(self.peers[id].as_ref()?.socket.local_addr().ok()?.as_socket()?.port())
    }

    pub(crate) fn is_open(&self, id: PeerId) -> bool {
        self.peers[id].is_some()
    }

    fn control(&self, operation: i32, id: PeerId) {
        let Some(peer) = &self.peers[id] else { return };
        let reads = if peer.reading { libc::EPOLLIN } else { 0 };
        let writes = if peer.output.is_empty() { 0 } else { libc::EPOLLOUT };
        let mut event = libc::epoll_event { events: (reads | writes) as u32, u64: id as u64 };
        let fd = peer.socket.as_raw_fd();
        // SAFETY: a plain system call on open descriptors.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    /// Waits for up to `wait`, and tells what has arrived. Each ready connection is read once, so
    /// that none keeps the others waiting. Returns whether anything was ready.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut tell: impl FnMut(PeerId, &Happening<'_>),
    ) -> bool {
        let (ready, len) = (self.ready.as_mut_ptr(), self.ready.len() as i32);
        // SAFETY: the kernel writes at most `len` events.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), ready, len, wait.as_millis() as i32)
        };
        let count = usize::try_from(count).unwrap_or(0);
        for i in 0..count {
            let libc::epoll_event { events, u64: id } = self.ready[i];
            let id = id as usize;
            if events as i32 & libc::EPOLLOUT != 0
                && let Some(peer) = &mut self.peers[id]
                && !peer.flush()
            {
                self.control(libc::EPOLL_CTL_MOD, id);
            }
            if events as i32 & !libc::EPOLLOUT != 0 {
                self.read(id, &mut tell);
            }
        }
        count > 0
    }

    fn read(&mut self, id: PeerId, tell: &mut impl FnMut(PeerId, &Happening<'_>)) {
        let Some(peer) = &mut self.peers[id] else { return };
        let read = io::Read::read(&mut peer.socket, &mut self.buffer);
        match read {
            Ok(len @ 1..) => {
                self.bytes_received += len as u64;
                peer.receive(&self.buffer[..len], &mut |happening| tell(id, happening));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => {
                let proper = peer.phase == Phase::LastChunkSeen;
                self.peers[id] = None;
                tell(id, &Happening::End { proper });
            }
        }
    }
}

impl Peer {
    /// Sends what waits. True if something is left.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match io::Write::write(&mut self.socket, &self.output) {
                Ok(len) => drop(self.output.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // The end is seen by reading.
                Err(_) => self.output.clear(),
            }
        }
        false
    }

    fn receive(&mut self, received: &[u8], tell: &mut impl FnMut(&Happening<'_>)) {
        if self.input.is_empty() {
            let used = self.understand(received, tell);
            self.input.extend_from_slice(&received[used..]);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(received);
            let used = self.understand(&input, tell);
            input.drain(..used);
            self.input = input;
        }
    }

    /// Takes whole answers and chunks from the start of `input`; returns their length.
    fn understand(&mut self, input: &[u8], tell: &mut impl FnMut(&Happening<'_>)) -> usize {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let len = match self.phase {
                Phase::Head => self.answer(rest, tell),
                Phase::Chunks => self.chunk(rest, tell),
                Phase::LastChunkSeen => {
                    assert!(rest.is_empty(), "nothing follows the last chunk: {}", excerpt(rest));
                    None
                }
            };
            match len {
                Some(len) => used += len,
                None => return used,
            }
        }
    }

    fn answer(&mut self, input: &[u8], tell: &mut impl FnMut(&Happening<'_>)) -> Option<usize> {
        let end = 4 + input.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&input[..end]).unwrap();
        let status = head[9..12].parse().unwrap_or_else(|_| panic!("no status: {head}"));
        let field = |name: &str| {
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            fields.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, v)| v).next()
        };
        if field("transfer-encoding").is_some() {
            self.phase = Phase::Chunks;
            tell(&Happening::Head(head));
            return Some(end);
        }
        let len: usize = field("content-length").map_or(0, |len| len.parse().unwrap());
        let body = std::str::from_utf8(input.get(end..end + len)?).unwrap();
        tell(&Happening::Answer { status, head, body });
        Some(end + len)
    }

    fn chunk(&mut self, input: &[u8], tell: &mut impl FnMut(&Happening<'_>)) -> Option<usize> {
        let line = input.windows(2).take(20).position(|two| two == b"\r\n");
        let Some(line) = line else {
            assert!(input.len() < 20, "no chunk begins here: {}", excerpt(input));
            return None;
        };
        let digits = std::str::from_utf8(&input[..line]).unwrap_or("?");
        let size = usize::from_str_radix(digits, 16)
            .unwrap_or_else(|_| panic!("no size of a chunk: {}", excerpt(input)));
        let start = line + 2;
        let end = start + size;
        let tail = input.get(end..end + 2)?;
        assert_eq!(tail, b"\r\n", "a chunk ends where its size says: {}", excerpt(input));
        if size == 0 {
            self.phase = Phase::LastChunkSeen;
            assert!(self.body.is_empty(), "the stream ends within an event");
            return Some(end + 2);
        }
        let chunk = &input[start..end];
        if self.body.is_empty() {
            let used = events(chunk, tell);
            self.body.extend_from_slice(&chunk[used..]);
        } else {
            self.body.extend_from_slice(chunk);
            let body = std::mem::take(&mut self.body);
            let used = events(&body, tell);
            self.body.extend_from_slice(&body[used..]);
        }
        Some(end + 2)
    }
}

/// Tells whole events; comments on their own are taken too. Returns the length of what was taken.
fn events(body: &[u8], tell: &mut impl FnMut(&Happening<'_>)) -> usize {
    let mut used = 0;
    loop {
        let rest = &body[used..];
        if rest.starts_with(b":\n") {
            used += 2;
            continue;
        }
        let Some((block, len)) = next_block(rest) else { return used };
        assert_eq!(block.unknown, 0, "an unknown field: {}", excerpt(rest));
        tell(&Happening::Event(&block));
        used += len;
    }
}

fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}

/// A small generator of random numbers: the same seed makes the same test.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Small seeds make as good a start as others.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The seed that `PETASOS_SEED` names, or one that nobody foresees; printed, so that a run
    /// that fails can be repeated.
    pub(crate) fn seeded(what: &str) -> Self {
        let given = std::env::var("PETASOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let seed: u64 = given.unwrap_or_else(|| u64::from(clock()));
        eprintln!("{what}: PETASOS_SEED={seed}");
        Random::new(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) as usize * bound) >> 32
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
