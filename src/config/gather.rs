//! Collects what was given for each setting, source by source, without understanding it yet.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    dev,
    directives::{self, Directive, Placeholders},
    load::{Mistake, Notice, Said, Sources},
    setting::{Given, Kind, Setting, Source},
    settings::settings,
    tree::LogLevel,
    units::nearest,
    words,
};

/// The default for a hub inside an application: a library does not write to the working directory
/// unasked.
const APPLICATION_TRANSPORT: &str = "memory";

/// What was given, by the name of the setting; what wins stands last.
pub(super) struct Gathered {
    pub(super) givens: BTreeMap<&'static str, Vec<Given>>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) notices: Vec<Notice>,
}

pub(super) fn gather(sources: &Sources<'_>) -> Gathered {
    let mut gatherer = Gatherer {
        placeholders: Placeholders {
            environment: sources.environment,
            read_file: sources.read_file,
        },
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
        gatherer.directives(file.text, &source);
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
    gathered: Gathered,
}

impl Gatherer<'_> {
    fn defaults(&mut self) {
        for setting in settings().filter(|setting| !setting.default.is_empty()) {
            self.text(setting, setting.default, &Source::Default);
        }
    }

    fn environment(&mut self, sources: &Sources<'_>) {
        let value = |name: &str| sources.environment.get(name).filter(|value| !value.is_empty());
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
        if let Some(text) = value(words::GLOBAL_OPTIONS) {
            self.global_options(text);
        }
        if let Some(text) = value(words::EXTRA_DIRECTIVES) {
            let source = |line| Source::VariableLine { name: words::EXTRA_DIRECTIVES, line };
            self.directives(text, &source);
        }
        for (name, _) in sources.environment.iter().filter(|(_, value)| !value.is_empty()) {
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

    /// Takes a text of directives: bare, or in a `mercure` block.
    fn directives(&mut self, text: &str, source: &dyn Fn(usize) -> Source) {
        match directives::parse(text, &self.placeholders) {
            Ok(directives) => {
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
            Err(error) => self.mistake(source(error.line), error.problem),
        }
    }

    fn directive(&mut self, directive: Directive, source: &dyn Fn(usize) -> Source) {
        let source = source(directive.line);
        let name = directive.name.as_str();
        if let Some(setting) = find(name) {
            let Directive { words, block, .. } = directive;
            return self.push(setting, Given { source, words, block });
        }
        if let Some((_, reason)) = words::WITHOUT_EFFECT.iter().find(|(word, _)| *word == name) {
            return self.without_effect(source, format!("{name} has no effect: {reason}"));
        }
        let problem = if words::DIRECTIVES_TO_COME.contains(&name) {
            not_yet(name)
        } else if directive.block.iter().flatten().any(|inner| is_site_word(&inner.name)) {
            format!(
                "`{name}`: a Caddyfile with site blocks is not supported yet by this version; \
                 write only what stands inside `mercure {{ … }}`, and the address as `listen`"
            )
        } else {
            unknown_directive(name)
        };
        self.mistake(source, problem);
    }

    /// `GLOBAL_OPTIONS`: what the reference's image writes at the head of its Caddyfile.
    fn global_options(&mut self, text: &str) {
        let source = |line| Source::VariableLine { name: words::GLOBAL_OPTIONS, line };
        let directives = match directives::parse(text, &self.placeholders) {
            Ok(directives) => directives,
            Err(error) => return self.mistake(source(error.line), error.problem),
        };
        for directive in directives {
            let name = directive.name.as_str();
            let idle = words::GLOBAL_WITHOUT_EFFECT
                .iter()
                .find(|(word, value, _)| *word == name && directive.words.join(" ") == *value);
            if words::GLOBAL_SETTINGS.contains(&name) {
                self.directive(directive, &source);
            } else if let Some((word, value, reason)) = idle {
                let given = format!("{word} {value}");
                let text = format!("{} has no effect: {reason}", given.trim_end());
                self.without_effect(source(directive.line), text);
            } else if words::GLOBAL_TO_COME.contains(&name) {
                self.mistake(source(directive.line), not_yet(name));
            } else {
                let problem = format!("`{name}` is not an option that this hub knows");
                self.mistake(source(directive.line), problem);
            }
        }
    }

    /// Looks at a variable that is set but may be no setting's.
    fn other_variable(&mut self, name: &str) {
        let source = Source::Variable(name.to_owned());
        let known = &words::VARIABLES_WITHOUT_EFFECT;
        if let Some((_, reason)) = known.iter().find(|(word, _)| *word == name) {
            return self.without_effect(source, format!("no effect: {reason}"));
        }
        if words::VARIABLES_TO_COME.contains(&name) {
            let problem = "this variable is not supported yet by this version; unset it";
            return self.mistake(source, problem.to_owned());
        }
        let is_ours = name.starts_with("PETASOS_") || name.starts_with("MERCURE_");
        if !is_ours || words::is_service_link(name) {
            return;
        }
        let known: Vec<String> =
            settings().flat_map(Setting::variables).map(|variable| variable.name).collect();
        let others = words::COMMAND_VARIABLES.into_iter().chain([words::EXTRA_DIRECTIVES]);
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

/// What only stands in the site blocks of a Caddyfile.
fn is_site_word(name: &str) -> bool {
    ["mercure", "route", "handle", "encode", "respond", "reverse_proxy"].contains(&name)
}

fn not_yet(word: &str) -> String {
    format!("`{word}` is not supported yet by this version")
}

fn unknown_directive(name: &str) -> String {
    // Flags and directives differ in their dashes only.
    let as_directive = name.trim_start_matches('-').replace('-', "_");
    let known = settings()
        .flat_map(|setting| std::iter::once(setting.name).chain(setting.aliases.iter().copied()))
        .chain(words::DIRECTIVES_TO_COME)
        .chain(words::WITHOUT_EFFECT.into_iter().map(|(word, _)| word))
        .chain(["mercure"]);
    format!("unknown directive `{name}`{}", did_you_mean(nearest(&as_directive, known)))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |word| format!("; did you mean `{word}`?"))
}
