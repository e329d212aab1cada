//! Exactness under load: thousands of subscribers that come, go and resume while publishers
//! publish as fast as they are answered; everybody gets everything that is theirs, once, in the
//! one order.
//!
//! `PETASOS_LOAD=10` makes it ten times as many updates, `PETASOS_SEED` repeats a run.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::common::{
    client::{encode, publication},
    hub::{Driver, Hub, PATIENCE, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
    sse::Block,
    swarm::{Happening, Opening, PeerId, Random, Swarm},
    tokens,
};
use crate::on_both_drivers;

const TOPICS: usize = 100;
const PUBLISHERS: usize = 4;
const CONNECTIONS_OF_A_PUBLISHER: usize = 4;
/// Requests that are sent on a connection before the first is answered.
const PIPELINED: usize = 2;
/// Subscribers that see everything from before the first update to the end: what they say is the
/// order.
const WITNESSES: usize = 3;
/// Of a hundred updates so many are private.
const PRIVATE_PERCENT: usize = 10;

#[test]
fn everybody_gets_everything_once_and_in_one_order() {
    run(Driver::IoUring, 2000, 20_000 * scale());
}

#[test]
fn everybody_gets_everything_once_and_in_one_order_on_epoll() {
    run(Driver::Epoll, 1000, 4_000 * scale());
}

on_both_drivers!(a_subscriber_that_has_its_head_gets_what_is_published_then);

/// The moment between a stream's head and its entry into the hub is short: many are tried.
fn a_subscriber_that_has_its_head_gets_what_is_published_then(driver: Driver) {
    const ROUNDS: usize = 100;
    const AT_ONCE: usize = 64;
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut swarm = Swarm::new();
    let publishers: Vec<_> =
        (0..8).map(|_| swarm.open(hub.addr, b"", Opening::default())).collect();
    for round in 0..ROUNDS {
        let topics: Vec<_> = (0..AT_ONCE).map(|i| format!("{round}/{i}")).collect();
        let first = publishers.len() + round * AT_ONCE;
        for topic in &topics {
            let topic = encode(topic);
            let request =
                format!("GET /.well-known/mercure?match={topic} HTTP/1.1\r\nHost: hub\r\n\r\n");
            swarm.open(hub.addr, request.as_bytes(), Opening::default());
        }
        let mut missing = AT_ONCE;
        let until = Instant::now() + PATIENCE;
        while missing > 0 {
            let mut heads = Vec::new();
            swarm.turn(Duration::from_millis(10), |peer, happening| match happening {
                Happening::Head(_) => heads.push(peer - first),
                Happening::Event(event) => {
                    assert_eq!(event.data.as_deref(), Some(topics[peer - first].as_bytes()));
                    missing -= 1;
                }
                Happening::Answer { status, .. } => assert_eq!(*status, 200),
                Happening::End { .. } => panic!("peer {peer} was ended"),
            });
            for stream in heads {
                let topic = &topics[stream];
                let publication = publication(&token, &[("topic", topic), ("data", topic)]);
                swarm.send(publishers[stream % publishers.len()], publication.as_bytes());
            }
            assert!(Instant::now() < until, "{missing} got nothing in round {round}");
        }
        (first..first + AT_ONCE).for_each(|peer| swarm.close(peer));
    }
}

fn scale() -> usize {
    std::env::var("PETASOS_LOAD").map_or(1, |scale| scale.parse().expect("PETASOS_LOAD=10"))
}

/// A set of topics: one bit each.
type Topics = u128;

fn topic(index: usize) -> String {
    format!("https://example.com/{index}")
}

fn some_topics(random: &mut Random, count: usize) -> Topics {
    (0..count).fold(0, |topics, _| topics | 1 << random.below(TOPICS))
}

fn names(topics: Topics) -> impl Iterator<Item = String> {
    (0..TOPICS).filter(move |i| topics >> i & 1 == 1).map(topic)
}

struct Update {
    topics: Topics,
    private: bool,
    /// Known once somebody has told: the answer, or an event.
    id: Option<Box<str>>,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Before it was asked for, so many answers had arrived; when its head arrived, so many
    /// updates had been sent.
    Live {
        answered: usize,
        sent: usize,
    },
    After(usize),
    Earliest,
}

/// One stream of a subscriber.
struct Stream {
    subscriber: usize,
    start: Start,
    head_seen: bool,
    /// The numbers of the updates, as they came.
    got: Vec<u32>,
    /// It was open until nothing more was to come.
    complete: bool,
}

struct Subscriber {
    topics: Topics,
    grants: Topics,
    token: Option<String>,
    small_buffer: bool,
    peer: Option<PeerId>,
}

impl Subscriber {
    fn is_for(&self, update: &Update) -> bool {
        self.topics & update.topics != 0 && (!update.private || self.grants & update.topics != 0)
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Join,
    JoinAfterSome,
    JoinFromEarliest,
    Reconnect,
    Leave,
}

/// What a connection is.
enum Peer {
    Stream(Stream),
    /// The updates whose answers are still to come.
    Publisher {
        token: String,
        under_way: VecDeque<usize>,
    },
}

struct Run {
    hub: Hub,
    swarm: Swarm,
    random: Random,
    updates: Vec<Update>,
    sent: usize,
    /// Updates in the order of their answers.
    answered: Vec<usize>,
    subscribers: Vec<Subscriber>,
    peers: Vec<Peer>,
    deliveries: usize,
}

fn run(driver: Driver, subscribers: usize, updates: usize) {
    let mut random = Random::seeded("load");
    let hub = Setup::new(driver)
        .env("PETASOS_SUBSCRIBER_BUFFER", "1GiB")
        .env("PETASOS_OUTBOX_BUDGET", "8GiB")
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .env("PETASOS_WRITE_TIMEOUT", "0")
        .env("MERCURE_TRANSPORT_URL", "memory://?size=0&max_bytes=4GiB")
        .start();
    let updates: Vec<_> = (0..updates)
        .map(|_| {
            let count = 1 + random.below(3);
            let topics = some_topics(&mut random, count);
            let private = random.below(100) < PRIVATE_PERCENT;
            Update { topics, private, id: None }
        })
        .collect();
    let subscribers = subscribers_of(&mut random, subscribers);
    let mut run = Run {
        hub,
        swarm: Swarm::new(),
        random,
        updates,
        sent: 0,
        answered: Vec::new(),
        subscribers,
        peers: Vec::new(),
        deliveries: 0,
    };
    let begin = Instant::now();
    let acts = run.acts();
    run.start(&acts);
    run.publish_everything(&acts);
    run.wait_for_the_rest();
    let streams = run.peers.iter().filter(|peer| matches!(peer, Peer::Stream(_))).count();
    eprintln!(
        "load: {} updates, {} deliveries, {streams} streams, {:.1?}",
        run.updates.len(),
        run.deliveries,
        begin.elapsed()
    );
    run.check();
}

/// Subscribers of all kinds; the first are witnesses.
fn subscribers_of(random: &mut Random, count: usize) -> Vec<Subscriber> {
    const ALL: Topics = Topics::MAX;
    let token = |topics: &[String]| {
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        tokens::sign(&tokens::claims("subscribe", &topics), SUBSCRIBER_KEY)
    };
    let everything = token(&["*".to_owned()]);
    let some: Vec<(Topics, String)> = (0..5)
        .map(|_| some_topics(random, 20))
        .map(|topics| (topics, token(&names(topics).collect::<Vec<_>>())))
        .collect();
    (0..count)
        .map(|i| {
            let is_witness = i < WITNESSES;
            let wants_all = is_witness || random.one_in(100);
            let topic_count = 1 + random.below(5);
            let topics = if wants_all { ALL } else { some_topics(random, topic_count) };
            let (grants, token) = match if is_witness { 0 } else { random.below(3) } {
                0 => (ALL, Some(everything.clone())),
                1 => (0, None),
                _ => {
                    let (topics, token) = &some[random.below(some.len())];
                    (*topics, Some(token.clone()))
                }
            };
            let small_buffer = !is_witness && random.one_in(10);
            Subscriber { topics, grants, token, small_buffer, peer: None }
        })
        .collect()
}

impl Act {
    fn joins(self) -> bool {
        matches!(self, Act::Join | Act::JoinAfterSome | Act::JoinFromEarliest)
    }
}

impl Run {
    /// What happens after how many answers to whom. Whoever joins late does so first of all.
    fn acts(&mut self) -> Vec<(usize, usize, Act)> {
        let last = self.updates.len() * 95 / 100;
        let mut acts = Vec::new();
        for subscriber in WITNESSES..self.subscribers.len() {
            let at = self.random.below(last);
            let act = match self.random.below(20) {
                0 | 1 => Act::Join,
                2 => Act::JoinAfterSome,
                3 => Act::JoinFromEarliest,
                4 => Act::Leave,
                _ => Act::Reconnect,
            };
            acts.push((at, subscriber, act));
            let (from, to) = match act {
                Act::Leave => (0, at),
                act if act.joins() => (at, last),
                _ => (0, last),
            };
            for _ in 0..self.random.below(3) {
                acts.push((from + self.random.below(to - from + 1), subscriber, Act::Reconnect));
            }
        }
        // Stable: a join comes before reconnections at the same moment. They come before a leave.
        acts.sort_by_key(|&(at, _, act)| (at, matches!(act, Act::Leave)));
        acts
    }

    /// Opens the connections of publishers and of everybody who is there from the start.
    fn start(&mut self, acts: &[(usize, usize, Act)]) {
        let late: Vec<_> =
            acts.iter().filter(|(.., act)| act.joins()).map(|&(_, late, _)| late).collect();
        for subscriber in 0..self.subscribers.len() {
            if !late.contains(&subscriber) {
                self.subscribe(subscriber, Start::Live { answered: 0, sent: 0 });
            }
        }
        self.turn_until("the witnesses' heads", |run| {
            let heads = run.streams().filter(|stream| stream.head_seen);
            heads.filter(|stream| stream.subscriber < WITNESSES).count() == WITNESSES
        });
        for i in 0..PUBLISHERS * CONNECTIONS_OF_A_PUBLISHER {
            let peer = self.swarm.open(self.hub.addr, b"", Opening::default());
            assert_eq!(peer, self.peers.len());
            let claims = serde_json::json!({ "sub": format!("publisher {}", i % PUBLISHERS) });
            let mut all = tokens::claims("publish", &["*"]);
            all["sub"] = claims["sub"].clone();
            let token = tokens::sign(&all, PUBLISHER_KEY);
            self.peers.push(Peer::Publisher { token, under_way: VecDeque::new() });
        }
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.peers.iter().filter_map(|peer| match peer {
            Peer::Stream(stream) => Some(stream),
            Peer::Publisher { .. } => None,
        })
    }

    fn subscribe(&mut self, number: usize, start: Start) {
        let subscriber = &self.subscribers[number];
        let query: Vec<_> = match subscriber.topics {
            Topics::MAX => vec!["match=*".to_owned()],
            topics => names(topics).map(|topic| format!("match={}", encode(&topic))).collect(),
        };
        let token = subscriber.token.as_ref();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let since = match start {
            Start::Live { .. } => String::new(),
            Start::Earliest => "Last-Event-ID: earliest\r\n".to_owned(),
            Start::After(update) => {
                let id = self.updates[update].id.as_ref().expect("known when it was received");
                format!("Last-Event-ID: {id}\r\n")
            }
        };
        let request = format!(
            "GET /.well-known/mercure?{} HTTP/1.1\r\nHost: hub\r\n{}{since}\r\n",
            query.join("&"),
            token.unwrap_or_default()
        );
        let receive_buffer = subscriber.small_buffer.then_some(2048);
        let opening = Opening { receive_buffer, ..Opening::default() };
        let peer = self.swarm.open(self.hub.addr, request.as_bytes(), opening);
        assert_eq!(peer, self.peers.len());
        let stream =
            Stream { subscriber: number, start, head_seen: false, got: vec![], complete: false };
        self.peers.push(Peer::Stream(stream));
        self.subscribers[number].peer = Some(peer);
    }

    fn live(&self) -> Start {
        Start::Live { answered: self.answered.len(), sent: usize::MAX }
    }

    fn act(&mut self, subscriber: usize, act: Act) {
        let some = self.random.below(self.answered.len().max(1));
        let start = match act {
            Act::Join => self.live(),
            Act::JoinFromEarliest => Start::Earliest,
            Act::JoinAfterSome if self.answered.is_empty() => Start::Earliest,
            Act::JoinAfterSome => Start::After(self.answered[some]),
            Act::Leave | Act::Reconnect => {
                let peer = self.subscribers[subscriber].peer.take().expect("it is there");
                self.swarm.close(peer);
                let Peer::Stream(stream) = &self.peers[peer] else { unreachable!() };
                match (stream.got.last(), stream.start) {
                    (Some(&last), _) => Start::After(last as usize),
                    (None, Start::Live { .. }) => self.live(),
                    (None, start) => start,
                }
            }
        };
        if !matches!(act, Act::Leave) {
            self.subscribe(subscriber, start);
        }
    }

    fn publish_everything(&mut self, acts: &[(usize, usize, Act)]) {
        let mut acts = acts.iter().peekable();
        let mut progress = (0, Instant::now());
        while self.answered.len() < self.updates.len() {
            while let Some(&(_, subscriber, act)) =
                acts.next_if(|(at, ..)| *at <= self.answered.len())
            {
                self.act(subscriber, act);
            }
            for peer in 0..self.peers.len() {
                self.top_up(peer);
            }
            self.turn();
            if self.answered.len() > progress.0 {
                progress = (self.answered.len(), Instant::now());
            }
            assert!(progress.1.elapsed() < PATIENCE, "no answer after {} updates", progress.0);
        }
        assert!(acts.next().is_none());
    }

    /// Sends as many publications as a connection may have under way.
    fn top_up(&mut self, peer: PeerId) {
        let Peer::Publisher { token, under_way } = &mut self.peers[peer] else { return };
        while under_way.len() < PIPELINED && self.sent < self.updates.len() {
            let Update { topics, private, .. } = self.updates[self.sent];
            let data = format!("{} {}", self.sent, "x".repeat(self.sent % 64));
            let id = format!("mine-{}", self.sent);
            let topics: Vec<_> = names(topics).collect();
            let mut fields: Vec<_> = topics.iter().map(|topic| ("topic", topic.as_str())).collect();
            fields.push(("data", &data));
            if private {
                fields.push(("private", "on"));
            }
            if self.sent.is_multiple_of(10) {
                fields.push(("id", &id));
            }
            self.swarm.send(peer, publication(token, &fields).as_bytes());
            under_way.push_back(self.sent);
            self.sent += 1;
        }
    }

    fn turn(&mut self) {
        let Run { swarm, peers, updates, sent, answered, deliveries, .. } = self;
        swarm.turn(Duration::from_millis(10), |id, happening| match (&mut peers[id], happening) {
            (Peer::Stream(stream), Happening::Head(head)) => {
                stream.head_seen = true;
                stream.check_head(head, updates);
                if let Start::Live { sent: sent_then, .. } = &mut stream.start {
                    *sent_then = *sent;
                }
            }
            (Peer::Stream(stream), Happening::Event(event)) => {
                *deliveries += 1;
                let number = number(event);
                learn_id(&mut updates[number], std::str::from_utf8(event.id.unwrap()).unwrap());
                stream.got.push(number as u32);
            }
            (Peer::Publisher { under_way, .. }, Happening::Answer { status, body, head }) => {
                assert_eq!(*status, 200, "{head}{body}");
                let update = under_way.pop_front().expect("an answer to a request");
                learn_id(&mut updates[update], body);
                answered.push(update);
            }
            (_, other) => panic!("peer {id}: {other:?}"),
        });
    }

    fn turn_until(&mut self, what: &str, mut is_done: impl FnMut(&Run) -> bool) {
        let mut progress = (self.swarm.bytes_received, Instant::now());
        while !is_done(self) {
            self.turn();
            if self.swarm.bytes_received > progress.0 {
                progress = (self.swarm.bytes_received, Instant::now());
            }
            assert!(progress.1.elapsed() < PATIENCE, "no progress; waiting for {what}");
        }
    }

    /// Waits until the streams that are open have all that is to come, and a little longer.
    fn wait_for_the_rest(&mut self) {
        let count = self.updates.len();
        self.turn_until("the witnesses", |run| {
            run.streams().filter(|stream| stream.got.len() >= count).count() >= WITNESSES
        });
        let order = self.order();
        let open: Vec<_> = self.subscribers.iter().filter_map(|one| one.peer).collect();
        for &peer in &open {
            // One after the other. With a tiny receive buffer TCP itself is slow, so what counts is
            // that something still arrives.
            let mut progress = (0, Instant::now());
            loop {
                let Peer::Stream(stream) = &self.peers[peer] else { unreachable!() };
                if stream.got.len() > progress.0 {
                    progress = (stream.got.len(), Instant::now());
                }
                let last = self.last_for(stream, &order);
                if stream.head_seen && (last.is_none() || stream.got.last().copied() == last) {
                    break;
                }
                assert!(progress.1.elapsed() < PATIENCE, "{} lacks {last:?}", stream.describe());
                self.turn();
            }
        }
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            self.turn();
        }
        for peer in open {
            let Peer::Stream(stream) = &mut self.peers[peer] else { unreachable!() };
            stream.complete = true;
        }
    }

    /// The last update that a stream has to get, if it must get any.
    fn last_for(&self, stream: &Stream, order: &Order) -> Option<u32> {
        let subscriber = &self.subscribers[stream.subscriber];
        let mut all = order.updates.iter().rev();
        let last = *all.find(|&&update| subscriber.is_for(&self.updates[update as usize]))?;
        let position = order.positions[last as usize];
        let must = match stream.start {
            Start::Earliest => true,
            Start::After(update) => position > order.positions[update],
            Start::Live { sent, .. } => last as usize >= sent,
        };
        must.then_some(last)
    }

    /// The order, as the witnesses saw it.
    fn order(&self) -> Order {
        let mut witnesses = self.streams().filter(|stream| stream.subscriber < WITNESSES);
        let updates = witnesses.next().expect("a witness").got.clone();
        for other in witnesses {
            assert!(other.got == updates, "witnesses disagree about the order");
        }
        let mut positions = vec![usize::MAX; self.updates.len()];
        for (position, &update) in updates.iter().enumerate() {
            let before = std::mem::replace(&mut positions[update as usize], position);
            assert_eq!(before, usize::MAX, "update {update} came twice");
        }
        assert_eq!(updates.len(), self.updates.len(), "what was answered is in the order");
        Order { updates, positions }
    }

    fn check(&self) {
        let order = self.order();
        // The order respects that of answers: what was answered came before what was sent later.
        let mut newest_answered = Vec::with_capacity(self.answered.len() + 1);
        newest_answered.push(None);
        for &update in &self.answered {
            let newest = newest_answered.last().copied().flatten();
            newest_answered.push(newest.max(Some(order.positions[update])));
        }
        for stream in self.streams() {
            self.check_stream(stream, &order, &newest_answered);
        }
        assert!(!self.hub.log().contains("panicked"), "{}", self.hub.log());
    }

    fn check_stream(&self, stream: &Stream, order: &Order, newest_answered: &[Option<usize>]) {
        let subscriber = &self.subscribers[stream.subscriber];
        let is_mine = |update: &u32| subscriber.is_for(&self.updates[*update as usize]);
        let first = stream.got.first().map(|&update| order.positions[update as usize]);
        let from = match stream.start {
            Start::Earliest => 0,
            Start::After(update) => order.positions[update] + 1,
            Start::Live { answered, sent } => {
                if let (Some(first), Some(newest)) = (first, newest_answered[answered]) {
                    assert!(first > newest, "{}: older than its request", stream.describe());
                }
                let owed = self.updates.len().min(sent)..self.updates.len();
                let owed = owed.filter(|&update| is_mine(&(update as u32)));
                let owed = owed.map(|update| order.positions[update]).min();
                let Some(from) = first.into_iter().chain(owed).min() else { return };
                from
            }
        };
        let expected = order.updates[from..].iter().filter(|update| is_mine(update));
        let len = if stream.complete { usize::MAX } else { stream.got.len() };
        let expected: Vec<u32> = expected.copied().take(len).collect();
        if stream.got != expected {
            let differ = stream.got.iter().zip(&expected).position(|(got, owed)| got != owed);
            let at = differ.unwrap_or(stream.got.len().min(expected.len()));
            let near = at.saturating_sub(2)..;
            panic!(
                "{}: at event {at} of {} it got … {:?}, not … {:?}",
                stream.describe(),
                expected.len(),
                stream.got.get(near.clone()).unwrap_or_default().iter().take(6).collect::<Vec<_>>(),
                expected.get(near).unwrap_or_default().iter().take(6).collect::<Vec<_>>(),
            );
        }
    }
}

/// The one order of all updates.
struct Order {
    /// Their numbers, in order.
    updates: Vec<u32>,
    /// By number.
    positions: Vec<usize>,
}

impl Stream {
    /// The header names the update after which the stream begins.
    fn check_head(&self, head: &str, updates: &[Update]) {
        let mut lines =
            head.lines().filter_map(|line| line.strip_prefix("Mercure-Last-Event-ID: "));
        let told = lines.next();
        match self.start {
            Start::Live { .. } => assert_eq!(told, None, "{head}"),
            Start::Earliest => assert_eq!(told, Some("earliest"), "{head}"),
            Start::After(update) => assert_eq!(told, updates[update].id.as_deref(), "{head}"),
        }
    }

    fn describe(&self) -> String {
        let Stream { subscriber, start, complete, got, .. } = self;
        let len = got.len();
        format!("subscriber {subscriber}, {start:?}, complete: {complete}, {len} events")
    }
}

/// The number of the update that an event brings.
fn number(event: &Block<'_>) -> usize {
    let data = std::str::from_utf8(event.data.as_ref().expect("data")).unwrap();
    let (number, padding) = data.split_once(' ').expect("a number and padding");
    let number = number.parse().expect("a number");
    assert_eq!(padding.len(), number % 64, "an event came whole");
    assert!(padding.bytes().all(|byte| byte == b'x'), "{data}");
    number
}

fn learn_id(update: &mut Update, id: &str) {
    match &update.id {
        Some(known) => assert_eq!(**known, *id, "everybody is told the same id"),
        None => update.id = Some(id.into()),
    }
}
