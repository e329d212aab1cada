//! From what was given to what it means: every setting from its last source, then what only all
//! of them together can tell. All mistakes are found, not just the first.

use std::{collections::BTreeMap, fmt};

use super::{
    access::{self, AccessDraft},
    checks,
    directives::Directive,
    gather::{self, Gathered},
    keys::Secret,
    setting::{Given, Kind, Setting, Source},
    settings::settings,
    tree::{Config, LogLevel},
};

/// The variables of the environment.
pub type Environment = BTreeMap<String, String>;

/// Everything that settings come from; later fields win.
pub struct Sources<'a> {
    /// Start from the preset of `--dev`, with this key for its tokens.
    pub dev_key: Option<Secret>,
    pub file: Option<ConfigFile<'a>>,
    pub environment: &'a Environment,
    /// Flags with their values, in the order given.
    pub flags: &'a [(&'static Setting, Vec<String>)],
    /// What an application says of the hub inside of it, in this order. The application publishes
    /// without a token, so keys of publishers are not needed.
    pub application: Option<&'a [Said]>,
    /// The hub is to run, so it needs keys; a command that only looks at its files does not.
    pub is_to_run: bool,
    /// The text of a file, or why there is none: for files that settings name.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

/// What an application says of its hub.
#[derive(Debug, Clone)]
pub enum Said {
    /// Directives, as they stand in a configuration file.
    Text(String),
    /// One directive whose words are taken as they are: nothing in them is a placeholder.
    Directive(Directive),
}

/// The configuration file.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// Settings that the hub can start with.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What the operator should know; in the order of the sources.
    pub notices: Vec<Notice>,
    pub(super) in_force: Vec<InForce>,
}

/// What is in force of a setting: one directive of it.
#[derive(Debug, Clone)]
pub(super) struct InForce {
    pub(super) setting: &'static str,
    /// Secrets are masked.
    directive: String,
    /// As it was given, to tell whether it is another.
    pub(super) whole: Secret,
    source: Source,
}

/// Why the hub cannot start with these settings. One line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `None`: what is wrong is that something was not given at all.
    pub source: Option<Source>,
    pub problem: String,
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_source(f, self.source.as_ref(), &self.problem)
    }
}

/// One line for the operator's log. Without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub level: LogLevel,
    pub source: Option<Source>,
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_source(f, self.source.as_ref(), &self.text)
    }
}

fn write_with_source(
    f: &mut fmt::Formatter<'_>,
    source: Option<&Source>,
    text: &str,
) -> fmt::Result {
    match source {
        Some(source) => write!(f, "{source}: {text}"),
        None => f.write_str(text),
    }
}

/// Settings while they are being read.
#[derive(Default)]
pub struct Draft {
    pub(super) config: Config,
    pub(super) access: AccessDraft,
    pub(super) debug: bool,
    pub(super) notices: Vec<Notice>,
}

/// Reads all settings.
///
/// # Errors
/// Every mistake that was found; there is at least one.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Vec<Mistake>> {
    let Gathered { givens, mut mistakes, mut notices } = gather::gather(sources);
    let mut draft = Draft::default();
    let mut in_force = Vec::new();
    for setting in settings() {
        let givens = givens.get(setting.name).map_or(&[][..], Vec::as_slice);
        for given in givens {
            // What a later source replaces is read as well: a mistake is never silent.
            if let Err(problem) = (setting.store)(&mut draft, given) {
                mistakes.push(mistake(setting, given, problem));
            }
        }
        notices.extend(replaced_in_one_text(setting, givens));
        in_force.extend(describe(setting, givens));
    }
    let config = finish(draft, sources, &mut mistakes, &mut notices);
    if mistakes.is_empty() {
        notices.sort_by_key(|notice| place(notice.source.as_ref()));
        return Ok(Loaded { config, notices, in_force });
    }
    mistakes.sort_by_key(|mistake| place(mistake.source.as_ref()));
    Err(mistakes)
}

/// Sorts by source and line; what has no source comes last.
fn place(source: Option<&Source>) -> (u8, usize) {
    source.map_or((u8::MAX, 0), |source| (source.tier(), source.line().unwrap_or(0)))
}

fn mistake(setting: &Setting, given: &Given, problem: String) -> Mistake {
    // Variables and flags name the setting already.
    let problem = match given.source.line() {
        Some(_) => format!("{}: {problem}", setting.name),
        None => problem,
    };
    Mistake { source: Some(given.source.clone()), problem }
}

/// Says which lines have no effect because a later line of the same text speaks of the same.
fn replaced_in_one_text(setting: &Setting, givens: &[Given]) -> Vec<Notice> {
    if setting.is_repeatable() {
        return Vec::new();
    }
    let replaced = givens.windows(2).filter_map(|pair| {
        let (earlier, later) = (&pair[0].source, &pair[1].source);
        let is_one_text = earlier.tier() == later.tier();
        let (_, line) = (earlier.line()?, later.line().filter(|_| is_one_text)?);
        Some(Notice {
            level: LogLevel::Warn,
            source: Some(earlier.clone()),
            text: format!("{} has no effect, line {line} replaces it", setting.name),
        })
    });
    replaced.collect()
}

fn finish(
    draft: Draft,
    sources: &Sources<'_>,
    mistakes: &mut Vec<Mistake>,
    notices: &mut Vec<Notice>,
) -> Config {
    let Draft { mut config, access, debug, notices: of_values } = draft;
    notices.extend(of_values);
    if debug {
        config.logging.level = config.logging.level.max(LogLevel::Debug);
    }
    // A key that could not be read is not missing as well.
    let keys_are_known = mistakes.is_empty();
    if sources.is_to_run && access.trusts_issuers_without_keys() && keys_are_known {
        mistakes.push(checks::issuers_without_keys());
    }
    let mut given = access.keys();
    if let Some(key) = &sources.dev_key {
        super::dev::complete(&mut config, key, &mut given);
    }
    let access::Keys { keys, key_sets, authorization_servers } = given;
    mistakes.extend(checks::bad_keys(&keys));
    mistakes.extend(checks::bad_key_files(&key_sets, sources.read_file));
    notices.extend(checks::lint_keys(&keys));
    notices.extend(checks::exposed_key_sets(&key_sets));
    config.access.keys = keys.into_iter().map(|(key, _)| key).collect();
    config.access.key_sets = key_sets.into_iter().map(|(set, _)| set).collect();
    config.access.authorization_servers = authorization_servers;
    checks::fit_budgets(&mut config);
    mistakes.extend(checks::reused_ids_without_history(&config));
    if keys_are_known {
        if sources.is_to_run {
            mistakes.extend(checks::missing_keys(&config, sources.application.is_none()));
        }
        mistakes.extend(checks::mixed_issuers(&config));
        notices.extend(checks::warnings(&config));
        notices.extend(checks::history(&config.log.transport));
    }
    config
}

/// What is in force of a setting, as lines of a configuration file with secrets masked.
fn describe(setting: &Setting, givens: &[Given]) -> Vec<InForce> {
    let Some(last) = givens.last() else {
        let directive = format!("# {}", setting.name);
        let whole = Secret::new(*b"");
        return vec![InForce { setting: setting.name, directive, whole, source: Source::Default }];
    };
    let tier = last.source.tier();
    let counts = |given: &&Given| match setting.is_repeatable() {
        true => given.source.tier() == tier,
        false => std::ptr::eq(*given, last),
    };
    let describe_one = |given: &Given| {
        let mut words = given.words.clone();
        match setting.kind {
            Kind::Secret => access::mask_first(&mut words),
            Kind::KeySet => access::mask_url(&mut words),
            _ => {}
        }
        let block = given.block.as_ref().map(|block| block.iter().map(access::masked).collect());
        let name = || setting.name.to_owned();
        let directive = Directive { line: 0, name: name(), words, block };
        let Given { words, block, .. } = given.clone();
        let whole = Directive { line: 0, name: name(), words, block };
        InForce {
            setting: setting.name,
            directive: directive.to_string(),
            whole: Secret::new(whole.to_string().into_bytes()),
            source: given.source.clone(),
        }
    };
    givens.iter().filter(counts).map(describe_one).collect()
}

impl Loaded {
    /// Everything in force, as a configuration file that says where each line comes from. Secrets
    /// are masked.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for InForce { directive, source, .. } in &self.in_force {
            let (first, rest) = directive.split_once('\n').unwrap_or((directive, ""));
            text.push_str(&format!("{first:<50} # {source}\n"));
            if !rest.is_empty() {
                text.push_str(rest);
                text.push('\n');
            }
        }
        text
    }
}
