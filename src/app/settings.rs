//! From the configuration to what each part of the hub needs of it.

use std::{hash::RandomState, num::NonZeroUsize, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::ServeError;
use crate::{
    config::{Config, FileTables, Origins},
    http::{cors, reader, route::HUB_PATH},
    hub,
    keyring::Keyring,
    legacy,
    log::{history::UnknownId, sequence::LagLimits},
    metrics::Metrics,
    protocol::{self, hub_url::HubUrl, subscribe::QueryRules, topic::TopicHasher},
    worker::{Clients, EndpointSettings, Identity, Name, PublishOrigins, Settings},
};

/// Descriptors that are neither connections nor a worker's: standard streams, signals, logs.
const OTHER_FILES: u64 = 64;
/// Descriptors of a worker besides its listeners: bells, rings, timers.
const FILES_OF_WORKER: u64 = 16;
/// Of these, made before workers leave the shared table, and so in the table of each.
const SHARED_FILES_OF_WORKER: u64 = 4;
/// Of the connections, one in so many is left for requests.
const REQUESTS_SHARE: u64 = 10;
/// More open files than anybody has connections: from here on a shared table will do.
const PLENTY_OPEN_FILES: u64 = 1_000_000;

/// Threads that read history: more than one, so that a long read does not hold up a short one.
const READERS: usize = 2;

/// What the parts of a hub are started with.
pub(super) struct HubSettings {
    pub(super) worker: Arc<Settings>,
    pub(super) lag: LagLimits,
    pub(super) unknown_id: UnknownId,
    /// Threads that read history.
    pub(super) readers: usize,
}

/// How many workers there are to be: one for each core that the process may use.
pub(super) fn workers(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    config.workers.count.map_or_else(cores, NonZeroUsize::get)
}

/// A random number, of the system's best kind.
pub(super) fn random() -> Result<u64, ServeError> {
    getrandom::u64().map_err(|error| ServeError::Settings(error.to_string()))
}

/// What the configuration means for a hub of so many workers, each of which may have so many open
/// files.
pub(super) fn hub(
    config: &Config,
    workers: usize,
    open_files: u64,
    keyring: Arc<Keyring>,
) -> Result<HubSettings, ServeError> {
    let Config { requests, streams, log, .. } = config;
    let own_file_tables = match config.workers.file_tables {
        FileTables::Auto => workers > 1 && open_files < PLENTY_OPEN_FILES,
        FileTables::Shared => false,
        FileTables::Worker => true,
    };
    let connections = connections(config, workers as u64, open_files, own_file_tables);
    let requests_max = size(connections / REQUESTS_SHARE).max(1);
    let mut subscribers_max = size(connections) - requests_max;
    if let Some(max) = requests.connections_max {
        subscribers_max = subscribers_max.min(max.get().div_ceil(workers));
    }
    let clients = requests
        .connections_per_ip_max
        .map(|max| Arc::new(Clients::new(max.get(), subscribers_max.saturating_mul(workers))));
    let worker = Settings {
        workers,
        pin: config.workers.pin,
        own_file_tables,
        driver: config.workers.driver,
        backlog: i32::try_from(config.listen.backlog).unwrap_or(i32::MAX),
        metrics: Arc::new(Metrics::new(workers)),
        endpoint: ArcSwap::from_pointee(endpoint(config, keyring, RandomState::new())?),
        hub_limits: hub::Limits {
            heartbeat: streams.heartbeat,
            dispatch_timeout: streams.dispatch_timeout.unwrap_or(Duration::MAX),
            subscriber_buffer: size(streams.subscriber_buffer),
            outbox_budget: size(streams.outbox_budget),
            ..hub::Limits::default()
        },
        head_limits: reader::Limits {
            target_len_max: size(requests.header_bytes_max),
            head_len_max: size(requests.header_bytes_max),
            header_count_max: requests.headers_max,
        },
        body_len_max: requests.body_bytes_max,
        body_budget: size(requests.body_budget),
        header_timeout: requests.header_timeout,
        body_timeout: requests.body_timeout,
        idle_timeout: requests.idle_timeout.unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
        write_timeout: streams.write_timeout,
        publish_wait: log.publish_wait,
        reused_ids: log.reused_ids,
        reads_max: log.replay_concurrency.div_ceil(workers),
        subscribers_max,
        requests_max,
        overload: requests.overload,
        trusted_proxies: requests.trusted_proxies.clone(),
        clients,
        grace_period: config.grace_period,
    };
    Ok(HubSettings {
        worker: Arc::new(worker),
        lag: LagLimits { updates: log.worker_lag, bytes: log.worker_lag_bytes },
        unknown_id: streams.unknown_last_event_id,
        readers: READERS,
    })
}

/// Connections of a worker that the limit on open files leaves room for.
fn connections(config: &Config, workers: u64, open_files: u64, own_file_tables: bool) -> u64 {
    // Of a UNIX socket every worker has a descriptor, made in the shared table.
    let unix = config.listen.unix.len() as u64;
    let of_worker = FILES_OF_WORKER + config.listen.addresses.len() as u64;
    let (others, share) = match own_file_tables {
        true => ((SHARED_FILES_OF_WORKER + unix) * workers + of_worker, 1),
        false => ((of_worker + unix) * workers, workers),
    };
    (open_files.saturating_sub(OTHER_FILES + others) / share).max(2)
}

/// What the endpoint of every worker goes by. `topic_hasher` stays the same as long as a hub runs.
pub(super) fn endpoint(
    config: &Config,
    keyring: Arc<Keyring>,
    topic_hasher: TopicHasher,
) -> Result<EndpointSettings, ServeError> {
    let Config { access, requests, limits, streams, .. } = config;
    let mut exposed = cors::EXPOSED_HEADERS.to_vec();
    exposed.extend(config.legacy().map(|_| legacy::LAST_EVENT_ID));
    let cors = match &access.cors_origins {
        Origins::Any => cors::Cors::new(&["*"], &exposed),
        Origins::Listed(origins) => cors::Cors::new(origins, &exposed),
    };
    Ok(EndpointSettings {
        keyring,
        identity: identity(config),
        authorization_servers: access.authorization_servers.clone(),
        cookie_name: access.cookie_name.clone(),
        publish_origins: match &access.publish_origins {
            Origins::Any => PublishOrigins::Any,
            Origins::Listed(origins) => PublishOrigins::Listed(origins.clone()),
        },
        hub_url: hub_url(config)?,
        limits: protocol::limits::Limits {
            matchers_max: limits.matchers_max,
            matcher_len_max: limits.pattern_bytes_max,
            topics_max: limits.topics_max,
            topic_len_max: limits.topic_bytes_max,
            ..protocol::limits::Limits::default()
        },
        cors,
        query_rules: QueryRules { strict: limits.strict_query, legacy: config.legacy() },
        gap_notice: streams.gap_notice,
        anonymous: access.anonymous,
        json_publish: requests.json_publish || config.legacy().is_some(),
        legacy: config.legacy(),
        topic_hasher,
    })
}

/// What tokens may name in `aud`; nothing: that follows from each request.
pub(super) fn audiences(config: &Config) -> Vec<String> {
    let Config { identity, listen, .. } = config;
    match &identity.resource_identifier {
        Some(identifier) => vec![identifier.clone()],
        None if listen.catch_all && identity.public_urls.is_empty() => Vec::new(),
        None => names(config).into_iter().map(|name| name.hub_url.into()).collect(),
    }
}

/// By what names the hub is known. A hub that listens for any host and has no public URLs answers
/// to any.
fn identity(config: &Config) -> Identity {
    let Config { identity, listen, .. } = config;
    let answers_to_any = listen.catch_all && identity.public_urls.is_empty();
    let names = if answers_to_any { Vec::new() } else { names(config) };
    Identity::new(identity.resource_identifier.as_deref(), names)
}

/// The hosts, with their ports, that the hub is known by, and the hub URL at each. What is served
/// as plain http may be https to the world, by a proxy: there, the URL begins with `//`.
fn names(config: &Config) -> Vec<Name> {
    let public = config.identity.public_urls.iter().map(|url| (url, true));
    let served = config.listen.origins.iter().map(|url| (url, false));
    public
        .chain(served)
        .filter_map(|(url, public)| {
            let host = url.split_once("://")?.1.split('/').next()?;
            let hub = HubUrl::new(url, HUB_PATH).ok()?;
            let hub_url = match hub.as_str().strip_prefix("http:") {
                Some(without_scheme) if !public => without_scheme,
                _ => hub.as_str(),
            };
            Some(Name { host: host.into(), hub_url: hub_url.into(), public })
        })
        .collect()
}

/// The one base of relative topics and patterns.
pub(super) fn hub_url(config: &Config) -> Result<HubUrl, ServeError> {
    let Config { identity, listen, .. } = config;
    let is_http = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
    let identifier = identity.resource_identifier.as_ref().filter(is_http);
    let base = identifier.or(identity.public_urls.first()).or(listen.origins.first());
    base.map_or_else(
        || Ok(HubUrl::without_name()),
        |base| HubUrl::new(base, HUB_PATH).map_err(settings_error),
    )
}

pub(super) fn settings_error(error: impl std::fmt::Display) -> ServeError {
    ServeError::Settings(error.to_string())
}

/// No machine has more bytes than a `usize` counts.
pub(super) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
