//! Patterns that need no regular expression: texts and segments in turn, like
//! `/books/:id/pages/:page`, `/books/:id/*`, `/books/:id?`, `/books{/:id}?`. Where a segment ends
//! the next text begins, so there is one way to read a text and nothing to try twice.

/// A sequence of texts and segments, and what may follow it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    steps: Box<[Step]>,
    tail: Tail,
    delimiter: char,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Text(Box<str>),
    /// At least one character, none of them the delimiter.
    Segment,
}

#[derive(Debug, PartialEq, Eq)]
enum Tail {
    End,
    Anything,
    /// The end, or these steps, which begin with the delimiter.
    Optional(Box<[Step]>),
}

impl Template {
    /// Reads a component's pattern as the standard writes it ("generate a pattern string"); `None`
    /// if it is more than a template.
    pub(super) fn read(pattern: &str, delimiter: char) -> Option<Template> {
        let mut reader = Reader { rest: pattern, delimiter, steps: Vec::new() };
        let tail = reader.read()?;
        // Determinism: a segment ends where the delimiter stands.
        let starts = |steps: &[Step]| match steps.first() {
            Some(Step::Text(text)) => text.starts_with(delimiter),
            _ => false,
        };
        let is_fit = |steps: &[Step]| {
            (1..steps.len()).all(|i| steps[i - 1] != Step::Segment || starts(&steps[i..]))
        };
        let ends_in_segment = reader.steps.last() == Some(&Step::Segment);
        let tail_is_fit = match &tail {
            Tail::End => true,
            Tail::Anything => !ends_in_segment,
            Tail::Optional(steps) => starts(steps) && is_fit(steps),
        };
        let steps = reader.steps.into_boxed_slice();
        (is_fit(&steps) && tail_is_fit).then_some(Template { steps, tail, delimiter })
    }

    pub(super) fn passes(&self, text: &str) -> bool {
        let Some(rest) = self.walk(&self.steps, text) else { return false };
        match &self.tail {
            Tail::End => rest.is_empty(),
            Tail::Anything => true,
            Tail::Optional(steps) => rest.is_empty() || self.walk(steps, rest) == Some(""),
        }
    }

    /// What is left of `text` behind the steps.
    fn walk<'t>(&self, steps: &[Step], mut text: &'t str) -> Option<&'t str> {
        for step in steps {
            text = match step {
                Step::Text(literal) => text.strip_prefix(&**literal)?,
                Step::Segment => {
                    let len = text.find(self.delimiter).unwrap_or(text.len());
                    if len == 0 {
                        return None;
                    }
                    &text[len..]
                }
            }
        }
        Some(text)
    }

    /// See [`super::Pattern::path_start`].
    pub(super) fn first_segments(&self) -> Vec<Option<&str>> {
        let mut segments = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Step::Text(text) = step else {
                segments.push(None);
                continue;
            };
            // The text behind a segment begins with the delimiter that ends it.
            let text = text.strip_prefix(self.delimiter).unwrap_or(text);
            segments.extend(text.split(self.delimiter).map(Some));
            let is_last = index + 1 == self.steps.len();
            if is_last && self.tail != Tail::Anything {
                break;
            }
            // The last one goes on: as a segment of any text, if there is nothing of it yet.
            if segments.pop() != Some(Some("")) {
                break;
            }
        }
        segments
    }

    pub(super) fn footprint(&self) -> usize {
        let of = |steps: &[Step]| -> usize {
            let len = |step: &Step| match step {
                Step::Text(text) => text.len(),
                Step::Segment => 0,
            };
            steps.iter().map(|step| size_of::<Step>() + len(step)).sum()
        };
        let tail = match &self.tail {
            Tail::Optional(steps) => of(steps),
            Tail::End | Tail::Anything => 0,
        };
        of(&self.steps) + tail
    }
}

struct Reader<'p> {
    rest: &'p str,
    delimiter: char,
    steps: Vec<Step>,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<Tail> {
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                '\\' => text.push(self.next()?),
                ':' => {
                    self.name()?;
                    if self.rest == "?" {
                        // `/:name?`: the delimiter is as optional as the segment.
                        text.pop().filter(|last| *last == self.delimiter)?;
                        self.text(&mut text);
                        let delimiter = Step::Text(self.delimiter.to_string().into());
                        return Some(Tail::Optional([delimiter, Step::Segment].into()));
                    }
                    self.text(&mut text);
                    self.steps.push(Step::Segment);
                }
                '*' if self.rest.is_empty() => {
                    self.text(&mut text);
                    return Some(Tail::Anything);
                }
                '{' => {
                    let inner = self.rest.strip_suffix("}?")?;
                    let mut group =
                        Reader { rest: inner, delimiter: self.delimiter, steps: vec![] };
                    if group.read()? != Tail::End {
                        return None;
                    }
                    self.text(&mut text);
                    return Some(Tail::Optional(group.steps.into()));
                }
                '}' | '(' | ')' | '*' | '?' | '+' => return None,
                character => text.push(character),
            }
        }
        self.text(&mut text);
        Some(Tail::End)
    }

    /// Passes over a plain name with nothing behind it that would change its meaning.
    fn name(&mut self) -> Option<()> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let len = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        self.rest = &self.rest[len..];
        let stays = |next: char| next == self.delimiter || next == '{' || next == '?';
        (len > 0 && self.rest.chars().next().is_none_or(stays)).then_some(())
    }

    fn text(&mut self, text: &mut String) {
        if !text.is_empty() {
            self.steps.push(Step::Text(std::mem::take(text).into()));
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }
}
