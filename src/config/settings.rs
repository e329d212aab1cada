//! The table of settings: each one once. Flags, variables, directives, `--help`, what `petasos
//! check` prints and the reading of values all come from here.

use super::{
    access::{self, store_algorithm, store_issuer, store_key, store_key_set, store_previous_key},
    addresses,
    setting::{Kind, Setting},
    transport,
    tree::{
        Compatibility, Driver, FileTables, LogFormat, LogLevel, Overload, ReusedIds, UnknownId,
        Version,
    },
};
use crate::{auth::Role, http::reader::HEADER_COUNT_MAX};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

/// A heading of `--help` with the settings below it.
pub struct Section {
    pub title: &'static str,
    pub settings: &'static [Setting],
}

/// Every setting, in the order of the table.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What most rows have: no names but their own.
const PLAIN: Setting = Setting {
    name: "",
    aliases: &[],
    variables: &[],
    kind: Kind::Switch,
    default: "",
    help: "",
    reloads: false,
    store: |_, _| Ok(()),
};

/// The same, for those that change when the hub reads its settings again.
const RELOADED: Setting = Setting { reloads: true, ..PLAIN };

pub(super) fn set<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

pub static SECTIONS: &[Section] = &[
    Section { title: "Listening", settings: LISTENING },
    Section { title: "Access", settings: ACCESS },
    Section { title: "Requests", settings: REQUESTS },
    Section { title: "Streams", settings: STREAMS },
    Section { title: "History", settings: HISTORY },
    Section { title: "Process", settings: PROCESS },
];

static LISTENING: &[Setting] = &[
    Setting {
        name: "listen",
        variables: &["SERVER_NAME", "MERCURE_LISTEN_ADDR", "ADDR"],
        kind: Kind::List("ADDRESS"),
        default: "127.0.0.1:8080",
        help: "Addresses for plain HTTP: :PORT, IP:PORT, HOST:PORT, http://HOST[:PORT], or \
               unix:/PATH with perhaps the permissions of that file, |0660",
        store: |draft, given| addresses::parse_listen(given.list()?, &mut draft.config.listen),
        ..PLAIN
    },
    Setting {
        name: "resource_identifier",
        kind: Kind::Word("URI"),
        help: "What tokens must have as audience, best the public URL of the hub",
        store: |draft, given| {
            let uri = given.word().and_then(addresses::parse_resource_identifier);
            set(&mut draft.config.identity.resource_identifier, uri.map(Some))
        },
        ..PLAIN
    },
    Setting {
        name: "public_urls",
        kind: Kind::List("URL"),
        help: "URLs under which the hub is reached; the first is the base of relative topics",
        store: |draft, given| {
            let urls = addresses::parse_public_urls(given.list()?);
            set(&mut draft.config.identity.public_urls, urls)
        },
        ..PLAIN
    },
    Setting {
        name: "backlog",
        kind: Kind::Count,
        default: "4096",
        help: "Connections that may wait to be accepted, for each worker",
        store: |draft, given| set(&mut draft.config.listen.backlog, given.count(1..=65_535)),
        ..PLAIN
    },
];

static ACCESS: &[Setting] = &[
    Setting {
        name: "issuer",
        kind: Kind::SecretBlocks,
        help: "An issuer and its keys: ID { publisher { jwt KEY [ALG] } subscriber { jwks_uri URL \
               [ALG…] } authorization_server }; the last word if it is one (RFC 8414)",
        store: store_issuer,
        ..RELOADED
    },
    Setting {
        name: "publisher_jwt",
        variables: &["MERCURE_PUBLISHER_JWT_KEY", "MERCURE_JWT_KEY", "JWT_KEY"],
        kind: Kind::Secret,
        help: "The key of publishers' tokens, a secret or a public key in PEM; as a directive \
               KEY [ALG]",
        store: |draft, given| store_key(draft, given, Role::Publisher),
        ..RELOADED
    },
    Setting {
        name: "publisher_jwt_alg",
        variables: &["MERCURE_PUBLISHER_JWT_ALG", "MERCURE_JWT_ALG", "JWT_ALG"],
        kind: Kind::Word("ALG"),
        default: "HS256",
        help: "The algorithm of that key: HS256, RS256, PS256, ES256, the like with 384 and 512, \
               or EdDSA",
        store: |draft, given| store_algorithm(draft, given, Role::Publisher),
        ..RELOADED
    },
    Setting {
        name: "publisher_jwt_previous",
        variables: &[
            "MERCURE_PUBLISHER_JWT_KEY_PREVIOUS",
            "MERCURE_JWT_KEY_PREVIOUS",
            "JWT_KEY_PREVIOUS",
        ],
        kind: Kind::Secret,
        help: "The key of publishers' tokens that is being rotated out; still accepted",
        store: |draft, given| store_previous_key(draft, given, Role::Publisher),
        ..RELOADED
    },
    Setting {
        name: "publisher_jwks_url",
        variables: &["MERCURE_PUBLISHER_JWKS_URL"],
        kind: Kind::KeySet,
        help: "Where the keys of publishers' tokens are published, as a JWK Set; as a directive \
               URL [ALG…]",
        store: |draft, given| store_key_set(draft, given, Role::Publisher),
        ..RELOADED
    },
    Setting {
        name: "subscriber_jwt",
        variables: &["MERCURE_SUBSCRIBER_JWT_KEY", "MERCURE_JWT_KEY", "JWT_KEY"],
        kind: Kind::Secret,
        help: "The key of subscribers' tokens, a secret or a public key in PEM; as a directive \
               KEY [ALG]",
        store: |draft, given| store_key(draft, given, Role::Subscriber),
        ..RELOADED
    },
    Setting {
        name: "subscriber_jwt_alg",
        variables: &["MERCURE_SUBSCRIBER_JWT_ALG", "MERCURE_JWT_ALG", "JWT_ALG"],
        kind: Kind::Word("ALG"),
        default: "HS256",
        help: "The algorithm of that key: HS256, RS256, PS256, ES256, the like with 384 and 512, \
               or EdDSA",
        store: |draft, given| store_algorithm(draft, given, Role::Subscriber),
        ..RELOADED
    },
    Setting {
        name: "subscriber_jwt_previous",
        variables: &[
            "MERCURE_SUBSCRIBER_JWT_KEY_PREVIOUS",
            "MERCURE_JWT_KEY_PREVIOUS",
            "JWT_KEY_PREVIOUS",
        ],
        kind: Kind::Secret,
        help: "The key of subscribers' tokens that is being rotated out; still accepted",
        store: |draft, given| store_previous_key(draft, given, Role::Subscriber),
        ..RELOADED
    },
    Setting {
        name: "subscriber_jwks_url",
        variables: &["MERCURE_SUBSCRIBER_JWKS_URL"],
        kind: Kind::KeySet,
        help: "Where the keys of subscribers' tokens are published, as a JWK Set; as a directive \
               URL [ALG…]",
        store: |draft, given| store_key_set(draft, given, Role::Subscriber),
        ..RELOADED
    },
    Setting {
        name: "jwks_refresh",
        kind: Kind::Duration,
        default: "15m",
        help: "How often key sets are fetched; sooner when a token names a key that is not known",
        store: |draft, given| {
            let refresh = given.duration_from(Duration::from_secs(1));
            set(&mut draft.config.access.jwks_refresh, refresh)
        },
        ..RELOADED
    },
    Setting {
        name: "jwks_stale",
        kind: Kind::Duration,
        default: "24h",
        help: "How long the keys of a set that cannot be fetched any more stay in use",
        store: |draft, given| set(&mut draft.config.access.jwks_stale, given.duration()),
        ..RELOADED
    },
    Setting {
        name: "trusted_issuers",
        variables: &["MERCURE_TRUSTED_ISSUERS"],
        kind: Kind::List("ISSUER"),
        help: "Issuers that the keys above are bound to; without it any issuer may use them",
        store: access::store_trusted_issuers,
        ..RELOADED
    },
    Setting {
        name: "leeway",
        kind: Kind::Duration,
        default: "0s",
        help: "By how much the clocks of issuers may differ from the hub's",
        store: |draft, given| set(&mut draft.config.access.leeway, given.duration()),
        ..RELOADED
    },
    Setting {
        name: "anonymous",
        variables: &["MERCURE_ALLOW_ANONYMOUS", "ALLOW_ANONYMOUS"],
        default: "off",
        help: "Subscribers without a token get public updates",
        store: |draft, given| set(&mut draft.config.access.anonymous, given.switch()),
        ..RELOADED
    },
    Setting {
        name: "cors_origins",
        variables: &[
            "MERCURE_CORS_ORIGINS",
            "MERCURE_CORS_ALLOWED_ORIGINS",
            "CORS_ALLOWED_ORIGINS",
        ],
        kind: Kind::List("ORIGIN"),
        help: "Web origins whose pages may use the hub, like https://example.com; * for all",
        store: |draft, given| {
            let origins = addresses::parse_origins(given.list()?);
            set(&mut draft.config.access.cors_origins, origins)
        },
        ..RELOADED
    },
    Setting {
        name: "publish_origins",
        variables: &["MERCURE_PUBLISH_ORIGINS", "PUBLISH_ALLOWED_ORIGINS"],
        kind: Kind::List("ORIGIN"),
        help: "Web origins whose pages may publish with a cookie, besides the hub's own; * for all",
        store: |draft, given| {
            let origins = addresses::parse_origins(given.list()?);
            set(&mut draft.config.access.publish_origins, origins)
        },
        ..RELOADED
    },
    Setting {
        name: "cookie_name",
        kind: Kind::Word("NAME"),
        default: "__Secure-mercure_access_token",
        help: "The cookie in which browsers send their token",
        store: |draft, given| {
            set(&mut draft.config.access.cookie_name, given.word().and_then(access::parse_cookie))
        },
        ..RELOADED
    },
    Setting {
        name: "protocol_version_compatibility",
        kind: Kind::Word("auto|8|7|off"),
        default: "auto",
        help: "Which protocol of 0.x clients is spoken beside that of 1.0: parameters `topic`, \
               tokens with a claim `mercure`, a cookie `mercureAuthorization`; auto: 8 where keys \
               have no issuer, otherwise off",
        store: |draft, given| {
            let choices = [
                ("auto", Compatibility::Auto),
                ("8", Compatibility::With(Version::V8)),
                ("7", Compatibility::With(Version::V7)),
                ("off", Compatibility::Off),
            ];
            set(&mut draft.config.access.compatibility, given.choice(&choices))
        },
        ..RELOADED
    },
];

static REQUESTS: &[Setting] = &[
    Setting {
        name: "json_publish",
        default: "off",
        help: "A POST of JSON publishes its body, on the topics of its Link fields or its URL; \
               always so where 0.x clients are served",
        store: |draft, given| set(&mut draft.config.requests.json_publish, given.switch()),
        ..RELOADED
    },
    Setting {
        name: "max_connections",
        kind: Kind::Count,
        default: "0",
        help: "Connections held at the same time; 0: as many as the limit on open files allows",
        store: |draft, given| {
            let count = given.count(0..=100_000_000).map(NonZeroUsize::new);
            set(&mut draft.config.requests.connections_max, count)
        },
        ..PLAIN
    },
    Setting {
        name: "max_connections_per_ip",
        kind: Kind::Count,
        default: "0",
        help: "Subscribers from one IPv4 address or IPv6 /64 network; 0: no limit",
        store: |draft, given| {
            let count = given.count(0..=u32::MAX).map(NonZeroU32::new);
            set(&mut draft.config.requests.connections_per_ip_max, count)
        },
        ..PLAIN
    },
    Setting {
        name: "trusted_proxies",
        kind: Kind::List("NETWORK"),
        help: "Proxies whose Forwarded and X-Forwarded-For, -Host, -Proto are believed, like \
               10.0.0.0/8; private_ranges; unix: whoever connects to UNIX sockets",
        store: |draft, given| {
            let proxies = addresses::parse_proxies(given.list()?);
            set(&mut draft.config.requests.trusted_proxies, proxies)
        },
        ..PLAIN
    },
    Setting {
        name: "overload",
        kind: Kind::Word("retry|reject"),
        default: "retry",
        help: "At the ceiling subscribers are told to come back later, or are refused",
        store: |draft, given| {
            let choices = [("retry", Overload::Retry), ("reject", Overload::Reject)];
            set(&mut draft.config.requests.overload, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "max_header_size",
        kind: Kind::Size,
        default: "128KiB",
        help: "Bytes of request line and headers together",
        store: |draft, given| {
            set(&mut draft.config.requests.header_bytes_max, given.size(KIB..=16 * MIB))
        },
        ..PLAIN
    },
    Setting {
        name: "max_headers",
        kind: Kind::Count,
        default: "100",
        help: "Header fields of a request",
        store: |draft, given| {
            let count = given.count(1..=HEADER_COUNT_MAX);
            set(&mut draft.config.requests.headers_max, count)
        },
        ..PLAIN
    },
    Setting {
        name: "max_request_body_size",
        kind: Kind::Size,
        default: "1MiB",
        help: "Bytes of a request's body, so of an update with its topics",
        store: |draft, given| set(&mut draft.config.requests.body_bytes_max, given.size(1..=GIB)),
        ..PLAIN
    },
    Setting {
        name: "body_budget",
        kind: Kind::Size,
        default: "64MiB",
        help: "Bytes of bodies that a worker holds while they are read or wait",
        store: |draft, given| set(&mut draft.config.requests.body_budget, given.size(1..=TIB)),
        ..PLAIN
    },
    Setting {
        name: "header_timeout",
        kind: Kind::Duration,
        default: "10s",
        help: "Longest that a client may take to send a request's headers",
        store: |draft, given| {
            set(&mut draft.config.requests.header_timeout, given.positive_duration())
        },
        ..PLAIN
    },
    Setting {
        name: "body_timeout",
        kind: Kind::Duration,
        default: "30s",
        help: "Longest that a client may take to send a request's body",
        store: |draft, given| {
            set(&mut draft.config.requests.body_timeout, given.positive_duration())
        },
        ..PLAIN
    },
    Setting {
        name: "idle_timeout",
        kind: Kind::Duration,
        default: "60s",
        help: "Longest that a connection may wait between requests; 0: for ever",
        store: |draft, given| set(&mut draft.config.requests.idle_timeout, given.duration_or_off()),
        ..PLAIN
    },
    Setting {
        name: "max_matchers",
        kind: Kind::Count,
        default: "1000",
        help: "Matchers of a subscription",
        store: |draft, given| set(&mut draft.config.limits.matchers_max, given.count(1..=100_000)),
        ..RELOADED
    },
    Setting {
        name: "max_topics",
        kind: Kind::Count,
        default: "1000",
        help: "Topics of an update",
        store: |draft, given| set(&mut draft.config.limits.topics_max, given.count(1..=100_000)),
        ..RELOADED
    },
    Setting {
        name: "max_pattern_length",
        kind: Kind::Size,
        default: "8KiB",
        help: "Bytes of a matcher",
        store: |draft, given| {
            let size = given.size(1..=MIB).map(|bytes| bytes as usize);
            set(&mut draft.config.limits.pattern_bytes_max, size)
        },
        ..RELOADED
    },
    Setting {
        name: "max_topic_length",
        kind: Kind::Size,
        default: "8KiB",
        help: "Bytes of a topic",
        store: |draft, given| {
            let size = given.size(1..=MIB).map(|bytes| bytes as usize);
            set(&mut draft.config.limits.topic_bytes_max, size)
        },
        ..RELOADED
    },
    Setting {
        name: "strict_query",
        default: "off",
        help: "Only the specification's query names are taken, not lastEventID and lastEventId",
        store: |draft, given| set(&mut draft.config.limits.strict_query, given.switch()),
        ..RELOADED
    },
];

static STREAMS: &[Setting] = &[
    Setting {
        name: "heartbeat",
        kind: Kind::Duration,
        default: "40s",
        help: "Silence after which a stream gets a comment, so that it is not cut; 0: never",
        store: |draft, given| set(&mut draft.config.streams.heartbeat, given.duration_or_off()),
        ..PLAIN
    },
    Setting {
        name: "dispatch_timeout",
        kind: Kind::Duration,
        default: "5s",
        help: "Longest that one write to a subscriber may stall; 0: for ever",
        store: |draft, given| {
            set(&mut draft.config.streams.dispatch_timeout, given.duration_or_off())
        },
        ..PLAIN
    },
    Setting {
        name: "write_timeout",
        kind: Kind::Duration,
        default: "600s",
        help: "Longest life of a subscriber's connection; 0: for ever",
        store: |draft, given| set(&mut draft.config.streams.write_timeout, given.duration_or_off()),
        ..PLAIN
    },
    Setting {
        name: "subscriber_buffer",
        kind: Kind::Size,
        default: "1MiB",
        help: "Bytes that one slow subscriber may lag before it is cut",
        store: |draft, given| set(&mut draft.config.streams.subscriber_buffer, given.size(1..=GIB)),
        ..PLAIN
    },
    Setting {
        name: "outbox_budget",
        kind: Kind::Size,
        default: "128MiB",
        help: "Bytes that all slow subscribers of a worker may lag; the slowest are cut first",
        store: |draft, given| set(&mut draft.config.streams.outbox_budget, given.size(1..=TIB)),
        ..PLAIN
    },
    Setting {
        name: "unknown_last_event_id",
        kind: Kind::Word("all|live"),
        default: "all",
        help: "What follows an id that is not in the history: all of it, or new updates only",
        store: |draft, given| {
            let choices = [("all", UnknownId::All), ("live", UnknownId::Live)];
            set(&mut draft.config.streams.unknown_last_event_id, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "gap_notice",
        default: "off",
        help: "A stream that does not resume at the id that was asked for begins with an event \
               that says so; subscribers choose with petasos_gap=1 or 0",
        store: |draft, given| set(&mut draft.config.streams.gap_notice, given.switch()),
        ..RELOADED
    },
];

static HISTORY: &[Setting] = &[
    // Before `transport`, which lies in it.
    Setting {
        name: "data_dir",
        kind: Kind::Word("DIR"),
        default: "./petasos-data",
        help: "Where everything lies that the hub keeps; made when it is not there",
        store: |draft, given| set(&mut draft.config.data_dir, given.word().map(PathBuf::from)),
        ..PLAIN
    },
    Setting {
        name: "transport",
        aliases: &["transport_url"],
        variables: &["MERCURE_TRANSPORT_URL"],
        kind: Kind::Block("TRANSPORT"),
        default: "embedded { max_bytes 1GiB }",
        help: "Where updates are kept: embedded, on disk, in data_dir, as a directive with a \
               block of size N, max_bytes SIZE, max_age DURATION (each 0: no limit), sync \
               always|interval DURATION|off (what that promises is told below) and path P (in \
               P.petasos then); bolt means the same; memory, with size and max_bytes; or local, \
               which keeps none. Also as a URL: embedded://P?size=N&sync=interval+1s, \
               memory://?size=N&max_bytes=SIZE",
        store: transport::store,
        ..PLAIN
    },
    Setting {
        name: "worker_lag",
        kind: Kind::Count,
        default: "100000",
        help: "Updates that a worker may be behind before publishers have to wait",
        store: |draft, given| set(&mut draft.config.log.worker_lag, given.count(1..=u64::MAX)),
        ..PLAIN
    },
    Setting {
        name: "worker_lag_bytes",
        kind: Kind::Size,
        default: "256MiB",
        help: "Bytes that a worker may be behind before publishers have to wait",
        store: |draft, given| set(&mut draft.config.log.worker_lag_bytes, given.size(1..=TIB)),
        ..PLAIN
    },
    Setting {
        name: "publish_wait",
        kind: Kind::Duration,
        default: "5s",
        help: "Longest that a publisher waits for a lagging worker before it is sent away (503)",
        store: |draft, given| set(&mut draft.config.log.publish_wait, given.duration()),
        ..PLAIN
    },
    Setting {
        name: "reused_ids",
        kind: Kind::Word("accept|refuse|first"),
        default: "accept",
        help: "An update with the id of one in the history is published like any other, refused \
               (409), or answered like the first one (200) and not published",
        store: |draft, given| {
            let choices = [
                ("accept", ReusedIds::Accept),
                ("refuse", ReusedIds::Refuse),
                ("first", ReusedIds::First),
            ];
            set(&mut draft.config.log.reused_ids, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "replay_concurrency",
        kind: Kind::Count,
        default: "16",
        help: "Chunks of history that are read at the same time",
        store: |draft, given| {
            set(&mut draft.config.log.replay_concurrency, given.count(1..=10_000))
        },
        ..PLAIN
    },
];

static PROCESS: &[Setting] = &[
    Setting {
        name: "workers",
        kind: Kind::Word("N|auto"),
        default: "auto",
        help: "Worker threads; auto or 0: one for each core that the process may use",
        store: |draft, given| {
            let count = match given.word()? {
                "auto" => Ok(None),
                _ => given.count(0..=1024).map(NonZeroUsize::new),
            };
            set(&mut draft.config.workers.count, count)
        },
        ..PLAIN
    },
    Setting {
        name: "pin_workers",
        default: "off",
        help: "Each worker stays on one core",
        store: |draft, given| set(&mut draft.config.workers.pin, given.switch()),
        ..PLAIN
    },
    Setting {
        name: "file_tables",
        kind: Kind::Word("auto|shared|worker"),
        default: "auto",
        help: "One table of open files, or one for each worker, so that limits count for each",
        store: |draft, given| {
            let choices = [
                ("auto", FileTables::Auto),
                ("shared", FileTables::Shared),
                ("worker", FileTables::Worker),
            ];
            set(&mut draft.config.workers.file_tables, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "driver",
        kind: Kind::Word("auto|io_uring|epoll"),
        default: "auto",
        help: "How workers talk to the kernel; auto: io_uring where it is allowed",
        store: |draft, given| {
            let choices =
                [("auto", Driver::Auto), ("io_uring", Driver::IoUring), ("epoll", Driver::Epoll)];
            set(&mut draft.config.workers.driver, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "admin",
        kind: Kind::Word("ADDRESS|off"),
        default: "127.0.0.1:2019",
        help: "Where the operator finds health, metrics and settings; never a public address",
        store: |draft, given| {
            let address = given.word().and_then(addresses::parse_admin);
            set(&mut draft.config.admin.address, address)
        },
        ..PLAIN
    },
    Setting {
        name: "name",
        kind: Kind::Word("NAME"),
        default: "default",
        help: "The hub's name in the paths of its health checks: /mercure/health/NAME/ready",
        store: |draft, given| {
            let name = given.word().map(str::to_owned);
            set(&mut draft.config.admin.name, name)
        },
        ..PLAIN
    },
    Setting {
        name: "grace_period",
        kind: Kind::Duration,
        default: "5s",
        help: "Longest that publishes and streams may take to end at shutdown",
        store: |draft, given| set(&mut draft.config.grace_period, given.duration()),
        ..PLAIN
    },
    Setting {
        name: "log_format",
        kind: Kind::Word("auto|text|json"),
        default: "auto",
        help: "Form of log lines; auto: text on a terminal, JSON otherwise",
        store: |draft, given| {
            let choices =
                [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
            set(&mut draft.config.logging.format, given.choice(&choices))
        },
        ..PLAIN
    },
    Setting {
        name: "log_level",
        kind: Kind::Word("error|warn|info|debug"),
        default: "info",
        help: "The least severe log lines that are written",
        store: |draft, given| {
            let choices = [
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
            ];
            set(&mut draft.config.logging.level, given.choice(&choices))
        },
        ..RELOADED
    },
    Setting {
        name: "debug",
        variables: &["MERCURE_DEBUG", "DEBUG"],
        default: "off",
        help: "The same as the log level debug",
        store: |draft, given| set(&mut draft.debug, given.switch()),
        ..RELOADED
    },
];
