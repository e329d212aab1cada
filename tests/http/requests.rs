//! Requests and answers in a row: keep-alive, pipelining, versions, methods, targets.

use crate::{
    common::{
        client::{Connection, Stream, exchange, publication, request},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    connections_are_kept,
    pipelined_requests_are_answered_in_order,
    a_long_pipeline_is_answered_whole,
    a_stream_may_follow_pipelined_requests,
    http_1_0_is_spoken,
    head_gives_the_head_of_get,
    head_of_a_stream_registers_nothing,
    methods_and_paths_are_told_apart,
    targets_may_be_absolute,
    hosts_are_wanted,
    heads_may_come_byte_by_byte,
);

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n")
}

fn connections_are_kept(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let publication = publication(&token, &[("topic", "a")]);
    let mut connection = Connection::open(hub.addr);
    for (request, status) in [
        (get("/healthz"), 200),
        (publication.clone(), 200),
        (get("/nowhere"), 404),
        (get("/.well-known/mercure"), 400),
        (format!("\r\n\r\n{publication}"), 200),
        ("PATCH / HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned(), 405),
        (publication.replace("Bearer ", "bEARER   "), 200),
        (get("/"), 200),
    ] {
        let answer = connection.send(&request).answer();
        assert_eq!(answer.status, status, "{request} {answer:?}");
        assert!(answer.keeps_alive(), "{request} {answer:?}");
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
    }
    let answer = connection
        .send("GET /healthz HTTP/1.1\r\nHost: hub\r\nConnection: x, CLOSE\r\n\r\n")
        .answer();
    assert_eq!((answer.status, answer.keeps_alive()), (200, false));
    assert!(connection.is_closed());
}

fn pipelined_requests_are_answered_in_order(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = tokens::publisher(&["*"]);
    let sized = publication(&token, &[("topic", "a"), ("data", "1")]);
    let chunked = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n\
         7\r\ntopic=a\r\n7;x=y\r\n&data=2\r\n0\r\nTrailer: t\r\n\r\n"
    );
    let empty = publication(&token, &[]);
    let requests = [
        (sized.as_str(), 200),
        ("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", 200),
        (&chunked, 200),
        ("OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\r\n", 204),
        ("GET /robots.txt HTTP/1.1\r\nHost: hub\r\n\r\n", 200),
        ("DELETE /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\r\n", 405),
        (&empty, 400),
        ("GET /x HTTP/1.1\r\nHost: hub\r\n\r\n", 404),
        (&sized, 200),
        ("GET /healthz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n", 200),
        // Nothing is served after the last answer.
        (&sized, 0),
    ];
    let all: String = requests.iter().map(|(request, _)| *request).collect();
    let mut connection = Connection::open(hub.addr);
    connection.send(&all);
    for (request, status) in &requests[..requests.len() - 1] {
        let answer = connection.answer();
        assert_eq!(answer.status, *status, "{request} {answer:?}");
    }
    assert!(connection.is_closed());
    assert_eq!(stream.data(3), ["1", "2", "1"]);
    assert!(stream.is_silent_for(std::time::Duration::from_millis(100)));
}

fn a_long_pipeline_is_answered_whole(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = tokens::publisher(&["*"]);
    let numbers: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let all: String = numbers
        .iter()
        .map(|number| publication(&token, &[("topic", "a"), ("data", number), ("id", number)]))
        .collect();
    let mut connection = Connection::open(hub.addr);
    let mut sending = connection.stream.try_clone().unwrap();
    let sender =
        std::thread::spawn(move || std::io::Write::write_all(&mut sending, all.as_bytes()));
    for number in &numbers {
        assert_eq!(connection.answer().body, *number);
    }
    sender.join().unwrap().unwrap();
    assert_eq!(stream.data(300), numbers);
}

fn a_stream_may_follow_pipelined_requests(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut connection = Connection::open(hub.addr);
    connection.send(format!(
        "{}{}{}",
        publication(&token, &[("topic", "a"), ("data", "1"), ("id", "x")]),
        get("/healthz"),
        get("/.well-known/mercure?match=a&last_event_id=earliest")
    ));
    assert_eq!(connection.answer().body, "x");
    assert_eq!(connection.answer().body, "ok\n");
    let mut stream = Stream::from_connection(connection);
    assert_eq!(stream.data(1), ["1"]);
}

fn http_1_0_is_spoken(driver: Driver) {
    let hub = Setup::new(driver).start();
    // Without a wish for more: the end of the connection ends the answer.
    let answer = exchange(hub.addr, "GET /healthz HTTP/1.0\r\n\r\n");
    assert!(
        answer.contains("Connection: close\r\n") && answer.ends_with("\r\n\r\nok\n"),
        "{answer}"
    );
    let mut connection = Connection::open(hub.addr);
    for _ in 0..3 {
        connection.send("GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let answer = connection.answer();
        assert_eq!(answer.field("connection"), Some("keep-alive"), "{answer:?}");
        assert_eq!(answer.body, "ok\n");
    }
    let mut stream =
        Stream::from_request(hub.addr, "GET /.well-known/mercure?match=a HTTP/1.0\r\n\r\n");
    assert_eq!(stream.field("transfer-encoding"), None);
    assert_eq!(stream.field("connection"), Some("close"));
    let token = tokens::publisher(&["*"]);
    let old = publication(&token, &[("topic", "a"), ("data", "x")]).replace("HTTP/1.1", "HTTP/1.0");
    assert!(exchange(hub.addr, old).starts_with("HTTP/1.1 200 "));
    assert_eq!(stream.data(1), ["x"]);
}

/// The head without its date.
fn undated(head: &str) -> String {
    head.lines().filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\n")
}

fn head_gives_the_head_of_get(driver: Driver) {
    let hub = Setup::new(driver).directive("cors_origins https://a.example").start();
    let subscriber = tokens::subscriber(&["*"]);
    for (target, fields, status) in [
        ("/healthz", "", 200),
        ("/", "", 200),
        ("/robots.txt", "", 200),
        ("/nowhere", "", 404),
        ("/nowhere", "Accept: text/plain\r\n", 404),
        ("/.well-known/mercure", "", 400),
        ("/.well-known/mercure?topic=a", "", 400),
        ("/.well-known/mercure?match=a", "", 200),
        ("/.well-known/mercure?match=a", "Origin: https://a.example\r\n", 200),
        ("/.well-known/mercure?match=a", "Last-Event-ID: x\r\n", 200),
        ("/.well-known/mercure?match=a", &format!("Authorization: Bearer {subscriber}\r\n"), 200),
        ("/.well-known/mercure?match=a", "Authorization: Bearer a.b.c\r\n", 401),
        ("/.well-known/mercure?match=a", "Authorization: x\r\n", 400),
    ] {
        let rest = format!("{target} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n{fields}\r\n");
        let mut get = Connection::open(hub.addr);
        let expected = get.send(format!("GET {rest}")).answer_to_head();
        let mut head = Connection::open(hub.addr);
        let answer = head.send(format!("HEAD {rest}")).answer_to_head();
        assert_eq!(answer.status, status, "{rest} {answer:?}");
        assert_eq!(undated(&answer.head), undated(&expected.head), "{rest}");
        assert!(head.is_closed(), "no body: {rest}");
    }
}

fn head_of_a_stream_registers_nothing(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut connection = Connection::open(hub.addr);
    connection.send("HEAD /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_eq!(connection.answer_to_head().status, 200);
    let token = tokens::publisher(&["*"]);
    // The connection is kept, and carries nothing but answers.
    let answer = connection.send(publication(&token, &[("topic", "a"), ("id", "x")])).answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "x"));
    assert!(connection.is_silent_for(std::time::Duration::from_millis(100)));
}

fn methods_and_paths_are_told_apart(driver: Driver) {
    let hub = Setup::new(driver).start();
    let allow_hub = Some("GET, HEAD, QUERY, POST, OPTIONS");
    let allow_page = Some("GET, HEAD, OPTIONS");
    for (method, path, status, allow) in [
        ("GET", "/", 200, None),
        ("GET", "/healthz", 200, None),
        ("GET", "/robots.txt", 200, None),
        ("OPTIONS", "*", 204, allow_hub),
        ("OPTIONS", "/", 204, allow_page),
        ("OPTIONS", "/.well-known/mercure", 204, allow_hub),
        ("OPTIONS", "/nowhere", 404, None),
        ("POST", "/", 405, allow_page),
        ("PUT", "/healthz", 405, allow_page),
        ("PUT", "/.well-known/mercure", 405, allow_hub),
        ("DELETE", "/.well-known/mercure?match=a", 405, allow_hub),
        ("TRACE", "/.well-known/mercure", 405, allow_hub),
        ("get", "/.well-known/mercure", 405, allow_hub),
        ("M-SEARCH", "/.well-known/mercure", 405, allow_hub),
        ("GET", "/.well-known/mercure/", 404, None),
        ("GET", "/.well-known/mercure/subscriptions", 404, None),
        ("GET", "/.WELL-KNOWN/mercure", 404, None),
        ("POST", "//.well-known/mercure", 404, None),
        ("GET", "/.well-known/../healthz", 404, None),
        ("GET", "/%68ealthz", 404, None),
        ("GET", "/etc/passwd", 404, None),
    ] {
        let sent = format!("{method} {path} HTTP/1.1\r\nHost: hub\r\n\r\n");
        let answer = request(hub.addr, &sent);
        assert_eq!(answer.status, status, "{method} {path} {answer:?}");
        assert_eq!(answer.field("allow"), allow, "{method} {path}");
        if status >= 400 {
            assert!(!answer.detail().is_empty(), "{method} {path} {answer:?}");
        }
    }
    // A person with a terminal gets text.
    let answer = request(hub.addr, "GET /x HTTP/1.1\r\nHost: hub\r\nAccept: text/plain\r\n\r\n");
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.body.contains("/.well-known/mercure"), "{answer:?}");
}

fn targets_may_be_absolute(driver: Driver) {
    let hub = Setup::new(driver).start();
    for target in [
        "http://hub/healthz",
        "HTTP://other:80/healthz",
        "https://hub/healthz?x",
        "http://[::1]:3000/healthz",
    ] {
        let answer = request(hub.addr, &get(target));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{target}");
    }
    let mut stream =
        Stream::from_request(hub.addr, &get("http://any.example/.well-known/mercure?match=a"));
    let token = tokens::publisher(&["*"]);
    let sent = publication(&token, &[("topic", "a"), ("data", "x")]);
    let sent = sent.replace("POST /", "POST http://other.example/");
    assert_eq!(request(hub.addr, &sent).status, 200);
    assert_eq!(stream.data(1), ["x"]);
    // An empty path is the root (RFC 9112 §3.2.2, RFC 9110 §4.2.3).
    assert_eq!(request(hub.addr, &get("http://hub")).status, 200);
    assert_eq!(request(hub.addr, &get("http://hub?x")).status, 200);
}

fn hosts_are_wanted(driver: Driver) {
    let hub = Setup::new(driver).start();
    for (fields, status) in [
        ("", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a\r\nhost: b\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: a/b\r\n", 400),
        ("Host: u@a\r\n", 400),
        ("Host: a:80:80\r\n", 400),
        ("Host:\r\n", 200),
        ("HOST:   a.example:8080  \r\n", 200),
        ("Host: [::1]:8080\r\n", 200),
    ] {
        let answer = request(hub.addr, &format!("GET /healthz HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(answer.status, status, "{fields} {answer:?}");
        assert_eq!(answer.keeps_alive(), status == 200, "{fields}");
    }
}

fn heads_may_come_byte_by_byte(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut connection = Connection::open(hub.addr);
    for byte in "\r\nGET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n".bytes() {
        connection.send([byte]);
    }
    let mut stream = Stream::from_connection(connection);
    let token = tokens::publisher(&["*"]);
    let mut connection = Connection::open(hub.addr);
    for byte in publication(&token, &[("topic", "a"), ("data", "x")]).bytes() {
        connection.send([byte]);
    }
    assert_eq!(connection.answer().status, 200);
    assert_eq!(stream.data(1), ["x"]);
}
