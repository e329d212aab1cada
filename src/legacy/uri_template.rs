//! URI templates (RFC 6570) as topic selectors (draft-07 #topic-selectors).
//!
//! A selector matches the topics that its expansion could be, for whatever values; hubs have never
//! taken the syntax of values more seriously than that. What is no template, since it is not as the
//! RFC wants it, is a text that matches itself.
//!
//! A template is kept as its literals and what its expressions take, and matched by the set of the
//! places that can be reached in a topic: nobody writes a template that takes long.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use smallvec::SmallVec;

/// A parsed template. Equal texts are equal templates.
#[derive(Debug)]
pub struct UriTemplate {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    Expression(Expression),
}

/// What an expression takes: nothing, or a run of characters, and more runs behind separators.
#[derive(Debug, Clone, Copy)]
struct Expression {
    /// Comes before everything that is taken.
    prefix: Option<u8>,
    separator: u8,
    first: Class,
    /// Of the other runs.
    others: Class,
    /// Other runs, at most; `None`: any number.
    others_max: Option<u16>,
}

/// Characters of a run. All have unreserved characters, percent-encoded ones, and commas.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// `=`, as in `name=value`.
    equals: bool,
    /// All reserved characters.
    reserved: bool,
}

/// Variables of one expression, at most; with more, a text is no template.
const VARIABLES_MAX: usize = 1_000;
/// The longest prefix that an expression may ask for.
const PREFIX_MAX: u32 = 9_999;

impl UriTemplate {
    /// The template that `text` is; `None` if it is none, or has no expression.
    pub fn parse(text: &str) -> Option<UriTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find('{') {
            let (literal, expression) = rest.split_at(begin);
            let (expression, behind) = expression[1..].split_once('}')?;
            push_literal(&mut parts, literal)?;
            parts.push(Part::Expression(Expression::parse(expression)?));
            rest = behind;
        }
        if parts.is_empty() {
            return None;
        }
        push_literal(&mut parts, rest)?;
        Some(UriTemplate { text: text.into(), parts: parts.into() })
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How all topics begin that the template matches, but for its own text.
    pub fn literal_start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// Whether `topic` is the template's own text, or could be its expansion.
    pub fn matches(&self, topic: &str) -> bool {
        *topic == *self.text || self.takes(topic.as_bytes())
    }

    fn takes(&self, topic: &[u8]) -> bool {
        let (literal, parts) = match &*self.parts {
            [Part::Literal(literal), parts @ ..] => (literal.as_bytes(), parts),
            parts => (&b""[..], parts),
        };
        let Some(rest) = topic.strip_prefix(literal) else { return false };
        let mut places = Places::new(rest.len());
        places.add(0);
        for part in parts {
            match part {
                Part::Literal(literal) => places = places.behind(rest, literal.as_bytes()),
                Part::Expression(expression) => expression.take(rest, &mut places),
            }
            if places.is_empty() {
                return false;
            }
        }
        places.has(rest.len())
    }

    /// Bytes that the template holds beside its own size.
    pub fn footprint(&self) -> usize {
        let literal = |part: &Part| match part {
            Part::Literal(literal) => literal.len(),
            Part::Expression(_) => 0,
        };
        let parts = self.parts.iter().map(|part| size_of::<Part>() + literal(part));
        self.text.len() + parts.sum::<usize>()
    }
}

impl PartialEq for UriTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UriTemplate {}

impl PartialOrd for UriTemplate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UriTemplate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for UriTemplate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Adds a literal; `None` if it has characters that have to be percent-encoded, or a `%` alone.
fn push_literal(parts: &mut Vec<Part>, literal: &str) -> Option<()> {
    let bytes = literal.as_bytes();
    let mut at = 0;
    for c in literal.chars() {
        let is_good = match c {
            '%' => is_encoded(&bytes[at..]),
            ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
            '\u{e000}'..='\u{f8ff}' => true,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => false,
            '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{ffff}' => false,
            '\u{e0000}'..='\u{e0fff}' => false,
            c => u32::from(c) & 0xfffe != 0xfffe,
        };
        if !is_good {
            return None;
        }
        at += c.len_utf8();
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Some(())
}

/// Whether `bytes` begin with a percent-encoded one.
fn is_encoded(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

impl Expression {
    /// From what is between the braces.
    fn parse(text: &str) -> Option<Expression> {
        let (operator, variables) = match text.as_bytes().first()? {
            operator @ (b'+' | b'#' | b'.' | b'/' | b';' | b'?' | b'&') => (*operator, &text[1..]),
            _ => (b' ', text),
        };
        let (mut explodes, mut first_explodes, mut count) = (false, false, 0);
        for variable in variables.split(',') {
            let explode = variable_explodes(variable)?;
            first_explodes |= explode && count == 0;
            explodes |= explode;
            count += 1;
        }
        let (prefix, separator) = match operator {
            b'#' => (Some(b'#'), b','),
            b'.' | b'/' | b';' | b'&' => (Some(operator), operator),
            b'?' => (Some(b'?'), b'&'),
            _ => (None, b','),
        };
        let has_names = matches!(operator, b';' | b'?' | b'&');
        let reserved = matches!(operator, b'+' | b'#');
        let class = |explode: bool| Class { equals: has_names || explode, reserved };
        let others_max = (count <= VARIABLES_MAX).then_some(count as u16 - 1)?;
        Some(Expression {
            prefix,
            separator,
            first: class(first_explodes),
            others: class(explodes),
            others_max: (!explodes).then_some(others_max),
        })
    }

    /// Adds the places that can be reached from `places` by what the expression takes.
    fn take(self, text: &[u8], places: &mut Places) {
        let mut reached = match self.prefix {
            None => places.clone(),
            Some(prefix) => places.behind(text, &[prefix]),
        };
        reached.run(text, self.first, None);
        places.unite(&reached);
        match self.others_max {
            None => {
                reached = reached.behind(text, &[self.separator]);
                reached.run(text, self.others, Some(self.separator));
                places.unite(&reached);
            }
            Some(max) => {
                for _ in 0..max {
                    reached = reached.behind(text, &[self.separator]);
                    if reached.is_empty() {
                        return;
                    }
                    reached.run(text, self.others, None);
                    places.unite(&reached);
                }
            }
        }
    }
}

/// Whether a variable is a list (`name*`); `None` if it is not written as one.
fn variable_explodes(variable: &str) -> Option<bool> {
    if let Some(name) = variable.strip_suffix('*') {
        return is_name(name).then_some(true);
    }
    let (name, prefix) = match variable.split_once(':') {
        Some((name, prefix)) => (name, Some(prefix)),
        None => (variable, None),
    };
    if let Some(prefix) = prefix {
        let is_number = !prefix.starts_with('0') && prefix.bytes().all(|c| c.is_ascii_digit());
        is_number.then_some(())?;
        prefix.parse().ok().filter(|len: &u32| *len <= PREFIX_MAX)?;
    }
    is_name(name).then_some(false)
}

fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        let mut rest = word.as_bytes();
        while let [first, others @ ..] = rest {
            rest = match first {
                b'%' if is_encoded(rest) => &rest[3..],
                b'_' => others,
                c if c.is_ascii_alphanumeric() => others,
                _ => return false,
            };
        }
        !word.is_empty()
    };
    name.split('.').all(is_word)
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b',' => true,
            b'=' => self.equals || self.reserved,
            b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' => self.reserved,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' => self.reserved,
            _ => byte.is_ascii_alphanumeric(),
        }
    }
}

/// A set of places in a text, its end among them.
#[derive(Debug, Clone)]
struct Places {
    bits: SmallVec<[u64; 8]>,
}

impl Places {
    /// None of a text with so many bytes.
    fn new(len: usize) -> Places {
        Places { bits: SmallVec::from_elem(0, len / 64 + 1) }
    }

    fn add(&mut self, place: usize) {
        self.bits[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, place: usize) -> bool {
        self.bits[place / 64] & 1 << (place % 64) != 0
    }

    fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    fn unite(&mut self, others: &Places) {
        self.bits.iter_mut().zip(&others.bits).for_each(|(bits, others)| *bits |= others);
    }

    fn first(&self) -> Option<usize> {
        let index = self.bits.iter().position(|bits| *bits != 0)?;
        Some(index * 64 + self.bits[index].trailing_zeros() as usize)
    }

    /// The places behind `literal`, where it follows one of these.
    fn behind(&self, text: &[u8], literal: &[u8]) -> Places {
        let mut behind = Places::new(text.len());
        for place in self.first().unwrap_or(text.len())..text.len() {
            if self.has(place) && text[place..].starts_with(literal) {
                behind.add(place + literal.len());
            }
        }
        behind
    }

    /// Adds the places that are reached by characters of a class, or `also` this one.
    fn run(&mut self, text: &[u8], class: Class, also: Option<u8>) {
        for place in self.first().unwrap_or(text.len())..text.len() {
            if !self.has(place) {
                continue;
            }
            let byte = text[place];
            if class.has(byte) || also == Some(byte) {
                self.add(place + 1);
            } else if is_encoded(&text[place..]) {
                self.add(place + 3);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, topic: &str) -> bool {
        UriTemplate::parse(template).unwrap_or_else(|| panic!("{template}")).matches(topic)
    }

    #[test]
    fn what_is_not_as_the_rfc_wants_it_is_no_template() {
        for text in [
            "",
            "a",
            "https://e/1",
            "%41",
            "{}",
            "{",
            "}",
            "{a",
            "a}",
            "{a}}",
            "{{a}",
            "{a}{",
            " {a}",
            "{a} ",
            "{a b}",
            "{a-b}",
            "{a:0}",
            "{a:01}",
            "{a:10000}",
            "{a:}",
            "{a:x}",
            "{a:3*}",
            "{a*:3}",
            "{a,}",
            "{,a}",
            "{a,,b}",
            "{.}",
            "{=a}",
            "{!a}",
            "{@a}",
            "{|a}",
            "{,}",
            "{+}",
            "{a.}",
            "{.a..b}",
            "{a..b}",
            "{%4}",
            "{é}",
            "%{a}",
            "%4{a}",
            "<{a}",
            "\\{a}",
            "\"{a}",
            "^{a}",
            "`{a}",
            "{a}|",
            "\u{80}{a}",
            "\u{ffff}{a}",
            "\u{e0001}{a}",
        ] {
            assert_eq!(UriTemplate::parse(text), None, "{text:?}");
        }
        for text in [
            "{a}",
            "{a:1}",
            "{a:9999}",
            "{a*}",
            "{a,b}",
            "{+a}",
            "{#a}",
            "{.a}",
            "{/a}",
            "{;a}",
            "{?a}",
            "{&a}",
            "{a.b}",
            "{_}",
            "{%41}",
            "{1}",
            "https://é/{a}!$&'()*+,;=:@[]~#?",
            "%41{a}",
            "\u{e000}{a}\u{fffd}\u{10fffd}",
        ] {
            let is_one = UriTemplate::parse(text).is_some();
            assert_eq!(is_one, !text.contains('\u{fffd}'), "{text:?}");
        }
    }

    #[test]
    fn expressions_take_runs_of_their_characters() {
        for (template, taken, refused) in [
            (
                "/b/{id}",
                &["/b/", "/b/1", "/b/a,b", "/b/%C3%A9", "/b/{id}", "/b/a.b-c_d~"][..],
                &[
                    "/b", "/b/a/b", "/b/a=b", "/b/a:b", "/b/@", "/b/+", "/b/;", "/b/!", "/b/é",
                    "/b/%", "/b/%C", "/b/%CG", "/c/1", "x/b/1", "/b/1 ",
                ][..],
            ),
            ("/b/{a:3}/{b,c}.x", &["/b//.x", "/b/long/1,2,3.x", "/b/1/.x.x"], &["/b/1/2", "/b/.x"]),
            ("{a*}", &["", "a", "a=b", "a=b,c=d"], &["/", "a:b"]),
            ("{a,b*}", &["", "a", ",", "a,b=c"], &["a=b", "a=b,c"]),
            ("{+a}x", &["x", "a/b?c#d[]@!$&'()*+,;=x", "xx"], &["", "é x", "\"x", "%x"]),
            ("a{#b}", &["a", "a#", "a#b/c", "a##"], &["ab", "a/"]),
            ("a{/b}", &["a", "a/", "a/b", "a/b,c"], &["a/b/", "a/b/c", "ab", "a/b=c"]),
            ("a{/b,c}", &["a", "a/b/c", "a//"], &["a/b/c/d", "a/b=/c"]),
            ("a{/b*}", &["a", "a/b/c/d/", "a/b=c/d"], &["ab", "a?"]),
            ("a{.b}", &["a", "a.", "a.b.c"], &["ab", "a/b"]),
            ("a{?b}", &["a", "a?", "a?b=c", "a?x=y", "a?b"], &["a?b=c&d=e", "a&b=c", "ab"]),
            ("a{?b,c}", &["a?b=1&c=2", "a?c=2&b=1", "a?x"], &["a?b&c&d", "a?b/"]),
            ("a?x=y{&b}", &["a?x=y", "a?x=y&b=c"], &["a?x=y?b=c", "a?x=yb"]),
            ("a{;b,c}", &["a", "a;b=1;c=2", "a;"], &["a;b;c;d", "a,b"]),
            ("{a}{b}", &["", "ab", "{a}{b}"], &["/", "{a}"]),
        ] {
            taken.iter().for_each(|topic| assert!(matches(template, topic), "{template} {topic}"));
            refused
                .iter()
                .for_each(|topic| assert!(!matches(template, topic), "{template} {topic}"));
        }
    }

    #[test]
    fn nobody_writes_a_template_that_takes_long() {
        let template = "{/a*}x".repeat(100);
        let topic = "/x".repeat(2_000);
        assert!(matches(&template, &topic));
        assert!(!matches(&template, &format!("{topic}!")));
        let many = format!("{{/{}}}", vec!["a"; VARIABLES_MAX].join(","));
        assert!(matches(&many, &"/".repeat(VARIABLES_MAX)));
        assert!(!matches(&many, &"/".repeat(VARIABLES_MAX + 1)));
        assert_eq!(
            UriTemplate::parse(&format!("{{/{}}}", vec!["a"; VARIABLES_MAX + 1].join(","))),
            None
        );
    }
}
