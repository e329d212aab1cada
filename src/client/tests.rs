//! Publisher and subscriber against real sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::*;

/// Answers one connection after the other with the given pieces, a pause between them, and
/// returns the requests.
fn server(answers: Vec<Vec<&'static str>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/.well-known/mercure", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let answer = |pieces: Vec<&str>| {
            let (mut connection, _) = listener.accept().unwrap();
            let request = read_request(&connection);
            for piece in pieces {
                connection.write_all(piece.as_bytes()).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
            request
        };
        answers.into_iter().map(answer).collect()
    });
    (url, thread)
}

fn read_request(connection: &TcpStream) -> String {
    let mut reader = BufReader::new(connection);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut request).unwrap(), 0, "{request}");
    }
    let request = request.to_lowercase();
    let length = request
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + std::str::from_utf8(&body).unwrap()
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// A publisher that tries once.
fn publisher(url: &str, token: Option<&str>) -> Result<Publisher, ClientError> {
    let credentials = token.map_or_else(Credentials::none, Credentials::token);
    Ok(Publisher::new(url, credentials)?.with_patience(Duration::ZERO))
}

fn update(event: Option<Result<Event, ClientError>>) -> Update {
    match event {
        Some(Ok(Event::Update(update))) => update,
        other => panic!("{other:?}"),
    }
}

fn subscribe(url: &str, subscription: &Subscription<'_>) -> Subscriber {
    let credentials = Credentials::token("a.b.c");
    let mut subscriber = Subscriber::new(url, credentials, subscription).unwrap();
    // Tests do not wait for long.
    subscriber.set_retry_for_tests(Duration::from_millis(1));
    subscriber
}

#[test]
fn an_update_is_published_as_a_form() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nurn1";
    let (url, server) = server(vec![vec![answer]]);
    let publication = NewUpdate {
        topics: &["https://e.org/a b", "x&y"],
        data: "caf\u{e9}\n+",
        private: true,
        id: Some("i"),
        event_type: Some("t"),
        retry: Some(5),
    };
    let id = publisher(&url, Some("a.b.c")).unwrap().send(publication).unwrap();
    assert_eq!(id, "urn1");
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("post /.well-known/mercure http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer a.b.c\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
    let body = request.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        "topic=https%3A%2F%2Fe.org%2Fa+b&topic=x%26y&data=caf%C3%A9%0A%2B&private=on&id=i&type=t\
         &retry=5"
    );
}

#[test]
fn a_lost_answer_is_known_by_the_conflict_of_the_next_attempt() {
    const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";
    let send = |answers: Vec<Vec<&'static str>>, id| {
        let (url, server) = server(answers);
        let publisher = Publisher::new(&url, Credentials::none()).unwrap();
        let sent = publisher.send(NewUpdate { id, ..NewUpdate::new(&["a"], "x") });
        (sent, server.join().unwrap())
    };
    let status = |error| match error {
        Err(ClientError::Refused(refusal)) => refusal.status,
        other => panic!("{other:?}"),
    };
    // The first connection ends without an answer.
    let (sent, requests) = send(vec![vec![], vec![CONFLICT]], None);
    let id = sent.unwrap().replace(':', "%3A");
    assert!(requests.iter().all(|request| request.contains(&format!("id={id}"))), "{requests:?}");
    // Somebody else may have used an id that was given; and nobody was asked before.
    assert_eq!(status(send(vec![vec![], vec![CONFLICT]], Some("x")).0), 409);
    assert_eq!(status(send(vec![vec![CONFLICT]], None).0), 409);
}

#[test]
fn a_refusal_carries_the_hubs_explanation() {
    for (answer, text) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n\
             WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\nContent-Length: 30\r\n\r\n\
             {\"title\":\"t\",\"detail\":\"No b.\"}",
            "the hub answered 403 insufficient_scope: No b.",
        ),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n", "the hub answered 404: nope"),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the hub answered 503"),
    ] {
        let (url, server) = server(vec![vec![answer]]);
        let publisher = publisher(&url, None).unwrap();
        let refused = publisher.publish(&[], "").unwrap_err();
        assert_eq!(refused.to_string(), text);
        assert_eq!(refused.is_final(), !text.contains("503"));
        assert!(!server.join().unwrap()[0].contains("authorization"));
    }
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    drop(listener);
    let error = publisher(&url, None).unwrap().publish(&[], "").unwrap_err();
    assert!(error.to_string().starts_with(&format!("no answer from {url}: ")), "{error}");
    assert!(!error.is_final());
}

#[test]
fn malformed_urls_and_tokens_are_refused_before_anything_is_sent() {
    for url in ["hub", "ftp://hub", "http://user:sesame@hub/", "http:// sesame@hub"] {
        let error = publisher(url, None).unwrap_err();
        assert!(matches!(error, ClientError::BadUrl(_)), "{error}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    for token in ["", "a b", "a\r\nx: y"] {
        let error = publisher("http://hub", Some(token)).unwrap_err();
        assert!(matches!(error, ClientError::BadToken), "{token}");
        assert!(!format!("{:?}", publisher("http://hub", Some("a.b.c"))).contains("a.b.c"));
    }
    assert!(publisher("https://hub.example/", Some("a.b-c_d.e=")).is_ok());
}

#[test]
fn events_come_as_soon_as_they_are_there_and_streams_are_resumed() {
    let (url, server) = server(vec![
        // Chunks that cut events anywhere; then the connection breaks inside a chunk.
        vec![
            STREAM,
            "6\r\n:\nid: \r\n",
            "e\r\nurn:1\ndata: a\n\r\n",
            "1\r\n\n\r\n",
            "ff\r\nid: urn:2",
        ],
        // A proper end.
        vec![STREAM, "18\r\nid: urn:2\ndata: b\ndata\n\n\r\n", LAST_CHUNK],
        vec![STREAM, "10\r\nid: \u{e9}\ndata: c\n\n\r\n", LAST_CHUNK],
        vec![STREAM, "9\r\ndata: d\n\n\r\n"],
    ]);
    let matchers = ["https://e.org/a?b".into(), Matcher::UrlPattern("/:b".to_owned()), "*".into()];
    let subscription = Subscription { matchers: &matchers, ..Default::default() };
    let mut subscriber = subscribe(&url, &subscription);
    let mut events = Vec::new();
    let (mut errors, mut gaps) = (0, Vec::new());
    while events.len() < 4 {
        match subscriber.next().unwrap() {
            Ok(Event::Update(update)) => events.push((update.id, update.data)),
            Ok(Event::Gap(gap)) => gaps.push(gap.requested),
            Err(error) => {
                assert!(matches!(error, ClientError::Broken(_)), "{error}");
                errors += 1;
            }
        }
    }
    let events: Vec<_> = events.iter().map(|(id, data)| (id.as_str(), data.as_str())).collect();
    let e = "\u{e9}";
    assert_eq!(events, [("urn:1", "a"), ("urn:2", "b\n"), (e, "c"), (e, "d")]);
    assert_eq!(errors, 1);
    // This server does not say where it goes on.
    assert_eq!(gaps, ["urn:1", "urn:2", e]);
    drop(subscriber);

    let requests = server.join().unwrap();
    for (i, request) in requests.iter().enumerate() {
        // The first one asks where it begins.
        let cursor = if i == 0 { "&last_event_id=" } else { "" };
        let target = format!(
            "get /.well-known/mercure?match=https%3a%2f%2fe.org%2fa%3fb\
             &match_urlpattern=%2f%3ab&match=*{cursor} http/1.1"
        );
        assert!(request.starts_with(&target), "{request}");
        assert!(request.contains("accept: text/event-stream\r\n"), "{request}");
        assert!(request.contains("authorization: bearer a.b.c\r\n"), "{request}");
    }
    assert!(!requests[0].contains("last-event-id"));
    assert!(requests[1].contains("last-event-id: urn:1\r\n"), "{}", requests[1]);
    assert!(requests[2].contains("last-event-id: urn:2\r\n"), "{}", requests[2]);
    assert!(requests[3].contains("last-event-id: \u{e9}\r\n"), "{}", requests[3]);
}

#[test]
fn an_id_without_an_event_counts_after_the_events_before_it() {
    let (url, server) = server(vec![
        vec![
            STREAM,
            "1e\r\nid: 1\ndata: a\n\nid: 2\ndata: b\n\n\r\n",
            "7\r\nid: 3\n\n\r\n",
            LAST_CHUNK,
        ],
        vec![STREAM, "9\r\ndata: c\n\n\r\n"],
    ]);
    let mut subscriber = subscribe(&url, &Subscription::default());
    for (data, id) in [("a", "1"), ("b", "2")] {
        assert_eq!(update(subscriber.next()).data, data);
        assert_eq!(subscriber.last_event_id(), id);
    }
    let gap = Gap { requested: "3".to_owned(), resumed_from: None };
    assert_eq!(subscriber.next().unwrap().unwrap(), Event::Gap(gap));
    assert_eq!(update(subscriber.next()).data, "c");
    assert_eq!(subscriber.last_event_id(), "3");
    assert!(server.join().unwrap()[1].contains("last-event-id: 3\r\n"));
}

#[test]
fn a_notice_of_a_gap_is_no_update() {
    const RESUMED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                           Transfer-Encoding: chunked\r\nMercure-Last-Event-ID: 7\r\n\r\n";
    // What only looks like one: it bears an id of its own, or is not the first.
    const OTHER: &str = "22\r\nevent: mercure-gap\ndata: a\nid: 8\n\n\r\n";
    const NOTICE: &str = "22\r\nevent: mercure-gap\ndata: b\nid: 7\n\n\r\n";
    let (url, server) =
        server(vec![vec![RESUMED, NOTICE, NOTICE, LAST_CHUNK], vec![RESUMED, OTHER]]);
    let last_event_id = Some("x");
    let mut subscriber = subscribe(&url, &Subscription { last_event_id, ..Default::default() });
    let gap = |requested: &str| {
        let resumed_from = Some("7".to_owned());
        Event::Gap(Gap { requested: requested.to_owned(), resumed_from })
    };
    assert_eq!(subscriber.next().unwrap().unwrap(), gap("x"));
    assert_eq!(update(subscriber.next()).data, "b");
    assert_eq!(update(subscriber.next()).data, "a");
    server.join().unwrap();
}

#[test]
fn an_id_that_no_header_can_hold_goes_into_the_query() {
    let (url, server) = server(vec![vec![STREAM, "9\r\ndata: c\n\n\r\n"]]);
    let last_event_id = Some("a\u{1}b");
    let mut subscriber = subscribe(&url, &Subscription { last_event_id, ..Default::default() });
    assert!(subscriber.next().unwrap().is_ok());
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("get /.well-known/mercure?last_event_id=a%01b "), "{request}");
}

#[test]
fn a_hub_that_asks_to_wait_is_obeyed() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let (url, _server) = server(vec![vec![busy], vec![STREAM, "9\r\ndata: c\n\n\r\n"]]);
    let mut subscriber = subscribe(&url, &Subscription::default());
    assert!(subscriber.next().unwrap().is_err());
    let asked = std::time::Instant::now();
    assert!(subscriber.next().unwrap().is_ok());
    assert!(asked.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_cannot_get_better_ends_the_iterator() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let refused = "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (url, server) = server(vec![vec![busy], vec![refused]]);
    let subscription = Subscription {
        matchers: &["a".into()],
        last_event_id: Some("earliest"),
        ..Default::default()
    };
    let mut subscriber = subscribe(&url, &subscription);
    let statuses: Vec<_> = subscriber
        .by_ref()
        .map(|item| match item {
            Err(ClientError::Refused(refusal)) => refusal.status,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(statuses, [503, 401]);
    assert!(subscriber.next().is_none());
    let requests = server.join().unwrap();
    assert!(requests.iter().all(|request| request.contains("last-event-id: earliest\r\n")));
}

#[test]
fn a_page_is_no_stream() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n";
    let (url, _server) = server(vec![vec![page]]);
    let error = subscribe(&url, &Subscription::default()).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("does not send events but text/html"), "{error}");
    assert!(error.is_final());
}

#[test]
fn a_silent_hub_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        read_request(&connection);
        connection.write_all(STREAM.as_bytes()).unwrap();
        // Holds the connection until the client leaves.
        let _ = connection.read(&mut [0]);
    });
    let silence_max = Some(Duration::from_millis(100));
    let mut subscriber = subscribe(&url, &Subscription { silence_max, ..Default::default() });
    let error = subscriber.next().unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Silent(_)), "{error:?}");
    server.join().unwrap();
}
