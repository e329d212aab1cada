//! `curl`, as people use it.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    common::{
        client::try_publish,
        hub::{Driver, Output, Setup},
        tokens,
        tools::{Running, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(curl_subscribes, curl_publishes);

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
                .arg(format!("http://{}/.well-known/mercure", hub.addr))
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
    let mut stream = crate::common::client::Stream::open(hub.addr, "match=a", "");
    let url = format!("http://{}/.well-known/mercure", hub.addr);
    let token = tokens::publisher(&["a"]);
    let directory = crate::common::tools::Directory::new(&format!("curl-{}", driver.name()));
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
