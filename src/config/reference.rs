//! The words of the reference hub, and of the server that it is a part of, and what each is here:
//! one table for the reader of settings and for the documentation.

/// A word with what it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub name: &'static str,
    /// The words that have to follow it; empty: whatever follows.
    pub value: &'static str,
    pub fate: Fate,
}

/// What a word of the reference hub is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// This setting.
    Setting(&'static str),
    /// It holds directives.
    Directives,
    /// It is accepted and does nothing, for this reason.
    NoEffect(&'static str),
    /// The hub does not start with it yet; what may be done until then, if anything.
    NotYet(&'static str),
}

use Fate::{Directives, NoEffect, NotYet, Setting};

/// Where a word may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Environment,
    /// In `mercure { … }` and `MERCURE_EXTRA_DIRECTIVES`.
    Mercure,
    /// After `transport`, and as the scheme of its URL.
    Transport,
    /// In the block of `transport bolt`, and in the query of `bolt://`.
    Bolt,
    /// At the head of a `Caddyfile`, and in `GLOBAL_OPTIONS`.
    Global,
    /// Beside `mercure` in a `Caddyfile`, and in `CADDY_SERVER_EXTRA_DIRECTIVES`.
    Site,
}

impl Place {
    pub const ALL: [Place; 6] = [
        Place::Environment,
        Place::Mercure,
        Place::Transport,
        Place::Bolt,
        Place::Global,
        Place::Site,
    ];

    /// All words that are known there.
    pub fn words(self) -> &'static [Word] {
        match self {
            Place::Environment => VARIABLES,
            Place::Mercure => DIRECTIVES,
            Place::Transport => TRANSPORTS,
            Place::Bolt => BOLT_OPTIONS,
            Place::Global => GLOBAL_OPTIONS,
            Place::Site => SITE_DIRECTIVES,
        }
    }

    /// What the word is, with what follows it.
    pub(super) fn find(self, name: &str, value: &str) -> Option<Fate> {
        let begins = |with: &str| {
            let rest = value.strip_prefix(with);
            rest.is_some_and(|rest| with.is_empty() || rest.is_empty() || rest.starts_with(' '))
        };
        let mut words = self.words().iter();
        words.find(|word| word.name == name && begins(word.value)).map(|word| word.fate)
    }
}

const fn word(name: &'static str, fate: Fate) -> Word {
    Word { name, value: "", fate }
}

const fn with(name: &'static str, value: &'static str, fate: Fate) -> Word {
    Word { name, value, fate }
}

/// Variables that hold directives of the hub, options of the server and directives of the site.
pub(super) const EXTRA_DIRECTIVES: &str = "MERCURE_EXTRA_DIRECTIVES";
pub(super) const GLOBAL: &str = "GLOBAL_OPTIONS";
pub(super) const SITE: &str = "CADDY_SERVER_EXTRA_DIRECTIVES";
pub(super) const EXTRA_CONFIG: &str = "CADDY_EXTRA_CONFIG";
/// The address of the site in the reference's own files.
pub(super) const SERVER_NAME: &str = "SERVER_NAME";

const CACHES: Fate = NoEffect("this hub sizes its caches by itself");
const NO_HTTPS: Fate = NotYet("let a proxy that ends TLS stand before the hub");
const NO_DEBUGGER: Fate = NotYet("`petasos --dev` prints commands to try a hub with");

static VARIABLES: &[Word] = &[
    word(SERVER_NAME, Setting("listen")),
    word("MERCURE_LISTEN_ADDR", Setting("listen")),
    word("ADDR", Setting("listen")),
    word("MERCURE_PUBLISHER_JWT_KEY", Setting("publisher_jwt")),
    word("MERCURE_PUBLISHER_JWT_ALG", Setting("publisher_jwt_alg")),
    word("MERCURE_SUBSCRIBER_JWT_KEY", Setting("subscriber_jwt")),
    word("MERCURE_SUBSCRIBER_JWT_ALG", Setting("subscriber_jwt_alg")),
    word("MERCURE_JWT_KEY", Setting("publisher_jwt")),
    word("MERCURE_JWT_ALG", Setting("publisher_jwt_alg")),
    word("JWT_KEY", Setting("publisher_jwt")),
    word("JWT_ALG", Setting("publisher_jwt_alg")),
    word("MERCURE_PUBLISHER_JWKS_URL", Setting("publisher_jwks_url")),
    word("MERCURE_SUBSCRIBER_JWKS_URL", Setting("subscriber_jwks_url")),
    word("MERCURE_TRUSTED_ISSUERS", Setting("trusted_issuers")),
    word("MERCURE_CORS_ORIGINS", Setting("cors_origins")),
    word("MERCURE_CORS_ALLOWED_ORIGINS", Setting("cors_origins")),
    word("CORS_ALLOWED_ORIGINS", Setting("cors_origins")),
    word("MERCURE_PUBLISH_ORIGINS", Setting("publish_origins")),
    word("PUBLISH_ALLOWED_ORIGINS", Setting("publish_origins")),
    word("MERCURE_ALLOW_ANONYMOUS", Setting("anonymous")),
    word("ALLOW_ANONYMOUS", Setting("anonymous")),
    word("MERCURE_DEBUG", Setting("debug")),
    word("DEBUG", Setting("debug")),
    word("MERCURE_TRANSPORT_URL", Setting("transport")),
    word(EXTRA_DIRECTIVES, Directives),
    word(GLOBAL, Directives),
    word(SITE, Directives),
    word(EXTRA_CONFIG, NotYet("what it holds belongs to a web server before the hub: unset it")),
    word("MERCURE_LICENSE", NoEffect("this hub needs no licence")),
];

static DIRECTIVES: &[Word] = &[
    word("issuer", Setting("issuer")),
    word("resource_identifier", Setting("resource_identifier")),
    word("public_urls", Setting("public_urls")),
    word("anonymous", Setting("anonymous")),
    word("publish_origins", Setting("publish_origins")),
    word("cors_origins", Setting("cors_origins")),
    word("cookie_name", Setting("cookie_name")),
    word("protocol_version_compatibility", Setting("protocol_version_compatibility")),
    word("subscriptions", NotYet("")),
    word("heartbeat", Setting("heartbeat")),
    word("max_request_body_size", Setting("max_request_body_size")),
    word("transport", Setting("transport")),
    word("transport_url", Setting("transport")),
    word("dispatch_timeout", Setting("dispatch_timeout")),
    word("write_timeout", Setting("write_timeout")),
    word("topic_matcher_cache", CACHES),
    word("topic_selector_cache", CACHES),
    word("subscriber_list_cache_size", CACHES),
    word("debugger", NO_DEBUGGER),
    word("ui", NO_DEBUGGER),
    word("playground", NO_DEBUGGER),
    word("demo", NO_DEBUGGER),
    word("name", Setting("name")),
    word("publisher_jwt", Setting("publisher_jwt")),
    word("subscriber_jwt", Setting("subscriber_jwt")),
    word("publisher_jwks_url", Setting("publisher_jwks_url")),
    word("subscriber_jwks_url", Setting("subscriber_jwks_url")),
    // Ours, like those above.
    word("tls", NO_HTTPS),
];

const ONE_HUB: Fate = NotYet("use embedded, memory or local");

static TRANSPORTS: &[Word] = &[
    word("bolt", Setting("transport")),
    word("local", Setting("transport")),
    word("redis", ONE_HUB),
    word("postgres", ONE_HUB),
    word("postgresql", ONE_HUB),
    // Ours, like those above.
    word("nats", ONE_HUB),
];

static BOLT_OPTIONS: &[Word] = &[
    word("path", Setting("transport")),
    word("size", Setting("transport")),
    word("bucket_name", NoEffect("the history is no BoltDB file")),
    word("cleanup_frequency", NoEffect("what is beyond the limits goes at once")),
];

const NO_AUTOMATION: Fate = NoEffect("there is no automatic HTTPS yet");

static GLOBAL_OPTIONS: &[Word] = &[
    word("debug", Setting("debug")),
    word("admin", Setting("admin")),
    word("grace_period", Setting("grace_period")),
    with("auto_https", "off", NO_AUTOMATION),
    with("auto_https", "disable_redirects", NO_AUTOMATION),
    with("auto_https", "disable_certs", NO_AUTOMATION),
    word("auto_https", NO_HTTPS),
    word("email", NO_HTTPS),
    word("cert_issuer", NO_HTTPS),
    word("acme_ca", NO_HTTPS),
    word("acme_ca_root", NO_HTTPS),
    word("local_certs", NO_HTTPS),
    word("http_port", NotYet("name the port in SERVER_NAME, like :8080")),
    word("https_port", NO_HTTPS),
    word("skip_install_trust", NoEffect("there are no certificates of its own yet")),
    word("metrics", NoEffect("there are always metrics, on the admin listener")),
    with("servers", "{ metrics }", NoEffect("there are always metrics, on the admin listener")),
    with("servers", "{ protocols h1 }", NoEffect("HTTP/1.1 is spoken anyway")),
    word("order", NoEffect("nothing but the hub handles requests")),
    with("persist_config", "off", NoEffect("the hub stores no settings")),
];

static SITE_DIRECTIVES: &[Word] = &[
    word("mercure", Directives),
    word("encode", NoEffect("streams are sent as they are")),
    word("log_skip", NoEffect("requests that are served are not logged")),
    word("skip_log", NoEffect("requests that are served are not logged")),
    word("log", NoEffect("tokens in URLs are never logged; see log_format and log_level")),
    word("tls", NO_HTTPS),
    with("header", "/ Content-Type", NoEffect("the page at / is the hub's own")),
    with("respond", "/", NoEffect("the page at / is the hub's own")),
    with("respond", "/robots.txt", NoEffect("it is served anyway")),
    with("respond", "/healthz 200", NoEffect("it is served anyway")),
    with("respond", "Not Found 404", NoEffect("the hub says so of every other path")),
    with("redir", "/ /.well-known/mercure/ui/", NO_DEBUGGER),
    with("redir", "/ /.well-known/mercure/debug/", NO_DEBUGGER),
];

/// Variables that belong to commands, not to the table of settings.
pub(super) const COMMAND_VARIABLES: [&str; 6] = [
    "PETASOS_CONFIG",
    "PETASOS_DEV",
    "PETASOS_KEY",
    "PETASOS_REVISION",
    "PETASOS_TOKEN",
    "PETASOS_URL",
];

/// Whether Kubernetes sets a variable of this name for a service called `petasos` or `mercure`.
pub(super) fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix("PETASOS_").or_else(|| name.strip_prefix("MERCURE_"));
    rest.is_some_and(|rest| {
        let is_port = |rest: &str| rest == "PORT" || rest.starts_with("PORT_");
        is_port(rest)
            || rest.contains("_PORT_")
            || rest.ends_with("_PORT")
            || rest.contains("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
    })
}
