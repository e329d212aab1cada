//! `petasos subscribe`: prints updates as they come.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{Client, Failure, Surroundings, client_arguments, explain, matchers};
use crate::{
    client::{Event, Subscriber, Subscription, Update},
    protocol::matcher::MatcherType,
};

const EXAMPLES: &str = "\
Examples:
  petasos subscribe https://example.com/books/1
  petasos subscribe --urlpattern 'https://example.com/books/:id'
  petasos subscribe '*' --json --last-event-id earliest --count 10

Reconnects by itself and resumes after the last event. Ends with Ctrl-C.";

pub(super) fn command() -> Command {
    Command::new("subscribe")
        .about("Print updates as they come")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("topic")
                .value_name("TOPIC")
                .required_unless_present("urlpattern")
                .num_args(1..)
                .help("Topics to listen to; * is all of them"),
        )
        .arg(
            Arg::new("urlpattern")
                .long("urlpattern")
                .value_name("PATTERN")
                .action(ArgAction::Append)
                .help("URL pattern of topics to listen to, like /books/:id; may be repeated"),
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
    let client = Client::read(matches, surroundings)?;
    let topics = matchers::read(matches, "topic", "TOPIC", MatcherType::Exact)?;
    let patterns = matchers::read(matches, "urlpattern", "--urlpattern", MatcherType::UrlPattern)?;
    let matchers = [topics, patterns].concat();
    let subscription = Subscription {
        matchers: &matchers,
        last_event_id: matches.get_one::<String>("last-event-id").map(String::as_str),
        ..Subscription::default()
    };
    let told = |error| Failure::Told(explain(&error, "subscribe", client.token.is_some()));
    let subscriber =
        Subscriber::new(&client.url, client.credentials(), &subscription).map_err(told)?;
    let is_json = matches.get_flag("json");
    let count = matches.get_one::<u64>("count").copied();
    let mut printed = 0;
    for item in subscriber {
        match item {
            Ok(Event::Update(update)) => {
                writeln!(surroundings.output, "{}", line(&update, is_json))?;
                surroundings.output.flush()?;
                printed += 1;
                if count == Some(printed) {
                    return Ok(());
                }
            }
            Ok(Event::Gap(gap)) => {
                let _ = writeln!(
                    surroundings.errors,
                    "petasos: updates may be missing here, or come again: the hub does not go on \
                     after the last event{}",
                    gap.resumed_from.map_or(String::new(), |id| format!(", but after {id}"))
                );
            }
            Err(error) if error.is_final() => return Err(told(error)),
            Err(error) => {
                let _ = writeln!(surroundings.errors, "petasos: {error}; trying again");
            }
        }
    }
    Ok(())
}

fn line(update: &Update, is_json: bool) -> String {
    let Update { id, event_type, data } = update;
    match is_json {
        true => json!({ "id": id, "type": event_type, "data": data }).to_string(),
        false => data.clone(),
    }
}
