//! What transports are read from, and what is said about mistakes.

use std::time::Duration;

use super::*;

fn option(name: &str, word: &str) -> Directive {
    let words = word.split(' ').map(str::to_owned).collect();
    Directive { line: 1, name: name.to_owned(), words, block: None }
}

fn read(word: &str, options: Option<&[(&str, &str)]>) -> Result<Draft, String> {
    let block = options.map(|all| all.iter().map(|(name, word)| option(name, word)).collect());
    let mut draft = Draft::default();
    draft.config.data_dir = "data".into();
    let given = Given { source: Source::Dev, words: vec![word.to_owned()], block };
    store(&mut draft, &given).map(|()| draft)
}

fn transport(word: &str, options: Option<&[(&str, &str)]>) -> Result<Transport, String> {
    read(word, options).map(|draft| draft.config.log.transport)
}

fn embedded(directory: &str) -> Embedded {
    Embedded {
        directory: directory.into(),
        updates_max: None,
        bytes_max: NonZeroU64::new(1 << 30),
        age_max: None,
        sync: SyncMode::Always,
    }
}

#[test]
fn memory_and_local_are_read() {
    let memory =
        |updates, bytes_max| Transport::Memory { updates_max: NonZeroU64::new(updates), bytes_max };
    for (word, options, expected) in [
        ("local", None, Transport::Local),
        ("local://", None, Transport::Local),
        ("local://local", None, Transport::Local),
        ("memory", None, memory(0, 128 << 20)),
        ("memory://", None, memory(0, 128 << 20)),
        ("memory://?size=5&max_bytes=1MiB", None, memory(5, 1 << 20)),
        ("memory", Some(&[("size", "7"), ("max_bytes", "2 KiB")][..]), memory(7, 2048)),
    ] {
        assert_eq!(transport(word, options), Ok(expected), "{word}");
    }
}

#[test]
fn the_embedded_history_lies_in_the_data_directory_or_beside_the_path() {
    for (word, options, directory) in [
        ("embedded", None, "data/history"),
        ("bolt", Some(&[][..]), "data/history"),
        ("embedded://", None, "data/history"),
        ("bolt://?size=0", None, "data/history"),
        ("bolt", Some(&[("path", "/data/mercure.db")][..]), "/data/mercure.db.petasos"),
        ("embedded", Some(&[("path", "sub/x/")][..]), "sub/x.petasos"),
        ("bolt://mercure.db", None, "mercure.db.petasos"),
        ("BOLT://Mercure.DB", None, "Mercure.DB.petasos"),
        ("bolt:///data/mercure.db", None, "/data/mercure.db.petasos"),
        ("bolt:///data/mercure.db?", None, "/data/mercure.db.petasos"),
        ("bolt://./x.db?size=0", None, "./x.db.petasos"),
        ("bolt://../x.db", None, "../x.db.petasos"),
        ("bolt://sub/../x.db", None, "sub/../x.db.petasos"),
        ("bolt:///a%20b/%C3%A9%3F+", None, "/a b/é?+.petasos"),
        ("bolt://?path=a%2Fb+c", None, "a/b c.petasos"),
    ] {
        let expected = Ok(Transport::Embedded(embedded(directory)));
        assert_eq!(transport(word, options), expected, "{word} {options:?}");
    }
}

#[test]
fn options_of_the_embedded_history_are_read() {
    let with = |change: fn(&mut Embedded)| {
        let mut embedded = embedded("data/history");
        change(&mut embedded);
        Ok(Transport::Embedded(embedded))
    };
    for (option, in_url, expected) in [
        (("size", "0"), "size=0", with(|_| {})),
        (("size", "9"), "size=9", with(|it| it.updates_max = NonZeroU64::new(9))),
        (("max_bytes", "0"), "max_bytes=0", with(|it| it.bytes_max = None)),
        (
            ("max_bytes", "2 GiB"),
            "max_bytes=2GiB",
            with(|it| it.bytes_max = NonZeroU64::new(2 << 30)),
        ),
        (("max_age", "0"), "max_age=0", with(|_| {})),
        (
            ("max_age", "30d"),
            "max_age=30d",
            with(|it| it.age_max = Some(Duration::from_secs(30 * 86_400))),
        ),
        (("sync", "always"), "sync=always", with(|_| {})),
        (("sync", "off"), "sync=off", with(|it| it.sync = SyncMode::Off)),
        (
            ("sync", "interval 1s"),
            "sync=interval+1s",
            with(|it| it.sync = SyncMode::Interval(Duration::from_secs(1))),
        ),
        (
            ("sync", "interval 5ms"),
            "sync=interval%205ms",
            with(|it| it.sync = SyncMode::Interval(Duration::from_millis(5))),
        ),
        (("bucket_name", "updates"), "bucket_name=updates", with(|_| {})),
        (("cleanup_frequency", "0.3"), "cleanup_frequency=0.3", with(|_| {})),
        (("cleanup_frequency", "1"), "cleanup_frequency=1", with(|_| {})),
    ] {
        assert_eq!(transport("embedded", Some(&[option])), expected, "{option:?}");
        assert_eq!(transport("bolt", Some(&[option])), expected, "{option:?}");
        assert_eq!(transport(&format!("bolt://?{in_url}"), None), expected, "{in_url}");
    }
}

#[test]
fn options_without_effect_are_told_of() {
    let told = |word: &str| {
        let draft = read(word, None).ok().unwrap();
        draft.notices.iter().map(Notice::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("bolt://x?size=5"), <[&str; 0]>::default());
    assert_eq!(
        told("bolt://x?cleanup_frequency=0&bucket_name=b"),
        [
            "--dev: transport: cleanup_frequency has no effect: what is beyond the limits goes at \
             once",
            "--dev: transport: bucket_name has no effect: the history is no BoltDB file",
        ]
    );
}

#[test]
fn mistakes_are_named_and_passwords_are_not() {
    const LIKE: &str = "has no name of its own; write it like /var/lib/petasos/history";
    const SYNC: &str = "is not possible here; write always, interval DURATION (in a URL \
                        interval+DURATION) or off";
    const URL: &str = "in this URL only a path and options are possible; in a path write : as \
                       %3A, @ as %40 and # as %23";
    let later = |name| {
        format!(
            "the transport `{name}` is not supported yet by this version; use embedded, memory or \
             local"
        )
    };
    let with = |name, word| (format!("embedded {name} {word}"), Some(vec![(name, word)]));
    let url = |url: &str| (url.to_owned(), None);
    for ((word, options), expected) in [
        (url("redis"), later("redis")),
        (url("nats"), later("nats")),
        (url("redis://u:pass@host"), later("redis")),
        (
            url("amqp://u:pass@host"),
            "the URL's scheme is not a transport; use embedded://, memory:// or local://".into(),
        ),
        (url("disk"), "`disk` is not a transport; use embedded, memory or local".into()),
        (
            url("memory://?sise=5"),
            "`sise` is not an option of memory; size and max_bytes are".into(),
        ),
        (
            url("memory://?bucket_name=b"),
            "`bucket_name` is not an option of memory; size and max_bytes are".into(),
        ),
        (
            url("memory://?size=x"),
            "size: `x` is not a whole number from 0 to 18446744073709551615".into(),
        ),
        (
            url("memory://?max_bytes=0"),
            "max_bytes: `0` is out of range; possible are 1 to 1048576GiB".into(),
        ),
        (url("memory://?size=1&size=2"), "size: it is given twice".into()),
        (url("bolt://x?path=y"), "path: it is given twice".into()),
        (url("bolt://u:pass@host"), URL.into()),
        (url("bolt://u@host"), URL.into()),
        (url("bolt://host:80/x"), URL.into()),
        (url("bolt:///x#y"), URL.into()),
        (url("bolt:///%ff"), "the path in the URL is not UTF-8".into()),
        (url("bolt:///"), format!("path: `/` {LIKE}")),
        (url("bolt://.."), format!("path: `..` {LIKE}")),
        (
            url("bolt://x?sise=5"),
            "`sise` is not an option of bolt; path, size, max_bytes, max_age and sync are".into(),
        ),
        (with("path", "/"), format!("path: `/` {LIKE}")),
        (
            with("size", "-1"),
            "size: `-1` is not a whole number from 0 to 18446744073709551615".into(),
        ),
        (
            with("max_bytes", "2000000GiB"),
            "max_bytes: `2000000GiB` is out of range; possible are 0 to 1048576GiB".into(),
        ),
        (
            with("max_age", "30"),
            "max_age: `30` is not a duration; write it like 40s, 1m30s or 500ms".into(),
        ),
        (with("sync", "1s"), format!("sync: `1s` {SYNC}")),
        (with("sync", "interval"), format!("sync: `interval` {SYNC}")),
        (with("sync", "always 1s"), format!("sync: `always 1s` {SYNC}")),
        (with("sync", "interval 0"), "sync: zero is not possible here".into()),
        (
            with("sync", "interval x"),
            "sync: `x` is not a duration; write it like 40s, 1m30s or 500ms".into(),
        ),
        (
            with("cleanup_frequency", "1.1"),
            "cleanup_frequency: `1.1` is not a number from 0 to 1".into(),
        ),
        (
            with("cleanup_frequency", "NaN"),
            "cleanup_frequency: `NaN` is not a number from 0 to 1".into(),
        ),
        (
            with("compact", "1"),
            "`compact` is not an option of embedded; path, size, max_bytes, max_age and sync are"
                .into(),
        ),
    ] {
        let name = word.split(' ').next().unwrap();
        let told = transport(name, options.as_deref());
        assert_eq!(told, Err(expected), "{word}");
    }
    for (word, options, expected) in [
        ("local", &[("size", "1")][..], "the transport `local` has no options"),
        ("memory://", &[], "a URL has no block; write ?size=N instead"),
        ("bolt", &[("size", "1"), ("size", "1")], "size: it is given twice"),
    ] {
        assert_eq!(transport(word, Some(options)), Err(expected.to_owned()), "{word}");
    }
    let words = ["bolt:///a", "b"].map(str::to_owned).to_vec();
    let given = Given { source: Source::Default, words, block: None };
    let told = store(&mut Draft::default(), &given);
    assert_eq!(told, Err("one URL is possible; a space in it is written %20".to_owned()));
}
