//! What workers need of the configuration.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{clients::Clients, endpoint::EndpointSettings, proxies::Proxies, runtime::Driver};
use crate::{http::reader, hub::Limits, log::reused::ReusedIds, metrics::Metrics};

/// What a hub at its limit does with a new subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overload {
    #[default]
    /// 200, a time to come back, and the end: what browsers understand.
    Retry,
    /// 429 and a `Retry-After`.
    Reject,
}

/// What workers need of the configuration.
#[derive(Debug)]
pub struct Settings {
    pub workers: usize,
    /// Each worker runs on one core.
    pub pin: bool,
    /// Each worker has a file table of its own.
    pub own_file_tables: bool,
    pub driver: Driver,
    pub backlog: i32,
    /// May be replaced while the hub runs.
    pub endpoint: ArcSwap<EndpointSettings>,
    /// Where workers show what they count.
    pub metrics: Arc<Metrics>,
    pub hub_limits: Limits,
    pub head_limits: reader::Limits,
    /// Bytes of one request body.
    pub body_len_max: u64,
    /// Bytes of all bodies of a worker that are being read or wait for the log; long request
    /// heads may take as many again.
    pub body_budget: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub idle_timeout: Duration,
    /// Longest life of a stream; `None`: no limit.
    pub write_timeout: Option<Duration>,
    pub publish_wait: Duration,
    pub reused_ids: ReusedIds,
    /// Pieces of history that are being read for a worker at a time.
    pub reads_max: usize,
    /// Subscribers of a worker.
    pub subscribers_max: usize,
    /// Connections of a worker that are not subscribers.
    pub requests_max: usize,
    pub overload: Overload,
    pub trusted_proxies: Proxies,
    /// Where the streams of each client are counted, if they are limited.
    pub clients: Option<Arc<Clients>>,
    /// Time over which subscribers are sent away at the end.
    pub grace_period: Duration,
}
