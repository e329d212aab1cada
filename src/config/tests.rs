//! Loading as a whole: every setting from every source, precedence, and the lines that mistakes
//! get.

use std::{
    collections::BTreeSet,
    num::{NonZeroU64, NonZeroUsize},
    path::Path,
    time::Duration,
};

use super::*;
use crate::auth::{Role, key::Algorithm};

mod caddyfile;

/// 32 bytes: nothing to complain about.
const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// Sources of a test, on top of keys that make them complete.
#[derive(Default)]
struct Given<'a> {
    file: &'a str,
    variables: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
    without_keys: bool,
    dev: bool,
}

fn read_file(path: &str) -> Result<String, String> {
    match path {
        "/key" => Ok(format!("{OTHER}\n")),
        "/issuers" => Ok(format!("issuer urn:i {{ publisher {{ jwt {OTHER} }} }}\n")),
        _ => Err(format!("cannot read `{path}`: there is no such file")),
    }
}

fn load_given(given: &Given<'_>) -> Result<Loaded, Vec<Mistake>> {
    let keys = [("MERCURE_PUBLISHER_JWT_KEY", KEY), ("MERCURE_SUBSCRIBER_JWT_KEY", KEY)];
    let keys = if given.without_keys { &[][..] } else { &keys };
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let environment = keys.iter().chain(given.variables).map(own).collect();
    let flag = |&(name, value): &(&str, &str)| {
        let setting = settings().find(|setting| setting.flag() == name);
        (setting.unwrap_or_else(|| panic!("no flag {name}")), vec![value.to_owned()])
    };
    load(&Sources {
        dev_key: given.dev.then(|| Secret::new(*b"0123456789abcdef0123456789abcdef")),
        file: Some(ConfigFile { name: "hub.conf", text: given.file }),
        environment: &environment,
        flags: &given.flags.iter().map(flag).collect::<Vec<_>>(),
        application: None,
        is_to_run: true,
        read_file: &read_file,
    })
}

fn config(given: &Given<'_>) -> Config {
    match load_given(given) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => panic!("{}", lines(&mistakes)),
    }
}

fn from_file(file: &str) -> Config {
    config(&Given { file, ..Given::default() })
}

fn from_variables(variables: &[(&str, &str)]) -> Config {
    config(&Given { variables, ..Given::default() })
}

fn lines(of: &[impl ToString]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn mistakes(given: &Given<'_>) -> String {
    match load_given(given) {
        Ok(_) => panic!("no mistake was found"),
        Err(mistakes) => lines(&mistakes),
    }
}

#[test]
fn the_defaults_mean_what_they_say() {
    let config = config(&Given::default());
    assert_eq!(config.listen.addresses, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.listen.hub_url(), "http://127.0.0.1:8080/.well-known/mercure");
    assert_eq!(config.workers, Workers::default());
    assert_eq!(config.access.keys.len(), 2);
    assert!(!config.access.anonymous);
    assert_eq!(config.access.cors_origins, Origins::Listed(Vec::new()));
    assert_eq!(config.requests.body_bytes_max, 1 << 20);
    assert_eq!(config.requests.header_bytes_max, 128 << 10);
    assert_eq!(config.requests.connections_max, None);
    assert_eq!((config.limits.matchers_max, config.limits.topics_max), (1000, 1000));
    assert_eq!(config.streams.heartbeat, Some(Duration::from_secs(40)));
    assert_eq!(config.streams.dispatch_timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.streams.write_timeout, Some(Duration::from_secs(600)));
    let embedded = Embedded {
        directory: "./petasos-data/history".into(),
        updates_max: None,
        bytes_max: NonZeroU64::new(1 << 30),
        age_max: None,
        sync: SyncMode::Always,
    };
    assert_eq!(config.log.transport, Transport::Embedded(embedded));
    assert_eq!(config.log.worker_lag_bytes, 256 << 20);
    assert_eq!(config.grace_period, Duration::from_secs(5));
    assert_eq!(config.logging.level, LogLevel::Info);
}

/// A value for each setting that differs from its default, as flag, variable and directive.
fn sample(setting: &Setting) -> &'static str {
    match (setting.name, setting.kind) {
        ("issuer", _) => "/issuers",
        (_, Kind::Secret) => "/key",
        (_, Kind::Switch) => "on",
        (_, Kind::Count) => "17",
        (_, Kind::Size) => "17KiB",
        (_, Kind::Duration) => "17s",
        ("listen", _) => "127.0.0.1:17",
        ("resource_identifier" | "public_urls", _) => "https://e.org/x",
        ("publisher_jwt_alg" | "subscriber_jwt_alg", _) => "HS384",
        (_, Kind::KeySet) => "https://e.org/jwks",
        ("trusted_issuers", _) => "urn:i",
        ("cors_origins" | "publish_origins", _) => "https://e.org",
        ("trusted_proxies", _) => "10.0.0.0/8",
        ("cookie_name" | "name", _) => "hub",
        ("protocol_version_compatibility", _) => "7",
        ("admin", _) => "127.0.0.1:17",
        ("overload", _) => "reject",
        ("unknown_last_event_id", _) => "live",
        ("data_dir", _) => "/data",
        ("reused_ids", _) => "first",
        ("transport", _) => "local",
        ("workers", _) => "17",
        ("file_tables", _) => "worker",
        ("driver", _) => "epoll",
        ("log_format", _) => "json",
        ("log_level", _) => "debug",
        (name, _) => panic!("no sample for {name}"),
    }
}

#[test]
fn every_setting_is_complete_and_can_be_given_everywhere() {
    let default = config(&Given::default());
    let mut names = BTreeSet::new();
    for setting in settings() {
        let (name, flag) = (setting.name, setting.flag());
        for name in std::iter::once(name).chain(setting.aliases.iter().copied()) {
            assert!(names.insert(name), "{name} is there twice");
        }
        assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{name}");
        assert!(!setting.value_name().is_empty());
        let variable = &setting.variables()[0].name;
        assert_eq!(*variable, format!("PETASOS_{}", flag.to_uppercase().replace('-', "_")));

        let value = sample(setting);
        // Blocks of issuers do not go with keys that are bound to none.
        let bound = [("MERCURE_TRUSTED_ISSUERS", "urn:k")];
        let bound = if setting.kind == Kind::SecretBlocks { &bound[..] } else { &[] };
        let with = Given { variables: bound, ..Given::default() };
        let given_as_flag = config(&Given { flags: &[(&flag, value)], ..with });
        let given_as_variable = from_variables(&[bound, &[(variable, value)]].concat());
        assert_ne!(given_as_flag, default, "{name} has no effect");
        assert_eq!(given_as_flag, given_as_variable, "{name}");

        let directive = match setting.kind {
            Kind::SecretBlocks => read_file(value).unwrap(),
            Kind::Secret => format!("{name} {OTHER}"),
            _ => format!("{name} {value}"),
        };
        // Keys in variables win over those in the file.
        let from_environment = ["publisher_jwt", "subscriber_jwt"].contains(&name);
        let file = |file| Given { file, without_keys: from_environment, ..with };
        if from_environment {
            let all = format!("publisher_jwt {KEY}\nsubscriber_jwt {KEY}\n{directive}");
            assert_eq!(given_as_flag, config(&file(&all)), "{name}");
        } else {
            assert_eq!(given_as_flag, config(&file(&directive)), "{name}");
            let block = format!("mercure {{\n{directive}\n}}");
            assert_eq!(given_as_flag, config(&file(&block)), "{name}");
        }
        for variable in setting.variables {
            let value = if setting.kind == Kind::Secret { OTHER } else { value };
            assert_ne!(
                config(&Given {
                    file: &format!("publisher_jwt {KEY}\nsubscriber_jwt {KEY}"),
                    variables: &[(variable, value)],
                    without_keys: true,
                    ..Given::default()
                }),
                default,
                "{variable} has no effect"
            );
        }
    }
}

#[test]
fn a_hub_that_runs_takes_what_is_marked_so_and_nothing_else() {
    let base = Given::default();
    let old = load_given(&base).unwrap();
    for setting in settings() {
        let file = match setting.kind {
            Kind::Switch => setting.name.to_owned(),
            _ => format!("{} {}", setting.name, sample(setting)),
        };
        // Those keys are there already, from a later source.
        let given = match setting.name {
            "publisher_jwt" | "subscriber_jwt" => continue,
            "issuer" => {
                let issuer = format!("issuer i {{\npublisher {{\njwt {KEY}\n}}\n}}\nanonymous");
                let file: &str = Box::leak(issuer.into_boxed_str());
                Given { file, without_keys: true, ..Given::default() }
            }
            _ => Given { file: Box::leak(file.into_boxed_str()), ..Given::default() },
        };
        let Ok(new) = load_given(&given) else { panic!("{}", given.file) };
        let wanted = new.config.clone();
        assert_ne!(wanted, old.config, "{}: the sample differs from the default", given.file);
        let reload = old.reload(new);
        let told = [(true, &reload.changed), (false, &reload.needs_restart)];
        for (reloads, told) in told {
            assert_eq!(told.contains(&setting.name), setting.reloads == reloads, "{}", given.file);
        }
        let expected = if setting.reloads { &wanted } else { &old.config };
        assert_eq!(&reload.loaded.config, expected, "{}", given.file);
        let text = reload.loaded.describe();
        assert_eq!(text == old.describe(), !setting.reloads, "{}: {text}", given.file);
    }
    let same = old.reload(load_given(&base).unwrap());
    assert!(same.changed.is_empty() && same.needs_restart.is_empty(), "{same:?}");
}

#[test]
fn later_sources_win() {
    let heartbeat = |given: &Given<'_>| config(given).streams.heartbeat.unwrap().as_secs();
    let file = "heartbeat 1s";
    let variables = [("PETASOS_HEARTBEAT", "2s")];
    let extra = [("PETASOS_HEARTBEAT", "2s"), ("MERCURE_EXTRA_DIRECTIVES", "heartbeat 3s")];
    let flags = [("heartbeat", "4s")];
    assert_eq!(heartbeat(&Given { file, ..Given::default() }), 1);
    assert_eq!(heartbeat(&Given { file, variables: &variables, ..Given::default() }), 2);
    assert_eq!(heartbeat(&Given { file, variables: &extra, ..Given::default() }), 3);
    assert_eq!(heartbeat(&Given { file, variables: &extra, flags: &flags, ..Given::default() }), 4);
}

#[test]
fn of_variables_with_one_meaning_the_first_that_is_not_empty_counts() {
    let port = |variables: &[(&str, &str)]| from_variables(variables).listen.addresses[0].port();
    let all = [
        ("PETASOS_LISTEN", ":1"),
        ("SERVER_NAME", ":2"),
        ("MERCURE_LISTEN_ADDR", ":3"),
        ("ADDR", ":4"),
    ];
    for (i, port_expected) in [1, 2, 3, 4].into_iter().enumerate() {
        assert_eq!(port(&all[i..]), port_expected);
    }
    assert_eq!(port(&[("PETASOS_LISTEN", ""), ("SERVER_NAME", ""), ("ADDR", ":4")]), 4);
    assert_eq!(port(&[("ADDR", "")]), 8080);
}

#[test]
fn keys_come_with_role_issuer_and_algorithm() {
    let key = |issuer: Option<&str>, role, secret: &str, algorithm, previous| IssuerKey {
        issuer: issuer.map(str::to_owned),
        role,
        secret: Secret::new(secret.as_bytes()),
        algorithm,
        previous,
    };
    let keys = |given: &Given<'_>| config(given).access.keys;
    use crate::auth::Role::*;
    use Algorithm::*;
    let both = [("MERCURE_JWT_KEY", OTHER), ("JWT_ALG", "HS384")];
    assert_eq!(
        keys(&Given { variables: &both, without_keys: true, ..Given::default() }),
        [key(None, Publisher, OTHER, Hs384, false), key(None, Subscriber, OTHER, Hs384, false)]
    );
    let rotating = [
        ("MERCURE_TRUSTED_ISSUERS", "urn:a, urn:b"),
        ("MERCURE_PUBLISHER_JWT_KEY_PREVIOUS", OTHER),
    ];
    assert_eq!(
        keys(&Given { variables: &rotating, ..Given::default() }),
        [
            key(Some("urn:a"), Publisher, KEY, Hs256, false),
            key(Some("urn:b"), Publisher, KEY, Hs256, false),
            key(Some("urn:a"), Publisher, OTHER, Hs256, true),
            key(Some("urn:b"), Publisher, OTHER, Hs256, true),
            key(Some("urn:a"), Subscriber, KEY, Hs256, false),
            key(Some("urn:b"), Subscriber, KEY, Hs256, false),
        ]
    );
    let file = "issuer urn:a {
            publisher {
                jwt {env.KEY} HS512
                jwt {file./key}
            }
        }
        issuer urn:b {
            subscriber {
                jwt \"with space\" {env.UNSET}
            }
        }";
    let variables = [("KEY", KEY)];
    assert_eq!(
        keys(&Given { file, variables: &variables, without_keys: true, ..Given::default() }),
        [
            key(Some("urn:a"), Publisher, KEY, Hs512, false),
            key(Some("urn:a"), Publisher, OTHER, Hs256, false),
            key(Some("urn:b"), Subscriber, "with space", Hs256, false),
        ]
    );
    // Issuers of a later source replace those of an earlier one.
    let flags = [("issuer-file", "/issuers")];
    let variables = [("KEY", KEY), ("MERCURE_TRUSTED_ISSUERS", "urn:k")];
    let replaced = Given { file, flags: &flags, variables: &variables, ..Given::default() };
    assert_eq!(keys(&replaced)[0], key(Some("urn:i"), Publisher, OTHER, Hs256, false));
    assert_eq!(keys(&replaced).len(), 3);
}

#[test]
fn key_sets_come_with_role_issuer_and_algorithms() {
    let set = |issuer: Option<&str>, role, url, algorithms: &[Algorithm]| IssuerKeySet {
        issuer: issuer.map(str::to_owned),
        role,
        location: crate::keyring::Location::parse(url).unwrap(),
        algorithms: algorithms.to_vec(),
    };
    use crate::auth::Role::*;
    let file = "issuer https://a {
            authorization_server
            publisher {
                jwt {file./key}
                jwks_uri https://a/jwks
                jwks_uri https://a/old?k=secret PS256 {env.UNSET} EdDSA
            }
        }
        issuer urn:b {
            subscriber {
                jwks_uri http://b/jwks
            }
        }";
    let loaded = load_given(&Given { file, without_keys: true, ..Given::default() }).unwrap();
    let access = &loaded.config.access;
    let (url, old) = ("https://a/jwks", "https://a/old?k=secret");
    assert_eq!(
        access.key_sets,
        [
            set(Some("https://a"), Publisher, url, &[]),
            set(Some("https://a"), Publisher, old, &[Algorithm::Ps256, Algorithm::EdDsa]),
            set(Some("urn:b"), Subscriber, "http://b/jwks", &[]),
        ]
    );
    assert_eq!(access.keys.len(), 1);
    assert_eq!(access.authorization_servers, ["https://a"]);
    let shown = loaded.describe();
    assert!(shown.contains("authorization_server") && shown.contains("jwks_uri https://a/old?***"));
    assert!(!shown.contains("secret"), "{shown}");
    let notices = lines(&loaded.notices);
    assert!(notices.contains("http://b/jwks travel by plain http"), "{notices}");

    // Sets alone are enough, and belong to the trusted issuers.
    let variables = [
        ("MERCURE_PUBLISHER_JWKS_URL", "https://a/jwks ES256"),
        ("MERCURE_SUBSCRIBER_JWKS_URL", "https://a/jwks"),
    ];
    let given = Given { variables: &variables, without_keys: true, ..Given::default() };
    let own = [set(None, Publisher, url, &[Algorithm::Es256]), set(None, Subscriber, url, &[])];
    assert_eq!(config(&given).access.key_sets, own);
    let variables = [&variables[..], &[("MERCURE_TRUSTED_ISSUERS", "urn:a urn:b")]].concat();
    let sets = config(&Given { variables: &variables, ..given }).access.key_sets;
    let issuers: Vec<_> = sets.iter().map(|set| set.issuer.as_deref().unwrap()).collect();
    assert_eq!(issuers, ["urn:a", "urn:b", "urn:a", "urn:b"]);
}

#[test]
fn public_keys_are_read_with_their_algorithm() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcH\
               URo=\n-----END PUBLIC KEY-----\n";
    let load = |algorithm| {
        let variables =
            [("MERCURE_PUBLISHER_JWT_KEY", pem), ("MERCURE_PUBLISHER_JWT_ALG", algorithm)];
        load_given(&Given { variables: &variables, ..Given::default() })
    };
    let loaded = load("EdDSA").unwrap();
    assert_eq!(loaded.config.access.keys[0].algorithm, Algorithm::EdDsa);
    assert!(!loaded.describe().contains("MCow"));
    assert!(!lines(&loaded.notices).contains("easy to guess"));
    for (algorithm, expected) in [
        ("", "name the key's own algorithm, which for an Ed25519 key is EdDSA"),
        ("HS512", "name the key's own algorithm, which for an Ed25519 key is EdDSA"),
        ("ES256", "ES256 does not fit an Ed25519 key, which can be used with EdDSA"),
    ] {
        let refused = lines(&load(algorithm).unwrap_err());
        assert!(refused.contains(expected) && !refused.contains("MCow"), "{refused}");
    }
}

#[test]
fn an_algorithm_beside_a_key_yields_to_later_sources_only() {
    let algorithm = |file: &str, variables: &[(&str, &str)]| {
        let file = format!("subscriber_jwt {KEY}\n{file}");
        let given = Given { file: &file, variables, without_keys: true, ..Given::default() };
        config(&given).access.keys[0].algorithm
    };
    let beside = format!("publisher_jwt {KEY} HS512");
    let alone = format!("publisher_jwt {KEY}");
    let setting = "publisher_jwt_alg HS384";
    let variable = [("MERCURE_PUBLISHER_JWT_ALG", "HS384")];
    assert_eq!(algorithm(&beside, &[]), Algorithm::Hs512);
    assert_eq!(algorithm(&format!("{setting}\n{beside}"), &[]), Algorithm::Hs512);
    assert_eq!(algorithm(&beside, &variable), Algorithm::Hs384);
    assert_eq!(algorithm(&alone, &variable), Algorithm::Hs384);
    assert_eq!(algorithm(&format!("{setting}\n{alone}"), &[]), Algorithm::Hs384);
    let key = [("MERCURE_PUBLISHER_JWT_KEY", OTHER)];
    assert_eq!(algorithm(&beside, &key), Algorithm::Hs256);
}

#[test]
fn what_people_paste_works() {
    let config = from_variables(&[
        ("MERCURE_EXTRA_DIRECTIVES", "cors_origins *"),
        ("MERCURE_ALLOW_ANONYMOUS", "1"),
        ("MERCURE_DEBUG", "0"),
        ("MERCURE_TRANSPORT_URL", "local://"),
        ("MERCURE_LICENSE", "x"),
        ("MERCURE_PUBLISHER_JWT_ALG", ""),
    ]);
    assert_eq!(config.access.cors_origins, Origins::Any);
    assert!(config.access.anonymous);
    assert_eq!(config.log.transport, Transport::Local);
    assert_eq!(config.logging.level, LogLevel::Info);

    for separator in [",", " ", ", "] {
        let origins = ["https://a.example", "https://b.example"];
        let listed = Origins::Listed(origins.map(str::to_owned).to_vec());
        for name in ["MERCURE_CORS_ORIGINS", "MERCURE_CORS_ALLOWED_ORIGINS"] {
            let config = from_variables(&[(name, &origins.join(separator))]);
            assert_eq!(config.access.cors_origins, listed);
        }
        let config = from_file(&format!("cors_origins {}", origins.join(separator)));
        assert_eq!(config.access.cors_origins, listed);
    }

    let global = [("GLOBAL_OPTIONS", "debug\ngrace_period 9s\nauto_https off"), ("DEBUG", "0")];
    let config = from_variables(&global);
    assert_eq!(config.logging.level, LogLevel::Debug);
    assert_eq!(config.grace_period, Duration::from_secs(9));
}

#[test]
fn values_mean_what_they_say() {
    let config = from_file(
        "transport memory {
            size 5
            max_bytes 1MiB
        }
        workers 0
        max_connections 9
        heartbeat 0
        write_timeout 0
        idle_timeout 0s
        listen :80 :8080
        max_request_body_size 100 MiB
        subscriber_buffer 1GiB",
    );
    let memory = Transport::Memory { updates_max: NonZeroU64::new(5), bytes_max: 1 << 20 };
    assert_eq!(config.log.transport, memory);
    assert_eq!(config.workers.count, None);
    assert_eq!(config.requests.connections_max, NonZeroUsize::new(9));
    assert_eq!(config.streams.heartbeat, None);
    assert_eq!(config.streams.write_timeout, None);
    assert_eq!(config.requests.idle_timeout, None);
    assert_eq!(config.listen.addresses.len(), 2);
    // Budgets for many hold at least one.
    assert_eq!(config.requests.body_budget, 100 << 20);
    assert_eq!(config.streams.outbox_budget, 1 << 30);
}

#[test]
fn mistakes_in_files_get_a_line_each() {
    for (file, expected) in [
        (
            "anonymous\nheartbeet 40s",
            "hub.conf:2: unknown directive `heartbeet`; did you mean `heartbeat`?",
        ),
        (
            "--max-topics 5",
            "hub.conf:1: unknown directive `--max-topics`; did you mean `max_topics`?",
        ),
        ("xyzzy", "hub.conf:1: unknown directive `xyzzy`"),
        (
            "mercure {\n\n heartbeat 40\n}",
            "hub.conf:3: heartbeat: `40` is not a duration; write it like 40s, 1m30s or 500ms",
        ),
        ("mercure {\n mercure {\n }\n}", "hub.conf:2: unknown directive `mercure`"),
        (":80 {\n mercure {\n mercure {\n }\n}\n}", "hub.conf:3: unknown directive `mercure`"),
        ("heartbeat", "hub.conf:1: heartbeat: a value is missing"),
        ("heartbeat 1s 2s", "hub.conf:1: heartbeat: one value is possible, 2 are given"),
        ("anonymous {\n}", "hub.conf:1: anonymous: a block `{ … }` is not possible here"),
        (
            "max_request_body_size 1 XB",
            "hub.conf:1: max_request_body_size: `1XB` is not a size; write it like 1MiB, 64KiB or \
             4096",
        ),
        (
            "max_header_size 1GiB",
            "hub.conf:1: max_header_size: `1GiB` is out of range; possible are 1KiB to 16MiB",
        ),
        ("max_topics 0", "hub.conf:1: max_topics: `0` is not a whole number from 1 to 100000"),
        ("header_timeout 0", "hub.conf:1: header_timeout: zero is not possible here"),
        ("leeway 900000h", "hub.conf:1: leeway: `900000h` is longer than a hundred years"),
        (
            "overload panic",
            "hub.conf:1: overload: `panic` is not possible here; write one of retry, reject",
        ),
        (
            "cors_origins example.com",
            "hub.conf:1: cors_origins: the origin `example.com` has no scheme; write \
             https://example.com",
        ),
        (
            "listen hub.example.com",
            "hub.conf:1: listen: `hub.example.com` asks for HTTPS, which is not built yet, \
             neither with a certificate in /etc/mercure/certs nor with one that the hub gets for a \
             host name: let a proxy end TLS, and for plain HTTP write it like :80, http://host or \
             host:8080",
        ),
        ("subscriptions", "hub.conf:1: `subscriptions` is not supported yet by this version"),
        (
            "transport bolt {\n path /\n}",
            "hub.conf:1: transport: path: `/` has no name of its own; write it like \
             /var/lib/petasos/history",
        ),
        (
            "transport nats",
            "hub.conf:1: transport: the transport `nats` is not supported yet by this version; \
             use embedded, memory or local",
        ),
        (
            "localhost {\n mercure {\n }\n}",
            "hub.conf:1: listen: `localhost` asks for HTTPS, which is not built yet, neither with \
             a certificate in /etc/mercure/certs nor with one that the hub gets for a host name: \
             let a proxy end TLS, and for plain HTTP write it like :80, http://host or host:8080",
        ),
        (
            "{\n admin off\n storage redis\n}\n:80 {\n tls internal\n mercure {\n heartbeet 1s\n\
             }\n}",
            "hub.conf:3: `storage` is not an option that this hub knows\n\
             hub.conf:6: `tls` is not supported yet by this version; let a proxy that ends TLS \
             stand before the hub\n\
             hub.conf:8: unknown directive `heartbeet`; did you mean `heartbeat`?",
        ),
        ("anonymous\n{\n debug\n}", "hub.conf:2: a block `{` without a directive in front of it"),
        (
            "issuer urn:a {\n jwks_uri x\n}",
            "hub.conf:1: issuer: `jwks_uri` is not known in an issuer; `publisher`, `subscriber` \
             and `authorization_server` are",
        ),
        (
            "issuer urn:a {\n publisher {\n jwks_uri x\n}\n}",
            "hub.conf:1: issuer: publisher of `urn:a`: jwks_uri: it is no URL; write \
             https://host/path, or file:///path for a file",
        ),
        (
            "issuer urn:a {\n publisher {\n jwks_uri https://u:p@x\n}\n}",
            "hub.conf:1: issuer: publisher of `urn:a`: jwks_uri: it holds a user name or a \
             password, which would show in logs; a set is public",
        ),
        (
            "issuer urn:a {\n publisher {\n jwks_uri https://x HS256\n}\n}",
            "hub.conf:1: issuer: publisher of `urn:a`: jwks_uri: HS256 is for shared secrets, and \
             a key set holds public keys; for a secret write `jwt KEY HS256`",
        ),
        (
            "issuer urn:a {\n publisher {\n jwks_uri file:///none\n}\n}",
            "hub.conf:1: cannot read `/none`: there is no such file; put the issuer's JWK Set \
             there\nsome keys are bound to an issuer and some are not, so tokens of anybody would \
             count beside those of the issuers: name the issuer of the others \
             (MERCURE_TRUSTED_ISSUERS, or an `issuer` block)",
        ),
        (
            "publisher_jwks_url file:///key",
            "hub.conf:1: what is at file:///key is no set of keys: it expected ident at line 1 \
             column 2",
        ),
        (
            "publisher_jwks_url https://x ES257",
            "hub.conf:1: publisher_jwks_url: the algorithm is none of HS256, HS384, HS512, RS256, \
             RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (a key that has spaces \
             must be in quotes)",
        ),
        ("jwks_refresh 999ms", "hub.conf:1: jwks_refresh: `999ms` is shorter than 1 s"),
        (
            "issuer urn:a {\n authorization_server x\n}",
            "hub.conf:1: issuer: `authorization_server` is one word: it says that the issuer is \
             one, and its id is its URL",
        ),
        (
            "issuer urn:a",
            "hub.conf:1: issuer: the issuer `urn:a` has no keys; write `publisher { jwt KEY }` or \
             `publisher { jwks_uri URL }`",
        ),
        (
            "publisher_jwt_previous \"\"",
            "hub.conf:1: the publisher key: the key is empty: anybody could sign with it",
        ),
        (
            "publisher_jwt_previous a RS256",
            "hub.conf:1: the publisher key: RS256 takes a key in PEM (-----BEGIN …), a public one \
             where tokens are checked and a private one where they are made, and this is none; a \
             shared secret goes with HS256, HS384 or HS512",
        ),
        ("publisher_jwt {file./none}", "hub.conf:1: cannot read `/none`: there is no such file"),
        ("anonymous\nheartbeat \"4", "hub.conf:2: the quote \" that begins here is not closed"),
    ] {
        assert_eq!(mistakes(&Given { file, ..Given::default() }), expected, "{file}");
    }
}

#[test]
fn mistakes_elsewhere_name_their_source() {
    for (variable, value, expected) in [
        (
            "MERCURE_ALLOW_ANONYMOUS",
            "perhaps",
            "MERCURE_ALLOW_ANONYMOUS: `perhaps` is neither on nor off; write 1 or 0",
        ),
        (
            "MERCURE_EXTRA_DIRECTIVES",
            "anonymous\nanonimous",
            "MERCURE_EXTRA_DIRECTIVES:2: unknown directive `anonimous`; did you mean `anonymous`?",
        ),
        (
            "GLOBAL_OPTIONS",
            "debug\nserver",
            "GLOBAL_OPTIONS:2: `server` is not an option that this hub knows; did you mean \
             `servers`?",
        ),
        (
            "GLOBAL_OPTIONS",
            "servers {\n trusted_proxies static 10.0.0.0/8\n}",
            "GLOBAL_OPTIONS:1: `servers` is not an option that this hub knows",
        ),
        (
            "GLOBAL_OPTIONS",
            "email me@example.com",
            "GLOBAL_OPTIONS:1: `email` is not supported yet by this version; let a proxy that ends \
             TLS stand before the hub",
        ),
        (
            "CADDY_EXTRA_CONFIG",
            "x",
            "CADDY_EXTRA_CONFIG: this variable is not supported yet by this version; what it holds \
             belongs to a web server before the hub: unset it",
        ),
        (
            "CADDY_SERVER_EXTRA_DIRECTIVES",
            "encode gzip\nreverse_proxy app:80",
            "CADDY_SERVER_EXTRA_DIRECTIVES:2: `reverse_proxy` is not the hub's: it serves nothing \
             but the hub; remove the line, and let a web server that stands before the hub do it",
        ),
        (
            "SERVER_NAME",
            ":443",
            "SERVER_NAME: `:443` asks for HTTPS, which is not built yet, neither with a \
             certificate in /etc/mercure/certs nor with one that the hub gets for a host name: let \
             a proxy end TLS, and for plain HTTP write it like :80, http://host or host:8080",
        ),
        (
            "MERCURE_TRANSPORT_URL",
            "postgres://u:p@x",
            "MERCURE_TRANSPORT_URL: the transport `postgres` is not supported yet by this \
             version; use embedded, memory or local",
        ),
        (
            "MERCURE_PUBLISHER_JWT_KEY",
            "-----BEGIN PUBLIC KEY-----",
            "MERCURE_PUBLISHER_JWT_KEY: the publisher key: the key is PEM, but HS256 takes a raw \
             secret, and a public key used as a secret would let anybody sign: name the key's own \
             algorithm",
        ),
        (
            "MERCURE_SUBSCRIBER_JWT_KEY",
            "a\u{fffd}b",
            "MERCURE_SUBSCRIBER_JWT_KEY: the value is not valid UTF-8",
        ),
        (
            "PETASOS_PUBLISHER_JWT_KEY_FILE",
            "/none",
            "PETASOS_PUBLISHER_JWT_KEY_FILE: cannot read `/none`: there is no such file",
        ),
    ] {
        let variables = [(variable, value)];
        assert_eq!(mistakes(&Given { variables: &variables, ..Given::default() }), expected);
    }
    let flags = [("workers", "many")];
    assert_eq!(
        mistakes(&Given { flags: &flags, ..Given::default() }),
        "--workers: `many` is not a whole number from 0 to 1024"
    );
}

#[test]
fn all_mistakes_are_found_in_the_order_of_the_sources() {
    let given = Given {
        file: "heartbeat x\nnonsense\nmax_topics y",
        variables: &[("MERCURE_DEBUG", "z")],
        flags: &[("workers", "w")],
        ..Given::default()
    };
    let found = mistakes(&given);
    let sources: Vec<_> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(sources, ["hub.conf:1", "hub.conf:2", "hub.conf:3", "MERCURE_DEBUG", "--workers"]);
}

#[test]
fn what_a_later_source_replaces_must_be_valid_too() {
    let flags = [("heartbeat", "1s")];
    let given = Given { file: "heartbeat x", flags: &flags, ..Given::default() };
    assert!(mistakes(&given).starts_with("hub.conf:1: heartbeat: `x`"));
}

#[test]
fn a_hub_that_nobody_could_use_does_not_start() {
    let bare = Given { without_keys: true, ..Given::default() };
    assert_eq!(
        mistakes(&bare),
        "no key for publishers: set MERCURE_PUBLISHER_JWT_KEY (or a directive `publisher_jwt` or \
         `issuer`), or run `petasos --dev` to try things out\n\
         no key for subscribers, and anonymous is off, so nobody could subscribe: set \
         MERCURE_SUBSCRIBER_JWT_KEY (or a directive `subscriber_jwt` or `issuer`), or allow \
         everybody with MERCURE_ALLOW_ANONYMOUS=1"
    );
    let publisher = [("MERCURE_PUBLISHER_JWT_KEY", KEY), ("MERCURE_ALLOW_ANONYMOUS", "1")];
    assert!(load_given(&Given { variables: &publisher, ..bare }).is_ok());
    let bare = Given { without_keys: true, ..Given::default() };
    let file = "issuer urn:a {\npublisher {\njwt 0123456789abcdef0123456789abcdef\n}\n}";
    assert!(mistakes(&Given { file, ..Given::default() }).starts_with("some keys are bound"));
    let issuers = [("MERCURE_TRUSTED_ISSUERS", "urn:a")];
    assert!(
        mistakes(&Given { variables: &issuers, ..bare })
            .starts_with("trusted issuers are given, but no key to bind to them")
    );
}

#[test]
fn no_secret_is_in_any_line() {
    let secret = "correct-horse-battery-staple-xyz";
    let spaced = format!("publisher_jwt {secret} {secret}\nsubscriber_jwt a b {secret}");
    let file = |file| Given { file, without_keys: true, ..Given::default() };
    assert!(!mistakes(&file(&spaced)).contains("horse"));
    let nested = format!("issuer urn:a {{\npublisher {{\njwt {secret} {secret}\n}}\n}}");
    assert!(!mistakes(&file(&nested)).contains("horse"));

    let block = format!("anonymous\nissuer urn:a {{\npublisher {{\njwt {secret}\n}}\n}}");
    let keys = format!(
        "publisher_jwt {secret} HS384\nsubscriber_jwt {secret}\nsubscriber_jwt_previous {secret}"
    );
    for (good, shown) in [(&block, "jwt ***"), (&keys, "publisher_jwt *** HS384")] {
        let loaded = load_given(&file(good)).unwrap();
        let all = format!("{}\n{}\n{loaded:?}", loaded.describe(), lines(&loaded.notices));
        assert!(!all.contains("horse"), "{all}");
        assert!(loaded.describe().contains(shown), "{all}");
    }
}

#[test]
fn what_is_in_force_is_described_with_its_sources() {
    let given = Given {
        file: "heartbeat 9s\ntransport memory {\n size 5\n}\nlisten :80 :81",
        variables: &[("MERCURE_ALLOW_ANONYMOUS", "1")],
        flags: &[("max-topics", "7")],
        ..Given::default()
    };
    let text = load_given(&given).unwrap().describe();
    let squeezed = text.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    for line in [
        "heartbeat 9s # hub.conf:1\n",
        "transport memory { # hub.conf:2\n\tsize 5\n}\n",
        "listen :80 :81 # hub.conf:5\n",
        "anonymous 1 # MERCURE_ALLOW_ANONYMOUS\n",
        "max_topics 7 # --max-topics\n",
        "max_matchers 1000 # default\n",
        "publisher_jwt *** # MERCURE_PUBLISHER_JWT_KEY\n",
        "# resource_identifier # default\n",
    ] {
        assert!(squeezed.contains(line), "{line}\n{squeezed}");
    }
    // It is a configuration file itself.
    let again = config(&Given { file: &text, without_keys: true, ..Given::default() });
    assert_eq!(again.streams, config(&given).streams);
    assert_eq!(again.log, config(&given).log);
}

#[test]
fn the_operator_is_told_what_is_risky_or_without_effect() {
    let notices = |given: &Given<'_>| lines(&load_given(given).unwrap().notices);
    let strict = [("MERCURE_TRUSTED_ISSUERS", "urn:a"), ("MERCURE_TRANSPORT_URL", "memory")];
    let quiet = Given { variables: &strict, ..Given::default() };
    assert_eq!(notices(&quiet), "");
    assert!(notices(&Given::default()).starts_with("keys without an issuer: "));

    let open = notices(&Given { file: "listen :80", variables: &strict, ..Given::default() });
    let open: Vec<_> = open.lines().collect();
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(open[0].starts_with("tokens travel unencrypted: [::]:80 is plain HTTP"));
    assert!(open[1].starts_with("the audience of tokens is taken from the host"));

    for (file, expected) in [
        ("cors_origins *", "cors_origins * goes without cookies"),
        ("publish_origins *", "publish_origins * lets any page publish"),
        (
            "listen :80\nresource_identifier http://hub.localhost:1/\n\
             cors_origins https://a http://[::1]",
            "resource_identifier http://hub.localhost:1/, cors_origins http://[::1] are the name",
        ),
        ("listen :80\npublic_urls http://127.0.0.2", "public_urls http://127.0.0.2/ is the name"),
    ] {
        let found = notices(&Given { file, variables: &strict, ..Given::default() });
        assert!(found.contains(expected), "{file}: {found}");
    }
    for file in ["cors_origins *\nanonymous", "cors_origins http://localhost:3000"] {
        assert_eq!(notices(&Given { file, variables: &strict, ..Given::default() }), "", "{file}");
    }

    for (file, variable, expected) in [
        (
            "topic_matcher_cache 9",
            ("X", "x"),
            "hub.conf:1: topic_matcher_cache has no effect: this hub sizes its caches by itself",
        ),
        ("", ("MERCURE_LICENSE", "x"), "MERCURE_LICENSE: no effect: this hub needs no licence"),
        (
            "heartbeat 1s\n\nheartbeat 2s",
            ("X", "x"),
            "hub.conf:1: heartbeat has no effect, line 3 replaces it",
        ),
        (
            "",
            ("PETASOS_WORKRES", "3"),
            "PETASOS_WORKRES: no setting has this variable; did you mean `PETASOS_WORKERS`?",
        ),
        ("", ("MERCURE_PORT_80_TCP", "tcp://10.0.0.1:80"), ""),
        ("", ("PETASOS_SERVICE_HOST", "10.0.0.1"), ""),
        ("", ("MERCURE_HUB_PORT", "tcp://10.0.0.1:80"), ""),
        ("", ("PETASOS_TOKEN", "x"), ""),
        (
            "listen unix:/x\nresource_identifier urn:x\nmax_connections_per_ip 5",
            ("X", "x"),
            "max_connections_per_ip counts all who come by UNIX sockets as one client; where a \
             proxy connects there, `trusted_proxies unix` has it say who they are",
        ),
        (
            "listen unix:/x\nresource_identifier urn:x\nmax_connections_per_ip 5\n\
             trusted_proxies unix",
            ("X", "x"),
            "",
        ),
        (
            "",
            ("GLOBAL_OPTIONS", "admin off\nmetrics"),
            "GLOBAL_OPTIONS:2: metrics has no effect: there are always metrics, on the admin \
             listener",
        ),
        (
            "",
            ("MERCURE_PUBLISHER_JWT_KEY", "!ChangeMe!"),
            "MERCURE_PUBLISHER_JWT_KEY: publisher: the key has 10 bytes, which is easy to guess; \
             HS256 wants at least 32 random ones",
        ),
    ] {
        let variables = [strict[0], strict[1], variable];
        assert_eq!(notices(&Given { file, variables: &variables, ..Given::default() }), expected);
    }
}

#[test]
fn the_operator_is_told_what_is_kept_on_disk_and_what_may_be_lost() {
    let strict = [("MERCURE_TRUSTED_ISSUERS", "urn:a"), ("PETASOS_DATA_DIR", "/d")];
    let notices = |transport: &str| {
        let file = format!("transport {transport}");
        let given = Given { file: &file, variables: &strict, ..Given::default() };
        let notices = load_given(&given).unwrap().notices;
        notices.iter().map(|it| format!("{:?} {it}", it.level)).collect::<Vec<_>>()
    };
    const USUAL: &str = "Info history: up to 1GiB (about 1048576 updates of 1KiB), in /d/history; \
                         see `transport`";
    const ONLY: &str = "may be lost when the power fails or the system crashes";
    let sync_interval = format!(
        "Warn sync interval 1.5s: updates that were acknowledged within the last 1.5s {ONLY}; \
         nothing is lost when only the hub ends"
    );
    let sync_off = format!(
        "Warn sync off: the operating system decides when updates reach the disk; those that did \
         not {ONLY}, acknowledged or not; nothing is lost when only the hub ends"
    );
    for (transport, expected) in [
        ("memory", &[][..]),
        ("embedded", &[USUAL]),
        ("embedded {\n sync interval 1500ms\n}", &[USUAL, &sync_interval]),
        ("embedded {\n sync off\n}", &[USUAL, &sync_off]),
        (
            "bolt {\n path /x\n size 5\n max_bytes 2MiB\n max_age 2h\n}",
            &["Info history: up to 2MiB (about 2048 updates of 1KiB) and 5 updates and an age of \
               7200s, in /x.petasos; see `transport`"],
        ),
        (
            "embedded {\n max_bytes 0\n size 5\n}",
            &["Info history: up to 5 updates, in /d/history; see `transport`"],
        ),
        (
            "embedded {\n max_bytes 0\n}",
            &["Warn history: without a limit, in /d/history, until the disk is full; set one \
                 with `transport embedded { max_bytes SIZE }`"],
        ),
        (
            "bolt {\n bucket_name b\n}",
            &[
                "Info hub.conf:1: transport: bucket_name has no effect: the history is no BoltDB \
                 file",
                USUAL,
            ],
        ),
    ] {
        assert_eq!(notices(transport), expected, "{transport}");
    }
}

#[test]
fn a_hub_inside_an_application_writes_to_disk_only_when_told_to() {
    let transport = |said: &str, variables: &[(&str, &str)]| {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let loaded = load(&Sources {
            dev_key: None,
            file: None,
            environment: &variables.iter().map(own).collect(),
            flags: &[],
            application: Some(&[Said::Text(format!("anonymous\n{said}"))]),
            is_to_run: true,
            read_file: &read_file,
        });
        loaded.map_err(|mistakes| lines(&mistakes)).unwrap().config.log.transport
    };
    let is_memory = |transport| matches!(transport, Transport::Memory { .. });
    let directory = |transport| match transport {
        Transport::Embedded(embedded) => embedded.directory,
        other => panic!("{other:?}"),
    };
    let url = [("MERCURE_TRANSPORT_URL", "bolt:///x")];
    assert!(is_memory(transport("", &[])));
    assert!(is_memory(transport("data_dir /d", &[])));
    let told = transport("transport embedded\ndata_dir /d", &[]);
    assert_eq!(directory(told), Path::new("/d/history"));
    assert_eq!(directory(transport("", &url)), Path::new("/x.petasos"));
    assert!(is_memory(transport("transport memory", &url)));
}

#[test]
fn dev_is_a_hub_to_try_things_out_with() {
    let dev = || Given { dev: true, without_keys: true, ..Given::default() };
    let loaded = load_given(&dev()).unwrap();
    assert_eq!(lines(&loaded.notices), "");
    let config = loaded.config;
    assert!(config.dev && config.access.anonymous && config.listen.is_loopback());
    assert!(matches!(config.log.transport, Transport::Memory { .. }));
    assert_eq!(config.access.cors_origins, Origins::Any);
    let keys: Vec<_> =
        config.access.keys.iter().map(|key| (key.issuer.as_deref(), key.role)).collect();
    assert_eq!(keys, [(Some(DEV_ISSUER), Role::Publisher), (Some(DEV_ISSUER), Role::Subscriber)]);
    let url = "http://127.0.0.1:8080/.well-known/mercure";
    assert_eq!(config.identity.resource_identifier.as_deref(), Some(url));

    // Beside keys that are bound to no issuer, neither is the one of the printed token.
    let set = [("MERCURE_PUBLISHER_JWKS_URL", "https://a/jwks")];
    let config = self::config(&Given { variables: &set, ..dev() });
    assert_eq!(config.access.keys[0].issuer, None);

    // What is given wins, and the printed token works all the same.
    let flags = [("listen", "127.0.0.1:9000"), ("anonymous", "off")];
    let config = self::config(&Given { dev: true, flags: &flags, ..Given::default() });
    assert!(!config.access.anonymous);
    assert_eq!(config.access.keys.len(), 4);
    let url = "http://127.0.0.1:9000/.well-known/mercure";
    assert_eq!(config.identity.resource_identifier.as_deref(), Some(url));
}
