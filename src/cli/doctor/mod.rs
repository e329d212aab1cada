//! `petasos doctor`: is this machine made for many connections, and does what stands between the
//! hub and the world let streams through?

mod machine;
mod report;
mod way;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::report::Report;
use super::{Failure, Surroundings, serve};

const HELP: &str = "\
Without --url: looks at this machine, and at the settings of the hub, which it takes as `petasos
check` does (flags, --config, variables); keys are not needed. Run it where the hub runs: as the
same user, in the same container or unit, for limits belong to these. Nothing is changed.

With --url: streams through the public URL of a hub that runs, from wherever browsers are, and says
what a proxy on the way does to streams: holds them back, cuts them, compresses them, drops headers,
refuses long URLs. With a token that may publish, or a key that makes one, some updates are
published on a topic of its own, urn:uuid:…, and waited for. Without, it says what was not tested.

Each check is a line: ok, warn (works, but would be better otherwise), fail, or skip (could not be
tested), and below it the command, or the line of the proxy's configuration, that heals it. The exit
code is 1 if anything fails, otherwise 0.

Examples:
  petasos doctor --config hub.conf --connections 200000
  petasos doctor --url https://hub.example.com/.well-known/mercure --key @publisher.key
  petasos doctor --url https://hub.example.com/.well-known/mercure --token @token \\
    --origin https://app.example.com --idle 110

Takes all flags of `petasos serve`.";

pub(super) fn command() -> Command {
    let value = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value_name).help(help)
    };
    let of_url = |arg: Arg| arg.requires("url");
    Command::new("doctor")
        .about("Check the machine, or with --url the way to a hub through its proxies")
        .after_help(HELP)
        .arg(
            value(
                "connections",
                "N",
                "Connections that the machine is to hold [default: max_connections, or 10000]",
            )
            .value_parser(value_parser!(u64).range(1..=100_000_000))
            .conflicts_with("url"),
        )
        .arg(value("url", "URL", "Stream through this public URL of a hub"))
        .arg(of_url(value(
            "token",
            "TOKEN",
            "Access token that may publish, and subscribe where anonymous is off; @FILE reads it \
             from a file, @- from standard input [env: PETASOS_TOKEN]",
        )))
        .arg(of_url(value(
            "key",
            "KEY",
            "Instead of a token: the key that makes one, as for `petasos token` [env: PETASOS_KEY]",
        )))
        .arg(of_url(value("alg", "ALG", "Algorithm of that key [default: HS256]")))
        .arg(of_url(value("iss", "URI", "Issuer of that key: as the hub knows it")))
        .arg(of_url(value("aud", "URI", "Audience of its tokens [default: the URL]")))
        .arg(of_url(value(
            "origin",
            "ORIGIN",
            "Web origin whose pages are to use the hub, like https://app.example.com",
        )))
        .arg(
            of_url(value(
                "idle",
                "SECONDS",
                "How long a silent stream is watched; most proxies cut at 60 [default: 65]",
            ))
            .value_parser(value_parser!(u64).range(0..=86_400)),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object, for machines"),
        )
        .args(serve::few_arguments())
}

pub(super) fn doctor(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<ExitCode, Failure> {
    let config = serve::read(matches, surroundings, false)?.config;
    let is_json = matches.get_flag("json");
    if matches.contains_id("url") {
        let asked = way::Asked::read(matches, surroundings, &config)?;
        let mut report = Report::new(surroundings.output, is_json);
        way::check(&asked, &mut report, surroundings.errors)?;
        return report.end();
    }
    let connections = matches.get_one::<u64>("connections").copied();
    let connections_max = config.requests.connections_max.map(|max| max.get() as u64);
    let connections = connections.or(connections_max).unwrap_or(machine::CONNECTIONS_DEFAULT);
    let mut report = Report::new(surroundings.output, is_json);
    report.add_all(machine::check(&config, connections))?;
    report.end()
}
