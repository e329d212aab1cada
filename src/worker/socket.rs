//! Sockets of clients and those that they come by, on the runtime: TCP, or of the family UNIX. What
//! is done with both is the same.

use std::{
    io,
    os::fd::{AsRawFd, IntoRawFd, RawFd},
};

use monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut},
    io::{AsyncReadRent, AsyncWriteRentExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::listener::Listener;
use crate::http::forwarded::Peer;

/// A socket that listens.
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    pub(super) fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => TcpListener::from_std(listener).map(Door::Tcp),
            Listener::Unix(listener) => UnixListener::from_std(listener).map(Door::Unix),
        }
    }

    /// The next connection, and who it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Peer::from(peer.ip())))
            }
            Door::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
        }
    }
}

impl AsRawFd for Door {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Door::Tcp(listener) => listener.as_raw_fd(),
            Door::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

/// The socket of a client, while a task serves it.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn read<B: IoBufMut>(&mut self, buffer: B) -> BufResult<usize, B> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer).await,
            Socket::Unix(stream) => stream.read(buffer).await,
        }
    }

    pub(super) async fn write_all<B: IoBuf + 'static>(&mut self, bytes: B) -> BufResult<usize, B> {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes).await,
            Socket::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    /// Waits until there is something to read, or the end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.readable(false).await,
            Socket::Unix(stream) => stream.readable(false).await,
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl IntoRawFd for Socket {
    fn into_raw_fd(self) -> RawFd {
        match self {
            Socket::Tcp(stream) => stream.into_raw_fd(),
            Socket::Unix(stream) => stream.into_raw_fd(),
        }
    }
}
