//! Where updates are kept: `transport NAME { … }` and the URLs that mean the same.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    caddyfile::{idle, not_yet},
    directives::Directive,
    load::{Draft, Notice},
    reference::{Fate, Place},
    setting::{Given, Source},
    settings::set,
    tree::{Embedded, LogLevel, SyncMode, Transport},
};

#[cfg(test)]
mod tests;

const MEMORY_BYTES_DEFAULT: u64 = 128 << 20;
const EMBEDDED_BYTES_DEFAULT: u64 = 1 << 30;
const BYTES_MAX: u64 = 1 << 50;

/// Of the embedded history in `data_dir`.
const HISTORY: &str = "history";
/// Of the embedded history beside a file of that name, which may be somebody's BoltDB.
const SUFFIX: &str = ".petasos";

/// What was asked for, in whatever form.
struct Asked {
    name: String,
    is_url: bool,
    options: Vec<Directive>,
}

/// Takes `embedded { … }`, which `bolt` means too, `memory { … }`, `local`, and URLs.
pub(super) fn store(draft: &mut Draft, given: &Given) -> Result<(), String> {
    let asked = Asked::read(given)?;
    let transport = &mut draft.config.log.transport;
    set(transport, asked.parse(&draft.config.data_dir))?;
    if let Transport::Embedded(_) = transport {
        for option in &asked.options {
            let Some(Fate::NoEffect(reason)) = Place::Bolt.find(&option.name, "") else { continue };
            draft.notices.push(Notice {
                level: LogLevel::Info,
                source: Some(given.source.clone()),
                text: format!("transport: {}", idle(&option.name, reason)),
            });
        }
    }
    Ok(())
}

impl Asked {
    fn read(given: &Given) -> Result<Asked, String> {
        let name = match given.words.as_slice() {
            [name] => name,
            [url, ..] if url.contains("://") => {
                return Err("one URL is possible; a space in it is written %20".to_owned());
            }
            _ => {
                return Err("one transport is possible; write `transport embedded`, `transport \
                            memory` or `transport local`"
                    .to_owned());
            }
        };
        let asked = match (name.split_once("://"), &given.block) {
            (None, block) => Asked {
                name: name.clone(),
                is_url: false,
                options: block.clone().unwrap_or_default(),
            },
            (Some((_, rest)), None) => Asked::read_url(name, rest)?,
            (Some(_), Some(_)) => {
                return Err("a URL has no block; write ?size=N instead".to_owned());
            }
        };
        let names: Vec<_> = asked.options.iter().map(|option| &option.name).collect();
        match (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
            Some(i) => Err(format!("{}: it is given twice", names[i])),
            None => Ok(asked),
        }
    }

    /// `rest`: what follows the scheme.
    fn read_url(text: &str, rest: &str) -> Result<Asked, String> {
        let url = Url::parse(text).map_err(|reason| format!("the URL is malformed: {reason}"))?;
        let option = |name: &str, word: &str| Directive {
            line: 1,
            name: name.to_owned(),
            words: vec![word.to_owned()],
            block: None,
        };
        let mut options: Vec<_> =
            url.query_pairs().map(|(name, value)| option(&name, &value)).collect();
        if is_embedded(url.scheme()) {
            let has_login = !url.username().is_empty() || url.password().is_some();
            if has_login || url.port().is_some() || url.fragment().is_some() {
                return Err("in this URL only a path and options are possible; in a path write : \
                            as %3A, @ as %40 and # as %23"
                    .to_owned());
            }
            // As it was written: the path of a URL has lost its `..`.
            let path = percent_decode_str(rest.split('?').next().unwrap_or(rest)).decode_utf8();
            let path = path.map_err(|_| "the path in the URL is not UTF-8".to_owned())?;
            if !path.is_empty() {
                options.push(option("path", &path));
            }
        }
        Ok(Asked { name: url.scheme().to_owned(), is_url: true, options })
    }

    fn parse(&self, data_dir: &Path) -> Result<Transport, String> {
        match self.name.as_str() {
            "local" if self.options.is_empty() => Ok(Transport::Local),
            "local" => Err("the transport `local` has no options".to_owned()),
            "memory" => parse_memory(&self.options),
            name if is_embedded(name) => parse_embedded(name, &self.options, data_dir),
            name if let Some(Fate::NotYet(until)) = Place::Transport.find(name, "") => {
                Err(format!("the transport {}", not_yet(name, until)))
            }
            // Unknown URLs may hold passwords.
            _ if self.is_url => Err("the URL's scheme is not a transport; use embedded://, \
                                     memory:// or local://"
                .to_owned()),
            name => Err(format!("`{name}` is not a transport; use embedded, memory or local")),
        }
    }
}

fn is_embedded(name: &str) -> bool {
    ["embedded", "bolt"].contains(&name)
}

/// An option, to be read as any other setting, with the same words about mistakes.
fn as_given(option: &Directive) -> Given {
    Given { source: Source::Default, words: option.words.clone(), block: option.block.clone() }
}

fn parse_memory(options: &[Directive]) -> Result<Transport, String> {
    let mut updates_max = None;
    let mut bytes_max = MEMORY_BYTES_DEFAULT;
    for option in options {
        let given = as_given(option);
        let taken = match option.name.as_str() {
            "size" => set(&mut updates_max, given.count(0..=u64::MAX).map(NonZeroU64::new)),
            "max_bytes" => set(&mut bytes_max, given.size(1..=BYTES_MAX)),
            other => {
                return Err(format!(
                    "`{other}` is not an option of memory; size and max_bytes are"
                ));
            }
        };
        taken.map_err(|problem| format!("{}: {problem}", option.name))?;
    }
    Ok(Transport::Memory { updates_max, bytes_max })
}

fn parse_embedded(name: &str, options: &[Directive], data_dir: &Path) -> Result<Transport, String> {
    let mut embedded = Embedded {
        directory: data_dir.join(HISTORY),
        updates_max: None,
        bytes_max: NonZeroU64::new(EMBEDDED_BYTES_DEFAULT),
        age_max: None,
        sync: SyncMode::Always,
    };
    for option in options {
        let given = as_given(option);
        let taken = match option.name.as_str() {
            "path" => set(&mut embedded.directory, given.word().and_then(beside)),
            "size" => {
                let count = given.count(0..=u64::MAX).map(NonZeroU64::new);
                set(&mut embedded.updates_max, count)
            }
            "max_bytes" => {
                let size = given.size(0..=BYTES_MAX).map(NonZeroU64::new);
                set(&mut embedded.bytes_max, size)
            }
            "max_age" => set(&mut embedded.age_max, given.duration_or_off()),
            "sync" => set(&mut embedded.sync, parse_sync(&given)),
            "bucket_name" => given.word().map(drop),
            "cleanup_frequency" => check_frequency(&given),
            other => {
                return Err(format!(
                    "`{other}` is not an option of {name}; path, size, max_bytes, max_age and \
                     sync are"
                ));
            }
        };
        taken.map_err(|problem| format!("{}: {problem}", option.name))?;
    }
    Ok(Transport::Embedded(embedded))
}

/// The directory beside what lies at `path`, which is never touched.
fn beside(path: &str) -> Result<PathBuf, String> {
    let path = Path::new(path);
    let mut name = path.file_name().map(ToOwned::to_owned).ok_or_else(|| {
        let path = path.display();
        format!("`{path}` has no name of its own; write it like /var/lib/petasos/history")
    })?;
    name.push(SUFFIX);
    Ok(path.with_file_name(name))
}

fn parse_sync(given: &Given) -> Result<SyncMode, String> {
    let words: Vec<_> = given.list()?.collect();
    match words.as_slice() {
        ["always"] => Ok(SyncMode::Always),
        ["off"] => Ok(SyncMode::Off),
        ["interval", interval] => {
            let words = vec![(*interval).to_owned()];
            Given { words, ..given.clone() }.positive_duration().map(SyncMode::Interval)
        }
        words => Err(format!(
            "`{}` is not possible here; write always, interval DURATION (in a URL \
             interval+DURATION) or off",
            words.join(" ")
        )),
    }
}

/// The chance that an update makes the reference hub clean up.
fn check_frequency(given: &Given) -> Result<(), String> {
    let word = given.word()?;
    let is_chance = word.parse::<f64>().is_ok_and(|chance| (0.0..=1.0).contains(&chance));
    is_chance.then_some(()).ok_or_else(|| format!("`{word}` is not a number from 0 to 1"))
}
