//! Subscriptions: queries and last event ids.

use petasos::{
    http::form,
    protocol::{
        patterns::Patterns,
        subscribe::{QueryRules, Since, Subscription},
        text,
    },
};

use super::{HASHER, HUB, limits};

/// A query, and behind the first line feed, if there is one, the value of `Last-Event-ID`.
pub fn subscribe(input: &[u8]) -> bool {
    let mut parts = input.splitn(2, |&byte| byte == b'\n');
    let (query, header) = (parts.next().unwrap_or_default(), parts.next());
    let limits = limits();
    let parse = |query: &[u8], strict| {
        let patterns = &mut Patterns::new(&HUB, HASHER.clone());
        Subscription::parse(
            form::pairs(query),
            header,
            QueryRules { strict, legacy: None },
            &limits,
            patterns,
        )
    };
    let Ok(subscription) = parse(query, false) else {
        assert!(parse(query, true).is_err(), "strictness takes away cursors only");
        return false;
    };
    let Subscription { matchers, since, gap_notice: _, legacy: _ } = &subscription;
    assert!(!matchers.is_empty() && matchers.iter().count() <= limits.matchers_max);
    for matcher in matchers.iter() {
        assert!(matcher.text().len() <= limits.matcher_len_max);
        assert_eq!(text::check(matcher.text()), Ok(()));
    }
    if let Some(Since::Id(id)) = since {
        assert!(!id.is_empty() && id.len() <= limits.id_len_max && text::check(id).is_ok());
    }
    assert_eq!(parse(query, true).expect("strict").matchers, *matchers);
    // The same pairs, spelled anew.
    let pairs = form::pairs(query).map(|pair| pair.expect("accepted"));
    let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    assert_eq!(parse(again.as_bytes(), false).as_ref(), Ok(&subscription));
    true
}
