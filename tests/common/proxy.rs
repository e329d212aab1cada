//! What stands between a client and a hub, and does to connections what networks do.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Passed,
    /// This answer, and the end.
    Answered(&'static str),
    /// The hub has the request and has answered; the answer is lost.
    AnswerLost,
    /// Cut after so long.
    CutAfter(Duration),
    /// Cut behind the first `text` that comes after so many bytes of the answer.
    CutBehind {
        text: &'static [u8],
        after: usize,
    },
    /// Taken, and never answered.
    Ignored,
}

/// Decides by the number of the connection.
type Decide = Box<dyn Fn(usize) -> Fate + Send>;

/// A proxy that runs for as long as the test does.
pub(crate) struct Proxy {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(hub: SocketAddr, decide: impl Fn(usize) -> Fate + Send + 'static) -> Self {
        let decide: Decide = Box::new(decide);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/.well-known/mercure", listener.local_addr().unwrap());
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::default());
        let proxy =
            Proxy { url, connections: Arc::clone(&connections), requests: Arc::clone(&requests) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let fate = decide(connections.fetch_add(1, Ordering::SeqCst));
                let requests = Arc::clone(&requests);
                thread::spawn(move || pass(&client, hub, fate, &requests));
            }
        });
        proxy
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The targets of the first requests of connections, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let target = |request: &String| request.split(' ').nth(1).map(str::to_owned);
        requests.iter().filter_map(target).collect()
    }

    /// The values of this field in the first requests of connections, in order.
    pub(crate) fn field(&self, name: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let value = |request: &String| {
            let mut lines = request.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, it)| it.to_owned())
        };
        requests.iter().filter_map(value).collect()
    }
}

fn pass(client: &TcpStream, hub: SocketAddr, fate: Fate, requests: &Mutex<Vec<String>>) {
    let mut first = vec![0; 64 * 1024];
    let Ok(len) = { client }.read(&mut first) else { return };
    first.truncate(len);
    requests.lock().unwrap().push(String::from_utf8_lossy(&first).into_owned());
    let hub_side = match fate {
        Fate::Answered(answer) => {
            let _ = { client }.write_all(answer.as_bytes());
            return;
        }
        Fate::Ignored => {
            // Until the client leaves.
            let _ = { client }.read(&mut first);
            return;
        }
        _ => TcpStream::connect(hub).unwrap(),
    };
    { &hub_side }.write_all(&first).unwrap();
    let upstream = (client.try_clone().unwrap(), hub_side.try_clone().unwrap());
    thread::spawn(move || copy(&upstream.0, &upstream.1));
    match fate {
        Fate::AnswerLost => {
            // The answer is there: the update is published.
            let _ = { &hub_side }.read(&mut first);
        }
        Fate::CutAfter(time) => {
            let downstream = (hub_side.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || copy(&downstream.0, &downstream.1));
            thread::sleep(time);
        }
        Fate::CutBehind { text, after } => copy_up_to(&hub_side, client, text, after),
        _ => copy(&hub_side, client),
    }
    for side in [client, &hub_side] {
        let _ = side.shutdown(Shutdown::Both);
    }
}

/// Copies until either side ends, and ends the other.
pub(crate) fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Copies up to and with the first `text` that comes after so many bytes.
fn copy_up_to(mut from: &TcpStream, mut to: &TcpStream, text: &[u8], after: usize) {
    let (mut buffer, mut copied) = (vec![0; 64 * 1024], Vec::new());
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let begin = copied.len();
        copied.extend_from_slice(&buffer[..len]);
        // It may have begun in what was copied before.
        let start = after.max(begin.saturating_sub(text.len() - 1)).min(copied.len());
        let found = copied[start..].windows(text.len()).position(|part| part == text);
        copied.truncate(found.map_or(copied.len(), |at| start + at + text.len()));
        if to.write_all(&copied[begin..]).is_err() || found.is_some() {
            break;
        }
    }
}
