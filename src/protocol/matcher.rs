//! Topic matchers and what subscribers and tokens make of them.

use std::{cmp::Ordering, sync::Arc};

use super::{
    hub_url::HubUrl,
    pattern::{Pattern, PatternError},
    text::{self, ForbiddenCharacter},
    topic::Topic,
    topic_url::TopicUrl,
    update::Update,
};
use crate::legacy::uri_template::UriTemplate;

/// How the text of a matcher is read (draft-08 #matcher-types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatcherType {
    /// The default.
    Exact,
    UrlPattern,
}

/// Why a text is no matcher of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("is longer than {len_max} bytes")]
    TooLong { len_max: usize },
    #[error(transparent)]
    Character(#[from] ForbiddenCharacter),
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl MatcherType {
    /// Every type that this hub supports.
    pub const ALL: [MatcherType; 2] = [MatcherType::Exact, MatcherType::UrlPattern];

    /// The canonical name, compared byte by byte (draft-08 #summary-of-matcher-types).
    pub fn name(self) -> &'static str {
        match self {
            MatcherType::Exact => "exact",
            MatcherType::UrlPattern => "urlpattern",
        }
    }

    pub fn from_name(name: &str) -> Option<MatcherType> {
        MatcherType::ALL.into_iter().find(|matcher_type| matcher_type.name() == name)
    }

    /// The matcher that `value` is in this type, or `Matcher::Any` if it is the wildcard. Patterns
    /// are compiled, or found, by `compile`.
    pub fn matcher(
        self,
        value: &str,
        len_max: usize,
        compile: impl FnOnce(&str) -> Result<Arc<Pattern>, PatternError>,
    ) -> Result<Matcher, MatcherError> {
        Matcher::read(value, len_max, |text| match self {
            MatcherType::Exact => Ok(Matcher::Exact(text.into())),
            MatcherType::UrlPattern => Ok(Matcher::Pattern(compile(text)?)),
        })
    }
}

/// A topic matcher (draft-08 #matcher-types).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matcher {
    /// `*`: every topic, whatever the matcher type.
    Any,
    /// Byte-for-byte comparison (draft-08 #exact-matching).
    Exact(Box<str>),
    /// A topic selector of 0.x that is a URI template (draft-07 #topic-selectors).
    Template(Arc<UriTemplate>),
    /// Evaluation of a URL pattern (draft-08 #url-pattern).
    Pattern(Arc<Pattern>),
}

impl Matcher {
    /// The value that matches every topic, in every type (draft-08 #matcher-types).
    pub const WILDCARD: &str = "*";

    /// The matcher as it was written.
    pub fn text(&self) -> &str {
        match self {
            Matcher::Any => Matcher::WILDCARD,
            Matcher::Exact(text) => text,
            Matcher::Template(template) => template.text(),
            Matcher::Pattern(pattern) => pattern.text(),
        }
    }

    /// What a topic selector of 0.x is: `*`, a URI template, or a text that matches itself.
    pub fn selector(value: &str, len_max: usize) -> Result<Matcher, MatcherError> {
        Matcher::read(value, len_max, |text| {
            Ok(match UriTemplate::parse(text) {
                Some(template) => Matcher::Template(Arc::new(template)),
                None => Matcher::Exact(text.into()),
            })
        })
    }

    /// The wildcard, or what `read` makes of a text that a matcher may have.
    fn read(
        value: &str,
        len_max: usize,
        read: impl FnOnce(&str) -> Result<Matcher, MatcherError>,
    ) -> Result<Matcher, MatcherError> {
        if value == Matcher::WILDCARD {
            return Ok(Matcher::Any);
        }
        if value.len() > len_max {
            return Err(MatcherError::TooLong { len_max });
        }
        text::check(value)?;
        read(value)
    }
}

/// A set of matchers without repetition, in one order, so that equal sets are equal values:
/// what a subscriber listens to, or what a token grants an action on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MatcherSet {
    sorted: Box<[Matcher]>,
}

impl MatcherSet {
    pub fn new(mut matchers: Vec<Matcher>) -> Self {
        matchers.sort_unstable();
        matchers.dedup();
        MatcherSet { sorted: matchers.into_boxed_slice() }
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Matcher> {
        self.sorted.iter()
    }

    /// Whether any matcher of the set selects `topic`.
    pub fn matches(&self, topic: &Topic) -> bool {
        self.contains_text(topic.text())
            || self.templates().any(|template| template.matches(topic.text()))
            || (self.has_patterns()
                && topic.url().is_some_and(|url| self.patterns().any(|p| p.matches(url))))
    }

    /// Whether any matcher of the set selects the topic `text`, of which nothing is known but that.
    /// It is read as a URL only if the set has patterns; relative to `hub`.
    pub fn matches_text(&self, text: &str, hub: &HubUrl) -> bool {
        self.contains_text(text)
            || self.templates().any(|template| template.matches(text))
            || (self.has_patterns()
                && TopicUrl::resolve(text, hub.url()).is_some_and(|url| {
                    let url = url.components(text);
                    self.patterns().any(|pattern| pattern.matches(url))
                }))
    }

    /// Whether the wildcard or an exact matcher of the set selects the topic.
    fn contains_text(&self, text: &str) -> bool {
        // `Any` sorts first; exact matchers are found by binary search, without a copy of `text`;
        // templates and patterns sort last.
        if self.sorted.first() == Some(&Matcher::Any) {
            return true;
        }
        let found = self.sorted.binary_search_by(|matcher| match matcher {
            Matcher::Any => Ordering::Less,
            Matcher::Exact(exact) => (**exact).cmp(text),
            Matcher::Template(_) | Matcher::Pattern(_) => Ordering::Greater,
        });
        found.is_ok()
    }

    fn has_patterns(&self) -> bool {
        matches!(self.sorted.last(), Some(Matcher::Pattern(_)))
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.sorted.iter().rev().map_while(|matcher| match matcher {
            Matcher::Pattern(pattern) => Some(&**pattern),
            Matcher::Any | Matcher::Exact(_) | Matcher::Template(_) => None,
        })
    }

    fn templates(&self) -> impl Iterator<Item = &UriTemplate> {
        let others = self.sorted.iter().rev();
        let others = others.skip_while(|matcher| matches!(matcher, Matcher::Pattern(_)));
        others.map_while(|matcher| match matcher {
            Matcher::Template(template) => Some(&**template),
            Matcher::Any | Matcher::Exact(_) | Matcher::Pattern(_) => None,
        })
    }

    /// Bytes that the set holds beside its own size.
    pub fn footprint(&self) -> usize {
        let text = |matcher: &Matcher| match matcher {
            Matcher::Any => 0,
            Matcher::Exact(text) => text.len(),
            Matcher::Template(template) => size_of::<UriTemplate>() + template.footprint(),
            Matcher::Pattern(pattern) => size_of::<Pattern>() + pattern.footprint(),
        };
        self.sorted.iter().map(|matcher| size_of::<Matcher>() + text(matcher)).sum()
    }

    /// Whether any matcher of the set selects any of `topics`.
    pub fn matches_any(&self, topics: &[Topic]) -> bool {
        topics.iter().any(|topic| self.matches(topic))
    }
}

impl FromIterator<Matcher> for MatcherSet {
    fn from_iter<I: IntoIterator<Item = Matcher>>(matchers: I) -> Self {
        MatcherSet::new(matchers.into_iter().collect())
    }
}

/// What a subscriber listens to and what it may read: the two are independent (draft-08
/// #subscribers).
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// From the request's matcher parameters.
    pub matchers: Arc<MatcherSet>,
    /// What the token grants `subscribe` on; empty for anonymous subscribers.
    pub grants: Arc<MatcherSet>,
}

impl Interest {
    /// Whether a subscriber with this interest is to receive `update`: a matcher selects one of
    /// its topics and, if it is private, a grant covers one of them, not necessarily the same.
    pub fn selects(&self, update: &Update) -> bool {
        self.matchers.matches_any(&update.topics) && self.may_read(update)
    }

    /// [`Interest::selects`] for an update of which only the texts of its topics are at hand.
    pub fn selects_texts<'a>(
        &self,
        topics: impl Iterator<Item = &'a str> + Clone,
        private: bool,
        hub: &HubUrl,
    ) -> bool {
        topics.clone().any(|topic| self.matchers.matches_text(topic, hub))
            && (!private || topics.clone().any(|topic| self.grants.matches_text(topic, hub)))
    }

    /// Whether the grants allow `update` to be read (draft-08 #subscribers).
    pub fn may_read(&self, update: &Update) -> bool {
        !update.private || self.grants.matches_any(&update.topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        fixture,
        frame::{Fields, FrameDraft},
        time::UnixTime,
        update::{Draft, Position},
    };

    fn compile(text: &str) -> Result<Arc<Pattern>, PatternError> {
        Pattern::parse(text, fixture::HUB.url()).map(Arc::new)
    }

    #[test]
    fn types_have_one_spelling() {
        assert_eq!(MatcherType::from_name("exact"), Some(MatcherType::Exact));
        assert_eq!(MatcherType::from_name("urlpattern"), Some(MatcherType::UrlPattern));
        for name in ["", "Exact", "EXACT", "exact ", "URLPattern", "*"] {
            assert_eq!(MatcherType::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn values_are_checked_and_the_wildcard_is_known() {
        let matcher = |value| MatcherType::Exact.matcher(value, 4, compile);
        assert_eq!(matcher("*"), Ok(Matcher::Any));
        assert_eq!(matcher("**"), Ok(Matcher::Exact("**".into())));
        assert_eq!(matcher(""), Ok(Matcher::Exact("".into())));
        assert_eq!(matcher("abcd"), Ok(Matcher::Exact("abcd".into())));
        assert_eq!(matcher("abcde"), Err(MatcherError::TooLong { len_max: 4 }));
        assert!(matches!(matcher("a\u{ad}"), Err(MatcherError::Character(_))));
        assert_eq!(MatcherType::Exact.matcher("*", 0, compile), Ok(Matcher::Any));
    }

    #[test]
    fn a_set_selects_what_one_of_its_matchers_selects() {
        let exact = |text: &str| Matcher::Exact(text.into());
        let set = MatcherSet::new(vec![exact("b"), exact("a"), exact("b"), exact("")]);
        assert_eq!(set.iter().len(), 3);
        for (topic, selected) in
            [("a", true), ("b", true), ("A", false), ("c", false), ("ab", false), ("*", false)]
        {
            assert_eq!(set.matches(&fixture::topic(topic)), selected, "{topic}");
        }
        let texts = ["https://e/:a", "b", "/x/:y", "a"];
        let mixed: MatcherSet = texts.iter().map(|text| fixture::matcher(text)).collect();
        for (topic, selected) in [
            ("a", true),
            ("b", true),
            ("https://e/1", true),
            ("/x/1", true),
            ("https://hub.example/x/1", true),
            ("https://e/:a", true),
            ("/x/", false),
            ("c", false),
            ("https://[", false),
        ] {
            assert_eq!(mixed.matches(&fixture::topic(topic)), selected, "{topic}");
        }
        let any = MatcherSet::new(vec![exact("a"), Matcher::Any]);
        assert!(any.matches(&fixture::topic("whatever")));
        assert!(!MatcherSet::default().matches(&fixture::topic("a")));
    }

    /// Every pair of sets of up to two matchers as interest, and every pair of topics.
    #[test]
    fn texts_of_topics_tell_what_topics_tell() {
        const MATCHERS: [&str; 9] = [
            "*",
            "a",
            "/x/1",
            "/x/:y",
            "https://hub.example/x/:y",
            "https://e/(\\d)",
            ":s",
            "/x/{y}",
            "https:{+y}/1",
        ];
        const TOPICS: [&str; 9] = [
            "a",
            "b",
            "/x/1",
            "/x/",
            "https://hub.example/x/1",
            "https://e/1",
            "https://e/x",
            "https://[",
            "/x/:y",
        ];
        let pairs = |count: usize| (0..count).flat_map(move |i| (i..count).map(move |j| (i, j)));
        let mut sets: Vec<Arc<MatcherSet>> = vec![Arc::default()];
        sets.extend(pairs(MATCHERS.len()).map(|(i, j)| {
            Arc::new([MATCHERS[i], MATCHERS[j]].map(fixture::matcher).into_iter().collect())
        }));
        let mut selected = 0;
        for (i, j) in pairs(TOPICS.len()) {
            let texts = [TOPICS[i], TOPICS[j]];
            for private in [false, true] {
                let frame = FrameDraft::new(Fields { id: Some("x"), ..Fields::default() });
                let topics = texts.map(fixture::topic).into();
                let draft = Draft { frame, topics, private, published: UnixTime::default() };
                let update = draft.place(Position(1), || unreachable!("the id is given"));
                for (matchers, grants) in sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b)))
                {
                    let (matchers, grants) = (Arc::clone(matchers), Arc::clone(grants));
                    let interest = Interest { matchers, grants };
                    let expected = interest.selects(&update);
                    let told = interest.selects_texts(texts.into_iter(), private, &fixture::HUB);
                    assert_eq!(told, expected, "{texts:?} {private} {interest:?}");
                    selected += usize::from(expected);
                }
            }
        }
        assert!(selected > 10_000, "{selected}");
    }

    #[test]
    fn selectors_of_0_x_are_templates_texts_or_everything() {
        let selector = |text: &str| Matcher::selector(text, 20).unwrap();
        let exact = |text: &str| Matcher::Exact(text.into());
        assert_eq!(selector("*"), Matcher::Any);
        assert_eq!(selector("/b/1"), exact("/b/1"));
        assert_eq!(selector("/b/{}"), exact("/b/{}"));
        assert!(matches!(selector("/b/{id}"), Matcher::Template(_)));
        let too_long = "x".repeat(21);
        assert_eq!(Matcher::selector(&too_long, 20), Err(MatcherError::TooLong { len_max: 20 }));
        assert!(Matcher::selector("a\0", 20).is_err());
        let pattern = crate::protocol::fixture::matcher("/p/:a");
        let set = MatcherSet::new(vec![
            selector("/b/{id}"),
            pattern,
            exact("c"),
            selector("/b/{id}"),
            selector("/d/{id}"),
        ]);
        assert_eq!(set.iter().len(), 4, "none twice");
        for (topic, is_matched) in [
            ("/b/1", true),
            ("/b/{id}", true),
            ("/d/", true),
            ("c", true),
            ("/p/1", true),
            ("/b", false),
        ] {
            let found = set.matches(&crate::protocol::fixture::topic(topic));
            let by_text = set.matches_text(topic, &crate::protocol::fixture::HUB);
            assert_eq!((found, by_text), (is_matched, is_matched), "{topic}");
        }
    }
}
