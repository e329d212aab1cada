//! What the kernel takes for one send, in several ways that take turns on the same sockets.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use io_uring::{IoUring, opcode, types};

use crate::{
    machine, options, progress,
    report::{Report, median},
};

const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Sends of one submission.
const BATCH: usize = 256;
/// Frames of one vectored send.
const WAITING: usize = 4;

/// Measures on the first core, and receives on the last one.
pub(crate) fn measure(options: &options::Send) -> io::Result<Report> {
    machine::raise_open_files();
    let cores = machine::cores();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let (streams, received) = connect(options.subscribers, last)?;
    machine::pin_to(&[first]);
    let mut ring = IoUring::builder().setup_single_issuer().build(BATCH as u32).ok();
    let frame = vec![b'x'; options.frame];
    let mut costs = [const { Vec::new() }; 3];
    for round in 0..options.rounds {
        progress::show("rounds", round as u64, options.rounds as u64);
        let mut turn = |way: usize, frames: usize, send: &mut dyn FnMut() -> io::Result<()>| {
            let goal = received.load(SeqCst) + (streams.len() * frames * frame.len()) as u64;
            let before = machine::thread_cpu();
            send()?;
            let cost = (machine::thread_cpu() - before).as_secs_f64() * 1e6;
            costs[way].push(cost / (streams.len() * frames) as f64);
            wait_for(&received, goal)
        };
        turn(0, 1, &mut || {
            streams.iter().for_each(|stream| send_one(stream, &frame));
            Ok(())
        })?;
        if let Some(ring) = &mut ring {
            turn(1, 1, &mut || send_by_ring(ring, &streams, &frame))?;
        }
        turn(2, WAITING, &mut || {
            streams.iter().for_each(|stream| send_several(stream, &frame));
            Ok(())
        })?;
    }
    progress::clear();
    let mut report = Report::new("send", "the kernel");
    report.setting("subscribers", options.subscribers);
    report.setting("bytes", options.frame);
    let [plain, by_ring, several] = costs.each_mut().map(|costs| median(costs));
    report.number("send", plain, "us");
    if !by_ring.is_nan() {
        report.number("io_uring, 256 at once", by_ring, "us");
        report.number("io_uring, ratio to send", by_ring / plain, "");
    }
    report.number("four frames in one sendmsg, each", several, "us");
    report.number("four frames, ratio to send", several / plain, "");
    Ok(report)
}

/// Connections whose other ends are read by a thread of their own. Returns the bytes it got.
fn connect(count: usize, core: usize) -> io::Result<(Vec<TcpStream>, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let receiver = TcpStream::connect(addr)?;
        receiver.set_nonblocking(true)?;
        receivers.push(receiver);
        let (sender, _) = listener.accept()?;
        sender.set_nodelay(true)?;
        senders.push(sender);
    }
    std::thread::spawn(move || {
        machine::pin_to(&[core]);
        receive(&receivers, &counter)
    });
    Ok((senders, received))
}

/// Reads by turns, so that nobody has to wake it: that would count for the sender.
fn receive(streams: &[TcpStream], received: &AtomicU64) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let mut bytes = 0;
        for mut stream in streams {
            bytes += io::Read::read(&mut stream, &mut buffer).unwrap_or(0) as u64;
        }
        if bytes > 0 {
            received.fetch_add(bytes, SeqCst);
        } else {
            sleep(Duration::from_micros(200));
        }
    }
}

fn wait_for(received: &AtomicU64, goal: u64) -> io::Result<()> {
    let begin = Instant::now();
    while received.load(SeqCst) < goal {
        if begin.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other("what was sent does not arrive"));
        }
        sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn send_one(stream: &TcpStream, frame: &[u8]) {
    // SAFETY: the kernel reads `frame` during the call.
    unsafe { libc::send(stream.as_raw_fd(), frame.as_ptr().cast(), frame.len(), FLAGS) };
}

fn send_several(stream: &TcpStream, frame: &[u8]) {
    let slice = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
    let mut slices = [slice; WAITING];
    // SAFETY: the header is plain memory, and points to `slices`, which point to `frame`; the
    // kernel reads them during the call.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = slices.as_mut_ptr();
        header.msg_iovlen = slices.len();
        libc::sendmsg(stream.as_raw_fd(), &raw const header, FLAGS);
    }
}

fn send_by_ring(ring: &mut IoUring, streams: &[TcpStream], frame: &[u8]) -> io::Result<()> {
    for batch in streams.chunks(BATCH) {
        for stream in batch {
            let fd = types::Fd(stream.as_raw_fd());
            let send =
                opcode::Send::new(fd, frame.as_ptr(), frame.len() as u32).flags(FLAGS).build();
            // SAFETY: `frame` outlives the completions, which are waited for below.
            unsafe { ring.submission().push(&send) }.map_err(io::Error::other)?;
        }
        let mut missing = batch.len();
        while missing > 0 {
            let _ = ring.submit_and_wait(missing);
            missing -= ring.completion().count();
        }
    }
    Ok(())
}
