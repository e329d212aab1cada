//! What a token that passed allows, and until when.

use std::sync::Arc;

use super::{authority::SourceId, error::TokenError};
use crate::protocol::{matcher::MatcherSet, time::UnixTime, topic::Topic};

/// The meaning of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Topics that may be published on.
    pub publish: MatcherSet,
    /// Topics whose private updates may be received. Shared, since subscribers keep it.
    pub subscribe: Arc<MatcherSet>,
    /// Before this moment the token is not valid (`nbf` and the leeway).
    pub not_before: Option<UnixTime>,
    /// From this moment on the token is not valid (`exp` and the leeway), and a connection that
    /// it opened must be closed by then (draft-08 #subscribers).
    pub expires_at: Option<UnixTime>,
    pub(super) payloads: Box<[Payload]>,
    /// Whatever `publish` says, where the update is not private: so it was before 0.10.
    pub publishes_anything_public: bool,
    /// Of the key that the token is signed with.
    pub source: SourceId,
}

/// The topics of a detail that grants `subscribe`, and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) topics: MatcherSet,
    /// A JSON object.
    pub(super) payload: Option<Box<str>>,
}

impl Access {
    /// The first of the topics that may not be published on: "if the token is not authorized for
    /// every topic of the update, the hub MUST NOT dispatch the update" (draft-08 #publishers).
    pub fn first_refused<'t>(&self, topics: &'t [Topic]) -> Option<&'t Topic> {
        topics.iter().find(|topic| !self.publish.matches(topic))
    }

    /// The payload of a subscription, a JSON object: that of the first detail that matches the
    /// subscription's own matcher, taken as if it were a topic (draft-08 #payloads).
    pub fn payload(&self, matcher_text: &Topic) -> Option<&str> {
        let first = self.payloads.iter().find(|entry| entry.topics.matches(matcher_text));
        first.and_then(|entry| entry.payload.as_deref())
    }

    /// Whether the token is valid now: "valid only while now < exp".
    pub fn check_time(&self, now: UnixTime) -> Result<(), TokenError> {
        if let Some(expires_at) = self.expires_at.filter(|expires_at| now >= *expires_at) {
            return Err(TokenError::Expired { ago: now.saturating_since(expires_at) });
        }
        match self.not_before.filter(|not_before| now < *not_before) {
            Some(not_before) => {
                Err(TokenError::NotYetValid { ahead: not_before.saturating_since(now) })
            }
            None => Ok(()),
        }
    }

    /// Bytes that this value holds in memory.
    pub(super) fn footprint(&self) -> usize {
        let payload = |entry: &Payload| {
            size_of::<Payload>()
                + entry.topics.footprint()
                + entry.payload.as_ref().map_or(0, |payload| payload.len())
        };
        size_of::<Access>()
            + size_of::<MatcherSet>()
            + self.publish.footprint()
            + self.subscribe.footprint()
            + self.payloads.iter().map(payload).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::fixture::{matcher, topic};

    fn exact(texts: &[&str]) -> MatcherSet {
        texts.iter().map(|text| matcher(text)).collect()
    }

    fn access() -> Access {
        let payload = |topics, payload: Option<&str>| Payload {
            topics,
            payload: payload.map(|payload| payload.into()),
        };
        Access {
            publish: exact(&["a", "b"]),
            subscribe: Arc::default(),
            not_before: Some(UnixTime::from_secs(10)),
            expires_at: Some(UnixTime::from_secs(20)),
            payloads: Box::new([
                payload(exact(&["x"]), Some("1")),
                payload(exact(&["y"]), None),
                payload(exact(&["x", "y", "z"]), Some("2")),
                payload(exact(&["*"]), Some("3")),
            ]),
            publishes_anything_public: false,
            source: SourceId(0),
        }
    }

    #[test]
    fn every_topic_must_be_granted() {
        for (topics, refused) in [
            (&["a"][..], None),
            (&["b", "a"], None),
            (&["a", "c", "d"], Some("c")),
            (&["c"], Some("c")),
        ] {
            let topics: Vec<Topic> = topics.iter().map(|text| topic(text)).collect();
            assert_eq!(access().first_refused(&topics).map(Topic::text), refused);
        }
    }

    #[test]
    fn the_first_detail_that_matches_gives_the_payload() {
        for (text, expected) in [("x", Some("1")), ("y", None), ("z", Some("2")), ("?", Some("3"))]
        {
            assert_eq!(access().payload(&topic(text)), expected, "{text}");
        }
        assert_eq!(access().payload(&topic("*")), Some("3"));
        assert_eq!(Access { payloads: Box::default(), ..access() }.payload(&topic("*")), None);
    }

    #[test]
    fn a_token_is_valid_from_nbf_until_before_exp() {
        let at = |micros| access().check_time(UnixTime::since_1970(micros));
        use std::time::Duration as D;
        let ahead = D::from_micros(1);
        assert_eq!(at(D::from_micros(9_999_999)), Err(TokenError::NotYetValid { ahead }));
        assert_eq!(at(D::from_secs(10)), Ok(()));
        assert_eq!(at(D::from_micros(19_999_999)), Ok(()));
        assert_eq!(at(D::from_secs(20)), Err(TokenError::Expired { ago: D::ZERO }));
        assert_eq!(at(D::from_secs(32)), Err(TokenError::Expired { ago: D::from_secs(12) }));
        let timeless = Access { not_before: None, expires_at: None, ..access() };
        assert_eq!(timeless.check_time(UnixTime::from_secs(0)), Ok(()));
    }
}
