//! A simulated subscriber: its socket, its habits of reading, and what it is owed.

use petasos::{
    hub::{Ended, Key, Outcome},
    protocol::{frame::Form, subscribe::Since},
};

use super::{
    oracle::{Oracle, Wanted},
    rng::Rng,
    stream::{Item, Stream},
};

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All that is there.
    Fast,
    /// Up to this many bytes at a time.
    Slow(usize),
    /// Nothing until then.
    StalledUntil(u64),
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: usize,
    pub(crate) form: Form,
    pub(crate) wanted: Wanted,
    pub(crate) since: Option<Since>,
    pub(crate) deadline: u64,
    /// Streams may end this early, since they were told to.
    pub(crate) drained_at: Option<u64>,

    // The socket.
    pub(crate) capacity: usize,
    pub(crate) buffered: usize,
    pub(crate) random_shorts: usize,
    /// A send was short: an event is due once there is room.
    pub(crate) refused: bool,
    /// The peer is gone.
    pub(crate) vanished: bool,
    /// A read for it failed.
    pub(crate) read_failed: bool,
    pub(crate) pace: Pace,
    pub(crate) key: Option<Key>,
    pub(crate) ended: Option<Ended>,

    // What it saw.
    stream: Stream,
    written: usize,
    read: usize,
    head_len: Option<usize>,
    /// The last event.
    pub(crate) cursor: Option<u64>,
    pub(crate) heartbeats: usize,

    // What it is owed.
    /// What was visibly committed when it asked.
    pub(crate) asked_at: u64,
    /// Appends before it asked.
    pub(crate) asked_after: usize,
    /// A live joiner is owed all that comes after these two.
    pub(crate) joined_at: u64,
    pub(crate) head_seen_at: u64,
    /// A replaying one is owed all after one of these.
    starts: Vec<u64>,
    /// It is known to be in the index of its worker.
    pub(crate) live: bool,

    // Times.
    pub(crate) progress_at: u64,
    pub(crate) offered_at: u64,
    /// Something waited for it at its last send.
    pub(crate) pending: bool,
    /// It was refused something since it last had everything.
    pub(crate) was_behind: bool,
}

const NEVER: u64 = u64::MAX;

impl Client {
    pub(crate) fn new(worker: usize, form: Form, wanted: Wanted, since: Option<Since>) -> Self {
        Client {
            worker,
            form,
            wanted,
            since,
            deadline: NEVER,
            drained_at: None,
            capacity: 100,
            buffered: 0,
            random_shorts: 0,
            refused: false,
            vanished: false,
            read_failed: false,
            pace: Pace::Fast,
            key: None,
            ended: None,
            stream: Stream::new(form),
            written: 0,
            read: 0,
            head_len: None,
            cursor: None,
            heartbeats: 0,
            asked_at: 0,
            asked_after: 0,
            joined_at: NEVER,
            head_seen_at: NEVER,
            starts: Vec::new(),
            live: false,
            progress_at: 0,
            offered_at: 0,
            pending: false,
            was_behind: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.key.is_some() && self.ended.is_none()
    }

    pub(crate) fn heard_head(&self) -> bool {
        self.head_len.is_some()
    }

    pub(crate) fn is_between_events(&self) -> bool {
        self.stream.is_between_events()
    }

    /// Offers bytes to the socket.
    pub(crate) fn send(&mut self, bytes: &[u8], oracle: &Oracle, rng: &mut Rng) -> Outcome {
        if self.vanished {
            return Outcome::Gone;
        }
        let mut room = (self.capacity - self.buffered).min(bytes.len());
        if rng.below(100) < self.random_shorts {
            room = rng.range(0, room);
        }
        self.accept(&bytes[..room], oracle);
        if room == bytes.len() {
            Outcome::Whole
        } else {
            self.refused = true;
            Outcome::Short(room)
        }
    }

    fn accept(&mut self, bytes: &[u8], oracle: &Oracle) {
        self.buffered += bytes.len();
        self.written += bytes.len();
        self.stream.push(bytes);
        while let Some(item) = self.stream.next().unwrap_or_else(|error| panic!("{error}")) {
            match item {
                Item::Head(head) => self.take_head(&head, oracle),
                Item::Event(event) => self.take_event(&event, oracle),
                Item::Heartbeat => self.heartbeats += 1,
                Item::End => assert!(self.ended.is_some(), "the last chunk comes from closing"),
            }
        }
    }

    fn take_head(&mut self, head: &str, oracle: &Oracle) {
        self.head_len = Some(head.len());
        let header = head.lines().find_map(|line| line.strip_prefix("Mercure-Last-Event-ID: "));
        match (&self.since, header) {
            (None, None) => {}
            (Some(since), Some(header)) => {
                self.starts = oracle.starts(since, self.asked_after, header);
                assert!(
                    !self.starts.is_empty(),
                    "Mercure-Last-Event-ID: {header} is not true for {since:?}"
                );
            }
            (since, header) => panic!("asked for {since:?}, got {header:?}"),
        }
    }

    fn take_event(&mut self, event: &str, oracle: &Oracle) {
        let position = oracle.position_of(event).unwrap_or_else(|error| panic!("{error}"));
        let after = match self.cursor {
            Some(cursor) => cursor,
            None => self.start_before(position).unwrap_or_else(|| {
                panic!("{position} is older than what was asked for: {:?}", self.starts)
            }),
        };
        assert!(after < position, "{position} comes after {after}: repeated or out of order");
        assert!(oracle.selects(&self.wanted, position), "{position} is not for {:?}", self.wanted);
        if let Some(missed) = oracle.next_for(&self.wanted, after, position - 1) {
            panic!("{missed} was skipped between {after} and {position}");
        }
        self.cursor = Some(position);
    }

    /// Where the stream began, if its first event is that at `position`: the latest possible start.
    fn start_before(&self, position: u64) -> Option<u64> {
        if self.since.is_none() {
            let latest = self.joined_at.min(self.head_seen_at).min(position - 1);
            return (position > self.asked_at).then_some(latest);
        }
        self.starts.iter().rev().copied().find(|&start| start < position)
    }

    /// Everything up to here is settled, from what the client can know.
    pub(crate) fn settled(&self) -> Option<u64> {
        match (self.cursor, &self.since) {
            (Some(cursor), _) => Some(cursor),
            (None, None) => Some(self.joined_at.min(self.head_seen_at)),
            (None, Some(_)) => self.starts.last().copied(),
        }
    }

    /// The earliest place where the stream may stand.
    pub(crate) fn settled_at_least(&self) -> u64 {
        self.cursor.or(self.starts.first().copied()).unwrap_or(0)
    }

    pub(crate) fn can_read(&self, now: u64) -> bool {
        let wants = self.buffered > 0 || self.refused;
        let stalled = matches!(self.pace, Pace::StalledUntil(until) if until > now);
        wants && !stalled && !self.vanished
    }

    /// Reads some. True if the worker is to be told that there is room.
    pub(crate) fn read(&mut self, end: u64, rng: &mut Rng) -> bool {
        let len = match self.pace {
            Pace::Slow(len) => len.min(self.buffered),
            _ => self.buffered,
        };
        self.buffered -= len;
        self.read += len;
        if self.head_seen_at == NEVER && self.head_len.is_some_and(|head| self.read >= head) {
            self.head_seen_at = end;
        }
        let has_room = self.buffered == 0 || rng.one_in(4);
        has_room && std::mem::take(&mut self.refused)
    }

    /// Notes what became of a send that was no heartbeat.
    pub(crate) fn note(&mut self, outcome: Outcome, now: u64) {
        match outcome {
            Outcome::Short(0) if self.pending => {}
            Outcome::Short(_) => {
                self.pending = true;
                self.was_behind = true;
                self.progress_at = now;
            }
            Outcome::Whole => {
                self.pending = false;
                self.progress_at = now;
            }
            Outcome::Gone => {}
        }
    }

    pub(crate) fn show(&self) -> String {
        format!(
            "worker {} since {:?} wants {:?} cursor {:?} starts {:?} joined {} seen {} asked {} \
             buffered {}/{} refused {} pending {} progress {} pace {:?} ended {:?} deadline {} \
             offered {}",
            self.worker,
            self.since,
            self.wanted,
            self.cursor,
            self.starts,
            self.joined_at,
            self.head_seen_at,
            self.asked_at,
            self.buffered,
            self.capacity,
            self.refused,
            self.pending,
            self.progress_at,
            self.pace,
            self.ended,
            self.deadline,
            self.offered_at,
        )
    }
}
