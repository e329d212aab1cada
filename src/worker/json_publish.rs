//! Publications whose body is the data: JSON, with the topics in `Link` fields or in the URL.
//!
//! An addition to the protocol, as tutorials and API frameworks publish.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::http::{form, head::Head, links};

/// What a form would say, as far as it may be in the URL.
const FIELDS: [&str; 5] = ["topic", "private", "id", "type", "retry"];
/// Links to topics have one of these relation types.
const RELATIONS: [&str; 2] = ["mercure", "self"];

/// Why the request is none. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("the body is no JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the body must be UTF-8")]
    NotUtf8,
    #[error(
        "no topic: name it in a field `Link: <TOPIC>; rel=\"mercure\"`, or in the URL, like \
         `?topic=TOPIC`"
    )]
    NoTopic,
}

/// A field of a form.
type Pair<'a> = Result<(Cow<'a, str>, Cow<'a, str>), form::InvalidUtf8>;

/// The fields of the form that would say the same.
pub(crate) fn pairs<'a>(head: &'a Head, body: &'a [u8]) -> Result<Vec<Pair<'a>>, JsonError> {
    let data = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
    serde_json::from_str::<IgnoredAny>(data).map_err(JsonError::NotJson)?;
    let is_field = |pair: &Pair<'a>| match pair {
        Ok((name, _)) => FIELDS.contains(&&**name),
        Err(_) => true,
    };
    let mut pairs: Vec<Pair<'a>> =
        form::pairs(head.query().unwrap_or_default()).filter(is_field).collect();
    for target in head.headers("Link").flat_map(|value| links::targets(value, &RELATIONS)) {
        let target = std::str::from_utf8(target).map_err(|_| JsonError::NotUtf8)?;
        pairs.push(Ok(("topic".into(), target.into())));
    }
    // What is no text is told of as such.
    let is_topic = |pair: &Pair<'a>| pair.as_ref().map_or(true, |(name, _)| name == "topic");
    if !pairs.iter().any(is_topic) {
        return Err(JsonError::NoTopic);
    }
    pairs.push(Ok(("data".into(), data.into())));
    Ok(pairs)
}
