//! A proxy that understands HTTP just well enough to do to it what proxies should not do.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// What it does wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Nothing,
    /// Keeps the content of streams until they end.
    HoldsContent,
    /// Keeps the head of streams, too.
    HoldsStreams,
    /// Keeps all that follows the first line of a stream.
    HoldsEvents,
    /// Cuts answers that are silent for so long.
    CutsSilence(Duration),
    /// Cuts answers after so long, silent or not.
    CutsAfter(Duration),
    /// Does not pass on this field of requests.
    LosesField(&'static str),
    /// Does not pass on this field of answers.
    LosesAnswerField(&'static str),
    /// Does not pass on this parameter of URLs.
    LosesParameter(&'static str),
    /// Adds a line to the head of answers.
    Adds(&'static str),
    /// Says that answers are compressed, to whoever understands it.
    Compresses,
    /// Refuses larger request lines and headers, with this status.
    LimitsHead(usize, &'static str),
    /// Refuses larger bodies.
    LimitsBody(usize),
    /// Answers by itself.
    Answers(&'static str),
}

/// Starts it in front of a hub, for as long as the test runs. The URL of the hub behind it.
pub(crate) fn start(hub: SocketAddr, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/.well-known/mercure", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                // Whoever leaves early is no concern of the test's.
                let _ = pass(&client, hub, fault);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    url
}

/// One request on each connection.
fn pass(mut client: &TcpStream, hub: SocketAddr, fault: Fault) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = Head::read(&mut reader)?;
    let length = head.field("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let refusal = match fault {
        Fault::LimitsHead(max, status) if head.len() > max => Some(status),
        Fault::LimitsBody(max) if length > max => Some("413 Payload Too Large"),
        Fault::Answers(status) => Some(status),
        _ => None,
    };
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return client.write_all(answer.as_bytes());
    }
    let is_compressed = head.field("accept-encoding").is_some_and(|it| it.contains("gzip"));
    match fault {
        Fault::LosesField(name) => head.remove(name),
        Fault::LosesParameter(name) => head.remove_parameter(name),
        _ => {}
    }
    head.remove("connection");
    head.0.push("Connection: close".to_owned());
    let mut upstream = TcpStream::connect(hub)?;
    upstream.write_all(&[head.bytes().as_slice(), &body].concat())?;

    let mut reader = BufReader::new(upstream.try_clone()?);
    let mut head = Head::read(&mut reader)?;
    let is_stream = head.field("content-type") == Some("text/event-stream");
    match fault {
        Fault::LosesAnswerField(name) => head.remove(name),
        Fault::Adds(line) => head.0.push(line.to_owned()),
        Fault::Compresses if is_compressed => head.0.push("Content-Encoding: gzip".to_owned()),
        _ => {}
    }
    let mut held = head.bytes();
    if !matches!(fault, Fault::HoldsStreams) || !is_stream {
        client.write_all(&std::mem::take(&mut held))?;
    }
    let began = Instant::now();
    let mut buffer = vec![0; 64 << 10];
    for piece in 0.. {
        upstream.set_read_timeout(match fault {
            Fault::CutsSilence(silence) => Some(silence),
            Fault::CutsAfter(life) => match life.saturating_sub(began.elapsed()) {
                Duration::ZERO => return Ok(()),
                left => Some(left),
            },
            _ => None,
        })?;
        let len = reader.read(&mut buffer)?;
        held.extend_from_slice(&buffer[..len]);
        let is_held = match fault {
            Fault::HoldsContent | Fault::HoldsStreams => is_stream,
            Fault::HoldsEvents => is_stream && piece > 0,
            _ => false,
        };
        if !is_held || len == 0 {
            client.write_all(&std::mem::take(&mut held))?;
        }
        if len == 0 {
            break;
        }
    }
    Ok(())
}

/// The lines of a head, without their ends.
struct Head(Vec<String>);

impl Head {
    fn read(reader: &mut impl BufRead) -> io::Result<Head> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => return Ok(Head(lines)),
                line => lines.push(line.to_owned()),
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n\r\n", self.0.join("\r\n")).into_bytes()
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.0.iter().filter_map(|line| line.split_once(": "));
        let mut found = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    fn remove(&mut self, name: &str) {
        let is_it = |line: &String| {
            line.split_once(':').is_some_and(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        self.0.retain(|line| !is_it(line));
    }

    fn remove_parameter(&mut self, name: &str) {
        let line = &mut self.0[0];
        let Some(at) = line.find(&format!("&{name}=")) else { return };
        let end = line[at + 1..].find(['&', ' ']).unwrap();
        line.replace_range(at..at + 1 + end, "");
    }
}
