//! The hub that is looked at: what the suite was told of it, what it finds out by asking, and
//! requests to it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    common::tokens,
    http::{Answer, Client, Message, NO_FIELD, Stream},
    row::{Need, Request, Twist, get, post, query},
    signer::Signer,
    verdict::{Verdict, failed, skipped},
};

/// What the suite is told of a hub.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Tells the hubs of a run apart.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) publisher: Signer,
    pub(crate) subscriber: Signer,
    pub(crate) issuer: String,
    /// Another issuer, and its key for publishers.
    pub(crate) second: Option<(String, Signer)>,
    /// `None`: what the hub says that it is.
    pub(crate) audience: Option<String>,
    /// `None`: found out.
    pub(crate) anonymous: Option<bool>,
    /// An origin whose pages may subscribe.
    pub(crate) origin: Option<String>,
    /// An origin whose pages may publish with a cookie; `None`: the hub's own.
    pub(crate) publish_origin: Option<String>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
}

/// A hub under test.
pub(crate) struct Hub {
    pub(crate) target: Target,
    pub(crate) client: Client,
    pub(crate) patience: Duration,
    /// Begins all topics of this run.
    prefix: String,
    topics: AtomicUsize,
    metadata: OnceLock<Option<Value>>,
    anonymous: OnceLock<bool>,
    query: OnceLock<bool>,
    history: OnceLock<bool>,
    own_ids: OnceLock<bool>,
}

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
}

impl Role {
    pub(crate) fn action(self) -> &'static str {
        match self {
            Role::Publisher => "publish",
            Role::Subscriber => "subscribe",
        }
    }
}

const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";
pub(crate) const METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource";
/// Where all topics of the suite are.
const TOPICS: &str = "https://conformance.example/";
const COOKIE: &str = "__Secure-mercure_access_token";

/// A number that nobody foresees.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the system has randomness")
}

impl Hub {
    pub(crate) fn new(target: Target, patience: Duration) -> Self {
        Hub {
            client: Client::new(&target.url, patience),
            target,
            patience,
            prefix: format!("{TOPICS}{:016x}", random()),
            topics: AtomicUsize::new(0),
            metadata: OnceLock::new(),
            anonymous: OnceLock::new(),
            query: OnceLock::new(),
            history: OnceLock::new(),
            own_ids: OnceLock::new(),
        }
    }

    /// For what takes its time.
    pub(crate) fn client_with(&self, patience: Duration) -> Client {
        Client::new(&self.target.url, patience)
    }

    /// A topic that nobody else uses, nor anything below it.
    pub(crate) fn topic(&self) -> String {
        format!("{}/{}", self.prefix, self.topics.fetch_add(1, Ordering::Relaxed))
    }

    /// Scheme and authority of the hub's URL.
    pub(crate) fn origin(&self) -> &str {
        let url = &self.target.url;
        let authority = url.find("://").map_or(0, |at| at + 3);
        url[authority..].find('/').map_or(url, |at| &url[..authority + at])
    }

    /// The path of the hub's URL.
    pub(crate) fn path(&self) -> &str {
        &self.target.url[self.origin().len()..]
    }

    /// Where RFC 9728 has the metadata.
    pub(crate) fn metadata_path(&self) -> String {
        format!("{METADATA_PREFIX}{}", self.path())
    }

    pub(crate) fn metadata(&self) -> Option<&Value> {
        let ask = || {
            let answer = self.client.answer(&self.at(&self.metadata_path())).ok()?;
            let found = answer.status == 200;
            found.then(|| serde_json::from_str(&answer.body).ok()).flatten()
        };
        self.metadata.get_or_init(ask).as_ref()
    }

    /// What tokens have to be for.
    pub(crate) fn audience(&self) -> &str {
        let told = || self.metadata()?["resource"].as_str();
        self.target.audience.as_deref().or_else(told).unwrap_or(&self.target.url)
    }

    /// The URL that relative topics are relative to.
    pub(crate) fn base(&self) -> &str {
        let audience = self.audience();
        let is_url = audience.starts_with("http://") || audience.starts_with("https://");
        if is_url { audience } else { &self.target.url }
    }

    /// The cookie that takes tokens; `None`: the hub says that there is none.
    pub(crate) fn cookie(&self) -> Option<&str> {
        match self.metadata() {
            None => Some(COOKIE),
            Some(metadata) => metadata["mercure_cookie"].as_str(),
        }
    }

    pub(crate) fn anonymous(&self) -> bool {
        let ask = || {
            let message = self.message_as(&get("match={t}"), &self.topic(), None);
            self.client.answer(&message).is_ok_and(|answer| answer.status == 200)
        };
        self.target.anonymous.unwrap_or_else(|| *self.anonymous.get_or_init(ask))
    }

    fn takes_query(&self) -> bool {
        let ask = || {
            let answer = self.answer(&query("", "match={t}"));
            answer.is_ok_and(|answer| answer.status == 200)
        };
        *self.query.get_or_init(ask)
    }

    fn has_history(&self) -> bool {
        let ask = || -> Verdict<bool> {
            let topic = self.topic();
            let id = self.publish(&format!("topic={topic}"))?;
            self.publish(&format!("topic={topic}&data=after"))?;
            let stream = self.open(&get(format!("match={topic}&last_event_id={}", encode(&id))));
            let mut stream = stream?;
            let is_known = stream.head.field("Mercure-Last-Event-ID") == Some(&*id);
            Ok(is_known && stream.next()?.is_some_and(|event| event.data == "after"))
        };
        *self.history.get_or_init(|| ask().unwrap_or(false))
    }

    fn takes_ids(&self) -> bool {
        let ask = || {
            let topic = self.topic();
            self.publish(&format!("topic={topic}&id={topic}")).is_ok_and(|id| id == topic)
        };
        *self.own_ids.get_or_init(ask)
    }

    /// Skips a row that says nothing here.
    pub(crate) fn has(&self, need: Need) -> Verdict {
        let (is_there, why) = match need {
            Need::Anonymous => (self.anonymous(), "the hub wants a token of every subscriber"),
            Need::Closed => (!self.anonymous(), "the hub takes subscribers without a token"),
            Need::Cookie => (self.cookie().is_some(), "the metadata name no cookie"),
            Need::Query => (self.takes_query(), "the hub does not take QUERY"),
            Need::History => (self.has_history(), "the hub does not replay"),
            Need::OwnIds => (self.takes_ids(), "the hub gives its own ids"),
            Need::Metadata => (self.metadata().is_some(), "the hub publishes no metadata"),
            Need::Origin => (
                self.target.origin.is_some(),
                "say with --origin whose pages the hub's CORS rules allow",
            ),
            Need::Heartbeat => (
                self.target.heartbeat.is_some(),
                "say with --heartbeat after how many seconds the hub sends a comment",
            ),
            Need::Lifetime => (
                self.target.lifetime.is_some(),
                "say with --lifetime after how many seconds the hub ends a stream",
            ),
            Need::PublicKey => {
                (self.target.publisher.public_pem().is_some(), "tokens are signed with a secret")
            }
            Need::SecondIssuer => (
                self.target.second.is_some(),
                "say with --second-issuer and --second-key whom else the hub trusts",
            ),
        };
        if is_there { Ok(()) } else { skipped(why) }
    }

    pub(crate) fn signer(&self, role: Role) -> &Signer {
        match role {
            Role::Publisher => &self.target.publisher,
            Role::Subscriber => &self.target.subscriber,
        }
    }

    /// The header of a valid token.
    pub(crate) fn header(&self, role: Role) -> Value {
        json!({ "alg": self.signer(role).name(), "typ": "at+jwt" })
    }

    /// The claims of a valid token that grants the role's action on these topics, a list of topic
    /// matchers.
    pub(crate) fn claims(&self, role: Role, topics: Value) -> Value {
        let mut claims = tokens::claims(role.action(), &[]);
        claims["iss"] = self.target.issuer.as_str().into();
        claims["aud"] = self.audience().into();
        claims["jti"] = format!("{:016x}", random()).into();
        claims["authorization_details"][0]["topics"] = topics;
        claims
    }

    pub(crate) fn sign(&self, role: Role, claims: &Value) -> String {
        self.signer(role).sign(&self.header(role), claims)
    }

    /// A valid token with these grants.
    pub(crate) fn token(&self, role: Role, topics: Value) -> String {
        self.sign(role, &self.claims(role, topics))
    }

    /// A valid token that grants what a row says. `topic` stands for `{t}`.
    pub(crate) fn granting(&self, role: Role, topics: &Value, topic: &str) -> String {
        self.token(role, self.meant(topics, topic))
    }

    /// A token that may do everything that the role may.
    pub(crate) fn full_token(&self, role: Role) -> String {
        self.token(role, json!([{ "match": "*" }]))
    }

    /// A subscriber's token that reads nothing that is private.
    pub(crate) fn blind_token(&self) -> String {
        self.token(Role::Subscriber, json!([{ "match": format!("{}/nothing", self.prefix) }]))
    }

    /// A token that may do everything, but for this. `topic` stands for `{t}`.
    pub(crate) fn twisted(&self, role: Role, twist: &Twist, topic: &str) -> String {
        let mut header = self.header(role);
        let mut claims = self.claims(role, json!([{ "match": "*" }]));
        let object = |value: &mut Value, name: &str| {
            value.as_object_mut().expect("an object").remove(name);
        };
        let meant = |value: &Value| self.meant(value, topic);
        let details = "authorization_details";
        match twist {
            Twist::Nothing | Twist::StrangeKey | Twist::Text(..) => {}
            Twist::Header(name, value) => header[*name] = meant(value),
            Twist::NoHeader(name) => object(&mut header, name),
            Twist::Claim(name, value) => claims[*name] = meant(value),
            Twist::NoClaim(name) => object(&mut claims, name),
            Twist::Detail(name, value) => claims[details][0][*name] = meant(value),
            Twist::NoDetail(name) => object(&mut claims[details][0], name),
            Twist::OneMore(value) => {
                claims[details].as_array_mut().expect("an array").push(meant(value));
            }
        }
        let token = match twist {
            Twist::StrangeKey => Signer::strange(self.signer(role)).sign(&header, &claims),
            _ => self.signer(role).sign(&header, &claims),
        };
        match twist {
            Twist::Text(_, change) => change(&token),
            _ => token,
        }
    }

    /// A value with what its placeholders stand for.
    fn meant(&self, value: &Value, topic: &str) -> Value {
        match value {
            Value::String(text) => {
                let text = expand(text, topic).replace("{aud}", self.audience());
                text.replace("{iss}", &self.target.issuer).replace("{type}", DETAIL_TYPE).into()
            }
            Value::Array(all) => all.iter().map(|value| self.meant(value, topic)).collect(),
            Value::Object(members) => {
                let members = members.iter();
                members.map(|(name, value)| (name.clone(), self.meant(value, topic))).collect()
            }
            other => other.clone(),
        }
    }

    /// A request to another path of the hub's origin, without a token.
    pub(crate) fn at(&self, path: &str) -> Message {
        let shown = format!("GET {path}");
        let url = format!("{}{path}", self.origin());
        Message { method: "GET", url, fields: vec![], body: None, shown }
    }

    /// A request with the usual token of its role. `topic` stands for `{t}`.
    pub(crate) fn message(&self, request: &Request, topic: &str) -> Message {
        let token = match request.method {
            "POST" => Some(self.full_token(Role::Publisher)),
            _ => (!self.anonymous()).then(|| self.blind_token()),
        };
        self.message_as(request, topic, token.as_deref())
    }

    /// A request with this token, unless it says otherwise itself.
    pub(crate) fn message_as(
        &self,
        request: &Request,
        topic: &str,
        token: Option<&str>,
    ) -> Message {
        let role = match request.method {
            "POST" => Role::Publisher,
            _ => Role::Subscriber,
        };
        let expand = |text: &str| expand(text, topic).replace("{path}", self.path());
        let query = request.query.as_deref().map(expand).filter(|query| !query.is_empty());
        let body = request.body.as_deref().map(expand);
        // What is shown has placeholders in the place of tokens.
        let mut shown = vec![request.method.to_owned()];
        shown.extend(query.iter().map(|query| format!("?{query}")));
        let mut fields = Vec::new();
        for (name, value) in &request.fields {
            let value = expand(value);
            match value.as_str() {
                NO_FIELD => shown.push(format!("[no {name}]")),
                value => shown.push(format!("[{name}: {value}]")),
            }
            let value = value.replace("{cookie}", self.cookie().unwrap_or(COOKIE));
            fields.push((*name, self.with_tokens(value, role, topic)));
        }
        shown.extend(body.clone());
        let is_given = fields.iter().any(|(name, _)| *name == "Authorization");
        if let (Some(token), false) = (token, is_given) {
            fields.push(("Authorization", format!("Bearer {token}")));
        }
        let with_tokens = |text| self.with_tokens(text, role, topic);
        let (query, body) = (query.map(with_tokens), body.map(with_tokens));
        let url = match query {
            Some(query) => format!("{}?{query}", self.target.url),
            None => self.target.url.clone(),
        };
        Message { method: request.method, url, fields, body, shown: shown.join(" ") }
    }

    /// A text with the tokens that it asks for.
    fn with_tokens(&self, text: String, role: Role, topic: &str) -> String {
        if text.contains("{token}") {
            return text.replace("{token}", &self.full_token(role));
        }
        if text.contains("{strange}") {
            return text.replace("{strange}", &self.twisted(role, &Twist::StrangeKey, topic));
        }
        text
    }

    /// The answer to a request with the usual token.
    pub(crate) fn answer(&self, request: &Request) -> Verdict<Answer> {
        self.client.answer(&self.message(request, &self.topic()))
    }

    /// The stream that a request with the usual token is answered with.
    pub(crate) fn open(&self, request: &Request) -> Verdict<Stream> {
        self.client.open(&self.message(request, &self.topic()))
    }

    /// The stream of a subscriber with a token.
    pub(crate) fn open_as(&self, request: &Request, token: &str) -> Verdict<Stream> {
        self.client.open(&self.message_as(request, &self.topic(), Some(token)))
    }

    /// Publishes a form with the usual token; returns the id.
    pub(crate) fn publish(&self, form: &str) -> Verdict<String> {
        let message = self.message(&post(form), &self.topic());
        let answer = self.client.answer(&message)?;
        if answer.status != 200 {
            return failed(message, "200 and the id", answer);
        }
        Ok(answer.body)
    }

    /// Publishes numbers as data of a topic; returns their ids.
    pub(crate) fn publish_numbers(
        &self,
        topic: &str,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Verdict<Vec<String>> {
        let numbers = numbers.into_iter();
        numbers.map(|number| self.publish(&format!("topic={topic}&data={number}"))).collect()
    }
}

/// A text with its topic.
pub(crate) fn expand(text: &str, topic: &str) -> String {
    text.replace("{t}", topic).replace("{w}", &word(topic))
}

/// What tells a topic from all others, without scheme, host and slashes.
pub(crate) fn word(topic: &str) -> String {
    topic.trim_start_matches(TOPICS).replace('/', "-")
}

/// Percent-encodes everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string()
}

const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
