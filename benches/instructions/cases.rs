//! What is counted: the pure parts of a publication, a subscription and a fan-out.

use std::{convert::Infallible, hash::RandomState, hint::black_box, sync::Arc};

use petasos::{
    auth::{
        Role,
        verdicts::{VerdictCache, VerdictLimits},
    },
    http::{
        body::BodyReader,
        cors::{Cors, EXPOSED_HEADERS},
        date::HttpDate,
        form,
        response::{Envelope, Response},
        status::Status,
        stream,
    },
    log::sequence::Places,
    protocol::{
        frame::{Fields, FrameDraft},
        hub_url::HubUrl,
        id::{IdCipher, Place},
        limits::Limits,
        patterns::Patterns,
        publish::Publication,
        subscribe::{QueryRules, Subscription},
        time::UnixTime,
        topic::TopicHasher,
        update::{Position, Update},
    },
};

use super::common::{
    self,
    requests::{SUBSCRIPTION, publication, read},
    tokens::{self, HUB},
    worker::{NEWS, Worker, deliver, interest, jump},
};

/// Something that is counted.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How often it runs to be counted.
    pub(super) times: u64,
    /// Prepares, and runs so often.
    pub(super) run: fn(u64),
}

const fn case(name: &'static str, times: u64, run: fn(u64)) -> Case {
    Case { name, times, run }
}

pub(super) const CASES: &[Case] = &[
    case("read a publication", 1_000, read_publication),
    case("read a browser's subscription", 1_000, read_subscription),
    case("understand a subscription to two topics", 1_000, understand_subscription),
    case("recognize a token", 1_000, recognize_token),
    case("publication to draft, absolute topic", 1_000, |times| draft(times, NEWS)),
    case("publication to draft, relative topic", 1_000, |times| draft(times, "books/1")),
    case("format a frame, small", 1_000, |times| frame(times, common::SMALL)),
    case("format a frame, a hundred lines", 100, |times| frame(times, &"a line\n".repeat(100))),
    case("place an update, with an id for it", 1_000, place),
    case("decode an id", 1_000, decode_id),
    case("encode a 200 answer", 1_000, encode_answer),
    case("encode the start of a stream", 1_000, encode_start),
    case("take an update that nobody listens to", 2_000, |times| take(times, 0)),
    case("take and send to one of 10,000", 2_000, |times| take(times, 10_000)),
    case("take and send to one of 10,000 templates", 2_000, take_by_template),
    case("send to 100 whose templates begin alike", 100, send_by_templates),
    case("send one update to 1,000", 20, |times| fan_out(times, 1, false)),
    case("send four updates to 1,000", 20, |times| fan_out(times, 4, false)),
    case("send a private update to 1,000", 20, |times| fan_out(times, 1, true)),
    case("join and leave among 10,000", 4_000, join_and_leave),
];

fn read_publication(times: u64) {
    let publication = publication();
    for _ in 0..times {
        let (head, len) = read(black_box(&publication));
        black_box(head.header("authorization"));
        let mut reader = BodyReader::new(head.body, 1 << 20).expect("small");
        let body = reader.take_whole(&publication[len..]).expect("whole");
        form::pairs(body).for_each(|pair| drop(black_box(pair)));
    }
}

fn read_subscription(times: u64) {
    for _ in 0..times {
        black_box(read(black_box(SUBSCRIPTION)));
    }
}

fn understand_subscription(times: u64) {
    let query =
        b"match=https%3A%2F%2Fexample.com%2Fbooks%2F1&match=https%3A%2F%2Fexample.com%2Fnews";
    let (limits, rules) = (Limits::default(), QueryRules::default());
    let mut patterns = Patterns::new(&HubUrl::without_name(), RandomState::new());
    for _ in 0..times {
        let pairs = form::pairs(black_box(query));
        let subscription = Subscription::parse(pairs, None, rules, &limits, &mut patterns);
        let _ = black_box(subscription.expect("a good subscription"));
    }
}

fn recognize_token(times: u64) {
    let now = UnixTime::from_secs(1_795_315_283);
    let (authority, token) = (tokens::authority(), tokens::token(1, now));
    let mut cache = VerdictCache::new(VerdictLimits::default(), RandomState::new());
    for _ in 0..times {
        let token = black_box(token.as_bytes());
        let _ = black_box(cache.verify(&authority, token, Role::Publisher, HUB, now));
    }
}

fn draft(times: u64, topic: &str) {
    let hub = HubUrl::new(HUB, "/.well-known/mercure").expect("a good URL");
    let (limits, hasher) = (Limits::default(), TopicHasher::new());
    for _ in 0..times {
        let pairs = [("topic", topic), ("data", common::SMALL), ("private", "on")];
        let pairs = black_box(pairs).into_iter();
        let pairs = pairs.map(|(name, value)| Ok::<_, Infallible>((name.into(), value.into())));
        let publication = Publication::parse(pairs, &hub, &hasher, &limits);
        black_box(publication.expect("a good publication").into_draft(UnixTime::default()));
    }
}

fn frame(times: u64, data: &str) {
    for _ in 0..times {
        black_box(FrameDraft::new(black_box(Fields { data, ..Fields::default() })));
    }
}

fn place(times: u64) {
    let hasher = TopicHasher::new();
    let mut places = Places::new(IdCipher::new([7; 16]), 1, Position::START);
    for _ in 0..times {
        black_box(places.place(common::draft(black_box(NEWS), false, &hasher)));
    }
}

fn decode_id(times: u64) {
    let cipher = IdCipher::new([7; 16]);
    let place = Place { incarnation: 3, position: Position(1 << 20), sub_position: 0 };
    let id = cipher.encode(place);
    let id = std::str::from_utf8(&id).expect("ASCII");
    for _ in 0..times {
        black_box(cipher.decode(black_box(id)));
    }
}

fn encode_answer(times: u64) {
    encode(times, |envelope, out| {
        let id = black_box(&b"urn:uuid:e1ee88e2-532a-8d6f-ba70-f0f8bd584022"[..]);
        black_box(Response::text(Status::Ok, id).encode(envelope, out));
    });
}

fn encode_start(times: u64) {
    encode(times, |envelope, out| {
        let id = stream::last_event_id(black_box("earliest"), None);
        black_box(stream::encode_start(envelope, &[&id], out));
    });
}

fn encode(times: u64, encode: impl Fn(&Envelope<'_>, &mut Vec<u8>)) {
    let cors = Cors::new(&["https://app.example.com"], EXPOSED_HEADERS);
    let date = HttpDate::new(1_767_225_600);
    let (head, _) = read(SUBSCRIPTION);
    let fields = cors.fields(Some(b"https://app.example.com"));
    let envelope = Envelope::for_request(&head, Some(&date), fields);
    let mut out = Vec::with_capacity(1024);
    for _ in 0..times {
        out.clear();
        encode(&envelope, &mut out);
    }
}

/// Updates that are made before they are needed; making one is counted as well, so that it does
/// not matter how many are kept.
fn take(times: u64, topics: u32) {
    let Worker { mut hub, mut order, mut batch } = Worker::with_topics(topics);
    let mut number = 0;
    for _ in 0..times {
        hub.take(order.next(&common::topic(jump(&mut number, topics)), false));
        black_box(deliver(&mut hub, &mut batch));
    }
}

/// Of nearly all, the place of their templates in the index tells that they do not fit.
fn take_by_template(times: u64) {
    let count = 10_000;
    let of_own = |number| interest(&[&common::template(number)], &[]);
    let Worker { mut hub, mut order, mut batch } = Worker::with_readers(count, of_own);
    let mut number = 0;
    for _ in 0..times {
        hub.take(order.next(&common::topic(jump(&mut number, count)), false));
        black_box(deliver(&mut hub, &mut batch));
    }
}

/// Each template has to be tried.
fn send_by_templates(times: u64) {
    let of_own = |number| interest(&[&common::template_that_begins_alike(number)], &[]);
    let Worker { mut hub, mut order, mut batch } = Worker::with_readers(100, of_own);
    for number in 0..times as u32 {
        hub.take(order.next(&common::topic(number), false));
        black_box(deliver(&mut hub, &mut batch));
    }
}

fn fan_out(times: u64, updates: usize, private: bool) {
    let readers = |_| interest(&[NEWS], if private { &[NEWS] } else { &[] });
    let Worker { mut hub, mut order, mut batch } = Worker::with_readers(1_000, readers);
    for _ in 0..times {
        let waiting: Vec<Arc<Update>> = (0..updates).map(|_| order.next(NEWS, private)).collect();
        waiting.into_iter().for_each(|update| hub.take(update));
        black_box(deliver(&mut hub, &mut batch));
    }
}

fn join_and_leave(times: u64) {
    let others = 10_000;
    let mut worker = Worker::with_topics(others);
    // Each time another topic, so that the place of one in a table does not matter.
    for number in 0..times as u32 {
        worker.visit(interest(&[&common::topic(others + number)], &[]));
    }
}
