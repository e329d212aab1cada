//! Public keys, before they are bound to an algorithm.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa,
    signature::{ParsedPublicKey, RsaParameters, RsaPublicKeyComponents},
};

use super::{Algorithm, Check, KeyError, KeyType, pem::Pem};

/// Shorter keys can be broken, longer ones keep a worker busy (RFC 7518 §3.3).
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// A public key of some type.
pub(in crate::auth) struct PublicKey {
    pub(super) key_type: KeyType,
    /// In a form that every algorithm of the type takes.
    pub(super) bytes: Box<[u8]>,
}

impl PublicKey {
    pub(in crate::auth) fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub(super) fn from_pem(pem: &Pem<'_>) -> Result<PublicKey, KeyError> {
        match pem.label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => PublicKey::from_der(&pem.der),
            "CERTIFICATE" => {
                let der = rustls_pki_types::CertificateDer::from(pem.der.as_slice());
                let certificate =
                    webpki::EndEntityCert::try_from(&der).map_err(|_| KeyError::Certificate)?;
                PublicKey::from_der(&certificate.subject_public_key_info())
            }
            label if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
            label => Err(KeyError::Label(label.into())),
        }
    }

    /// A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) or an RSAPublicKey (RFC 8017 §A.1.1).
    fn from_der(der: &[u8]) -> Result<PublicKey, KeyError> {
        let elliptic = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa];
        let fits = |algorithm: &Algorithm| match algorithm.check() {
            Check::Public(check) => ParsedPublicKey::new(check, der).is_ok(),
            Check::Secret(_) => false,
        };
        match elliptic.into_iter().find(fits) {
            Some(algorithm) => Ok(PublicKey { key_type: algorithm.key_type(), bytes: der.into() }),
            None => PublicKey::from_rsa_der(der),
        }
    }

    fn from_rsa_der(der: &[u8]) -> Result<PublicKey, KeyError> {
        let key = rsa::PublicKey::from_der(der).map_err(|_| KeyError::Unreadable)?;
        let bytes = key.as_ref();
        let bits = RsaParameters::public_modulus_len(bytes).map_err(|_| KeyError::Unreadable)?;
        check_rsa_size(bits)?;
        Ok(PublicKey { key_type: KeyType::Rsa, bytes: bytes.into() })
    }

    /// Of the members `n` and `e` (RFC 7518 §6.3.1).
    pub(in crate::auth) fn from_rsa_components(n: &[u8], e: &[u8]) -> Result<PublicKey, KeyError> {
        // Some issuers write a leading zero, against the RFC.
        let strip = |number: &[u8]| {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            number[zeros..].to_vec()
        };
        let components = RsaPublicKeyComponents { n: strip(n), e: strip(e) };
        let first = components.n.first().map_or(0, |first| 8 - first.leading_zeros());
        let bits = components.n.len().saturating_sub(1).saturating_mul(8);
        check_rsa_size(u32::try_from(bits).unwrap_or(u32::MAX).saturating_add(first))?;
        let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyError::Unreadable)?;
        PublicKey::from_rsa_der(der.as_ref())
    }

    /// Of the members `x` and `y`, which have the full size of a coordinate (RFC 7518 §6.2.1).
    pub(in crate::auth) fn from_point(
        key_type: KeyType,
        x: &[u8],
        y: &[u8],
    ) -> Result<PublicKey, KeyError> {
        const UNCOMPRESSED: u8 = 4;
        let len = match key_type {
            KeyType::P256 => 32,
            KeyType::P384 => 48,
            KeyType::P521 => 66,
            KeyType::Secret | KeyType::Rsa | KeyType::Ed25519 => return Err(KeyError::Unreadable),
        };
        if x.len() != len || y.len() != len {
            return Err(KeyError::Unreadable);
        }
        Ok(PublicKey { key_type, bytes: [&[UNCOMPRESSED], x, y].concat().into() })
    }

    /// Of the member `x` (RFC 8037 §2).
    pub(in crate::auth) fn from_ed25519(x: &[u8]) -> Result<PublicKey, KeyError> {
        match x.len() {
            32 => Ok(PublicKey { key_type: KeyType::Ed25519, bytes: x.into() }),
            _ => Err(KeyError::Unreadable),
        }
    }
}

fn check_rsa_size(bits: u32) -> Result<(), KeyError> {
    match RSA_BITS.contains(&bits) {
        true => Ok(()),
        false => Err(KeyError::RsaSize { bits }),
    }
}
