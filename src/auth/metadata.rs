//! The protected resource metadata of a hub (draft-08 #protected-resource-metadata, RFC 9728).

use serde::Serialize;

use super::details::DETAIL_TYPE;
use crate::protocol::matcher::MatcherType;

/// What differs between hubs.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// The resource identifier: what clients must place in `aud`.
    pub resource: &'a str,
    /// Issuers that are authorization servers.
    pub authorization_servers: &'a [String],
    /// The name of the cookie in which tokens are accepted.
    pub cookie: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    authorization_servers: &'a [String],
    authorization_details_types_supported: [&'static str; 1],
    bearer_methods_supported: [&'static str; 1],
    mercure_cookie: &'a str,
    mercure_matcher_types_supported: [&'static str; MatcherType::ALL.len()],
}

impl Metadata<'_> {
    /// The document, as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            resource: self.resource,
            authorization_servers: self.authorization_servers,
            authorization_details_types_supported: [DETAIL_TYPE],
            // A cookie is no bearer method of RFC 6750.
            bearer_methods_supported: ["header"],
            mercure_cookie: self.cookie,
            mercure_matcher_types_supported: MatcherType::ALL.map(MatcherType::name),
        };
        serde_json::to_vec(&document).expect("strings and lists of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_document_has_what_the_specification_names() {
        let servers = ["https://as.example".to_owned()];
        let metadata =
            Metadata { resource: "https://hub.example/x", authorization_servers: &[], cookie: "c" };
        let read = |metadata: Metadata<'_>| -> Value {
            serde_json::from_slice(&metadata.to_json()).unwrap()
        };
        let mut expected = json!({
            "resource": "https://hub.example/x",
            "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
            "bearer_methods_supported": ["header"],
            "mercure_cookie": "c",
            "mercure_matcher_types_supported": ["exact", "urlpattern"],
        });
        assert_eq!(read(metadata), expected);
        expected["authorization_servers"] = json!(["https://as.example"]);
        assert_eq!(read(Metadata { authorization_servers: &servers, ..metadata }), expected);
    }
}
