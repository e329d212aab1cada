//! What publisher and subscriber share: connections, tokens, and answers that are refusals.

use std::{io, sync::Arc, time::Duration};
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, header},
    tls::TlsConfig,
};

use super::sse::TooLong;

/// Why a request or a stream failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "`{0}` is not an http or https URL; write the hub's, http://host:port/.well-known/mercure"
    )]
    BadUrl(String),
    #[error("the token has characters that a token cannot have")]
    BadToken,
    #[error("no answer from {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Refused(Refusal),
    #[error("{url} does not send events but {content_type}; is it the URL of a hub?")]
    NotAStream { url: String, content_type: String },
    #[error("the stream broke off: {0}")]
    Broken(io::Error),
    #[error("{0}")]
    TooLong(#[from] TooLong),
}

impl ClientError {
    /// Whether trying again is useless: something has to be changed first.
    pub fn is_final(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Broken(_) => false,
            // Too early, too many, and whatever the server blames itself for.
            ClientError::Refused(refusal) => {
                refusal.status < 500 && ![408, 425, 429].contains(&refusal.status)
            }
            _ => true,
        }
    }
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// What the hub says about it: the problem's detail, or the text of the answer.
    pub detail: Option<String>,
    /// The `error` of the challenge (RFC 6750 §3.1).
    pub error: Option<String>,
    /// How long the hub asks to wait.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the hub answered {}", self.status)?;
        if let Some(error) = &self.error {
            write!(f, " {error}")?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// Longest part of an answer that is read in search of an explanation.
const DETAIL_BYTES_MAX: u64 = 16 << 10;

impl Refusal {
    pub(super) fn read(mut response: Response<Body>) -> Self {
        let headers = response.headers();
        let text_of = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let error = text_of(header::WWW_AUTHENTICATE).and_then(challenge_error);
        let retry_after = text_of(header::RETRY_AFTER).and_then(|text| text.parse().ok());
        let is_json = content_type(headers).ends_with("json");
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(DETAIL_BYTES_MAX).lossy_utf8(true);
        let body = body.read_to_string().unwrap_or_default();
        let detail = if is_json { problem_detail(&body) } else { first_line(&body) };
        Refusal { status, detail, error, retry_after: retry_after.map(Duration::from_secs) }
    }
}

fn challenge_error(challenge: &str) -> Option<String> {
    let (_, rest) = challenge.split_once("error=\"")?;
    rest.split_once('"').map(|(error, _)| error.to_owned())
}

/// The `detail`, or else the `title`, of a problem (RFC 9457 §3.1).
fn problem_detail(body: &str) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_str(body).ok()?;
    let member = |name| problem.get(name)?.as_str().map(str::to_owned);
    member("detail").or_else(|| member("title"))
}

fn first_line(body: &str) -> Option<String> {
    let line = body.lines().next()?.trim();
    (!line.is_empty()).then(|| line.chars().take(300).collect())
}

/// The media type, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or("").split(';').next().unwrap_or("").trim()
}

/// A hub as a client sees it. No `Debug`: it holds the token.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) agent: Agent,
    pub(super) url: url::Url,
    pub(super) authorization: Option<String>,
}

/// Longest that a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Hub {
    /// `read_timeout`: longest silence of the hub. `connections_kept`: how many connections may be
    /// kept for later requests.
    pub(super) fn new(
        url: &str,
        token: Option<&str>,
        read_timeout: Option<Duration>,
        connections_kept: usize,
    ) -> Result<Self, ClientError> {
        let bad_url = || ClientError::BadUrl(url.to_owned());
        let parsed = url::Url::parse(url).map_err(|_| bad_url())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad_url());
        }
        // RFC 6750 §2.1: b64token.
        let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if token.is_some_and(|token| token.is_empty() || !token.bytes().all(is_token_byte)) {
            return Err(ClientError::BadToken);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(connections_kept)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(read_timeout)
            .build()
            .new_agent();
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Hub { agent, url: parsed, authorization })
    }

    pub(super) fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let reason = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "there is no host of this name".to_owned(),
            ureq::Error::RedirectFailed => {
                "it redirects elsewhere; use the URL that it redirects to".to_owned()
            }
            other => other.to_string(),
        };
        ClientError::Unreachable { url: self.url.to_string(), reason }
    }
}
