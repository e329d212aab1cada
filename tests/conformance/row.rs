//! The language of the tables: rows, the requests that they make, and what should come.
//!
//! In texts that are sent, `{t}` stands for a topic that nobody else uses, `{w}` for such a word,
//! `{token}` for a token of the role that may do everything, `{strange}` for the same with a key
//! that nobody knows, `{cookie}` for the name of the hub's cookie, and `{path}` for the path of the
//! hub; in tokens, `{aud}`, `{iss}` and `{type}` for what a valid one has.

use std::fmt;

use serde_json::Value;

use crate::{
    http::{Event, NO_FIELD},
    hub::Hub,
    verdict::Verdict,
};

/// The rows of a chapter of the specification.
pub(crate) struct Chapter {
    pub(crate) number: u32,
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// How much of a sentence is law (BCP 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    Should,
    May,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::May => "MAY",
        })
    }
}

/// What a hub must have, or be configured with, for a row to say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Subscribers without a token.
    Anonymous,
    /// No subscribers without a token.
    Closed,
    Cookie,
    Query,
    History,
    /// Ids that publishers give.
    OwnIds,
    Metadata,
    Origin,
    Heartbeat,
    Lifetime,
    /// A public key that signatures are checked with.
    PublicKey,
    /// Another issuer that the hub trusts.
    SecondIssuer,
}

/// A sentence of the specification, and what shows whether it holds.
pub(crate) struct Row {
    /// The anchor of its section.
    pub(crate) section: &'static str,
    pub(crate) level: Level,
    /// The sentence in our words.
    pub(crate) says: &'static str,
    pub(crate) needs: Vec<Need>,
    pub(crate) checks: Vec<Check>,
}

/// What is done to see whether a sentence holds.
pub(crate) enum Check {
    Answers(Vec<Outcome>, Vec<Request>),
    /// The same, for what is much, but may be not too much for a hub.
    Limits(Vec<Outcome>, Vec<Request>),
    Scenes(Vec<Scene>),
    Deliveries(Vec<Delivery>),
    /// As a publisher and as a subscriber.
    Tokens(Vec<Outcome>, Vec<Twist>),
    /// What tables cannot say.
    Function(fn(&Hub) -> Verdict),
}

/// Hubs must do this.
pub(crate) fn must(section: &'static str, says: &'static str) -> Row {
    Row { section, level: Level::Must, says, needs: vec![], checks: vec![] }
}

/// Hubs should do this.
pub(crate) fn should(section: &'static str, says: &'static str) -> Row {
    Row { level: Level::Should, ..must(section, says) }
}

/// Hubs may do this: a hub that does not is told so, and that is all.
pub(crate) fn may(section: &'static str, says: &'static str) -> Row {
    Row { level: Level::May, ..must(section, says) }
}

impl Row {
    pub(crate) fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// Each request is answered in one of these ways.
    pub(crate) fn answers(
        mut self,
        outcomes: &[Outcome],
        requests: impl IntoIterator<Item = Request>,
    ) -> Self {
        self.checks.push(Check::Answers(outcomes.to_vec(), requests.into_iter().collect()));
        self
    }

    /// Each request exceeds a limit, and is answered in one of these ways; or it is answered with
    /// 200, and the limit is not known.
    pub(crate) fn limits(
        mut self,
        outcomes: &[Outcome],
        requests: impl IntoIterator<Item = Request>,
    ) -> Self {
        self.checks.push(Check::Limits(outcomes.to_vec(), requests.into_iter().collect()));
        self
    }

    /// Each listener hears what it should, once, in the order of publication, and nothing else.
    pub(crate) fn scenes(mut self, scenes: impl IntoIterator<Item = Scene>) -> Self {
        self.checks.push(Check::Scenes(scenes.into_iter().collect()));
        self
    }

    /// Each form arrives as its event.
    pub(crate) fn delivers(mut self, deliveries: impl IntoIterator<Item = Delivery>) -> Self {
        self.checks.push(Check::Deliveries(deliveries.into_iter().collect()));
        self
    }

    /// Publishers and subscribers with each of these tokens are answered in one of these ways.
    pub(crate) fn tokens(
        mut self,
        outcomes: &[Outcome],
        twists: impl IntoIterator<Item = Twist>,
    ) -> Self {
        self.checks.push(Check::Tokens(outcomes.to_vec(), twists.into_iter().collect()));
        self
    }

    pub(crate) fn function(mut self, function: fn(&Hub) -> Verdict) -> Self {
        self.checks.push(Check::Function(function));
        self
    }
}

/// A request as a row writes it. It has the usual token of its role, unless it says otherwise: for
/// publishers one that may do everything, for subscribers none, or one that reads nothing.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) query: Option<String>,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
}

/// Subscribes.
pub(crate) fn get(query: impl Into<String>) -> Request {
    Request { method: "GET", query: Some(query.into()), fields: vec![], body: None }
}

/// Publishes a form.
pub(crate) fn post(form: impl Into<String>) -> Request {
    Request { method: "POST", query: None, fields: vec![], body: Some(form.into()) }
}

/// Subscribes with a query component and a body.
pub(crate) fn query(query: impl Into<String>, form: impl Into<String>) -> Request {
    Request { method: "QUERY", body: Some(form.into()), ..get(query) }
}

/// The same request with other queries, or forms.
pub(crate) fn each<'a>(
    request: impl Fn(&'a str) -> Request,
    texts: impl IntoIterator<Item = &'a str>,
) -> Vec<Request> {
    texts.into_iter().map(request).collect()
}

impl Request {
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn without_token(self) -> Self {
        self.field("Authorization", NO_FIELD)
    }

    /// The token is in the cookie.
    pub(crate) fn with_cookie(self, token: &str) -> Self {
        self.without_token().field("Cookie", format!("other=1; {{cookie}}={token}; last=2"))
    }
}

/// What the challenge of an answer has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Whatever it says, if it is there at all.
    Any,
    /// It is there, and has no error code.
    NoError,
    Error(&'static str),
}

/// A status, and the challenge that belongs to it.
pub(crate) type Outcome = (u16, Challenge);

pub(crate) const OK: Outcome = (200, Challenge::Any);
/// The request is malformed, whatever its token.
pub(crate) const BAD_REQUEST: Outcome = (400, Challenge::Any);
/// The token, or how it is presented, is malformed.
pub(crate) const INVALID_REQUEST: Outcome = (400, Challenge::Error("invalid_request"));
pub(crate) const NO_TOKEN: Outcome = (401, Challenge::NoError);
pub(crate) const INVALID_TOKEN: Outcome = (401, Challenge::Error("invalid_token"));
pub(crate) const INSUFFICIENT_SCOPE: Outcome = (403, Challenge::Error("insufficient_scope"));
pub(crate) const TOO_LARGE: Outcome = (413, Challenge::Any);
pub(crate) const UNSUPPORTED: Outcome = (415, Challenge::Any);

/// Outcomes as a reader is shown them.
pub(crate) fn any_of(outcomes: &[Outcome]) -> String {
    let shown = outcomes.iter().map(|(status, challenge)| match challenge {
        Challenge::Any => status.to_string(),
        Challenge::NoError => format!("{status} with `WWW-Authenticate: Bearer` and no error"),
        Challenge::Error(code) => {
            format!("{status} with `WWW-Authenticate: Bearer error=\"{code}\"`")
        }
    });
    shown.collect::<Vec<_>>().join(", or ")
}

/// Somebody listens while updates are published, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) listener: Request,
    /// The topics that its token grants reading; `None`: the usual token.
    pub(crate) granted: Option<Value>,
    /// Forms without data, and whether they should be heard.
    pub(crate) updates: Vec<(String, bool)>,
}

/// Listens with `GET`.
pub(crate) fn listen(query: impl Into<String>) -> Scene {
    listen_with(get(query))
}

/// Listens with any request.
pub(crate) fn listen_with(listener: Request) -> Scene {
    Scene { listener, granted: None, updates: vec![] }
}

impl Scene {
    /// With a token that grants reading these, a list of topic matchers.
    pub(crate) fn granted(mut self, topics: Value) -> Self {
        self.granted = Some(topics);
        self
    }

    pub(crate) fn hears<'a>(self, forms: impl IntoIterator<Item = &'a str>) -> Self {
        self.published(forms, true)
    }

    pub(crate) fn misses<'a>(self, forms: impl IntoIterator<Item = &'a str>) -> Self {
        self.published(forms, false)
    }

    fn published<'a>(mut self, forms: impl IntoIterator<Item = &'a str>, heard: bool) -> Self {
        self.updates.extend(forms.into_iter().map(|form| (form.to_owned(), heard)));
        self
    }
}

/// A form without its topic, and the event that it becomes. An id is the one that the hub answers.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) form: String,
    pub(crate) event: Event,
}

/// A form, and the data of its event.
pub(crate) fn delivers(form: impl Into<String>, data: &str) -> Delivery {
    let event = Event { data: data.to_owned(), ..Event::default() };
    Delivery { form: form.into(), event }
}

impl Delivery {
    pub(crate) fn event(mut self, event: &str) -> Self {
        self.event.event = Some(event.to_owned());
        self
    }

    pub(crate) fn retry(mut self, retry: &str) -> Self {
        self.event.retry = Some(retry.to_owned());
        self
    }
}

/// What is different from a valid token that may do everything.
#[derive(Debug, Clone)]
pub(crate) enum Twist {
    /// Nothing.
    Nothing,
    Header(&'static str, Value),
    NoHeader(&'static str),
    Claim(&'static str, Value),
    NoClaim(&'static str),
    /// A member of the one Mercure authorization detail.
    Detail(&'static str, Value),
    NoDetail(&'static str),
    /// One more authorization detail.
    OneMore(Value),
    /// Signed, but with a key that nobody knows.
    StrangeKey,
    /// What becomes of the text.
    Text(&'static str, fn(&str) -> String),
}

impl fmt::Display for Twist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Twist::Nothing => f.write_str("a valid token"),
            Twist::Header(name, value) => write!(f, "a token with {name} {value} in its header"),
            Twist::NoHeader(name) => write!(f, "a token without {name} in its header"),
            Twist::Claim(name, value) => write!(f, "a token with {name} {value}"),
            Twist::NoClaim(name) => write!(f, "a token without {name}"),
            Twist::Detail(name, value) => write!(f, "a token whose detail has {name} {value}"),
            Twist::NoDetail(name) => write!(f, "a token whose detail has no {name}"),
            Twist::OneMore(value) => write!(f, "a token with one more detail, {value}"),
            Twist::StrangeKey => f.write_str("a token that is signed with a key of nobody's"),
            Twist::Text(what, _) => f.write_str(what),
        }
    }
}
