//! Keys of issuers: every algorithm, and key sets that rotate, fail and lie. Keys and tokens are
//! made by Python libraries (`keys.py`), not by the code that checks them.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Answer, Stream, publication, refused, request},
        hub::{AUDIENCE, Driver, Hub, PATIENCE, Setup},
        jwks_server::{JwksServer, Reply},
        process::{free_addr, run_to_end},
        tools::{Directory, PYTHON, has_tools},
    },
    on_both_drivers,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys.py");

fn python(command: &str, input: &str) -> Value {
    let mut child = Command::new(PYTHON)
        .args([SCRIPT, command, AUDIENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that fails says so on standard error.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "keys.py {command} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Keys, sets and tokens; `None` where Python is not installed.
fn material() -> Option<&'static Value> {
    static MATERIAL: LazyLock<Value> = LazyLock::new(|| python("make", ""));
    has_tools(&[PYTHON]).then(|| &*MATERIAL)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Publishes with a token.
fn answer_to(addr: SocketAddr, token: &str) -> Answer {
    request(addr, &publication(token, &[("topic", "t"), ("data", "x")]))
}

fn status(hub: &Hub, token: &Value) -> u16 {
    answer_to(hub.addr, text(token)).status
}

/// A hub with a set of keys for both roles, and nothing but that.
fn with_set(driver: Driver, url: &str) -> Setup {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .directive(&format!("resource_identifier {AUDIENCE}"))
        .directive("anonymous")
        .directive(&format!(
            "issuer urn:set {{\n publisher {{\n jwks_uri {url}\n }}\n \
             subscriber {{\n jwks_uri {url}\n }}\n}}"
        ))
}

fn wait_for_status(hub: &Hub, token: &Value, expected: u16) {
    let until = Instant::now() + PATIENCE;
    while status(hub, token) != expected {
        assert!(Instant::now() < until, "never answered with {expected}:\n{}", hub.log());
        thread::sleep(Duration::from_millis(50));
    }
}

on_both_drivers!(
    tokens_of_every_algorithm_pass_at_their_own_key_only,
    tokens_of_every_algorithm_pass_by_a_set,
    a_key_that_was_published_a_moment_ago_is_fetched_while_its_token_waits,
    keys_rotate,
);

fn tokens_of_every_algorithm_pass_at_their_own_key_only(driver: Driver) {
    let Some(material) = material() else { return };
    let directory = Directory::new(&format!("pem-{}", driver.name()));
    let algorithms = material["algorithms"].as_object().unwrap();
    assert_eq!(algorithms.len(), 13);
    let mut setup = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .directive(&format!("resource_identifier {AUDIENCE}"))
        .directive("anonymous");
    for (name, of) in algorithms {
        let file = directory.file(name, text(&of["public"]));
        let issuer = format!(
            "issuer urn:{name} {{\n publisher {{\n jwt {{file.{file}}} {name}\n }}\n \
             subscriber {{\n jwt \"{}\" {name}\n }}\n}}",
            text(&of["public"])
        );
        setup = setup.directive(&issuer);
    }
    let hub = setup.start();
    for (name, of) in algorithms {
        for token in of["tokens"].as_array().unwrap() {
            assert_eq!(status(&hub, token), 200, "{name}: {}", hub.log());
            let fields = format!("Authorization: Bearer {}\r\n", text(token));
            drop(Stream::open(hub.addr, "match=t", &fields));
        }
    }
    for (what, token) in material["confused"].as_object().unwrap() {
        let answer = answer_to(hub.addr, text(token));
        assert_eq!(answer.status, 401, "{what}");
        let challenge = answer.field("www-authenticate").unwrap();
        assert!(challenge.contains("invalid_token"), "{what}: {challenge}");
    }
    hub.wait_for_log("alg is `HS256`, the publisher keys are configured for RS256");
    hub.wait_for_log("the signature fits no configured publisher key");
    // Nothing of a token is logged.
    assert!(!hub.log().contains("eyJ"), "{}", hub.log());
}

fn tokens_of_every_algorithm_pass_by_a_set(driver: Driver) {
    let Some(material) = material() else { return };
    let algorithms = material["algorithms"].as_object().unwrap();
    let public = || algorithms.iter().filter(|(name, _)| !name.starts_with("HS"));
    let mut keys: Vec<_> = public().map(|(_, of)| &of["jwk"]).collect();
    keys.extend([&material["oct"], &material["encryption"]]);
    let server = JwksServer::start(Reply::keys(&keys));
    let hub = with_set(driver, &server.url()).start();
    for (name, of) in public() {
        // The one has a kid, the other has none.
        for token in of["set_tokens"].as_array().unwrap() {
            assert_eq!(status(&hub, token), 200, "{name}: {}", hub.log());
            let fields = format!("Authorization: Bearer {}\r\n", text(token));
            drop(Stream::open(hub.addr, "match=t", &fields));
        }
    }
    // Both roles have their keys from one fetch.
    assert_eq!(server.requests(), 1);
    for (what, token) in material["confused"].as_object().unwrap() {
        assert_eq!(status(&hub, token), 401, "{what}");
        let fields = format!("Authorization: Bearer {}\r\n", text(token));
        assert_eq!(refused(hub.addr, "match=t", &fields).status, 401, "{what}");
    }
    hub.wait_for_log("shared secret (oct)");
    hub.wait_for_log("its use is `enc`, not sig");
    // And one more for the kid of the secret, which nobody knows.
    hub.wait_for_log("no publisher key for the issuer `urn:set` has the kid `oct`");
    assert_eq!(server.requests(), 2);
}

#[test]
fn keys_come_in_other_forms_too() {
    let Some(material) = material() else { return };
    let rs256 = &material["algorithms"]["RS256"];
    let setup = |key: &Value, algorithm: &str| {
        Setup::bare()
            .env("MERCURE_PUBLISHER_JWT_KEY", text(key))
            .env("MERCURE_PUBLISHER_JWT_ALG", algorithm)
            .directive(&format!("resource_identifier {AUDIENCE}"))
            .directive("anonymous")
    };
    for key in [&material["rsa_pkcs1_public"], &material["rsa_certificate"]] {
        let hub = setup(key, "RS256").start();
        assert_eq!(status(&hub, &rs256["tokens"][0]), 200, "{}", hub.log());
        assert_eq!(status(&hub, &material["confused"]["an RS key used as PS"]), 401);
    }
    // A key that was rotated out.
    let hub = setup(&material["algorithms"]["RS256"]["public"], "RS256")
        .env("MERCURE_PUBLISHER_JWT_KEY", text(&material["algorithms"]["PS256"]["public"]))
        .env("MERCURE_PUBLISHER_JWT_KEY_PREVIOUS", text(&rs256["public"]))
        .start();
    assert_eq!(status(&hub, &rs256["tokens"][1]), 200, "{}", hub.log());
    for (key, algorithm, expected) in [
        (&rs256["public"], "HS256", "name the key's own algorithm, which for an RSA key is RS256"),
        (&rs256["public"], "ES256", "ES256 does not fit an RSA key"),
        (&material["algorithms"]["ES256"]["public"], "RS256", "RS256 does not fit a P-256 key"),
        (&rs256["private"], "RS256", "this is a private key"),
        (&rs256["traditional"], "RS256", "this is a private key"),
        (&json!("a secret"), "RS256", "RS256 takes a key in PEM"),
    ] {
        let (code, output) = run_to_end(setup(key, algorithm));
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(expected), "{output}");
        assert!(output.contains("MERCURE_PUBLISHER_JWT_KEY"), "{output}");
        assert!(!output.contains("BEGIN PUBLIC"), "{output}");
    }
    // A set whose keys do not say what they are for.
    let server = JwksServer::start(Reply::keys(&[&material["nameless"]["jwk"]]));
    let hub = with_set(Driver::Epoll, &server.url()).start();
    assert_eq!(status(&hub, &material["nameless"]["token"]), 200);
    let confused = &material["confused"]["an RS key of the set used as PS"];
    assert_eq!(status(&hub, confused), 401);
    let hub = with_set(Driver::Epoll, &format!("{} PS256", server.url())).start();
    assert_eq!(status(&hub, &material["nameless"]["token"]), 401);
    assert_eq!(status(&hub, confused), 200);
}

#[test]
fn minted_tokens_pass_elsewhere() {
    let Some(material) = material() else { return };
    let directory = Directory::new("minted");
    let mut entries = Vec::new();
    for (name, of) in material["algorithms"].as_object().unwrap() {
        for form in ["private", "traditional"] {
            let Some(key) = of[form].as_str() else { continue };
            let file = directory.file(&format!("{name}-{form}"), key);
            let mut setup = Setup::bare().arg("token").arg("--key").arg(&format!("@{file}"));
            for arg in ["--alg", name, "--kid", "the key", "--aud", AUDIENCE, "--publish", "*"] {
                setup = setup.arg(arg);
            }
            let token = setup.run().ok();
            entries.push(json!({"alg": name, "token": token.trim(), "key": of["public"]}));
        }
    }
    let checked = python("verify", &Value::from(entries.clone()).to_string());
    assert_eq!(checked, json!(entries.len()));
    assert_eq!(entries.len(), 23);

    let mint = |of: &str, algorithm: &str| {
        let file = directory.file("key", text(&material["algorithms"][of]["private"]));
        let setup = Setup::bare().arg("token").arg("--key").arg(&format!("@{file}"));
        let output = setup.arg("--alg").arg(algorithm).run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
        output.stderr
    };
    assert!(mint("ES256", "ES384").contains("ES384 does not fit a P-256 key"));
    assert!(mint("RS256", "EdDSA").contains("EdDSA does not fit an RSA key"));
    assert!(mint("RS256", "HS256").contains("name the key's own algorithm"));
    assert!(mint("HS256", "RS256").contains("RS256 takes a key in PEM"));
}

fn a_key_that_was_published_a_moment_ago_is_fetched_while_its_token_waits(driver: Driver) {
    let Some(material) = material() else { return };
    let old = &material["algorithms"]["EdDSA"];
    let server = JwksServer::start(Reply::keys(&[&old["jwk"]]));
    let hub = with_set(driver, &server.url()).start();
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
    server.set(Reply::keys(&[&old["jwk"], &material["next"]["jwk"]]));
    // Requests that come together wait for one fetch.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(status(&hub, &material["next"]["token"]), 200));
        }
    });
    assert_eq!(server.requests(), 2);
    // A key that nobody knows is asked for once, and not again for a while.
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(status(&hub, &material["ghost"]), 401);
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(server.requests(), 2);
    hub.wait_for_log("for the issuer `urn:set` has the kid `ghost`");
}

#[test]
fn a_token_does_not_wait_for_a_server_that_stalls() {
    let Some(material) = material() else { return };
    let old = &material["algorithms"]["EdDSA"];
    let server = JwksServer::start(Reply::keys(&[&old["jwk"]]));
    let hub = with_set(Driver::Epoll, &server.url()).env("PETASOS_WORKERS", "1").start();
    server.set(Reply::Stall);
    let begin = Instant::now();
    // More than may wait; the others are refused at once.
    let answered = thread::scope(|scope| {
        let ask = || {
            assert_eq!(status(&hub, &material["ghost"]), 401);
            begin.elapsed()
        };
        let waiting: Vec<_> = (0..120).map(|_| scope.spawn(ask)).collect();
        thread::sleep(Duration::from_millis(500));
        // Nobody else waits with them.
        assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
        assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
        waiting.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let late = answered.iter().filter(|time| **time >= Duration::from_secs(3)).count();
    assert!((50..=100).contains(&late), "{late} of {answered:?}");
    assert!(answered.iter().all(|time| *time < Duration::from_secs(6)), "{answered:?}");
}

fn keys_rotate(driver: Driver) {
    let Some(material) = material() else { return };
    let [old, other] = ["EdDSA", "RS256"].map(|name| &material["algorithms"][name]);
    let next = &material["next"];
    let server = JwksServer::start(Reply::keys(&[&old["jwk"]]));
    let hub = with_set(driver, &server.url()).directive("jwks_refresh 1s").start();
    let mut stream = Stream::open(hub.addr, "match=t", "");
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
    server.set(Reply::keys(&[&old["jwk"], &next["jwk"]]));
    wait_for_status(&hub, &next["token"], 200);
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
    // The verdict on a token, remembered, goes with its key: on every worker.
    server.set(Reply::keys(&[&next["jwk"], &other["jwk"]]));
    wait_for_status(&hub, &old["set_tokens"][0], 401);
    for _ in 0..10 {
        assert_eq!(status(&hub, &old["set_tokens"][0]), 401);
        assert_eq!(status(&hub, &next["token"]), 200);
        assert_eq!(status(&hub, &other["set_tokens"][0]), 200);
    }
    stream.data(3);
}

/// Whatever a server does: the last good keys stay, the log says why, and the hub recovers.
#[test]
fn a_set_that_fails_leaves_the_old_keys_in_use() {
    let Some(material) = material() else { return };
    let good = json!({"keys": [material["algorithms"]["EdDSA"]["jwk"]]}).to_string();
    let head = b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[".to_vec();
    let redirect = "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/keys?x=\"\r\n\
                    Content-Length: 0\r\n\r\n";
    let cases = [
        ("500", Reply::new("500 Internal Server Error", &good), "500 Internal Server Error"),
        ("404", Reply::new("404 Not Found", ""), "404 Not Found"),
        ("nothing", Reply::Bytes(vec![]), "no answer"),
        ("no HTTP", Reply::Bytes(b"220 smtp\r\n\r\n".to_vec()), "no answer"),
        ("garbage", Reply::new("200 OK", "<html>"), "no set of keys"),
        ("truncated", Reply::new("200 OK", &good[..good.len() - 9]), "no set of keys"),
        ("longer", Reply::with_length("200 OK", &good, good.len() + 9), "broke off"),
        ("shorter", Reply::with_length("200 OK", &good, good.len() - 9), "no set of keys"),
        ("empty", Reply::new("200 OK", r#"{"keys":[]}"#), "it is empty"),
        ("useless", Reply::keys(&[&material["oct"]]), "shared secret (oct)"),
        ("redirect", Reply::Bytes(redirect.into()), "redirects to `https://elsewhere.example/keys"),
        ("endless", Reply::Endless(head.clone(), vec![b' '; 65_536]), "more than 1048576 bytes"),
        ("stall", Reply::Stall, "longer than 10 s"),
        ("drip", Reply::Drip(head, Duration::from_secs(1)), "longer than 10 s"),
        (
            "endless head",
            Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(1000)),
            "no answer",
        ),
    ];
    thread::scope(|scope| {
        for (name, reply, reason) in cases {
            let good = &good;
            scope.spawn(move || {
                let old = &material["algorithms"]["EdDSA"];
                let server = JwksServer::start(Reply::new("200 OK", good));
                let setup = with_set(Driver::Epoll, &server.url()).env("PETASOS_WORKERS", "1");
                let hub = setup.directive("jwks_refresh 1s").start();
                server.set(reply);
                hub.wait_for_log("a key set cannot be fetched: the last good keys stay in use");
                hub.wait_for_log(reason);
                assert_eq!(status(&hub, &old["set_tokens"][0]), 200, "{name}: {}", hub.log());
                thread::sleep(Duration::from_secs(3));
                assert_eq!(status(&hub, &old["set_tokens"][1]), 200, "{name}: {}", hub.log());
                // One line, however often it fails.
                assert_eq!(hub.log().matches("cannot be fetched").count(), 1, "{}", hub.log());
                server.set(Reply::keys(&[&material["next"]["jwk"]]));
                hub.wait_for_log("the key set is fetched again");
                wait_for_status(&hub, &material["next"]["token"], 200);
                assert_eq!(status(&hub, &old["set_tokens"][0]), 401, "{name}: {}", hub.log());
            });
        }
    });
}

/// Reading the settings again does not forget what was fetched.
#[test]
fn fetched_keys_outlive_the_reading_of_settings() {
    let Some(material) = material() else { return };
    let old = &material["algorithms"]["EdDSA"];
    let server = JwksServer::start(Reply::keys(&[&old["jwk"]]));
    let hub = with_set(Driver::Epoll, &server.url()).start();
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200, "{}", hub.log());
    server.set(Reply::new("500 Internal Server Error", ""));
    hub.signal(libc::SIGHUP);
    hub.wait_for_log("settings were read again");
    hub.wait_for_log("a key set cannot be fetched: the last good keys stay in use");
    assert_eq!(status(&hub, &old["set_tokens"][1]), 200, "{}", hub.log());
    server.set(Reply::keys(&[&material["next"]["jwk"]]));
    wait_for_status(&hub, &material["next"]["token"], 200);
}

#[test]
fn a_hub_starts_without_the_keys_that_it_cannot_fetch() {
    let Some(material) = material() else { return };
    let next = &material["next"];
    for reply in [Reply::new("503 Service Unavailable", ""), Reply::Stall] {
        let server = JwksServer::start(reply);
        let hub = with_set(Driver::Epoll, &server.url()).directive("jwks_refresh 1s").start();
        assert_eq!(status(&hub, &next["token"]), 401);
        hub.wait_for_log("publisher keys for the issuer `urn:set` are missing");
        server.set(Reply::keys(&[&next["jwk"]]));
        wait_for_status(&hub, &next["token"], 200);
    }
    // Nobody listens there.
    let hub = with_set(Driver::Epoll, &format!("http://{}/jwks", free_addr())).start();
    assert_eq!(status(&hub, &next["token"]), 401);
    hub.wait_for_log("could not be fetched yet: no answer");
}

#[test]
fn keys_that_nobody_confirms_are_given_up() {
    let Some(material) = material() else { return };
    let next = &material["next"];
    let server = JwksServer::start(Reply::keys(&[&next["jwk"]]));
    let setup = with_set(Driver::Epoll, &server.url()).directive("jwks_refresh 1s");
    let hub = setup.directive("jwks_stale 3s").start();
    assert_eq!(status(&hub, &next["token"]), 200);
    server.set(Reply::new("500 Internal Server Error", ""));
    hub.wait_for_log("cannot be fetched");
    assert_eq!(status(&hub, &next["token"]), 200);
    hub.wait_for_log("are too old (jwks_stale)");
    assert_eq!(status(&hub, &next["token"]), 401);
    hub.wait_for_log("could not be fetched any more (jwks_stale)");
    server.set(Reply::keys(&[&next["jwk"]]));
    wait_for_status(&hub, &next["token"], 200);
}

#[test]
fn certificates_are_checked() {
    let Some(material) = material() else { return };
    let directory = Directory::new("tls");
    let (next, tls) = (&material["next"], &material["tls"]);
    let authority = directory.file("authority.pem", text(&tls["authority"]));
    let other = directory.file("other.pem", text(&material["rsa_certificate"]));
    let keys = Reply::keys(&[&next["jwk"]]);
    let server = JwksServer::start_tls(keys, text(&tls["certificate"]), text(&tls["key"]));
    let setup = || with_set(Driver::Epoll, &server.url());
    let hub = setup().env("SSL_CERT_FILE", &authority).start();
    assert_eq!(status(&hub, &next["token"]), 200, "{}", hub.log());
    assert!(!hub.log().contains("plain http"), "{}", hub.log());
    assert_eq!(server.requests(), 1);
    for setup in [setup(), setup().env("SSL_CERT_FILE", &other)] {
        let hub = setup.start();
        assert_eq!(status(&hub, &next["token"]), 401);
        hub.wait_for_log("its certificate is not accepted");
    }
    // Another name than the certificate's.
    let elsewhere = server.url().replace("127.0.0.1", "localhost");
    let hub = with_set(Driver::Epoll, &elsewhere).env("SSL_CERT_FILE", &authority).start();
    assert_eq!(status(&hub, &next["token"]), 401);
    hub.wait_for_log("its certificate is not accepted");
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_file_of_keys_is_watched() {
    let Some(material) = material() else { return };
    let directory = Directory::new("file");
    let set = |keys: &[&Value]| json!({ "keys": keys }).to_string();
    let [old, next] = [&material["algorithms"]["EdDSA"], &material["next"]];
    let path = directory.file("jwks.json", &set(&[&old["jwk"]]));
    let setup = || with_set(Driver::Epoll, &format!("file://{path}"));
    let hub = setup().start();
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
    // In place, as an editor does it.
    fs::write(&path, set(&[&next["jwk"]])).unwrap();
    wait_for_status(&hub, &next["token"], 200);
    assert_eq!(status(&hub, &old["set_tokens"][0]), 401);
    // By renaming, as careful programs do it.
    let temporary = directory.file("new", &set(&[&old["jwk"]]));
    fs::rename(temporary, &path).unwrap();
    wait_for_status(&hub, &old["set_tokens"][0], 200);
    fs::write(&path, "{").unwrap();
    hub.wait_for_log("a key set cannot be fetched: the last good keys stay in use");
    assert_eq!(status(&hub, &old["set_tokens"][0]), 200);
    fs::write(&path, set(&[&next["jwk"]])).unwrap();
    wait_for_status(&hub, &next["token"], 200);
    drop(hub);

    let mut relative = with_set(Driver::Epoll, "file://./jwks.json");
    relative.command().current_dir(&directory.0);
    assert_eq!(status(&relative.start(), &next["token"]), 200);

    fs::write(&path, "{").unwrap();
    let (code, output) = run_to_end(setup());
    assert_eq!(code, Some(1));
    assert!(output.contains("is no set of keys") && output.contains(&path), "{output}");
    fs::remove_file(&path).unwrap();
    let (code, output) = run_to_end(setup());
    assert_eq!(code, Some(1));
    assert!(output.contains("cannot read") && output.contains("JWK Set"), "{output}");
    let mut check = setup().arg("check").run();
    assert_eq!(check.code, Some(1));
    assert!(check.stderr.contains(&path), "{check:?}");
    check = with_set(Driver::Epoll, "https://a.example/jwks?key=hidden ES256").arg("check").run();
    assert!(check.stdout.contains("jwks_uri https://a.example/jwks?*** ES256"), "{check:?}");
    assert!(!check.stdout.contains("hidden"), "{check:?}");
}
