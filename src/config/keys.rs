//! Keys that tokens are signed with, and what looks wrong about them. Keys are never shown.

use std::fmt;

use crate::{
    auth::{
        Role,
        key::{Algorithm, Key, KeyError, KeyType},
    },
    keyring::Location,
};

/// Bytes that nobody may see: masked wherever they are printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Secret(bytes.into())
    }

    /// The bytes themselves, for those who check or make signatures.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// What stands in place of a secret.
pub const MASK: &str = "***";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Reads the name of an algorithm.
pub fn parse_algorithm(name: &str) -> Result<Algorithm, String> {
    // A key with a space in it leaves its second half here: only what certainly is no part of a
    // key is shown.
    Algorithm::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
        format!(
            "the algorithm is none of {} (a key that has spaces must be in quotes)",
            known.join(", ")
        )
    })
}

/// Bytes of the hash: a shorter secret is easier to guess than the hash (RFC 7518 §3.2).
fn hash_len(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => 32,
    }
}

/// A key with what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKey {
    /// The `iss` that tokens of this key must have; `None`: any.
    pub issuer: Option<String>,
    pub role: Role,
    /// A raw secret, or a public key in PEM.
    pub secret: Secret,
    pub algorithm: Algorithm,
    /// The key is being rotated out.
    pub previous: bool,
}

/// Whether the key can be used; else why not.
pub(super) fn check(key: &IssuerKey) -> Result<(), KeyError> {
    Key::from_text(key.secret.expose(), key.algorithm).map(drop)
}

/// A set of keys that an issuer publishes, with what its keys are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKeySet {
    /// The `iss` that tokens of these keys must have; `None`: any.
    pub issuer: Option<String>,
    pub role: Role,
    pub location: Location,
    /// What its keys may be used with; empty: what they say themselves.
    pub algorithms: Vec<Algorithm>,
}

/// What looks wrong about a key without making it unusable.
pub(super) fn lint(key: &IssuerKey) -> Vec<String> {
    let bytes = key.secret.expose();
    let mut findings = Vec::new();
    if key.algorithm.key_type() != KeyType::Secret {
        return findings;
    }
    if bytes.ends_with(b"\n") {
        findings.push(
            "the key ends with a line end, which counts as a part of it; \
             remove it unless the tokens are signed with it too"
                .to_owned(),
        );
    }
    let is_quoted = |quote| bytes.len() > 1 && bytes.starts_with(quote) && bytes.ends_with(quote);
    if is_quoted(b"\"") || is_quoted(b"'") {
        findings.push(
            "the key stands in quotes, which count as a part of it; \
             remove them unless the tokens are signed with them too"
                .to_owned(),
        );
    }
    let wanted = hash_len(key.algorithm);
    if bytes.len() < wanted {
        findings.push(format!(
            "the key has {} bytes, which is easy to guess; {} wants at least {wanted} random ones",
            bytes.len(),
            key.algorithm
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> IssuerKey {
        IssuerKey {
            issuer: None,
            role: Role::Publisher,
            secret: Secret::new(secret.as_bytes()),
            algorithm: Algorithm::Hs256,
            previous: false,
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let key = key("sesame");
        let printed = format!("{key:?} {:?} {}", key.secret, key.secret);
        assert!(!printed.contains("sesame"), "{printed}");
        // Nor as a list of numbers.
        assert!(!printed.contains("115"), "{printed}");
    }

    #[test]
    fn algorithms_are_read_by_name_and_no_key_leaks() {
        for algorithm in Algorithm::ALL {
            assert_eq!(parse_algorithm(algorithm.name()), Ok(algorithm));
        }
        assert!(!parse_algorithm("horse").unwrap_err().contains("horse"));
        assert!(parse_algorithm("hs256").is_err());
    }

    #[test]
    fn suspicious_keys_are_reported() {
        let good = "0123456789abcdef0123456789abcdef";
        let count = |secret: &str| lint(&key(secret)).len();
        assert_eq!(count(good), 0);
        assert_eq!(count(&good[1..]), 1);
        assert_eq!(count(&format!("{good}\n")), 1);
        assert_eq!(count(&format!("\"{good}\"")), 1);
        assert_eq!(count(&format!("'{good}'")), 1);
        assert_eq!(count(&format!("'{good}\"")), 0);
        assert_eq!(count("\"\n"), 2);
        assert_eq!(count("\""), 1);
    }

    #[test]
    fn keys_that_cannot_work_are_refused() {
        assert!(check(&key("")).is_err());
        assert!(check(&key("-----BEGIN PUBLIC KEY-----\nx")).is_err());
        assert_eq!(check(&key("!ChangeMe!")), Ok(()));
        let shared = IssuerKey { algorithm: Algorithm::Es256, ..key("!ChangeMe!") };
        assert!(check(&shared).is_err());
    }
}
