//! Requests, answers and streams, by an ordinary HTTP client: what it cannot be told to send does
//! not belong into this suite. Nothing waits longer than the patience that was given.

use std::{
    fmt,
    io::{self, Read},
    time::{Duration, Instant},
};

use ureq::{
    Agent, BodyReader,
    http::{self, Method},
    tls::TlsConfig,
};

use crate::{
    common::sse,
    verdict::{Verdict, failed, late, short},
};

const FORM: &str = "application/x-www-form-urlencoded";
/// Of a body that is no stream, more is not looked at.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// Speaks HTTP.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    patience: Duration,
}

/// What is sent. `Display` shows it without secrets.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    /// What a reader is shown.
    pub(crate) shown: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&short(&self.shown))
    }
}

/// An answer. Of a stream, only its head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    pub(crate) fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The media type, without parameters.
    pub(crate) fn media_type(&self) -> String {
        let value = self.field("Content-Type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for name in ["WWW-Authenticate", "Content-Type", "Mercure-Last-Event-ID"] {
            for value in self.fields(name) {
                write!(f, ", {name}: {value}")?;
            }
        }
        if self.body.is_empty() { Ok(()) } else { write!(f, ", {:?}", short(&self.body)) }
    }
}

impl Client {
    /// For a hub at this URL.
    pub(crate) fn new(url: &str, patience: Duration) -> Self {
        let tls = match url.starts_with("https:") {
            true => petasos::trust::tls_config(),
            // Certificates take a while.
            false => TlsConfig::default(),
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            // What one request leaves behind is nothing to the next one.
            .max_idle_connections(0)
            .user_agent(concat!("mercure-conformance/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .timeout_resolve(Some(patience))
            .timeout_connect(Some(patience))
            .timeout_send_request(Some(patience))
            .timeout_send_body(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .build()
            .new_agent();
        Client { agent, patience }
    }

    fn send(&self, message: &Message) -> Verdict<(Answer, BodyReader<'static>)> {
        let mut builder = http::Request::builder()
            .method(Method::from_bytes(message.method.as_bytes()).expect("a method"))
            .uri(&message.url);
        let has_type = message.fields.iter().any(|(name, _)| *name == "Content-Type");
        if message.body.is_some() && !has_type {
            builder = builder.header("Content-Type", FORM);
        }
        for (name, value) in message.fields.iter().filter(|(_, value)| *value != NO_FIELD) {
            builder = builder.header(*name, value.as_bytes());
        }
        let sent = match &message.body {
            Some(body) => builder.body(body.as_bytes()).map(|it| self.agent.run(it)),
            None => builder.body(()).map(|it| self.agent.run(it)),
        };
        let sent = sent.unwrap_or_else(|error| panic!("no request: {message}: {error}"));
        let response = match sent {
            Ok(response) => response,
            Err(ureq::Error::Timeout(what)) => {
                return late(message, "an answer", format!("none in {:?}: {what}", self.patience));
            }
            Err(error) => return failed(message, "an answer", format!("none: {error}")),
        };
        let (head, body) = response.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let answer =
            Answer { status: head.status.as_u16(), fields: fields.collect(), body: String::new() };
        Ok((answer, body.into_reader()))
    }

    /// An answer with its body, unless it is a stream.
    pub(crate) fn answer(&self, message: &Message) -> Verdict<Answer> {
        let (mut answer, body) = self.send(message)?;
        if answer.media_type() != "text/event-stream" {
            let mut bytes = Vec::new();
            // A body that is cut off is judged by what there is of it.
            let _ = body.take(BODY_BYTES_MAX).read_to_end(&mut bytes);
            answer.body = String::from_utf8_lossy(&bytes).into_owned();
        }
        Ok(answer)
    }

    /// A request that must be answered with a stream.
    pub(crate) fn open(&self, message: &Message) -> Verdict<Stream> {
        let (mut answer, mut body) = self.send(message)?;
        if answer.status != 200 || answer.media_type() != "text/event-stream" {
            let mut bytes = [0; 1024];
            let len = body.read(&mut bytes).unwrap_or_default();
            answer.body = String::from_utf8_lossy(&bytes[..len]).into_owned();
            return failed(message, "200 and a stream of events", answer);
        }
        let (patience, sent) = (self.patience, message.to_string());
        Ok(Stream { head: answer, sent, body, patience, received: Vec::new() })
    }
}

/// The value of a field that is not to be sent, not even the usual one.
pub(crate) const NO_FIELD: &str = "\0";

/// An event as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) data: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [("id", &self.id), ("event", &self.event), ("retry", &self.retry)] {
            if let Some(value) = value {
                write!(f, "{name}: {value:?}, ")?;
            }
        }
        write!(f, "data: {:?}", short(&self.data))
    }
}

/// An open stream; closed when it is dropped.
pub(crate) struct Stream {
    pub(crate) head: Answer,
    pub(crate) sent: String,
    body: BodyReader<'static>,
    patience: Duration,
    received: Vec<u8>,
}

/// What a read brought.
enum Step {
    Bytes,
    End,
}

impl Stream {
    /// The next event that has data; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Verdict<Option<Event>> {
        let until = Instant::now() + self.patience;
        loop {
            while let Some((block, len)) = sse::next_block(&self.received) {
                let event = event(&block);
                self.received.drain(..len);
                if let Some(event) = event {
                    return Ok(Some(event));
                }
            }
            if let Step::End = self.receive(until, "an event, or the end of the stream")? {
                return Ok(None);
            }
        }
    }

    /// The events up to the one with this data, without it.
    pub(crate) fn up_to(&mut self, data: &str) -> Verdict<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match self.next()? {
                Some(event) if event.data == data => return Ok(events),
                Some(event) => events.push(event),
                None => {
                    let expected = format!("the event with the data {data:?}");
                    let came = format!("{}, and the end of the stream", listed(&events));
                    return failed(&self.sent, expected, came);
                }
            }
        }
    }

    /// All that is left up to the end of the stream, which must come.
    pub(crate) fn rest(&mut self) -> Verdict<Vec<Event>> {
        let until = Instant::now() + self.patience;
        while let Step::Bytes = self.receive(until, "the end of the stream")? {}
        let (blocks, _) = sse::blocks(&self.received);
        Ok(blocks.iter().filter_map(event).collect())
    }

    /// Waits for a comment line.
    pub(crate) fn comment(&mut self) -> Verdict {
        let until = Instant::now() + self.patience;
        loop {
            let lines = self.received.split(|&byte| byte == b'\n' || byte == b'\r');
            if lines.clone().any(|line| line.starts_with(b":")) {
                return Ok(());
            }
            if let Step::End = self.receive(until, "a comment line")? {
                return failed(&self.sent, "a comment line", "the end of the stream");
            }
        }
    }

    /// Forgets what has come since the last event.
    pub(crate) fn forget(&mut self) {
        self.received.clear();
    }

    fn receive(&mut self, until: Instant, expected: &str) -> Verdict<Step> {
        let mut buffer = [0; 16 << 10];
        let read = self.body.read(&mut buffer);
        let is_late = match &read {
            Ok(_) => Instant::now() > until,
            Err(error) => is_timeout(error),
        };
        if is_late && !matches!(read, Ok(0)) {
            return late(&self.sent, expected, format!("none in {:?}", self.patience));
        }
        match read {
            Ok(len @ 1..) => {
                self.received.extend_from_slice(&buffer[..len]);
                Ok(Step::Bytes)
            }
            // Streams may end in any way.
            Ok(0) | Err(_) => Ok(Step::End),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

fn event(block: &sse::Block<'_>) -> Option<Event> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Event {
        data: text(block.data.as_deref()?),
        id: block.id.map(text),
        event: block.event.map(text),
        retry: block.retry.map(text),
    })
}

/// Events as a reader is shown them.
pub(crate) fn listed(events: &[Event]) -> String {
    match events {
        [] => "nothing".to_owned(),
        events => events.iter().map(Event::to_string).collect::<Vec<_>>().join("; "),
    }
}
