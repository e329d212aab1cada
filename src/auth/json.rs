//! JSON as tokens must have it: an object, each member named once, nested to a limited depth.
//!
//! Parsers differ in which of two members of one name they take, so a token that has both would
//! mean one thing to its issuer and another to the hub (RFC 8725 §2.4 is about such seams).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::protocol::text;

const DEPTH_MAX: usize = 32;

/// Why bytes are no such JSON. Quotes at most the name of a repeated member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// The members of the object that `bytes` hold.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth_left: DEPTH_MAX }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError(error.to_string()))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError("is no JSON object".into())),
    }
}

/// Refuses members whose names differ from a known one in case only: other parsers would take
/// them for it.
pub(super) fn check_case(
    members: &Map<String, Value>,
    known: &[&'static str],
) -> Result<(), WrongCase> {
    for name in members.keys() {
        let expected = known.iter().find(|known| name.eq_ignore_ascii_case(known));
        if let Some(expected) = expected.filter(|expected| *expected != name) {
            return Err(WrongCase { name: name.clone(), expected });
        }
    }
    Ok(())
}

/// A member name that is another's but for its case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member `{name}` must be written `{expected}`")]
pub struct WrongCase {
    pub name: String,
    pub expected: &'static str,
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Strict, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left }),
            None => Err(E::custom(format_args!("is nested more than {DEPTH_MAX} levels deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                let name = text::excerpt(&name);
                return Err(A::Error::custom(format_args!("has the member {name} twice")));
            }
            members.insert(name, access.next_value_seed(inner)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value, String> {
        object(text.as_bytes()).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_what_serde_json_makes_of_them() {
        let text = r#" {"a":[1,-2,3.5,1e3,18446744073709551615,99999999999999999999],
            "b":{"c":null,"d":true,"é":"\u00e9\n"},"":""} "#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn repeated_names_are_refused_wherever_they_stand() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"x":{"a":1,"a":null}}"#,
            r#"{"x":[[{"a":1,"a":1}]]}"#,
        ] {
            assert!(parse(text).unwrap_err().starts_with("has the member `a` twice"), "{text}");
        }
        assert!(parse(r#"{"a":{"a":{"a":1}},"A":1}"#).is_ok());
    }

    #[test]
    fn depth_is_limited() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(DEPTH_MAX - 1)).is_ok());
        assert!(parse(&nested(DEPTH_MAX)).unwrap_err().contains("levels deep"));
        assert!(parse(&"[".repeat(60_000)).unwrap_err().contains("levels deep"));
        assert!(parse(&"{\"a\":".repeat(10_000)).unwrap_err().contains("levels deep"));
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for text in [
            "",
            " ",
            "1",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{}{}",
            "{} x",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn names_in_another_case_are_found() {
        let check = |text: &str| check_case(&object(text.as_bytes()).unwrap(), &["match", "exp"]);
        assert_eq!(check(r#"{"match":1,"exp":2,"other":3,"OTHER":4}"#), Ok(()));
        for name in ["Match", "MATCH", "matcH"] {
            let text = format!(r#"{{"match":1,"{name}":2}}"#);
            let expected = WrongCase { name: name.into(), expected: "match" };
            assert_eq!(check(&text), Err(expected));
        }
    }
}
