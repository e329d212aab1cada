//! What the settings mean: plain typed data, valid by construction.
//!
//! Only [`load`](super::load()) makes a [`Config`]. Zero and "off" are `None` here, so that no
//! reader has to remember what a zero stands for.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use super::keys::{IssuerKey, IssuerKeySet};
pub use crate::{
    legacy::Version,
    log::{embedded::SyncMode, history::UnknownId, reused::ReusedIds},
    worker::{Driver, Overload, Proxies, UnixAddress},
};

/// Everything that is settled before the hub starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub listen: Listen,
    pub workers: Workers,
    pub identity: Identity,
    pub access: Access,
    pub requests: Requests,
    pub limits: Limits,
    pub streams: Streams,
    /// Where everything lies that the hub keeps, unless a place of its own is given.
    pub data_dir: PathBuf,
    pub log: Log,
    pub logging: Logging,
    pub admin: Admin,
    /// Longest that publishes and streams may take to end at shutdown.
    pub grace_period: Duration,
    /// Started with `--dev`.
    pub dev: bool,
}

/// Where the hub takes connections; plain HTTP all of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listen {
    /// None twice. `[::]` means every interface of both families; where the machine has no IPv6,
    /// `0.0.0.0` is bound instead.
    pub addresses: Vec<SocketAddr>,
    /// No path twice. With `addresses`, at least one.
    pub unix: Vec<UnixAddress>,
    /// The origins of those addresses that name a host, in the order given: `http://host:port`.
    /// The hub is called by these.
    pub origins: Vec<String>,
    /// Some address names no host: requests for any host are taken there.
    pub catch_all: bool,
    /// Connections that may wait to be accepted, for each worker.
    pub backlog: u32,
}

impl Listen {
    /// The URL of the hub for clients on this machine.
    pub fn hub_url(&self) -> String {
        let port = self.addresses.first().map_or(80, SocketAddr::port);
        let origin = self.origins.first().cloned();
        let origin = origin.unwrap_or_else(|| format!("http://localhost:{port}"));
        format!("{origin}/.well-known/mercure")
    }

    /// Puts the addresses that are really served, one for one, in place of those that were asked
    /// for: where any port would do, the hub is called by the one that was chosen.
    pub fn settle(&mut self, served: &[SocketAddr]) {
        let asked = std::mem::replace(&mut self.addresses, served.to_vec());
        for origin in &mut self.origins {
            let Some(host) = origin.strip_suffix(":0").map(str::to_owned) else { continue };
            // A name stands for any of them.
            let is_its = |address: &SocketAddr| format!("http://{address}") == *origin;
            let any_port = |address: &SocketAddr| address.port() == 0;
            let index = asked.iter().position(|address| any_port(address) && is_its(address));
            let index = index.or_else(|| asked.iter().position(any_port));
            if let Some(served) = index.and_then(|index| served.get(index)) {
                *origin = format!("{host}:{}", served.port());
            }
        }
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| match address.ip() {
            IpAddr::V6(ip) => ip.to_canonical().is_loopback(),
            IpAddr::V4(ip) => ip.is_loopback(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Workers {
    /// `None`: one for each core of the process's CPU mask.
    pub count: Option<NonZeroUsize>,
    /// Each worker stays on one core.
    pub pin: bool,
    pub file_tables: FileTables,
    pub driver: Driver,
}

/// Whose limit on open files counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileTables {
    /// A table for each worker where the process's limit is below the connection ceiling.
    #[default]
    Auto,
    Shared,
    Worker,
}

/// By what names the hub is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// What tokens must have as `aud` (RFC 8707 resource identifier).
    pub resource_identifier: Option<String>,
    /// http(s) URLs under which the hub is reached.
    pub public_urls: Vec<String>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// With `key_sets`, at least one for publishers, and one for subscribers unless `anonymous`.
    pub keys: Vec<IssuerKey>,
    /// Keys that issuers publish.
    pub key_sets: Vec<IssuerKeySet>,
    /// The ids of issuers that are authorization servers (RFC 8414), none twice.
    pub authorization_servers: Vec<String>,
    /// How often key sets are fetched.
    pub jwks_refresh: Duration,
    /// How long the keys of a set that cannot be fetched stay in use.
    pub jwks_stale: Duration,
    /// Subscribers without a token get public updates.
    pub anonymous: bool,
    pub cors_origins: Origins,
    /// Whose pages may publish with a cookie.
    pub publish_origins: Origins,
    /// The cookie that may hold a token.
    pub cookie_name: String,
    /// By how much the clocks of issuers may differ from the hub's.
    pub leeway: Duration,
    pub compatibility: Compatibility,
}

/// Whether clients of 0.x are served too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// If there are keys that are bound to no issuer: that is how hubs of 0.x are configured.
    #[default]
    Auto,
    With(Version),
    Off,
}

impl Config {
    /// The protocol of 0.x that is spoken as well.
    pub fn legacy(&self) -> Option<Version> {
        match self.access.compatibility {
            Compatibility::Auto => self.access.has_unbound_keys().then_some(Version::V8),
            Compatibility::With(version) => Some(version),
            Compatibility::Off => None,
        }
    }
}

impl Access {
    /// Of each key, and each set of keys, the issuer that it is bound to.
    pub(super) fn issuers(&self) -> impl Iterator<Item = Option<&str>> {
        let of_sets = self.key_sets.iter().map(|set| set.issuer.as_deref());
        self.keys.iter().map(|key| key.issuer.as_deref()).chain(of_sets)
    }

    /// Whether tokens of anybody count that some key fits.
    pub(super) fn has_unbound_keys(&self) -> bool {
        self.issuers().any(|issuer| issuer.is_none())
    }
}

/// Web origins, each as browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    Listed(Vec<String>),
}

impl Default for Origins {
    fn default() -> Self {
        Origins::Listed(Vec::new())
    }
}

/// Connections and what is read from them. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requests {
    /// A publication may be JSON, where clients of 0.x are not served too.
    pub json_publish: bool,
    /// `None`: as many as the limit on open files allows.
    pub connections_max: Option<NonZeroUsize>,
    /// Streams of one client. `None`: no limit of its own.
    pub connections_per_ip_max: Option<NonZeroU32>,
    /// Whose word on clients, and on the name and the scheme that they use, is taken.
    pub trusted_proxies: Proxies,
    pub overload: Overload,
    pub header_bytes_max: u64,
    pub headers_max: usize,
    pub body_bytes_max: u64,
    /// Bodies that a worker holds while they are read or wait; at least `body_bytes_max`.
    pub body_budget: u64,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// `None`: a connection may stay idle for ever.
    pub idle_timeout: Option<Duration>,
}

/// What one request may ask for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    pub matchers_max: usize,
    /// Topics of an update.
    pub topics_max: usize,
    /// Bytes of a matcher's text.
    pub pattern_bytes_max: usize,
    /// Bytes of a topic.
    pub topic_bytes_max: usize,
    /// Only the query names of the specification are known.
    pub strict_query: bool,
}

/// Subscribers' streams. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Streams {
    /// Silence after which a comment is sent.
    pub heartbeat: Option<Duration>,
    /// Longest that one write to a subscriber may stall.
    pub dispatch_timeout: Option<Duration>,
    /// Longest life of a stream.
    pub write_timeout: Option<Duration>,
    /// What one slow subscriber may lag.
    pub subscriber_buffer: u64,
    /// What all slow subscribers of a worker may lag; at least `subscriber_buffer`.
    pub outbox_budget: u64,
    pub unknown_last_event_id: UnknownId,
    /// Subscribers are told in the stream that it does not resume where they asked for.
    pub gap_notice: bool,
}

/// The ordered log between publishers and workers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    pub transport: Transport,
    /// Updates that a worker may be behind before publishers have to wait.
    pub worker_lag: u64,
    /// Bytes that a worker may be behind before publishers have to wait.
    pub worker_lag_bytes: u64,
    /// Longest that a publisher waits for a lagging worker.
    pub publish_wait: Duration,
    /// What becomes of an update whose id is in the history.
    pub reused_ids: ReusedIds,
    /// Chunks of history that are read at the same time.
    pub replay_concurrency: usize,
}

/// Where updates are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Transport {
    /// Nowhere: there is no history.
    #[default]
    Local,
    /// The latest updates in memory.
    Memory {
        /// `None`: no limit by number.
        updates_max: Option<NonZeroU64>,
        bytes_max: u64,
    },
    /// The latest updates on disk.
    Embedded(Embedded),
}

/// History on disk: of what is kept, the oldest goes when one of the limits is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// Nothing else lies there.
    pub directory: PathBuf,
    pub updates_max: Option<NonZeroU64>,
    pub bytes_max: Option<NonZeroU64>,
    pub age_max: Option<Duration>,
    pub sync: SyncMode,
}

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Admin {
    /// `None`: there is none.
    pub address: Option<SocketAddr>,
    /// The hub's name in the paths of its health checks.
    pub name: String,
    /// All settings in force, as [`super::Loaded::describe`] tells them; filled in by whoever
    /// starts the hub.
    pub settings: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Logging {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// The least severe lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}
