//! The chapters on subscribing, matchers and reconciliation.

use super::{
    CLIENTS, HTTP_2, OPERATORS, PUBLISHERS, SUBSCRIBERS, Section,
    Verdict::{Proven, Stated},
};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        anchor: "terminology",
        rows: &[
            (
                "MUST, MUST NOT",
                "Topic strings MUST be valid UTF-8",
                Proven(&[
                    "publish::refusals_say_what_is_wrong",
                    "src/protocol/text.rs::every_character_is_judged_as_unicode_17_does",
                ]),
            ),
            (
                "MUST",
                "it MUST be dispatched only to subscribers allowed to receive it",
                Proven(&["authorization::private_updates_reach_those_with_a_grant"]),
            ),
        ],
    },
    Section {
        anchor: "subscription",
        rows: &[
            (
                "MUST",
                "Hubs MUST support the GET HTTP method",
                Proven(&[
                    "subscribe::matchers_select",
                    "clients::chromium::updates::a_page_is_kept_up_to_date_however_often_it_is_cut",
                ]),
            ),
            (
                "MUST",
                "parameters are carried in the request body, they MUST be encoded",
                Proven(&["query::what_is_no_form_or_too_much_is_refused"]),
            ),
            (
                "MUST",
                "The hub MUST then take the union of the two",
                Proven(&["query::a_body_and_the_query_component_are_one"]),
            ),
            (
                "MUST",
                "the hub MUST use the value from the query component",
                Proven(&["query::cursors_are_taken_from_the_query_first"]),
            ),
            ("SHOULD", "The connection SHOULD use HTTP version 2 or higher", HTTP_2),
            (
                "MUST",
                "suffix MUST be the matcher type name in its canonical form",
                Proven(&["subscribe::reserved_names_are_refused"]),
            ),
            (
                "MUST",
                "The query component of the subscription URL MUST be parsed",
                Proven(&[
                    "subscribe::values_are_decoded_like_browsers_encode_them",
                    "src/http/form.rs::pairs_are_read_as_the_url_standard_says",
                ]),
            ),
            ("MUST", "Clients MUST percent-encode any character in a matcher name", SUBSCRIBERS),
            (
                "MUST",
                "that does not correspond to a matcher type supported by the hub",
                Proven(&[
                    "subscribe::reserved_names_are_refused",
                    "src/protocol/subscribe.rs::the_reserved_namespace_is_reserved",
                ]),
            ),
            (
                "MUST, MUST NOT",
                "The value of each topic matcher query parameter MUST be valid UTF-8",
                Proven(&["subscribe::what_is_no_text_is_refused"]),
            ),
            (
                "MUST",
                "Requests violating any of these constraints MUST be rejected with a 400",
                Proven(&[
                    "subscribe::what_is_no_text_is_refused",
                    "patterns::what_is_no_pattern_is_refused",
                ]),
            ),
            (
                "SHOULD",
                "hubs SHOULD apply implementation-defined maximums to the number of topic matcher",
                Proven(&[
                    "subscribe::a_thousand_matchers_are_taken",
                    "subscribe::long_matchers_are_refused",
                ]),
            ),
            (
                "MUST",
                "Requests exceeding any such limit MUST be rejected with a 400",
                Proven(&[
                    "subscribe::a_thousand_matchers_are_taken",
                    "subscribe::long_matchers_are_refused",
                    "patterns::what_is_no_pattern_is_refused",
                ]),
            ),
            (
                "SHOULD",
                "limits to the number of concurrent connections held by a single client",
                Stated(
                    "a ceiling on all connections, and none on those of one address or subject",
                    &["settings::a_full_hub_sends_subscribers_away_kindly"],
                ),
            ),
            (
                "MUST",
                "Hubs serving browser-based subscribers on other origins MUST send",
                Proven(&[
                    "cors::listed_origins_are_told_so",
                    "clients::chromium::updates::a_page_is_kept_up_to_date_however_often_it_is_cut",
                ]),
            ),
            (
                "MUST NOT",
                "the Access-Control-Allow-Origin response header MUST NOT be the * wildcard",
                Stated(
                    "`cors_origins *` answers * to requests with credentials too; credentials \
                     are then never allowed, so that no browser shows such an answer to a page",
                    &["cors::any_origin_may_be_allowed"],
                ),
            ),
            (
                "MUST NOT",
                "MUST NOT be reflected from arbitrary request origins",
                Proven(&["cors::listed_origins_are_told_so", "cors::by_default_there_is_none"]),
            ),
            (
                "MUST, MUST",
                "it MUST be restricted to an explicit allowlist of trusted origins",
                Proven(&["cors::listed_origins_are_told_so"]),
            ),
            (
                "MUST NOT",
                "the hub MUST NOT dispatch it to subscribers not authorized",
                Proven(&["authorization::private_updates_reach_those_with_a_grant"]),
            ),
            (
                "MUST",
                "The hub MUST send these updates as text/event-stream",
                Proven(&[
                    "streams::a_stream_begins_at_once_and_is_not_kept_from_anybody",
                    "publish::fields_become_the_event",
                ]),
            ),
            (
                "SHOULD",
                "hubs SHOULD send an SSE comment line",
                Proven(&["streams::idle_streams_have_a_heartbeat_and_busy_ones_have_none"]),
            ),
            (
                "SHOULD",
                "deployments SHOULD configure intermediaries not to buffer event streams",
                OPERATORS,
            ),
            (
                "MUST",
                "The data property MUST contain the topic's new version",
                Proven(&["publish::fields_become_the_event"]),
            ),
            (
                "MUST",
                "All other properties defined in the Server-Sent Events specification",
                Stated(
                    "all but `retry: 0`, with which every browser would reconnect without pause",
                    &["publish::fields_become_the_event"],
                ),
            ),
            (
                "SHOULD",
                "When using Atom, XML, or HTML as the serialization format, the document",
                PUBLISHERS,
            ),
            ("SHOULD", "When using JSON-LD, the document SHOULD contain an @id", PUBLISHERS),
        ],
    },
    Section {
        anchor: "matcher-types",
        rows: &[
            (
                "MUST",
                "Hubs MUST support both",
                Proven(&["subscribe::matchers_select", "patterns::patterns_select"]),
            ),
            (
                "SHOULD",
                "SHOULD advertise the complete set of matcher types they support",
                Proven(&["discovery::the_metadata_describe_the_hub"]),
            ),
        ],
    },
    Section {
        anchor: "exact-matching",
        rows: &[
            (
                "MUST",
                "The hub MUST support exact matching",
                Proven(&["subscribe::matchers_select"]),
            ),
            (
                "MUST",
                "the hub MUST perform an exact, case-sensitive, byte-for-byte comparison",
                Proven(&["subscribe::exact_matchers_are_compared_byte_by_byte"]),
            ),
            (
                "MUST NOT, MUST NOT",
                "The hub MUST NOT resolve relative values against the hub's URL",
                Proven(&["subscribe::exact_matchers_are_compared_byte_by_byte"]),
            ),
            ("SHOULD", "normalize topic strings to a canonical form before publication", CLIENTS),
        ],
    },
    Section {
        anchor: "url-pattern",
        rows: &[
            (
                "MUST",
                "The hub MUST support using URL patterns",
                Proven(&[
                    "patterns::patterns_select",
                    "src/protocol/pattern/tests.rs::patterns_are_what_the_web_platforms_tests_say",
                ]),
            ),
            (
                "MUST",
                "the hub MUST use the hub's URL as the base URL",
                Proven(&["patterns::patterns_are_relative_to_the_hub_and_never_to_a_request"]),
            ),
            (
                "MUST NOT",
                "hubs MUST NOT enable the ignoreCase option",
                Proven(&[
                    "patterns::patterns_select",
                    "src/protocol/pattern/tests.rs::patterns_select_topics",
                ]),
            ),
            (
                "MUST",
                "hubs MUST treat its evaluation against any URL pattern as not matching",
                Proven(&[
                    "patterns::patterns_select",
                    "src/protocol/pattern/tests.rs::patterns_select_topics",
                ]),
            ),
            (
                "MUST",
                "engine that guarantees linear-time matching",
                Proven(&["src/protocol/pattern/tests.rs::hostile_patterns_are_refused"]),
            ),
            (
                "MUST, MUST",
                "MUST be treated as not matching and the evaluation MUST be aborted",
                Stated(
                    "the engine is linear and no evaluation has a limit to reach; what would \
                     cost too much is refused when it is compiled",
                    &["src/protocol/pattern/tests.rs::hostile_patterns_are_refused"],
                ),
            ),
            ("MUST NOT", "subscribers MUST NOT dereference them as URLs", SUBSCRIBERS),
        ],
    },
    Section {
        anchor: "summary-of-matcher-types",
        rows: &[
            (
                "MUST",
                "match (or match_exact)",
                Proven(&["subscribe::matchers_select", "src/auth/details.rs::grants_are_read"]),
            ),
            (
                "MUST",
                "match_urlpattern",
                Proven(&["patterns::patterns_select", "patterns::patterns_grant"]),
            ),
        ],
    },
    Section {
        anchor: "reconciliation",
        rows: &[
            (
                "MUST",
                "events dispatched by the hub MUST include an id property",
                Proven(&["publish::the_answer_is_the_id"]),
            ),
            (
                "SHOULD",
                "The value of this property SHOULD be an IRI",
                Proven(&["publish::the_answer_is_the_id"]),
            ),
            ("MUST", "During reconnection, the subscriber MUST send", SUBSCRIBERS),
            (
                "MUST",
                "the subscriber MUST send the event ID provided during discovery",
                SUBSCRIBERS,
            ),
            (
                "MUST",
                "the hub MUST also accept the last event ID",
                Proven(&["replay::every_spelling_of_the_cursor"]),
            ),
            (
                "MUST",
                "the HTTP header MUST take precedence",
                Stated(
                    "an empty header field, which browsers never send, yields to the parameter",
                    &["replay::every_spelling_of_the_cursor"],
                ),
            ),
            (
                "SHOULD",
                "send all events published after the one bearing this identifier",
                Proven(&[
                    "replay::what_came_after_an_id_is_sent",
                    "replay::a_replay_goes_over_into_what_is_new",
                ]),
            ),
            (
                "MUST",
                "MUST re-evaluate each candidate replayed event against the current access token",
                Proven(&["authorization::private_updates_reach_those_with_a_grant"]),
            ),
            (
                "MUST NOT",
                "regardless of any authorization that may have applied at publication time",
                Proven(&[
                    "authorization::private_updates_reach_those_with_a_grant",
                    "src/hub/replay.rs::private_updates_of_the_window_need_grants_too",
                    "src/log/memory.rs::reading_selects_by_matchers_and_grants",
                ]),
            ),
            (
                "MUST",
                "MUST resolve to the earliest such update in the hub's history",
                Proven(&["replay::a_repeated_id_means_its_first_update"]),
            ),
            (
                "MUST",
                "The hub MUST then send all updates published after that one",
                Proven(&["replay::a_repeated_id_means_its_first_update"]),
            ),
            (
                "MUST",
                "the hub MUST set a Mercure-Last-Event-ID field on the HTTP response",
                Stated(
                    "on every stream; not on the empty one with which a full hub sends away",
                    &["replay::every_spelling_of_the_cursor", "replay::unknown_ids_get_everything"],
                ),
            ),
            (
                "MUST",
                "MUST be the identifier of the event preceding the first event sent",
                Proven(&[
                    "replay::what_came_after_an_id_is_sent",
                    "replay::unknown_ids_get_everything",
                    "replay::trimmed_ids_get_what_is_left",
                    "replay::an_empty_history_begins_at_the_earliest",
                ]),
            ),
            (
                "SHOULD",
                "Operators handling sensitive private updates SHOULD generate opaque",
                Proven(&["src/protocol/id.rs::neighbours_share_nothing_visible_and_keys_matter"]),
            ),
            (
                "SHOULD NOT",
                "The subscriber SHOULD NOT assume that no events will be lost",
                SUBSCRIBERS,
            ),
            ("SHOULD", "the subscriber SHOULD re-fetch the original topic", SUBSCRIBERS),
        ],
    },
];
