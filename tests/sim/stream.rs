//! Reads what a subscriber receives, byte by byte, and trusts nothing of it.

use petasos::protocol::frame::Form;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The response head.
    Head(String),
    /// An event, as its lines.
    Event(String),
    Heartbeat,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body,
    Ended,
}

/// An incremental parser of one connection.
#[derive(Debug)]
pub(crate) struct Stream {
    form: Form,
    state: State,
    rest: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(form: Form) -> Self {
        Stream { form, state: State::Head, rest: Vec::new() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Everything so far was whole.
    pub(crate) fn is_between_events(&self) -> bool {
        self.state != State::Head && self.rest.is_empty()
    }

    /// The next whole item; an error says what is wrong with the bytes.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match self.state {
            State::Ended => Err(format!("bytes after the end: {}", self.show())),
            State::Head => {
                let Some(end) = find(&self.rest, b"\r\n\r\n") else { return Ok(None) };
                let head = self.take(end + 4)?;
                self.state = State::Body;
                if !head.starts_with("HTTP/1.1 200 OK\r\n") {
                    return Err(format!("no response head: {head:?}"));
                }
                Ok(Some(Item::Head(head)))
            }
            State::Body if self.form == Form::Bare => self.bare(),
            State::Body => self.chunk(),
        }
    }

    fn chunk(&mut self) -> Result<Option<Item>, String> {
        let Some(end) = find(&self.rest, b"\r\n") else {
            let is_hex = self.rest.iter().all(|b| b.is_ascii_hexdigit() || *b == b'\r');
            let ok = is_hex && self.rest.len() <= 8;
            return if ok { Ok(None) } else { Err(format!("no chunk size: {}", self.show())) };
        };
        let size = std::str::from_utf8(&self.rest[..end]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else { return Err(format!("no chunk size: {}", self.show())) };
        let whole = end + 2 + size + 2;
        if self.rest.len() < whole {
            return Ok(None);
        }
        let chunk = self.take(whole)?;
        let Some(body) = chunk[end + 2..].strip_suffix("\r\n") else {
            return Err(format!("a chunk does not end where it should: {chunk:?}"));
        };
        match body {
            "" => {
                self.state = State::Ended;
                Ok(Some(Item::End))
            }
            ":\n" => Ok(Some(Item::Heartbeat)),
            event => check_event(event).map(Some),
        }
    }

    fn bare(&mut self) -> Result<Option<Item>, String> {
        if self.rest.starts_with(b":\n") {
            self.take(2)?;
            return Ok(Some(Item::Heartbeat));
        }
        let Some(end) = find(&self.rest, b"\n\n") else { return Ok(None) };
        let event = self.take(end + 2)?;
        check_event(&event).map(Some)
    }

    fn take(&mut self, len: usize) -> Result<String, String> {
        let rest = self.rest.split_off(len);
        let taken = std::mem::replace(&mut self.rest, rest);
        String::from_utf8(taken).map_err(|_| "not UTF-8".into())
    }

    fn show(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

fn check_event(event: &str) -> Result<Item, String> {
    let whole = event.contains("\nid: ") && event.ends_with("\n\n");
    let inner = event.len() > 2 && !event[..event.len() - 2].contains("\n\n");
    if whole && inner {
        Ok(Item::Event(event.to_owned()))
    } else {
        Err(format!("no single event: {event:?}"))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
