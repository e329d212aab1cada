//! The language of configuration files: words, quotes, comments, blocks and placeholders, as in
//! a Caddyfile.
//!
//! A directive is a line of words; a word `{` opens its block and a word `}` closes it. `"…"`
//! (where `\"` is a quote) and `` `…` `` hold several words together, `#` at the start of a word
//! begins a comment, a backslash at the end of a line continues it. Placeholders: `{$NAME}` and
//! `{$NAME:default}` are replaced before words are told apart, so that one can hold several;
//! `{env.NAME}` and `{file./path}` are replaced inside a word, which stays one word.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One directive with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The line that it begins on; the first one is 1.
    pub line: usize,
    /// Empty for a block at the head of a text, which has no name.
    pub name: String,
    pub words: Vec<String>,
    pub block: Option<Vec<Directive>>,
}

impl fmt::Display for Directive {
    /// Writes the directive so that it can be read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Directive {
    /// What follows the name, on one line and without quotes.
    pub(super) fn tail(&self) -> String {
        let mut tail = self.words.join(" ");
        if let Some(block) = &self.block {
            tail.push_str(" {");
            for inner in block {
                tail.push_str(&format!(" {} {}", inner.name, inner.tail()));
                tail.truncate(tail.trim_end().len());
            }
            tail.push_str(" }");
        }
        tail.trim_start().to_owned()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "\t".repeat(depth);
        write!(f, "{indent}{}", Quoted(&self.name))?;
        for word in &self.words {
            write!(f, " {}", Quoted(word))?;
        }
        let Some(block) = &self.block else { return Ok(()) };
        f.write_str(" {\n")?;
        for directive in block {
            directive.write(f, depth + 1)?;
            f.write_str("\n")?;
        }
        write!(f, "{indent}}}")
    }
}

/// A word, in quotes where it needs them.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0;
        let is_bare = !word.is_empty()
            && !word.contains(char::is_whitespace)
            && !word.starts_with(['"', '`', '#'])
            && !["{", "}", "\\"].contains(&word);
        match is_bare {
            true => f.write_str(word),
            false => write!(f, "\"{}\"", word.replace('"', "\\\"")),
        }
    }
}

/// Why a text is not a list of directives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(super) struct SyntaxError {
    pub line: usize,
    pub problem: String,
}

/// Where placeholders find what they stand for.
pub(super) struct Placeholders<'a> {
    pub environment: &'a BTreeMap<String, String>,
    /// The text of a file, or why there is none.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
    /// The variables that placeholders named, set or not.
    named: RefCell<BTreeSet<String>>,
}

impl<'a> Placeholders<'a> {
    pub(super) fn new(
        environment: &'a BTreeMap<String, String>,
        read_file: &'a dyn Fn(&str) -> Result<String, String>,
    ) -> Self {
        Placeholders { environment, read_file, named: RefCell::default() }
    }

    /// The variables that were named since this was asked last.
    pub(super) fn take_named(&self) -> BTreeSet<String> {
        self.named.take()
    }

    /// Whether the variable is set to something.
    pub(super) fn has(&self, name: &str) -> bool {
        self.environment.get(name).is_some_and(|value| !value.is_empty())
    }

    fn variable(&self, name: &str) -> Option<&'a str> {
        self.named.borrow_mut().insert(name.to_owned());
        self.environment.get(name).map(String::as_str)
    }
}

/// Blocks inside blocks: more than any directive has, less than the stack holds.
const DEPTH_MAX: usize = 16;

/// What is wrong about a block without a name, where none is possible.
pub(super) const WITHOUT_NAME: &str = "a block `{` without a directive in front of it";

/// Reads a text.
pub(super) fn parse(
    text: &str,
    placeholders: &Placeholders<'_>,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut tokens = Lexer::new(text, placeholders).tokens()?.into_iter().peekable();
    let directives = parse_block(&mut tokens, None, 0)?;
    Ok(directives)
}

#[derive(Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    kind: TokenKind,
}

#[derive(Debug, PartialEq, Eq)]
enum TokenKind {
    Word(String),
    Open,
    Close,
    LineEnd,
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

/// Reads directives up to the `}` of the block that was opened on line `opened`, or to the end.
fn parse_block(
    tokens: &mut Tokens,
    opened: Option<usize>,
    depth: usize,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut directives = Vec::new();
    while let Some(Token { line, kind }) = tokens.next() {
        match kind {
            TokenKind::LineEnd => {}
            TokenKind::Word(name) => directives.push(parse_directive(tokens, line, name, depth)?),
            TokenKind::Open if opened.is_none() && directives.is_empty() => {
                let block = parse_block(tokens, Some(line), depth + 1)?;
                let (name, words) = (String::new(), Vec::new());
                directives.push(Directive { line, name, words, block: Some(block) });
            }
            TokenKind::Open => return Err(error(line, WITHOUT_NAME)),
            TokenKind::Close if opened.is_some() => return Ok(directives),
            TokenKind::Close => return Err(error(line, "a `}` that closes nothing")),
        }
    }
    match opened {
        Some(line) => Err(error(line, "the block that begins here is not closed by a `}`")),
        None => Ok(directives),
    }
}

fn parse_directive(
    tokens: &mut Tokens,
    line: usize,
    name: String,
    depth: usize,
) -> Result<Directive, SyntaxError> {
    let mut directive = Directive { line, name, words: Vec::new(), block: None };
    while let Some(token) = tokens.next_if(|token| token.kind != TokenKind::Close) {
        match token.kind {
            TokenKind::Word(word) => directive.words.push(word),
            TokenKind::Open if depth == DEPTH_MAX => {
                return Err(error(token.line, "too many blocks inside blocks"));
            }
            TokenKind::Open => {
                directive.block = Some(parse_block(tokens, Some(token.line), depth + 1)?);
                break;
            }
            TokenKind::LineEnd | TokenKind::Close => break,
        }
    }
    Ok(directive)
}

fn error(line: usize, problem: impl Into<String>) -> SyntaxError {
    SyntaxError { line, problem: problem.into() }
}

/// Tells words apart.
struct Lexer<'a> {
    rest: &'a str,
    /// What is left of the value of a `{$NAME}`; read before `rest`.
    inserted: Option<&'a str>,
    line: usize,
    placeholders: &'a Placeholders<'a>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, placeholders: &'a Placeholders<'a>) -> Self {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { rest, inserted: None, line: 1, placeholders }
    }

    /// The next character, with `{$NAME}` already replaced. Lines are those of the text, not of
    /// inserted values.
    fn next(&mut self) -> Option<char> {
        loop {
            if let Some(value) = self.inserted {
                let mut chars = value.chars();
                if let Some(c) = chars.next() {
                    self.inserted = Some(chars.as_str());
                    return Some(c);
                }
                self.inserted = None;
            }
            if !self.insert_variable() {
                return self.next_of_text();
            }
        }
    }

    fn next_of_text(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        let (rest, inserted, line) = (self.rest, self.inserted, self.line);
        let c = self.next();
        (self.rest, self.inserted, self.line) = (rest, inserted, line);
        c
    }

    /// Replaces a `{$NAME}` that the text goes on with.
    fn insert_variable(&mut self) -> bool {
        let Some((inner, rest)) =
            self.rest.strip_prefix("{$").and_then(|text| text.split_once('}'))
        else {
            return false;
        };
        if inner.contains('\n') {
            return false;
        }
        let (name, default) = inner.split_once(':').unwrap_or((inner, ""));
        let value = self.placeholders.variable(name).filter(|value| !value.is_empty());
        self.inserted = Some(value.unwrap_or(default));
        self.rest = rest;
        true
    }

    fn tokens(mut self) -> Result<Vec<Token>, SyntaxError> {
        let mut tokens = Vec::new();
        while let Some(c) = self.peek() {
            let line = self.line;
            let kind = match c {
                '\n' => {
                    self.next();
                    TokenKind::LineEnd
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                    continue;
                }
                '"' | '`' => TokenKind::Word(self.quoted(c)?),
                c if c.is_whitespace() => {
                    self.next();
                    continue;
                }
                _ => match self.bare() {
                    Bare::Continued => continue,
                    Bare::Word(word) => match word.as_str() {
                        "{" => TokenKind::Open,
                        "}" => TokenKind::Close,
                        _ => TokenKind::Word(word),
                    },
                },
            };
            let kind = match kind {
                TokenKind::Word(word) => {
                    TokenKind::Word(self.replace(word).map_err(|problem| error(line, problem))?)
                }
                other => other,
            };
            tokens.push(Token { line, kind });
        }
        Ok(tokens)
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let line = self.line;
        self.next();
        let mut word = String::new();
        while let Some(c) = self.next() {
            if c == quote {
                return Ok(word);
            }
            if quote == '"' && c == '\\' && self.peek() == Some('"') {
                self.next();
                word.push('"');
            } else {
                word.push(c);
            }
        }
        Err(error(line, format!("the quote {quote} that begins here is not closed")))
    }

    fn bare(&mut self) -> Bare {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() {
                break;
            }
            self.next();
            word.push(c);
        }
        // A word that is a backslash at the end of a line: the line goes on.
        if word == "\\" && self.peek() == Some('\n') {
            self.next();
            return Bare::Continued;
        }
        Bare::Word(word)
    }

    /// Replaces `{env.NAME}` and `{file./path}`. Other braces are text.
    fn replace(&self, word: String) -> Result<String, String> {
        if !word.contains("{env.") && !word.contains("{file.") {
            return Ok(word);
        }
        let mut replaced = String::with_capacity(word.len());
        let mut rest = word.as_str();
        while let Some(start) = rest.find('{') {
            replaced.push_str(&rest[..start]);
            rest = &rest[start..];
            let inner = rest[1..].split_once('}').map(|(inner, _)| inner);
            if let Some(name) = inner.and_then(|inner| inner.strip_prefix("env.")) {
                replaced.push_str(self.placeholders.variable(name).unwrap_or(""));
            } else if let Some(path) = inner.and_then(|inner| inner.strip_prefix("file.")) {
                replaced.push_str(without_line_end(&(self.placeholders.read_file)(path)?));
            } else {
                replaced.push('{');
                rest = &rest[1..];
                continue;
            }
            rest = &rest[inner.map_or(0, str::len) + 2..];
        }
        replaced.push_str(rest);
        Ok(replaced)
    }
}

enum Bare {
    Word(String),
    Continued,
}

/// A text without the line end that editors and `echo` leave at the end of a file.
pub fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Vec<Directive>, SyntaxError> {
        let environment =
            variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let read_file = |path: &str| match path {
            "/key" => Ok("from file\r\n".to_owned()),
            _ => Err(format!("no file {path}")),
        };
        parse(text, &Placeholders::new(&environment, &read_file))
    }

    /// Directives on one line each: `line name|word|word{inner}`.
    fn shape(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let block =
                directive.block.as_ref().map_or(String::new(), |b| format!("{{{}}}", shape(b)));
            let words: String = directive.words.iter().map(|word| format!("|{word}")).collect();
            format!("{} {}{words}{block}", directive.line, directive.name)
        };
        directives.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn words_quotes_comments_and_blocks() {
        for (text, expected) in [
            ("", ""),
            ("a", "1 a"),
            ("\u{feff}a b\r\n\r\nc", "1 a|b; 3 c"),
            ("a \"b c\" `d \"e\"`", "1 a|b c|d \"e\""),
            (r#"a "b \" \n c""#, r#"1 a|b " \n c"#),
            ("a \"\" b", "1 a||b"),
            ("a # b\n# c\nd#e", "1 a; 3 d#e"),
            ("a b\"c", "1 a|b\"c"),
            ("a {\n b c\n d {\n e\n }\n}\nf", "1 a{2 b|c; 3 d{4 e}}; 7 f"),
            ("a { b c }", "1 a{1 b|c}"),
            ("a { }", "1 a{}"),
            ("a \"{\" b{ }c", "1 a|{|b{|}c"),
            ("a b \\\n c\nd", "1 a|b|c; 3 d"),
            ("{\n a\n}\nb", "1 {2 a}; 4 b"),
            ("a \"b\nc\"\nd", "1 a|b\nc; 3 d"),
        ] {
            let directives = parse_with(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(shape(&directives), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = "a b \"c d\" \"\" \"{\" \"#x\" \"say \\\"hi\\\"\" {\n\tb {\n\t\tc\n\t}\n}";
        let directives = parse_with(text, &[]).unwrap();
        assert_eq!(directives[0].to_string(), text);
    }

    #[test]
    fn what_follows_a_name_is_told_on_one_line() {
        for (text, tail) in [
            ("a", ""),
            ("a b \"c d\"", "b c d"),
            ("a b {\n c d\n e {\n f\n }\n}", "b { c d e { f } }"),
            ("a {\n}", "{ }"),
        ] {
            assert_eq!(parse_with(text, &[]).unwrap()[0].tail(), tail, "{text}");
        }
    }

    #[test]
    fn variables_that_are_named_are_known() {
        let environment = BTreeMap::new();
        let read_file = |path: &str| Err(path.to_owned());
        let placeholders = Placeholders::new(&environment, &read_file);
        parse("a {$B:c} x{env.D}", &placeholders).unwrap();
        let named = placeholders.take_named();
        assert_eq!(named.iter().map(String::as_str).collect::<Vec<_>>(), ["B", "D"]);
        assert!(placeholders.take_named().is_empty());
    }

    #[test]
    fn placeholders_are_replaced() {
        let variables = [("X", "one two"), ("EMPTY", ""), ("LINES", "a 1\nb 2"), ("Q", "say \"")];
        for (text, expected) in [
            ("k {$X}", "1 k|one|two"),
            ("k {env.X}", "1 k|one two"),
            ("k \"<{env.X}>\"", "1 k|<one two>"),
            ("k {$EMPTY} {$EMPTY:x y} {$NONE:z} {$NONE}", "1 k|x|y|z"),
            ("k {$NONE}{$X}{$EMPTY}{$X}", "1 k|one|twoone|two"),
            ("k {env.NONE} {env.EMPTY}", "1 k||"),
            ("{$LINES}\nc", "1 a|1; 1 b|2; 2 c"),
            ("k {file./key}", "1 k|from file"),
            ("k {other} {env.X", "1 k|{other}|{env.X"),
            ("k a{b{env.EMPTY}c}", "1 k|a{bc}"),
            ("k {env.Q} x", "1 k|say \"|x"),
        ] {
            let directives = parse_with(text, &variables).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(shape(&directives), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_line_and_a_reason() {
        let deep = "a {\n".repeat(DEPTH_MAX + 1);
        for (text, line, problem) in [
            ("a\nb {\n c", 2, "the block that begins here is not closed by a `}`"),
            ("a\n}", 2, "a `}` that closes nothing"),
            ("a\n{ a }", 2, WITHOUT_NAME),
            ("a {\n { b }\n}", 2, WITHOUT_NAME),
            ("a\nb \"c\n", 2, "the quote \" that begins here is not closed"),
            ("a\n\nb {file./none}", 3, "no file /none"),
            (&*deep, DEPTH_MAX + 1, "too many blocks inside blocks"),
        ] {
            let expected = SyntaxError { line, problem: problem.to_owned() };
            assert_eq!(parse_with(text, &[]), Err(expected), "{text}");
        }
    }
}
