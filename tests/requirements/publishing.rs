//! The chapters on publishing and on encrypted updates.

use super::{CLIENTS, PUBLISHERS, Section, Verdict::Proven};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "publication",
        rows: &[
            (
                "MUST",
                "The request MUST be encoded using the application/x-www-form-urlencoded format",
                Proven(&["publish::only_forms_are_taken"]),
            ),
            (
                "MUST",
                "Field names and values MUST be UTF-8",
                Proven(&[
                    "publish::refusals_say_what_is_wrong",
                    "src/http/form.rs::what_is_not_utf8_is_told_and_not_repaired",
                ]),
            ),
            (
                "MUST",
                "MUST contain at least one topic field",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            ("RECOMMENDED", "It is RECOMMENDED to use an IRI as identifier", PUBLISHERS),
            (
                "MUST",
                "Each topic value MUST conform to the constraints",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST NOT",
                "MUST NOT address the reserved hub namespace",
                Proven(&[
                    "publish::the_reserved_namespace_is_the_hubs",
                    "publish::what_only_looks_reserved_is_published",
                ]),
            ),
            (
                "MUST",
                "each topic MUST be resolved against the hub's URL",
                Proven(&[
                    "publish::the_reserved_namespace_is_the_hubs",
                    "publish::a_named_hub_reserves_its_namespace_too",
                ]),
            ),
            (
                "MUST",
                "the path MUST have its dot-segments removed",
                Proven(&[
                    "publish::the_reserved_namespace_is_the_hubs",
                    "src/protocol/hub_url.rs::topics_that_address_the_hub_are_reserved",
                ]),
            ),
            (
                "MUST NOT",
                "Every topic value MUST NOT be exactly *",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST",
                "hubs MUST reject publish requests violating them, for any topic value",
                Proven(&[
                    "publish::the_reserved_namespace_is_the_hubs",
                    "publish::refusals_say_what_is_wrong",
                    "authorization::every_topic_must_be_granted_to_a_publisher",
                ]),
            ),
            (
                "MUST",
                "content of the new version of this topic. The value MUST be",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST",
                "serialize the value as one SSE data: field per line",
                Proven(&["publish::data_is_split_into_lines"]),
            ),
            ("SHOULD", "publishers that require byte-exact round-tripping", PUBLISHERS),
            (
                "MUST NOT",
                "if this field is present, the update MUST NOT be dispatched",
                Proven(&[
                    "publish::private_is_private_in_any_form",
                    "authorization::private_updates_reach_those_with_a_grant",
                ]),
            ),
            (
                "MUST NOT",
                "hubs MUST NOT interpret the field's value to determine privacy",
                Proven(&["publish::private_is_private_in_any_form"]),
            ),
            ("RECOMMENDED", "It is RECOMMENDED to set the value to on", PUBLISHERS),
            (
                "MUST NOT, MUST NOT, MUST NOT",
                "The provided ID MUST NOT start with the # character",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST",
                "hub MUST generate either a valid IRI",
                Proven(&["publish::the_answer_is_the_id"]),
            ),
            ("SHOULD", "client-supplied ID SHOULD be unique within the scope", PUBLISHERS),
            (
                "MUST",
                "The hub MUST reject client-supplied IDs violating the character constraints",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST NOT, MUST",
                "(a specific event type). The value MUST NOT contain control characters",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST",
                "hubs MUST reject a publish request whose type is mercure",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST, MUST",
                "The value MUST consist solely of ASCII digits",
                Proven(&["publish::refusals_say_what_is_wrong"]),
            ),
            (
                "MUST",
                "hubs MUST ignore fields they do not recognize",
                Proven(&["publish::fields_become_the_event"]),
            ),
            (
                "MUST, MUST",
                "On success, the hub MUST return a 200 (OK) HTTP status code",
                Proven(&["publish::the_answer_is_the_id"]),
            ),
            (
                "MUST",
                "The publisher MUST be authorized to publish updates",
                Proven(&[
                    "authorization::without_a_token_there_is_no_error",
                    "authorization::every_topic_must_be_granted_to_a_publisher",
                ]),
            ),
            (
                "SHOULD",
                "maximums to the size of the request body",
                Proven(&["publish::too_much_is_too_large"]),
            ),
            (
                "MUST",
                "exceeding any such limit MUST be rejected with a 413",
                Proven(&[
                    "publish::too_much_is_too_large",
                    "http::limits::a_declared_length_is_refused_at_once",
                    "http::limits::chunks_are_refused_when_they_exceed",
                ]),
            ),
        ],
    },
    Section {
        anchor: "encryption",
        rows: &[
            ("SHOULD", "The publisher SHOULD use JSON Web Encryption", PUBLISHERS),
            ("SHOULD, MUST NOT", "Implementations SHOULD restrict JWE algorithms", CLIENTS),
            ("RECOMMENDED", "content encryption algorithm A256GCM, are RECOMMENDED", CLIENTS),
            ("SHOULD", "Publishers concerned with replay SHOULD include", PUBLISHERS),
            ("SHOULD", "Publishers handling sensitive data SHOULD rotate JWE keys", PUBLISHERS),
        ],
    },
];
