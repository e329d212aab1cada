//! What signs the tokens of a role: a secret, or a private key.

use std::{fmt, fs, str::FromStr};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING},
    signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::{common::tokens::sign_texts_with, hub::random};

/// A key and the algorithm that it is for.
#[derive(Clone)]
pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    text: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key for {:?}", self.algorithm)
    }
}

impl Signer {
    /// A key as it is, or `@FILE`. The error says what to do.
    pub(crate) fn new(text: &str, algorithm: &str) -> Result<Self, String> {
        let text = match text.strip_prefix('@') {
            None => text.to_owned(),
            Some(path) => {
                let read = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                read.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        let algorithm = Algorithm::from_str(algorithm).map_err(|_| {
            format!("{algorithm:?} is no algorithm that tokens can be signed with here")
        })?;
        let pem = text.as_bytes();
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                if text.contains("-----BEGIN ") {
                    return Err("this key is no secret: say with --alg what it is for".to_owned());
                }
                Ok(EncodingKey::from_secret(pem))
            }
            _ if text.contains("-----BEGIN PUBLIC KEY-----") => {
                return Err(
                    "this key is the public one; tokens are signed with the private one".to_owned()
                );
            }
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        let key = key.map_err(|error| format!("no private key for {algorithm:?}: {error}"))?;
        Ok(Signer { key, algorithm, text })
    }

    /// A new key for ES256, in PEM.
    pub(crate) fn generate() -> String {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        pem("PRIVATE", key.to_pkcs8v1().unwrap().as_ref())
    }

    /// A key that no hub knows, in place of one that it knows.
    pub(crate) fn strange(other: &Signer) -> Self {
        let (text, algorithm) = match other.algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                (format!("a key that no hub knows {:032x}", random()), other.name())
            }
            _ => (Signer::generate(), "ES256".to_owned()),
        };
        Signer::new(&text, &algorithm).expect("a key")
    }

    pub(crate) fn name(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        sign_texts_with(&header.to_string(), &claims.to_string(), &self.key, self.algorithm)
    }

    /// What checks the signatures, as a JWK and in DER, or the secret as it is. For keys of
    /// [`Signer::strange`].
    pub(crate) fn jwk(&self, kid: &str) -> (Value, String) {
        let Some(pem) = self.public_pem() else {
            let secret = URL_SAFE_NO_PAD.encode(&self.text);
            let jwk = json!({ "kty": "oct", "alg": self.name(), "kid": kid, "k": secret });
            return (jwk, secret);
        };
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(&body).expect("it was encoded so");
        // The point is at the end: a mark, x and y.
        let [x, y] = [64, 32].map(|from_end| {
            let at = der.len() - from_end;
            URL_SAFE_NO_PAD.encode(&der[at..at + 32])
        });
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": x, "y": y,
        });
        (jwk, body)
    }

    /// The public key in PEM; `None` of a secret, and of what is not PKCS #8.
    pub(crate) fn public_pem(&self) -> Option<String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.text.as_bytes()).ok()?;
        let der = der.secret_pkcs8_der();
        let of_ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, der).ok()?.public_key().as_der().ok()
        };
        let public: PublicKeyX509Der<'_> = match self.algorithm {
            Algorithm::ES256 => of_ec(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            Algorithm::ES384 => of_ec(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(der).ok()?.public_key().as_der().ok()?,
            _ => rsa::KeyPair::from_pkcs8(der).ok()?.public_key().as_der().ok()?,
        };
        Some(pem("PUBLIC", public.as_ref()))
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> =
        encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind} KEY-----\n{}\n-----END {kind} KEY-----\n", lines.join("\n"))
}
