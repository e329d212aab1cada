//! `petasos doctor`, for the machine that this runs on, and for proxies with every fault that it
//! knows.

use std::{
    fmt, fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    common::{
        faulty::{self, Fault},
        hub::{Driver, Hub, ISSUER, Output, PATIENCE, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        process::{free_addr, limit_open_files},
        tokens,
        tools::{Directory, NGINX, Running, has_tools},
    },
    on_both_drivers,
};
on_both_drivers!(without_a_proxy_all_is_well);

const ORIGIN: &str = "https://app.example";

/// A hub that anybody may subscribe at, and pages of [`ORIGIN`] too.
fn setup(driver: Driver) -> Setup {
    Setup::new(driver).directive(&format!("cors_origins {ORIGIN}"))
}

fn hub() -> Hub {
    setup(Driver::Epoll).start()
}

fn doctor(args: &[&str]) -> Setup {
    args.iter().fold(Setup::bare().env("ADDR", "").arg("doctor"), |setup, arg| setup.arg(arg))
}

/// What is found at this URL by who may publish, and does not watch silent streams.
fn diagnose(url: &str, more: &[&str]) -> Diagnosis {
    let may = ["--key", PUBLISHER_KEY, "--iss", ISSUER, "--origin", ORIGIN, "--idle", "0"];
    let may = if more.contains(&"--idle") { &may[..6] } else { &may };
    Diagnosis::of(doctor(&[&["--url", url, "--json"], may, more].concat()).run())
}

struct Diagnosis {
    findings: Vec<Value>,
    output: Output,
}

impl fmt::Debug for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| {
            writeln!(f, "{} {}: {}", finding["level"], finding["check"], finding["text"])
        })
    }
}

impl Diagnosis {
    fn of(output: Output) -> Self {
        let told: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let findings = told["findings"].as_array().unwrap().clone();
        let diagnosis = Diagnosis { findings, output };
        let fails = !diagnosis.checks("fail").is_empty();
        assert_eq!(diagnosis.output.code, Some(i32::from(fails)), "{diagnosis:?}");
        assert_eq!(told["ok"], !fails);
        diagnosis
    }

    /// The checks that ended so.
    fn checks(&self, level: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding["level"] == level);
        found.map(|finding| finding["check"].as_str().unwrap()).collect()
    }

    /// What was found by the last check of this name, and what heals it.
    fn finding(&self, check: &str) -> (&str, String) {
        let found = self.findings.iter().rfind(|finding| finding["check"] == check);
        let finding = found.unwrap_or_else(|| panic!("no {check}: {self:?}"));
        (finding["text"].as_str().unwrap(), finding["fixes"].to_string())
    }

    /// That these checks fail, and the first of them says and advises this.
    fn fails(&self, checks: &[&str], text: &str, fix: &str) {
        assert_eq!(self.checks("fail"), checks, "{self:?}");
        let (found, fixes) = self.finding(checks[0]);
        assert!(found.contains(text), "{found}");
        assert!(fixes.contains(fix), "{fixes}");
    }
}

#[test]
fn the_machine_is_looked_at() {
    let directory = Directory::new("doctor-machine");
    let args = ["--data-dir", directory.0.to_str().unwrap(), "--transport", "embedded"];
    let setup = |more: &[&str]| {
        let setup = doctor(&[&args, more].concat());
        setup.env("MERCURE_TRANSPORT_URL", "")
    };
    let json = Diagnosis::of(setup(&["--json"]).run());
    for check in ["kernel", "io_uring", "cpu", "open files", "memory", "net.core.somaxconn"] {
        assert!(!json.finding(check).0.is_empty());
    }
    let path = directory.0.display().to_string();
    assert!(json.finding("history").0.starts_with(&format!("{path} can be written")), "{json:?}");
    // For people, the same, a line for each.
    let told = setup(&[]).run();
    assert_eq!(told.code, json.output.code);
    let lines = told.stdout.lines().filter(|line| !line.starts_with("      fix: "));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), json.findings.len() + 2, "{lines:?}");
    for (line, finding) in lines.iter().zip(&json.findings) {
        let begin = format!("{:<6}{}: ", finding["level"].as_str().unwrap(), finding["check"]);
        assert!(line.starts_with(&begin.replace('"', "")), "{line}");
    }
    // Nothing was made.
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[test]
fn a_limit_that_is_too_low_fails_with_what_raises_it() {
    let mut few = doctor(&["--json", "--connections", "5000", "--workers", "1"]);
    limit_open_files(few.command(), 1000, 2000);
    let few = Diagnosis::of(few.run());
    assert!(few.checks("fail").contains(&"open files"), "{few:?}");
    let (text, fixes) = few.finding("open files");
    assert!(text.contains("2000") && fixes.contains("1048576"), "{text} {fixes}");
    let mut enough = doctor(&["--json", "--connections", "1000", "--workers", "1"]);
    limit_open_files(enough.command(), 1000, 2000);
    assert!(Diagnosis::of(enough.run()).checks("warn").contains(&"open files"));
    // What is wrong with the settings is told as by all commands.
    let wrong = doctor(&["--workers", "x"]).run();
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.starts_with("petasos: --workers: `x`"), "{wrong:?}");
}

fn without_a_proxy_all_is_well(driver: Driver) {
    let hub = setup(driver).env("PETASOS_HEARTBEAT", "1s").start();
    let diagnosis = diagnose(&hub.url(), &["--idle", "3"]);
    assert_eq!(diagnosis.checks("fail"), [""; 0], "{diagnosis:?}");
    assert_eq!(diagnosis.checks("skip"), [""; 0], "{diagnosis:?}");
    assert!(diagnosis.finding("idle stream").0.contains("heartbeats"), "{diagnosis:?}");
    let well = diagnosis.checks("ok");
    for check in ["hub", "buffering", "Last-Event-ID", "Authorization", "Cookie", "CORS"] {
        assert!(well.contains(&check), "{check} {diagnosis:?}");
    }
    // The hub has a name of its own, which the key's tokens are made for.
    assert_eq!(diagnosis.checks("warn"), ["metadata"]);
    // Through a proxy that does nothing wrong.
    let through = diagnose(&faulty::start(hub.addr, Fault::Nothing), &[]);
    assert_eq!(through.checks("fail"), [""; 0], "{through:?}");
}

#[test]
fn what_a_proxy_does_wrong_is_told_with_what_heals_it() {
    let hub = hub();
    let limits = |status| Fault::LimitsHead(8 << 10, status);
    let large = ["URL of 9 KB", "header of 8 KB"];
    for (fault, checks, text, fix) in [
        (
            Fault::LosesField("authorization"),
            // Nobody can publish, then.
            &["publish", "Authorization"][..],
            "the proxy does not pass it on",
            "proxy_set_header Authorization $http_authorization;",
        ),
        (
            Fault::LosesField("last-event-id"),
            &["Last-Event-ID"],
            "loses what was published meanwhile",
            "proxy_set_header Last-Event-ID $http_last_event_id;",
        ),
        (
            Fault::LosesParameter("last_event_id"),
            &["last_event_id in the URL"],
            "loses what was published meanwhile",
            "$is_args$args",
        ),
        (
            Fault::LosesAnswerField("mercure-last-event-id"),
            &["Last-Event-ID", "last_event_id in the URL"],
            "Mercure-Last-Event-ID gets lost",
            "no proxy_hide_header",
        ),
        (
            Fault::LosesField("cookie"),
            &["Cookie"],
            "answered 200, as if there were none",
            "proxy_set_header Cookie $http_cookie;",
        ),
        (limits("414 URI Too Long"), &large, "414", "large_client_header_buffers 8 128k;"),
        (limits("431 Fields Too Large"), &large, "431", "tune.bufsize 131072"),
        (limits("400 Bad Request"), &large, "400", "max_header_size 128KiB"),
        (Fault::LimitsBody(100_000), &["update of 1 MB"], "413", "client_max_body_size 1m;"),
        (Fault::Compresses, &["compression"], "(gzip)", "gzip off;"),
        (
            Fault::LosesAnswerField("content-type"),
            &["content-type"],
            "instead of text/event-stream",
            "leave the hub's alone",
        ),
        (
            Fault::LosesAnswerField("access-control-allow-origin"),
            &["CORS preflight", "CORS"],
            "may not read the hub's answers",
            "--cors-origins https://app.example",
        ),
        (
            Fault::Adds("Access-Control-Allow-Origin: *"),
            &["CORS preflight", "CORS"],
            "is there 2 times",
            "no `add_header Access-Control-…`",
        ),
        (Fault::Answers("404 Not Found"), &["hub"], "404", "location /.well-known/mercure"),
        (Fault::Answers("502 Bad Gateway"), &["hub"], "502", "is the hub running"),
        (Fault::Answers("421 Misdirected Request"), &["hub"], "421", "--public-urls http://127."),
        (Fault::Answers("200 OK"), &["hub"], "something else is served", "proxy_pass"),
        (
            Fault::Answers("308 Moved\r\nLocation: https://hub.example/"),
            &["hub"],
            "redirects to https://hub.example/",
            "give clients the URL",
        ),
    ] {
        let diagnosis = diagnose(&faulty::start(hub.addr, fault), &[]);
        eprintln!("{fault:?}"); // Shown if what follows fails.
        diagnosis.fails(checks, text, fix);
    }
    let control = diagnose(&faulty::start(hub.addr, Fault::LosesAnswerField("cache-control")), &[]);
    assert_eq!(control.checks("warn"), ["metadata", "cache-control"], "{control:?}");
    let nobody = diagnose(&format!("http://{}/.well-known/mercure", free_addr()), &[]);
    nobody.fails(&["reachable"], "no answer", "is the name right");
}

#[test]
fn streams_that_are_held_back_are_told_of() {
    let hub = hub();
    let faults = [Fault::HoldsEvents, Fault::HoldsContent, Fault::HoldsStreams];
    let [events, content, streams] = faults.map(|fault| {
        let url = faulty::start(hub.addr, fault);
        thread::spawn(move || diagnose(&url, &[]))
    });
    let fix = "proxy_buffering off;";
    let events = events.join().unwrap();
    events.fails(&["buffering"], "did not come within 10 s", fix);
    let content = content.join().unwrap();
    content.fails(&["buffering"], "but not its first line within 10 s", fix);
    let streams = streams.join().unwrap();
    streams.fails(&["buffering"], "holds streams back until they end", fix);
    // All else can be looked at nevertheless.
    assert!(streams.checks("ok").contains(&"Last-Event-ID"), "{streams:?}");
}

#[test]
fn cuts_of_silent_streams_are_told_of() {
    const CUT: Duration = Duration::from_secs(5);
    let (silent, lively) = (hub(), setup(Driver::Epoll).env("PETASOS_HEARTBEAT", "1s").start());
    let silent = faulty::start(silent.addr, Fault::CutsSilence(CUT));
    let saved = faulty::start(lively.addr, Fault::CutsSilence(CUT));
    let ended = faulty::start(lively.addr, Fault::CutsAfter(CUT * 2));
    // Longer than the cut.
    let runs = [(silent, "60"), (saved, "8"), (ended, "60")]
        .map(|(url, idle)| thread::spawn(move || diagnose(&url, &["--idle", idle])));
    let [silent, saved, ended] = runs.map(|run| run.join().unwrap());
    silent.fails(&["idle stream"], "of them silent", "proxy_read_timeout 1h;");
    assert!(silent.finding("idle stream").1.contains("--heartbeat "), "{silent:?}");
    // The advice helps.
    assert_eq!(saved.checks("fail"), [""; 0], "{saved:?}");
    assert!(ended.checks("warn").contains(&"idle stream"), "{ended:?}");
    let (text, _) = ended.finding("idle stream");
    assert!(text.contains("limits the whole life"), "{text}");
}

#[test]
fn what_cannot_be_tested_is_told() {
    let open = hub();
    let without = |hub: &Hub| {
        let args = ["--url", &hub.url(), "--idle", "0", "--json"];
        Diagnosis::of(doctor(&args).run())
    };
    let anybody = without(&open);
    assert_eq!(anybody.checks("fail"), [""; 0], "{anybody:?}");
    let skipped = ["buffering", "update of 1 MB", "CORS", "idle stream"];
    assert_eq!(anybody.checks("skip"), skipped, "{anybody:?}");
    assert!(anybody.checks("ok").contains(&"Last-Event-ID"), "{anybody:?}");
    // Nobody may subscribe, but what a bad token is answered tells enough.
    let closed = setup(Driver::Epoll).directive("anonymous off").start();
    let nobody = without(&closed);
    assert_eq!(nobody.checks("fail"), [""; 0], "{nobody:?}");
    assert!(nobody.checks("skip").contains(&"stream"), "{nobody:?}");
    assert!(nobody.checks("ok").contains(&"Cookie"), "{nobody:?}");
    let deaf = faulty::start(closed.addr, Fault::LosesField("authorization"));
    let deaf = Diagnosis::of(doctor(&["--url", &deaf, "--idle", "0", "--json"]).run());
    deaf.fails(&["Authorization"], "answered 401, as if there were none", "Authorization");
    // A token for publishing alone, where subscribing takes one.
    let one_key = Setup::bare().env("MERCURE_JWT_KEY", PUBLISHER_KEY).start();
    let args = ["--url", &one_key.url(), "--idle", "0", "--json", "--key", PUBLISHER_KEY];
    let both = Diagnosis::of(doctor(&args).run());
    assert_eq!(both.checks("fail"), [""; 0], "{both:?}");
    assert!(both.checks("ok").contains(&"buffering"), "{both:?}");
    // Tokens that do not fit.
    let wrong = diagnose(&open.url(), &["--alg", "HS512"]);
    wrong.fails(&["publish"], "401", "Authorization");
    let token = tokens::subscriber(&["*"]);
    let args = ["--url", &open.url(), "--idle", "0", "--json"];
    let subscriber = doctor(&args).env("PETASOS_TOKEN", &token).run();
    assert!(!subscriber.stdout.contains(&token));
    let subscriber = Diagnosis::of(subscriber);
    assert!(subscriber.checks("fail").contains(&"publish"), "{subscriber:?}");
    assert_ne!(SUBSCRIBER_KEY, PUBLISHER_KEY);
}

/// nginx in front of a hub, with these directives in its location.
struct Nginx {
    url: String,
    _running: Running,
    _directory: Directory,
}

impl Nginx {
    fn start(hub: &Hub, address: SocketAddr, directives: &str) -> Self {
        let directory = Directory::new(&format!("doctor-nginx-{}", address.port()));
        let path = directory.0.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/errors;\n\
             events {{ }}\nhttp {{\naccess_log off;\n{temporary}server {{\nlisten {address};\n\
             location / {{\nproxy_pass http://{};\n{directives}\n}}\n}}\n}}\n",
            hub.addr
        );
        let file = directory.file("nginx.conf", &config);
        let running = Running::start(
            Command::new(NGINX).args(["-e", "/dev/null", "-c", &file, "-p"]).arg(&directory.0),
        );
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < PATIENCE, "nginx does not listen: {config}");
            thread::sleep(Duration::from_millis(10));
        }
        let url = format!("http://{address}/.well-known/mercure");
        Nginx { url, _running: running, _directory: directory }
    }
}

#[test]
fn nginx_as_it_comes_lets_streams_through_but_not_long_urls() {
    if !has_tools(&[NGINX]) {
        return;
    }
    let healed = free_addr();
    let hub = Setup::bare()
        .env("MERCURE_JWT_KEY", PUBLISHER_KEY)
        .directive("anonymous")
        .directive(&format!("cors_origins {ORIGIN}"))
        .directive(&format!("public_urls http://{healed}"))
        .start();
    let diagnose = |nginx: &Nginx, more: &[&str]| {
        let args = ["--url", &nginx.url, "--json", "--key", PUBLISHER_KEY, "--origin", ORIGIN];
        Diagnosis::of(doctor(&[&args, more].concat()).run())
    };
    let as_it_comes = Nginx::start(&hub, free_addr(), "");
    let found = diagnose(&as_it_comes, &["--idle", "0"]);
    found.fails(&["URL of 9 KB", "header of 8 KB"], "414", "large_client_header_buffers 8 128k;");
    assert_eq!(found.checks("warn"), ["metadata", "URL of 60 KB"], "{found:?}");
    // It is known by its name, so nothing is said of others.
    let (_, fixes) = found.finding("metadata");
    assert!(fixes.contains("proxy_set_header Host $http_host;"), "{fixes}");
    assert!(!fixes.contains("HAProxy"), "{fixes}");

    let healed = Nginx::start(
        &hub,
        healed,
        "proxy_set_header Host $http_host;\n}\nlarge_client_header_buffers 8 128k;\n\
         location /other {",
    );
    let found = diagnose(&healed, &["--idle", "0"]);
    assert_eq!(found.checks("fail"), [""; 0], "{found:?}");
    assert_eq!(found.checks("warn"), [""; 0], "{found:?}");

    let impatient = "proxy_read_timeout 3s;\ngzip on;\ngzip_types text/event-stream;\n\
                     gzip_proxied any;\ngzip_http_version 1.0;";
    let impatient = Nginx::start(&hub, free_addr(), impatient);
    let found = diagnose(&impatient, &["--idle", "60"]);
    let (text, fixes) = found.finding("idle stream");
    assert!(text.starts_with("cut after "), "{found:?}");
    assert!(fixes.contains("proxy_read_timeout 1h;"), "{fixes}");
    assert!(found.finding("compression").0.contains("(gzip)"), "{found:?}");

    let broken = Nginx::start(
        &hub,
        free_addr(),
        "proxy_ignore_headers X-Accel-Buffering;\nproxy_set_header Cookie '';\n\
         client_max_body_size 100k;\nproxy_hide_header Mercure-Last-Event-ID;\n}\n\
         large_client_header_buffers 8 128k;\nlocation /other {",
    );
    let found = diagnose(&broken, &["--idle", "0"]);
    let last_event_id = ["Last-Event-ID", "last_event_id in the URL"];
    let failed = [&["buffering"], &last_event_id[..], &["Cookie", "update of 1 MB"]].concat();
    found.fails(&failed, "holds streams back", "proxy_buffering off;");
}
