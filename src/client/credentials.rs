//! What a client shows to the hub: a token as it is, a source of tokens, or a key that makes them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::error::{ClientError, OtherError};
use crate::{
    auth::{
        key::{KeyError, SigningKey},
        mint::{self, MintedGrant, MintedTopic, Minting},
    },
    protocol::{time::UnixTime, uuid::random_urn},
};

/// Whose authority a client acts with. Cheap to clone. Debug output shows neither tokens nor keys.
#[derive(Clone)]
pub struct Credentials(Source);

#[derive(Clone)]
enum Source {
    Nobody,
    Token(Arc<str>),
    Fresh(Arc<Give>),
    Key(Arc<TokenKey>),
}

type Give = dyn Fn() -> Result<String, OtherError> + Send + Sync;

/// The tokens of one client.
pub(super) struct Tokens {
    credentials: Credentials,
    current: Mutex<Option<Current>>,
}

/// A token in use.
struct Current {
    token: Arc<str>,
    /// `None`: nobody knows when; the hub will tell.
    renew_at: Option<Instant>,
}

/// What a client is about to do, so that a token allows no more than that.
#[derive(Debug, Clone, Copy)]
pub(super) enum Need<'a> {
    Publish,
    Subscribe(&'a [Matcher]),
}

/// What topics a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// This very topic.
    Exact(String),
    /// Topics that a URL pattern matches.
    UrlPattern(String),
    /// Every topic.
    Any,
}

/// `*` is every topic, anything else an exact topic.
impl From<&str> for Matcher {
    fn from(text: &str) -> Self {
        match text {
            "*" => Matcher::Any,
            topic => Matcher::Exact(topic.to_owned()),
        }
    }
}

impl Matcher {
    /// The parameter that asks for it (draft-08 #topic-matchers).
    pub(super) fn parameter(&self) -> (&'static str, &str) {
        match self {
            Matcher::Exact(topic) => ("match", topic),
            Matcher::UrlPattern(pattern) => ("match_urlpattern", pattern),
            Matcher::Any => ("match", "*"),
        }
    }

    pub(crate) fn minted(&self) -> MintedTopic<'_> {
        match self {
            Matcher::Exact(text) => MintedTopic { text, matcher_type: None },
            Matcher::UrlPattern(text) => MintedTopic { text, matcher_type: Some("urlpattern") },
            Matcher::Any => MintedTopic::ANY,
        }
    }
}

/// A key, and what the tokens say that are made with it (RFC 9068 §2.2).
pub struct TokenKey {
    key: SigningKey,
    issuer: Option<String>,
    audience: Option<String>,
    subject: String,
    lifetime: Duration,
    matchers: Vec<Matcher>,
}

const LIFETIME_DEFAULT: Duration = Duration::from_secs(600);
/// The part of a token's life in which it is used.
const LIFETIME_USED: f64 = 0.8;
/// Tokens count in whole seconds: so much of a life may be over when it begins.
const LIFETIME_LOST: Duration = Duration::from_secs(1);
const LIFETIME_MIN: Duration = Duration::from_secs(2);

impl TokenKey {
    /// Tokens of this key live for ten minutes, name the client `petasos` and the hub by its URL,
    /// and allow what their client does: publishing to every topic, or subscribing to its own.
    pub fn new(key: SigningKey) -> Self {
        TokenKey {
            key,
            issuer: None,
            audience: None,
            subject: "petasos".to_owned(),
            lifetime: LIFETIME_DEFAULT,
            matchers: Vec::new(),
        }
    }

    /// The key is a secret that the hub has too; HS256.
    ///
    /// # Errors
    /// The secret is empty, or is a PEM file.
    pub fn secret(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        SigningKey::from_secret(secret.as_ref(), Default::default()).map(TokenKey::new)
    }

    /// `iss`: the issuer that the hub knows this key by. Without it the subject stands there, for
    /// hubs whose key is bound to no issuer.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// `aud`: the hub's resource identifier, where that is not the URL that the client uses.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// `sub` and `client_id`: who acts.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// From `iat` to `exp`, whole seconds; at least two. Tokens are renewed when four fifths of it
    /// are over.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime.max(LIFETIME_MIN);
        self
    }

    /// The topics that tokens are for. A subscriber's may be more, or fewer, than what it listens
    /// to: private updates need them, public ones do not.
    pub fn topics<M: Into<Matcher>>(mut self, topics: impl IntoIterator<Item = M>) -> Self {
        self.matchers = topics.into_iter().map(Into::into).collect();
        self
    }

    fn mint(&self, hub_url: &str, need: Need<'_>) -> Result<String, OtherError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let own = match need {
            Need::Subscribe(matchers) => matchers,
            Need::Publish => &[Matcher::Any],
        };
        let matchers = if self.matchers.is_empty() { own } else { &self.matchers };
        let topics: Vec<_> = matchers.iter().map(Matcher::minted).collect();
        let publish = matches!(need, Need::Publish);
        let grant = MintedGrant { publish, subscribe: !publish, topics: &topics, payload: None };
        let minting = Minting {
            issuer: self.issuer.as_deref().unwrap_or(&self.subject),
            audience: self.audience.as_deref().unwrap_or(hub_url),
            subject: &self.subject,
            client_id: &self.subject,
            token_id: &random_urn(u128::from_be_bytes(random)),
            issued_at: UnixTime::since_1970(now),
            lifetime: self.lifetime,
            grants: &[grant],
        };
        Ok(mint::token(&minting, &self.key))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.key.algorithm())
    }
}

impl Credentials {
    /// None: for subscribers of hubs that admit anybody to public updates.
    pub fn none() -> Self {
        Credentials(Source::Nobody)
    }

    /// One access token, for as long as it lasts.
    pub fn token(token: impl Into<Arc<str>>) -> Self {
        Credentials(Source::Token(token.into()))
    }

    /// Tokens that somebody else gives. A publisher asks again when the hub has refused the last
    /// one, a subscriber at every connection. `give` may block; its error is not final: it is asked
    /// again later.
    pub fn fresh(give: impl Fn() -> Result<String, OtherError> + Send + Sync + 'static) -> Self {
        Credentials(Source::Fresh(Arc::new(give)))
    }

    /// Tokens that live for a short while, made here and renewed in time.
    pub fn key(key: TokenKey) -> Self {
        Credentials(Source::Key(Arc::new(key)))
    }
}

impl Tokens {
    /// # Errors
    /// A malformed token is found before anything is sent.
    pub(super) fn new(credentials: Credentials) -> Result<Self, ClientError> {
        match &credentials.0 {
            Source::Token(token) if !is_token(token) => Err(ClientError::BadToken),
            _ => Ok(Tokens { credentials, current: Mutex::default() }),
        }
    }

    /// Whether another token may come after one that was refused.
    pub(super) fn can_renew(&self) -> bool {
        matches!(self.credentials.0, Source::Fresh(_) | Source::Key(_))
    }

    /// Lets go of the token in use.
    pub(super) fn renew(&self) {
        *self.lock() = None;
    }

    /// The token to send; `None`: none.
    pub(super) fn current(
        &self,
        hub_url: &str,
        need: Need<'_>,
    ) -> Result<Option<Arc<str>>, ClientError> {
        if let Some(current) = self.lock().as_ref().filter(|it| !it.is_due(Instant::now())) {
            return Ok(Some(Arc::clone(&current.token)));
        }
        // Not under the lock: it may take its time.
        let (token, renew_at) = match &self.credentials.0 {
            Source::Nobody => return Ok(None),
            Source::Token(token) => return Ok(Some(Arc::clone(token))),
            Source::Fresh(give) => (give(), None),
            Source::Key(key) => {
                let life = key.lifetime.saturating_sub(LIFETIME_LOST);
                let renew_at = Instant::now() + life.mul_f64(LIFETIME_USED);
                (key.mint(hub_url, need), Some(renew_at))
            }
        };
        let token: Arc<str> = token.map_err(ClientError::NoToken)?.into();
        if !is_token(&token) {
            return Err(ClientError::BadToken);
        }
        *self.lock() = Some(Current { token: Arc::clone(&token), renew_at });
        Ok(Some(token))
    }

    /// What is guarded is whole at any time.
    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }
}

/// RFC 6750 §2.1: b64token.
fn is_token(token: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    !token.is_empty() && token.bytes().all(is_token_byte)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Nobody => "Credentials(none)",
            Source::Token(_) => "Credentials(token)",
            Source::Fresh(_) => "Credentials(fresh)",
            Source::Key(_) => "Credentials(key)",
        })
    }
}
