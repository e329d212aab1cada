//! Listening sockets: one for each worker and address, all on the same port; and those that all
//! workers share, which an application gives, or which are UNIX sockets.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{
    start::StartError,
    unix::{self, SocketFile, UnixAddress},
};

/// What a stream sends by itself, so often, shows that its peer is gone: it is not acknowledged.
const HEARTBEAT_MAX: Duration = Duration::from_secs(40);
/// How long that takes then. Together they stay below a minute.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(16);
/// Where heartbeats are rare, or switched off, the kernel asks a silent peer for a sign of life,
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// again and again,
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// and gives it up after so much silence. It does not ask while something is not acknowledged, and
/// what is sent just before the end makes it wait once more: twice this is below a minute.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Bytes that the kernel takes for a peer beyond what is on its way to it: a peer that stopped
/// reading costs no more.
const UNSENT_MAX: u32 = 64 * 1024;
/// An address that is in use for longer is served by somebody who lives: the sockets of a ring
/// outlive a process that was killed by a moment.
pub(super) const AFTERLIFE: Duration = Duration::from_millis(500);

/// Opens a worker's listening socket.
fn listen(addr: SocketAddr, backlog: i32, heartbeat: Option<Duration>) -> io::Result<TcpListener> {
    let socket = socket(addr)?;
    socket.set_reuse_port(true)?;
    inherit(&socket, heartbeat)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Sets what accepted sockets inherit; or have of themselves, where somebody else accepted them.
pub(crate) fn inherit(socket: &Socket, heartbeat: Option<Duration>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Peers that vanish without a word are gone within a minute.
    if heartbeat.is_some_and(|heartbeat| heartbeat <= HEARTBEAT_MAX) {
        // No probes: timers of the kernel are so coarse that those of 100,000 connections which
        // came together would fire together. A queue of the kernel drops most of such a burst,
        // and peers that live would be given up.
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    } else {
        let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    }
    socket.set_tcp_notsent_lowat(UNSENT_MAX)
}

fn socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = addr {
        // `[::]` takes IPv4 as well, as people expect of "all addresses".
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    Ok(socket)
}

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.set_nonblocking(is_nonblocking),
            Listener::Unix(listener) => listener.set_nonblocking(is_nonblocking),
        }
    }

    /// The same for one more worker.
    fn share(&self, heartbeat: Option<Duration>) -> io::Result<Self> {
        match self {
            Listener::Tcp(listener) => {
                inherit(&SockRef::from(listener), heartbeat)?;
                listener.try_clone().map(Listener::Tcp)
            }
            // Whoever vanishes there is on this machine, and the kernel tells.
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }
}

/// Where workers take connections: settled before they start.
#[derive(Default)]
pub struct Listening {
    /// Ports on which each worker opens a socket of its own.
    claims: Vec<Claim>,
    given: Vec<TcpListener>,
    unix: Vec<unix::Claim>,
}

/// Where workers take connections, once those sockets listen that all of them share.
pub(super) struct Open {
    claims: Vec<Claim>,
    shared: Vec<Listener>,
    pub(super) files: Vec<SocketFile>,
}

/// What one worker listens on.
pub(super) struct Share {
    /// To be opened by the worker.
    addrs: Vec<SocketAddr>,
    open: Vec<Listener>,
}

impl Listening {
    /// On these addresses: claims them, and learns the ports that the kernel chooses for 0.
    pub fn on(addrs: &[SocketAddr], unix: &[UnixAddress]) -> Result<Self, StartError> {
        let claims = addrs.iter().map(|&addr| claim(addr)).collect::<Result<_, _>>()?;
        let unix = unix.iter().map(unix::Claim::new).collect::<Result<_, _>>()?;
        Ok(Listening { claims, unix, ..Listening::default() })
    }

    /// On sockets that listen already, or none.
    pub fn given(given: Vec<TcpListener>) -> Self {
        Listening { given, ..Listening::default() }
    }

    /// The addresses, one for one.
    pub fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let claimed = self.claims.iter().map(|claim| Ok(claim.addr()));
        claimed.chain(self.given.iter().map(TcpListener::local_addr)).collect()
    }

    /// `backlog`: connections that may wait for each of so many workers.
    pub(super) fn open(self, backlog: i32, workers: usize) -> Result<Open, StartError> {
        let Listening { claims, given, unix } = self;
        let (mut shared, mut files): (Vec<_>, _) =
            (given.into_iter().map(Listener::Tcp).collect(), Vec::new());
        let backlog = backlog.saturating_mul(i32::try_from(workers).unwrap_or(i32::MAX));
        for claim in unix {
            let (listener, file) = claim.open(backlog)?;
            shared.push(Listener::Unix(listener));
            files.push(file);
        }
        Ok(Open { claims, shared, files })
    }
}

impl Open {
    /// What one more worker listens on.
    pub(super) fn share(&self, heartbeat: Option<Duration>) -> io::Result<Share> {
        let share = |listener: &Listener| listener.share(heartbeat);
        Ok(Share {
            addrs: self.claims.iter().map(Claim::addr).collect(),
            open: self.shared.iter().map(share).collect::<io::Result<_>>()?,
        })
    }
}

impl Share {
    /// To be called on the worker's thread, in the file table that it will use.
    pub(super) fn open(
        self,
        backlog: i32,
        heartbeat: Option<Duration>,
    ) -> Result<Vec<Listener>, StartError> {
        let open = |addr| {
            let listener = listen(addr, backlog, heartbeat);
            listener.map(Listener::Tcp).map_err(|source| StartError::Listen { addr, source })
        };
        self.addrs.into_iter().map(open).chain(self.open.into_iter().map(Ok)).collect()
    }
}

fn claim(mut addr: SocketAddr) -> Result<Claim, StartError> {
    if addr.ip() == Ipv6Addr::UNSPECIFIED && !has_ipv6() {
        addr.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    Claim::new(addr).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse { addr },
        _ => StartError::Listen { addr, source },
    })
}

/// Keeps the port for this process until all workers listen.
struct Claim {
    addr: SocketAddr,
    _lock: Option<UnixListener>,
    /// Has the port that the kernel chose, so that it is given to nobody else meanwhile.
    _socket: Option<Socket>,
}

impl Claim {
    /// Finds out whether the port is served already. `SO_REUSEPORT` alone would not say so: two
    /// hubs would silently share it. The lock keeps a second start out until the workers listen.
    fn new(addr: SocketAddr) -> io::Result<Self> {
        if addr.port() == 0 {
            let socket = socket(addr)?;
            // Beside it only those can bind that share the port, as workers do.
            socket.set_reuse_address(false)?;
            socket.set_reuse_port(true)?;
            socket.bind(&addr.into())?;
            let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
            return Ok(Claim { addr, _lock: None, _socket: Some(socket) });
        }
        let lock = lock(addr)?;
        bind_when_free(addr)?;
        Ok(Claim { addr, _lock: Some(lock), _socket: None })
    }

    /// The address, with the port that the kernel chose if it was 0.
    fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Whether the machine speaks IPv6 at all.
fn has_ipv6() -> bool {
    let loopback = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    socket(loopback).is_ok_and(|socket| socket.bind(&loopback.into()).is_ok())
}

/// Binds to the address, and waits a little for it.
fn bind_when_free(addr: SocketAddr) -> io::Result<Socket> {
    let until = Instant::now() + AFTERLIFE;
    loop {
        let socket = socket(addr)?;
        match socket.bind(&addr.into()) {
            Ok(()) => return Ok(socket),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn lock(addr: SocketAddr) -> io::Result<UnixListener> {
    let name = UnixAddr::from_abstract_name(format!("petasos-listen-{addr}"))?;
    UnixListener::bind_addr(&name)
}

/// Makes a listener stop: a pending accept ends with an error, and new connections are refused.
pub(crate) fn stop_listening(listener: &impl AsRawFd) {
    // SAFETY: the descriptor is open while the listener is borrowed.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(listener.as_raw_fd()) };
    // An error means that it does not listen any more.
    let _ = SockRef::from(&fd).shutdown(std::net::Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_kernel_chose_is_kept_for_the_workers() {
        let claim = Claim::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let others = std::net::TcpListener::bind(claim.addr()).unwrap_err();
        assert_eq!(others.kind(), io::ErrorKind::AddrInUse);
        for _ in 0..2 {
            let worker = socket(claim.addr()).unwrap();
            worker.set_reuse_port(true).unwrap();
            worker.bind(&claim.addr().into()).unwrap();
        }
    }
}
