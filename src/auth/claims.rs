//! The registered claims that a hub enforces: `iss`, `aud`, `exp` and `nbf` (draft-08
//! #token-validation). `sub`, `client_id`, `iat` and `jti` are the issuer's obligations.

use serde_json::{Map, Value};

use super::{
    error::{Part, TokenError},
    json,
};
use crate::{
    legacy::claims::MercureClaim,
    protocol::{text::excerpt, time::UnixTime},
};

/// The claims of a token, taken one by one.
#[derive(Debug)]
pub(super) struct Claims {
    members: Map<String, Value>,
}

impl Claims {
    pub(super) fn new(members: Map<String, Value>) -> Result<Claims, TokenError> {
        json::check_case(&members, &["iss", "aud", "exp", "nbf", "authorization_details"])
            .map_err(|source| TokenError::WrongCase { part: Part::Claims, source })?;
        Ok(Claims { members })
    }

    pub(super) fn issuer(&self) -> Result<Option<&str>, TokenError> {
        match self.members.get("iss") {
            None => Ok(None),
            Some(Value::String(iss)) => Ok(Some(iss)),
            Some(_) => Err(TokenError::ClaimShape { name: "iss", expected: "string" }),
        }
    }

    /// A `NumericDate` (RFC 7519 §2), which may have a fraction. `legacy`: also one in a string, as
    /// some makers of 0.x tokens write it.
    pub(super) fn date(
        &self,
        name: &'static str,
        legacy: bool,
    ) -> Result<Option<UnixTime>, TokenError> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if legacy => match text.parse::<f64>() {
                Ok(seconds) if seconds.is_finite() => {
                    Ok(Some(UnixTime::from_numeric_date(seconds)))
                }
                _ => Err(TokenError::ClaimShape { name, expected: "number" }),
            },
            Some(value) => match value.as_f64() {
                Some(seconds) => Ok(Some(UnixTime::from_numeric_date(seconds))),
                None => Err(TokenError::ClaimShape { name, expected: "number" }),
            },
        }
    }

    /// "The resource identifier matches when it equals that string or is a member of that array."
    /// One that begins with `//` stands for http and https: the hub does not know by which of them
    /// clients reach the proxy before it. `Ok(false)`: there is no `aud`.
    pub(super) fn check_audience(&self, hub: &str) -> Result<bool, TokenError> {
        let Some(audiences) = self.audiences()? else { return Ok(false) };
        let is_hub = |audience: &&str| match hub.starts_with("//") {
            true => ["http:", "https:"].iter().any(|s| audience.strip_prefix(s) == Some(hub)),
            false => **audience == *hub,
        };
        match audiences.iter().any(is_hub) {
            true => Ok(true),
            false => Err(TokenError::Audience { aud: listed(&audiences), hub: hub.to_owned() }),
        }
    }

    /// Whom the token is for, if it says so.
    pub(super) fn audiences(&self) -> Result<Option<Vec<&str>>, TokenError> {
        let shape = TokenError::ClaimShape { name: "aud", expected: "string or array of strings" };
        let audiences = match self.members.get("aud") {
            None => return Ok(None),
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            Some(Value::Array(several)) => several,
            Some(_) => return Err(shape),
        };
        let audiences: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
        audiences.map(Some).ok_or(shape)
    }

    /// "When `authorization_details` is present the `mercure` claim is ignored": then it is a token
    /// of today.
    pub(super) fn has_details(&self) -> bool {
        self.members.contains_key("authorization_details")
    }

    /// Whether it has a claim of 0.x.
    pub(super) fn has_legacy(&self) -> bool {
        crate::legacy::claims::NAMES.iter().any(|name| self.members.contains_key(*name))
    }

    /// What a token of 0.x grants.
    pub(super) fn legacy(&self) -> Result<MercureClaim, TokenError> {
        Ok(MercureClaim::read(&self.members)?)
    }

    pub(super) fn take_details(&mut self) -> Option<Value> {
        self.members.remove("authorization_details")
    }
}

fn listed(audiences: &[&str]) -> String {
    const SHOWN_MAX: usize = 3;
    match audiences {
        [] => "an empty list".into(),
        _ => {
            let mut shown: Vec<String> =
                audiences.iter().take(SHOWN_MAX).map(|audience| excerpt(audience)).collect();
            if audiences.len() > SHOWN_MAX {
                shown.push("…".into());
            }
            shown.join(", ")
        }
    }
}
