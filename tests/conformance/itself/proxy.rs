//! Stands before a good hub, and makes a wrong one of it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What is asked, and what is answered, before anybody sees it.
#[derive(Clone, Copy, Default)]
pub(super) struct Alteration {
    pub(super) asked: Option<fn(&mut Message)>,
    pub(super) answered: Option<fn(&Message, &mut Message)>,
    /// A block of lines of a stream, with the empty line at its end.
    pub(super) event: Option<fn(String) -> String>,
}

/// A head without its last empty line, and a body. The body of a stream is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) head: String,
    pub(super) body: String,
}

impl Message {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    /// Replaces the fields of this name by one, or by none.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        let is_other = |line: &&str| {
            line.split_once(':').is_none_or(|(other, _)| !other.eq_ignore_ascii_case(name))
        };
        let (first, fields) = self.head.split_once("\r\n").unwrap_or((&self.head, ""));
        let mut lines = vec![first.to_owned()];
        lines.extend(fields.lines().filter(is_other).map(str::to_owned));
        lines.extend(value.map(|value| format!("{name}: {value}")));
        self.head = lines.join("\r\n");
    }

    pub(super) fn is(&self, method: &str) -> bool {
        self.head.starts_with(method)
    }

    /// The target of a request.
    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn set_target(&mut self, target: &str) {
        let old = self.target().to_owned();
        self.head = self.head.replacen(&old, target, 1);
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn set_status(&mut self, status: &str) {
        let fields = self.head.split_once("\r\n").map_or("", |(_, fields)| fields);
        self.head = format!("HTTP/1.1 {status} Altered\r\n{fields}");
    }
}

/// Starts a wrong hub in front of a good one; it lives as long as the process does.
pub(super) fn start(hub: SocketAddr, alteration: Alteration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Who leaves in the middle of an exchange ends it.
            thread::spawn(move || exchange(client, hub, alteration));
        }
    });
    addr
}

fn exchange(mut client: TcpStream, hub: SocketAddr, alteration: Alteration) -> Option<()> {
    let mut asked = read(&mut client)?;
    if let Some(alter) = alteration.asked {
        alter(&mut asked);
    }
    // Without chunks, and with one exchange for each connection.
    asked.head = asked.head.replacen(" HTTP/1.1", " HTTP/1.0", 1);
    if !asked.body.is_empty() || asked.field("Content-Length").is_some() {
        let len = asked.body.len().to_string();
        asked.set("Content-Length", Some(&len));
    }
    let mut upstream = TcpStream::connect(hub).ok()?;
    upstream.write_all(format!("{}\r\n\r\n{}", asked.head, asked.body).as_bytes()).ok()?;
    let mut answered = read(&mut upstream)?;
    let is_stream = answered.field("Content-Type").is_some_and(|it| it.contains("event-stream"));
    let begun = if is_stream { std::mem::take(&mut answered.body) } else { String::new() };
    answered.set("Content-Length", None);
    if let Some(alter) = alteration.answered {
        alter(&asked, &mut answered);
    }
    answered.set("Connection", Some("close"));
    client.write_all(format!("{}\r\n\r\n{}", answered.head, answered.body).as_bytes()).ok()?;
    if is_stream {
        let event = alteration.event.unwrap_or(|block| block);
        // A client that leaves frees the hub at once.
        let (mut leaving, closing) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
        thread::spawn(move || {
            let _ = leaving.read(&mut [0]);
            let _ = closing.shutdown(Shutdown::Both);
        });
        pass_blocks(begun, &mut upstream, &mut client, event);
    }
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}

fn pass_blocks(
    begun: String,
    upstream: &mut TcpStream,
    client: &mut TcpStream,
    event: fn(String) -> String,
) -> Option<()> {
    let (mut received, mut buffer) = (begun, [0; 16 << 10]);
    loop {
        // Comments end with one line feed, everything else with an empty line.
        while let Some(len) = match received.starts_with(":\n") {
            true => Some(2),
            false => received.find("\n\n").map(|at| at + 2),
        } {
            let rest = received.split_off(len);
            let block = std::mem::replace(&mut received, rest);
            client.write_all(event(block).as_bytes()).ok()?;
        }
        let len = upstream.read(&mut buffer).ok().filter(|len| *len > 0)?;
        received.push_str(std::str::from_utf8(&buffer[..len]).ok()?);
    }
}

/// A message with its body, or as much of a stream as came with its head.
fn read(from: &mut TcpStream) -> Option<Message> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let len = from.read(&mut buffer).ok().filter(|len| *len > 0)?;
        bytes.extend_from_slice(&buffer[..len]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut message = Message { head, body: String::new() };
    let len = message.field("Content-Length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < len {
        let len = from.read(&mut buffer).ok().filter(|len| *len > 0)?;
        body.extend_from_slice(&buffer[..len]);
    }
    message.body = String::from_utf8_lossy(&body).into_owned();
    Some(message)
}
