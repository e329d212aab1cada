//! What is said of good and of bad tokens.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::super::{Settings, tests::*};
use super::*;
use crate::legacy::Version;

/// Each rule on a line of its own, without the marks around what tokens hold.
fn told(authority: &Authority, text: &str) -> String {
    plain(&authority.explain(text, &[HUB.to_owned()], now()))
}

fn plain(explanation: &Explanation) -> String {
    explanation.to_string().replace('`', "")
}

fn good() -> Value {
    let detail = json!({
        "type": "https://mercure.rocks/authorization-detail", "actions": ["publish"],
        "topics": [{"match": "a"}, {"match": "/b/:id", "match_type": "urlpattern"}],
    });
    with(json!({ "authorization_details": [detail] }))
}

#[test]
fn a_token_that_passes_holds_by_every_rule() {
    let token = signed(header(), &good(), "ap");
    let told = told(&strict(), &token);
    for line in [
        "ok  form       a JWS of three parts, ",
        "ok  header     alg HS256, typ is that of an access token",
        "ok  generation 1.0: it has authorization_details",
        "ok  iss        https://a is an issuer of this hub",
        "ok  signature  HS256 of a publisher key",
        "    signature  the signature fits no configured subscriber key for the issuer https://a; \
         it fits the publisher key of the issuer https://a",
        "ok  exp        valid for 60 s more",
        "ok  aud        this hub, https://hub.example/.well-known/mercure",
        "ok  grants     publish on a, /b/:id; receive private updates of nothing",
        "For a publisher: it passes.",
        "For a subscriber: it is refused: the signature fits no configured subscriber key",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("NO "), "{told}");
    // What people copy along with it.
    for around in [format!("Bearer {token}\n"), format!(" \"{token}\" ")] {
        assert!(self::told(&strict(), &around).contains("For a publisher: it passes."), "{around}");
    }
}

#[test]
fn every_broken_rule_is_told_and_not_only_the_first() {
    let claims = json!({"iss": "https://x", "aud": "https://y", "exp": NOW_SECS - 12,
                        "nbf": NOW_SECS + 5, "authorization_details": {}});
    let told = told(&strict(), &signed(json!({"alg": "HS256", "typ": "JWT"}), &claims, "ap"));
    for line in [
        "NO  header     alg HS256; typ is JWT, an access token has at+jwt",
        "NO  iss        unknown iss https://x: configure it as an issuer, or tell it to use \
         another; the issuers of this hub: https://a, b",
        "    signature  it fits the publisher key of the issuer https://a",
        "NO  exp        expired 12 s ago",
        "NO  nbf        not valid before 5.000 s from now",
        "NO  aud        aud is https://y, this hub is https://hub.example/.well-known/mercure",
        "NO  grants     authorization_details: is no array",
        "For a publisher: it is refused: typ is JWT",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn a_key_that_was_given_wrongly_is_recognised() {
    let bare = |secret: &str| {
        Authority::new(vec![issuer(None, &[secret], &["s"])], Settings::default()).unwrap()
    };
    let secret = "0123456789abcdef";
    let signed = |secret: &str| signed(header(), &good(), secret);
    let encoded = STANDARD.encode(secret);
    for (of_hub, of_issuer, expected) in [
        ("0123456789abcdef\n", secret, "it fits the key without the spaces or the line end"),
        (secret, "0123456789abcdef\n", "it fits the key with a line end behind it"),
        ("'0123456789abcdef'", secret, "it fits the key without the quotes around it"),
        (secret, "\"0123456789abcdef\"", "it fits the key in double quotes"),
        (&encoded, secret, "it fits the key decoded from base64"),
        (secret, &encoded, "it fits the key encoded in base64"),
        (secret, "s", "HS256 of a subscriber key"),
        (secret, "other", "the signature fits no configured publisher key\n"),
    ] {
        let told = told(&bare(of_hub), &signed(of_issuer));
        assert!(told.contains(expected), "{of_hub} {of_issuer}: {told}");
        assert!(!told.contains(secret) && !told.contains(&encoded), "{told}");
    }
}

#[test]
fn what_is_no_token_is_recognised_by_its_form() {
    let laravel = STANDARD.encode(r#"{"iv":"a","value":"b","mac":"c","tag":""}"#);
    for (text, expected) in [
        (&*laravel, "it looks encrypted by a framework (Laravel"),
        (&laravel.replace('=', "%3D"), "it looks encrypted by a framework (Laravel"),
        ("s:abc.def", "it looks like a cookie that a framework (Express) signed"),
        ("v4.public.abc.def", "it looks like a PASETO"),
        ("a%2Eb%2Ec", "it looks percent-encoded"),
        ("2YotnFZFEjr1zCsicMWpAA", "it looks like an opaque token"),
        ("a.b.c.d.e", "the token looks encrypted: five parts, a JWE and not a JWS"),
        ("", "the token has characters that no token has"),
    ] {
        let told = told(&strict(), text);
        assert!(told.contains(expected), "{text}: {told}");
        assert!(told.contains("This is no token"), "{told}");
    }
}

#[test]
fn tokens_of_0_x_are_told_of_where_they_count_and_where_not() {
    let claims = json!({"mercure": {"publish": ["*"], "subscribe": ["/b/{id}"], "payload": {}}});
    let token = signed(json!({"alg": "HS256", "typ": "JWT"}), &claims, "p");
    let legacy = Settings { legacy: Some(Version::V8), ..Settings::default() };
    let issuers = || vec![issuer(None, &["p"], &["s"])];
    let told_here = told(&Authority::new(issuers(), legacy).unwrap(), &token);
    for line in [
        "ok  generation 0.x: it has no authorization_details",
        "ok  iss        it may be anything",
        "ok  exp        it is missing, and need not be there",
        "ok  grants     publish on *; receive private updates of /b/{id}; a payload",
        "For a publisher: it passes.",
    ] {
        assert!(told_here.contains(line), "{line}\n{told_here}");
    }
    let told = told(&Authority::new(issuers(), Settings::default()).unwrap(), &token);
    assert!(told.contains("NO  generation 0.x, by its claim mercure, and this hub"), "{told}");
}

#[test]
fn the_audience_may_be_any_of_the_hubs_names_or_nobodys() {
    let token = signed(header(), &good(), "ap");
    let names = ["https://other/".to_owned(), "//hub.example/.well-known/mercure".to_owned()];
    let told = plain(&strict().explain(&token, &names, now()));
    assert!(told.contains("ok  aud        this hub, //hub.example/.well-known/mercure"), "{told}");
    assert!(told.contains("For a publisher: it passes."), "{told}");
    let told = plain(&strict().explain(&token, &names[..1], now()));
    assert!(told.contains("NO  aud"), "{told}");
    let told = plain(&strict().explain(&token, &[], now()));
    assert!(told.contains("this hub is what the host of each request says"), "{told}");
    assert!(told.contains("For a publisher: it passes."), "{told}");
}

#[test]
fn the_leeway_counts() {
    let settings = Settings { leeway: Duration::from_secs(30), ..Settings::default() };
    let authority = Authority::new(vec![issuer(None, &["p"], &[])], settings).unwrap();
    let claims = with(json!({"exp": NOW_SECS - 12, "nbf": NOW_SECS + 12}));
    let told = told(&authority, &signed(header(), &claims, "p"));
    assert!(told.contains("ok  exp        valid for 18 s more"), "{told}");
    assert!(told.contains("ok  nbf        it is past"), "{told}");
}
