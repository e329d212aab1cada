//! Settings are read again while the hub runs: keys rotate, and no stream is cut.

use std::fs;

use crate::{
    admin::{numbers, until},
    common::{
        client::{Stream, publication, publish, refused, request},
        hub::{AUDIENCE, Driver, Hub, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        process::wait_until,
        tokens,
        tools::Directory,
    },
    on_both_drivers,
};

on_both_drivers!(
    keys_rotate_and_no_stream_is_cut,
    what_needs_a_restart_is_named_and_stays,
    settings_with_mistakes_change_nothing,
);

/// What is said to change without a restart is what does.
#[test]
fn the_settings_that_change_are_listed() {
    let text = include_str!("../docs/operations.md");
    let (_, text) = text.split_once("Without a restart change:").unwrap();
    let (listed, _) = text.split_once("The log says").unwrap();
    assert!(listed.contains("keys, issuers and key sets"));
    let is_of_keys = |name: &str| name.contains("jw") || name.contains("issuer");
    for setting in petasos::config::settings().filter(|setting| !is_of_keys(setting.name)) {
        let is_listed = listed.contains(&format!("`{}`", setting.name));
        assert_eq!(is_listed, setting.reloads, "{}", setting.name);
    }
}

const OLD_KEY: &str = "the-key-of-yesterday-0123456789abcdef";
const ORIGIN: &str = "https://app.example";

/// A hub whose file can be written again.
struct Reloaded {
    hub: Hub,
    file: String,
    /// How often settings were read again.
    times: usize,
    _directory: Directory,
}

impl Reloaded {
    fn start(driver: Driver, name: &str, text: &str) -> Reloaded {
        let directory = Directory::new(&format!("reload-{name}-{}", driver.name()));
        let file = directory.file("hub.conf", &with_subscribers(text));
        let setup = Setup::bare()
            .env("PETASOS_DRIVER", driver.name())
            .env("PETASOS_WORKERS", "2")
            .arg("--config")
            .arg(&file);
        Reloaded { hub: setup.start(), file, times: 0, _directory: directory }
    }

    /// Writes the file anew and waits until it was read.
    fn reload(&mut self, text: &str, signal: i32) {
        fs::write(&self.file, with_subscribers(text)).unwrap();
        self.times += 1;
        self.hub.signal(signal);
        let times = self.times;
        let is_read = |log: &str| log.matches("settings were read again").count() == times;
        wait_until("the settings are read", || is_read(&self.hub.log()));
    }
}

fn with_subscribers(text: &str) -> String {
    format!(
        "{text}\ntrusted_issuers {ISSUER}\nresource_identifier {AUDIENCE}\n\
         subscriber_jwt {SUBSCRIBER_KEY}\nanonymous\n"
    )
}

fn status(hub: &Hub, key: &str) -> u16 {
    let token = tokens::sign(&tokens::claims("publish", &["*"]), key);
    request(hub.addr, &publication(&token, &[("topic", "a"), ("data", "x")])).status
}

fn keys_rotate_and_no_stream_is_cut(driver: Driver) {
    let only = |key: &str| format!("publisher_jwt {key}");
    let both = format!("{}\npublisher_jwt_previous {OLD_KEY}", only(PUBLISHER_KEY));
    let mut hub = Reloaded::start(driver, "keys", &only(OLD_KEY));
    let bearer = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["*"]));
    let mut streams = [("", "anonymous"), (&bearer, "with a token")].map(|(fields, who)| {
        let stream = Stream::open(hub.hub.addr, "match=a", fields);
        (stream, who)
    });
    let mut expected = 0;
    for (text, signal, old, new) in [
        (None, 0, 200, 401),
        (Some(&both), libc::SIGHUP, 200, 200),
        (Some(&only(PUBLISHER_KEY)), libc::SIGUSR1, 401, 200),
    ] {
        if let Some(text) = text {
            hub.reload(text, signal);
        }
        assert_eq!((status(&hub.hub, OLD_KEY), status(&hub.hub, PUBLISHER_KEY)), (old, new));
        expected = [old, new].iter().filter(|status| **status == 200).count();
        for (stream, who) in &mut streams {
            assert_eq!(stream.data(expected).len(), expected, "{who}: not cut, and nothing lost");
        }
    }
    assert_eq!(expected, 1);
    let log = hub.hub.log();
    assert!(log.contains("changed without a restart: publisher_jwt, publisher_jwt_previous"));
    assert!(log.contains("changed without a restart: publisher_jwt_previous"), "{log}");
    assert!(log.contains("the signature fits no configured publisher key"), "{log}");
    // Who rotates keys sees whether the old one is still used.
    let accepted = |role: &str, key: &str| {
        let issuer = format!("issuer=\"{ISSUER}\"");
        format!("petasos_tokens_accepted_total{{{issuer},role=\"{role}\",key=\"{key}\"}}")
    };
    let numbers_now = numbers(&hub.hub);
    assert_eq!(numbers_now[&accepted("publisher", "current")], 1.0, "{numbers_now:#?}");
    assert_eq!(numbers_now.get(&accepted("publisher", "previous")), None);
    hub.reload(&both, libc::SIGHUP);
    for _ in 0..3 {
        assert_eq!(status(&hub.hub, OLD_KEY), 200);
    }
    until(&hub.hub, "the old key is used", |numbers| {
        numbers[&accepted("publisher", "previous")] == 3.0
            && numbers[&accepted("publisher", "current")] == 0.0
            && numbers[&accepted("subscriber", "current")] == 0.0
    });
}

fn what_needs_a_restart_is_named_and_stays(driver: Driver) {
    let key = format!("publisher_jwt {PUBLISHER_KEY}");
    let mut hub = Reloaded::start(driver, "restart", &format!("{key}\nmax_matchers 3"));
    let allowed = |hub: &Hub| {
        let answer = refused(hub.addr, "", &format!("Origin: {ORIGIN}\r\n"));
        answer.field("Access-Control-Allow-Origin").map(str::to_owned)
    };
    let four = "match=a&match=b&match=c&match=d";
    assert_eq!(allowed(&hub.hub), None);
    assert_eq!(refused(hub.hub.addr, four, "").status, 400);
    let text = format!("{key}\nmax_matchers 4\ncors_origins {ORIGIN}\nworkers 7\nheartbeat 9s");
    hub.reload(&text, libc::SIGHUP);
    assert_eq!(allowed(&hub.hub).as_deref(), Some(ORIGIN));
    drop(Stream::open(hub.hub.addr, four, ""));
    let log = hub.hub.log();
    assert!(log.contains("a restart is needed for what has changed of: heartbeat"), "{log}");
    assert!(log.contains("changed without a restart: cors_origins, max_matchers"), "{log}");
    // What is logged changes as well, both ways.
    for (level, is_told) in [("debug", true), ("info", false)] {
        hub.reload(&format!("{text}\nlog_level {level}"), libc::SIGHUP);
        let count = |line: &str| hub.hub.log().matches(line).count();
        let (rules, refusals) = ("a rule that a refused token breaks", "token refused");
        let before = (count(rules), count(refusals));
        assert_eq!(status(&hub.hub, OLD_KEY), 401);
        // Lines are written in their order: the rules first.
        wait_until("the refusal is logged", || count(refusals) > before.1);
        assert_eq!(count(rules) > before.0, is_told, "{level}: {}", hub.hub.log());
    }
    let page = request(hub.hub.admin(), "GET /config HTTP/1.1\r\nHost: a\r\n\r\n").body;
    assert!(page.contains("cors_origins https://app.example"), "{page}");
    assert!(page.contains("heartbeat 40s"), "{page}");
    // What is the same as it was is told as such.
    hub.reload(&text, libc::SIGHUP);
    assert!(hub.hub.log().contains("changed without a restart: nothing"));
}

fn settings_with_mistakes_change_nothing(driver: Driver) {
    let key = format!("publisher_jwt {PUBLISHER_KEY}");
    let mut hub = Reloaded::start(driver, "mistakes", &key);
    let mut stream = Stream::open(hub.hub.addr, "match=a", "");
    for (text, told) in [
        (&*format!("{key}\nhartbeat 1s"), "unknown directive `hartbeat`; did you mean"),
        ("", "no key for publishers"),
        (&*format!("{key}\nmercure {{"), "is not closed by a `}`"),
    ] {
        hub.reload(text, libc::SIGHUP);
        let log = hub.hub.log();
        assert!(log.contains(told), "{told}: {log}");
        assert!(log.contains("settings were read again, and have mistakes: all stays as it was"));
        let token = tokens::publisher(&["*"]);
        publish(hub.hub.addr, &token, &[("topic", "a"), ("data", told)]);
        assert_eq!(stream.data(1), [told]);
    }
    fs::remove_file(&hub.file).unwrap();
    hub.hub.signal(libc::SIGHUP);
    hub.hub.wait_for_log("cannot read");
    assert_eq!(status(&hub.hub, PUBLISHER_KEY), 200);
}
