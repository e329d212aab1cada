//! The command line: commands and their help. Each command has a file of its own; the flags of
//! the hub come from the table of settings.

mod dev;
mod doctor;
mod explain;
mod fsck;
mod healthcheck;
mod matchers;
mod publish;
mod serve;
mod subscribe;
#[cfg(test)]
mod tests;
mod token;

use clap::{ArgMatches, Command};
use std::{
    ffi::OsString,
    io::{Read, Write},
    process::ExitCode,
};

use crate::{
    auth::authority::Explanation,
    client::{ClientError, Credentials},
    config::{Config, Environment, Loaded, without_line_end},
};

/// What is done for commands elsewhere.
pub trait Application {
    /// Runs the hub. `banner` is printed once it listens; `again` reads the settings anew.
    fn serve(
        &mut self,
        loaded: Loaded,
        banner: Option<String>,
        again: &dyn Fn() -> Result<Loaded, String>,
    ) -> ExitCode;

    /// Checks the history of a hub with these settings; `cut`: what is damaged is cut off.
    fn fsck(&mut self, config: Config, cut: bool) -> ExitCode;

    /// Says why a token passes or fails on a hub with these settings.
    ///
    /// # Errors
    /// The hub could not start with them.
    fn explain(&mut self, config: Config, token: &str) -> Result<Explanation, String>;
}

/// Does what the arguments say, the name of the program first.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
    application: &mut dyn Application,
) -> ExitCode {
    let mut surroundings = Surroundings {
        environment: &environment,
        input: &mut std::io::stdin(),
        output: &mut std::io::stdout(),
        errors: &mut std::io::stderr(),
    };
    execute(arguments, &mut surroundings, application)
}

/// The environment of the process. What is not UTF-8 gets U+FFFD, which settings refuse.
pub fn environment() -> Environment {
    std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect()
}

/// What a command reads and writes.
struct Surroundings<'a> {
    environment: &'a Environment,
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    errors: &'a mut dyn Write,
}

impl Surroundings<'_> {
    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A flag's value, else the variable's.
    fn value(&self, matches: &ArgMatches, flag: &str, variable: &str) -> Option<String> {
        let flag = matches.get_one::<String>(flag).map(String::as_str);
        flag.or_else(|| self.variable(variable)).map(str::to_owned)
    }

    /// A secret, as it is or as `@file`; `@-` is standard input.
    fn secret(&mut self, text: &str) -> Result<String, Failure> {
        let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
        let content = match path {
            "-" => self.input_text()?,
            path => serve::read_file(path).map_err(Failure::Told)?,
        };
        // As the hub reads the files of keys.
        Ok(without_line_end(&content).to_owned())
    }

    fn input_text(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = self.input.read_to_string(&mut text);
        read.map_err(|error| Failure::Told(format!("cannot read standard input: {error}")))?;
        Ok(text)
    }
}

/// What nobody can guess.
fn random<const LEN: usize>() -> Result<[u8; LEN], String> {
    let mut random = [0; LEN];
    getrandom::fill(&mut random)
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(random)
}

/// Why a command did not do what it was told to.
#[derive(Debug)]
enum Failure {
    /// One line for each reason.
    Told(String),
    /// Nobody reads the output any more.
    OutputClosed,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Told(format!("cannot write the output: {error}")),
        }
    }
}

fn execute(
    arguments: impl IntoIterator<Item = OsString>,
    surroundings: &mut Surroundings<'_>,
    application: &mut dyn Application,
) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(told) => {
            let output = match told.use_stderr() {
                true => &mut surroundings.errors,
                false => &mut surroundings.output,
            };
            // Where help cannot be written there is nobody to tell.
            let _ = write!(output, "{}", told.render());
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1));
        }
    };
    match dispatch(&matches, surroundings, application) {
        Ok(code) => code,
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Told(text)) => {
            for line in text.lines() {
                let _ = writeln!(surroundings.errors, "petasos: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
    application: &mut dyn Application,
) -> Result<ExitCode, Failure> {
    match matches.subcommand() {
        None => return serve::serve(matches, surroundings, application),
        Some(("serve" | "run", matches)) => {
            return serve::serve(matches, surroundings, application);
        }
        Some(("token", matches)) => return token::token(matches, surroundings, application),
        Some(("fsck", matches)) => return fsck::fsck(matches, surroundings, application),
        Some(("doctor", matches)) => return doctor::doctor(matches, surroundings),
        Some(("check", matches)) => serve::check(matches, surroundings)?,
        Some(("healthcheck", matches)) => healthcheck::healthcheck(matches, surroundings)?,
        Some(("publish", matches)) => publish::publish(matches, surroundings)?,
        Some(("subscribe", matches)) => subscribe::subscribe(matches, surroundings)?,
        Some((other, _)) => return Err(Failure::Told(format!("no command `{other}`"))),
    }
    Ok(ExitCode::SUCCESS)
}

const INTRODUCTION: &str = "A Mercure hub: publishers send updates over HTTP, browsers and \
other clients receive them as server-sent events.";

const EXAMPLES: &str = "\
Examples:
  petasos --dev                          a hub to try things out with; prints ready commands
  petasos --config hub.conf              a hub with settings from a file
  MERCURE_PUBLISHER_JWT_KEY=… MERCURE_SUBSCRIBER_JWT_KEY=… petasos --listen :80
  petasos check --config hub.conf        what is in force, or every mistake
  petasos doctor --config hub.conf       is this machine made for many connections?

  export PETASOS_TOKEN=$(petasos token --key @key --publish '*' --subscribe '*')
  petasos subscribe https://example.com/books/1
  echo '{\"status\":\"sold\"}' | petasos publish https://example.com/books/1

`petasos serve --help` lists all settings. Each has a flag, a variable, a directive and a default.";

fn command() -> Command {
    Command::new("petasos")
        .version(env!("VERSION_AND_REVISION"))
        .about(INTRODUCTION)
        .after_help(EXAMPLES)
        .args_conflicts_with_subcommands(true)
        .args(serve::few_arguments())
        .subcommand(serve::command())
        .subcommand(serve::run_command())
        .subcommand(serve::check_command())
        .subcommand(doctor::command())
        .subcommand(fsck::command())
        .subcommand(healthcheck::command())
        .subcommand(token::command())
        .subcommand(publish::command())
        .subcommand(subscribe::command())
}

const URL_DEFAULT: &str = "http://127.0.0.1:8080/.well-known/mercure";

/// `--url` and `--token`: what every client command has.
fn client_arguments() -> [clap::Arg; 2] {
    [
        clap::Arg::new("url")
            .long("url")
            .value_name("URL")
            .help(format!("URL of the hub [env: PETASOS_URL] [default: {URL_DEFAULT}]")),
        clap::Arg::new("token").long("token").value_name("TOKEN").help(
            "Access token; @FILE reads it from a file, @- from standard input [env: PETASOS_TOKEN]",
        ),
    ]
}

/// Which hub a client command speaks to, and with which token, if there is one.
struct Client {
    url: String,
    token: Option<String>,
}

impl Client {
    fn read(matches: &ArgMatches, surroundings: &mut Surroundings<'_>) -> Result<Client, Failure> {
        let url = surroundings.value(matches, "url", "PETASOS_URL");
        let token = surroundings.value(matches, "token", "PETASOS_TOKEN");
        let token = token.map(|token| surroundings.secret(&token)).transpose()?;
        Ok(Client { url: url.unwrap_or_else(|| URL_DEFAULT.to_owned()), token })
    }

    fn credentials(&self) -> Credentials {
        self.token.as_deref().map_or_else(Credentials::none, Credentials::token)
    }
}

/// The error, and on the next line what may help.
fn explain(error: &ClientError, action: &str, has_token: bool) -> String {
    let help = match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => {
            "is the hub running, and is this its URL (--url)? `petasos --dev` starts one to try"
        }
        ClientError::BadUrl(_) | ClientError::NotAStream { .. } => "set the hub's URL with --url",
        ClientError::BadToken => "give the token alone, without `Bearer`, or @FILE for a file",
        ClientError::Redirected { .. } => "set that URL with --url",
        ClientError::NoToken(_)
        | ClientError::Broken(_)
        | ClientError::Silent(_)
        | ClientError::TooLong(_) => return error.to_string(),
        ClientError::Refused(refusal) => match refusal.status {
            401 if has_token => {
                "the token is not accepted: its key, issuer, audience or time does not fit; \
                 the hub's log says which"
            }
            401 => "give a token with --token or PETASOS_TOKEN; `petasos token --help` makes one",
            403 => {
                return format!(
                    "{error}\nthe token does not allow this; one that does: \
                     `petasos token --key … --{action} TOPIC`"
                );
            }
            404 | 405 => "is this the hub's URL (--url)? It mostly ends in /.well-known/mercure",
            413 => "the update is too large for the hub; see its max_request_body_size",
            429 | 503 => "the hub is busy; try again later",
            _ => return error.to_string(),
        },
    };
    format!("{error}\n{help}")
}
