//! Publishers that publish as fast as they are answered, and streams, all on one thread; and the
//! book of what was published.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use crate::common::{
    client::{encode, publication},
    hub::{Hub, PATIENCE},
    sse::Block,
    swarm::{Happening, Opening, PeerId, Swarm},
    tokens,
};

/// What was published to a history, by whichever hubs, in the order of sending: update `number` is
/// `sent[number]`, and its data begins with its number.
pub(super) struct Book {
    pub(super) sent: Vec<Sent>,
    /// Bytes that are added to the data of an update, at most.
    pub(super) padding: usize,
}

pub(super) struct Sent {
    /// As the publisher gave it, or as it was first heard.
    pub(super) id: Option<String>,
    pub(super) outcome: Outcome,
    /// Bytes of its data.
    pub(super) len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not answered: it may have been taken or not.
    Open,
    Acknowledged,
    Refused,
}

impl Book {
    pub(super) fn new(padding: usize) -> Self {
        Book { sent: Vec::new(), padding }
    }

    /// The numbers of all updates with this outcome.
    pub(super) fn all(&self, outcome: Outcome) -> impl Iterator<Item = usize> {
        let is_one = move |number: &usize| self.sent[*number].outcome == outcome;
        (0..self.sent.len()).filter(is_one)
    }

    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.all(outcome).count()
    }

    /// The id of an update that was heard of.
    pub(super) fn id(&self, number: usize) -> &str {
        self.sent[number].id.as_deref().expect("its id is known")
    }

    /// Takes down the next update; the request that publishes it. Every other one has an id that
    /// its publisher gives.
    fn next(&mut self, token: &str) -> (usize, String) {
        let number = self.sent.len();
        let padding = number.wrapping_mul(7919) % (self.padding + 1);
        let data = format!("{number} {}", "x".repeat(padding));
        let id = number.is_multiple_of(2).then(|| format!("own-{number}"));
        let mut fields = vec![("topic", "a"), ("data", data.as_str())];
        fields.extend(id.as_deref().map(|id| ("id", id)));
        let request = publication(token, &fields);
        self.sent.push(Sent { id, outcome: Outcome::Open, len: data.len() });
        (number, request)
    }

    /// Whoever names an update calls it the same.
    fn check_id(&mut self, number: usize, id: &str) {
        let known = self.sent[number].id.get_or_insert_with(|| id.to_owned());
        assert_eq!(known, id, "update {number}");
    }

    /// The number of an event, which must be one that somebody sent, whole, and was not refused.
    fn number_of(&mut self, event: &Block<'_>) -> usize {
        let data = str::from_utf8(event.data.as_deref().expect("data")).unwrap();
        let (number, padding) = data.split_once(' ').expect("a number and padding");
        let number: usize = number.parse().unwrap();
        let sent = self.sent.get(number).unwrap_or_else(|| panic!("nobody published {number}"));
        assert_ne!(sent.outcome, Outcome::Refused, "{number} was refused, and is there");
        assert_eq!(sent.len, data.len(), "{number} is not whole");
        assert!(padding.bytes().all(|byte| byte == b'x'), "{number} is not intact");
        self.check_id(number, str::from_utf8(event.id.expect("an id")).unwrap());
        number
    }
}

/// What a stream received.
#[derive(Default)]
pub(super) struct Received {
    /// Empty until it came.
    pub(super) head: String,
    /// The numbers of its updates, in the order of arrival.
    pub(super) got: Vec<usize>,
    pub(super) ended: bool,
    /// Updates that had been sent when the head came.
    pub(super) sent_before: usize,
}

impl Received {
    /// The value of `Mercure-Last-Event-ID`.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let is_it = |name: &str| name.eq_ignore_ascii_case("mercure-last-event-id");
        lines.find(|(name, _)| is_it(name)).map(|(_, value)| value)
    }
}

/// Publishers and streams of one hub.
pub(super) struct Crowd<'b> {
    swarm: Swarm,
    addr: SocketAddr,
    token: String,
    pub(super) book: &'b mut Book,
    /// What each has under way.
    publishers: BTreeMap<PeerId, Option<usize>>,
    pub(super) streams: BTreeMap<PeerId, Received>,
    /// So many updates are sent, of all in the book.
    limit: usize,
    /// Heads of answers that refused an update.
    pub(super) refusals: Vec<String>,
}

impl<'b> Crowd<'b> {
    pub(super) fn new(hub: &Hub, book: &'b mut Book) -> Self {
        Crowd {
            swarm: Swarm::new(),
            addr: hub.addr,
            token: tokens::publisher(&["*"]),
            book,
            publishers: BTreeMap::new(),
            streams: BTreeMap::new(),
            limit: 0,
            refusals: Vec::new(),
        }
    }

    /// More publishers.
    pub(super) fn publishers(&mut self, count: usize) {
        for _ in 0..count {
            self.publishers.insert(self.swarm.open(self.addr, b"", Opening::default()), None);
        }
    }

    /// From now on all publishers publish, until so many more updates were sent.
    pub(super) fn publish(&mut self, count: usize) {
        self.limit = self.book.sent.len().saturating_add(count);
    }

    /// Publishes so many updates, and waits for the answers.
    pub(super) fn publish_all(&mut self, count: usize) {
        self.publish(count);
        self.until("answers", |crowd| crowd.is_answered());
    }

    /// All that was to be published was, and answered.
    pub(super) fn is_answered(&self) -> bool {
        self.book.sent.len() >= self.limit && self.publishers.values().all(Option::is_none)
    }

    /// No more updates are sent.
    pub(super) fn stop(&mut self) {
        self.limit = 0;
        self.until("the last answers", |crowd| crowd.is_answered());
    }

    /// A new stream; `since`: its last event id.
    pub(super) fn subscribe(&mut self, since: Option<&str>, opening: Opening) -> PeerId {
        let since = since.map_or(String::new(), |id| format!("&last_event_id={}", encode(id)));
        let request =
            format!("GET /.well-known/mercure?match=a{since} HTTP/1.1\r\nHost: hub\r\n\r\n");
        let peer = self.swarm.open(self.addr, request.as_bytes(), opening);
        self.streams.insert(peer, Received::default());
        peer
    }

    /// The same, once the head is there: its place is settled then.
    pub(super) fn subscribed(&mut self, since: Option<&str>) -> PeerId {
        let peer = self.subscribe(since, Opening::default());
        self.until("a head", |crowd| !crowd.streams[&peer].head.is_empty());
        peer
    }

    /// Everything after `since` that there is by now: its numbers, in order, with those of a last
    /// update that shows where the end is.
    pub(super) fn replay(&mut self, since: &str) -> Vec<usize> {
        let peer = self.subscribed(Some(since));
        let last = self.probe();
        self.until("a replay", |crowd| crowd.streams[&peer].got.last() == Some(&last));
        self.leave(peer).got
    }

    /// Publishes one update that has to succeed; its number.
    pub(super) fn probe(&mut self) -> usize {
        let number = self.book.sent.len();
        if self.publishers.is_empty() {
            self.publishers(1);
        }
        self.publish_all(1);
        assert_eq!(self.book.sent[number].outcome, Outcome::Acknowledged);
        number
    }

    pub(super) fn leave(&mut self, peer: PeerId) -> Received {
        self.swarm.close(peer);
        self.streams.remove(&peer).expect("a stream")
    }

    /// Lets everybody do what they can. False: nothing came but refusals.
    pub(super) fn turn(&mut self) -> bool {
        let Crowd { swarm, token, book, publishers, streams, limit, refusals, .. } = self;
        let refused = refusals.len();
        for (peer, under_way) in publishers.iter_mut() {
            if under_way.is_none() && book.sent.len() < *limit {
                let (number, request) = book.next(token);
                *under_way = Some(number);
                swarm.send(*peer, request.as_bytes());
            }
        }
        let heard = swarm.turn(Duration::from_millis(5), |peer, happening| match happening {
            Happening::Head(head) => {
                let stream = streams.get_mut(&peer).expect("a stream");
                (*head).clone_into(&mut stream.head);
                stream.sent_before = book.sent.len();
            }
            Happening::Event(event) => {
                let number = book.number_of(event);
                streams.get_mut(&peer).expect("a stream").got.push(number);
            }
            Happening::Answer { status, head, body } => {
                let under_way = publishers.get_mut(&peer).unwrap_or_else(|| panic!("{head}{body}"));
                let number = under_way.take().expect("a request");
                book.sent[number].outcome = match status {
                    200 => {
                        book.check_id(number, body);
                        Outcome::Acknowledged
                    }
                    503 => {
                        refusals.push((*head).to_owned());
                        Outcome::Refused
                    }
                    _ => panic!("{head}{body}"),
                };
            }
            Happening::End { .. } => match streams.get_mut(&peer) {
                Some(stream) => stream.ended = true,
                None => drop(publishers.remove(&peer)),
            },
        });
        heard && refusals.len() == refused
    }

    /// Goes on until something is true, as long as anything happens.
    pub(super) fn until(&mut self, what: &str, is_true: impl Fn(&Self) -> bool) {
        let mut heard = Instant::now();
        while !is_true(self) {
            if self.turn() {
                heard = Instant::now();
            }
            assert!(heard.elapsed() < PATIENCE, "waiting for {what}\n{}", self.describe());
        }
    }

    /// Who has what, and what the kernel knows of the connections.
    fn describe(&self) -> String {
        let mut text = format!("{} updates sent\n", self.book.sent.len());
        for (peer, stream) in &self.streams {
            let (port, since) = (self.swarm.port(*peer), stream.last_event_id());
            let Received { got, ended, sent_before, .. } = stream;
            text.push_str(&format!(
                "{peer} on {port:?}: since {since:?}, began after {sent_before} were sent, \
                 {} updates, the last {:?}, ended {ended}\n",
                got.len(),
                got.last()
            ));
        }
        let last = self.book.sent.last().map(|sent| &sent.id);
        text.push_str(&format!("the last of all is {last:?}\n"));
        let open = self.publishers.values().flatten().count();
        text.push_str(&format!("{open} answers are awaited\n"));
        let ours = format!("( sport = :{port} or dport = :{port} )", port = self.addr.port());
        if let Ok(output) = Command::new("ss").args(["-tnOiem", &ours]).output() {
            text.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        text
    }

    /// Takes in everything that was still on its way when the hub ended.
    pub(super) fn until_all_ended(&mut self) {
        self.limit = 0;
        self.until("the end", |crowd| {
            crowd.publishers.is_empty() && crowd.streams.values().all(|stream| stream.ended)
        });
    }
}
