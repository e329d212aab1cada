//! `petasos serve`, `petasos run` and `petasos check`: the table of settings as flags.

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValue, parser::ValueSource};
use std::{net::SocketAddr, process::ExitCode};

use super::{Application, Failure, Surroundings, dev};
use crate::config::{
    ConfigFile, Kind, Loaded, Mistake, SECTIONS, Secret, Setting, Sources, load, parse_admin,
    settings,
};

const HELP: &str = "\
Sources of settings, the later win: defaults, --config FILE, environment, flags.
A file holds directives, one on a line, named like the flags with _ instead of -:

  listen :80
  issuer https://example.com {
      publisher {
          jwt {env.PUBLISHER_KEY}
      }
      subscriber {
          jwt {file./run/secrets/subscriber-key} HS512
      }
  }
  cors_origins https://example.com

MERCURE_EXTRA_DIRECTIVES holds directives too. Flags and PETASOS_ variables for keys name a file,
since everybody on the machine can read command lines; the other variables hold the key itself.
Several alternatives of a variable: the first that is not empty counts.
`petasos check` shows what is in force. HUP makes a hub that runs read its file again: keys and
issuers, who may subscribe and publish, CORS, limits of requests and the log level change without
cutting a stream; for the rest the log says that a restart is needed.

The history lies in data_dir and is there again after a restart:

  transport embedded {
      size 100000      # the newest updates, so many; 0: no limit (default)
      max_bytes 10GiB  # in so many bytes; 0: no limit; default 1GiB
      max_age 30d      # not older than this; 0: no limit (default)
      sync always      # default
  }

sync says what a publisher's 200 promises:

  always             The update is on disk. Nothing that was acknowledged is lost.
  interval DURATION  It will be on disk within that time. When the power fails or the system
                     crashes, what was acknowledged within that time may be lost.
  off                It will be on disk when the operating system decides so. When the power
                     fails or the system crashes, whatever was not there yet is lost.

Whatever `sync` is, nothing acknowledged is lost when only the hub ends, however it does.";

pub(super) fn command() -> Command {
    Command::new("serve")
        .about("Run the hub (the default command)")
        .after_help(HELP)
        .args(arguments())
}

pub(super) fn run_command() -> Command {
    let adapter = Arg::new("adapter")
        .long("adapter")
        .value_name("NAME")
        .value_parser([PossibleValue::new("caddyfile")])
        .help("Accepted for those who come from Caddy");
    Command::new("run").about("The same as serve").args(few_arguments()).arg(adapter)
}

pub(super) fn check_command() -> Command {
    Command::new("check")
        .about("Print the settings in force, secrets masked, or every mistake")
        .after_help("Takes all flags of `petasos serve`.")
        .args(few_arguments())
}

/// `--config`, `--dev` and a flag for every setting.
pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    let config = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .help("Read settings from this file [env: PETASOS_CONFIG]");
    let dev = Arg::new("dev").long("dev").action(ArgAction::SetTrue).help(
        "A hub to try things out with: for this machine, everybody may subscribe, and a token \
         is printed. Not secure [env: PETASOS_DEV]",
    );
    let settings = SECTIONS.iter().flat_map(|section| {
        section.settings.iter().map(|setting| argument(setting).help_heading(section.title))
    });
    [config, dev].into_iter().chain(settings)
}

/// The same, all but the first two hidden: `petasos serve --help` lists them.
pub(super) fn few_arguments() -> impl Iterator<Item = Arg> {
    arguments().enumerate().map(|(i, argument)| argument.hide(i >= 2))
}

fn argument(setting: &'static Setting) -> Arg {
    let variables: Vec<_> = setting.variables().into_iter().map(|v| v.name).collect();
    let default = if setting.default.is_empty() { "none" } else { setting.default };
    let argument = Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.value_name())
        .help(format!("{} [env: {}] [default: {default}]", setting.help, variables.join(", ")));
    match setting.kind {
        Kind::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("on"),
        Kind::List(_) | Kind::SecretBlocks => argument.action(ArgAction::Append),
        _ => argument,
    }
}

pub(super) fn serve(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
    application: &mut dyn Application,
) -> Result<ExitCode, Failure> {
    // The key that was printed stays in use, however often settings are read.
    let dev_key = dev_key(matches, surroundings)?;
    let read = || read_with(matches, surroundings, dev_key.clone(), true);
    let loaded = read().map_err(Failure::Told)?;
    let banner = loaded.config.dev.then(|| dev::banner(&loaded.config)).transpose();
    Ok(application.serve(loaded, banner.map_err(Failure::Told)?, &read))
}

pub(super) fn check(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let loaded = read(matches, surroundings, true)?;
    surroundings.output.write_all(loaded.describe().as_bytes())?;
    for notice in &loaded.notices {
        let _ = writeln!(surroundings.errors, "petasos: {notice}");
    }
    Ok(())
}

/// Where a hub with these settings has its admin listener. What is said of it alone is enough: keys
/// and all else need not be there.
pub(super) fn admin_address(
    matches: &ArgMatches,
    surroundings: &Surroundings<'_>,
) -> Result<SocketAddr, Failure> {
    let said = surroundings.value(matches, "admin", "PETASOS_ADMIN");
    let address = match said {
        Some(text) => parse_admin(&text).map_err(Failure::Told)?,
        None => read(matches, surroundings, false).map_err(with_admin_hint)?.config.admin.address,
    };
    address.ok_or_else(|| Failure::Told("the hub has no admin listener (admin off)".to_owned()))
}

/// For who asks about a hub whose settings are not at hand.
fn with_admin_hint(failure: Failure) -> Failure {
    match failure {
        Failure::Told(text) => Failure::Told(format!(
            "{text}\nthe settings of the hub tell where its admin listener is; without them, name \
             it with --admin"
        )),
        other => other,
    }
}

/// Reads all settings; those of a hub that is not to run need no keys.
pub(super) fn read(
    matches: &ArgMatches,
    surroundings: &Surroundings<'_>,
    is_to_run: bool,
) -> Result<Loaded, Failure> {
    let dev_key = dev_key(matches, surroundings)?;
    read_with(matches, surroundings, dev_key, is_to_run).map_err(Failure::Told)
}

/// A key for the tokens of `--dev`, if it is given.
fn dev_key(
    matches: &ArgMatches,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Secret>, Failure> {
    let is_on = |value: &str| ["1", "on", "true", "yes"].contains(&value);
    let is_dev = matches.get_flag("dev") || surroundings.variable("PETASOS_DEV").is_some_and(is_on);
    is_dev.then(dev::new_key).transpose().map_err(Failure::Told)
}

fn read_with(
    matches: &ArgMatches,
    surroundings: &Surroundings<'_>,
    dev_key: Option<Secret>,
    is_to_run: bool,
) -> Result<Loaded, String> {
    let path = surroundings.value(matches, "config", "PETASOS_CONFIG");
    let text = path.as_deref().map(read_file).transpose()?;
    let file = path.as_deref().zip(text.as_deref());
    let loaded = load(&Sources {
        dev_key,
        file: file.map(|(name, text)| ConfigFile { name, text }),
        environment: surroundings.environment,
        flags: &flags(matches),
        application: None,
        is_to_run,
        read_file: &read_file,
    });
    loaded.map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(Mistake::to_string).collect();
        lines.join("\n")
    })
}

/// The flags that were given.
fn flags(matches: &ArgMatches) -> Vec<(&'static Setting, Vec<String>)> {
    settings()
        .filter(|setting| matches.value_source(setting.name) == Some(ValueSource::CommandLine))
        .map(|setting| {
            let values = matches.get_many::<String>(setting.name).unwrap_or_default();
            (setting, values.cloned().collect())
        })
        .collect()
}

pub(super) fn read_file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))
}
