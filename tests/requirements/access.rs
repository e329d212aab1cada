//! The chapters on tokens and on what they grant.

use super::{
    CLIENTS, ISSUERS, OPERATORS, PRESENCE, PUBLISHERS, SITES, Section, TLS,
    Verdict::{Proven, Stated},
};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "authorization",
        rows: &[
            (
                "MUST",
                "publishers MUST present an access token to the hub",
                Proven(&["authorization::without_a_token_there_is_no_error"]),
            ),
            (
                "MUST",
                "subscribers MUST present an access token to receive updates marked as private",
                Proven(&["authorization::private_updates_reach_those_with_a_grant"]),
            ),
            (
                "MUST, MUST",
                "MUST be a JWT structured as a JWT access token",
                Proven(&[
                    "authorization::valid_tokens_are_taken",
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                ]),
            ),
            ("MUST", "Every token, including a self-issued one, MUST carry the claims", ISSUERS),
            ("SHOULD", "The token SHOULD be short-lived, especially when", ISSUERS),
            ("MUST", "it MUST use a stable issuer identifier", ISSUERS),
            (
                "SHOULD",
                "Different keys SHOULD be used to sign subscribers' and publishers' tokens",
                OPERATORS,
            ),
            (
                "MUST NOT",
                "MUST NOT be reachable from networks containing untrusted clients",
                OPERATORS,
            ),
        ],
    },
    Section {
        anchor: "presenting-the-access-token",
        rows: &[
            ("MUST", "the connection MUST use an encryption layer such as HTTPS", TLS),
            ("MUST NOT", "clients MUST NOT use more than one mechanism", CLIENTS),
            (
                "MUST, MUST",
                "its token MUST be used and any cookie MUST be ignored",
                Proven(&["cookies::a_header_wins_over_a_cookie"]),
            ),
            (
                "MUST",
                "the cookie, if any, MUST be used",
                Proven(&[
                    "cookies::subscribers_may_send_a_cookie",
                    "cookies::a_cookie_that_fails_is_never_nobody",
                ]),
            ),
        ],
    },
    Section {
        anchor: "authorization-http-header",
        rows: &[
            ("SHOULD", "Clients SHOULD use an Authorization HTTP header", CLIENTS),
            (
                "MUST",
                "This header MUST contain the string Bearer followed by a space",
                Proven(&[
                    "authorization::malformed_presentations_are_requests_gone_wrong",
                    "src/auth/bearer.rs::credentials_follow_their_scheme",
                ]),
            ),
            ("RECOMMENDED", "this is the RECOMMENDED mechanism when the token", CLIENTS),
        ],
    },
    Section {
        anchor: "cookie",
        rows: &[
            (
                "SHOULD",
                "hubs that support it SHOULD advertise it",
                Proven(&[
                    "discovery::the_metadata_describe_the_hub",
                    "cookies::the_name_of_the_cookie_is_a_setting",
                ]),
            ),
            ("SHOULD", "If the publisher or the subscriber is a web browser, it SHOULD", CLIENTS),
            (
                "RECOMMENDED",
                "RECOMMENDED to name the cookie __Secure-mercure_access_token",
                Proven(&["cookies::subscribers_may_send_a_cookie"]),
            ),
            ("SHOULD", "The cookie SHOULD be set during discovery", SITES),
            ("MUST", "the publisher and the hub MUST share the same registrable domain", SITES),
            ("MUST", "The cookie MUST have the Secure and HttpOnly attributes", SITES),
            ("SHOULD", "SHOULD also have SameSite=Strict", SITES),
            ("SHOULD", "SHOULD use the Authorization header via fetch() instead", CLIENTS),
            ("SHOULD", "The cookie's Path attribute SHOULD be set", SITES),
        ],
    },
    Section {
        anchor: "error-responses",
        rows: &[
            (
                "SHOULD",
                "the challenge SHOULD include the resource_metadata parameter",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "authorization::every_topic_must_be_granted_to_a_publisher",
                ]),
            ),
            (
                "MUST, MUST NOT",
                "If no access token is presented and the requested operation requires one",
                Proven(&["authorization::without_a_token_there_is_no_error"]),
            ),
            (
                "SHOULD",
                "parameter pointing to the hub's protected resource metadata",
                Proven(&["authorization::without_a_token_there_is_no_error"]),
            ),
            (
                "MUST",
                "MUST return a 401 status code with error=\"invalid_token\"",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "authorization::a_token_may_grant_a_thousand_topics",
                ]),
            ),
            (
                "MUST",
                "If a valid token does not authorize the requested operation",
                Proven(&["authorization::every_topic_must_be_granted_to_a_publisher"]),
            ),
            (
                "MUST",
                "If the request is malformed, the hub MUST return a 400",
                Proven(&[
                    "publish::refusals_say_what_is_wrong",
                    "subscribe::reserved_names_are_refused",
                ]),
            ),
            (
                "MUST",
                "When the malformed element is the access token or its presentation",
                Proven(&[
                    "authorization::malformed_presentations_are_requests_gone_wrong",
                    "cookies::pages_of_other_origins_do_not_publish_with_it",
                ]),
            ),
        ],
    },
    Section {
        anchor: "token-validation",
        rows: &[
            (
                "MUST",
                "Hubs MUST validate access tokens as JWT access tokens",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/authority/tests.rs::damaged_tokens_never_pass",
                ]),
            ),
            (
                "MUST",
                "Hubs MUST verify that the token header typ is at+jwt",
                Proven(&[
                    "authorization::valid_tokens_are_taken",
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/jws.rs::typ_has_two_forms_in_any_case",
                ]),
            ),
            (
                "MUST, MUST",
                "configured with an explicit allowlist of accepted signature algorithms",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/authority/tests.rs::the_algorithm_is_the_keys",
                ]),
            ),
            (
                "MUST NOT, MUST NOT, MUST",
                "Hubs MUST NOT accept alg=none",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/authority/tests.rs::the_algorithm_is_the_keys",
                    "src/auth/key/tests.rs::a_key_fits_its_own_signatures_only",
                ]),
            ),
            (
                "SHOULD",
                "The allowlist SHOULD include at minimum EdDSA, ES256, and RS256",
                Proven(&[
                    "keys::tokens_of_every_algorithm_pass_at_their_own_key_only",
                    "keys::tokens_of_every_algorithm_pass_by_a_set",
                ]),
            ),
            (
                "SHOULD NOT",
                "SHOULD NOT include algorithms known to be cryptographically weak",
                Proven(&["src/auth/key/tests.rs::names_and_secrets_are_checked"]),
            ),
            (
                "MUST, MUST NOT",
                "MUST NOT use key material supplied by the token itself",
                Proven(&["authorization::keys_that_a_token_brings_along_are_not_used"]),
            ),
            (
                "MUST",
                "Each trusted key MUST be associated in the hub's configuration",
                Stated(
                    "keys without an issuer are a mode of their own, with a warning at start; \
                     beside keys of issuers they are refused",
                    &[
                        "authorization::keys_without_an_issuer_take_any_issuer",
                        "src/auth/authority/tests.rs::issuers_that_make_no_sense_are_refused",
                    ],
                ),
            ),
            (
                "MUST",
                "never a pooled set spanning issuers",
                Proven(&["authorization::issuers_are_kept_apart"]),
            ),
            (
                "MUST",
                "Hubs MUST enforce the exp claim",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "authorization::a_verdict_is_nothing_without_the_clock",
                    "authorization::a_token_that_expires_during_the_body_publishes_nothing",
                ]),
            ),
            (
                "MUST",
                "MUST reject a token that has no exp claim",
                Stated(
                    "so it is with issuers; with keys without an issuer it is enforced where \
                     it is",
                    &[
                        "authorization::invalid_tokens_are_refused_without_a_reason",
                        "authorization::keys_without_an_issuer_take_any_issuer",
                    ],
                ),
            ),
            (
                "MUST",
                "Hubs MUST enforce the nbf claim if present",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "authorization::dates_have_fractions",
                ]),
            ),
            (
                "MUST",
                "Hubs MUST be configured with their resource identifier",
                Stated(
                    "a hub that listens for any host and was told no name takes that of the \
                     request, with a warning at start",
                    &["src/worker/identity.rs::a_hub_without_names_takes_the_one_of_the_request"],
                ),
            ),
            (
                "MUST",
                "MUST verify that it appears in the token aud claim",
                Stated(
                    "so it is with issuers; with keys without an issuer it is enforced where \
                     it is",
                    &[
                        "authorization::invalid_tokens_are_refused_without_a_reason",
                        "authorization::keys_without_an_issuer_take_any_issuer",
                    ],
                ),
            ),
            (
                "RECOMMENDED",
                "RECOMMENDED that the resource identifier be the canonical URL",
                Proven(&["discovery::several_public_urls_are_known"]),
            ),
            (
                "MUST",
                "verify that the iss claim is present and exactly matches",
                Stated(
                    "so it is with issuers; keys without an issuer take any",
                    &[
                        "authorization::invalid_tokens_are_refused_without_a_reason",
                        "authorization::keys_without_an_issuer_take_any_issuer",
                    ],
                ),
            ),
            (
                "MUST",
                "Hubs MUST enforce iss, exp, and aud as described above",
                Stated(
                    "so it is with issuers, be they one or several; see the sentences themselves",
                    &[
                        "src/auth/authority/tests.rs::one_issuer_is_no_less_strict_than_several",
                        "authorization::keys_without_an_issuer_take_any_issuer",
                    ],
                ),
            ),
            (
                "MUST",
                "Failure of any of these checks MUST be reported",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/authority/tests.rs::claims_are_enforced",
                ]),
            ),
        ],
    },
    Section {
        anchor: "authorization-details",
        rows: &[
            (
                "MUST",
                "MUST have a type property",
                Proven(&[
                    "src/auth/details.rs::grants_are_read",
                    "src/auth/details.rs::any_defect_refuses_the_token",
                ]),
            ),
            (
                "MUST",
                "MUST have an actions property",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/details.rs::any_defect_refuses_the_token",
                ]),
            ),
            (
                "MUST",
                "Hubs MUST ignore action values they do not recognize",
                Proven(&["src/auth/details.rs::grants_are_read"]),
            ),
            (
                "MUST",
                "MUST have a topics property",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/details.rs::any_defect_refuses_the_token",
                ]),
            ),
            (
                "SHOULD",
                "maximums to the number of Mercure authorization details",
                Proven(&["src/auth/details.rs::limits_refuse_the_token"]),
            ),
            (
                "MUST",
                "Tokens exceeding any such limit MUST be rejected as invalid tokens",
                Proven(&["authorization::a_token_may_grant_a_thousand_topics"]),
            ),
            (
                "MUST, MUST NOT",
                "If any Mercure authorization detail fails to parse or validate",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "patterns::patterns_grant",
                ]),
            ),
        ],
    },
    Section {
        anchor: "publishers",
        rows: &[
            (
                "MUST, MUST",
                "grants the publish action on every topic of the update",
                Proven(&["authorization::every_topic_must_be_granted_to_a_publisher"]),
            ),
            (
                "MUST NOT, MUST",
                "If the token is not authorized for every topic of the update",
                Proven(&[
                    "authorization::every_topic_must_be_granted_to_a_publisher",
                    "patterns::patterns_grant",
                ]),
            ),
        ],
    },
    Section {
        anchor: "subscribers",
        rows: &[
            (
                "MUST, MUST",
                "grants the subscribe action on at least one topic of the update",
                Proven(&[
                    "authorization::private_updates_reach_those_with_a_grant",
                    "patterns::patterns_grant",
                ]),
            ),
            (
                "MUST NOT",
                "the hub MUST NOT deliver the update to the subscriber",
                Proven(&[
                    "authorization::private_updates_reach_those_with_a_grant",
                    "src/hub/deliver.rs::\
                     private_updates_need_a_grant_that_covers_one_of_the_topics",
                ]),
            ),
            (
                "MUST",
                "close the connection no later than the token's exp time",
                Proven(&[
                    "authorization::no_event_comes_after_a_token_has_expired",
                    "authorization::a_token_that_expires_during_the_look_up_brings_nothing",
                ]),
            ),
            (
                "SHOULD",
                "impose a maximum connection lifetime independent of exp",
                Proven(&["streams::a_stream_ends_in_the_last_fifth_of_its_life"]),
            ),
            ("MUST NOT", "MUST NOT attach to a private update an alternate topic", PUBLISHERS),
        ],
    },
    Section {
        anchor: "topic-matcher-list",
        rows: &[
            (
                "MUST",
                "It MUST be a JSON object with a match property",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/details.rs::any_defect_refuses_the_token",
                ]),
            ),
            (
                "MUST",
                "The value of match_type is case-sensitive and MUST be the name",
                Proven(&["src/auth/details.rs::any_defect_refuses_the_token"]),
            ),
            (
                "MUST",
                "support MUST cause the token to be rejected",
                Proven(&["authorization::invalid_tokens_are_refused_without_a_reason"]),
            ),
            (
                "MUST",
                "the hub MUST assume the exact matcher type",
                Proven(&["src/auth/details.rs::grants_are_read"]),
            ),
            (
                "MUST",
                "Any entry that is not a JSON object",
                Proven(&[
                    "authorization::invalid_tokens_are_refused_without_a_reason",
                    "src/auth/details.rs::any_defect_refuses_the_token",
                ]),
            ),
        ],
    },
    Section {
        anchor: "payloads",
        rows: &[
            ("MUST", "The payload of the first subscribe authorization detail whose", PRESENCE),
            ("SHOULD", "Specific matchers SHOULD appear before broader ones", ISSUERS),
            ("MUST NOT", "Issuers MUST NOT place data in payloads", ISSUERS),
            ("MUST", "Issuers MUST consider the privacy note above", ISSUERS),
        ],
    },
];
