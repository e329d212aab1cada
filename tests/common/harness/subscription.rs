//! Subscriptions: queries and last event ids.

use petasos::{
    http::form,
    legacy::{Version, uri_template::UriTemplate},
    protocol::{
        matcher::{Matcher, MatcherSet},
        patterns::Patterns,
        subscribe::{QueryRules, Since, SubscribeError, Subscription},
        text,
    },
};

use super::{HASHER, HUB, limits};

fn parse(query: &[u8], header: Option<&[u8]>, rules: QueryRules) -> Parsed {
    let patterns = &mut Patterns::new(&HUB, HASHER.clone());
    Subscription::parse(form::pairs(query), header, rules, &limits(), patterns)
}

type Parsed = Result<Subscription, SubscribeError>;

/// A query, and behind the first line feed, if there is one, the value of `Last-Event-ID`.
pub fn subscribe(input: &[u8]) -> bool {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (query, header) = (parts.next().unwrap_or_default(), parts.next());
    let limits = limits();
    let rules = |legacy| QueryRules { strict: false, legacy };
    let old = [Version::V7, Version::V8].map(|version| parse(query, header, rules(Some(version))));
    let parsed = parse(query, header, rules(None));
    old_ones(query, header, &parsed, &old);
    let strict = parse(query, header, QueryRules { strict: true, legacy: None });
    let Ok(subscription) = parsed else {
        assert!(strict.is_err(), "strictness takes away cursors only");
        return old.iter().any(Result::is_ok);
    };
    let Subscription { matchers, since, gap_notice: _, legacy } = &subscription;
    assert!(!matchers.is_empty() && matchers.iter().count() <= limits.matchers_max && !legacy);
    for matcher in matchers.iter() {
        assert!(matcher.text().len() <= limits.matcher_len_max);
        assert_eq!(text::check(matcher.text()), Ok(()));
        assert!(!matches!(matcher, Matcher::Template(_)), "{matcher:?}");
    }
    if let Some(Since::Id(id)) = since {
        assert!(!id.is_empty() && id.len() <= limits.id_len_max && text::check(id).is_ok());
    }
    assert_eq!(strict.expect("strict").matchers, *matchers);
    assert_eq!(parse(&again(query), header, rules(None)).as_ref(), Ok(&subscription));
    true
}

/// The same pairs, spelled anew.
fn again(query: &[u8]) -> Vec<u8> {
    let pairs = form::pairs(query).map(|pair| pair.expect("accepted"));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
}

/// To whom clients of 0.x speak the query means the same and what its `topic` parameters say, and
/// `oldest` tells a cursor by one more name.
fn old_ones(query: &[u8], header: Option<&[u8]>, today: &Parsed, [oldest, old]: &[Parsed; 2]) {
    let limits = limits();
    let Ok(old) = old else {
        let reason = old.as_ref().expect_err("refused");
        let is_of_topic = match reason {
            SubscribeError::Matcher { name, .. } => name == "topic",
            SubscribeError::TooManyMatchers { .. } => true,
            _ => false,
        };
        assert!(today.is_err() || is_of_topic, "{reason:?}: {}", query.escape_ascii());
        assert!(oldest.is_err());
        return;
    };
    let pairs: Vec<_> = form::pairs(query).map(|pair| pair.expect("accepted")).collect();
    let selectors: Vec<Matcher> = pairs
        .iter()
        .filter(|(name, _)| name == "topic")
        .map(|(_, value)| match (&**value, UriTemplate::parse(value)) {
            ("*", _) => Matcher::Any,
            (_, Some(template)) => Matcher::Template(template.into()),
            (text, None) => Matcher::Exact(text.into()),
        })
        .collect();
    assert!(selectors.len() <= limits.matchers_max);
    assert_eq!(old.legacy, !selectors.is_empty());
    let matchers = match today {
        Ok(today) => today.matchers.iter().cloned().collect(),
        Err(error) => {
            assert_eq!(*error, SubscribeError::TopicInsteadOfMatch);
            Vec::new()
        }
    };
    let expected: MatcherSet = matchers.into_iter().chain(selectors).collect();
    assert_eq!(old.matchers, expected, "{}", query.escape_ascii());
    let rules = QueryRules { strict: false, legacy: Some(Version::V8) };
    let respelled = parse(&again(query), None, rules).expect("as before");
    assert_eq!(respelled.matchers, old.matchers);
    if let Ok(today) = today {
        assert_eq!((&today.since, today.gap_notice), (&old.since, old.gap_notice));
    }
    let oldest = oldest.as_ref().expect("it takes no less");
    assert_eq!((&oldest.matchers, oldest.gap_notice), (&old.matchers, old.gap_notice));
    // Of all names it comes last.
    let value = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, it)| it);
    let is_told = ["last_event_id", "lastEventID", "lastEventId"]
        .into_iter()
        .any(|name| value(name).is_some());
    let expected = match value("Last-Event-ID") {
        Some(value) if header.is_none_or(<[u8]>::is_empty) && !is_told => {
            let mut query = form_urlencoded::Serializer::new("match=a".to_owned());
            let query = query.append_pair("last_event_id", value).finish();
            parse(query.as_bytes(), None, rules).expect("as before").since
        }
        _ => old.since.clone(),
    };
    assert_eq!(oldest.since, expected, "{}", query.escape_ascii());
}
