//! What a subscription request asks for (draft-08 #subscription, #reconciliation).

use std::borrow::Cow;

use super::{
    limits::Limits,
    matcher::{Matcher, MatcherError, MatcherSet, MatcherType},
    patterns::Patterns,
    text,
};
use crate::legacy::{LAST_EVENT_ID, TOPIC, Version};

/// The name of the reserved cursor that asks for the whole history (draft-08 #reconciliation).
pub const EARLIEST: &str = "earliest";

/// A subscription request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// At least one.
    pub matchers: MatcherSet,
    /// Any of them was asked for as 0.x clients do.
    pub legacy: bool,
    /// Where the subscriber left off; `None` if it gave no last event id.
    pub since: Option<Since>,
    /// Whether it wants a [notice](super::gap::GapNotice) if that cannot be honoured; `None`: it
    /// does not say.
    pub gap_notice: Option<bool>,
}

/// A last event id as a client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// All that the hub still has.
    Earliest,
    /// After the update of this id, which may be unknown, but could be an id.
    Id(Box<str>),
    /// What no update can have as its id: too long, not UTF-8, or with forbidden characters.
    /// Treated as an id that the hub does not know.
    Unknown,
    /// Given, so that the answer names a cursor, but empty: nothing old is sent.
    Empty,
}

impl Since {
    /// The id, if it could be one of an update.
    pub fn id(&self) -> Option<&str> {
        match self {
            Since::Id(id) => Some(id),
            Since::Earliest | Since::Unknown | Since::Empty => None,
        }
    }
}

/// How query parameters are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryRules {
    /// Takes `last_event_id` only. Otherwise `lastEventID` (which framework helpers write) and
    /// `lastEventId` (which a popular polyfill sends on its reconnects) mean the same.
    pub strict: bool,
    /// Takes the `topic` parameters of 0.x as well (draft-07 #subscription).
    pub legacy: Option<Version>,
}

/// Why a subscription request is refused. Every one is a 400; the texts are for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    #[error("the parameters must be percent-encoded UTF-8")]
    NotUtf8,
    #[error(
        "no topic to subscribe to: add at least one `match` parameter, \
         for instance `?match=https%3A%2F%2Fexample.com%2Fbooks%2F1`"
    )]
    NoMatcher,
    #[error(
        "this hub takes `match`, not the `topic` of earlier protocol versions: \
         rename the parameter to `match`"
    )]
    TopicInsteadOfMatch,
    #[error(
        "{name} is no matcher that this hub supports (it supports {}); \
         every parameter name that begins with `match` is reserved",
        supported_names()
    )]
    UnknownMatcher { name: String },
    #[error("the value of `{name}` {source}")]
    Matcher { name: String, source: MatcherError },
    #[error("more than {max} matchers: spread them over several connections")]
    TooManyMatchers { max: usize },
    #[error(
        "more than {max} patterns with regular expressions: use `:name` and `*` where that is \
         enough, or spread them over several connections"
    )]
    TooManyRegexps { max: usize },
    #[error("`{GAP_NOTICE}` is 1, to be told in the stream where updates may be missing, or 0")]
    GapNotice,
}

impl Subscription {
    /// Reads the decoded parameters, those of the query component before those of a body, and
    /// the value of the `Last-Event-ID` header field. An `Err` pair was not UTF-8.
    pub fn parse<'a, E>(
        pairs: impl IntoIterator<Item = Result<(Cow<'a, str>, Cow<'a, str>), E>>,
        last_event_id_header: Option<&[u8]>,
        rules: QueryRules,
        limits: &Limits,
        patterns: &mut Patterns,
    ) -> Result<Subscription, SubscribeError> {
        let (mut matchers, mut regexps) = (Vec::new(), 0);
        let mut cursors: [Option<Since>; CURSOR_NAMES.len()] = [const { None }; _];
        let (mut has_topic, mut gap_notice, mut oldest) = (false, None, None);
        for pair in pairs {
            let (name, value) = pair.map_err(|_| SubscribeError::NotUtf8)?;
            let kind = match matcher_type(&name)? {
                Some(matcher_type) => Some(Kind::Matcher(matcher_type)),
                None if name == TOPIC => {
                    has_topic = true;
                    rules.legacy.map(|_| Kind::Selector)
                }
                None => None,
            };
            if let Some(kind) = kind {
                if matchers.len() == limits.matchers_max {
                    return Err(SubscribeError::TooManyMatchers { max: limits.matchers_max });
                }
                let len_max = limits.matcher_len_max;
                let matcher = match kind {
                    Kind::Matcher(kind) => kind.matcher(&value, len_max, |it| patterns.get(it)),
                    Kind::Selector => Matcher::selector(&value, len_max),
                };
                let matcher = matcher.map_err(|source| SubscribeError::Matcher {
                    name: name.into_owned(),
                    source,
                })?;
                regexps += usize::from(matches!(&matcher, Matcher::Pattern(p) if p.has_regexp()));
                if regexps > limits.regexps_max {
                    return Err(SubscribeError::TooManyRegexps { max: limits.regexps_max });
                }
                matchers.push(matcher);
            } else if let Some(index) = CURSOR_NAMES.iter().position(|known| *known == name) {
                // "`last_event_id` is single-valued": the first one, which is the query's.
                if index == 0 || !rules.strict {
                    cursors[index].get_or_insert_with(|| Since::new(value.as_bytes(), limits));
                }
            } else if name == GAP_NOTICE {
                let wanted = match &*value {
                    "1" => true,
                    "0" => false,
                    _ => return Err(SubscribeError::GapNotice),
                };
                gap_notice.get_or_insert(wanted);
            } else if name == LAST_EVENT_ID && rules.legacy == Some(Version::V7) {
                oldest.get_or_insert_with(|| Since::new(value.as_bytes(), limits));
            }
        }
        if matchers.is_empty() {
            return Err(match has_topic {
                true => SubscribeError::TopicInsteadOfMatch,
                false => SubscribeError::NoMatcher,
            });
        }
        let parameter = cursors.into_iter().flatten().next().or(oldest);
        Ok(Subscription {
            matchers: MatcherSet::new(matchers),
            legacy: has_topic && rules.legacy.is_some(),
            since: since(last_event_id_header, parameter, limits),
            gap_notice,
        })
    }
}

/// How the value of a parameter is a matcher.
enum Kind {
    Matcher(MatcherType),
    /// As 0.x has them.
    Selector,
}

impl Since {
    fn new(value: &[u8], limits: &Limits) -> Since {
        match std::str::from_utf8(value) {
            Ok("") => Since::Empty,
            Ok(EARLIEST) => Since::Earliest,
            Ok(id) if id.len() <= limits.id_len_max && text::check(id).is_ok() => {
                Since::Id(id.into())
            }
            _ => Since::Unknown,
        }
    }
}

/// The parameter by which a subscriber asks for a notice, or declines it. An addition of this hub:
/// others ignore it, as they ignore every name that they do not know.
const GAP_NOTICE: &str = "petasos_gap";

/// In the order in which they win over each other.
const CURSOR_NAMES: [&str; 3] = ["last_event_id", "lastEventID", "lastEventId"];

/// "The HTTP header MUST take precedence" (draft-08 #reconciliation), unless it is empty and
/// there is something to take precedence over.
fn since(header: Option<&[u8]>, parameter: Option<Since>, limits: &Limits) -> Option<Since> {
    match header {
        Some(value) if !value.is_empty() || parameter.is_none() => Some(Since::new(value, limits)),
        _ => parameter,
    }
}

/// The matcher type that a parameter name stands for; `None` outside the reserved namespace: "a
/// name equal to `match`, or beginning with `match` under an ASCII case-insensitive comparison"
/// (draft-08 #subscription).
fn matcher_type(name: &str) -> Result<Option<MatcherType>, SubscribeError> {
    if name == "match" {
        return Ok(Some(MatcherType::Exact));
    }
    if !name.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"match")) {
        return Ok(None);
    }
    let matcher_type = name.strip_prefix("match_").and_then(MatcherType::from_name);
    let unknown = || SubscribeError::UnknownMatcher { name: text::excerpt(name) };
    matcher_type.map(Some).ok_or_else(unknown)
}

fn supported_names() -> String {
    let named = MatcherType::ALL.map(|matcher_type| format!(", `match_{}`", matcher_type.name()));
    format!("`match`{}", named.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{fixture::HUB, matcher::Matcher};
    use std::{convert::Infallible, hash::RandomState};

    fn patterns() -> Patterns {
        Patterns::new(&HUB, RandomState::new())
    }

    fn parse_with(
        query: &str,
        header: Option<&[u8]>,
        strict: bool,
    ) -> Result<Subscription, SubscribeError> {
        let pairs = form_urlencoded::parse(query.as_bytes()).map(Ok::<_, Infallible>);
        let limits =
            Limits { matchers_max: 3, matcher_len_max: 12, id_len_max: 6, ..Limits::default() };
        let rules = QueryRules { strict, legacy: None };
        Subscription::parse(pairs, header, rules, &limits, &mut patterns())
    }

    fn matchers(query: &str) -> Result<Vec<Matcher>, SubscribeError> {
        parse_with(query, None, false).map(|found| found.matchers.iter().cloned().collect())
    }

    fn exact(text: &str) -> Matcher {
        Matcher::Exact(text.into())
    }

    #[test]
    fn matchers_are_read() {
        for (query, expected) in [
            ("match=a", vec![exact("a")]),
            ("match_exact=a", vec![exact("a")]),
            ("match=b&match_exact=a&match=b", vec![exact("a"), exact("b")]),
            ("match=*", vec![Matcher::Any]),
            ("match_exact=*&match=a", vec![Matcher::Any, exact("a")]),
            ("match", vec![exact("")]),
            ("match=", vec![exact("")]),
            ("match=a%20b+c", vec![exact("a b c")]),
            ("match=%C3%A9", vec![exact("é")]),
            ("%6Datch=a", vec![exact("a")]),
            ("match=a;b", vec![exact("a;b")]),
            ("topic=x&match=a&Topic=1&foo", vec![exact("a")]),
            ("mat=1&xmatch=2&match=a", vec![exact("a")]),
        ] {
            assert_eq!(matchers(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn the_reserved_namespace_is_reserved() {
        for name in [
            "Match",
            "MATCH",
            "match_",
            "match_Exact",
            "match_EXACT",
            "Match_exact",
            "matcher",
            "matches",
            "match-exact",
            "match_URLPattern",
            "match_urlpatterns",
            "match_regex",
            "match[]",
            "match%20",
            "mAtChé",
        ] {
            // Beside a good one, and even with the wildcard.
            for value in ["a", "*"] {
                let error = matchers(&format!("match=a&{name}={value}")).unwrap_err();
                let SubscribeError::UnknownMatcher { name: named } = &error else {
                    panic!("{name}: {error}");
                };
                let decoded = name.replace("%20", " ");
                assert_eq!(*named, format!("`{decoded}`"));
                assert!(
                    error
                        .to_string()
                        .contains("supports `match`, `match_exact`, `match_urlpattern`")
                );
            }
        }
    }

    #[test]
    fn patterns_are_compiled_and_limited() {
        let pattern = |text: &str| crate::protocol::fixture::matcher(text);
        let set = |texts: &[&str]| Ok(texts.iter().map(|text| pattern(text)).collect());
        assert_eq!(matchers("match_urlpattern=/:a&match=b"), set(&["b", "/:a"]));
        assert_eq!(matchers("match_urlpattern=*"), set(&["*"]));
        let error = matchers("match_urlpattern=(").unwrap_err().to_string();
        assert!(
            error.starts_with("the value of `match_urlpattern` is no URL pattern: "),
            "{error}"
        );
        let query = |count| {
            let one =
                |number| format!("match_urlpattern=/{number}(x)&match_urlpattern=/{number}/:x");
            (0..count).map(one).collect::<Vec<_>>().join("&")
        };
        let parse = |query: &str| {
            let pairs = form_urlencoded::parse(query.as_bytes()).map(Ok::<_, Infallible>);
            let (rules, limits) = (QueryRules::default(), Limits::default());
            Subscription::parse(pairs, None, rules, &limits, &mut patterns())
        };
        assert_eq!(parse(&query(100)).unwrap().matchers.iter().len(), 200);
        assert_eq!(parse(&query(101)), Err(SubscribeError::TooManyRegexps { max: 100 }));
    }

    #[test]
    fn requests_that_ask_for_nothing_or_too_much_are_refused() {
        for (query, expected) in [
            ("", SubscribeError::NoMatcher),
            ("foo=1&last_event_id=x", SubscribeError::NoMatcher),
            ("topic=a", SubscribeError::TopicInsteadOfMatch),
            // Counted before equal ones are taken together.
            ("match=a&match=a&match=a&match=a", SubscribeError::TooManyMatchers { max: 3 }),
            (
                "match_exact=1234567890123",
                SubscribeError::Matcher {
                    name: "match_exact".into(),
                    source: MatcherError::TooLong { len_max: 12 },
                },
            ),
        ] {
            assert_eq!(matchers(query), Err(expected), "{query}");
        }
        assert!(matchers("match=123456789012&match=2&match=3").is_ok());
        assert!(SubscribeError::TopicInsteadOfMatch.to_string().contains("`match`"));
        for query in ["match=a%0A", "match=%00", "match=%7F", "match=%C2%85", "match=%E2%80%8B"] {
            let error = matchers(query).unwrap_err();
            assert!(error.to_string().starts_with("the value of `match` contains U+"), "{error}");
        }
    }

    #[test]
    fn pairs_that_were_not_utf8_are_refused() {
        let pairs = [Ok(("match".into(), "a".into())), Err(())];
        let result = Subscription::parse(
            pairs,
            None,
            QueryRules::default(),
            &Limits::default(),
            &mut patterns(),
        );
        assert_eq!(result, Err(SubscribeError::NotUtf8));
    }

    #[test]
    fn the_last_event_id_is_found_where_it_counts() {
        let id = |text: &str| Some(Since::Id(text.into()));
        for (query, header, expected) in [
            ("", None, None),
            ("last_event_id=q", None, id("q")),
            ("last_event_id=earliest", None, Some(Since::Earliest)),
            ("last_event_id=Earlie", None, id("Earlie")),
            ("last_event_id=", None, Some(Since::Empty)),
            ("last_event_id", None, Some(Since::Empty)),
            ("last_event_id=q", Some("h"), id("h")),
            ("last_event_id=q", Some("earliest"), Some(Since::Earliest)),
            ("last_event_id=q", Some(""), id("q")),
            ("last_event_id=", Some(""), Some(Since::Empty)),
            ("", Some(""), Some(Since::Empty)),
            ("", Some("h"), id("h")),
            ("lastEventID=q", None, id("q")),
            ("lastEventId=q", None, id("q")),
            ("lastEventID=q", Some(""), id("q")),
            ("lastEventID=q", Some("h"), id("h")),
            ("lastEventId=3&lastEventID=2&last_event_id=1", None, id("1")),
            ("lastEventId=3&lastEventID=2", None, id("2")),
            ("lastEventID=2&last_event_id=", None, Some(Since::Empty)),
            ("last_event_id=1&last_event_id=2", None, id("1")),
            ("LastEventID=1&Last-Event-ID=2&lasteventid=3", None, None),
            ("last_event_id=123456", None, id("123456")),
            ("last_event_id=1234567", None, Some(Since::Unknown)),
            ("last_event_id=a%0Ab", None, Some(Since::Unknown)),
            ("", Some("a\u{200b}"), Some(Since::Unknown)),
        ] {
            let query = format!("match=a&{query}");
            let found = parse_with(&query, header.map(str::as_bytes), false).unwrap();
            assert_eq!(found.since, expected, "{query} {header:?}");
        }
        let found = parse_with("match=a", Some(b"\xff"), false).unwrap();
        assert_eq!(found.since, Some(Since::Unknown));
    }

    #[test]
    fn a_notice_of_gaps_is_asked_for_or_declined() {
        let parse = |query: &str, strict| {
            let found = parse_with(&format!("match=a{query}"), None, strict);
            found.map(|found| found.gap_notice)
        };
        for strict in [false, true] {
            assert_eq!(parse("", strict), Ok(None));
            assert_eq!(parse("&petasos_gap=1", strict), Ok(Some(true)));
            assert_eq!(parse("&petasos_gap=0", strict), Ok(Some(false)));
            assert_eq!(parse("&petasos_gap=0&petasos_gap=1", strict), Ok(Some(false)));
            assert_eq!(parse("&Petasos_gap=1&petasos_gaps=1", strict), Ok(None));
        }
        for value in ["", "=", "=2", "=on", "=true", "=1&petasos_gap=x"] {
            let query = format!("&petasos_gap{value}");
            assert_eq!(parse(&query, false), Err(SubscribeError::GapNotice), "{query}");
        }
    }

    #[test]
    fn a_strict_query_takes_one_spelling_of_the_last_event_id() {
        for (query, expected) in [
            ("match=a&lastEventID=1", None),
            ("match=a&lastEventId=1", None),
            ("match=a&lastEventID=1&last_event_id=2", Some(Since::Id("2".into()))),
        ] {
            assert_eq!(parse_with(query, None, true).unwrap().since, expected, "{query}");
        }
    }
}
