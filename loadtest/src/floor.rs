//! The floor: a bare loop of `send`, one for each subscriber and update.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{machine, swarm::Swarm};

/// A thread on core 0 that sends a frame to each of its connections when it is told to.
pub(crate) struct Floor {
    pub(crate) swarm: Swarm,
    orders: mpsc::Sender<Vec<u8>>,
    costs: mpsc::Receiver<Duration>,
}

impl Floor {
    pub(crate) fn start(count: usize) -> io::Result<Floor> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let accepting = thread::spawn(move || -> io::Result<Vec<TcpStream>> {
            (0..count).map(|_| listener.accept().map(|(stream, _)| stream)).collect()
        });
        let swarm = Swarm::open(addr, count, b"")?;
        let streams = accepting.join().expect("accepting does not panic")?;
        for stream in &streams {
            stream.set_nodelay(true)?;
        }
        let (orders, orders_in) = mpsc::channel::<Vec<u8>>();
        let (costs_out, costs) = mpsc::channel();
        thread::spawn(move || {
            machine::pin_to(0);
            for frame in orders_in {
                let before = machine::thread_cpu();
                for stream in &streams {
                    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                    // SAFETY: the kernel reads `frame` during the call.
                    unsafe {
                        let (bytes, len) = (frame.as_ptr().cast(), frame.len());
                        libc::send(stream.as_raw_fd(), bytes, len, flags)
                    };
                }
                let _ = costs_out.send(machine::thread_cpu() - before);
            }
        });
        Ok(Floor { swarm, orders, costs })
    }

    /// Sends `frame` to everybody, waits until it arrived, and returns the CPU time of the sends.
    pub(crate) fn round(&mut self, frame: Vec<u8>) -> io::Result<Duration> {
        let total = self.swarm.received + (frame.len() * self.swarm.streams.len()) as u64;
        self.orders.send(frame).map_err(io::Error::other)?;
        self.swarm.receive_until(total)?;
        self.costs.recv().map_err(io::Error::other)
    }
}
