//! Subscribes to topics (draft-08 #subscription), resumes after the last event, and tells where
//! something may have been lost (draft-08 #reconciliation).

use std::{
    collections::VecDeque,
    fmt,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use ureq::{Agent, BodyReader, http::HeaderValue};

use super::{
    backoff::{ASKED_MAX, Backoff},
    credentials::{Credentials, Matcher, Need},
    error::{ClientError, content_type, refused, shown},
    http::{Hub, is_timeout},
    sse::{Parser, Update},
    stream::UpdateStream,
};
use crate::protocol::gap::GAP_EVENT_TYPE;

/// What is subscribed to, and how patiently.
#[derive(Debug, Clone)]
pub struct Subscription<'a> {
    /// At least one; an update is received once, however many match.
    pub matchers: &'a [Matcher],
    /// The event to resume after; `earliest`: everything that the hub has. `None`: what is
    /// published from now on.
    pub last_event_id: Option<&'a str>,
    /// Silence after which the connection is given up: more than two heartbeats of the hub.
    /// `None`: a peer that is gone without a word is never noticed.
    pub silence_max: Option<Duration>,
    /// Longest event that is kept, in bytes.
    pub event_bytes_max: usize,
}

impl Default for Subscription<'_> {
    fn default() -> Self {
        Subscription {
            matchers: &[],
            last_event_id: None,
            silence_max: Some(Duration::from_secs(120)),
            event_bytes_max: 64 << 20,
        }
    }
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Update(Update),
    /// Updates may have been lost: whoever keeps state of them fetches it anew.
    Gap(Gap),
}

/// The hub did not confirm that it goes on behind the event that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The id to be resumed after; empty: there was none, for no event had come.
    pub requested: String,
    /// The event that the next one follows; `earliest`: all that the hub has is sent, also what
    /// came before. `None`: the hub does not say.
    pub resumed_from: Option<String>,
}

const EARLIEST: &str = "earliest";
/// The wait between connections where the hub has not said anything.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 16 << 10;

/// An endless iterator of events, and of the errors between them.
///
/// After an error, or the end of a stream, it connects anew by itself, with a fresh token if it can
/// have one, and goes on behind the last event; waits grow, and the hub's `retry` is obeyed. It
/// ends after an error that trying again cannot heal ([`ClientError::is_final`]; a refused token
/// counts if there is no other), and when it is told to ([`Subscriber::stopper`]). Waiting happens
/// in `next`; [`Subscriber::into_stream`] is for those who must not wait.
pub struct Subscriber {
    link: Arc<Link>,
    event_bytes_max: usize,
    silence_max: Option<Duration>,
    last_event_id: String,
    /// Some connection has come about.
    was_connected: bool,
    stream: Option<Stream>,
    ready: VecDeque<Event>,
    backoff: Backoff,
    /// Before the next attempt.
    wait: Duration,
    ended: bool,
    signals: mpsc::Receiver<Signal>,
    signal: mpsc::Sender<Signal>,
    stopped: Arc<AtomicBool>,
}

/// What a connection is made with.
struct Link {
    hub: Hub,
    matchers: Vec<Matcher>,
}

struct Stream {
    body: BodyReader<'static>,
    parser: Parser,
    /// Nothing has come yet.
    is_new: bool,
}

/// The beginning of a stream.
struct Opened {
    body: BodyReader<'static>,
    /// `Mercure-Last-Event-ID`.
    resumed_from: Option<String>,
}

/// What wakes a subscriber that waits.
enum Signal {
    Stop,
    Answer(Box<Result<Opened, ClientError>>),
}

/// Ends a subscription from any thread. Clones end the same.
#[derive(Clone)]
pub struct Stopper {
    stopped: Arc<AtomicBool>,
    signal: mpsc::Sender<Signal>,
    agent: Agent,
}

impl Stopper {
    /// Ends the subscription at once, whatever it waits for. Events that were received already are
    /// not handed out any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // It may have ended already.
        let _ = self.signal.send(Signal::Stop);
        self.agent.clone().shutdown();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}

/// Without the token.
impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = shown(&self.link.hub.url);
        f.debug_struct("Subscriber").field("url", &url).finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Nothing is connected before [`Subscriber::connect`] or the first `next`.
    ///
    /// # Errors
    /// The URL or the token is malformed.
    pub fn new(
        url: &str,
        credentials: Credentials,
        subscription: &Subscription<'_>,
    ) -> Result<Self, ClientError> {
        // A stream that has ended is followed by a new connection: the hub closes the old one.
        let mut hub = Hub::new(url, credentials, subscription.silence_max, 0)?;
        for matcher in subscription.matchers {
            let (name, value) = matcher.parameter();
            hub.url.query_pairs_mut().append_pair(name, value);
        }
        let (signal, signals) = mpsc::channel();
        Ok(Subscriber {
            link: Arc::new(Link { hub, matchers: subscription.matchers.to_vec() }),
            event_bytes_max: subscription.event_bytes_max,
            silence_max: subscription.silence_max,
            last_event_id: subscription.last_event_id.unwrap_or_default().to_owned(),
            was_connected: false,
            stream: None,
            ready: VecDeque::new(),
            backoff: Backoff::new(RETRY_DEFAULT),
            wait: Duration::ZERO,
            ended: false,
            signals,
            signal,
            stopped: Arc::default(),
        })
    }

    /// Connects now rather than in `next`. When this returns, the subscription is live: every
    /// update that is published from now on will come. Does nothing where it is connected already.
    ///
    /// # Errors
    /// The attempt failed; the subscriber can be used nevertheless, unless the error is final.
    /// `Ok(false)`: it has been stopped.
    pub fn connect(&mut self) -> Result<bool, ClientError> {
        if self.stream.is_none() && !self.is_over() {
            self.open()?;
        }
        Ok(!self.is_over())
    }

    /// The id of the last event that `next` returned, to resume after in another process; empty:
    /// none so far.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// What ends this subscription, also while it waits.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stopped: Arc::clone(&self.stopped),
            signal: self.signal.clone(),
            agent: self.link.hub.agent.clone(),
        }
    }

    /// The same events for asynchronous code, on whatever runtime. A thread of its own reads them;
    /// `events_max` may wait to be taken (or 4 MiB of them); then it reads no more, and the hub
    /// sees a slow subscriber.
    pub fn into_stream(self, events_max: usize) -> UpdateStream {
        UpdateStream::start(self, events_max)
    }

    /// As if the hub had sent a `retry` field.
    #[cfg(test)]
    pub(super) fn set_retry_for_tests(&mut self, retry: Duration) {
        self.backoff.set_first(Some(retry));
    }

    fn is_over(&self) -> bool {
        self.ended || self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until the next attempt is due, and makes it.
    fn open(&mut self) -> Result<(), ClientError> {
        // The only signal that can come here is that to stop.
        if self.signals.recv_timeout(std::mem::take(&mut self.wait)).is_ok() {
            return Ok(());
        }
        // Names that are looked up and connections that come about cannot be interrupted: who is
        // told to stop leaves the attempt behind, which ends soon by its time limits.
        let (link, requested) = (Arc::clone(&self.link), self.last_event_id.clone());
        let signal = self.signal.clone();
        let attempt = move || {
            // Tokens come from a closure of the application.
            let opened = catch_unwind(AssertUnwindSafe(|| link.open(&requested)));
            let panicked = || Err(ClientError::NoToken("what gives tokens panicked".into()));
            let answer = Box::new(opened.unwrap_or_else(|_| panicked()));
            let _ = signal.send(Signal::Answer(answer));
        };
        if let Err(error) = thread::Builder::new().name("subscribe".into()).spawn(attempt) {
            return Err(self.fail(ClientError::Broken(error)));
        }
        let Ok(Signal::Answer(opened)) = self.signals.recv() else { return Ok(()) };
        match *opened {
            Ok(opened) => {
                self.begin(opened);
                Ok(())
            }
            Err(_) if self.is_over() => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn begin(&mut self, opened: Opened) {
        let Opened { body, resumed_from } = opened;
        let is_first = !std::mem::replace(&mut self.was_connected, true);
        let requested = std::mem::take(&mut self.last_event_id);
        if is_gap(is_first, &requested, resumed_from.as_deref()) {
            let gap = Gap { requested: requested.clone(), resumed_from: resumed_from.clone() };
            self.ready.push_back(Event::Gap(gap));
        }
        // Where nothing comes before the next connection, it goes on from here.
        self.last_event_id = resumed_from.unwrap_or(requested);
        let parser = Parser::new(&self.last_event_id, self.event_bytes_max);
        self.stream = Some(Stream { body, parser, is_new: true });
    }

    /// Reads once. `Ok(false)`: the stream has ended.
    fn read(&mut self) -> Result<bool, ClientError> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut buffer = [0; READ_BYTES];
        let silence_max = self.silence_max;
        let len = stream.body.read(&mut buffer).map_err(|error| match silence_max {
            Some(silence) if is_timeout(&error) => ClientError::Silent(silence),
            _ => ClientError::Broken(error),
        })?;
        let mut updates = Vec::new();
        let pushed = stream.parser.push(&buffer[..len], &mut updates);
        if let Some(first) = updates.first()
            && std::mem::take(&mut stream.is_new)
            && first.event_type == GAP_EVENT_TYPE
            && first.id == self.last_event_id
        {
            // What the answer's field has told already.
            updates.remove(0);
        }
        self.ready.extend(updates.into_iter().map(Event::Update));
        self.backoff.set_first(stream.parser.retry());
        if self.ready.is_empty() {
            // An id may come without an event; it counts once all before it is handed out.
            stream.parser.last_event_id().clone_into(&mut self.last_event_id);
        }
        pushed?;
        Ok(len > 0)
    }

    fn fail(&mut self, error: ClientError) -> ClientError {
        self.stream = None;
        self.backoff.failed();
        let asked = error.retry_after().unwrap_or_default().min(ASKED_MAX);
        self.wait = self.backoff.next_wait().max(asked);
        let may_get_better = error.is_unauthorized() && self.link.hub.tokens.can_renew();
        self.ended = error.is_final() && !may_get_better;
        error
    }
}

/// Whether the answer leaves it open that updates were lost.
fn is_gap(is_first: bool, requested: &str, resumed_from: Option<&str>) -> bool {
    match (is_first, requested) {
        // Nothing was promised yet.
        (true, "") => false,
        // Ids may have blanks around them, which fields lose.
        (true, _) => resumed_from != Some(requested.trim()),
        // `earliest` is where the history begins, wherever that is by now.
        (false, "" | EARLIEST) => true,
        (false, _) => resumed_from != Some(requested.trim()),
    }
}

impl Link {
    fn open(&self, last_event_id: &str) -> Result<Opened, ClientError> {
        let Link { hub, matchers } = self;
        // Each connection has a token of its own.
        hub.tokens.renew();
        let mut url = hub.url.clone();
        let is_plain = !last_event_id.is_empty() && last_event_id.trim() == last_event_id;
        let field = HeaderValue::from_bytes(last_event_id.as_bytes()).ok().filter(|_| is_plain);
        if field.is_none() {
            // An empty one resumes nothing, and is answered with where the stream begins: so it can
            // be resumed even if it ends before anything comes.
            url.query_pairs_mut().append_pair("last_event_id", last_event_id);
        }
        let mut request = hub.agent.get(url.as_str()).header("accept", "text/event-stream");
        if let Some(id) = field {
            request = request.header("last-event-id", id);
        }
        if let Some(authorization) = hub.authorization(Need::Subscribe(matchers))? {
            request = request.header("authorization", authorization);
        }
        let response = request.call().map_err(|error| hub.unanswered(error))?;
        if !response.status().is_success() {
            return Err(refused(&hub.url, response));
        }
        let content_type = content_type(response.headers());
        if content_type != "text/event-stream" {
            let content_type = content_type.to_owned();
            return Err(ClientError::NotAStream { url: shown(&hub.url), content_type });
        }
        let resumed_from = response.headers().get("mercure-last-event-id");
        let resumed_from = resumed_from.and_then(|id| String::from_utf8(id.as_bytes().into()).ok());
        Ok(Opened { body: response.into_body().into_reader(), resumed_from })
    }
}

impl Iterator for Subscriber {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.stopped.load(Ordering::SeqCst) {
                self.stream = None;
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                if let Event::Update(update) = &event {
                    self.last_event_id.clone_from(&update.id);
                }
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if self.stream.is_none() {
                match self.open() {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.read() {
                Ok(true) => self.backoff.succeeded(),
                Ok(false) => {
                    // The hub ends streams now and then; that is no failure.
                    self.stream = None;
                    self.wait = self.backoff.next_wait();
                }
                // What came before it is whole.
                Err(_) if self.stopped.load(Ordering::SeqCst) => {}
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}
