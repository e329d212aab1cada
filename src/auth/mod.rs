//! Who may do what: access tokens, the issuers and keys that they are checked with, and the
//! challenges that answer their absence or failure (draft-08 #authorization).
//!
//! Pure: time and keys are arguments. Signatures are checked by `aws-lc-rs`; what is checked beside
//! them, and when, is decided here.
//!
//! [`Authority::verify`](authority::Authority::verify) is the way through: the form of the token
//! (`jws`), the issuer and its keys (`authority`, `key`, `jwks`), dates and audience (`claims`),
//! grants (`details`). [`VerdictCache`](verdicts::VerdictCache) remembers what passed.

pub mod access;
pub mod authority;
pub mod bearer;
pub mod challenge;
mod claims;
pub mod details;
pub mod error;
mod json;
pub mod jwks;
mod jws;
pub mod key;
pub mod metadata;
pub mod mint;
pub mod verdicts;

/// What somebody presents a token for. Each has keys of its own, so that a leaked publisher key
/// reads nothing and a leaked subscriber key writes nothing (draft-08 #authorization).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Publisher,
    Subscriber,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Publisher => "publisher",
            Role::Subscriber => "subscriber",
        })
    }
}
