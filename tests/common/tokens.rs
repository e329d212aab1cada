//! Tokens for the tests. Made with a library, not by the code that checks them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use super::hub::{AUDIENCE, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY};

/// Seconds since 1970, now.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A token that may publish on these topics (`*`: all).
pub(crate) fn publisher(topics: &[&str]) -> String {
    sign(&claims("publish", topics), PUBLISHER_KEY)
}

/// A token that may receive private updates of these topics (`*`: all).
pub(crate) fn subscriber(topics: &[&str]) -> String {
    sign(&claims("subscribe", topics), SUBSCRIBER_KEY)
}

/// The claims of a valid token that lives for an hour.
pub(crate) fn claims(action: &str, topics: &[&str]) -> Value {
    let topics: Vec<Value> = topics.iter().map(|topic| json!({ "match": topic })).collect();
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "tests",
        "client_id": "tests",
        "jti": "tests",
        "iat": now() as u64,
        "exp": now() as u64 + 3600,
        "authorization_details": [{
            "type": "https://mercure.rocks/authorization-detail",
            "actions": [action],
            "topics": topics,
        }],
    })
}

/// An HS256 access token.
pub(crate) fn sign(claims: &Value, key: &str) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("at+jwt".to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// A token of these very texts, signed well: for headers and claims that no library would write.
pub(crate) fn sign_texts(header: &str, claims: &str, key: &str, algorithm: Algorithm) -> String {
    sign_texts_with(header, claims, &EncodingKey::from_secret(key.as_bytes()), algorithm)
}

/// The same with a key of any kind.
pub(crate) fn sign_texts_with(
    header: &str,
    claims: &str,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// An HS256 token as libraries of 0.x make it.
pub(crate) fn sign_legacy(claims: &Value, key: &str) -> String {
    let header = r#"{"typ":"JWT","alg":"HS256"}"#;
    sign_texts(header, &claims.to_string(), key, Algorithm::HS256)
}

/// As many tutorials print it: it may publish on all topics.
pub(crate) const TUTORIAL: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                                   eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.\
                                   obDjwCgqtPuIvwBlTxUEmibbBf0zypKCNzNKP7Op2UM";
/// What it is signed with.
pub(crate) const TUTORIAL_KEY: &str = "!ChangeMe!";

/// The header of a valid token.
pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt"}"#;
