//! URL patterns (draft-08 #url-pattern).
//!
//! A pattern is parsed by the `urlpattern` library, to the letter of the standard, and kept as the
//! tests of those components that do not take everything. Most tests are comparisons of text. A
//! regular expression is built only where a pattern needs one; the engine is linear in the text,
//! and what it builds is limited in size, so that no pattern costs more than its share.

mod regexp;
mod template;
mod test;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use url::Url;
use urlpattern::{UrlPattern, UrlPatternInit, UrlPatternOptions};

use self::{regexp::Source, test::Test};
use super::topic_url::Components;

/// A URL pattern, compiled. Equal texts are equal patterns, since a hub has one base URL.
pub struct Pattern {
    text: Box<str>,
    /// Those that fail most often come first.
    tests: Box<[(Component, Test)]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    Host,
    Path,
    Scheme,
    Port,
    Query,
    Fragment,
    UserName,
    Password,
}

/// Why a text is no URL pattern. The texts are for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("is no URL pattern: {0}")]
    Syntax(String),
    #[error("has a regular expression that this hub does not take: {0}")]
    Regexp(String),
    #[error("is too complex: use fewer groups and repetitions")]
    TooComplex,
}

impl Pattern {
    /// Compiles a pattern, relative to `base` if it is relative: "the hub MUST use the hub's URL
    /// as the base URL", and "hubs MUST NOT enable the `ignoreCase` option".
    pub fn parse(text: &str, base: &Url) -> Result<Pattern, PatternError> {
        // Each costs the parser much more than a character.
        if text.bytes().filter(|byte| b":({*".contains(byte)).count() > GROUPS_MAX {
            return Err(PatternError::TooComplex);
        }
        Pattern::compile(text, Pattern::init(text, base)?)
    }

    fn init(text: &str, base: &Url) -> Result<UrlPatternInit, PatternError> {
        let init = UrlPatternInit::parse_constructor_string::<Source>(text, Some(base.clone()));
        let mut init = init.map_err(syntax)?;
        if init.protocol.is_some() {
            // It is absolute; with a base, `urn:a` would be a file beside the hub.
            init.base_url = None;
        }
        Ok(init)
    }

    fn compile(text: &str, init: UrlPatternInit) -> Result<Pattern, PatternError> {
        let options = UrlPatternOptions::default();
        let parsed = UrlPattern::<Source>::parse(init, options).map_err(syntax)?;
        let UrlPattern { protocol, username, password, hostname, port, pathname, search, hash } =
            parsed;
        let mut tests = Vec::new();
        for (component, parsed, delimiter) in [
            (Component::Host, hostname, Some('.')),
            (Component::Path, pathname, Some('/')),
            (Component::Scheme, protocol, None),
            (Component::Port, port, None),
            (Component::Query, search, None),
            (Component::Fragment, hash, None),
            (Component::UserName, username, None),
            (Component::Password, password, None),
        ] {
            if let Some(test) = Test::new(parsed, delimiter)? {
                tests.push((component, test));
            }
        }
        Ok(Pattern { text: text.into(), tests: tests.into() })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern selects a topic that is this URL.
    pub fn matches(&self, url: Components<'_>) -> bool {
        self.tests.iter().all(|(component, test)| test.passes(component.of(url)))
    }

    /// Whether the pattern is none of the simple ones: it takes a hundred times as long to compile.
    pub fn has_regexp(&self) -> bool {
        self.tests.iter().any(|(_, test)| matches!(test, Test::Regexp(_)))
    }

    /// The only host whose topics the pattern can select; `None`: any.
    pub fn host(&self) -> Option<&str> {
        self.test(Component::Host).and_then(Test::literal)
    }

    /// How the paths of all selected topics begin, segment by segment: `None` stands for any
    /// segment. A path is cut into segments as [`segments`] does it.
    pub fn path_start(&self) -> Vec<Option<&str>> {
        self.test(Component::Path).map_or_else(Vec::new, Test::first_segments)
    }

    /// Bytes that the pattern holds beside its own size, about.
    pub(super) fn footprint(&self) -> usize {
        let tests = self.tests.iter().map(|(_, test)| size_of::<Test>() + test.footprint());
        self.text.len() + tests.sum::<usize>()
    }

    fn test(&self, component: Component) -> Option<&Test> {
        self.tests.iter().find(|(other, _)| *other == component).map(|(_, test)| test)
    }
}

/// A pattern with more names, wildcards and groups is refused.
const GROUPS_MAX: usize = 50;

/// The segments of a path: between slashes, or, in paths that do not begin with one (`urn:a:b`),
/// between colons.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    match path.strip_prefix('/') {
        Some(rest) => rest.split('/'),
        None => path.split(':'),
    }
}

impl Component {
    fn of(self, url: Components<'_>) -> &str {
        match self {
            Component::Host => url.host(),
            Component::Path => url.path(),
            Component::Scheme => url.scheme(),
            Component::Port => url.port(),
            Component::Query => url.query(),
            Component::Fragment => url.fragment(),
            Component::UserName => url.user().0,
            Component::Password => url.user().1,
        }
    }
}

fn syntax(error: urlpattern::Error) -> PatternError {
    PatternError::Syntax(error.to_string())
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Pattern) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Pattern) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests;
