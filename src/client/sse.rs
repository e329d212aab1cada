//! Reads a server-sent event stream: the WHATWG algorithm over bytes that come in any pieces
//! (HTML standard §9.2.6). Pure.

use std::time::Duration;

/// An update, as a browser's `EventSource` would dispatch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The last event id when the event came: that of the event itself, if it has one.
    pub id: String,
    /// `message` unless the publisher gave a type.
    pub event_type: String,
    /// The lines of data, with a line feed between them.
    pub data: String,
}

/// A line or an event is longer than the reader is willing to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {max} bytes; raise the limit if that is right")]
pub struct TooLong {
    pub max: usize,
}

/// What one stream has brought so far.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    at_start: bool,
    /// The last line ended with CR: a line feed that follows belongs to it.
    after_cr: bool,
    line: Vec<u8>,
    data: Vec<u8>,
    event_type: String,
    id: String,
    last_event_id: String,
    retry: Option<Duration>,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    /// A stream that follows the event `last_event_id` (empty: none).
    pub fn new(last_event_id: &str, event_bytes_max: usize) -> Self {
        Parser {
            event_bytes_max,
            at_start: true,
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            event_type: String::new(),
            id: last_event_id.to_owned(),
            last_event_id: last_event_id.to_owned(),
            retry: None,
        }
    }

    /// The id to resume after; empty: none came yet.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How long the hub asked to wait before a reconnection, if it did.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next bytes and appends the events that they complete to `events`.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Update>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', bytes);
            let (piece, rest) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => (bytes, &[][..]),
            };
            if self.line.len() + self.data.len() + piece.len() > self.event_bytes_max {
                return Err(TooLong { max: self.event_bytes_max });
            }
            self.line.extend_from_slice(piece);
            if let Some(end) = end {
                self.after_cr = bytes[end] == b'\r';
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, events);
                // Keeps the allocation.
                self.line = line;
                self.line.clear();
            }
            bytes = rest;
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], events: &mut Vec<Update>) {
        let is_first = std::mem::take(&mut self.at_start);
        let line = if is_first { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch(events);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.event_type = text(value),
            b"id" if !value.contains(&0) => self.id = text(value),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                // More digits than fit mean "very long"; the caller has its own ceiling.
                let milliseconds = text(value).parse().unwrap_or(u64::MAX);
                self.retry = Some(Duration::from_millis(milliseconds));
            }
            // Comments have an empty name.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Update>) {
        self.last_event_id.clone_from(&self.id);
        let event_type = std::mem::take(&mut self.event_type);
        // The line feed after the last line; no line at all is no event.
        if self.data.pop().is_none() {
            return;
        }
        let data = text(&self.data);
        self.data.clear();
        let event_type = if event_type.is_empty() { "message".to_owned() } else { event_type };
        events.push(Update { id: self.last_event_id.clone(), event_type, data });
    }
}

/// Streams are always UTF-8; what is not becomes U+FFFD. Line ends never stand inside a
/// character, so decoding line by line is the same as decoding the stream.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, event_type: &str, data: &str) -> Update {
        Update { id: id.to_owned(), event_type: event_type.to_owned(), data: data.to_owned() }
    }

    /// The events of `stream`, which must not depend on how it is cut.
    fn read(stream: &[u8]) -> (Vec<Update>, Parser) {
        let whole = read_in_pieces(stream, stream.len().max(1));
        for size in 1..stream.len().min(9) {
            let cut = read_in_pieces(stream, size);
            assert_eq!(cut.0, whole.0, "in pieces of {size}");
            assert_eq!(cut.1.last_event_id(), whole.1.last_event_id());
            assert_eq!(cut.1.retry(), whole.1.retry());
        }
        whole
    }

    fn read_in_pieces(stream: &[u8], size: usize) -> (Vec<Update>, Parser) {
        let mut parser = Parser::new("", 1000);
        let mut events = Vec::new();
        for piece in stream.chunks(size) {
            parser.push(piece, &mut events).unwrap();
        }
        (events, parser)
    }

    #[test]
    fn events_are_read_by_the_algorithm() {
        for (stream, expected) in [
            ("data: a\n\n", vec![event("", "message", "a")]),
            ("data:a\n\n", vec![event("", "message", "a")]),
            ("data:  a\n\n", vec![event("", "message", " a")]),
            ("\u{feff}data: a\n\n", vec![event("", "message", "a")]),
            ("\n\u{feff}data: a\n\n", vec![]),
            ("data: a\r\ndata: b\r\n\r\n", vec![event("", "message", "a\nb")]),
            ("data: a\rdata: b\r\r", vec![event("", "message", "a\nb")]),
            ("data\n\n", vec![event("", "message", "")]),
            ("data\ndata\n\n", vec![event("", "message", "\n")]),
            ("data: a\n", vec![]),
            ("event: x\n\ndata: a\n\n", vec![event("", "message", "a")]),
            ("event: x\ndata: a\n\n", vec![event("", "x", "a")]),
            (": comment\nunknown: x\nDATA: x\ndata: a\n\n", vec![event("", "message", "a")]),
            ("data: a:b\n\n", vec![event("", "message", "a:b")]),
            (
                "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
                vec![
                    event("1", "message", "a"),
                    event("1", "message", "b"),
                    event("", "message", "c"),
                ],
            ),
            ("id: 1\nid: 2\0\ndata: a\n\n", vec![event("1", "message", "a")]),
            ("data: \u{e9}\u{1f600}\n\n", vec![event("", "message", "\u{e9}\u{1f600}")]),
        ] {
            assert_eq!(read(stream.as_bytes()).0, expected, "{stream:?}");
        }
        let broken = read(b"data: a\xffb\n\n").0;
        assert_eq!(broken, [event("", "message", "a\u{fffd}b")]);
    }

    #[test]
    fn a_line_that_ends_with_cr_does_not_wait_for_what_follows() {
        let mut parser = Parser::new("", 1000);
        let mut events = Vec::new();
        parser.push(b"data: a\r\r", &mut events).unwrap();
        assert_eq!(events.len(), 1);
        parser.push(b"\ndata: b\r\n", &mut events).unwrap();
        assert_eq!(events.len(), 1);
        parser.push(b"\r\n", &mut events).unwrap();
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn the_id_to_resume_after_is_that_of_complete_events() {
        assert_eq!(read(b"id: 1\ndata: a\n\nid: 2\ndata: b\n").1.last_event_id(), "1");
        assert_eq!(read(b"id: 1\n\n").1.last_event_id(), "1");
        let mut parser = Parser::new("before", 1000);
        let mut events = Vec::new();
        parser.push(b"data: a\n\n", &mut events).unwrap();
        assert_eq!(events, [event("before", "message", "a")]);
        assert_eq!(parser.last_event_id(), "before");
    }

    #[test]
    fn retry_is_digits_only() {
        let retry = |stream: &str| read(stream.as_bytes()).1.retry();
        assert_eq!(retry("retry: 1500\n"), Some(Duration::from_millis(1500)));
        assert_eq!(
            retry("retry: 1\nretry: x2\nretry: -3\nretry:\n"),
            Some(Duration::from_millis(1))
        );
        assert_eq!(retry("retry: +1\n"), None);
        let digits = "9".repeat(30);
        assert_eq!(retry(&format!("retry: {digits}\n")), Some(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut events = Vec::new();
        let mut parser = Parser::new("", 20);
        assert_eq!(parser.push(&[b'x'; 21], &mut events), Err(TooLong { max: 20 }));
        let mut parser = Parser::new("", 20);
        let pushed = (0..9).map(|_| parser.push(b"data: ab\n", &mut events));
        assert!(pushed.collect::<Vec<_>>().contains(&Err(TooLong { max: 20 })));
        let mut parser = Parser::new("", 20);
        for _ in 0..9 {
            assert_eq!(parser.push(b"data: ab\n\n", &mut events), Ok(()));
        }
        assert_eq!(events.len(), 9);
    }
}
