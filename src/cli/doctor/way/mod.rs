//! Checks of the way to a hub: what a proxy on it does to requests and to streams.

mod cors;
mod fields;
mod hints;
mod idle;
mod reach;
mod sizes;
mod stream;

use std::{io::Write, time::Duration};

use clap::ArgMatches;

use self::hints::Hint;
use super::{
    super::{Failure, Surroundings, explain, random, token::secret_key},
    report::{Finding, Report},
};
use crate::{
    auth::key::{Algorithm, SigningKey},
    client::{
        ClientError, Credentials, Publisher, TokenKey,
        probe::{Answer, Asking, Probe},
    },
    config::Config,
    protocol::uuid::random_urn,
};

/// How long a stream is watched that nothing is sent on: a little more than most proxies wait.
const IDLE_DEFAULT: u64 = 65;
/// Longest that anything may take that should come at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be looked at.
pub(super) struct Asked {
    url: String,
    secret: Option<Authority>,
    issuer: Option<String>,
    audience: Option<String>,
    origin: Option<String>,
    idle: Duration,
    cookie_name: String,
}

/// What lets the doctor publish.
enum Authority {
    Token(String),
    Key(String, Algorithm),
}

impl Asked {
    pub(super) fn read(
        matches: &ArgMatches,
        surroundings: &mut Surroundings<'_>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let token = surroundings.value(matches, "token", "PETASOS_TOKEN");
        let key = surroundings.value(matches, "key", "PETASOS_KEY");
        let is_key = text("token").is_none() && (text("key").is_some() || token.is_none());
        let secret = match (token, key) {
            (_, Some(key)) if is_key => {
                let (key, algorithm) = secret_key(&key, matches, surroundings)?;
                Some(Authority::Key(key, algorithm))
            }
            (Some(token), _) => Some(Authority::Token(surroundings.secret(&token)?)),
            (None, _) => None,
        };
        Ok(Asked {
            url: text("url").unwrap_or_default(),
            secret,
            issuer: text("iss"),
            audience: text("aud"),
            origin: text("origin"),
            idle: Duration::from_secs(*matches.get_one("idle").unwrap_or(&IDLE_DEFAULT)),
            cookie_name: config.access.cookie_name.clone(),
        })
    }

    /// What requests are made with; `resource`: what the hub says that tokens must name.
    fn credentials(&self, resource: Option<&str>) -> Result<Credentials, Failure> {
        Ok(match &self.secret {
            None => Credentials::none(),
            Some(Authority::Token(token)) => Credentials::token(token.as_str()),
            Some(Authority::Key(key, algorithm)) => {
                let key = SigningKey::from_text(key.as_bytes(), *algorithm);
                let key = key.map_err(|error| Failure::Told(format!("--key: {error}")))?;
                let mut key = TokenKey::new(key);
                if let Some(issuer) = &self.issuer {
                    key = key.issuer(issuer);
                }
                if let Some(audience) = self.audience.as_deref().or(resource) {
                    key = key.audience(audience);
                }
                Credentials::key(key)
            }
        })
    }
}

/// The way, as far as it is known.
struct Way<'a> {
    asked: &'a Asked,
    probe: Probe,
    publisher: Option<Publisher>,
    /// Nobody else has it.
    topic: String,
    /// What names itself on the way: the fields `Server` and `Via`, in small letters.
    server: String,
    /// The hub takes no subscribers without a token.
    is_closed: bool,
    /// How the head of a stream's answer is asked for: `HEAD` where a proxy holds that of `GET`
    /// back.
    method: &'static str,
}

pub(super) fn check(
    asked: &Asked,
    report: &mut Report<'_>,
    errors: &mut dyn Write,
) -> Result<(), Failure> {
    let told = |error: ClientError| Failure::Told(explain(&error, "publish", true));
    let mut way = Way {
        asked,
        probe: Probe::new(&asked.url, asked.credentials(None)?).map_err(told)?,
        publisher: None,
        topic: random_topic()?,
        server: String::new(),
        is_closed: false,
        method: "GET",
    };
    report.add_all(reach::encryption(&way))?;
    let (findings, is_reached) = reach::hub(&mut way);
    report.add_all(findings)?;
    if !is_reached {
        return Ok(());
    }
    let (finding, resource) = reach::metadata(&way);
    report.add(finding)?;
    let credentials = asked.credentials(resource.as_deref())?;
    way.probe = Probe::new(&asked.url, credentials.clone()).map_err(told)?;
    if asked.secret.is_some() {
        // Once: what does not get through is what is looked for.
        let publisher = Publisher::new(&asked.url, credentials).map_err(told)?;
        way.publisher = Some(publisher.with_patience(Duration::ZERO));
    }
    let (findings, stream) = stream::open(&mut way);
    report.add_all(findings)?;
    // It goes on beside all else.
    let watch = idle::Watch::start(&way);
    let (findings, published) = stream::update(&mut way, stream);
    report.add_all(findings)?;
    report.add(fields::last_event_id(&way, published.as_deref()))?;
    report.add(fields::last_event_id_in_query(&way, published.as_deref()))?;
    report.add(fields::authorization(&way))?;
    report.add(fields::cookie(&way))?;
    report.add(stream::compression(&way))?;
    report.add_all(sizes::requests(&way))?;
    report.add(sizes::body(&way))?;
    report.add_all(cors::check(&way))?;
    report.add(watch.finding(&way, errors))
}

fn random_topic() -> Result<String, Failure> {
    let random = random().map_err(Failure::Told)?;
    Ok(random_urn(u128::from_be_bytes(random)))
}

impl Way<'_> {
    /// Asks for the beginning of a stream of the doctor's own topic.
    fn subscribe(
        &self,
        method: &str,
        query: &[(&str, &str)],
        fields: &[(&str, &str)],
        is_authorized: bool,
    ) -> Result<Answer, ClientError> {
        let query = [&[("match", self.topic.as_str())][..], query].concat();
        self.ask(method, &query, fields, is_authorized)
    }

    fn ask(
        &self,
        method: &str,
        query: &[(&str, &str)],
        fields: &[(&str, &str)],
        is_authorized: bool,
    ) -> Result<Answer, ClientError> {
        let fields = [&[("accept", "text/event-stream")][..], fields].concat();
        self.probe.ask(Asking {
            method,
            path: None,
            query,
            fields: &fields,
            is_authorized,
            wait: PATIENCE,
        })
    }

    /// The same as who may subscribe, and only the head of it.
    fn head(&self, query: &[(&str, &str)], fields: &[(&str, &str)]) -> Result<Answer, ClientError> {
        self.subscribe(self.method, query, fields, self.is_closed)
    }

    /// A stream that nothing is published on: of another topic that nobody has.
    fn silent_stream(&self) -> Result<Answer, ClientError> {
        let topic = format!("{}:idle", self.topic);
        self.ask("GET", &[("match", &topic)], &[], self.is_closed)
    }

    /// Whether the hub can be expected to answer with streams.
    fn may_subscribe(&self) -> bool {
        !self.is_closed || self.asked.secret.is_some()
    }

    fn hints(&self, hint: &Hint) -> Vec<String> {
        hint.lines(&self.server)
    }
}

/// A check that got no answer.
fn unanswered(check: &'static str, error: &ClientError) -> Finding {
    Finding::fail(check, error.to_string())
        .fixed_by(["is the hub still running? Look into its log, and into the proxy's"])
}
