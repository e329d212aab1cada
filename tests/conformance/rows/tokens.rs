//! Chapter 6, token validation: which tokens are valid. Each is tried as a publisher and as a
//! subscriber.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::{
    check::is_one_of,
    common::tokens::sign_texts_with,
    hub::{Hub, Role},
    row::{INVALID_REQUEST, INVALID_TOKEN, Need, OK, Row, Twist, get, must, post},
    signer::Signer,
    verdict::Verdict,
};

const SECTION: &str = "token-validation";

pub(super) fn rows() -> Vec<Row> {
    [forms(), signatures(), claims()].into_iter().flatten().collect()
}

fn forms() -> Vec<Row> {
    vec![
        must(SECTION, "a token of the access token profile is valid").tokens(
            &[OK],
            [
                Twist::Nothing,
                Twist::Claim("scope", json!("x y")),
                Twist::Claim("unknown", json!([1, { "a": null }])),
            ],
        ),
        must(SECTION, "`typ` is `at+jwt` or `application/at+jwt`, in any case").tokens(
            &[OK],
            ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"]
                .map(|it| Twist::Header("typ", json!(it))),
        ),
        must(SECTION, "a token of another `typ`, or of none, is refused").tokens(
            &[INVALID_TOKEN],
            ["JWT", "jwt", "at+jwt2", "text/at+jwt", "id+jwt", "logout+jwt", ""]
                .map(|it| Twist::Header("typ", json!(it)))
                .into_iter()
                .chain([Twist::NoHeader("typ")]),
        ),
        must(SECTION, "an extension that is critical and unknown is not passed over")
            .tokens(&[INVALID_TOKEN], [Twist::Header("crit", json!(["urn:x"]))]),
    ]
}

fn signatures() -> Vec<Row> {
    const NO_SIGNATURE: fn(&str) -> String =
        |token| token[..=token.rfind('.').unwrap_or_default()].to_owned();
    vec![
        must(SECTION, "a signature is checked, whole").tokens(
            &[INVALID_TOKEN, INVALID_REQUEST],
            [
                Twist::StrangeKey,
                Twist::Text("a token without its signature", NO_SIGNATURE),
                Twist::Text("a token with a shorter signature", |it| it[..it.len() - 8].to_owned()),
                Twist::Text("a token with a longer signature", |it| format!("{it}AAAA")),
                Twist::Text("a token whose claims were changed", |token| {
                    let at = token.find('.').unwrap_or_default() + 10;
                    let other = if &token[at..=at] == "A" { "B" } else { "A" };
                    format!("{}{other}{}", &token[..at], &token[at + 1..])
                }),
            ],
        ),
        must(SECTION, "`alg` is never `none`").tokens(
            &[INVALID_TOKEN, INVALID_REQUEST],
            ["none", "None", "NONE", "nOnE"]
                .map(|it| Twist::Header("alg", json!(it)))
                .into_iter()
                .chain([
                    Twist::Text("an unsigned token with alg none", |token| unsigned(token, "")),
                    Twist::Text("an alg-none token with a signature", |token| {
                        let signature = token.rsplit('.').next().unwrap_or_default();
                        unsigned(token, signature)
                    }),
                ]),
        ),
        must(SECTION, "`alg` is one that the hub allows, and fits the key")
            .tokens(
                &[INVALID_TOKEN],
                // Signed well, with the hub's algorithm.
                ["hs256", "HS1", "RS1", "ES256K", "A128KW", "dir", ""]
                    .map(|it| Twist::Header("alg", json!(it))),
            )
            .tokens(
                &[INVALID_TOKEN, INVALID_REQUEST],
                [Twist::NoHeader("alg"), Twist::Header("alg", json!(null))],
            ),
        must(SECTION, "a token of another algorithm than its key's is refused")
            .function(algorithms_are_not_confused),
        must(SECTION, "a public key is no secret: it does not check HMACs")
            .needs(Need::PublicKey)
            .function(public_keys_are_no_secrets),
        must(SECTION, "keys that a token brings along are not used")
            .function(brought_keys_are_not_used),
    ]
}

/// The claims of a token, with another header.
fn unsigned(token: &str, signature: &str) -> String {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    format!("{header}.{claims}.{signature}")
}

/// Publishes and subscribes with a token of each role; both must fail.
fn refuse(hub: &Hub, what: &str, token: impl Fn(Role) -> String) -> Verdict {
    for (role, request) in
        [(Role::Publisher, post("topic={t}")), (Role::Subscriber, get("match={t}"))]
    {
        let message = hub.message_as(&request, &hub.topic(), Some(&token(role)));
        let answer = hub.client.answer(&message)?;
        is_one_of(&answer, &[INVALID_TOKEN], &format!("{message}, with {what}"))?;
    }
    Ok(())
}

fn full_claims(hub: &Hub, role: Role) -> Value {
    hub.claims(role, json!([{ "match": "*" }]))
}

fn algorithms_are_not_confused(hub: &Hub) -> Verdict {
    for name in ["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let what = format!("a token that says {name} and is not signed so");
        let is_another = |role| hub.signer(role).name() != name;
        if [Role::Publisher, Role::Subscriber].into_iter().all(is_another) {
            refuse(hub, &what, |role| {
                let header = json!({ "alg": name, "typ": "at+jwt" });
                hub.signer(role).sign(&header, &full_claims(hub, role))
            })?;
        }
    }
    Ok(())
}

fn public_keys_are_no_secrets(hub: &Hub) -> Verdict {
    type Form = fn(&str) -> Vec<u8>;
    let forms: [Form; 3] = [
        |pem| pem.as_bytes().to_vec(),
        |pem| pem.trim_end().as_bytes().to_vec(),
        |pem| {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default()
        },
    ];
    for form in forms {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            refuse(hub, "the public key as a secret", |role| {
                let pem = hub.signer(role).public_pem().unwrap_or_default();
                let header = json!({ "alg": format!("{algorithm:?}"), "typ": "at+jwt" });
                let key = EncodingKey::from_secret(&form(&pem));
                let claims = full_claims(hub, role).to_string();
                sign_texts_with(&header.to_string(), &claims, &key, algorithm)
            })?;
        }
    }
    Ok(())
}

/// The key, and what names it, are in the token itself; so it is for what the hub's keys are for,
/// if it can be.
fn brought_keys_are_not_used(hub: &Hub) -> Verdict {
    let own = Signer::strange(hub.signer(Role::Publisher));
    let (jwk, encoded) = own.jwk("own");
    let set = format!("data:application/json,{}", json!({ "keys": [jwk] }));
    for brought in [
        json!({ "jwk": jwk }),
        json!({ "jwk": jwk, "kid": "own" }),
        json!({ "jku": set, "kid": "own" }),
        json!({ "x5u": set, "x5c": [encoded] }),
    ] {
        let mut header = json!({ "alg": own.name(), "typ": "at+jwt" });
        let members = brought.as_object().expect("an object").clone();
        header.as_object_mut().expect("an object").extend(members);
        refuse(hub, &format!("a key that {brought} brings along"), |role| {
            own.sign(&header, &full_claims(hub, role))
        })?;
    }
    Ok(())
}

fn claims() -> Vec<Row> {
    vec![
        must(SECTION, "`exp` is there, and not over").tokens(
            &[INVALID_TOKEN],
            [
                Twist::NoClaim("exp"),
                Twist::Claim("exp", json!(ago(3600))),
                Twist::Claim("exp", json!(0)),
            ],
        ),
        must(SECTION, "`nbf` is not to come")
            .tokens(&[INVALID_TOKEN], [Twist::Claim("nbf", json!(ago(-3600)))])
            .tokens(&[OK], [Twist::Claim("nbf", json!(ago(3600)))]),
        must(SECTION, "`aud` is, or contains, what the hub is").tokens(
            &[OK],
            [
                Twist::Claim("aud", json!("{aud}")),
                Twist::Claim("aud", json!(["{aud}"])),
                Twist::Claim("aud", json!(["https://other.example", "{aud}", "x"])),
            ],
        ),
        must(SECTION, "a token for others, or for nobody, is refused").tokens(
            &[INVALID_TOKEN],
            [
                Twist::NoClaim("aud"),
                Twist::Claim("aud", json!("https://other.example/.well-known/mercure")),
                Twist::Claim("aud", json!("{aud}/")),
                Twist::Claim("aud", json!("{aud}x")),
                Twist::Claim("aud", json!([])),
                Twist::Claim("aud", json!(["https://other.example"])),
                Twist::Claim("aud", json!("")),
            ],
        ),
        must(SECTION, "`iss` is there, and exactly an issuer that the hub trusts").tokens(
            &[INVALID_TOKEN],
            [
                Twist::NoClaim("iss"),
                Twist::Claim("iss", json!("https://other.example")),
                Twist::Claim("iss", json!("{iss}/")),
                Twist::Claim("iss", json!("x{iss}")),
                Twist::Claim("iss", json!("")),
            ],
        ),
        must(SECTION, "the key of an issuer signs for no other issuer")
            .needs(Need::SecondIssuer)
            .function(issuers_are_kept_apart),
    ]
}

fn issuers_are_kept_apart(hub: &Hub) -> Verdict {
    let Some((second, second_key)) = &hub.target.second else { return Ok(()) };
    let (first, first_key) = (&hub.target.issuer, &hub.target.publisher);
    for (issuer, key, outcome) in [
        (first, first_key, OK),
        (second, second_key, OK),
        (first, second_key, INVALID_TOKEN),
        (second, first_key, INVALID_TOKEN),
    ] {
        let mut claims = full_claims(hub, Role::Publisher);
        claims["iss"] = issuer.as_str().into();
        let token = key.sign(&hub.header(Role::Publisher), &claims);
        let message = hub.message_as(&post("topic={t}"), &hub.topic(), Some(&token));
        let answer = hub.client.answer(&message)?;
        let whose = if std::ptr::eq(key, first_key) { first } else { second };
        let sent = format!("{message}, with a token of {issuer} and the key of {whose}");
        is_one_of(&answer, &[outcome], &sent)?;
    }
    Ok(())
}

/// Seconds since 1970, so many seconds ago.
fn ago(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now as i64 - seconds
}
