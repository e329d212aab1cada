//! What the suite finds out about a hub by asking it, once; and so what it need not be asked for.

use std::sync::OnceLock;

use serde_json::Value;

use crate::{
    hub::{Hub, encode},
    row::{Need, get, query},
    verdict::{Verdict, skipped},
};

/// The usual name of the cookie.
pub(crate) const COOKIE: &str = "__Secure-mercure_access_token";

/// What is known so far.
#[derive(Default)]
pub(crate) struct Facts {
    metadata: OnceLock<Option<Value>>,
    anonymous: OnceLock<bool>,
    query: OnceLock<bool>,
    history: OnceLock<bool>,
    own_ids: OnceLock<bool>,
}

impl Hub {
    pub(crate) fn metadata(&self) -> Option<&Value> {
        let ask = || {
            let answer = self.client.answer(&self.at(&self.metadata_path())).ok()?;
            let found = answer.status == 200;
            found.then(|| serde_json::from_str(&answer.body).ok()).flatten()
        };
        self.facts.metadata.get_or_init(ask).as_ref()
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
        self.target.anonymous.unwrap_or_else(|| *self.facts.anonymous.get_or_init(ask))
    }

    fn takes_query(&self) -> bool {
        let ask = || {
            let answer = self.answer(&query("", "match={t}"));
            answer.is_ok_and(|answer| answer.status == 200)
        };
        *self.facts.query.get_or_init(ask)
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
        *self.facts.history.get_or_init(|| ask().unwrap_or(false))
    }

    fn takes_ids(&self) -> bool {
        let ask = || {
            let topic = self.topic();
            self.publish(&format!("topic={topic}&id={topic}")).is_ok_and(|id| id == topic)
        };
        *self.facts.own_ids.get_or_init(ask)
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
}
