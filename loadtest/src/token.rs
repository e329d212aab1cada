//! Tokens of both protocol generations.

use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::machine::unix_seconds;

/// What a token allows, on the topics that `topic` selects (`*`: all).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grant<'a> {
    Publish { topic: &'a str },
    Subscribe { topic: &'a str },
}

/// A signed token. No two are equal.
pub(crate) fn mint(key: &str, grant: Grant<'_>, lifetime_s: u64, legacy: bool) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let (action, topic) = match grant {
        Grant::Publish { topic } => ("publish", topic),
        Grant::Subscribe { topic } => ("subscribe", topic),
    };
    let now = unix_seconds();
    let mut header = Header::new(Algorithm::HS256);
    let claims = if legacy {
        let exp = now + lifetime_s;
        json!({ "mercure": { action: [topic] }, "exp": exp, "jti": number.to_string() })
    } else {
        header.typ = Some("at+jwt".to_owned());
        json!({
            "iss": "loadtest", "sub": "loadtest", "client_id": "loadtest",
            "jti": number.to_string(), "iat": now, "exp": now + lifetime_s,
            "authorization_details": [{
                "type": "https://mercure.rocks/authorization-detail",
                "actions": [action],
                "topics": [{ "match": topic }],
            }],
        })
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.as_bytes()))
        .expect("plain claims")
}
