//! The commands, as a newcomer types them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Stream, publish, request},
        hub::{AUDIENCE, Driver, ISSUER, Output, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup, free_port},
        tokens,
        tools::{Directory, Running, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(
    dev_prints_commands_that_work,
    token_publish_subscribe,
    tokens_say_what_was_asked_for,
    tokens_of_0_x_are_made_too,
    patterns_grant_and_select,
    subscribe_comes_back_where_it_was,
    commands_explain_refusals,
    a_second_hub_on_the_same_port_says_so,
    signals_end_the_hub,
);

fn url(addr: std::net::SocketAddr) -> String {
    format!("http://{addr}/.well-known/mercure")
}

/// The program with no environment but its own variables.
fn petasos(args: &[&str]) -> Setup {
    args.iter().fold(Setup::bare().env("ADDR", ""), |setup, arg| setup.arg(arg))
}

/// Each line of an error, which must be one for a person.
fn told(output: &Output) -> Vec<&str> {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let told = |line| str::strip_prefix(line, "petasos: ").unwrap_or_else(|| panic!("{output:?}"));
    output.stderr.lines().map(told).collect()
}

fn dev_prints_commands_that_work(driver: Driver) {
    if !has_tools(&["curl", "sh"]) {
        return;
    }
    let address = format!("127.0.0.1:{}", free_port());
    let mut hub = petasos(&["--dev", "--listen", &address, "--driver", driver.name()]).start();
    let banner = hub.output_up_to("data=Hello");
    assert!(banner.contains("INSECURE"), "{banner}");
    // Everything behind a heading, up to the next one.
    let command = |heading: &str| {
        let (_, rest) = banner.split_once(&format!("{heading}:\n")).expect(heading);
        rest.split_once("\n\n").map_or(rest, |(command, _)| command).trim().to_owned()
    };
    let mut subscriber = Running::start(
        Command::new("sh").args(["-c", &command("Subscribe")]).stdout(Stdio::piped()),
    );
    let mut lines = BufReader::new(subscriber.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), ":");
    let published = Command::new("sh").args(["-c", &command("Publish")]).output().unwrap();
    let published = Output::of(published);
    let id = published.stdout.clone();
    assert!(id.starts_with("urn:uuid:"), "{published:?}");
    let event: Vec<_> = lines.take(3).map(Result::unwrap).collect();
    assert_eq!(event, ["data: Hello".into(), format!("id: {id}"), String::new()]);
    // The token is for everything, private updates too.
    let token = banner.lines().find_map(|line| line.strip_prefix("Token  ")).unwrap();
    let field = format!("Authorization: Bearer {token}\r\n");
    let mut stream = Stream::open(hub.addr, "match=*", &field);
    publish(hub.addr, token, &[("topic", "x"), ("private", "on"), ("data", "secret")]);
    assert_eq!(stream.data(1), ["secret"]);
    // So that everything can be tried out in a page.
    let answer = request(hub.addr, "GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n");
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    // Each run has a key of its own.
    let address = format!("127.0.0.1:{}", free_port());
    let other = petasos(&["--dev", "--listen", &address, "--driver", driver.name()]).start();
    let sent = crate::common::client::publication(token, &[("topic", "x")]);
    assert_eq!(request(other.addr, &sent).status, 401);
}

fn token(key: &str, args: &[&str]) -> String {
    let all = [&["token", "--iss", ISSUER, "--aud", AUDIENCE][..], args].concat();
    petasos(&all).env("PETASOS_KEY", key).run().ok().trim_end().to_owned()
}

fn token_publish_subscribe(driver: Driver) {
    let hub = Setup::new(driver).directive("anonymous off").start();
    let url = url(hub.addr);
    let publisher = token(PUBLISHER_KEY, &["--publish", "a", "--publish", "b c"]);
    let subscriber = token(SUBSCRIBER_KEY, &["--subscribe", "*"]);
    let publish = |args: &[&str]| {
        let all = [&["publish", "--url", &url][..], args].concat();
        petasos(&all).env("PETASOS_TOKEN", &publisher)
    };
    let id = publish(&["a", "--data", "1"]).run().ok();
    assert!(id.starts_with("urn:uuid:") && id.ends_with('\n'), "{id:?}");
    // From standard input, less its last line end.
    publish(&["a", "b c"]).run_with_input("2\nlines\n").ok();
    let full = ["a", "--data=3", "--private", "--id=own", "--type=t", "--retry=10"];
    assert_eq!(publish(&full).run().ok(), "own\n");
    let subscribe = |args: &[&str]| {
        let all = [&["subscribe", "--url", &url, "--last-event-id", "earliest"][..], args].concat();
        petasos(&all).env("PETASOS_TOKEN", &subscriber).run().ok()
    };
    assert_eq!(subscribe(&["a", "--count", "3"]), "1\n2\nlines\n3\n");
    assert_eq!(subscribe(&["b c", "x", "--count", "1"]), "2\nlines\n");
    let json = subscribe(&["*", "--json", "--count", "3"]);
    let events: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = serde_json::json!({"id": "own", "type": "t", "data": "3"});
    assert_eq!(events[2], expected);
    assert_eq!(events[0]["id"], id.trim_end());
    assert_eq!(events[0]["type"], "message");
    // A token from a file or from standard input.
    let directory = Directory::new(&format!("token-{}", driver.name()));
    let file = format!("@{}", directory.file("token", &format!("{publisher}\n")));
    petasos(&["publish", "a", "--data", "x", "--url", &url, "--token", &file]).run().ok();
    petasos(&["publish", "a", "--data", "x", "--url", &url, "--token", "@-"])
        .run_with_input(&publisher)
        .ok();
}

fn tokens_say_what_was_asked_for(driver: Driver) {
    let hub = Setup::new(driver).start();
    let directory = Directory::new(&format!("key-{}", driver.name()));
    let file = format!("@{}", directory.file("key", &format!("{PUBLISHER_KEY}\n")));
    let base = ["token", "--iss", ISSUER, "--aud", AUDIENCE, "--publish", "a"];
    for (args, input, status) in [
        (&["--key", PUBLISHER_KEY][..], "", 200),
        (&["--key", &file], "", 200),
        (&["--key", "@-"], PUBLISHER_KEY, 200),
        (&["--key", PUBLISHER_KEY, "--ttl", "0"], "", 401),
        (&["--key", PUBLISHER_KEY, "--alg", "HS512"], "", 401),
        (&["--key", SUBSCRIBER_KEY], "", 401),
        (&["--key", PUBLISHER_KEY, "--ttl", "10m", "--sub", "me"], "", 200),
    ] {
        let token = petasos(&[&base[..], args].concat()).run_with_input(input).ok();
        let sent = crate::common::client::publication(token.trim_end(), &[("topic", "a")]);
        assert_eq!(request(hub.addr, &sent).status, status, "{args:?}");
    }
}

fn tokens_of_0_x_are_made_too(driver: Driver) {
    let keys_only = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_ALLOW_ANONYMOUS", "1");
    let hub = keys_only.start();
    let args = ["token", "--key", PUBLISHER_KEY, "--legacy", "--publish", "/b/{id}", "c"];
    let token = petasos(&args).run().ok();
    for (topic, status) in [("/b/1", 200), ("c", 200), ("/x/1", 403)] {
        let sent = crate::common::client::publication(token.trim_end(), &[("topic", topic)]);
        assert_eq!(request(hub.addr, &sent).status, status, "{topic}");
    }
    // Not for those who want today's.
    let strict = Setup::new(driver).start();
    let sent = crate::common::client::publication(token.trim_end(), &[("topic", "c")]);
    assert_eq!(request(strict.addr, &sent).status, 401);
    let both = petasos(&["token", "--key", "k", "--legacy", "--publish-urlpattern", "/x"]).run();
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
}

fn patterns_grant_and_select(driver: Driver) {
    let hub = Setup::new(driver).start();
    let url = url(hub.addr);
    let publisher =
        ["--publish", "https://e/own", "--publish-urlpattern", "https://e/:kind/:id", "/x/*"];
    let publisher = token(PUBLISHER_KEY, &publisher);
    let publish = |topic: &str| {
        let args = ["publish", topic, "--private", "--data", topic, "--url", &url];
        petasos(&args).env("PETASOS_TOKEN", &publisher).run()
    };
    for refused in ["https://e/a", "https://e/a/b/c", "https://e/:kind/:id/", "/y/1"] {
        assert!(told(&publish(refused))[0].contains("403"), "{refused}");
    }
    let topics = ["https://e/own", "https://e/books/1", "https://e/books/2", "/x/1", "/x/1/2"];
    for topic in topics {
        publish(topic).ok();
    }
    let received = |granted: &[&str], subscribed: &[&str], count: &str| {
        let token = token(SUBSCRIBER_KEY, granted);
        let args = ["subscribe", "--url", &url, "--last-event-id", "earliest", "--count", count];
        petasos(&[&args, subscribed].concat()).env("PETASOS_TOKEN", &token).run().ok()
    };
    // The matchers of both kinds, and both of one.
    let all = ["--subscribe", "*"];
    let books = "https://e/books/:id";
    let of = |indices: &[usize]| indices.iter().map(|i| topics[*i].to_owned() + "\n").collect();
    let expected: [String; 3] = [of(&[1, 2]), of(&[0, 1, 2]), of(&[1, 2, 3, 4])];
    assert_eq!(received(&all, &["--urlpattern", books], "2"), expected[0]);
    assert_eq!(received(&all, &["https://e/own", "--urlpattern", books], "3"), expected[1]);
    let both = ["--urlpattern", books, "--urlpattern", "/x/*"];
    assert_eq!(received(&all, &both, "4"), expected[2]);
    // The same by what the token allows.
    let pattern = "--subscribe-urlpattern";
    assert_eq!(received(&[pattern, books], &["*"], "2"), expected[0]);
    let both = ["--subscribe", "https://e/own", pattern, books];
    assert_eq!(received(&both, &["*"], "3"), expected[1]);
    assert_eq!(received(&[pattern, books, pattern, "/x/*"], &["*"], "4"), expected[2]);
    assert_eq!(received(&[pattern, "*"], &["--urlpattern", "*"], "5"), of(&[0, 1, 2, 3, 4]));
}

fn subscribe_comes_back_where_it_was(driver: Driver) {
    let hub = Setup::new(driver).directive("write_timeout 500ms").start();
    let url = url(hub.addr);
    let mut setup = petasos(&["subscribe", "a", "--url", &url, "--count", "40"]);
    let mut child = Running::start(setup.command().stdout(Stdio::piped()).stderr(Stdio::piped()));
    let publisher = tokens::publisher(&["*"]);
    // From the first one that it sees on, none is missing.
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let addr = hub.addr;
    let publishing = std::thread::spawn(move || {
        for number in 0..300 {
            let data = number.to_string();
            publish(addr, &publisher, &[("topic", "a"), ("data", &data), ("retry", "50")]);
            std::thread::sleep(Duration::from_millis(30));
            if number > 80 {
                break;
            }
        }
    });
    let first: u32 = lines.next().unwrap().parse().unwrap();
    for expected in first + 1..first + 40 {
        assert_eq!(lines.next().unwrap(), expected.to_string());
    }
    assert!(child.0.wait().unwrap().success());
    publishing.join().unwrap();
}

fn commands_explain_refusals(driver: Driver) {
    let hub = Setup::new(driver).directive("anonymous off").start();
    let url = url(hub.addr);
    let publisher = token(PUBLISHER_KEY, &["--publish", "a"]);
    let elsewhere = url.replace("mercure", "nothing");
    for (args, token, expected) in [
        (&["publish", "a", "--data=x"][..], "", &["401", "--token"][..]),
        (&["publish", "a", "--data=x"], "a.b.c", &["401 invalid_token", "log"]),
        (&["publish", "a", "--data=x"], "x", &["400", ""]),
        (&["publish", "b", "--data=x"], &publisher, &["403 insufficient_scope", "--publish"]),
        (&["publish", "*", "--data=x"], &publisher, &["400"]),
        (&["publish", "a", "--data=x", "--id=earliest"], &publisher, &["400"]),
        (&["publish", "a", "--data=x"], "a b", &["token", "Bearer"]),
        (&["subscribe", "a"], "", &["401", "--token"]),
        (&["subscribe", "a"], &publisher, &["401 invalid_token", "log"]),
    ] {
        let args = [args, &["--url", &url]].concat();
        let output = petasos(&args).env("PETASOS_TOKEN", token).run();
        let told = told(&output);
        let whole = told.join("\n");
        assert!(expected.iter().all(|text| whole.contains(text)), "{args:?} {whole}");
        assert!(told.len() <= 2, "{whole}");
        assert!(!whole.contains("eyJ"), "no token is shown: {whole}");
    }
    let at = |url: &str| petasos(&["publish", "a", "--data=x", "--url", url]).run();
    assert!(told(&at(&elsewhere))[0].contains("404"), "another path");
    assert!(told(&at("http://127.0.0.1:1/x"))[0].contains("no answer"), "nobody there");
    assert!(told(&at("hub.example"))[0].contains("not an http"), "no URL");
    let page = petasos(&["subscribe", "a", "--url", &format!("http://{}/", hub.addr)]).run();
    assert!(told(&page)[0].contains("text/html"), "{page:?}");
}

fn a_second_hub_on_the_same_port_says_so(driver: Driver) {
    let hub = Setup::new(driver).start();
    let start = Instant::now();
    let second = Setup::new(driver).env("ADDR", &hub.addr.to_string()).run();
    assert_eq!(second.code, Some(1), "{second:?}");
    let lines: Vec<_> =
        second.stderr.lines().filter(|line| line.starts_with("petasos: ")).collect();
    assert_eq!(lines.len(), 1, "{second:?}");
    assert!(lines[0].contains(&hub.addr.to_string()), "{second:?}");
    assert!(lines[0].contains("--listen"), "{second:?}");
    assert!(!second.stderr.contains("panicked"), "{second:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    // The first one goes on.
    let mut stream = Stream::open(hub.addr, "match=a", "");
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
}

fn signals_end_the_hub(driver: Driver) {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut hub = Setup::new(driver).directive("grace_period 100ms").start();
        let mut stream = Stream::open(hub.addr, "match=a", "");
        hub.signal(signal);
        assert!(stream.end().1, "cut off");
        assert_eq!(hub.wait().code(), Some(0));
    }
}

#[test]
fn help_and_version_are_printed() {
    for (args, expected) in [
        (&["--help"][..], "Commands:"),
        (&["-h"], "Commands:"),
        (&["help"], "Commands:"),
        (&["--version"], "petasos 0."),
        (&["-V"], "petasos 0."),
        (&["serve", "--help"], "--write-timeout"),
        (&["run", "--help"], "--adapter"),
        (&["check", "--help"], "--config"),
        (&["token", "--help"], "--subscribe-urlpattern"),
        (&["publish", "--help"], "--data"),
        (&["subscribe", "--help"], "--last-event-id"),
        (&["subscribe", "--help"], "--urlpattern"),
        (&["help", "token"], "--subscribe"),
    ] {
        let output = petasos(args).run();
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(output.stdout.contains(expected), "{args:?} {output:?}");
        assert!(output.stdout.lines().all(|line| line.chars().count() <= 100), "{args:?}");
    }
    let version = petasos(&["--version"]).run().ok();
    assert_eq!(version.lines().count(), 1);
}

#[test]
fn mistyped_commands_are_explained() {
    for args in [
        &["sreve"][..],
        &["--heartbeet", "5s"],
        &["publish"],
        &["subscribe"],
        &["token", "--ky", "x"],
        &["subscribe", "a", "--count", "0"],
        &["subscribe", "a", "--count", "x"],
        &["publish", "a", "--retry", "-1"],
        &["--dev", "check"],
    ] {
        let output = petasos(args).run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{args:?} {output:?}");
        assert!(output.stderr.starts_with("error: "), "{args:?} {output:?}");
    }
    for (args, expected) in [
        (&["token"][..], "no key"),
        (&["token", "--key", "x", "--ttl", "1x"], "--ttl"),
        (&["token", "--key", "x", "--alg", "RS256"], "PEM"),
        (&["token", "--key", "x", "--alg", "none"], "--alg"),
        (&["token", "--key", "@/nonexistent"], "/nonexistent"),
        (&["token", "--key", "x", "--payload", "{"], "--payload"),
        (&["token", "--key", "x", "--payload", "[]", "--subscribe", "*"], "--payload"),
        (&["token", "--key", "x", "--payload", "{}"], "--payload"),
        (&["publish", "a", "--data", "x", "--token", "@/nonexistent"], "/nonexistent"),
        (&["--config", "/nonexistent"], "/nonexistent"),
        (&["check", "--config", "/nonexistent"], "/nonexistent"),
    ] {
        let output = petasos(args).run();
        let told = told(&output);
        assert!(told.len() == 1 && told[0].contains(expected), "{args:?} {told:?}");
    }
}

#[test]
fn what_no_hub_would_take_is_refused_before_anything_is_signed_or_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = url(listener.local_addr().unwrap());
    let token = ["token", "--key", PUBLISHER_KEY];
    let subscribe = ["subscribe", "--url", &url];
    for (command, args, expected) in [
        (&token[..], &["--publish", ""][..], "--publish: it is empty"),
        (&token, &["--publish", "a", "b\u{200b}"], "--publish: `b\\u{200b}` contains U+200B"),
        (&token, &["--publish-urlpattern", "/:a/:a"], "--publish-urlpattern: `/:a/:a` is no URL"),
        (&token, &["--subscribe", "a\n"], "--subscribe: `a\\u{a}` contains U+000A"),
        (&token, &["--subscribe-urlpattern", "/a/:1"], "--subscribe-urlpattern: `/a/:1` is no URL"),
        (&token, &["--subscribe-urlpattern", "/a", "/("], "--subscribe-urlpattern: `/(` is no URL"),
        (
            &token,
            &["--subscribe-urlpattern", "/([z-a])"],
            "--subscribe-urlpattern: `/([z-a])` has a",
        ),
        (&subscribe, &[""], "TOPIC: it is empty"),
        (&subscribe, &["a", "\u{ad}"], "TOPIC: `\\u{ad}` contains U+00AD"),
        (&subscribe, &["--urlpattern", ""], "--urlpattern: it is empty"),
        (&subscribe, &["a", "--urlpattern", "/{b"], "--urlpattern: `/{b` is no URL pattern"),
        (&subscribe, &["--urlpattern", &":a".repeat(60)], "--urlpattern: `:a:a"),
    ] {
        let output = petasos(&[command, args].concat()).run();
        let told = told(&output);
        assert!(told[0].starts_with(expected), "{args:?} {told:?}");
        // What is no pattern mostly has a character that was meant as it stands.
        let helps = told.get(1).is_some_and(|line| line.contains("`:name` is one segment"));
        assert_eq!(helps, expected.contains("is no URL"), "{args:?} {told:?}");
    }
    let nobody_came = listener.accept().unwrap_err();
    assert_eq!(nobody_came.kind(), std::io::ErrorKind::WouldBlock);
    for args in [&["subscribe", "--urlpattern"][..], &["token", "--publish-urlpattern"]] {
        assert_eq!(petasos(args).run().code, Some(2), "{args:?}");
    }
}

/// `petasos … | head -1`
#[test]
fn a_closed_output_is_no_mistake() {
    for args in [&["serve", "--help"][..], &["check", "--dev"], &["token", "--key", "x"]] {
        let mut setup = petasos(args);
        let command = setup.command().stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            !stderr.contains("panicked") && !stderr.contains("roken pipe"),
            "{args:?} {stderr}"
        );
        assert_eq!(output.status.code(), Some(0), "{args:?} {stderr}");
    }
    // One that runs for long ends when nobody reads any more.
    let hub = Setup::new(Driver::Epoll).start();
    let mut setup = petasos(&["subscribe", "a", "--url", &url(hub.addr)]);
    let command = setup.command().stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command);
    drop(child.0.stdout.take());
    let until = Instant::now() + Duration::from_secs(10);
    let status = loop {
        publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
        if let Some(status) = child.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it goes on for nobody");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut stderr = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    // A hub whose banner nobody reads runs on.
    let address = format!("127.0.0.1:{}", free_port());
    let mut setup = petasos(&["--dev", "--listen", &address]);
    let mut child = Running::start(setup.command().stdout(Stdio::piped()).stderr(Stdio::null()));
    drop(child.0.stdout.take());
    let until = Instant::now() + Duration::from_secs(10);
    let mut answered = false;
    while !answered && Instant::now() < until {
        let Ok(mut stream) = std::net::TcpStream::connect(&address) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        answered = stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK");
    }
    assert!(answered && child.0.try_wait().unwrap().is_none());
}
