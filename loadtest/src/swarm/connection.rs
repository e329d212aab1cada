//! The socket of one subscriber.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections from one loopback address. It has more ports, but the kernel tries every other one
/// first, and beyond half of them each connection takes a long search.
const PER_SOURCE: usize = 10_000;

/// Begins to connect subscriber number `index`. Does not wait.
pub(super) fn connect(addr: SocketAddr, index: usize, stalled: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if stalled {
        socket.set_recv_buffer_size(4096)?;
    }
    if let SocketAddr::V4(v4) = addr
        && v4.ip().is_loopback()
    {
        // The port is chosen when the other end is known, so a source has ports enough for each.
        set_bind_address_no_port(&socket);
        let source = index / PER_SOURCE;
        let ip = Ipv4Addr::new(127, 1, (source / 250) as u8, 1 + (source % 250) as u8);
        socket.bind(&SocketAddr::from((ip, 0)).into())?;
    }
    match socket.connect(&addr.into()) {
        Err(error)
            if error.raw_os_error() != Some(libc::EINPROGRESS)
                && error.kind() != ErrorKind::WouldBlock =>
        {
            Err(error)
        }
        // SAFETY: the descriptor is given up by the socket and owned from here on.
        _ => Ok(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }),
    }
}

fn set_bind_address_no_port(socket: &Socket) {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads an integer. Where it is refused, ports are chosen at once.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

/// Sends without waiting.
pub(super) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `bytes` during the call.
    let sent = unsafe {
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives without waiting.
pub(super) fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let received =
        unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}
