//! Publishes updates (draft-08 #publication).

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use super::{
    backoff::{ASKED_MAX, Backoff},
    credentials::{Credentials, Need},
    error::{ClientError, refused, shown},
    http::Hub,
};
use crate::protocol::{new_update::NewUpdate, uuid::random_urn};

/// Longest silence of the hub, which may hold a publication back for a while under load.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a publication is tried.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(30);
/// The wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest answer; it is an id.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

const CONNECTIONS_KEPT: usize = 3;

/// Publishes to one hub. Connections are kept and reused; clones share them. Calls block: from
/// asynchronous code, make them where blocking is allowed.
///
/// # What a repetition may do
/// While the hub cannot be reached, does not answer, or asks to come back later (429, 503 with
/// `Retry-After`), a publication is tried again, for as long as [`Publisher::with_patience`] says.
/// Every attempt carries the same id: the one that was given, or one that was chosen at the first
/// attempt. Where an answer was lost, the hub may already have the update: then it holds it twice,
/// under one id, and subscribers who must not act on it twice recognise that by the id. A hub that
/// does not publish an id again (`reused_ids` of Petasos) holds it once.
#[derive(Clone)]
pub struct Publisher {
    hub: Hub,
    patience: Duration,
}

/// Without token or key.
impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("url", &shown(&self.hub.url)).finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher for the hub at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// The URL or the token is malformed.
    pub fn new(url: &str, credentials: Credentials) -> Result<Self, ClientError> {
        let hub = Hub::new(url, credentials, Some(READ_TIMEOUT), CONNECTIONS_KEPT)?;
        Ok(Publisher { hub, patience: PATIENCE_DEFAULT })
    }

    /// How long a publication is tried, 30 seconds without this; zero: once.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Publishes a public update, and returns the id that it got.
    ///
    /// # Errors
    /// As those of [`Publisher::send`].
    pub fn publish(&self, topics: &[&str], data: &str) -> Result<String, ClientError> {
        self.send(NewUpdate::new(topics, data))
    }

    /// Publishes, and returns the id that the update got.
    ///
    /// # Errors
    /// The hub refused the update, or did not answer for as long as it was tried: the last
    /// attempt's error. Without an answer the update may nevertheless have been published.
    pub fn send(&self, update: NewUpdate<'_>) -> Result<String, ClientError> {
        let chosen = match update.id {
            Some(_) => None,
            None => Some(random_id()?),
        };
        let form = form(NewUpdate { id: update.id.or(chosen.as_deref()), ..update });
        let mut renewals = u32::from(self.hub.tokens.can_renew());
        let mut backoff = Backoff::new(FIRST_WAIT);
        let mut is_first = true;
        let until = Instant::now() + self.patience;
        loop {
            let error = match self.attempt(&form) {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            if error.is_unauthorized() && renewals > 0 {
                // The token in use may just have run out.
                renewals -= 1;
                self.hub.tokens.renew();
                continue;
            }
            if let (Some(id), false, true) = (&chosen, is_first, error.is_conflict()) {
                // Nobody else has this id: an attempt got through whose answer was lost.
                return Ok(id.clone());
            }
            if error.is_final() {
                return Err(error);
            }
            is_first = false;
            backoff.failed();
            let asked = error.retry_after().unwrap_or_default().min(ASKED_MAX);
            let wait = backoff.next_wait().max(asked);
            if Instant::now() + wait >= until {
                return Err(error);
            }
            thread::sleep(wait);
        }
    }

    fn attempt(&self, form: &str) -> Result<String, ClientError> {
        let mut request = self.hub.agent.post(self.hub.url.as_str());
        if let Some(authorization) = self.hub.authorization(Need::Publish)? {
            request = request.header("authorization", authorization);
        }
        let response = request
            .content_type("application/x-www-form-urlencoded")
            .send(form)
            .map_err(|error| self.hub.unanswered(error))?;
        if !response.status().is_success() {
            return Err(refused(&self.hub.url, response));
        }
        let mut body = response.into_body();
        let id = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        id.map_err(|error| self.hub.unanswered(error))
    }
}

fn random_id() -> Result<String, ClientError> {
    let mut random = [0; 16];
    // Who has no randomness cannot make the other numbers of a TLS connection or a token either.
    getrandom::fill(&mut random).map_err(|error| ClientError::NoToken(error.into()))?;
    Ok(random_urn(u128::from_be_bytes(random)))
}

fn form(update: NewUpdate<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(update.fields()).finish()
}
