//! Signature algorithms, and the type of key that each is compatible with.

use std::fmt;

use aws_lc_rs::{
    hmac,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        VerificationAlgorithm,
    },
};

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). `none` is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Algorithm {
    /// What a raw secret means without further words.
    #[default]
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// What a key is by itself, before anything is said of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Secret,
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Algorithm; 13] = [
        Algorithm::Hs256,
        Algorithm::Hs384,
        Algorithm::Hs512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ];

    /// The name in tokens, keys and settings.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// Names are case-sensitive (RFC 7515 §4.1.1). `Ed25519` is another name of what is meant by
    /// `EdDSA` here (RFC 9864 §2.2).
    pub fn from_name(name: &str) -> Option<Algorithm> {
        if name == "Ed25519" {
            return Some(Algorithm::EdDsa);
        }
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The one type of key that it is compatible with.
    pub fn key_type(self) -> KeyType {
        match self {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => KeyType::Secret,
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => KeyType::Rsa,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => KeyType::Rsa,
            Algorithm::Es256 => KeyType::P256,
            Algorithm::Es384 => KeyType::P384,
            Algorithm::Es512 => KeyType::P521,
            Algorithm::EdDsa => KeyType::Ed25519,
        }
    }

    /// What the library calls it; `None` where it has no such algorithm.
    pub(super) fn of_library(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm as Library;
        Some(match self {
            Algorithm::Hs256 => Library::HS256,
            Algorithm::Hs384 => Library::HS384,
            Algorithm::Hs512 => Library::HS512,
            Algorithm::Rs256 => Library::RS256,
            Algorithm::Rs384 => Library::RS384,
            Algorithm::Rs512 => Library::RS512,
            Algorithm::Ps256 => Library::PS256,
            Algorithm::Ps384 => Library::PS384,
            Algorithm::Ps512 => Library::PS512,
            Algorithm::Es256 => Library::ES256,
            Algorithm::Es384 => Library::ES384,
            Algorithm::EdDsa => Library::EdDSA,
            Algorithm::Es512 => return None,
        })
    }

    /// How keys are read, and signed with.
    pub(super) fn check(self) -> Check {
        match self {
            Algorithm::Hs256 => Check::Secret(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Check::Secret(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Check::Secret(hmac::HMAC_SHA512),
            Algorithm::Rs256 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Check::Public(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Check::Public(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Check::Public(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Check::Public(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => Check::Public(&ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => Check::Public(&ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => Check::Public(&ECDSA_P521_SHA512_FIXED),
            Algorithm::EdDsa => Check::Public(&ED25519),
        }
    }
}

/// How signatures of an algorithm are checked.
pub(super) enum Check {
    Secret(hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

impl KeyType {
    /// The algorithms that a key of this type can be configured for.
    pub fn algorithms(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| algorithm.key_type() == self)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyType::Secret => "a raw secret",
            KeyType::Rsa => "an RSA key",
            KeyType::P256 => "a P-256 key",
            KeyType::P384 => "a P-384 key",
            KeyType::P521 => "a P-521 key",
            KeyType::Ed25519 => "an Ed25519 key",
        })
    }
}

/// Names, separated by commas.
pub(crate) fn names(algorithms: impl IntoIterator<Item = Algorithm>) -> String {
    algorithms.into_iter().map(Algorithm::name).collect::<Vec<_>>().join(", ")
}
