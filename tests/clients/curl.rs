//! `curl`, as people use it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{ANY_IDS, Arguments, Journey, MATCHERS, arguments, full_hub, refusals, token};
use crate::{
    common::{
        client::{Stream, try_publish},
        hub::{Driver, Output, PATIENCE, Setup},
        sse::next_block,
        tokens,
        tools::{Directory, Running, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(it_loses_nothing, curl_subscribes, curl_publishes);

/// `curl` with the matchers in the query, and the token and a last event id as fields.
fn subscription(arguments: &Arguments, last_event_id: Option<&str>) -> Command {
    let [url, token, matchers @ ..] = &arguments[..] else { panic!("{arguments:?}") };
    let mut command = Command::new("curl");
    command.args(["-sSNG", "--fail", url]);
    command.args(matchers.iter().flat_map(|matcher| ["--data-urlencode", matcher]));
    if !token.is_empty() {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    last_event_id.map(|id| command.args(["-H", &format!("Last-Event-ID: {id}")]));
    command
}

/// Reads from one `curl` after the other, each behind the last whole event, as a script does.
fn follow(arguments: Arguments) -> Receiver<Value> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut last_event_id, mut buffer) = (None::<String>, [0; 4096]);
        loop {
            let mut command = subscription(&arguments, last_event_id.as_deref());
            let mut curl = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
            let mut output = curl.0.stdout.take().expect("piped");
            let mut received = Vec::new();
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                if received.is_empty() && last_event_id.is_none() {
                    let _ = tell.send(json!(["open"]));
                }
                received.extend_from_slice(&buffer[..len]);
                while let Some((block, len)) = next_block(&received) {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let id = block.id.map(text);
                    let event_type = block.event.map_or("message".to_owned(), text);
                    let data = block.data.as_deref().map(text);
                    let _ = tell.send(json!(["event", id, event_type, data]));
                    last_event_id = id;
                    received.drain(..len);
                }
            }
            let code = curl.0.wait().unwrap().code();
            if tell.send(json!(["cut", code])).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    told
}

fn it_loses_nothing(driver: Driver) {
    /// What `curl` says of a body that ends too early, and of a connection that does.
    const CUT: [i64; 2] = [18, 56];
    const CUTS: usize = 14;
    if !has_tools(&["curl"]) {
        return;
    }
    let journey = Journey::new(Setup::new(driver), CUTS);
    let told = follow(arguments(&journey.proxy.url, &token(), &MATCHERS));
    journey.loses_nothing(ANY_IDS, || {
        let told = told.recv_timeout(PATIENCE).expect("it goes on");
        if told[0] == "cut" {
            assert!(told[1].as_i64().is_some_and(|code| CUT.contains(&code)), "{told}");
        }
        told
    });
}

/// With `--fail`, and with the status for those who ask.
#[test]
fn it_says_that_it_is_refused() {
    /// What `curl` says of a status of 400 and more.
    const RETURNED_ERROR: i32 = 22;
    if !has_tools(&["curl"]) {
        return;
    }
    let status = |arguments: &Arguments| {
        let output = subscription(arguments, None).args(["-w", "%{http_code}"]).output().unwrap();
        let output = Output::of(output);
        (output.code, output.stdout)
    };
    let hub = Setup::new(Driver::IoUring).directive("anonymous off").start();
    for (expected, arguments) in refusals(&hub) {
        let answer = status(&arguments);
        assert_eq!(answer, (Some(RETURNED_ERROR), expected.to_string()), "{arguments:?}");
    }
    let (hub, _filling) = full_hub("reject", "");
    let answer = status(&arguments(&hub.url(), "", &["match=a"]));
    assert_eq!(answer, (Some(RETURNED_ERROR), "429".to_owned()));
    // A stream, which ends as it should.
    let (hub, _filling) = full_hub("retry", "");
    let (code, output) = status(&arguments(&hub.url(), "", &["match=a"]));
    assert!(code == Some(0) && output.contains("\nretry: ") && output.ends_with("200"), "{output}");
}

fn curl_subscribes(driver: Driver) {
    if !has_tools(&["curl"]) {
        return;
    }
    let hub = Setup::new(driver).start();
    for version in ["--http1.1", "--http1.0", "--http2"] {
        let mut curl = Running::start(
            Command::new("curl")
                .args([
                    "-sNG",
                    "--no-buffer",
                    version,
                    "--data-urlencode",
                    "match=https://e.example/a b",
                ])
                .arg(hub.url())
                .stdout(Stdio::piped()),
        );
        let mut lines = BufReader::new(curl.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        // The subscription is live from the first byte on.
        assert_eq!(lines.next().unwrap(), ":");
        for data in ["1", "2"] {
            let form = format!("topic=https://e.example/a+b&id={data}&data={data}%0Ax");
            assert_eq!(try_publish(hub.addr, &form).status, 200);
            let expected =
                [format!("data: {data}"), "data: x".into(), format!("id: {data}"), "".into()];
            assert_eq!(lines.by_ref().take(4).collect::<Vec<_>>(), expected, "{version}");
        }
    }
}

fn curl_publishes(driver: Driver) {
    if !has_tools(&["curl"]) {
        return;
    }
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let url = hub.url();
    let token = tokens::publisher(&["a"]);
    let directory = Directory::new(&format!("curl-{}", driver.name()));
    let curl = |token: &str, args: &[&str]| {
        let output = Command::new("curl")
            .args(["-s", "-w", " %{http_code}", "-H", &format!("Authorization: Bearer {token}")])
            .args(args)
            .arg(&url)
            .output()
            .unwrap();
        Output::of(output).ok()
    };
    let id = curl(&token, &["-d", "topic=a", "-d", "data=x"]);
    let event = stream.next().unwrap();
    assert_eq!((format!("{} 200", event.id), event.data.as_str()), (id, "x"));
    // Bodies that curl asks to be allowed for, and ones without a known length.
    let large = "y".repeat(1_000_000);
    let file = directory.file("large", &large);
    for more in [&[][..], &["-H", "Expect: 100-continue"], &["-H", "Transfer-Encoding: chunked"]] {
        let data = format!("data@{file}");
        let args = [&["-d", "topic=a", "-d", "id=i", "--data-urlencode", &data][..], more].concat();
        assert_eq!(curl(&token, &args), "i 200");
        assert_eq!(stream.next().unwrap().data, large);
    }
    // Refusals are read, however much curl still wants to send.
    let huge = directory.file("huge", &"z".repeat(20_000_000));
    for more in [
        &[][..],
        &["-H", "Expect:"],
        &["-H", "Expect: 100-continue"],
        &["-H", "Transfer-Encoding: chunked", "-H", "Expect:"],
    ] {
        let data = format!("data@{huge}");
        let args = [&["-d", "topic=a", "--data-urlencode", &data][..], more].concat();
        for (token, status) in [(token.as_str(), "413"), ("a.b.c", "401")] {
            let answer = curl(token, &args);
            assert!(answer.ends_with(status), "{more:?} {answer}");
        }
    }
    assert!(curl("x", &["-d", "topic=a"]).ends_with("400"));
    assert!(curl(&token, &["-d", "topic=b"]).ends_with("403"));
    assert!(curl(&token, &["-F", "topic=a"]).ends_with("415"));
    assert!(curl(&token, &["-X", "DELETE"]).ends_with("405"));
}
