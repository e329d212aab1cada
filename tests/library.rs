//! The clients of the library, against real hubs and through networks that fail.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_core::Stream as _;
use petasos::client::{
    ClientError, Credentials, Event, Gap, Matcher, NewUpdate, Publisher, Subscriber, Subscription,
    TokenKey, Update, UpdateStream,
};

use crate::common::{
    client::{Stream, publish},
    hub::{AUDIENCE, Driver, ISSUER, PATIENCE, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
    process::wait_until,
    proxy::{Fate, Proxy},
    tokens,
};

fn key(secret: &str) -> TokenKey {
    TokenKey::secret(secret).unwrap().issuer(ISSUER).audience(AUDIENCE)
}

fn publisher(url: &str) -> Publisher {
    Publisher::new(url, Credentials::key(key(PUBLISHER_KEY))).unwrap()
}

fn subscriber(url: &str, credentials: Credentials) -> Subscriber {
    let matchers = ["a".into()];
    let subscription = Subscription { matchers: &matchers, ..Subscription::default() };
    Subscriber::new(url, credentials, &subscription).unwrap()
}

fn next_update(subscriber: &mut Subscriber) -> Update {
    loop {
        match subscriber.next() {
            Some(Ok(Event::Update(update))) => return update,
            Some(Err(error)) if !error.is_final() => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_update_whose_answer_was_lost_is_published_again_with_its_id() {
    let hub = Setup::new(Driver::Epoll).start();
    let lost = |connection| match connection {
        0 => Fate::AnswerLost,
        _ => Fate::Passed,
    };
    for given in [None, Some("urn:mine")] {
        let proxy = Proxy::start(hub.addr, lost);
        let mut stream = Stream::open(hub.addr, "match=a", "");
        let update = NewUpdate { id: given, ..NewUpdate::new(&["a"], "once") };
        let id = publisher(&proxy.url).send(update).unwrap();
        assert_eq!(proxy.connections(), 2);
        // Twice in the hub, and recognised by the id.
        for _ in 0..2 {
            let event = stream.next().unwrap();
            assert_eq!((&event.id, event.data.as_str()), (&id, "once"));
        }
        match given {
            Some(given) => assert_eq!(id, given),
            None => assert!(id.starts_with("urn:uuid:") && id.as_bytes()[23] == b'4', "{id}"),
        }
    }
}

#[test]
fn a_hub_that_is_busy_is_asked_again_when_it_said() {
    const BUSY: &str =
        "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let hub = Setup::new(Driver::Epoll).start();
    let busy = |connection| match connection {
        0 => Fate::Answered(BUSY),
        _ => Fate::Passed,
    };
    let proxy = Proxy::start(hub.addr, busy);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let begin = Instant::now();
    let id = publisher(&proxy.url).publish(&["a"], "x").unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(stream.next().unwrap().id, id);

    // With less patience than the hub asks for, it is not waited for at all.
    let proxy = Proxy::start(hub.addr, |_| Fate::Answered(BUSY));
    let begin = Instant::now();
    let hasty = publisher(&proxy.url).with_patience(Duration::from_millis(900));
    let refused = hasty.publish(&["a"], "x").unwrap_err();
    assert!(matches!(refused, ClientError::Refused(it) if it.status == 503));
    assert!(begin.elapsed() < Duration::from_millis(800), "{:?}", begin.elapsed());
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn what_the_hub_refuses_is_not_tried_again() {
    let hub = Setup::new(Driver::Epoll).start();
    for (topic, token, status) in [
        ("*", tokens::publisher(&["*"]), 400),
        ("a", tokens::publisher(&["b"]), 403),
        ("a", tokens::sign(&tokens::claims("publish", &["*"]), SUBSCRIBER_KEY), 401),
    ] {
        let proxy = Proxy::start(hub.addr, |_| Fate::Passed);
        let publisher = Publisher::new(&proxy.url, Credentials::token(token.clone())).unwrap();
        let error = publisher.publish(&[topic], "x").unwrap_err();
        assert!(!error.to_string().contains(&token));
        match error {
            ClientError::Refused(refusal) => assert_eq!(refusal.status, status, "{refusal}"),
            other => panic!("{other}"),
        }
        assert_eq!(proxy.connections(), 1);
    }
}

#[test]
fn redirections_are_told_and_not_followed() {
    let elsewhere = Setup::new(Driver::Epoll).start();
    const REDIRECT: &str = "HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\
                            Location: http://elsewhere.example/hub?secret=1\r\n\r\n";
    let proxy = Proxy::start(elsewhere.addr, |_| Fate::Answered(REDIRECT));
    let published = publisher(&proxy.url).publish(&["a"], "x").unwrap_err();
    let subscribed = subscriber(&proxy.url, Credentials::none()).next().unwrap().unwrap_err();
    for error in [published, subscribed] {
        assert!(error.is_final());
        let told = error.to_string();
        assert!(told.contains("redirects to http://elsewhere.example/hub;"), "{told}");
    }
}

#[test]
fn a_publisher_asks_for_another_token_when_one_has_run_out() {
    let hub = Setup::new(Driver::Epoll).start();
    let asked = Arc::new(AtomicUsize::new(0));
    let give = {
        let asked = Arc::clone(&asked);
        move || {
            let mut claims = tokens::claims("publish", &["*"]);
            // The first one lives for a moment only.
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                claims["exp"] = (tokens::now() + 1.0).into();
            }
            Ok(tokens::sign(&claims, PUBLISHER_KEY))
        }
    };
    let publisher = Publisher::new(&hub.url(), Credentials::fresh(give)).unwrap();
    for _ in 0..3 {
        publisher.publish(&["a"], "x").unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    thread::sleep(Duration::from_millis(1100));
    publisher.publish(&["a"], "x").unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    // Who never gives a good one is told so.
    let bad = || Ok(tokens::sign(&tokens::claims("publish", &["*"]), SUBSCRIBER_KEY));
    let publisher = Publisher::new(&hub.url(), Credentials::fresh(bad)).unwrap();
    let error = publisher.publish(&["a"], "x").unwrap_err();
    assert!(matches!(error, ClientError::Refused(it) if it.status == 401));
}

#[test]
fn a_key_makes_tokens_that_are_renewed_in_time() {
    let hub = Setup::new(Driver::Epoll).start();
    let proxy = Proxy::start(hub.addr, |_| Fate::Passed);
    let key = key(PUBLISHER_KEY).lifetime(Duration::from_secs(3));
    let publisher = Publisher::new(&proxy.url, Credentials::key(key)).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        // Refused once, it would not be tried again: there is one renewal for each publication.
        publisher.publish(&["a"], "x").unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    // A refused token costs a connection: none was.
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn private_updates_come_to_a_subscriber_with_a_key() {
    let hub = Setup::new(Driver::Epoll).start();
    let with_key = || Credentials::key(key(SUBSCRIBER_KEY));
    let mut granted = subscriber(&hub.url(), with_key());
    let mut anonymous = subscriber(&hub.url(), Credentials::none());
    let other = TokenKey::topics(key(SUBSCRIBER_KEY), ["b"]);
    let mut not_granted = subscriber(&hub.url(), Credentials::key(other));
    for subscriber in [&mut granted, &mut anonymous, &mut not_granted] {
        assert!(subscriber.connect().unwrap());
    }
    let publisher = publisher(&hub.url());
    publisher.send(NewUpdate { private: true, ..NewUpdate::new(&["a"], "secret") }).unwrap();
    publisher.publish(&["a"], "public").unwrap();
    assert_eq!(next_update(&mut granted).data, "secret");
    assert_eq!(next_update(&mut granted).data, "public");
    assert_eq!(next_update(&mut anonymous).data, "public");
    assert_eq!(next_update(&mut not_granted).data, "public");
}

#[test]
fn nothing_is_lost_by_a_subscriber_that_is_cut_again_and_again_under_load() {
    const UPDATES: usize = 1500;
    const CONNECTIONS: usize = 8;
    let hub = Setup::new(Driver::Epoll).start();
    // Some before anything came.
    let proxy = Proxy::start(hub.addr, |connection| {
        Fate::CutAfter(Duration::from_millis([0, 5, 40, 90][connection % 4]))
    });
    // Asked for by the very first request, so that even a first stream without an update counts.
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "b"), ("data", "before")]);
    let mut subscriber = subscriber(&proxy.url, Credentials::none());
    while subscriber.connect().is_err() {}
    // However slow the machine is, it is cut often enough.
    let is_enough = Arc::new(AtomicBool::new(false));
    let publishing = thread::spawn({
        let (publisher, is_enough) = (publisher(&hub.url()), Arc::clone(&is_enough));
        move || {
            let mut count = 0;
            while !is_enough.load(Ordering::Relaxed) {
                let data = count.to_string();
                let update = NewUpdate { retry: Some(1), ..NewUpdate::new(&["a"], &data) };
                publisher.send(update).unwrap();
                count += 1;
                thread::sleep(Duration::from_millis(3));
            }
            count
        }
    });
    let mut next = 0;
    let mut receive = |next: &mut usize| match subscriber.next() {
        Some(Ok(Event::Update(update))) => {
            assert_eq!(update.data, next.to_string(), "in order, none lost, none twice");
            *next += 1;
        }
        Some(Err(error)) => assert!(!error.is_final(), "{error}"),
        other => panic!("{other:?} after {next}"),
    };
    let begin = Instant::now();
    while next < UPDATES || proxy.connections() <= CONNECTIONS {
        receive(&mut next);
        assert!(begin.elapsed() < 2 * PATIENCE, "{} connections", proxy.connections());
    }
    is_enough.store(true, Ordering::Relaxed);
    let count = publishing.join().unwrap();
    while next < count {
        receive(&mut next);
    }
}

#[test]
fn a_gap_is_told() {
    // The notice in the stream is not taken for an update.
    let hub = Setup::new(Driver::Epoll)
        .directive("transport memory {\nsize 5\n}")
        .directive("gap_notice")
        .start();
    let cut = |connection| match connection {
        0 => Fate::CutAfter(Duration::from_millis(500)),
        _ => Fate::Passed,
    };
    let proxy = Proxy::start(hub.addr, cut);
    let publisher = publisher(&hub.url());
    publisher.publish(&["b"], "before").unwrap();
    let mut subscriber = subscriber(&proxy.url, Credentials::none());
    subscriber.connect().unwrap();
    let first = publisher.publish(&["a"], "first").unwrap();
    assert_eq!(next_update(&mut subscriber).id, first);
    thread::sleep(Duration::from_millis(600));
    for number in 0..8 {
        publisher.publish(&["a"], &number.to_string()).unwrap();
    }
    let mut errors = 0;
    let gap = loop {
        match subscriber.next().unwrap() {
            Ok(Event::Gap(gap)) => break gap,
            Ok(other) => panic!("{other:?}"),
            Err(error) => errors += usize::from(!error.is_final()),
        }
    };
    assert_eq!(gap, Gap { requested: first, resumed_from: Some("earliest".to_owned()) });
    assert!(errors <= 1);
    for number in 3..8 {
        assert_eq!(next_update(&mut subscriber).data, number.to_string());
    }

    // An id that the hub does not know, from the beginning.
    let matchers = [Matcher::Any];
    let last_event_id = Some("urn:nobody's");
    let subscription = Subscription { matchers: &matchers, last_event_id, ..Default::default() };
    let unknown = Subscriber::new(&hub.url(), Credentials::none(), &subscription).unwrap();
    let items: Vec<_> = unknown.take(2).map(Result::unwrap).collect();
    assert!(matches!(&items[0], Event::Gap(gap) if gap.requested == "urn:nobody's"), "{items:?}");
    assert!(matches!(&items[1], Event::Update(update) if update.data == "3"), "{items:?}");
    // All that there is, as asked.
    let subscription = Subscription { last_event_id: Some("earliest"), ..subscription };
    let mut all = Subscriber::new(&hub.url(), Credentials::none(), &subscription).unwrap();
    assert!(matches!(all.next(), Some(Ok(Event::Update(_)))));
}

#[test]
fn a_subscriber_that_waits_for_anything_ends_at_once_when_told() {
    const BUSY: &str =
        "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let hub = Setup::new(Driver::Epoll).start();
    // An update that does not come, an answer that does not come, the time to come back.
    for fate in [Fate::Passed, Fate::Ignored, Fate::Answered(BUSY)] {
        let proxy = Proxy::start(hub.addr, move |_| fate);
        let mut subscriber = subscriber(&proxy.url, Credentials::none());
        let stopper = subscriber.stopper();
        let waiting = thread::spawn(move || {
            let mut errors = 0;
            for item in subscriber.by_ref() {
                assert!(item.is_err());
                errors += 1;
            }
            (errors, Instant::now(), subscriber.next().is_none())
        });
        wait_until("the connection", || proxy.connections() == 1);
        thread::sleep(Duration::from_millis(200));
        let told = Instant::now();
        stopper.stop();
        let (errors, ended, stays_ended) = waiting.join().unwrap();
        assert!(ended - told < Duration::from_secs(1), "{fate:?}: {:?}", ended - told);
        assert_eq!(errors, usize::from(matches!(fate, Fate::Answered(_))), "{fate:?}");
        assert!(stays_ended);
    }
}

#[test]
fn each_connection_has_a_fresh_token() {
    let hub = Setup::new(Driver::Epoll).start();
    let cut = |connection| match connection {
        0..3 => Fate::CutAfter(Duration::from_millis(100)),
        _ => Fate::Passed,
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let give = {
        let asked = Arc::clone(&asked);
        move || {
            // The second time it fails, which is no reason to give up.
            match asked.fetch_add(1, Ordering::SeqCst) {
                1 => Err("the token server is away".into()),
                number => {
                    let mut claims = tokens::claims("subscribe", &["*"]);
                    claims["jti"] = number.into();
                    Ok(tokens::sign(&claims, SUBSCRIBER_KEY))
                }
            }
        }
    };
    for credentials in [Credentials::fresh(give), Credentials::key(key(SUBSCRIBER_KEY))] {
        let proxy = Proxy::start(hub.addr, cut);
        let mut subscriber = subscriber(&proxy.url, credentials);
        let stopper = subscriber.stopper();
        let publisher = publisher(&hub.url());
        let publishing = thread::spawn(move || {
            while proxy.connections() < 4 {
                let update = NewUpdate { retry: Some(10), ..NewUpdate::new(&["a"], "x") };
                publisher.send(update).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
            wait_until("the requests", || proxy.field("authorization").len() == 4);
            stopper.stop();
            proxy.field("authorization")
        });
        for item in subscriber.by_ref() {
            assert!(!item.is_err_and(|error| error.is_final()));
        }
        let mut sent = publishing.join().unwrap();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), 4, "a token was used twice");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[test]
fn a_subscriber_that_is_refused_for_good_ends() {
    let hub = Setup::new(Driver::Epoll).directive("anonymous off").start();
    let wrong = tokens::sign(&tokens::claims("subscribe", &["*"]), PUBLISHER_KEY);
    for (credentials, matchers, status) in [
        (Credentials::none(), vec!["a".into()], 401),
        (Credentials::token(wrong), vec!["a".into()], 401),
        (Credentials::token(tokens::subscriber(&["*"])), vec![], 400),
    ] {
        let subscription = Subscription { matchers: &matchers, ..Subscription::default() };
        let subscriber = Subscriber::new(&hub.url(), credentials, &subscription).unwrap();
        let items: Vec<_> = subscriber.collect();
        assert_eq!(items.len(), 1, "{items:?}");
        let refused = items.into_iter().next().unwrap().unwrap_err();
        assert!(matches!(refused, ClientError::Refused(it) if it.status == status));
    }
    // A source of tokens may give a better one next time.
    let times = AtomicUsize::new(0);
    let give = move || {
        let is_first = times.fetch_add(1, Ordering::SeqCst) == 0;
        let key = if is_first { PUBLISHER_KEY } else { SUBSCRIBER_KEY };
        Ok(tokens::sign(&tokens::claims("subscribe", &["*"]), key))
    };
    let mut renewed = subscriber(&hub.url(), Credentials::fresh(give));
    assert!(renewed.connect().unwrap_err().is_final());
    assert!(renewed.connect().unwrap());
}

/// Polls on this thread, for at most so long.
fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = Instant::now() + time;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = until.checked_duration_since(Instant::now())?;
        thread::park_timeout(left);
    }
}

fn next_item(stream: &mut UpdateStream) -> Option<Result<Event, ClientError>> {
    let next = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
    within(PATIENCE, next).expect("nothing comes")
}

#[test]
fn a_stream_that_is_taken_slowly_holds_no_more_than_it_may() {
    const UPDATES: usize = 600;
    let hub = Setup::new(Driver::Epoll)
        .env("PETASOS_SUBSCRIBER_BUFFER", "64MiB")
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .start();
    let mut subscriber = subscriber(&hub.url(), Credentials::none());
    subscriber.connect().unwrap();
    let mut stream = subscriber.into_stream(10);
    let publisher = publisher(&hub.url());
    let padding = "x".repeat(50_000);
    for number in 0..UPDATES {
        publisher.publish(&["a"], &format!("{number} {padding}")).unwrap();
        assert!(stream.waiting() <= 10, "{} wait", stream.waiting());
    }
    thread::sleep(Duration::from_millis(300));
    assert_eq!(stream.waiting(), 10);
    for number in 0..UPDATES {
        match next_item(&mut stream) {
            Some(Ok(Event::Update(update))) => {
                assert_eq!(update.data.split(' ').next(), Some(number.to_string().as_str()));
            }
            other => panic!("{other:?} for {number}"),
        }
        assert!(stream.waiting() <= 10);
    }
    // Nothing more: pending, until something comes.
    let next = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
    assert!(within(Duration::from_millis(50), next).is_none());
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        publisher.publish(&["a"], "late").unwrap()
    });
    assert!(matches!(next_item(&mut stream), Some(Ok(Event::Update(it))) if it.data == "late"));
    late.join().unwrap();
    // And it ends when told, while it is waited for.
    let stopper = stream.stopper();
    let stop = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        stopper.stop();
    });
    let begin = Instant::now();
    assert!(next_item(&mut stream).is_none());
    assert!(begin.elapsed() < Duration::from_secs(1));
    stop.join().unwrap();
}

#[test]
fn a_stream_that_is_dropped_leaves_the_hub() {
    let hub = Setup::new(Driver::Epoll).start();
    let port = hub.addr.port();
    let open = || crate::common::process::connections(hub.pid(), port);
    let before = open();
    let mut subscriber = subscriber(&hub.url(), Credentials::none());
    subscriber.connect().unwrap();
    let stream = subscriber.into_stream(10);
    wait_until("the subscriber to be there", || open() == before + 1);
    drop(stream);
    wait_until("the subscriber to be gone", || open() == before);
}
