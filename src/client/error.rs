//! Why a publication or a stream failed. Nothing here holds a token, nor a part of a URL that may
//! hold one.

use std::{io, time::Duration};

use ureq::{
    Body,
    http::{HeaderMap, Response, header},
};
use url::Url;

use super::sse::TooLong;

/// An error of somebody else's kind.
pub type OtherError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request or a stream failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Holds what was given, unless there may be a password in it.
    #[error(
        "{0} is not an http or https URL without user and password; write the hub's, \
         http://host:port/.well-known/mercure"
    )]
    BadUrl(String),
    #[error("the token has characters that a token cannot have")]
    BadToken,
    /// What gives tokens gave none.
    #[error("there is no token to send: {0}")]
    NoToken(#[source] OtherError),
    #[error("no answer from {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// Nothing came for so long.
    #[error("no answer from {url} in time: {reason}")]
    Timeout { url: String, reason: String },
    /// Credentials are not carried elsewhere unasked.
    #[error("{url} redirects to {location}; if that is right, give its URL")]
    Redirected { url: String, location: String },
    #[error("{0}")]
    Refused(Refusal),
    #[error("{url} does not send events but {content_type}; is it the URL of a hub?")]
    NotAStream { url: String, content_type: String },
    #[error("the stream broke off: {0}")]
    Broken(#[source] io::Error),
    /// Not even a heartbeat came: the peer is gone, or the way to it.
    #[error("the stream was silent for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    TooLong(#[from] TooLong),
}

impl ClientError {
    /// Whether trying again is useless: something has to be changed first.
    pub fn is_final(&self) -> bool {
        match self {
            ClientError::NoToken(_)
            | ClientError::Unreachable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken(_)
            | ClientError::Silent(_) => false,
            // Too early, too many, and whatever the server blames itself for.
            ClientError::Refused(refusal) => {
                refusal.status < 500 && ![408, 425, 429].contains(&refusal.status)
            }
            ClientError::BadUrl(_)
            | ClientError::BadToken
            | ClientError::Redirected { .. }
            | ClientError::NotAStream { .. }
            | ClientError::TooLong(_) => true,
        }
    }

    /// The token was not accepted; another one may be.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, ClientError::Refused(Refusal { status: 401, .. }))
    }

    /// The hub has an update with this id, and takes no second one.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, ClientError::Refused(Refusal { status: 409, .. }))
    }

    /// How long the hub asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// What the hub says about it: the problem's detail (RFC 9457), or the text of the answer.
    pub detail: Option<String>,
    /// The `error` of the challenge (RFC 6750 §3.1).
    pub error: Option<String>,
    /// How long the hub asks to wait (RFC 9110 §10.2.3; where it says so in seconds).
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
/// Longest text of somebody else's that is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// The error that an answer is that is no success.
pub(super) fn refused(url: &Url, response: Response<Body>) -> ClientError {
    let location = response.headers().get(header::LOCATION);
    if let (true, Some(location)) = (response.status().is_redirection(), location) {
        let location = location.to_str().ok().and_then(|location| url.join(location).ok());
        let location = location.map_or_else(|| "somewhere".to_owned(), |url| shown(&url));
        return ClientError::Redirected { url: shown(url), location };
    }
    ClientError::Refused(Refusal::read(response))
}

impl Refusal {
    fn read(mut response: Response<Body>) -> Self {
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
    (!line.is_empty()).then(|| line.chars().take(SHOWN_CHARS_MAX).collect())
}

/// The media type, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or("").split(';').next().unwrap_or("").trim()
}

/// A URL for people to see: queries may hold tokens.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("").and(url.set_password(None));
    String::from(url).chars().take(SHOWN_CHARS_MAX).collect()
}
