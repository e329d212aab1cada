//! The chapters on finding a hub, and on what it tells of itself.

use super::{CLIENTS, PUBLISHERS, SUBSCRIBERS, Section, Verdict::Proven};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "hub-discovery",
        rows: &[
            (
                "SHOULD",
                "The URL of the hub SHOULD be the \"well-known\" fixed path",
                Proven(&[
                    "discovery::the_hub_is_linked",
                    "http::requests::methods_and_paths_are_told_apart",
                ]),
            ),
            ("SHOULD", "If the publisher is a server, it SHOULD advertise the URL", PUBLISHERS),
            ("MUST", "the publisher MUST notify each hub", PUBLISHERS),
            ("SHOULD", "The publisher SHOULD include at least one Link Header", PUBLISHERS),
            ("MUST", "MUST be a hub implementing the Mercure protocol", PUBLISHERS),
            ("SHOULD", "Subscribers SHOULD restrict accepted hub URLs to origins", SUBSCRIBERS),
            ("MUST", "If provided, it MUST be passed to the hub", SUBSCRIBERS),
            ("MUST", "MUST assume that the content type matches", SUBSCRIBERS),
            ("MUST", "the subscriber MUST assume the default event type", SUBSCRIBERS),
            ("MUST NOT", "MUST NOT use the reserved mercure type", PUBLISHERS),
            ("MUST", "MUST omit the corresponding attribute", PUBLISHERS),
        ],
    },
    Section {
        anchor: "protected-resource-metadata",
        rows: &[
            (
                "SHOULD",
                "the hub SHOULD publish OAuth 2.0 Protected Resource Metadata",
                Proven(&[
                    "discovery::the_metadata_describe_the_hub",
                    "discovery::several_public_urls_are_known",
                ]),
            ),
            (
                "SHOULD, MUST",
                "a document that is published MUST include the resource member",
                Proven(&[
                    "discovery::the_metadata_describe_the_hub",
                    "src/auth/metadata.rs::the_document_has_what_the_specification_names",
                ]),
            ),
            ("MUST", "the value clients MUST place in the access token aud", CLIENTS),
            ("MUST", "Clients MUST verify that this value equals", CLIENTS),
            (
                "SHOULD",
                "SHOULD include a resource_metadata parameter pointing to this document",
                Proven(&[
                    "authorization::without_a_token_there_is_no_error",
                    "discovery::the_metadata_describe_the_hub",
                ]),
            ),
        ],
    },
    Section {
        anchor: "topic-discovery",
        rows: &[
            ("SHOULD", "It SHOULD contain the canonical URL for the topic", PUBLISHERS),
            ("MUST", "the header MUST be preferred", SUBSCRIBERS),
        ],
    },
    Section {
        anchor: "content-negotiation",
        rows: &[("SHOULD", "URL SHOULD offer a single representation", PUBLISHERS)],
    },
    Section {
        anchor: "using-http",
        rows: &[(
            "SHOULD",
            "is only a SHOULD default",
            Proven(&["discovery::the_hub_is_linked", "discovery::several_public_urls_are_known"]),
        )],
    },
];
