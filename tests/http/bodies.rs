//! Bodies in every form that a client may send them in.

use std::time::Duration;

use crate::{
    common::{
        client::{Connection, Stream, publication, publication_of, request},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    chunks_may_be_cut_anywhere,
    a_body_in_pieces_arrives_whole,
    continue_is_said_only_where_it_helps,
    refused_publications_get_their_status_instead_of_continue,
    other_expectations_fail,
    a_body_of_the_greatest_length_is_taken,
    an_answer_reaches_a_client_that_is_still_sending,
    a_stream_request_with_a_body_is_a_stream,
);

fn chunked(token: &str, body: &str) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n\
         {body}"
    )
}

fn chunks_may_be_cut_anywhere(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let mut connection = Connection::open(hub.addr);
    for body in [
        "c\r\ntopic=a&data\r\n2\r\n=x\r\n0\r\n\r\n",
        "1\r\nt\r\n1\r\no\r\n1\r\np\r\n9\r\nic=a&data\r\n00002\r\n=x\r\n000\r\n\r\n",
        "E;ext;q=\"a b\"\r\ntopic=a&data=x\r\n0;last\r\nA: b\r\nC: d\r\n\r\n",
    ] {
        let sent = chunked(&token, body);
        for byte in sent.bytes() {
            connection.send([byte]);
        }
        assert_eq!(connection.answer().status, 200, "{body}");
        // With the body cut between two packets, at each place.
        for cut in sent.len() - body.len()..sent.len() {
            connection.send(&sent[..cut]);
            // On loopback each write is delivered by itself.
            connection.send(&sent[cut..]);
            assert_eq!(connection.answer().status, 200, "{body} {cut}");
        }
        let count = body.len() + 1;
        assert_eq!(stream.data(count), vec!["x"; count]);
    }
}

fn a_body_in_pieces_arrives_whole(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let data: String = (0..100_000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    let sent = publication(&token, &[("topic", "a"), ("data", &data)]);
    for piece in [1 << 10, 4096, 10_007, usize::MAX] {
        let mut connection = Connection::open(hub.addr);
        for piece in sent.as_bytes().chunks(piece.min(sent.len())) {
            connection.send(piece);
        }
        assert_eq!(connection.answer().status, 200);
        assert_eq!(stream.next().unwrap().data, data);
    }
}

fn expecting(token: &str, form: &str) -> (String, String) {
    let sent = publication_of(token, form).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n\r\n"), body.to_owned())
}

fn continue_is_said_only_where_it_helps(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let (head, body) = expecting(&token, "topic=a");
    let mut connection = Connection::open(hub.addr);
    for _ in 0..2 {
        let interim = connection.send(&head).head();
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(connection.send(&body).answer().status, 200);
    }
    // A client that did not wait needs no interim answer.
    assert_eq!(connection.send(format!("{head}{body}")).answer().status, 200);
    // HTTP/1.0 knows none.
    let mut connection = Connection::open(hub.addr);
    connection.send(head.replace("HTTP/1.1", "HTTP/1.0"));
    assert!(connection.is_silent_for(Duration::from_millis(200)));
    assert_eq!(connection.send(&body).answer().status, 200);
    // Nothing is to come.
    let (head, _) = expecting(&token, "");
    assert_eq!(request(hub.addr, &head).status, 400);
}

fn refused_publications_get_their_status_instead_of_continue(driver: Driver) {
    let hub = Setup::new(driver).directive("max_request_body_size 1KiB").start();
    let token = tokens::publisher(&["*"]);
    let (head, _) = expecting(&token, "topic=a");
    let (long, _) = expecting(&token, &format!("topic=a&data={}", "x".repeat(2000)));
    for (head, status) in [
        (head.replace("Bearer ", "Bearer a.b."), 400),
        (head.replace("Bearer ey", "Bearer x"), 401),
        (head.replace("Authorization: ", "X: "), 401),
        (head.replace("x-www-form-urlencoded", "json"), 415),
        (head.replace("POST", "PUT"), 405),
        (head.replace("mercure HTTP", "nowhere HTTP"), 404),
        (long, 413),
    ] {
        let mut connection = Connection::open(hub.addr);
        let answer = connection.send(&head).answer();
        assert_eq!(answer.status, status, "{head}");
        assert!(!answer.keeps_alive(), "whether the body comes is unknown: {head}");
        assert!(connection.is_closed());
    }
}

fn other_expectations_fail(driver: Driver) {
    let hub = Setup::new(driver).start();
    let sent = "GET /healthz HTTP/1.1\r\nHost: hub\r\nExpect: a-pony\r\n\r\n";
    let mut connection = Connection::open(hub.addr);
    assert_eq!(connection.send(sent).answer().status, 417);
    assert!(connection.is_closed());
}

fn a_body_of_the_greatest_length_is_taken(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let start = "topic=a&data=";
    let data = "x".repeat((1 << 20) - start.len());
    let form = format!("{start}{data}");
    let mut connection = Connection::open(hub.addr);
    assert_eq!(connection.send(publication_of(&token, &form)).answer().status, 200);
    assert_eq!(stream.next().unwrap().data, data);
    let (first, second) = form.split_at(300_000);
    let (first, second) = (format!("{:x}\r\n{first}\r\n", first.len()), second);
    let body = format!("{first}{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
    assert_eq!(connection.send(chunked(&token, &body)).answer().status, 200);
    assert_eq!(stream.next().unwrap().data, data);
    // One byte more.
    let sent = publication_of(&token, &format!("{form}x"));
    let mut connection = Connection::open(hub.addr);
    connection.try_send(sent);
    assert_eq!(connection.answer().status, 413);
}

/// Many clients write everything before they read.
fn an_answer_reaches_a_client_that_is_still_sending(driver: Driver) {
    let hub = Setup::new(driver).directive("max_request_body_size 64KiB").start();
    let token = tokens::publisher(&["*"]);
    let form = format!("topic=a&data={}", "x".repeat(700_000));
    let (head, _) = form.split_at(60_000);
    let body = format!("{:x}\r\n{head}\r\n{:x}\r\n{form}\r\n0\r\n\r\n", head.len(), form.len());
    let denied = tokens::publisher(&["b"]);
    for (sent, status) in [
        (publication_of(&token, &form), 413),
        (chunked(&token, &body), 413),
        (publication_of(&token, &"x".repeat(20_000_000)), 413),
        (publication_of("a.b.c", &form), 401),
        (publication_of(&token, &form).replace("x-www-form", "x"), 415),
        (publication_of(&token, &form).replace("mercure HTTP", "x HTTP"), 404),
        (publication_of(&token, &form).replace("POST", "P?ST"), 400),
        (format!("{}{}", publication_of(&denied, "topic=a"), "x".repeat(1000)), 403),
    ] {
        let mut connection = Connection::open(hub.addr);
        // Slower than the hub answers, and with the end of the body after the answer.
        for piece in sent.as_bytes().chunks(sent.len() / 10) {
            // Clients whose sending fails may not look for an answer.
            connection.send(piece);
            std::thread::sleep(Duration::from_millis(10));
        }
        let answer = connection.answer();
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

fn a_stream_request_with_a_body_is_a_stream(driver: Driver) {
    let hub = Setup::new(driver).start();
    let sent = "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\nContent-Length: 9\r\n\r\n\
                match=b&c";
    let mut stream = Stream::from_request(hub.addr, sent);
    let token = tokens::publisher(&["*"]);
    for topic in ["b", "a"] {
        crate::common::client::publish(hub.addr, &token, &[("topic", topic), ("data", topic)]);
    }
    assert_eq!(stream.data(1), ["a"]);
    // What was not read is not taken for another request.
    let sent = sent.replace("GET", "HEAD").replace("Length: 9", "Length: 50");
    let mut connection = Connection::open(hub.addr);
    connection.send(sent + "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_eq!(connection.answer_to_head().status, 200);
    assert!(connection.is_closed());
}
