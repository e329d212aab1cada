//! Hubs inside an application: this one.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use petasos::{
    Hub, HubBuilder,
    app::{Issuer, PublishError, ServeError},
    auth::key::Algorithm,
    client::NewUpdate,
    worker::NotTakenReason,
};

use crate::{
    common::{
        client::{Connection, Stream, encode, publication, publish, try_publish},
        hub::{AUDIENCE, Driver, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY},
        process::{limit_open_files, wait_until},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    updates_of_the_application_and_of_clients_have_one_order,
    a_hub_of_its_own_is_stopped_in_time_with_subscribers,
    connections_of_the_application_are_served_whatever_was_read,
    a_listener_of_the_application_is_served_and_shut_down,
    two_hubs_in_one_process_know_nothing_of_each_other,
    publications_wait_for_workers_as_long_as_they_may,
    a_hub_leaves_nothing_behind,
);

pub(crate) fn builder(driver: Driver) -> HubBuilder {
    let issuer = Issuer::new(ISSUER)
        .publisher_key(PUBLISHER_KEY, Algorithm::Hs256)
        .subscriber_key(SUBSCRIBER_KEY, Algorithm::Hs256);
    Hub::builder()
        .issuer(issuer)
        .resource_identifier(AUDIENCE)
        .anonymous(true)
        .workers(2)
        .listen(["127.0.0.1:0"])
        .setting(format!("driver {}", driver.name()))
}

const SUBSCRIBE: &str = "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: hub\r\n\r\n";

fn updates_of_the_application_and_of_clients_have_one_order(driver: Driver) {
    const EACH: usize = 400;
    let hub = builder(driver).start().unwrap();
    let addr = hub.addresses()[0];
    let mut streams: Vec<_> = (0..4).map(|_| Stream::open(addr, "match=a", "")).collect();
    let answered: Vec<String> = thread::scope(|scope| {
        let own = |name: usize| {
            let hub = &hub;
            move || -> Vec<String> {
                (0..EACH).map(|i| hub.publish(&["a"], &format!("{name} {i}")).unwrap()).collect()
            }
        };
        let over_http = move || -> Vec<String> {
            let token = tokens::publisher(&["*"]);
            let mut connection = Connection::open(addr);
            let mut one = |i| {
                let data = format!("2 {i}");
                connection.send(publication(&token, &[("topic", "a"), ("data", &data)]));
                connection.answer().body
            };
            (0..EACH).map(&mut one).collect()
        };
        let threads = [scope.spawn(own(0)), scope.spawn(own(1)), scope.spawn(over_http)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let got: Vec<Vec<(String, String)>> = streams
        .iter_mut()
        .map(|stream| {
            let events = (0..3 * EACH).map(|_| stream.next().unwrap());
            events.map(|event| (event.id, event.data)).collect()
        })
        .collect();
    for stream in &got {
        assert_eq!(stream, &got[0], "one order");
    }
    for name in 0..3 {
        let of_one: Vec<_> =
            got[0].iter().filter(|(_, data)| data.starts_with(&format!("{name} "))).collect();
        for (i, (id, data)) in of_one.iter().enumerate() {
            assert_eq!(data, &format!("{name} {i}"), "each publisher's in its order");
            assert_eq!(id, &answered[name * EACH + i]);
        }
    }
    // And one history.
    let mut replayed = Stream::open(addr, "match=a&last_event_id=earliest", "");
    let events: Vec<_> = (0..3 * EACH).map(|_| replayed.next().unwrap().data).collect();
    assert!(events.iter().eq(got[0].iter().map(|(_, data)| data)));
}

#[test]
fn updates_of_the_application_obey_the_rules_of_all_updates() {
    let hub = builder(Driver::Epoll).setting("max_request_body_size 1KiB").start().unwrap();
    let addr = hub.addresses()[0];
    let mut stream = Stream::open(addr, "match=*", "");
    let long = "\u{e9}".repeat(200);
    let too_long = "x".repeat(2000);
    let plain = |topics, data| NewUpdate::new(topics, data);
    for update in [
        plain(&[], "x"),
        plain(&[""], "x"),
        plain(&["*"], "x"),
        plain(&["/.well-known/mercure/x"], "x"),
        plain(&["a\nb"], "x"),
        plain(&["a"], &long),
        plain(&["a"], &too_long),
        NewUpdate { id: Some("#x"), ..plain(&["a"], "x") },
        NewUpdate { id: Some("earliest"), ..plain(&["a"], "x") },
        NewUpdate { event_type: Some("mercure"), ..plain(&["a"], "x") },
    ] {
        let error = hub.send(update).wait().unwrap_err();
        // A client with a token for everything is told the same.
        let pairs = update.fields().map(|(name, value)| format!("{name}={}", encode(&value)));
        let answer = try_publish(addr, &pairs.collect::<Vec<_>>().join("&"));
        match error {
            PublishError::Refused(error) => assert_eq!(answer.detail(), error.to_string()),
            PublishError::TooLarge { len, len_max } => {
                assert_eq!((answer.status, len_max), (413, 1024), "{answer:?}");
                assert!(len > 1024);
            }
            other => panic!("{other}"),
        }
    }
    let update = NewUpdate {
        id: Some("urn:i"),
        event_type: Some("t"),
        retry: Some(7),
        ..plain(&["a", "b"], "two\nlines")
    };
    assert_eq!(hub.send(update).wait(), Ok("urn:i".to_owned()));
    let event = stream.next().unwrap();
    assert_eq!(
        (event.id.as_str(), event.event.as_str(), event.retry.as_str(), event.data.as_str()),
        ("urn:i", "t", "7", "two\nlines")
    );
    // Private updates of the application are private.
    drop(hub.send(NewUpdate { private: true, ..plain(&["a"], "secret") }));
    hub.publish(&["a"], "public").unwrap();
    assert_eq!(stream.next().unwrap().data, "public");
}

fn a_hub_of_its_own_is_stopped_in_time_with_subscribers(driver: Driver) {
    let hub = builder(driver).setting("grace_period 1s").start().unwrap();
    let addr = hub.addresses()[0];
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(addr, "match=a", "")).collect();
    hub.publish(&["a"], "last").unwrap();
    let begin = Instant::now();
    assert!(hub.stop());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    for stream in &mut streams {
        let (rest, is_proper) = stream.end();
        assert!(is_proper, "a stream was cut off");
        assert_eq!(rest.len(), 1, "{rest:?}");
    }
    assert!(TcpStream::connect(addr).is_err());
    assert_eq!(hub.publish(&["a"], "x"), Err(PublishError::Stopped));
    assert!(hub.stop(), "the second time there is nothing to do");

    // Whoever does not finish its request is cut off.
    let hub = builder(driver).setting("grace_period 0s").start().unwrap();
    let mut connection = Connection::open(hub.addresses()[0]);
    connection.send("POST /.well-known/mercure HTTP/1.1\r\nHost");
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    assert!(!hub.stop());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

/// Two ends of a connection.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(crate::common::hub::PATIENCE)).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Reads until `what` has come `times`.
fn read_to(client: &mut TcpStream, what: &str, times: usize) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while text.matches(what).count() < times {
        let len = client.read(&mut buffer).unwrap();
        assert_ne!(len, 0, "{text}");
        text += std::str::from_utf8(&buffer[..len]).unwrap();
    }
}

fn connections_of_the_application_are_served_whatever_was_read(driver: Driver) {
    let hub = builder(driver).without_listener().start().unwrap();
    assert_eq!((hub.addresses(), hub.url()), (&[][..], None));
    let request = publication(&tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    // Of the first request nothing, a part of its head, its head, a part of its body, all of it,
    // and all of it with the next one behind it.
    let two = format!("{request}{request}");
    let head = request.find("\r\n\r\n").unwrap() + 4;
    let (mut subscriber, stream) = connection();
    hub.take(stream, SUBSCRIBE.into()).unwrap();
    read_to(&mut subscriber, "\r\n\r\n", 1);
    for len in [0, 5, head - 1, head, head + 3, request.len(), two.len() - 4, two.len()] {
        let (mut client, stream) = connection();
        // An application may have it in a mode of its own.
        stream.set_nonblocking(len % 2 == 0).unwrap();
        hub.take(stream, two.as_bytes()[..len].to_vec()).unwrap();
        client.write_all(&two.as_bytes()[len..]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "after {len}: {answers}");
        read_to(&mut subscriber, "\ndata: x\n", 2);
    }
    hub.stop();
    let (_client, stream) = connection();
    let not_taken = hub.take(stream, b"GET".to_vec()).unwrap_err();
    assert_eq!(not_taken.reason, NotTakenReason::Stopped);
    assert_eq!(not_taken.received, b"GET");

    // Where the workers' numbers mean other files, nothing is mixed up.
    let hub = builder(driver).without_listener().setting("file_tables worker").start().unwrap();
    let (_client, stream) = connection();
    let not_taken = hub.take(stream, Vec::new()).unwrap_err();
    assert_eq!(not_taken.reason, NotTakenReason::OtherFileTable);
}

#[test]
fn more_connections_than_are_served_at_a_time_wait_for_their_turn() {
    /// Files that the process may have: a tenth for requests, and a thousand connections may wait.
    const FILES: u64 = 4096;
    let name = "more_connections_than_are_served_at_a_time_wait_for_their_turn";
    if was_run_alone(name, |command| limit_open_files(command, FILES, FILES)) {
        return;
    }
    let hub = builder(Driver::Epoll).without_listener().workers(1).start().unwrap();
    let mut clients = Vec::new();
    let refused = loop {
        let (client, stream) = connection();
        // They send nothing, so they go when others need their place.
        match hub.take(stream, Vec::new()) {
            Ok(()) => clients.push(client),
            Err(refused) => break refused,
        }
        assert!(clients.len() < FILES as usize / 2 - 100, "all of them are taken");
    };
    assert_eq!(refused.reason, NotTakenReason::Full);
    // Where there is room again, a connection is served.
    let mut answer = String::new();
    let (mut client, stream) = connection();
    let mut waiting = Some(stream);
    wait_until("room for one more", || {
        let stream = waiting.take().expect("not taken yet");
        let taken = hub.take(stream, b"GET /healthz HTTP/1.0\r\n\r\n".to_vec());
        waiting = taken.err().map(|refused| refused.stream);
        waiting.is_none()
    });
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

fn a_listener_of_the_application_is_served_and_shut_down(driver: Driver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let hub = builder(driver).listener(listener).start().unwrap();
    assert_eq!(hub.addresses(), [addr]);
    assert_eq!(hub.url(), Some(format!("http://{addr}/.well-known/mercure").as_str()));
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(addr, "match=a", "")).collect();
    publish(addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    for stream in &mut streams {
        assert_eq!(stream.data(1), ["x"]);
    }
    drop(streams);
    assert!(hub.stop());
    assert!(TcpStream::connect(addr).is_err());
}

fn two_hubs_in_one_process_know_nothing_of_each_other(driver: Driver) {
    let hubs = [(); 2].map(|()| builder(driver).start().unwrap());
    let mut streams = hubs.each_ref().map(|hub| Stream::open(hub.addresses()[0], "match=a", ""));
    for (hub, data) in hubs.iter().zip(["one", "two"]) {
        hub.publish(&["a"], data).unwrap();
    }
    let [first, second] = hubs;
    drop(first);
    second.publish(&["a"], "three").unwrap();
    assert_eq!(streams[0].end().0.len(), 1);
    assert_eq!(streams[1].data(2), ["two", "three"]);
    // An address that is taken is a mistake of the second one alone.
    let addr = second.addresses()[0].to_string();
    let error = builder(driver).listen([addr.clone()]).start().unwrap_err();
    assert!(error.to_string().contains(&format!("{addr} is served already")), "{error}");
    second.publish(&["a"], "four").unwrap();
    assert_eq!(streams[1].data(1), ["four"]);
}

fn publications_wait_for_workers_as_long_as_they_may(driver: Driver) {
    const UPDATES: usize = 6000;
    for (wait, may_be_overloaded) in [("0s", true), ("60s", false)] {
        let hub = builder(driver)
            .setting("worker_lag 1")
            .setting(format!("publish_wait {wait}"))
            .start()
            .unwrap();
        let mut stream = Stream::open(hub.addresses()[0], "match=a", "");
        let publish_many = |stream: &mut Stream| {
            let sent: Vec<_> =
                (0..UPDATES).map(|i| hub.send(NewUpdate::new(&["a"], &i.to_string()))).collect();
            let (mut published, mut overloaded, mut full) = (Vec::new(), 0, 0);
            for (i, answer) in sent.into_iter().enumerate() {
                match answer.wait() {
                    Ok(_) => published.push(i.to_string()),
                    Err(PublishError::Overloaded) => overloaded += 1,
                    Err(PublishError::Full) => full += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(may_be_overloaded || overloaded == 0, "{overloaded}");
            assert_eq!(published.len() + overloaded + full, UPDATES);
            // What was answered is what is delivered, in its order.
            let got: Vec<_> = published.iter().map(|_| stream.next().unwrap().data).collect();
            assert_eq!(got, published);
            overloaded > 0
        };
        // Where the machine holds up the application more than the worker, the worker keeps up.
        wait_until("what may happen", || publish_many(&mut stream) == may_be_overloaded);
        hub.publish(&["a"], "end").unwrap();
        assert_eq!(stream.next().unwrap().data, "end");
    }
}

#[test]
fn mistakes_are_those_of_the_settings() {
    let mistakes = |builder: HubBuilder| match builder.start() {
        Err(ServeError::Mistakes(mistakes)) => {
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let wrong = Hub::builder()
        .cors_origins(["example.com"])
        .directives("heartbeat 20s\nheartbeet 20s")
        .setting("workers many")
        .publisher_key("", Algorithm::Hs256)
        .listen(["127.0.0.1:0"]);
    assert_eq!(
        mistakes(wrong),
        [
            "cors_origins: the origin `example.com` has no scheme; write https://example.com",
            "publisher_jwt: the publisher key: the key is empty: anybody could sign with it",
            "directives:2: unknown directive `heartbeet`; did you mean `heartbeat`?",
            "directives:3: workers: `many` is not a whole number from 0 to 1024",
        ]
    );
    let nobody = mistakes(Hub::builder());
    assert!(nobody.len() == 1 && nobody[0].contains("no key for subscribers"), "{nobody:?}");
    let unbound = Hub::builder()
        .subscriber_key(SUBSCRIBER_KEY, Algorithm::Hs256)
        .issuer(Issuer::new(ISSUER).publisher_key(PUBLISHER_KEY, Algorithm::Hs256));
    assert!(mistakes(unbound)[0].contains("some keys are bound to an issuer"));
    // A key is never shown, nor read as anything but a key.
    let odd = "{env.HOME} {file./etc/hostname} # \"`";
    let builder = Hub::builder().publisher_key(odd, Algorithm::Hs256).setting("anonymous maybe");
    assert!(!format!("{builder:?}").contains("hostname"));
    let told = mistakes(builder).join("\n");
    assert!(!told.contains("hostname") && told.contains("anonymous"), "{told}");
    // The environment counts where it is asked for, and less than what is said.
    let variables = [("MERCURE_ALLOW_ANONYMOUS", "1"), ("ADDR", "127.0.0.1:0"), ("N", "1")];
    let hub = Hub::builder().environment(variables).setting("workers {env.N}").start().unwrap();
    let mut stream = Stream::open(hub.addresses()[0], "match=a", "");
    hub.publish(&["a"], "x").unwrap();
    assert_eq!(stream.data(1), ["x"]);
}

#[test]
fn a_key_of_the_builder_is_what_clients_sign_with() {
    use petasos::client::{Credentials, Publisher, TokenKey};
    let secret = "{env.HOME} a secret with \"quotes\" and spaces";
    let hub = Hub::builder()
        .publisher_key(secret, Algorithm::Hs256)
        .anonymous(true)
        .listen(["127.0.0.1:0"])
        .start()
        .unwrap();
    let url = hub.url().unwrap();
    assert!(!url.contains(":0/"), "{url}");
    // By default tokens name the URL that the client uses: the hub knows its chosen port.
    let client = |key: &str| Publisher::new(url, Credentials::key(TokenKey::secret(key).unwrap()));
    client(secret).unwrap().publish(&["a"], "x").unwrap();
    assert!(client("another").unwrap().publish(&["a"], "x").is_err());
}

/// Runs a test of this module once more, in a process where nobody else has threads and files.
/// False: this is that process.
fn was_run_alone(name: &str, prepare: impl FnOnce(&mut Command)) -> bool {
    const ALONE: &str = "ALONE_IN_ITS_PROCESS";
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("embedding::{name}");
    command.args([&name, "--exact", "--nocapture"]).env(ALONE, "1");
    prepare(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{text}");
    true
}

fn a_hub_leaves_nothing_behind(driver: Driver) {
    let name = format!("{}::a_hub_leaves_nothing_behind", driver.name());
    if was_run_alone(&name, |_| ()) {
        return;
    }
    let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    let (threads, limits) = (count("task"), fs::read_to_string("/proc/self/limits").unwrap());
    let mut files = 0;
    for round in 0..8 {
        let hub = builder(driver).setting("grace_period 50ms").start().unwrap();
        let addr = hub.addresses()[0];
        let mut stream = Stream::open(addr, "match=a", "");
        hub.publish(&["a"], "x").unwrap();
        publish(addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "y")]);
        assert_eq!(stream.data(2), ["x", "y"]);
        let (mut client, taken) = connection();
        hub.take(taken, SUBSCRIBE.into()).unwrap();
        read_to(&mut client, "\r\n\r\n", 1);
        assert!(count("task") > threads);
        assert!(hub.stop());
        drop((hub, stream));
        // Threads that have ended are counted for a moment.
        wait_until("the end of its threads", || count("task") == threads);
        match round {
            0 => files = count("fd"),
            _ => assert_eq!(count("fd"), files, "files after round {round}"),
        }
    }
    assert_eq!(fs::read_to_string("/proc/self/limits").unwrap(), limits);
}
