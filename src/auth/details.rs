//! The `authorization_details` claim: which actions a token grants on which topics (draft-08
//! #authorization-details, #topic-matcher-list, #payloads).
//!
//! Any defect of a Mercure detail refuses the whole token: "partial acceptance is forbidden
//! because it would silently alter the effective authorization of the token".

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    access::Payload,
    error::TokenError,
    json::{self, WrongCase},
};
use crate::legacy::claims::{MercureClaim, Selector};
use crate::protocol::{
    hub_url::HubUrl,
    matcher::{Matcher, MatcherError, MatcherSet, MatcherType},
    pattern::Pattern,
    text::excerpt,
};

/// The type of a Mercure authorization detail, "compared byte by byte".
pub(super) const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// The limits on one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLimits {
    /// Bytes of the token as it is sent.
    pub token_len_max: usize,
    /// Mercure authorization details. Frameworks write one for each channel with a payload.
    pub details_max: usize,
    /// Topic matchers in all details together.
    pub topics_max: usize,
    /// Bytes of one matcher.
    pub matcher_len_max: usize,
}

impl Default for TokenLimits {
    fn default() -> Self {
        TokenLimits {
            token_len_max: 64 * 1024,
            details_max: 1_000,
            topics_max: 1_000,
            matcher_len_max: 4096,
        }
    }
}

/// What the details grant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) publish: MatcherSet,
    pub(super) subscribe: MatcherSet,
    /// Of the details that grant `subscribe`, in order; empty if none carries a payload.
    pub(super) payloads: Vec<Payload>,
}

/// What is wrong with the details, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authorization_details{path}: {problem}")]
pub struct DetailsError {
    /// The place inside the claim, like `[0].topics[3]`.
    path: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("is no array")]
    NoArray,
    #[error("is no object")]
    NoObject,
    #[error("`type` is missing or no string")]
    Type,
    #[error("`actions` must be an array of strings and not empty")]
    Actions,
    #[error("`topics` must be an array of objects and not empty")]
    Topics,
    #[error("`payload` must be an object")]
    Payload,
    #[error("`match` is missing or no string")]
    Match,
    #[error("`match_type` must be a string, or be left out")]
    MatchType,
    #[error("match_type {name} is not supported by this hub (it supports {})", supported_types())]
    UnknownMatchType { name: String },
    #[error("`match` {0}")]
    Matcher(#[from] MatcherError),
    #[error(transparent)]
    WrongCase(#[from] WrongCase),
    #[error("more than {0} Mercure details")]
    TooManyDetails(usize),
    #[error("more than {0} topics in all details")]
    TooManyTopics(usize),
}

impl Grants {
    /// Reads the claim; its absence, also as `null`, grants nothing.
    pub(super) fn read(
        claim: Option<Value>,
        hub: &HubUrl,
        limits: &TokenLimits,
    ) -> Result<Grants, DetailsError> {
        let at = |path: String| move |problem| DetailsError { path, problem };
        let details = match claim {
            None | Some(Value::Null) => return Ok(Grants::default()),
            Some(Value::Array(details)) => details,
            Some(_) => return Err(at(String::new())(Problem::NoArray)),
        };
        let mut reader = Reader { hub, limits, details: 0, topics: 0 };
        let (mut publish, mut subscribe, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for (index, detail) in details.into_iter().enumerate() {
            let Some(detail) = reader.detail(detail, index)? else { continue };
            if detail.publish {
                publish.extend_from_slice(&detail.topics);
            }
            if detail.subscribe {
                subscribe.extend_from_slice(&detail.topics);
                let (topics, payload) = (MatcherSet::new(detail.topics), detail.payload);
                payloads.push(Payload { topics, payload });
            }
        }
        if payloads.iter().all(|entry| entry.payload.is_none()) {
            payloads.clear();
        }
        let (publish, subscribe) = (MatcherSet::new(publish), MatcherSet::new(subscribe));
        Ok(Grants { publish, subscribe, payloads })
    }
}

impl Grants {
    /// What a token of 0.x grants.
    pub(super) fn of_legacy(
        claim: MercureClaim,
        hub: &HubUrl,
        limits: &TokenLimits,
    ) -> Result<Grants, TokenError> {
        let list = |selectors: Vec<Selector>| {
            if selectors.len() > limits.topics_max {
                return Err(TokenError::TooManySelectors { max: limits.topics_max });
            }
            let matchers = selectors.into_iter().map(|selector| {
                let compile = |text: &str| Pattern::parse(text, hub.url()).map(Arc::new);
                let (value, known) = match selector {
                    Selector::Text(value) => (value, None),
                    Selector::Matcher { value, matcher_type } => {
                        let known = MatcherType::from_name(&matcher_type);
                        if known.is_none() && matcher_type != "uritemplate" {
                            return Err(TokenError::SelectorType { name: matcher_type });
                        }
                        (value, known)
                    }
                };
                let matcher = match known {
                    Some(known) => known.matcher(&value, limits.matcher_len_max, compile),
                    None => Matcher::selector(&value, limits.matcher_len_max),
                };
                matcher.map_err(TokenError::Selector)
            });
            Ok(MatcherSet::new(matchers.collect::<Result<Vec<_>, _>>()?))
        };
        let payload = claim.payload.map(|payload| Payload {
            topics: [Matcher::Any].into_iter().collect(),
            payload: Some(payload),
        });
        let publish = list(claim.publish.unwrap_or_default())?;
        let subscribe = list(claim.subscribe)?;
        Ok(Grants { publish, subscribe, payloads: payload.into_iter().collect() })
    }
}

/// One Mercure authorization detail.
struct Detail {
    publish: bool,
    subscribe: bool,
    topics: Vec<Matcher>,
    payload: Option<Box<str>>,
}

/// Reads details one after the other and counts what the limits are about.
struct Reader<'l> {
    hub: &'l HubUrl,
    limits: &'l TokenLimits,
    details: usize,
    topics: usize,
}

impl Reader<'_> {
    /// `None` for a detail of another type: that is another API's business.
    fn detail(&mut self, detail: Value, index: usize) -> Result<Option<Detail>, DetailsError> {
        let at = |problem| DetailsError { path: format!("[{index}]"), problem };
        let Value::Object(mut detail) = detail else { return Err(at(Problem::NoObject)) };
        // RFC 9396 §2 requires it of every detail, so that one without is a defect of ours too.
        match detail.get("type") {
            Some(Value::String(name)) if name == DETAIL_TYPE => {}
            Some(Value::String(_)) => return Ok(None),
            _ => return Err(at(Problem::Type)),
        }
        json::check_case(&detail, &["type", "actions", "topics", "payload"])
            .map_err(|error| at(error.into()))?;
        self.details += 1;
        if self.details > self.limits.details_max {
            return Err(at(Problem::TooManyDetails(self.limits.details_max)));
        }
        let (publish, subscribe) = actions(detail.remove("actions")).map_err(at)?;
        let payload = match detail.remove("payload") {
            None => None,
            Some(Value::Object(payload)) => Some(Value::Object(payload).to_string().into()),
            Some(_) => return Err(at(Problem::Payload)),
        };
        let topics = match detail.remove("topics") {
            Some(Value::Array(topics)) if !topics.is_empty() => topics,
            _ => return Err(at(Problem::Topics)),
        };
        self.topics += topics.len();
        if self.topics > self.limits.topics_max {
            return Err(at(Problem::TooManyTopics(self.limits.topics_max)));
        }
        let topic = |(position, topic): (usize, Value)| {
            let path = || format!("[{index}].topics[{position}]");
            self.matcher(topic).map_err(|problem| DetailsError { path: path(), problem })
        };
        let topics = topics.into_iter().enumerate().map(topic).collect::<Result<_, _>>()?;
        Ok(Some(Detail { publish, subscribe, topics, payload }))
    }

    fn matcher(&self, topic: Value) -> Result<Matcher, Problem> {
        let Value::Object(topic) = topic else { return Err(Problem::NoObject) };
        json::check_case(&topic, &["match", "match_type"])?;
        let Some(value) = topic.get("match").and_then(Value::as_str) else {
            return Err(Problem::Match);
        };
        // Before the type is looked at: "it has this meaning regardless of matcher type".
        if value == Matcher::WILDCARD {
            return Ok(Matcher::Any);
        }
        let compile = |text: &str| Pattern::parse(text, self.hub.url()).map(Arc::new);
        Ok(matcher_type(&topic)?.matcher(value, self.limits.matcher_len_max, compile)?)
    }
}

/// Whether the actions include `publish` and `subscribe`. "Hubs MUST ignore action values they do
/// not recognize", but "a non-string entry remains a validation failure".
fn actions(actions: Option<Value>) -> Result<(bool, bool), Problem> {
    let actions = match actions {
        Some(Value::Array(actions)) if !actions.is_empty() => actions,
        _ => return Err(Problem::Actions),
    };
    let (mut publish, mut subscribe) = (false, false);
    for action in &actions {
        match action.as_str().ok_or(Problem::Actions)? {
            "publish" => publish = true,
            "subscribe" => subscribe = true,
            _ => {}
        }
    }
    Ok((publish, subscribe))
}

/// "If no `match_type` key is present, the hub MUST assume the `exact` matcher type."
fn matcher_type(topic: &Map<String, Value>) -> Result<MatcherType, Problem> {
    match topic.get("match_type") {
        None => Ok(MatcherType::Exact),
        Some(Value::String(name)) => MatcherType::from_name(name)
            .ok_or_else(|| Problem::UnknownMatchType { name: excerpt(name) }),
        Some(_) => Err(Problem::MatchType),
    }
}

fn supported_types() -> String {
    MatcherType::ALL.map(MatcherType::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::fixture::HUB;
    use serde_json::json;

    fn limits() -> TokenLimits {
        TokenLimits { details_max: 3, topics_max: 4, matcher_len_max: 8, ..TokenLimits::default() }
    }

    fn read(claim: Value) -> Result<Grants, String> {
        Grants::read(Some(claim), &HUB, &limits()).map_err(|error| error.to_string())
    }

    fn exact(texts: &[&str]) -> MatcherSet {
        texts.iter().map(|text| Matcher::Exact((*text).into())).collect()
    }

    /// A good detail with some members replaced, or removed where the value is null.
    fn detail(changes: Value) -> Value {
        let mut detail = json!({
            "type": DETAIL_TYPE, "actions": ["subscribe"], "topics": [{"match": "a"}]
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => detail.as_object_mut().unwrap().remove(name),
                value => detail.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        detail
    }

    #[test]
    fn grants_are_read() {
        let any: MatcherSet = [Matcher::Any].into_iter().collect();
        let none = MatcherSet::default();
        for (claim, publish, subscribe) in [
            (json!(null), none.clone(), none.clone()),
            (json!([]), none.clone(), none.clone()),
            (json!([detail(json!({}))]), none.clone(), exact(&["a"])),
            (json!([detail(json!({"actions": ["publish"]}))]), exact(&["a"]), none.clone()),
            (
                json!([detail(json!({"actions": ["x", "publish", "subscribe", "publish"]}))]),
                exact(&["a"]),
                exact(&["a"]),
            ),
            (json!([detail(json!({"actions": ["Publish", "x", ""]}))]), none.clone(), none.clone()),
            (
                json!([
                    detail(json!({"actions": ["publish"], "topics": [{"match": "b"}]})),
                    detail(json!({"topics": [{"match": "c"}, {"match": "", "other": 1}]})),
                ]),
                exact(&["b"]),
                exact(&["c", ""]),
            ),
            (
                json!([detail(json!({"topics": [{"match": "a", "match_type": "exact"}]}))]),
                none.clone(),
                exact(&["a"]),
            ),
            (json!([detail(json!({"topics": [{"match": "*"}]}))]), none.clone(), any.clone()),
            // Beside the wildcard the type is not looked at.
            (
                json!([detail(json!({"topics": [{"match": "*", "match_type": "bogus"}]}))]),
                none.clone(),
                any.clone(),
            ),
            (
                json!([detail(json!({"topics": [{"match": "*", "match_type": null}]}))]),
                none.clone(),
                any.clone(),
            ),
            // Other types are other people's, whatever is in them.
            (
                json!([{"type": "x", "Actions": 1, "topics": 2}, detail(json!({"locations": []}))]),
                none.clone(),
                exact(&["a"]),
            ),
            (
                json!([detail(json!({"type": DETAIL_TYPE.to_uppercase()}))]),
                none.clone(),
                none.clone(),
            ),
            (json!([detail(json!({"type": format!("{DETAIL_TYPE}/")}))]), none.clone(), none),
        ] {
            let grants = read(claim.clone()).unwrap_or_else(|error| panic!("{claim}: {error}"));
            assert_eq!((grants.publish, grants.subscribe), (publish, subscribe), "{claim}");
        }
        assert_eq!(Grants::read(None, &HUB, &limits()), Ok(Grants::default()));
    }

    #[test]
    fn any_defect_refuses_the_token() {
        let topics = |topics: Value| detail(json!({ "topics": topics }));
        let topic = |topic: Value| detail(json!({ "topics": [topic] }));
        for (bad, expected) in [
            (json!(1), "is no object"),
            (json!(null), "is no object"),
            (json!([]), "is no object"),
            (json!({}), "`type`"),
            (json!({"type": null}), "`type`"),
            (json!({"type": [DETAIL_TYPE]}), "`type`"),
            (json!({"Type": DETAIL_TYPE}), "`type`"),
            (detail(json!({"actions": null})), "`actions`"),
            (detail(json!({"actions": []})), "`actions`"),
            (detail(json!({"actions": "subscribe"})), "`actions`"),
            (detail(json!({"actions": ["subscribe", 1]})), "`actions`"),
            (detail(json!({"actions": ["x", null]})), "`actions`"),
            (detail(json!({"topics": null})), "`topics`"),
            (topics(json!([])), "`topics`"),
            (topics(json!("a")), "`topics`"),
            (topics(json!({"match": "a"})), "`topics`"),
            (topics(json!(["a"])), "topics[0]: is no object"),
            (topics(json!([{"match": "a"}, null])), "topics[1]: is no object"),
            (topic(json!({})), "`match` is missing"),
            (topic(json!({"match": null})), "`match` is missing"),
            (topic(json!({"match": 1})), "`match` is missing"),
            (topic(json!({"match": ["a"]})), "`match` is missing"),
            (topic(json!({"match": "a", "match_type": null})), "`match_type` must be a string"),
            (topic(json!({"match": "a", "match_type": 1})), "`match_type` must be a string"),
            (topic(json!({"match": "a", "match_type": ""})), "match_type `` is not supported"),
            (topic(json!({"match": "a", "match_type": "Exact"})), "`Exact` is not supported"),
            (topic(json!({"match": "a", "match_type": "URLPattern"})), "is not supported"),
            (topic(json!({"match": "(", "match_type": "urlpattern"})), "is no URL pattern"),
            (topic(json!({"match": "123456789", "match_type": "urlpattern"})), "longer than 8"),
            (topic(json!({"match": "a\u{200b}"})), "U+200B"),
            (topic(json!({"match": "123456789"})), "longer than 8 bytes"),
            (topic(json!({"Match": "a"})), "`Match` must be written `match`"),
            (topic(json!({"match": "a", "MATCH_TYPE": "exact"})), "must be written `match_type`"),
            (topic(json!({"match": "*", "Match": "a"})), "must be written `match`"),
            (detail(json!({"Actions": ["publish"]})), "must be written `actions`"),
            (detail(json!({"TOPICS": []})), "must be written `topics`"),
            (detail(json!({"Type": "x"})), "must be written `type`"),
            (detail(json!({"Payload": {}})), "must be written `payload`"),
            (detail(json!({"payload": 1})), "`payload` must be an object"),
            (detail(json!({"payload": "x"})), "`payload` must be an object"),
            (detail(json!({"payload": []})), "`payload` must be an object"),
            // Also where nothing would be granted.
            (detail(json!({"actions": ["x"], "payload": 1})), "`payload` must be an object"),
            (detail(json!({"actions": ["x"], "topics": [{}]})), "`match` is missing"),
        ] {
            // The good entries beside it grant nothing.
            let claim = json!([detail(json!({})), bad, detail(json!({}))]);
            let error = read(claim).expect_err(&bad.to_string());
            assert!(error.starts_with("authorization_details[1]"), "{bad}: {error}");
            assert!(error.contains(expected), "{bad}: {error}");
        }
        let mut null_payload = detail(json!({}));
        null_payload["payload"] = Value::Null;
        assert!(read(json!([null_payload])).unwrap_err().contains("`payload`"));
        for claim in [json!({}), json!("x"), json!(false), json!(1)] {
            assert_eq!(read(claim), Err("authorization_details: is no array".into()));
        }
    }

    #[test]
    fn limits_refuse_the_token() {
        let good = || detail(json!({}));
        assert!(read(json!([good(), good(), {"type": "x"}, good()])).is_ok());
        let error = read(json!([good(), good(), good(), good()])).unwrap_err();
        assert_eq!(error, "authorization_details[3]: more than 3 Mercure details");
        let topics = |count| detail(json!({"topics": vec![json!({"match": "a"}); count]}));
        assert!(read(json!([topics(1), topics(3)])).is_ok());
        let error = read(json!([topics(1), topics(4)])).unwrap_err();
        assert_eq!(error, "authorization_details[1]: more than 4 topics in all details");
        assert!(read(json!([detail(json!({"topics": [{"match": "12345678"}]}))])).is_ok());
    }

    #[test]
    fn payloads_stay_with_their_topics_in_order() {
        let claim = json!([
            detail(json!({"payload": {"p": 1}, "actions": ["publish"]})),
            detail(json!({"topics": [{"match": "b"}]})),
            detail(json!({"payload": {"n": {"x": [1]}}})),
        ]);
        let expected = vec![
            Payload { topics: exact(&["b"]), payload: None },
            Payload { topics: exact(&["a"]), payload: Some(r#"{"n":{"x":[1]}}"#.into()) },
        ];
        assert_eq!(read(claim).unwrap().payloads, expected);
        assert!(read(json!([detail(json!({}))])).unwrap().payloads.is_empty());
    }
}
