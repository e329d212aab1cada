//! Sends batches without waiting: by a ring of the worker's own, or by `sendmsg`.
//!
//! Both make every send with `MSG_DONTWAIT`, so each completes within the call: when it returns,
//! nothing is in flight, and frames may be plain borrows.

use std::io;

use io_uring::{IoUring, opcode, types};

use crate::hub::{Batch, Hub, Outcome};

/// Sends of one submission, at most.
const RING_ENTRIES: u32 = 256;
const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

pub(crate) enum Sender {
    Ring(Box<RingSender>),
    Calls(CallSender),
}

impl Sender {
    /// A sender by ring, where `io_uring` is given to workers and its ring can be made.
    pub(crate) fn new(io_uring: bool) -> Self {
        let ring = if io_uring { RingSender::new().ok() } else { None };
        match ring {
            Some(ring) => Sender::Ring(Box::new(ring)),
            None => Sender::Calls(CallSender::default()),
        }
    }

    /// Bytes that the kernel took since the start.
    pub(crate) fn sent_bytes(&self) -> u64 {
        match self {
            Sender::Ring(sender) => sender.sent_bytes,
            Sender::Calls(sender) => sender.sent_bytes,
        }
    }

    pub(crate) fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>) {
        match self {
            Sender::Ring(sender) => sender.send(hub, batch, outcomes),
            Sender::Calls(sender) => sender.send(hub, batch, outcomes),
        }
    }
}

/// What the result of one send means, given how much was offered.
fn outcome(result: Result<usize, i32>, offered: usize) -> Outcome {
    match result {
        Ok(sent) if sent == offered => Outcome::Whole,
        Ok(sent) => Outcome::Short(sent),
        // Without memory nothing is told to be writable again: the stall timer looks after it.
        Err(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => Outcome::Short(0),
        Err(_) => Outcome::Gone,
    }
}

fn slice_of(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

const EMPTY_HEADER: libc::msghdr = libc::msghdr {
    msg_name: std::ptr::null_mut(),
    msg_namelen: 0,
    msg_iov: std::ptr::null_mut(),
    msg_iovlen: 0,
    msg_control: std::ptr::null_mut(),
    msg_controllen: 0,
    msg_flags: 0,
};

fn header(slices: &mut [libc::iovec]) -> libc::msghdr {
    libc::msghdr { msg_iov: slices.as_mut_ptr(), msg_iovlen: slices.len(), ..EMPTY_HEADER }
}

/// One system call for each send.
#[derive(Default)]
pub(crate) struct CallSender {
    slices: Vec<libc::iovec>,
    sent_bytes: u64,
}

impl CallSender {
    fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>) {
        for send in batch.sends() {
            self.slices.clear();
            self.slices.extend(hub.slices(batch, send).map(slice_of));
            let offered = self.slices.iter().map(|slice| slice.iov_len).sum();
            let header = header(&mut self.slices);
            // SAFETY: the header points to `slices`, which point to bytes that are borrowed from
            // `hub` and `batch` for the length of this call. The kernel only reads them.
            let sent = unsafe { libc::sendmsg(send.carrier.0, &raw const header, FLAGS) };
            let result = usize::try_from(sent).map_err(|_| last_error());
            self.sent_bytes += result.map_or(0, |sent| sent as u64);
            outcomes.push(outcome(result, offered));
        }
        self.slices.clear();
    }
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// One system call for a batch.
pub(crate) struct RingSender {
    ring: IoUring,
    slices: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
    /// Where the slices of each send begin, and how many bytes it offers.
    offers: Vec<(usize, usize)>,
    sent_bytes: u64,
}

impl RingSender {
    /// Must be called, and used, on the worker's thread.
    fn new() -> io::Result<Self> {
        let plain = |_| IoUring::new(RING_ENTRIES);
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(RING_ENTRIES)
            .or_else(plain)?;
        Ok(RingSender { ring, slices: vec![], headers: vec![], offers: vec![], sent_bytes: 0 })
    }

    fn send(&mut self, hub: &Hub, batch: &Batch, outcomes: &mut Vec<Outcome>) {
        for sends in batch.sends().chunks(RING_ENTRIES as usize) {
            self.lay_out(hub, batch, sends);
            self.submit(sends);
            let first = outcomes.len();
            outcomes.resize(first + sends.len(), Outcome::Gone);
            self.collect(&mut outcomes[first..]);
        }
        self.slices.clear();
        self.headers.clear();
    }

    fn lay_out(&mut self, hub: &Hub, batch: &Batch, sends: &[crate::hub::Send]) {
        self.slices.clear();
        self.offers.clear();
        for send in sends {
            let start = self.slices.len();
            self.slices.extend(hub.slices(batch, send).map(slice_of));
            let offered = self.slices[start..].iter().map(|slice| slice.iov_len).sum();
            self.offers.push((start, offered));
        }
        // Nothing moves any more: the headers may point to the slices.
        let ends = self.offers.iter().skip(1).map(|&(start, _)| start).chain([self.slices.len()]);
        self.headers.clear();
        for (&(start, _), end) in self.offers.iter().zip(ends) {
            self.headers.push(header(&mut self.slices[start..end]));
        }
    }

    fn submit(&mut self, sends: &[crate::hub::Send]) {
        for (i, (send, header)) in sends.iter().zip(&self.headers).enumerate() {
            let fd = types::Fd(send.carrier.0);
            let entry = if header.msg_iovlen == 1 {
                // SAFETY: a header with one slice points to that slice in `self.slices`.
                let slice = unsafe { *header.msg_iov };
                let len = u32::try_from(slice.iov_len).unwrap_or(u32::MAX);
                opcode::Send::new(fd, slice.iov_base.cast(), len).flags(FLAGS).build()
            } else {
                opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build()
            };
            // SAFETY: the entry points to `self.headers`, `self.slices` and bytes borrowed from the
            // hub and the batch. All of them outlive the completion, for which `collect` waits.
            unsafe { self.ring.submission().push(&entry.user_data(i as u64)) }
                .expect("a chunk fits the ring, which is empty before it");
        }
    }

    fn collect(&mut self, outcomes: &mut [Outcome]) {
        let mut missing = outcomes.len();
        while missing > 0 {
            // An interrupted or refused wait leaves what was submitted under way: wait again.
            // There is no way out before everything completed, since the kernel holds pointers.
            let _ = self.ring.submit_and_wait(missing);
            for completion in self.ring.completion() {
                let i = completion.user_data() as usize;
                let result = usize::try_from(completion.result()).map_err(|_| -completion.result());
                self.sent_bytes += result.map_or(0, |sent| sent as u64);
                outcomes[i] = outcome(result, self.offers[i].1);
                missing -= 1;
            }
        }
    }
}
