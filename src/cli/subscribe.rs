//! `petasos subscribe`: prints updates as they come.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{Failure, Surroundings, client_arguments, client_values, explain};
use crate::client::{Event, Subscriber, Subscription};

const EXAMPLES: &str = "\
Examples:
  petasos subscribe https://example.com/books/1
  petasos subscribe '*' --json --last-event-id earliest --count 10

Reconnects by itself and resumes after the last event. Ends with Ctrl-C.";

pub(super) fn command() -> Command {
    Command::new("subscribe")
        .about("Print updates as they come")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("topic")
                .value_name("TOPIC")
                .required(true)
                .num_args(1..)
                .help("Topics to listen to; * is all of them"),
        )
        .args(client_arguments())
        .arg(
            Arg::new("last-event-id")
                .long("last-event-id")
                .value_name("ID")
                .help("Start after this event; earliest: with everything that the hub has"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object a line with id, type and data, instead of the data alone"),
        )
        .arg(
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("End after so many events"),
        )
}

pub(super) fn subscribe(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let (url, token) = client_values(matches, surroundings)?;
    let topics: Vec<&str> =
        matches.get_many::<String>("topic").unwrap_or_default().map(String::as_str).collect();
    let subscription = Subscription {
        topics: &topics,
        last_event_id: matches.get_one::<String>("last-event-id").map(String::as_str),
        ..Subscription::default()
    };
    let told = |error| Failure::Told(explain(&error, "subscribe", token.is_some()));
    let subscriber = Subscriber::new(&url, token.as_deref(), &subscription).map_err(told)?;
    let is_json = matches.get_flag("json");
    let count = matches.get_one::<u64>("count").copied();
    let mut printed = 0;
    for item in subscriber {
        match item {
            Ok(event) => {
                writeln!(surroundings.output, "{}", line(&event, is_json))?;
                surroundings.output.flush()?;
                printed += 1;
                if count == Some(printed) {
                    return Ok(());
                }
            }
            Err(error) if error.is_final() => return Err(told(error)),
            Err(error) => {
                let _ = writeln!(surroundings.errors, "petasos: {error}; trying again");
            }
        }
    }
    Ok(())
}

fn line(event: &Event, is_json: bool) -> String {
    match is_json {
        true => json!({ "id": event.id, "type": event.event_type, "data": event.data }).to_string(),
        false => event.data.clone(),
    }
}
