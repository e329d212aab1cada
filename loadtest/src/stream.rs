//! What a subscriber reads: the head of an answer, chunks, server-sent events.
//!
//! Keeps nothing but the piece of an event that has not ended yet, so a connection that waits
//! costs a few bytes.

use memchr::{memchr, memmem};

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the answer is {0}")]
    Answer(String),
    #[error("the chunks of the answer are not well formed")]
    Chunks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// Until the connection ends.
    Plain,
    /// In the line that tells the length of a chunk.
    Length {
        value: u32,
        in_extension: bool,
    },
    Chunk {
        left: u32,
    },
    /// Behind a chunk.
    LineEnd,
    Ended,
}

/// The reading state of one connection.
#[derive(Debug)]
pub(crate) struct Stream {
    state: State,
    /// The piece of a head, or of an event.
    rest: Box<[u8]>,
}

impl Stream {
    pub(crate) fn new() -> Stream {
        Stream { state: State::Head, rest: Box::default() }
    }

    /// The head of the answer has arrived.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Head
    }

    /// The last chunk has arrived.
    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes received bytes; `scratch` is used and used again. Every event that ends in them is
    /// told to `each`.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        scratch: &mut Vec<u8>,
        each: impl FnMut(Event<'_>),
    ) -> Result<(), Broken> {
        scratch.clear();
        scratch.extend_from_slice(&std::mem::take(&mut self.rest));
        if self.state == State::Head {
            let before = scratch.len();
            scratch.extend_from_slice(bytes);
            let Some(end) = memmem::find(scratch, b"\r\n\r\n") else {
                self.rest = scratch.as_slice().into();
                return Ok(());
            };
            self.state = read_head(&scratch[..end])?;
            bytes = &bytes[end + 4 - before..];
            scratch.clear();
        }
        self.unchunk(bytes, scratch)?;
        let used = events(scratch, each);
        self.rest = scratch[used..].into();
        Ok(())
    }

    fn unchunk(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Broken> {
        while let Some(&byte) = bytes.first() {
            match self.state {
                State::Head | State::Plain => {
                    plain.extend_from_slice(bytes);
                    return Ok(());
                }
                State::Ended => return Ok(()),
                State::Chunk { left } => {
                    let count = bytes.len().min(left as usize);
                    plain.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    let left = left - count as u32;
                    self.state = if left > 0 { State::Chunk { left } } else { State::LineEnd };
                }
                State::LineEnd => {
                    if !matches!(byte, b'\r' | b'\n') {
                        return Err(Broken::Chunks);
                    }
                    bytes = &bytes[1..];
                    if byte == b'\n' {
                        self.state = State::Length { value: 0, in_extension: false };
                    }
                }
                State::Length { value, in_extension } => {
                    bytes = &bytes[1..];
                    let digit = (byte as char).to_digit(16).filter(|_| !in_extension);
                    self.state = match (byte, digit) {
                        (_, Some(digit)) if value < 1 << 27 => {
                            State::Length { value: value << 4 | digit, in_extension }
                        }
                        (b'\n', _) if value == 0 => State::Ended,
                        (b'\n', _) => State::Chunk { left: value },
                        (b'\r' | b';', _) => State::Length { value, in_extension: true },
                        _ if in_extension => State::Length { value, in_extension },
                        _ => return Err(Broken::Chunks),
                    };
                }
            }
        }
        Ok(())
    }
}

/// What follows a head.
fn read_head(head: &[u8]) -> Result<State, Broken> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(Broken::Answer(status.to_owned()));
    }
    let is_chunked = lines.any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("transfer-encoding")
            && value.trim().eq_ignore_ascii_case("chunked")
    });
    Ok(if is_chunked { State::Length { value: 0, in_extension: false } } else { State::Plain })
}

/// Reads events from the front of `bytes`. Returns how many bytes they take.
fn events(bytes: &[u8], mut each: impl FnMut(Event<'_>)) -> usize {
    let (mut used, mut at) = (0, 0);
    let mut event = Event { id: b"", data: b"" };
    while let Some(len) = memchr(b'\n', &bytes[at..]) {
        let line = &bytes[at..at + len];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += len + 1;
        if line.is_empty() {
            used = at;
            if !event.data.is_empty() {
                each(event);
            }
            event = Event { id: b"", data: b"" };
        } else if let Some(data) = line.strip_prefix(b"data:") {
            event.data = data.strip_prefix(b" ").unwrap_or(data);
        } else if let Some(id) = line.strip_prefix(b"id:") {
            event.id = id.strip_prefix(b" ").unwrap_or(id);
        } else if line[0] == b':' && used + len + 1 == at {
            // A comment that stands alone belongs to no event.
            used = at;
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &mut Stream, bytes: &[u8]) -> Vec<(String, String)> {
        let (mut got, mut scratch) = (Vec::new(), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let each = |event: Event<'_>| got.push((text(event.id), text(event.data)));
        stream.push(bytes, &mut scratch, each).unwrap();
        got
    }

    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\n:\n\r\n11\r\nid: 1\ndata: a\n\nid\r\n12;x=\"5\"\r\n: 2\r\ndata:b\n\n:\nid:\r\n\
        d\r\n 3\ndata: c\n\n\n\r\n0\r\n\r\n";
    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
        :\nid: 1\ndata: a\n\nid: 2\r\ndata:b\n\n:\nid: 3\ndata: c\n\n";

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let expected = [("1", "a"), ("2", "b"), ("3", "c")].map(|(i, d)| (i.into(), d.into()));
        for whole in [CHUNKED, PLAIN] {
            for step in 1..=whole.len() {
                let mut stream = Stream::new();
                let got: Vec<_> =
                    whole.chunks(step).flat_map(|piece| read(&mut stream, piece)).collect();
                assert_eq!(got, expected, "{step} bytes at a time");
                assert!(stream.is_open() && stream.rest.is_empty());
                assert_eq!(stream.is_ended(), whole == CHUNKED);
            }
        }
    }

    #[test]
    fn another_answer_and_bad_chunks_are_told() {
        let push = |bytes: &[u8]| Stream::new().push(bytes, &mut Vec::new(), |_| {});
        let refused = push(b"HTTP/1.1 401 Unauthorized\r\n\r\n");
        assert_eq!(refused, Err(Broken::Answer("HTTP/1.1 401 Unauthorized".into())));
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for bad in [&b"xyz\r\n"[..], b"1\r\nab\r\n", b"fffffffff\r\n"] {
            assert_eq!(push(&[&head[..], bad].concat()), Err(Broken::Chunks));
        }
    }
}
