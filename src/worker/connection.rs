//! One connection that speaks HTTP/1.1: requests in, answers out, until it becomes a stream.

use std::{
    cell::Cell,
    future::poll_fn,
    io, mem,
    os::fd::{AsRawFd, IntoRawFd, RawFd},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use monoio::{
    buf::IoBufMut,
    time::{sleep, timeout, timeout_at},
};

use super::{
    budget::Reserved,
    clients::Counted,
    endpoint::{Denied, Endpoint, EndpointSettings, Subscribe},
    link,
    local::Local,
    pump::PublishError,
    settings::Overload,
    socket::Socket,
    sockets::{discard, send_now},
};
use crate::{
    http::{
        body::{BodyLength, BodyReader, Step},
        date::HttpDate,
        fields::Fields,
        forwarded::Peer,
        head::{Head, Method},
        media::ProblemForm,
        pages,
        reader::{self, HeadReader},
        refusal::Refusal,
        response::{CONTINUE, Envelope, Response},
        route::{Route, route},
        status::Status,
        stream::{self, StreamForm},
    },
    hub::{Carrier, Joiner, Moment},
    legacy,
    log::history::{Chunk, Located},
    metrics::Refused,
    protocol::{
        frame::{Form, Frame, LAST_CHUNK},
        gap::GapNotice,
        matcher::Interest,
        subscribe::{EARLIEST, Since},
    },
};

/// Bytes that are read at a time.
const READ_LEN: usize = 4096;
/// The same for bodies that are known to be longer.
const READ_LEN_MAX: usize = 64 * 1024;
/// A client that has not taken an answer by then is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client still sends after its last answer is dropped for this long, so that the answer is
/// not lost in a reset: many clients read no answer before they have sent all.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_LEN_MAX: usize = 256 << 20;
/// A client that sends nothing for this long has seen that the connection ended.
const LINGER_QUIET: Duration = Duration::from_secs(5);
/// Requests that are served from what was received already, before others get their turn.
const REQUESTS_IN_A_ROW: u32 = 16;
/// Publishers that are refused for now come back after this time.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Subscribers that are refused for now come back after a time up to this.
const RECONNECT_MAX: Duration = Duration::from_secs(20);

/// The connection has to be closed: the client left, was too slow, or the socket failed.
struct Lost;

/// The client holds as many streams as one may.
struct ClientIsFull;

/// What becomes of the connection after an answer.
enum Next {
    Request,
    /// The client may not have sent everything that it wants to send.
    Linger,
    Close,
    /// The socket belongs to a subscriber now.
    Stream(Stream),
}

/// A subscriber that is about to get its socket.
struct Stream {
    head: Vec<u8>,
    form: Form,
    admitted: Admitted,
    start: Option<Chunk>,
}

/// How a stream begins that resumes.
struct Resumed {
    /// The value of `Mercure-Last-Event-ID`.
    last_event_id: Box<str>,
    /// That it is not what was asked for.
    notice: Option<Frame>,
    chunk: Chunk,
}

/// A subscriber whose request was granted.
struct Admitted {
    counted: Option<Counted>,
    interest: Interest,
    /// It asked as clients of 0.x do.
    legacy: bool,
    /// When the stream has to end for its token.
    deadline: Moment,
}

/// A request body, and its share of the worker's budget.
struct Body<'a> {
    bytes: Vec<u8>,
    reserved: Reserved<'a>,
}

struct Connection<'a> {
    local: &'a Local,
    socket: Socket,
    peer: Peer,
    /// What was received and not read yet.
    input: Vec<u8>,
    heads: HeadReader,
}

/// Serves a connection, of which `input` was read already, to its end or until it becomes a stream.
pub(super) async fn serve(local: Rc<Local>, socket: Socket, peer: Peer, input: Vec<u8>) {
    let fd = socket.as_raw_fd();
    let heads = HeadReader::default();
    let mut connection = Connection { local: &local, socket, peer, input, heads };
    match connection.requests().await {
        Ok(Next::Stream(stream)) => {
            let fd = connection.socket.into_raw_fd();
            become_stream(&local, fd, stream);
        }
        Ok(Next::Linger) => connection.linger().await,
        Ok(Next::Request | Next::Close) => {}
        // An operation may still be under way: it ends with the connection.
        Err(Lost) => shut_down(fd),
    }
}

impl<'a> Connection<'a> {
    /// Serves request after request. Returns what is to become of the connection then.
    async fn requests(&mut self) -> Result<Next, Lost> {
        let mut in_a_row = 0;
        let mut wait = self.local.settings.header_timeout;
        loop {
            let head = match self.head(wait).await? {
                Some(Ok(head)) => head,
                Some(Err(refusal)) => return self.refuse(refusal).await,
                None => return Ok(Next::Close),
            };
            match self.request(head).await? {
                Next::Request => {}
                next => return Ok(next),
            }
            wait = self.local.settings.idle_timeout;
            in_a_row = if self.input.is_empty() { 0 } else { in_a_row + 1 };
            if in_a_row == REQUESTS_IN_A_ROW {
                in_a_row = 0;
                sleep(Duration::ZERO).await;
            }
        }
    }

    /// The next request head; `None` at the end of the connection between two requests. `wait`:
    /// for its first byte.
    async fn head(&mut self, wait: Duration) -> Result<Option<Result<Head, Refusal>>, Lost> {
        let limits = &self.local.settings.head_limits;
        let is_idle = self.input.is_empty();
        if is_idle && self.local.draining.get() {
            return Ok(None);
        }
        let (local, now) = (self.local, Instant::now());
        let since = local.clock.moment(now);
        let waiting = local.waits.begin(self.socket.as_raw_fd(), !is_idle, since);
        if is_idle {
            // What a long request needed is not held for as long as a client is idle.
            if self.input.capacity() > READ_LEN {
                self.input = Vec::new();
            }
            let read = self.fill(READ_LEN, now + wait).await;
            waiting.begun();
            // Nobody is owed an answer yet.
            if !matches!(read, Ok(1..)) {
                return read.map(|_| None);
            }
        }
        let mut until = None;
        let mut held = self.local.heads.reserve(0).ok_or(Lost)?;
        loop {
            match self.heads.read(&self.input, limits) {
                Ok(Some((mut head, len))) => {
                    self.input.drain(..len);
                    local.settings.trusted_proxies.heed(self.peer, &mut head);
                    return Ok(Some(Ok(head)));
                }
                Ok(None) => {}
                Err(refusal) => return Ok(Some(Err(refusal))),
            }
            // A browser whose connection is lost comes back later; after an answer it would not.
            if self.input.len() >= READ_LEN {
                self.input.reserve(READ_LEN);
                held.cover(self.input.capacity()).ok_or(Lost)?;
            }
            let until =
                *until.get_or_insert_with(|| Instant::now() + local.settings.header_timeout);
            if self.fill(READ_LEN, until).await? == 0 {
                return Err(Lost);
            }
        }
    }

    /// Receives up to `len` bytes more; 0 at the end of input.
    async fn fill(&mut self, len: usize, until: Instant) -> Result<usize, Lost> {
        let mut input = mem::take(&mut self.input);
        let start = input.len();
        input.reserve(len);
        let room = start..input.capacity();
        let read = timeout_at(until.into(), self.socket.read(input.slice_mut(room))).await;
        // After a time-out the operation keeps its buffer until the socket is shut down.
        let Ok((result, buffer)) = read else { return Err(Lost) };
        self.input = buffer.into_inner();
        result.map_err(|_| Lost)
    }

    async fn request(&mut self, head: Head) -> Result<Next, Lost> {
        let rules = self.local.rules();
        let identity = &rules.identity;
        let route = route(head.method, head.path(), identity.metadata_paths());
        let is_of_hub = matches!(
            route,
            Route::Publish | Route::Subscribe | Route::SubscribeHead | Route::Metadata
        );
        if is_of_hub && identity.is_misdirected(&head) {
            let response = self.local.endpoint().misdirected(&head);
            return self.respond_unread(&head, response).await;
        }
        match route {
            Route::Publish => self.publish(head).await,
            Route::Subscribe | Route::SubscribeHead => self.subscribe(head).await,
            other => {
                let response = self.other(&head, other);
                self.respond_unread(&head, response).await
            }
        }
    }

    /// Everything but publications and subscriptions.
    fn other(&self, head: &Head, route: Route) -> Response<'static> {
        let form = ProblemForm::asked_for(head);
        match route {
            Route::Options { allow } => {
                self.local.rules().cors.preflight(head.header("Origin"), allow)
            }
            Route::MethodNotAllowed { allow } => Response::method_not_allowed(allow, form),
            Route::Metadata => self.local.rules().metadata(head),
            Route::Welcome => self.welcome(head),
            other => pages::page(other).unwrap_or_else(|| {
                let detail = "there is nothing here; the hub is at /.well-known/mercure";
                Response::problem(Status::NotFound, Some(detail), form)
            }),
        }
    }

    /// The page of the hub's host, as any publisher would serve one: with a link to the hub, and
    /// the event from which on a subscriber misses nothing (draft-08 #hub-discovery).
    fn welcome(&self, head: &Head) -> Response<'static> {
        let last_event_id = self.local.pump(|pump| pump.hub.last_event_id().map(str::to_owned));
        let rules = self.local.rules();
        let target = rules.identity.link_target(head);
        let page = pages::page(Route::Welcome).expect("there is one");
        page.with("Link", link::to_hub(target, last_event_id.as_deref()))
    }

    /// What the endpoint says to a request; once more if the key of its token may have come only
    /// after it.
    async fn ask<T>(
        &self,
        head: &Head,
        ask: impl Fn(&mut Endpoint) -> Result<T, Denied>,
    ) -> Result<T, Response<'static>> {
        let local = self.local;
        let mut answer = ask(&mut local.endpoint());
        if let Err(Denied::Later(later)) = &answer
            && local.wait_for_keys(&later.asked, &later.keyring).await
        {
            answer = ask(&mut local.endpoint());
        }
        answer.map_err(|denied| local.endpoint().answer(denied, head))
    }

    async fn publish(&mut self, head: Head) -> Result<Next, Lost> {
        let local = self.local;
        let access = self.ask(&head, |endpoint| endpoint.publisher(&head, local.unix_time())).await;
        let access = match access {
            Ok(access) => access,
            Err(response) => return self.respond_unread(&head, response).await,
        };
        let Body { bytes, reserved } = match self.body(&head).await? {
            Ok(body) => body,
            Err(response) => return self.respond_unread(&head, response).await,
        };
        let draft = local.endpoint().draft(&head, &access, &bytes, local.unix_time());
        drop(bytes);
        let draft = match draft {
            Ok(draft) => draft,
            Err(response) => return self.respond(&head, response).await,
        };
        let publication = local.pump(|pump| pump.publish(draft, local.now()));
        // The pump keeps the time of a publication that has to wait.
        local.nudge();
        let published = poll_fn(|cx| local.pump(|pump| pump.poll_published(publication, cx))).await;
        drop(reserved);
        let response = match &published {
            Ok(published) => Response::text(Status::Ok, published.id().as_bytes()),
            Err(error) => {
                local.metrics().updates_failed.add(1);
                let (status, reason) = match error {
                    PublishError::ReusedId { .. } => (Status::Conflict, Refused::ReusedId),
                    PublishError::Overloaded
                    | PublishError::Unavailable(_)
                    | PublishError::Unreadable => {
                        (Status::ServiceUnavailable, Refused::Unavailable)
                    }
                };
                local.metrics().refuse(reason);
                not_published(&head, status, error)
            }
        };
        self.respond(&head, response).await
    }

    /// Reads the request's body, or finds out why it is not taken.
    async fn body(&mut self, head: &Head) -> Result<Result<Body<'a>, Response<'static>>, Lost> {
        let local = self.local;
        let refused = |refusal| {
            self.local.metrics().refuse(refused_by(refusal));
            Response::refusal(refusal, ProblemForm::asked_for(head))
        };
        let full = || {
            if head.method == Method::Post {
                local.metrics().updates_failed.add(1);
            }
            local.metrics().refuse(Refused::Unavailable);
            let detail = "the hub holds as many request bodies as it may; try again later";
            let form = ProblemForm::asked_for(head);
            Response::problem(Status::ServiceUnavailable, Some(detail), form)
                .retry_after(RETRY_AFTER_SECONDS)
        };
        let mut reader = match BodyReader::new(head.body, local.settings.body_len_max) {
            Ok(reader) => reader,
            Err(refusal) => return Ok(Err(refused(refusal))),
        };
        if let Some(whole) = reader.take_whole(&self.input) {
            let Some(reserved) = local.bodies.reserve(whole.len()) else { return Ok(Err(full())) };
            let bytes = whole.to_vec();
            self.input.drain(..bytes.len());
            return Ok(Ok(Body { bytes, reserved }));
        }
        if head.expects_continue && self.input.is_empty() {
            self.send(CONTINUE.to_vec()).await?;
        }
        let Some(mut reserved) = local.bodies.reserve(0) else { return Ok(Err(full())) };
        let mut bytes = Vec::new();
        let until = Instant::now() + local.settings.body_timeout;
        loop {
            let before = bytes.len();
            let Step { consumed, done } = match reader.decode(&self.input, &mut bytes) {
                Ok(step) => step,
                Err(refusal) => return Ok(Err(refused(refusal))),
            };
            self.input.drain(..consumed);
            if !reserved.grow(bytes.len() - before) {
                return Ok(Err(full()));
            }
            if done {
                return Ok(Ok(Body { bytes, reserved }));
            }
            let len = if bytes.len() > READ_LEN { READ_LEN_MAX } else { READ_LEN };
            if self.fill(len, until).await? == 0 {
                return Err(Lost);
            }
        }
    }

    async fn subscribe(&mut self, head: Head) -> Result<Next, Lost> {
        let local = self.local;
        let access =
            self.ask(&head, |endpoint| endpoint.subscriber(&head, local.unix_time())).await;
        let access = match access {
            Ok(access) => access,
            Err(response) => return self.respond_unread(&head, response).await,
        };
        // Of other methods, a body means nothing (RFC 9110 §9.3.1).
        let body = match head.method {
            Method::Query => Some(match self.body(&head).await? {
                Ok(body) => body,
                Err(response) => return self.respond_unread(&head, response).await,
            }),
            _ => None,
        };
        let form = body.as_ref().map_or(&[][..], |body| &body.bytes);
        let now = local.unix_time();
        let subscribe = local.endpoint().subscription(&head, access, form, now);
        drop(body);
        let subscribe = match subscribe {
            Ok(subscribe) => subscribe,
            Err(response) if head.method == Method::Query => {
                return self.respond(&head, response).await;
            }
            Err(response) => return self.respond_unread(&head, response).await,
        };
        let Subscribe { interest, since, gap_notice, legacy, remaining } = subscribe;
        // Counted from here: looking up where to start takes time that the token does not wait.
        let deadline =
            remaining.map_or(Moment::NEVER, |remaining| local.spread_deadline(remaining));
        let is_full = local.pump(|pump| pump.hub.len()) >= local.settings.subscribers_max;
        if is_full || local.draining.get() {
            let reason = match is_full {
                true => {
                    "the hub has as many subscribers as it takes (the limit on open files, \
                         and max_connections)"
                }
                false => "the hub is about to end",
            };
            tracing::info!(reason, "subscriber turned away");
            return self.turn_away(&head, since.as_ref(), legacy, Refused::Overload).await;
        }
        let Ok(counted) = self.count(&head) else {
            return self.turn_away(&head, since.as_ref(), legacy, Refused::ClientLimit).await;
        };
        let admitted = Admitted { counted, interest, legacy, deadline };
        let Some(since) = since else {
            return self.start(&head, admitted, None).await;
        };
        let (interest, form) = (admitted.interest.clone(), form_of(&head));
        let start = local.pump(|pump| pump.start_replay(since.clone(), interest, form));
        local.nudge();
        let start = poll_fn(|cx| local.pump(|pump| pump.poll_start(start, cx))).await;
        let Ok((located, chunk)) = start else {
            return self.turn_away(&head, Some(&since), legacy, Refused::Unavailable).await;
        };
        let Located { last_event_id, gap, .. } = located;
        let notice = gap.filter(|_| gap_notice).map(|reason| {
            let (requested, resumed_from) = (since.id(), &*last_event_id);
            GapNotice { requested, resumed_from, reason }.frame()
        });
        self.start(&head, admitted, Some(Resumed { last_event_id, notice, chunk })).await
    }

    /// Counts the stream that is to be among those of its client, if they are limited; an error if
    /// it has as many as it may.
    fn count(&self, head: &Head) -> Result<Option<Counted>, ClientIsFull> {
        let Some(clients) = &self.local.settings.clients else { return Ok(None) };
        let address = head.forwarded.client.map_or(self.peer, Peer::from);
        let counted = clients.count(address);
        if counted.is_none() {
            let reason = "the client has as many streams as one may (max_connections_per_ip)";
            tracing::info!(reason, %address, "subscriber turned away");
        }
        counted.map(Some).ok_or(ClientIsFull)
    }

    /// Answers a subscription with the beginning of a stream.
    async fn start(
        &mut self,
        request: &Head,
        admitted: Admitted,
        resumed: Option<Resumed>,
    ) -> Result<Next, Lost> {
        let (date, mut head) = (self.local.date(), Vec::new());
        let rules = self.local.rules();
        let mut envelope = self.envelope(request, &date, &rules);
        let link = rules.identity.link(request);
        let also = admitted.legacy.then_some(legacy::LAST_EVENT_ID);
        let cursor = resumed
            .as_ref()
            .map_or(Fields::NONE, |resumed| stream::last_event_id(&resumed.last_event_id, also));
        // The socket is closed after a stream: it must not go back into a client's pool.
        envelope.keep_alive &= envelope.head_only && request.body == BodyLength::None;
        let keep_alive = match stream::encode_start(&envelope, &[link, &cursor], &mut head) {
            StreamForm::Chunked => envelope.keep_alive,
            StreamForm::Bare => false,
        };
        if envelope.head_only {
            self.send(head).await?;
            return Ok(if keep_alive { Next::Request } else { Next::Linger });
        }
        let form = form_of(request);
        if let Some(notice) = resumed.as_ref().and_then(|resumed| resumed.notice.as_ref()) {
            // A part of the head: nothing gets before it, whatever the peer takes at once.
            head.extend_from_slice(notice.bytes(form));
        }
        let start = resumed.map(|resumed| resumed.chunk);
        Ok(Next::Stream(Stream { head, form, admitted, start }))
    }

    /// Tells a subscriber to come back later, in a way that browsers understand: any answer but
    /// 200 makes an `EventSource` give up for ever.
    async fn turn_away(
        &mut self,
        request: &Head,
        since: Option<&Since>,
        legacy: bool,
        why: Refused,
    ) -> Result<Next, Lost> {
        let local = self.local;
        local.metrics().refuse(why);
        if local.settings.overload == Overload::Reject {
            let detail = match why {
                Refused::ClientLimit => "your address has as many subscribers as one may have",
                Refused::Unavailable => "the history cannot be read; try again later",
                _ => "the hub has as many subscribers as it takes; try again later",
            };
            let form = ProblemForm::asked_for(request);
            let response = Response::problem(Status::TooManyRequests, Some(detail), form)
                .retry_after(RETRY_AFTER_SECONDS);
            return self.respond_unread(request, response).await;
        }
        let (date, mut bytes) = (local.date(), Vec::new());
        let rules = local.rules();
        let mut envelope = self.envelope(request, &date, &rules);
        envelope.keep_alive = false;
        let cursor = since.map_or(Fields::NONE, |since| {
            // Nothing is sent and nothing skipped: the client stays where it is.
            let here = match since {
                Since::Id(id) => id,
                _ => EARLIEST,
            };
            stream::last_event_id(here, legacy.then_some(legacy::LAST_EVENT_ID))
        });
        let form = stream::encode_start(&envelope, &[&cursor], &mut bytes);
        if !envelope.head_only {
            let retry = RECONNECT_MAX.mul_f64(0.1 + 0.9 * local.random()).as_millis();
            let event = format!("retry: {retry}\n\n");
            match form {
                StreamForm::Chunked => {
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    bytes.extend_from_slice(chunk.as_bytes());
                    bytes.extend_from_slice(LAST_CHUNK);
                }
                StreamForm::Bare => bytes.extend_from_slice(event.as_bytes()),
            }
        }
        self.send(bytes).await?;
        Ok(Next::Linger)
    }

    /// Answers a request that was not understood; the last answer on the connection.
    async fn refuse(&mut self, refusal: Refusal) -> Result<Next, Lost> {
        tracing::info!(reason = %refusal, "request refused");
        self.local.metrics().refuse(refused_by(refusal));
        let date = self.local.date();
        let rules = self.local.rules();
        let cors = rules.cors.fields(reader::origin(&self.input));
        let envelope = Envelope::for_refusal(Some(&date), cors);
        let mut bytes = Vec::new();
        let _ = Response::refusal(refusal, ProblemForm::Json).encode(&envelope, &mut bytes);
        self.send(bytes).await?;
        Ok(Next::Linger)
    }

    /// Answers a request whose body, if it has one, was not read.
    async fn respond_unread(
        &mut self,
        request: &Head,
        response: Response<'_>,
    ) -> Result<Next, Lost> {
        let response = match request.body {
            BodyLength::None => response,
            BodyLength::Sized(_) | BodyLength::Chunked => response.close(),
        };
        self.respond(request, response).await
    }

    async fn respond(&mut self, request: &Head, response: Response<'_>) -> Result<Next, Lost> {
        let (date, mut bytes) = (self.local.date(), Vec::new());
        let rules = self.local.rules();
        let keep_alive = response.encode(&self.envelope(request, &date, &rules), &mut bytes);
        drop(rules);
        self.send(bytes).await?;
        Ok(if keep_alive { Next::Request } else { Next::Linger })
    }

    fn envelope<'b>(
        &self,
        request: &Head,
        date: &'b HttpDate,
        rules: &'b EndpointSettings,
    ) -> Envelope<'b> {
        let origin = request.header("Origin");
        if let Some(origin) = origin {
            self.local.endpoint().note_origin(origin, request);
        }
        let cors = rules.cors.fields(origin);
        let mut envelope = Envelope::for_request(request, Some(date), cors);
        envelope.keep_alive &= !self.local.draining.get();
        envelope
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Lost> {
        let sent = send_now(self.socket.as_raw_fd(), &bytes);
        if sent == bytes.len() {
            return Ok(());
        }
        let rest = bytes[sent..].to_vec();
        match timeout(ANSWER_TIMEOUT, self.socket.write_all(rest)).await {
            Ok((Ok(_), _)) => Ok(()),
            _ => Err(Lost),
        }
    }

    /// Lets the client read its last answer: a socket that is closed while input lies unread
    /// resets the connection, and the answer may be lost in that.
    async fn linger(&mut self) {
        let fd = self.socket.as_raw_fd();
        self.input = Vec::new();
        // SAFETY: a plain system call on an open descriptor.
        unsafe { libc::shutdown(fd, libc::SHUT_WR) };
        let begin = Instant::now();
        let _waiting = self.local.waits.begin(fd, false, self.local.clock.moment(begin));
        let end = begin + LINGER_TIMEOUT;
        let mut heard = 0;
        while heard < LINGER_LEN_MAX {
            let until = end.min(Instant::now() + LINGER_QUIET);
            let Ok(Ok(())) = timeout_at(until.into(), self.socket.readable()).await else {
                break;
            };
            match discard(fd) {
                Ok(0) => return,
                Ok(len) => heard += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        shut_down(fd);
    }
}

/// How events are sent to whoever asked for them.
fn form_of(request: &Head) -> Form {
    match StreamForm::of(request.version) {
        StreamForm::Chunked => Form::Chunked,
        StreamForm::Bare => Form::Bare,
    }
}

fn refused_by(refusal: Refusal) -> Refused {
    match refusal.status() {
        Status::ContentTooLarge | Status::UriTooLong | Status::HeaderFieldsTooLarge => {
            Refused::TooLarge
        }
        _ => Refused::Malformed,
    }
}

fn not_published(head: &Head, status: Status, error: &PublishError) -> Response<'static> {
    let (detail, form) = (error.to_string(), ProblemForm::asked_for(head));
    let response = Response::problem(status, Some(&detail), form);
    match status {
        Status::ServiceUnavailable => response.retry_after(RETRY_AFTER_SECONDS),
        _ => response,
    }
}

/// Ends what is under way on a socket, so that it can be closed.
fn shut_down(fd: RawFd) {
    // SAFETY: a plain system call; an error means that the peer was faster.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Gives a socket to the hub. All of this is one turn: the worker takes no updates meanwhile.
fn become_stream(local: &Local, fd: RawFd, stream: Stream) {
    let Stream { mut head, form, admitted, start } = stream;
    let Admitted { counted, interest, deadline, .. } = admitted;
    let now = local.now();
    let life = local.settings.write_timeout.map_or(Moment::NEVER, |life| {
        // "A maximum connection lifetime independent of `exp`" (draft-08 #subscribers), spread over
        // the last fifth, so that clients do not come back in waves.
        now + life.mul_f64(1.0 - 0.2 * local.random())
    });
    let mut deadline = deadline.min(life);
    if local.draining.get() {
        // The others were told before this one came in.
        deadline = deadline.min(now + local.settings.grace_period.mul_f64(local.random()));
    }
    let carrier = Carrier(fd);
    let is_full = Cell::new(false);
    let open = || {
        let sent = send_now(fd, &head);
        head.drain(..sent);
        is_full.set(!head.is_empty());
        Joiner { carrier, form, interest, deadline, unsent: Bytes::from(head) }
    };
    local.pump(|pump| {
        let key = match start {
            None => pump.join(now, open),
            Some(Chunk { events, through }) => {
                pump.hub.join_replaying(open(), events, through, now)
            }
        };
        if let Some(counted) = counted {
            pump.outside.keep_counted(carrier, counted);
        }
        if let Err(error) = pump.outside.add(carrier, key, is_full.get()) {
            tracing::warn!(%error, "a subscriber cannot be watched: it is closed");
            pump.hub.leave(key);
        }
    });
    local.nudge();
}
