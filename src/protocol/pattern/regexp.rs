//! Regular expressions of limited size, matched in linear time.

use std::{cell::OnceCell, fmt};

use regex_automata::{Input, meta, nfa::thompson::WhichCaptures};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, literal::Extractor},
};
use urlpattern::regexp::RegExp;

use super::PatternError;

/// Bytes that the source of an expression may have.
const SOURCE_MAX: usize = 2 << 10;
/// Bytes that a compiled expression may have, about.
const SIZE_MAX: usize = 64 << 10;
/// Classes of Unicode that an expression may name: each is a long list of ranges.
const UNICODE_CLASSES_MAX: usize = 8;

/// A regular expression for a whole text. Texts are components of URLs, so ASCII.
pub(super) struct Regexp {
    regex: meta::Regex,
}

impl Regexp {
    pub(super) fn new(source: &str) -> Result<Regexp, PatternError> {
        let hir = read(source)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(SIZE_MAX))
            .which_captures(WhichCaptures::Implicit)
            // Engines that cost more to build than they win on a text of this length.
            .hybrid(false)
            .dfa(false)
            .onepass(false)
            .auto_prefilter(false);
        let built = meta::Builder::new().configure(config).build_from_hir(&hir);
        built.map(|regex| Regexp { regex }).map_err(|_| PatternError::TooComplex)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(Input::new(text))
    }

    pub(super) fn footprint(&self) -> usize {
        self.regex.memory_usage()
    }
}

fn read(source: &str) -> Result<Hir, PatternError> {
    // Of ASCII texts, bytes say the same as characters, in a tenth of the space. What can only be
    // said of characters is compiled for them.
    let classes = source.matches(r"\p").count() + source.matches(r"\P").count();
    if source.len() > SOURCE_MAX || classes > UNICODE_CLASSES_MAX {
        return Err(PatternError::TooComplex);
    }
    let unicode = classes > 0;
    let parser = ParserBuilder::new().unicode(unicode).utf8(unicode).nest_limit(100).build();
    { parser }.parse(source).map_err(|error| {
        // The last line of what the library says; the others draw the expression.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        PatternError::Regexp(last.strip_prefix("error: ").unwrap_or(last).to_owned())
    })
}

/// The text with which everything begins that the expression takes.
pub(super) fn common_start(source: &str) -> String {
    let Ok(hir) = read(source) else { return String::new() };
    let starts = Extractor::new().extract(&hir);
    let start = starts.longest_common_prefix().and_then(|start| std::str::from_utf8(start).ok());
    start.unwrap_or_default().to_owned()
}

impl fmt::Debug for Regexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regexp")
    }
}

/// The source of a regular expression that the pattern parser wrote. It is compiled for the few
/// questions that the parser has itself, and where nothing cheaper can answer.
pub(super) struct Source {
    text: String,
    compiled: OnceCell<Option<Regexp>>,
}

impl RegExp for Source {
    fn syntax() -> urlpattern::RegexSyntax {
        urlpattern::RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<Self, ()> {
        Ok(Source { text: pattern.to_owned(), compiled: OnceCell::new() })
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let compiled = self.compiled.get_or_init(|| Regexp::new(&self.text).ok()).as_ref()?;
        compiled.matches(text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}
