//! The chapters on registries, security and privacy.

use super::{
    CLIENTS, ISSUERS, OPERATORS, PUBLISHERS, REGISTRANTS, SITES, Section, TLS,
    Verdict::{Proven, Stated},
};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "mercure-topic-matcher-types-registry",
        rows: &[("MUST, MUST", "A matcher type name MUST consist of lowercase ASCII", REGISTRANTS)],
    },
    Section {
        anchor: "mercure-actions-registry",
        rows: &[("MUST", "An action name MUST consist of lowercase ASCII letters", REGISTRANTS)],
    },
    Section {
        anchor: "security-considerations",
        rows: &[
            ("MUST, MUST", "keys MUST be stored securely and MUST be revoked", OPERATORS),
            ("MUST, MUST", "access tokens MUST only be transmitted over secure connections", TLS),
            ("SHOULD NOT", "the access token SHOULD NOT be exposed to JavaScript", SITES),
            ("SHOULD", "HttpOnly cookies SHOULD be preferred", SITES),
            ("RECOMMENDED", "Short-lived tokens are therefore strongly RECOMMENDED", ISSUERS),
            (
                "MUST",
                "Implementations supporting that mechanism MUST mitigate such attacks",
                Proven(&["cookies::pages_of_other_origins_do_not_publish_with_it"]),
            ),
            (
                "SHOULD",
                "hubs SHOULD also verify that the source origin",
                Proven(&[
                    "cookies::pages_of_other_origins_do_not_publish_with_it",
                    "cookies::the_hubs_own_pages_do",
                ]),
            ),
            (
                "MUST NOT",
                "Access tokens MUST NOT be passed in URLs",
                Proven(&[
                    "authorization::malformed_presentations_are_requests_gone_wrong",
                    "cookies::subscribers_may_send_a_cookie",
                ]),
            ),
        ],
    },
    Section {
        anchor: "server-sent-events-field-injection",
        rows: &[(
            "MUST",
            "serialize it as one data: field per line",
            Proven(&[
                "publish::data_is_split_into_lines",
                "fuzz::nothing_in_a_field_forges_another",
            ]),
        )],
    },
    Section {
        anchor: "reserved-hub-namespace",
        rows: &[(
            "MUST",
            "reject a publish request whose type is mercure",
            Proven(&["publish::refusals_say_what_is_wrong"]),
        )],
    },
    Section {
        anchor: "authorization-on-event-replay",
        rows: &[(
            "SHOULD",
            "SHOULD use opaque, random event identifiers",
            Proven(&["src/protocol/id.rs::neighbours_share_nothing_visible_and_keys_matter"]),
        )],
    },
    Section {
        anchor: "private-update-audience",
        rows: &[("MUST NOT", "MUST NOT attach to a private update an alternate", PUBLISHERS)],
    },
    Section {
        anchor: "protected-resource-metadata-and-authorization-server-selection",
        rows: &[
            ("SHOULD", "Clients SHOULD validate protected resource metadata", CLIENTS),
            (
                "SHOULD",
                "take precautions against server-side request forgery",
                Stated(
                    "key sets come from addresses that the operator configures, internal ones too; \
                     redirections are not followed, and nothing that a client sends is fetched",
                    &["keys::a_set_that_fails_leaves_the_old_keys_in_use"],
                ),
            ),
        ],
    },
    Section {
        anchor: "publish-request-replay",
        rows: &[("SHOULD", "SHOULD include a freshness indicator in the update", PUBLISHERS)],
    },
    Section {
        anchor: "privacy-considerations",
        rows: &[
            ("SHOULD NOT", "token issuers SHOULD NOT grant subscribe", ISSUERS),
            ("SHOULD NOT", "Sensitive information SHOULD NOT be encoded in topic strings", CLIENTS),
        ],
    },
];
