//! Where updates are kept: `transport NAME { … }` and the URLs that mean the same.

use std::num::NonZeroU64;
use url::Url;

use super::{
    directives::Directive,
    setting::{Given, Source},
    tree::Transport,
};

const BYTES_MAX_DEFAULT: u64 = 128 << 20;
const BYTES_MAX: u64 = 1 << 50;

const KNOWN_ELSEWHERE: [&str; 7] =
    ["bolt", "embedded", "redis", "postgres", "postgresql", "nats", "kafka"];

/// Reads `memory { … }`, `local`, and URLs.
pub(super) fn parse(given: &Given) -> Result<Transport, String> {
    let [name] = given.words.as_slice() else {
        return Err(
            "one transport is possible; write `transport memory` or `transport local`".to_owned()
        );
    };
    let from_url = parse_url(name)?;
    let name = from_url.as_ref().map_or(name.as_str(), |(name, _)| name);
    let options = match (from_url.as_ref(), &given.block) {
        (Some((_, options)), None) => options.as_slice(),
        (None, block) => block.as_deref().unwrap_or_default(),
        (Some(_), Some(_)) => return Err("a URL has no block; write ?size=N instead".to_owned()),
    };
    match name {
        "local" if options.is_empty() => Ok(Transport::Local),
        "local" => Err("the transport `local` has no options".to_owned()),
        "memory" => parse_memory(options),
        name if KNOWN_ELSEWHERE.contains(&name) => Err(format!(
            "the transport `{name}` is not supported yet by this version; use memory or local"
        )),
        // Unknown URLs may hold passwords.
        _ if from_url.is_some() => {
            Err("the URL's scheme is not a transport; use memory:// or local://".to_owned())
        }
        name => Err(format!("`{name}` is not a transport; use memory or local")),
    }
}

/// The scheme of a URL, and its query as directives; `None`: it is no URL.
fn parse_url(text: &str) -> Result<Option<(String, Vec<Directive>)>, String> {
    if !text.contains("://") {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|reason| format!("the URL is malformed: {reason}"))?;
    let options = url.query_pairs().map(|(name, value)| Directive {
        line: 1,
        name: name.into_owned(),
        words: vec![value.into_owned()],
        block: None,
    });
    Ok(Some((url.scheme().to_owned(), options.collect())))
}

fn parse_memory(options: &[Directive]) -> Result<Transport, String> {
    let mut updates_max = None;
    let mut bytes_max = BYTES_MAX_DEFAULT;
    for option in options {
        // The same reading, and the same words about mistakes, as for any other setting.
        let given = Given {
            source: Source::Default,
            words: option.words.clone(),
            block: option.block.clone(),
        };
        let named = |problem: String| format!("{}: {problem}", option.name);
        match option.name.as_str() {
            "size" => {
                updates_max = NonZeroU64::new(given.count(0..=u64::MAX).map_err(named)?);
            }
            "max_bytes" => bytes_max = given.size(1..=BYTES_MAX).map_err(named)?,
            other => {
                return Err(format!(
                    "`{other}` is not an option of memory; size and max_bytes are"
                ));
            }
        }
    }
    Ok(Transport::Memory { updates_max, bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, word: &str) -> Directive {
        Directive { line: 1, name: name.to_owned(), words: vec![word.to_owned()], block: None }
    }

    fn read(word: &str, block: Option<Vec<Directive>>) -> Result<Transport, String> {
        parse(&Given { source: Source::Default, words: vec![word.to_owned()], block })
    }

    #[test]
    fn transports_are_read() {
        let memory = |updates, bytes_max| Transport::Memory {
            updates_max: NonZeroU64::new(updates),
            bytes_max,
        };
        for (word, block, expected) in [
            ("local", None, Transport::Local),
            ("local://", None, Transport::Local),
            ("local://local", None, Transport::Local),
            ("memory", None, memory(0, 128 << 20)),
            ("memory://", None, memory(0, 128 << 20)),
            ("memory://?size=5&max_bytes=1MiB", None, memory(5, 1 << 20)),
            (
                "memory",
                Some(vec![option("size", "7"), option("max_bytes", "2KiB")]),
                memory(7, 2048),
            ),
        ] {
            assert_eq!(read(word, block), Ok(expected), "{word}");
        }
    }

    #[test]
    fn mistakes_are_named_and_passwords_are_not() {
        for (word, block, expected) in [
            (
                "bolt",
                None,
                "the transport `bolt` is not supported yet by this version; use memory or local",
            ),
            (
                "redis://u:pass@host",
                None,
                "the transport `redis` is not supported yet by this version; use memory or local",
            ),
            (
                "amqp://u:pass@host",
                None,
                "the URL's scheme is not a transport; use memory:// or local://",
            ),
            ("disk", None, "`disk` is not a transport; use memory or local"),
            ("memory://?sise=5", None, "`sise` is not an option of memory; size and max_bytes are"),
            (
                "memory://?size=x",
                None,
                "size: `x` is not a whole number from 0 to 18446744073709551615",
            ),
            (
                "memory",
                Some(vec![option("max_bytes", "0")]),
                "max_bytes: `0` is out of range; possible are 1 to 1048576GiB",
            ),
            ("local", Some(vec![option("size", "1")]), "the transport `local` has no options"),
            ("memory://", Some(vec![]), "a URL has no block; write ?size=N instead"),
        ] {
            assert_eq!(read(word, block), Err(expected.to_owned()), "{word}");
        }
    }
}
