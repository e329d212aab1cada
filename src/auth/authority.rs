//! Whom the hub trusts, and the check of a token from its first byte to its grants.

use std::{sync::Arc, time::Duration};

use super::{
    Role,
    access::Access,
    claims::Claims,
    details::Grants,
    error::TokenError,
    jws::Compact,
    key::{Algorithm, Key},
    time::UnixTime,
};

pub use super::details::TokenLimits;
use crate::protocol::hub_url::HubUrl;

/// An issuer of tokens and its keys for each role.
#[derive(Debug, Clone, Default)]
pub struct Issuer {
    /// What `iss` must be, byte by byte. `None`: keys that are bound to no issuer.
    pub id: Option<Box<str>>,
    /// Several while keys are being rotated.
    pub publisher: Vec<Key>,
    pub subscriber: Vec<Key>,
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
    pub fn new(issuers: Vec<Issuer>, settings: Settings) -> Result<Authority, AuthorityError> {
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
        Ok(Authority { issuers: issuers.into(), settings })
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
        let alg = compact.check_header()?;
        let mut claims = Claims::new(compact.claims()?)?;
        let issuer = self.issuer(&claims, role)?;
        issuer.check_signature(&compact, alg, role)?;

        let (exp, nbf) = (claims.date("exp")?, claims.date("nbf")?);
        let has_audience = claims.check_audience(audience)?;
        if issuer.id.is_some() {
            require("exp", exp.is_some())?;
            require("aud", has_audience)?;
        }
        let grants = Grants::read(claims.take_details(), hub_url, limits)?;
        let access = Access {
            publish: grants.publish,
            subscribe: Arc::new(grants.subscribe),
            not_before: nbf.map(|nbf| nbf.saturating_sub(*leeway)),
            expires_at: exp.map(|exp| exp.saturating_add(*leeway)),
            payloads: grants.payloads.into(),
        };
        access.check_time(now)?;
        Ok(access)
    }

    /// The one issuer whose keys count: "verify the signature using only the key(s) associated
    /// with the token's `iss`, never a pooled set spanning issuers" (draft-08 #token-validation).
    fn issuer(&self, claims: &Claims, role: Role) -> Result<&Issuer, TokenError> {
        let iss = claims.issuer()?;
        match &*self.issuers {
            [] => Err(TokenError::NoKey { role, issuer: None }),
            [issuer] if issuer.id.is_none() => Ok(issuer),
            issuers => {
                let iss = iss.ok_or(TokenError::ClaimMissing { name: "iss" })?;
                let found = issuers.iter().find(|issuer| issuer.id.as_deref() == Some(iss));
                found.ok_or_else(|| TokenError::UnknownIssuer { iss: iss.to_owned() })
            }
        }
    }
}

impl Issuer {
    fn keys(&self, role: Role) -> &[Key] {
        match role {
            Role::Publisher => &self.publisher,
            Role::Subscriber => &self.subscriber,
        }
    }

    /// Tries the role's keys that were configured for `alg`. The keys are the list of accepted
    /// algorithms, so that no token chooses how its key is used: "MUST NOT derive the set of
    /// acceptable algorithms from the token" (draft-08 #token-validation).
    fn check_signature(
        &self,
        compact: &Compact<'_>,
        alg: String,
        role: Role,
    ) -> Result<(), TokenError> {
        let issuer = || self.id.as_deref().map(str::to_owned);
        let keys = self.keys(role);
        if keys.is_empty() {
            return Err(TokenError::NoKey { role, issuer: issuer() });
        }
        let is_candidate = |key: &&Key| Algorithm::from_name(&alg) == Some(key.algorithm());
        let mut candidates = keys.iter().filter(is_candidate).peekable();
        if candidates.peek().is_none() {
            let mut allowed: Vec<Algorithm> = keys.iter().map(Key::algorithm).collect();
            allowed.dedup();
            return Err(TokenError::Algorithm { alg: alg.clone(), role, allowed });
        }
        match candidates.any(|key| key.fits(compact.message, compact.signature)) {
            true => Ok(()),
            false => Err(TokenError::Signature { role, issuer: issuer() }),
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
