//! Keys that tokens are signed with. Signatures of some algorithms need random numbers, which the
//! library takes from the system by itself.

use std::fmt;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Algorithm, Check, KeyError, KeyType, check_secret, one_block, pem};

/// A key that tokens are signed with, by one algorithm.
pub struct SigningKey {
    signer: Signer,
    algorithm: Algorithm,
}

enum Signer {
    Secret(Box<hmac::Key>),
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A raw secret, its bytes as they are, or a private key in PEM (PKCS#8, SEC1 or PKCS#1).
    pub fn from_text(text: &[u8], algorithm: Algorithm) -> Result<SigningKey, KeyError> {
        match (algorithm.key_type(), pem::looks_like_pem(text)) {
            (KeyType::Secret, true) => {
                let key_type = private_key(text).ok().and_then(|der| type_of(&der));
                Err(KeyError::PemAsSecret { algorithm, key_type })
            }
            (KeyType::Secret, false) => SigningKey::from_secret(text, algorithm),
            (_, true) => SigningKey::from_der(&private_key(text)?, algorithm),
            (_, false) if text.is_empty() => Err(KeyError::Empty),
            (_, false) => Err(KeyError::SecretAsPem(algorithm)),
        }
    }

    /// A raw secret, its bytes as they are.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<SigningKey, KeyError> {
        check_secret(secret, algorithm)?;
        let Check::Secret(check) = algorithm.check() else {
            return Err(KeyError::SecretAsPem(algorithm));
        };
        let key = Box::new(hmac::Key::new(check, secret));
        Ok(SigningKey { signer: Signer::Secret(key), algorithm })
    }

    fn from_der(der: &[u8], algorithm: Algorithm) -> Result<SigningKey, KeyError> {
        let signer = match algorithm {
            Algorithm::Rs256 => rsa_signer(der, &RSA_PKCS1_SHA256)?,
            Algorithm::Rs384 => rsa_signer(der, &RSA_PKCS1_SHA384)?,
            Algorithm::Rs512 => rsa_signer(der, &RSA_PKCS1_SHA512)?,
            Algorithm::Ps256 => rsa_signer(der, &RSA_PSS_SHA256)?,
            Algorithm::Ps384 => rsa_signer(der, &RSA_PSS_SHA384)?,
            Algorithm::Ps512 => rsa_signer(der, &RSA_PSS_SHA512)?,
            Algorithm::Es256 => ecdsa_signer(der, &ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa_signer(der, &ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => ecdsa_signer(der, &ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Signer::Ed25519)
            }
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
        };
        let signer = signer.ok_or_else(|| match type_of(der) {
            Some(key_type) if key_type != algorithm.key_type() => {
                KeyError::Mismatch { algorithm, key_type }
            }
            _ => KeyError::Unreadable,
        })?;
        Ok(SigningKey { signer, algorithm })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature of `message` in base64url.
    pub(in crate::auth) fn sign(&self, message: &str) -> String {
        let (message, random) = (message.as_bytes(), SystemRandom::new());
        match &self.signer {
            Signer::Secret(key) => URL_SAFE_NO_PAD.encode(hmac::sign(key, message)),
            Signer::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature)
                    .expect("a key of 2048 bits and more has room for every hash");
                URL_SAFE_NO_PAD.encode(signature)
            }
            Signer::Ecdsa(key) => {
                let signature = key.sign(&random, message);
                URL_SAFE_NO_PAD.encode(signature.expect("a key that was read can sign"))
            }
            Signer::Ed25519(key) => URL_SAFE_NO_PAD.encode(key.sign(message)),
        }
    }
}

/// The one private key of a PEM text. OpenSSL writes the parameters of a curve before it.
fn private_key(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let block = one_block(text, |block| block.label != "EC PARAMETERS")?;
    match block.label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Ok(block.der),
        "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => Err(KeyError::Public),
        label => Err(KeyError::Label(label.into())),
    }
}

/// `None`: it is no RSA key.
fn rsa_signer(der: &[u8], encoding: &'static dyn RsaEncoding) -> Result<Option<Signer>, KeyError> {
    let Some(key) = rsa_key(der) else { return Ok(None) };
    // The same bounds as where it is checked.
    super::PublicKey::from_pem(&pem::Pem {
        label: "RSA PUBLIC KEY",
        der: key.public_key().as_ref().to_vec(),
    })?;
    Ok(Some(Signer::Rsa(key, encoding)))
}

fn rsa_key(der: &[u8]) -> Option<rsa::KeyPair> {
    rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)).ok()
}

fn ecdsa_signer(der: &[u8], algorithm: &'static EcdsaSigningAlgorithm) -> Option<Signer> {
    EcdsaKeyPair::from_private_key_der(algorithm, der).ok().map(Signer::Ecdsa)
}

/// What type of private key this is.
fn type_of(der: &[u8]) -> Option<KeyType> {
    let has = |algorithm| ecdsa_signer(der, algorithm).is_some();
    if rsa_key(der).is_some() {
        Some(KeyType::Rsa)
    } else if has(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        Some(KeyType::P256)
    } else if has(&ECDSA_P384_SHA384_FIXED_SIGNING) {
        Some(KeyType::P384)
    } else if has(&ECDSA_P521_SHA512_FIXED_SIGNING) {
        Some(KeyType::P521)
    } else {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(|_| KeyType::Ed25519)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm)
    }
}
