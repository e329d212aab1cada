//! A client that hides nothing: requests are bytes, answers are parsed strictly.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use super::hub::PATIENCE;

/// A connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Whether the connection goes on after this answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.field("connection") {
            Some(option) => option == "keep-alive",
            None => self.head.starts_with("HTTP/1.1"),
        }
    }

    /// The `detail` of a problem document.
    pub(crate) fn detail(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a field, by its name in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, received: Vec::new() }
    }

    /// By a UNIX socket, which the standard library handles like one of TCP.
    pub(crate) fn open_unix(path: impl AsRef<Path>) -> Self {
        let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Reads more; false at the end of the connection.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading failed: {error}"),
        }
    }

    /// Reads a head, up to and with its empty line.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let more = self.receive();
            assert!(more, "no head: {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Reads an answer that has a `Content-Length`, or none and no body. Interim answers are
    /// returned like others.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head[9..12].parse().unwrap();
        let len: usize = field(&head, "content-length").map_or(0, |len| len.parse().unwrap());
        while self.received.len() < len {
            assert!(self.receive(), "the body is cut off: {head}");
        }
        let body = String::from_utf8(self.received.drain(..len).collect()).unwrap();
        Answer { status, head, body }
    }

    /// Reads an answer to `HEAD`: no body, whatever the head says.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        let head = self.head();
        Answer { status: head[9..12].parse().unwrap(), head, body: String::new() }
    }

    /// All that arrives until the hub closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// Writes what the hub takes; false if it does not take any more.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Whether the hub closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.received.is_empty() && !self.receive()
    }

    /// Whether nothing arrives for this long, with the connection open.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let result = self.stream.peek(&mut byte);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.received.is_empty()
            && result.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn request(addr: SocketAddr, request: &str) -> Answer {
    Connection::open(addr).send(request).answer()
}

/// A request for a subscription, answered with anything but a stream.
pub(crate) fn refused(addr: SocketAddr, query: &str, fields: &str) -> Answer {
    let answer = request(
        addr,
        &format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n"),
    );
    assert_ne!(answer.status, 200, "{answer:?}");
    answer
}

/// Sends bytes and returns all that comes back until the hub closes.
pub(crate) fn exchange(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut connection = Connection::open(addr);
    connection.send(bytes);
    String::from_utf8(connection.rest()).unwrap()
}

/// Percent-encodes everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match unreserved(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// The bytes of a publication.
pub(crate) fn publication(token: &str, fields: &[(&str, &str)]) -> String {
    let form: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    publication_of(token, &form.join("&"))
}

/// The bytes of a publication with a form as it stands.
pub(crate) fn publication_of(token: &str, form: &str) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// Publishes on a connection of its own, with a token for everything.
pub(crate) fn try_publish(addr: SocketAddr, form: &str) -> Answer {
    request(addr, &publication_of(&super::tokens::publisher(&["*"]), form))
}

/// Publishes, and returns the id.
pub(crate) fn publish(addr: SocketAddr, token: &str, fields: &[(&str, &str)]) -> String {
    let answer = request(addr, &publication(token, fields));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) retry: String,
    pub(crate) data: String,
}

/// An open stream. Its framing is checked byte by byte.
pub(crate) struct Stream {
    connection: Connection,
    pub(crate) head: String,
    chunked: bool,
    body: Vec<u8>,
    ended: bool,
    cut_off: bool,
    pub(crate) comments: usize,
    events: VecDeque<Event>,
}

impl Stream {
    /// Subscribes with a query like `match=a&match=b` and more header lines, each with its CRLF.
    pub(crate) fn open(addr: SocketAddr, query: &str, fields: &str) -> Self {
        Self::from_request(
            addr,
            &format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n"),
        )
    }

    /// Sends a request that must be answered with a stream.
    pub(crate) fn from_request(addr: SocketAddr, request: &str) -> Self {
        let mut connection = Connection::open(addr);
        connection.send(request);
        Self::from_connection(connection)
    }

    /// The next answer on a connection is a stream.
    pub(crate) fn from_connection(mut connection: Connection) -> Self {
        let head = connection.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let chunked = field(&head, "transfer-encoding").is_some();
        let mut stream = Stream {
            connection,
            head,
            chunked,
            body: Vec::new(),
            ended: false,
            cut_off: false,
            comments: 0,
            events: VecDeque::new(),
        };
        // What came with the head.
        stream.take_body(false);
        stream
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            self.parse();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let more = self.connection.receive();
            self.take_body(!more);
        }
    }

    /// The data of the next so many events.
    pub(crate) fn data(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().expect("the stream goes on").data).collect()
    }

    /// Whether nothing but comments arrives for this long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        let until = std::time::Instant::now() + time;
        loop {
            self.parse();
            if !self.events.is_empty() || self.ended {
                return false;
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            if !self.connection.is_silent_for(left) {
                let more = self.connection.receive();
                self.take_body(!more);
            }
        }
    }

    /// Reads to the end: what is left of the events, and whether the stream was ended properly,
    /// with the last chunk and then the end of the connection, or without chunks.
    pub(crate) fn end(&mut self) -> (Vec<Event>, bool) {
        let events = std::iter::from_fn(|| self.next()).collect();
        (events, !self.cut_off && self.connection.is_closed())
    }

    /// The connection below, for what clients should not do.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.connection.stream
    }

    /// Takes the chunks that were received whole out of what was received.
    fn take_body(&mut self, end_of_input: bool) {
        let received = &mut self.connection.received;
        if !self.chunked {
            self.body.append(received);
            self.ended = end_of_input;
            return;
        }
        while let Some(line) = received.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&received[..line]).unwrap();
            let size = usize::from_str_radix(size, 16)
                .unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
            let end = line + 2 + size;
            if received.len() < end + 2 {
                break;
            }
            assert_eq!(&received[end..end + 2], b"\r\n", "a chunk ends where its size says");
            self.body.extend_from_slice(&received[line + 2..end]);
            received.drain(..end + 2);
            if size == 0 {
                assert!(received.is_empty(), "nothing follows the last chunk");
                self.ended = true;
            }
        }
        if end_of_input && !self.ended {
            // Cut off: whatever is left is not for anybody.
            (self.ended, self.cut_off) = (true, true);
        }
    }

    /// Takes whole events out of the body.
    fn parse(&mut self) {
        while let Some(end) = self.body.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.body.drain(..end + 2).collect();
            self.parse_block(std::str::from_utf8(&block).unwrap());
        }
        // Comments between events end with one line feed.
        while self.body.starts_with(b":\n") {
            self.comments += 1;
            self.body.drain(..2);
        }
    }

    fn parse_block(&mut self, block: &str) {
        let mut event = Event::default();
        let mut data: Option<String> = None;
        for line in block.trim_end_matches('\n').split('\n') {
            if line == ":" {
                self.comments += 1;
                continue;
            }
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            match name {
                "id" => event.id = value.to_owned(),
                "event" => event.event = value.to_owned(),
                "retry" => event.retry = value.to_owned(),
                "data" => match &mut data {
                    None => data = Some(value.to_owned()),
                    Some(data) => *data = format!("{data}\n{value}"),
                },
                _ => panic!("an unknown field: {line:?}"),
            }
        }
        if let Some(data) = data {
            event.data = data;
            self.events.push_back(event);
        } else if event != Event::default() {
            self.events.push_back(event);
        }
    }
}
