//! What is said to those who come from the reference hub is what the reader of settings does.

use petasos::config::reference::{Fate, Place, Word};

use crate::{
    common::{
        client::{Stream, publish},
        hub::{AUDIENCE, Driver, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        tokens,
        tools::Directory,
    },
    on_both_drivers,
};

on_both_drivers!(a_caddyfile_is_all_that_a_hub_needs);

const DOCUMENT: &str = include_str!("../docs/drop-in.md");

/// The heading of each table.
const HEADINGS: [(Place, &str); 6] = [
    (Place::Environment, "### Variables"),
    (Place::Mercure, "### Directives"),
    (Place::Transport, "### Transports"),
    (Place::Bolt, "### Options of `transport bolt`"),
    (Place::Global, "### Options of the server"),
    (Place::Site, "### Beside `mercure` in a `Caddyfile`"),
];

#[test]
fn the_tables_are_those_of_the_reader() {
    assert_eq!(HEADINGS.map(|(place, _)| place), Place::ALL);
    for (place, heading) in HEADINGS {
        let (_, rest) = DOCUMENT.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
        let lines = rest.lines().skip_while(|line| !line.starts_with('|'));
        let table: String = lines
            .take_while(|line| line.starts_with('|'))
            .map(|line| format!("{line}\n"))
            .collect();
        let expected = expected(place);
        assert_eq!(table, expected, "below {heading} has to stand\n{expected}");
    }
}

fn expected(place: Place) -> String {
    let row = |word: &Word| {
        let Word { name, value, fate } = word;
        let word = format!("{name} {value}");
        let here = match fate {
            Fate::Setting(setting) if setting == name => "the same".to_owned(),
            Fate::Setting(setting) => format!("`{setting}`"),
            Fate::Directives => "read".to_owned(),
            Fate::NoEffect(reason) => format!("no effect: {reason}"),
            Fate::NotYet("") => "not yet".to_owned(),
            Fate::NotYet(until) => format!("not yet: {until}"),
        };
        format!("| `{}` | {here} |\n", word.trim_end())
    };
    let rows: String = place.words().iter().map(row).collect();
    format!("| there | here |\n| --- | --- |\n{rows}")
}

/// With what is around the hub in many of them.
const CADDYFILE: &str = r#"{
	{$GLOBAL_OPTIONS}
	admin off
}

{$SERVER_NAME:localhost} {
	encode zstd gzip

	mercure {
		issuer {$MERCURE_TRUSTED_ISSUERS:https://localhost} {
			publisher {
				jwt {env.MERCURE_PUBLISHER_JWT_KEY} {env.MERCURE_PUBLISHER_JWT_ALG}
			}
			subscriber {
				jwt {env.MERCURE_SUBSCRIBER_JWT_KEY} {env.MERCURE_SUBSCRIBER_JWT_ALG}
			}
		}
		{$MERCURE_EXTRA_DIRECTIVES}
	}

	respond /robots.txt `User-agent: *
	Disallow: /`
	respond "Not Found" 404
}
"#;

fn a_caddyfile_is_all_that_a_hub_needs(driver: Driver) {
    let directory = Directory::new(&format!("caddyfile-{}", driver.name()));
    let file = directory.file("Caddyfile", CADDYFILE);
    let extra = format!("anonymous\nresource_identifier {AUDIENCE}\ntransport memory");
    let hub = |server: &str| {
        Setup::bare()
            .env("PETASOS_DRIVER", driver.name())
            .env("ADDR", "")
            .env("SERVER_NAME", server)
            .env("MERCURE_TRUSTED_ISSUERS", ISSUER)
            .env("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY)
            .env("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY)
            .env("MERCURE_EXTRA_DIRECTIVES", &extra)
            .arg("run")
            .arg("--config")
            .arg(&file)
            .arg("--adapter")
            .arg("caddyfile")
    };
    let running = hub("127.0.0.1:0").start();
    let mut stream = Stream::open(running.addr, "match=a", "");
    publish(running.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    let told = hub("hub.example").run();
    assert_eq!(told.code, Some(1), "{told:?}");
    let line = format!("petasos: {file}:6: listen: `hub.example` asks for HTTPS");
    assert!(told.stderr.contains(&line), "{told:?}");
}
