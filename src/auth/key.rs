//! Signature keys, each bound to the one algorithm that it was configured for (draft-08
//! #token-validation: "verify that `alg` is compatible with the key").

use std::fmt;

use jsonwebtoken::{DecodingKey, EncodingKey, crypto};

/// A signature algorithm that a key can be configured for. `none` is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// What a raw secret means without further words.
    #[default]
    Hs256,
    Hs384,
    Hs512,
}

impl Algorithm {
    pub const ALL: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];

    /// The name of RFC 7518 §3.1.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
        }
    }

    /// Names are case-sensitive (RFC 7515 §4.1.1).
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
            Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key that signatures are checked with. Public keys will be more variants.
#[derive(Clone)]
pub enum Key {
    /// A secret shared with the issuer.
    Secret { secret: DecodingKey, algorithm: Algorithm },
}

/// Why a configured text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is empty: anybody could sign with it")]
    Empty,
    #[error(
        "the key looks like PEM, but {0} takes a raw secret: a public key used as a secret would \
         let anybody sign"
    )]
    Pem(Algorithm),
}

impl Key {
    /// A raw secret, its bytes as they are.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Key, KeyError> {
        check_secret(secret, algorithm)?;
        Ok(Key::Secret { secret: DecodingKey::from_secret(secret), algorithm })
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Key::Secret { algorithm, .. } => *algorithm,
        }
    }

    /// Whether `signature`, in base64url, is this key's of `message`. In constant time.
    pub(super) fn fits(&self, message: &str, signature: &str) -> bool {
        match self {
            Key::Secret { secret, algorithm } => {
                let algorithm = algorithm.of_library();
                crypto::verify(signature, message.as_bytes(), secret, algorithm).unwrap_or(false)
            }
        }
    }
}

/// Says nothing of the key itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.algorithm())
    }
}

fn check_secret(secret: &[u8], algorithm: Algorithm) -> Result<(), KeyError> {
    if secret.is_empty() {
        return Err(KeyError::Empty);
    }
    if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(KeyError::Pem(algorithm));
    }
    Ok(())
}

/// A key that tokens are signed with.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl SigningKey {
    /// A raw secret, its bytes as they are.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<SigningKey, KeyError> {
        check_secret(secret, algorithm)?;
        Ok(SigningKey { key: EncodingKey::from_secret(secret), algorithm })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature of `message` in base64url.
    pub(super) fn sign(&self, message: &str) -> String {
        crypto::sign(message.as_bytes(), &self.key, self.algorithm.of_library())
            .expect("a secret signs with every algorithm of its family")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_its_own_signatures_only() {
        for algorithm in Algorithm::ALL {
            let sign = |secret| SigningKey::from_secret(secret, algorithm).unwrap().sign("message");
            let key = Key::from_secret(b"secret", algorithm).unwrap();
            let signature = sign(b"secret");
            assert!(key.fits("message", &signature));
            assert!(!key.fits("messagf", &signature));
            assert!(!key.fits("message", &sign(b"secreu")));
            assert!(!key.fits("message", &signature[1..]));
            assert!(!key.fits("message", &format!("{signature}=")));
            assert!(!key.fits("message", ""));
            for other in Algorithm::ALL {
                let key = Key::from_secret(b"secret", other).unwrap();
                assert_eq!(key.fits("message", &signature), other == algorithm);
            }
        }
    }

    /// RFC 7515 appendix A.1.
    #[test]
    fn the_example_of_the_standard_fits() {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let secret = URL_SAFE_NO_PAD
            .decode(
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_\
                 T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            )
            .unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog\
            Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = Key::from_secret(&secret, Algorithm::Hs256).unwrap();
        assert!(key.fits(message, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    }

    #[test]
    fn names_and_secrets_are_checked() {
        assert_eq!(Algorithm::from_name("HS384"), Some(Algorithm::Hs384));
        for name in ["none", "None", "hs256", "HS256 ", "RS256", ""] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
        let refusal = |secret| Key::from_secret(secret, Algorithm::Hs512).err();
        assert_eq!(refusal(b""), Some(KeyError::Empty));
        let pem = b"\n-----BEGIN PUBLIC KEY-----\n";
        assert_eq!(refusal(pem), Some(KeyError::Pem(Algorithm::Hs512)));
        assert_eq!(refusal(b" "), None);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let key = Key::from_secret(b"secret", Algorithm::Hs256).unwrap();
        let signing = SigningKey::from_secret(b"secret", Algorithm::Hs256).unwrap();
        assert_eq!(format!("{key:?} {signing:?}"), "Key(HS256) SigningKey(HS256)");
    }
}
