//! `petasos token explain`: why does a token pass or fail?

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::{Application, Failure, Surroundings, serve};

const HELP: &str = "\
Says of every rule whether the token keeps it, and what follows for publishers and for subscribers.
Neither keys nor the token itself are printed.

The hub is known by its settings: give the flags, the --config and the variables that it is started
with. Keys that issuers publish are fetched. A hub that runs can be asked itself, on its admin
listener, where nothing but the token is needed:

  curl --data-binary @token http://127.0.0.1:2019/token/explain

The exit code is 0 where the token passes for a publisher or a subscriber, otherwise 1.

Examples:
  petasos token explain @token --config hub.conf
  pbpaste | petasos token explain @- --config Caddyfile";

pub(super) fn command() -> Command {
    let token = Arg::new("text").value_name("TOKEN").required(true).help(
        "The token; @FILE reads it from a file, @- from standard input. Command lines can be read \
         by everybody on the machine",
    );
    Command::new("explain")
        .about("Say why a token passes or fails on a hub")
        .after_help(HELP)
        .arg(token)
        .args(serve::few_arguments())
}

pub(super) fn explain(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
    application: &mut dyn Application,
) -> Result<ExitCode, Failure> {
    let text = matches.get_one::<String>("text").cloned().unwrap_or_default();
    let token = surroundings.secret(&text)?;
    let config = serve::read(matches, surroundings, true)?.config;
    let told = application.explain(config, &token).map_err(Failure::Told)?;
    write!(surroundings.output, "{told}")?;
    Ok(if told.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
