//! JSON Web Key Sets (RFC 7517): the public keys that an issuer publishes.
//!
//! Keys that are not understood are left out, each with a reason for the operator's log; one odd
//! key must not take the others away (RFC 7517 §5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    json::{self, JsonError},
    key::{Algorithm, Key, KeyError, KeyType, PublicKey, names},
};
use crate::protocol::text::excerpt;

/// Bytes of a set.
pub const LEN_MAX: usize = 1 << 20;
/// Keys of a set, understood or not.
pub const KEYS_MAX: usize = 100;

/// For what an RSA key is used that does not say it, unless the configuration does.
const RSA_DEFAULT: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512];
/// Members that only a private key has (RFC 7518 §6.2.2, §6.3.2; RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// The keys of a set that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySet {
    /// At least one.
    pub keys: Vec<Key>,
    /// What the operator should know: which keys were left out, and why.
    pub notes: Vec<String>,
}

/// Why a document is no set of keys that a hub could use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("it has more than {LEN_MAX} bytes")]
    TooLong,
    #[error("it {0}")]
    Json(#[from] JsonError),
    #[error("it has no member `keys` with a list of keys: is this a JWK Set (RFC 7517)?")]
    NoKeys,
    #[error("it has {0} keys, {KEYS_MAX} are accepted")]
    TooMany(usize),
    #[error("it has no key that can be used: {}", reasons(.0))]
    NothingUsable(Vec<String>),
}

fn reasons(notes: &[String]) -> String {
    const SHOWN: usize = 3;
    match notes {
        [] => "it is empty".to_owned(),
        [shown @ .., _] if notes.len() > SHOWN => {
            format!("{}; and so on", shown[..SHOWN].join("; "))
        }
        all => all.join("; "),
    }
}

/// Why a key of a set is left out.
#[derive(Debug, thiserror::Error)]
enum Skip {
    #[error("it is no JSON object")]
    NoObject,
    #[error("`{0}` is missing or of the wrong type")]
    Member(&'static str),
    #[error("`{0}` is no base64url without padding")]
    NotBase64(&'static str),
    #[error("its type (kty) {} is not known", excerpt(.0))]
    Type(String),
    #[error("its curve (crv) {} is not known", excerpt(.0))]
    Curve(String),
    #[error(
        "it is a shared secret (oct), which has no place in a published set: whoever reads it \
         could sign"
    )]
    Secret,
    #[error("its use is {}, not sig", excerpt(.0))]
    Use(String),
    #[error("its key_ops do not include verify")]
    Operations,
    #[error("its algorithm (alg) {} is none that tokens are signed with here", excerpt(.0))]
    Algorithm(String),
    #[error(
        "it is for {bound_to}, and the configuration allows this set {}",
        names(allowed.iter().copied())
    )]
    NotAllowed { bound_to: String, allowed: Vec<Algorithm> },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the set has it already")]
    Repeated,
}

/// Reads a set. `allowed`: the algorithms that the configuration allows its keys; none means those
/// that the keys themselves name, or that go with their type.
pub fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<KeySet, JwksError> {
    if bytes.len() > LEN_MAX {
        return Err(JwksError::TooLong);
    }
    let Some(Value::Array(entries)) = json::object(bytes)?.remove("keys") else {
        return Err(JwksError::NoKeys);
    };
    if entries.len() > KEYS_MAX {
        return Err(JwksError::TooMany(entries.len()));
    }
    let (mut keys, mut notes): (Vec<Key>, _) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let mut note = |text: &dyn std::fmt::Display| {
            let kid = entry.get("kid").and_then(Value::as_str);
            let kid = kid.map_or(String::new(), |kid| format!(" (kid {})", excerpt(kid)));
            notes.push(format!("key {}{kid}: {text}", index + 1));
        };
        match read(entry, allowed) {
            Ok(key) if keys.contains(&key) => note(&Skip::Repeated),
            Ok(key) => {
                if PRIVATE_MEMBERS.iter().any(|member| entry.get(member).is_some()) {
                    note(&"the set publishes the private key as well; whoever reads it can sign");
                }
                keys.push(key);
            }
            Err(skip) => note(&skip),
        }
    }
    match keys.is_empty() {
        true => Err(JwksError::NothingUsable(notes)),
        false => Ok(KeySet { keys, notes }),
    }
}

fn read(entry: &Value, allowed: &[Algorithm]) -> Result<Key, Skip> {
    let members = entry.as_object().ok_or(Skip::NoObject)?;
    let public = public_key(members)?;
    check_use(members)?;
    let algorithms = algorithms(members, public.key_type(), allowed)?;
    let kid = text(members, "kid")?.map(Box::from);
    Ok(Key::from_public(public, &algorithms, kid)?)
}

/// RFC 7518 §6, RFC 8037 §2.
fn public_key(members: &Map<String, Value>) -> Result<PublicKey, Skip> {
    let required = |name| text(members, name)?.ok_or(Skip::Member(name));
    let bytes = |name| URL_SAFE_NO_PAD.decode(required(name)?).map_err(|_| Skip::NotBase64(name));
    let key = match required("kty")? {
        "RSA" => PublicKey::from_rsa_components(&bytes("n")?, &bytes("e")?),
        "EC" => {
            let key_type = match required("crv")? {
                "P-256" => KeyType::P256,
                "P-384" => KeyType::P384,
                "P-521" => KeyType::P521,
                other => return Err(Skip::Curve(other.to_owned())),
            };
            PublicKey::from_point(key_type, &bytes("x")?, &bytes("y")?)
        }
        "OKP" => match required("crv")? {
            "Ed25519" => PublicKey::from_ed25519(&bytes("x")?),
            other => return Err(Skip::Curve(other.to_owned())),
        },
        "oct" => return Err(Skip::Secret),
        other => return Err(Skip::Type(other.to_owned())),
    };
    Ok(key?)
}

/// RFC 7517 §4.2, §4.3.
fn check_use(members: &Map<String, Value>) -> Result<(), Skip> {
    if let Some(other) = text(members, "use")?.filter(|word| *word != "sig") {
        return Err(Skip::Use(other.to_owned()));
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|word| word == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(Skip::Operations),
        Some(_) => Err(Skip::Member("key_ops")),
    }
}

/// What the key is bound to: its own `alg`, or else what goes with its type.
fn algorithms(
    members: &Map<String, Value>,
    key_type: KeyType,
    allowed: &[Algorithm],
) -> Result<Vec<Algorithm>, Skip> {
    let is_allowed = |algorithm: &Algorithm| allowed.is_empty() || allowed.contains(algorithm);
    let candidates: Vec<Algorithm> = match text(members, "alg")? {
        Some(name) => {
            vec![Algorithm::from_name(name).ok_or_else(|| Skip::Algorithm(name.to_owned()))?]
        }
        None if key_type == KeyType::Rsa && allowed.is_empty() => RSA_DEFAULT.to_vec(),
        None => key_type.algorithms().collect(),
    };
    let chosen: Vec<_> = candidates.iter().copied().filter(is_allowed).collect();
    match chosen.is_empty() {
        true => Err(Skip::NotAllowed { bound_to: names(candidates), allowed: allowed.to_vec() }),
        false => Ok(chosen),
    }
}

/// A member that is text, if it is there.
fn text<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, Skip> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Skip::Member(name)),
    }
}

#[cfg(test)]
mod tests;
