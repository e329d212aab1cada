//! Settings from every source, and what is said about wrong ones.

use crate::common::{
    client::{Stream, publish, refused, request},
    hub::{Driver, Output, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
    tokens,
    tools::Directory,
};

/// `petasos check` with the keys that a hub cannot do without.
fn check() -> Setup {
    Setup::bare()
        .env("ADDR", "")
        .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY)
        .arg("check")
}

/// The value of a setting in force and where it comes from.
fn in_force(output: &Output, name: &str) -> (String, String) {
    assert_eq!(output.code, Some(0), "{output:?}");
    let line = output.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {output:?}"));
    let (value, source) = line[name.len()..].split_once(" # ").unwrap();
    (value.trim().to_owned(), source.trim().to_owned())
}

#[test]
fn the_later_source_wins() {
    let directory = Directory::new("settings");
    let file = directory.file("hub.conf", "heartbeat 1s # of the file\nmax_topics 7\n");
    let name = "heartbeat";
    let flags = |setup: Setup| setup.arg("--config").arg(&file);
    let value = |setup: Setup| in_force(&setup.run(), name).0;
    assert_eq!(value(check()), "40s");
    assert_eq!(value(flags(check())), "1s");
    assert_eq!(value(flags(check()).env("PETASOS_HEARTBEAT", "")), "1s");
    assert_eq!(value(flags(check()).env("PETASOS_HEARTBEAT", "2s")), "2s");
    let all = flags(check()).env("PETASOS_HEARTBEAT", "2s").arg("--heartbeat").arg("3s");
    assert_eq!(in_force(&all.run(), name), ("3s".into(), "--heartbeat".into()));
    let (value, source) = in_force(&flags(check()).run(), "max_topics");
    assert_eq!(value, "7");
    assert!(source.contains("hub.conf:2"), "{source}");
    let output = check().env("PETASOS_CONFIG", &file).directive("max_topics 8").run();
    assert_eq!(in_force(&output, "max_topics").0, "8");
}

#[test]
fn secrets_are_not_shown() {
    let secret = "a secret of the test 0123456789 0123456789";
    let output = check()
        .env("MERCURE_PUBLISHER_JWT_KEY", secret)
        .env("MERCURE_SUBSCRIBER_JWT_KEY_PREVIOUS", secret)
        .directive(&format!("publisher_jwt \"{secret}\" HS512"))
        .run();
    assert_eq!(output.code, Some(0), "{output:?}");
    for broken in [
        format!("publisher_jwt \"{secret}\" RS256"),
        format!("publisher_jwt {secret}"),
        format!("issuer x {{\n publisher {{\n jwt {secret}\n }}\n}}"),
        format!("issuer x {{\n publisher {{\n jwks {secret}\n }}\n}}"),
        format!("publisher_jvt \"{secret}\""),
        format!("transport redis://user:{secret}@host"),
    ] {
        let output = check().directive(&broken).run();
        assert_eq!(output.code, Some(1), "{broken} {output:?}");
        for word in ["secret of", "0123456789"] {
            assert!(!output.stderr.contains(word) && !output.stdout.contains(word), "{output:?}");
        }
    }
    let shown = format!("{}{}", output.stdout, output.stderr);
    assert!(!shown.contains("secret of") && !shown.contains("0123456789"), "{shown}");
}

#[test]
fn every_mistake_is_one_line_that_names_its_place() {
    for (directive, expected) in [
        ("heartbeat", &["heartbeat"][..]),
        ("heartbeat 5", &["heartbeat", "`5`"]),
        ("heartbeat -5s", &["heartbeat"]),
        ("heartbeat 5s 6s", &["heartbeat"]),
        ("heartbeat {\n}", &["heartbeat"]),
        ("header_timeout 0", &["header_timeout"]),
        ("heartbeet 5s", &["heartbeet", "heartbeat"]),
        ("anonymous maybe", &["anonymous", "maybe"]),
        ("max_topics 0", &["max_topics"]),
        ("max_topics 1.5", &["max_topics"]),
        ("max_headers 129", &["max_headers", "128"]),
        ("max_header_size 100", &["max_header_size"]),
        ("max_request_body_size 1XB", &["max_request_body_size"]),
        ("transport nats", &["transport", "nats", "embedded"]),
        ("transport nonsense", &["transport", "nonsense"]),
        ("transport memory {\n sise 5\n}", &["sise"]),
        ("transport memory {\n size -1\n}", &["size"]),
        ("transport local {\n size 1\n}", &["local"]),
        ("transport bolt {\n sync sometimes\n}", &["sync", "sometimes", "interval DURATION"]),
        ("transport bolt://x?size=x", &["size", "`x`"]),
        ("cors_origins example.com", &["cors_origins", "https://example.com"]),
        ("cors_origins https://*.example.com", &["cors_origins"]),
        ("cors_origins https://example.com/path", &["cors_origins"]),
        ("listen example", &["listen", "HTTPS"]),
        ("listen 127.0.0.1:99999", &["listen"]),
        ("resource_identifier hub", &["resource_identifier"]),
        ("resource_identifier https://a/#b", &["resource_identifier"]),
        ("public_urls ftp://x", &["public_urls"]),
        ("driver kqueue", &["driver", "io_uring"]),
        ("workers many", &["workers"]),
        ("overload panic", &["overload", "retry"]),
        ("log_level loud", &["log_level", "info"]),
        ("unknown_last_event_id some", &["unknown_last_event_id", "live"]),
        ("reused_ids never", &["reused_ids", "refuse"]),
        ("subscriptions", &["subscriptions"]),
        ("debugger", &["debugger"]),
        ("protocol_version_compatibility 6", &["protocol_version_compatibility", "auto, 8"]),
        ("issuer x", &["issuer"]),
        ("issuer x {\n publisher {\n jwks_uri x\n }\n}", &["jwks_uri", "https://"]),
        ("}", &["}"]),
        ("transport memory {", &["}"]),
        ("publisher_jwt \"open", &["\""]),
    ] {
        for setup in [check(), check().env("PETASOS_LOG_LEVEL", "error")] {
            let output = setup.directive("# first line").directive(directive).run();
            assert_eq!(output.code, Some(1), "{directive} {output:?}");
            let lines: Vec<_> = output.stderr.lines().collect();
            assert_eq!(lines.len(), 1, "{directive} {output:?}");
            assert!(lines[0].starts_with("petasos: MERCURE_EXTRA_DIRECTIVES:"), "{output:?}");
            assert!(expected.iter().all(|text| lines[0].contains(text)), "{directive} {output:?}");
        }
        // The hub itself says the same, and does not start.
        let output = Setup::new(Driver::Epoll).directive(directive).run();
        assert_eq!(output.code, Some(1), "{directive} {output:?}");
    }
    // All of them at once.
    let output = check().directive("max_topics x").directive("foo").arg("--heartbeat=y").run();
    assert_eq!((output.code, output.stderr.lines().count()), (Some(1), 3), "{output:?}");
}

#[test]
fn what_is_missing_is_named() {
    let bare = || Setup::bare().env("ADDR", "");
    for (setup, expected) in [
        (bare(), "MERCURE_PUBLISHER_JWT_KEY"),
        (bare().env("MERCURE_PUBLISHER_JWT_KEY", "x"), "MERCURE_SUBSCRIBER_JWT_KEY"),
        (bare().env("MERCURE_SUBSCRIBER_JWT_KEY", "x"), "MERCURE_PUBLISHER_JWT_KEY"),
        (bare().env("MERCURE_PUBLISHER_JWT_KEY", "").env("JWT_KEY", ""), "--dev"),
        (bare().env("MERCURE_TRUSTED_ISSUERS", "x"), "trusted issuers"),
        (
            check().env("PETASOS_REUSED_IDS", "first").env("MERCURE_TRANSPORT_URL", "local://"),
            "reused_ids needs a history",
        ),
    ] {
        let output = setup.run();
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(expected), "{output:?}");
        assert!(output.stderr.lines().all(|line| line.starts_with("petasos: ")), "{output:?}");
    }
}

#[test]
fn variables_of_the_reference_hub_are_known() {
    for (name, value, setting, expected) in [
        ("SERVER_NAME", ":8081", "listen", ":8081"),
        ("SERVER_NAME", "http://hub.example:81", "listen", "http://hub.example:81"),
        ("MERCURE_LISTEN_ADDR", "127.0.0.1:8082", "listen", "127.0.0.1:8082"),
        ("MERCURE_ALLOW_ANONYMOUS", "1", "anonymous", "1"),
        ("MERCURE_ALLOW_ANONYMOUS", "0", "anonymous", "0"),
        ("ALLOW_ANONYMOUS", "true", "anonymous", "true"),
        ("MERCURE_CORS_ALLOWED_ORIGINS", "https://a.example", "cors_origins", "https://a.example"),
        ("CORS_ALLOWED_ORIGINS", "*", "cors_origins", "*"),
        ("MERCURE_PUBLISHER_JWT_ALG", "HS512", "publisher_jwt_alg", "HS512"),
        ("MERCURE_TRANSPORT_URL", "local://local", "transport", "local"),
        ("MERCURE_TRANSPORT_URL", "bolt://m.db?size=5", "transport", "bolt://m.db?size=5"),
        ("MERCURE_DEBUG", "1", "debug", "1"),
        ("PETASOS_MAX_TOPICS", "5", "max_topics", "5"),
        ("PETASOS_WORKERS", "3", "workers", "3"),
    ] {
        let output = check().env(name, value).run();
        let (value, source) = in_force(&output, setting);
        assert!(value.contains(expected), "{name}: {value}");
        assert_eq!(source, name);
    }
}

/// What is kept, and where, is said before anything is written.
#[test]
fn the_history_is_on_disk_unless_something_else_is_said() {
    let default = check().env("MERCURE_TRANSPORT_URL", "").run();
    assert_eq!(in_force(&default, "data_dir"), ("./petasos-data".into(), "default".into()));
    assert_eq!(in_force(&default, "transport"), ("embedded {".into(), "default".into()));
    assert!(default.stderr.contains("up to 1GiB"), "{default:?}");
    assert!(default.stderr.contains("in ./petasos-data/history;"), "{default:?}");
    let directory = Directory::new("history");
    let durable = check().durable(&directory.0).run();
    let path = directory.0.to_str().unwrap();
    assert_eq!(in_force(&durable, "data_dir").0, path);
    assert!(durable.stderr.contains(&format!("in {path}/history;")), "{durable:?}");
    let memory = check().env("PETASOS_DATA_DIR", path).run();
    assert_eq!(in_force(&memory, "transport").0, "memory://");
    assert!(!memory.stderr.contains(path), "{memory:?}");
    // Checking is no serving.
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
}

/// A file as people write it, with comments, blocks, placeholders and quotes.
#[test]
fn a_file_configures_a_whole_hub() {
    let directory = Directory::new("whole");
    let key = directory.file("key", &format!("{SUBSCRIBER_KEY}\n"));
    let text = format!(
        "# A hub.\nlisten 127.0.0.1:0\nissuer https://issuer.example {{\n\tpublisher {{\n\
         \t\tjwt {{env.KEY}}\n\t}}\n\tsubscriber {{\n\t\tjwt {{file.{key}}} # from a file\n\
         \t}}\n}}\n\
         resource_identifier https://hub.example/.well-known/mercure\n\
         cors_origins \"https://a.example\" https://b.example\n\n\
         transport memory {{\n\tsize 2\n}}\n\
         max_matchers 2\r\n"
    );
    let file = directory.file("hub.conf", &text);
    let bare = Setup::bare().env("ADDR", "").env("MERCURE_TRANSPORT_URL", "");
    let setup = bare.env("KEY", PUBLISHER_KEY);
    let hub = setup.arg("serve").arg("--config").arg(&file).arg("--workers=1").start();
    let field = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["*"]));
    let publisher = tokens::publisher(&["*"]);
    for data in ["1", "2", "3"] {
        publish(hub.addr, &publisher, &[("topic", "a"), ("data", data), ("private", "on")]);
    }
    let mut stream = Stream::open(hub.addr, "match=a&last_event_id=earliest", &field);
    assert_eq!(stream.data(2), ["2", "3"]);
    assert_eq!(refused(hub.addr, "match=a", "").status, 401);
    assert_eq!(refused(hub.addr, "match=a&match=b&match=c", &field).status, 400);
    let origin = "GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: https://b.example\r\n\r\n";
    let answer = request(hub.addr, origin);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://b.example"));
}
