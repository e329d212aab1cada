//! Tokens, what they claim, and the keys that they are checked with.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use petasos::{
    auth::{
        Role,
        access::Access,
        authority::{Authority, Issuer, Settings},
        bearer,
        error::TokenError,
        jwks,
        key::{Algorithm, Key, KeyType, SigningKey},
        mint::{self, MintedGrant, MintedTopic, Minting},
    },
    legacy::{Version, uri_template::UriTemplate},
    protocol::{
        matcher::{Matcher, MatcherSet},
        pattern::Pattern,
        text,
        time::UnixTime,
    },
};
use serde_json::Value;

use super::HUB;

pub const AUDIENCE: &str = "https://hub.example/.well-known/mercure";
const NOW: u64 = 1_000_000;

const ISSUER: &str = "https://issuer.example";
/// Of publishers and subscribers.
const SECRETS: [&[u8]; 2] =
    [b"the key of publishers 0123456789", b"the key of subscribers 012345678"];

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| authority(Some(ISSUER), None));
static LEGACY_AUTHORITY: LazyLock<Authority> = LazyLock::new(|| authority(None, Some(Version::V8)));

fn authority(id: Option<&str>, legacy: Option<Version>) -> Authority {
    let key = |secret| Key::from_secret(secret, Algorithm::Hs256).expect("a key");
    let issuer = Issuer {
        id: id.map(Box::from),
        publisher: vec![key(SECRETS[0])].into(),
        subscriber: vec![key(SECRETS[1])].into(),
    };
    let settings = Settings { hub_url: HUB.clone(), legacy, ..Settings::default() };
    Authority::new(vec![issuer], settings).expect("an issuer")
}

/// The only tokens that were ever signed: for a publisher and for a subscriber.
pub static SIGNED: LazyLock<[String; 2]> = LazyLock::new(|| {
    let topics = [MintedTopic::ANY];
    [true, false].map(|publish| {
        let grant = MintedGrant { publish, subscribe: !publish, topics: &topics, payload: None };
        let minting = Minting {
            issuer: ISSUER,
            audience: AUDIENCE,
            subject: "s",
            client_id: "c",
            token_id: "t",
            issued_at: UnixTime::from_secs(NOW),
            lifetime: Duration::from_secs(60),
            grants: &[grant],
        };
        let secret = SECRETS[usize::from(!publish)];
        mint::token(&minting, &SigningKey::from_secret(secret, Algorithm::Hs256).expect("a key"))
    })
});

/// No token passes but those that were signed, each for its role. `input` is the value of an
/// `Authorization` field.
pub fn token(input: &[u8]) -> bool {
    let Ok(credentials) = bearer::credentials(input) else { return false };
    let Some(token) = bearer::token(credentials) else { return false };
    let mut passed = false;
    for (role, signed) in [Role::Publisher, Role::Subscriber].into_iter().zip(&*SIGNED) {
        let now = UnixTime::from_secs(NOW + 30);
        if AUTHORITY.verify(token, role, AUDIENCE, now).is_ok() {
            assert_eq!(token, signed, "a token passed that nobody signed");
            passed = true;
        } else {
            assert_ne!(token, signed, "a good token failed");
        }
        let late = UnixTime::from_secs(NOW + 60);
        assert!(AUTHORITY.verify(token, role, AUDIENCE, late).is_err(), "expired");
        assert!(AUTHORITY.verify(token, role, "https://other.example/", now).is_err());
    }
    passed
}

/// A header and claims as they are, signed by somebody who has the key of publishers.
fn signed([header, claims]: [&[u8]; 2]) -> String {
    let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let key = EncodingKey::from_secret(SECRETS[0]);
    let signature = crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signature.expect("a key"))
}

/// What an authority says to a publisher with this token; to subscribers it must say no.
fn verdict(authority: &Authority, token: &str) -> Option<Access> {
    let verify = |role| authority.verify(token, role, AUDIENCE, UnixTime::from_secs(NOW));
    assert!(verify(Role::Subscriber).is_err(), "publishers do not sign for subscribers");
    match verify(Role::Publisher) {
        Ok(access) => Some(access),
        Err(error) => {
            let error = error.to_string();
            assert!(text::check(&error).is_ok(), "for a line of the log: {error:?}");
            None
        }
    }
}

/// The header and the claims of a token that passed, by a lenient reader.
fn read(parts: [&[u8]; 2]) -> [Value; 2] {
    let values = parts
        .map(|part| serde_json::from_slice::<Value>(part).expect("the strict reader takes less"));
    for (value, part) in values.iter().zip(parts) {
        assert_eq!(members(value), colons(part), "no name is there twice: {}", part.escape_ascii());
    }
    assert_eq!(values[0]["alg"], "HS256");
    assert_eq!(values[0].get("crit"), None);
    values
}

fn is_for_the_hub(aud: &Value) -> bool {
    *aud == *AUDIENCE || aud.as_array().is_some_and(|aud| aud.contains(&AUDIENCE.into()))
}

fn is_access_token(header: &Value) -> bool {
    let typ = header["typ"].as_str().unwrap_or_default().to_lowercase();
    ["at+jwt", "application/at+jwt"].contains(&&*typ)
}

/// Claims, and before the first 0xFF, if there is one, a header: signed as they are by somebody
/// who has the key of publishers. What passes says what a lenient reader finds in it.
pub fn claims(input: &[u8]) -> bool {
    let mut parts = input.rsplitn(2, |byte| *byte == 0xff);
    let claims = parts.next().unwrap_or_default();
    let header = parts.next().unwrap_or(br#"{"alg":"HS256","typ":"at+jwt"}"#);
    let Some(access) = verdict(&AUTHORITY, &signed([header, claims])) else { return false };
    let [header, claims] = read([header, claims]);
    assert!(is_access_token(&header));
    assert_eq!(claims["iss"], ISSUER);
    assert!(is_for_the_hub(&claims["aud"]));
    assert!(claims["exp"].as_f64().expect("a date") > NOW as f64);
    assert!(claims.get("nbf").is_none_or(|nbf| nbf.as_f64().expect("a date") <= NOW as f64));
    assert_eq!(access.publish, granted(&claims, "publish"), "{claims}");
    assert_eq!(*access.subscribe, granted(&claims, "subscribe"), "{claims}");
    true
}

/// The same to a hub that has nothing but keys, and serves clients of 0.x.
pub fn legacy_claims(input: &[u8]) -> bool {
    let mut parts = input.rsplitn(2, |byte| *byte == 0xff);
    let claims = parts.next().unwrap_or_default();
    let header = parts.next().unwrap_or(br#"{"typ":"JWT","alg":"HS256"}"#);
    let Some(access) = verdict(&LEGACY_AUTHORITY, &signed([header, claims])) else { return false };
    let [header, claims] = read([header, claims]);
    let is_old = claims.get("authorization_details").is_none();
    let date = |name| {
        claims.get(name).map(|date| match date {
            Value::String(text) if is_old => text.parse().expect("a date"),
            date => date.as_f64().expect("a date"),
        })
    };
    assert!(date("exp").is_none_or(|exp| exp > NOW as f64), "{claims}");
    assert!(date("nbf").is_none_or(|nbf| nbf <= NOW as f64), "{claims}");
    let granted = if is_old { granted_before } else { granted };
    assert!(is_old || is_access_token(&header), "{header}");
    assert!(is_old || claims.get("aud").is_none_or(is_for_the_hub), "{claims}");
    assert_eq!(access.publish, granted(&claims, "publish"), "{claims}");
    assert_eq!(*access.subscribe, granted(&claims, "subscribe"), "{claims}");
    true
}

/// Members of all objects in a value.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(own) => own.len() + own.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

/// Colons outside of strings: one for each member, in JSON.
fn colons(json: &[u8]) -> usize {
    let (mut count, mut in_string, mut is_escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// What the details of claims that passed grant.
fn granted(claims: &Value, action: &str) -> MatcherSet {
    let of = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let is_granted = |detail: &Value| {
        detail["type"] == "https://mercure.rocks/authorization-detail"
            && of(detail, "actions").iter().any(|one| one == action)
    };
    let details = of(claims, "authorization_details").into_iter().filter(is_granted);
    let topics = details.flat_map(|detail| of(&detail, "topics"));
    let matcher = |topic: Value| match (topic["match"].as_str().expect("it passed"), &topic) {
        ("*", _) => Matcher::Any,
        (text, topic) if topic["match_type"] == "urlpattern" => {
            Matcher::Pattern(Pattern::parse(text, HUB.url()).expect("it passed").into())
        }
        (text, _) => Matcher::Exact(text.into()),
    };
    topics.map(matcher).collect()
}

/// What the claim of 0.x grants.
fn granted_before(claims: &Value, action: &str) -> MatcherSet {
    let names = ["https://mercure.rocks/", "mercure"];
    let claim = names.iter().find_map(|name| claims.get(name).filter(|claim| !claim.is_null()));
    let selectors = claim.and_then(|claim| claim[action].as_array().cloned()).unwrap_or_default();
    let matcher = |selector: Value| {
        let (text, kind) = match (&selector, &selector["match_type"]) {
            (Value::String(text), _) => (&**text, "uritemplate"),
            (object, kind) => {
                (object["match"].as_str().expect("it passed"), kind.as_str().unwrap_or("exact"))
            }
        };
        match (kind, UriTemplate::parse(text)) {
            _ if text == "*" => Matcher::Any,
            ("urlpattern", _) => {
                Matcher::Pattern(Pattern::parse(text, HUB.url()).expect("it passed").into())
            }
            ("uritemplate", Some(template)) => Matcher::Template(template.into()),
            ("uritemplate" | "exact", _) => Matcher::Exact(text.into()),
            (other, _) => panic!("it passed: {other}"),
        }
    };
    selectors.into_iter().map(matcher).collect()
}

/// A set of keys, as an issuer may publish it.
pub fn jwks(input: &[u8]) -> bool {
    let set = match jwks::parse(input, &[]) {
        Ok(set) => set,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line for the log");
            return false;
        }
    };
    assert!(!set.keys.is_empty() && set.keys.len() <= jwks::KEYS_MAX);
    assert_eq!(jwks::parse(input, &[]).as_ref(), Ok(&set));
    let document: Value = serde_json::from_slice(input).expect("the strict reader takes less");
    let entries = document["keys"].as_array().expect("a list of keys");
    let public = entries.iter().filter(|key| ["RSA", "EC", "OKP"].iter().any(|t| key["kty"] == *t));
    assert!(set.keys.len() <= public.count(), "what is no public key is no key");
    assert!(set.notes.iter().all(|note| !note.contains('\n')));
    for key in &set.keys {
        let algorithms: Vec<_> = key.algorithms().collect();
        let key_type = algorithms[0].key_type();
        assert!(key_type != KeyType::Secret, "whoever reads a set could sign");
        assert!(algorithms.iter().all(|algorithm| algorithm.key_type() == key_type));
    }
    // Whatever the keys are, tokens are checked with them.
    let issuer = Issuer { id: None, publisher: set.keys.clone().into(), ..Issuer::default() };
    let authority = Authority::new(vec![issuer], Settings::default()).expect("an issuer");
    for algorithm in set.keys.iter().flat_map(Key::algorithms) {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt"}}"#);
        for len in [0, 64, 256] {
            let [header, claims, signature] =
                [header.as_bytes(), b"{}", &input[..input.len().min(len)]]
                    .map(|part| URL_SAFE_NO_PAD.encode(part));
            let token = format!("{header}.{claims}.{signature}");
            let verdict =
                authority.verify(&token, Role::Publisher, AUDIENCE, UnixTime::from_secs(NOW));
            assert!(
                matches!(
                    verdict,
                    Err(TokenError::Signature { .. } | TokenError::TooManyKeys { .. })
                ),
                "{verdict:?}"
            );
        }
    }
    // What the configuration does not allow is not there.
    let allowed = [Algorithm::Ps256, Algorithm::Es512];
    if let Ok(set) = jwks::parse(input, &allowed) {
        assert!(set.keys.iter().flat_map(Key::algorithms).all(|one| allowed.contains(&one)));
    }
    true
}
