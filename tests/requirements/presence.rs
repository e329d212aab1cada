//! The chapters on active subscriptions.

use super::{PRESENCE, SUBSCRIBERS, Section, Verdict::Proven};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "active-subscriptions",
        rows: &[("SHOULD", "Hubs supporting this feature SHOULD advertise it", PRESENCE)],
    },
    Section {
        anchor: "subscription-events",
        rows: &[
            ("MUST", "it MUST publish an update every time a subscription is created", PRESENCE),
            ("MUST", "The topic of these updates MUST be the path", PRESENCE),
            ("MUST", "{match_type}: the topic matcher type used for this subscription", PRESENCE),
            ("MUST NOT", "MUST NOT forge, supply, or override this value", PRESENCE),
            ("RECOMMENDED", "RECOMMENDED that the hub generate a random identifier", PRESENCE),
            ("MUST", "MUST yield an identifier unique per connection", PRESENCE),
            ("MUST", "MUST also incorporate the issuer", PRESENCE),
            ("MUST", "Distinct subscribers MUST receive distinct identifiers", PRESENCE),
            ("MUST", "MUST be percent-encoded exactly once during expansion", PRESENCE),
            ("MUST NOT", "Hubs MUST NOT double-encode an already-encoded value", PRESENCE),
            ("SHOULD", "{subscriber} SHOULD be an IRI", PRESENCE),
            ("MUST", "The content of the update MUST be a JSON", PRESENCE),
            ("MUST", "MUST be the same value as the subscription update's topic", PRESENCE),
            ("MUST", "The value is case-sensitive and MUST be the matcher type name", PRESENCE),
            ("SHOULD", "the identifier of the subscriber. It SHOULD be an IRI", PRESENCE),
            ("MUST", "the subscription update MUST be marked as private", PRESENCE),
            ("MUST", "MUST dispatch subscription events with the update type field", PRESENCE),
        ],
    },
    Section {
        anchor: "subscription-api",
        rows: &[
            ("SHOULD", "SHOULD also expose active subscriptions through a web API", PRESENCE),
            ("MUST", "The web API MUST expose endpoints", PRESENCE),
            ("MUST", "To access these URLs, clients MUST be authorized", PRESENCE),
            ("MUST", "grants the subscribe action on this relative topic", PRESENCE),
            ("MUST", "the hub MUST answer 403", PRESENCE),
            ("MUST", "MUST set the Content-Type HTTP header to application/json", PRESENCE),
            (
                "MUST",
                "MUST expose the Link response header to them",
                Proven(&["cors::listed_origins_are_told_so", "discovery::the_hub_is_linked"]),
            ),
            ("MUST", "URLs returning a single subscription", PRESENCE),
            ("MUST", "If the requested subscription does not exist", PRESENCE),
            ("MUST", "Collection endpoints MUST return JSON documents", PRESENCE),
            ("MUST", "every endpoint MUST carry the reconciliation cursor", PRESENCE),
            ("SHOULD", "It SHOULD be passed back to the hub", SUBSCRIBERS),
            ("SHOULD", "SHOULD also set the type and content-type attributes", PRESENCE),
            ("MUST", "each returned document MUST remain valid", PRESENCE),
            ("SHOULD", "SHOULD validate that a cached response is still fresh", SUBSCRIBERS),
        ],
    },
];
