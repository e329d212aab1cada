//! Publications of the application that a hub runs in: a thread that hands them to the log, as a
//! worker does with those of its clients, and gives the answers back.
//!
//! The application's threads and this one share a lock. Neither workers nor the log ever take it:
//! they meet this thread at a port of its own ([`crate::log::exchange`]).

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use crate::{
    hub::Moment,
    log::{
        bell::{Doze, Ring},
        exchange::{Exchange, Ticket, Unavailable},
        history::History,
        thread::{Unpark, vital},
    },
    protocol::{
        new_update::NewUpdate,
        publish::{self, Publication},
        update::Draft,
    },
    worker::{
        Clock, Settings,
        submissions::{self, Submissions},
    },
};

/// Publications that are not answered yet, at most.
const UNANSWERED_MAX: usize = 4096;

/// Why an update of the application was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It is none that may be published, whoever does it.
    #[error(transparent)]
    Refused(#[from] publish::PublishError),
    /// As a form it has more bytes than `max_request_body_size` allows.
    #[error("the update has {len} bytes, {len_max} are possible; see max_request_body_size")]
    TooLarge { len: u64, len_max: u64 },
    /// Too many others are not answered yet, or too many bytes of them.
    #[error("the hub holds too many unanswered updates; try again later")]
    Full,
    /// It waited for `publish_wait`, and was not published: it may be tried again.
    #[error("the hub is behind with deliveries; try again later")]
    Overloaded,
    #[error("the history cannot be written; the hub takes no more updates until it is restarted")]
    Unavailable,
    /// It was not written, and may be tried again.
    #[error("there is no room for more history; try again later")]
    NoRoom,
    /// Nobody knows whether its id is in use. It was not published, and may be tried again.
    #[error("the history cannot be read; try again later")]
    Unreadable,
    /// An update in the history has this id, and the setting `reused_ids` is `refuse`.
    #[error("an update with the id {id} is in the history already; this one was not published")]
    ReusedId { id: String },
    #[error("the hub has been stopped")]
    Stopped,
}

impl From<submissions::PublishError> for PublishError {
    fn from(error: submissions::PublishError) -> Self {
        match error {
            submissions::PublishError::Overloaded => PublishError::Overloaded,
            submissions::PublishError::Unavailable(Unavailable::Failed) => {
                PublishError::Unavailable
            }
            submissions::PublishError::Unavailable(Unavailable::NoRoom) => PublishError::NoRoom,
            submissions::PublishError::Unreadable => PublishError::Unreadable,
            submissions::PublishError::ReusedId { id } => PublishError::ReusedId { id: id.into() },
        }
    }
}

type Answer = Result<String, PublishError>;

/// An update on its way: ready with its id once it is committed. It is published whether this is
/// awaited or dropped. Needs no particular runtime.
#[must_use = "the answer tells whether the update was published"]
pub struct Publishing(Arc<Mutex<Slot>>);

#[derive(Default)]
enum Slot {
    #[default]
    Open,
    Awaited(Waker),
    Answered(Answer),
}

impl Publishing {
    fn answered(answer: Answer) -> Self {
        Publishing(Arc::new(Mutex::new(Slot::Answered(answer))))
    }

    /// Waits for the answer on this thread.
    pub fn wait(mut self) -> Answer {
        let waker = Waker::from(Arc::new(Unparker(thread::current())));
        loop {
            match Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Publishing {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = lock(&self.0);
        match mem::take(&mut *slot) {
            Slot::Answered(answer) => {
                // Whoever asks once more is told the same.
                *slot = Slot::Answered(answer.clone());
                Poll::Ready(answer)
            }
            Slot::Open | Slot::Awaited(_) => {
                *slot = Slot::Awaited(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").finish_non_exhaustive()
    }
}

struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Somebody who is owed an answer, and gets one whatever happens.
struct Owed {
    slot: Arc<Mutex<Slot>>,
    size: u64,
}

impl Owed {
    fn keep(&self, answer: Answer) {
        let mut slot = lock(&self.slot);
        if let Slot::Answered(_) = *slot {
            return;
        }
        let before = mem::replace(&mut *slot, Slot::Answered(answer));
        drop(slot);
        if let Slot::Awaited(waker) = before {
            waker.wake();
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.keep(Err(PublishError::Stopped));
    }
}

/// What the application's threads hand in.
#[derive(Default)]
struct Desk {
    queue: Vec<(Draft, Owed, Moment)>,
    unanswered: usize,
    unanswered_bytes: u64,
    is_closed: bool,
}

/// What is known once the exchange is there.
struct Attached {
    exchange: Arc<Exchange>,
    history: Arc<dyn History>,
    settings: Arc<Settings>,
    /// At the exchange.
    number: usize,
}

struct Shared {
    desk: Mutex<Desk>,
    clock: Clock,
    attached: OnceLock<Attached>,
}

/// The way in for updates of the application.
#[derive(Clone)]
pub(super) struct Publisher(Arc<Shared>);

/// The thread; ended, with everybody answered, when this is dropped.
pub(super) struct Guest {
    publisher: Publisher,
    ringer: Thread,
    thread: Option<JoinHandle<()>>,
}

/// What is guarded is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guest {
    /// The thread has to exist before the exchange that knows how to wake it.
    pub(super) fn start(publish_wait: Duration) -> io::Result<Guest> {
        let shared = Arc::new(Shared {
            desk: Mutex::default(),
            clock: Clock::start(),
            attached: OnceLock::new(),
        });
        let publisher = Publisher(Arc::clone(&shared));
        let run = move || {
            while shared.attached.get().is_none() {
                if lock(&shared.desk).is_closed {
                    return;
                }
                thread::park();
            }
            vital(|| shared.run(publish_wait));
        };
        let thread = thread::Builder::new().name("publisher".into()).spawn(run)?;
        Ok(Guest { publisher, ringer: thread.thread().clone(), thread: Some(thread) })
    }

    /// What the exchange wakes it with.
    pub(super) fn ring(&self) -> Box<dyn Ring> {
        Box::new(Unpark(self.ringer.clone()))
    }

    /// From now on it publishes.
    pub(super) fn attach(
        &self,
        exchange: &Arc<Exchange>,
        history: &Arc<dyn History>,
        settings: &Arc<Settings>,
    ) {
        let _ = self.publisher.0.attached.set(Attached {
            exchange: Arc::clone(exchange),
            history: Arc::clone(history),
            settings: Arc::clone(settings),
            // The only guest.
            number: exchange.ports().len(),
        });
        self.ringer.unpark();
    }

    pub(super) fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Takes no more; what was taken is finished.
    pub(super) fn close(&self) {
        lock(&self.publisher.0.desk).is_closed = true;
        self.ringer.unpark();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            // A panic in there has ended the process.
            let _ = thread.join();
        }
    }
}

impl Publisher {
    /// Checks an update as if a client had sent it with a token for every topic, and hands it in.
    /// Does not block.
    pub(super) fn publish(&self, update: NewUpdate<'_>) -> Publishing {
        self.hand_in(update).unwrap_or_else(|error| Publishing::answered(Err(error)))
    }

    fn hand_in(&self, update: NewUpdate<'_>) -> Result<Publishing, PublishError> {
        let Attached { exchange, settings, number, .. } =
            self.0.attached.get().ok_or(PublishError::Stopped)?;
        let size = form_len(update);
        if size > settings.body_len_max {
            return Err(PublishError::TooLarge { len: size, len_max: settings.body_len_max });
        }
        let endpoint = settings.endpoint.load();
        let fields = update.fields().map(Ok::<_, std::convert::Infallible>);
        let publication = Publication::parse(
            fields,
            &endpoint.hub_url,
            &endpoint.topic_hasher,
            &endpoint.limits,
        )?;
        let draft = publication.into_draft(Clock::unix());
        let slot = Arc::default();
        let owed = Owed { slot: Arc::clone(&slot), size };
        let mut desk = lock(&self.0.desk);
        if desk.is_closed {
            return Err(PublishError::Stopped);
        }
        let bytes = desk.unanswered_bytes + size;
        let is_too_much = desk.unanswered > 0 && bytes > settings.body_budget as u64;
        if desk.unanswered == UNANSWERED_MAX || is_too_much {
            return Err(PublishError::Full);
        }
        desk.unanswered += 1;
        desk.unanswered_bytes = bytes;
        desk.queue.push((draft, owed, self.0.clock.now()));
        drop(desk);
        exchange.port(*number).bell.wake();
        Ok(Publishing(slot))
    }
}

/// Bytes of the form that a client would send.
fn form_len(update: NewUpdate<'_>) -> u64 {
    let encoded =
        |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum::<usize>();
    // `=`, and `&` or the end.
    let fields = update.fields().map(|(name, value)| encoded(&name) + encoded(&value) + 2);
    (fields.sum::<usize>() as u64).saturating_sub(1)
}

impl Shared {
    /// The loop of the thread: as the pump of a worker, without its subscribers.
    fn run(&self, publish_wait: Duration) {
        let Some(attached) = self.attached.get() else { return };
        let Attached { exchange, history, settings, number } = attached;
        let bell = &exchange.port(*number).bell;
        let (exchange, reused_ids) = (Arc::clone(exchange), settings.reused_ids);
        let mut submissions = Submissions::new(*number, exchange, publish_wait, reused_ids);
        let mut owed: HashMap<u32, Owed> = HashMap::new();
        let mut next_ticket = 0_u32;
        let mut doze = Doze::default();
        loop {
            let (queue, is_closed) = {
                let mut desk = lock(&self.desk);
                (mem::take(&mut desk.queue), desk.is_closed)
            };
            let mut worked = !queue.is_empty();
            for (draft, who, arrived) in queue {
                while owed.contains_key(&next_ticket) {
                    next_ticket = next_ticket.wrapping_add(1);
                }
                owed.insert(next_ticket, who);
                submissions.publish(Ticket(next_ticket), draft, arrived);
                // At once, so that updates keep the order in which they were handed in.
                self.search(&**history, &mut submissions, &mut owed);
            }
            while let Some((ticket, outcome)) = submissions.next_answer() {
                worked = true;
                self.answer(owed.remove(&ticket.0), outcome);
            }
            self.search(&**history, &mut submissions, &mut owed);
            while let Some(ticket) = submissions.next_refused(self.clock.now()) {
                self.answer(owed.remove(&ticket.0), Err(submissions::PublishError::Overloaded));
            }
            submissions.wake_log();
            if doze.may_sleep(bell, worked) {
                if is_closed && owed.is_empty() {
                    return;
                }
                match submissions.next_due() {
                    None => thread::park(),
                    Some(Moment(due)) => {
                        let left = due.saturating_sub(self.clock.now().0);
                        thread::park_timeout(Duration::from_millis(left.max(1)));
                    }
                }
                doze.woke(bell);
            }
        }
    }

    /// Makes all searches that are wanted: this thread may wait for them.
    fn search(
        &self,
        history: &dyn History,
        submissions: &mut Submissions,
        owed: &mut HashMap<u32, Owed>,
    ) {
        while let Some(search) = submissions.next_search() {
            let found = history.search(&search.id);
            if let Some((ticket, outcome)) = submissions.searched(search.ticket, found) {
                self.answer(owed.remove(&ticket.0), outcome);
            }
        }
    }

    fn answer(&self, owed: Option<Owed>, outcome: submissions::Outcome) {
        let Some(owed) = owed else { return };
        let mut desk = lock(&self.desk);
        desk.unanswered -= 1;
        desk.unanswered_bytes -= owed.size;
        drop(desk);
        let answer = outcome.map(|published| published.id().to_owned());
        owed.keep(answer.map_err(PublishError::from));
    }
}
