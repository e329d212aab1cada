//! A proxy that breaks one event in so many, and counts what it did.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Drop,
    Repeat,
    /// With the next event on the same connection.
    Swap,
    Damage,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    events: AtomicU64,
    faults: [AtomicU64; 4],
}

impl Done {
    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.faults[fault as usize].load(SeqCst)
    }

    /// What is to be done to the next event.
    fn next(&self, every: u64) -> Option<Fault> {
        const ALL: [Fault; 4] = [Fault::Drop, Fault::Repeat, Fault::Swap, Fault::Damage];
        let number = self.events.fetch_add(1, SeqCst);
        let is_one = number % every == every / 2;
        is_one.then(|| ALL[(number / every) as usize % ALL.len()])
    }
}

/// Serves connections to `upstream`, of whose events one in `every` is broken.
pub(crate) fn start(upstream: SocketAddr, every: u64) -> (SocketAddr, Arc<Done>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let done = Arc::new(Done::default());
    let counted = Arc::clone(&done);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let done = Arc::clone(&counted);
            thread::spawn(move || {
                let _ = serve(client, upstream, every, &done);
            });
        }
    });
    (addr, done)
}

fn serve(mut client: TcpStream, upstream: SocketAddr, every: u64, done: &Done) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let mut answers = BufReader::with_capacity(64 * 1024, server.try_clone()?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if answers.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    client.write_all(&head)?;
    let is_stream = String::from_utf8_lossy(&head).to_lowercase().contains("text/event-stream");
    if !is_stream {
        io::copy(&mut answers, &mut client)?;
        return Ok(());
    }
    let result = break_chunks(&mut answers, &mut client, every, done);
    let _ = client.shutdown(Shutdown::Both);
    result
}

/// The hub sends each event as one chunk.
fn break_chunks(
    answers: &mut impl BufRead,
    client: &mut TcpStream,
    every: u64,
    done: &Done,
) -> io::Result<()> {
    let mut held: Option<Vec<u8>> = None;
    while let Some(mut chunk) = read_chunk(answers)? {
        let is_event = chunk.windows(6).any(|window| window == b"\ndata:");
        let fault = if is_event && held.is_none() { done.next(every) } else { None };
        match fault {
            None => client.write_all(&chunk)?,
            Some(Fault::Drop) => {}
            Some(Fault::Repeat) => client.write_all(&[&chunk[..], &chunk].concat())?,
            Some(Fault::Damage) => {
                let data = b"data: ";
                let at = chunk.windows(data.len()).rposition(|bytes| bytes == data);
                // The last character of the data, which is one line.
                let at = at.expect("an event has data");
                let len = chunk[at..].iter().position(|byte| *byte == b'\n');
                chunk[at + len.expect("a line") - 1] ^= 1;
                client.write_all(&chunk)?;
            }
            Some(Fault::Swap) => {
                held = Some(chunk);
                continue;
            }
        }
        if let Some(fault) = fault {
            done.faults[fault as usize].fetch_add(1, SeqCst);
        }
        if is_event && let Some(held) = held.take() {
            client.write_all(&held)?;
            done.faults[Fault::Swap as usize].fetch_add(1, SeqCst);
        }
    }
    Ok(())
}

fn read_chunk(answers: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut chunk = Vec::new();
    if answers.read_until(b'\n', &mut chunk)? == 0 {
        return Ok(None);
    }
    let size = String::from_utf8_lossy(&chunk);
    let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
    let mut data = vec![0; size + 2];
    answers.read_exact(&mut data)?;
    chunk.extend_from_slice(&data);
    Ok(Some(chunk))
}
