//! URL patterns, against the library that parses them, as it evaluates them itself.

use std::{cell::OnceCell, sync::Arc};

use petasos::protocol::{
    limits::Limits,
    matcher::{Matcher, MatcherError, MatcherSet, MatcherType},
    pattern::{Pattern, PatternError, segments},
    text,
    topic::Topic,
};
use regex::Regex;
use urlpattern::{RegexSyntax, UrlPattern, UrlPatternInit, UrlPatternMatchInput, regexp::RegExp};

use super::{HASHER, HUB};

/// Bytes that no pattern exceeds, however it is written.
const FOOTPRINT_MAX: usize = 1 << 20;

/// A pattern, and behind each line feed a topic, which it selects or not as the standard says.
pub fn pattern(input: &[u8]) -> bool {
    let Ok(input) = std::str::from_utf8(input) else { return false };
    let mut lines = input.split('\n');
    let pattern = lines.next().unwrap_or_default();
    let compile = |text: &str| Pattern::parse(text, HUB.url()).map(Arc::new);
    let len_max = Limits::default().matcher_len_max;
    let matcher = match MatcherType::UrlPattern.matcher(pattern, len_max, compile) {
        Ok(matcher) => matcher,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line for the client: {error}");
            let is_syntax = matches!(error, MatcherError::Pattern(PatternError::Syntax(_)));
            assert!(!is_syntax || oracle(pattern).is_none(), "{pattern} is one: {error}");
            return false;
        }
    };
    let parts = match &matcher {
        Matcher::Pattern(pattern) => Some(Arc::clone(pattern)),
        Matcher::Any | Matcher::Exact(_) | Matcher::Template(_) => None,
    };
    assert_eq!(parts.is_none(), pattern == "*");
    let set = MatcherSet::new(vec![matcher]);
    assert!(set.footprint() < FOOTPRINT_MAX, "{pattern}: {} bytes", set.footprint());
    let Some(parts) = parts else { return true };
    let oracle = oracle(pattern).unwrap_or_else(|| panic!("{pattern} is none to the library"));
    for topic in lines.take(8).filter(|topic| text::check(topic).is_ok()) {
        let url = HUB.url().join(topic).ok();
        let expected = url.is_some_and(|url| {
            oracle.test(UrlPatternMatchInput::Url(url)).expect("nothing to go wrong with a URL")
        });
        let topic = Topic::new(topic, &HUB, &HASHER);
        assert_eq!(set.matches(&topic), expected, "{pattern} {topic:?}");
        if let Some(url) = topic.url().filter(|_| expected) {
            // The hub looks for it where it says that its topics are.
            assert!(parts.host().is_none_or(|host| host == url.host()), "{pattern} {topic:?}");
            let mut found = segments(url.path());
            for wanted in parts.path_start() {
                let found = found.next();
                let fits = found.is_some() && wanted.is_none_or(|wanted| Some(wanted) == found);
                assert!(fits, "{pattern} {topic:?} {:?}", parts.path_start());
            }
        }
    }
    true
}

/// What the library makes of a pattern, with regular expressions that limit and rewrite nothing.
fn oracle(pattern: &str) -> Option<UrlPattern<Lazy>> {
    let base = Some(HUB.url().clone());
    let mut init = UrlPatternInit::parse_constructor_string::<Lazy>(pattern, base).ok()?;
    // As everywhere in the hub, an absolute pattern has no base.
    if init.protocol.is_some() {
        init.base_url = None;
    }
    UrlPattern::parse(init, Default::default()).ok()
}

/// Built when it is asked, which few are, and which takes long.
struct Lazy {
    source: String,
    regex: OnceCell<Option<Regex>>,
}

impl RegExp for Lazy {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(source: &str, _: &str, _: bool) -> Result<Self, ()> {
        Ok(Lazy { source: source.to_owned(), regex: OnceCell::new() })
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let regex = self.regex.get_or_init(|| Regex::new(&self.source).ok()).as_ref()?;
        regex.is_match(text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.source
    }
}
