//! The image: what is in it, and that it does what people paste.

use std::{fs, os::unix::fs::PermissionsExt};

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{
    docker::{Container, image, strings},
    network::Network,
};
use crate::common::{
    client::{Answer, Stream, publish, request},
    tokens,
    tools::Directory,
};

const PUBLISHER_KEY: &str = "your-publisher-secret";
/// Of everybody who swaps the name of the image.
const KEYS: &str = "-e MERCURE_PUBLISHER_JWT_KEY=your-publisher-secret \
                    -e MERCURE_SUBSCRIBER_JWT_KEY=your-subscriber-secret";
const BOOK: &str = "https://example.com/books/1";

/// A token as publishers of 0.x have it.
fn publisher() -> String {
    let claims = json!({ "mercure": { "publish": ["*"] } }).to_string();
    tokens::sign_texts(r#"{"alg":"HS256"}"#, &claims, PUBLISHER_KEY, Algorithm::HS256)
}

fn get(container: &Container, port: u16, target: &str, fields: &str) -> Answer {
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n{fields}\r\n");
    request(container.port(port), &head)
}

/// A subscription to `BOOK` by a page of `origin`.
fn subscribe(container: &Container, port: u16, origin: &str) -> Stream {
    Stream::open(container.port(port), &format!("topic={BOOK}"), &format!("Origin: {origin}\r\n"))
}

#[test]
fn it_is_small_and_says_what_it_is() {
    let Some(image) = image() else { return };
    let config = image.config();
    assert!(strings(&config["Entrypoint"]).is_empty());
    assert_eq!(config["WorkingDir"], "/srv");
    // Root, as ever: volumes of the reference hub belong to it.
    assert_eq!(config["User"].as_str().unwrap_or_default(), "");
    assert_eq!(config["Volumes"], json!({ "/config": {}, "/data": {} }));
    assert_eq!(config["ExposedPorts"], json!({ "443/tcp": {}, "80/tcp": {}, "8080/tcp": {} }));
    let labels = &config["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    let run = image.docker("docker run petasos petasos --version");
    let own = std::process::Command::new(env!("CARGO_BIN_EXE_petasos")).arg("--version").output();
    let own = String::from_utf8(own.unwrap().stdout).unwrap();
    assert_eq!(run.run().ok(), own, "deploy/image/assemble target/image makes it anew");

    let files = run.files();
    let mut programs: Vec<_> = fs::read_dir(files.join("usr/bin")).unwrap().flatten().collect();
    programs.sort_by_key(|entry| entry.file_name());
    let names: Vec<_> =
        programs.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["busybox", "caddy", "petasos", "sh", "wget"]);
    let len: u64 = programs.iter().map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(len < 16 << 20 || cfg!(debug_assertions), "{len} bytes");
    assert!(!files.join("lib64").exists(), "nothing is linked to what is not there");
    for volume in ["data", "config"] {
        let mode = fs::metadata(files.join(volume)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777, "{volume}");
    }
}

#[test]
fn where_no_address_is_set_it_listens_on_both_usual_ports() {
    let Some(image) = image() else { return };
    let anonymous = format!("{KEYS} -e MERCURE_ALLOW_ANONYMOUS=1");
    for command in [
        "",
        "petasos",
        "petasos run",
        "caddy run --config /etc/caddy/Caddyfile --adapter caddyfile",
        "/usr/bin/caddy run --config /etc/caddy/dev.Caddyfile",
        "sh -c 'exec caddy run --config /etc/caddy/Caddyfile'",
    ] {
        let line = format!("docker run -p 80:80 -p 8080:8080 {anonymous} petasos {command}");
        let container = image.docker(&line).start();
        let mut stream = subscribe(&container, 80, "https://app.example.com");
        publish(container.port(8080), &publisher(), &[("topic", BOOK), ("data", "x")]);
        assert_eq!(stream.data(1), ["x"], "{command}");
        let allowed = command.contains("dev.").then_some("*");
        assert_eq!(stream.field("access-control-allow-origin"), allowed, "{command}");
    }
    // What is set wins.
    for (setting, port, other) in [
        ("SERVER_NAME=:3000", 3000, 80),
        ("MERCURE_LISTEN_ADDR=:80", 80, 8080),
        ("ADDR=:8080", 8080, 80),
    ] {
        let line = format!("docker run -p 1:{port} {anonymous} -e {setting} petasos");
        let container = image.docker(&line).start();
        assert_eq!(get(&container, port, "/healthz", "").status, 200, "{setting}");
        let url = format!("http://127.0.0.1:{other}/healthz");
        assert_ne!(container.exec(&["wget", "-q", "--spider", &url]).code, Some(0), "{setting}");
    }
}

#[test]
fn an_anonymous_page_of_any_origin_subscribes() {
    let Some(image) = image() else { return };
    let container = image.docker(&format!(
        "docker run -p 8080:8080 {KEYS} -e MERCURE_EXTRA_DIRECTIVES='cors_origins *' \
         -e MERCURE_ALLOW_ANONYMOUS=1 petasos"
    ));
    let stream = subscribe(&container.start(), 8080, "https://app.example.com");
    assert_eq!(stream.field("access-control-allow-origin"), Some("*"));
}

#[test]
fn on_another_port_it_takes_publications_and_refuses_strangers() {
    let Some(image) = image() else { return };
    let container = image.docker(&format!(
        "docker run -p 3000:80 {KEYS} \
         -e MERCURE_EXTRA_DIRECTIVES=\"cors_origins http://localhost:3000\" petasos"
    ));
    let container = container.start();
    let id = publish(container.port(80), &publisher(), &[("topic", BOOK), ("data", "x")]);
    assert!(id.starts_with("urn:uuid:"), "{id}");
    let refused = get(&container, 80, &format!("/.well-known/mercure?topic={BOOK}"), "");
    assert_eq!(refused.status, 401);
    container.hub.wait_for_log(
        "no token and anonymous is off: set MERCURE_ALLOW_ANONYMOUS=1 or the directive `anonymous`",
    );
}

#[test]
fn listed_origins_are_allowed_by_either_variable() {
    let Some(image) = image() else { return };
    let cors =
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    for variable in ["MERCURE_CORS_ORIGINS", "MERCURE_CORS_ALLOWED_ORIGINS"] {
        let container = image.docker(&format!(
            "docker run -p 8080:8080 -e MERCURE_LISTEN_ADDR=:8080 {KEYS} \
             -e {variable}=https://a.example,https://b.example \
             -e MERCURE_ALLOW_ANONYMOUS=0 -e MERCURE_DEBUG=0 petasos"
        ));
        let container = container.start();
        for (origin, allowed) in [
            ("https://a.example", Some("https://a.example")),
            ("https://b.example", Some("https://b.example")),
            ("https://c.example", None),
        ] {
            let fields = format!("Origin: {origin}\r\n{cors}");
            let preflight = request(
                container.port(8080),
                &format!(
                    "OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: localhost:8080\r\n{fields}\r\n"
                ),
            );
            let target = format!("/.well-known/mercure?topic={BOOK}");
            let got = get(&container, 8080, &target, &fields);
            for answer in [preflight, got] {
                let told = answer.field("access-control-allow-origin");
                assert_eq!(told, allowed, "{variable} {origin} {answer:?}");
            }
        }
    }
}

#[test]
fn https_is_refused_with_both_ways_to_it() {
    let Some(image) = image() else { return };
    let certificates = Directory::new("certificates");
    for name in ["hub.crt", "hub.key"] {
        certificates.file(name, "");
    }
    let mount = format!("-v {}:/etc/mercure/certs", certificates.0.display());
    for more in ["", &mount] {
        let line =
            format!("docker run -p 443:443 {KEYS} -e MERCURE_LISTEN_ADDR=:443 {more} petasos");
        let told = image.docker(&line).run();
        assert_eq!(told.code, Some(1), "{told:?}");
        let line = told.stderr.lines().find(|line| line.starts_with("petasos: "));
        let line = line.unwrap_or_else(|| panic!("{told:?}"));
        for part in ["MERCURE_LISTEN_ADDR: `:443`", "/etc/mercure/certs", "host name", "like :80"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

/// Words for a shell.
fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

#[test]
fn probes_find_it_ready() {
    let Some(image) = image() else { return };
    // A file of the user's own, in the place of the image's, with keys that no variable has.
    let directory = Directory::new("own-file");
    let file = directory.file(
        "Caddyfile",
        ":80 {\n mercure {\n publisher_jwt your-publisher-secret\n anonymous\n }\n}\n",
    );
    let check = strings(&image.config()["Healthcheck"]["Test"]);
    assert_eq!(check, ["CMD", "petasos", "healthcheck"]);
    let probes: [&[&str]; 5] = [
        &["petasos", "healthcheck"],
        &["wget", "-q", "--spider", "http://127.0.0.1:2019/mercure/health/ready"],
        &["wget", "-q", "--spider", "http://localhost:2019/mercure/health/ready"],
        &["/usr/bin/wget", "-q", "-O", "-", "http://localhost/healthz"],
        &["sh", "-c", "wget -q --spider http://localhost/healthz || exit 1"],
    ];
    for probe in probes {
        let nobody = image.docker(&format!("docker run {KEYS} petasos {}", quoted(probe))).run();
        assert_ne!(nobody.code, Some(0), "{probe:?} finds somebody where nobody is");
    }
    for line in [
        format!("docker run {KEYS} petasos"),
        format!("docker run -v {file}:/etc/caddy/Caddyfile petasos"),
        format!(
            "docker run -v {file}:/etc/caddy/other petasos caddy run --config /etc/caddy/other"
        ),
    ] {
        let container = image.docker(&line).start();
        for probe in probes {
            let told = container.exec(probe);
            assert_eq!(told.code, Some(0), "{line}: {probe:?}: {told:?}");
        }
    }
}

#[test]
fn the_history_is_on_the_volume() {
    let Some(image) = image() else { return };
    let volume = Directory::new("volume");
    let subscribed = format!("topic={BOOK}&lastEventID=earliest");
    for (setting, place) in [
        ("", "history"),
        ("-e MERCURE_TRANSPORT_URL=bolt:///data/mercure.db", "mercure.db.petasos"),
    ] {
        let line = format!(
            "docker run -p 80:80 -v {}:/data {KEYS} -e MERCURE_ALLOW_ANONYMOUS=1 {setting} petasos",
            volume.0.display()
        );
        for run in ["first", "second"] {
            let container = image.docker(&line).start();
            if run == "first" {
                publish(container.port(80), &publisher(), &[("topic", BOOK), ("data", run)]);
            }
            assert_eq!(Stream::open(container.port(80), &subscribed, "").data(1), ["first"]);
            assert_eq!(container.stop(), Some(0));
        }
        assert!(volume.0.join(place).join("MANIFEST").is_file(), "{place}");
    }
}

#[test]
fn the_first_process_ends_when_it_is_told_to() {
    let Some(image) = image() else { return };
    let container = image.docker(&format!("docker run {KEYS} petasos")).start_as_first();
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let ids = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    assert!(ids.ends_with("\t1"), "{ids}");
    assert_eq!(container.stop(), Some(0));
}

#[test]
fn who_is_not_root_runs_it_too() {
    let Some(image) = image() else { return };
    let anonymous = format!("{KEYS} -e MERCURE_ALLOW_ANONYMOUS=1");
    // Volumes that are made for it are as the image has these directories.
    for user in ["petasos", "1000:1000", "12345"] {
        let line = format!("docker run -p 80:80 --user {user} --cap-drop ALL {anonymous} petasos");
        let container = image.docker(&line).start();
        publish(container.port(80), &publisher(), &[("topic", BOOK), ("data", "x")]);
        let read = container.exec(&["busybox", "id", "-u"]).ok();
        assert_eq!(read.trim(), user.split(':').next().unwrap().replace("petasos", "1000"));
        assert_eq!(container.stop(), Some(0));
    }
    // Volumes of root are not.
    let volume = Directory::new("of-root");
    fs::set_permissions(&volume.0, fs::Permissions::from_mode(0o755)).unwrap();
    let mount = format!("-v {}:/data", volume.0.display());
    let line = format!("docker run --user 1000 {mount} {anonymous} petasos");
    let told = image.docker(&line).run();
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("petasos-data") && told.stderr.contains("denied"), "{told:?}");
    // Where ports are root's, as Kubernetes has it, another one is to be named.
    let restricted = || Network::with_ports_from(1024);
    let line = format!("docker run -p 80:8080 --user 1000 {anonymous} petasos");
    let told = image.docker(&line).run_in(&restricted());
    assert!(told.code == Some(1) && told.stderr.contains("choose another port"), "{told:?}");
    let line = line.replace(" petasos", " -e SERVER_NAME=:8080 petasos");
    let container = image.docker(&line).start_in(restricted());
    assert_eq!(get(&container, 8080, "/healthz", "").status, 200);
}
