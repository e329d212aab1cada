//! An issuer, its tokens, and an authority that knows it.

use std::time::Duration;

use petasos::{
    auth::{
        authority::{Authority, Issuer, Settings},
        key::{Algorithm, Key, SigningKey},
        mint::{self, MintedGrant, MintedTopic, Minting},
    },
    protocol::time::UnixTime,
};

pub(crate) const HUB: &str = "https://hub.example.com/.well-known/mercure";
const SECRET: &[u8] = b"a secret that is long enough for every one";

/// One of many tokens that the authority takes from publishers.
pub(crate) fn token(number: usize, now: UnixTime) -> String {
    let key = SigningKey::from_secret(SECRET, Algorithm::Hs256).expect("a good secret");
    signed(number, now, &key)
}

fn signed(number: usize, now: UnixTime, key: &SigningKey) -> String {
    let token_id = format!("urn:uuid:e70ff8d7-59d5-4a92-b0b7-{number:012}");
    let topics = [MintedTopic { text: "https://example.com/books/1", matcher_type: None }];
    let minting = Minting {
        issuer: "https://example.com",
        audience: HUB,
        subject: "urn:uuid:bb3de268-05b0-4c65-b44e-8f9acefc29d6",
        client_id: "https://example.com",
        token_id: &token_id,
        issued_at: now,
        lifetime: Duration::from_secs(300),
        grants: &[MintedGrant { publish: true, subscribe: false, topics: &topics, payload: None }],
    };
    mint::token(&minting, key)
}

/// Knows the issuer of [`token`].
pub(crate) fn authority() -> Authority {
    knows(Key::from_secret(SECRET, Algorithm::Hs256).expect("a good secret"))
}

/// An authority that knows a public key, and a token that is signed with the private one; both
/// keys are in PEM.
#[allow(dead_code, reason = "not every benchmark has these")]
pub(crate) fn asymmetric(
    algorithm: Algorithm,
    private: &str,
    public: &str,
    now: UnixTime,
) -> (Authority, String) {
    let key = SigningKey::from_text(private.as_bytes(), algorithm).expect("a good key");
    let authority = knows(Key::from_text(public.as_bytes(), algorithm).expect("a good key"));
    (authority, signed(1, now, &key))
}

fn knows(key: Key) -> Authority {
    let id = Some("https://example.com".into());
    let issuer = Issuer { id, publisher: vec![key].into(), ..Issuer::default() };
    Authority::new(vec![issuer], Settings::default()).expect("one issuer")
}
