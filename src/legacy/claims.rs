//! What tokens of 0.x grant: the claim `mercure` (draft-07 #authorization).

use serde_json::{Map, Value};

/// Where the claim is, the one that counts first.
pub const NAMES: [&str; 2] = ["https://mercure.rocks/", "mercure"];

/// The claim, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MercureClaim {
    /// Topic selectors; `None`: there is no such list.
    pub publish: Option<Vec<Selector>>,
    /// The same.
    pub subscribe: Vec<Selector>,
    /// Any JSON, for the subscriptions that the token opens.
    pub payload: Option<Box<str>>,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `*`, a URI template, or a text that matches itself.
    Text(String),
    /// An object as in the details of later tokens; its type may be `uritemplate` too.
    Matcher { value: String, matcher_type: String },
}

/// What is wrong with the claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("the claim `{name}` is no object")]
    NoObject { name: &'static str },
    #[error(
        "`{list}` in the claim `{name}` is no list of topic selectors: each is a text, or an \
         object with `match` and `match_type`"
    )]
    List { name: &'static str, list: &'static str },
}

impl MercureClaim {
    /// Reads the claim from those of a token; one that is not there grants nothing.
    ///
    /// # Errors
    /// If it is there in another shape.
    pub fn read(claims: &Map<String, Value>) -> Result<MercureClaim, ClaimError> {
        let there = NAMES.into_iter().find_map(|name| match claims.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => Some((name, value)),
        });
        let Some((name, value)) = there else { return Ok(MercureClaim::default()) };
        let Value::Object(members) = value else { return Err(ClaimError::NoObject { name }) };
        let list = |list: &'static str| {
            let bad = ClaimError::List { name, list };
            match members.get(list) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Array(entries)) => {
                    entries.iter().map(selector).collect::<Option<Vec<_>>>().ok_or(bad).map(Some)
                }
                Some(_) => Err(bad),
            }
        };
        let payload = members.get("payload").filter(|payload| !payload.is_null());
        Ok(MercureClaim {
            publish: list("publish")?,
            subscribe: list("subscribe")?.unwrap_or_default(),
            payload: payload.map(|payload| payload.to_string().into()),
        })
    }
}

fn selector(entry: &Value) -> Option<Selector> {
    match entry {
        Value::String(text) => Some(Selector::Text(text.clone())),
        Value::Object(members) => {
            let value = members.get("match")?.as_str()?.to_owned();
            let matcher_type = match members.get("match_type") {
                None | Some(Value::Null) => "exact",
                Some(name) => name.as_str()?,
            };
            Some(Selector::Matcher { value, matcher_type: matcher_type.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: Value) -> Result<MercureClaim, ClaimError> {
        MercureClaim::read(claims.as_object().unwrap())
    }

    fn texts(texts: &[&str]) -> Vec<Selector> {
        texts.iter().map(|text| Selector::Text((*text).to_owned())).collect()
    }

    #[test]
    fn the_claim_is_read_by_either_name() {
        let none = MercureClaim::default();
        let found = MercureClaim {
            publish: Some(texts(&["*"])),
            subscribe: texts(&["https://e/{id}", "b"]),
            payload: Some(r#"{"a":1}"#.into()),
        };
        let claim = json!({
            "publish": ["*"], "subscribe": ["https://e/{id}", "b"], "payload": {"a": 1}, "x": 1
        });
        let other = json!({"publish": ["other"]});
        for (claims, expected) in [
            (json!({}), &none),
            (json!({"mercure": null}), &none),
            (json!({"mercure": {}}), &none),
            (json!({"mercure": {"publish": null, "subscribe": [], "payload": null}}), &none),
            (json!({"mercure": claim}), &found),
            (json!({"https://mercure.rocks/": claim, "mercure": other}), &found),
            (json!({"https://mercure.rocks/": null, "mercure": claim}), &found),
        ] {
            assert_eq!(read(claims.clone()).as_ref(), Ok(expected), "{claims}");
        }
        let entries = json!(["a", {"match": "b"}, {"match": "c", "match_type": "urlpattern"}]);
        let read = read(json!({"mercure": {"subscribe": entries, "payload": "x"}})).unwrap();
        let matcher = |value: &str, matcher_type: &str| Selector::Matcher {
            value: value.to_owned(),
            matcher_type: matcher_type.to_owned(),
        };
        let expected =
            [Selector::Text("a".to_owned()), matcher("b", "exact"), matcher("c", "urlpattern")];
        assert_eq!((read.subscribe, read.payload.as_deref()), (expected.to_vec(), Some("\"x\"")));
    }

    #[test]
    fn other_shapes_are_refused() {
        for claims in [
            json!({"mercure": 1}),
            json!({"mercure": ["publish"]}),
            json!({"mercure": {"publish": "*"}}),
            json!({"mercure": {"publish": {"0": "*"}}}),
            json!({"mercure": {"subscribe": ["a", 1]}}),
            json!({"mercure": {"subscribe": [null]}}),
            json!({"mercure": {"subscribe": [{"topic": "a"}]}}),
            json!({"mercure": {"subscribe": [{"match": "a", "match_type": 1}]}}),
            json!({"https://mercure.rocks/": true, "mercure": {"publish": ["*"]}}),
        ] {
            assert!(read(claims.clone()).is_err(), "{claims}");
        }
    }
}
