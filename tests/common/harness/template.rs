//! URI templates as topic selectors, against regular expressions: one for how RFC 6570 wants them
//! written, and one of each for what it takes.

use std::sync::LazyLock;

use petasos::protocol::{
    matcher::{Matcher, MatcherSet},
    text,
    topic::Topic,
};
use regex::{Regex, RegexBuilder};

use super::{HASHER, HUB, limits};

/// Bytes that no selector exceeds, however it is written.
const FOOTPRINT_MAX: usize = 1 << 16;

const ENCODED: &str = "%[0-9A-Fa-f]{2}";

/// The texts that are templates.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let planes: String =
        (1..=16).map(|plane| format!(r"\u{{{plane:x}0000}}-\u{{{plane:x}fffd}}")).collect();
    let planes = planes.replace("e0000", "e1000");
    let literal = format!(
        r"(?:[!#$&-;=?-\[\]_a-z~\u{{a0}}-\u{{fdcf}}\u{{fdf0}}-\u{{ffef}}{planes}]|{ENCODED})*"
    );
    let word = format!("(?:[A-Za-z0-9_]|{ENCODED})+");
    let variable = format!(r"{word}(?:\.{word})*(?:\*|:[1-9][0-9]{{0,3}})?");
    let expression = format!(r"\{{[+#./;?&]?{variable}(?:,{variable})*\}}");
    Regex::new(&format!(r"\A(?:{literal}{expression})+{literal}\z")).expect("an expression")
});

/// An expression of a template: its operator and its variables.
static EXPRESSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([+#./;?&]?)([^}]*)\}").expect("an expression"));

/// A topic selector, and behind each line feed a topic, which it selects or not as the regular
/// expressions say.
pub fn template(input: &[u8]) -> bool {
    let Ok(input) = std::str::from_utf8(input) else { return false };
    let mut lines = input.split('\n');
    let selector = lines.next().unwrap_or_default();
    let matcher = match Matcher::selector(selector, limits().matcher_len_max) {
        Ok(matcher) => matcher,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line for the client: {error}");
            return false;
        }
    };
    assert_eq!(matcher.text(), selector);
    let template = match &matcher {
        Matcher::Template(template) => Some(template.clone()),
        Matcher::Any | Matcher::Exact(_) => None,
        Matcher::Pattern(_) => panic!("{selector} is no URL pattern"),
    };
    assert_eq!(template.is_some(), GRAMMAR.is_match(selector), "{selector}");
    assert_eq!(matcher == Matcher::Any, selector == "*");
    let set = MatcherSet::new(vec![matcher]);
    assert!(set.footprint() < FOOTPRINT_MAX, "{selector}: {} bytes", set.footprint());
    let topics: Vec<&str> = lines.take(8).filter(|topic| text::check(topic).is_ok()).collect();
    let oracle = template.as_ref().filter(|_| !topics.is_empty()).map(|_| oracle(selector));
    for text in topics {
        let is_taken = oracle.as_ref().is_some_and(|oracle| oracle.is_match(text));
        let expected = selector == "*" || text == selector || is_taken;
        assert_eq!(set.matches(&Topic::new(text, &HUB, &HASHER)), expected, "{selector} {text}");
        assert_eq!(set.matches_text(text, &HUB), expected, "{selector} {text}");
        if let Some(template) = template.as_ref().filter(|_| is_taken) {
            // The hub looks for it where it says that its topics are.
            assert!(text.starts_with(template.literal_start()), "{selector} {text}");
        }
    }
    template.is_some()
}

/// What a template takes.
fn oracle(template: &str) -> Regex {
    let (mut pattern, mut end) = (r"\A".to_owned(), 0);
    for expression in EXPRESSION.captures_iter(template) {
        let [whole, operator, variables] = [0, 1, 2].map(|group| expression.get(group));
        let whole = whole.expect("what was found");
        let text =
            |part: Option<regex::Match<'_>>| part.map_or("", |part| part.as_str()).to_owned();
        pattern += &regex::escape(&template[end..whole.start()]);
        pattern += &taken(&text(operator), &text(variables));
        end = whole.end();
    }
    pattern += &regex::escape(&template[end..]);
    let pattern = pattern + r"\z";
    let built = RegexBuilder::new(&pattern).size_limit(64 << 20).build();
    built.unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// What one expression takes.
fn taken(operator: &str, variables: &str) -> String {
    let explodes: Vec<bool> = variables.split(',').map(|name| name.ends_with('*')).collect();
    let has_names = matches!(operator, ";" | "?" | "&");
    let reserved = if matches!(operator, "+" | "#") { r":/?#\[\]@!$&'()*+;=" } else { "" };
    let run = |explodes: bool| {
        let equals = if has_names || explodes { "=" } else { "" };
        format!(r"(?:[A-Za-z0-9._~,{equals}{reserved}\-]|{ENCODED})")
    };
    let (prefix, separator) = match operator {
        "" | "+" => ("", ","),
        "#" => ("#", ","),
        "?" => (r"\?", "&"),
        "." => (r"\.", r"\."),
        other => (other, other),
    };
    let is_list = explodes.contains(&true);
    let (first, other) = (run(explodes[0]), run(is_list));
    let others = match is_list {
        true => format!("(?:{separator}(?:{other}|{separator})*)?"),
        false => format!("(?:{separator}{other}*){{0,{}}}", explodes.len() - 1),
    };
    match prefix {
        "" => format!("{first}*{others}"),
        prefix => format!("(?:{prefix}{first}*{others})?"),
    }
}
