//! What requests mean to this hub: where HTTP, tokens and the protocol come together. Knows no
//! sockets, so that every carrier of HTTP serves the same hub.

use std::{collections::HashSet, hash::RandomState, sync::Arc, time::Duration};

use super::{
    identity::{Identity, origin},
    json_publish,
};
use crate::{
    auth::{
        Role,
        access::Access,
        authority::{Authority, Outcome, Rule},
        bearer,
        challenge::Challenge,
        error::TokenError,
        metadata::Metadata,
        verdicts::{VerdictCache, VerdictLimits},
    },
    http::{
        body::BodyLength,
        cookie::cookie,
        cors::Cors,
        form,
        head::{Head, Method},
        media::{self, ProblemForm},
        response::Response,
        status::Status,
    },
    keyring::{Asked, Keyring},
    legacy,
    metrics::{Metrics, Refused},
    protocol::{
        hub_url::HubUrl,
        limits::Limits,
        matcher::{Interest, MatcherSet},
        patterns::Patterns,
        publish::{Publication, Refusal},
        subscribe::{QueryRules, Since, Subscription},
        text::excerpt,
        time::UnixTime,
        topic::TopicHasher,
        update::Draft,
    },
};

/// What the endpoint needs of the configuration.
#[derive(Debug)]
pub struct EndpointSettings {
    pub keyring: Arc<Keyring>,
    pub identity: Identity,
    /// Issuers that are told of in the hub's metadata.
    pub authorization_servers: Vec<String>,
    /// The cookie that may hold a token.
    pub cookie_name: String,
    /// Pages of these origins may publish with that cookie, besides the hub's own.
    pub publish_origins: PublishOrigins,
    pub hub_url: HubUrl,
    pub limits: Limits,
    pub cors: Cors,
    pub query_rules: QueryRules,
    /// Subscribers that do not say whether they want notices of gaps get them.
    pub gap_notice: bool,
    /// Subscribers without a token are admitted.
    pub anonymous: bool,
    /// A body that is JSON is published as it is.
    pub json_publish: bool,
    /// Clients of 0.x are served too.
    pub legacy: Option<legacy::Version>,
    pub topic_hasher: TopicHasher,
}

/// Whose pages may publish with a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOrigins {
    Any,
    Listed(Vec<String>),
}

/// A subscription that is to be opened.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) interest: Interest,
    pub(crate) since: Option<Since>,
    /// It is told in the stream if that cannot be honoured.
    pub(crate) gap_notice: bool,
    /// It is told where it resumes in the field that 0.x clients read, too.
    pub(crate) legacy: bool,
    /// When the token stops being valid; how long from now.
    pub(crate) remaining: Option<Duration>,
}

/// Why a request is not let in.
#[derive(Debug)]
pub(crate) enum Denied {
    /// For good.
    Answer(Response<'static>),
    /// The token's key may be in a set that is being fetched: the request may be made again then.
    Later(Box<Later>),
}

#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) asked: Asked,
    /// Which was asked.
    pub(crate) keyring: Arc<Keyring>,
    error: TokenError,
    role: Role,
}

impl From<Response<'static>> for Denied {
    fn from(response: Response<'static>) -> Self {
        Denied::Answer(response)
    }
}

pub(crate) struct Endpoint {
    settings: Arc<EndpointSettings>,
    metrics: Arc<Metrics>,
    worker: usize,
    verdicts: VerdictCache,
    patterns: Patterns,
    nothing: Arc<MatcherSet>,
    /// Refused origins that were logged, as they are shown.
    refused_origins: HashSet<String>,
}

/// Tells who looks for the cause of every rule that a refused token breaks, not of the first alone.
fn explain(authority: &Authority, credentials: &[u8], audience: &str, now: UnixTime) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let text = String::from_utf8_lossy(credentials);
        let explanation = authority.explain(&text, &[audience.to_owned()], now);
        let broken = explanation.rules.iter().filter(|rule| rule.outcome == Outcome::Broken);
        for Rule { name, text, .. } in broken {
            tracing::debug!(rule = name, reason = text, "a rule that a refused token breaks");
        }
    }
}

/// Refused origins that are logged; origins are chosen by clients, who must not fill the log.
const REFUSED_ORIGINS_MAX: usize = 100;

impl Endpoint {
    /// For a worker that shows what it refuses.
    pub(crate) fn new(
        settings: Arc<EndpointSettings>,
        metrics: Arc<Metrics>,
        worker: usize,
    ) -> Self {
        let verdicts = VerdictCache::new(VerdictLimits::default(), RandomState::new());
        let patterns = Patterns::new(&settings.hub_url, RandomState::new());
        Endpoint {
            settings,
            metrics,
            worker,
            verdicts,
            patterns,
            nothing: Arc::default(),
            refused_origins: HashSet::new(),
        }
    }

    /// Goes by other settings from now on. Those that texts were understood by stay the same.
    pub(crate) fn go_by(&mut self, settings: &Arc<EndpointSettings>) {
        if !Arc::ptr_eq(&self.settings, settings) {
            self.settings = Arc::clone(settings);
        }
    }

    /// Who subscribes, if that may be; looked at before a body is read. `None`: anybody.
    pub(crate) fn subscriber(
        &mut self,
        head: &Head,
        now: UnixTime,
    ) -> Result<Option<Arc<Access>>, Denied> {
        let access = self.access(head, Role::Subscriber, now)?;
        if access.is_none() && !self.settings.anonymous {
            tracing::info!(
                reason = "no token and anonymous is off: set MERCURE_ALLOW_ANONYMOUS=1 or the \
                          directive `anonymous`",
                "subscription refused"
            );
            return Err(self.challenge(Challenge::NoToken, head).into());
        }
        // A body that is not declared to be a form is one all the same only if it is empty
        // (RFC 10008 §2: the media type must be known).
        let is_form = || head.header("Content-Type").is_some_and(media::is_form);
        if head.method == Method::Query && head.body != BodyLength::None && !is_form() {
            let error = "send the matchers as application/x-www-form-urlencoded";
            let status = Status::UnsupportedMediaType;
            return Err(self.refuse(status, &error, head, "subscription refused").into());
        }
        Ok(access)
    }

    /// What a subscription request asks for: "the union" of the query component and of a body
    /// (draft-08 #subscription). `now` is when the body had arrived.
    pub(crate) fn subscription(
        &mut self,
        head: &Head,
        access: Option<Arc<Access>>,
        body: &[u8],
        now: UnixTime,
    ) -> Result<Subscribe, Response<'static>> {
        if let Some(access) = &access {
            access.check_time(now).map_err(|error| {
                self.refuse_token(&error, Role::Subscriber, error.challenge(), head)
            })?;
        }
        let EndpointSettings { query_rules, limits, .. } = &*self.settings;
        let pairs = form::pairs(head.query().unwrap_or_default()).chain(form::pairs(body));
        let last_event_id = head.header("Last-Event-ID");
        let Subscription { matchers, since, gap_notice, legacy } =
            Subscription::parse(pairs, last_event_id, *query_rules, limits, &mut self.patterns)
                .map_err(|error| {
                    self.refuse(Status::BadRequest, &error, head, "subscription refused")
                })?;
        let grants = access.as_ref().map_or(&self.nothing, |access| &access.subscribe);
        let remaining =
            access.as_ref().and_then(|access| access.expires_at).map(|at| at.saturating_since(now));
        let interest = Interest { matchers: Arc::new(matchers), grants: Arc::clone(grants) };
        let gap_notice = gap_notice.unwrap_or(self.settings.gap_notice);
        Ok(Subscribe { interest, since, gap_notice, legacy, remaining })
    }

    /// Whether the client may publish at all; looked at before its body is read.
    pub(crate) fn publisher(&mut self, head: &Head, now: UnixTime) -> Result<Arc<Access>, Denied> {
        match self.access(head, Role::Publisher, now)? {
            None => {
                tracing::info!(reason = "no token", "publication refused");
                Err(self.challenge(Challenge::NoToken, head).into())
            }
            Some(_) if !self.is_publication(head) => {
                let error = "send the update as application/x-www-form-urlencoded";
                Err(self
                    .refuse(Status::UnsupportedMediaType, &error, head, "publication refused")
                    .into())
            }
            Some(access) => Ok(access),
        }
    }

    fn is_publication(&self, head: &Head) -> bool {
        head.header("Content-Type").is_some_and(media::is_form) || self.is_json(head)
    }

    /// Whether the body is the data itself.
    fn is_json(&self, head: &Head) -> bool {
        self.settings.json_publish && head.header("Content-Type").is_some_and(media::is_json)
    }

    /// The update that a publication request asks for, if it may (draft-08 #publication,
    /// #publishers). `now` is when the body had arrived: the token may have expired meanwhile.
    pub(crate) fn draft(
        &self,
        head: &Head,
        access: &Access,
        body: &[u8],
        now: UnixTime,
    ) -> Result<Draft, Response<'static>> {
        let EndpointSettings { hub_url, limits, topic_hasher, .. } = &*self.settings;
        access
            .check_time(now)
            .map_err(|error| self.refuse_token(&error, Role::Publisher, error.challenge(), head))?;
        let publication = if self.is_json(head) {
            let pairs = json_publish::pairs(head, body).map_err(|error| {
                self.refuse(Status::BadRequest, &error, head, "publication refused")
            })?;
            Publication::parse(pairs, hub_url, topic_hasher, limits)
        } else {
            Publication::parse(form::pairs(body), hub_url, topic_hasher, limits)
        };
        let publication = publication.map_err(|error| {
            let status = match error.refusal() {
                Refusal::Malformed => Status::BadRequest,
                Refusal::TooLarge => Status::ContentTooLarge,
            };
            self.refuse(status, &error, head, "publication refused")
        })?;
        let is_free = access.publishes_anything_public && !publication.private;
        if let Some(topic) = access.first_refused(&publication.topics).filter(|_| !is_free) {
            let reason = "the token does not grant `publish` on the topic";
            tracing::info!(reason, topic = excerpt(topic.text()), "publication refused");
            return Err(self.challenge(Challenge::InsufficientScope, head));
        }
        Ok(publication.into_draft(now))
    }

    /// Tells the operator, once for each of them, which origins' pages may not read the answers.
    pub(crate) fn note_origin(&mut self, origin: &[u8], head: &Head) {
        let is_full = self.refused_origins.len() == REFUSED_ORIGINS_MAX;
        let EndpointSettings { cors, identity, .. } = &*self.settings;
        if is_full || cors.allows(origin) || identity.is_own_origin(origin, head) {
            return;
        }
        let origin = excerpt(&String::from_utf8_lossy(origin));
        if !self.refused_origins.contains(&origin) {
            let reason = "pages of this origin may not read answers: is it missing in \
                          `cors_origins`?";
            tracing::info!(origin, reason, "origin refused");
            self.refused_origins.insert(origin);
        }
    }

    /// The access that the request's token gives; `None` without a token. A token that fails is
    /// never treated as none. "When an `Authorization` HTTP header is present, its token MUST be
    /// used and any cookie MUST be ignored" (draft-08 #presenting-the-access-token).
    fn access(
        &mut self,
        head: &Head,
        role: Role,
        now: UnixTime,
    ) -> Result<Option<Arc<Access>>, Denied> {
        let mut fields = head.headers("Authorization");
        let invalid = |reason: &dyn std::fmt::Display| {
            self.refuse_token(reason, role, Challenge::InvalidRequest, head)
        };
        let (first, second) = (fields.next(), fields.next());
        // Beside the field, the URL is not looked at.
        let in_query = match first {
            None => self.token_of_query(head).map_err(|reason| invalid(&reason))?,
            Some(_) => None,
        };
        let credentials = match (first, second) {
            (Some(_), Some(_)) => return Err(invalid(&"several Authorization fields").into()),
            (Some(field), None) => bearer::credentials(field).map_err(|error| invalid(&error))?,
            (None, _) if in_query.is_some() => in_query.as_deref().unwrap_or_default(),
            (None, _) => match self.cookie(head) {
                None => return Ok(None),
                Some(value) if role == Role::Publisher => match self.check_origin(head) {
                    Ok(()) => value,
                    Err(reason) => return Err(self.refuse_page(&reason, head).into()),
                },
                Some(value) => value,
            },
        };
        let settings = Arc::clone(&self.settings);
        let audience = settings.identity.audience(head);
        loop {
            let authority = settings.keyring.authority();
            let verdict = self.verdicts.verify(&authority, credentials, role, &audience, now);
            let error = match verdict {
                Ok(access) => {
                    settings.keyring.count(self.worker, access.source);
                    return Ok(Some(access));
                }
                Err(error) => error,
            };
            if let Some(asked) = settings.keyring.ask(error.outdated_sets()) {
                let keyring = Arc::clone(&settings.keyring);
                return Err(Denied::Later(Box::new(Later { asked, keyring, error, role })));
            }
            // Keys that came between the two looks.
            let is_outdated = authority.generation() != settings.keyring.authority().generation();
            if error.outdated_sets().is_empty() || !is_outdated {
                explain(&authority, credentials, &audience, now);
                return Err(self.refuse_token(&error, role, error.challenge(), head).into());
            }
        }
    }

    /// The cookie that holds the token.
    fn cookie<'h>(&self, head: &'h Head) -> Option<&'h [u8]> {
        let older = self.settings.legacy.map(|_| legacy::COOKIE_NAME);
        cookie(head, &self.settings.cookie_name).or_else(|| cookie(head, older?))
    }

    /// The token that a client of 0.x has put into the URL: whatever it is, it is one.
    fn token_of_query(&self, head: &Head) -> Result<Option<Vec<u8>>, &'static str> {
        let Some(query) = head.query().filter(|_| self.settings.legacy.is_some()) else {
            return Ok(None);
        };
        let mut found = None;
        for pair in form::pairs(query) {
            // It may be one: then nothing else counts in its place.
            let (name, token) = pair.map_err(|_| "a parameter of the URL is not UTF-8")?;
            if name == legacy::AUTHORIZATION {
                let token = token.into_owned().into_bytes();
                if found.replace(token).is_some() {
                    return Err("several authorization parameters");
                }
            }
        }
        Ok(found)
    }

    /// The answer to a request that does not wait.
    pub(crate) fn answer(&self, denied: Denied, head: &Head) -> Response<'static> {
        match denied {
            Denied::Answer(response) => response,
            Denied::Later(later) => {
                self.refuse_token(&later.error, later.role, later.error.challenge(), head)
            }
        }
    }

    /// Browsers send cookies whoever made the page: who publishes with one must come from a page
    /// that may (draft-08 #security-considerations: "verify that the source origin [...] matches
    /// the target origin, rejecting the request when neither header is available").
    fn check_origin(&self, head: &Head) -> Result<(), String> {
        let EndpointSettings { identity, publish_origins, .. } = &*self.settings;
        let source = head.header("Origin").or_else(|| origin(head.header("Referer")?));
        let Some(source) = source else {
            return Err("a cookie, and neither Origin nor Referer says whose page it is".to_owned());
        };
        let is_listed = match publish_origins {
            PublishOrigins::Any => true,
            PublishOrigins::Listed(listed) => listed.iter().any(|one| one.as_bytes() == source),
        };
        if is_listed || identity.is_own_origin(source, head) {
            return Ok(());
        }
        let source = excerpt(&String::from_utf8_lossy(source));
        Err(format!("a cookie sent by a page of {source}: is it missing in `publish_origins`?"))
    }

    /// An answer to a page that may not publish with a cookie: a fault of the token's presentation.
    fn refuse_page(&self, reason: &str, head: &Head) -> Response<'static> {
        tracing::info!(reason, "token refused");
        self.count(Refused::Origin);
        self.challenge_uncounted(Challenge::InvalidRequest, head).close()
    }

    /// An answer that tells the client what is wrong with its request, and the operator too.
    pub(crate) fn refuse(
        &self,
        status: Status,
        reason: &dyn std::fmt::Display,
        head: &Head,
        what: &'static str,
    ) -> Response<'static> {
        let reason = reason.to_string();
        tracing::info!(reason, status = status.code(), "{what}");
        self.count(match status {
            Status::ContentTooLarge => Refused::TooLarge,
            Status::UnsupportedMediaType => Refused::MediaType,
            Status::MisdirectedRequest => Refused::Misdirected,
            _ => Refused::Malformed,
        });
        Response::problem(status, Some(&reason), ProblemForm::asked_for(head))
    }

    /// An answer to a request for a name that the hub does not have.
    pub(crate) fn misdirected(&self, head: &Head) -> Response<'static> {
        let host = excerpt(&String::from_utf8_lossy(head.host().unwrap_or_default()));
        let reason = format!("the hub is not known as {host}: `public_urls` lists its names");
        self.refuse(Status::MisdirectedRequest, &reason, head, "request refused")
    }

    fn count(&self, reason: Refused) {
        self.metrics.workers[self.worker].refuse(reason);
    }

    /// An answer to a token that fails: the reason is for the operator only.
    fn refuse_token(
        &self,
        reason: &dyn std::fmt::Display,
        role: Role,
        challenge: Challenge,
        head: &Head,
    ) -> Response<'static> {
        tracing::info!(%reason, %role, "token refused");
        // Guessing costs a connection each time.
        self.challenge(challenge, head).close()
    }

    /// An answer that asks for a token, or for another one (draft-08 #error-responses).
    fn challenge(&self, challenge: Challenge, head: &Head) -> Response<'static> {
        self.count(match challenge {
            Challenge::NoToken => Refused::NoToken,
            Challenge::InvalidToken => Refused::InvalidToken,
            Challenge::InsufficientScope => Refused::Scope,
            Challenge::InvalidRequest => Refused::Presentation,
        });
        self.challenge_uncounted(challenge, head)
    }

    fn challenge_uncounted(&self, challenge: Challenge, head: &Head) -> Response<'static> {
        let status = match challenge.status() {
            401 => Status::Unauthorized,
            403 => Status::Forbidden,
            _ => Status::BadRequest,
        };
        let identity = &self.settings.identity;
        let metadata = identity.metadata_url(head);
        Response::problem(status, None, ProblemForm::asked_for(head))
            .with("WWW-Authenticate", challenge.header_value(Some(&metadata)))
            .with_fields(identity.link(head))
    }
}

impl EndpointSettings {
    /// The hub's metadata, for the name by which the client knows it (draft-08
    /// #protected-resource-metadata).
    pub(crate) fn metadata(&self, head: &Head) -> Response<'static> {
        let metadata = Metadata {
            resource: &self.identity.resource(head),
            authorization_servers: &self.authorization_servers,
            cookie: &self.cookie_name,
        };
        Response::with_body(Status::Ok, "application/json", metadata.to_json())
            .with("Cache-Control", "max-age=300")
    }
}
