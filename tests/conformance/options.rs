//! The command line.

use std::{env, ffi::OsString, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};

use crate::{hub::Target, report::Standard, signer::Signer};

const ABOUT: &str = "\
Says whether a Mercure hub keeps draft-dunglas-mercure-08, sentence by sentence.

Without --hub it starts this repository's hub, on io_uring and on epoll, with and without \
anonymous subscribers, and looks at all of them. With --hub it looks at that one: any hub, from \
outside, by nothing but HTTP. It uses topics of its own only, and may be run again and again, also \
on a hub in use; what it publishes is small, and some hundred updates.";

const EXAMPLES: &str = "\
A hub to look at, which has an issuer with a key for each role:

  export MERCURE_PUBLISHER_JWT_KEY='a secret of at least 32 bytes, please'
  export MERCURE_SUBSCRIBER_JWT_KEY='another secret of at least 32 bytes'
  cargo test --release --test conformance -- \\
    --hub https://hub.example.com/.well-known/mercure --issuer https://example.com

One chapter, with keys from files, and what CORS rules allow:

  … --chapter 6 --alg ES256 --publisher-key @private.pem --subscriber-key @private.pem \\
    --origin https://app.example.com

A MUST that does not hold fails. A SHOULD that does not hold is a warning, or with --strict a \
failure. What a hub need not have, or what cannot be seen, is skipped, and why. \
The exit code is 0 if nothing failed, 1 if something did, 2 if the suite could not do its work.";

/// What to do.
pub(crate) struct Options {
    /// `None`: the hub of this repository.
    pub(crate) target: Option<Target>,
    pub(crate) filter: Filter,
    pub(crate) list: bool,
    pub(crate) standard: Standard,
    pub(crate) patience: Duration,
    pub(crate) jobs: usize,
}

/// Which rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    chapters: Vec<u32>,
    names: Vec<String>,
}

impl Filter {
    pub(crate) fn takes(&self, chapter: u32, section: &str, says: &str) -> bool {
        let line = format!("#{section} {says}").to_lowercase();
        (self.chapters.is_empty() || self.chapters.contains(&chapter))
            && (self.names.is_empty()
                || self.names.iter().any(|name| line.contains(&name.to_lowercase())))
    }
}

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    // What `cargo test` hands to all tests.
    let of_harness =
        |name: &'static str, action| Arg::new(name).long(name).hide(true).action(action);
    Command::new("conformance")
        .about(ABOUT)
        .after_help(EXAMPLES)
        .bin_name("cargo test --release --test conformance --")
        .max_term_width(100)
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .num_args(0..)
                .help("Only rows that contain this, in their text or in the name of their section"),
        )
        .arg(option(
            "hub",
            "URL",
            "The hub's URL, like https://hub.example.com/.well-known/mercure",
        ))
        .arg(option(
            "publisher-key",
            "KEY",
            "Signs tokens of publishers: a secret, or a private key in PEM; @FILE reads it from a \
             file [env: MERCURE_PUBLISHER_JWT_KEY, else MERCURE_JWT_KEY]",
        ))
        .arg(option(
            "subscriber-key",
            "KEY",
            "The same for subscribers [env: MERCURE_SUBSCRIBER_JWT_KEY, else MERCURE_JWT_KEY]",
        ))
        .arg(option(
            "alg",
            "ALG",
            "What the keys are for: HS256, RS256, PS256, the like with 384 and 512, ES256, ES384 \
             or EdDSA [default: HS256]",
        ))
        .arg(option("issuer", "URI", "The issuer that the hub knows the keys of"))
        .arg(option(
            "audience",
            "URI",
            "The hub's resource identifier [default: what its metadata say, else the URL]",
        ))
        .arg(
            option("anonymous", "yes|no", "Whether subscribers need no token [default: asks]")
                .value_parser(["yes", "no"]),
        )
        .arg(option("origin", "ORIGIN", "Whose pages the hub's CORS rules allow"))
        .arg(option(
            "publish-origin",
            "ORIGIN",
            "Whose pages may publish with a cookie [default: the hub's own]",
        ))
        .arg(
            option("second-issuer", "URI", "Another issuer that the hub trusts")
                .requires("second-key"),
        )
        .arg(
            option("second-key", "KEY", "Its key for publishers, for the same algorithm")
                .requires("second-issuer"),
        )
        .arg(option("heartbeat", "SECONDS", "After which the hub sends a comment"))
        .arg(option("lifetime", "SECONDS", "After which the hub ends a stream"))
        .arg(option("chapter", "NUMBER", "Only this chapter").action(ArgAction::Append))
        .arg(
            Arg::new("list")
                .long("list")
                .action(ArgAction::SetTrue)
                .help("List the rows, that is all"),
        )
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("A SHOULD that does not hold fails"),
        )
        .arg(option(
            "patience",
            "SECONDS",
            "How long to wait for what should come at once [default: 10, on the own hub 30]",
        ))
        .arg(option("jobs", "NUMBER", "How many rows run at a time [default: 8]"))
        .arg(of_harness("nocapture", ArgAction::SetTrue))
        .arg(of_harness("no-capture", ArgAction::SetTrue))
        .arg(of_harness("quiet", ArgAction::SetTrue).short('q'))
        .arg(of_harness("show-output", ArgAction::SetTrue))
        .arg(of_harness("include-ignored", ArgAction::SetTrue))
        .arg(of_harness("test-threads", ArgAction::Set))
}

impl Options {
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        options(&matches).map_err(|told| command.error(ErrorKind::ValueValidation, told))
    }
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.get_one::<String>(name).map(String::as_str)
}

fn options(matches: &ArgMatches) -> Result<Options, String> {
    let chapters: Result<_, _> = matches
        .get_many::<String>("chapter")
        .unwrap_or_default()
        .map(|it| it.parse().map_err(|_| format!("--chapter {it}: no number")))
        .collect();
    let names = matches.get_many::<String>("name").unwrap_or_default().cloned().collect();
    let target = text(matches, "hub").map(|url| target(matches, url)).transpose()?;
    let patience = if target.is_some() { 10.0 } else { 30.0 };
    let jobs = match text(matches, "jobs").or(text(matches, "test-threads")) {
        None => 8,
        Some(it) => match it.parse() {
            Ok(jobs @ 1..=256) => jobs,
            _ => return Err(format!("--jobs {it}: a number from 1 to 256 is needed")),
        },
    };
    Ok(Options {
        target,
        filter: Filter { chapters: chapters?, names },
        list: matches.get_flag("list"),
        standard: if matches.get_flag("strict") { Standard::Strict } else { Standard::Musts },
        patience: seconds(matches, "patience")?.unwrap_or(Duration::from_secs_f64(patience)),
        jobs,
    })
}

fn seconds(matches: &ArgMatches, name: &str) -> Result<Option<Duration>, String> {
    let Some(value) = text(matches, name) else { return Ok(None) };
    let number: Option<f64> = value.parse().ok();
    match number.filter(|seconds| (0.1..=86_400.0).contains(seconds)) {
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
        None => Err(format!("--{name} {value}: a number of seconds is needed")),
    }
}

fn target(matches: &ArgMatches, url: &str) -> Result<Target, String> {
    let is_url = (url.starts_with("http://") || url.starts_with("https://"))
        && url.splitn(4, '/').nth(3).is_some_and(|path| !path.is_empty())
        && !url.contains(['?', '#', ' '])
        && url::Url::parse(url).is_ok();
    if !is_url {
        return Err(format!(
            "--hub {url}: the URL of a hub is needed, like \
             https://hub.example.com/.well-known/mercure"
        ));
    }
    let algorithm = text(matches, "alg").unwrap_or("HS256");
    let key = |flag: &str, variable: &str| {
        let told = text(matches, flag).map(str::to_owned);
        let variables = [variable, "MERCURE_JWT_KEY"].into_iter();
        let set = variables.filter_map(|name| env::var(name).ok()).find(|key| !key.is_empty());
        let text = told.or(set).ok_or(format!("no key: give it with --{flag} or {variable}"))?;
        Signer::new(&text, algorithm).map_err(|told| format!("--{flag}: {told}"))
    };
    let owned = |name: &str| text(matches, name).map(str::to_owned);
    let second = match (owned("second-issuer"), text(matches, "second-key")) {
        (Some(issuer), Some(key)) => {
            let key = Signer::new(key, algorithm).map_err(|it| format!("--second-key: {it}"))?;
            Some((issuer, key))
        }
        _ => None,
    };
    Ok(Target {
        name: url.to_owned(),
        url: url.to_owned(),
        publisher: key("publisher-key", "MERCURE_PUBLISHER_JWT_KEY")?,
        subscriber: key("subscriber-key", "MERCURE_SUBSCRIBER_JWT_KEY")?,
        issuer: owned("issuer").ok_or("no issuer: say with --issuer whose keys these are")?,
        second,
        audience: owned("audience"),
        anonymous: text(matches, "anonymous").map(|it| it == "yes"),
        origin: owned("origin"),
        publish_origin: owned("publish-origin"),
        heartbeat: seconds(matches, "heartbeat")?,
        lifetime: seconds(matches, "lifetime")?,
    })
}
