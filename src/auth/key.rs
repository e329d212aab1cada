//! Keys that signatures are checked with, each bound to the algorithms that it was configured for
//! (draft-08 #token-validation: "verify that `alg` is compatible with the key used for
//! verification"). A token never chooses how its key is used.

mod algorithm;
mod pem;
mod public;
mod signing;

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{DecodingKey, crypto};

use self::algorithm::Check;
pub(crate) use self::algorithm::names;
pub(super) use self::public::PublicKey;
pub use self::{
    algorithm::{Algorithm, KeyType},
    pem::PemError,
    signing::SigningKey,
};

/// Why a text is no key, or not one for its algorithm. Never shows the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is empty: anybody could sign with it")]
    Empty,
    #[error(
        "the key is PEM, but {algorithm} takes a raw secret, and a public key used as a secret \
         would let anybody sign: name the key's own algorithm{}", of_type(*key_type)
    )]
    PemAsSecret { algorithm: Algorithm, key_type: Option<KeyType> },
    #[error(
        "{0} takes a key in PEM (-----BEGIN …), a public one where tokens are checked and a \
         private one where they are made, and this is none; a shared secret goes with HS256, \
         HS384 or HS512"
    )]
    SecretAsPem(Algorithm),
    #[error("the key looks like PEM, but {0}")]
    Pem(#[from] PemError),
    #[error(
        "this is a private key, which belongs to the issuer alone: give its public key \
         (openssl pkey -in KEY -pubout)"
    )]
    Private,
    #[error("this is a public key: what signs is the private key")]
    Public,
    #[error("this private key is encrypted: decrypt it first (openssl pkey -in KEY)")]
    Encrypted,
    #[error("PEM of the kind `{}` is no key", crate::protocol::text::excerpt(.0))]
    Label(Box<str>),
    #[error("there are {0} keys in one text: give each by itself")]
    Several(usize),
    #[error("the certificate cannot be read: give its public key (openssl x509 -pubkey -noout)")]
    Certificate,
    #[error("the key cannot be read: it is damaged, or of a type that is not known")]
    Unreadable,
    #[error("the RSA key has {bits} bits; 2048 to 8192 are accepted, fewer can be broken")]
    RsaSize { bits: u32 },
    #[error("{algorithm} does not fit {key_type}, which can be used with {}",
        names(key_type.algorithms()))]
    Mismatch { algorithm: Algorithm, key_type: KeyType },
}

fn of_type(key_type: Option<KeyType>) -> String {
    let Some(key_type) = key_type else { return String::new() };
    format!(", which for {key_type} is {}", names(key_type.algorithms()))
}

/// A key with the algorithms that it is bound to.
#[derive(Clone)]
pub struct Key {
    /// What tokens may call it by; a hint.
    kid: Option<Box<str>>,
    /// One for each algorithm, all of one type of key; at least one.
    uses: Box<[Use]>,
}

#[derive(Clone)]
struct Use {
    algorithm: Algorithm,
    verifier: Verifier,
    /// To tell whether two keys are the same.
    bytes: Box<[u8]>,
}

#[derive(Clone)]
enum Verifier {
    Library(Box<DecodingKey>, jsonwebtoken::Algorithm),
    /// ES512, which the library does not have.
    Own(ParsedPublicKey),
}

impl Key {
    /// What a setting holds: a raw secret, its bytes as they are, or a public key in PEM
    /// (SubjectPublicKeyInfo, PKCS#1, or an X.509 certificate, of which only the key counts).
    pub fn from_text(text: &[u8], algorithm: Algorithm) -> Result<Key, KeyError> {
        match (algorithm.key_type(), pem::looks_like_pem(text)) {
            (KeyType::Secret, _) => Key::from_secret(text, algorithm),
            (_, true) => Key::from_public(read_public(text)?, &[algorithm], None),
            (_, false) if text.is_empty() => Err(KeyError::Empty),
            (_, false) => Err(KeyError::SecretAsPem(algorithm)),
        }
    }

    /// A raw secret, its bytes as they are.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Key, KeyError> {
        check_secret(secret, algorithm)?;
        let (KeyType::Secret, Some(library)) = (algorithm.key_type(), algorithm.of_library())
        else {
            return Err(KeyError::SecretAsPem(algorithm));
        };
        let verifier = Verifier::Library(Box::new(DecodingKey::from_secret(secret)), library);
        Ok(Key { kid: None, uses: Box::new([Use { algorithm, verifier, bytes: secret.into() }]) })
    }

    /// A public key, bound to some algorithms of its type; at least one.
    pub(super) fn from_public(
        key: PublicKey,
        algorithms: &[Algorithm],
        kid: Option<Box<str>>,
    ) -> Result<Key, KeyError> {
        let PublicKey { key_type, bytes } = key;
        let bind = |&algorithm: &Algorithm| {
            let Check::Public(check) = algorithm.check() else {
                return Err(KeyError::Mismatch { algorithm, key_type });
            };
            if algorithm.key_type() != key_type {
                return Err(KeyError::Mismatch { algorithm, key_type });
            }
            let parsed = ParsedPublicKey::new(check, &bytes).map_err(|_| KeyError::Unreadable)?;
            let verifier = match algorithm.of_library() {
                None => Verifier::Own(parsed),
                Some(library) => Verifier::Library(Box::new(of_library(key_type, &bytes)), library),
            };
            Ok(Use { algorithm, verifier, bytes: bytes.clone() })
        };
        let uses = algorithms.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Key { kid, uses })
    }

    /// How the key was perhaps meant, if the signature fits it then: people give secrets with line
    /// ends and quotes, or encoded.
    pub(super) fn near_miss(
        &self,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> Option<&'static str> {
        let secrets = self.uses.iter().filter(|one| one.algorithm.key_type() == KeyType::Secret);
        let mut variants = secrets.flat_map(|one| variants(&one.bytes));
        variants.find_map(|(secret, how)| {
            let key = Key::from_secret(&secret, algorithm).ok()?;
            key.fits(algorithm, message, signature).then_some(how)
        })
    }

    #[cfg(test)]
    pub(super) fn named(self, kid: Option<&str>) -> Key {
        Key { kid: kid.map(Box::from), ..self }
    }

    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithms that it is bound to.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.uses.iter().map(|one| one.algorithm)
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|own| own == algorithm)
    }

    /// Whether `signature`, in base64url, is this key's of `message` by an algorithm that the key
    /// is bound to. In constant time where the key is a secret.
    pub(super) fn fits(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        let Some(one) = self.uses.iter().find(|one| one.algorithm == algorithm) else {
            return false;
        };
        let message = message.as_bytes();
        match &one.verifier {
            Verifier::Library(key, algorithm) => {
                crypto::verify(signature, message, key, *algorithm).unwrap_or(false)
            }
            Verifier::Own(key) => URL_SAFE_NO_PAD
                .decode(signature)
                .is_ok_and(|signature| key.verify_sig(message, &signature).is_ok()),
        }
    }
}

/// What may have been meant by a secret.
fn variants(secret: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let trimmed = secret.trim_ascii();
    let unquoted = [b'"', b'\''].iter().find_map(|quote| {
        trimmed.strip_prefix(&[*quote]).and_then(|inner| inner.strip_suffix(&[*quote]))
    });
    let with = |before: &[u8], after: &[u8]| [before, trimmed, after].concat();
    let base64 = |engine: &base64::engine::GeneralPurpose| engine.decode(trimmed).ok();
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let decoded = engines.into_iter().find_map(base64);
    let all = [
        (Some(trimmed.to_vec()), "without the spaces or the line end around it"),
        (Some(with(b"", b"\n")), "with a line end behind it: the issuer signs with that too"),
        (unquoted.map(<[u8]>::to_vec), "without the quotes around it"),
        (Some(with(b"\"", b"\"")), "in double quotes: the issuer signs with them too"),
        (decoded, "decoded from base64: the issuer decodes it, this hub takes it as it is"),
        (
            Some(STANDARD.encode(secret).into_bytes()),
            "encoded in base64: the issuer signs with that",
        ),
    ];
    all.into_iter().filter_map(|(variant, how)| Some((variant?, how))).collect()
}

/// The same key, called the same, for the same algorithms.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.kid == other.kid && self.uses == other.uses
    }
}

impl PartialEq for Use {
    fn eq(&self, other: &Use) -> bool {
        self.algorithm == other.algorithm && self.bytes == other.bytes
    }
}

/// Says nothing of the key itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", names(self.algorithms()))
    }
}

/// As the library takes it: it hands the bytes on as they are.
fn of_library(key_type: KeyType, bytes: &[u8]) -> DecodingKey {
    match key_type {
        KeyType::Secret => DecodingKey::from_secret(bytes),
        KeyType::Rsa => DecodingKey::from_rsa_der(bytes),
        KeyType::P256 | KeyType::P384 | KeyType::P521 => DecodingKey::from_ec_der(bytes),
        KeyType::Ed25519 => DecodingKey::from_ed_der(bytes),
    }
}

fn check_secret(secret: &[u8], algorithm: Algorithm) -> Result<(), KeyError> {
    if secret.is_empty() {
        return Err(KeyError::Empty);
    }
    if pem::looks_like_pem(secret) {
        let key_type = read_public(secret).ok().map(|key| key.key_type);
        return Err(KeyError::PemAsSecret { algorithm, key_type });
    }
    Ok(())
}

/// The one public key of a PEM text.
fn read_public(text: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_pem(&one_block(text, |_| true)?)
}

/// The one block of a PEM text, among those that are wanted.
fn one_block<'t>(
    text: &'t [u8],
    is_wanted: fn(&pem::Pem<'_>) -> bool,
) -> Result<pem::Pem<'t>, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| PemError::NotBase64)?;
    let mut blocks = pem::blocks(text)?;
    blocks.retain(is_wanted);
    match blocks.len() {
        1 => Ok(blocks.remove(0)),
        0 => Err(KeyError::Unreadable),
        several => Err(KeyError::Several(several)),
    }
}

#[cfg(test)]
mod tests;
