//! A real browser: its `EventSource` and `fetch`, on a page of another origin.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use crate::{
    common::{
        client::publish,
        hub::{Driver, Hub, PATIENCE, Setup},
        tokens,
        tools::{Directory, Running, has_tools},
    },
    on_both_drivers,
};

on_both_drivers!(a_page_is_kept_up_to_date_however_often_it_is_cut);

/// A web site with one page, to which the page reports.
struct Site {
    origin: String,
    reports: Receiver<String>,
    /// Of the kinds that nobody has asked for yet.
    waiting: VecDeque<String>,
}

impl Site {
    fn new(page: impl FnOnce(&str) -> (String, Hub)) -> (Self, Hub) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (page, hub) = page(&origin);
        let (report, reports) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Browsers open connections that they do not use at once.
                let (page, report) = (page.clone(), report.clone());
                thread::spawn(move || serve(stream, &page, &report));
            }
        });
        (Site { origin, reports, waiting: VecDeque::new() }, hub)
    }

    /// The next report that begins with `kind`, without it.
    fn next(&mut self, kind: &str) -> String {
        let of_kind = |report: &String| report.starts_with(kind);
        if let Some(index) = self.waiting.iter().position(of_kind) {
            return self.waiting.remove(index).unwrap()[kind.len()..].to_owned();
        }
        loop {
            let report = self.reports.recv_timeout(PATIENCE);
            let report = report.unwrap_or_else(|_| panic!("no `{kind}` in {:?}", self.waiting));
            match report.strip_prefix(kind) {
                Some(rest) => return rest.to_owned(),
                None => self.waiting.push_back(report),
            }
        }
    }
}

/// One request: the page, or a report.
fn serve(mut stream: TcpStream, page: &str, report: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut len) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let is_report = line.starts_with("POST /report ");
    let is_page = line.starts_with("GET / ");
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    if is_report {
        report.send(String::from_utf8(body).ok()?).ok()?;
    }
    let (status, body) = if is_page { ("200 OK", page) } else { ("204 No Content", "") };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).ok()
}

const PAGE: &str = r#"<!doctype html><title>test</title><script>
let queue = Promise.resolve();
const report = text => queue = queue.then(() => fetch("/report", { method: "POST", body: text }));
const hub = "HUB", other = "OTHER", token = "TOKEN";

const url = new URL(hub);
url.searchParams.append("match", "https://e.example/bücher/1?a=b c");
url.searchParams.append("match", "second");
const source = new EventSource(url, { withCredentials: true });
source.onopen = () => report("open ");
source.onmessage = event => report(`message ${event.lastEventId} ${event.data}`);
source.addEventListener("special", event => report(`special ${JSON.stringify(event.data)}`));
source.onerror = () => report(`error ${source.readyState}`);

const denied = new EventSource(other + "?match=a");
denied.onopen = () => report("denied opened");
denied.onerror = () => report(`denied ${denied.readyState}`);

(async () => {
    const body = new URLSearchParams({ topic: "from the page", data: "x" });
    const publish = authorization =>
        fetch(hub, { method: "POST", body, headers: { authorization } });
    const answer = await publish("Bearer " + token);
    report(`published ${answer.status} ${await answer.text()}`);
    const refused = await publish("Bearer a.b.c");
    report(`refused ${refused.status} ${refused.headers.get("WWW-Authenticate")}`);
    const stream = await fetch(hub + "?match=a&last_event_id=unknown");
    report(`cursor ${stream.headers.get("Mercure-Last-Event-ID")}`);
    stream.body.cancel();
})().catch(error => report(`failed ${error}`));
</script>"#;

fn chromium(driver: Driver, url: &str) -> (Running, Directory) {
    let directory = Directory::new(&format!("browser-{}", driver.name()));
    let running = Running::start(
        Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", directory.0.display()))
            // Keeps a headless browser from ending once the page is loaded.
            .arg("--remote-debugging-port=0")
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    (running, directory)
}

fn a_page_is_kept_up_to_date_however_often_it_is_cut(driver: Driver) {
    if !has_tools(&["chromium"]) {
        return;
    }
    let other = Setup::new(driver).directive("cors_origins https://elsewhere.example").start();
    let (mut site, hub) = Site::new(|origin| {
        let hub = Setup::new(driver)
            .directive(&format!("cors_origins {origin}"))
            .directive("write_timeout 1s")
            .start();
        let page = PAGE
            .replace("HUB", &format!("http://{}/.well-known/mercure", hub.addr))
            .replace("OTHER", &format!("http://{}/.well-known/mercure", other.addr))
            .replace("TOKEN", &tokens::publisher(&["from the page"]));
        (page, hub)
    });
    let _browser = chromium(driver, &site.origin);

    site.next("open ");
    assert_eq!(site.next("denied "), "2", "closed for good");
    let published = site.next("published ");
    assert!(published.starts_with("200 urn:uuid:"), "{published}");
    assert!(site.next("refused ").starts_with("401 Bearer error=\"invalid_token\", resource"));
    assert_eq!(site.next("cursor "), "earliest");

    let publisher = tokens::publisher(&["*"]);
    // The first one tells the browser not to wait long between connections.
    let count = 120;
    let ids: Vec<String> = (0..count)
        .map(|number| {
            let data = number.to_string();
            let topic =
                if number % 3 == 0 { "second" } else { "https://e.example/b\u{fc}cher/1?a=b c" };
            let mut fields = vec![("topic", topic), ("data", &*data)];
            if number % 10 == 0 {
                fields.push(("retry", "100"));
            }
            thread::sleep(Duration::from_millis(30));
            publish(hub.addr, &publisher, &fields)
        })
        .collect();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(site.next("message "), format!("{id} {number}"));
    }
    let special = [("topic", "second"), ("type", "special"), ("data", "two\r\nlines \u{1f600}")];
    publish(hub.addr, &publisher, &special);
    assert_eq!(site.next("special "), "\"two\\nlines \u{1f600}\"");
    let again = site.waiting.iter().filter(|report| report.starts_with("open ")).count();
    assert!(again >= 3, "it was cut {again} times");
    let failures: Vec<_> =
        site.waiting.iter().filter(|report| !report.starts_with("open ")).collect();
    // `0`: connecting again.
    assert!(failures.iter().all(|report| *report == "error 0"), "{failures:?}");
}
