//! `petasos publish`: sends one update.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Client, Failure, Surroundings, client_arguments, explain};
use crate::{
    client::{NewUpdate, Publisher},
    config::{parse_duration, without_line_end},
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
        .arg(value("id", "ID", "Id of the update; without it a random one"))
        .arg(value("type", "TYPE", "Type of the event"))
        .arg(
            value("retry", "MS", "Milliseconds that subscribers wait before they reconnect")
                .value_parser(value_parser!(u64)),
        )
        .arg(value(
            "patience",
            "DURATION",
            "How long to try while the hub is busy or away [default: 0s, once]",
        ))
}

pub(super) fn publish(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let text = |name| matches.get_one::<String>(name).map(String::as_str);
    let client = Client::read(matches, surroundings)?;
    let data = match text("data") {
        Some(data) => data.to_owned(),
        None => without_line_end(&surroundings.input_text()?).to_owned(),
    };
    let topics: Vec<&str> =
        matches.get_many::<String>("topic").unwrap_or_default().map(String::as_str).collect();
    let publication = NewUpdate {
        topics: &topics,
        data: &data,
        private: matches.get_flag("private"),
        id: text("id"),
        event_type: text("type"),
        retry: matches.get_one("retry").copied(),
    };
    let patience = text("patience").map(parse_duration).transpose();
    let patience = patience.map_err(|problem| Failure::Told(format!("--patience: {problem}")))?;
    let id = Publisher::new(&client.url, client.credentials())
        .map(|publisher| publisher.with_patience(patience.unwrap_or_default()))
        .and_then(|publisher| publisher.send(publication))
        .map_err(|error| Failure::Told(explain(&error, "publish", client.token.is_some())))?;
    writeln!(surroundings.output, "{id}")?;
    Ok(())
}
