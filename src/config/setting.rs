//! What a setting is: its names, where its text may come from, and how a text becomes a value.

use std::{fmt, sync::Arc, time::Duration};

use super::{directives::Directive, load::Draft, units};

/// One row of the table of settings.
pub struct Setting {
    /// The name of the directive; flag and `PETASOS_` variable follow from it.
    pub name: &'static str,
    /// Other names of the directive.
    pub aliases: &'static [&'static str],
    /// The reference hub's variables, the one that counts first. `PETASOS_…` precedes them all.
    pub variables: &'static [&'static str],
    pub kind: Kind,
    /// As it would be written in a file; empty: nothing is set.
    pub default: &'static str,
    /// One line for `--help`.
    pub help: &'static str,
    /// A hub that runs takes another value when it reads its settings again.
    pub reloads: bool,
    /// Reads what was given and keeps it, replacing what an earlier source gave.
    pub store: fn(&mut Draft, &Given) -> Result<(), String>,
}

/// The form of a setting's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `on` and `off`; a directive or flag without a value means `on`.
    Switch,
    Count,
    Size,
    Duration,
    /// A word of its own kind, named for `--help`.
    Word(&'static str),
    /// Words separated by spaces or commas, named for `--help`.
    List(&'static str),
    /// The URL of a key set and algorithms.
    KeySet,
    /// A directive's words and block.
    Block(&'static str),
    /// The same, repeatable, with secrets in it: flags name a file.
    SecretBlocks,
    /// A secret: flags name a file, the reference's variables hold it as it is.
    Secret,
}

impl Setting {
    /// The flag, without dashes.
    pub fn flag(&self) -> String {
        let suffix = match self.kind {
            Kind::Secret => "-key-file",
            Kind::SecretBlocks => "-file",
            _ => "",
        };
        format!("{}{suffix}", self.name.replace('_', "-"))
    }

    /// The environment variables, the one that counts first.
    pub fn variables(&self) -> Vec<Variable> {
        let own = format!("PETASOS_{}", self.flag().replace('-', "_").to_ascii_uppercase());
        let own = Variable { name: own, names_file: self.flag_names_file() };
        let others = self
            .variables
            .iter()
            .map(|name| Variable { name: (*name).to_owned(), names_file: false });
        std::iter::once(own).chain(others).collect()
    }

    /// Whether the flag's value is the name of a file that holds the text: secrets must not be on
    /// command lines, which everybody on the machine can read.
    pub fn flag_names_file(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::SecretBlocks)
    }

    /// What `--help` calls the value.
    pub fn value_name(&self) -> &'static str {
        match self.kind {
            Kind::Switch => "on|off",
            Kind::Count => "N",
            Kind::Size => "SIZE",
            Kind::Duration => "DURATION",
            Kind::Word(name) | Kind::List(name) | Kind::Block(name) => name,
            Kind::KeySet => "URL",
            Kind::SecretBlocks | Kind::Secret => "FILE",
        }
    }

    pub fn is_repeatable(&self) -> bool {
        self.kind == Kind::SecretBlocks
    }
}

/// An environment variable of a setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    /// The value is the name of a file that holds the text.
    pub names_file: bool,
}

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    /// The preset of `--dev`.
    Dev,
    File {
        name: Arc<str>,
        line: usize,
    },
    Variable(String),
    /// A line of a variable that holds directives.
    VariableLine {
        name: &'static str,
        line: usize,
    },
    Flag(String),
    /// A line of the directives that an application gave.
    Application {
        line: usize,
    },
    /// A value that an application gave for this setting.
    Builder(String),
}

impl Source {
    /// Later tiers win.
    pub(super) fn tier(&self) -> u8 {
        match self {
            Source::Default => 0,
            Source::Dev => 1,
            Source::File { .. } => 2,
            Source::Variable(_) | Source::VariableLine { .. } => 3,
            Source::Flag(_) | Source::Application { .. } | Source::Builder(_) => 4,
        }
    }

    /// The line, where the source is a text of several.
    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Source::File { line, .. }
            | Source::VariableLine { line, .. }
            | Source::Application { line } => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Dev => f.write_str("--dev"),
            Source::File { name, line } => write!(f, "{name}:{line}"),
            Source::Variable(name) => f.write_str(name),
            Source::VariableLine { name, line } => write!(f, "{name}:{line}"),
            Source::Flag(name) => write!(f, "--{name}"),
            Source::Application { line } => write!(f, "directives:{line}"),
            Source::Builder(name) => f.write_str(name),
        }
    }
}

/// What was given for a setting: not yet understood.
#[derive(Debug, Clone)]
pub struct Given {
    pub source: Source,
    pub words: Vec<String>,
    pub block: Option<Vec<Directive>>,
}

/// Longer waits than this are mistakes, and could overflow a clock.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Given {
    fn without_block(&self) -> Result<&[String], String> {
        match self.block {
            Some(_) => Err("a block `{ … }` is not possible here".to_owned()),
            None => Ok(&self.words),
        }
    }

    /// The one word of a setting that takes one.
    pub(super) fn word(&self) -> Result<&str, String> {
        match self.without_block()? {
            [word] if !word.is_empty() => Ok(word),
            [] | [_] => Err("a value is missing".to_owned()),
            words => Err(format!("one value is possible, {} are given", words.len())),
        }
    }

    /// All words, commas separating like spaces.
    pub(super) fn list(&self) -> Result<impl Iterator<Item = &str>, String> {
        let words = self.without_block()?.iter();
        let is_separator = |c: char| c == ',' || c.is_whitespace();
        Ok(words.flat_map(move |word| word.split(is_separator)).filter(|word| !word.is_empty()))
    }

    pub(super) fn switch(&self) -> Result<bool, String> {
        if self.without_block()?.is_empty() {
            return Ok(true);
        }
        let word = self.word()?;
        match word.to_ascii_lowercase().as_str() {
            "1" | "on" | "true" | "yes" => Ok(true),
            "0" | "off" | "false" | "no" => Ok(false),
            _ => Err(format!("`{word}` is neither on nor off; write 1 or 0")),
        }
    }

    /// A whole number in `range`.
    pub(super) fn count<T>(&self, range: std::ops::RangeInclusive<T>) -> Result<T, String>
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let word = self.word()?;
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let number = word.parse::<u64>().ok().filter(|_| is_number);
        let fits = number.and_then(|n| T::try_from(n).ok()).filter(|n| range.contains(n));
        fits.ok_or_else(|| {
            let (min, max) = (range.start(), range.end());
            format!("`{word}` is not a whole number from {min} to {max}")
        })
    }

    /// A number of bytes in `range`.
    pub(super) fn size(&self, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        let word = self.words_joined()?;
        let size = units::parse_size(&word)?;
        if range.contains(&size) {
            return Ok(size);
        }
        let [min, max] = [range.start(), range.end()].map(|bytes| units::format_size(*bytes));
        Err(format!("`{word}` is out of range; possible are {min} to {max}"))
    }

    pub(super) fn duration(&self) -> Result<Duration, String> {
        let word = self.word()?;
        match units::parse_duration(word)? {
            duration if duration <= DURATION_MAX => Ok(duration),
            _ => Err(format!("`{word}` is longer than a hundred years")),
        }
    }

    /// A duration that is not shorter than `min`, which is whole seconds.
    pub(super) fn duration_from(&self, min: Duration) -> Result<Duration, String> {
        match self.duration()? {
            duration if duration < min => {
                Err(format!("`{}` is shorter than {} s", self.word()?, min.as_secs()))
            }
            duration => Ok(duration),
        }
    }

    /// A duration where zero makes no sense.
    pub(super) fn positive_duration(&self) -> Result<Duration, String> {
        self.duration_or_off()?.ok_or_else(|| "zero is not possible here".to_owned())
    }

    /// A duration where zero means off.
    pub(super) fn duration_or_off(&self) -> Result<Option<Duration>, String> {
        Ok(Some(self.duration()?).filter(|duration| !duration.is_zero()))
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let word = self.word()?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            format!("`{word}` is not possible here; write one of {}", names.join(", "))
        })
    }

    /// `1 MiB` may be written as two words.
    fn words_joined(&self) -> Result<String, String> {
        match self.without_block()? {
            [number, unit] => Ok(format!("{number}{unit}")),
            _ => self.word().map(str::to_owned),
        }
    }
}
