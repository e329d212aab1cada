//! The floor: the least that a server of this kind can do. One `send` for each subscriber and
//! update; no protocol worth the name, no history, no authorization.

use std::{
    collections::{HashMap, HashSet},
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
};

use memchr::memmem;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{machine, options};

/// A frame on its way to the subscribers of a topic.
type Published = (Arc<str>, Arc<[u8]>);

/// Another thread's queue, and what wakes it.
#[derive(Clone)]
struct Neighbour {
    queue: mpsc::Sender<Published>,
    bell: RawFd,
}

/// Serves until it is killed.
pub(crate) fn serve(options: &options::Floor) -> io::Result<()> {
    machine::raise_open_files();
    let count = options.threads.max(1);
    let mut neighbours = Vec::new();
    let mut queues = Vec::new();
    for _ in 0..count {
        let (queue, published) = mpsc::channel();
        // SAFETY: a plain system call. Never closed, and made before file tables part.
        let bell = machine::check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) })?;
        neighbours.push(Neighbour { queue, bell });
        queues.push(published);
    }
    let numbers = Arc::new(AtomicU64::new(1));
    let together = Arc::new(Barrier::new(count));
    let mut threads = Vec::new();
    for (index, published) in queues.into_iter().enumerate() {
        let neighbours = neighbours.clone();
        let (numbers, together, addr) =
            (Arc::clone(&numbers), Arc::clone(&together), options.listen);
        threads.push(std::thread::spawn(move || -> io::Result<()> {
            together.wait();
            if count > 1 {
                machine::own_file_table()?;
            }
            let listener = listen(addr)?;
            together.wait();
            if index == 0 {
                println!("the floor listens on http://{addr}");
            }
            Thread::new(listener, index, neighbours, published, numbers)?.serve()
        }));
    }
    threads.into_iter().try_for_each(|thread| {
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

struct Thread {
    epoll: OwnedFd,
    listener: TcpListener,
    index: usize,
    neighbours: Vec<Neighbour>,
    published: mpsc::Receiver<Published>,
    numbers: Arc<AtomicU64>,
    /// Connections that publish, or have said nothing yet.
    talking: HashMap<RawFd, (TcpStream, Vec<u8>)>,
    subscribers: HashMap<Arc<str>, Vec<RawFd>>,
    /// Subscribers that left, and are not taken out yet.
    gone: HashSet<RawFd>,
}

impl Thread {
    fn new(
        listener: TcpListener,
        index: usize,
        neighbours: Vec<Neighbour>,
        published: mpsc::Receiver<Published>,
        numbers: Arc<AtomicU64>,
    ) -> io::Result<Thread> {
        // SAFETY: a plain system call; the new descriptor is owned here.
        let epoll = unsafe { OwnedFd::from_raw_fd(machine::check(libc::epoll_create1(0))?) };
        let thread = Thread {
            epoll,
            listener,
            index,
            neighbours,
            published,
            numbers,
            talking: HashMap::new(),
            subscribers: HashMap::new(),
            gone: HashSet::new(),
        };
        thread.watch(thread.listener.as_raw_fd(), LISTENER, libc::EPOLLIN)?;
        thread.watch(thread.neighbours[index].bell, BELL, libc::EPOLLIN)?;
        Ok(thread)
    }

    fn watch(&self, fd: RawFd, data: u64, flags: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags as u32, u64: data };
        // SAFETY: a plain system call on descriptors that are open.
        machine::check(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })
        .map(drop)
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
            // SAFETY: the kernel writes at most as many events as the array has.
            let count =
                unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 256, -1) };
            let count = match machine::check(count) {
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                other => other? as usize,
            };
            if self.gone.len() > 1_000 {
                self.remove_gone();
            }
            for event in &events[..count] {
                match event.u64 {
                    LISTENER => self.accept()?,
                    BELL => self.take_published(),
                    fd => self.read(fd as RawFd, event.events as i32)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let fd = stream.as_raw_fd();
            let flags = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
            self.watch(fd, fd as u64, flags)?;
            self.talking.insert(fd, (stream, Vec::new()));
        }
        Ok(())
    }

    fn read(&mut self, fd: RawFd, flags: i32) -> io::Result<()> {
        let Some((stream, received)) = self.talking.get_mut(&fd) else {
            if flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0 {
                self.gone.insert(fd);
            }
            return Ok(());
        };
        let mut buffer = [0; 16 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(len @ 1..) => received.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.talking.remove(&fd);
                    return Ok(());
                }
            }
        }
        while let Some((is_post, topic, body, len)) =
            self.talking.get(&fd).and_then(|(_, received)| request(received))
        {
            if !is_post {
                return self.subscribe(fd, &topic);
            }
            let answer = self.publish(&topic, &body);
            if let Some((stream, received)) = self.talking.get_mut(&fd) {
                received.drain(..len);
                stream.write_all(&answer)?;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, fd: RawFd, topic: &str) -> io::Result<()> {
        let Some((mut stream, _)) = self.talking.remove(&fd) else { return Ok(()) };
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )?;
        let fd = stream.into_raw_fd();
        self.subscribers.entry(topic.into()).or_default().push(fd);
        Ok(())
    }

    fn publish(&mut self, topic: &str, data: &[u8]) -> Vec<u8> {
        let id = format!("urn:uuid:{:032x}0000", self.numbers.fetch_add(1, SeqCst));
        let mut event = format!("id: {id}\ndata: ").into_bytes();
        event.extend_from_slice(data);
        event.extend_from_slice(b"\n\n");
        let mut frame = format!("{:x}\r\n", event.len()).into_bytes();
        frame.extend_from_slice(&event);
        frame.extend_from_slice(b"\r\n");
        let (topic, frame): Published = (topic.into(), frame.into());
        for (index, neighbour) in self.neighbours.iter().enumerate() {
            if index != self.index && neighbour.queue.send((topic.clone(), frame.clone())).is_ok() {
                let one = 1_u64;
                // SAFETY: eight bytes are written from eight bytes.
                unsafe { libc::write(neighbour.bell, (&raw const one).cast(), 8) };
            }
        }
        self.deliver(&topic, &frame);
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}", id.len()).into_bytes()
    }

    fn take_published(&mut self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are read into eight bytes.
        unsafe { libc::read(self.neighbours[self.index].bell, (&raw mut count).cast(), 8) };
        while let Ok((topic, frame)) = self.published.try_recv() {
            self.deliver(&topic, &frame);
        }
    }

    /// The floor itself.
    fn deliver(&self, topic: &str, frame: &[u8]) {
        for &fd in self.subscribers.get(topic).into_iter().flatten() {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: the kernel reads `frame` during the call. What it does not take is lost:
            // the floor is for subscribers that keep up.
            unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), flags) };
        }
    }

    /// Takes out those who left: many at once, since that costs a look at everybody.
    fn remove_gone(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.subscribers.retain(|_, fds| {
            fds.retain(|fd| !gone.contains(fd));
            !fds.is_empty()
        });
        for fd in gone {
            // SAFETY: it came from `into_raw_fd`, and is closed once.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

/// The first request in `bytes`, if it is whole: is it a `POST`, its topic, its body, its length.
fn request(bytes: &[u8]) -> Option<(bool, String, Vec<u8>, usize)> {
    let end = memmem::find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let mut line = lines.next()?.split(' ');
    let is_post = line.next() == Some("POST");
    let topic = line.next()?.split_once('?')?.1.to_owned();
    let body_len: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let body = bytes.get(end + 4..end + 4 + body_len)?.to_vec();
    Some((is_post, topic, body, end + 4 + body_len))
}
