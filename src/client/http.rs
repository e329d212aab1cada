//! What publisher and subscriber share: a hub as clients see it, and requests to it.

use std::{io, sync::Arc, time::Duration};
use ureq::Agent;
use url::Url;

use super::{
    credentials::{Credentials, Need, Tokens},
    error::{ClientError, shown},
};
use crate::trust;

/// A hub as a client sees it.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) agent: Agent,
    pub(super) url: Url,
    pub(super) tokens: Arc<Tokens>,
}

/// Longest that a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that the beginning of an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

impl Hub {
    /// `read_timeout`: longest silence of the hub. `connections_kept`: how many connections may be
    /// kept for later requests.
    pub(super) fn new(
        url: &str,
        credentials: Credentials,
        read_timeout: Option<Duration>,
        connections_kept: usize,
    ) -> Result<Self, ClientError> {
        let parsed = Url::parse(url).map_err(|_| ClientError::BadUrl(format!("`{url}`")))?;
        // Nothing is shown where a password may be.
        if !parsed.username().is_empty() || parsed.password().is_some() || url.contains('@') {
            return Err(ClientError::BadUrl("what was given".to_owned()));
        }
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(ClientError::BadUrl(format!("`{}`", shown(&parsed))));
        }
        let tokens = Arc::new(Tokens::new(credentials)?);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A redirection is told: no credentials go elsewhere, and no POST becomes a GET.
            .max_redirects(0)
            .tls_config(trust::tls_config())
            .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(connections_kept)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(RESPONSE_TIMEOUT))
            .timeout_per_read(read_timeout)
            .build()
            .new_agent();
        Ok(Hub { agent, url: parsed, tokens })
    }

    /// The value of `Authorization`, if there is one.
    pub(super) fn authorization(&self, need: Need<'_>) -> Result<Option<String>, ClientError> {
        let mut audience = self.url.clone();
        audience.set_query(None);
        audience.set_fragment(None);
        let token = self.tokens.current(audience.as_str(), need)?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// The error that the lack of an answer is.
    pub(super) fn unanswered(&self, error: ureq::Error) -> ClientError {
        let url = shown(&self.url);
        let reason = match error {
            ureq::Error::HostNotFound => "there is no host of this name".to_owned(),
            ureq::Error::Timeout(what) => {
                return ClientError::Timeout { url, reason: what.to_string() };
            }
            ureq::Error::Io(error) => match is_timeout(&error) {
                true => return ClientError::Timeout { url, reason: error.to_string() },
                false => error.to_string(),
            },
            other => other.to_string(),
        };
        ClientError::Unreachable { url, reason }
    }
}

/// Whether nothing came for longer than was allowed.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}
