//! Waiting for descriptors of our own kind, and giving way to everything else on the worker.

use std::{
    future::{Future, poll_fn},
    io,
    mem::ManuallyDrop,
    os::fd::{FromRawFd, RawFd},
    pin::pin,
    task::Poll,
};

use monoio::net::TcpStream;

use super::sockets::EventBell;
use crate::log::bell::Ring;

/// Watches a descriptor that somebody else owns.
pub(crate) struct Watch {
    /// The runtime only watches sockets; that is all this is used for. Never dropped, since that
    /// would close the descriptor.
    stream: ManuallyDrop<TcpStream>,
}

impl Watch {
    /// `fd` must stay open for as long as the worker runs.
    pub(crate) fn new(fd: RawFd) -> io::Result<Self> {
        // SAFETY: the descriptor is open and is never closed by the handle made here.
        let stream = TcpStream::from_std(unsafe { std::net::TcpStream::from_raw_fd(fd) })?;
        Ok(Watch { stream: ManuallyDrop::new(stream) })
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }
}

/// Gives way: all tasks that are ready, all timers and all completed operations come before
/// whoever waits for this.
///
/// The runtime looks at timers and completions only when nothing is ready, and a task that wakes
/// itself comes before all others. So this waits for the kernel: for a descriptor that becomes
/// readable only once the wait has begun.
pub(crate) struct GiveWay {
    bell: EventBell,
    watch: Watch,
}

impl GiveWay {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = EventBell::new()?;
        let watch = Watch::new(bell.descriptor())?;
        Ok(GiveWay { bell, watch })
    }

    /// For one task at a time.
    pub(crate) async fn wait(&self) {
        let mut readable = pin!(self.watch.readable());
        let mut rung = false;
        poll_fn(|cx| {
            let poll = readable.as_mut().poll(cx);
            if poll.is_pending() && !rung {
                rung = true;
                self.bell.ring();
            }
            match poll {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.bell.silence();
    }
}
