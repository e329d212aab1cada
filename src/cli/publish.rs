//! `petasos publish`: sends one update.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Failure, Surroundings, client_arguments, client_values, explain};
use crate::{
    client::{Publication, Publisher},
    config::without_line_end,
};

const EXAMPLES: &str = "\
Examples:
  petasos publish https://example.com/books/1 --data 'sold out'
  echo '{\"status\":\"sold\"}' | petasos publish https://example.com/books/1 --private";

pub(super) fn command() -> Command {
    let value = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value_name).help(help)
    };
    Command::new("publish")
        .about("Publish an update and print its id")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("topic")
                .value_name("TOPIC")
                .required(true)
                .num_args(1..)
                .help("Topics of the update, the canonical one first"),
        )
        .args(client_arguments())
        .arg(value("data", "TEXT", "Content; without it standard input, less a last line end"))
        .arg(
            Arg::new("private")
                .long("private")
                .action(ArgAction::SetTrue)
                .help("Only for subscribers whose token allows it"),
        )
        .arg(value("id", "ID", "Id of the update; without it the hub makes one"))
        .arg(value("type", "TYPE", "Type of the event"))
        .arg(
            value("retry", "MS", "Milliseconds that subscribers wait before they reconnect")
                .value_parser(value_parser!(u64)),
        )
}

pub(super) fn publish(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let text = |name| matches.get_one::<String>(name).map(String::as_str);
    let (url, token) = client_values(matches, surroundings)?;
    let data = match text("data") {
        Some(data) => data.to_owned(),
        None => without_line_end(&surroundings.input_text()?).to_owned(),
    };
    let topics: Vec<&str> =
        matches.get_many::<String>("topic").unwrap_or_default().map(String::as_str).collect();
    let publication = Publication {
        topics: &topics,
        data: &data,
        private: matches.get_flag("private"),
        id: text("id"),
        event_type: text("type"),
        retry: matches.get_one("retry").copied(),
    };
    let id = Publisher::new(&url, token.as_deref())
        .and_then(|publisher| publisher.publish(&publication))
        .map_err(|error| Failure::Told(explain(&error, "publish", token.is_some())))?;
    writeln!(surroundings.output, "{id}")?;
    Ok(())
}
