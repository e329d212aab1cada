//! Very many connections that only receive, on one thread.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

/// Connections from one source address: ports run out beyond.
const PER_SOURCE: usize = 20_000;

pub(crate) struct Swarm {
    epoll: i32,
    pub(crate) streams: Vec<TcpStream>,
    /// Bytes received by all together.
    pub(crate) received: u64,
}

impl Swarm {
    /// Opens `count` connections, and sends `hello` on each.
    pub(crate) fn open(addr: SocketAddr, count: usize, hello: &[u8]) -> io::Result<Swarm> {
        // SAFETY: a plain system call.
        let epoll = unsafe { libc::epoll_create1(0) };
        let mut streams = Vec::with_capacity(count);
        for i in 0..count {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let source = [127, 0, 1 + (i / PER_SOURCE) as u8, 1];
            socket.bind(&SocketAddr::from((source, 0)).into())?;
            socket.connect(&addr.into())?;
            let mut stream = TcpStream::from(socket);
            stream.write_all(hello)?;
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: i as u64 };
            // SAFETY: the stream is open.
            unsafe {
                let fd = stream.as_raw_fd();
                libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event)
            };
            streams.push(stream);
        }
        Ok(Swarm { epoll, streams, received: 0 })
    }

    /// Waits until each connection has received something, such as an answer's head.
    pub(crate) fn wait_for_answers(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        for stream in &mut self.streams {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let count = stream.read(&mut buffer)?;
            if !buffer[..count].starts_with(b"HTTP/1.1 200") {
                let answer = String::from_utf8_lossy(&buffer[..count]).into_owned();
                return Err(io::Error::other(format!("not a stream: {answer}")));
            }
        }
        Ok(())
    }

    /// Receives until `total` bytes arrived since the beginning.
    pub(crate) fn receive_until(&mut self, total: u64) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut buffer = vec![0_u8; 256 * 1024];
        while self.received < total {
            if Instant::now() > until {
                let missing = total - self.received;
                return Err(io::Error::other(format!("{missing} bytes do not arrive")));
            }
            // SAFETY: the kernel writes at most as many events as the array has.
            let count = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), 1024, 1000) };
            for event in &events[..count.max(0) as usize] {
                let stream = &mut self.streams[event.u64 as usize];
                let read = stream.read(&mut buffer)?;
                if read == 0 {
                    return Err(io::Error::other("a connection was closed"));
                }
                self.received += read as u64;
            }
        }
        Ok(())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { libc::close(self.epoll) };
    }
}
