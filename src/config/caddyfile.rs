//! A `Caddyfile` of the reference hub: the address of its site and what stands in `mercure` count;
//! everything else is told of.

use super::{
    directives::Directive,
    reference::{Fate, Place},
};

/// What a file holds. Everything has its line in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Caddyfile {
    /// Of the block at its head.
    pub(super) options: Vec<Directive>,
    /// Of all sites; empty: none is named.
    pub(super) addresses: Vec<String>,
    /// Where they stand.
    pub(super) addresses_line: usize,
    /// What stands in `mercure`.
    pub(super) hub: Vec<Directive>,
    /// What does nothing here, and why.
    pub(super) idle: Vec<(usize, String)>,
    pub(super) mistakes: Vec<(usize, String)>,
}

/// Whether this is a `Caddyfile`, and not just directives of the hub.
pub(super) fn is_one(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| {
        let inner = directive.block.iter().flatten();
        is_options(directive)
            || is_address(&directive.name)
            || inner.into_iter().any(|inner| inner.name == "mercure")
    })
}

/// The block without a name at the head of a file.
fn is_options(directive: &Directive) -> bool {
    directive.name.is_empty() && directive.words.is_empty() && directive.block.is_some()
}

/// Whether a word can only be the address of a site: directives have plain names.
fn is_address(word: &str) -> bool {
    word == "localhost" || word.contains(['.', ':', '/', '*', ',', '[', '('])
}

/// Takes a file apart.
pub(super) fn read(directives: Vec<Directive>) -> Caddyfile {
    let mut file = Caddyfile::default();
    let mut hubs = 0;
    let mut directives = directives.into_iter().peekable();
    if let Some(options) = directives.next_if(is_options) {
        file.options = options.block.unwrap_or_default();
    }
    let mut is_open = false;
    for directive in directives {
        if is_open {
            // A file of one site needs no braces around it.
            file.site(directive, &mut hubs);
        } else if is_snippet(&directive.name) {
            file.wrong(
                directive.line,
                &format!(
                    "`{}`: snippets are not known here; write out what they hold",
                    directive.name
                ),
            );
        } else if directive.name == "mercure" || !is_site(&directive) {
            file.site(directive, &mut hubs);
        } else {
            is_open = directive.block.is_none() && !goes_on(&directive);
            let block = file.address(directive);
            for inner in block.into_iter().flatten() {
                file.site(inner, &mut hubs);
            }
        }
    }
    if hubs == 0 && file.mistakes.is_empty() {
        file.wrong(1, "no `mercure { … }` in it: there the hub's settings stand");
    }
    file
}

/// Takes directives of a site.
pub(super) fn read_site(directives: Vec<Directive>) -> Caddyfile {
    let (mut file, mut hubs) = (Caddyfile::default(), 0);
    for directive in directives {
        file.site(directive, &mut hubs);
    }
    file
}

fn is_snippet(name: &str) -> bool {
    name.starts_with('(') || name.starts_with("&(")
}

fn is_site(directive: &Directive) -> bool {
    let inner = directive.block.iter().flatten();
    is_address(&directive.name) || inner.into_iter().any(|inner| inner.name == "mercure")
}

/// Whether the list of addresses goes on in the next line.
fn goes_on(directive: &Directive) -> bool {
    directive.words.last().unwrap_or(&directive.name).ends_with(',')
}

impl Caddyfile {
    fn wrong(&mut self, line: usize, problem: &str) {
        self.mistakes.push((line, problem.to_owned()));
    }

    /// Takes the addresses of a site; what stands in its block.
    fn address(&mut self, directive: Directive) -> Option<Vec<Directive>> {
        let Directive { line, name, words, block } = directive;
        if self.addresses.is_empty() {
            self.addresses_line = line;
        }
        let addresses = std::iter::once(name).chain(words);
        let addresses = addresses.map(|word| word.trim_end_matches(',').to_owned());
        self.addresses.extend(addresses.filter(|address| !address.is_empty()));
        block
    }

    /// Takes a directive of a site.
    fn site(&mut self, directive: Directive, hubs: &mut usize) {
        let Directive { line, name, words, block } = &directive;
        match (name.as_str(), words.is_empty()) {
            ("mercure", true) if *hubs > 0 => self.wrong(
                *line,
                "a second `mercure`: this hub is one hub; run another beside it, with settings of \
                 its own",
            ),
            ("mercure", true) => {
                *hubs += 1;
                self.hub = directive.block.unwrap_or_default();
            }
            ("mercure", false) => {
                self.wrong(*line, "mercure: only a block `{ … }` is possible after it");
            }
            ("route", true) => {
                for inner in block.clone().into_iter().flatten() {
                    self.site(inner, hubs);
                }
            }
            ("log", _) if !is_of_format(block.as_deref().unwrap_or_default()) => self.wrong(
                *line,
                "log: only `format` is possible in it: the hub logs to standard error; send it \
                 where it should go, and see log_format and log_level",
            ),
            _ => match Place::Site.find(name, &directive.tail()) {
                Some(Fate::NoEffect(reason)) => self.idle.push((*line, idle(name, reason))),
                Some(Fate::NotYet(until)) => self.wrong(*line, &not_yet(name, until)),
                _ => self.wrong(
                    *line,
                    &format!(
                        "`{name}` is not the hub's: it serves nothing but the hub; remove the \
                         line, and let a web server that stands before the hub do it",
                    ),
                ),
            },
        }
    }
}

fn is_of_format(block: &[Directive]) -> bool {
    block.iter().all(|inner| inner.name == "format")
}

/// What is said of a word that does nothing.
pub(super) fn idle(name: &str, reason: &str) -> String {
    format!("{name} has no effect: {reason}")
}

/// What is said of a word that means nothing here yet.
pub(super) fn not_yet(name: &str, until: &str) -> String {
    match until {
        "" => format!("`{name}` is not supported yet by this version"),
        _ => format!("`{name}` is not supported yet by this version; {until}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::directives::{Placeholders, parse};

    fn file(text: &str) -> Caddyfile {
        let environment = BTreeMap::new();
        let read_file = |path: &str| Err(path.to_owned());
        let directives = parse(text, &Placeholders::new(&environment, &read_file)).unwrap();
        assert!(is_one(&directives), "{text}");
        read(directives)
    }

    fn names(directives: &[Directive]) -> Vec<&str> {
        directives.iter().map(|directive| directive.name.as_str()).collect()
    }

    #[test]
    fn sites_are_taken_apart() {
        for (text, addresses) in [
            ("localhost {\n mercure {\n name a\n }\n}", "localhost"),
            (":80, :8080 {\n mercure {\n name a\n }\n}", ":80 :8080"),
            (
                "http://a.example,\nhttp://b.example {\n mercure {\n name a\n}\n}",
                "http://a.example http://b.example",
            ),
            ("a.example:80\n\nroute {\n encode gzip\n mercure {\n name a\n}\n}", "a.example:80"),
            (
                "{\n debug\n}\n:80 {\n route {\n mercure {\n name a\n}\n}\n\
                 respond \"Not Found\" 404\n}",
                ":80",
            ),
            ("{\n debug\n}\nmercure {\n name a\n}", ""),
            ("hub {\n mercure {\n name a\n }\n}", "hub"),
        ] {
            let file = file(text);
            assert_eq!(file.mistakes, [], "{text}");
            assert_eq!(file.addresses.join(" "), addresses, "{text}");
            assert_eq!(names(&file.hub), ["name"], "{text}");
            assert_eq!(names(&file.options).is_empty(), !text.contains("debug"), "{text}");
        }
    }

    #[test]
    fn directives_of_the_hub_are_no_caddyfile() {
        let environment = BTreeMap::new();
        let read_file = |path: &str| Err(path.to_owned());
        for text in
            ["listen :80", "mercure {\n name a\n}", "issuer https://a {\n publisher {\n}\n}"]
        {
            let directives = parse(text, &Placeholders::new(&environment, &read_file)).unwrap();
            assert!(!is_one(&directives), "{text}");
        }
    }

    #[test]
    fn what_else_stands_in_a_site_is_told_of() {
        const NOT_OURS: &str = "is not the hub's: it serves nothing but the hub; remove the line, \
                                and let a web server that stands before the hub do it";
        let one = |text: &str| {
            let file = file(&format!(":80 {{\n mercure\n {text}\n}}"));
            let told = file.idle.into_iter().chain(file.mistakes);
            told.map(|(line, text)| format!("{line} {text}")).collect::<Vec<_>>().join("\n")
        };
        for (text, told) in [
            ("encode zstd gzip", "3 encode has no effect: streams are sent as they are"),
            ("respond /healthz 200", "3 respond has no effect: it is served anyway"),
            (
                "respond \"Not Found\" 404",
                "3 respond has no effect: the hub says so of every other path",
            ),
            (
                "respond / `<!DOCTYPE html>\n<p>x`",
                "3 respond has no effect: the page at / is the hub's own",
            ),
            ("log_skip /x", "3 log_skip has no effect: requests that are served are not logged"),
            (
                "log {\n format filter {\n fields\n}\n}",
                "3 log has no effect: tokens in URLs are never logged; see log_format and \
                 log_level",
            ),
            (
                "log {\n output file /x\n}",
                "3 log: only `format` is possible in it: the hub logs to standard error; send it \
                 where it should go, and see log_format and log_level",
            ),
            (
                "mercure",
                "3 a second `mercure`: this hub is one hub; run another beside it, with \
                         settings of its own",
            ),
            ("mercure /x", "3 mercure: only a block `{ … }` is possible after it"),
            (
                "tls internal",
                "3 `tls` is not supported yet by this version; let a proxy that ends \
                              TLS stand before the hub",
            ),
            ("respond /x 200", &format!("3 `respond` {NOT_OURS}")),
            ("reverse_proxy app:80", &format!("3 `reverse_proxy` {NOT_OURS}")),
            ("import x", &format!("3 `import` {NOT_OURS}")),
        ] {
            assert_eq!(one(text), told, "{text}");
        }
    }

    #[test]
    fn mistakes_have_their_lines() {
        for (text, line, problem) in [
            (":80 {\n encode\n}", 1, "no `mercure { … }` in it: there the hub's settings stand"),
            (
                "(a) {\n x\n}\n:80 {\n mercure\n}",
                1,
                "`(a)`: snippets are not known here; write out what they hold",
            ),
        ] {
            assert_eq!(file(text).mistakes, [(line, problem.to_owned())], "{text}");
        }
    }
}
