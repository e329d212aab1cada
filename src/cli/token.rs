//! `petasos token`: makes an access token (RFC 9068 with RFC 9396 authorization details).

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};
use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Application, Failure, Surroundings, URL_DEFAULT, explain, matchers};
use crate::{
    auth::{
        key::{Algorithm, SigningKey},
        mint::{self, MintedGrant, MintedTopic, sign},
    },
    client::Matcher,
    config::{DEV_ISSUER, Secret, parse_algorithm, parse_duration},
    protocol::{matcher::MatcherType, uuid::random_urn},
};

const EXAMPLES: &str = "\
Examples:
  petasos token --key @key --publish https://example.com/books/1
  petasos token --key @key --subscribe-urlpattern 'https://example.com/users/42/*'
  petasos token --key @key --legacy --publish '*' --subscribe 'https://example.com/users/{id}'
  petasos token --key @private.pem --alg ES256 --kid 2026-11 --iss https://example.com \\
    --aud https://hub.example.com/.well-known/mercure \\
    --subscribe '*' --payload '{\"user\":\"alice\"}' --ttl 10m";

pub(super) fn command() -> Command {
    let value = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value_name).help(help)
    };
    let several = |arg: Arg| arg.num_args(1..).action(ArgAction::Append);
    let topics = |name, help| several(value(name, "TOPIC", help));
    let patterns = |name, help| several(value(name, "PATTERN", help));
    Command::new("token")
        .about("Make an access token, or say why one passes or fails (token explain)")
        .after_help(EXAMPLES)
        .args_conflicts_with_subcommands(true)
        .subcommand(explain::command())
        .arg(value(
            "key",
            "KEY",
            "What signs: a secret, or a private key in PEM; @FILE reads it from a file, @- from \
             standard input [env: PETASOS_KEY]",
        ))
        .arg(value(
            "alg",
            "ALG",
            "HS256, RS256, PS256, ES256, the like with 384 and 512, or EdDSA [default: HS256]",
        ))
        .arg(value("kid", "ID", "What the issuer's key set calls the key"))
        .arg(topics("publish", "Topics that may be published to; * is all of them"))
        .arg(patterns("publish-urlpattern", "URL patterns of such topics, like /books/:id"))
        .arg(topics("subscribe", "Topics whose private updates may be received; * is all of them"))
        .arg(patterns("subscribe-urlpattern", "URL patterns of such topics"))
        .arg(value("payload", "JSON", "Object that is shown with the subscriptions"))
        .arg(value("iss", "URI", "Issuer: as the hub knows it"))
        .arg(value("aud", "URI", "Audience: the hub's resource identifier, mostly its URL"))
        .arg(value("sub", "ID", "Subject: whom the token is for [default: petasos]"))
        .arg(value("ttl", "DURATION", "Life of the token; 0: for ever [default: 1h]"))
        .arg(
            Arg::new("dev")
                .long("dev")
                .action(ArgAction::SetTrue)
                .help("All access, with issuer and audience of a `petasos --dev` hub"),
        )
        .arg(
            Arg::new("legacy")
                .long("legacy")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["publish-urlpattern", "subscribe-urlpattern"])
                .help(
                    "A token of 0.x, with a claim `mercure`: topics may be URI templates, and iss \
                     and aud may be left out",
                ),
        )
}

/// What a token says.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) subject: Option<String>,
    /// In the token's header.
    pub(super) kid: Option<String>,
    pub(super) publish: Vec<Matcher>,
    pub(super) subscribe: Vec<Matcher>,
    pub(super) payload: Option<Map<String, Value>>,
    /// `None`: for ever.
    pub(super) life: Option<Duration>,
    /// As clients of 0.x have them.
    pub(super) legacy: bool,
}

pub(super) fn token(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
    application: &mut dyn Application,
) -> Result<ExitCode, Failure> {
    if let Some(("explain", matches)) = matches.subcommand() {
        return explain::explain(matches, surroundings, application);
    }
    let key = surroundings.value(matches, "key", "PETASOS_KEY").ok_or_else(|| {
        Failure::Told(
            "no key: give the hub's with --key @FILE or PETASOS_KEY \
             (a hub started with --dev prints a token by itself)"
                .to_owned(),
        )
    })?;
    let (key, algorithm) = secret_key(&key, matches, surroundings)?;
    let claims = read(matches)?;
    let token = mint(&claims, &Secret::new(key.into_bytes()), algorithm).map_err(Failure::Told)?;
    writeln!(surroundings.output, "{token}")?;
    Ok(ExitCode::SUCCESS)
}

/// The key that was given, and what `--alg` says that it signs with.
pub(super) fn secret_key(
    given: &str,
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(String, Algorithm), Failure> {
    let key = surroundings.secret(given)?;
    if key.is_empty() {
        return Err(Failure::Told("the key is empty".to_owned()));
    }
    let algorithm = matches.get_one::<String>("alg").map_or("HS256", String::as_str);
    let algorithm = parse_algorithm(algorithm);
    Ok((key, algorithm.map_err(|problem| Failure::Told(format!("--alg: {problem}")))?))
}

fn read(matches: &ArgMatches) -> Result<Claims, Failure> {
    let text = |name| matches.get_one::<String>(name).cloned();
    let granted = |action: &str| -> Result<Vec<Matcher>, Failure> {
        let read = |flag: &str, matcher_type| {
            matchers::read(matches, flag, &format!("--{flag}"), matcher_type)
        };
        let topics = read(action, MatcherType::Exact)?;
        let patterns = read(&format!("{action}-urlpattern"), MatcherType::UrlPattern)?;
        Ok([topics, patterns].concat())
    };
    let life = text("ttl").unwrap_or_else(|| "1h".to_owned());
    let life = parse_duration(&life).map_err(|problem| Failure::Told(format!("--ttl: {problem}")));
    let mut claims = Claims {
        issuer: text("iss"),
        audience: text("aud"),
        subject: text("sub"),
        kid: text("kid"),
        publish: granted("publish")?,
        subscribe: granted("subscribe")?,
        payload: text("payload").map(|text| payload(&text)).transpose()?,
        life: Some(life?).filter(|life| !life.is_zero()),
        legacy: matches.get_flag("legacy"),
    };
    if matches.get_flag("dev") {
        claims.issuer.get_or_insert_with(|| DEV_ISSUER.to_owned());
        claims.audience.get_or_insert_with(|| URL_DEFAULT.to_owned());
        if claims.publish.is_empty() && claims.subscribe.is_empty() {
            claims.publish.push(Matcher::Any);
            claims.subscribe.push(Matcher::Any);
        }
    }
    if claims.payload.is_some() && claims.subscribe.is_empty() {
        return Err(Failure::Told(
            "--payload belongs to --subscribe or --subscribe-urlpattern; add one".to_owned(),
        ));
    }
    Ok(claims)
}

fn payload(text: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(payload)) => Ok(payload),
        Ok(_) => {
            Err(Failure::Told("--payload: a JSON object is wanted, like {\"a\":1}".to_owned()))
        }
        Err(error) => Err(Failure::Told(format!("--payload is not JSON: {error}"))),
    }
}

/// Makes a token: the one place of the command line that signs.
pub(super) fn mint(claims: &Claims, key: &Secret, algorithm: Algorithm) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|_| "the clock of this machine stands before 1970".to_owned())?;
    let random = super::random()?;
    let key = SigningKey::from_text(key.expose(), algorithm).map_err(|error| error.to_string())?;
    let typ = if claims.legacy { "JWT" } else { "at+jwt" };
    let mut header = json!({ "alg": algorithm.name(), "typ": typ });
    if let Some(kid) = &claims.kid {
        header["kid"] = kid.as_str().into();
    }
    Ok(sign(&header, &body(claims, now.as_secs(), u128::from_be_bytes(random)), &key))
}

/// The claims of draft-08 #authorization and RFC 9068 §2.2, as far as they are known; or of
/// draft-07 #authorization.
fn body(claims: &Claims, now: u64, random: u128) -> Value {
    let subject = claims.subject.as_deref().unwrap_or("petasos");
    let mut body = json!({
        "sub": subject,
        "client_id": claims.issuer.as_deref().unwrap_or(subject),
        "iat": now,
        "jti": random_urn(random),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("iss", claims.issuer.as_deref().map(Value::from));
    set("aud", claims.audience.as_deref().map(Value::from));
    set("exp", claims.life.map(|life| now.saturating_add(life.as_secs()).into()));
    let [publish, subscribe] = [&claims.publish, &claims.subscribe]
        .map(|matchers| matchers.iter().map(Matcher::minted).collect::<Vec<_>>());
    if claims.legacy {
        let texts = |topics: &[MintedTopic<'_>]| -> Value {
            topics.iter().map(|topic| topic.text).collect()
        };
        let mut claim = json!({ "publish": texts(&publish), "subscribe": texts(&subscribe) });
        if let Some(payload) = &claims.payload {
            claim["payload"] = Value::Object(payload.clone());
        }
        set("mercure", Some(claim));
        return body;
    }
    let grants = [
        MintedGrant { publish: true, subscribe: false, topics: &publish, payload: None },
        MintedGrant {
            publish: false,
            subscribe: true,
            topics: &subscribe,
            payload: claims.payload.as_ref(),
        },
    ];
    let details = grants.iter().filter(|grant| !grant.topics.is_empty()).map(mint::detail);
    set("authorization_details", Some(details.collect()));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_says_what_was_asked_for() {
        let claims = Claims {
            issuer: Some("urn:i".to_owned()),
            audience: Some("urn:a".to_owned()),
            publish: vec!["p".into(), Matcher::UrlPattern("/:q".to_owned())],
            subscribe: vec![Matcher::Any],
            payload: json!({"x": 1}).as_object().cloned(),
            life: Some(Duration::from_secs(60)),
            ..Claims::default()
        };
        let kind = "https://mercure.rocks/authorization-detail";
        assert_eq!(
            body(&claims, 1000, 0),
            json!({
                "iss": "urn:i", "aud": "urn:a", "sub": "petasos", "client_id": "urn:i",
                "iat": 1000, "exp": 1060,
                "jti": "urn:uuid:00000000-0000-4000-8000-000000000000",
                "authorization_details": [
                    {"type": kind, "actions": ["publish"],
                     "topics": [{"match": "p"}, {"match": "/:q", "match_type": "urlpattern"}]},
                    {"type": kind, "actions": ["subscribe"], "topics": [{"match": "*"}],
                     "payload": {"x": 1}},
                ],
            })
        );
        let legacy = Claims {
            publish: vec![Matcher::Any],
            subscribe: vec!["/b/{id}".into()],
            payload: json!({"x": 1}).as_object().cloned(),
            legacy: true,
            ..Claims::default()
        };
        assert_eq!(
            body(&legacy, 1000, 0)["mercure"],
            json!({"publish": ["*"], "subscribe": ["/b/{id}"], "payload": {"x": 1}})
        );
        assert_eq!(body(&legacy, 1000, 0).get("authorization_details"), None);
        let bare = body(&Claims::default(), 1000, u128::MAX);
        assert_eq!(bare["jti"], "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(bare.get("exp").is_none() && bare.get("iss").is_none());
    }
}
