//! Whom the hub trusts, and the check of a token from its first byte to its grants.

use std::{sync::Arc, time::Duration};

use super::{
    Role,
    access::Access,
    claims::Claims,
    details::Grants,
    error::TokenError,
    jws::{Compact, Header},
    key::{Algorithm, Key},
};

mod explain;

pub use self::explain::{Explanation, Outcome, Rule};
pub use super::details::TokenLimits;
use crate::{
    legacy::Version,
    protocol::{hub_url::HubUrl, time::UnixTime},
};

/// Signatures that are checked for one token: nobody can keep a worker busy with tokens that could
/// be of many keys.
const CHECKS_MAX: usize = 8;

/// An issuer of tokens and its keys for each role.
#[derive(Debug, Clone, Default)]
pub struct Issuer {
    /// What `iss` must be, byte by byte. `None`: keys that are bound to no issuer.
    pub id: Option<Box<str>>,
    pub publisher: RoleKeys,
    pub subscriber: RoleKeys,
}

/// The keys of an issuer for one role.
#[derive(Debug, Clone, Default)]
pub struct RoleKeys {
    pub configured: Vec<Key>,
    /// Those that are being rotated out.
    pub previous: Vec<Key>,
    /// Sets that the issuer publishes.
    pub sets: Vec<(SetId, SetKeys)>,
    /// The number of the first of them among all sources.
    first: u32,
}

/// Numbers what tokens are signed with: configured keys, and sets of keys, in the order of
/// [`Authority::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceId(pub u32);

/// A key, or a set of keys, that tokens are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    pub issuer: Option<Box<str>>,
    pub role: Role,
    pub kind: SourceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// One of the configured keys, counted from 1.
    Key(usize),
    /// One that is being rotated out, counted from 1.
    Previous(usize),
    Set(SetId),
}

/// Names a set of keys; whoever fetches it gives it its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetId(pub usize);

/// The keys of a set, or why there are none.
pub type SetKeys = Result<Arc<[Key]>, Arc<str>>;

impl From<Vec<Key>> for RoleKeys {
    fn from(configured: Vec<Key>) -> Self {
        RoleKeys { configured, ..RoleKeys::default() }
    }
}

impl RoleKeys {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.numbered().map(|(_, key)| key)
    }

    /// The keys, each with the number of its source.
    fn numbered(&self) -> impl Iterator<Item = (SourceId, &Key)> {
        let sets = self.sets.iter().map(|(_, keys)| keys.as_deref().unwrap_or_default());
        let configured = self.configured.iter().chain(&self.previous).map(std::slice::from_ref);
        let sources = (self.first..).map(SourceId).zip(configured.chain(sets));
        sources.flat_map(|(source, keys)| keys.iter().map(move |key| (source, key)))
    }

    fn kinds(&self) -> impl Iterator<Item = SourceKind> {
        let configured = (1..=self.configured.len()).map(SourceKind::Key);
        let previous = (1..=self.previous.len()).map(SourceKind::Previous);
        let sets = self.sets.iter().map(|(id, _)| SourceKind::Set(*id));
        configured.chain(previous).chain(sets)
    }

    fn set_ids(&self) -> Vec<SetId> {
        self.sets.iter().map(|(id, _)| *id).collect()
    }

    /// Why a set has no keys, if that is so.
    fn missing(&self) -> Option<String> {
        self.sets.iter().find_map(|(_, keys)| keys.as_ref().err()).map(ToString::to_string)
    }
}

/// What else the check of tokens depends on.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Another number whenever keys change: verdicts of other generations do not count.
    pub generation: u64,
    /// By how much clocks may differ when `exp` and `nbf` are compared.
    pub leeway: Duration,
    pub limits: TokenLimits,
    /// The base of relative patterns in tokens.
    pub hub_url: HubUrl,
    /// Tokens of 0.x count too: those without `authorization_details`. They have no type, need
    /// neither `exp` nor `aud`, and grant what their claim `mercure` says.
    pub legacy: Option<Version>,
}

/// The issuers that a hub trusts. With issuers that have identifiers it is strict, as draft-08
/// wants it. With keys that are bound to no issuer, `iss` may be anything, and `exp` and `aud` are
/// enforced only where a token has them: that is what configurations with nothing but keys mean.
#[derive(Debug, Clone)]
pub struct Authority {
    issuers: Box<[Issuer]>,
    settings: Settings,
}

/// Why a set of issuers makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("the issuer {0} is configured twice: put its keys into one block")]
    Repeated(Box<str>),
    #[error(
        "some keys are bound to an issuer and some are not: name the issuer of the others, or \
         tokens of anybody would count beside those of the issuers"
    )]
    Mixed,
    #[error("an issuer's identifier is empty")]
    EmptyId,
}

impl Authority {
    /// An authority without issuers takes no token.
    pub fn new(mut issuers: Vec<Issuer>, settings: Settings) -> Result<Authority, AuthorityError> {
        for (index, issuer) in issuers.iter().enumerate() {
            match &issuer.id {
                None if issuers.len() > 1 => return Err(AuthorityError::Mixed),
                Some(id) if id.is_empty() => return Err(AuthorityError::EmptyId),
                Some(id) if issuers[..index].iter().any(|other| other.id == issuer.id) => {
                    return Err(AuthorityError::Repeated(id.clone()));
                }
                _ => {}
            }
        }
        let mut first = 0;
        for issuer in &mut issuers {
            for keys in [&mut issuer.publisher, &mut issuer.subscriber] {
                keys.first = first;
                first += keys.kinds().count() as u32;
            }
        }
        Ok(Authority { issuers: issuers.into(), settings })
    }

    /// What tokens are checked with, in the order of their numbers.
    pub fn sources(&self) -> Vec<KeySource> {
        let of_issuer = |issuer: &Issuer| {
            let roles = [Role::Publisher, Role::Subscriber].map(|role| {
                let id = issuer.id.clone();
                let source = |kind| KeySource { issuer: id.clone(), role, kind };
                issuer.keys(role).kinds().map(source).collect::<Vec<_>>()
            });
            roles.concat()
        };
        self.issuers.iter().flat_map(of_issuer).collect()
    }

    /// The keys of a set, if there are any.
    pub fn set(&self, set: SetId) -> Option<SetKeys> {
        let roles = self.issuers.iter().flat_map(|one| [&one.publisher, &one.subscriber]);
        let mut sets = roles.flat_map(|role| &role.sets);
        sets.find(|(id, _)| *id == set).map(|(_, keys)| keys.clone()).filter(Result::is_ok)
    }

    /// The same with other keys of a set, and with another generation if keys have changed.
    pub fn with_set(&self, set: SetId, keys: &SetKeys) -> Authority {
        let mut authority = self.clone();
        let mut has_changed = false;
        for issuer in &mut authority.issuers {
            for role in [&mut issuer.publisher, &mut issuer.subscriber] {
                for (_, old) in role.sets.iter_mut().filter(|(id, _)| *id == set) {
                    has_changed |= old.as_ref().ok() != keys.as_ref().ok();
                    *old = keys.clone();
                }
            }
        }
        authority.settings.generation += u64::from(has_changed);
        authority
    }

    pub fn generation(&self) -> u64 {
        self.settings.generation
    }

    /// Checks a token that is presented for `role` to the hub whose resource identifier is
    /// `audience`.
    pub fn verify(
        &self,
        token: &str,
        role: Role,
        audience: &str,
        now: UnixTime,
    ) -> Result<Access, TokenError> {
        let Settings { leeway, limits, hub_url, .. } = &self.settings;
        let compact = Compact::split(token, limits.token_len_max)?;
        let header = compact.check_header()?;
        let mut claims = Claims::new(compact.claims()?)?;
        let version = self.settings.legacy.filter(|_| !claims.has_details());
        let legacy = version.is_some();
        if !legacy {
            header.check_type()?;
        }
        let issuer = self.issuer(&claims, role, legacy)?;
        let source = issuer.check_signature(&compact, &header, role)?;

        let (exp, nbf) = (claims.date("exp", legacy)?, claims.date("nbf", legacy)?);
        let mut publishes_anything_public = false;
        let grants = if legacy {
            let claim = claims.legacy()?;
            publishes_anything_public = version == Some(Version::V7) && claim.publish.is_some();
            Grants::of_legacy(claim, hub_url, limits)?
        } else {
            let has_audience = claims.check_audience(audience)?;
            if issuer.id.is_some() {
                require("exp", exp.is_some())?;
                require("aud", has_audience)?;
            }
            Grants::read(claims.take_details(), hub_url, limits)?
        };
        let access = Access {
            publish: grants.publish,
            subscribe: Arc::new(grants.subscribe),
            not_before: nbf.map(|nbf| nbf.saturating_sub(*leeway)),
            expires_at: exp.map(|exp| exp.saturating_add(*leeway)),
            payloads: grants.payloads.into(),
            publishes_anything_public,
            source,
        };
        access.check_time(now)?;
        Ok(access)
    }

    /// The one issuer whose keys count: "verify the signature using only the key(s) associated
    /// with the token's `iss`, never a pooled set spanning issuers" (draft-08 #token-validation).
    ///
    /// A token of 0.x that names no issuer is taken for one of the only issuer.
    fn issuer(&self, claims: &Claims, role: Role, legacy: bool) -> Result<&Issuer, TokenError> {
        let iss = claims.issuer()?;
        match &*self.issuers {
            [] => Err(TokenError::NoKey { role, issuer: None }),
            [issuer] if issuer.id.is_none() || (legacy && iss.is_none()) => Ok(issuer),
            issuers => {
                let iss = iss.ok_or(TokenError::ClaimMissing { name: "iss" })?;
                let found = issuers.iter().find(|issuer| issuer.id.as_deref() == Some(iss));
                found.ok_or_else(|| TokenError::UnknownIssuer { iss: iss.to_owned() })
            }
        }
    }
}

impl Issuer {
    fn keys(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Publisher => &self.publisher,
            Role::Subscriber => &self.subscriber,
        }
    }

    /// Tries the role's keys that are bound to `alg`. The keys are the list of accepted
    /// algorithms, so that no token chooses how its key is used: "MUST NOT derive the set of
    /// acceptable algorithms from the token" (draft-08 #token-validation). `kid` decides only
    /// which keys are tried first: it "is a hint", and those who rotate keys do not all name them.
    fn check_signature(
        &self,
        compact: &Compact<'_>,
        header: &Header,
        role: Role,
    ) -> Result<SourceId, TokenError> {
        let Header { alg, kid, .. } = header;
        let keys = self.keys(role);
        let algorithm = Algorithm::from_name(alg);
        type Numbered<'k> = (SourceId, &'k Key);
        let is_named = |(_, key): &Numbered<'_>| kid.is_some() && key.kid() == kid.as_deref();
        let is_candidate = |(_, key): &Numbered<'_>| algorithm.is_some_and(|alg| key.allows(alg));
        let named = keys.numbered().filter(is_named);
        let others = keys.numbered().filter(|key| !is_named(key));
        let candidates: Vec<Numbered<'_>> = named.chain(others).filter(is_candidate).collect();
        let fits = |(_, key): &&Numbered<'_>| {
            algorithm.is_some_and(|alg| key.fits(alg, compact.message, compact.signature))
        };
        if let Some((source, _)) = candidates.iter().take(CHECKS_MAX).find(fits) {
            return Ok(*source);
        }
        let issuer = self.id.as_deref().map(str::to_owned);
        if let Some(reason) = keys.missing() {
            return Err(TokenError::KeysMissing { role, issuer, reason, sets: keys.set_ids() });
        }
        if keys.keys().next().is_none() {
            return Err(TokenError::NoKey { role, issuer });
        }
        if let Some(kid) = kid
            && !keys.sets.is_empty()
            && !keys.keys().any(|key| key.kid() == Some(kid))
        {
            let (kid, alg) = (kid.clone(), alg.clone());
            return Err(TokenError::UnknownKid { kid, alg, role, issuer, sets: keys.set_ids() });
        }
        match candidates.len() {
            0 => {
                let mut allowed: Vec<Algorithm> = keys.keys().flat_map(Key::algorithms).collect();
                allowed.sort_unstable();
                allowed.dedup();
                Err(TokenError::Algorithm { alg: alg.clone(), role, allowed })
            }
            of if of > CHECKS_MAX => {
                Err(TokenError::TooManyKeys { role, issuer, tried: CHECKS_MAX, of })
            }
            _ => Err(TokenError::Signature { role, issuer }),
        }
    }
}

fn require(name: &'static str, is_there: bool) -> Result<(), TokenError> {
    match is_there {
        true => Ok(()),
        false => Err(TokenError::ClaimMissing { name }),
    }
}

#[cfg(test)]
mod tests;
