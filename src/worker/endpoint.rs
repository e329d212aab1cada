//! What requests mean to this hub: where HTTP, tokens and the protocol come together. Knows no
//! sockets, so that every carrier of HTTP serves the same hub.

use std::{borrow::Cow, collections::HashSet, hash::RandomState, sync::Arc, time::Duration};

use crate::{
    auth::{
        Role,
        access::Access,
        bearer,
        challenge::Challenge,
        error::TokenError,
        time::UnixTime,
        verdicts::{VerdictCache, VerdictLimits},
    },
    http::{
        cors::Cors,
        form,
        head::Head,
        media::{self, ProblemForm},
        response::Response,
        route::HUB_PATH,
        status::Status,
    },
    keyring::{Asked, Keyring},
    protocol::{
        limits::Limits,
        matcher::{Interest, MatcherSet},
        publish::{Publication, Refusal},
        reserved::HubUrl,
        subscribe::{QueryRules, Since, Subscription},
        text::excerpt,
        topic::TopicHasher,
        update::Draft,
    },
};

/// Where the resource identifier of the hub comes from, which tokens must name in `aud`
/// (draft-08 #token-validation).
#[derive(Debug, Clone)]
pub enum Audience {
    /// It is configured.
    Fixed(Box<str>),
    /// One for each host name that the hub is known by; the first for any other. One that begins
    /// with `//` stands for http and https.
    ByHost(Vec<(Box<str>, Box<str>)>),
    /// The hub URL under whatever host the request names, by http or https.
    AnyHost,
}

/// What the endpoint needs of the configuration.
#[derive(Debug)]
pub struct EndpointSettings {
    pub keyring: Arc<Keyring>,
    pub audience: Audience,
    pub hub_url: HubUrl,
    pub limits: Limits,
    pub cors: Cors,
    pub query_rules: QueryRules,
    /// Subscribers without a token are admitted.
    pub anonymous: bool,
    pub topic_hasher: TopicHasher,
}

/// A subscription that is to be opened.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) interest: Interest,
    pub(crate) since: Option<Since>,
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
    error: TokenError,
    role: Role,
}

impl Denied {
    /// The answer to a request that does not wait.
    pub(crate) fn answer(self, head: &Head) -> Response<'static> {
        match self {
            Denied::Answer(response) => response,
            Denied::Later(later) => {
                refuse_token(&later.error, later.role, later.error.challenge(), head)
            }
        }
    }
}

impl From<Response<'static>> for Denied {
    fn from(response: Response<'static>) -> Self {
        Denied::Answer(response)
    }
}

pub(crate) struct Endpoint {
    settings: Arc<EndpointSettings>,
    verdicts: VerdictCache,
    nothing: Arc<MatcherSet>,
    /// Refused origins that were logged, as they are shown.
    refused_origins: HashSet<String>,
}

/// Refused origins that are logged; origins are chosen by clients, who must not fill the log.
const REFUSED_ORIGINS_MAX: usize = 100;

impl Endpoint {
    pub(crate) fn new(settings: Arc<EndpointSettings>) -> Self {
        let verdicts = VerdictCache::new(VerdictLimits::default(), RandomState::new());
        Endpoint { settings, verdicts, nothing: Arc::default(), refused_origins: HashSet::new() }
    }

    /// What a subscription request asks for, if it may have it (draft-08 #subscription).
    pub(crate) fn subscribe(&mut self, head: &Head, now: UnixTime) -> Result<Subscribe, Denied> {
        let access = self.access(head, Role::Subscriber, now)?;
        if access.is_none() && !self.settings.anonymous {
            tracing::info!(
                reason = "no token and anonymous is off: set MERCURE_ALLOW_ANONYMOUS=1 or the \
                          directive `anonymous`",
                "subscription refused"
            );
            return Err(challenge(Challenge::NoToken, head).into());
        }
        let EndpointSettings { query_rules, limits, .. } = &*self.settings;
        let pairs = form::pairs(head.query().unwrap_or_default());
        let last_event_id = head.header("Last-Event-ID");
        let Subscription { matchers, since } =
            Subscription::parse(pairs, last_event_id, *query_rules, limits).map_err(|error| {
                refuse(Status::BadRequest, &error, head, "subscription refused")
            })?;
        let grants = access.as_ref().map_or(&self.nothing, |access| &access.subscribe);
        let remaining =
            access.as_ref().and_then(|access| access.expires_at).map(|at| at.saturating_since(now));
        let interest = Interest { matchers: Arc::new(matchers), grants: Arc::clone(grants) };
        Ok(Subscribe { interest, since, remaining })
    }

    /// Whether the client may publish at all; looked at before its body is read.
    pub(crate) fn publisher(&mut self, head: &Head, now: UnixTime) -> Result<Arc<Access>, Denied> {
        match self.access(head, Role::Publisher, now)? {
            None => {
                tracing::info!(reason = "no token", "publication refused");
                Err(challenge(Challenge::NoToken, head).into())
            }
            Some(_) if !head.header("Content-Type").is_some_and(media::is_form) => {
                let error = "send the update as application/x-www-form-urlencoded";
                Err(refuse(Status::UnsupportedMediaType, &error, head, "publication refused")
                    .into())
            }
            Some(access) => Ok(access),
        }
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
            .map_err(|error| refuse_token(&error, Role::Publisher, error.challenge(), head))?;
        let publication =
            Publication::parse(form::pairs(body), hub_url, limits).map_err(|error| {
                let status = match error.refusal() {
                    Refusal::Malformed => Status::BadRequest,
                    Refusal::TooLarge => Status::ContentTooLarge,
                };
                refuse(status, &error, head, "publication refused")
            })?;
        if let Some(topic) = access.first_refused(&publication.topics) {
            let reason = "the token does not grant `publish` on the topic";
            tracing::info!(reason, topic = excerpt(topic), "publication refused");
            return Err(challenge(Challenge::InsufficientScope, head));
        }
        Ok(publication.into_draft(topic_hasher))
    }

    /// Tells the operator, once for each of them, which origins' pages may not read the answers.
    pub(crate) fn note_origin(&mut self, origin: &[u8], head: &Head) {
        let is_full = self.refused_origins.len() == REFUSED_ORIGINS_MAX;
        if is_full || self.settings.cors.allows(origin) || is_own_origin(origin, head) {
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
    /// never treated as none.
    fn access(
        &mut self,
        head: &Head,
        role: Role,
        now: UnixTime,
    ) -> Result<Option<Arc<Access>>, Denied> {
        let mut fields = head.headers("Authorization");
        let Some(field) = fields.next() else { return Ok(None) };
        let refused = |reason: &dyn std::fmt::Display, challenge_with| {
            refuse_token(reason, role, challenge_with, head)
        };
        if fields.next().is_some() {
            return Err(refused(&"several Authorization fields", Challenge::InvalidRequest).into());
        }
        let credentials = bearer::credentials(field)
            .map_err(|error| refused(&error, Challenge::InvalidRequest))?;
        let Endpoint { settings, verdicts, .. } = self;
        let audience = audience(&settings.audience, head);
        let authority = settings.keyring.authority();
        let verdict = verdicts.verify(&authority, credentials, role, &audience, now);
        verdict.map(Some).map_err(|error| match settings.keyring.ask(error.outdated_sets()) {
            Some(asked) => Denied::Later(Box::new(Later { asked, error, role })),
            None => refused(&error, error.challenge()).into(),
        })
    }
}

fn audience<'a>(audience: &'a Audience, head: &Head) -> Cow<'a, str> {
    let host = head.host().unwrap_or_default();
    match audience {
        Audience::Fixed(identifier) => Cow::Borrowed(identifier),
        Audience::ByHost(known) => {
            let found = known.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(host));
            Cow::Borrowed(found.or(known.first()).map_or("", |(_, identifier)| identifier))
        }
        Audience::AnyHost => {
            let mut identifier = String::with_capacity(2 + host.len() + HUB_PATH.len());
            identifier.push_str("//");
            identifier.push_str(&String::from_utf8_lossy(host));
            identifier.make_ascii_lowercase();
            identifier.push_str(HUB_PATH);
            Cow::Owned(identifier)
        }
    }
}

/// Whether a page came from the hub's own host. Browsers send its origin with publications, and
/// do not ask for permission.
fn is_own_origin(origin: &[u8], head: &Head) -> bool {
    let host = origin.strip_prefix(b"https://").or(origin.strip_prefix(b"http://"));
    host.is_some_and(|host| head.host().is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

/// An answer that tells the client what is wrong with its request, and the operator too.
fn refuse(
    status: Status,
    reason: &dyn std::fmt::Display,
    head: &Head,
    what: &'static str,
) -> Response<'static> {
    let reason = reason.to_string();
    tracing::info!(reason, status = status.code(), "{what}");
    Response::problem(status, Some(&reason), ProblemForm::asked_for(head))
}

/// An answer to a token that fails: the reason is for the operator only.
fn refuse_token(
    reason: &dyn std::fmt::Display,
    role: Role,
    challenge_with: Challenge,
    head: &Head,
) -> Response<'static> {
    tracing::info!(%reason, %role, "token refused");
    // Guessing costs a connection each time.
    challenge(challenge_with, head).close()
}

/// An answer that asks for a token, or for another one (draft-08 #error-responses).
fn challenge(challenge: Challenge, head: &Head) -> Response<'static> {
    let status = match challenge.status() {
        401 => Status::Unauthorized,
        403 => Status::Forbidden,
        _ => Status::BadRequest,
    };
    Response::problem(status, None, ProblemForm::asked_for(head))
        .with("WWW-Authenticate", challenge.header_value(None))
}
