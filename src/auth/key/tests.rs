//! Keys of every type, and what is refused as one.

use super::*;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    },
};
use base64::engine::general_purpose::STANDARD;
use std::sync::LazyLock;

/// A private key and its public one, as PEM.
struct Pair {
    private: String,
    public: String,
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> =
        encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn pair_of(private: &[u8], public: &impl AsDer<PublicKeyX509Der<'static>>) -> Pair {
    let public = public.as_der().unwrap();
    Pair { private: to_pem("PRIVATE KEY", private), public: to_pem("PUBLIC KEY", public.as_ref()) }
}

/// A pair of each type.
static PAIRS: LazyLock<[(KeyType, Pair); 5]> = LazyLock::new(|| {
    let elliptic = |algorithm| {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        pair_of(pair.to_pkcs8v1().unwrap().as_ref(), pair.public_key())
    };
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let edwards = Ed25519KeyPair::generate().unwrap();
    [
        (KeyType::Rsa, pair_of(rsa_private.as_ref(), rsa.public_key())),
        (KeyType::P256, elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        (KeyType::P384, elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        (KeyType::P521, elliptic(&ECDSA_P521_SHA512_FIXED_SIGNING)),
        (KeyType::Ed25519, pair_of(edwards.to_pkcs8().unwrap().as_ref(), edwards.public_key())),
    ]
});

/// What signs and what checks, for each algorithm.
fn texts(algorithm: Algorithm) -> (&'static str, &'static str) {
    match PAIRS.iter().find(|(key_type, _)| *key_type == algorithm.key_type()) {
        Some((_, pair)) => (&pair.private, &pair.public),
        None => ("secret", "secret"),
    }
}

fn key(text: &str, algorithm: Algorithm) -> Result<Key, KeyError> {
    Key::from_text(text.as_bytes(), algorithm)
}

fn signing_key(text: &str, algorithm: Algorithm) -> Result<SigningKey, KeyError> {
    SigningKey::from_text(text.as_bytes(), algorithm)
}

#[test]
fn a_key_fits_its_own_signatures_only() {
    for algorithm in Algorithm::ALL {
        let (private, public) = texts(algorithm);
        let key = key(public, algorithm).unwrap();
        let signature = signing_key(private, algorithm).unwrap().sign("message");
        assert!(key.fits(algorithm, "message", &signature), "{algorithm}");
        assert!(!key.fits(algorithm, "messagf", &signature), "{algorithm}");
        assert!(!key.fits(algorithm, "message", &signature[1..]), "{algorithm}");
        assert!(!key.fits(algorithm, "message", &format!("{signature}=")), "{algorithm}");
        assert!(!key.fits(algorithm, "message", ""), "{algorithm}");
        let mut other = signature.clone().into_bytes();
        other[10] = if other[10] == b'A' { b'B' } else { b'A' };
        assert!(!key.fits(algorithm, "message", std::str::from_utf8(&other).unwrap()));
        // By no other algorithm, not even of its family.
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert!(!key.fits(other, "message", &signature), "{algorithm} as {other}");
            assert!(!key.allows(other));
            let (_, public) = texts(other);
            let other_key = self::key(public, other).unwrap();
            assert!(!other_key.fits(other, "message", &signature), "{algorithm} at {other}");
        }
    }
}

#[test]
fn an_algorithm_takes_its_type_of_key_only() {
    for (key_type, Pair { private, public }) in PAIRS.iter() {
        let key_type = *key_type;
        for algorithm in Algorithm::ALL {
            let fits = algorithm.key_type() == key_type;
            let errors = [key(public, algorithm).err(), signing_key(private, algorithm).err()];
            for error in errors {
                match (fits, algorithm.key_type()) {
                    (true, _) => assert_eq!(error, None, "{algorithm} {key_type}"),
                    (false, KeyType::Secret) => {
                        let key_type = Some(key_type);
                        assert_eq!(error, Some(KeyError::PemAsSecret { algorithm, key_type }));
                    }
                    _ => assert_eq!(error, Some(KeyError::Mismatch { algorithm, key_type })),
                }
            }
        }
    }
    let error = key(texts(Algorithm::Es256).1, Algorithm::Rs256).unwrap_err().to_string();
    assert_eq!(error, "RS256 does not fit a P-256 key, which can be used with ES256");
    let error = key(texts(Algorithm::Ps384).1, Algorithm::Hs256).unwrap_err().to_string();
    assert!(error.contains("RS256, RS384, RS512, PS256, PS384, PS512"), "{error}");
}

#[test]
fn what_is_no_key_is_refused_with_what_to_do() {
    let (private, public) = texts(Algorithm::Es256);
    let refused = |text: &str| key(text, Algorithm::Es256).unwrap_err();
    assert_eq!(refused(""), KeyError::Empty);
    assert_eq!(refused("a secret"), KeyError::SecretAsPem(Algorithm::Es256));
    assert_eq!(refused(private), KeyError::Private);
    assert_eq!(refused(&format!("{public}{public}")), KeyError::Several(2));
    assert_eq!(refused(&public.replace("-----END", "")), KeyError::Pem(PemError::NoEnd));
    let in_one_line = public.replace('\n', r"\n");
    assert_eq!(refused(&in_one_line), KeyError::Pem(PemError::EscapedLineEnds));
    assert_eq!(refused(&public.replace("M", "!")), KeyError::Pem(PemError::NotBase64));
    assert_eq!(refused(&to_pem("PUBLIC KEY", b"x")), KeyError::Unreadable);
    assert_eq!(refused(&to_pem("CERTIFICATE", b"x")), KeyError::Certificate);
    assert_eq!(refused(&to_pem("CSR", b"x")), KeyError::Label("CSR".into()));
    let refused = |text: &str| signing_key(text, Algorithm::Es256).unwrap_err();
    assert_eq!(refused(""), KeyError::Empty);
    assert_eq!(refused("a secret"), KeyError::SecretAsPem(Algorithm::Es256));
    assert_eq!(refused(public), KeyError::Public);
    assert_eq!(refused(&to_pem("ENCRYPTED PRIVATE KEY", b"x")), KeyError::Encrypted);
    assert_eq!(refused(&to_pem("PRIVATE KEY", b"x")), KeyError::Unreadable);
    assert_eq!(
        signing_key(private, Algorithm::Hs256).unwrap_err(),
        KeyError::PemAsSecret { algorithm: Algorithm::Hs256, key_type: Some(KeyType::P256) }
    );
    // Around a block there may be anything.
    assert!(key(&format!("\n{public}\nsomething\n"), Algorithm::Es256).is_ok());
    assert!(key(&public.replace('\n', "\r\n"), Algorithm::Es256).is_ok());
}

/// openssl genrsa 1024 | openssl rsa -pubout
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDKmT5Pdp7yNcGs+R65FwDojFju
R+6UdpXtz6OV3bhYeOSsanAA0KNvrX4pPV2fskBWY/W1aMJBIkPprlpXXpH9Mn0l
KbXkU+QWlmnaqe5mqGAMcsv+sbzNc/d/2cHwYZi5t7c9nSUG8e1RRRAJTRVIigGf
82j4ni0a9d7dYxpZiQIDAQAB
-----END PUBLIC KEY-----";

#[test]
fn short_rsa_keys_are_refused() {
    let refused = key(SHORT_RSA, Algorithm::Rs256).unwrap_err();
    assert_eq!(refused, KeyError::RsaSize { bits: 1024 });
    assert!(refused.to_string().contains("1024 bits"), "{refused}");
}

/// RFC 7515 appendix A.1.
#[test]
fn the_example_of_the_standard_fits() {
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
    let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert!(key.fits(Algorithm::Hs256, message, signature));
}

#[test]
fn names_and_secrets_are_checked() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
    for name in ["none", "None", "hs256", "HS256 ", "ES256K", "EDDSA", "RS1", ""] {
        assert_eq!(Algorithm::from_name(name), None, "{name}");
    }
    let refusal = |secret| Key::from_secret(secret, Algorithm::Hs512).err();
    assert_eq!(refusal(b""), Some(KeyError::Empty));
    let pem = b"\n-----BEGIN PUBLIC KEY-----\n";
    let algorithm = Algorithm::Hs512;
    assert_eq!(refusal(pem), Some(KeyError::PemAsSecret { algorithm, key_type: None }));
    assert_eq!(refusal(b" "), None);
    let refusal = Key::from_secret(b"x", Algorithm::Rs256).err();
    assert_eq!(refusal, Some(KeyError::SecretAsPem(Algorithm::Rs256)));
}

#[test]
fn keys_are_the_same_if_they_are_used_the_same() {
    let public = texts(Algorithm::Rs256).1;
    let same = |one: Result<Key, _>, other: Result<Key, _>| one.unwrap() == other.unwrap();
    assert!(same(key(public, Algorithm::Rs256), key(public, Algorithm::Rs256)));
    assert!(!same(key(public, Algorithm::Rs256), key(public, Algorithm::Rs384)));
    assert!(!same(key(public, Algorithm::Rs256), key("x", Algorithm::Hs256)));
    assert!(!same(key("x", Algorithm::Hs256), key("y", Algorithm::Hs256)));
    let named = Key { kid: Some("k".into()), ..key("x", Algorithm::Hs256).unwrap() };
    assert_ne!(named, key("x", Algorithm::Hs256).unwrap());
}

#[test]
fn debug_output_shows_no_key() {
    let key = Key::from_secret(b"secret", Algorithm::Hs256).unwrap();
    let signing = SigningKey::from_secret(b"secret", Algorithm::Hs256).unwrap();
    assert_eq!(format!("{key:?} {signing:?}"), "Key(HS256) SigningKey(HS256)");
}
