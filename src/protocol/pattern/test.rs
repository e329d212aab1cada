//! What one component of a pattern wants of that component of a URL.

use urlpattern::{component::Component, matcher::InnerMatcher, regexp::RegExp};

use super::{
    PatternError,
    regexp::{Regexp, Source, common_start},
    segments,
    template::Template,
};

#[derive(Debug)]
pub(super) enum Test {
    Literal(Box<str>),
    /// One wildcard between two texts.
    Wildcard {
        prefix: Box<str>,
        suffix: Box<str>,
        /// What the wildcard must not contain.
        delimiter: Option<char>,
        may_be_empty: bool,
    },
    /// Texts and segments in turn.
    Template(Template),
    /// Anything else.
    Regexp(Box<RegexpTest>),
}

/// A regular expression between two texts.
#[derive(Debug)]
pub(super) struct RegexpTest {
    /// What everything begins with that passes: at least the prefix.
    start: Box<str>,
    prefix: Box<str>,
    suffix: Box<str>,
    regexp: Regexp,
}

impl Test {
    /// `None`: everything passes.
    pub(super) fn new(
        parsed: Component<Source>,
        delimiter: Option<char>,
    ) -> Result<Option<Test>, PatternError> {
        let Component { pattern_string, matcher, has_regexp_group, .. } = parsed;
        let (prefix, suffix) = (matcher.prefix.into_boxed_str(), matcher.suffix.into_boxed_str());
        let source = match matcher.inner {
            InnerMatcher::Literal { literal } => return Ok(Some(Test::Literal(literal.into()))),
            InnerMatcher::SingleCapture { filter: None, allow_empty: true }
                if prefix.is_empty() && suffix.is_empty() =>
            {
                return Ok(None);
            }
            InnerMatcher::SingleCapture { filter: delimiter, allow_empty: may_be_empty } => {
                return Ok(Some(Test::Wildcard { prefix, suffix, delimiter, may_be_empty }));
            }
            InnerMatcher::RegExp { regexp } => regexp.map_err(super::syntax)?,
        };
        let template = delimiter.filter(|_| !has_regexp_group).and_then(|delimiter| {
            // Segments of an opaque path may contain slashes.
            let fits = delimiter == '.' || pattern_string.starts_with('/');
            fits.then(|| Template::read(&pattern_string, delimiter)).flatten()
        });
        if let Some(template) = template {
            return Ok(Some(Test::Template(template)));
        }
        let regexp = Regexp::new(source.pattern_string())?;
        let start = (prefix.to_string() + &common_start(source.pattern_string())).into();
        Ok(Some(Test::Regexp(Box::new(RegexpTest { start, prefix, suffix, regexp }))))
    }

    pub(super) fn passes(&self, text: &str) -> bool {
        match self {
            Test::Literal(literal) => **literal == *text,
            Test::Wildcard { prefix, suffix, delimiter, may_be_empty } => {
                between(text, prefix, suffix).is_some_and(|middle| {
                    (*may_be_empty || !middle.is_empty())
                        && delimiter.is_none_or(|delimiter| !middle.contains(delimiter))
                })
            }
            Test::Template(template) => template.passes(text),
            Test::Regexp(test) => between(text, &test.prefix, &test.suffix)
                .is_some_and(|middle| test.regexp.matches(middle)),
        }
    }

    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Test::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// See [`super::Pattern::path_start`].
    pub(super) fn first_segments(&self) -> Vec<Option<&str>> {
        match self {
            Test::Literal(literal) => segments(literal).map(Some).collect(),
            Test::Template(template) => template.first_segments(),
            Test::Wildcard { prefix, suffix, delimiter: Some('/'), may_be_empty: false }
                if prefix.ends_with('/') && (suffix.is_empty() || suffix.starts_with('/')) =>
            {
                let mut segments = whole_segments(prefix);
                segments.push(None);
                segments.extend(suffix.split('/').skip(1).map(Some));
                segments
            }
            Test::Wildcard { prefix, .. } => whole_segments(prefix),
            Test::Regexp(test) => whole_segments(&test.start),
        }
    }

    pub(super) fn footprint(&self) -> usize {
        match self {
            Test::Literal(literal) => literal.len(),
            Test::Wildcard { prefix, suffix, .. } => prefix.len() + suffix.len(),
            Test::Template(template) => template.footprint(),
            Test::Regexp(test) => {
                let RegexpTest { start, prefix, suffix, regexp } = &**test;
                size_of::<RegexpTest>()
                    + (start.len() + prefix.len() + suffix.len())
                    + regexp.footprint()
            }
        }
    }
}

/// What stands between the texts.
fn between<'t>(text: &'t str, prefix: &str, suffix: &str) -> Option<&'t str> {
    text.strip_prefix(prefix)?.strip_suffix(suffix)
}

/// The segments of a text that goes on: without the last one, which may go on too.
fn whole_segments(text: &str) -> Vec<Option<&str>> {
    let mut segments: Vec<_> = segments(text).map(Some).collect();
    segments.pop();
    segments
}
