//! Collects what was given for each setting, source by source, without understanding it yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    caddyfile::{self, Caddyfile, idle, not_yet},
    dev,
    directives::{self, Directive, Placeholders},
    load::{Mistake, Notice, Said, Sources},
    reference::{self, Fate, Place},
    setting::{Given, Kind, Setting, Source},
    settings::settings,
    tree::LogLevel,
    units::nearest,
};

/// The default for a hub inside an application: a library does not write to the working directory
/// unasked.
const APPLICATION_TRANSPORT: &str = "memory";

/// Where a site listens whose address asks for HTTPS by default.
const SITE_LISTEN: &str = ":80 :8080";

/// What was given, by the name of the setting; what wins stands last.
pub(super) struct Gathered {
    pub(super) givens: BTreeMap<&'static str, Vec<Given>>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) notices: Vec<Notice>,
}

pub(super) fn gather(sources: &Sources<'_>) -> Gathered {
    let mut gatherer = Gatherer {
        placeholders: Placeholders::new(sources.environment, sources.read_file),
        placed: BTreeSet::new(),
        gathered: Gathered { givens: BTreeMap::new(), mistakes: Vec::new(), notices: Vec::new() },
    };
    gatherer.defaults();
    if sources.application.is_some() {
        gatherer.text(setting("transport"), APPLICATION_TRANSPORT, &Source::Default);
    }
    if sources.dev_key.is_some() {
        for (name, text) in dev::PRESET {
            gatherer.text(setting(name), text, &Source::Dev);
        }
    }
    if let Some(file) = sources.file {
        let name: Arc<str> = file.name.into();
        let source = |line| Source::File { name: name.clone(), line };
        gatherer.file(file.text, &source);
    }
    gatherer.environment(sources);
    for (setting, values) in sources.flags {
        gatherer.flag(setting, values);
    }
    gatherer.application(sources.application.unwrap_or_default());
    gatherer.gathered
}

fn setting(name: &str) -> &'static Setting {
    find(name).expect("the rows named in code are in the table, which a test checks")
}

fn find(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name || setting.aliases.contains(&name))
}

struct Gatherer<'a> {
    placeholders: Placeholders<'a>,
    /// Variables that a `Caddyfile` has put where they belong.
    placed: BTreeSet<String>,
    gathered: Gathered,
}

impl Gatherer<'_> {
    fn defaults(&mut self) {
        for setting in settings().filter(|setting| !setting.default.is_empty()) {
            self.text(setting, setting.default, &Source::Default);
        }
    }

    fn environment(&mut self, sources: &Sources<'_>) {
        let placed = std::mem::take(&mut self.placed);
        let is_free = |name: &str| !placed.contains(name);
        let value = |name: &str| {
            sources.environment.get(name).filter(|value| !value.is_empty() && is_free(name))
        };
        for setting in settings() {
            let variables = setting.variables();
            let given = variables.iter().find_map(|v| Some((v, value(&v.name)?)));
            if let Some((variable, text)) = given {
                let source = Source::Variable(variable.name.clone());
                match variable.names_file {
                    true => self.file_of(setting, text, &source),
                    false => self.text(setting, text, &source),
                }
            }
        }
        let source_of = |name| move |line| Source::VariableLine { name, line };
        if let Some(text) = value(reference::GLOBAL) {
            let source = source_of(reference::GLOBAL);
            for directive in self.parse(text, &source).into_iter().flatten() {
                self.global_option(directive, &source);
            }
        }
        if let Some(text) = value(reference::SITE) {
            let source = source_of(reference::SITE);
            let directives = self.parse(text, &source);
            let told = directives.map(caddyfile::read_site).unwrap_or_default();
            self.caddyfile(told, &source);
        }
        if let Some(text) = value(reference::EXTRA_DIRECTIVES) {
            self.directives(text, &source_of(reference::EXTRA_DIRECTIVES));
        }
        for name in sources.environment.keys().filter(|name| value(name).is_some()) {
            self.other_variable(name);
        }
    }

    fn flag(&mut self, setting: &'static Setting, values: &[String]) {
        let source = Source::Flag(setting.flag());
        if setting.flag_names_file() {
            for path in values {
                self.file_of(setting, path, &source);
            }
        } else if let Kind::List(_) = setting.kind {
            self.push(setting, Given { source, words: values.to_vec(), block: None });
        } else {
            for value in values {
                self.text(setting, value, &source);
            }
        }
    }

    /// Lines are counted over all texts.
    fn application(&mut self, said: &[Said]) {
        let mut lines = 0;
        for said in said {
            match said {
                Said::Text(text) => {
                    self.directives(text, &|line| Source::Application { line: lines + line });
                    lines += text.lines().count();
                }
                Said::Directive(directive) => {
                    let source = Source::Builder(directive.name.clone());
                    self.directive(directive.clone(), &|_| source.clone());
                }
            }
        }
    }

    /// Takes the text of the file at `path`.
    fn file_of(&mut self, setting: &'static Setting, path: &str, source: &Source) {
        match (self.placeholders.read_file)(path) {
            Ok(text) => self.text(setting, directives::without_line_end(&text), source),
            Err(problem) => self.mistake(source.clone(), problem),
        }
    }

    /// Takes a text that is about one setting.
    fn text(&mut self, setting: &'static Setting, text: &str, source: &Source) {
        // What stands for bytes that were not UTF-8 where the environment was read.
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return self.mistake(source.clone(), "the value is not valid UTF-8".to_owned());
        }
        let given = |words, block| Given { source: source.clone(), words, block };
        match setting.kind {
            Kind::Block(_) | Kind::SecretBlocks => {
                let directives = match directives::parse(text, &self.placeholders) {
                    Ok(directives) => directives,
                    Err(error) => {
                        return self.mistake(
                            source.clone(),
                            format!("line {}: {}", error.line, error.problem),
                        );
                    }
                };
                for Directive { name, mut words, block, .. } in directives {
                    // The directive's own name may be there or not.
                    if name != setting.name || words.is_empty() {
                        words.insert(0, name);
                    }
                    self.push(setting, given(words, block));
                }
            }
            Kind::Secret => self.push(setting, given(vec![text.to_owned()], None)),
            _ => self.push(setting, given(vec![text.trim().to_owned()], None)),
        }
    }

    /// Takes the configuration file, of the hub's own kind or a `Caddyfile`.
    fn file(&mut self, text: &str, source: &dyn Fn(usize) -> Source) {
        self.placeholders.take_named();
        let Some(directives) = self.parse(text, source) else { return };
        if caddyfile::is_one(&directives) {
            self.placed = self.placeholders.take_named();
            self.caddyfile(caddyfile::read(directives), source);
        } else {
            self.take(directives, source);
        }
    }

    /// Takes a text of directives: bare, or in a `mercure` block.
    fn directives(&mut self, text: &str, source: &dyn Fn(usize) -> Source) {
        let directives = self.parse(text, source);
        self.take(directives.unwrap_or_default(), source);
    }

    fn parse(&mut self, text: &str, source: &dyn Fn(usize) -> Source) -> Option<Vec<Directive>> {
        match directives::parse(text, &self.placeholders) {
            Ok(directives) => Some(directives),
            Err(error) => {
                self.mistake(source(error.line), error.problem);
                None
            }
        }
    }

    fn take(&mut self, directives: Vec<Directive>, source: &dyn Fn(usize) -> Source) {
        for directive in directives {
            if directive.name == "mercure" && directive.words.is_empty() {
                for inner in directive.block.into_iter().flatten() {
                    self.directive(inner, source);
                }
            } else {
                self.directive(directive, source);
            }
        }
    }

    fn caddyfile(&mut self, file: Caddyfile, source: &dyn Fn(usize) -> Source) {
        let Caddyfile { options, addresses, addresses_line, hub, idle, mistakes } = file;
        for option in options {
            self.global_option(option, source);
        }
        if !addresses.is_empty() {
            self.site_addresses(addresses, source(addresses_line));
        }
        // Keys come from variables there, which may not be set.
        for directive in hub.into_iter().filter_map(without_empty_keys) {
            self.directive(directive, source);
        }
        for (line, text) in idle {
            self.without_effect(source(line), text);
        }
        for (line, problem) in mistakes {
            self.mistake(source(line), problem);
        }
    }

    /// The reference's own files name `localhost`, with HTTPS, where no name is given.
    fn site_addresses(&mut self, addresses: Vec<String>, source: Source) {
        let is_default = addresses == ["localhost"]
            && self.placed.contains(reference::SERVER_NAME)
            && !self.placeholders.has(reference::SERVER_NAME);
        let listen = setting("listen");
        if !is_default {
            return self.push(listen, Given { source, words: addresses, block: None });
        }
        let text = format!(
            "SERVER_NAME is not set, and `localhost` asks for HTTPS, which is not built yet: plain \
             HTTP is served at {SITE_LISTEN}"
        );
        self.text(listen, SITE_LISTEN, &source);
        let notice = Notice { level: LogLevel::Warn, source: Some(source), text };
        self.gathered.notices.push(notice);
    }

    fn directive(&mut self, directive: Directive, source: &dyn Fn(usize) -> Source) {
        let source = source(directive.line);
        let name = directive.name.as_str();
        if let Some(setting) = find(name) {
            let Directive { words, block, .. } = directive;
            return self.push(setting, Given { source, words, block });
        }
        let problem = match Place::Mercure.find(name, &directive.tail()) {
            Some(Fate::NoEffect(reason)) => {
                return self.without_effect(source, idle(name, reason));
            }
            Some(Fate::NotYet(until)) => not_yet(name, until),
            _ if name.is_empty() => directives::WITHOUT_NAME.to_owned(),
            _ => unknown_directive(name),
        };
        self.mistake(source, problem);
    }

    /// What the reference's image writes at the head of its `Caddyfile`.
    fn global_option(&mut self, directive: Directive, source: &dyn Fn(usize) -> Source) {
        let (name, line) = (directive.name.clone(), directive.line);
        match Place::Global.find(&name, &directive.tail()) {
            Some(Fate::Setting(_)) => self.directive(directive, source),
            Some(Fate::NoEffect(reason)) => {
                let given = format!("{name} {}", directive.tail());
                self.without_effect(source(line), idle(given.trim_end(), reason));
            }
            Some(Fate::NotYet(until)) => self.mistake(source(line), not_yet(&name, until)),
            Some(Fate::Directives) | None => {
                let known = Place::Global.words().iter().map(|word| word.name);
                let hint = did_you_mean(nearest(&name, known).filter(|known| *known != name));
                let problem = format!("`{name}` is not an option that this hub knows{hint}");
                self.mistake(source(line), problem);
            }
        }
    }

    /// Looks at a variable that is set but may be no setting's.
    fn other_variable(&mut self, name: &str) {
        let source = Source::Variable(name.to_owned());
        match Place::Environment.find(name, "") {
            Some(Fate::NoEffect(reason)) => {
                return self.without_effect(source, format!("no effect: {reason}"));
            }
            Some(Fate::NotYet(until)) => {
                let problem =
                    format!("this variable is not supported yet by this version; {until}");
                return self.mistake(source, problem);
            }
            _ => {}
        }
        let is_ours = name.starts_with("PETASOS_") || name.starts_with("MERCURE_");
        if !is_ours || reference::is_service_link(name) {
            return;
        }
        let known: Vec<String> =
            settings().flat_map(Setting::variables).map(|variable| variable.name).collect();
        let others = reference::COMMAND_VARIABLES.into_iter().chain([reference::EXTRA_DIRECTIVES]);
        let known: Vec<&str> = known.iter().map(String::as_str).chain(others).collect();
        if !known.contains(&name) {
            let hint = did_you_mean(nearest(name, known));
            let text = format!("no setting has this variable{hint}");
            self.gathered.notices.push(Notice {
                level: LogLevel::Warn,
                source: Some(source),
                text,
            });
        }
    }

    fn push(&mut self, setting: &'static Setting, given: Given) {
        self.gathered.givens.entry(setting.name).or_default().push(given);
    }

    fn mistake(&mut self, source: Source, problem: String) {
        self.gathered.mistakes.push(Mistake { source: Some(source), problem });
    }

    fn without_effect(&mut self, source: Source, text: String) {
        let notice = Notice { level: LogLevel::Info, source: Some(source), text };
        self.gathered.notices.push(notice);
    }
}

/// Takes out the keys that are empty; `None`: nothing is left.
fn without_empty_keys(mut directive: Directive) -> Option<Directive> {
    let is_empty = |key: &Directive| key.words.first().is_some_and(String::is_empty);
    match directive.name.as_str() {
        "publisher_jwt" | "subscriber_jwt" | "publisher_jwks_url" | "subscriber_jwks_url"
            if is_empty(&directive) =>
        {
            None
        }
        "issuer" => {
            let Some(roles) = &mut directive.block else { return Some(directive) };
            let mut had_empty = false;
            for keys in roles.iter_mut().filter_map(|role| role.block.as_mut()) {
                had_empty |= keys.iter().any(is_empty);
                keys.retain(|key| !is_empty(key));
            }
            roles.retain(|role| role.block.as_ref().is_none_or(|keys| !keys.is_empty()));
            let is_left = roles.iter().any(|role| role.block.is_some());
            (is_left || !had_empty).then_some(directive)
        }
        _ => Some(directive),
    }
}

fn unknown_directive(name: &str) -> String {
    // Flags and directives differ in their dashes only.
    let as_directive = name.trim_start_matches('-').replace('-', "_");
    let known = settings()
        .flat_map(|setting| std::iter::once(setting.name).chain(setting.aliases.iter().copied()))
        .chain(Place::Mercure.words().iter().map(|word| word.name))
        .chain(["mercure"]);
    // A known one stands where it cannot.
    let nearest = nearest(&as_directive, known).filter(|known| *known != name);
    format!("unknown directive `{name}`{}", did_you_mean(nearest))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |word| format!("; did you mean `{word}`?"))
}
