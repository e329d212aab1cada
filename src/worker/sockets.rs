//! The sockets of a worker's subscribers, and the one descriptor that the pump sleeps on.
//!
//! A subscriber is a bare descriptor in one epoll set: no task, no buffer, no pending operation.
//! The set also holds the worker's bell and its timer, and is itself watched by the runtime.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use super::{clients::Counted, pump::Outside, sender::Sender};
use crate::{
    hub::{Batch, Carrier, Ended, Hub, Key, Moment, Outcome, Reason},
    log::{
        bell::Ring,
        history::{Read, Search},
        thread::Readers,
    },
    protocol::frame::{Form, LAST_CHUNK},
};

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 256;
/// Bytes that a subscriber may send while its stream is open before it is cut; clients send none.
const CHATTER_MAX: usize = 64 * 1024;

/// What subscribers are always watched for.
const ENDS: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;

const BELL: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// An eventfd that wakes a worker. Made before the worker has a file table of its own, and never
/// closed: other threads know it by its number.
#[derive(Debug, Clone)]
pub(crate) struct EventBell(Arc<OwnedFd>);

impl EventBell {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a plain system call; the new descriptor is owned here.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        Ok(EventBell(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn silence(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are read into eight bytes. Nothing to read is fine.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl Ring for EventBell {
    fn ring(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are written from eight bytes. It cannot block: the counter is far
        // from full, and a full one would be readable anyway.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

/// What the kernel said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Writable(Key),
    Gone(Key),
}

pub(crate) struct Sockets {
    epoll: OwnedFd,
    timer: OwnedFd,
    bell: EventBell,
    sender: Sender,
    readers: Readers,
    /// When the timer fires.
    armed: Option<Moment>,
    /// Where the kernel writes events.
    raw_events: Box<[libc::epoll_event]>,
    /// The carriers that were closed, to be counted.
    pub(crate) closed: u64,
    /// Of whose clients the streams are limited.
    counted: HashMap<RawFd, Counted>,
}

impl Sockets {
    /// To be made on the worker's thread, in the file table that it will use.
    pub(crate) fn new(bell: EventBell, sender: Sender, readers: Readers) -> io::Result<Self> {
        // SAFETY: plain system calls; the new descriptors are owned here.
        let (epoll, timer) = unsafe {
            let epoll = OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?);
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            let timer = check(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?;
            (epoll, OwnedFd::from_raw_fd(timer))
        };
        let sockets = Sockets {
            epoll,
            timer,
            bell,
            sender,
            readers,
            armed: None,
            raw_events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX].into(),
            closed: 0,
            counted: HashMap::new(),
        };
        sockets.watch(sockets.bell.descriptor(), libc::EPOLLIN, BELL)?;
        sockets.watch(sockets.timer.as_raw_fd(), libc::EPOLLIN, TIMER)?;
        Ok(sockets)
    }

    /// Bytes that were sent to subscribers since the start.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sender.sent_bytes()
    }

    /// Readable when something happened.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Has a stream counted until its socket is closed.
    pub(crate) fn keep_counted(&mut self, carrier: Carrier, counted: Counted) {
        self.counted.insert(carrier.0, counted);
    }

    /// Watches a subscriber's socket for its end; and for room, if it is full. Told once for each
    /// change.
    pub(crate) fn add(&self, carrier: Carrier, key: Key, is_full: bool) -> io::Result<()> {
        let events = if is_full { ENDS | libc::EPOLLOUT } else { ENDS };
        self.watch(carrier.0, events, key.to_bits())
    }

    /// Watches it for room too, from the first short send on: most sockets never have one, and
    /// each new one would be reported as having room.
    fn await_room(&self, carrier: Carrier, key: Key) {
        let events = ENDS | libc::EPOLLOUT;
        // Cannot fail for a socket that is watched; without it the stall timer would end it.
        let _ = self.control(libc::EPOLL_CTL_MOD, carrier.0, events, key.to_bits());
    }

    fn watch(&self, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, data)
    }

    fn control(&self, operation: i32, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: a plain system call on descriptors that are open.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })
            .map(drop)
    }

    /// Takes events without waiting; `carrier_of` finds a subscriber's socket. Returns false if
    /// there may be more.
    pub(crate) fn poll(
        &mut self,
        carrier_of: impl Fn(Key) -> Option<Carrier>,
        events: &mut Vec<Event>,
    ) -> bool {
        let room = self.raw_events.len() as i32;
        // SAFETY: the kernel writes at most as many events as there is room for.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.raw_events.as_mut_ptr(), room, 0)
        };
        let count = usize::try_from(count).unwrap_or(0);
        for index in 0..count {
            let event = self.raw_events[index];
            let (flags, data) = (event.events as i32, event.u64);
            match data {
                BELL => self.bell.silence(),
                TIMER => self.silence_timer(),
                bits => {
                    let key = Key::from_bits(bits);
                    let Some(carrier) = carrier_of(key) else { continue };
                    let ends = libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
                    if flags & ends != 0 || (flags & libc::EPOLLIN != 0 && self.chats(carrier)) {
                        events.push(Event::Gone(key));
                    } else if flags & libc::EPOLLOUT != 0 {
                        events.push(Event::Writable(key));
                    }
                }
            }
        }
        count < EVENTS_MAX
    }

    /// Throws away what a subscriber sends. True if it is too much, or the end.
    fn chats(&mut self, carrier: Carrier) -> bool {
        let mut heard = 0;
        while heard <= CHATTER_MAX {
            match discard(carrier.0) {
                Ok(0) => return true,
                Ok(len) => heard += len,
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Wakes the pump at `at`, if not before. Setting a timer is a system call: one that fires
    /// too early is cheaper.
    pub(crate) fn set_timer(&mut self, at: Option<Moment>, now: Moment) {
        let Some(at) = at.filter(|at| self.armed.is_none_or(|armed| *at < armed)) else { return };
        self.armed = Some(at);
        // Zero would switch the timer off.
        let millis = at.0.saturating_sub(now.0).max(1);
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(millis / 1000).unwrap_or(libc::time_t::MAX),
            tv_nsec: (millis % 1000) as i64 * 1_000_000,
        };
        let interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: interval, it_value: value };
        // SAFETY: a plain system call; the old value is not asked for.
        unsafe {
            let fd = self.timer.as_raw_fd();
            libc::timerfd_settime(fd, 0, &raw const spec, std::ptr::null_mut());
        }
    }

    fn silence_timer(&mut self) {
        self.armed = None;
        let mut count = 0_u64;
        // SAFETY: eight bytes are read into eight bytes. Nothing to read is fine.
        unsafe { libc::read(self.timer.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl Outside for Sockets {
    fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>) {
        let first = outcomes.len();
        self.sender.send(hub, batch, outcomes);
        for (send, outcome) in batch.sends().iter().zip(&outcomes[first..]) {
            if let Outcome::Short(_) = outcome {
                self.await_room(send.carrier, send.key);
            }
        }
    }

    fn close(&mut self, ended: Ended) {
        let fd = ended.carrier.0;
        match ended.reason {
            Reason::Left | Reason::Deadline => {}
            Reason::Stalled | Reason::Slow | Reason::Overtaken => {
                tracing::info!(reason = ?ended.reason, "a subscriber that was too slow is cut");
            }
            Reason::Unreadable => {
                tracing::info!("a subscriber is cut: the history cannot be read on for it");
            }
        }
        if ended.is_whole && ended.form == Form::Chunked {
            send_now(fd, LAST_CHUNK);
        }
        // What the peer sent and nobody read would turn the close into a reset, which may overtake
        // the last bytes.
        self.chats(ended.carrier);
        // SAFETY: the descriptor came from `into_raw_fd` and is closed once: the hub gives each
        // carrier back once.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        self.closed += 1;
        if !self.counted.is_empty() {
            self.counted.remove(&fd);
        }
    }

    fn read(&mut self, read: Read) {
        self.readers.request(read);
    }

    fn search(&mut self, search: Search) {
        self.readers.search(search);
    }
}

/// Sends what the socket takes at once, and returns how much that was.
pub(crate) fn send_now(fd: RawFd, bytes: &[u8]) -> usize {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads `bytes` during the call.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
    // An error is seen again, as an event of the socket.
    usize::try_from(sent).unwrap_or(0)
}

/// Throws away what was received, up to a limit; 0 at the end of input.
pub(crate) fn discard(fd: RawFd) -> io::Result<usize> {
    const LEN: usize = 64 * 1024;
    // Of a TCP socket, nothing is written with this flag; others do not know it.
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let mut rubbish = MaybeUninit::<[u8; LEN]>::uninit();
    // SAFETY: the kernel writes at most as many bytes as there are, and nobody reads them.
    let len = unsafe { libc::recv(fd, rubbish.as_mut_ptr().cast(), LEN, flags) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
