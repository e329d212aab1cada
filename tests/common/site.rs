//! A web site whose pages run in a browser, and report what happens in them.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Instant,
};

use super::{
    hub::PATIENCE,
    tools::{Directory, Running},
};

/// A place for pages, which answers nothing before `serve` says with what.
pub(crate) struct Site {
    /// By its address; `localhost` is another name for it.
    pub(crate) origin: String,
    listener: TcpListener,
}

/// What a site answers to a path: more lines of the head, each with its CRLF, and the page.
pub(crate) type Page = (String, String);

/// What pages report by `POST /report`.
pub(crate) struct Reports {
    received: Receiver<String>,
    /// Of the kinds that nobody has asked for yet.
    pub(crate) waiting: VecDeque<String>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Site { origin: format!("http://{}", listener.local_addr().unwrap()), listener }
    }

    pub(crate) fn serve(
        self,
        page: impl Fn(&str) -> Option<Page> + Send + Sync + 'static,
    ) -> Reports {
        let (report, received) = mpsc::channel();
        let page = Arc::new(page);
        thread::spawn(move || {
            for stream in self.listener.incoming().map_while(Result::ok) {
                // Browsers open connections that they do not use at once.
                let (page, report) = (Arc::clone(&page), report.clone());
                thread::spawn(move || answer(stream, &*page, &report));
            }
        });
        Reports { received, waiting: VecDeque::new() }
    }
}

impl Reports {
    /// The next report that begins with `kind`, without it.
    pub(crate) fn next(&mut self, kind: &str) -> String {
        let of_kind = |report: &String| report.starts_with(kind);
        if let Some(index) = self.waiting.iter().position(of_kind) {
            return self.waiting.remove(index).unwrap()[kind.len()..].to_owned();
        }
        // Pages that report other things all the time are not waited for any longer.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let report = self.received.recv_timeout(left);
            let report = report.unwrap_or_else(|_| panic!("no `{kind}` in {:?}", self.waiting));
            match report.strip_prefix(kind) {
                Some(rest) => return rest.to_owned(),
                None => self.waiting.push_back(report),
            }
        }
    }
}

/// One request: a page, or a report.
fn answer(
    mut stream: TcpStream,
    page: &(impl Fn(&str) -> Option<Page> + ?Sized),
    report: &Sender<String>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut len) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let (status, (fields, body)) = match target.as_str() {
        "/report" => {
            report.send(String::from_utf8(body).ok()?).ok()?;
            ("200 OK", Page::default())
        }
        path => page(path).map_or(("404 Not Found", Page::default()), |page| ("200 OK", page)),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         {fields}Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).ok()
}

/// Opens a URL in Chromium, with a profile of its own.
pub(crate) fn chromium(name: &str, url: &str) -> (Running, Directory) {
    let directory = Directory::new(&format!("browser-{name}"));
    // Some builds never send cookies to other sites unless they are told to.
    std::fs::create_dir(directory.0.join("Default")).unwrap();
    directory.file("Default/Preferences", r#"{"profile":{"cookie_controls_mode":0}}"#);
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
