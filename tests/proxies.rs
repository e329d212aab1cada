//! The configurations of `deploy/proxies`, run by the proxies that they are for: what
//! docs/proxies.md promises of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use crate::{
    admin::{numbers, sum},
    common::{
        client::{Connection, encode, request},
        hub::{Driver, Hub, Output, PATIENCE, Setup},
        process::{free_addr, wait_until},
        tokens,
        tools::{CADDY, Directory, HAPROXY, NGINX, Running, has_tools},
    },
};

const NGINX_CONF: &str = include_str!("../deploy/proxies/nginx.conf");
const HAPROXY_CFG: &str = include_str!("../deploy/proxies/haproxy.cfg");
const CADDYFILE: &str = include_str!("../deploy/proxies/Caddyfile");
const INGRESS: &str = include_str!("../deploy/proxies/ingress.yaml");

/// Makes a test of each function for each proxy, by TCP and by a UNIX socket to the hub.
macro_rules! through_each {
    ($($name:ident),+ $(,)?) => {
        through_each!(@ nginx, Kind::Nginx, false, $($name),+);
        through_each!(@ nginx_by_unix, Kind::Nginx, true, $($name),+);
        through_each!(@ haproxy, Kind::Haproxy, false, $($name),+);
        through_each!(@ haproxy_by_unix, Kind::Haproxy, true, $($name),+);
        through_each!(@ caddy, Kind::Caddy, false, $($name),+);
        through_each!(@ caddy_by_unix, Kind::Caddy, true, $($name),+);
    };
    (@ $module:ident, $kind:expr, $unix:expr, $($name:ident),+) => {
        mod $module {
            use super::{Kind, Way, run};
            $(#[test] fn $name() {
                run(Way { kind: $kind, unix: $unix }, stringify!($name), super::$name);
            })+
        }
    };
}

through_each!(
    events_come_at_once_and_heartbeats_pass,
    long_urls_and_cookies_pass,
    who_comes_back_gets_what_was_missed,
    clients_are_known_and_cannot_pretend,
    who_leaves_is_gone,
    silence_is_borne_while_hearts_beat,
    tokens_stay_out_of_logs,
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

/// How a client gets to the hub.
#[derive(Debug, Clone, Copy)]
struct Way {
    kind: Kind,
    /// The proxy gets to the hub by a UNIX socket.
    unix: bool,
}

/// The name by which the world knows the hub, in the files.
const NAME: &str = "hub.example";

fn run(way: Way, test: &str, body: fn(Place)) {
    let program = match way.kind {
        Kind::Nginx => NGINX,
        Kind::Haproxy => HAPROXY,
        Kind::Caddy => CADDY,
    };
    if has_tools(&[program, "curl", "openssl"]) {
        let short: String = test.split('_').filter_map(|word| word.chars().next()).collect();
        let directory = Directory::new(&format!("{:?}{}-{short}", way.kind, u8::from(way.unix)));
        body(Place { way, directory });
    }
}

/// Where a test has its files.
struct Place {
    way: Way,
    directory: Directory,
}

impl Place {
    fn path(&self, name: &str) -> String {
        self.directory.0.join(name).to_str().unwrap().to_owned()
    }

    /// A hub for one of these proxies, which trusts it as the files say.
    fn hub(&self) -> Setup {
        let driver = if self.way.unix { Driver::Epoll } else { Driver::IoUring };
        let setup = Setup::new(driver);
        match self.way.unix {
            true => setup
                .env("ADDR", &format!("unix:{}|0666", self.path("hub.sock")))
                .directive("trusted_proxies unix"),
            false => setup.directive("trusted_proxies 127.0.0.1"),
        }
    }

    /// Starts the proxy before the hub, with `changes` of its file.
    fn front(self, hub: Hub, changes: &[(&str, &str)]) -> Front {
        let Place { way: Way { kind, unix }, .. } = self;
        let [certificate, key] = ["hub.crt", "hub.key"].map(|name| self.path(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=hub.example"])
            .args(["-addext", "subjectAltName=DNS:hub.example"])
            .args(["-out", &certificate, "-keyout", &key])
            .output();
        Output::of(made.unwrap()).ok();
        let both = [&certificate, &key].map(|path| fs::read_to_string(path).unwrap()).concat();
        let both = self.directory.file("hub.pem", &both);

        let addr = free_addr();
        let listen = |port: &str| port.replace("443", &addr.to_string());
        let (socket, log) = (self.path("hub.sock"), self.path("proxy.log"));
        let hub_addr = hub.addr.to_string();
        let own = match kind {
            Kind::Nginx => vec![
                ("listen 443", listen("listen 443")),
                ("/etc/ssl/hub.example.crt", certificate),
                ("/etc/ssl/private/hub.example.key", key),
                ("/var/log/nginx/petasos.log", log.clone()),
                ("/var/log/nginx/petasos-error.log", self.path("error.log")),
            ],
            Kind::Haproxy => vec![
                ("bind :443", listen("bind 443")),
                ("/etc/haproxy/hub.example.pem", both),
                ("log /dev/log local0", "log stdout format raw local0".to_owned()),
            ],
            Kind::Caddy => vec![
                (
                    "\n{\n",
                    format!(
                        "\n{{\n\tadmin off\n\tauto_https disable_redirects\n\thttps_port {}\n",
                        addr.port()
                    ),
                ),
                (
                    "\nhub.example {",
                    format!("\n{NAME} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}"),
                ),
                ("/var/log/caddy/petasos.log", log.clone()),
            ],
        };
        // What is said of UNIX sockets is put in the place of what is said of addresses.
        let to_hub = match (kind, unix) {
            (Kind::Nginx, true) => vec![
                ("    server 127.0.0.1:3000;", "    "),
                ("# server unix:/run/petasos/hub.sock;", "server unix:/run/petasos/hub.sock;"),
            ],
            (Kind::Haproxy, true) => vec![
                ("    server hub 127.0.0.1:3000", "    "),
                ("# server hub unix@", "server hub unix@"),
            ],
            (Kind::Caddy, true) => vec![
                ("\treverse_proxy 127.0.0.1:3000 {", "\t"),
                ("# reverse_proxy unix//", "reverse_proxy unix//"),
            ],
            (_, false) => vec![("127.0.0.1:3000", &*hub_addr)],
        };
        let mut text = match kind {
            Kind::Nginx => NGINX_CONF,
            Kind::Haproxy => HAPROXY_CFG,
            Kind::Caddy => CADDYFILE,
        }
        .to_owned();
        let own = own.iter().map(|(from, to)| (*from, to.as_str()));
        for (from, to) in own.chain(to_hub).chain(changes.iter().copied()) {
            assert!(text.contains(from), "{from} is not in the file of {kind:?}");
            text = text.replace(from, to);
        }
        let text = text.replace("/run/petasos/hub.sock", &socket);
        let file = self.directory.file("proxy.conf", &text);
        let mut command = self.command(kind, &file);
        let said = fs::File::create(self.path("said.log")).unwrap();
        command.stdout(said.try_clone().unwrap()).stderr(said);
        let proxy = Running::start(&mut command);
        wait_until("the proxy to listen", || TcpStream::connect(addr).is_ok());
        Front { place: self, hub, addr, _proxy: proxy }
    }

    /// What runs the file.
    fn command(&self, kind: Kind, file: &str) -> Command {
        match kind {
            Kind::Nginx => {
                // The file is a part of a whole.
                let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {};\n", self.path(name)))
                    .concat();
                let whole = format!(
                    "daemon off;\nworker_processes 2;\npid {};\nevents {{}}\n\
                     http {{\n{temp}include {file};\n}}\n",
                    self.path("pid")
                );
                let whole = self.directory.file("nginx.conf", &whole);
                let mut command = Command::new(NGINX);
                command.args(["-e", "stderr", "-c", &whole, "-p"]).arg(&self.directory.0);
                command
            }
            Kind::Haproxy => {
                let mut command = Command::new(HAPROXY);
                command.args(["-db", "-f", file]);
                command
            }
            Kind::Caddy => {
                let mut command = Command::new(CADDY);
                command.args(["run", "--adapter", "caddyfile", "--config", file]);
                for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(name, &self.directory.0);
                }
                command
            }
        }
    }
}

/// A hub behind a proxy.
struct Front {
    place: Place,
    hub: Hub,
    addr: SocketAddr,
    _proxy: Running,
}

impl Front {
    fn curl(&self, path: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-N", "--cacert", &self.place.path("hub.crt")])
            .args(["--connect-to", &format!("{NAME}:443:{}", self.addr)])
            .args(arguments)
            .arg(format!("https://{NAME}{path}"));
        command
    }

    /// Answer's head and body.
    fn ask(&self, path: &str, arguments: &[&str]) -> String {
        let arguments = [&["-i", "--max-time", "30"], arguments].concat();
        Output::of(self.curl(path, &arguments).output().unwrap()).ok()
    }

    fn publish(&self, arguments: &[&str]) -> String {
        let bearer = format!("Authorization: Bearer {}", tokens::publisher(&["*"]));
        let arguments = [&["-H", bearer.as_str()], arguments].concat();
        let answer = self.ask(HUB_PATH, &arguments);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200"), "{answer}");
        body.to_owned()
    }

    fn subscribe(&self, query: &str, arguments: &[&str]) -> Events {
        let mut command = self.curl(&format!("{HUB_PATH}?{query}"), arguments);
        let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let output = BufReader::new(running.0.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let events = Events { lines, _running: running };
        // The first comment: from here on everything comes.
        events.wait_for(":");
        events
    }

    fn subscribers(&self) -> f64 {
        sum(&numbers(&self.hub), "mercure_subscribers_connected")
    }
}

const HUB_PATH: &str = "/.well-known/mercure";

/// What a client receives.
struct Events {
    lines: Receiver<String>,
    _running: Running,
}

impl Events {
    /// The next line; `None` at the end.
    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing comes, nor the end"),
        }
    }

    fn wait_for(&self, line: &str) {
        while self.line().expect("the stream goes on") != line {}
    }

    /// The data of the next event.
    fn data(&self) -> String {
        loop {
            let line = self.line().expect("the stream goes on");
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }
}

fn events_come_at_once_and_heartbeats_pass(place: Place) {
    let hub = place.hub().directive("heartbeat 1s").start();
    let front = place.front(hub, &[]);
    let streams = ["--http1.1", "--http2"].map(|version| front.subscribe("match=a", &[version]));
    // Each is waited for before there is another one that could push it out of a buffer.
    for number in 0..5 {
        let version = if number % 2 == 0 { "--http1.1" } else { "--http2" };
        front.publish(&[version, "-d", "topic=a", "-d", &format!("data={number}")]);
        for stream in &streams {
            assert_eq!(stream.data(), number.to_string());
        }
    }
    for stream in &streams {
        stream.wait_for(":");
    }
    // As much as the hub takes.
    let data = "x".repeat(1_000_000);
    let file = front.place.directory.file("data", &data);
    front.publish(&["-d", "topic=a", "--data-urlencode", &format!("data@{file}")]);
    for stream in &streams {
        assert!(stream.data() == data);
    }
}

fn long_urls_and_cookies_pass(place: Place) {
    let hub = place.hub().start();
    let front = place.front(hub, &[]);
    let topics: Vec<_> = (0..1000).map(|it| format!("https://example.com/books/{it:06}")).collect();
    let query: Vec<_> = topics.iter().map(|topic| format!("match={}", encode(topic))).collect();
    let query = query.join("&");
    let long = query.clone() + &"&x=".repeat(4000);
    assert!(long.len() > 60_000);
    let token = tokens::subscriber(&["*"]);
    let pad = "x".repeat(4000);
    let cookie = format!("Cookie: pad={pad}; __Secure-mercure_access_token={token}");
    // More than 64 KB in all are too much for curl, by HTTP/2.
    for (version, query) in [("--http1.1", &long), ("--http2", &query)] {
        let stream = front.subscribe(query, &[version, "-H", &cookie]);
        let topic = format!("topic={}", topics[999]);
        front.publish(&["-d", &topic, "-d", "data=secret", "-d", "private=on"]);
        assert_eq!(stream.data(), "secret");
    }
    // A page of the hub's own origin publishes with a cookie; one that came by plain http is none.
    let token = tokens::publisher(&["*"]);
    let cookie = format!("Cookie: pad={pad}; __Secure-mercure_access_token={token}");
    for (origin, status) in [("https://hub.example", " 200"), ("http://hub.example", " 400")] {
        let origin = format!("Origin: {origin}");
        let answer = front.ask(HUB_PATH, &["-H", &origin, "-H", &cookie, "-d", "topic=a"]);
        assert!(answer.lines().next().unwrap().contains(status), "{answer}");
    }
}

fn who_comes_back_gets_what_was_missed(place: Place) {
    let hub = place.hub().start();
    let front = place.front(hub, &[]);
    let publish = |data: &str| front.publish(&["-d", "topic=a", "-d", &format!("data={data}")]);
    let first = publish("1");
    publish("2");
    let field = format!("Last-Event-ID: {first}");
    let stream = front.subscribe("match=a", &["-i", "-H", &field]);
    assert_eq!(stream.data(), "2");
    publish("3");
    assert_eq!(stream.data(), "3");
}

fn clients_are_known_and_cannot_pretend(place: Place) {
    let hub = place.hub().directive("max_connections_per_ip 2").start();
    let front = place.front(hub, &[]);
    let mut number = 0;
    let mut join = |from: &str| {
        number += 1;
        let fields = [
            format!("X-Forwarded-For: 198.51.100.{number}"),
            format!("Forwarded: for=198.51.100.{number};host=evil.example;proto=http"),
        ];
        let arguments = ["--interface", from, "-H", &fields[0], "-H", &fields[1]];
        let stream = front.subscribe("match=a", &arguments);
        // Who is sent away is told when to come back, and that is the end.
        front.publish(&["-d", "topic=a", "-d", "data=x"]);
        loop {
            match stream.line() {
                Some(line) if line == "data: x" => return Some(stream),
                Some(line) if line.starts_with("retry:") => return None,
                Some(_) => {}
                None => return None,
            }
        }
    };
    let _held = ["127.0.0.2", "127.0.0.2", "127.0.0.3"].map(|from| join(from).unwrap());
    assert!(join("127.0.0.2").is_none());
    assert!(join("127.0.0.3").is_some(), "another client");
    front.hub.wait_for_log(r#""address":"127.0.0.2""#);
    assert!(!front.hub.log().contains("198.51.100."), "{}", front.hub.log());

    // So are the name and the scheme that they use.
    let forged = [
        "-H",
        "X-Forwarded-Host: evil.example",
        "-H",
        "X-Forwarded-Proto: http",
        "-H",
        "Forwarded: host=evil.example;proto=http",
        "-d",
        "topic=a",
    ];
    let metadata = r#"resource_metadata="https://hub.example/.well-known/oauth-protected-resource"#;
    let answer = front.ask(HUB_PATH, &forged);
    assert!(answer.contains(metadata), "{answer}");
}

fn who_leaves_is_gone(place: Place) {
    // Without a heartbeat that would find out.
    let hub = place.hub().directive("heartbeat 1h").start();
    let front = place.front(hub, &[]);
    for version in ["--http1.1", "--http2"] {
        let streams = [(); 3].map(|()| front.subscribe("match=a", &[version]));
        wait_until("three subscribers", || front.subscribers() == 3.0);
        drop(streams);
        wait_until("nobody", || front.subscribers() == 0.0);
    }
}

fn silence_is_borne_while_hearts_beat(place: Place) {
    let limits: &[(&str, &str)] = match place.way.kind {
        Kind::Nginx => &[("proxy_read_timeout 120s", "proxy_read_timeout 2s")],
        Kind::Haproxy => &[
            ("timeout client 120s", "timeout client 2s"),
            ("timeout server 120s", "timeout server 2s"),
        ],
        // It has no limit.
        Kind::Caddy => &[],
    };
    let hub = place.hub().directive("heartbeat 1s").start();
    let front = place.front(hub, limits);
    let stream = front.subscribe("match=a", &[]);
    for _ in 0..5 {
        stream.wait_for(":");
    }
    front.publish(&["-d", "topic=a", "-d", "data=still here"]);
    assert_eq!(stream.data(), "still here");
    drop(stream);
    if limits.is_empty() {
        return;
    }
    // A heart that beats too slowly.
    let Front { place, hub, _proxy, .. } = front;
    drop((_proxy, hub));
    let hub = place.hub().directive("heartbeat 1h").start();
    let front = place.front(hub, limits);
    let stream = front.subscribe("match=a", &[]);
    while stream.line().is_some() {}
    wait_until("nobody", || front.subscribers() == 0.0);
}

fn tokens_stay_out_of_logs(place: Place) {
    let hub = place.hub().directive("protocol_version_compatibility 8").start();
    let front = place.front(hub, &[]);
    let query = "topic=a&authorization=not.a.token";
    let answer = front.ask(&format!("{HUB_PATH}?{query}"), &[]);
    assert!(answer.lines().next().unwrap().contains(" 401"), "{answer}");
    let logs = || {
        ["proxy.log", "error.log", "said.log"]
            .map(|name| fs::read_to_string(front.place.path(name)).unwrap_or_default())
            .concat()
    };
    wait_until("a line of the log", || logs().contains(HUB_PATH));
    // An error is told with more.
    front.hub.signal(libc::SIGKILL);
    wait_until("the end of the hub", || {
        let answer = front.ask(&format!("{HUB_PATH}?{query}"), &[]);
        answer.lines().next().unwrap().contains(" 50")
    });
    wait_until("a line of the log", || logs().matches(HUB_PATH).count() > 1);
    assert!(!logs().contains("not.a.token"), "{}", logs());
}

/// Nobody else is believed, whatever the field.
#[test]
fn who_is_no_trusted_proxy_is_not_believed() {
    let setup = || {
        Setup::new(Driver::Epoll)
            .directive("public_urls https://hub.example http://other.example")
            .directive("publish_origins https://app.example")
    };
    let forwarded = "Forwarded: for=198.51.100.1;host=hub.example;proto=https\r\n";
    let customary = "X-Forwarded-Host: hub.example\r\nX-Forwarded-Proto: https\r\n";
    for (directive, is_trusted) in
        [("trusted_proxies 127.0.0.1", true), ("trusted_proxies 10.0.0.0/8 unix", false)]
    {
        let hub = setup().directive(directive).start();
        for fields in [forwarded, customary] {
            let ask = |host: &str, fields: &str| {
                let path = "/.well-known/mercure?match=a";
                let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}");
                request(hub.addr, &format!("{head}Authorization: Bearer a.b.c\r\n\r\n"))
            };
            // The name that is asked for.
            let answer = ask("inner", fields);
            assert_eq!(answer.status, if is_trusted { 401 } else { 421 }, "{directive} {fields}");
            if is_trusted {
                let link = answer.field("Link").unwrap();
                assert!(link.starts_with("<https://hub.example/.well-known/mercure>"), "{link}");
                let challenge = answer.field("WWW-Authenticate").unwrap();
                assert!(challenge.contains("https://hub.example/.well-known/oauth"), "{challenge}");
            }
            // One that the hub has stays what it is where nobody is believed.
            let answer = ask("other.example", fields);
            let linked = if is_trusted { "https://hub.example" } else { "http://other.example" };
            assert!(answer.field("Link").unwrap().contains(linked), "{answer:?}");
            // Several fields, and what cannot be read.
            let junk = "Forwarded: host=\"\r\nX-Forwarded-For: junk\r\n";
            assert_eq!(ask("inner", &format!("{fields}{junk}")).status, 421);
        }
    }
}

/// The audience of a token is the name that the client used, and so is the origin of a page.
#[test]
fn names_that_a_proxy_tells_decide_on_tokens_and_pages() {
    let hub = Setup::bare()
        .env("MERCURE_PUBLISHER_JWT_KEY", crate::common::hub::PUBLISHER_KEY)
        .env("MERCURE_TRUSTED_ISSUERS", crate::common::hub::ISSUER)
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .directive("public_urls https://a.example https://b.example")
        .directive("trusted_proxies 127.0.0.1")
        .start();
    let mut claims = tokens::claims("publish", &["*"]);
    claims["aud"] = "https://b.example/.well-known/mercure".into();
    let token = tokens::sign(&claims, crate::common::hub::PUBLISHER_KEY);
    let publish = |fields: &str| {
        let head = "POST /.well-known/mercure HTTP/1.1\r\nHost: a.example\r\n";
        let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n";
        Connection::open(hub.addr).send(format!("{head}{fields}{form}\r\ntopic=a")).answer().status
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let cookie = format!("Cookie: __Secure-mercure_access_token={token}\r\n");
    for (field, status) in [
        ("", 401),
        ("Forwarded: host=b.example\r\n", 200),
        ("X-Forwarded-Host: b.example\r\n", 200),
        ("X-Forwarded-Host: a.example\r\n", 401),
        // Who wrote which of them is not known.
        ("Forwarded: host=b.example\r\nX-Forwarded-Host: a.example\r\n", 401),
        ("Forwarded: host=b.example\r\nX-Forwarded-Host: b.example\r\n", 200),
    ] {
        assert_eq!(publish(&format!("{bearer}{field}")), status, "{field}");
        let page = format!("{cookie}{field}Origin: https://b.example\r\n");
        // The page is another's where the name is.
        assert_eq!(publish(&page), if status == 200 { 200 } else { 400 }, "{field}");
    }
}

#[test]
fn the_documentation_shows_the_files_that_are_tested() {
    let docs = include_str!("../docs/proxies.md");
    let blocks: Vec<_> = docs.split("\n```").skip(1).step_by(2).collect();
    let shown = blocks.iter().map(|block| block.split_once('\n').unwrap().1);
    let shown: Vec<_> = shown.map(|block| format!("{block}\n")).collect();
    for (name, file) in [
        ("nginx.conf", NGINX_CONF),
        ("haproxy.cfg", HAPROXY_CFG),
        ("Caddyfile", CADDYFILE),
        ("ingress.yaml", INGRESS),
    ] {
        assert!(shown.iter().any(|block| block == file), "{name} is not shown as it is");
        assert!(docs.contains(&format!("../deploy/proxies/{name}")), "{name}");
    }
    // Where nothing can be run, what it allows is at least longer than what the hub needs.
    let value = |key: &str| {
        let line = INGRESS.lines().find_map(|line| line.trim().strip_prefix(key));
        let digits = line.unwrap().trim_matches(|c: char| !c.is_ascii_digit());
        digits.parse::<u64>().unwrap_or_else(|_| panic!("{key}{digits}"))
    };
    assert!(value("nginx.ingress.kubernetes.io/proxy-read-timeout:") > 2 * 40);
    assert!(value("upstream-keepalive-timeout:") < 60);
}
