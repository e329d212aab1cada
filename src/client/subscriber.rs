//! Subscribes to topics (draft-08 #subscription) and resumes after the last event (draft-08
//! #reconciliation).

use std::{collections::VecDeque, fmt, io::Read, thread, time::Duration};
use ureq::{BodyReader, http::HeaderValue};

use super::{
    backoff::Backoff,
    http::{ClientError, Hub, Refusal, content_type},
    sse::{Event, Parser},
};

/// What is subscribed to, and how patiently.
#[derive(Debug, Clone)]
pub struct Subscription<'a> {
    /// Exact topics, or `*`.
    pub topics: &'a [&'a str],
    /// The event to resume after; `earliest`: everything that the hub has.
    pub last_event_id: Option<&'a str>,
    /// Silence after which the connection is given up: more than two heartbeats of the hub.
    pub silence_max: Option<Duration>,
    /// Longest event that is kept.
    pub event_bytes_max: usize,
}

impl Default for Subscription<'_> {
    fn default() -> Self {
        Subscription {
            topics: &[],
            last_event_id: None,
            silence_max: Some(Duration::from_secs(120)),
            event_bytes_max: 64 << 20,
        }
    }
}

/// An endless iterator of events, and of the errors between them. After an error it connects
/// anew by itself, unless [`ClientError::is_final`]: then it ends. Waiting happens in `next`.
pub struct Subscriber {
    hub: Hub,
    event_bytes_max: usize,
    last_event_id: String,
    stream: Option<Stream>,
    ready: VecDeque<Event>,
    backoff: Backoff,
    /// Before the next attempt.
    wait: Duration,
    ended: bool,
}

struct Stream {
    body: BodyReader<'static>,
    parser: Parser,
}

/// Without the token.
impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("url", &self.hub.url.as_str()).finish_non_exhaustive()
    }
}

const READ_BYTES: usize = 16 << 10;

impl Subscriber {
    /// Nothing is connected before the first `next`.
    ///
    /// # Errors
    /// The URL or the token is malformed.
    pub fn new(
        url: &str,
        token: Option<&str>,
        subscription: &Subscription<'_>,
    ) -> Result<Self, ClientError> {
        // A stream that has ended is followed by a new connection: the hub closes the old one.
        let mut hub = Hub::new(url, token, subscription.silence_max, 0)?;
        for topic in subscription.topics {
            hub.url.query_pairs_mut().append_pair("match", topic);
        }
        Ok(Subscriber {
            hub,
            event_bytes_max: subscription.event_bytes_max,
            last_event_id: subscription.last_event_id.unwrap_or_default().to_owned(),
            stream: None,
            ready: VecDeque::new(),
            backoff: Backoff::default(),
            wait: Duration::ZERO,
            ended: false,
        })
    }

    /// The id of the last event that `next` returned, to resume after in another process; empty:
    /// none so far.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// As if the hub had sent a `retry` field.
    #[cfg(test)]
    pub(super) fn set_retry_for_tests(&mut self, retry: Duration) {
        self.backoff.set_retry(Some(retry));
    }

    fn connect(&self) -> Result<Stream, ClientError> {
        let mut url = self.hub.url.clone();
        let mut header = None;
        if !self.last_event_id.is_empty() {
            header = HeaderValue::from_bytes(self.last_event_id.as_bytes()).ok();
            if header.is_none() {
                url.query_pairs_mut().append_pair("last_event_id", &self.last_event_id);
            }
        }
        let mut request = self.hub.agent.get(url.as_str()).header("accept", "text/event-stream");
        if let Some(id) = header {
            request = request.header("last-event-id", id);
        }
        if let Some(authorization) = &self.hub.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.call().map_err(|error| self.hub.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(ClientError::Refused(Refusal::read(response)));
        }
        let content_type = content_type(response.headers());
        if content_type != "text/event-stream" {
            let content_type = content_type.to_owned();
            return Err(ClientError::NotAStream { url: self.hub.url.to_string(), content_type });
        }
        let parser = Parser::new(&self.last_event_id, self.event_bytes_max);
        Ok(Stream { body: response.into_body().into_reader(), parser })
    }

    /// Reads once. `Ok(false)`: the stream has ended.
    fn read(stream: &mut Stream, ready: &mut VecDeque<Event>) -> Result<bool, ClientError> {
        let mut buffer = [0; READ_BYTES];
        let len = stream.body.read(&mut buffer).map_err(ClientError::Broken)?;
        let mut events = Vec::new();
        stream.parser.push(&buffer[..len], &mut events)?;
        ready.extend(events);
        Ok(len > 0)
    }

    fn schedule(&mut self) {
        let mut random = [0];
        // Without randomness the wait is merely not spread.
        let _ = getrandom::fill(&mut random);
        self.wait = self.backoff.wait(random[0]);
    }

    fn fail(&mut self, error: ClientError) -> ClientError {
        self.stream = None;
        self.ended = error.is_final();
        self.backoff.failed();
        self.schedule();
        if let ClientError::Refused(Refusal { retry_after: Some(asked), .. }) = &error {
            self.wait = self.wait.max((*asked).min(Duration::from_secs(3600)));
        }
        error
    }
}

impl Iterator for Subscriber {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_event_id.clone_from(&event.id);
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let Some(stream) = &mut self.stream else {
                thread::sleep(std::mem::take(&mut self.wait));
                match self.connect() {
                    Ok(stream) => self.stream = Some(stream),
                    Err(error) => return Some(Err(self.fail(error))),
                }
                continue;
            };
            let read = Self::read(stream, &mut self.ready);
            self.backoff.set_retry(stream.parser.retry());
            if self.ready.is_empty() {
                // An id may come without an event; it counts once all before it is handed out.
                stream.parser.last_event_id().clone_into(&mut self.last_event_id);
            }
            match read {
                Ok(true) => self.backoff.succeeded(),
                Ok(false) => {
                    // The hub ends streams now and then; that is no failure.
                    self.stream = None;
                    self.schedule();
                }
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}
