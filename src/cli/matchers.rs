//! Topics and URL patterns as arguments, understood as the hub understands them: what it would
//! refuse is refused before anything is signed or sent.

use clap::ArgMatches;
use std::sync::Arc;

use super::Failure;
use crate::{
    client,
    protocol::{
        hub_url::HubUrl,
        matcher::{Matcher, MatcherError, MatcherType},
        pattern::{Pattern, PatternError},
        text::excerpt,
    },
};

/// How long a matcher may be is a setting of the hub.
const LEN_MAX: usize = usize::MAX;

/// How errors of patterns go on: most of them come from a character that was meant as it stands.
const PATTERN_HELP: &str = "in a URL pattern `:name` is one segment and `*` is anything; as they \
     stand, `:`, `*`, `(` and `{` are written `\\:`, `\\*`, `\\(` and `\\{`";

/// The matchers that an argument has, which errors call `shown`.
pub(super) fn read(
    matches: &ArgMatches,
    argument: &str,
    shown: &str,
    matcher_type: MatcherType,
) -> Result<Vec<client::Matcher>, Failure> {
    let texts = matches.get_many::<String>(argument).unwrap_or_default();
    texts
        .map(|text| {
            matcher(text, matcher_type)
                .map_err(|problem| Failure::Told(format!("{shown}: {problem}")))
        })
        .collect()
}

fn matcher(text: &str, matcher_type: MatcherType) -> Result<client::Matcher, String> {
    if text.is_empty() {
        // An unset variable of the shell, mostly. A hub would take it, and nothing would come.
        return Err("it is empty; name a topic, or * for all of them".to_owned());
    }
    // Whatever the base, a pattern is one or is none.
    let hub = HubUrl::without_name();
    let compile = |text: &str| Pattern::parse(text, hub.url()).map(Arc::new);
    match matcher_type.matcher(text, LEN_MAX, compile) {
        Ok(Matcher::Any) => Ok(client::Matcher::Any),
        // Templates are not asked for here.
        Ok(Matcher::Exact(_) | Matcher::Template(_)) => Ok(client::Matcher::Exact(text.to_owned())),
        Ok(Matcher::Pattern(_)) => Ok(client::Matcher::UrlPattern(text.to_owned())),
        Err(error @ MatcherError::Pattern(PatternError::Syntax(_))) => {
            Err(format!("{} {error}\n{PATTERN_HELP}", excerpt(text)))
        }
        Err(error) => Err(format!("{} {error}", excerpt(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_the_hub_reads_them() {
        use client::Matcher::{Any, Exact, UrlPattern};
        for (matcher_type, text, expected) in [
            (MatcherType::Exact, "*", Any),
            (MatcherType::UrlPattern, "*", Any),
            (MatcherType::Exact, "/a/:b(", Exact("/a/:b(".to_owned())),
            (MatcherType::UrlPattern, "/a/:b", UrlPattern("/a/:b".to_owned())),
        ] {
            assert_eq!(matcher(text, matcher_type), Ok(expected), "{text}");
        }
        for (matcher_type, text, expected) in [
            (MatcherType::Exact, "", "it is empty"),
            (MatcherType::UrlPattern, "", "it is empty"),
            (MatcherType::Exact, "a\u{200b}", "`a\\u{200b}` contains U+200B"),
            (MatcherType::UrlPattern, "/a\n", "`/a\\u{a}` contains U+000A"),
            (MatcherType::UrlPattern, "/:a/:a", "`/:a/:a` is no URL pattern: "),
            (MatcherType::UrlPattern, "/([z-a])", "`/([z-a])` has a regular expression"),
        ] {
            let problem = matcher(text, matcher_type).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
            let helps = expected.contains("is no URL pattern");
            assert_eq!(problem.ends_with(PATTERN_HELP), helps, "{problem}");
        }
    }
}
