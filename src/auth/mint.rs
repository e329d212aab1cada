//! Making access tokens: JWTs of the access token profile (RFC 9068) with authorization details.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{details::DETAIL_TYPE, key::SigningKey};
use crate::protocol::{matcher::Matcher, time::UnixTime};

/// What a token will say. Every claim that RFC 9068 §2.2 requires is here.
#[derive(Debug, Clone)]
pub struct Minting<'a> {
    pub issuer: &'a str,
    /// The resource identifier of the hub.
    pub audience: &'a str,
    pub subject: &'a str,
    pub client_id: &'a str,
    /// Another for every token.
    pub token_id: &'a str,
    /// `iat`, whole seconds.
    pub issued_at: UnixTime,
    /// From `issued_at` to `exp`, whole seconds.
    pub lifetime: Duration,
    pub grants: &'a [MintedGrant<'a>],
}

/// One authorization detail.
#[derive(Debug, Clone, Copy)]
pub struct MintedGrant<'a> {
    pub publish: bool,
    pub subscribe: bool,
    pub topics: &'a [MintedTopic<'a>],
    pub payload: Option<&'a Map<String, Value>>,
}

/// One topic matcher.
#[derive(Debug, Clone, Copy)]
pub struct MintedTopic<'a> {
    pub text: &'a str,
    /// The name of the matcher type; `None` for the default one.
    pub matcher_type: Option<&'a str>,
}

impl MintedTopic<'_> {
    /// Every topic.
    pub const ANY: MintedTopic<'static> =
        MintedTopic { text: Matcher::WILDCARD, matcher_type: None };
}

/// Makes and signs a token.
pub fn token(minting: &Minting<'_>, key: &SigningKey) -> String {
    let claims = json!({
        "iss": minting.issuer,
        "aud": minting.audience,
        "sub": minting.subject,
        "client_id": minting.client_id,
        "jti": minting.token_id,
        "iat": minting.issued_at.as_secs(),
        "exp": minting.issued_at.saturating_add(minting.lifetime).as_secs(),
        "authorization_details": minting.grants.iter().map(detail).collect::<Vec<_>>(),
    });
    sign(&json!({ "alg": key.algorithm().name(), "typ": "at+jwt" }), &claims, key)
}

/// Signs a header and claims as they are given.
pub fn sign(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(&token);
    token.push('.');
    token.push_str(&signature);
    token
}

/// A Mercure authorization detail (draft-08 #authorization-details).
pub fn detail(grant: &MintedGrant<'_>) -> Value {
    let actions = [("publish", grant.publish), ("subscribe", grant.subscribe)];
    let actions = actions.into_iter().filter_map(|(name, granted)| granted.then_some(name));
    let mut detail = json!({
        "type": DETAIL_TYPE,
        "actions": actions.collect::<Vec<_>>(),
        "topics": grant.topics.iter().map(topic).collect::<Vec<_>>(),
    });
    if let Some(payload) = grant.payload {
        detail["payload"] = Value::Object(payload.clone());
    }
    detail
}

fn topic(topic: &MintedTopic<'_>) -> Value {
    match topic.matcher_type {
        None => json!({ "match": topic.text }),
        Some(matcher_type) => json!({ "match": topic.text, "match_type": matcher_type }),
    }
}
