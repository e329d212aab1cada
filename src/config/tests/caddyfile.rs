//! The shapes of the reference hub's own files, and what becomes of variables beside them.

use super::*;

/// As its image has had it up to 0.24.
const OLD: &str = r#"# A comment
{
	{$GLOBAL_OPTIONS}
}

{$CADDY_EXTRA_CONFIG}

{$SERVER_NAME:localhost} {
	log {
		format filter {
			fields {
				request>uri query {
					replace authorization REDACTED
				}
			}
		}
	}

	encode zstd gzip

	mercure {
		transport_url {$MERCURE_TRANSPORT_URL:bolt://mercure.db}
		publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY} {env.MERCURE_PUBLISHER_JWT_ALG}
		subscriber_jwt {env.MERCURE_SUBSCRIBER_JWT_KEY} {env.MERCURE_SUBSCRIBER_JWT_ALG}
		{$MERCURE_EXTRA_DIRECTIVES}
	}

	{$CADDY_SERVER_EXTRA_DIRECTIVES}

	log_skip /robots.txt
	header / Content-Type "text/html; charset=utf-8"
	respond / `<!DOCTYPE html>
	<title>Welcome</title>
	<p>Read <a href="https://example.com">this</a>.`
	respond /robots.txt `User-agent: *
	Disallow: /`
	respond /healthz 200
	respond "Not Found" 404
}
"#;

/// As it is since 1.0.
const NEW: &str = r#"{
	{$GLOBAL_OPTIONS}
}
{$SERVER_NAME:localhost} {
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
}
"#;

/// Before site blocks had braces.
const OLDEST: &str = r#"{
	{$GLOBAL_OPTIONS}
}

{$SERVER_NAME:localhost}

route {
	encode zstd gzip

	mercure {
		publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY} {env.MERCURE_PUBLISHER_JWT_ALG}
		subscriber_jwt {env.MERCURE_SUBSCRIBER_JWT_KEY} {env.MERCURE_SUBSCRIBER_JWT_ALG}
		{$MERCURE_EXTRA_DIRECTIVES}
	}

	respond "Not Found" 404
}
"#;

fn addresses(config: &Config) -> Vec<String> {
    config.listen.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn the_files_of_the_reference_are_read() {
    let extra = "anonymous\ncors_origins https://a.example\n\
                 issuer urn:b {\n publisher {\n jwt {env.OTHER}\n}\n}";
    let variables = [
        ("SERVER_NAME", ":8000, :8001"),
        ("GLOBAL_OPTIONS", "debug\nservers {\n\tmetrics\n}"),
        ("MERCURE_EXTRA_DIRECTIVES", &extra[..40]),
        ("OTHER", OTHER),
    ];
    for (file, issuer) in [(OLD, None), (OLDEST, None), (NEW, Some("https://localhost"))] {
        let config = config(&Given { file, variables: &variables, ..Given::default() });
        assert_eq!(addresses(&config), ["[::]:8000", "[::]:8001"], "{file}");
        assert_eq!(config.logging.level, LogLevel::Debug);
        assert!(config.access.anonymous);
        let issuers: Vec<_> = config.access.issuers().collect();
        assert_eq!(issuers, [issuer, issuer], "{file}");
    }
    // Issuers that are added are added.
    let variables = [("SERVER_NAME", ":80"), ("MERCURE_EXTRA_DIRECTIVES", extra), ("OTHER", OTHER)];
    let config = config(&Given { file: NEW, variables: &variables, ..Given::default() });
    let issuers: Vec<_> = config.access.issuers().flatten().collect();
    assert_eq!(issuers, ["https://localhost", "https://localhost", "urn:b"]);
}

#[test]
fn a_variable_without_a_place_in_the_file_counts_as_ever() {
    let variables = [
        ("SERVER_NAME", ":80"),
        ("MERCURE_LISTEN_ADDR", ":81"),
        ("MERCURE_ALLOW_ANONYMOUS", "1"),
        ("PETASOS_HEARTBEAT", "7s"),
    ];
    let config = config(&Given { file: OLD, variables: &variables, ..Given::default() });
    assert_eq!(addresses(&config), ["[::]:81"]);
    assert!(config.access.anonymous);
    assert_eq!(config.streams.heartbeat, Some(Duration::from_secs(7)));
}

#[test]
fn keys_that_are_not_set_are_missing_and_not_empty() {
    let variables = [("SERVER_NAME", ":80")];
    for file in [OLD, NEW] {
        let given = Given { file, variables: &variables, without_keys: true, ..Given::default() };
        let found = mistakes(&given);
        assert!(
            found.starts_with("no key for publishers: set MERCURE_PUBLISHER_JWT_KEY"),
            "{found}"
        );
        let key = ("MERCURE_PUBLISHER_JWT_KEY", KEY);
        let variables = [variables[0], key, ("MERCURE_ALLOW_ANONYMOUS", "1")];
        let given = Given { file, variables: &variables, without_keys: true, ..Given::default() };
        assert_eq!(config(&given).access.keys.len(), 1);
    }
}

#[test]
fn https_that_nobody_asked_for_is_warned_of_and_other_https_is_a_mistake() {
    let loaded = load_given(&Given { file: OLD, ..Given::default() }).unwrap();
    assert_eq!(addresses(&loaded.config), ["[::]:80", "[::]:8080"]);
    let told = lines(&loaded.notices);
    assert!(told.contains("hub.conf:8: SERVER_NAME is not set, and `localhost` asks"), "{told}");
    for variables in [[("SERVER_NAME", "localhost")], [("SERVER_NAME", "hub.example")]] {
        let found = mistakes(&Given { file: OLD, variables: &variables, ..Given::default() });
        assert!(found.starts_with("hub.conf:8: listen: `"), "{found}");
        assert!(found.contains("asks for HTTPS"), "{found}");
    }
}

#[test]
fn what_does_nothing_is_told_of() {
    let variables = [("SERVER_NAME", ":80"), ("MERCURE_TRUSTED_ISSUERS", "urn:a")];
    let loaded = load_given(&Given { file: OLD, variables: &variables, ..Given::default() });
    let told = lines(&loaded.unwrap().notices);
    for line in [
        "hub.conf:9: log has no effect: ",
        "hub.conf:19: encode has no effect: ",
        "hub.conf:30: log_skip has no effect: ",
        "hub.conf:31: header has no effect: ",
        "hub.conf:37: respond has no effect: ",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn words_of_the_reference_are_settings_where_the_table_says_so() {
    use crate::config::reference::{Fate, Place};
    let variables: Vec<_> = settings().flat_map(Setting::variables).map(|v| v.name).collect();
    for place in Place::ALL {
        for word in place.words() {
            let Fate::Setting(name) = word.fate else { continue };
            let setting = settings().find(|setting| setting.name == name);
            let setting = setting.unwrap_or_else(|| panic!("{}: no setting {name}", word.name));
            let is_its = match place {
                Place::Environment => setting.variables.contains(&word.name),
                Place::Mercure => setting.name == word.name || setting.aliases.contains(&word.name),
                _ => true,
            };
            assert!(is_its, "{place:?}: {}", word.name);
        }
    }
    // And the other way round.
    let known = |name: &String| Place::Environment.words().iter().any(|word| word.name == name);
    let is_theirs = |name: &&String| !name.starts_with("PETASOS_") && !name.contains("PREVIOUS");
    let missing: Vec<_> = variables.iter().filter(is_theirs).filter(|name| !known(name)).collect();
    assert_eq!(missing, <[&String; 0]>::default());
}
