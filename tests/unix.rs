//! UNIX sockets: the same hub, for those on the same machine; and their files.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    admin::numbers,
    common::{
        client::{Answer, Connection, Stream, publication, publish},
        hub::{Driver, Hub, Output, Setup},
        process::{run_to_end, wait_until},
        tokens,
        tools::{Directory, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(
    a_hub_serves_a_unix_socket_alone,
    a_hub_serves_it_beside_an_address,
    every_worker_takes_connections,
    a_reader_that_is_slow_gets_everything_whole,
    what_clients_send_unasked_harms_nobody,
    who_leaves_is_gone,
    curl_comes_by_it,
    the_file_is_there_as_long_as_the_hub,
    what_a_dead_hub_left_is_replaced,
    what_lives_or_is_no_socket_stays,
    without_a_proxy_all_are_one_client,
    a_proxy_that_is_trusted_says_who_they_are,
);

/// A directory of its own, and a place for a socket in it.
fn place(name: &str, driver: Driver) -> (Directory, PathBuf) {
    let directory = Directory::new(&format!("unix-{name}-{}", driver.name()));
    let path = directory.0.join("hub.sock");
    (directory, path)
}

/// A hub that listens there alone.
fn at(driver: Driver, path: &Path) -> Setup {
    Setup::new(driver).env("ADDR", &format!("unix:{}", path.display()))
}

fn subscribe(path: &Path, query: &str, fields: &str) -> Stream {
    let request = format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n");
    let mut connection = Connection::open_unix(path);
    connection.send(request);
    Stream::from_connection(connection)
}

fn send(path: &Path, request: impl AsRef<[u8]>) -> Answer {
    Connection::open_unix(path).send(request).answer()
}

fn publish_at(path: &Path, fields: &[(&str, &str)]) -> String {
    let answer = send(path, publication(&tokens::publisher(&["*"]), fields));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn subscribers(hub: &Hub, worker: usize) -> f64 {
    numbers(hub)[&format!("petasos_worker_subscribers{{worker=\"{worker}\"}}")]
}

fn a_hub_serves_a_unix_socket_alone(driver: Driver) {
    // The workers know it by numbers in file tables that they share, or have for themselves.
    for tables in ["shared", "worker"] {
        let (_directory, path) = place(tables, driver);
        let setup = at(driver, &path).directive(&format!("file_tables {tables}"));
        let hub = setup.directive("heartbeat 1s").start();
        hub.wait_for_log(&format!("listening on unix:{}", path.display()));
        let log = hub.log();
        assert!(!log.contains("listening on http") && !log.contains("unencrypted"), "{log}");

        let mut streams: Vec<_> = (0..20).map(|_| subscribe(&path, "match=a", "")).collect();
        let first = publish_at(&path, &[("topic", "a"), ("data", "1")]);
        publish_at(&path, &[("topic", "a"), ("data", "2")]);
        for stream in &mut streams {
            assert_eq!(stream.data(2), ["1", "2"]);
        }
        let mut resumed = subscribe(&path, "match=a", &format!("Last-Event-ID: {first}\r\n"));
        assert_eq!(resumed.data(1), ["2"]);
        let silent = &mut streams[0];
        let comments = silent.comments;
        wait_until("a heartbeat", || {
            assert!(silent.is_silent_for(Duration::from_millis(100)));
            silent.comments > comments
        });
        // Many topics, and one connection for several requests.
        let topics: Vec<_> = (0..1000).map(|it| format!("match=urn:{it:050}")).collect();
        let mut many = subscribe(&path, &topics.join("&"), "");
        let mut kept = Connection::open_unix(&path);
        for data in ["3", "4"] {
            let fields = [("topic", &topics[500][6..]), ("data", data)];
            kept.send(publication(&tokens::publisher(&["*"]), &fields));
            assert_eq!(kept.answer().status, 200);
            assert_eq!(many.data(1), [data]);
        }
        // An answer to somebody who goes on sending is not lost.
        let head = "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nContent-Length: 900000\r\n";
        let answer = send(&path, [head, "\r\n", &"x".repeat(900_000)].concat());
        assert_eq!(answer.status, 401);
    }
}

fn a_hub_serves_it_beside_an_address(driver: Driver) {
    let (_directory, path) = place("beside", driver);
    let hub = Setup::new(driver)
        .env("ADDR", &format!("127.0.0.1:0 unix/{}|0600", path.display()))
        .start();
    let mut streams = [subscribe(&path, "match=a", ""), Stream::open(hub.addr, "match=a", "")];
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "1")]);
    publish_at(&path, &[("topic", "a"), ("data", "2")]);
    for stream in &mut streams {
        assert_eq!(stream.data(2), ["1", "2"]);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

fn every_worker_takes_connections(driver: Driver) {
    let (_directory, path) = place("workers", driver);
    let hub = at(driver, &path).env("PETASOS_WORKERS", "3").start();
    let mut streams = Vec::new();
    wait_until("subscribers of each worker", || {
        streams.extend((0..10).map(|_| subscribe(&path, "match=a", "")));
        (0..3).all(|worker| subscribers(&hub, worker) > 0.0)
    });
    publish_at(&path, &[("topic", "a"), ("data", "x")]);
    assert!(streams.iter_mut().all(|stream| stream.data(1) == ["x"]));
}

/// What the socket does not take at once comes later, from the middle of an event on.
fn a_reader_that_is_slow_gets_everything_whole(driver: Driver) {
    let (_directory, path) = place("slow", driver);
    let hub = at(driver, &path)
        .env("PETASOS_DISPATCH_TIMEOUT", "0")
        .env("PETASOS_SUBSCRIBER_BUFFER", "1GiB")
        .env("PETASOS_OUTBOX_BUDGET", "1GiB")
        .start();
    let mut slow = subscribe(&path, "match=a", "");
    let data: Vec<_> =
        (0..40).map(|number| format!("{number}:{}", "y".repeat(100_000 + number))).collect();
    for data in &data {
        publish_at(&path, &[("topic", "a"), ("data", data)]);
    }
    let waiting = || (0..2).map(|it| format!("petasos_waiting_bytes{{worker=\"{it}\"}}"));
    wait_until("bytes that wait", || waiting().any(|name| numbers(&hub)[&name] > 1_000_000.0));
    for data in &data {
        assert!(slow.data(1) == [data.as_str()], "whole and in order");
    }
    wait_until("nothing waits", || waiting().all(|name| numbers(&hub)[&name] == 0.0));
}

fn what_clients_send_unasked_harms_nobody(driver: Driver) {
    let (_directory, path) = place("chatter", driver);
    let _hub = at(driver, &path).start();
    let mut stream = subscribe(&path, "match=a", "");
    for number in 0..5 {
        stream.socket().write_all(&[b'x'; 5000]).unwrap();
        publish_at(&path, &[("topic", "a"), ("data", &number.to_string())]);
        assert_eq!(stream.data(1), [number.to_string()]);
    }
}

fn who_leaves_is_gone(driver: Driver) {
    let (_directory, path) = place("gone", driver);
    let hub = at(driver, &path).start();
    let mut streams: Vec<_> = (0..5).map(|_| subscribe(&path, "match=a", "")).collect();
    wait_until("five", || (0..2).map(|it| subscribers(&hub, it)).sum::<f64>() == 5.0);
    streams.truncate(2);
    wait_until("two", || (0..2).map(|it| subscribers(&hub, it)).sum::<f64>() == 2.0);
}

fn curl_comes_by_it(driver: Driver) {
    if !has_tools(&["curl"]) {
        return;
    }
    let (_directory, path) = place("curl", driver);
    let hub = at(driver, &path).start();
    let id = publish_at(&path, &[("topic", "https://example.com/books/1"), ("data", "old")]);
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--unix-socket"]).arg(&path).args(arguments);
        Output::of(command.output().unwrap())
    };
    let url = "http://localhost/.well-known/mercure";
    let bearer = format!("Authorization: Bearer {}", tokens::publisher(&["*"]));
    let published = ["-H", &*bearer, "-d", "topic=a", "-d", "data=new", url];
    assert!(curl(&published).ok().starts_with("urn:uuid:"));
    let events = format!("{url}?match=*&last_event_id=earliest");
    let short = ["-N", "--max-time", "1", events.as_str()];
    let told = curl(&short).stdout;
    assert!(told.contains(&format!("data: old\nid: {id}\n")) && told.contains("new"), "{told}");
    drop(hub);
}

fn the_file_is_there_as_long_as_the_hub(driver: Driver) {
    let (directory, path) = place("file", driver);
    for mode in ["", "|0660", "|222"] {
        let listen = format!("unix:{}{mode}", path.display());
        let mut hub = Setup::new(driver).env("ADDR", &listen).start();
        let file = fs::symlink_metadata(&path).unwrap();
        assert!(file.file_type().is_socket());
        if let Some(mode) = mode.strip_prefix('|') {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, mode);
        }
        let mut stream = subscribe(&path, "match=a", "");
        hub.signal(libc::SIGTERM);
        assert!(hub.wait().success(), "{}", hub.log());
        assert!(stream.end().1, "it is told properly");
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0, "nothing is left");
    }
    // Of somebody else in its place, it leaves hands off.
    let mut hub = at(driver, &path).start();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    hub.signal(libc::SIGTERM);
    assert!(hub.wait().success());
    assert!(UnixStream::connect(&path).is_ok());
}

fn what_a_dead_hub_left_is_replaced(driver: Driver) {
    let (directory, path) = place("stale", driver);
    for _ in 0..2 {
        let mut hub = at(driver, &path).start();
        publish_at(&path, &[("topic", "a")]);
        hub.signal(libc::SIGKILL);
        hub.wait();
        assert!(path.exists());
    }
    // One that was killed while it started.
    drop(UnixListener::bind(directory.0.join("hub.sock.new")).unwrap());
    let _hub = at(driver, &path).start();
    publish_at(&path, &[("topic", "a")]);
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
}

fn what_lives_or_is_no_socket_stays(driver: Driver) {
    let (directory, path) = place("taken", driver);
    let refused = |path: &Path, part: &str| {
        let (code, log) = run_to_end(at(driver, path));
        assert_eq!(code, Some(1), "{log}");
        let told: Vec<_> = log.lines().filter(|line| line.starts_with("petasos: ")).collect();
        assert_eq!(told.len(), 1, "{log}");
        assert!(told[0].contains(&format!("unix:{}", path.display())), "{told:?}");
        assert!(told[0].contains(part), "{told:?}");
    };
    let hub = at(driver, &path).start();
    refused(&path, "is served already");
    // By another way to the same directory, too.
    let link = directory.0.join("link");
    symlink(&directory.0, &link).unwrap();
    refused(&link.join("hub.sock"), "is served already");
    publish_at(&path, &[("topic", "a")]);
    drop(hub);
    fs::remove_file(&path).unwrap();

    // Anybody's, also where nobody takes the connections.
    let listener = UnixListener::bind(&path).unwrap();
    let mut queue = Vec::new();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    queue.extend(UnixStream::connect(&path));
    refused(&path, "is served already");
    drop((listener, queue));

    let file = directory.file("file", "precious");
    refused(Path::new(&file), "a file that is no socket is there");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let folder = directory.0.join("folder");
    fs::create_dir(&folder).unwrap();
    refused(&folder, "a file that is no socket is there");
    assert!(folder.is_dir());
    // A link to a socket is not followed.
    let to_socket = directory.0.join("to-socket");
    symlink(&path, &to_socket).unwrap();
    refused(&to_socket, "a file that is no socket is there");
    refused(&directory.0.join("none/hub.sock"), "its directory must be there");
}

/// Whether a client that the proxy names is let in: the stream, if so.
fn join(path: &Path, fields: &str) -> Option<Stream> {
    let mut stream = subscribe(path, "match=a", fields);
    if stream.is_silent_for(Duration::from_millis(100)) {
        return Some(stream);
    }
    let (events, proper) = stream.end();
    assert!(proper && events.len() == 1 && !events[0].retry.is_empty(), "{events:?}");
    None
}

fn without_a_proxy_all_are_one_client(driver: Driver) {
    let (_directory, path) = place("one", driver);
    let hub = at(driver, &path)
        .directive("max_connections_per_ip 2")
        .directive("trusted_proxies private_ranges")
        .start();
    assert!(hub.log().contains("counts all who come by UNIX sockets as one client"));
    let field = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let _held = [1, 2].map(|it| join(&path, &field(&format!("198.51.100.{it}"))).unwrap());
    assert!(join(&path, &field("198.51.100.3")).is_none());
    hub.wait_for_log(r#""address":"unix""#);
}

fn a_proxy_that_is_trusted_says_who_they_are(driver: Driver) {
    let (_directory, path) = place("trusted", driver);
    let hub = at(driver, &path)
        .directive("max_connections_per_ip 2")
        .directive("trusted_proxies unix")
        .directive("public_urls https://hub.example")
        .start();
    assert!(!hub.log().contains("as one client"));
    let fields = |client: &str| {
        let name = "X-Forwarded-Host: hub.example\r\nX-Forwarded-Proto: https\r\n";
        format!("X-Forwarded-For: 203.0.113.9, {client}\r\n{name}")
    };
    let _held = [1, 1, 2, 2].map(|it| join(&path, &fields(&format!("198.51.100.{it}"))).unwrap());
    assert!(join(&path, &fields("198.51.100.1")).is_none());
    hub.wait_for_log(r#""address":"198.51.100.1""#);
    // What cannot be read counts for nothing: the name is the one that the proxy used.
    let request = format!(
        "GET /.well-known/mercure?match=a HTTP/1.1\r\nHost: inner\r\n{}\r\n",
        fields("nobody")
    );
    assert_eq!(send(&path, request).status, 421);
}
