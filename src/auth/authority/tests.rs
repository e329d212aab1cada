//! Tokens from their first byte to their grants.

use super::*;
use crate::auth::{
    challenge::Challenge,
    key::{KeyType, SigningKey},
    mint::{self, MintedGrant, MintedTopic, Minting},
};
use crate::protocol::fixture::topic;
use serde_json::{Value, json};

pub(super) const HUB: &str = "https://hub.example/.well-known/mercure";
pub(super) const NOW_SECS: u64 = 1_795_315_283;

pub(super) fn now() -> UnixTime {
    UnixTime::from_secs(NOW_SECS)
}

fn keys(secrets: &[&str]) -> RoleKeys {
    let key = |secret: &&str| Key::from_secret(secret.as_bytes(), Algorithm::Hs256).unwrap();
    secrets.iter().map(key).collect::<Vec<_>>().into()
}

pub(super) fn issuer(id: Option<&str>, publisher: &[&str], subscriber: &[&str]) -> Issuer {
    Issuer { id: id.map(Into::into), publisher: keys(publisher), subscriber: keys(subscriber) }
}

pub(super) fn strict() -> Authority {
    let issuers =
        vec![issuer(Some("https://a"), &["ap"], &["as"]), issuer(Some("b"), &["bp", "bp2"], &[])];
    Authority::new(issuers, Settings::default()).unwrap()
}

fn without_issuer() -> Authority {
    Authority::new(vec![issuer(None, &["p", "p2"], &["s"])], Settings::default()).unwrap()
}

pub(super) fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt"})
}

pub(super) fn claims() -> Value {
    json!({"iss": "https://a", "aud": HUB, "exp": NOW_SECS + 60})
}

/// The good claims with some replaced, or removed where the value is the string "-".
pub(super) fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::String(text) if text == "-" => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(super) fn signed(header: Value, claims: &Value, secret: &str) -> String {
    let algorithm = header["alg"].as_str().and_then(Algorithm::from_name).unwrap_or_default();
    let key = SigningKey::from_secret(secret.as_bytes(), algorithm).unwrap();
    mint::sign(&header, claims, &key)
}

fn verify(authority: &Authority, claims: &Value, secret: &str) -> Result<Access, TokenError> {
    authority.verify(&signed(header(), claims, secret), Role::Publisher, HUB, now())
}

#[test]
fn a_minted_token_grants_what_it_says() {
    let topics = [MintedTopic { text: "t", matcher_type: Some("exact") }];
    let payload = json!({"p": 1});
    let grants = [
        MintedGrant { publish: true, subscribe: false, topics: &topics, payload: None },
        MintedGrant {
            publish: false,
            subscribe: true,
            topics: &[MintedTopic::ANY],
            payload: payload.as_object(),
        },
    ];
    let minting = Minting {
        issuer: "https://a",
        audience: HUB,
        subject: "sub",
        client_id: "client",
        token_id: "jti",
        issued_at: now(),
        lifetime: Duration::from_secs(60),
        grants: &grants,
    };
    for algorithm in KeyType::Secret.algorithms() {
        let token = mint::token(&minting, &SigningKey::from_secret(b"k", algorithm).unwrap());
        let key = vec![Key::from_secret(b"k", algorithm).unwrap()];
        let issuer =
            Issuer { id: Some("https://a".into()), publisher: key.into(), ..Issuer::default() };
        let authority = Authority::new(vec![issuer], Settings::default()).unwrap();
        let access = authority.verify(&token, Role::Publisher, HUB, now()).unwrap();
        assert_eq!(access.first_refused(&[topic("t"), topic("u")]), Some(&topic("u")));
        assert!(access.subscribe.matches(&topic("u")));
        assert_eq!(access.payload(&topic("*")), Some(r#"{"p":1}"#));
        assert_eq!(access.expires_at, Some(UnixTime::from_secs(NOW_SECS + 60)));
        assert_eq!(access.not_before, None);
    }
    // RFC 9068 §2.2.
    let token = mint::token(&minting, &SigningKey::from_secret(b"k", Algorithm::Hs256).unwrap());
    let members = Compact::split(&token, 10_000).unwrap().claims().unwrap();
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(members.contains_key(name), "{name}");
    }
}

#[test]
fn a_hub_that_does_not_know_its_scheme_takes_either() {
    for (aud, passes) in [
        ("https://h/.well-known/mercure", true),
        ("http://h/.well-known/mercure", true),
        ("//h/.well-known/mercure", false),
        ("ftp://h/.well-known/mercure", false),
        ("https:https://h/.well-known/mercure", false),
        ("https://h/", false),
    ] {
        let token = signed(header(), &with(json!({ "aud": aud })), "ap");
        let hub = "//h/.well-known/mercure";
        let verdict = strict().verify(&token, Role::Publisher, hub, now());
        assert_eq!(verdict.is_ok(), passes, "{aud}: {verdict:?}");
    }
}

#[test]
fn claims_are_enforced() {
    let exp = |exp: Value| with(json!({ "exp": exp }));
    let nbf = |nbf: Value| with(json!({ "nbf": nbf }));
    let aud = |aud: Value| with(json!({ "aud": aud }));
    let later = NOW_SECS as f64 + 0.000_5;
    for (claims, expected) in [
        (claims(), None),
        // Others are the issuer's obligations.
        (with(json!({"sub": 1, "client_id": null, "iat": "x", "jti": [], "Sub": 1})), None),
        (exp(json!(NOW_SECS)), Some("expired 0.000 s ago")),
        (exp(json!(NOW_SECS - 12)), Some("expired 12 s ago")),
        (exp(json!(0)), Some("expired")),
        (exp(json!(-1)), Some("expired")),
        (exp(json!(-1e300)), Some("expired")),
        (exp(json!(later)), None),
        (exp(json!(1e300)), None),
        (exp(json!("-")), Some("`exp` is missing")),
        (exp(json!(null)), Some("`exp` is no number")),
        (exp(json!((NOW_SECS + 60).to_string())), Some("`exp` is no number")),
        (exp(json!([NOW_SECS + 60])), Some("`exp` is no number")),
        (exp(json!(true)), Some("`exp` is no number")),
        (nbf(json!(NOW_SECS)), None),
        (nbf(json!(later)), Some("not valid before 0.001 s from now")),
        (nbf(json!(NOW_SECS + 30)), Some("not valid before 30 s from now")),
        (nbf(json!(-5)), None),
        (nbf(json!(null)), Some("`nbf` is no number")),
        (nbf(json!("0")), Some("`nbf` is no number")),
        (aud(json!([HUB])), None),
        (aud(json!(["x", HUB])), None),
        (aud(json!("x")), Some("aud is `x`, this hub is `https://hub.example/")),
        (aud(json!(["x", "y"])), Some("aud is `x`, `y`, this hub is")),
        (aud(json!([])), Some("aud is an empty list")),
        (aud(json!(HUB.to_uppercase())), Some("aud is")),
        (aud(json!(format!("{HUB}/"))), Some("aud is")),
        (aud(json!("-")), Some("`aud` is missing")),
        (aud(json!(null)), Some("`aud` is no string or array of strings")),
        (aud(json!([HUB, 1])), Some("`aud` is no string or array of strings")),
        (aud(json!({HUB: 1})), Some("`aud` is no string or array of strings")),
        (with(json!({"iss": "-"})), Some("`iss` is missing")),
        (with(json!({"iss": null})), Some("`iss` is no string")),
        (with(json!({"iss": ["https://a"]})), Some("`iss` is no string")),
        (with(json!({"iss": "https://a/"})), Some("unknown iss `https://a/`")),
        (with(json!({"iss": "HTTPS://A"})), Some("unknown iss")),
        (with(json!({"iss": ""})), Some("unknown iss ``")),
        (with(json!({"Exp": 1})), Some("`Exp` must be written `exp`")),
        (with(json!({"AUD": HUB})), Some("`AUD` must be written `aud`")),
        (with(json!({"Iss": "b"})), Some("must be written `iss`")),
        (with(json!({"nBf": 1})), Some("must be written `nbf`")),
        (with(json!({"Authorization_Details": []})), Some("must be written")),
        (with(json!({"authorization_details": {}})), Some("is no array")),
    ] {
        let result = verify(&strict(), &claims, "ap");
        match (&result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{claims}: {error}");
                assert_eq!(error.challenge(), Challenge::InvalidToken);
            }
            _ => panic!("{claims}: {result:?}"),
        }
    }
}

#[test]
fn a_token_is_checked_with_the_keys_of_its_issuer_and_role_only() {
    let iss_b = with(json!({"iss": "b"}));
    for (claims, secret, role, passes) in [
        (claims(), "ap", Role::Publisher, true),
        (claims(), "as", Role::Subscriber, true),
        (claims(), "as", Role::Publisher, false),
        (claims(), "ap", Role::Subscriber, false),
        (claims(), "bp", Role::Publisher, false),
        (claims(), "x", Role::Publisher, false),
        (iss_b.clone(), "bp", Role::Publisher, true),
        (iss_b.clone(), "bp2", Role::Publisher, true),
        (iss_b.clone(), "ap", Role::Publisher, false),
    ] {
        let result = strict().verify(&signed(header(), &claims, secret), role, HUB, now());
        match result {
            Ok(_) => assert!(passes, "{secret} as {role}"),
            Err(error) => {
                assert!(!passes, "{secret} as {role}: {error}");
                assert!(matches!(error, TokenError::Signature { .. }), "{error}");
            }
        }
    }
    let token = signed(header(), &iss_b, "bp");
    let error = strict().verify(&token, Role::Subscriber, HUB, now()).unwrap_err();
    assert_eq!(error.to_string(), "no subscriber key is configured for the issuer `b`");
    let nobody = Authority::new(vec![], Settings::default()).unwrap();
    let error = verify(&nobody, &claims(), "ap").unwrap_err();
    assert_eq!(error.to_string(), "no publisher key is configured");
}

#[test]
fn one_issuer_is_no_less_strict_than_several() {
    let only = issuer(Some("https://a"), &["ap"], &[]);
    let authority = Authority::new(vec![only], Settings::default()).unwrap();
    assert!(verify(&authority, &claims(), "ap").is_ok());
    for changes in
        [json!({"iss": "b"}), json!({"iss": "-"}), json!({"exp": "-"}), json!({"aud": "-"})]
    {
        assert!(verify(&authority, &with(changes.clone()), "ap").is_err(), "{changes}");
    }
}

#[test]
fn the_algorithm_is_the_keys() {
    let verify = |alg: &str| {
        let token = hmac_signed(&claims(), b"ap", alg);
        strict().verify(&token, Role::Publisher, HUB, now())
    };
    assert!(verify("HS256").is_ok());
    for alg in ["HS384", "HS512", "none", "None", "NONE", "hs256", "RS256", "ES256", ""] {
        let error = verify(alg).unwrap_err();
        assert!(matches!(error, TokenError::Algorithm { .. }), "{alg}: {error}");
        assert!(error.to_string().contains("are configured for HS256"), "{error}");
    }
    // Without a signature at all.
    let token = signed(header(), &claims(), "ap");
    let unsigned = &token[..=token.rfind('.').unwrap()];
    let error = strict().verify(unsigned, Role::Publisher, HUB, now()).unwrap_err();
    assert!(matches!(error, TokenError::Signature { .. }), "{error}");
    // A header that is not signed for: the signature is of the `none` token's text.
    let none = signed(json!({"alg": "none", "typ": "at+jwt"}), &claims(), "ap");
    let none = &none[..=none.rfind('.').unwrap()];
    assert!(strict().verify(none, Role::Publisher, HUB, now()).is_err());
}

#[test]
fn keys_without_an_issuer_take_more_but_not_everything() {
    for (claims, passes) in [
        (json!({}), true),
        (json!({"iss": "anybody"}), true),
        (json!({"aud": HUB, "exp": NOW_SECS + 1}), true),
        (json!({"aud": "x"}), false),
        (json!({"aud": []}), false),
        (json!({"aud": null}), false),
        (json!({"exp": NOW_SECS}), false),
        (json!({"exp": null}), false),
        (json!({"nbf": NOW_SECS + 1}), false),
        (json!({"iss": 1}), false),
        (json!({"EXP": 1}), false),
    ] {
        for secret in ["p", "p2"] {
            let result = verify(&without_issuer(), &claims, secret);
            assert_eq!(result.is_ok(), passes, "{claims}: {result:?}");
        }
        assert!(verify(&without_issuer(), &claims, "s").is_err());
    }
    let token = signed(json!({"alg": "HS256", "typ": "JWT"}), &json!({}), "p");
    let error = without_issuer().verify(&token, Role::Publisher, HUB, now()).unwrap_err();
    assert!(matches!(error, TokenError::Typ { .. }), "{error}");
}

#[test]
fn leeway_moves_both_ends() {
    let settings = Settings { leeway: Duration::from_secs(5), ..Settings::default() };
    let authority = Authority::new(vec![issuer(None, &["p"], &[])], settings).unwrap();
    for (claims, passes) in [
        (json!({"exp": NOW_SECS - 4}), true),
        (json!({"exp": NOW_SECS - 5}), false),
        (json!({"nbf": NOW_SECS + 5}), true),
        (json!({"nbf": NOW_SECS + 6}), false),
        (json!({"exp": 1e300, "nbf": -1e300}), true),
    ] {
        assert_eq!(verify(&authority, &claims, "p").is_ok(), passes, "{claims}");
    }
}

#[test]
fn a_token_that_is_none_is_a_malformed_request() {
    for token in ["", "x", "a.b", "a.b.c.d", "a.b.c.d.e", "...."] {
        let error = strict().verify(token, Role::Publisher, HUB, now()).unwrap_err();
        assert_eq!(error.challenge(), Challenge::InvalidRequest, "{token}: {error}");
    }
    let error = strict().verify("a.b.c.d.e", Role::Publisher, HUB, now()).unwrap_err();
    assert!(error.to_string().contains("five parts, a JWE and not a JWS"), "{error}");
    for token in ["..", "a.b.c", "e30.e30.e30"] {
        let error = strict().verify(token, Role::Publisher, HUB, now()).unwrap_err();
        assert_eq!(error.challenge(), Challenge::InvalidToken, "{token}: {error}");
    }
    let long = format!("{}.b.c", "a".repeat(64 * 1024));
    let error = strict().verify(&long, Role::Publisher, HUB, now()).unwrap_err();
    assert!(matches!(error, TokenError::TooLong { .. }), "{error}");
    assert_eq!(error.challenge(), Challenge::InvalidToken);
}

#[test]
fn reasons_hold_no_token_and_no_key() {
    let secret = "a-very-secret-secret";
    let authority = Authority::new(vec![issuer(Some("i"), &[secret], &[])], Settings::default());
    let authority = authority.unwrap();
    let good = signed(header(), &with(json!({"iss": "i"})), secret);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let broken = format!("{message}.{}", signature.to_ascii_lowercase());
    let expired = signed(header(), &with(json!({"iss": "i", "exp": 1})), secret);
    for token in [broken, expired, format!("{good}.{good}"), format!("{good}=")] {
        let error = authority.verify(&token, Role::Publisher, HUB, now()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(secret) && !text.contains("eyJ"), "{text}");
        assert!(token.split('.').filter(|part| part.len() > 9).all(|part| !text.contains(part)));
    }
    assert!(!format!("{authority:?}").contains(secret));
}

#[test]
fn issuers_that_make_no_sense_are_refused() {
    let error = |issuers| Authority::new(issuers, Settings::default()).err();
    let named = |id: &str| issuer(Some(id), &["k"], &[]);
    assert_eq!(error(vec![named("a"), named("a")]), Some(AuthorityError::Repeated("a".into())));
    assert_eq!(error(vec![named("a"), issuer(None, &[], &[])]), Some(AuthorityError::Mixed));
    assert_eq!(error(vec![issuer(None, &[], &[]), named("a")]), Some(AuthorityError::Mixed));
    assert_eq!(error(vec![named("")]), Some(AuthorityError::EmptyId));
    assert_eq!(error(vec![named("a"), named("A")]), None);
}

/// Whatever is done to a good token, it passes no more, and nothing panics.
#[test]
fn damaged_tokens_never_pass() {
    let details = json!([{
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["publish"], "topics": [{"match": "*"}],
    }]);
    let claims = with(json!({ "authorization_details": details }));
    let good = signed(header(), &claims, "ap");
    assert!(strict().verify(&good, Role::Publisher, HUB, now()).is_ok());
    let (strict, mut seed) = (strict(), 0x2545_f491_4f6c_dd1d_u64);
    let mut random = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 16) as usize % bound
    };
    const ALPHABET: &[u8] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
    for _ in 0..20_000 {
        let mut damaged = good.clone().into_bytes();
        for _ in 0..=random(3) {
            let place = random(damaged.len());
            let byte = ALPHABET[random(ALPHABET.len())];
            match random(6) {
                0 => damaged.insert(place, byte),
                1 => drop(damaged.remove(place)),
                2 => damaged.truncate(place.max(8)),
                3 => damaged.rotate_left(place),
                _ => damaged[place] = byte,
            }
        }
        let damaged = String::from_utf8(damaged).unwrap();
        if damaged != good {
            assert!(strict.verify(&damaged, Role::Publisher, HUB, now()).is_err(), "{damaged}");
        }
    }
}

/// Claims that an issuer signed, but that are damaged: nothing panics.
#[test]
fn damaged_claims_never_panic() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = with(json!({"nbf": 1.5, "authorization_details": [{
        "type": "https://mercure.rocks/authorization-detail", "payload": {"a": [null]},
        "actions": ["publish", "subscribe"], "topics": [{"match": "é", "match_type": "exact"}],
    }]}))
    .to_string();
    let key = SigningKey::from_secret(b"ap", Algorithm::Hs256).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(header().to_string().as_bytes());
    let (strict, mut seed) = (strict(), 0x9e37_79b9_u64);
    let mut random = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 16) as usize % bound
    };
    let mut passed = 0;
    for _ in 0..20_000 {
        let mut damaged = text.clone().into_bytes();
        let place = random(damaged.len());
        match random(3) {
            0 => damaged[place] = random(256) as u8,
            1 => drop(damaged.remove(place)),
            _ => damaged.insert(place, b"{}[]\",:0e-\\"[random(11)]),
        }
        let message = format!("{header}.{}", encode(&damaged));
        let token = format!("{message}.{}", key.sign(&message));
        passed += usize::from(strict.verify(&token, Role::Publisher, HUB, now()).is_ok());
    }
    assert!((1..10_000).contains(&passed), "{passed}");
}

/// A published key that tokens of `secret` fit. Sets hold no secrets; which keys are tried does
/// not depend on that.
fn published(secrets: &[(&str, Option<&str>)]) -> SetKeys {
    let key = |&(secret, kid): &(&str, Option<&str>)| {
        Key::from_secret(secret.as_bytes(), Algorithm::Hs256).unwrap().named(kid)
    };
    Ok(secrets.iter().map(key).collect())
}

fn with_sets(sets: Vec<SetKeys>) -> Authority {
    let sets = sets.into_iter().enumerate().map(|(id, keys)| (SetId(id), keys)).collect();
    let publisher = RoleKeys { sets, ..RoleKeys::default() };
    let own = Issuer { id: Some("https://a".into()), publisher, ..Issuer::default() };
    let other = issuer(Some("b"), &["bp"], &[]);
    Authority::new(vec![own, other], Settings::default()).unwrap()
}

fn verify_kid(authority: &Authority, secret: &str, kid: Value) -> Result<Access, TokenError> {
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
    authority.verify(&signed(header, &claims(), secret), Role::Publisher, HUB, now())
}

#[test]
fn kid_is_a_hint() {
    let authority = with_sets(vec![
        published(&[("one", Some("1")), ("two", Some("2")), ("nameless", None)]),
        published(&[("three", Some("1"))]),
    ]);
    for (secret, kid) in [
        ("one", json!("1")),
        ("three", json!("1")),
        ("two", json!("2")),
        // Of another key, of none, of nobody, and no text at all.
        ("two", json!("1")),
        ("nameless", json!("1")),
        ("two", json!("9")),
        ("three", json!("")),
        ("one", json!(7)),
        ("one", json!(null)),
    ] {
        let verdict = verify_kid(&authority, secret, kid.clone());
        assert!(verdict.is_ok(), "{secret} {kid}: {verdict:?}");
    }
    let error = verify_kid(&authority, "x", json!("1")).unwrap_err();
    assert!(matches!(error, TokenError::Signature { .. }), "{error}");
    let error = verify_kid(&authority, "x", json!("9")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no publisher key for the issuer `https://a` has the kid `9`, and `HS256` signatures of \
         no other key fit"
    );
    assert_eq!(error.outdated_sets(), [SetId(0), SetId(1)]);
    assert_eq!(error.challenge(), Challenge::InvalidToken);
    // The keys of another issuer are not asked, whatever they are called.
    let error = verify_kid(&authority, "bp", json!("1")).unwrap_err();
    assert!(matches!(error, TokenError::Signature { .. }), "{error}");
    // Without sets there is nothing to fetch.
    let error = verify_kid(&strict(), "x", json!("9")).unwrap_err();
    assert!(error.outdated_sets().is_empty(), "{error}");
}

#[test]
fn few_signatures_are_checked_for_a_token() {
    let names: Vec<_> = (0..20).map(|i| i.to_string()).collect();
    let keys: Vec<_> = names.iter().map(|name| (name.as_str(), Some(name.as_str()))).collect();
    let authority = with_sets(vec![published(&keys)]);
    assert!(verify_kid(&authority, "7", json!(null)).is_ok());
    // A kid that is right brings its key to the front.
    assert!(verify_kid(&authority, "19", json!("19")).is_ok());
    for kid in [json!(null), json!("5")] {
        let error = verify_kid(&authority, "8", kid).unwrap_err();
        assert!(matches!(error, TokenError::TooManyKeys { tried: 8, of: 20, .. }), "{error}");
    }
}

#[test]
fn a_set_is_replaced_and_counts_as_another_generation_if_keys_change() {
    let missing: SetKeys = Err("nobody answers".into());
    let authority = with_sets(vec![missing.clone()]);
    let error = verify_kid(&authority, "one", json!("1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "publisher keys for the issuer `https://a` are missing: nobody answers"
    );
    assert_eq!(error.outdated_sets(), [SetId(0)]);
    let one = published(&[("one", Some("1"))]);
    let first = authority.with_set(SetId(0), &one);
    assert_eq!((authority.generation(), first.generation()), (0, 1));
    assert!(verify_kid(&first, "one", json!("1")).is_ok());
    let same = first.with_set(SetId(0), &published(&[("one", Some("1"))]));
    assert_eq!(same.generation(), 1);
    assert_eq!(first.with_set(SetId(5), &one).generation(), 1);
    // Another name is another key.
    assert_eq!(first.with_set(SetId(0), &published(&[("one", None)])).generation(), 2);
    let second = same.with_set(SetId(0), &published(&[("two", Some("2"))]));
    assert_eq!(second.generation(), 2);
    assert!(verify_kid(&second, "one", json!("1")).is_err());
    assert!(verify_kid(&second, "two", json!("2")).is_ok());
    let gone = second.with_set(SetId(0), &missing);
    assert_eq!(gone.generation(), 3);
    assert!(verify_kid(&gone, "two", json!("2")).is_err());
    // Why keys are missing is no matter of verdicts.
    assert_eq!(gone.with_set(SetId(0), &Err("still".into())).generation(), 3);
}

#[test]
fn a_configured_key_counts_while_a_set_is_missing() {
    let publisher = RoleKeys { sets: vec![(SetId(0), Err("x".into()))], ..keys(&["ap"]) };
    let issuer = Issuer { id: Some("https://a".into()), publisher, ..Issuer::default() };
    let authority = Authority::new(vec![issuer], Settings::default()).unwrap();
    assert!(verify_kid(&authority, "ap", json!("9")).is_ok());
    assert!(matches!(
        verify_kid(&authority, "x", json!(null)),
        Err(TokenError::KeysMissing { .. })
    ));
}

/// What signs asymmetrically cannot be made to check symmetrically.
#[test]
fn a_public_key_is_no_secret() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcH\
               URo=\n-----END PUBLIC KEY-----\n";
    let key = Key::from_text(pem.as_bytes(), Algorithm::EdDsa).unwrap();
    let issuer =
        Issuer { id: Some("https://a".into()), publisher: vec![key].into(), ..Issuer::default() };
    let authority = Authority::new(vec![issuer], Settings::default()).unwrap();
    let mut hmac = hmac_signed(&claims(), pem.as_bytes(), "HS256");
    let error = authority.verify(&hmac, Role::Publisher, HUB, now()).unwrap_err();
    assert_eq!(error.to_string(), "alg is `HS256`, the publisher keys are configured for EdDSA");
    // The same signature under the key's own algorithm.
    hmac = hmac_signed(&claims(), pem.as_bytes(), "EdDSA");
    let error = authority.verify(&hmac, Role::Publisher, HUB, now()).unwrap_err();
    assert!(matches!(error, TokenError::Signature { .. }), "{error}");
    let none = format!("{}.", hmac.rsplit_once('.').unwrap().0);
    assert!(authority.verify(&none, Role::Publisher, HUB, now()).is_err());
}

/// A token that is signed with HMAC, whatever its header says.
fn hmac_signed(claims: &Value, secret: &[u8], alg: &str) -> String {
    use aws_lc_rs::hmac;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    // What a published key would look like to a careless hub.
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)});
    let header = json!({"alg": alg, "typ": "at+jwt", "jwk": jwk, "jku": "https://evil"});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}
